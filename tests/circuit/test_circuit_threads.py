"""`CircuitBreaker` among others: listeners, finalisers, and many threads at once."""

import functools
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fsm_fallback import (
    BreakerState,
    CircuitBreaker,
    CountWindow,
    Fault,
    FaultKind,
)
from fsm_fallback.circuit.serial import _free_all

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
PATIENCE = 5.0


def can_be_read(circuit):
    """Whether another thread gets through to the circuit now."""
    reader = threading.Thread(target=circuit.snapshot)
    reader.start()
    reader.join(PATIENCE)
    return not reader.is_alive()


class TestListeners:
    """Who hears what, when."""

    def test_each_transition_is_told_in_order(self, circuit, clock):
        """Open, half open, closed, each after the fact."""
        seen = []
        circuit.add_listener(lambda step: seen.append((step.trigger, step.target, circuit.state)))
        circuit.acquire().fail(DOWN)
        clock.advance(30.0)
        circuit.acquire().succeed()
        assert seen == [
            ("fail", S.OPEN, S.OPEN),
            ("admit", S.HALF_OPEN, S.HALF_OPEN),
            ("succeed", S.CLOSED, S.CLOSED),
        ]

    def test_calls_that_change_nothing_are_not_told(self, make):
        """A healthy call wakes nobody."""
        seen = []
        circuit = make(minimum_calls=5)
        circuit.add_listener(seen.append)
        circuit.acquire().succeed()
        circuit.acquire().fail(DOWN)
        circuit.acquire().release()
        assert seen == []

    def test_what_they_hear_does_not_hang_on_the_audit(self, make):
        """An audit of every firing is none of theirs."""
        seen = []
        circuit = make(minimum_calls=5)
        circuit.audit(lambda _: None, id="chain/openai", stays=True)
        circuit.add_listener(seen.append)
        circuit.acquire().succeed()
        assert seen == []

    def test_a_late_outcome_is_told(self, circuit):
        """With the generation it came from."""
        seen = []
        lease = circuit.acquire()
        circuit.reset()
        circuit.add_listener(seen.append)
        lease.succeed()
        assert [(step.verdict, step.generation) for step in seen] == [("late", 0)]

    def test_one_that_raises_touches_no_call(self, circuit, caplog):
        """The others hear, the breaker moves, and one line names the listener's circuit."""
        seen = []

        def broken(_):
            raise RuntimeError("broken listener")

        circuit.add_listener(broken)
        circuit.add_listener(seen.append)
        with caplog.at_level(logging.ERROR, logger="fsm_fallback"):
            circuit.acquire().fail(DOWN)
        assert [step.target for step in seen] == [S.OPEN]
        assert circuit.state is S.OPEN
        (line,) = caplog.records
        assert "'openai'" in line.getMessage()
        assert "RuntimeError" in line.getMessage()

    def test_one_that_raises_is_logged_without_what_it_holds(self, circuit, caplog):
        """A partial shows its arguments: keys may be among them, and signs that mean something."""

        def broken(_, *, key):
            raise RuntimeError(key)

        circuit.add_listener(functools.partial(broken, key="100%d sk-MARKER"))
        with caplog.at_level(logging.ERROR, logger="fsm_fallback"):
            circuit.force_open()
        (line,) = caplog.records
        assert "MARKER" not in line.getMessage()

    def test_an_interrupt_in_one_comes_out_and_stops_no_later_event(self, circuit):
        """Ctrl-C while a listener runs: the breaker has moved, and the next event is told."""
        seen = []

        def interrupted(step):
            seen.append(step.trigger)
            if len(seen) == 1:
                raise KeyboardInterrupt

        circuit.add_listener(interrupted)
        with pytest.raises(KeyboardInterrupt):
            circuit.force_open()
        assert circuit.state is S.FORCED_OPEN
        circuit.reset()
        assert seen == ["force_open", "reset"]

    def test_the_call_that_trips_gets_its_own_error_though_one_raises(self, circuit):
        """Listeners are no call's business."""

        def broken(_):
            raise RuntimeError

        def down():
            raise LookupError

        circuit.add_listener(broken)
        with pytest.raises(LookupError) as caught:
            circuit.call(down)
        assert caught.value.__context__ is None
        assert circuit.state is S.OPEN

    def test_one_may_use_its_circuit(self, circuit):
        """A reset from within comes after the opening it answers."""
        seen = []

        def reset(step):
            seen.append(step.target)
            if step.target is S.OPEN:
                circuit.reset()

        circuit.add_listener(reset)
        circuit.acquire().fail(DOWN)
        assert circuit.state is S.CLOSED
        assert seen == [S.OPEN, S.CLOSED]

    def test_one_may_add_another(self, circuit):
        """Who comes later hears what happens later."""
        seen = []
        circuit.add_listener(lambda _: circuit.add_listener(seen.append))
        circuit.force_open()
        circuit.reset()
        assert [step.target for step in seen] == [S.CLOSED]

    def test_one_that_waits_for_another_thread_blocks_no_circuit(self, circuit):
        """Listeners are called when the lock is free."""
        free = []
        circuit.add_listener(lambda _: free.append(can_be_read(circuit)))
        circuit.force_open()
        assert free == [True]

    def test_samples_are_drawn_when_the_lock_is_free(self, make):
        """A generator of random numbers with a lock of its own makes no deadlock."""
        free, watched = [], []

        def sample():
            free.extend(can_be_read(circuit) for circuit in watched)
            return 0.5

        circuit = make(sample=sample)
        watched.append(circuit)
        circuit.acquire().fail(DOWN)
        assert free == [True]

    @pytest.mark.parametrize(
        "use",
        [
            CircuitBreaker.try_acquire,
            CircuitBreaker.snapshot,
            CircuitBreaker.reset,
            lambda circuit: circuit.hold(1.0),
            lambda circuit: circuit.restore(CircuitBreaker("other").snapshot()),
        ],
        ids=["try_acquire", "snapshot", "reset", "hold", "restore"],
    )
    def test_the_clock_is_read_when_the_lock_is_free(self, use):
        """A clock with a lock of its own makes no deadlock."""
        free, watched = [], []

        def read():
            if watched:
                free.append(can_be_read(watched.pop()))
            return 0.0

        circuit = CircuitBreaker("openai", clock=read)
        watched.append(circuit)
        use(circuit)
        assert free == [True]


