"""Metrics for OpenTelemetry: instruments that are read when the user's SDK collects.

Only the API is needed; which SDK collects, and where that sends what it read, is the user's to say.
Names and labels are those of `PrometheusCollector`, with dots: what the road from here to a
Prometheus makes of them is what that tells.

OpenTelemetry has no histogram that is read. So what was counted since the last time is recorded
into one: as many values in each bucket as there were, with the sum of what was measured.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.metrics import BUCKETS, NO_DURATIONS, Durations
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.telemetry.fields import NAMESPACE
from fsm_fallback.telemetry.readings import (
    HISTOGRAMS,
    METRICS,
    Histogram,
    Labels,
    Metric,
    Reading,
    utf8,
)
from fsm_fallback.telemetry.sources import Source, Sources

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.metrics import Histogram as Instrument

    Observe = Callable[[CallbackOptions], Iterable[Observation]]

_EDGES: Final = (0.0, *BUCKETS, math.inf)


class OpenTelemetryMetrics:
    """The metrics of chains and breakers as instruments; needs the extra `opentelemetry`.

        OpenTelemetryMetrics(llm)

    As `PrometheusCollector`, of which it has names, labels, absences and refusals. Histograms have
    the buckets of `core.metrics.BUCKETS`; counts of buckets and the sum are exact, the least and
    the largest value are not. A view with other buckets makes them inexact.

    To be exact each value is recorded by itself, in the thread that collects: some 10 µs for each
    call since the last time, and of calls before the first all at once. Where a chain answers more
    than a thousand calls in a second, have `PrometheusCollector` read instead.

    The meter provider keeps it and what it reads; `close` lets go of that. Safe in threads.

    Args:
        sources: Chains, and breakers or registries used without one, each under its own name.
        meter_provider: Whose meter to use; None for the global one, also if that is set later.

    Raises:
        ConfigurationError: Naming everything that cannot be told of, or twins that nothing would
            tell apart; or if `opentelemetry-api` is not installed.
    """

    def __init__(self, *sources: Source, meter_provider: MeterProvider | None = None) -> None:
        try:
            from opentelemetry import metrics as api  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigurationError(
                "OpenTelemetryMetrics needs opentelemetry-api, which is not installed; "
                "pip install 'fsm-fallback[opentelemetry]'"
            ) from error
        provider = api.get_meter_provider() if meter_provider is None else meter_provider
        if not callable(getattr(provider, "get_meter", None)):
            raise ConfigurationError(
                f"OpenTelemetryMetrics.meter_provider is {shown(provider)}; give a MeterProvider"
            )
        self._sources = Sources("OpenTelemetryMetrics")
        self._sources.add(*sources)
        self._observation: Callable[[float, dict[str, str]], Observation] = api.Observation
        self._told: dict[tuple[str, Labels], Durations] = {}
        self._lock = Lock()
        meter = provider.get_meter(NAMESPACE)
        self._histograms: tuple[tuple[Histogram, Instrument], ...] = tuple(
            (
                each,
                meter.create_histogram(
                    _spelt(each.name),
                    unit="s",
                    description=each.help,
                    explicit_bucket_boundaries_advisory=BUCKETS,
                ),
            )
            for each in HISTOGRAMS
        )
        recording: list[Observe] = [self._record]  # with the first instrument that is read
        for metric in METRICS:
            create: Any = (
                meter.create_observable_counter
                if metric.kind == "counter"
                else meter.create_observable_gauge
            )
            callbacks = [*recording, self._observing(metric)]
            create(_spelt(metric.name), callbacks, unit=metric.unit, description=metric.help)
            recording.clear()

    def add(self, *sources: Source) -> None:
        """Tell of these as well.

        Raises:
            ConfigurationError: As the class; none was added.
        """
        self._sources.add(*sources)

    def close(self) -> None:
        """Tell of nothing any more, and let go of what was read. Idempotent."""
        self._sources = Sources("OpenTelemetryMetrics")

    def _observing(self, metric: Metric) -> Observe:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for labels, value in metric.read(Reading(self._sources)):
                yield self._observation(value, dict(zip(metric.labels, utf8(labels), strict=True)))

        return observe

    def _record(self, _: CallbackOptions) -> Iterable[Observation]:
        """Record what was counted since the last time; there is nothing to observe."""
        reading = Reading(self._sources)
        for histogram, instrument in self._histograms:
            for labels, durations in histogram.read(reading):
                attributes = dict(zip(histogram.labels, utf8(labels), strict=True))
                with self._lock:
                    key = (histogram.name, labels)
                    before = self._told.get(key, NO_DURATIONS)
                    if durations.count < before.count:
                        continue  # another reader was faster
                    self._told[key] = durations
                for value in values_between(before, durations):
                    instrument.record(value, attributes)
        return ()


def values_between(before: Durations, after: Durations) -> Iterator[float]:
    """Values that fall into the buckets as those did that were counted between, with their sum.

    All lie at the same part of the width of their buckets.
    """
    up_to = [late - early for early, late in zip(_at_most(before), _at_most(after), strict=True)]
    counts = [upper - lower for lower, upper in itertools.pairwise(up_to)]
    surplus = after.total - before.total - sum(map(operator.mul, counts, _EDGES))
    widths = [upper - lower for lower, upper in itertools.pairwise(_EDGES)]
    closed = sum(map(operator.mul, counts, widths[:-1]))
    widths[-1] = max(_EDGES[-2], (surplus - closed) / counts[-1]) if counts[-1] else 0.0
    room = closed + counts[-1] * widths[-1]
    part = min(1.0, max(0.0, surplus / room)) if room else 0.0
    for count, edge, width in zip(counts, _EDGES, widths, strict=False):
        # An edge belongs to the bucket that ends there.
        yield from itertools.repeat(
            max(edge + part * width, math.nextafter(edge, 1.0 + edge)), count
        )


def _at_most(durations: Durations) -> tuple[int, ...]:
    return (0, *durations.buckets, durations.count)


def _spelt(name: str) -> str:
    return f"{NAMESPACE}.{name}"
