"""Slow calls: by the clock or by a given duration; finished, still out, or probing.

What the first output of a stream does is in `test_breaker_output`.
"""

import math

import pytest

from fsm_fallback import BreakerState, CountWindow, Fault, FaultKind, TimeWindow

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
SLOW = 5.0
TICK = 1e-9


class TestFinishedCalls:
    """What a call that came back is judged by."""

    @pytest.mark.parametrize(
        ("seconds", "slow_calls"), [(math.nextafter(SLOW, 0.0), 0), (SLOW, 1), (SLOW + 1.0, 1)]
    )
    @pytest.mark.parametrize("outcome", ".F")
    def test_a_call_that_took_so_long_is_slow(self, watched, seconds, slow_calls, outcome):
        """At exactly the limit it is, one tick before it is not; by the breaker's clock."""
        breaker = watched()
        lease = breaker.admit()
        breaker.now = seconds
        breaker.settle(lease, outcome)
        assert breaker.tally.slow_calls == slow_calls
        assert breaker.tally.calls == 1

    @pytest.mark.parametrize(
        ("given", "slow_calls"), [(0.0, 0), (math.nextafter(SLOW, 0.0), 0), (SLOW, 1), (1e9, 1)]
    )
    @pytest.mark.parametrize("passed", [0.0, 100.0])
    def test_a_given_duration_is_believed(self, watched, given, slow_calls, passed):
        """Whatever the clock says."""
        breaker = watched()
        first, second = breaker.take(2)
        breaker.now = passed
        breaker.succeed(first, breaker.now, given)
        breaker.fail(second, breaker.now, DOWN, given)
        assert breaker.tally == (2, 1, 2 * slow_calls)

    def test_a_slow_failure_counts_as_both(self, watched):
        """One call, one failure, one slow call."""
        breaker = watched()
        breaker.fail(breaker.admit(), 0.0, DOWN, SLOW)
        snapshot = breaker.stands
        assert (snapshot.calls, snapshot.failures, snapshot.slow_calls) == (1, 1, 1)

    def test_a_slow_success_may_trip(self, watched):
        """The second of four that was slow; the cause says what is wrong."""
        breaker = watched()
        breaker.play("..")
        breaker.succeed(breaker.admit(), 0.0, SLOW)
        assert breaker.state is S.CLOSED
        breaker.succeed(breaker.admit(), 0.0, SLOW)
        assert breaker.state is S.OPEN
        assert breaker.cause.kind is FaultKind.TIMEOUT

    def test_a_slow_success_may_trip_by_failures_too(self, watched):
        """What may trip looks at everything; the cause is the last failure then."""
        breaker = watched(failure_ratio=0.5, slow_call_ratio=1.0, minimum_calls=3)
        breaker.play("FF")
        breaker.succeed(breaker.admit(), 0.0, SLOW)
        assert breaker.state is S.OPEN
        assert breaker.cause == DOWN

    def test_a_plain_success_does_not_trip(self, watched):
        """It fills the minimum; the next slow one is judged."""
        breaker = watched()
        for _ in range(3):
            breaker.succeed(breaker.admit(), 0.0, SLOW)
        breaker.play(".")
        assert breaker.state is S.CLOSED
        breaker.succeed(breaker.admit(), 0.0, SLOW)
        assert breaker.state is S.OPEN

    def test_a_failure_may_trip_by_slow_calls(self, watched):
        """A fast one, too; its fault is the cause."""
        breaker = watched()
        for _ in range(3):
            breaker.succeed(breaker.admit(), 0.0, SLOW)
        breaker.play("F")
        assert breaker.state is S.OPEN
        assert breaker.cause is not None
        assert breaker.cause.kind is FaultKind.TRANSIENT

    def test_a_ratio_of_one_wants_nothing_but_slow_calls(self, watched):
        """One fast call in the window keeps it closed."""
        breaker = watched(slow_call_ratio=1.0, window=CountWindow(4))
        for duration in (0.0, SLOW, SLOW, SLOW):
            breaker.succeed(breaker.admit(), 0.0, duration)
        assert breaker.state is S.CLOSED
        breaker.succeed(breaker.admit(), 0.0, SLOW)
        assert breaker.state is S.OPEN

    def test_the_ratio_is_none_below_the_minimum_of_calls(self, watched):
        """Not zero: nothing is known."""
        breaker = watched(slow_call_ratio=1.0)
        breaker.play("..")
        breaker.succeed(breaker.admit(), 0.0, SLOW)
        assert (breaker.stands.slow_calls, breaker.stands.slow_call_ratio) == (1, None)
        breaker.play(".")
        assert breaker.stands.slow_call_ratio == 0.25

    def test_the_ratio_is_none_where_nothing_is_watched(self, make):
        """And no call is slow, however long it took."""
        breaker = make(minimum_calls=1)
        lease = breaker.admit()
        breaker.now = 1e9
        breaker.settle(lease, ".")
        assert (breaker.stands.slow_calls, breaker.stands.slow_call_ratio) == (0, None)

    def test_a_call_that_took_no_time_by_a_clock_that_went_back_is_fast(self, watched):
        """The clamped clock has not moved."""
        breaker = watched(at=100.0)
        lease = breaker.admit()
        breaker.now = 0.0
        breaker.settle(lease, ".")
        assert breaker.tally == (1, 0, 0)

    def test_observing_counts_slow_calls_and_never_trips(self, watched):
        """A shadow roll-out shows what would have happened."""
        breaker = watched()
        breaker.observe(0.0)
        for _ in range(10):
            breaker.succeed(breaker.admit(), 0.0, SLOW)
        snapshot = breaker.stands
        assert (snapshot.state, snapshot.slow_call_ratio) == (S.OBSERVING, 1.0)


