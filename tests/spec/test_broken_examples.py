"""The examples that are wrong on purpose are caught, each with a history one can read."""

from pathlib import Path

import pytest

from fsm_fallback.spec.subjects import check_thing, load

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "broken"
CAUGHT = {
    "strategy_that_drops:SMALLEST_FIRST": {"never-drops"},
    "classifier_that_blames:classify": {"cancellation-is-neutral"},
    "table_without_a_way_out:TABLE": {"can-always-close", "healed-round-closes"},
    "driver_that_forgets:drive": {"driver-settles-every-lease", "driver-ends-the-chain"},
}


def verdicts(name):
    """What the spec says of an example."""
    path = f"examples.broken.{name}"
    (section,) = check_thing(load(path), named=path)
    return section


def test_every_example_is_caught_here():
    """None lies in the folder unproved."""
    assert {name.partition(":")[0] for name in CAUGHT} == {p.stem for p in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize(("name", "promises"), CAUGHT.items())
def test_it_is_caught_for_what_is_wrong_with_it(name, promises):
    """By the properties its docstring speaks of, and with a history each."""
    section = verdicts(name)
    broken = {each.promise.id: each.history for each in section.verdicts if not each.kept}
    assert promises <= broken.keys()
    assert all(broken[promise] for promise in promises)


def test_the_strategy_is_shown_with_the_candidate_it_drops():
    """The smallest question: one candidate, and nobody in the answer."""
    history = next(
        each.history
        for each in verdicts("strategy_that_drops:SMALLEST_FIRST").verdicts
        if each.promise.id == "never-drops"
    )
    assert history == "order((a), now=0, sample=0) -> ()"


def test_the_classifier_is_shown_with_the_cancellation_it_blames():
    """Which exception, and what it was read as."""
    history = next(
        each.history
        for each in verdicts("classifier_that_blames:classify").verdicts
        if each.promise.id == "cancellation-is-neutral"
    )
    assert "CancelledError" in history
    assert "transient" in history


def test_the_table_is_refused_by_its_audit_and_shown_from_inside():
    """The audit names the state, the explorer the two steps into the trap."""
    section = verdicts("table_without_a_way_out:TABLE")
    assert section.problems == (
        "without a way out: no way leads from 'half_open' to the initial state",
    )
    told = {each.broken.promise.id: each for each in section.counterexamples}
    assert told["can-always-close"].story().splitlines()[1:3] == [
        "  1. breaker 'a' grants lease 1 [open -> half_open, T3]",
        "  2. lease 1 of breaker 'a' comes back: fail (transient) [half_open, T21]",
    ]


def test_the_driver_is_shown_with_the_lease_it_forgets():
    """One provider, one interruption, one lease out."""
    history = next(
        each.history
        for each in verdicts("driver_that_forgets:drive").verdicts
        if each.promise.id == "driver-settles-every-lease"
    )
    assert history == (
        "'a' is closed and is interrupted -> called a; came to KeyboardInterrupt; the chain is "
        "calling; 'a' has 1 lease(s) out"
    )