class Finaliser:
    """Does something with its circuit when it is dropped, wherever that happens."""

    def __init__(self, do):
        self.do = do

    def __del__(self):
        self.do()


class TestFinalisers:
    """A finaliser runs anywhere, in the middle of an operation of the same circuit, too."""

    @pytest.fixture
    def in_the_middle(self, circuit):
        """Run something inside the critical section of the next operation of the circuit."""

        def arranged(do):
            waiting = [Finaliser(do)]
            circuit.audit(lambda _: waiting.clear(), id="openai", stays=True)

        return arranged

    @pytest.mark.parametrize(
        ("settle", "failures"),
        [("succeed", 0), ("fail", 1), ("release", 0)],
    )
    def test_a_settling_waits_until_the_operation_is_over(
        self, circuit, settle, failures, in_the_middle
    ):
        """It nests in nothing, deadlocks with nothing, and is not lost."""
        circuit.observe()
        lease = circuit.acquire()
        in_the_middle(getattr(lease, settle))
        circuit.acquire().succeed()
        snapshot = circuit.snapshot()
        assert lease.settled
        assert (snapshot.in_flight, snapshot.failures) == (0, failures)

    @pytest.mark.parametrize(
        "operation",
        [
            lambda _, lease: lease.succeed(),
            lambda _, lease: lease.fail(DOWN),
            lambda _, lease: lease.release(),
            lambda _, lease: lease.hold(5.0),
            lambda circuit, _: circuit.observe(),
            lambda circuit, _: circuit.reset(),
        ],
        ids=["succeed", "fail", "release", "hold", "observe", "reset"],
    )
    def test_it_waits_in_the_middle_of_every_operation(self, circuit, in_the_middle, operation):
        """Whatever is going on, it comes next."""
        circuit.disable()
        first, second = circuit.acquire(), circuit.acquire()
        in_the_middle(second.release)
        operation(circuit, first)
        assert second.settled
        first.release()
        assert circuit.snapshot().in_flight == 0

    def test_a_hold_waits_too(self, circuit, in_the_middle):
        """And opens when its turn comes."""
        lease = circuit.acquire()
        in_the_middle(lambda: lease.hold(60.0))
        circuit.acquire().succeed()
        assert circuit.snapshot().open_until == 60.0

    def test_an_operators_word_waits_too(self, circuit, in_the_middle):
        """The order is that of the words."""
        in_the_middle(circuit.force_open)
        circuit.acquire().release()
        assert circuit.state is S.FORCED_OPEN

    def test_a_lease_lost_in_the_middle_is_released_later(self, circuit, in_the_middle):
        """It is noted, and the next operation takes it back."""
        held = [circuit.acquire()]
        in_the_middle(held.clear)
        circuit.acquire().release()
        circuit.acquire().release()
        assert circuit.snapshot().in_flight == 0

    def test_asking_for_a_lease_in_the_middle_is_refused(self, circuit, in_the_middle):
        """It cannot wait for the operation it interrupts; nothing leaks."""
        got = []
        in_the_middle(lambda: got.append(circuit.try_acquire()))
        circuit.acquire().release()
        assert got == [None]
        assert circuit.snapshot().in_flight == 0

    def test_reading_in_the_middle_is_allowed(self, circuit, in_the_middle):
        """It tells what is known by then."""
        got = []
        in_the_middle(lambda: got.append(circuit.snapshot().state))
        circuit.force_open()
        assert got == [S.FORCED_OPEN]


