"""The breaker, told what to do: holds and operators; and what it records."""

import math

import pytest

from fsm_fallback import BreakerState, CountWindow, Fault, FaultKind, TimeWindow
from fsm_fallback.core.breaker_rows import BREAKER

S = BreakerState
LIMITED = Fault(FaultKind.RATE_LIMIT, retry_after=7.0)
OPERATORS = {
    "force_open": S.FORCED_OPEN,
    "disable": S.DISABLED,
    "observe": S.OBSERVING,
    "reset": S.CLOSED,
}


def in_state(breaker, state):
    """Lead a breaker from CLOSED into a state."""
    if state in (S.OPEN, S.HALF_OPEN):
        breaker.trip()
    if state is S.HALF_OPEN:
        breaker.probe()
    for word, target in OPERATORS.items():
        if state is target is not S.CLOSED:
            getattr(breaker, word)(breaker.now)
    assert breaker.state is state
    return breaker


class TestHolds:
    """The provider, or an operator, named a time."""

    def test_a_hold_opens_until_exactly_the_named_time(self, make):
        """No jitter, whatever the sample; and no backoff step."""
        breaker = make(jitter=0.9, sample=0.0)
        breaker.hold(7.0, breaker.admit(), LIMITED)
        assert (breaker.state, breaker.open_until, breaker.step) == (S.OPEN, 7.0, 0)
        assert breaker.cause is LIMITED

    def test_a_hold_is_left_through_a_probe(self, make):
        """One tick before the time nobody is admitted, at it one caller is."""
        breaker = make()
        breaker.hold(7.0, breaker.admit(), LIMITED)
        breaker.now = math.nextafter(7.0, 0.0)
        assert breaker.admit() is None
        breaker.now = 7.0
        assert breaker.admit() is not None
        assert breaker.state is S.HALF_OPEN
        assert breaker.admit() is None

    def test_a_hold_is_capped(self, make):
        """A provider that names a week is asked again after the cap."""
        breaker = make(max_hold=3_600.0)
        breaker.hold(7 * 86_400.0, breaker.admit())
        assert breaker.open_until == 3_600.0

    @pytest.mark.parametrize(
        ("kind", "max_hold", "seconds"),
        [
            (FaultKind.RATE_LIMIT, 3_600.0, 300.0),
            (FaultKind.RATE_LIMIT, 60.0, 60.0),
            (FaultKind.AUTH, 7_200.0, 3_600.0),
            (FaultKind.TRANSIENT, 3_600.0, 3_600.0),
        ],
    )
    def test_a_hold_is_capped_by_the_kind_of_its_fault(self, make, kind, max_hold, seconds):
        """Where that has a cap, and it is the lower one."""
        breaker = make(max_hold=max_hold)
        breaker.hold(604_800.0, breaker.admit(), Fault(kind))
        assert breaker.opened_for == seconds

    def test_a_hold_until_now_opens_for_the_next_caller(self, make):
        """`Retry-After: 0` is a hold without length: the next caller is a probe."""
        breaker = make()
        breaker.hold(0.0, breaker.admit())
        assert breaker.state is S.OPEN
        assert breaker.admit() is not None
        assert breaker.state is S.HALF_OPEN

    def test_a_hold_until_a_time_that_has_passed_lasts_until_now(self, make):
        """It never reaches into the past."""
        breaker = make(at=100.0)
        breaker.breaker.hold(10.0, 100.0, breaker.admit())
        assert breaker.open_until == 100.0

    def test_a_hold_shortens_no_longer_opening(self, make):
        """Neither its time nor its cause changes."""
        breaker = make(open_duration=30.0)
        leases = [breaker.admit(), breaker.admit()]
        breaker.trip()
        before = breaker.breaker.snapshot(0.0)
        breaker.hold(29.0, leases[0], LIMITED)
        breaker.hold(30.0, leases[1], LIMITED)
        after = breaker.breaker.snapshot(0.0)
        assert (after.open_until, after.cause, after.generation) == (
            before.open_until,
            before.cause,
            before.generation,
        )

    def test_a_late_hold_lengthens_an_opening(self, make):
        """It is an instruction about the future, whenever its call began."""
        breaker = make(open_duration=30.0)
        late = breaker.admit()
        breaker.trip()
        breaker.hold(100.0, late, LIMITED)
        assert (breaker.open_until, breaker.cause, breaker.step) == (100.0, LIMITED, 1)

    def test_a_late_hold_opens_a_closed_breaker(self, make):
        """The provider says so now, though it was asked before."""
        breaker = make()
        late = breaker.admit()
        breaker.trip()
        breaker.cool_down()
        breaker.play(".")
        breaker.hold(5.0, late)
        assert breaker.state is S.OPEN

    def test_a_probe_that_is_told_to_wait_reopens(self, make):
        """Until the named time, at the same backoff step."""
        breaker = make()
        breaker.trip()
        lease = breaker.probe()
        breaker.hold(7.0, lease, LIMITED)
        assert (breaker.state, breaker.opened_for, breaker.step) == (S.OPEN, 7.0, 1)

    def test_a_hold_raises_no_later_backoff(self, make):
        """The first trip after it is a first trip."""
        breaker = make()
        breaker.hold(7.0, breaker.admit())
        breaker.cool_down()
        breaker.play(".")
        breaker.play("F")
        assert (breaker.step, breaker.opened_for) == (1, 30.0)

    def test_holds_that_repeat_grow_up_to_the_cap(self, make):
        """A quarter of an hour, a half, and from then on an hour."""
        breaker = make(max_hold=3_600.0)
        breaker.hold(900.0, breaker.admit())
        seen = [breaker.opened_for]
        for _ in range(3):
            breaker.hold(900.0, breaker.probe())
            seen.append(breaker.opened_for)
        assert seen == [900.0, 1_800.0, 3_600.0, 3_600.0]

    def test_holds_repeated_for_ever_stay_finite(self, make):
        """The exponent is clamped before the power is taken."""
        breaker = make()
        breaker.hold(900.0, breaker.admit())
        for _ in range(2_000):
            breaker.hold(900.0, breaker.probe())
        assert breaker.opened_for == 3_600.0

    def test_a_success_makes_the_next_hold_a_first_one(self, make):
        """The series is over once the provider has answered."""
        breaker = make()
        breaker.hold(900.0, breaker.admit())
        breaker.cool_down()
        breaker.play(".")
        assert breaker.holds == 0
        breaker.hold(900.0, breaker.admit())
        assert breaker.opened_for == 900.0

    @pytest.mark.parametrize("outcome", "F-")
    def test_what_is_no_success_does_not_end_the_series(self, make, outcome):
        """A probe that failed or left says nothing against the hold."""
        breaker = make()
        breaker.hold(900.0, breaker.admit())
        breaker.cool_down()
        breaker.play(outcome)
        if breaker.state is S.OPEN:
            breaker.cool_down()
        breaker.hold(900.0, breaker.admit())
        assert breaker.opened_for == 1_800.0

    def test_calls_told_together_to_wait_are_one_hold(self, make):
        """Ten calls of one burst do not make an hour of a minute."""
        breaker = make()
        leases = [breaker.admit() for _ in range(10)]
        for lease in leases:
            breaker.hold(60.0, lease)
        assert (breaker.holds, breaker.open_until) == (1, 60.0)

    @pytest.mark.parametrize("state", [S.FORCED_OPEN, S.DISABLED, S.OBSERVING])
    def test_an_operators_word_stands_against_a_hold(self, make, state):
        """Neither the provider nor anybody else overrules it."""
        breaker = make()
        lease = breaker.admit()
        in_state(breaker, state)
        breaker.hold(60.0, lease, LIMITED)
        assert (breaker.state, breaker.open_until, breaker.cause) == (state, None, None)

    def test_an_operators_hold_lasts_as_long_as_they_said(self, make):
        """What providers named before does not stretch it."""
        breaker = make()
        breaker.hold(900.0, breaker.admit())
        breaker.cool_down()
        breaker.play("-")
        breaker.hold(60.0)
        assert breaker.opened_for == 60.0

    def test_an_operators_hold_does_not_stretch_what_a_provider_names(self, make):
        """The provider named a time once, so it is believed."""
        breaker = make()
        breaker.hold(60.0)
        breaker.hold(7.0, breaker.probe(), LIMITED)
        assert breaker.opened_for == 7.0


