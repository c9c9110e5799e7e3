"""What exporters tell: every metric once, and where its samples come from.

Everything is read when somebody asks. Refuses to know how a metric is spelt or sent; that is for
`prometheus` and `opentelemetry`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

import attrs

from fsm_fallback.core.breaker import OPERATORS
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.metrics import Durations, ProviderMetrics
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.telemetry import fields as f
from fsm_fallback.telemetry.sources import Move, Sources

Labels = tuple[str, ...]
Sample = tuple[Labels, float]
Spread = tuple[Labels, Durations]
"""A sample of a histogram."""

_NOBODY: Final = ""
"""The provider of a call that none answered: an empty label is one that is not there."""

_OWN_MOVES: Final[dict[Move, int]] = {
    (row.source.value, row.target.value, row.trigger): 0
    for row in BREAKER.rows
    if row.target is not None and row.trigger not in OPERATORS
}


class Reading:
    """All there is to tell at one instant; what was read once stays so.

    Args:
        sources: Whom to read.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    @functools.cached_property
    def _snapshots(self) -> Mapping[str, BreakerSnapshot]:
        return {name: each.snapshot() for name, each in self._sources.breakers().items()}

    @functools.cached_property
    def _providers(self) -> tuple[tuple[str, str, ProviderMetrics], ...]:
        """Chain, provider, and what that did."""
        return tuple(
            (chain.name, name, metrics)
            for chain in self._sources.chains
            for name, metrics in chain.metrics().items()
        )

    # Breakers -------------------------------------------------------------------------------

    def states(self) -> Iterator[Sample]:
        """1 for the state a breaker is in, 0 for the five others."""
        for name, snapshot in self._snapshots.items():
            for state in BreakerState:
                yield (name, state.value), float(state is snapshot.state)

    def transitions(self) -> Iterator[Sample]:
        """How often a breaker made a move since it is listened to.

        Of those it makes by itself also 0: nobody sees a counter rise that begins at 1.
        """
        for name in self._snapshots:
            for move, count in (_OWN_MOVES | self._sources.moves.of(name)).items():
                yield (name, *move), count

    def not_permitted(self) -> Iterator[Sample]:
        """How many calls a breaker refused."""
        for name, snapshot in self._snapshots.items():
            yield (name,), snapshot.not_permitted

    def failure_ratios(self) -> Iterator[Sample]:
        """The failure ratio, where there are calls enough for one."""
        for name, snapshot in self._snapshots.items():
            if snapshot.failure_ratio is not None:
                yield (name,), snapshot.failure_ratio

    def slow_call_ratios(self) -> Iterator[Sample]:
        """As above, where slow calls are watched."""
        for name, snapshot in self._snapshots.items():
            if snapshot.slow_call_ratio is not None:
                yield (name,), snapshot.slow_call_ratio

    def in_flight(self) -> Iterator[Sample]:
        """Leases that are out."""
        for name, snapshot in self._snapshots.items():
            yield (name,), snapshot.in_flight

    def call_durations(self) -> Iterator[Spread]:
        """How long the attempts behind a breaker took; of two of one name the first, as above."""
        told: set[str] = set()
        for chain, provider, metrics in self._providers:
            name = f"{chain}/{provider}"
            if name in told:
                continue
            told.add(name)
            for outcome, durations in metrics.durations.items():
                yield (name, outcome), durations

    # Chains ---------------------------------------------------------------------------------

    def request_durations(self) -> Iterator[Spread]:
        """How long calls of a chain took."""
        for chain in self._sources.chains:
            for (outcome, provider), durations in chain.requests().items():
                yield (chain.name, outcome, provider or _NOBODY), durations

    def fallbacks(self) -> Iterator[Sample]:
        """How often a call went on from one provider to another."""
        for chain, provider, metrics in self._providers:
            for (target, fault), count in metrics.fallbacks.items():
                yield (chain, provider, target, fault), count

    def faults(self) -> Iterator[Sample]:
        """How often an attempt failed."""
        for chain, provider, metrics in self._providers:
            for fault, count in metrics.faults.items():
                yield (chain, provider, fault), count

    def skips(self) -> Iterator[Sample]:
        """How often a provider was not called."""
        for chain, provider, metrics in self._providers:
            for reason, count in metrics.skips.items():
                yield (chain, provider, reason), count

    def tokens(self) -> Iterator[Sample]:
        """Tokens that providers said they took."""
        for chain, provider, metrics in self._providers:
            for direction, count in (
                ("input", metrics.input_tokens),
                ("output", metrics.output_tokens),
                ("cached", metrics.cached_tokens),
            ):
                if count is not None:
                    yield (chain, provider, direction), count

    def costs(self) -> Iterator[Sample]:
        """What those tokens cost, where prices are known."""
        for chain, provider, metrics in self._providers:
            if metrics.cost is not None:
                yield (chain, provider), float(metrics.cost)


