"""One generation of a breaker: its evidence, its calls in flight, and the straight way through it.

A generation lasts from one transition to the next. Everything that belongs to it is in this one
object, so that a call that began in it and ends after it touches an object nobody asks any more:
the fence against late outcomes is the identity of the generation.

A call that goes straight (`core.straight`) draws its numbers here without lock or table. So what a
draw touches is one atomic step of the interpreter, and what is read beside it tolerates draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from operator import length_hint
from typing import TYPE_CHECKING, Final

import attrs

from fsm_fallback.core.windows import NOTHING_PENDING, Ledger, Pending, Tally

if TYPE_CHECKING:
    from fsm_fallback.core.parameters import BreakerConfig

_PLENTY: Final = 2**62
_NEVER: Final = float("-inf")
_ROUNDING: Final = 1e-9


def numbers(first: int) -> Iterator[int]:
    """Numbers to draw with `next`: an atomic step, so that two threads never get the same one."""
    return iter(range(first, first + _PLENTY))


def drawn(numbers: Iterator[int]) -> int:
    """How many have been drawn."""
    return _PLENTY - length_hint(numbers)


@attrs.define(eq=False)
class Generation:
    """What a breaker knows between two transitions.

    Args:
        number: Counts the transitions of the breaker.
        since: When it began, in the clock's seconds.
        ledger: Its evidence.
        admissions: The numbers of the breaker's admissions: `grant` draws one.
        slow_after: Seconds after which a call is slow; None where that is not watched.
    """

    number: int
    since: float
    ledger: Ledger
    admissions: Iterator[int]
    slow_after: float | None

    # The places of its outcomes: for a success, all that `count` does is to draw one.
    places: Iterator[int] = attrs.field(init=False, factory=lambda: numbers(0))
    # How many failures cannot trip, whatever else comes.
    allowed_failures: int = attrs.field(init=False, default=0)
    _walked: int = attrs.field(init=False, default=0)  # places taken through the table
    ended: int | None = attrs.field(init=False, default=None)  # the place after the last
    _run: int = attrs.field(init=False, default=0)
    _last_failure: int = attrs.field(init=False, default=-2)

    # Calls out, by admission number, with the time they began; the slow ones are moved.
    _out: dict[int, float] | None = attrs.field(init=False, default=None)
    _stalled: dict[int, float] | None = attrs.field(init=False, default=None)
    check_at: float = attrs.field(init=False, default=_NEVER)
    latest: float = attrs.field(init=False, default=_NEVER)

    def __attrs_post_init__(self) -> None:
        if self.slow_after is not None:
            self._out, self._stalled = {}, {}

    # Through the table, under the breaker's lock ----------------------------------------------

    def book(self, now: float, *, failed: bool, slow: bool) -> None:
        """Book an outcome as evidence."""
        place = next(self.places)
        self._walked += 1
        self.ledger.book(place, now, failed=failed, slow=slow)
        if failed:
            self._run = self._run + 1 if place == self._last_failure + 1 else 1
            self._last_failure = place

    def tally(self, now: float, pending: Pending = NOTHING_PENDING) -> Tally:
        """What is in the window, with what is pending added."""
        return self.ledger.tally(drawn(self.places), now, pending)

    @property
    def failures_in_a_row(self) -> int:
        """How many of the last outcomes, none other in between, failed."""
        return self._run if drawn(self.places) == self._last_failure + 1 else 0

    def allow_failures(self, config: BreakerConfig, calls: float, failures: float) -> None:
        """Say how many failures need not be judged, `failures` of `calls` being in.

        A window of `calls` trips at `failure_ratio * calls` failures at the earliest, and it has
        `minimum_calls` then; successes add calls, and take no failure in. So the failures that are
        missing to that, less one, cannot trip.
        """
        least = max(calls, config.minimum_calls)
        missing = config.failure_ratio * least - failures - _ROUNDING
        if missing > 1.0 and config.consecutive_failures is None:
            self.allowed_failures = math.ceil(missing) - 1

    @property
    def straight_outcomes(self) -> int:
        """How many outcomes took their place without the table."""
        places = drawn(self.places) if self.ended is None else self.ended
        return places - self._walked

    def let_out(self, number: int, now: float) -> None:
        """Note a call that begins, if slow ones are watched."""
        if self._out is not None:
            self._out[number] = now

    def take_in(self, number: int) -> None:
        """Note a call that ended, or whose slowness is judged already."""
        if self._out is not None and self._stalled is not None:
            if self._out.pop(number, None) is None:
                self._stalled.pop(number, None)

    def note_stalled(self, now: float) -> None:
        """Set apart the calls that have been out for `slow_after` or longer."""
        if self._out is None or self._stalled is None or self.slow_after is None:
            return
        while (oldest := self._oldest()) and now - oldest[1] >= self.slow_after:
            began = self._out.pop(oldest[0], None)
            if began is not None:  # else it has just ended
                self._stalled[oldest[0]] = began

    def stalled(self, now: float) -> int:
        """How many calls have been out for `slow_after` or longer; asking notes nothing."""
        if self._out is None or self._stalled is None or self.slow_after is None:
            return 0
        while True:
            found = len(self._stalled)
            try:
                for began in self._out.values():
                    if now - began < self.slow_after:
                        break
                    found += 1
            except RuntimeError:  # a call began or ended while we looked
                continue
            return found

    def end(self) -> None:
        """Take no outcome any more; a straight one that takes a place from now on is late."""
        self.ended = next(self.places)

    def watch(self, now: float) -> None:
        """Let calls go straight until the time a guard could hold, or a bucket is over."""
        self.latest = now
        check_at = self.ledger.booked_until
        if self._out is not None and self.slow_after is not None:
            if self._stalled:
                check_at = _NEVER
            else:
                oldest = self._oldest()
                began = now if oldest is None else oldest[1]
                check_at = min(check_at, began + self.slow_after)
        self.check_at = check_at

    # Straight, where time matters ---------------------------------------------------------------

    def enter(self, now: float) -> int:
        """The number of an admission; 0 where the table must be asked."""
        if not self.latest <= now < self.check_at:
            return 0
        self.latest = now
        number = next(self.admissions)
        if self._out is not None:
            self._out[number] = now
        return number

    def leave(self, number: int, now: float) -> int:
        """The place a success takes; -1 where the table must be asked."""
        if not self.latest <= now < self.check_at:
            return -1
        if self._out is not None and self.slow_after is not None:
            began = self._out.pop(number, None)
            if began is None or now - began >= self.slow_after:
                return -1
        self.latest = now
        return next(self.places)

    def _oldest(self) -> tuple[int, float] | None:
        """The call that has been out longest of those not noted as stalled."""
        while self._out:
            try:
                return next(iter(self._out.items()))
            except (RuntimeError, StopIteration):  # one began or ended while we looked
                continue
        return None
