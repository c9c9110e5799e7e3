"""The trail of a call: every attempt and every skip, and the exception they amount to.

Decides how a trail is told: which members the exception group holds, which cause leads its message,
when the caller may come back. Knows nothing of how the walk went on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
from fsm_fallback.core.prices import added
from fsm_fallback.errors import BreakerOpen, ChainFailed, NotEligible

if TYPE_CHECKING:
    from decimal import Decimal


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

    @property
    def info(self) -> ModelInfo:
        """What is known of its model."""
        ...

    def opens_at(self, now: float) -> float:
        """When its breaker may admit: `now` if now, infinite if nobody knows."""
        ...

    def latency(self, now: float) -> float | None:
        """Seconds an answer takes lately, decayed until now; None before the first attempt."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls that are out."""
        ...

    def success_ratio(self, now: float) -> float | None:
        """Answers among its latest 100 attempts, what failed forgiven until now with time.

        None before the first.
        """
        ...

    @property
    def recovered_at(self) -> float | None:
        """When a round of probes closed its breaker, in the clock's seconds.

        None where none did, or an operator closed it; infinite while it is open.
        """
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
        first_output: Seconds from admission to the first output of a stream; None where there was
            none.
        usage: The tokens it took, where the provider said so; a `Usage`.
        trail: The attempts and skips of a chain that was asked as a provider.
        held_until: When its breaker may admit again, in the clock's seconds, where the fault has it
            held; None where not, or where nobody knows.
        cost: US dollars, where its tokens and its price are known; of a chain, of all its attempts.
    """

    provider: str
    number: int
    fault: Fault | None
    error: Exception | None
    started_at: float
    duration: float
    first_output: float | None = None
    usage: Any = None
    trail: tuple[Attempt | Skip, ...] = ()
    held_until: float | None = None
    cost: Decimal | None = None


@attrs.frozen
class Skip:
    """A provider that was not called.

    Attributes:
        provider: Its name.
        reason: The breaker's state that refused (`"open"`, `"half_open"`, `"forced_open"`), or the
            need the provider lacks (`"context_window"`).
        until: When its breaker may admit again, in the clock's seconds; None if nobody knows.
        cause: The fault behind the refusal; None where there is none.
        breaker: Which breaker refused, where it is not the provider's own but its account's.
    """

    provider: str
    reason: str
    until: float | None = None
    cause: Fault | None = None
    breaker: str | None = None


@attrs.frozen
class StreamReset:
    """Stands in a stream where it begins anew: what came before it is of no worth any more.

    Attributes:
        provider: Whose stream follows.
        after: Whose stream broke.
        fault: Why it broke.
    """

    provider: str
    after: str
    fault: Fault | None


Trail = tuple[Attempt | Skip, ...]


def total_cost(trail: Trail) -> Decimal | None:
    """What the attempts cost whose cost is known; None if that is none."""
    costs = [each.cost for each in trail if isinstance(each, Attempt) and each.cost is not None]
    return added(*costs) if costs else None


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
    FaultKind.CANCELLED: "cut by the deadline, not counted",
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
    told = "; ".join(_told_once(sorted(_telling(trail), key=_urgency)))
    waits = [_wait_of(item, now) for item in trail]
    named = [wait for wait in waits if wait is not None]
    retry_after = min(named, default=None)
    # A provider that failed plainly may be well by now: then no time is worth words.
    plain = any(
        isinstance(item, Attempt) and wait is None for item, wait in zip(trail, waits, strict=True)
    )
    soonest = "" if retry_after is None or plain else f"; retry after {retry_after:g} s"
    return kind(f"{what}: {told}{soonest}" if told else what, members, trail, retry_after)


def _telling(trail: Trail) -> Iterator[Attempt | Skip]:
    """What tells why nobody answered; of a chain that was asked, what tells that of it."""
    for item in trail:
        if isinstance(item, Skip):
            yield item
        elif item.fault is not None:
            inner = tuple(_telling(item.trail)) if isinstance(item.error, ChainFailed) else ()
            for each in inner:
                yield attrs.evolve(each, provider=f"{item.provider}/{each.provider}")
            if not inner:
                yield item


def _told_once(items: Iterable[Attempt | Skip]) -> Iterator[str]:
    """Each in words; what was said before is counted."""
    for words, times in Counter(map(_words, items)).items():
        yield words if times == 1 else f"{words}, {times} times"


def _fault_of(item: Attempt | Skip) -> Fault | None:
    return item.fault if isinstance(item, Attempt) else item.cause


def _urgency(item: Attempt | Skip) -> int:
    """What an operator did, or a missing need, leads: nobody else can undo it."""
    fault = _fault_of(item)
    return -1 if fault is None else _URGENCY[fault.kind]


def _words(item: Attempt | Skip) -> str:
    fault = _fault_of(item)
    because = "" if fault is None else f"{fault.kind.value} ({_REMEDIES[fault.kind]})"
    if isinstance(item, Attempt):
        return f"{item.provider!r} {because}"
    after = f" after {because}" if because else ""
    which = f"{item.breaker} " if item.breaker else ""
    return f"{item.provider!r} skipped, {which}{item.reason}{after}"


def _skip_errors(trail: Trail, now: float) -> Iterator[Exception]:
    refusing = {state.value for state in BreakerState}
    for item in trail:
        if isinstance(item, Skip):
            if item.reason in refusing:
                left = None if item.until is None else max(0.0, item.until - now)
                yield BreakerOpen(item.provider, item.reason, left, item.cause)
            else:
                yield NotEligible(item.provider, item.reason)


def _wait_of(item: Attempt | Skip, now: float) -> float | None:
    """Seconds until the time that was named for a provider; None if none was."""
    if isinstance(item, Skip):
        return None if item.until is None else max(0.0, item.until - now)
    if item.held_until is not None:
        return max(0.0, item.held_until - now)
    if item.fault is None:
        return None
    wait = item.fault.retry_after
    if item.fault.outcome is Outcome.HOLD:
        wait = item.fault.hold_duration
    return None if wait is None else max(0.0, item.started_at + item.duration + wait - now)
