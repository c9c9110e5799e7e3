"""The breaker, cell by cell of its semantics: tripping, the open time, probing.

Leases are in `test_breaker_leases`, holds and operators in `test_breaker_orders`.
"""

import math

import pytest

from fsm_fallback import BreakerState, CountWindow, Fault, FaultKind

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
OUTCOMES = "F.-"
TICK = 1e-9


class TestTripping:
    """When a closed breaker opens."""

    def test_a_new_breaker_is_closed_and_grants(self, make):
        """It stands as if nothing had ever happened."""
        breaker = make()
        assert breaker.state is S.CLOSED
        assert breaker.admit() is not None
        assert (breaker.generation, breaker.step, breaker.holds, breaker.cause) == (0, 0, 0, None)

    def test_it_opens_at_exactly_the_failure_ratio(self, make):
        """Five of ten failed, and the ratio is a half."""
        breaker = make(minimum_calls=10, failure_ratio=0.5)
        breaker.play(".....FFFF")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_it_stays_closed_just_below_the_ratio(self, make):
        """Four of ten are not enough, however many calls follow."""
        breaker = make(minimum_calls=10, failure_ratio=0.5)
        breaker.play("......FFFF")
        breaker.play(("." * 6 + "F" * 4) * 3)
        assert breaker.state is S.CLOSED

    def test_it_stays_closed_below_the_minimum_of_calls(self, make):
        """Nine failures of nine calls are no verdict where ten are wanted."""
        breaker = make(minimum_calls=10)
        breaker.play("F" * 9)
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_a_success_never_trips(self, make):
        """It may fill the window up to the minimum; the next failure is judged."""
        breaker = make(minimum_calls=10, failure_ratio=0.5)
        breaker.play("FFFFFFFFF.")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_failures_that_left_the_window_do_not_count(self, make):
        """Only the last ten calls are evidence."""
        breaker = make(window=CountWindow(10), minimum_calls=10, failure_ratio=0.5)
        breaker.play("FFFF" + "." * 10 + "FFFF")
        assert breaker.state is S.CLOSED

    def test_a_ratio_of_one_wants_nothing_but_failures(self, make):
        """One success in the window keeps it closed."""
        breaker = make(window=CountWindow(3), minimum_calls=3, failure_ratio=1.0)
        breaker.play(".FF")
        assert breaker.state is S.CLOSED
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_neutral_outcomes_are_no_evidence(self, make):
        """They neither fill the window nor thin it."""
        breaker = make(minimum_calls=2)
        breaker.play("F" + "-" * 50)
        snapshot = breaker.breaker.snapshot(0.0)
        assert (snapshot.calls, snapshot.failures, snapshot.state) == (1, 1, S.CLOSED)
        breaker.play("F")
        assert breaker.state is S.OPEN

    def test_the_fault_that_trips_is_the_cause(self, make):
        """The very object, so that every later refusal can name it."""
        breaker = make()
        breaker.play("F")
        assert breaker.cause == DOWN

    def test_evidence_is_empty_after_opening_and_after_closing(self, make):
        """Neither what tripped it nor its probes are held against the healed provider."""
        breaker = make(minimum_calls=3)
        breaker.play("FFF")
        assert breaker.tally.calls == 0
        breaker.cool_down()
        breaker.play(".")
        assert breaker.state is S.CLOSED
        assert breaker.tally.calls == 0
        breaker.play("FF")
        assert breaker.state is S.CLOSED

    def test_an_outcome_counts_where_it_settles(self, make):
        """Calls admitted together and failed later trip it when they come back."""
        breaker = make(minimum_calls=3)
        leases = [breaker.admit() for _ in range(3)]
        breaker.now = 1_000.0
        for lease in leases:
            breaker.settle(lease, "F")
        assert breaker.state is S.OPEN


