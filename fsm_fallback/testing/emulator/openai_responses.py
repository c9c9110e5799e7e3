"""OpenAI responses: `POST /v1/responses`.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm_fallback.testing.emulator.dialect import Endpoint, Event, Streaming, texts_of
from fsm_fallback.testing.emulator.openai_errors import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm_fallback.testing.emulator.dialect import AnswerFacts, ErrorWords, Events, Json

_WITH_USAGE: Final = frozenset({"completed", "incomplete"})


def _check(body: Json) -> ErrorWords | None:
    if not isinstance(body.get("model"), str) or not body["model"]:
        return missing("model")
    if not isinstance(body.get("input"), str | list) or not body["input"]:
        return missing("input")
    return None


def _texts(body: Json) -> Iterator[str]:
    yield from texts_of(body.get("instructions"))
    yield from texts_of(body.get("input"))


def _status(facts: AnswerFacts) -> str:
    return "incomplete" if facts.is_filtered else "completed"


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item_id(facts: AnswerFacts) -> str:
    return f"msg_emulated{facts.number:040d}"


def _item(facts: AnswerFacts, status: str, content: list[Json]) -> Json:
    return {
        "id": _item_id(facts),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _response(facts: AnswerFacts, status: str, output: list[Json]) -> Json:
    """Return a response in some state; only one that is over has usage."""
    usage = {
        "input_tokens": facts.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": facts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": facts.input_tokens + facts.output_tokens,
    }
    return {
        "id": f"resp_emulated{facts.number:040d}",
        "object": "response",
        "created_at": facts.created,
        "completed_at": facts.created if status == "completed" else None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "content_filter"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": facts.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if status in _WITH_USAGE else None,
    }


def _answer(facts: AnswerFacts) -> Json:
    status = _status(facts)
    return _response(facts, status, [_item(facts, status, [_part(facts.text)])])


def _event(kind: str, **fields: object) -> Event:
    return Event(kind, {"type": kind, **fields})


def _begin(facts: AnswerFacts) -> Events:
    response = _response(facts, "in_progress", [])
    return (
        _event("response.created", response=response),
        _event("response.in_progress", response=response),
    )


def _place(facts: AnswerFacts) -> Json:
    return {"item_id": _item_id(facts), "output_index": 0, "content_index": 0}


def _open(facts: AnswerFacts) -> Events:
    item = _item(facts, "in_progress", [])
    return (
        _event("response.output_item.added", output_index=0, item=item),
        _event("response.content_part.added", **_place(facts), part=_part("")),
    )


def _piece(facts: AnswerFacts, text: str) -> Event:
    return _event("response.output_text.delta", **_place(facts), delta=text, logprobs=[])


def _close(facts: AnswerFacts) -> Events:
    place, part = _place(facts), _part(facts.text)
    item = _item(facts, _status(facts), [part])
    return (
        _event("response.output_text.done", **place, text=facts.text, logprobs=[]),
        _event("response.content_part.done", **place, part=part),
        _event("response.output_item.done", output_index=0, item=item),
    )


def _end(facts: AnswerFacts) -> Events:
    answer = _answer(facts) if facts.has_output else _response(facts, _status(facts), [])
    return (_event(f"response.{_status(facts)}", response=answer),)


def _error(error: Json) -> Event:
    words = error["error"]
    return _event(
        "error",
        code=words["code"] or words["type"],
        message=words["message"],
        param=words["param"],
    )


def _failed(facts: AnswerFacts, words: ErrorWords) -> Event:
    error = {"code": words.code or words.type, "message": words.message}
    response = _response(facts, "failed", []) | {"error": error}
    return _event("response.failed", response=response)


RESPONSES: Final = Endpoint(
    path="/v1/responses",
    check=_check,
    texts=_texts,
    answer=_answer,
    streaming=Streaming(
        begin=_begin,
        open=_open,
        piece=_piece,
        close=_close,
        end=_end,
        error=_error,
        failed=_failed,
        is_numbered=True,
    ),
)
