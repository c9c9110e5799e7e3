"""`CircuitBreaker`: leases, how they are settled or lost, snapshots, bad input.

What the breaker decides is in `core/test_breaker` and its neighbours; listeners, finalisers and
threads are in `test_circuit_threads`.
"""

import gc
import math

import pytest

from fsm_fallback import (
    BreakerConfig,
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


@pytest.fixture
def clock():
    """A clock at 0."""
    return ManualClock()


@pytest.fixture
def make(clock):
    """Make a circuit that trips on its first failure, without jitter, unless told otherwise."""

    def made(*, sample=lambda: 0.5, **config):
        plain = {"jitter": 0.0, "minimum_calls": 1}
        return CircuitBreaker(
            "openai", BreakerConfig(**{**plain, **config}), clock=clock, sample=sample
        )

    return made


@pytest.fixture
def circuit(make):
    """One with the parameters of `make`."""
    return make()


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
        seen, other = [], CircuitBreaker("openai")
        circuit.force_open()
        other.add_listener(seen.append)
        other.restore(circuit.snapshot())
        assert [(step.trigger, step.target) for step in seen] == [("restore", S.FORCED_OPEN)]


class TestBadInput:
    """Everything wrong at once, and nothing half made."""

    def test_every_problem_is_named(self):
        """Name, configuration, clock and sample, each with its remedy."""
        with pytest.raises(ConfigurationError) as caught:
            CircuitBreaker("", 3.0, clock=0.0, sample=0.5)
        assert caught.value.problems == (
            "CircuitBreaker.name is ''; give a non-empty string",
            "CircuitBreaker.config is 3.0; give a BreakerConfig",
            "CircuitBreaker.clock is 0.0; give a function that returns seconds",
            "CircuitBreaker.sample is 0.5; give a function that draws from [0, 1)",
        )

    @pytest.mark.parametrize("snapshot", [None, {}, "open"])
    def test_a_snapshot_that_is_none_leaves_the_circuit_as_it_was(self, circuit, snapshot):
        """Nothing was taken over, nothing was cleared."""
        circuit.acquire().fail(DOWN)
        before = circuit.snapshot()
        with pytest.raises((TypeError, ValueError, AttributeError)):
            circuit.restore(snapshot)
        assert circuit.snapshot() == before