class TestCallsThatHang:
    """A call that is still out for so long is slow already."""

    def test_one_counts_the_moment_it_passes_the_limit(self, watched):
        """Not when it ends; nobody has to do anything for it."""
        breaker = watched()
        breaker.take(1)
        assert breaker.snapshot(SLOW - TICK).slow_calls == 0
        assert breaker.snapshot(SLOW).slow_calls == 1
        assert breaker.snapshot(SLOW).calls == 0

    def test_one_counts_among_the_calls_the_ratio_is_of(self, watched):
        """Two finished, two hang: four in all."""
        breaker = watched()
        breaker.play("..")
        breaker.take(2)
        assert breaker.snapshot(SLOW - TICK).slow_call_ratio is None
        assert breaker.snapshot(SLOW).slow_call_ratio == 0.5

    def test_the_next_caller_is_refused(self, watched):
        """As many hang as it takes: it opens as somebody asks, and says why."""
        breaker = watched()
        breaker.take(4)
        breaker.now = SLOW - TICK
        assert breaker.admit() is not None
        breaker.now = SLOW
        assert breaker.admit() is None
        assert (breaker.state, breaker.step) == (S.OPEN, 1)
        assert breaker.cause.kind is FaultKind.TIMEOUT
        assert breaker.open_until == SLOW + 30.0
        assert breaker.stands.not_permitted == 1

    def test_one_alone_may_be_enough(self, watched):
        """Where one call is all the evidence that is wanted."""
        breaker = watched(minimum_calls=1, slow_call_ratio=1.0)
        breaker.take(1)
        breaker.now = SLOW
        assert breaker.admit() is None

    def test_the_next_failure_is_judged_with_them(self, watched):
        """Three hang and a fast one fails."""
        breaker = watched()
        breaker.take(3)
        breaker.now = 1.0
        last = breaker.admit()
        breaker.now = SLOW
        breaker.settle(last, "F")
        assert breaker.state is S.OPEN
        assert breaker.cause == DOWN

    def test_the_next_plain_success_is_judged_with_them(self, watched):
        """Three hang and one answers in time: that one says it, without tripping on successes."""
        breaker = watched()
        breaker.take(3)
        breaker.now = 1.0
        last = breaker.admit()
        breaker.now = SLOW
        breaker.settle(last, ".")
        assert breaker.state is S.OPEN
        assert breaker.cause.kind is FaultKind.TIMEOUT

    def test_a_plain_success_beside_them_does_not_trip_by_failures(self, watched):
        """What hangs is slow; the failures were judged when they came."""
        breaker = watched(failure_ratio=0.5, slow_call_ratio=1.0)
        breaker.play("FFF")
        breaker.take(1)
        breaker.now = 1.0
        last = breaker.admit()
        breaker.now = SLOW
        breaker.settle(last, ".")
        assert breaker.state is S.CLOSED
        assert breaker.stands.failure_ratio == 0.75

    def test_a_release_is_not_judged_with_them(self, watched):
        """It is no evidence, so it decides nothing; the next caller does."""
        breaker = watched()
        breaker.take(4)
        breaker.now = 1.0
        last = breaker.admit()
        breaker.now = SLOW
        breaker.settle(last, "-")
        assert breaker.state is S.CLOSED
        assert breaker.admit() is None

    def test_a_slow_call_that_comes_back_is_counted_once(self, watched):
        """It was out and slow, now it is booked and slow."""
        breaker = watched(slow_call_ratio=1.0)
        leases = breaker.take(2)
        breaker.now = SLOW
        assert breaker.stands.slow_calls == 2
        breaker.settle(leases[0], ".")
        assert (breaker.stands.slow_calls, breaker.stands.calls) == (2, 1)
        breaker.settle(leases[1], "F")
        assert (breaker.stands.slow_calls, breaker.stands.calls) == (2, 2)

    @pytest.mark.parametrize("asked_before", [False, True])
    def test_one_that_leaves_without_evidence_is_not_counted_any_more(self, watched, asked_before):
        """Whether or not anybody noticed that it hung."""
        breaker = watched()
        (lease,) = breaker.take(1)
        breaker.now = SLOW
        if asked_before:
            breaker.settle(breaker.admit(), "-")
        assert breaker.stands.slow_calls == 1
        breaker.settle(lease, "-")
        assert breaker.stands.slow_calls == 0

    def test_fewer_than_the_minimum_trip_nothing(self, watched):
        """Three of four wanted, however long they hang."""
        breaker = watched()
        breaker.take(3)
        breaker.now = 1e6
        assert breaker.admit() is not None
        assert breaker.state is S.CLOSED

    def test_those_of_an_older_generation_do_not_count(self, watched):
        """After a reset they are nobody's."""
        breaker = watched()
        breaker.take(4)
        breaker.reset(1.0)
        breaker.now = 100.0
        assert breaker.stands.slow_calls == 0
        assert breaker.admit() is not None

    def test_an_observing_breaker_sees_them_and_grants(self, watched):
        """Shadow roll-out never refuses."""
        breaker = watched()
        breaker.observe(0.0)
        breaker.take(4)
        breaker.now = SLOW
        assert breaker.stands.slow_call_ratio == 1.0
        assert breaker.admit() is not None
        assert breaker.state is S.OBSERVING

    def test_a_disabled_breaker_counts_none(self, watched):
        """It counts nothing, so nothing hangs."""
        breaker = watched()
        breaker.disable(0.0)
        breaker.take(4)
        breaker.now = SLOW
        assert breaker.stands.slow_calls == 0
        assert breaker.stands.slow_call_ratio is None

    def test_ageing_alone_never_trips_at_the_next_caller(self, watched):
        """The slow ones fill the window as the fast ones leave it; nobody hangs, so nobody says."""
        breaker = watched(window=TimeWindow(10.0, 10))
        breaker.play("." * 6)
        breaker.now = 5.0
        for _ in range(4):
            breaker.succeed(breaker.admit(), breaker.now, SLOW)
        assert breaker.stands.slow_call_ratio == 0.4
        breaker.now = 10.0
        assert breaker.stands.slow_call_ratio == 1.0
        breaker.play("..-")
        assert breaker.state is S.CLOSED
        breaker.succeed(breaker.admit(), breaker.now, SLOW)
        assert breaker.state is S.OPEN

    def test_what_hangs_takes_the_places_of_older_outcomes(self, watched):
        """A full count window of fast calls cannot hide them."""
        breaker = watched(window=CountWindow(4))
        breaker.play("." * 100)
        breaker.take(2)
        breaker.now = SLOW
        assert breaker.stands.slow_call_ratio == 0.5
        assert breaker.admit() is None

    def test_a_record_says_how_many_hung(self, watched):
        """And the ratio they made, with the limits in force."""
        steps = []
        breaker = watched(record=steps.append)
        breaker.take(4)
        breaker.now = SLOW
        breaker.admit()
        (step,) = steps
        assert step.because == {
            "stalled": 4,
            "slow_call_ratio": 1.0,
            "watched_calls": 4,
            "slow_threshold": 0.5,
            "minimum_calls": 4,
        }
        assert step.fault is breaker.cause
        assert (step.trigger, step.target) == ("admit", S.OPEN)


