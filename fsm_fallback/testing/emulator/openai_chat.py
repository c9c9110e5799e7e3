"""OpenAI chat completions: `POST /v1/chat/completions`.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm_fallback.testing.emulator.dialect import Endpoint, Event, Streaming, texts_of
from fsm_fallback.testing.emulator.openai_errors import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm_fallback.testing.emulator.dialect import AnswerFacts, ErrorWords, Events, Json


def _check(body: Json) -> ErrorWords | None:
    if not isinstance(body.get("model"), str) or not body["model"]:
        return missing("model")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return missing("messages")
    return None


def _texts(body: Json) -> Iterator[str]:
    yield from texts_of(body.get("messages"))


def _id(facts: AnswerFacts) -> str:
    return f"chatcmpl-emulated{facts.number:021d}"


def _finish_reason(facts: AnswerFacts) -> str:
    return "content_filter" if facts.is_filtered else "stop"


def _usage(facts: AnswerFacts) -> Json:
    return {
        "prompt_tokens": facts.input_tokens,
        "completion_tokens": facts.output_tokens,
        "total_tokens": facts.input_tokens + facts.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _answer(facts: AnswerFacts) -> Json:
    return {
        "id": _id(facts),
        "object": "chat.completion",
        "created": facts.created,
        "model": facts.model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": facts.text,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": _finish_reason(facts),
            }
        ],
        "usage": _usage(facts),
        "service_tier": "default",
        "system_fingerprint": "fp_emulated",
    }


def _wants_usage(facts: AnswerFacts) -> bool:
    options = facts.body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _chunk(facts: AnswerFacts, choices: list[Json], usage: Json | None = None) -> Event:
    chunk = {
        "id": _id(facts),
        "object": "chat.completion.chunk",
        "created": facts.created,
        "model": facts.model,
        "service_tier": "default",
        "system_fingerprint": "fp_emulated",
        "choices": choices,
    }
    return Event(None, chunk | {"usage": usage} if _wants_usage(facts) else chunk)


def _choice(delta: Json, finish_reason: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _begin(facts: AnswerFacts) -> Events:
    return (_chunk(facts, [_choice({"role": "assistant", "content": "", "refusal": None})]),)


def _piece(facts: AnswerFacts, text: str) -> Event:
    return _chunk(facts, [_choice({"content": text})])


def _end(facts: AnswerFacts) -> Events:
    finish = _chunk(facts, [_choice({}, _finish_reason(facts))])
    return (finish, _chunk(facts, [], _usage(facts))) if _wants_usage(facts) else (finish,)


def _nothing(_facts: AnswerFacts) -> Events:
    return ()


CHAT: Final = Endpoint(
    path="/v1/chat/completions",
    check=_check,
    texts=_texts,
    answer=_answer,
    streaming=Streaming(
        begin=_begin,
        open=_nothing,
        piece=_piece,
        close=_nothing,
        end=_end,
        last=(Event(None, "[DONE]"),),
        error=lambda error: Event(None, error),
    ),
)
