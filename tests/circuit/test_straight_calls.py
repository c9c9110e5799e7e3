"""Calls that go straight, without lock or table: what they count, and how they end when late.

Whether one goes straight shows only in what it does not do; so each fact here is held for a circuit
that asks its table of every firing, too.
"""

import gc

import anyio
import anyio.lowlevel
import pytest

from fsm_fallback import BreakerState, CircuitBreaker, Fault, FaultKind, TimeWindow
from fsm_fallback.testing import ManualClock

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)


class Broken(Exception):
    """What a provider raises that is down."""


def broken():
    """Fail."""
    raise Broken


@pytest.fixture(params=["by itself", "every firing recorded"])
def prepared(request):
    """Make a circuit take every firing to its table, in one of two runs."""

    def audited(circuit):
        if request.param == "every firing recorded":
            circuit.audit(lambda _: None, id="openai", stays=True)
        return circuit

    return audited


def heard_by(circuit):
    """What a listener hears from now on."""
    seen = []
    circuit.add_listener(seen.append)
    return seen


def meanwhile(circuit, happens, form="call"):
    """One call during which something happens to its circuit; its answer.

    It is plain, awaited in one of the loops, or by hand.
    """

    def body():
        happens()
        return "answer"

    async def coroutine():
        await anyio.lowlevel.checkpoint()
        return body()

    match form:
        case "call":
            return circuit.call(body)
        case "asyncio" | "trio":
            return anyio.run(circuit.acall, coroutine, backend=form)
        case "lease":
            lease = circuit.acquire()
            body()
            lease.succeed()
            return "answer"
        case _:
            with circuit:
                return body()


FORMS = pytest.mark.parametrize("form", ["call", "asyncio", "trio", "lease", "with"])


class TestCounting:
    """What is counted, to the last call."""

    def test_every_call_counts_once(self, calm, counts, prepared):
        """Successes and failures in any order, in any form."""
        circuit = prepared(calm(minimum_calls=90, failure_ratio=1.0))
        for number in range(60):
            if number % 3 == 0:
                with pytest.raises(Broken):
                    circuit.call(broken)
            elif number % 3 == 1:
                circuit.call(bool)
            else:
                circuit.acquire().succeed()
        assert counts(circuit) == (60, 20, 0)

    def test_the_window_slides_over_calls_that_wrote_nothing(self, make, counts, prepared):
        """The last hundred, whoever took their place."""
        circuit = prepared(make(minimum_calls=100))
        with pytest.raises(Broken):
            circuit.call(broken)
        for _ in range(99):
            circuit.call(bool)
        assert counts(circuit) == (100, 1, 0)
        circuit.call(bool)
        assert counts(circuit) == (100, 0, 0)

    def test_a_run_of_failures_is_ended_by_a_success_that_wrote_nothing(self, make, prepared):
        """Two, a success, two: no three in a row."""
        circuit = prepared(make(minimum_calls=100, consecutive_failures=3))
        for call in (broken, broken, bool, broken, broken):
            try:
                circuit.call(call)
            except Broken:
                continue
        assert circuit.state is S.CLOSED
        with pytest.raises(Broken):
            circuit.call(broken)
        assert circuit.state is S.OPEN

    def test_what_is_out_is_told_exactly(self, calm, counts, prepared):
        """At every moment: calls, leases and blocks."""
        circuit, seen = prepared(calm()), []
        lease = circuit.acquire()
        with circuit:
            circuit.call(lambda: seen.append(counts(circuit)))
            seen.append(counts(circuit))
        seen.append(counts(circuit))
        lease.release()
        seen.append(counts(circuit))
        assert seen == [(0, 0, 3), (1, 0, 2), (2, 0, 1), (2, 0, 0)]

    def test_leases_and_calls_draw_from_one_row_of_numbers(self, calm, prepared):
        """An admission has its number, whoever asked."""
        circuit = prepared(calm())
        circuit.call(bool)
        with circuit as lease:
            assert lease.number == 2
        assert circuit.acquire().number == 3

    def test_a_success_counts_in_the_bucket_it_settles_in(self, make, clock, counts, prepared):
        """Not in that of its admission, and not in that of the last failure."""
        circuit = prepared(make(window=TimeWindow(10.0, 5), minimum_calls=50))
        circuit.call(lambda: clock.advance(3.0))
        circuit.call(bool)
        clock.advance(6.0)  # 9
        circuit.call(bool)
        assert counts(circuit) == (3, 0, 0)
        clock.advance(3.0)  # 12: the bucket of 2 to 4 is over
        assert counts(circuit) == (1, 0, 0)
        clock.advance(6.0)
        assert counts(circuit) == (0, 0, 0)

    def test_refusals_are_counted(self, circuit, prepared):
        """One by one, whoever is refused."""
        prepared(circuit).force_open()
        for _ in range(5):
            circuit.try_acquire()
        with pytest.raises(Exception, match="forced_open"):
            circuit.call(bool)
        assert circuit.snapshot().not_permitted == 6

    def test_the_refusals_of_an_opening_end_with_it(self, circuit, clock, prepared):
        """One tick before the end a call is refused, at it one is the probe."""
        prepared(circuit).acquire().fail(DOWN)
        clock.advance(30.0 - 1e-9)
        assert circuit.try_acquire() is None
        clock.advance_to(30.0)
        probe = circuit.try_acquire()
        assert probe.deadline is not None
        probe.succeed()
        assert circuit.snapshot().not_permitted == 1

    def test_a_hold_that_lengthens_an_opening_refuses_longer(self, circuit, clock, prepared):
        """Calls that are refused without a lock hear of it, too."""
        prepared(circuit).acquire().fail(DOWN)
        assert circuit.try_acquire() is None
        circuit.hold(60.0)
        clock.advance(59.0)
        assert circuit.try_acquire() is None
        clock.advance(1.0)
        assert circuit.would_admit()

    def test_after_a_hold_the_first_success_ends_the_series(self, circuit, clock, prepared):
        """A success that writes nothing would leave the count of holds."""
        prepared(circuit).acquire().settle(Fault(FaultKind.QUOTA))
        clock.advance(900.0)
        circuit.call(bool)
        circuit.call(bool)
        circuit.acquire().settle(Fault(FaultKind.QUOTA))
        assert circuit.snapshot().holds == 1


