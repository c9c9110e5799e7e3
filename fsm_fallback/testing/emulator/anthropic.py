"""Anthropic messages: `POST /v1/messages`, and the words of its errors.

Sources: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/errors
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from fsm_fallback.testing.emulator.dialect import Dialect, Endpoint, ErrorWords, texts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm_fallback.testing.emulator.dialect import AnswerFacts, Json

_INVALID_REQUEST: Final = "invalid_request_error"

_OVERLOADED: Final = ErrorWords(status=529, type="overloaded_error", message="Overloaded")

_QUOTA_SPENT: Final = ErrorWords(
    status=400,  # not 402: this is how spent credit has looked in the wild
    type=_INVALID_REQUEST,
    message="Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits.",
)


def _rate_limited(_wait: float | None) -> ErrorWords:
    return ErrorWords(
        status=429,
        type="rate_limit_error",
        message="This request would exceed your organization's rate limit of "
        "50 requests per minute.",
    )


_ERRORS: Final = {
    words.status: words
    for words in (
        ErrorWords(
            status=400,
            type=_INVALID_REQUEST,
            message="messages.0: Input does not match the expected shape.",
        ),
        ErrorWords(status=401, type="authentication_error", message="invalid x-api-key"),
        ErrorWords(
            status=402,
            type="billing_error",
            message="There is an issue with your billing or payment information.",
        ),
        ErrorWords(
            status=403,
            type="permission_error",
            message="Your API key does not have permission to use the specified resource.",
        ),
        ErrorWords(status=404, type="not_found_error", message="model: {model}"),
        ErrorWords(status=409, type="conflict_error", message="Conflict"),
        ErrorWords(
            status=413,
            type="request_too_large",
            message="Request exceeds the maximum size",
        ),
        ErrorWords(status=500, type="api_error", message="Internal server error"),
        ErrorWords(status=504, type="timeout_error", message="Request timed out"),
        _OVERLOADED,
    )
}


def _error_body(words: ErrorWords, request_id: str) -> Json:
    return {
        "type": "error",
        "error": {"type": words.type, "message": words.message},
        "request_id": request_id,
    }


def _invalid(message: str) -> ErrorWords:
    return ErrorWords(status=400, type=_INVALID_REQUEST, message=message)


def _check(body: Json) -> ErrorWords | None:
    if not isinstance(body.get("model"), str) or not body["model"]:
        return _invalid("model: Field required")
    max_tokens = body.get("max_tokens")
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool):
        return _invalid("max_tokens: Field required")
    if max_tokens < 1:
        return _invalid("max_tokens: must be greater than or equal to 1")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return _invalid("messages: at least one message is required")
    if body.get("stream") is True:
        return _invalid("stream: not emulated yet; leave it out or script a body")
    return None


def _texts(body: Json) -> Iterator[str]:
    yield from texts_of(body.get("system"))
    yield from texts_of(body.get("messages"))


def _answer(facts: AnswerFacts) -> Json:
    return {
        "id": f"msg_emulated{facts.number:015d}",
        "type": "message",
        "role": "assistant",
        "model": facts.model,
        "content": [{"type": "text", "text": facts.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": facts.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": facts.output_tokens,
            "service_tier": "standard",
        },
    }


def _error_events(error: Json) -> str:
    return f"event: error\ndata: {json.dumps(error)}\n\n"


ANTHROPIC: Final = Dialect(
    name="anthropic",
    base_path="",
    endpoints=(
        Endpoint(
            path="/v1/messages",
            check=_check,
            texts=_texts,
            answer=_answer,
            error_events=_error_events,
        ),
    ),
    request_id_header="request-id",
    errors=_ERRORS,
    invalid_request_type=_INVALID_REQUEST,
    server_error_type="api_error",
    overloaded=_OVERLOADED,
    quota_spent=_QUOTA_SPENT,
    rate_limited=_rate_limited,
    error_body=_error_body,
)