class TestThreads:
    """Eight at once."""

    def test_totals_are_exact(self, make):
        """Every success and every failure, and no lease is left out."""
        threads, calls = 8, 600
        circuit = make(
            window=CountWindow(threads * calls), minimum_calls=threads * calls, failure_ratio=1.0
        )
        start = threading.Barrier(threads)

        def work(number):
            start.wait()
            for call in range(calls):
                lease = circuit.acquire()
                match (number + call) % 3:
                    case 0:
                        lease.fail(DOWN)
                    case 1:
                        lease.succeed()
                    case _:
                        lease.release()

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        snapshot = circuit.snapshot()
        assert (snapshot.calls, snapshot.failures) == (3_200, 1_600)
        assert (snapshot.in_flight, snapshot.state) == (0, S.CLOSED)
        assert circuit.acquire().number == threads * calls + 1

    def test_no_more_probes_are_out_than_allowed(self, make, clock):
        """However many callers come at the end of the open time."""
        circuit = make(probe_calls=50, probe_concurrency=3, early_verdict=False)
        circuit.acquire().fail(DOWN)
        clock.advance(30.0)
        start, lock, out, most = threading.Barrier(8), threading.Lock(), [], []

        def work(_):
            start.wait()
            for _ in range(300):
                lease = circuit.try_acquire()
                if lease is None or lease.deadline is None:
                    continue
                with lock:
                    out.append(lease)
                    most.append(len(out))
                with lock:
                    out.remove(lease)
                lease.release()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert most
        assert max(most) <= 3
        assert circuit.snapshot().in_flight == 0

    def test_exactly_one_caller_is_the_probe(self, circuit, clock):
        """Of eight that come at the same instant."""
        circuit.acquire().fail(DOWN)
        clock.advance(30.0)
        start = threading.Barrier(8)

        def work(_):
            start.wait()
            return circuit.try_acquire()

        with ThreadPoolExecutor(8) as pool:
            leases = [lease for lease in pool.map(work, range(8)) if lease is not None]
        assert len(leases) == 1

    def test_events_come_in_the_order_of_the_facts(self, make):
        """The order the critical section made, whoever delivers."""
        facts, heard = [], []
        circuit = make()
        circuit.audit(lambda step: facts.append(step.facts["generation"]), id="x", stays=False)
        circuit.add_listener(lambda step: heard.append(step.facts["generation"]))
        start = threading.Barrier(8)

        def work(_):
            start.wait()
            for _ in range(100):
                circuit.force_open()
                circuit.reset()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert facts == sorted(facts)
        assert heard == facts


FORKED = """
import os, signal, threading
from fsm_fallback import CircuitBreaker

circuit = CircuitBreaker("openai")
held, done = threading.Event(), threading.Event()

def hold():
    with circuit._serial.lock:
        held.set()
        done.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(10)  # ends it if it hangs
    circuit.acquire().succeed()
    os._exit(0)
_, status = os.waitpid(child, 0)
done.set()
raise SystemExit(status)
"""


FORKING = """
import os, signal
from fsm_fallback import CircuitBreaker

circuit, children, heard = CircuitBreaker("openai"), [], []
circuit.add_listener(lambda step: children or children.append(os.fork()))
circuit.add_listener(heard.append)
signal.alarm(20)  # ends either if it hangs
circuit.force_open()
circuit.reset()
status = 0 if [step.trigger for step in heard] == ["force_open", "reset"] else 1
if not children[0]:
    os._exit(status)
_, of_child = os.waitpid(children[0], 0)
raise SystemExit(status or of_child)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
class TestForks:
    """A child has the circuits of its parent, and none of its threads."""

    def run(self, script):
        """Run a script of its own; how it ended."""
        command = (sys.executable, "-W", "ignore", "-c", script)
        return subprocess.run(command, check=False, timeout=60).returncode  # noqa: S603

    def test_in_the_middle_of_an_operation_one_leaves_a_circuit_that_works(self):
        """The thread that held the lock is not there in the child."""
        assert self.run(FORKED) == 0

    def test_one_by_a_listener_lets_both_go_on_telling(self):
        """Parent and child each tell their own events to the end."""
        assert self.run(FORKING) == 0

    def test_what_a_child_does_first_frees_every_lock(self, circuit):
        """That of the circuit and that of its events, whoever held them."""
        circuit.add_listener(lambda _: None)
        circuit.force_open()
        held, done = threading.Event(), threading.Event()

        def hold():
            with circuit._serial.lock, circuit._serial._outbox.delivering:
                held.set()
                done.wait(PATIENCE)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(PATIENCE)
        _free_all()
        circuit.reset()
        done.set()
        holder.join()
        assert circuit.state is S.CLOSED


def test_a_sample_that_raises_touches_no_call(make, caplog):
    """The breaker opens, its caller hears nothing of it, and one line is logged."""
    draws = iter([0.5])
    circuit = make(sample=lambda: next(draws))
    with caplog.at_level(logging.ERROR, logger="fsm_fallback"):
        circuit.acquire().fail(DOWN)
    assert circuit.state is S.OPEN
    assert "sample of breaker 'openai' raised StopIteration" in caplog.text