class TestSlowCalls:
    """Time is watched though nothing is asked."""

    def test_one_that_took_too_long_is_slow(self, make, clock, prepared):
        """At exactly the limit."""
        circuit = prepared(make(slow_call_duration=5.0, minimum_calls=50))
        circuit.call(lambda: clock.advance(5.0 - 1e-9))
        assert circuit.snapshot().slow_calls == 0
        circuit.call(lambda: clock.advance(5.0))
        assert circuit.snapshot().slow_calls == 1

    def test_one_that_hangs_is_slow_while_others_go_straight(self, make, clock, prepared):
        """The ratio counts it from the moment it passes the limit."""
        circuit = prepared(make(slow_call_duration=5.0, minimum_calls=4, slow_call_ratio=0.5))
        hanging = [circuit.acquire(), circuit.acquire()]
        circuit.call(bool)
        clock.advance(5.0)
        assert circuit.snapshot().slow_calls == 2
        circuit.call(bool)
        assert circuit.state is S.OPEN
        for lease in hanging:
            lease.release()

    def test_a_plain_call_that_hung_is_counted_once(self, make, clock, prepared):
        """Another one noticed it while it was out."""
        circuit = prepared(make(slow_call_duration=5.0, minimum_calls=50))

        def hang():
            clock.advance(5.0)
            circuit.call(bool)
            assert circuit.snapshot().slow_calls == 1

        circuit.call(hang)
        snapshot = circuit.snapshot()
        assert (snapshot.calls, snapshot.slow_calls) == (2, 1)

    def test_a_slow_call_may_trip(self, make, clock, prepared):
        """It gets its answer all the same."""
        circuit = prepared(make(slow_call_duration=5.0))
        assert meanwhile(circuit, lambda: clock.advance(5.0)) == "answer"
        assert circuit.state is S.OPEN
        assert circuit.snapshot().cause.kind is FaultKind.TIMEOUT

    def test_a_clock_that_goes_back_makes_nothing_slow(self, make, clock, counts, prepared):
        """And counts every call."""
        circuit = prepared(make(slow_call_duration=5.0, minimum_calls=50))
        clock.advance(100.0)
        circuit.call(bool)
        clock.advance(-50.0)
        circuit.call(bool)
        circuit.call(lambda: clock.advance(-20.0))
        circuit.call(bool)
        assert counts(circuit) == (4, 0, 0)
        assert circuit.snapshot().slow_calls == 0


