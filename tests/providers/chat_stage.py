"""A chat adapter over an emulated provider, asked in one way: plain, in asyncio, in trio."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from fsm_fallback import FallbackProvider
from fsm_fallback.chat import AnthropicChat, OpenAIChat
from fsm_fallback.testing import EmulatedProvider, Emulator

KEY = "test-KEY-MARKER"
MODEL = "some-model"
ADAPTERS = {"openai": OpenAIChat, "anthropic": AnthropicChat}


@attrs.frozen(eq=False)
class ChatStage:
    """Adapters of one dialect, and whom they ask.

    Attributes:
        dialect: Which one.
        emulator: Where their providers are.
        loop: Runs what is awaited; None for plain calls.
        made: Every adapter, to be closed.
    """

    dialect: str
    emulator: Emulator
    loop: Any
    made: list[Any] = attrs.field(factory=list)

    @property
    def emulated(self) -> EmulatedProvider:
        """The one that adapters ask unless told otherwise."""
        return self.provider("first")

    def provider(self, name) -> EmulatedProvider:
        """An emulated provider, made when first asked for."""
        known = self.emulator.providers.get(name)
        return known or self.emulator.provider(name, dialect=self.dialect)

    def adapter(self, name="first", **more):
        """An adapter, which makes its own clients."""
        options = {"model": MODEL, "base_url": self.provider(name).base_url, **more}
        self.made.append(ADAPTERS[self.dialect](name, **options))
        return self.made[-1]

    def chain(self, **more):
        """A chain over two adapters."""
        return FallbackProvider(self.adapter("first", **more), self.adapter("second"))

    def body(self, name="first"):
        """The latest request that arrived."""
        return self.emulator.journal.of(name)[-1].body

    # Calling --------------------------------------------------------------------------------

    def run(self, function, *args):
        """Await a function, and close what was opened in its loop."""
        return self.loop.run(self._to_its_end, function, *args)

    async def _to_its_end(self, function, *args):
        try:
            return await function(*args)
        finally:
            for each in self.made:
                await each.aclose()

    def ask(self, provider, *args, **kwargs):
        """One call of an adapter or a chain."""
        if self.loop is None:
            return provider.call(*args, **kwargs)

        async def asked():
            return await provider.acall(*args, **kwargs)

        return self.run(asked)

    def detailed(self, chain, *args):
        """One call of a chain, with its trail."""
        if self.loop is None:
            return chain.detailed(*args)
        return self.run(chain.adetailed, *args)

    def fail(self, chain, *args):
        """The error of one call."""
        with pytest.raises(ExceptionGroup) as caught:
            self.detailed(chain, *args)
        return caught.value

    def pieces(self, provider, *args, **kwargs):
        """All pieces of one stream."""
        if self.loop is None:
            return list(provider.stream(*args, **kwargs))

        async def read():
            return [piece async for piece in provider.astream(*args, **kwargs)]

        return self.run(read)

    def read(self, chain, *args, take=None):
        """One stream of a chain: its pieces, itself, its error; left after `take` with text."""
        if self.loop is not None:
            return self.run(_aread, chain, args, take)
        pieces, stream = [], chain.stream_detailed(*args)
        try:
            with stream:
                for piece in stream:
                    pieces.append(piece)
                    if _texts(pieces) == take:
                        break
        except ExceptionGroup as error:
            return pieces, stream, error
        return pieces, stream, None

    def leave(self, provider, *args):
        """Ask for a stream, take its first piece, and close it."""
        if self.loop is None:
            stream = provider.stream(*args)
            first = next(stream)
            stream.close()
            return first

        async def left():
            stream = provider.astream(*args)
            first = await anext(stream)
            await stream.aclose()
            return first

        return self.run(left)


async def _aread(chain, args, take):
    pieces, stream = [], chain.astream_detailed(*args)
    try:
        async with stream:
            async for piece in stream:
                pieces.append(piece)
                if _texts(pieces) == take:
                    break
    except ExceptionGroup as error:
        return pieces, stream, error
    return pieces, stream, None


def _texts(pieces):
    return sum(bool(piece.text) for piece in pieces)


def text_of(pieces):
    """What pieces say together."""
    return "".join(piece.text for piece in pieces)


def told(trail):
    """Of each attempt the provider and the kind of its fault."""
    return [(item.provider, item.fault and item.fault.kind) for item in trail]
