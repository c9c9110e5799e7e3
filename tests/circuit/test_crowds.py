"""Many threads, and event loops beside them, on one circuit: totals to the last call."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.lowlevel
import pytest

from fsm_fallback import BreakerOpen, BreakerState, CountWindow, Fault, FaultKind

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
THREADS, CALLS = 8, 300
EVERY_CALL = {
    "window": CountWindow(THREADS * CALLS * 2),
    "minimum_calls": THREADS * CALLS * 2,
    "failure_ratio": 1.0,
}


class Broken(Exception):
    """What a provider raises that is down."""


def broken():
    """Fail."""
    raise Broken


async def awaited():
    """Answer after a turn of the loop."""
    await anyio.lowlevel.checkpoint()


async def awaited_broken():
    """Fail after a turn of the loop."""
    await anyio.lowlevel.checkpoint()
    raise Broken


@pytest.fixture(autouse=True)
def _often_interrupted():
    """Let threads take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def exact(make, way):
    """Make a circuit that forgets no call and that nothing here opens, for each way."""
    return lambda: make(**{**EVERY_CALL, **way})


@pytest.fixture
def crowd():
    """Run something in eight threads that begin together; every error comes out."""

    def together(work):
        start = threading.Barrier(THREADS)

        def run(number):
            start.wait()
            return work(number)

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(run, range(THREADS)))

    return together


def one_call(circuit, number):
    """One of six ways to use a circuit; what it should count: calls and failures."""
    match number % 6:
        case 0:
            circuit.call(bool)
        case 1:
            try:
                circuit.call(broken)
            except Broken:
                return 1, 1
        case 2:
            circuit.acquire().succeed()
        case 3:
            circuit.acquire().fail(DOWN)
            return 1, 1
        case 4:
            with circuit:
                pass
        case _:
            circuit.acquire().release()
            return 0, 0
    return 1, 0


def test_totals_are_exact_in_every_form(exact, counts, crowd):
    """Calls, blocks and leases, good and bad, in turns."""
    circuit = exact()

    def work(number):
        booked = [one_call(circuit, number + call) for call in range(CALLS)]
        return tuple(map(sum, zip(*booked, strict=True)))

    expected = tuple(map(sum, zip(*crowd(work), strict=True)))
    assert counts(circuit) == (*expected, 0)
    assert circuit.acquire().number == THREADS * CALLS + 1


def test_totals_are_exact_beside_event_loops(exact, counts, crowd):
    """Half of the threads run loops of tasks, of both libraries, the others plain calls."""
    circuit = exact()

    async def tasks():
        found = []

        async def task(function):
            try:
                await circuit.acall(function)
            except Broken:
                found.append(1)

        async with anyio.create_task_group() as group:
            for number in range(CALLS):
                group.start_soon(task, awaited_broken if number % 5 == 0 else awaited)
        return CALLS, len(found)

    def work(number):
        if number % 2:
            return anyio.run(tasks, backend="trio" if number % 4 == 1 else "asyncio")
        booked = [one_call(circuit, number + call) for call in range(CALLS)]
        return tuple(map(sum, zip(*booked, strict=True)))

    expected = tuple(map(sum, zip(*crowd(work), strict=True)))
    assert counts(circuit) == (*expected, 0)


def test_a_trip_is_one_event_however_many_fail_at_once(make, way, crowd):
    """And one generation; the others are late, and told as such."""
    circuit, seen = make(**way, minimum_calls=4), []
    circuit.add_listener(seen.append)

    def work(_):
        for _ in range(20):
            try:
                circuit.call(broken)
            except Broken:
                continue
            except BreakerOpen:
                return

    crowd(work)
    moved = [step for step in seen if step.verdict == "moved"]
    assert [(step.source, step.target) for step in moved] == [(S.CLOSED, S.OPEN)]
    assert circuit.snapshot().generation == 1
    assert circuit.snapshot().in_flight == 0


@pytest.mark.parametrize("fail", ["by lease", "by call"])
def test_the_failure_that_fills_the_minimum_trips_whoevers_it_is(make, crowd, fail):
    """As many failures as are wanted, no more, from all sides: it has opened."""
    each = 10
    parameters = {"minimum_calls": THREADS * each, "failure_ratio": 1.0}

    def work(circuit):
        for _ in range(each):
            if fail == "by lease":
                circuit.acquire().fail(DOWN)
            else:
                with pytest.raises(Broken):
                    circuit.call(broken)

    for _ in range(60):
        circuit = make(**parameters, window=CountWindow(THREADS * each))
        crowd(lambda _, circuit=circuit: work(circuit))
        assert (circuit.state, circuit.snapshot().in_flight) == (S.OPEN, 0)


def test_every_transition_is_told_once_and_in_order(make, clock, way, crowd):
    """Each begins where the one before ended, over many outages."""
    circuit, seen = make(**way, failure_ratio=0.1, open_duration=1.0), []
    circuit.add_listener(seen.append)

    def work(number):
        for call in range(60):
            try:
                circuit.call(broken if (number + call) % 7 == 0 else bool)
            except Broken:
                pass
            except BreakerOpen:
                clock.advance(1.0)

    crowd(work)
    moved = [step for step in seen if step.verdict == "moved"]
    assert len(moved) > 3
    assert [step.facts["generation"] for step in moved] == list(range(1, len(moved) + 1))
    assert [step.source for step in moved] == [S.CLOSED, *(step.target for step in moved[:-1])]
    assert circuit.state is moved[-1].target
    assert circuit.snapshot().in_flight == 0


def test_calls_during_resets_are_counted_or_late_and_never_both(make, way, crowd):
    """Every call comes back; one whose generation ended meanwhile is told once."""
    circuit, late = make(**way, minimum_calls=50), []
    circuit.add_listener(lambda step: late.append(step.lease) if step.verdict == "late" else None)

    def work(number):
        for _ in range(CALLS):
            if number:
                circuit.call(bool)
            else:
                circuit.reset()

    crowd(work)
    assert circuit.snapshot().in_flight == 0
    assert len(set(late)) == len(late)
    assert len(late) <= (THREADS - 1) * CALLS


def test_a_lease_settled_by_two_threads_at_once_is_booked_once(exact, counts, crowd):
    """Whoever comes first; the other one is told as late."""
    circuit, late = exact(), []
    circuit.add_listener(late.append)
    leases = [circuit.acquire() for _ in range(CALLS)]

    def work(_):
        for lease in leases:
            lease.succeed()

    crowd(work)
    assert counts(circuit) == (CALLS, 0, 0)
    assert len(late) == (THREADS - 1) * CALLS
    assert all(step.because == {"settled_before": True} for step in late)


def test_refusals_are_counted_to_the_last_one(circuit, crowd):
    """Though none of them takes a lock."""
    circuit.force_open()
    crowd(lambda _: [circuit.try_acquire() for _ in range(CALLS)])
    assert circuit.snapshot().not_permitted == THREADS * CALLS


def test_reading_is_possible_all_the_while(exact, crowd):
    """And sees no more calls than there were."""
    circuit = exact()

    def work(number):
        for call in range(CALLS):
            if number % 2:
                one_call(circuit, number + call)
            else:
                snapshot = circuit.snapshot()
                assert 0 <= snapshot.failures <= snapshot.calls <= THREADS * CALLS
                assert 0 <= snapshot.in_flight <= THREADS
                circuit.explain()
                circuit.would_admit()

    crowd(work)
    assert circuit.snapshot().in_flight == 0
