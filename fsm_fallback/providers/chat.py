"""The neutral chat profile: one request and one answer for every provider that has an adapter.

For configuration files, command lines and whoever needs no more than text and images. What it has
no word for goes to a provider as it is (`ChatRequest.extra`) and comes back as it is (`native`).
It knows nothing of SDKs and of HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from fsm_fallback.core.bounds import COUNT, Bound, bound_problems, one_of, refuse_problems, shown
from fsm_fallback.core.strategies import CallOptions
from fsm_fallback.errors import AnswerRejected, ConfigurationError
from fsm_fallback.providers.shapes import extras_of, fields_of, plain
from fsm_fallback.providers.usage import Usage

Role: TypeAlias = Literal["user", "assistant"]
Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "other"]
"""Why an answer ended: it was done, the token limit, tools are to be called, a filter or a refusal
by the model, anything else."""

VISION: Final = "vision"
"""The need of a request with an image."""

_WEB: Final = ("http://", "https://")
_TOKENS_PER_MESSAGE: Final = 4
_TOKENS_PER_IMAGE: Final = 1600
_BYTES_PER_TOKEN: Final = 4


def _measured(text: object) -> str:
    """A text by its length: prompts and answers are in no message, log line or `repr`."""
    return f"<{len(text)} characters>" if isinstance(text, str) else shown(text)


def _counted(parts: object) -> str:
    return f"<{len(parts)} parts>" if isinstance(parts, tuple) else _measured(parts)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@attrs.frozen(kw_only=True)
class Image:
    """An image in a message: by its address, or its content.

    Args:
        url: Where it is, http or https; None where `data` is given.
        data: Its content in base64; None where `url` is given.
        media_type: The content's type, such as "image/png"; given with `data` only.

    Raises:
        ConfigurationError: If it is neither or both, or `data` has no media type.
    """

    url: str | None = attrs.field(default=None, repr=_measured)
    data: str | None = attrs.field(default=None, repr=_measured)
    media_type: str | None = None

    def __attrs_post_init__(self) -> None:
        refuse_problems(self._problems())

    def _problems(self) -> Iterator[str]:
        if (self.url is None) == (self.data is None):
            given = "neither" if self.url is None else "both"
            yield f"Image has {given} of url and data; give one of them"
        if self.url is not None and not _is_text(self.url, _WEB):
            yield f"Image.url is {_measured(self.url)}; give an http or https address, or data"
        if self.data is not None and not (_is_text(self.data) and self.data.isascii()):
            yield f"Image.data is {_measured(self.data)}; give base64 text"
        if (self.data is None) != (self.media_type is None) or (
            self.media_type is not None and not _is_text(self.media_type, ("image/",))
        ):
            wanted = "the type of data, such as 'image/png'" if self.data is not None else "None"
            yield f"Image.media_type is {shown(self.media_type)}; give {wanted}"


Content: TypeAlias = str | tuple[str | Image, ...]
"""What a message says: text, or parts of text and images."""


@attrs.frozen
class ChatMessage:
    """One message of a conversation.

    Args:
        role: Who says it: "user" or "assistant". What the model is told beforehand is
            `ChatRequest.system`; results of tools go through `ChatRequest.extra`.
        content: Text, or a tuple of texts and images; never empty.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """

    role: Role = attrs.field(metadata={"bound": one_of("user", "assistant")})
    content: Content = attrs.field(repr=_counted, converter=_tupled)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from bound_problems(self)
        content: object = self.content
        if not isinstance(content, (str, tuple)) or not content:
            given = "empty" if content in ("", ()) else shown(content)
            yield f"ChatMessage.content is {given}; give text, or a tuple of texts and images"
            return
        for place, part in enumerate(self.parts):
            if not isinstance(part, Image) and not _is_text(part):
                given = "empty" if part == "" else shown(part)
                yield f"ChatMessage.content[{place}] is {given}; give text or an Image"

    @property
    def parts(self) -> tuple[str | Image, ...]:
        """The content, part by part."""
        return (self.content,) if isinstance(self.content, str) else self.content


def _as_messages(value: Any) -> Any:
    return (ChatMessage("user", value),) if isinstance(value, str) else _tupled(value)


def _as_needs(value: Any) -> Any:
    return frozenset(value) if _is_texts(value) else value


def _is_text(value: object, begins: str | tuple[str, ...] = "") -> bool:
    return isinstance(value, str) and bool(value) and value.startswith(begins)


def _is_texts(value: object) -> bool:
    return isinstance(value, (frozenset, set, tuple, list)) and all(map(_is_text, value))


def _extra_problems(extra: object) -> Iterator[str]:
    """What is wrong with keywords by provider; no value is shown, for it may be a key."""
    if not isinstance(extra, Mapping):
        yield f"ChatRequest.extra is {_measured(extra)}; give mappings of SDK keywords by provider"
        return
    for name, native in extra.items():
        where = f"ChatRequest.extra[{shown(name)}]"
        if not _is_text(name):
            yield f"{where} is for no name; give the name of a provider"
        if not isinstance(native, Mapping):
            yield f"{where} is {_measured(native)}; give a mapping of SDK keywords"
            continue
        for key in native:
            if not _is_text(key):
                yield f"{where} has the key {shown(key)}; give the keyword of the SDK, a string"


_TEXT: Final = Bound(lambda v: isinstance(v, str), "text").or_none()
_NEEDS: Final = Bound(_is_texts, "a set of non-empty strings")


@attrs.frozen(kw_only=True)
class ChatRequest:
    """What is asked of a model, whoever it is.

    Args:
        messages: The conversation, the latest last; a list is taken, too, and text for one message
            of the user.
        system: What the model is told beforehand; None for nothing.
        max_output_tokens: How many tokens the answer may have; None for what the provider was made
            with.
        needs: What a model must be able to do beyond what can be seen here, such as "tools" or
            "json_schema".
        extra: By the name of a provider, keywords for the call of its SDK. They go to that
            provider only, as they are, and win over what is made of the other fields. Under a name
            that no provider has they go to nobody. Kept as given, not copied.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """

    messages: tuple[ChatMessage, ...] = attrs.field(converter=_as_messages)
    system: str | None = attrs.field(default=None, repr=_measured, metadata={"bound": _TEXT})
    max_output_tokens: int | None = attrs.field(default=None, metadata={"bound": COUNT.or_none()})
    needs: frozenset[str] = attrs.field(
        default=frozenset(), converter=_as_needs, metadata={"bound": _NEEDS}
    )
    extra: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self._problems())

    def _problems(self) -> Iterator[str]:
        messages: object = self.messages
        if not isinstance(messages, tuple) or not messages:
            given = "empty" if messages == () else shown(messages)
            yield f"ChatRequest.messages is {given}; give at least one ChatMessage"
        else:
            for place, each in enumerate(messages):
                if not isinstance(each, ChatMessage):
                    where = f"ChatRequest.messages[{place}]"
                    yield f"{where} is {_measured(each)}; give a ChatMessage"
        yield from bound_problems(self)
        yield from _extra_problems(self.extra)

    @property
    def images(self) -> int:
        """How many images are in it."""
        return sum(isinstance(part, Image) for each in self.messages for part in each.parts)


def request_of(request: ChatRequest | str) -> ChatRequest:
    """The request; of text, one with that as the user's only message.

    Raises:
        ConfigurationError: If it is neither.
    """
    given: object = request
    if isinstance(given, ChatRequest):
        return given
    if not isinstance(given, str) or not given:
        told = "empty" if given == "" else shown(given)
        raise ConfigurationError(f"request is {told}; give text or a ChatRequest")
    return ChatRequest(messages=(ChatMessage("user", given),))


@attrs.frozen(kw_only=True)
class ChatReply:
    """What a model answered. Its `repr` says how long the text is, not what is in it.

    Args:
        text: What it said; of a refusal, that. Empty where it only calls tools.
        usage: The tokens of the call; None if not told.
        model: Which model it says it is; the one asked for, if it does not say.
        provider: The name of the provider.
        finish: Why it ended; None only in a piece.
        native: The SDK's own object, with all that has no place here: tool calls, reasoning, ids.
    """

    text: str = attrs.field(repr=_measured)
    usage: Usage | None
    model: str | None
    provider: str
    finish: Finish | None
    native: Any = attrs.field(repr=False, eq=False)


# A kind of reply, for type checkers: a chain is generic in one answer, whole or streamed.
@attrs.frozen(kw_only=True)
class ChatPiece(ChatReply):
    """One item of a streamed answer, for each item of the provider's own stream.

    Not all have text: some begin the stream, some call tools, some only keep it alive. The fields
    are those of `ChatReply`: `text` is what the item adds, `native` the SDK's item. `finish` is
    None until the provider has said why the answer ended, `usage` as long; items that follow say
    both again, so that the last has all that was told.
    """


class UnusableReply(AnswerRejected):
    """A success by its status that holds no answer: an error, or nothing at all.

    Args:
        provider: Who gave it.
        answer: The SDK's own object; lost when pickled.
        why: What it lacks.
        body: The error it told instead, as JSON; None if it told none. Lost when pickled.
    """

    def __init__(
        self, provider: str, answer: object = None, why: str = "", body: object = None
    ) -> None:
        super().__init__(provider, answer, why)
        self.body = body  # read by the fault table, as that of an SDK's error


def unusable(provider: str, native: object) -> UnusableReply:
    """The error for an SDK's answer in which no answer was found."""
    fields = fields_of(native)
    error = fields.get("error") or extras_of(native).get("error")
    if error or fields.get("object") == "error":  # the latter is vLLM's
        body = {"error": plain(error)} if error else plain(native)
        return UnusableReply(provider, native, "it is an error under a status of success", body)
    return UnusableReply(provider, native, "it has neither text nor a call of a tool")


