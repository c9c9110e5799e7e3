"""The streams of a `ScriptedProvider`: items in virtual time, and what became of each stream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

from fsm_fallback.testing.steps import deliver, unfold

if TYPE_CHECKING:
    from fsm_fallback.testing.clock import ManualClock


class ScriptedStream:
    """One stream of a provider.

    Attributes:
        given: The items it gave.
        closed: How often it was closed.
        ended: Whether its reader saw its end, or an error of it.
    """

    def __init__(self, name: str, items: tuple[object, ...], clock: ManualClock | None) -> None:
        self._name = name
        self._left = list(items)
        self._clock = clock
        self.given: list[Any] = []
        self.closed = 0
        self.ended = False

    def __repr__(self) -> str:
        return f"<stream of {self._name!r}: {len(self.given)} given, closed {self.closed} times>"

    def _next(self) -> tuple[float, object]:
        """The next step: its seconds, and what it comes to."""
        if self.closed:
            raise AssertionError(f"the stream of provider {self._name!r} is read after its closing")
        return unfold(self._left.pop(0))

    def _give(self, result: object) -> Any:
        try:
            item = deliver(result)
        except BaseException:
            self._end()
            raise
        self.given.append(item)
        return item

    def _end(self) -> None:
        self.ended = True
        self._left.clear()


class PlainStream(ScriptedStream):
    """An iterator that can be closed. It gives up when its time to the first item is over."""

    def __init__(
        self,
        name: str,
        items: tuple[object, ...],
        clock: ManualClock | None,
        began: float,
        timeout: float | None,
    ) -> None:
        super().__init__(name, items, clock)
        self._until = math.inf if timeout is None else began + timeout

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """The next item.

        Raises:
            StopIteration: After the last one.
            TimeoutError: If the first one takes longer than the time-out; the clock stands there.
            AssertionError: If it hangs with nothing to end it, or is read after it was closed.
        """
        if not self._left and not self.closed:
            self._end()
            raise StopIteration
        seconds, result = self._next()
        until = math.inf if self.given else self._until
        now = 0.0 if self._clock is None else self._clock()
        if now + seconds > until:
            self._end()
            self._spend(until)
            raise TimeoutError(f"provider {self._name!r} did not begin its stream in time")
        if math.isinf(seconds):
            raise AssertionError(
                f"provider {self._name!r} hangs in a plain stream with nothing to end it; read it "
                "with astream, or pass a timeout and hang before the first item"
            )
        self._spend(now + seconds)
        return self._give(result)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed += 1

    def _spend(self, until: float) -> None:
        if self._clock is not None and until > self._clock():
            self._clock.advance_to(until)


class AwaitedStream(ScriptedStream):
    """An async iterator that can be closed. Whoever awaits it ends it early by cancelling."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next item.

        Raises:
            StopAsyncIteration: After the last one.
            AssertionError: If it is read after it was closed.
        """
        if not self._left and not self.closed:
            self._end()
            raise StopAsyncIteration
        seconds, result = self._next()
        if seconds > 0:
            await wait(self._clock, seconds)
        return self._give(result)

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed += 1


async def wait(clock: ManualClock | None, seconds: float) -> None:
    """Let virtual time pass; without a clock, until it is cancelled."""
    if clock is not None:
        await clock.pass_time(seconds)
    else:
        from anyio import sleep_forever  # noqa: PLC0415  # no event loop in synchronous tests

        await sleep_forever()
