"""The straight ways: which are open, and that a table they do not fit is refused."""

import math

import attrs
import pytest

from fsm_fallback import BreakerState, ConfigurationError, Fault, FaultKind, TimeWindow
from fsm_fallback.core.straight import _straight

S = BreakerState
TIMED = [{"slow_call_duration": 5.0}, {"window": TimeWindow(10.0, 5)}]


def open_ways(breaker):
    """The names of the ways that are open."""
    return [way for way in ("straight", "timed", "shut") if getattr(breaker, way) is not None]


class TestOpenWays:
    """At most one is open, and it leads to what the table would say."""

    def test_a_healthy_closed_breaker_is_straight(self, make):
        """Its generation is the one to draw from."""
        breaker = make()
        assert open_ways(breaker) == ["straight"]
        assert breaker.straight is breaker.current

    @pytest.mark.parametrize("parameters", TIMED)
    def test_one_that_watches_time_is_timed(self, make, parameters):
        """Calls look at the clock."""
        breaker = make(**parameters)
        assert open_ways(breaker) == ["timed"]
        assert breaker.timed is breaker.current

    def test_one_whose_successes_may_trip_asks_the_table(self, make):
        """Each of them."""
        assert open_ways(make(trip_on_success=True)) == []

    def test_one_that_counts_holds_asks_the_table_until_a_success(self, make):
        """Which has to clear the count."""
        breaker = make()
        breaker.restore(attrs.evolve(breaker.stands, holds=2), 0.0)
        assert (breaker.state, open_ways(breaker)) == (S.CLOSED, [])
        breaker.play("-")
        assert open_ways(breaker) == []
        breaker.play(".")
        assert (breaker.holds, open_ways(breaker)) == (0, ["straight"])

    def test_one_whose_every_firing_is_recorded_asks_the_table(self, make):
        """Else there would be nothing to record."""
        breaker = make(stays=True)
        assert open_ways(breaker) == []
        breaker.play("F")
        assert open_ways(breaker) == []

    def test_an_open_one_is_shut_until_its_time_is_over(self, make):
        """Not a tick longer: the next caller is a probe."""
        breaker = make(open_duration=30.0)
        breaker.trip()
        assert open_ways(breaker) == ["shut"]
        assert breaker.shut.until == 30.0
        assert breaker.shut.refusal == breaker.refusal

    def test_one_that_has_cooled_down_asks_the_table(self, make):
        """From exactly then on, and though something that changes nothing has fired since."""
        breaker = make(open_duration=30.0)
        first, second = breaker.take(2)
        breaker.trip()
        breaker.begin_output(first, 30.0)
        assert open_ways(breaker) == []
        breaker.now = 30.0
        breaker.hold(0.0, second)
        assert (breaker.state, open_ways(breaker)) == (S.OPEN, [])

    def test_one_forced_open_is_shut_for_ever(self, make):
        """Until the operator speaks again."""
        breaker = make()
        breaker.force_open(0.0)
        assert open_ways(breaker) == ["shut"]
        assert (breaker.shut.until, breaker.shut.refusal) == (math.inf, breaker.refusal)
        assert (next(breaker.shut.refusals), breaker.not_permitted) == (1, 1)
        breaker.reset(0.0)
        assert open_ways(breaker) == ["straight"]

    def test_a_longer_hold_shuts_for_longer(self, make):
        """And says why."""
        breaker, fault = make(), Fault(FaultKind.QUOTA)
        late = breaker.admit()
        breaker.trip()
        breaker.hold(600.0, late, fault)
        assert (breaker.shut.until, breaker.shut.refusal.cause) == (600.0, fault)

    @pytest.mark.parametrize("state", [S.HALF_OPEN, S.DISABLED, S.OBSERVING])
    def test_in_every_other_state_the_table_is_asked(self, make, state):
        """What it says is not known beforehand."""
        breaker = make(initial_state=state)
        if state is S.HALF_OPEN:
            breaker.admit()
        assert breaker.state is state
        assert open_ways(breaker) == []

    def test_a_refusal_is_counted_as_the_table_counts_it(self, make):
        """One draw."""
        breaker = make()
        breaker.trip()
        before = breaker.not_permitted
        next(breaker.shut.refusals)
        assert breaker.not_permitted == before + 1


