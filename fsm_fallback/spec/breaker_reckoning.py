"""What a bystander of a breaker would reckon, with a notebook: when it trips, heals, opens, holds.

Written from the design and sharing nothing with the core but its parameters. The properties hold a
breaker against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.outcome import KINDS
from fsm_fallback.core.parameters import MAX_EXPONENT, BreakerConfig
from fsm_fallback.spec.acts import BreakerAct, BreakerStanding, Outcome

_HANGING: Final = Outcome(failed=False, slow=True)


def too_many_failures(config: BreakerConfig, outcomes: Sequence[Outcome]) -> bool:
    """Whether outcomes, the oldest first, fail too often to stay closed."""
    seen = outcomes[-size_of(config) :]
    failures = sum(outcome.failed for outcome in seen)
    return len(seen) >= config.minimum_calls and failures >= config.failure_ratio * len(seen)


def too_many_slow(config: BreakerConfig, outcomes: Sequence[Outcome]) -> bool:
    """Whether outcomes are slow too often to stay closed."""
    if config.slow_call_duration is None:
        return False
    seen = outcomes[-size_of(config) :]
    slow = sum(outcome.slow for outcome in seen)
    return len(seen) >= config.minimum_calls and slow >= config.slow_call_ratio * len(seen)


def run_of_failures(outcomes: Sequence[Outcome]) -> int:
    """How many failures came last, in a row."""
    run = 0
    for outcome in reversed(outcomes):
        if not outcome.failed:
            break
        run += 1
    return run


def trips(act: BreakerAct) -> bool:
    """Whether an outcome that came back to a closed breaker is one too many."""
    config, outcome = act.config, act.outcome
    booked = (*act.outcomes, outcome)
    watched = (*act.outcomes, *[_HANGING] * act.hanging, outcome)
    if not outcome.failed:
        may_trip = outcome.slow or config.trip_on_success
        if may_trip and too_many_failures(config, booked):
            return True
        return (may_trip or act.hanging > 0) and too_many_slow(config, watched)
    in_a_row = config.consecutive_failures
    return (
        too_many_failures(config, booked)
        or too_many_slow(config, watched)
        or (in_a_row is not None and run_of_failures(booked) >= in_a_row)
    )


def hung_calls_trip(act: BreakerAct) -> bool:
    """Whether calls that hang speak against a closed breaker before they end."""
    return act.hanging > 0 and too_many_slow(act.config, (*act.outcomes, *[_HANGING] * act.hanging))


def is_too_slow(act: BreakerAct) -> bool:
    """Whether slow calls open a closed breaker, with the outcome that came back."""
    watched = (*act.outcomes, *[_HANGING] * act.hanging, act.outcome)
    return too_many_slow(act.config, watched)


def verdict(act: BreakerAct) -> str:
    """What a round says with the outcome that came back: `"well"`, `"ill"` or `""`."""
    config = act.config
    outcomes = (*act.outcomes, act.outcome)
    missing = config.probe_calls - len(outcomes)
    if missing and not config.early_verdict:
        return ""
    bad = [(sum(outcome.failed for outcome in outcomes), config.failure_ratio)]
    if config.slow_call_duration is not None:
        bad.append((sum(outcome.slow for outcome in outcomes), config.slow_call_ratio))
    if any(count >= ratio * config.probe_calls for count, ratio in bad):
        return "ill"
    if all(count + missing < ratio * config.probe_calls for count, ratio in bad):
        return "well"
    return ""


def has_free_probe(act: BreakerAct) -> bool:
    """Whether a round wants one probe more."""
    config, before = act.config, act.before
    return (
        before.probes < config.probe_concurrency
        and len(act.outcomes) + before.probes < config.probe_calls
    )


def is_overdue(act: BreakerAct) -> bool:
    """Whether a probe is out for longer than it may."""
    return any(act.now > deadline for deadline in act.deadlines)


def hold_ends(act: BreakerAct) -> float:
    """Until when a hold opens: each further one of a series, without a success, doubles."""
    before = act.before
    series = 1
    if act.lease is not None:
        opens = before.state is not S.OPEN
        series = max(1, before.holds + opens)
    longest = act.config.max_hold
    if act.fault is not None:
        longest = min(longest, KINDS[act.fault.kind].max_hold_duration or math.inf)
    wanted = max(0.0, (act.named or 0.0) - act.now)
    return act.now + min(wanted * 2.0 ** min(series - 1, MAX_EXPONENT), longest)


def opening_step(act: BreakerAct) -> int:
    """Which opening of a series this one is: time spent closed wears the series off."""
    step = act.before.step
    if act.before.state is S.CLOSED:
        step -= int(min((act.now - act.since) / act.config.open_duration, step))
    return step + 1


def opens_at(standing: BreakerStanding) -> float:
    """When an open breaker has cooled down; never, where nobody knows."""
    return math.inf if standing.open_until is None else standing.open_until


def size_of(config: BreakerConfig) -> int:
    """How many outcomes are evidence."""
    size: int = getattr(config.window, "size", 0)
    return size