class TestOperators:
    """By hand, from every state."""

    @pytest.mark.parametrize("word", OPERATORS)
    @pytest.mark.parametrize("state", S)
    def test_an_operators_word_leads_from_every_state_to_its_own(self, make, word, state):
        """With empty evidence, no backoff, no holds and no cause."""
        breaker = in_state(make(), state)
        generation = breaker.generation
        getattr(breaker, word)(breaker.now)
        assert breaker.state is OPERATORS[word]
        if state is not OPERATORS[word]:
            assert (breaker.step, breaker.holds, breaker.cause) == (0, 0, None)
            assert (breaker.open_until, breaker.tally.calls) == (None, 0)
            assert breaker.generation == generation + 1

    @pytest.mark.parametrize("word", ["force_open", "disable", "observe"])
    def test_a_word_said_twice_changes_nothing(self, make, word):
        """No new generation: leases that are out stay good."""
        breaker = make()
        getattr(breaker, word)(0.0)
        before = breaker.breaker.snapshot(0.0)
        getattr(breaker, word)(0.0)
        assert breaker.breaker.snapshot(0.0) == before

    def test_a_reset_of_a_closed_breaker_outdates_what_is_out(self, make):
        """Its evidence is gone, and an outcome from before is late."""
        breaker = make(minimum_calls=2)
        breaker.play("F")
        lease = breaker.admit()
        breaker.reset(0.0)
        breaker.settle(lease, "F")
        assert (breaker.generation, breaker.tally.calls) == (1, 0)

    def test_forced_open_refuses_for_ever(self, make):
        """Time does not lead out of it, and nobody knows when to come back."""
        breaker = make()
        breaker.force_open(0.0)
        breaker.now = 1e9
        assert breaker.admit() is None
        assert breaker.refusal.until is None

    def test_disabled_admits_all_and_counts_nothing(self, make):
        """However many fail."""
        breaker = make()
        breaker.disable(0.0)
        breaker.play("F" * 50 + "." * 50 + "-")
        snapshot = breaker.breaker.snapshot(0.0)
        assert (snapshot.state, snapshot.calls, snapshot.in_flight) == (S.DISABLED, 0, 0)

    def test_observing_admits_all_counts_and_never_trips(self, make):
        """A shadow roll-out shows what would have happened."""
        breaker = make()
        breaker.observe(0.0)
        breaker.play("F" * 8 + "..-")
        snapshot = breaker.breaker.snapshot(0.0)
        assert (snapshot.state, snapshot.calls, snapshot.failures) == (S.OBSERVING, 10, 8)
        assert snapshot.failure_ratio == 0.8

    def test_who_did_it_and_why_is_recorded(self, make):
        """For a word that changed nothing, too: an operator acted."""
        steps = []
        breaker = make(record=steps.append)
        breaker.force_open(0.0, actor="ops", reason="drill")
        breaker.force_open(0.0, actor="ops", reason="again")
        assert [(step.verdict, step.actor, step.reason) for step in steps] == [
            ("moved", "ops", "drill"),
            ("stayed", "ops", "again"),
        ]

    def test_a_hold_by_an_operator_says_whose_it_is_and_why(self, make):
        """And the breaker stands by their word."""
        steps = []
        breaker = make(record=steps.append).breaker
        breaker.hold(60.0, 0.0, actor="ops", reason="maintenance")
        assert [(step.verdict, step.actor, step.reason) for step in steps] == [
            ("moved", "ops", "maintenance")
        ]
        assert (breaker.actor, breaker.reason) == ("ops", "maintenance")

    def test_a_hold_that_lengthens_is_recorded_whoever_named_it(self, make):
        """The breaker stays open, but longer."""
        steps = []
        breaker = make(record=steps.append)
        late = breaker.admit()
        breaker.trip()
        steps.clear()
        breaker.hold(60.0, late, LIMITED)
        assert [(step.trigger, step.verdict, step.fault) for step in steps] == [
            ("hold", "stayed", LIMITED)
        ]

    def test_a_hold_that_changed_nothing_is_recorded_if_an_operator_said_it(self, make):
        """One that a provider named is not."""
        steps = []
        breaker = make(record=steps.append)
        breaker.disable(0.0)
        steps.clear()
        breaker.hold(60.0, breaker.admit(), LIMITED)
        assert steps == []
        breaker.hold(60.0)
        assert [(step.trigger, step.verdict) for step in steps] == [("hold", "stayed")]

    @pytest.mark.parametrize("word", OPERATORS)
    def test_a_word_comes_from_no_call(self, make, word):
        """Its record has no lease and no fault, and nothing was compared."""
        steps = []
        breaker = make(record=steps.append)
        breaker.play("F")
        steps.clear()
        getattr(breaker, word)(1.0, "ops", "drill")
        (step,) = steps
        assert (step.trigger, step.at) == (word, 1.0)
        assert (step.actor, step.reason) == ("ops", "drill")
        assert (step.lease, step.fault, step.because) == (None, None, {})


