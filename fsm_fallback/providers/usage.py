"""What an answer says of itself: the tokens it took, and the model that gave it.

Read by duck typing from a plain answer or one item of a stream. Providers count alike but do not
add alike: in OpenAI's, Gemini's and Ollama's numbers the input holds what came from a cache, in
Anthropic's and Bedrock's it does not. Here it does. Sources: the usage types of the SDKs `openai`
3.57 and `anthropic` 2.14, and the public API references of the others.
"""

# Without `from __future__ import annotations`: a named tuple compiles each annotation that is text.

from typing import Final, NamedTuple, Self

import attrs

from fsm_fallback.providers.shapes import Fields, fields_of


@attrs.frozen
class Usage:
    """Tokens of one call.

    Args:
        input_tokens: Tokens that went in, cached ones included; None if not told.
        output_tokens: Tokens that came out, reasoning included; None if not told. Of a stream that
            goes on, those so far.
        cached_tokens: How many of the input were read from a cache; None if not told.
    """

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None = attrs.field(default=None, kw_only=True)

    def merged(self, other: Self) -> "Usage":
        """Take what a later item tells; what it does not tell stays."""
        return Usage(
            _later(self.input_tokens, other.input_tokens),
            _later(self.output_tokens, other.output_tokens),
            cached_tokens=_later(self.cached_tokens, other.cached_tokens),
        )


class _Counts(NamedTuple):
    """How a provider counts: what adds up to the input and the output, where the cached are.

    The first name of a sum must be there, the others may; of the places of the cached, the first
    that is told. A dot leads into details.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    cached: tuple[str, ...]


# fmt: off
_COUNTS: Final = (
    _Counts(("prompt_tokens",),                                     # chat completions, Mistral
            ("completion_tokens",),
            ("prompt_tokens_details.cached_tokens",)),
    _Counts(("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
            ("output_tokens",),                                     # Responses and Anthropic
            ("cache_read_input_tokens", "input_tokens_details.cached_tokens")),
    _Counts(("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),       # Bedrock
            ("outputTokens",),
            ("cacheReadInputTokens",)),
    _Counts(("prompt_token_count", "tool_use_prompt_token_count"),  # Gemini
            ("candidates_token_count", "thoughts_token_count"),
            ("cached_content_token_count",)),
    _Counts(("promptTokenCount", "toolUsePromptTokenCount"),
            ("candidatesTokenCount", "thoughtsTokenCount"),
            ("cachedContentTokenCount",)),
    _Counts(("prompt_eval_count",),                                 # Ollama
            ("eval_count",),
            ()),
)
# fmt: on
_TOLD_IN: Final = ("usage", "usage_metadata", "usageMetadata")
_WRAPPED_IN: Final = ("response", "message", "chunk", "data", "metadata")
_NAMED_IN: Final = ("model", "model_version", "modelVersion")


def usage_of(answer: object) -> Usage | None:
    """Read what an answer, or one item of a stream, tells of tokens.

    A stream may tell in several items; `Usage.merged` puts them together in their order.

    Args:
        answer: Anything a provider answers: an SDK's object, a mapping, an object, text.

    Returns:
        The usage; None if nothing is told. Never raises. Thread-safe.
    """
    try:
        if answer is None or isinstance(answer, (str, bytes, bytearray)):
            return None
        fields = fields_of(answer)
        if (usage := _told(fields)) is not None:
            return usage
        for name in _WRAPPED_IN:
            if (inner := fields.get(name)) is not None:
                if (usage := _told(fields_of(inner))) is not None:
                    return usage
        if (native := fields.get("native")) is not None:  # a piece of the chat profile
            return usage_of(native)
        return None if fields.get("done") is None else _counted(fields)
    except Exception:  # noqa: BLE001  # an answer with hostile fields tells nothing
        return None


def model_of(answer: object) -> str | None:
    """Read which model an answer, or one item of a stream, says it is of.

    Args:
        answer: As for `usage_of`.

    Returns:
        The name as the provider writes it; None if none is told. Never raises. Thread-safe.
    """
    try:
        if answer is None or isinstance(answer, (str, bytes, bytearray)):
            return None
        fields = fields_of(answer)
        if (model := _named(fields)) is not None:
            return model
        for name in _WRAPPED_IN:
            if (inner := fields.get(name)) is not None:
                if (model := _named(fields_of(inner))) is not None:
                    return model
    except Exception:  # noqa: BLE001  # as in `usage_of`
        return None
    return None


def _told(fields: Fields) -> Usage | None:
    for name in _TOLD_IN:
        if (counts := fields.get(name)) is not None:
            return counts if isinstance(counts, Usage) else _counted(fields_of(counts))
    return None


def _named(fields: Fields) -> str | None:
    for name in _NAMED_IN:
        if isinstance(model := fields.get(name), str) and model:
            return model
    return None


def _counted(fields: Fields) -> Usage | None:
    for names in _COUNTS:
        inputs, outputs = _sum(fields, names.inputs), _sum(fields, names.outputs)
        if inputs is not None or outputs is not None:
            cached = (_count(_reach(fields, path)) for path in names.cached)
            told = next((number for number in cached if number is not None), None)
            return Usage(inputs, outputs, cached_tokens=told)
    return None


def _sum(fields: Fields, names: tuple[str, ...]) -> int | None:
    first, *others = (_count(fields.get(name)) for name in names)
    return None if first is None else first + sum(number or 0 for number in others)


def _reach(fields: Fields, path: str) -> object:
    outer, dot, inner = path.partition(".")
    return fields_of(fields.get(outer)).get(inner) if dot else fields.get(outer)


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _later(earlier: int | None, later: int | None) -> int | None:
    return earlier if later is None else later