class TestFailuresThatCannotTrip:
    """A failure in a window that is some short of tripping is booked, and that is all."""

    def test_one_is_booked_without_being_judged(self, make):
        """Nothing is measured for it; what stands there is what its admission compared."""
        breaker = make(minimum_calls=9)
        breaker.play("F")
        assert breaker.breaker.facts["calls"] == 1
        assert breaker.current.allowed_failures == 3
        breaker.play("F")
        assert breaker.breaker.facts == {"stalled": 0}
        assert breaker.current.allowed_failures == 2
        assert breaker.tally == (2, 2, 0)

    def test_the_first_that_may_trip_is_judged(self, make):
        """And trips."""
        breaker = make(minimum_calls=9)
        breaker.play("....FFFF")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN


class TestTheEndOfAStraightCall:
    """A call that drew its numbers is settled, though its generation may be over by then."""

    @pytest.fixture
    def steps(self):
        """What was recorded."""
        return []

    @pytest.fixture
    def begun(self, make, steps):
        """A breaker with two leases settled before, and a straight call that is out."""
        breaker = make(record=steps.append, minimum_calls=9)
        breaker.play("F.")
        return breaker, breaker.straight, next(breaker.straight.admissions)

    def test_one_whose_place_was_taken_before_the_end_has_been_counted(self, begun, steps):
        """Nothing is left to do."""
        breaker, generation, number = begun
        place = next(generation.places)
        breaker.reset(1.0)
        steps.clear()
        breaker.end_straight(generation, number, place, 2.0)
        assert (breaker.in_flight, steps) == (0, [])
        assert breaker.breaker.now == 2.0

    def test_one_whose_place_was_taken_after_the_end_is_late(self, begun, steps):
        """It is settled and recorded, with its own generation, and is no evidence."""
        breaker, generation, number = begun
        breaker.reset(1.0)
        steps.clear()
        assert breaker.in_flight == 1
        breaker.end_straight(generation, number, next(generation.places), 2.0)
        (step,) = steps
        assert (step.trigger, step.verdict, step.row) == ("succeed", "late", None)
        assert (step.lease, step.generation, step.at) == (number, 0, 2.0)
        assert step.source is step.target is S.CLOSED
        assert (breaker.in_flight, breaker.tally.calls) == (0, 0)

    def test_one_of_the_present_generation_has_been_counted(self, begun, steps):
        """Its place says so."""
        breaker, generation, number = begun
        breaker.end_straight(generation, number, next(generation.places), 2.0)
        assert (breaker.in_flight, breaker.tally.calls, steps) == (0, 3, [])

    def test_one_that_looked_at_the_clock_lets_the_next_look_anew(self, make):
        """The time at which a call may hang is later now."""
        breaker = make(slow_call_duration=5.0)
        generation = breaker.timed
        number = generation.enter(1.0)
        place = generation.leave(number, 2.0)
        breaker.end_straight(generation, number, place, 2.0)
        assert breaker.timed is generation
        assert generation.check_at == 7.0


class TestAgainstTheTable:
    """What a straight call leaves out must be what the table would not have done."""

    def test_a_row_that_does_more_is_refused(self):
        """At import, with the remedy."""
        with pytest.raises(ConfigurationError) as refusal:
            _straight(S.CLOSED, "succeed", "grant", "tripped_by_success")
        assert str(refusal.value) == (
            "breaker: succeed in 'closed' does ('count',), and a straight call only 'grant'; mend "
            "core/straight.py with the table"
        )

    def test_a_row_that_leads_away_is_refused(self):
        """A transition is never straight."""
        with pytest.raises(ConfigurationError, match=r"hold in 'closed' does \('arm_until',\)"):
            _straight(S.CLOSED, "hold", "arm_until")

    def test_a_guard_that_is_not_bounded_is_refused(self):
        """Nobody would know when it holds."""
        with pytest.raises(ConfigurationError) as refusal:
            _straight(S.CLOSED, "admit", "grant")
        assert str(refusal.value) == (
            "breaker: admit in 'closed' asks 'stalled', and a straight call does not know when "
            "that holds; mend core/straight.py with the table"
        )

    def test_the_table_as_it_is_fits(self):
        """As import has found."""
        _straight(S.CLOSED, "admit", "grant", "stalled")
        _straight(S.CLOSED, "succeed", "count", "tripped_by_success")
