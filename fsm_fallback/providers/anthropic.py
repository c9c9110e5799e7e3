"""The chat profile over Anthropic's messages.

Source of the dialect: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fsm_fallback.core.bounds import COUNT
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.chat import ChatMessage, ChatRequest, Finish, Image
from fsm_fallback.providers.chat_clients import Sdk
from fsm_fallback.providers.chat_provider import ChatProvider, Dialect, Said, finish_of
from fsm_fallback.providers.shapes import fields_of

_FINISH: Final[dict[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_SILENT: Final = frozenset({"text", "thinking", "redacted_thinking"})


class AnthropicChat(ChatProvider):
    """Messages of Anthropic, or of any server that speaks them, as a provider.

    It takes a `ChatRequest` or text, and answers with a `ChatReply`, or `ChatPiece`s. Usable from
    any thread and any event loop: it has a client of its own for each loop.

    Args:
        name: Unique in its chain; the name in trails, logs and metrics, and in `ChatRequest.extra`.
        model: The model's name.
        base_url: Where the server is; by default what the SDK has: ANTHROPIC_BASE_URL, or
            Anthropic.
        api_key_env: The NAME of the environment variable that holds the key; None for a server that
            wants none.
        client: An `anthropic.Anthropic` to use instead of making one, or the SDK's client for a
            cloud; it stays yours to close. Turn its retries off. Given one kind of client only, the
            provider has the ways of that kind; a chain that is awaited runs plain calls in threads.
        async_client: An `anthropic.AsyncAnthropic`, as above; it works in the event loop it was
            used in first, and in no other.
        account: Whose credit and keys it uses.
        capabilities: What the model can do, as strings.
        context_window: Tokens the model takes at most, whole number >= 1.
        price: What the model costs; read by strategies that ask.
        max_output_tokens: How many tokens an answer may have where the request does not say; this
            API always wants a number.

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
        api_key_env: str | None = "ANTHROPIC_API_KEY",
        client: Any = None,
        async_client: Any = None,
        account: str | None = None,
        capabilities: Iterable[str] = (),
        context_window: int | None = None,
        price: Any = None,
        max_output_tokens: int = 1024,
    ) -> None:
        bound: int | None = max_output_tokens  # whatever a caller without a type checker gave
        if bound is None:
            raise ConfigurationError(
                f"AnthropicChat.max_output_tokens is None; give {COUNT.wanted}: the API wants it"
            )
        super().__init__(
            _MESSAGES,
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
    return client.messages.create


def _written(request: ChatRequest, client: Any, limit: int | None) -> dict[str, Any]:  # noqa: ARG001  # a dialect's
    messages = [{"role": each.role, "content": _content(each)} for each in request.messages]
    written: dict[str, Any] = {"messages": messages}
    if request.system is not None:
        written["system"] = request.system
    if limit is not None:
        written["max_tokens"] = limit
    return written


def _content(message: ChatMessage) -> Any:
    if isinstance(message.content, str):
        return message.content
    return [_part(part) for part in message.content]


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if part.url is not None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    return {"type": "image", "source": source}


def _read(native: object) -> Said:
    fields = fields_of(native)
    content = fields.get("content")
    blocks = [fields_of(block) for block in content] if isinstance(content, list) else []
    text = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    finish = finish_of(_FINISH, fields.get("stop_reason"))
    return Said(text, finish, any(str(block.get("type")) not in _SILENT for block in blocks))


def _read_item(item: object) -> tuple[str, Finish | None]:
    fields = fields_of(item)
    delta = fields_of(fields.get("delta"))
    match fields.get("type"):
        case "content_block_delta" if delta.get("type") == "text_delta":
            return str(delta.get("text") or ""), None
        case "message_delta":
            reason = delta.get("stop_reason")
            return "", finish_of(_FINISH, reason) if reason else None
        case _:
            return "", None


_MESSAGES: Final = Dialect(
    adapter="AnthropicChat",
    sdk=Sdk(module="anthropic", plain="Anthropic", awaited="AsyncAnthropic"),
    create=_create,
    written=_written,
    streamed={},
    limits=("max_tokens",),
    read=_read,
    read_item=_read_item,
)