class TestWhoseWord:
    """By whose word a breaker stands as it does: an operator's, or nobody's."""

    def whose(self, breaker):
        """Who spoke last, and why."""
        return breaker.breaker.actor, breaker.breaker.reason

    def test_it_stands_by_the_last_operators(self, make):
        """Though the second changed nothing: they said it, too."""
        breaker = make()
        breaker.force_open(0.0, "ann", "drill")
        assert self.whose(breaker) == ("ann", "drill")
        breaker.force_open(0.0, "bob", "outage")
        assert self.whose(breaker) == ("bob", "outage")

    def test_it_stands_by_theirs_while_nothing_leads_away(self, make):
        """Whatever is asked and answered."""
        breaker = make(minimum_calls=9)
        breaker.observe(0.0, "ann", "trial")
        breaker.play("F.-")
        assert self.whose(breaker) == ("ann", "trial")
        breaker.force_open(0.0, "bob", "outage")
        assert breaker.admit() is None
        assert self.whose(breaker) == ("bob", "outage")

    def test_it_stands_by_nobodys_once_it_has_moved_by_itself(self, make):
        """What opened it is a failure, and not who closed it before."""
        breaker = make()
        breaker.reset(0.0, "ann", "drill is over")
        assert self.whose(breaker) == ("ann", "drill is over")
        breaker.play("F")
        assert self.whose(breaker) == (None, None)

    def test_a_longer_hold_is_whose_it_is(self, make):
        """An operator's, or a provider's, which is nobody's."""
        breaker = make()
        late = breaker.admit()
        breaker.trip()
        breaker.breaker.hold(60.0, 0.0, actor="ann", reason="maintenance")
        assert self.whose(breaker) == ("ann", "maintenance")
        breaker.hold(90.0, late)
        assert self.whose(breaker) == (None, None)

    def test_a_hold_that_changed_nothing_leaves_it_to_whom_it_was(self, make):
        """The word that stands is the other one."""
        breaker = make()
        breaker.force_open(0.0, "ann", "drill")
        breaker.breaker.hold(60.0, 0.0, actor="bob", reason="maintenance")
        assert self.whose(breaker) == ("ann", "drill")


