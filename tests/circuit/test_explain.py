"""`explain`: what a person on call reads, in each state."""

import pytest

from fsm_fallback import BreakerState, Fault, FaultKind

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT, message="sk-MARKER")


def lines(circuit):
    """The lines of the explanation, without their indentation."""
    return [line.strip() for line in circuit.explain().splitlines()]


def test_a_closed_one_says_what_it_has_seen_and_when_it_opens(make, clock):
    """Since when it has been closed, and that everybody is let through."""
    circuit = make(minimum_calls=5)
    circuit.acquire().succeed()
    circuit.acquire().fail(DOWN)
    lease = circuit.acquire()
    clock.advance(12.0)
    assert lines(circuit) == [
        "breaker 'openai' is closed, for 12.0 s",
        "1 calls in flight, 0 refused so far",
        "1 of 2 calls in the window failed; opens at 0.5 of 5 or more",
        "next: every call is let through",
    ]
    lease.release()


def test_one_that_watches_slow_calls_says_how_many_there_are(make, clock):
    """Those that hang among them."""
    circuit = make(minimum_calls=5, slow_call_duration=2.5, slow_call_ratio=0.75)
    lease = circuit.acquire()
    clock.advance(2.5)
    assert "1 took 2.5 s or longer; opens at 0.75 of them" in lines(circuit)
    lease.release()


def test_an_open_one_says_why_and_until_when(circuit, clock):
    """By the kind of fault, never in the provider's words; then how it goes on."""
    circuit.acquire().fail(DOWN)
    circuit.try_acquire()
    clock.advance(10.0)
    assert lines(circuit) == [
        "breaker 'openai' is open, for 10.0 s",
        "because of: transient",
        "0 calls in flight, 1 refused so far",
        "next: after 20.0 s the first caller is a probe; 1 decide",
    ]
    assert "MARKER" not in circuit.explain()


def test_an_open_one_whose_time_is_over_waits_for_a_caller(circuit, clock):
    """It stands OPEN until one comes."""
    circuit.acquire().fail(DOWN)
    clock.advance(30.0)
    assert lines(circuit)[-1] == "next: from now on the first caller is a probe; 1 decide"


def test_the_time_that_is_left_may_end_at_zero(make, clock):
    """A clock counts from where it likes."""
    clock.advance(-30.0)
    circuit = make(open_duration=30.0)
    circuit.acquire().fail(DOWN)
    assert circuit.snapshot().open_until == 0.0
    assert lines(circuit)[-1].startswith("next: after 30.0 s ")


def test_a_series_of_openings_is_told(make, clock):
    """Each lasts longer, so this one is no accident."""
    circuit = make()
    for _ in range(3):
        circuit.acquire().fail(DOWN)
        clock.advance(circuit.snapshot().open_until - clock())
    assert "opening number 3 of a series; each lasts longer, up to the cap" in lines(circuit)


def test_a_series_of_holds_is_told(circuit, clock):
    """The provider said so again and again."""
    for _ in range(2):
        circuit.acquire().settle(Fault(FaultKind.QUOTA))
        clock.advance(circuit.snapshot().open_until - clock())
    assert "because of: quota" in lines(circuit)
    assert "held 2 times in a row by what the provider said" in lines(circuit)


def test_a_half_open_one_says_how_its_round_stands(make, clock):
    """How many probes are out, how many came back, how many are wanted."""
    circuit = make(probe_calls=4, probe_concurrency=2)
    circuit.acquire().fail(DOWN)
    clock.advance(30.0)
    circuit.acquire().succeed()
    probes = [circuit.acquire(), circuit.acquire()]
    assert lines(circuit) == [
        "breaker 'openai' is half_open, for 0.0 s",
        "because of: transient",
        "2 calls in flight, 0 refused so far",
        "next: 2 probes are out and 1 of 4 are back; their verdict closes or opens it",
    ]
    for probe in probes:
        probe.release()


@pytest.mark.parametrize(
    ("word", "state", "following"),
    [
        ("force_open", S.FORCED_OPEN, "every call is refused until somebody says reset()"),
        ("disable", S.DISABLED, "every call is let through, nothing is counted, until reset()"),
        ("observe", S.OBSERVING, "every call is let through and counted, it never opens"),
    ],
)
def test_an_operators_state_says_whose_word_it_is_and_why(circuit, word, state, following):
    """And what has to be said for it to end."""
    getattr(circuit, word)(actor="ana", reason="drill")
    said = lines(circuit)
    assert said[:2] == [f"breaker 'openai' is {state.value}, for 0.0 s", "by ana: drill"]
    assert said[-1].startswith(f"next: {following}")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"actor": "ana"}, "by ana: no reason given"),
        ({"reason": "drill"}, "by an operator: drill"),
        ({}, None),
    ],
)
def test_half_a_word_is_told_as_far_as_it_goes(circuit, given, line):
    """Who gives neither name nor reason has left none."""
    circuit.force_open(**given)
    told = [each for each in lines(circuit) if each.startswith("by ")]
    assert told == ([] if line is None else [line])


def test_an_operators_hold_says_whose_word_it_is(circuit):
    """And until when."""
    circuit.hold(60.0, actor="ana", reason="maintenance")
    assert "by ana: maintenance" in lines(circuit)
    assert lines(circuit)[-1].startswith("next: after 60.0 s ")


def test_a_word_is_over_when_the_breaker_moves_on(circuit, clock):
    """It stands by its calls again."""
    circuit.hold(60.0, actor="ana", reason="maintenance")
    clock.advance(60.0)
    circuit.acquire().succeed()
    assert circuit.state is S.CLOSED
    assert "ana" not in circuit.explain()


def test_a_reset_says_who_closed_it(circuit):
    """Until it opens again."""
    circuit.acquire().fail(DOWN)
    circuit.reset(actor="ana", reason="provider says it is fixed")
    assert "by ana: provider says it is fixed" in lines(circuit)
    circuit.acquire().fail(DOWN)
    assert "ana" not in circuit.explain()


def test_a_restored_one_stands_by_nobodys_word(circuit, make):
    """Who spoke before the restore has nothing to do with it."""
    circuit.force_open(actor="ana", reason="drill")
    circuit.restore(make().snapshot())
    assert "ana" not in circuit.explain()


def test_a_hold_that_does_nothing_is_not_whose_word_it_stands_by(circuit):
    """Forced open it stays by the word that forced it."""
    circuit.force_open(actor="ana", reason="drill")
    circuit.hold(60.0, actor="bob", reason="maintenance")
    assert "by ana: drill" in lines(circuit)


def test_explaining_changes_nothing(circuit, clock):
    """Not even after the open time."""
    circuit.acquire().fail(DOWN)
    clock.advance(1_000.0)
    before = circuit.snapshot()
    circuit.explain()
    assert circuit.snapshot() == before
