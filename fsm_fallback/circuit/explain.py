"""What a person on call reads of one breaker: how it stands, why, since when and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from fsm_fallback.core.breaker_rows import S

if TYPE_CHECKING:
    from fsm_fallback.core.breaker import Breaker
    from fsm_fallback.core.snapshot import BreakerSnapshot


def explained(breaker: Breaker, now: float) -> str:
    """How a breaker stands, in a few lines of plain words."""
    stands = breaker.snapshot(now)
    since = max(0.0, stands.taken_at - breaker.current.since)
    lines = [f"breaker {breaker.name!r} is {stands.state.value}, for {since:.1f} s"]
    lines += [f"  {line}" for line in (*_why(breaker, stands), *_evidence(breaker, stands))]
    return "\n".join([*lines, f"  {_next(breaker, stands)}"])


def _why(breaker: Breaker, stands: BreakerSnapshot) -> list[str]:
    said = [] if stands.cause is None else [f"because of: {stands.cause.kind.value}"]
    if breaker.actor is not None or breaker.reason is not None:
        who, why = breaker.actor or "an operator", breaker.reason or "no reason given"
        said.append(f"by {who}: {why}")
    if stands.step > 1:
        said.append(f"opening number {stands.step} of a series; each lasts longer, up to the cap")
    if stands.holds > 1:
        said.append(f"held {stands.holds} times in a row by what the provider said")
    return said


def _evidence(breaker: Breaker, stands: BreakerSnapshot) -> list[str]:
    config = breaker.config
    lines = [f"{stands.in_flight} calls in flight, {stands.not_permitted} refused so far"]
    if stands.state in (S.CLOSED, S.OBSERVING):
        lines.append(
            f"{stands.failures} of {stands.calls} calls in the window failed; opens at "
            f"{config.failure_ratio:g} of {config.minimum_calls} or more"
        )
        if config.slow_call_duration is not None:
            lines.append(
                f"{stands.slow_calls} took {config.slow_call_duration:g} s or longer; opens at "
                f"{config.slow_call_ratio:g} of them"
            )
    return lines


def _next(breaker: Breaker, stands: BreakerSnapshot) -> str:
    config = breaker.config
    match stands.state:
        case S.CLOSED:
            return "next: every call is let through"
        case S.OPEN:
            until = stands.taken_at if stands.open_until is None else stands.open_until
            left = max(0.0, until - stands.taken_at)
            when = f"after {left:.1f} s" if left else "from now on"
            return f"next: {when} the first caller is a probe; {config.probe_calls} decide"
        case S.HALF_OPEN:
            return (
                f"next: {len(breaker.probes)} probes are out and {breaker.round.calls} of "
                f"{config.probe_calls} are back; their verdict closes or opens it"
            )
        case S.FORCED_OPEN:
            return "next: every call is refused until somebody says reset()"
        case S.DISABLED:
            return "next: every call is let through, nothing is counted, until reset()"
        case S.OBSERVING:
            return "next: every call is let through and counted, it never opens, until reset()"
        case _:
            assert_never(stands.state)
