"""Straight calls: which of them need not ask the table, because its answer is known.

While CLOSED most calls fire two rows, `admit` and `succeed`, whose guarded alternatives cannot hold
and whose actions, `grant` and `count`, come to drawing a number. Such a call goes straight: it
draws the numbers itself, without a lock and without a firing. `fail` needs the lock, but neither
measuring nor firing while the window is some failures short of tripping
(`Generation.allow_failures`). While OPEN, and not cooled down, `admit` fires a row that draws a
number. `_straight` holds each of these rows against the table at import, and refuses a table in
which it does anything else. A guard that could hold closes the way, or bounds it.

The order of the draws is the order of the facts: a success whose place was drawn before its
generation ended has been counted, one after it is late.

`specs/spec_circuit.py` proves that nobody can tell a straight call from one through the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_fallback.core.breaker_rows import BREAKER, BreakerState, S
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.lease import Refusal
from fsm_fallback.core.table import STAY
from fsm_fallback.core.windows import TimeWindow
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    from fsm_fallback.core.breaker_model import BreakerModel
    from fsm_fallback.core.parameters import BreakerConfig

_FOREVER: Final = float("inf")


class Shut(NamedTuple):
    """Every call is refused until a time.

    Attributes:
        until: Until when, in the clock's seconds.
        refusals: The numbers of the refusals: all that the action `refuse` does is to draw one.
        refusal: The word for the caller.
    """

    until: float
    refusals: Iterator[int]
    refusal: Refusal


class Ways(NamedTuple):
    """The ways that are open to calls; at most one is.

    Attributes:
        straight: The generation to draw from, without a look at the clock.
        timed: The generation to `enter` and `leave`, which do look.
        shut: The word that refuses all.
    """

    straight: Generation | None = None
    timed: Generation | None = None
    shut: Shut | None = None


NONE: Final = Ways()


def ways_of(breaker: BreakerModel) -> Ways:
    """The ways open from now on; whoever finds none asks the table."""
    if breaker.record_stays:  # every firing wants a record
        return NONE
    match breaker.state:
        case S.CLOSED if not breaker.config.trip_on_success and not breaker.holds:
            if not watches_time(breaker.config):
                return Ways(straight=breaker.current)
            breaker.current.watch(breaker.now)
            return Ways(timed=breaker.current)
        case S.OPEN if breaker.open_until is not None and breaker.now < breaker.open_until:
            return Ways(shut=Shut(breaker.open_until, breaker.refusals, breaker.refusal))
        case S.FORCED_OPEN:
            return Ways(shut=Shut(_FOREVER, breaker.refusals, breaker.refusal))
    return NONE


def watches_time(config: BreakerConfig) -> bool:
    """Whether calls have to look at the clock."""
    return config.slow_call_duration is not None or isinstance(config.window, TimeWindow)


def _straight(state: BreakerState, trigger: str, action: str, *bounded: str) -> None:
    """Refuse a table in which a straight call would leave something out."""
    *guarded, last = BREAKER.cell(state, trigger)
    where = f"breaker: {trigger} in {state.value!r}"
    if last.target is not STAY or last.actions != (action,):
        raise ConfigurationError(
            f"{where} does {last.actions!r}, and a straight call only {action!r}; mend "
            "core/straight.py with the table"
        )
    if strange := [row.guard for row in guarded if row.guard not in bounded]:
        raise ConfigurationError(
            f"{where} asks {strange[0]!r}, and a straight call does not know when that holds; mend "
            "core/straight.py with the table"
        )


# What a straight call does, and the guards that are known not to hold as long as it may.
_straight(S.CLOSED, "admit", "grant", "stalled")
_straight(S.CLOSED, "succeed", "count", "tripped_by_success")
_straight(S.CLOSED, "fail", "count", "tripped")
_straight(S.OPEN, "admit", "refuse", "cooled_down")
_straight(S.FORCED_OPEN, "admit", "refuse")
