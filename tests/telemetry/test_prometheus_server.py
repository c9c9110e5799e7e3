"""A real Prometheus scrapes a real exporter, and knows what happened."""

from __future__ import annotations

import pytest

from fsm_fallback.telemetry.prometheus import PrometheusCollector
from fsm_fallback.telemetry.readings import METRICS
from tests.telemetry.prometheus_server import scraping
from tests.telemetry.traffic import PROMPT, SECRET, Traffic


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Traffic, and a Prometheus that has seen all of it."""
    traffic = Traffic()
    with scraping(tmp_path_factory.mktemp("prometheus"), PrometheusCollector(traffic.chain)) as it:
        traffic.play()
        it.scraped()
        yield traffic, it


def test_prometheus_has_every_counter_as_the_trails_have_it(scene):
    """All that are not 0, from the first scrape to the last."""
    traffic, server = scene
    stored = {}
    for name in {name for name, _ in traffic.recount()}:
        found = server.query(f"{name} != 0")
        stored |= {(name, labels - {("__name__", name)}): v for labels, v in found.items()}

    assert stored == traffic.recount()


def test_prometheus_adds_up_the_seconds_of_the_calls(scene):
    """The sum of a histogram is the sum of the trails."""
    traffic, server = scene
    seconds = sum(took for _, _, _, took in traffic.trails())

    assert server.query("sum(fsm_fallback_request_duration_seconds_sum)") == {
        frozenset(): pytest.approx(seconds)
    }


def test_prometheus_knows_each_metric_by_its_type_and_its_help(scene):
    """A counter goes by its name without `_total` there."""
    _, server = scene
    known = {
        name: (told[0]["type"], bool(told[0]["help"]))
        for name, told in server.ask("metadata").items()
        if name.startswith("fsm_fallback_")
    }
    units = {"cost": "_usd"}

    assert known == {
        **{
            f"fsm_fallback_{each.name.replace('.', '_')}{units.get(each.name, '')}": (
                each.kind,
                True,
            )
            for each in METRICS
        },
        "fsm_fallback_breaker_call_duration_seconds": ("histogram", True),
        "fsm_fallback_request_duration_seconds": ("histogram", True),
    }


def test_no_label_in_prometheus_holds_what_was_said(scene):
    """Names, states, kinds of faults: nothing of a prompt, an answer, a key, an exception."""
    _, server = scene
    labels = server.ask("labels")
    values = {value for label in labels for value in server.ask(f"label/{label}/values")}

    assert {"openai", "anthropic", "mistral", "transient"} <= values
    assert not [value for value in values if SECRET in value or PROMPT in value]
