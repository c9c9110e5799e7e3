"""A breaker's leases, its clock, and the snapshots taken of it."""

import itertools

import pytest
from transitions import MachineError

from fsm_fallback import BreakerState, ConfigurationError, Fault, FaultKind
from fsm_fallback.core.breaker import FAIL, RELEASE, SUCCEED
from fsm_fallback.core.breaker_rows import BREAKER

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
OUTCOMES = "F.-"
SAID = {"F": ("fail", DOWN), ".": ("succeed", None), "-": ("release", None)}
"""Trigger and fault of an outcome's record."""


class TestLeases:
    """A lease is settled once, and one of an older generation changes nothing."""

    @pytest.mark.parametrize(("first", "second"), [*itertools.product(OUTCOMES, repeat=2)])
    def test_a_second_settling_does_nothing(self, make, first, second):
        """Whatever the first one said."""
        breaker = make(minimum_calls=5)
        lease = breaker.admit()
        breaker.settle(lease, first)
        before = breaker.breaker.snapshot(0.0)
        breaker.settle(lease, second)
        assert breaker.breaker.snapshot(0.0) == before

    @pytest.mark.parametrize("first", OUTCOMES)
    def test_a_settled_lease_can_hold_nothing(self, make, first):
        """Not even for an hour."""
        breaker = make(minimum_calls=5)
        lease = breaker.admit()
        breaker.settle(lease, first)
        breaker.hold(3_600.0, lease)
        assert breaker.state is S.CLOSED

    @pytest.mark.parametrize(("first", "second"), [*itertools.product(OUTCOMES, repeat=2)])
    def test_a_second_settling_is_recorded_as_late(self, make, first, second):
        """And says why: it was settled before, and not that its generation is over."""
        steps = []
        breaker = make(record=steps.append, minimum_calls=5)
        lease = breaker.admit()
        breaker.settle(lease, first)
        breaker.settle(lease, second)
        (step,) = steps
        assert (step.verdict, step.row, step.lease) == ("late", None, lease.number)
        assert step.because == {"settled_before": True}
        assert step.source is step.target is S.CLOSED
        assert (step.trigger, step.fault) == SAID[second]

    def test_a_second_settling_that_holds_is_recorded_as_late(self, make):
        """With the fault it came with."""
        steps, limited = [], Fault(FaultKind.RATE_LIMIT)
        breaker = make(record=steps.append)
        lease = breaker.admit()
        breaker.settle(lease, ".")
        breaker.hold(60.0, lease, limited)
        (step,) = steps
        assert (step.trigger, step.verdict, step.fault) == ("hold", "late", limited)
        assert step.because == {"settled_before": True}

    def test_a_late_outcome_settled_before_is_recorded_as_settled_before(self, make):
        """Its first settling was late for its generation, the second one late for itself."""
        steps = []
        breaker = make(record=steps.append)
        lease = breaker.admit()
        breaker.reset(0.0)
        steps.clear()
        breaker.settle(lease, ".")
        breaker.settle(lease, ".")
        assert [dict(step.because) for step in steps] == [{}, {"settled_before": True}]
        assert breaker.in_flight == 0

    @pytest.mark.parametrize("word", ["succeed", "fail", "release", "begin_output"])
    def test_one_of_another_breaker_is_refused_and_both_are_unchanged(self, make, word):
        """The message names both breakers and the lease, which can still be settled."""
        breaker, other = make(), make()
        lease = breaker.admit()
        before = breaker.stands, other.stands
        with pytest.raises(ConfigurationError, match="lease 1 of breaker 'openai' came to"):
            getattr(other.breaker, word)(lease, 0.0)
        assert (breaker.stands, other.stands) == before
        assert not lease.settled
        breaker.settle(lease, "F")
        assert breaker.state is S.OPEN

    def test_one_of_another_breaker_holds_nothing(self, make):
        """Neither there nor here."""
        breaker, other = make(), make()
        lease = breaker.admit()
        with pytest.raises(ConfigurationError, match="settle it on the one that granted it"):
            other.hold(60.0, lease)
        assert (breaker.state, other.state) == (S.CLOSED, S.CLOSED)
        assert breaker.in_flight == 1

    def test_leases_are_numbered_and_carry_their_generation(self, make):
        """Numbers go on over generations."""
        breaker = make()
        first = breaker.admit()
        breaker.breaker.reset(0.0)
        second = breaker.admit()
        assert (first.number, first.generation) == (1, 0)
        assert (second.number, second.generation) == (2, 1)

    def test_only_a_probe_has_a_deadline(self, make):
        """It is due after the probe time-out."""
        breaker = make(probe_timeout=60.0, open_duration=30.0)
        assert breaker.admit().deadline is None
        breaker.trip()
        assert breaker.probe().deadline == 90.0

    def test_one_of_the_pure_core_is_settled_on_its_breaker(self, make):
        """It has no clock of its own."""
        with pytest.raises(TypeError, match="settle it on its Breaker"):
            make().admit().succeed()

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_a_late_outcome_is_no_evidence(self, make, outcome):
        """A call from before the outage says nothing of the time after it."""
        breaker = make()
        old = breaker.admit()
        breaker.trip()
        breaker.cool_down()
        breaker.play(".")
        before = breaker.breaker.snapshot(breaker.now)
        breaker.settle(old, outcome)
        after = breaker.breaker.snapshot(breaker.now)
        assert (after.state, after.calls, after.failures) == (S.CLOSED, 0, 0)
        assert after.generation == before.generation
        assert (before.in_flight, after.in_flight) == (1, 0)

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_a_late_outcome_decides_no_round_and_frees_no_slot(self, make, outcome):
        """The slot belongs to the probe that is out now."""
        breaker = make()
        old = breaker.admit()
        breaker.trip()
        breaker.probe()
        breaker.settle(old, outcome)
        assert breaker.state is S.HALF_OPEN
        assert breaker.admit() is None

    def test_a_probe_of_an_earlier_round_decides_nothing(self, make):
        """Its answer comes after the round it belonged to."""
        breaker = make(probe_calls=2, probe_concurrency=2)
        breaker.trip()
        first, second = breaker.probe(), breaker.admit()
        breaker.settle(first, "F")
        assert breaker.state is S.OPEN
        breaker.probe()
        breaker.settle(second, ".")
        assert breaker.state is S.HALF_OPEN
        assert breaker.breaker.snapshot(breaker.now).in_flight == 1

    def test_a_late_success_leaves_the_count_of_holds(self, make):
        """It says nothing of the time after the hold."""
        breaker = make()
        old = breaker.admit()
        breaker.hold(10.0, breaker.admit())
        breaker.settle(old, ".")
        assert breaker.holds == 1

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_a_late_outcome_is_recorded_as_late(self, make, outcome):
        """With the lease's own generation, and no row, for none fired."""
        steps = []
        breaker = make(record=steps.append)
        old = breaker.admit()
        breaker.trip()
        steps.clear()
        breaker.settle(old, outcome)
        (step,) = steps
        assert (step.verdict, step.row, step.generation, step.lease) == ("late", None, 0, 1)
        assert (step.trigger, step.fault) == SAID[outcome]
        assert step.source is step.target is S.OPEN

    @pytest.mark.parametrize("event", [SUCCEED, FAIL, RELEASE])
    @pytest.mark.parametrize("state", [S.OPEN, S.FORCED_OPEN])
    def test_a_cell_that_cannot_be_reached_is_refused_and_nothing_moves(self, make, event, state):
        """These states grant no leases, so no outcome is theirs."""
        breaker = make()
        if state is S.OPEN:
            breaker.trip()
        else:
            breaker.force_open(0.0)
        before = breaker.breaker.snapshot(0.0)
        with pytest.raises(MachineError, match=state.name):
            event.trigger(breaker.breaker)
        assert breaker.breaker.snapshot(0.0) == before

    def test_a_release_that_is_of_no_lease_frees_no_slot(self, make):
        """Fired by hand, past everything that asks for one."""
        breaker = make()
        breaker.trip()
        breaker.probe()
        RELEASE.trigger(breaker.breaker)
        assert breaker.state is S.HALF_OPEN
        assert breaker.admit() is None


