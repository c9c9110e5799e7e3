"""Stream items that name their `type`: what each event of OpenAI and Anthropic carries.

One table of events; what is not in it is an event nobody knows, but for new ones of OpenAI's
Responses API, which are read by the ending of their name. Sources: the event types and the stream
helpers of the SDKs `openai` 3.57 and `anthropic` 2.14.
"""

# Without `from __future__ import annotations`: a named tuple compiles each annotation that is text.

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from fsm_fallback.providers.shapes import Fields, fields_of, has_any

ANTHROPIC: Final = "anthropic"
CHAT: Final = "openai.chat"
RESPONSES: Final = "openai.responses"


class Event(NamedTuple):
    """What an event of one type is.

    Args:
        dialect: Whose terminal event is to be expected after it. None for helper events, which
            only accompany others: their names are words that anybody may use for items of their own.
        carries: Whether one carries output; None for an item that only has the name of the event.
        ends: Whether it is the provider's last.
        fails: Whether it says that the stream failed.
    """

    dialect: str | None
    carries: Callable[[Fields], bool | None]
    ends: bool = False
    fails: bool = False


def event_of(kind: str, fields: Fields) -> Event | None:
    """Find the event of that type; None if nobody knows it."""
    event = _EVENTS.get(kind)
    if event is None and kind.startswith("response.") and fields.get("sequence_number") is not None:
        ending = "." + kind.rpartition(".")[2]
        return _NEW_EVENTS.get(ending, _NEW_EVENT)
    return event


def _nothing(_: Fields) -> bool:
    return False


def _something(_: Fields) -> bool:
    return True


def _filled(name: str, fields: Fields) -> bool:
    return bool(fields.get(name))


def _filled_if_there(name: str, fields: Fields) -> bool | None:
    value = fields.get(name)
    return None if value is None else bool(value)


def _empty_if_there(name: str, fields: Fields) -> bool | None:
    return None if fields.get(name) is None else False


def _filled_inside(name: str, inside: tuple[str, ...], fields: Fields) -> bool:
    return has_any(fields_of(fields.get(name)), inside)


# A block of text or thinking begins empty. What is not shown but only handed back (signatures,
# redacted thinking) is no output; a block nobody knows is.
_BEGINS_WITH: Final[dict[object, str | None]] = {
    "text": "text",
    "thinking": "thinking",
    "compaction": "content",
    "redacted_thinking": None,
    "fallback": None,
}
_GOES_ON_WITH: Final[dict[object, str | None]] = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "citations_delta": "citation",
    "compaction_delta": "content",
    "signature_delta": None,
}
# Not calls: what the model was offered, not what it did.
_SILENT_ITEMS: Final = frozenset({"message", "reasoning", "mcp_list_tools", "additional_tools"})


def _block_of(name: str, held_in: dict[object, str | None], fields: Fields) -> bool | None:
    block = fields_of(fields.get(name))
    kind = block.get("type")
    if not isinstance(kind, str):
        return None
    text = held_in.get(kind, "type")
    return text is not None and bool(block.get(text))


def _item_begins(fields: Fields) -> bool | None:
    kind = fields_of(fields.get("item")).get("type")
    return kind not in _SILENT_ITEMS if isinstance(kind, str) else False


_delta: Final = partial(_filled, "delta")
_part: Final = partial(_filled_inside, "part", ("text", "refusal"))