class TestOpenTime:
    """How long an opening lasts."""

    def test_at_exactly_the_end_a_call_is_admitted(self, make):
        """It is the first probe."""
        breaker = make(open_duration=30.0)
        breaker.play("F")
        breaker.now = 30.0
        assert breaker.admit() is not None
        assert breaker.state is S.HALF_OPEN

    def test_one_tick_before_the_end_a_call_is_refused(self, make):
        """The smallest difference a float can tell."""
        breaker = make(open_duration=30.0)
        breaker.play("F")
        breaker.now = math.nextafter(30.0, 0.0)
        assert breaker.admit() is None
        assert breaker.state is S.OPEN

    def test_a_refusal_says_when_to_come_back_and_is_counted(self, make):
        """Nothing else of the breaker changes."""
        breaker = make(open_duration=30.0)
        breaker.play("F")
        before = breaker.breaker.snapshot(0.0)
        assert breaker.admit() is None
        assert breaker.refusal.until == 30.0
        after = breaker.breaker.snapshot(0.0)
        assert (before.not_permitted, after.not_permitted) == (0, 1)
        assert before.generation == after.generation

    def test_each_failed_round_doubles_it_up_to_the_cap(self, make):
        """30, 60, 120, 240, and from then on 300 seconds."""
        breaker = make()
        breaker.play("F")
        seen = [breaker.opened_for]
        for _ in range(5):
            breaker.cool_down()
            breaker.play("F")
            seen.append(breaker.opened_for)
        assert seen == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]

    def test_a_factor_of_one_never_grows(self, make):
        """Every opening lasts as long as the first."""
        breaker = make(backoff_factor=1.0)
        breaker.play("F")
        for _ in range(5):
            breaker.cool_down()
            breaker.play("F")
            assert breaker.opened_for == 30.0

    def test_thousands_of_openings_stay_finite(self, make):
        """The exponent is clamped before the power is taken."""
        breaker = make(backoff_factor=1000.0, open_duration=1.0, max_open_duration=1e6)
        breaker.play("F")
        for _ in range(3_000):
            breaker.cool_down()
            breaker.play("F")
        assert breaker.step == 3_001
        assert breaker.opened_for == pytest.approx(1e6)

    @pytest.mark.parametrize(("sample", "seconds"), [(0.0, 27.0), (0.5, 30.0), (0.999, 32.994)])
    def test_jitter_varies_it_by_its_share_both_ways(self, make, sample, seconds):
        """The sample 0 shortens by a tenth, 0.5 does nothing, and 1 is never reached."""
        breaker = make(jitter=0.1, sample=sample)
        breaker.play("F")
        assert breaker.opened_for == pytest.approx(seconds)

    def test_the_cap_comes_before_the_jitter(self, make):
        """Breakers that are capped do not all come back at once."""
        breaker = make(jitter=0.1, sample=0.0, open_duration=300.0)
        breaker.play("F")
        assert breaker.opened_for == pytest.approx(270.0)

    @pytest.mark.parametrize(
        ("rested", "seconds"), [(0.0, 120.0), (29.9, 120.0), (30.0, 60.0), (60.0, 30.0)]
    )
    def test_time_spent_closed_wears_the_backoff_off(self, make, rested, seconds):
        """One step for each whole open duration: who flaps does not start over."""
        breaker = make()
        breaker.play("F")
        breaker.cool_down()
        breaker.play("F")
        assert breaker.step == 2
        breaker.cool_down()
        breaker.play(".")
        breaker.now += rested
        breaker.play("F")
        assert breaker.opened_for == pytest.approx(seconds)

    def test_a_long_rest_leads_back_to_the_first_step_and_no_further(self, make):
        """The step never falls below what a first opening has."""
        breaker = make(at=1_000.0)
        breaker.now += 1e9
        breaker.play("F")
        assert (breaker.step, breaker.opened_for) == (1, 30.0)

    def test_the_shortest_opening_there_is_wears_off_like_any_other(self, make):
        """A rest of more open durations than a float can count is a long one."""
        breaker = make(open_duration=5e-324)
        breaker.now = 5.0
        breaker.play("F")
        assert (breaker.state, breaker.step) == (S.OPEN, 1)
        assert breaker.admit() is not None

    def test_a_round_that_fails_does_not_wear_the_backoff_off(self, make):
        """Time spent open is no rest, however long nobody called."""
        breaker = make()
        breaker.play("F")
        breaker.now += 1e6
        breaker.play("F")
        assert breaker.step == 2


