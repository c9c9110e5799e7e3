"""What was counted: attempts, skips, fallbacks, tokens, times; and the tallies that count it.

Nothing here decides anything. A tally is not thread-safe: whoever owns one has a lock. The views
are frozen; what they count is what the trails of all calls say, which a naive recount proves.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from fsm_fallback.core.outcome import FailOver, Fault, FaultKind, Outcome, Scope
from fsm_fallback.core.prices import added

if TYPE_CHECKING:
    from decimal import Decimal

BUCKETS: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
"""Upper bounds of the buckets, in seconds: those the semantic conventions of OpenTelemetry advise
for the time a model takes (`gen_ai.client.operation.duration`)."""

SUCCESS: Final = Outcome.SUCCESS.value

Told = tuple[Any, int, float, float, int, int]
"""An answer at the first attempt: what `events.Answered` is called with, after itself."""


@attrs.frozen
class Durations:
    """How long something took, in buckets.

    Attributes:
        count: How many there were.
        total: Seconds of all of them.
        buckets: For each bound of `BUCKETS`, how many took that long at most.
    """

    count: int
    total: float
    buckets: tuple[int, ...]

    def __add__(self, other: Durations) -> Durations:
        """Both."""
        return Durations(
            self.count + other.count,
            self.total + other.total,
            tuple(map(sum, zip(self.buckets, other.buckets, strict=True))),
        )


NO_DURATIONS: Final = Durations(0, 0.0, (0,) * len(BUCKETS))


def measured(durations: Sequence[float]) -> Durations:
    """Durations, at least one, in buckets."""
    count, total = len(durations), math.fsum(durations)
    first, last = bisect_left(BUCKETS, min(durations)), bisect_left(BUCKETS, max(durations))
    if first == last:  # all in one, as calls alike are
        return Durations(count, total, (0,) * first + (count,) * (len(BUCKETS) - first))
    ordered = sorted(durations)
    return Durations(count, total, tuple(bisect_right(ordered, bound) for bound in BUCKETS))


@attrs.frozen(kw_only=True)
class ProviderMetrics:
    """What a chain has counted of one provider since it was made.

    An attempt is counted when it has ended.

    Attributes:
        provider: Its name.
        attempts: How often it was called; the calls whose caller left are in it.
        successes: How often it answered.
        faults: How often it did not, by kind of fault.
        abandoned: How often the caller left.
        skips: How often it was passed over, by reason: the state of a breaker, or a need.
        fallbacks: How often another one was called next in the same call, by that one's name and
            why: the kind of fault or the reason of the skip.
        input_tokens: Tokens that went in, cached ones included; counted where its price is known,
            None before the first answer that told any.
        output_tokens: Tokens that came out; as above.
        cached_tokens: Tokens of the input that were read from a cache; as above.
        cost: US dollars of those tokens; None while nothing of it is known.
        durations: The times its attempts took, by what they mean for its breaker: `"success"`,
            `"failure"`, `"neutral"`, `"hold"`.
    """

    provider: str
    attempts: int
    successes: int
    faults: Mapping[str, int]
    abandoned: int
    skips: Mapping[str, int]
    fallbacks: Mapping[tuple[str, str], int]
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost: Decimal | None
    durations: Mapping[str, Durations]


class DurationTally:
    """Counts durations."""

    __slots__ = ("buckets", "count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.buckets = [0] * len(BUCKETS)

    def add(self, some: Durations) -> None:
        """Count some more."""
        self.count += some.count
        self.total += some.total
        self.buckets = list(map(operator.add, self.buckets, some.buckets))

    def view(self) -> Durations:
        """What has been counted."""
        return Durations(self.count, self.total, tuple(self.buckets))


class DurationTallies:
    """Counts durations of several sorts."""

    __slots__ = ("sorts",)

    def __init__(self) -> None:
        self.sorts: dict[Any, DurationTally] = {}

    def add(self, sort: object, some: Durations) -> None:
        """Count some of one sort."""
        tally = self.sorts.get(sort)
        if tally is None:
            tally = self.sorts[sort] = DurationTally()
        tally.add(some)

    def view(self) -> dict[Any, Durations]:
        """What has been counted, by sort."""
        return {sort: tally.view() for sort, tally in self.sorts.items()}


_LATEST: Final = 100
_MOST_REASONS: Final = 100
OTHER: Final = "other"
"""Reason of the skips for a hundredth need and all after it."""


class ProviderTally:
    """Counts what a provider did. Not thread-safe."""

    __slots__ = (
        "_failed",
        "_judged",
        "abandoned",
        "attempts",
        "cached_tokens",
        "cost",
        "durations",
        "fallbacks",
        "faults",
        "input_tokens",
        "name",
        "output_tokens",
        "run",
        "skips",
        "successes",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempts = self.successes = self.abandoned = 0
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.cost: Decimal | None = None
        self.faults: Counter[str] = Counter()
        self.skips: Counter[str] = Counter()
        self.fallbacks: Counter[tuple[str, str]] = Counter()
        self.durations = DurationTallies()
        self.run = 0
        self._judged = 0
        self._failed: deque[int] = deque(maxlen=_LATEST)

    def answered(self, count: int = 1) -> None:
        """Count attempts that were answered."""
        self.attempts += count
        self.successes += count
        self._judged += count
        self.run = 0

    def failed(self, kind: str, *, is_setback: bool) -> None:
        """Count an attempt that was not answered, for a fault of a kind."""
        self.attempts += 1
        self.faults[kind] += 1
        if is_setback:
            self.run += 1
            self._failed.append(self._judged)
            self._judged += 1

    def skipped(self, reason: str) -> None:
        """Count that it was passed over; needs without end, as requests may have, as one."""
        if reason not in self.skips and len(self.skips) >= _MOST_REASONS:
            reason = OTHER
        self.skips[reason] += 1

    def fell_back(self, name: str, reason: str) -> None:
        """Count that another was called next."""
        self.fallbacks[name, reason] += 1

    def left(self) -> None:
        """Count an attempt whose caller left."""
        self.attempts += 1
        self.abandoned += 1

    def used(self, usage: Any, price: Any) -> None:
        """Count the tokens of an answer, and what they cost."""
        cost = cost_of(price, usage)
        self.input_tokens = _more(self.input_tokens, usage.input_tokens)
        self.output_tokens = _more(self.output_tokens, usage.output_tokens)
        self.cached_tokens = _more(self.cached_tokens, usage.cached_tokens)
        if cost is not None:
            self.cost = cost if self.cost is None else added(self.cost, cost)

    @property
    def never_failed_lately(self) -> bool:
        """Whether it answered all of them."""
        return not self._failed

    @property
    def success_ratio(self) -> float | None:
        """Answers among the latest 100 attempts that say something; None before the first."""
        judged, failed = self._judged, self._failed
        while failed and failed[0] < judged - _LATEST:
            failed.popleft()
        if not judged:
            return None
        return 1.0 - len(failed) / min(judged, _LATEST)

    def view(self) -> ProviderMetrics:
        """What has been counted."""
        return ProviderMetrics(
            provider=self.name,
            attempts=self.attempts,
            successes=self.successes,
            faults=MappingProxyType(dict(self.faults)),
            abandoned=self.abandoned,
            skips=MappingProxyType(dict(self.skips)),
            fallbacks=MappingProxyType(dict(self.fallbacks)),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            cost=self.cost,
            durations=MappingProxyType(self.durations.view()),
        )


def cost_of(price: Any, usage: Any) -> Decimal | None:
    """US dollars of the tokens of an answer; None where price or tokens are not known."""
    if price is None or usage is None:
        return None
    into, out = tokens(usage.input_tokens), tokens(usage.output_tokens)
    if into is None or out is None:
        return None
    try:
        cost: Decimal = price.cost(into, out, tokens(usage.cached_tokens) or 0)
    except Exception:  # noqa: BLE001  # a price of the user's own; an answer is worth more
        return None
    return cost


def _more(counted: int | None, told: object) -> int | None:
    """A sum with what was told; None while nothing was."""
    more = tokens(told)
    return counted if more is None else (counted or 0) + more


def tokens(count: object) -> int | None:
    """A number of tokens; None for what is none, for an answer may say anything of itself."""
    return count if type(count) is int and count >= 0 else None


class Meaning(NamedTuple):
    """What a fault means to the tallies, without the words of whoever raised it.

    Attributes:
        kind: Its kind, as text.
        outcome: What it means for the breaker, as text.
        is_setback: Whether it says that its provider did not serve, be it broken or held.
        is_no_use: Whether it says that somebody else might have served.
    """

    kind: str
    outcome: str
    is_setback: bool
    is_no_use: bool


_MEANINGS: Final[dict[tuple[FaultKind, Scope], Meaning]] = {}


def meaning_of(fault: Fault) -> Meaning:
    """What a fault means; it follows from its kind and scope."""
    known = _MEANINGS.get((fault.kind, fault.scope))
    if known is None:
        known = _MEANINGS[fault.kind, fault.scope] = Meaning(
            fault.kind.value,
            fault.outcome.value,
            fault.outcome in (Outcome.FAILURE, Outcome.HOLD),
            fault.fail_over is not FailOver.NO and fault.scope is not Scope.NONE,
        )
    return known


def took(told: Iterable[Told]) -> list[float]:
    """How long answers took; where the clock went back in between, nobody knows."""
    durations = [each[3] - each[2] for each in told]
    return durations if min(durations) >= 0 else [max(0.0, each) for each in durations]
