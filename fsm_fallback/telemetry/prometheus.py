"""Metrics for Prometheus: a collector for `prometheus_client`, read when somebody scrapes.

Decides how metrics are spelt for Prometheus. No call waits for it, or does anything for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from fsm_fallback.core.bounds import Bound, shown
from fsm_fallback.core.metrics import BUCKETS, Durations
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.telemetry.fields import NAMESPACE
from fsm_fallback.telemetry.readings import (
    HISTOGRAMS,
    METRICS,
    Histogram,
    Metric,
    Reading,
    utf8,
)
from fsm_fallback.telemetry.sources import Source, Sources

if TYPE_CHECKING:
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

_WORD: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NAMESPACE: Final = Bound(
    lambda value: isinstance(value, str) and _WORD.fullmatch(value) is not None,
    "a word of letters, digits and underscores",
)


class PrometheusCollector:
    """A collector for a registry of `prometheus_client`; needs the extra `prometheus`.

        from prometheus_client import REGISTRY

        REGISTRY.register(PrometheusCollector(llm))

    Everything is read at the scrape. Transitions are counted by a listener from now on; those from
    before are not known. A ratio below `minimum_calls` is absent, not 0 or -1. The breakers of a
    chain are told as `chain/provider`, all others by their names.

    It keeps what it is given alive: `registry.unregister(collector)` and drop it to let go. One
    collector serves all chains of a registry. Safe in threads.

    Args:
        sources: Chains, and breakers or registries used without one. A chain inside another one is
            given as well if it is to be told of. Each under a name of its own.
        namespace: What the names of all metrics begin with.

    Raises:
        ConfigurationError: Naming everything that cannot be told of, or twins that nothing would
            tell apart; or if `prometheus_client` is not installed.
    """

    def __init__(self, *sources: Source, namespace: str = NAMESPACE) -> None:
        try:
            from prometheus_client import metrics_core  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigurationError(
                "PrometheusCollector needs prometheus_client, which is not installed; "
                "pip install 'fsm-fallback[prometheus]'"
            ) from error
        if not _NAMESPACE.accepts(namespace):
            raise ConfigurationError(
                f"PrometheusCollector.namespace is {shown(namespace)}; give {_NAMESPACE.wanted}"
            )
        self._families: Any = metrics_core
        self._namespace = namespace
        self._sources = Sources("PrometheusCollector")
        self._sources.add(*sources)

    def add(self, *sources: Source) -> None:
        """Tell of these as well.

        Raises:
            ConfigurationError: As the class; none was added.
        """
        self._sources.add(*sources)

    def describe(self) -> Iterator[Any]:
        """The metrics without samples, by which a registry refuses a second collector."""
        for metric in METRICS:
            yield self._family(metric)
        for histogram in HISTOGRAMS:
            yield self._histogram(histogram)

    def collect(self) -> Iterator[Any]:
        """The metrics as they are now."""
        reading = Reading(self._sources)
        for metric in METRICS:
            family = self._family(metric)
            for labels, value in metric.read(reading):
                family.add_metric(utf8(labels), value)
            yield family
        for histogram in HISTOGRAMS:
            spread = self._histogram(histogram)
            for labels, durations in histogram.read(reading):
                spread.add_metric(utf8(labels), _buckets(durations), durations.total)
            yield spread

    def _family(self, metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
        kind = (
            self._families.CounterMetricFamily
            if metric.kind == "counter"
            else self._families.GaugeMetricFamily
        )
        made: CounterMetricFamily | GaugeMetricFamily = kind(
            self._spelt(metric.name), metric.help, labels=metric.labels, unit=metric.unit
        )
        return made

    def _histogram(self, histogram: Histogram) -> HistogramMetricFamily:
        made: HistogramMetricFamily = self._families.HistogramMetricFamily(
            self._spelt(histogram.name), histogram.help, labels=histogram.labels, unit="seconds"
        )
        return made

    def _spelt(self, name: str) -> str:
        return f"{self._namespace}_{name.replace('.', '_')}"


_BOUNDS: Final = tuple(repr(float(bound)) for bound in BUCKETS)


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    return [*zip(_BOUNDS, durations.buckets, strict=True), ("+Inf", durations.count)]