class TestProbing:
    """The round in HALF_OPEN."""

    def test_one_success_closes_a_default_round(self, make):
        """One probe is wanted, and it answered."""
        breaker = make()
        breaker.trip()
        breaker.cool_down()
        breaker.play(".")
        assert breaker.state is S.CLOSED
        assert (breaker.cause, breaker.open_until) == (None, None)

    def test_one_failure_reopens_a_default_round(self, make):
        """With the fault of the probe as its cause."""
        breaker = make()
        breaker.trip()
        lease = breaker.probe()
        timed_out = Fault(FaultKind.TIMEOUT)
        breaker.fail(lease, breaker.now, timed_out)
        assert breaker.state is S.OPEN
        assert breaker.cause is timed_out

    def test_no_more_probes_are_out_than_may_be_at_once(self, make):
        """Two of four; a third caller waits for a slot."""
        breaker = make(probe_calls=4, probe_concurrency=2)
        breaker.trip()
        first, second = breaker.probe(), breaker.admit()
        assert first is not None
        assert second is not None
        assert breaker.admit() is None
        breaker.settle(first, ".")
        assert breaker.admit() is not None
        assert breaker.admit() is None

    def test_no_more_probes_are_granted_than_the_round_wants(self, make):
        """Done and out together; nobody starts one whose outcome would not be asked for."""
        breaker = make(probe_calls=3, probe_concurrency=3, early_verdict=False)
        breaker.trip()
        leases = [breaker.probe(), breaker.admit(), breaker.admit()]
        breaker.settle(leases[0], ".")
        assert breaker.admit() is None
        assert breaker.state is S.HALF_OPEN

    @pytest.mark.parametrize(
        ("outcomes", "state"),
        [
            ("F", S.HALF_OPEN),
            ("FF", S.OPEN),
            ("..", S.HALF_OPEN),
            ("...", S.CLOSED),
            (".F.", S.HALF_OPEN),
            (".F..", S.CLOSED),
            (".F.F", S.OPEN),
        ],
    )
    def test_an_early_verdict_comes_once_the_rest_cannot_change_it(self, make, outcomes, state):
        """Four probes at a ratio of a half: two failures open, three successes close."""
        breaker = make(probe_calls=4, failure_ratio=0.5)
        breaker.trip()
        breaker.cool_down()
        breaker.play(outcomes)
        assert breaker.state is state

    @pytest.mark.parametrize(
        ("outcomes", "state"),
        [
            ("FFF", S.HALF_OPEN),
            ("...", S.HALF_OPEN),
            ("...F", S.CLOSED),
            ("....", S.CLOSED),
            ("FF..", S.OPEN),
            ("FFFF", S.OPEN),
        ],
    )
    def test_without_it_the_whole_round_is_awaited(self, make, outcomes, state):
        """A last failure may close and a last success may open: the round decides."""
        breaker = make(probe_calls=4, failure_ratio=0.5, early_verdict=False)
        breaker.trip()
        breaker.cool_down()
        breaker.play(outcomes)
        assert breaker.state is state

    def test_a_neutral_probe_gives_its_slot_back(self, make):
        """The round goes on as if it had not been."""
        breaker = make()
        breaker.trip()
        breaker.cool_down()
        breaker.play("---")
        assert breaker.state is S.HALF_OPEN
        breaker.play(".")
        assert breaker.state is S.CLOSED

    def test_a_neutral_probe_is_none_of_those_wanted(self, make):
        """Two verdicts are wanted, and two are had beside it."""
        breaker = make(probe_calls=2, early_verdict=False)
        breaker.trip()
        breaker.cool_down()
        breaker.play(".-")
        assert breaker.state is S.HALF_OPEN
        breaker.play(".")
        assert breaker.state is S.CLOSED

    def test_a_probe_out_for_exactly_the_time_out_is_not_overdue(self, make):
        """The others are refused, the round goes on."""
        breaker = make(probe_timeout=60.0)
        breaker.trip()
        breaker.probe()
        breaker.now += 60.0
        assert breaker.admit() is None
        assert breaker.state is S.HALF_OPEN

    def test_a_probe_out_for_longer_reopens(self, make):
        """A hang is a failure: refused, a step further, and the cause says why."""
        breaker = make(probe_timeout=60.0)
        breaker.trip()
        breaker.probe()
        breaker.now += 60.0 + TICK
        assert breaker.admit() is None
        assert (breaker.state, breaker.step) == (S.OPEN, 2)
        assert breaker.opened_for == pytest.approx(60.0)
        assert breaker.cause.kind is FaultKind.TIMEOUT

    def test_the_oldest_probe_decides_whether_one_is_overdue(self, make):
        """One that hangs is not covered by one that started later."""
        breaker = make(probe_timeout=60.0, probe_calls=3, probe_concurrency=2)
        breaker.trip()
        breaker.probe()
        breaker.now += 50.0
        breaker.admit()
        breaker.now += 11.0
        assert breaker.admit() is None
        assert breaker.state is S.OPEN

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_an_overdue_probe_is_late_when_it_comes_back(self, make, outcome):
        """Its round is over: it closes nothing and opens nothing."""
        breaker = make(probe_timeout=60.0)
        breaker.trip()
        lease = breaker.probe()
        breaker.now += 61.0
        breaker.admit()
        before = breaker.breaker.snapshot(breaker.now)
        breaker.settle(lease, outcome)
        after = breaker.breaker.snapshot(breaker.now)
        assert (after.state, after.generation, after.step) == (S.OPEN, before.generation, 2)
        assert (before.in_flight, after.in_flight) == (1, 0)

    def test_a_round_without_a_probe_out_never_ages(self, make):
        """However long nobody calls, the next caller is a probe."""
        breaker = make(probe_timeout=60.0)
        breaker.trip()
        breaker.cool_down()
        breaker.play("-")
        breaker.now += 1e9
        assert breaker.admit() is not None
        assert breaker.state is S.HALF_OPEN