class TestLateOnes:
    """A call whose generation ended while it was out counts nothing, and is told as late."""

    @FORMS
    def test_after_a_reset(self, calm, counts, prepared, form):
        """Its answer comes out; a listener hears of it, with the generation it came from."""
        circuit = prepared(calm())
        circuit.call(bool)
        seen = heard_by(circuit)
        assert meanwhile(circuit, circuit.reset, form) == "answer"
        assert counts(circuit) == (0, 0, 0)
        late = [step for step in seen if step.verdict == "late"]
        assert [(step.trigger, step.generation, step.lease) for step in late] == [("succeed", 0, 2)]
        assert dict(late[0].because) == {}

    @FORMS
    def test_after_a_trip(self, make, way, prepared, form):
        """It closes nothing."""
        circuit = prepared(make(**way))
        seen = heard_by(circuit)

        def trips():
            with pytest.raises(Broken):
                circuit.call(broken)

        assert meanwhile(circuit, trips, form) == "answer"
        assert circuit.state is S.OPEN
        assert [step.verdict for step in seen] == ["moved", "late"]
        assert circuit.snapshot().in_flight == 0

    @FORMS
    def test_after_a_trip_and_a_recovery(self, make, clock, way, counts, prepared, form):
        """A call from before the outage is no evidence of the time after it."""
        circuit = prepared(make(**way))

        def comes_and_goes():
            with pytest.raises(Broken):
                circuit.call(broken)
            clock.advance(30.0)
            circuit.call(bool)

        assert meanwhile(circuit, comes_and_goes, form) == "answer"
        assert circuit.state is S.CLOSED
        assert counts(circuit) == (0, 0, 0)

    def test_one_that_fails_late_counts_nothing(self, calm, counts, prepared):
        """Its error comes out."""
        circuit = prepared(calm())
        seen = heard_by(circuit)

        def body():
            circuit.reset()
            raise Broken

        with pytest.raises(Broken):
            circuit.call(body)
        assert counts(circuit) == (0, 0, 0)
        assert [step.verdict for step in seen] == ["moved", "late"]
        assert seen[1].fault.kind is FaultKind.UNKNOWN

    def test_one_that_is_interrupted_late_counts_nothing(self, calm, counts, prepared):
        """And leaves nothing in flight."""
        circuit = prepared(calm())

        def body():
            circuit.reset()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            circuit.call(body)
        assert counts(circuit) == (0, 0, 0)

    def test_many_late_ones_are_told_one_by_one(self, calm, prepared):
        """Each with its own number; nothing is left in flight."""
        circuit = prepared(calm())
        seen = heard_by(circuit)

        def nested(depth):
            if depth:
                circuit.call(nested, depth - 1)
            else:
                circuit.reset()

        circuit.call(nested, 4)
        assert [step.lease for step in seen if step.verdict == "late"] == [5, 4, 3, 2, 1]
        assert circuit.snapshot().in_flight == 0

    def test_a_word_that_changed_nothing_makes_nothing_late(self, calm, counts, prepared):
        """The generation goes on."""
        circuit = prepared(calm())
        circuit.observe()
        seen = heard_by(circuit)
        meanwhile(circuit, circuit.observe)
        assert counts(circuit) == (1, 0, 0)
        assert [step.verdict for step in seen] == ["stayed"]


