"""What a chain records: every field of a step, and the numbers that were compared."""

import pytest

from fsm_fallback import BreakerConfig, Fault, FaultKind, Skip
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.events import AttemptStep, ChainStep
from fsm_fallback.core.lease import Refusal


class Candidate:
    """A name."""

    context_window = None

    def __init__(self, name):
        self.name = name


def test_an_answer_after_a_skip_compares_nothing():
    """The skip's time belongs to the skip."""
    steps = []
    chain = Chain("c", 1, (Candidate("a"), Candidate("b")), record=steps.append)
    chain.next(0.0)
    chain.admission(Refusal("open", 9.0, None), 0.0)
    lease = Breaker("b", BreakerConfig()).admit(0.0)
    chain.admission(lease, 0.0)
    chain.answer(1.0)
    skip, answer = steps
    assert (skip.because, answer.because) == ({"until": 9.0}, {})


@pytest.fixture
def steps():
    """What was recorded."""
    return []


@pytest.fixture
def begin(named, steps):
    """Begin the call 7 at second 100 over candidates, given by name or as skips."""

    def begun(*candidates, **parameters):
        ready = tuple(c if not isinstance(c, str) else named(c)[0] for c in candidates)
        return Chain("fallback", 7, ready, started_at=100.0, record=steps.append, **parameters)

    return begun


def row(trigger, number=0):
    """An unguarded row of the chain's table."""
    rows = [row for row in CHAIN.rows if row.trigger == trigger and row.guard is None]
    return rows[number]


def test_an_answer_tells_the_whole_attempt(begin, grant, steps):
    """The lease it had, who is left, and how many records came before its two."""
    chain = begin("a", "b")
    chain.next(101.0)
    lease = grant(101.0)
    chain.admission(lease, 101.0)
    chain.answer(103.0)
    assert steps == [
        AttemptStep(
            chain="fallback",
            call=7,
            offered_at=101.0,
            at=103.0,
            row=row("answer"),
            attempt=1,
            provider="a",
            generation=lease.generation,
            lease=lease.number,
            fault=None,
            because={},
            left=2,
            before=0,
        )
    ]


def test_a_failure_tells_what_its_guard_compared(begin, grant, steps):
    """And the second attempt comes two records later; whoever failed is not left."""
    chain, down = begin("a", "b"), Fault(FaultKind.TRANSIENT)
    chain.next(100.0)
    chain.admission(grant(100.0), 100.0)
    chain.fault(down, RuntimeError(), 102.0)
    chain.admission(grant(102.0), 102.0)
    chain.answer(103.0)
    first, second = steps
    assert (first.row, first.fault, first.at) == (row("fault"), down, 102.0)
    assert first.because == {
        "fault": "transient",
        "fail_over": "yes",
        "larger_left": 0,
        "handed_over": False,
        "tries_left": 0,
    }
    assert (first.before, second.before) == (0, 2)
    assert (first.left, second.left) == (1, 1)
    assert (second.attempt, second.provider, second.because) == (2, "b", {})


def test_a_request_that_was_too_long_tells_how_many_larger_windows_are_left(
    candidate, grant, steps
):
    """Each counts once."""
    ready = (candidate("a", 8), candidate("b", 16), candidate("c", 4), candidate("d", 32))
    chain = Chain("fallback", 7, ready, record=steps.append)
    chain.next(0.0)
    chain.admission(grant(), 0.0)
    chain.fault(Fault(FaultKind.CONTEXT), RuntimeError(), 0.0)
    assert steps[0].because == {
        "fault": "context",
        "fail_over": "larger_window",
        "larger_left": 2,
        "handed_over": False,
        "tries_left": 0,
    }


