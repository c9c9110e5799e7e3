"""The dashboard shows what happened: every query of it is answered by a real Prometheus."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from fsm_fallback.telemetry.prometheus import PrometheusCollector
from fsm_fallback.telemetry.readings import HISTOGRAMS, METRICS
from tests.telemetry.prometheus_server import scraping
from tests.telemetry.traffic import Traffic

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "docs" / "grafana" / "fsm_fallback.json").read_text("utf-8")
)
PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
ALERTS = [
    line
    for block in re.findall(r"^```promql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if not line.startswith("#")
]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
QUERIES = [
    pytest.param(each["expr"], id=f"{panel['title']}-{each['refId']}".replace(" ", "_"))
    for panel in DASHBOARD["panels"]
    for each in panel["targets"]
]
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
# What Grafana puts in their place.
OF_GRAFANA = {"$__rate_interval": "1m", "$__range": "1h"}


def in_place(expression, **chosen):
    """An expression as Grafana sends it; several values of a variable are alternatives."""
    for name, value in OF_GRAFANA.items():
        expression = expression.replace(name, value)
    for name, values in chosen.items():
        expression = expression.replace(f"${name}", "|".join(map(re.escape, values)))
    assert "$" not in expression
    return expression.replace("\\", "\\\\")


def values_of(server, name, **chosen):
    """The values of a variable, as its query finds them."""
    series, label = LABEL_VALUES.fullmatch(VARIABLES[name]["query"]["query"]).groups()
    return server.ask(f"label/{label}/values", **{"match[]": in_place(series, **chosen)})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Prometheus that has seen two chains at work, before and after a scrape: rates need both."""
    traffics = [Traffic("chat"), Traffic("batch")]
    collector = PrometheusCollector(*(each.chain for each in traffics))
    with scraping(tmp_path_factory.mktemp("prometheus"), collector) as it:
        it.scraped()
        for _ in range(2):
            for each in traffics:
                each.play()
            it.scraped()
        yield it


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_an_answer_with_numbers(server, query):
    """For one chain of two, and the breakers that are its own."""
    chosen = {"chain": ["chat"], "breaker": values_of(server, "breaker", chain=["chat"])}
    answer = server.query(in_place(query, **chosen))

    assert answer
    assert any(math.isfinite(value) for value in answer.values())
    assert "batch" not in str(answer)


@pytest.mark.parametrize("alert", ALERTS)
def test_prometheus_understands_an_alert_of_the_page(server, alert):
    """Whether or not it is one now."""
    assert server.query(alert) is not None


def test_the_variables_offer_what_there_is(server):
    """The chains, and the breakers of those that are chosen."""
    assert values_of(server, "chain") == ["batch", "chat"]
    assert values_of(server, "breaker", chain=["chat"]) == [
        "chat/anthropic",
        "chat/mistral",
        "chat/openai",
    ]


def test_the_timeline_tells_every_state_by_its_own_colour():
    """Each number of its query stands for one state."""
    (timeline,) = [each for each in DASHBOARD["panels"] if each["type"] == "state-timeline"]
    (mapping,) = timeline["fieldConfig"]["defaults"]["mappings"]
    states = {number: told["text"] for number, told in mapping["options"].items()}
    colours = {told["color"] for told in mapping["options"].values()}
    asked = re.findall(r'(\d) \* \w+\{[^}]*state="(\w+)"', timeline["targets"][0]["expr"])

    assert dict(asked) == states
    assert len(colours) == len(states) == 6


def test_every_metric_has_its_place():
    """One that nobody shows is one that nobody sees."""
    shown = " ".join(query.values[0] for query in QUERIES)

    for metric in (*METRICS, *HISTOGRAMS):
        assert f"fsm_fallback_{metric.name.replace('.', '_')}" in shown


def test_every_query_asks_the_data_source_that_was_chosen():
    """A dashboard bound to one of ours would be of use to nobody."""
    sources = [
        each["datasource"]["uid"]
        for panel in DASHBOARD["panels"]
        for each in (panel, *panel["targets"])
    ]

    assert set(sources) == {"${datasource}"}
    assert VARIABLES["datasource"]["type"] == "datasource"


def test_no_two_panels_overlap():
    """Each has its own id and its own place, within 24 columns."""
    places = [each["gridPos"] for each in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for each in places
        for x in range(each["x"], each["x"] + each["w"])
        for y in range(each["y"], each["y"] + each["h"])
    ]

    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(places)
