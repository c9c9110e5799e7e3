"""An SDK's stream of a chat answer as `ChatPiece`s, one for each of its items, and its closing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, TypeAlias

from fsm_fallback.providers.chat import ChatPiece, ChatReply, Finish
from fsm_fallback.providers.usage import Usage, model_of, usage_of

ReadItem: TypeAlias = Callable[[object], tuple[str, Finish | None]]
"""What an item adds to the text, and why the answer ended, if it says so."""


class Pieces:
    """What a stream has told so far.

    Args:
        provider: Whose it is.
        model: The model that was asked for.
        read: Reads an item.
    """

    def __init__(self, provider: str, model: str, read: ReadItem) -> None:
        self._provider = provider
        self._model = model
        self._read = read
        self._has_begun = False
        self._finish: Finish | None = None
        self._usage: Usage | None = None

    def of(self, item: object) -> ChatPiece:
        """The piece of an item."""
        if not self._has_begun:  # the first says which model it is, or none does
            self._has_begun = True
            self._model = model_of(item) or self._model
        text, finish = self._read(item)
        self._finish = finish or self._finish
        if not text or finish is not None:
            told = usage_of(item)
            if told is not None:
                self._usage = told if self._usage is None else self._usage.merged(told)
        return ChatPiece(
            text=text,
            usage=None if self._finish is None else self._usage,
            model=self._model,
            provider=self._provider,
            finish=self._finish,
            native=item,
        )


def pieces_of(opened: Callable[[], Any], pieces: Pieces) -> Generator[ChatReply, None, None]:
    """Open a stream and read it; it is closed when this generator is."""
    with opened() as items:
        for item in items:
            yield pieces.of(item)


async def apieces_of(
    opened: Callable[[], Awaitable[Any]], pieces: Pieces
) -> AsyncGenerator[ChatReply, None]:
    """As `pieces_of`, awaited."""
    async with await opened() as items:
        async for item in items:
            yield pieces.of(item)
