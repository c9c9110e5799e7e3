"""What goes over the wire for a step, byte by byte, and when.

`plan` is a pure function of a step and of what was asked; the connection only carries the plan out.
It knows the dialect's words through `Dialect`, and nothing of sockets and time. Streams are planned
in `stream_plan.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import attrs

from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing.emulator.asked import signature
from fsm_fallback.testing.emulator.dialect import ErrorWords
from fsm_fallback.testing.emulator.faults import (
    Cut,
    Empty,
    ErrorIn200,
    Malformed,
    Overloaded,
    QuotaSpent,
    RateLimited,
    Reply,
    Reset,
    Responding,
    Slow,
    Status,
    Step,
)
from fsm_fallback.testing.emulator.parts import (
    Break,
    Chunk,
    Drop,
    Hold,
    Part,
    Pause,
    Plan,
    Response,
    Whole,
)
from fsm_fallback.testing.emulator.statuses import FIRST_ERROR
from fsm_fallback.testing.emulator.stream_faults import (
    PLAIN_STEPS,
    EmptyStream,
    Filtered,
    MalformedChunk,
    NoDone,
    NoEnd,
    Stall,
    StreamCut,
    StreamError,
    StreamFault,
)
from fsm_fallback.testing.emulator.stream_plan import (
    EVENTS_TYPE,
    facts_of,
    frame,
    plan_stream,
)
from fsm_fallback.testing.steps import Hang

if TYPE_CHECKING:
    from fsm_fallback.testing.emulator.asked import Asked
    from fsm_fallback.testing.emulator.dialect import Dialect
    from fsm_fallback.testing.emulator.faults import Body

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"

_Worded: TypeAlias = Status | RateLimited | QuotaSpent | Overloaded | Malformed | Empty | ErrorIn200

OUTCOMES: Final[dict[type[Step], str]] = {
    Reply: "answer",
    Status: "status",
    RateLimited: "rate_limited",
    QuotaSpent: "quota_spent",
    Overloaded: "overloaded",
    Malformed: "malformed",
    Empty: "empty",
    ErrorIn200: "error_in_200",
    Slow: "slow",
    Cut: "cut",
    Reset: "reset",
    Hang: "hang",
    StreamError: "stream_error",
    StreamCut: "stream_cut",
    Stall: "stall",
    MalformedChunk: "malformed_chunk",
    NoEnd: "no_end",
    NoDone: "no_done",
    EmptyStream: "empty_stream",
    Filtered: "filtered",
}


def plan(step: Step, asked: Asked) -> Plan:
    """Say what happens on the wire for a step.

    Raises:
        ConfigurationError: If a fault of streams meets a request that asked for none.
    """
    outcome = OUTCOMES[type(step)]
    if isinstance(step, StreamFault) and not (asked.stream or isinstance(step, Filtered)):
        raise ConfigurationError(
            f"{type(step).__name__}() met a request that asked for no stream; "
            f"ask with stream=True, or script {PLAIN_STEPS[type(step)]}"
        )
    if isinstance(step, Reply | StreamFault) and (words := asked.problem) is not None:
        return reject(words.about(asked.model), asked.dialect, asked.request_id)
    match step:
        case Slow(seconds, then):
            return Plan(outcome, (Pause(seconds), *plan(then, asked).parts))
        case Hang():
            return Plan(outcome, (Hold(), *plan(Reply(), asked).parts))
        case Reset():
            return Plan(outcome, (Drop(),))
        case Cut(after_bytes, of=of):
            return Plan(outcome, _cut(_respond(of, asked), after_bytes))
        case _:
            return Plan(outcome, _respond(step, asked))


def reject(words: ErrorWords, dialect: Dialect, request_id: str) -> Plan:
    """Say what happens to a request that the emulator itself turns down."""
    response = _signed(_error(words, dialect, request_id), dialect, request_id)
    return Plan("rejected", (Whole(response),))


def _respond(step: Responding | StreamFault, asked: Asked) -> tuple[Part, ...]:
    if isinstance(step, Reply | StreamFault):
        if asked.stream:
            return plan_stream(step, asked)
        response = _answer(step, asked)
    else:
        response = _response(step, asked)
    return (Whole(_signed(response, asked.dialect, asked.request_id)),)


def _cut(parts: tuple[Part, ...], after_bytes: int | None) -> tuple[Part, ...]:
    """Return what is left of a response whose body breaks off."""
    if isinstance(parts[0], Whole):
        response = parts[0].response
        return (Whole(response, _size_left(len(response.body), after_bytes)),)
    chunks = [part for part in parts if isinstance(part, Chunk)]
    left = _size_left(sum(len(chunk.content) for chunk in chunks), after_bytes)
    kept: list[Chunk] = []
    for chunk in chunks:
        if len(chunk.content) > left:
            kept += [Chunk(chunk.content[:left])] if left > 0 else []
            break
        kept.append(chunk)
        left -= len(chunk.content)
    return (parts[0], *kept, Break())


def _size_left(size: int, after_bytes: int | None) -> int:
    return size // 2 if after_bytes is None else max(min(after_bytes, size - 1), 0)


def _signed(response: Response, dialect: Dialect, request_id: str) -> Response:
    """Add the headers that every response has; those of the step win."""
    return attrs.evolve(response, headers=signature(dialect, request_id) | response.headers)


def _response(step: _Worded, asked: Asked) -> Response:
    match step:
        case Malformed(text):
            return Response(200, text.encode(), {"content-type": _JSON})
        case Empty(status):
            return Response(status, b"", {})
        case ErrorIn200():
            return _error_in_200(step, asked)
        case Status() if step.body is not None or step.status < FIRST_ERROR:
            body, content_type = _encode(step.body)
            return Response(step.status, body, {"content-type": content_type} | _lower(step))
        case Status() | RateLimited() | QuotaSpent() | Overloaded():
            words, headers = _error_words(step, asked.dialect)
            error = _error(words.about(asked.model), asked.dialect, asked.request_id)
            return attrs.evolve(error, headers=error.headers | headers)
        case _:
            assert_never(step)


def _error_words(
    step: Status | RateLimited | QuotaSpent | Overloaded, dialect: Dialect
) -> tuple[ErrorWords, dict[str, str]]:
    match step:
        case Status(status):
            return dialect.words_for(status), _lower(step)
        case RateLimited(retry_after):
            wait = None if isinstance(retry_after, str) else retry_after
            return dialect.rate_limited(wait), _retry_after(retry_after)
        case Overloaded(retry_after):
            return dialect.overloaded, _retry_after(retry_after)
        case QuotaSpent():
            return dialect.quota_spent, {}
        case _:
            assert_never(step)


def _answer(step: Reply | StreamFault, asked: Asked) -> Response:
    answer = asked.endpoint.answer(facts_of(step, asked))
    return Response(200, json.dumps(answer).encode(), {"content-type": _JSON})


def _error_in_200(step: ErrorIn200, asked: Asked) -> Response:
    words = asked.dialect.words_for(step.error).about(asked.model)
    error = asked.dialect.error_body(words, asked.request_id)
    if asked.stream if step.events is None else step.events:
        streaming = asked.endpoint.streaming
        events = (streaming.error(error), *streaming.last)
        body = b"".join(frame(event, number, streaming) for number, event in enumerate(events))
        return Response(200, body, {"content-type": EVENTS_TYPE})
    return Response(200, json.dumps(error).encode(), {"content-type": _JSON})


def _error(words: ErrorWords, dialect: Dialect, request_id: str) -> Response:
    body = json.dumps(dialect.error_body(words, request_id)).encode()
    return Response(words.status, body, {"content-type": _JSON})


def _encode(body: Body | None) -> tuple[bytes, str]:
    match body:
        case None:
            return b"", _TEXT
        case bytes():
            return body, "application/octet-stream"
        case str():
            return body.encode(), _TEXT
        case _:
            return json.dumps(body).encode(), _JSON


def _lower(step: Status) -> dict[str, str]:
    return {name.lower(): value for name, value in step.headers.items()}


def _retry_after(value: float | str | None) -> dict[str, str]:
    if value is None:
        return {}
    return {"retry-after": value if isinstance(value, str) else f"{value:g}"}
