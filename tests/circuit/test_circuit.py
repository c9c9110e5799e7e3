"""`CircuitBreaker`: leases, how they are settled or lost, snapshots, bad input.

What the breaker decides is in `core/test_breaker` and its neighbours; listeners, finalisers and
threads are in `test_circuit_threads`.
"""

import gc
import math

import pytest

from fsm_fallback import (
    BreakerOpen,
    BreakerState,
    CircuitBreaker,
    ConfigurationError,
    Fault,
    FaultKind,
    Outcome,
)
from fsm_fallback.core.outcome import KINDS
from fsm_fallback.testing import ManualClock

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT, message="MARKER")
BAD_SECONDS = [-1.0, math.nan, math.inf, -math.inf, True, "7", None]


class TestAcquiring:
    """A lease, or the word that there is none."""

    def test_a_closed_circuit_grants(self, circuit):
        """Both ways to ask."""
        assert circuit.acquire().generation == 0
        assert circuit.try_acquire().generation == 0

    def test_an_open_one_answers_none(self, circuit):
        """Without an exception, for callers that ask often."""
        circuit.acquire().fail(DOWN)
        assert circuit.try_acquire() is None

    def test_an_open_one_raises_when_to_come_back_and_why(self, circuit, clock):
        """The seconds left, counted from now, and the fault that opened it."""
        circuit.acquire().fail(DOWN)
        clock.advance(12.5)
        with pytest.raises(BreakerOpen) as caught:
            circuit.acquire()
        error = caught.value
        assert (error.provider, error.state, error.retry_after) == ("openai", "open", 17.5)
        assert error.cause is DOWN
        assert str(error) == "breaker 'openai' is open (transient); retry after 17.5 s"

    def test_one_forced_open_knows_no_time(self, circuit):
        """An operator has to speak."""
        circuit.force_open()
        with pytest.raises(BreakerOpen, match=r"is forced_open$") as caught:
            circuit.acquire()
        assert (caught.value.retry_after, caught.value.cause) == (None, None)

    def test_a_round_that_has_its_probes_refuses(self, circuit, clock):
        """Nobody knows when the probe will be back."""
        circuit.acquire().fail(DOWN)
        clock.advance(30.0)
        probe = circuit.acquire()
        with pytest.raises(BreakerOpen, match="half_open") as caught:
            circuit.acquire()
        assert caught.value.retry_after is None
        probe.release()

    def test_reading_changes_nothing(self, circuit, clock):
        """After the open time it stands OPEN until a caller comes."""
        circuit.acquire().fail(DOWN)
        clock.advance(1_000.0)
        assert circuit.state is S.OPEN
        assert circuit.snapshot().state is S.OPEN
        assert repr(circuit) == "<CircuitBreaker 'openai': open>"

    def test_it_answers_to_its_name_and_its_parameters(self, make):
        """As they were given."""
        circuit = make(open_duration=31.0)
        assert circuit.name == "openai"
        assert circuit.config.open_duration == 31.0

    def test_it_begins_where_it_was_told_to(self, make):
        """And grants, or does not, from the first call on."""
        assert make(initial_state=S.OBSERVING).state is S.OBSERVING
        with pytest.raises(BreakerOpen) as caught:
            make(initial_state=S.OPEN).acquire()
        assert (caught.value.retry_after, caught.value.cause) == (30.0, None)

    @pytest.mark.parametrize("state", S)
    def test_would_admit_tells_what_acquire_does(self, make, state):
        """Asking takes nothing and counts nothing."""
        circuit = make(initial_state=state)
        before = circuit.snapshot()
        would = [circuit.would_admit() for _ in range(3)]
        assert circuit.snapshot() == before
        assert would == [circuit.try_acquire() is not None] * 3