# fmt: off
# ruff: noqa: E501
_EVENTS: Final[dict[str, Event]] = {
    # Anthropic, on the wire
    "message_start":        Event(ANTHROPIC, _nothing),
    "content_block_start":  Event(ANTHROPIC, partial(_block_of, "content_block", _BEGINS_WITH)),
    "content_block_delta":  Event(ANTHROPIC, partial(_block_of, "delta", _GOES_ON_WITH)),
    "content_block_stop":   Event(ANTHROPIC, _nothing),
    "message_delta":        Event(ANTHROPIC, _nothing),
    "message_stop":         Event(ANTHROPIC, _nothing, ends=True),
    "ping":                 Event(None,      _nothing),
    # Anthropic, beside a delta in `messages.stream()`
    "text":                 Event(None,      partial(_filled_if_there, "text")),
    "input_json":           Event(None,      partial(_filled_if_there, "partial_json")),
    "thinking":             Event(None,      partial(_filled_if_there, "thinking")),
    "citation":             Event(None,      partial(_filled_if_there, "citation")),
    "compaction":           Event(None,      partial(_filled_if_there, "content")),
    "signature":            Event(None,      partial(_empty_if_there, "signature")),
    # OpenAI, beside a chunk in `chat.completions.stream()`
    "content.delta":                        Event(None, partial(_filled_if_there, "delta")),
    "content.done":                         Event(None, partial(_empty_if_there, "content")),
    "refusal.delta":                        Event(None, partial(_filled_if_there, "delta")),
    "refusal.done":                         Event(None, partial(_empty_if_there, "refusal")),
    "tool_calls.function.arguments.delta":  Event(None, _something),  # empty where the call begins
    "tool_calls.function.arguments.done":   Event(None, _nothing),
    "logprobs.content.delta":               Event(None, _nothing),
    "logprobs.content.done":                Event(None, _nothing),
    "logprobs.refusal.delta":               Event(None, _nothing),
    "logprobs.refusal.done":                Event(None, _nothing),
    # OpenAI, Responses; the rest by the ending of the name
    "response.output_text.delta":               Event(RESPONSES, _delta),
    "response.refusal.delta":                   Event(RESPONSES, _delta),
    "response.function_call_arguments.delta":   Event(RESPONSES, _delta),
    "response.custom_tool_call_input.delta":    Event(RESPONSES, _delta),
    "response.mcp_call_arguments.delta":        Event(RESPONSES, _delta),
    "response.code_interpreter_call_code.delta": Event(RESPONSES, _delta),
    "response.reasoning_text.delta":            Event(RESPONSES, _delta),
    "response.reasoning_summary_text.delta":    Event(RESPONSES, _delta),
    "response.audio.delta":                     Event(RESPONSES, _delta),
    "response.audio.transcript.delta":          Event(RESPONSES, _delta),
    "response.shell_call_command.added":        Event(RESPONSES, partial(_filled, "command")),
    "response.shell_call_command.delta":        Event(RESPONSES, _delta),
    "response.shell_call_output_content.delta": Event(RESPONSES, partial(_filled_inside, "delta", ("stdout", "stderr"))),
    "response.output_item.added":               Event(RESPONSES, _item_begins),
    "response.content_part.added":              Event(RESPONSES, _part),
    "response.reasoning_summary_part.added":    Event(RESPONSES, _part),
    "response.output_text.annotation.added":    Event(RESPONSES, partial(_filled, "annotation")),
    "response.image_generation_call.partial_image": Event(RESPONSES, partial(_filled, "partial_image_b64")),
    "response.output_text.done":                Event(RESPONSES, _nothing),
    "response.output_item.done":                Event(RESPONSES, _nothing),
    "response.content_part.done":               Event(RESPONSES, _nothing),
    "response.created":                         Event(RESPONSES, _nothing),
    "response.queued":                          Event(RESPONSES, _nothing),
    "response.in_progress":                     Event(RESPONSES, _nothing),
    "response.completed":                       Event(RESPONSES, _nothing, ends=True),
    "response.incomplete":                      Event(RESPONSES, _nothing, ends=True),
    "response.failed":                          Event(RESPONSES, _nothing, fails=True),
    # Either; the shape tells which
    "error":                                    Event(None,      _nothing, fails=True),
}
_NEW_EVENTS: Final[dict[str, Event]] = {
    ".delta": Event(RESPONSES, _delta),
}
_NEW_EVENT: Final = Event(RESPONSES, _nothing)
# fmt: on
