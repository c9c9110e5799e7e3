"""The scripted hour of `docs/hour`: nothing is lost, strategies keep their word, fresh pages."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from docs.hour.__main__ import PAGE, files, play
from docs.hour.page import NEEDS, cost_of
from docs.hour.play import STRATEGIES, WRITTEN, stage
from docs.hour.recount import differences
from docs.hour.scene import ATTEMPT_TIMEOUT, MODELS, Hour, described
from fsm_fallback import AllProvidersFailed, Attempt, FaultKind, RequestRejected

SHORT = Hour.pressed_into(minutes=10)
MODEL = {model.name: model for model in MODELS}
LOOKS_AT_NEEDS = ("capability", "capability_latency", "cost")


@pytest.fixture(scope="module")
def short():
    """The calls of a short hour with all its faults, under each strategy."""
    return play(SHORT)


def attempts(calls):
    """Every attempt, with the call it is of."""
    return [(call, item) for call in calls for item in call.trail if isinstance(item, Attempt)]


def lacking(call, name):
    """What a model lacks that a call needs; None if nothing."""
    told = call.ask.request.images, call.ask.kind.input_tokens[1] + call.ask.kind.output_tokens[1]
    return MODEL[name].lacks(*told)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_request_of_the_hour_is_answered_or_accounted_for(short, name):
    """The answer is the trail's last attempt; an error holds the errors of all attempts."""
    calls = short[name]

    assert [call.ask for call in calls] == list(SHORT.asks())
    for call in calls:
        own = [item for item in call.trail if isinstance(item, Attempt)]
        errors = [item.error for item in own if item.error is not None]
        if call.error is None:
            assert call.trail[-1] is own[-1]
            assert (own[-1].provider, own[-1].fault) == (call.answered_by, None)
            assert len(errors) == len(own) - 1
        else:
            assert isinstance(call.error, (AllProvidersFailed, RequestRejected))
            assert call.answered_by is None
            assert len(errors) == len(own)
            assert [*call.error.exceptions][: len(errors)] == errors


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_a_caller_waits_is_what_the_attempts_take(short, name):
    """Time is virtual: nothing else takes any, and no attempt more than its limit."""
    for call in short[name]:
        taken = [item.duration for _, item in attempts([call])]

        assert math.isclose(call.duration, math.fsum(taken), abs_tol=1e-6)
        assert max(taken, default=0.0) <= ATTEMPT_TIMEOUT + 1e-6


def test_the_short_hour_has_every_trouble(short):
    """What is claimed of it is claimed of outages, limits, time-outs and spent credit."""
    kinds = {
        item.fault.kind for calls in short.values() for _, item in attempts(calls) if item.fault
    }

    assert kinds == {
        *(FaultKind.TRANSIENT, FaultKind.RATE_LIMIT, FaultKind.TIMEOUT, FaultKind.QUOTA),
        *(FaultKind.UNSUPPORTED, FaultKind.CONTEXT),
    }


@pytest.mark.parametrize("name", LOOKS_AT_NEEDS)
def test_no_request_goes_to_a_model_that_says_it_cannot_serve_it(short, name):
    """No picture to one without eyes, nothing beyond a window; the skips say so."""
    calls = short[name]

    assert not [call for call, item in attempts(calls) if lacking(call, item.provider) == "vision"]
    assert not {FaultKind.UNSUPPORTED, FaultKind.CONTEXT} & {
        item.fault.kind for _, item in attempts(calls) if item.fault
    }
    assert {
        item.reason for call in calls for item in call.trail if not isinstance(item, Attempt)
    } & NEEDS


def test_without_faults_nobody_is_cheaper_than_cost_optimized():
    """Of each single call, too: no other strategy finds anyone who answers it for less."""
    quiet = play(Hour(minutes=5, spells=()))
    cheapest = [cost_of([call]) for call in quiet["cost"]]

    for name, calls in quiet.items():
        assert all(call.error is None for call in calls)
        assert all(cost_of([call]) >= least for call, least in zip(calls, cheapest, strict=True))
        assert name == "cost" or cost_of(calls) > sum(cheapest, Decimal(0))


def test_the_same_hour_comes_to_the_same(short):
    """No clock but the script's, no chance but the seed's."""
    again = play(SHORT)

    def told(calls):
        return [
            (call.answered_by, call.began_at, call.ended_at, [each.provider for each in call.trail])
            for call in calls
        ]

    assert {name: told(calls) for name, calls in again.items()} == {
        name: told(calls) for name, calls in short.items()
    }


def test_a_chain_that_counted_anything_else_is_told_of(short):
    """The recount that `make hour` ends with can tell."""
    with stage("sequential", SHORT) as it:
        calls = it.play()

        assert not list(differences(calls, it.llm))
        assert len(list(differences(calls[:-1], it.llm))) >= 2  # a provider's, and the requests


def test_the_page_and_the_picture_are_fresh():
    """`make hour` writes them; the whole hour is played again here."""
    for path, text in files(play(Hour())).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make hour`"


@pytest.fixture
def told():
    """The table of strategies as the page has it: a row of words by head for each."""
    part = PAGE.read_text(encoding="utf-8").split("<!-- generated: hour, strategies -->")[1]
    heads, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in part.split("<!-- end")[0].splitlines()
        if line.startswith("|")
    ]
    read = [dict(zip(heads, row, strict=True)) for row in rows]
    return {
        name: next(row for row in read if row["strategy"] == f"`{WRITTEN[name]}`")
        for name in STRATEGIES
    }


def test_what_the_page_reads_out_of_its_table_is_so(told):
    """Each sentence of its reading that compares numbers."""

    def of(head):
        return {name: float(row[head]) for name, row in told.items()}

    cost, median, slowest, vain = of("USD"), of("p50, s"), of("p95, s"), of("in vain")
    assert all(0.2 < cost["cost"] / each < 0.3 for name, each in cost.items() if name != "cost")
    assert cost["capability"] == pytest.approx(cost["sequential"], rel=0.05)
    assert median["capability"] == pytest.approx(median["sequential"], rel=0.05)
    assert median["sequential"] < median["cost"] < median["latency"] < median["weight"]
    assert slowest["sequential"] < slowest["cost"] < slowest["latency"] < slowest["weight"]
    assert [name for name in STRATEGIES if not vain[name]] == [*LOOKS_AT_NEEDS]
    assert min(of("failed").values()) == 13


def test_nobody_was_left_for_thirteen_requests():
    """Pictures and documents, while all who can serve them are down or have no credit."""
    hour, missed = Hour(), []
    for ask in hour.asks():
        able = [m for m in MODELS if not m.lacks(ask.request.images, described(ask).input_tokens)]
        troubled = [m for m in able if hour.spell(m.name, ask.due_at)]
        missed += [ask] if troubled == able else []

    assert len(missed) == 13
    assert {ask.kind.name for ask in missed} == {"picture", "document"}