class TestLostLeases:
    """A lease that was dropped comes back with the next operation, whichever way that goes."""

    @pytest.mark.parametrize("ask", ["call", "asyncio", "trio", "lease", "with"])
    def test_the_next_call_releases_it(self, calm, counts, prepared, ask):
        """Without evidence."""
        circuit = prepared(calm())
        circuit.call(bool)
        lease = circuit.acquire()
        del lease
        gc.collect()
        assert counts(circuit) == (1, 0, 1)
        meanwhile(circuit, bool, ask)
        assert counts(circuit) == (2, 0, 0)

    def test_the_next_refusal_releases_it(self, circuit, prepared):
        """A caller that is turned away finds it, too."""
        lease = prepared(circuit).acquire()
        circuit.force_open()
        del lease
        gc.collect()
        assert circuit.try_acquire() is None
        assert circuit.snapshot().in_flight == 0

    def test_one_lost_during_a_call_is_released_at_its_end(self, calm, counts, prepared):
        """Or by the next one at the latest; then calls go on as ever."""
        circuit = prepared(calm())
        held = [circuit.acquire()]
        meanwhile(circuit, held.clear)
        circuit.call(bool)
        circuit.call(bool)
        assert counts(circuit) == (3, 0, 0)

    def test_one_lost_during_a_transition_is_released_by_it_or_the_next_call(
        self, calm, counts, prepared
    ):
        """Even where it is dropped in the middle of the operation that opens the straight way."""
        circuit = prepared(calm())
        held = [circuit.acquire()]
        circuit.audit(lambda _: held.clear(), id="openai", stays=False)
        circuit.reset()
        circuit.call(bool)
        assert counts(circuit) == (1, 0, 0)

    def test_a_lost_one_is_told_as_late_if_it_is(self, calm):
        """Of a generation that is over."""
        circuit = calm()
        lease = circuit.acquire()
        circuit.reset()
        seen = heard_by(circuit)
        del lease
        circuit.call(bool)
        assert [(step.trigger, step.verdict) for step in seen] == [("release", "late")]


def test_a_straight_circuit_reads_the_clock_of_no_plain_call():
    """Healthy calls cost no look at the time where no time is watched."""
    reads = []

    def clock():
        reads.append(1)
        return 0.0

    circuit = CircuitBreaker("openai", clock=clock)
    reads.clear()
    for _ in range(5):
        circuit.call(bool)
    assert reads == []


def test_a_clock_that_went_back_is_clamped_for_all_alike(make):
    """What straight calls have seen of the time is time that has passed."""

    def admitted_at(*, stays):
        clock = ManualClock()
        circuit = make(clock=clock, window=TimeWindow(100.0, 1), minimum_calls=50)
        if stays:
            circuit.audit(lambda _: None, id="openai", stays=True)
        circuit.call(bool)
        clock.advance(50.0)
        circuit.call(bool)
        clock.advance(-30.0)
        lease = circuit.acquire()
        lease.release()
        return lease.admitted_at

    assert admitted_at(stays=False) == admitted_at(stays=True) == 50.0


class Interrupting:
    """Places, of which the next one is drawn just after something has happened."""

    def __init__(self, places, happens):
        self.places = places
        self.happens = [happens]

    def __next__(self):
        """Draw one."""
        if self.happens:
            self.happens.pop()()
        return next(self.places)

    def __length_hint__(self):
        """How many are left."""
        return self.places.__length_hint__()


@pytest.mark.parametrize("form", ["call", "asyncio", "trio", "lease"])
def test_a_success_that_takes_its_place_just_after_the_end_is_late(make, counts, form):
    """Another thread resets the circuit between the end of the call and its booking."""
    circuit = make()
    seen = heard_by(circuit)
    generation = circuit.core.straight
    generation.places = Interrupting(generation.places, circuit.reset)
    assert meanwhile(circuit, bool, form) == "answer"
    assert [step.verdict for step in seen] == ["moved", "late"]
    assert counts(circuit) == (0, 0, 0)


def test_a_success_whose_way_closed_before_its_place_counts(make, counts):
    """Another caller lost a lease meanwhile: the generation goes on, and the way opens again."""
    circuit = make()
    held = [circuit.acquire()]
    generation = circuit.core.straight
    generation.places = Interrupting(generation.places, held.clear)
    circuit.call(bool)
    assert circuit.core.straight is generation
    assert counts(circuit) == (1, 0, 0)


def test_one_that_has_cooled_down_stays_so_when_the_clock_goes_back(make, clock):
    """The end of the open time was seen, if only by an outcome that came late."""
    circuit = make()
    late = circuit.acquire()
    circuit.acquire().fail(DOWN)
    clock.advance(30.0)
    late.succeed()
    clock.advance(-0.5)
    assert circuit.would_admit()
    assert circuit.try_acquire() is not None