class TestTheClock:
    """`now` only ever grows."""

    def test_a_clock_that_jumps_back_reopens_nothing(self, make):
        """A lease granted at 100 is not admitted before 100."""
        breaker = make(at=100.0)
        breaker.now = 40.0
        assert breaker.admit().admitted_at == 100.0

    def test_a_clock_that_jumps_back_prolongs_no_opening(self, make):
        """The open time was set when the time was known."""
        breaker = make(open_duration=30.0)
        breaker.trip()
        breaker.now = 30.0
        breaker.play("-")
        breaker.now = -1_000.0
        assert breaker.admit() is not None

    def test_a_clock_that_jumps_back_forgets_no_evidence(self, make):
        """What was counted stays counted."""
        breaker = make(at=100.0, minimum_calls=2)
        breaker.play("F")
        breaker.now = 0.0
        breaker.play("F")
        assert breaker.state is S.OPEN
        assert breaker.open_until == 130.0

    def test_reading_with_a_clock_that_jumped_back_tells_the_time_there_was(self, make):
        """Whether the breaker has seen it, or a call that went straight."""
        breaker = make(at=100.0)
        assert breaker.snapshot(40.0).taken_at == 100.0
        timed = make(slow_call_duration=5.0)
        timed.timed.enter(4.0)
        assert (timed.breaker.now, timed.snapshot(1.0).taken_at) == (0.0, 4.0)

    def test_reading_moves_no_clock(self, make):
        """A snapshot taken with a later time leaves the breaker where it was."""
        breaker = make()
        assert breaker.breaker.snapshot(500.0).taken_at == 500.0
        assert breaker.breaker.snapshot(1.0).taken_at == 1.0


class TestSnapshots:
    """How a breaker stands, as a record."""

    def test_the_ratio_is_none_below_the_minimum_of_calls(self, make):
        """Not zero: nothing is known."""
        breaker = make(minimum_calls=2, failure_ratio=1.0)
        assert breaker.breaker.snapshot(0.0).failure_ratio is None
        breaker.play("F")
        assert breaker.breaker.snapshot(0.0).failure_ratio is None
        breaker.play(".")
        assert breaker.breaker.snapshot(0.0).failure_ratio == 0.5

    def test_it_tells_everything(self, make):
        """One call out, one failure that opened it, one refusal."""
        breaker = make()
        breaker.admit()
        breaker.trip()
        snapshot = breaker.breaker.snapshot(1.0)
        assert (snapshot.taken_at, snapshot.state, snapshot.generation) == (1.0, S.OPEN, 1)
        assert (snapshot.calls, snapshot.failures, snapshot.failure_ratio) == (0, 0, None)
        assert (snapshot.in_flight, snapshot.not_permitted) == (1, 1)
        assert (snapshot.open_until, snapshot.step, snapshot.holds) == (30.0, 1, 0)
        assert snapshot.cause == DOWN
        assert snapshot.digest == BREAKER.digest(breaker.config.in_force)