class TestSettling:
    """Outcomes are booked through the lease."""

    @pytest.mark.parametrize("kind", FaultKind)
    def test_a_fault_is_settled_as_the_fault_table_says(self, make, kind):
        """A failure counts, a hold opens for its time, anything else leaves no trace."""
        circuit = make(minimum_calls=5)
        circuit.acquire().settle(Fault(kind))
        snapshot = circuit.snapshot()
        match KINDS[kind].outcome:
            case Outcome.FAILURE:
                assert (snapshot.state, snapshot.failures) == (S.CLOSED, 1)
            case Outcome.HOLD:
                assert snapshot.open_until == KINDS[kind].hold_duration
                assert snapshot.cause.kind is kind
            case _:
                assert (snapshot.state, snapshot.calls) == (S.CLOSED, 0)
        assert snapshot.in_flight == 0

    def test_a_rate_limit_holds_until_exactly_the_named_time(self, circuit, clock):
        """Seven seconds from the answer that named them."""
        lease = circuit.acquire()
        clock.advance(3.0)
        lease.settle(Fault(FaultKind.RATE_LIMIT, retry_after=7.0))
        assert circuit.snapshot().open_until == 10.0

    def test_a_rate_limit_that_repeats_is_believed_within_its_cap(self, circuit, clock):
        """The fault table caps it at 300 s, the fourth time as the first."""
        for _ in range(4):
            circuit.acquire().settle(Fault(FaultKind.RATE_LIMIT, retry_after=200.0))
            held = circuit.snapshot().open_until - clock()
            assert held <= 300.0
            clock.advance(held)

    def test_spent_credit_is_held_for_longer_each_time(self, circuit, clock):
        """A quarter of an hour, a half, an hour."""
        seen = []
        for _ in range(3):
            circuit.acquire().settle(Fault(FaultKind.QUOTA))
            seen.append(circuit.snapshot().open_until - clock())
            clock.advance(seen[-1])
        assert seen == [900.0, 1_800.0, 3_600.0]

    def test_each_way_to_settle_books_once(self, make):
        """Ten settlings of one lease are one success."""
        circuit = make(minimum_calls=50)
        lease = circuit.acquire()
        lease.succeed()
        for again in (lease.succeed, lease.fail, lease.release, lambda: lease.hold(5.0)) * 3:
            again()
        snapshot = circuit.snapshot()
        assert (snapshot.calls, snapshot.failures, snapshot.in_flight) == (1, 0, 0)

    @pytest.mark.parametrize("seconds", BAD_SECONDS)
    def test_a_hold_of_no_duration_is_refused_and_the_lease_stays_out(self, circuit, seconds):
        """The holder can still settle it."""
        lease = circuit.acquire()
        with pytest.raises(ValueError, match=r"give finite seconds >= 0"):
            lease.hold(seconds)
        assert circuit.snapshot().in_flight == 1
        lease.succeed()
        assert circuit.snapshot().in_flight == 0

    @pytest.mark.parametrize("word", ["succeed", "fail"])
    @pytest.mark.parametrize("duration", [each for each in BAD_SECONDS if each is not None])
    def test_a_duration_that_is_none_is_refused_and_the_lease_stays_out(self, make, word, duration):
        """The holder can still settle it."""
        circuit = make(slow_call_duration=5.0, minimum_calls=5)
        lease = circuit.acquire()
        with pytest.raises(ValueError, match=r"duration of 'openai' is .*; give finite seconds"):
            getattr(lease, word)(duration=duration)
        assert not lease.settled
        getattr(lease, word)(duration=0.0)
        assert (circuit.snapshot().in_flight, circuit.snapshot().calls) == (0, 1)

    @pytest.mark.parametrize(("given", "slow_calls"), [(None, 1), (4.0, 0), (5.0, 1)])
    def test_the_clock_measures_unless_a_duration_is_given(self, make, clock, given, slow_calls):
        """Six seconds by the clock."""
        circuit = make(slow_call_duration=5.0, minimum_calls=5)
        first, second = circuit.acquire(), circuit.acquire()
        clock.advance(6.0)
        first.succeed(given)
        second.fail(DOWN, given)
        assert circuit.snapshot().slow_calls == 2 * slow_calls

    def test_the_first_output_ends_the_wait(self, make, clock):
        """A stream settled by hand says when it began to answer."""
        circuit = make(slow_call_duration=5.0, minimum_calls=5)
        lease = circuit.acquire()
        clock.advance(4.0)
        lease.begin_output()
        clock.advance(100.0)
        lease.succeed()
        assert circuit.snapshot().slow_calls == 0

    @pytest.mark.parametrize("watching", [{}, {"slow_call_duration": 5.0}])
    def test_a_second_settling_is_told_as_late_with_its_reason(self, make, watching):
        """Once each time, and by its trigger."""
        circuit, seen = make(minimum_calls=5, **watching), []
        circuit.add_listener(seen.append)
        lease = circuit.acquire()
        lease.succeed()
        for again in (lease.succeed, lease.fail, lease.release, lambda: lease.hold(5.0)):
            again()
        assert [step.trigger for step in seen] == ["succeed", "fail", "release", "hold"]
        assert {step.verdict for step in seen} == {"late"}
        assert all(step.because == {"settled_before": True} for step in seen)

    @pytest.mark.parametrize(
        "settle",
        [
            CircuitBreaker.settle_success,
            CircuitBreaker.settle_failure,
            CircuitBreaker.settle_release,
            CircuitBreaker.begin_output,
            lambda circuit, lease: circuit.settle_hold(lease, 60.0),
            lambda circuit, lease: circuit.settle_fault(lease, DOWN),
        ],
        ids=["success", "failure", "release", "output", "hold", "fault"],
    )
    def test_a_lease_of_another_circuit_is_refused_and_both_are_unchanged(self, make, settle):
        """Neither counts it, and its holder still has it."""
        circuit, other = make(minimum_calls=5), make(minimum_calls=5)
        lease = circuit.acquire()
        before = circuit.snapshot(), other.snapshot()
        with pytest.raises(ConfigurationError, match="settle it on the one that granted it"):
            settle(other, lease)
        assert (circuit.snapshot(), other.snapshot()) == before
        lease.succeed()
        assert circuit.snapshot().calls == 1

    def test_who_has_just_read_the_clock_may_say_so(self, circuit):
        """A chain reads it once for all it does."""
        circuit.settle_hold(circuit.acquire(), 60.0, now=3.0)
        assert circuit.snapshot().open_until == 63.0

    def test_a_lease_tells_how_it_stands(self, circuit):
        """For people."""
        lease = circuit.acquire()
        assert repr(lease) == "<Lease 1 of breaker 'openai': out>"
        lease.succeed()
        assert repr(lease) == "<Lease 1 of breaker 'openai': settled>"

    @pytest.mark.parametrize("seconds", BAD_SECONDS)
    def test_an_operators_hold_of_no_duration_is_refused(self, circuit, seconds):
        """The circuit stays as it was."""
        with pytest.raises(ValueError, match=r"give finite seconds >= 0"):
            circuit.hold(seconds)
        assert circuit.state is S.CLOSED

    @pytest.mark.parametrize(
        ("word", "state"),
        [
            ("force_open", S.FORCED_OPEN),
            ("disable", S.DISABLED),
            ("observe", S.OBSERVING),
            ("reset", S.CLOSED),
        ],
    )
    def test_an_operators_word_counts_at_once_and_says_who(self, circuit, word, state):
        """And why."""
        seen = []
        circuit.add_listener(seen.append)
        getattr(circuit, word)(actor="ops", reason="drill")
        assert circuit.state is state
        assert [(step.trigger, step.actor, step.reason) for step in seen] == [
            (word, "ops", "drill")
        ]

    def test_an_operators_hold_opens_and_says_who(self, circuit):
        """For so many seconds."""
        seen = []
        circuit.add_listener(seen.append)
        circuit.hold(60.0, actor="ops", reason="maintenance")
        assert circuit.snapshot().open_until == 60.0
        assert (seen[0].actor, seen[0].reason) == ("ops", "maintenance")


