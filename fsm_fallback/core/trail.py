"""The trail of a call: every attempt and every skip, and the exception they amount to.

Decides how a trail is told: which members the exception group holds, which cause leads its message,
when the caller may come back. Knows nothing of how the walk went on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import attrs

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
from fsm_fallback.errors import BreakerOpen, ChainFailed, NotEligible


class Candidate(Protocol):
    """What the walk needs to know of a provider. The driver's own object serves."""

    @property
    def name(self) -> str:
        """Its name, unique in the chain."""
        ...

    @property
    def context_window(self) -> int | None:
        """Tokens it takes at most; None if unknown."""
        ...


@attrs.frozen
class Attempt:
    """One call of one provider.

    Attributes:
        provider: Its name.
        number: The attempt's number in this call, from 1.
        fault: Why it failed; None if it answered.
        error: The original exception object; None if it answered.
        started_at: When it was admitted, in the clock's seconds.
        duration: Seconds from admission to answer or error.
    """

    provider: str
    number: int
    fault: Fault | None
    error: Exception | None
    started_at: float
    duration: float


@attrs.frozen
class Skip:
    """A provider that was not called.

    Attributes:
        provider: Its name.
        reason: The breaker's state that refused (`"open"`, `"half_open"`, `"forced_open"`), or the
            need the provider lacks (`"context_window"`).
        until: When its breaker may admit again, in the clock's seconds; None if nobody knows.
        cause: The fault behind the refusal; None where there is none.
    """

    provider: str
    reason: str
    until: float | None = None
    cause: Fault | None = None


Trail = tuple[Attempt | Skip, ...]

# What a person can do about each kind, the most urgent first: what never mends itself leads the
# message, whatever the order of the calls.
_REMEDIES: Final[dict[FaultKind, str]] = {
    FaultKind.AUTH: "check its key and permissions",
    FaultKind.QUOTA: "check its credit and billing",
    FaultKind.REGION: "check where its account may be used",
    FaultKind.MODEL: "check the model's name and access",
    FaultKind.CALLER: "mend the request",
    FaultKind.CONTEXT: "shorten the request or add a provider with a larger window",
    FaultKind.TOO_LARGE: "make the request smaller",
    FaultKind.CONTENT: "change the content",
    FaultKind.UNSUPPORTED: "ask for what the model supports",
    FaultKind.LOCAL: "check this machine",
    FaultKind.RATE_LIMIT: "send less, or wait",
    FaultKind.BAD_RESPONSE: "see its error",
    FaultKind.UNKNOWN: "see its error",
    FaultKind.TIMEOUT: "wait",
    FaultKind.CONNECT: "wait",
    FaultKind.STREAM: "wait",
    FaultKind.TRANSIENT: "wait",
    FaultKind.CANCELLED: "wait",
}
_URGENCY: Final[dict[FaultKind, int]] = {kind: rank for rank, kind in enumerate(_REMEDIES)}


def failure(
    kind: type[ChainFailed],
    what: str,
    trail: Trail,
    now: float,
    *,
    stand_in: Exception | None = None,
) -> ChainFailed:
    """The exception for a call that ended without an answer.

    Args:
        kind: The class to raise.
        what: What happened, as the message begins.
        trail: All attempts and skips.
        now: The clock's seconds, for `retry_after`.
        stand_in: The only member when nothing was attempted; by default one fresh exception
            stands for each skip.
    """
    members: list[Exception] = [
        item.error for item in trail if isinstance(item, Attempt) and item.error is not None
    ]
    if not members:
        members = [stand_in] if stand_in is not None else list(_skip_errors(trail, now))
    causes = sorted(_causes(trail), key=lambda cause: _URGENCY[cause[2].kind])
    told = "; ".join(
        f"{name!r} {how}{fault.kind.value} ({_REMEDIES[fault.kind]})" for name, how, fault in causes
    )
    wait = _retry_after(trail, now)
    soonest = "" if wait is None else f"; retry after {wait:g} s"
    return kind(f"{what}: {told}{soonest}" if told else what + soonest, members, trail, wait)


def _causes(trail: Trail) -> Iterator[tuple[str, str, Fault]]:
    """Each provider with what stands behind its attempt or skip, and how to say which it was."""
    for item in trail:
        if isinstance(item, Attempt):
            if item.fault is not None:
                yield item.provider, "", item.fault
        elif item.cause is not None:
            yield item.provider, f"skipped, {item.reason} after ", item.cause


def _skip_errors(trail: Trail, now: float) -> Iterator[Exception]:
    refusing = {state.value for state in BreakerState}
    for item in trail:
        if isinstance(item, Skip):
            if item.reason in refusing:
                left = None if item.until is None else max(0.0, item.until - now)
                yield BreakerOpen(item.provider, item.reason, left, item.cause)
            else:
                yield NotEligible(item.provider, item.reason)


def _retry_after(trail: Sequence[Attempt | Skip], now: float) -> float | None:
    """Seconds until the first provider that named a time; one that failed plainly named none."""
    waits = []
    for item in trail:
        if isinstance(item, Skip):
            if item.until is not None:
                waits.append(item.until - now)
        elif item.fault is not None and item.fault.outcome is Outcome.HOLD:
            waits.append(item.started_at + item.duration + item.fault.hold_duration - now)
        elif item.fault is not None and item.fault.retry_after is not None:
            waits.append(item.started_at + item.duration + item.fault.retry_after - now)
    return max(0.0, min(waits)) if waits else None
