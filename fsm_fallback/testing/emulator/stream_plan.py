"""The events of a stream and of its faults, in their order, as the parts of a plan.

Pure, as `plan.py` is. What the events look like is asked of the endpoint's `Streaming`; which come,
and what comes between them, is decided here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import attrs

from fsm_fallback.testing.emulator.asked import signature
from fsm_fallback.testing.emulator.dialect import Event, Streaming
from fsm_fallback.testing.emulator.faults import Reply
from fsm_fallback.testing.emulator.parts import Begin, Break, Chunk, End, Hold, Part, Pause
from fsm_fallback.testing.emulator.stream_faults import (
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

if TYPE_CHECKING:
    from fsm_fallback.testing.emulator.asked import Asked
    from fsm_fallback.testing.emulator.dialect import AnswerFacts

EVENTS_TYPE: Final = "text/event-stream; charset=utf-8"
_BETWEEN_WORDS: Final = re.compile(r"(?<=\S)(?=\s)")
_NO_JSON: Final = '{"emulated": '


@attrs.frozen
class _Piece:
    """An event that carries a piece of the output."""

    event: Event


_Item: TypeAlias = Event | _Piece | Pause | Hold | Break


def plan_stream(step: Reply | StreamFault, asked: Asked) -> tuple[Part, ...]:
    """Say what is sent, and when, to a request that asked for a stream."""
    headers = {"content-type": EVENTS_TYPE, "cache-control": "no-cache"}
    parts: list[Part] = [Begin(200, headers | signature(asked.dialect, asked.request_id))]
    number = 0  # of the event
    for item in _items(step, asked):
        match item:
            case Pause() | Hold() | Break():
                parts.append(item)
                continue
            case _Piece(event):
                is_piece = True
            case Event() as event:
                is_piece = False
            case _:
                assert_never(item)
        content = frame(event, number, asked.endpoint.streaming)
        parts.append(Chunk(content, is_piece=is_piece))
        number += 1
    if not isinstance(parts[-1], Break):
        parts.append(End())
    return tuple(parts)


def frame(event: Event, number: int, streaming: Streaming) -> bytes:
    """Return an event as bytes; `number` counts the events of the stream from 0."""
    data = event.data
    if not isinstance(data, str):
        data = json.dumps(data | {"sequence_number": number} if streaming.is_numbered else data)
    name = "" if event.name is None else f"event: {event.name}\n"
    return f"{name}data: {data}\n\n".encode()


def pieces_of(text: str) -> tuple[str, ...]:
    """Cut a text into words, each with the space before it; joined, they are the text."""
    return tuple(piece for piece in _BETWEEN_WORDS.split(text) if piece)


def facts_of(step: Reply | StreamFault, asked: Asked) -> AnswerFacts:
    """Return what the answer is made of, as it is or would have been but for the fault."""
    if isinstance(step, EmptyStream):
        return asked.facts("", has_output=False)
    text = asked.text if step.text is None else step.text
    if isinstance(step, Filtered):
        text = "".join(pieces_of(text)[: step.after])
        return asked.facts(text, is_filtered=True)
    return asked.facts(text)


def _items(step: Reply | StreamFault, asked: Asked) -> tuple[_Item, ...]:
    streaming = asked.endpoint.streaming
    facts = facts_of(step, asked)
    if isinstance(step, EmptyStream):
        lifecycle = (*streaming.begin(facts), *streaming.end(facts), *streaming.last)
        return lifecycle if step.lifecycle else ()
    pieces = [_Piece(streaming.piece(facts, text)) for text in pieces_of(facts.text)]
    after = None if isinstance(step, Reply | NoDone) else step.after
    split_at = len(pieces) if after is None else after
    return (
        *streaming.begin(facts),
        *streaming.open(facts),
        *pieces[:split_at],
        *_go_on(step, asked, facts, pieces[split_at:]),
    )


def _go_on(
    step: Reply | StreamError | StreamCut | Stall | MalformedChunk | NoEnd | NoDone | Filtered,
    asked: Asked,
    facts: AnswerFacts,
    rest: list[_Piece],
) -> tuple[_Item, ...]:
    """Say what follows on the pieces before the fault; `rest` are those that were to come."""
    streaming = asked.endpoint.streaming
    ending = (*streaming.close(facts), *streaming.end(facts))
    match step:
        case Reply() | Filtered():
            return (*ending, *streaming.last)
        case NoDone():
            return ending
        case NoEnd():
            return ()
        case StreamCut():
            return (Break(),)
        case Stall(seconds=seconds):
            wait = Hold() if seconds is None else Pause(seconds)
            return (wait, *rest, *ending, *streaming.last)
        case MalformedChunk():
            return (Event(streaming.piece(facts, "").name, _NO_JSON),)
        case StreamError(error=error, failed=failed):
            words = asked.dialect.words_for(error).about(asked.model)
            if failed and streaming.failed is not None:
                return (streaming.failed(facts, words),)
            return (streaming.error(asked.dialect.error_body(words, asked.request_id)),)
        case _:
            assert_never(step)