class TestLostLeases:
    """A lease that is dropped unsettled comes back by itself."""

    def test_the_next_operation_releases_it(self, circuit):
        """Without evidence; until then it is in flight."""
        lease = circuit.acquire()
        del lease
        assert circuit.snapshot().in_flight == 1
        circuit.acquire().release()
        snapshot = circuit.snapshot()
        assert (snapshot.in_flight, snapshot.calls) == (0, 0)

    def test_one_that_is_settled_is_not_released_again(self, circuit):
        """It was given back when it was settled."""
        circuit.acquire().succeed()
        circuit.acquire().release()
        assert circuit.snapshot().in_flight == 0

    def test_one_in_a_cycle_is_found_by_the_collector(self, circuit):
        """However it became garbage."""
        cycle = [circuit.acquire()]
        cycle.append(cycle)
        del cycle
        gc.collect()
        circuit.acquire().release()
        assert circuit.snapshot().in_flight == 0

    def test_a_lost_probe_gives_its_slot_to_the_next_caller(self, circuit, clock):
        """A round cannot wedge on a caller that forgot."""
        circuit.acquire().fail(DOWN)
        clock.advance(30.0)
        probe = circuit.acquire()
        assert circuit.try_acquire() is None
        del probe
        assert circuit.try_acquire() is not None

    def test_a_lost_probe_is_out_of_the_way_for_would_admit_too(self, circuit, clock):
        """Else who asks it before every call would wait for the probe for ever."""
        circuit.acquire().fail(DOWN)
        clock.advance(30.0)
        probe = circuit.acquire()
        del probe
        assert circuit.would_admit()

    def test_one_of_a_circuit_that_is_gone_harms_nobody(self, make):
        """The lease keeps its circuit until it is settled."""
        lease = make().acquire()
        gc.collect()
        lease.fail(DOWN)
        assert lease.settled


