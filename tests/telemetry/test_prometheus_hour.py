"""A real Prometheus scrapes the chains of the scripted hour, and has what their trails say."""

from __future__ import annotations

import contextlib
import math
from collections import Counter

import pytest

from docs.hour.play import STRATEGIES, stage
from docs.hour.recount import ends, recount
from docs.hour.scene import Hour
from fsm_fallback.telemetry.prometheus import PrometheusCollector
from tests.telemetry.prometheus_server import scraping

SHORT = Hour.pressed_into(minutes=10)


def recounted(name, calls):
    """Every sample of a counter that the trails of a chain come to, but those that are 0."""
    samples = Counter()

    def count(metric, value, **labels):
        told = frozenset((label, word) for label, word in labels.items() if word)
        samples[f"fsm_fallback_{metric}", told | {("chain", name)}] += value

    for (outcome, who), seconds in ends(calls).items():
        count("request_duration_seconds_count", len(seconds), outcome=outcome, provider=who)
    for who, booked in recount(calls).items():
        count("cost_usd_total", float(booked.cost), provider=who)
        count("tokens_total", booked.input_tokens, provider=who, direction="input")
        count("tokens_total", booked.output_tokens, provider=who, direction="output")
        for kind, times in booked.faults.items():
            count("faults_total", times, provider=who, fault=kind)
        for reason, times in booked.skips.items():
            count("skips_total", times, provider=who, reason=reason)
        for (other, why), times in booked.fallbacks.items():
            count("fallbacks_total", times, from_provider=who, to_provider=other, fault=why)
    return {sample: value for sample, value in samples.items() if value}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """A real Prometheus that has scraped all chains after their hours, and the calls."""
    with contextlib.ExitStack() as stack:
        stages = {name: stack.enter_context(stage(name, SHORT)) for name in STRATEGIES}
        collector = PrometheusCollector(*[each.llm for each in stages.values()])
        folder = tmp_path_factory.mktemp("prometheus")
        server = stack.enter_context(scraping(folder, collector))
        played = {name: each.play() for name, each in stages.items()}
        server.scraped()
        yield server, played


def test_prometheus_has_what_the_trails_of_the_hour_say(scraped):
    """Requests by end and provider, fallbacks, faults, skips, tokens, costs: to the last one."""
    server, played = scraped
    expected = {}
    for name, calls in played.items():
        expected |= recounted(name, calls)
    stored = {}
    for metric in {metric for metric, _ in expected}:
        found = server.query(f"{metric} != 0")
        stored |= {(metric, labels - {("__name__", metric)}): v for labels, v in found.items()}

    assert len({metric for metric, _ in expected}) == 6
    assert stored == expected


def test_prometheus_adds_up_what_the_callers_waited(scraped):
    """The seconds of each chain's calls."""
    server, played = scraped
    sums = server.query("sum by (chain) (fsm_fallback_request_duration_seconds_sum)")

    assert sums == {
        frozenset({("chain", name)}): pytest.approx(math.fsum(call.duration for call in calls))
        for name, calls in played.items()
    }
