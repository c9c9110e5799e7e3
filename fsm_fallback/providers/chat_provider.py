"""What the chat adapters share: four ways to ask, the clients, the closing.

What differs between providers is a `Dialect`: how a request is written and an answer read. An
adapter's own module has that and the words for its users.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import attrs

from fsm_fallback.core.bounds import refuse_problems
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.providers.chat import (
    ChatReply,
    ChatRequest,
    Finish,
    request_of,
    unusable,
)
from fsm_fallback.providers.chat_clients import Clients, Sdk, setting_problems, warn_of_retries
from fsm_fallback.providers.chat_streams import Pieces, ReadItem, apieces_of, pieces_of
from fsm_fallback.providers.reading import AUTO, Terminal
from fsm_fallback.providers.usage import model_of, usage_of

_WHOLE: Final[frozenset[Finish]] = frozenset({"stop", "other"})


class Said(NamedTuple):
    """What an answer says: its text, why it ended, whether it acts without a word."""

    text: str
    finish: Finish
    acts: bool


def finish_of(words: Mapping[str, Finish], said: object) -> Finish:
    """Why an answer ended, in our words; whatever a server may say, there is one."""
    return words.get(said, "other") if isinstance(said, str) else "other"


@attrs.frozen(kw_only=True)
class Dialect:
    """How one SDK is asked and its answers are read.

    Args:
        adapter: The class of the adapter, for messages.
        sdk: Where its clients are.
        create: What of a client makes a request.
        written: The keywords of a request: its messages, and its limit of tokens if it has one.
        streamed: Keywords more for a stream.
        limits: The keywords that limit the tokens of an answer; one of `extra` stands for ours.
        read: Reads an answer.
        read_item: Reads an item of a stream.
    """

    adapter: str
    sdk: Sdk
    create: Callable[[Any], Callable[..., Any]]
    written: Callable[[ChatRequest, Any, int | None], dict[str, Any]]
    streamed: Mapping[str, Any]
    limits: tuple[str, ...]
    read: Callable[[object], Said]
    read_item: ReadItem


class ChatProvider:
    """A provider that takes a `ChatRequest` or text; made as `OpenAIChat`, `AnthropicChat`."""

    timeout_arg: Final = "timeout"
    is_output: Final = None  # a piece is known by the SDK's item it holds
    terminal: Terminal = AUTO

    def __init__(
        self,
        dialect: Dialect,
        name: str,
        *,
        model: str,
        base_url: str | None,
        api_key_env: str | None,
        client: Any,
        async_client: Any,
        account: str | None,
        capabilities: Iterable[str],
        context_window: int | None,
        price: Any,
        max_output_tokens: int | None,
    ) -> None:
        refuse_problems(
            setting_problems(
                dialect.adapter,
                name=name,
                model=model,
                base_url=base_url,
                api_key_env=api_key_env,
                client=client,
                async_client=async_client,
                account=account,
                capabilities=capabilities,
                context_window=context_window,
                max_output_tokens=max_output_tokens,
            )
        )
        self.name = name
        self.info = ModelInfo(
            model=model,
            account=account,
            capabilities=frozenset(capabilities),
            context_window=context_window,
            price=price,
        )
        self._dialect = dialect
        self._model = model
        self._max_output_tokens = max_output_tokens
        owner = f"{dialect.adapter} {name!r}"
        self._clients = Clients(
            owner,
            dialect.sdk,
            base_url=base_url,
            api_key_env=api_key_env,
            client=client,
            async_client=async_client,
        )
        warn_of_retries(owner, client, async_client)
        if self._clients.is_plain_only:
            self.acall = self.astream = None  # type: ignore[method-assign,assignment]  # has none
        if self._clients.is_awaited_only:
            self.call = self.stream = None  # type: ignore[method-assign,assignment]  # as above

    def call(self, request: ChatRequest | str, *, timeout: float | None = None) -> ChatReply:
        """Ask the model.

        Args:
            request: The request, or the text of one.
            timeout: Seconds the SDK may wait for the server; None for what its client has.

        Returns:
            The answer. A refusal, and one cut by a limit, is an answer, too: see `finish`.

        Raises:
            UnusableReply: The server answered, and there is no answer in it.
            ConfigurationError: It is no request; nothing was sent.
            Exception: What the SDK raises, as it is.
        """
        asked = request_of(request)
        with self._clients.lent() as client:
            keywords = self._keywords(asked, client, timeout)
            return self._reply(self._dialect.create(client)(**keywords))

    async def acall(
        self,
        request: ChatRequest | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the SDK's, as in `call`
    ) -> ChatReply:
        """As `call`, awaited, in any event loop of asyncio or trio."""
        asked = request_of(request)
        async with self._clients.alent() as client:
            keywords = self._keywords(asked, client, timeout)
            return self._reply(await self._dialect.create(client)(**keywords))

    def stream(
        self, request: ChatRequest | str, *, timeout: float | None = None
    ) -> Generator[ChatReply, None, None]:
        """Ask the model for its answer piece by piece; close it if you do not read to its end.

        Args:
            request: As in `call`.
            timeout: Seconds the SDK may wait for each part; None for what its client has.

        Returns:
            `ChatPiece`s; nothing is sent before the first is asked for. Whether the answer is
            whole, or empty, is for the chain to judge.

        Raises:
            ConfigurationError: It is no request; nothing was sent.
            Exception: What the SDK raises, as it is, while reading.
        """
        asked = request_of(request)

        def pieces() -> Generator[ChatReply, None, None]:
            with self._clients.lent() as client:
                keywords = self._keywords(asked, client, timeout, stream=True)
                create = self._dialect.create(client)
                yield from pieces_of(lambda: create(**keywords), self._pieces())

        return pieces()

    def astream(
        self, request: ChatRequest | str, *, timeout: float | None = None
    ) -> AsyncGenerator[ChatReply, None]:
        """As `stream`, awaited; leave it with `aclose`, or `contextlib.aclosing`."""
        asked = request_of(request)

        async def pieces() -> AsyncGenerator[ChatReply, None]:
            async with self._clients.alent() as client:
                keywords = self._keywords(asked, client, timeout, stream=True)
                create = self._dialect.create(client)
                async with aclosing(apieces_of(lambda: create(**keywords), self._pieces())) as read:
                    async for piece in read:
                        yield piece

        return pieces()

    def close(self) -> None:
        """Close the client for plain calls, if it was made here. A later call makes another."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close that, and the client of the running event loop, if they were made here."""
        await self._clients.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{self._dialect.adapter} {self.name!r}: {self._model}>"

    def _keywords(
        self, request: ChatRequest, client: Any, timeout: float | None, *, stream: bool = False
    ) -> dict[str, Any]:
        own: Mapping[str, Any] = request.extra.get(self.name, {})
        if own:
            refuse_problems(self._problems_of_extra(own, self._dialect.create(client)))
        limit = request.max_output_tokens
        if limit is None:
            limit = self._max_output_tokens
        if any(name in own for name in self._dialect.limits):
            limit = None
        keywords = {"model": self._model, **self._dialect.written(request, client, limit)}
        if timeout is not None:
            keywords["timeout"] = timeout
        if stream:
            keywords.update(self._dialect.streamed)
        return {**keywords, **own, "stream": stream}

    def _problems_of_extra(
        self, own: Mapping[str, Any], create: Callable[..., Any]
    ) -> Iterator[str]:
        known = _keywords_of(getattr(create, "__func__", create))
        for name in own:
            if known is not None and name not in known:
                yield (
                    f"ChatRequest.extra[{self.name!r}] has {name!r}, which is no keyword of the "
                    "SDK; give fields of the API that it does not know in 'extra_body'"
                )

    def _pieces(self) -> Pieces:
        return Pieces(self.name, self._model, self._dialect.read_item)

    def _reply(self, native: object) -> ChatReply:
        text, finish, acts = self._dialect.read(native)
        if not text and not acts and finish in _WHOLE:
            raise unusable(self.name, native)
        return ChatReply(
            text=text,
            usage=usage_of(native),
            model=model_of(native) or self._model,
            provider=self.name,
            finish=finish,
            native=native,
        )


@lru_cache(maxsize=64)
def _keywords_of(function: Callable[..., Any]) -> frozenset[str] | None:
    """The keywords a function takes; None for any."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return None
    return frozenset(parameters)
