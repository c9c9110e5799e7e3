"""`OpenTelemetryMetrics`: what an SDK collects is what a scrape of Prometheus would tell."""

from __future__ import annotations

import gc
import itertools
import math
import weakref
from random import Random

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from fsm_fallback import CircuitBreaker, ConfigurationError, FallbackProvider
from fsm_fallback.core.metrics import BUCKETS, Durations
from fsm_fallback.telemetry.opentelemetry import OpenTelemetryMetrics, values_between
from fsm_fallback.telemetry.prometheus import PrometheusCollector
from fsm_fallback.telemetry.readings import HISTOGRAMS, METRICS
from fsm_fallback.testing import ScriptedProvider
from tests.telemetry.traffic import Traffic

UNITS = {"s": "_seconds", "usd": "_usd", "": ""}


@pytest.fixture
def reader():
    """What a user's SDK has, and an exporter would read."""
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    """A user's SDK."""
    made = MeterProvider([reader], shutdown_on_exit=False)
    yield made
    made.shutdown()


def collected(reader):
    """The metrics of a collection, by name; nothing collected is none."""
    told = reader.get_metrics_data()
    return {
        metric.name: metric
        for resource in (() if told is None else told.resource_metrics)
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def points_of(metric):
    """The points of a metric by their attributes, those left out that are empty."""
    return {
        frozenset((k, v) for k, v in point.attributes.items() if v): point
        for point in metric.data.data_points
    }


def told(labels):
    """Labels that are not empty."""
    return frozenset((k, v) for k, v in labels.items() if v)


def test_values_are_those_of_a_scrape(reader, provider):
    """All of them, under the same names and attributes; transitions as they were listened to."""
    traffic = Traffic()
    OpenTelemetryMetrics(traffic.chain, meter_provider=provider)
    collector = PrometheusCollector(traffic.chain)
    traffic.play()
    found = collected(reader)

    families = {each.name: each for each in collector.collect()}
    for metric in METRICS:
        spelt = f"fsm_fallback_{metric.name.replace('.', '_')}{UNITS[metric.unit]}"
        points = points_of(found[f"fsm_fallback.{metric.name}"])
        assert {labels: point.value for labels, point in points.items()} == {
            told(each.labels): each.value for each in families[spelt].samples
        }


def test_histograms_have_the_buckets_and_the_sums_of_a_scrape(reader, provider):
    """Though they were recorded, and are not read."""
    traffic = Traffic()
    OpenTelemetryMetrics(traffic.chain, meter_provider=provider)
    traffic.play()
    traffic.call()
    found = collected(reader)
    dotted = {
        f"fsm_fallback_{each.name.replace('.', '_')}_seconds": f"fsm_fallback.{each.name}"
        for each in HISTOGRAMS
    }

    for (name, labels), seconds in traffic.seconds().items():
        point = points_of(found[dotted[name]])[labels]
        edges = (-math.inf, *BUCKETS, math.inf)
        assert point.explicit_bounds == BUCKETS
        assert point.count == len(seconds)
        assert point.sum == pytest.approx(sum(seconds))
        assert list(point.bucket_counts) == [
            sum(low < each <= high for each in seconds) for low, high in itertools.pairwise(edges)
        ]


def test_what_was_recorded_is_not_recorded_again(reader, provider):
    """A second collection without calls in between says the same."""
    traffic = Traffic()
    OpenTelemetryMetrics(traffic.chain, meter_provider=provider)
    traffic.play()
    counts = []
    for _ in range(2):
        points = points_of(collected(reader)["fsm_fallback.request.duration"])
        counts.append({labels: point.count for labels, point in points.items()})

    assert counts[0] == counts[1]
    assert sum(counts[0].values()) == traffic.calls


def test_two_readers_see_the_same(reader):
    """Each collects by itself, and neither takes what is the other's."""
    other = InMemoryMetricReader()
    provider = MeterProvider([reader, other], shutdown_on_exit=False)
    traffic = Traffic()
    OpenTelemetryMetrics(traffic.chain, meter_provider=provider)
    traffic.play()
    sums = [
        {labels: point.sum for labels, point in points_of(found).items()}
        for found in (collected(each)["fsm_fallback.request.duration"] for each in (reader, other))
    ]
    provider.shutdown()

    assert sums[0] == sums[1]


def test_units_are_those_that_the_names_for_prometheus_end_in(reader, provider):
    """Seconds, dollars, or none."""
    traffic = Traffic()
    OpenTelemetryMetrics(traffic.chain, meter_provider=provider)
    traffic.play()
    units = {name: metric.unit for name, metric in collected(reader).items()}

    assert {name: unit for name, unit in units.items() if unit} == {
        "fsm_fallback.breaker.call.duration": "s",
        "fsm_fallback.request.duration": "s",
        "fsm_fallback.cost": "usd",
    }


def test_sources_are_refused_as_by_the_collector_of_prometheus(provider):
    """Twins, and what is no source."""
    with pytest.raises(ConfigurationError, match="OpenTelemetryMetrics got 2 breakers named 'a'"):
        OpenTelemetryMetrics(CircuitBreaker("a"), CircuitBreaker("a"), meter_provider=provider)
    with pytest.raises(ConfigurationError, match="give a FallbackProvider"):
        OpenTelemetryMetrics("a", meter_provider=provider)


def test_what_is_no_meter_provider_is_refused():
    """With its type, not its words."""
    with pytest.raises(ConfigurationError, match=r"meter_provider is a dict; give a MeterProvider"):
        OpenTelemetryMetrics(meter_provider={"key": "secret"})


def test_sources_that_were_added_are_told_of(reader, provider):
    """From the next collection on."""
    metrics = OpenTelemetryMetrics(meter_provider=provider)
    metrics.add(CircuitBreaker("search"))

    points = points_of(collected(reader)["fsm_fallback.breaker.in_flight"])
    assert list(points) == [frozenset({("breaker", "search")})]


def test_a_closed_one_tells_nothing_and_keeps_nothing(reader, provider):
    """The provider keeps its instruments; nothing is behind them any more."""
    chain = FallbackProvider(ScriptedProvider("a", ["x"]), name="chat")
    metrics = OpenTelemetryMetrics(chain, meter_provider=provider)
    assert collected(reader)
    gone = weakref.ref(chain)
    metrics.close()
    metrics.close()
    del chain
    gc.collect()

    assert gone() is None
    assert not collected(reader)


def test_without_an_sdk_it_does_nothing():
    """The global provider of the API alone reads nothing."""
    OpenTelemetryMetrics(CircuitBreaker("search"))


@pytest.mark.parametrize("seed", range(50))
def test_recorded_values_fall_where_the_measured_ones_did(seed):
    """In each bucket as many, and the sum is theirs; edges of buckets and beyond the last too."""
    random = Random(seed)  # noqa: S311  # a draw of numbers
    edges = [0.0, *BUCKETS, 200.0, 5000.0]
    early = [random.lognormvariate(0, 2) for _ in range(random.randrange(4))]
    late = [random.choice([random.choice(edges), random.lognormvariate(0, 2)]) for _ in range(seed)]
    recorded = counted(values_between(counted(early), counted([*early, *late])))

    assert recorded.buckets == counted(late).buckets
    assert recorded.count == len(late)
    assert recorded.total == pytest.approx(sum(late))


def counted(values):
    """Durations, counted the slow way."""
    values = list(values)
    at_most = tuple(sum(each <= bound for each in values) for bound in BUCKETS)
    return Durations(len(values), math.fsum(values), at_most)
