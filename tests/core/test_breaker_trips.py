"""What trips a breaker beside the ratio of a count window: runs, successes, time windows."""

import pytest

from fsm_fallback import BreakerState, CountWindow, Fault, FaultKind, TimeWindow
from fsm_fallback.core.breaker_rows import BREAKER

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
MANY = 1_000_000


class TestFailuresInARow:
    """`consecutive_failures`: so many, and none other in between."""

    @pytest.fixture
    def run_of(self, make):
        """A breaker that a ratio never opens, and a run of so many failures does."""

        def made(length, **config):
            window = TimeWindow(MANY, 1)
            return make(window=window, minimum_calls=MANY, consecutive_failures=length, **config)

        return made

    def test_it_opens_at_exactly_so_many(self, run_of):
        """The fifth of five, far below the minimum of calls."""
        breaker = run_of(5)
        breaker.play("FFFF")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN
        assert breaker.cause == DOWN

    def test_one_is_the_shortest_run(self, run_of):
        """Whatever was before it."""
        breaker = run_of(1)
        breaker.play("....F")
        assert breaker.state is S.OPEN

    def test_a_success_begins_the_run_anew(self, run_of):
        """Four, a success, four: no five in a row."""
        breaker = run_of(5)
        breaker.play("FFFF.FFFF")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_a_neutral_outcome_does_not_interrupt_a_run(self, run_of):
        """It says nothing, so nothing came in between."""
        breaker = run_of(5)
        breaker.play("FF-F--F")
        assert breaker.state is S.CLOSED
        breaker.play("-F")
        assert breaker.state is S.OPEN

    def test_a_run_may_be_longer_than_the_window(self, make):
        """Twelve where three calls are evidence; the ratio of one is never reached in between."""
        breaker = make(
            window=CountWindow(3), minimum_calls=3, failure_ratio=1.0, consecutive_failures=12
        )
        breaker.observe(0.0)  # counts, never trips: the window is full of failures all the while
        breaker.play("F" * 11)
        assert breaker.current.failures_in_a_row == 11
        breaker.play("FF.F")
        assert breaker.current.failures_in_a_row == 1

    def test_a_run_outlives_the_time_window(self, make):
        """A failure an hour is a run, too."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=2, consecutive_failures=3)
        for _ in range(3):
            assert breaker.state is S.CLOSED
            breaker.now += 3_600.0
            breaker.play("F")
        assert breaker.state is S.OPEN

    def test_a_run_ends_with_its_generation(self, run_of):
        """After a reset it begins anew."""
        breaker = run_of(3)
        breaker.play("FF")
        breaker.reset(0.0)
        breaker.play("FF")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_an_observing_breaker_counts_a_run_and_never_trips(self, run_of):
        """Nor does it open once it is closed again."""
        breaker = run_of(3)
        breaker.observe(0.0)
        breaker.play("FFFFF")
        assert breaker.state is S.OBSERVING

    def test_by_default_no_run_trips(self, make):
        """Fifty failures in a row below the minimum of calls are no verdict."""
        breaker = make(window=CountWindow(100), minimum_calls=51)
        breaker.play("F" * 50)
        assert breaker.state is S.CLOSED

    def test_a_success_that_may_trip_makes_no_run(self, make):
        """Nor does it lengthen one: its record says so."""
        steps = []
        breaker = make(
            record=steps.append,
            stays=True,
            minimum_calls=9,
            consecutive_failures=3,
            trip_on_success=True,
        )
        breaker.play("FF.")
        assert steps[-1].trigger == "succeed"
        assert steps[-1].because["in_a_row"] == 0

    def test_a_run_is_among_what_the_record_compares(self, make):
        """With the limit in force; where none is, neither is there."""
        steps = []
        breaker = make(record=steps.append, minimum_calls=3, consecutive_failures=2)
        breaker.play("FF")
        (step,) = steps
        assert step.because["in_a_row"] == step.because["consecutive_failures"] == 2
        assert step.because["calls"] < step.because["minimum_calls"]


class TestASuccessThatTrips:
    """`trip_on_success`: whether the one that fills the minimum may open it."""

    def test_it_opens_with_the_success_that_fills_the_minimum(self, make):
        """Nine of ten failed, and the tenth call is the one that makes ten."""
        breaker = make(minimum_calls=10, trip_on_success=True)
        breaker.play("F" * 9)
        assert breaker.state is S.CLOSED
        breaker.play(".")
        assert breaker.state is S.OPEN

    def test_the_cause_is_the_last_failure(self, make):
        """A success has no fault of its own."""
        breaker = make(minimum_calls=3, trip_on_success=True)
        first, last = Fault(FaultKind.CONNECT), Fault(FaultKind.TRANSIENT)
        breaker.fail(breaker.admit(), 0.0, first)
        breaker.fail(breaker.admit(), 0.0, last)
        breaker.play(".")
        assert breaker.state is S.OPEN
        assert breaker.cause is last

    def test_a_success_in_a_healthy_window_opens_nothing(self, make):
        """Below the ratio it is a success like any other."""
        breaker = make(minimum_calls=4, trip_on_success=True)
        breaker.play("F......")
        assert breaker.state is S.CLOSED

    def test_it_is_off_by_default(self, make):
        """The same history without it stays closed."""
        breaker = make(minimum_calls=10)
        breaker.play("F" * 9 + ".")
        assert breaker.state is S.CLOSED

    def test_a_run_of_failures_is_ended_by_a_success_all_the_same(self, make):
        """It is no failure, so it fills no run."""
        breaker = make(minimum_calls=9, consecutive_failures=3, trip_on_success=True)
        breaker.play("FF.")
        assert breaker.state is S.CLOSED

    def test_it_may_open_when_failures_are_all_that_is_left_in_a_time_window(self, make):
        """The ratio has risen while successes went out of the window."""
        breaker = make(
            window=TimeWindow(10.0, 10), minimum_calls=3, failure_ratio=0.6, trip_on_success=True
        )
        breaker.play("...")
        breaker.now = 5.0
        breaker.play("FF")
        assert breaker.state is S.CLOSED
        breaker.now = 10.0
        breaker.play(".")
        assert breaker.state is S.OPEN


class TestATimeWindow:
    """Evidence by time, seen from the breaker."""

    def test_failures_that_are_too_old_do_not_count(self, make):
        """Two a minute never make three in ten seconds."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=3)
        for _ in range(20):
            breaker.play("FF")
            breaker.now += 60.0
        assert breaker.state is S.CLOSED

    def test_an_outcome_is_booked_where_it_settles(self, make):
        """Booked at admission, calls that time out after the window would never trip it."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=3)
        leases = breaker.take(3)
        breaker.now = 60.0
        for lease in leases:
            breaker.settle(lease, "F")
        assert breaker.state is S.OPEN

    def test_at_exactly_its_end_a_bucket_does_not_count(self, make):
        """It began at 0 and the window has 10 seconds."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=3)
        breaker.play("FF")
        breaker.now = 10.0
        breaker.play("F")
        assert breaker.state is S.CLOSED
        assert breaker.stands.calls == 1

    def test_just_before_its_end_a_bucket_counts(self, make):
        """One tick is enough."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=3)
        breaker.play("FF")
        breaker.now = 10.0 - 1e-9
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_a_clock_that_goes_back_evicts_nothing(self, make):
        """Nor does it bring back what has gone."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=4, at=100.0)
        breaker.play("F")
        breaker.now = 112.0
        breaker.play("FF")
        breaker.now = 3.0
        breaker.play(".")
        assert breaker.tally == (3, 2, 0)
        assert breaker.stands.calls == 3

    def test_a_snapshot_of_later_tells_what_will_have_gone(self, make):
        """And the breaker stands as before."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=1, failure_ratio=1.0)
        breaker.play(".F")
        assert breaker.snapshot(9.0).calls == 2
        assert breaker.snapshot(10.0).calls == 0
        assert breaker.snapshot(9.0).calls == 2

    def test_ageing_alone_opens_nothing_and_refuses_nobody(self, make):
        """The failures that are left fill the ratio, and a failure has to say so."""
        breaker = make(window=TimeWindow(10.0, 10), minimum_calls=3)
        breaker.play("....")
        breaker.now = 5.0
        breaker.play("FFF")
        assert breaker.state is S.CLOSED
        breaker.now = 10.0
        assert breaker.stands.failure_ratio == 1.0
        breaker.play(".-")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN


def test_every_guard_of_the_table_is_a_fact_of_the_breaker(make):
    """Nothing in the table has a name the breaker does not answer to."""
    breaker = make().breaker
    guards = {row.guard for row in BREAKER.rows if row.guard is not None}
    assert all(callable(getattr(breaker, guard)) for guard in guards)
