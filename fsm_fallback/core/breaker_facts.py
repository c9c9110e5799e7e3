"""What the breaker's guards compare, measured once before a row is chosen.

The pending outcome is included. Measuring decides nothing. Each function answers every value the
guards of a trigger need, the limits in force among them, so that a record is enough to judge the
guards again; what is not watched has no values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.outcome import KINDS
from fsm_fallback.core.parameters import MAX_EXPONENT
from fsm_fallback.core.windows import Pending

if TYPE_CHECKING:
    from fsm_fallback.core.breaker_model import BreakerModel
    from fsm_fallback.core.breaker_rows import BreakerState
    from fsm_fallback.core.events import Facts

NOTHING: Final[Mapping[str, float]] = {}
_NONE_STALLED: Final[Mapping[str, float]] = {"stalled": 0}
_HARMLESS: Final[Mapping[str, float]] = {"stalled": 0, "may_trip": False}
_PENDING: Final[Mapping[tuple[bool, bool], Pending]] = {
    (failed, slow): Pending(1, int(failed), int(slow))
    for failed in (False, True)
    for slow in (False, True)
}


def closed_facts(breaker: BreakerModel) -> Mapping[str, float]:
    """For `stalled`."""
    stalled = breaker.current.stalled(breaker.now)
    if not stalled:
        return _NONE_STALLED
    return {"stalled": stalled, **_slow_facts(breaker, Pending(stalled=stalled))}


def cooling_facts(breaker: BreakerModel) -> Mapping[str, float]:
    """For `cooled_down`."""
    until = math.inf if breaker.open_until is None else breaker.open_until
    return {"now": breaker.now, "open_until": until}


def round_facts(breaker: BreakerModel) -> Mapping[str, float]:
    """For `probe_overdue` and `probe_free`."""
    return {
        "now": breaker.now,
        "probe_deadline": min(breaker.probes.values(), default=math.inf),
        "out": len(breaker.probes),
        "done": breaker.round.calls,
        "probe_concurrency": breaker.config.probe_concurrency,
        "probe_calls": breaker.config.probe_calls,
    }


def success_facts(breaker: BreakerModel) -> Mapping[str, float]:
    """For `tripped_by_success`."""
    config = breaker.config
    may_trip = breaker.slow or config.trip_on_success
    stalled = breaker.current.stalled(breaker.now)
    if not may_trip and not stalled:
        return _HARMLESS
    return {"may_trip": may_trip, **failure_facts(breaker), "stalled": stalled}


def failure_facts(breaker: BreakerModel) -> Mapping[str, float]:
    """For `tripped`."""
    config = breaker.config
    pending = _PENDING[breaker.failed, breaker.slow]
    calls, failures, _ = breaker.current.tally(breaker.now, pending)
    facts: dict[str, float] = {
        "failure_ratio": failures / calls,
        "calls": calls,
        "threshold": config.failure_ratio,
        "minimum_calls": config.minimum_calls,
    }
    if config.slow_call_duration is not None:
        facts |= _slow_facts(
            breaker, pending._replace(stalled=breaker.current.stalled(breaker.now))
        )
    if config.consecutive_failures is not None:
        facts["in_a_row"] = breaker.current.failures_in_a_row + 1 if breaker.failed else 0
        facts["consecutive_failures"] = config.consecutive_failures
    return facts


def verdict_facts(breaker: BreakerModel) -> Mapping[str, float]:
    """For `healed` and `relapsed`."""
    config = breaker.config
    wanted = config.probe_calls
    done = breaker.round.calls + 1
    failures = breaker.round.failures + breaker.failed
    missing = wanted - done
    facts = {
        "done": done,
        "failures": failures,
        "decidable": config.early_verdict or missing == 0,
        "best_ratio": failures / wanted,
        "worst_ratio": (failures + missing) / wanted,
        "threshold": config.failure_ratio,
    }
    if config.slow_call_duration is not None:
        slow_calls = breaker.round.slow_calls + breaker.slow
        facts["best_slow_ratio"] = slow_calls / wanted
        facts["worst_slow_ratio"] = (slow_calls + missing) / wanted
        facts["slow_threshold"] = config.slow_call_ratio
    return facts


def hold_facts(breaker: BreakerModel, until: float) -> Mapping[str, float]:
    """For `longer`.

    The first hold of a series is believed; each further one without a success in between doubles,
    for the hint of the one before was too short. Calls that were told to stay away together are one
    hold, not many: only an opening counts. An operator, who has no lease, means what they say.
    """
    series = 1
    if breaker.lease is not None:
        series = max(1, breaker.holds if breaker.state is S.OPEN else breaker.holds + 1)
    growth = 2.0 ** min(series - 1, MAX_EXPONENT)
    longest = breaker.config.max_hold
    if breaker.fault is not None:
        longest = min(longest, KINDS[breaker.fault.kind].max_hold_duration or longest)
    duration = min(max(0.0, until - breaker.now) * growth, longest)
    open_until = -math.inf if breaker.open_until is None else breaker.open_until
    return {"until": breaker.now + duration, "open_until": open_until}


def standing_facts(breaker: BreakerModel) -> Facts:
    """How a breaker stands, for its records."""
    tally = breaker.current.tally(breaker.now)
    return {
        "failures": tally.failures,
        "calls": tally.calls,
        "slow_calls": tally.slow_calls,
        "in_flight": breaker.in_flight,
        "open_until": breaker.open_until,
        "step": breaker.step,
        "holds": breaker.holds,
        "generation": breaker.generation,
    }


def _slow_facts(breaker: BreakerModel, pending: Pending) -> dict[str, float]:
    tally = breaker.current.tally(breaker.now, pending)
    return {
        "slow_call_ratio": tally.slow_calls / tally.calls,
        "watched_calls": tally.calls,
        "slow_threshold": breaker.config.slow_call_ratio,
        "minimum_calls": breaker.config.minimum_calls,
    }


FACTS_OF_ADMISSION: Final[Mapping[BreakerState, Callable[[BreakerModel], Mapping[str, float]]]] = {
    S.CLOSED: closed_facts,
    S.OPEN: cooling_facts,
    S.HALF_OPEN: round_facts,
}
"""What `admit` measures, by state; elsewhere it has no guards."""

FACTS_OF_SUCCESS: Final[Mapping[BreakerState, Callable[[BreakerModel], Mapping[str, float]]]] = {
    S.CLOSED: success_facts,
    S.HALF_OPEN: verdict_facts,
}
"""What `succeed` measures, by state."""

FACTS_OF_FAILURE: Final[Mapping[BreakerState, Callable[[BreakerModel], Mapping[str, float]]]] = {
    S.CLOSED: failure_facts,
    S.HALF_OPEN: verdict_facts,
}
"""What `fail` measures, by state."""
