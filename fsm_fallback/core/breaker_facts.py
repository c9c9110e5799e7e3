"""What the breaker's guards compare, measured once before a row is chosen.

The pending outcome is included. Measuring decides nothing. Each function answers every value the
guards of a trigger need, the limits in force among them, so that a record is enough to judge the
guards again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.outcome import KINDS

if TYPE_CHECKING:
    from fsm_fallback.core.breaker import Breaker
    from fsm_fallback.core.breaker_rows import BreakerState

MAX_EXPONENT: Final = 64  # past any cap, and the power stays finite


def cooling_facts(breaker: Breaker) -> dict[str, float]:
    """For `cooled_down`."""
    until = math.inf if breaker.open_until is None else breaker.open_until
    return {"now": breaker.now, "open_until": until}


def round_facts(breaker: Breaker) -> dict[str, float]:
    """For `probe_overdue` and `probe_free`."""
    return {
        "now": breaker.now,
        "probe_deadline": min(breaker.probes.values(), default=math.inf),
        "out": len(breaker.probes),
        "done": breaker.round_calls,
        "probe_concurrency": breaker.config.probe_concurrency,
        "probe_calls": breaker.config.probe_calls,
    }


def verdict_facts(breaker: Breaker) -> dict[str, float]:
    """For `healed` and `relapsed`."""
    wanted = breaker.config.probe_calls
    done = breaker.round_calls + 1
    failures = breaker.round_failures + breaker.failed
    missing = wanted - done
    return {
        "done": done,
        "failures": failures,
        "decidable": breaker.config.early_verdict or missing == 0,
        "best_ratio": failures / wanted,
        "worst_ratio": (failures + missing) / wanted,
        "threshold": breaker.config.failure_ratio,
    }


def evidence_facts(breaker: Breaker) -> dict[str, float]:
    """For `tripped`."""
    calls, failures = breaker.evidence.with_failure()
    return {
        "failure_ratio": failures / calls,
        "calls": calls,
        "threshold": breaker.config.failure_ratio,
        "minimum_calls": breaker.config.minimum_calls,
    }


def hold_facts(breaker: Breaker, until: float) -> dict[str, float]:
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


FACTS_OF_ADMISSION: Final[Mapping[BreakerState, Callable[[Breaker], Mapping[str, float]]]] = {
    S.OPEN: cooling_facts,
    S.HALF_OPEN: round_facts,
}
"""What `admit` measures, by state; elsewhere it has no guards."""
