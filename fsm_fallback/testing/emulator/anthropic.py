"""Anthropic messages: `POST /v1/messages`, and the words of its errors.

Sources: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/errors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm_fallback.testing.emulator.dialect import (
    Dialect,
    Endpoint,
    ErrorWords,
    Event,
    Streaming,
    texts_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm_fallback.testing.emulator.dialect import AnswerFacts, Events, Json

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
    return None


def _texts(body: Json) -> Iterator[str]:
    yield from texts_of(body.get("system"))
    yield from texts_of(body.get("messages"))


def _message(facts: AnswerFacts, **fields: object) -> Json:
    return {
        "id": f"msg_emulated{facts.number:015d}",
        "type": "message",
        "role": "assistant",
        "model": facts.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        **fields,
    }


def _usage(facts: AnswerFacts, output_tokens: int) -> Json:
    return {
        "input_tokens": facts.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _stop_reason(facts: AnswerFacts) -> str:
    return "refusal" if facts.is_filtered else "end_turn"


def _answer(facts: AnswerFacts) -> Json:
    return _message(
        facts,
        content=[{"type": "text", "text": facts.text}],
        stop_reason=_stop_reason(facts),
        usage=_usage(facts, facts.output_tokens),
    )


def _event(kind: str, **fields: object) -> Event:
    return Event(kind, {"type": kind, **fields})


def _begin(facts: AnswerFacts) -> Events:
    usage = _usage(facts, min(1, facts.output_tokens))  # counted up by `message_delta`
    return (_event("message_start", message=_message(facts, usage=usage)), _event("ping"))


def _open(_facts: AnswerFacts) -> Events:
    return (_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),)


def _piece(_facts: AnswerFacts, text: str) -> Event:
    return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def _close(_facts: AnswerFacts) -> Events:
    return (_event("content_block_stop", index=0),)


def _end(facts: AnswerFacts) -> Events:
    return (
        _event(
            "message_delta",
            delta={"stop_reason": _stop_reason(facts), "stop_sequence": None},
            usage={"output_tokens": facts.output_tokens},
        ),
        _event("message_stop"),
    )


ANTHROPIC: Final = Dialect(
    name="anthropic",
    base_path="",
    endpoints=(
        Endpoint(
            path="/v1/messages",
            check=_check,
            texts=_texts,
            answer=_answer,
            streaming=Streaming(
                begin=_begin,
                open=_open,
                piece=_piece,
                close=_close,
                end=_end,
                error=lambda error: Event("error", error),
            ),
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
