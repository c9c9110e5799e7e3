"""Windows: which finished calls count as evidence, and how many of them were bad.

A window class is the parameter a user writes (`CountWindow(100)`, `TimeWindow(60)`); `ledger()`
makes what one generation of a breaker keeps. A ledger decides nothing: it books outcomes, and says
what it would hold with others added. Neutral outcomes never reach it.

Every outcome has a place in the order of its generation, from 0. A plain success takes its place
and is booked by that alone: a ledger keeps the places of the bad ones, and whatever place it was
told nothing of was a success. So most calls write nothing here.

`CountWindow` and `TimeWindow` are the sliding windows by count and by time of resilience4j; the
places are the project's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import attrs

from fsm_fallback.core.bounds import COUNT, SECONDS, bound_problems, bounded, refuse_problems


class Tally(NamedTuple):
    """How many calls are in a window, and how many of them failed or were slow."""

    calls: int
    failures: int
    slow_calls: int


class Pending(NamedTuple):
    """Outcomes that are not booked, counted as if they came next.

    Attributes:
        outcomes: One outcome more, if 1.
        failed: Whether that one failed, 0 or 1.
        slow: Whether it was slow, 0 or 1.
        stalled: How many calls that are still out came before it, each slow and no failure.
    """

    outcomes: int = 0
    failed: int = 0
    slow: int = 0
    stalled: int = 0


NOTHING_PENDING: Final = Pending()


class Ledger(Protocol):
    """The evidence of one generation."""

    @property
    def booked_until(self) -> float:
        """A success that settles before this time is booked by its place alone."""
        ...

    def book(self, place: int, now: float, *, failed: bool, slow: bool) -> None:
        """Book the outcome that took a place."""

    def tally(self, places: int, now: float, pending: Pending = NOTHING_PENDING) -> Tally:
        """What is in the window, `places` having been taken, with what is pending added."""
        ...


@attrs.frozen
class CountWindow:
    """The last `size` outcomes.

    Args:
        size: How many finished calls count, whole number >= 1.

    Raises:
        ConfigurationError: If `size` is out of bounds.
    """

    size: int = bounded(COUNT, 100)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def problems(self) -> Iterator[str]:
        """Every parameter out of bounds."""
        yield from bound_problems(self)

    def ledger(self) -> CountLedger:
        """An empty ledger."""
        return CountLedger(self.size)


@attrs.frozen
class TimeWindow:
    """The outcomes of the last `seconds`, in buckets.

    A bucket begins at a multiple of seconds / buckets on the clock, takes the outcomes that settle
    in it, and counts as a whole for less than `seconds` after its beginning.

    Args:
        seconds: How long a bucket counts.
        buckets: Into how many the window is divided, whole number >= 1.

    Raises:
        ConfigurationError: If a parameter is out of bounds.
    """

    seconds: float = bounded(SECONDS, 60.0)
    buckets: int = bounded(COUNT, 60)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def problems(self) -> Iterator[str]:
        """Every parameter out of bounds."""
        found = list(bound_problems(self))
        if not found and not self.seconds / self.buckets > 0:
            found = [f"TimeWindow.buckets is {self.buckets!r}, too many for its seconds; lower it"]
        yield from found

    def ledger(self) -> TimeLedger:
        """An empty ledger."""
        return TimeLedger(self.seconds, self.seconds / self.buckets)


Window = CountWindow | TimeWindow

_FOREVER: Final = float("inf")
_new = tuple.__new__  # half the time of Tally(...), and every failure makes one


@attrs.define(eq=False)
class CountLedger:
    """Ledger of the last `size` outcomes: one bit a place, the last bad one lowest."""

    size: int
    _mask: int = attrs.field(
        init=False, default=attrs.Factory(lambda self: (1 << self.size) - 1, takes_self=True)
    )
    _last: int = -1
    _failed: int = 0
    _slow: int = 0

    @property
    def booked_until(self) -> float:
        """Any time: a success is booked by its place alone."""
        return _FOREVER

    def book(self, place: int, now: float, *, failed: bool, slow: bool) -> None:  # noqa: ARG002  # the protocol's
        """Book the outcome that took a place; a plain success needs no more."""
        if failed or slow:
            by = place - self._last
            self._failed = self._moved(self._failed, by) | failed
            if slow or self._slow:
                self._slow = self._moved(self._slow, by) | slow
            self._last = place

    def tally(
        self,
        places: int,
        now: float,  # noqa: ARG002  # the protocol's
        pending: Pending = NOTHING_PENDING,
    ) -> Tally:
        """What is in the window, `places` having been taken, with what is pending added."""
        outcomes, failed, slow, stalled = pending
        more = outcomes + stalled
        by = places - 1 - self._last + more
        failures = (self._moved(self._failed, by) | failed).bit_count()
        slow_calls = slow
        if self._slow or stalled:
            ones = self._moved((1 << stalled) - 1, outcomes)
            slow_calls = (self._moved(self._slow, by) | ones | slow).bit_count()
        calls = places + more
        return _new(Tally, (min(self.size, calls), failures, slow_calls))

    def _moved(self, bits: int, by: int) -> int:
        """Bits after `by` further places; what leaves the window is gone."""
        return bits << by & self._mask if bits and by < self.size else 0


@attrs.define(eq=False)
class _Bucket:
    """The outcomes that settled from `start` on: those from place `first` to the next bucket's."""

    start: float
    first: int
    failures: int = 0
    slow_calls: int = 0


@attrs.define(eq=False)
class TimeLedger:
    """Ledger of the last `seconds`, in buckets of `width`."""

    seconds: float
    width: float
    booked_until: float = -_FOREVER
    _buckets: deque[_Bucket] = attrs.field(factory=deque)

    def book(self, place: int, now: float, *, failed: bool, slow: bool) -> None:
        """Book the outcome that took a place in the bucket of `now`."""
        if now >= self.booked_until:
            while self._buckets and not self._counts(self._buckets[0], now):
                self._buckets.popleft()
            number = now // self.width
            number += (number + 1) * self.width <= now  # 1.0 // 0.1 is 9.0
            self._buckets.append(_Bucket(number * self.width, place))
            self.booked_until = (number + 1) * self.width
        bucket = self._buckets[-1]
        bucket.failures += failed
        bucket.slow_calls += slow

    def tally(self, places: int, now: float, pending: Pending = NOTHING_PENDING) -> Tally:
        """What is in the window, `places` having been taken, with what is pending added."""
        outcomes, failures, slow_calls, stalled = pending
        first = places
        for bucket in reversed(self._buckets):
            if not self._counts(bucket, now):
                break
            first = bucket.first
            failures += bucket.failures
            slow_calls += bucket.slow_calls
        return Tally(places - first + stalled + outcomes, failures, slow_calls + stalled)

    def _counts(self, bucket: _Bucket, now: float) -> bool:
        return now - bucket.start < self.seconds
