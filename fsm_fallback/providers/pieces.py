"""What one item of a provider's stream is: output, the end, a failure, or none of them.

A stream is committed by its first output, complete by its terminal event, and some streams say in
an ordinary item that they failed. Items are read by duck typing: SDK objects, parsed JSON, plain
namespaces. What nobody knows is taken for output: better shown too early than held back for ever.
"""

# Without `from __future__ import annotations`: a named tuple compiles each annotation that is text.

from collections.abc import Mapping
from typing import Final, NamedTuple

from fsm_fallback.core.outcome import Fault
from fsm_fallback.providers.faults import classify_response
from fsm_fallback.providers.shapes import Fields, fields_of, plain
from fsm_fallback.providers.stream_chunks import Chunk, chunk_of
from fsm_fallback.providers.stream_events import ANTHROPIC, RESPONSES, Event, event_of


class Piece(NamedTuple):
    """What an item of a stream is.

    Args:
        output: Whether it carries what a consumer shows or acts on: text, reasoning, a refusal, a
            tool call or its arguments, audio, an image, a citation. Never with a fault.
        ends: Whether it is the provider's terminal event. Others may follow, such as the usage of
            a chat completion. Never with a fault.
        dialect: Whose terminal event is to be expected after it: "openai.chat",
            "openai.responses", "anthropic", "gemini", "ollama", "bedrock". None for an item nobody
            knows, a ping, and the events that SDK helpers add beside the provider's own.
        fault: Why the stream failed, from an item that says so.
    """

    output: bool
    ends: bool
    dialect: str | None
    fault: Fault | None


_SAID: Final = Piece(output=True, ends=False, dialect=None, fault=None)
_UNSAID: Final = Piece(output=False, ends=False, dialect=None, fault=None)
_PIECES: Final[dict[tuple[str | None, bool, bool], Piece]] = {}
"""The pieces there are, faults aside: few, so that reading an item makes no object."""


def piece_of(item: object) -> Piece:
    """Say what an item of a stream is.

    Args:
        item: Anything a stream yields: an SDK's event or chunk, a mapping, an object, text, bytes.

    Returns:
        The piece. Text is output unless empty, None is not, anything unknown is. Never raises.
        Thread-safe.
    """
    try:
        if item is None or isinstance(item, (str, bytes, bytearray)):
            return _SAID if item else _UNSAID
        fields = fields_of(item)
        if isinstance(kind := fields.get("type"), str) and (event := event_of(kind, fields)):
            return _of_event(event, item, fields)
        if kind == "chunk" and (inner := fields.get("chunk")) is not None:  # OpenAI's stream helper
            item, fields = inner, fields_of(inner)
        chunk = chunk_of(item, fields)
        if chunk is None and (native := fields.get("native")) is not None:
            return piece_of(native)  # a piece of the chat profile is what it was made of
        return _of_chunk(chunk)
    except Exception:  # noqa: BLE001  # an item with hostile fields is not understood
        return _SAID


def _of_event(event: Event, item: object, fields: Fields) -> Piece:
    if event.fails:
        return _failed(event.dialect or _teller(fields), _told_by(item, fields))
    carries = event.carries(fields)
    return _SAID if carries is None else _piece(event.dialect, carries, event.ends)


def _of_chunk(chunk: Chunk | None) -> Piece:
    if chunk is None:
        return _SAID
    if chunk.error is not None:
        return _failed(chunk.dialect, chunk.error)
    return _piece(chunk.dialect, chunk.carries, chunk.ends)


def _piece(dialect: str | None, output: bool, ends: bool) -> Piece:  # noqa: FBT001  # a field each
    key = (dialect, output, ends)
    if (piece := _PIECES.get(key)) is None:
        piece = _PIECES[key] = Piece(output, ends, dialect, None)
    return piece


def _failed(dialect: str | None, error: object) -> Piece:
    body = plain(error)
    status = body.get("status") if isinstance(body, Mapping) else None
    fault = classify_response(
        status=status if type(status) is int else None, headers=None, body=body
    )
    return Piece(output=False, ends=False, dialect=dialect, fault=fault)


def _told_by(item: object, fields: Fields) -> object:
    """Find the error; a failed response tells the whole request, too."""
    response = fields.get("response")
    return item if response is None else {"error": plain(fields_of(response).get("error"))}


def _teller(fields: Fields) -> str | None:
    """Tell whose `error` event it is: Anthropic's holds an error, OpenAI's is one or counted."""
    if fields.get("sequence_number") is not None or isinstance(fields.get("message"), str):
        return RESPONSES
    return ANTHROPIC if fields.get("error") is not None else None