class TestRestoring:
    """From one process to the next."""

    def test_a_circuit_takes_over_on_its_own_clock(self, circuit, clock):
        """The rest of the open time, counted from now."""
        circuit.acquire().fail(DOWN)
        clock.advance(10.0)
        later = ManualClock()
        later.advance(5_000.0)
        restored = CircuitBreaker("openai", circuit.config, clock=later)
        restored.restore(circuit.snapshot())
        assert restored.snapshot().open_until == 5_020.0
        assert restored.try_acquire() is None
        later.advance(20.0)
        assert restored.try_acquire() is not None

    def test_it_tells_its_listeners(self, circuit):
        """A breaker that jumped is news."""
        seen, other = [], CircuitBreaker("openai", circuit.config)
        circuit.force_open()
        other.add_listener(seen.append)
        other.restore(circuit.snapshot())
        assert [(step.trigger, step.target) for step in seen] == [("restore", S.FORCED_OPEN)]

    def test_calls_that_were_out_are_late(self, circuit, make):
        """What they say is of the breaker that was."""
        seen = []

        def body():
            circuit.restore(make().snapshot())
            circuit.add_listener(seen.append)

        circuit.call(body)
        assert circuit.snapshot().calls == 0
        assert [step.verdict for step in seen] == ["late"]

    def test_a_snapshot_of_other_parameters_is_refused_and_nothing_changes(self, circuit, make):
        """Leases stay good."""
        other = make(minimum_calls=2)
        other.force_open()
        lease = circuit.acquire()
        before = circuit.snapshot()
        with pytest.raises(ConfigurationError, match="snapshot of other parameters"):
            circuit.restore(other.snapshot())
        assert circuit.snapshot() == before
        lease.fail(DOWN)
        assert circuit.state is S.OPEN


class TestBadInput:
    """Everything wrong at once, and nothing half made."""

    def test_every_problem_is_named(self):
        """Name, configuration, clock, sample and judges, each with its remedy."""
        with pytest.raises(ConfigurationError) as caught:
            CircuitBreaker("", 3.0, clock=0.0, sample=0.5, classify=1, accept=2)
        assert caught.value.problems == (
            "CircuitBreaker.name is ''; give a non-empty string",
            "CircuitBreaker.config is 3.0; give a BreakerConfig",
            "CircuitBreaker.clock is 0.0; give a function that returns seconds",
            "CircuitBreaker.sample is 0.5; give a function that draws from [0, 1)",
            (
                "CircuitBreaker.classify is 1; give a function of an exception that returns a "
                "Fault, or None"
            ),
            "CircuitBreaker.accept is 2; give a plain function of a result, or None",
        )

    @pytest.mark.parametrize("snapshot", [None, {}, "open"])
    def test_a_snapshot_that_is_none_leaves_the_circuit_as_it_was(self, circuit, snapshot):
        """Nothing was taken over, nothing was cleared."""
        circuit.acquire().fail(DOWN)
        before = circuit.snapshot()
        with pytest.raises(ConfigurationError, match=r"restore of 'openai' got .*; give a Breaker"):
            circuit.restore(snapshot)
        assert circuit.snapshot() == before


def test_an_audit_that_comes_late_hears_of_every_failure(make):
    """Also of those that could not have tripped, and were not judged before."""
    circuit, heard = make(minimum_calls=50), []
    for _ in range(3):
        circuit.acquire().fail(DOWN)
    circuit.audit(heard.append, id="chain/openai", stays=True)
    circuit.acquire().fail(DOWN)
    assert [step.trigger for step in heard] == ["admit", "fail"]
    assert heard[-1].facts["failures"] == 4