class TestSlowProbes:
    """A round is judged by slow calls, too."""

    @pytest.fixture
    def probing(self, watched):
        """A breaker whose round has begun, with one probe out that has just been granted."""

        def made(**config):
            plain = {"probe_calls": 4, "probe_concurrency": 4, "minimum_calls": 1}
            breaker = watched(**{**plain, **config})
            breaker.fail(breaker.admit(), 0.0, DOWN)
            assert breaker.state is S.OPEN
            breaker.cool_down()
            return breaker

        return made

    def settle_as(self, breaker, outcomes):
        """Make probes: "S" is a slow success, "B" a slow failure, the others as in `play`."""
        for outcome in outcomes:
            lease = breaker.admit()
            duration = SLOW if outcome in "SB" else 0.0
            if outcome in "FB":
                breaker.fail(lease, breaker.now, DOWN, duration)
            else:
                breaker.succeed(lease, breaker.now, duration)

    @pytest.mark.parametrize(
        ("outcomes", "state"),
        [
            ("S", S.HALF_OPEN),
            ("SS", S.OPEN),
            ("S.", S.HALF_OPEN),
            ("...", S.CLOSED),
            ("S..", S.HALF_OPEN),
            ("S...", S.CLOSED),
            ("S..S", S.OPEN),
            ("BB", S.OPEN),
            ("B...", S.CLOSED),
        ],
    )
    def test_an_early_verdict_comes_once_the_rest_cannot_change_it(self, probing, outcomes, state):
        """Two slow ones of four reopen, three fast ones close."""
        breaker = probing()
        self.settle_as(breaker, outcomes)
        assert breaker.state is state

    @pytest.mark.parametrize(
        ("outcomes", "state"),
        [
            ("SSS", S.HALF_OPEN),
            ("...", S.HALF_OPEN),
            ("SSS.", S.OPEN),
            ("..SS", S.OPEN),
            ("S...", S.CLOSED),
            ("...B", S.CLOSED),
        ],
    )
    def test_without_it_the_whole_round_is_awaited(self, probing, outcomes, state):
        """A last success may reopen, a last slow failure may close."""
        breaker = probing(early_verdict=False)
        self.settle_as(breaker, outcomes)
        assert breaker.state is state

    def test_both_ratios_have_to_be_well(self, probing):
        """One of four failed and two were slow."""
        breaker = probing(early_verdict=False, failure_ratio=0.5)
        self.settle_as(breaker, "S.BF")
        assert breaker.state is S.OPEN

    def test_either_ratio_reopens(self, probing):
        """Failures do, though nothing was slow."""
        breaker = probing(failure_ratio=0.5)
        self.settle_as(breaker, "FF")
        assert breaker.state is S.OPEN

    def test_a_round_that_reopens_by_a_slow_success_grows_the_backoff(self, probing):
        """It is a failed round like any other."""
        breaker = probing()
        self.settle_as(breaker, "SS")
        assert (breaker.step, breaker.opened_for) == (2, 60.0)

    def test_a_probe_that_hangs_is_no_slow_call_before_its_time_out(self, probing):
        """The round waits for it; the time-out of probes is what ends it."""
        breaker = probing(probe_timeout=60.0)
        breaker.admit()
        breaker.now += SLOW
        assert breaker.admit() is not None
        assert breaker.state is S.HALF_OPEN

    def test_where_slow_calls_are_not_watched_a_slow_probe_heals(self, probing):
        """However long it took."""
        breaker = probing(slow_call_duration=None, probe_calls=1, probe_concurrency=1)
        lease = breaker.admit()
        breaker.now += 500.0
        breaker.settle(lease, ".")
        assert breaker.state is S.CLOSED
