"""Streams as providers write them, and the forms in which users meet their items."""

from types import SimpleNamespace

import anthropic.types
import anthropic.types.beta
import openai.types.chat
import openai.types.responses
import pydantic


def chat(delta=None, *, finish=None, choices=None, **more):
    """Write a chunk of a chat completion."""
    if choices is None:
        choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1-mini",
        "choices": choices,
        **more,
    }


def responses(kind, **fields):
    """Write an event of the Responses API."""
    return {"type": kind, "sequence_number": 1, **fields}


def in_item(kind, **fields):
    """Write an event about a part of an output item."""
    return responses(kind, item_id="item_1", output_index=0, content_index=0, **fields)


def response(status, **fields):
    """Write the response that a lifecycle event tells whole."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1.0,
        "model": "gpt-4.1-mini-2025-04-14",
        "status": status,
        "output": [],
        "instructions": "Mention the rate limit of an invalid API key.",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **fields,
    }


def anthropic_block(kind, **fields):
    """Write the beginning of a content block."""
    return {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": kind, **fields},
    }


def anthropic_delta(kind, **fields):
    """Write what comes after the beginning of a content block."""
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}}


def message(**fields):
    """Write a whole message of Anthropic, as far as a stream begins with it."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 1},
        **fields,
    }


def message_ends(reason="end_turn", **usage):
    """Write the event that tells why a message of Anthropic stopped, and what it took."""
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 15, **usage},
    }


_ADAPTERS = {
    "openai.chat": pydantic.TypeAdapter(openai.types.chat.ChatCompletionChunk),
    "openai.responses": pydantic.TypeAdapter(openai.types.responses.ResponseStreamEvent),
    "anthropic": pydantic.TypeAdapter(anthropic.types.RawMessageStreamEvent),
    "anthropic beta": pydantic.TypeAdapter(anthropic.types.beta.BetaRawMessageStreamEvent),
}


def as_sdk_object(item, dialect):
    """Make the object that the provider's SDK makes of an item."""
    return _ADAPTERS[dialect].validate_python(item)


def as_namespace(item):
    """Make a plain object of JSON."""
    if isinstance(item, dict):
        return SimpleNamespace(**{key: as_namespace(value) for key, value in item.items()})
    return [as_namespace(each) for each in item] if isinstance(item, list) else item


def as_slots(item):
    """Make an object that keeps its fields in slots."""
    if isinstance(item, list):
        return [as_slots(each) for each in item]
    if not isinstance(item, dict):
        return item
    made = type("Slotted", (), {"__slots__": tuple(item)})()
    for key, value in item.items():
        setattr(made, key, as_slots(value))
    return made


def as_class_defaults(item):
    """Make an object whose class has the fields."""
    if isinstance(item, list):
        return [as_class_defaults(each) for each in item]
    if not isinstance(item, dict):
        return item
    return type("Fixed", (), {key: as_class_defaults(value) for key, value in item.items()})()
