"""A clock that moves only when it is told to, with timers and an async sleep on it.

It decides the order in which timers fire and what the clock reads meanwhile. It knows nothing of
providers, drivers or event loops: `sleep` looks for the loop it is awaited in when it is awaited.

The library reads time through the clock it was given, and puts its timers there if that clock has
`call_at`; a clock without it (`time.monotonic`) gets real timers. So a test that passes a
`ManualClock` never waits for real time.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, insort
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable


# Turns of the event loop after which every other task has seen a move: in whatever order they run,
# one to come to its checkpoint, one more for trio to deliver a cancellation there, one to react.
_TURNS: Final = 4

_Entry: TypeAlias = "tuple[float, int, Callable[[], object]]"  # due time, age, callback


@attrs.frozen
class Timer:
    """A callback that a `ManualClock` fires once, when its time has come; made by `call_at`.

    `when` is the instant it is due, in seconds of its clock.
    """

    when: float
    _cancel: Callable[[], None] = attrs.field(repr=False, eq=False)

    def cancel(self) -> None:
        """Take it off the clock; does nothing once it has fired or was cancelled."""
        self._cancel()


class ManualClock:
    """A clock for tests: it starts at 0.0 and moves only by `advance` and `advance_to`.

    Calling it returns the time in seconds, from any thread and at any moment. Two threads that
    advance at once do so one after the other. A timer fires in the thread that advances, with no
    lock held that reading, adding or cancelling needs.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[_Entry] = []  # sorted
        self._ages = count()
        self._moves = 0
        self._ends: list[float] = []  # of the tasks that are in `pass_time`
        self._timers_lock = threading.Lock()
        self._advance_lock = threading.RLock()  # a firing timer may advance the clock further

    def __call__(self) -> float:
        """Return the time in seconds; takes no lock."""
        return self._now

    def __repr__(self) -> str:
        return f"ManualClock(now={self._now!r})"

    @property
    def next_timer_at(self) -> float | None:
        """When the next timer is due, in seconds of this clock; None if there is none."""
        with self._timers_lock:
            return self._timers[0][0] if self._timers else None

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Fire `callback` once when the clock reaches `when`.

        Args:
            when: The due time in seconds of this clock, finite. One that has passed already is
                fired by the next move forward, even one of 0 seconds, never by this call.
            callback: Called without arguments, in the thread that advances the clock.

        Returns:
            The timer; its `cancel` takes it off the clock.

        Raises:
            ValueError: If `when` is not finite; nothing was added.
        """
        if not math.isfinite(when):
            raise ValueError(f"when is {when!r}; give finite seconds of the clock")
        entry = (float(when), next(self._ages), callback)
        with self._timers_lock:
            insort(self._timers, entry)
        return Timer(entry[0], partial(self._remove, entry))

    def advance(self, seconds: float) -> None:
        """Move the clock, and fire the timers that come due on the way.

        They fire in the order of their due times, the older first where those are equal; while one
        fires the clock reads its due time. Timers may be added and cancelled meanwhile.

        Args:
            seconds: How far, finite. A negative number is a clock that jumps back: nothing fires,
                and every timer keeps its due time.

        Raises:
            ValueError: If `seconds`, or the time it leads to, is not finite; the clock stands.
            Exception: Whatever a timer raised, once the others have fired and the clock has
                arrived; an `ExceptionGroup` if several did.
        """
        with self._advance_lock:
            target = self._now + seconds
            if not math.isfinite(target):
                raise ValueError(
                    f"seconds is {seconds!r} at {self._now!r}; give a finite step to a finite time"
                )
            if seconds < 0:
                self._now = target
            else:
                self._fire_until(target)

    def advance_to(self, instant: float) -> None:
        """Move the clock forward to an instant as `advance` does; never move it back.

        Where several threads or tasks wait in virtual time, this lets their waits overlap, and it
        hits the instant exactly, without the rounding of a difference.

        Args:
            instant: Seconds of this clock, finite. One that has passed only fires what is due.

        Raises:
            ValueError: If `instant` is not finite; the clock stands.
            Exception: As `advance`.
        """
        if not math.isfinite(instant):
            raise ValueError(f"instant is {instant!r}; give finite seconds of the clock")
        with self._advance_lock:
            self._fire_until(max(float(instant), self._now))

    def spend(self, seconds: float) -> None:
        """Move the clock by a wait of so many seconds: how a plain call waits on this clock.

        Several threads that wait at once overlap. 0 or less moves nothing.

        Raises:
            ValueError: If `seconds` is not finite; the clock stands.
        """
        if not math.isfinite(seconds):
            raise ValueError(f"seconds is {seconds!r}; give a finite duration")
        if seconds > 0:
            self.advance_to(self._now + seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by `seconds`; 0 or less yields once.

        Works on asyncio and trio; the clock may be advanced in any thread.

        Raises:
            ValueError: If `seconds` is not finite.
        """
        from anyio import Event  # noqa: PLC0415  # sync tests do without an event loop
        from anyio.lowlevel import checkpoint  # noqa: PLC0415  # as above

        from fsm_fallback.drivers.soon import soon_in_this_loop  # noqa: PLC0415  # as above

        due_at = self._now + seconds
        if not math.isfinite(due_at):
            raise ValueError(f"seconds is {seconds!r}; give a finite duration")
        if seconds <= 0:
            await checkpoint()
            return
        arrived, soon = Event(), soon_in_this_loop()
        timer = self.call_at(due_at, lambda: soon(arrived.set))
        try:
            await arrived.wait()
        finally:
            timer.cancel()

    async def pass_time(self, seconds: float) -> None:
        """Take time as work that lasts so long does: move the clock to its end, step by step.

        Where `sleep` waits for somebody to advance the clock, this advances it. It stops at every
        timer on the way, and at the end of every other task that passes time on this clock, and
        lets those tasks run before it moves on: so whoever set a timer can cancel this wait at
        exactly that instant, and work that is done at the same time overlaps.

        Args:
            seconds: How long, >= 0; infinity for work that never ends by itself.

        Raises:
            ValueError: If `seconds` is below 0 or NaN.
        """
        from anyio import sleep_forever  # noqa: PLC0415  # sync tests do without an event loop

        if not seconds >= 0:
            raise ValueError(f"seconds is {seconds!r}; give a duration >= 0")
        end = self._now + seconds
        with self._timers_lock:
            self._ends.append(end)
        try:
            await self._let_others_run()  # so that those who begin together know of each other
            while self._now < end:
                stop = self._next_stop()
                if math.isinf(stop):  # nothing on this clock will ever end this wait
                    await sleep_forever()
                self.advance_to(stop)
                if self._now < end:  # at the end itself the work is done, whatever else is due
                    await self._let_others_run()
        finally:
            with self._timers_lock:
                self._ends.remove(end)

    async def _let_others_run(self) -> None:
        """Return when every other task has had its turn since the clock last moved."""
        from anyio.lowlevel import checkpoint  # noqa: PLC0415  # as in `pass_time`

        moves = -1
        while moves != self._moves:
            moves = self._moves
            for _ in range(_TURNS):
                await checkpoint()

    def _next_stop(self) -> float:
        with self._timers_lock:
            stops = [*self._ends, *(entry[0] for entry in self._timers[:1])]
        return min(stops, default=math.inf)

    def _fire_until(self, target: float) -> None:
        errors: list[Exception] = []
        if self._now < target:
            self._moves += 1
        while (entry := self._take_due(target)) is not None:
            when, _, callback = entry
            self._now = max(self._now, when)
            self._moves += 1
            try:
                callback()
            except Exception as error:  # noqa: BLE001  # raised below, after the other timers
                errors.append(error)
        self._now = max(self._now, target)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("several timers failed", errors)

    def _take_due(self, target: float) -> _Entry | None:
        with self._timers_lock:
            if self._timers and self._timers[0][0] <= target:
                return self._timers.pop(0)
            return None

    def _remove(self, entry: _Entry) -> None:
        with self._timers_lock:
            index = bisect_left(self._timers, entry)
            if index < len(self._timers) and self._timers[index] is entry:
                del self._timers[index]
