"""Providers of streams that play a script, plain and awaited, and count what becomes of them.

A script is what one call gives: items, exceptions, pauses. Both forms take the same virtual time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import anyio
import attrs

from fsm_fallback.core.info import ModelInfo
from fsm_fallback.testing import ManualClock

FOREVER = math.inf


@attrs.frozen
class Pause:
    """A step that takes time before the next; `FOREVER` hangs."""

    seconds: float


@attrs.frozen
class Gives:
    """A script of its own: what is returned in place of a stream."""

    value: Callable[[], Any]


@attrs.define(eq=False)
class Source:
    """One stream of a provider.

    Attributes:
        steps: What is left of its script.
        clock: Whose time its pauses take; None for real time.
        closing: What closing it does: nothing, an exception, a `Pause`.
        given: Items given.
        closed: How often it was closed.
        ended: Whether its end, or an error of it, was seen.
    """

    steps: list[Any]
    clock: ManualClock | None
    closing: Any = None
    given: list[Any] = attrs.field(factory=list)
    closed: int = 0
    ended: bool = False

    def _step(self) -> Any:
        if self.closed:
            raise AssertionError("a stream was read after it had been closed")
        if not self.steps:
            self.ended = True
            return None
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            self.ended = True
            self.steps.clear()
            raise step.with_traceback(None)
        if not isinstance(step, Pause):
            self.given.append(step)
        return step

    def _end_closing(self) -> None:
        if isinstance(self.closing, BaseException):
            raise self.closing.with_traceback(None)


class PlainSource(Source):
    """An iterator that can be closed."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while True:
            step = self._step()
            if self.ended:
                raise StopIteration
            if not isinstance(step, Pause):
                return step
            if self.clock is None or math.isinf(step.seconds):
                raise AssertionError("a plain stream hangs, and nobody can cut it")
            self.clock.spend(step.seconds)

    def close(self) -> None:
        self.closed += 1
        self._end_closing()


class AwaitedSource(Source):
    """An async iterator that can be closed."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            step = self._step()
            if self.ended:
                raise StopAsyncIteration
            if not isinstance(step, Pause):
                return step
            if self.clock is None:
                await anyio.sleep(step.seconds)
            else:
                await self.clock.pass_time(step.seconds)

    async def aclose(self) -> None:
        self.closed += 1
        if isinstance(self.closing, Pause):
            await anyio.sleep(self.closing.seconds)
        self._end_closing()


class ScriptedStreams:
    """A provider whose n-th call gives the stream of its n-th script; the last one repeats.

    An exception for a script is raised by the call itself; `Gives` returns what is no stream.
    """

    def __init__(
        self,
        name: str,
        *scripts: Sequence[Any] | BaseException | Gives,
        clock: ManualClock | None = None,
        closing: Any = None,
        is_output: Callable[[Any], bool] | None = None,
        terminal: Any = "auto",
        account: str | None = None,
    ) -> None:
        self.name = name
        self.info = ModelInfo(account=account)
        self.is_output = is_output
        self.terminal = terminal
        self.scripts = scripts
        self.clock = clock
        self.closing = closing
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.sources: list[Source] = []

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._begin(PlainSource, args, kwargs)

    def astream(self, *args: Any, **kwargs: Any) -> Any:
        return self._begin(AwaitedSource, args, kwargs)

    def _begin(self, kind: type[Source], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        number = min(len(self.calls), len(self.scripts) - 1)
        self.calls.append((args, kwargs))
        script = self.scripts[number]
        if isinstance(script, BaseException):
            raise script.with_traceback(None)
        if isinstance(script, Gives):
            return script.value()
        source = kind([*script], self.clock, self.closing)
        self.sources.append(source)
        return source

    @property
    def closings(self) -> list[int]:
        """How often each stream was closed."""
        return [source.closed for source in self.sources]


class PlainStreams(ScriptedStreams):
    """As `ScriptedStreams`, with a plain form only."""

    astream = None  # type: ignore[assignment]  # it has none