class TestRecords:
    """What a breaker says of itself."""

    def test_only_what_changes_state_is_recorded_by_default(self, make):
        """Opening, the first probe, closing."""
        steps = []
        breaker = make(record=steps.append)
        breaker.play(".-")
        breaker.trip()
        breaker.cool_down()
        breaker.play(".")
        assert [(step.trigger, step.source, step.target) for step in steps] == [
            ("fail", S.CLOSED, S.OPEN),
            ("admit", S.OPEN, S.HALF_OPEN),
            ("succeed", S.HALF_OPEN, S.CLOSED),
        ]

    def test_every_firing_is_recorded_if_asked_for(self, make):
        """Rows that stay, and refusals, too."""
        steps = []
        breaker = make(record=steps.append, stays=True)
        breaker.play(".F")
        breaker.admit()
        assert [(step.trigger, step.verdict) for step in steps] == [
            ("admit", "stayed"),
            ("succeed", "stayed"),
            ("admit", "stayed"),
            ("fail", "moved"),
            ("admit", "refused"),
        ]

    def test_a_record_says_what_the_guard_compared(self, make):
        """The pending outcome is in the numbers, as it was in the decision."""
        steps = []
        breaker = make(record=steps.append, minimum_calls=2)
        breaker.play(".F")
        (step,) = steps
        assert step.because == {
            "failure_ratio": 0.5,
            "calls": 2,
            "threshold": 0.5,
            "minimum_calls": 2,
        }

    @pytest.mark.parametrize("window", [CountWindow(10), TimeWindow(10.0, 5)])
    def test_a_record_says_how_the_breaker_stands_afterwards(self, make, window):
        """One failure of two calls, and one call that is out; then the failure that opened it."""
        steps = []
        breaker = make(record=steps.append, stays=True, minimum_calls=3, window=window)
        breaker.take(1)
        breaker.play(".F")
        stood = {"failures": 1, "calls": 2, "slow_calls": 0, "in_flight": 1}
        assert steps[-1].facts == {
            **stood,
            "open_until": None,
            "step": 0,
            "holds": 0,
            "generation": 0,
        }
        breaker.hold(60.0, breaker.admit())
        assert steps[-1].facts == {
            "failures": 0,
            "calls": 0,
            "slow_calls": 0,
            "in_flight": 1,
            "open_until": 60.0,
            "step": 0,
            "holds": 1,
            "generation": 1,
        }

    def test_a_record_of_a_plain_success_says_that_it_could_not_trip(self, make):
        """Nothing else was measured for it."""
        steps = []
        make(record=steps.append, stays=True).play(".")
        assert steps[-1].because == {"stalled": 0, "may_trip": False}

    def test_a_record_of_a_release_compares_nothing(self, make):
        """There is no evidence in it."""
        steps = []
        make(record=steps.append, stays=True).play("-")
        assert (steps[-1].trigger, steps[-1].because, steps[-1].fault) == ("release", {}, None)

    def test_a_record_of_a_probe_says_how_its_round_stands(self, make):
        """One of four failed; whatever the others do, at best a quarter fails."""
        steps = []
        breaker = make(record=steps.append, stays=True, probe_calls=4, probe_concurrency=4)
        breaker.trip()
        breaker.settle(breaker.probe(), "F")
        assert steps[-1].because == {
            "done": 1,
            "failures": 1,
            "decidable": True,
            "best_ratio": 0.25,
            "worst_ratio": 1.0,
            "threshold": 0.5,
        }

    def test_a_record_of_a_hold_says_what_was_named_and_what_stood(self, make):
        """While closed, nothing; the second one is compared with the first."""
        steps = []
        breaker = make(record=steps.append)
        breaker.hold(60.0)
        breaker.hold(90.0)
        assert [step.because for step in steps] == [
            {"until": 60.0, "open_until": -math.inf},
            {"until": 90.0, "open_until": 60.0},
        ]

    def test_a_record_names_its_row_lease_and_fault(self, make):
        """The lease is the one whose outcome fired it."""
        steps = []
        breaker = make(record=steps.append)
        lease = breaker.admit()
        breaker.settle(lease, "F")
        (step,) = steps
        assert BREAKER.id_of(step.row).startswith("T")
        assert (step.lease, step.generation) == (lease.number, lease.generation)
        assert step.fault.kind is FaultKind.TRANSIENT