def utf8(labels: Labels) -> Labels:
    """Labels that can be written as UTF-8: half of a surrogate pair would break all the rest."""
    return tuple(each.encode(errors="backslashreplace").decode() for each in labels)


@attrs.frozen(kw_only=True)
class Metric:
    """A metric of single values.

    Attributes:
        name: Without the namespace.
        kind: `"gauge"` goes up and down, `"counter"` only up.
        unit: What it is counted in; empty for a plain number.
        labels: What samples differ by, in order.
        help: What it says, in one sentence.
        read: Its samples.
    """

    name: str
    kind: Literal["gauge", "counter"]
    unit: str = ""
    labels: Labels
    help: str
    read: Callable[[Reading], Iterator[Sample]]


@attrs.frozen(kw_only=True)
class Histogram:
    """A metric of seconds, told as a distribution; as above."""

    name: str
    labels: Labels
    help: str
    read: Callable[[Reading], Iterator[Spread]]


METRICS: Final = (
    Metric(
        name=f.BREAKER_STATE,
        kind="gauge",
        labels=(f.BREAKER, f.STATE),
        help="1 for the state the breaker is in, 0 for each other.",
        read=Reading.states,
    ),
    Metric(
        name=f.BREAKER_TRANSITIONS,
        kind="counter",
        labels=(f.BREAKER, f.FROM_STATE, f.TO_STATE, f.TRIGGER),
        help="Moves of the breaker since the exporter listens to it.",
        read=Reading.transitions,
    ),
    Metric(
        name=f.BREAKER_NOT_PERMITTED,
        kind="counter",
        labels=(f.BREAKER,),
        help="Calls the breaker refused.",
        read=Reading.not_permitted,
    ),
    Metric(
        name=f.BREAKER_FAILURE_RATIO,
        kind="gauge",
        labels=(f.BREAKER,),
        help="Failures among the calls in the window; absent below minimum_calls.",
        read=Reading.failure_ratios,
    ),
    Metric(
        name=f.BREAKER_SLOW_CALL_RATIO,
        kind="gauge",
        labels=(f.BREAKER,),
        help="Slow calls among those in the window; absent as above, or where none are watched.",
        read=Reading.slow_call_ratios,
    ),
    Metric(
        name=f.BREAKER_IN_FLIGHT,
        kind="gauge",
        labels=(f.BREAKER,),
        help="Calls the breaker admitted that have not ended.",
        read=Reading.in_flight,
    ),
    Metric(
        name=f.FALLBACKS,
        kind="counter",
        labels=(f.CHAIN, f.FROM_PROVIDER, f.TO_PROVIDER, f.FAULT),
        help="Calls that went on to another provider, by the fault or the skip that made them.",
        read=Reading.fallbacks,
    ),
    Metric(
        name=f.FAULTS,
        kind="counter",
        labels=(f.CHAIN, f.PROVIDER, f.FAULT),
        help="Attempts that failed, by the kind of the fault.",
        read=Reading.faults,
    ),
    Metric(
        name=f.SKIPS,
        kind="counter",
        labels=(f.CHAIN, f.PROVIDER, f.REASON),
        help="Calls that passed the provider over, by the reason.",
        read=Reading.skips,
    ),
    Metric(
        name=f.TOKENS,
        kind="counter",
        labels=(f.CHAIN, f.PROVIDER, f.DIRECTION),
        help="Tokens told, where a price is known; those read from a cache are input as well.",
        read=Reading.tokens,
    ),
    Metric(
        name=f.COST,
        kind="counter",
        unit="usd",
        labels=(f.CHAIN, f.PROVIDER),
        help="US dollars those tokens cost; absent where no price is known.",
        read=Reading.costs,
    ),
)
HISTOGRAMS: Final = (
    Histogram(
        name=f.BREAKER_CALL_DURATION,
        labels=(f.BREAKER, f.OUTCOME),
        help="Seconds that attempts of a chain took, by what their breaker booked.",
        read=Reading.call_durations,
    ),
    Histogram(
        name=f.REQUEST_DURATION,
        labels=(f.CHAIN, f.OUTCOME, f.PROVIDER),
        help="Seconds that calls of a chain took, by their end and by who answered.",
        read=Reading.request_durations,
    ),
)
