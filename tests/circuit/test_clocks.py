"""A clock that raises: its error comes out, nothing leaks, and the circuit works on afterwards."""

import gc

import anyio
import pytest

from fsm_fallback import BreakerState, Fault, FaultKind

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)


class Stopped(Exception):
    """What a broken clock raises."""


class Broken(Exception):
    """What a provider raises that is down."""


class FragileClock:
    """A clock that can be broken."""

    def __init__(self):
        self.now = 0.0
        self.broken = False

    def __call__(self):
        """The time, if there is one."""
        if self.broken:
            raise Stopped
        return self.now


@pytest.fixture
def fragile():
    """One that works so far."""
    return FragileClock()


@pytest.fixture
def circuit(calm, fragile):
    """A circuit on it, for each way, of which two failures are known."""
    made = calm(clock=fragile)
    for _ in range(2):
        made.acquire().fail(DOWN)
    return made


@pytest.fixture
def settled(circuit, fragile, counts):
    """Mend the clock, let one call come, and see what was counted before it."""

    def mended():
        fragile.broken = False
        circuit.call(bool)
        calls, failures, in_flight = counts(circuit)
        return calls - 3, failures - 2, in_flight

    return mended


def came_out(ask):
    """The type of what is raised, None for nothing; no traceback, and so no lease, is kept."""
    try:
        ask()
    except BaseException as error:  # noqa: BLE001  # whichever it is
        error.__traceback__ = None
        return type(error)
    return None


def raises_stopped(ask):
    """Whether the clock's error, and nothing else, comes out."""
    return came_out(ask) is Stopped


OPERATIONS = {
    "acquire": lambda circuit: circuit.acquire(),
    "try_acquire": lambda circuit: circuit.try_acquire(),
    "would_admit": lambda circuit: circuit.would_admit(),
    "snapshot": lambda circuit: circuit.snapshot(),
    "explain": lambda circuit: circuit.explain(),
    "force_open": lambda circuit: circuit.force_open(),
    "disable": lambda circuit: circuit.disable(),
    "observe": lambda circuit: circuit.observe(),
    "reset": lambda circuit: circuit.reset(),
    "hold": lambda circuit: circuit.hold(5.0),
    "with": lambda circuit: circuit.__enter__(),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_what_needs_the_time_raises_and_changes_nothing(circuit, fragile, settled, operation):
    """Nothing was granted, nothing was said."""
    fragile.broken = True
    assert raises_stopped(lambda: operation(circuit))
    assert circuit.state is S.CLOSED
    assert settled() == (0, 0, 0)


@pytest.mark.parametrize("word", ["release", "hold"])
def test_a_lease_stays_unsettled_and_can_be_settled_later(circuit, fragile, counts, word):
    """Its holder still has it."""
    lease = circuit.acquire()
    fragile.broken = True
    settle = getattr(lease, word)
    assert raises_stopped(lambda: settle(5.0) if word == "hold" else settle())
    assert not lease.settled
    fragile.broken = False
    assert counts(circuit)[2] == 1
    lease.succeed()
    assert counts(circuit) == (3, 2, 0)


def test_a_failure_that_cannot_be_booked_leaves_its_lease_unsettled(make, fragile, counts):
    """Where it might trip the time is needed."""
    circuit = make(clock=fragile)
    lease = circuit.acquire()
    fragile.broken = True
    assert raises_stopped(lease.fail)
    assert not lease.settled
    fragile.broken = False
    lease.fail(DOWN)
    assert circuit.state is S.OPEN
    assert counts(circuit)[2] == 0


def stops(fragile, error=None):
    """A body that breaks the clock it is timed by, and answers or raises."""

    def body():
        fragile.broken = True
        if error is not None:
            raise error
        return "answer"

    return body


def called(circuit, form, body):
    """A guarded call of each form, to be made later."""

    async def coroutine():
        return body()

    def block():
        with circuit:
            body()

    return {
        "call": lambda: circuit.call(body),
        "asyncio": lambda: anyio.run(circuit.acall, coroutine, backend="asyncio"),
        "trio": lambda: anyio.run(circuit.acall, coroutine, backend="trio"),
        "with": block,
    }[form]


@pytest.mark.parametrize("form", ["call", "asyncio", "trio", "with"])
@pytest.mark.parametrize("error", [None, Broken, KeyboardInterrupt])
def test_a_call_during_which_it_breaks_leaks_nothing(circuit, fragile, settled, form, error):
    """Whether it answers, fails or is interrupted: its lease is back with the next operation.

    What comes out is what was booked; the clock's own error is nobody's outcome.
    """
    out = came_out(called(circuit, form, stops(fragile, error)))
    assert out in (error, Stopped)
    gc.collect()  # an event loop keeps what it ran in cycles
    booked = {None: (1, 0, 0), Broken: (1, 1, 0)}
    assert settled() == booked.get(out, (0, 0, 0))


def test_a_straight_call_needs_no_clock(make, fragile, counts):
    """Where no time is watched its answer comes out, and is counted."""
    circuit = make(clock=fragile, minimum_calls=50)
    assert circuit.call(stops(fragile)) == "answer"
    fragile.broken = False
    assert counts(circuit) == (1, 0, 0)


@pytest.mark.parametrize("form", ["call", "asyncio", "trio"])
def test_a_late_call_during_which_it_breaks_leaks_nothing(circuit, fragile, settled, form):
    """Its generation is over, and so is the clock."""

    def body():
        circuit.reset()
        fragile.broken = True

    assert raises_stopped(called(circuit, form, body))
    fragile.broken = False
    gc.collect()
    circuit.acquire().release()
    snapshot = circuit.snapshot()
    assert (snapshot.calls, snapshot.in_flight) == (0, 0)


def test_a_stream_during_which_it_breaks_leaks_nothing(circuit, fragile, settled):
    """At its first piece, where the time is noted."""

    @circuit
    def stream():
        fragile.broken = True
        yield 1

    assert raises_stopped(lambda: [*stream()])
    assert settled()[2] == 0


def test_a_probe_during_which_it_breaks_gives_its_slot_back(make, fragile):
    """The round cannot wedge on a clock."""
    circuit = make(clock=fragile)
    circuit.acquire().fail(DOWN)
    fragile.now = 30.0
    assert raises_stopped(lambda: circuit.call(stops(fragile)))
    assert circuit.state is S.HALF_OPEN
    fragile.broken = False
    circuit.call(bool)
    assert circuit.state is S.CLOSED


def test_a_clock_that_raises_at_birth_makes_no_circuit(make, fragile):
    """Its error comes out of the constructor."""
    fragile.broken = True
    assert raises_stopped(lambda: make(clock=fragile))
