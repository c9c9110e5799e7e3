"""The chat profile over OpenAI's chat completions, at OpenAI or any server that speaks them.

Source of the dialect: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fsm_fallback.providers.chat import ChatMessage, ChatRequest, Finish, Image
from fsm_fallback.providers.chat_clients import Sdk
from fsm_fallback.providers.chat_provider import ChatProvider, Dialect, Said, finish_of
from fsm_fallback.providers.shapes import NO_FIELDS, Fields, fields_of, has_any

_FINISH: Final[dict[str, Finish]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_ACTS: Final = ("tool_calls", "function_call", "audio")
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
# OpenAI's newer models refuse `max_tokens`; many servers that speak its dialect know no other.
_KNOW_THE_NEW_LIMIT: Final = ("api.openai.com", ".openai.azure.com")


class OpenAIChat(ChatProvider):
    """Chat completions of OpenAI, or of any server that speaks them, as a provider.

    It takes a `ChatRequest` or text, and answers with a `ChatReply`, or `ChatPiece`s. Usable from
    any thread and any event loop: it has a client of its own for each loop.

    Args:
        name: Unique in its chain; the name in trails, logs and metrics, and in `ChatRequest.extra`.
        model: The model's name.
        base_url: Where the server is; by default what the SDK has: OPENAI_BASE_URL, or OpenAI.
        api_key_env: The NAME of the environment variable that holds the key; None for a server that
            wants none.
        client: An `openai.OpenAI` to use instead of making one; it stays yours to close. Turn its
            retries off. Given one kind of client only, the provider has the ways of that kind; a
            chain that is awaited runs plain calls in threads.
        async_client: An `openai.AsyncOpenAI`, as above; it works in the event loop it was used in
            first, and in no other.
        account: Whose credit and keys it uses.
        capabilities: What the model can do, as strings.
        context_window: Tokens the model takes at most, whole number >= 1.
        price: What the model costs; read by strategies that ask.
        max_output_tokens: How many tokens an answer may have where the request does not say; None
            for the server's own limit.

    Raises:
        ConfigurationError: Naming every argument that cannot work, the variable that is missing, or
            the extra that brings the SDK. Nothing was opened.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        client: Any = None,
        async_client: Any = None,
        account: str | None = None,
        capabilities: Iterable[str] = (),
        context_window: int | None = None,
        price: Any = None,
        max_output_tokens: int | None = None,
    ) -> None:
        super().__init__(
            _COMPLETIONS,
            name,
            model=model,
            base_url=base_url,
            api_key_env=api_key_env,
            client=client,
            async_client=async_client,
            account=account,
            capabilities=capabilities,
            context_window=context_window,
            price=price,
            max_output_tokens=max_output_tokens,
        )


def _create(client: Any) -> Any:
    return client.chat.completions.create


def _written(request: ChatRequest, client: Any, limit: int | None) -> dict[str, Any]:
    messages = [{"role": each.role, "content": _content(each)} for each in request.messages]
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    return (
        {"messages": messages} if limit is None else {"messages": messages, _limit(client): limit}
    )


def _limit(client: Any) -> str:
    host = str(getattr(getattr(client, "base_url", None), "host", ""))
    return _LIMITS[0] if host.endswith(_KNOW_THE_NEW_LIMIT) else _LIMITS[1]


def _content(message: ChatMessage) -> Any:
    if isinstance(message.content, str):
        return message.content
    return [_part(part) for part in message.content]


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _read(native: object) -> Said:
    choice = _first_choice(native)
    message = fields_of(choice.get("message"))
    finish = finish_of(_FINISH, choice.get("finish_reason"))
    return Said(_text(message), finish, has_any(message, _ACTS))


def _read_item(item: object) -> tuple[str, Finish | None]:
    choice = _first_choice(item)
    if choice.get("index"):  # of several answers the first
        return "", None
    reason = choice.get("finish_reason")
    return _text(fields_of(choice.get("delta"))), finish_of(_FINISH, reason) if reason else None


def _first_choice(native: object) -> Fields:
    choices = fields_of(native).get("choices")
    return fields_of(choices[0]) if isinstance(choices, list) and choices else NO_FIELDS


def _text(message: Fields) -> str:
    """The text of a message or a delta; what it says when it refuses is text, too."""
    content = message.get("content")
    if isinstance(content, list):  # of Mistral's reasoning models: parts
        content = "".join(str(fields_of(part).get("text") or "") for part in content)
    return f"{content or ''}{message.get('refusal') or ''}"


_COMPLETIONS: Final = Dialect(
    adapter="OpenAIChat",
    sdk=Sdk(module="openai", plain="OpenAI", awaited="AsyncOpenAI"),
    create=_create,
    written=_written,
    streamed={"stream_options": {"include_usage": True}},
    limits=_LIMITS,
    read=_read,
    read_item=_read_item,
)