def test_a_skip_by_the_strategy_tells_all_that_the_strategy_said(begin, steps):
    """Whom, why, until when and because of what."""
    held = Fault(FaultKind.AUTH)
    chain = begin(Skip("a", "tools", until=130.0, cause=held), "b")
    chain.next(101.0)
    assert steps == [
        ChainStep(
            chain="fallback",
            call=7,
            at=101.0,
            row=row("skip"),
            provider="a",
            fault=held,
            reason="tools",
            because={"until": 130.0},
            left=1,
            before=0,
        )
    ]


def test_a_skip_by_a_breaker_tells_all_that_the_breaker_said(begin, refusal, steps):
    """As one by the strategy, and then that nobody is left."""
    held = Fault(FaultKind.AUTH)
    chain = begin("a")
    chain.next(101.0)
    chain.admission(refusal("open", 130.0, held), 102.0)
    common = {"chain": "fallback", "call": 7, "at": 102.0, "left": 0}
    assert steps == [
        ChainStep(
            **common,
            row=row("skip"),
            provider="a",
            fault=held,
            reason="open",
            because={"until": 130.0},
            before=0,
        ),
        ChainStep(
            **common,
            row=row("exhaust"),
            provider=None,
            fault=None,
            reason=None,
            because={"waits": False, "handed_over": False},
            before=1,
        ),
    ]


def test_a_deadline_tells_what_was_compared(begin, refusal, steps):
    """The time it was, and the deadline."""
    chain = begin("a", "b", deadline=105.0)
    chain.next(101.0)
    chain.admission(refusal("open"), 105.0)
    assert (steps[-1].row, steps[-1].because) == (
        row("expire"),
        {"now": 105.0, "deadline": 105.0, "handed_over": False},
    )


@pytest.mark.parametrize("had", [7.0, 0.5])
def test_an_attempt_cut_by_the_deadline_tells_what_time_it_had_and_what_was_fair(
    begin, grant, steps, had
):
    """Half of the deadline."""
    chain = begin("a", deadline=110.0)
    chain.next(100.0)
    chain.admission(grant(110.0 - had), 110.0 - had)
    chain.time_out(110.0)
    assert steps[-1].row == row("expire", 2)
    assert steps[-1].because == {
        "now": 110.0,
        "deadline": 110.0,
        "had": had,
        "fair": 5.0,
        "handed_over": False,
    }


def test_steps_tell_how_many_records_came_before_and_who_is_left(begin, grant, refusal, steps):
    """An attempt is two records, a skip or an end is one."""
    down, chain = Fault(FaultKind.TRANSIENT), begin(*"abcd")
    chain.next(100.0)
    for report in (refusal(), grant(), refusal(), grant()):
        chain.admission(report, 100.0)
        if chain.lease is report:
            chain.fault(down, RuntimeError(), 100.0)
    assert [step.row.trigger for step in steps] == ["skip", "fault", "skip", "fault", "exhaust"]
    assert [step.before for step in steps] == [0, 1, 3, 4, 6]
    assert [step.left for step in steps] == [3, 2, 1, 0, 0]


def test_a_caller_that_leaves_while_nobody_is_asked_is_recorded(begin, refusal, steps):
    """At its own time, with nothing compared."""
    chain = begin("a", "b")
    chain.next(100.0)
    chain.admission(refusal("open", 130.0), 100.0)
    chain.abandon(102.0)
    step = steps[-1]
    assert (step.row, step.at, step.because) == (row("abandon"), 102.0, {})
    assert (step.provider, step.fault, step.left, step.before) == (None, None, 1, 1)


def test_a_caller_that_leaves_during_an_attempt_is_recorded(begin, grant, steps):
    """With the attempt, which has no fault, though the one before had."""
    chain = begin("a", "b")
    chain.next(100.0)
    chain.admission(grant(100.0), 100.0)
    chain.fault(Fault(FaultKind.TRANSIENT), RuntimeError(), 101.0)
    chain.admission(grant(101.0), 101.0)
    chain.abandon(102.0)
    step = steps[-1]
    assert (step.row, step.at, step.because) == (row("abandon", 1), 102.0, {})
    assert (step.provider, step.fault, step.attempt) == ("b", None, 2)