def describe_chat(request: ChatRequest | str, **_: object) -> CallOptions:
    """Say what a strategy should know of a request: its sizes and its needs.

    Tokens are not counted but estimated: four bytes of UTF-8 to a token, which is four letters of
    English, two of Greek or Cyrillic, one and a third of Chinese or Japanese; four more for each
    message, 1,600 for each image. Against OpenAI's o200k that is right within a fifth for prose in
    English, Chinese and Japanese and for code, a fifth low for JSON, half for numbers, and twice
    too high for Cyrillic, Arabic and Hindi; `docs/chat.md` has the table and the sources.
    What is in `extra` is not counted.

    Args:
        request: The request, or the text of one.
        _: Other arguments of the call; not looked at.

    Returns:
        `input_tokens`; `output_tokens` if the request limits them; `needs`: those of the request,
        and "vision" if there is an image. Pure; takes about as long as encoding the text.

    Raises:
        ConfigurationError: If it is no request.
    """
    asked = request_of(request)
    texts = [part for each in asked.messages for part in each.parts if isinstance(part, str)]
    if asked.system is not None:
        texts.append(asked.system)
    spoken = len(asked.messages) + (asked.system is not None)
    images = asked.images
    return CallOptions(
        needs=asked.needs | {VISION} if images else asked.needs,
        input_tokens=_tokens_of(texts) + spoken * _TOKENS_PER_MESSAGE + images * _TOKENS_PER_IMAGE,
        output_tokens=asked.max_output_tokens,
    )


def _tokens_of(texts: Iterable[str]) -> int:
    """Tokens of texts, rounded up; the tokenizers in use merge bytes of UTF-8."""
    return -(-sum(map(_bytes_of, texts)) // _BYTES_PER_TOKEN)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
