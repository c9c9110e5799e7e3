"""Stream items that name no `type`: chunks of chat completions, Gemini, Ollama and Bedrock.

What tells them apart is the one field that holds the answer. Sources: `ChatCompletionChunk` of the
SDK `openai` 3.57, and the public API references of the others. Servers that speak OpenAI's dialect
add fields of their own to its delta, for reasoning above all; those in use are in `_ADDED`.
"""

# Without `from __future__ import annotations`: a named tuple compiles each annotation that is text.

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from fsm_fallback.providers.shapes import Fields, extras_of, fields_of, has_any
from fsm_fallback.providers.stream_events import CHAT

GEMINI: Final = "gemini"
OLLAMA: Final = "ollama"
BEDROCK: Final = "bedrock"

_MOST: Final = 128
_ADDED: Final = ("reasoning_content", "reasoning", "thinking", "images", "annotations")
_SPOKEN: Final = ("content", "tool_calls", "refusal", "function_call", *_ADDED)
_AUDIBLE: Final = ("data", "transcript")
_PARTS: Final = (
    *("text", "function_call", "functionCall", "inline_data", "inlineData", "executable_code"),
    *("executableCode", "code_execution_result", "codeExecutionResult", "file_data", "fileData"),
)
_FINISH: Final = ("finish_reason", "finishReason")
_FEEDBACK: Final = ("prompt_feedback", "promptFeedback")
_BLOCKED: Final = ("block_reason", "blockReason")


class Chunk(NamedTuple):
    """What a chunk is: whether it carries output or ends the stream, and the error it tells."""

    dialect: str | None
    carries: bool
    ends: bool
    error: object = None


_SAYS: Final = Chunk(CHAT, carries=True, ends=False)
_SILENT: Final = Chunk(CHAT, carries=False, ends=False)
_ENDS: Final = Chunk(CHAT, carries=False, ends=True)
_SAYS_AND_ENDS: Final = Chunk(CHAT, carries=True, ends=True)


def chunk_of(item: object, fields: Fields) -> Chunk | None:
    """Find out what an item without a type is; None if nobody knows it."""
    if type(choices := fields.get("choices")) is list:
        return _chat_chunk(item, fields, choices)
    if fields.get("object") == "error":  # vLLM: an error without `error`, which the SDK hands on
        return _failed(CHAT, item)
    for name, read in _HOLDERS.items():
        if (held := fields.get(name)) is not None and (chunk := read(held, fields)) is not None:
            return chunk
    if fields.get("object") == "chat.completion.chunk":
        return _SILENT
    return _bare_error(item) or _bedrock_event(item)


def _chat_chunk(item: object, fields: Fields, choices: list[object]) -> Chunk:
    if fields.get("error"):
        return _failed(CHAT, item)
    says = ends = False
    for choice in choices if len(choices) <= _MOST else choices[:_MOST]:
        told = fields_of(choice)
        if not says:
            says = _says(told)
        if reason := told.get("finish_reason"):  # some servers write "" until the last
            if reason == "error":
                return _failed(CHAT, item)
            ends = True
    if ends:
        return _SAYS_AND_ENDS if says else _ENDS
    return _SAYS if says else _SILENT


def _says(choice: Fields) -> bool:
    """Tell whether a choice speaks; `message` is in a whole completion, `text` in the old API."""
    delta = choice.get("delta")
    if delta is None and (delta := choice.get("message")) is None:
        return bool(choice.get("text"))
    fields = fields_of(delta)
    if fields.get("content") or has_any(fields, _SPOKEN):
        return True
    if (audio := fields.get("audio")) is not None:  # the last one tells only when it expires
        return has_any(fields_of(audio), _AUDIBLE)
    return has_any(extras_of(delta), _SPOKEN)


def _wrapped(data: object, _: Fields) -> Chunk | None:
    """Read Mistral's events: a chat chunk in `data`."""
    fields = fields_of(data)
    choices = fields.get("choices")
    return _chat_chunk(data, fields, choices) if type(choices) is list else None


def _gemini(candidates: object, _: Fields) -> Chunk | None:
    says = ends = False
    for candidate in _members(candidates):
        told = fields_of(candidate)
        parts = _members(fields_of(told.get("content")).get("parts"))
        says = says or any(has_any(fields_of(part), _PARTS) for part in parts)
        ends = ends or has_any(told, _FINISH)
    return Chunk(GEMINI, says, ends) if isinstance(candidates, (list, tuple)) else None


def _gemini_refusal(feedback: object, _: Fields) -> Chunk | None:
    blocked = has_any(fields_of(feedback), _BLOCKED)
    return _failed(GEMINI, feedback) if blocked else None


def _ollama(done: object, fields: Fields) -> Chunk | None:
    message, response = fields.get("message"), fields.get("response")
    if not isinstance(done, bool) or (message is None and not isinstance(response, str)):
        return None
    said = bool(response) if message is None else has_any(fields_of(message), _SPOKEN)
    return Chunk(OLLAMA, said or bool(fields.get("thinking")), done)


_HOLDERS: Final[dict[str, Callable[[object, Fields], Chunk | None]]] = {
    "data": _wrapped,
    "candidates": _gemini,
    **dict.fromkeys(_FEEDBACK, _gemini_refusal),
    "done": _ollama,
}


def _bare_error(item: object) -> Chunk | None:
    """Read what is nothing but an error, or an error that calls itself one."""
    if not isinstance(item, Mapping) or not (error := item.get("error")):
        return None
    named = isinstance(error, Mapping) and not {"message", "code", "type"}.isdisjoint(error)
    return _failed(None, item) if named or len(item) == 1 else None


# Of Amazon Bedrock's ConverseStream: each event is a mapping with one key.
_BEDROCK_SILENT: Final = frozenset({"messageStart", "contentBlockStop", "metadata"})


def _bedrock_event(item: object) -> Chunk | None:
    if type(item) is not dict or len(item) != 1:
        return None
    ((name, held),) = item.items()
    if name == "contentBlockDelta":
        delta = fields_of(fields_of(held).get("delta"))
        reasoning = fields_of(delta.get("reasoningContent")).get("text")
        used = fields_of(delta.get("toolUse")).get("input")
        said = has_any(delta, ("text", "citation", "image")) or bool(reasoning) or bool(used)
        return Chunk(BEDROCK, said, ends=False)
    if name == "contentBlockStart":
        return Chunk(BEDROCK, bool(fields_of(held).get("start")), ends=False)
    if name in _BEDROCK_SILENT and isinstance(held, Mapping):
        return Chunk(BEDROCK, carries=False, ends=False)
    if name == "messageStop":
        return Chunk(BEDROCK, carries=False, ends=True)
    if isinstance(name, str) and name.endswith("Exception") and isinstance(held, Mapping):
        return _failed(BEDROCK, {"code": name, "message": held.get("message")})
    return None


def _failed(dialect: str | None, error: object) -> Chunk:
    return Chunk(dialect, carries=False, ends=False, error=error)


def _members(values: object) -> Iterable[object]:
    return islice(values, _MOST) if isinstance(values, Sequence) else ()
