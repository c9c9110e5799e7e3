"""`with breaker` and `async with breaker`: a block is a call."""

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from fsm_fallback import BreakerOpen, BreakerState, CircuitBreaker, Fault, FaultKind, Lease
from fsm_fallback.testing import ManualClock

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
PATIENCE = 5.0


class Broken(Exception):
    """What a provider raises that is down."""


def plain(circuit, body):
    """Run a body in a `with` block."""
    with circuit as lease:
        return body(lease)


async def awaited(circuit, body):
    """Run a body in an `async with` block."""
    async with circuit as lease:
        await anyio.lowlevel.checkpoint()
        return body(lease)


@pytest.fixture
def block(plain_or_loop):
    """Run a body in a block of either kind."""
    return plain if plain_or_loop is None else partial(plain_or_loop.run, awaited)


class TestEnds:
    """What is booked for a block."""

    def test_one_that_ends_is_a_success(self, calm, counts, block):
        """The lease is what `as` binds, and out until then."""
        circuit, seen = calm(), []
        block(circuit, lambda lease: seen.append((type(lease), counts(circuit))))
        assert seen == [(Lease, (0, 0, 1))]
        assert counts(circuit) == (1, 0, 0)

    def test_one_that_raises_is_a_failure_with_its_own_error(self, calm, counts, block):
        """The block swallows nothing."""
        circuit, error = calm(), Broken("down")

        def body(_):
            raise error

        with pytest.raises(Broken) as caught:
            block(circuit, body)
        assert caught.value is error
        assert counts(circuit) == (1, 1, 0)

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_what_is_no_exception_gives_the_lease_back(self, calm, counts, block, interrupt):
        """Ctrl-C says nothing of the provider."""
        circuit = calm()

        def body(_):
            raise interrupt

        with pytest.raises(interrupt):
            block(circuit, body)
        assert counts(circuit) == (0, 0, 0)

    def test_an_open_circuit_runs_no_block(self, circuit, block):
        """It raises before it."""
        circuit.force_open()
        ran = []
        with pytest.raises(BreakerOpen):
            block(circuit, ran.append)
        assert ran == []

    def test_the_block_that_trips_gets_its_own_error(self, circuit, block):
        """And not the news that the circuit is open now."""

        def body(_):
            raise Broken

        with pytest.raises(Broken):
            block(circuit, body)
        assert circuit.state is S.OPEN

    def test_it_is_judged_by_the_circuits_classifier(self, make, counts, block):
        """As calls are."""
        circuit = make(classify=lambda _: Fault(FaultKind.CALLER))

        def body(_):
            raise Broken

        with pytest.raises(Broken):
            block(circuit, body)
        assert counts(circuit) == (0, 0, 0)

    def test_it_has_no_result_to_be_judged(self, make, counts, block):
        """`accept` is for calls."""
        circuit = make(accept=lambda _: False)
        block(circuit, lambda _: None)
        assert counts(circuit) == (1, 0, 0)

    def test_a_type_error_in_it_counts(self, make, counts, block):
        """A block is no call that could be given wrong arguments."""
        circuit = make(minimum_calls=5)
        with pytest.raises(TypeError):
            block(circuit, lambda _: None + 1)
        assert counts(circuit) == (1, 1, 0)


class TestSettledByHand:
    """Whoever settles the lease within the block has said what the outcome is."""

    @pytest.mark.parametrize(
        ("word", "booked"),
        [
            (lambda lease: lease.succeed(), (1, 0, 0)),
            (lambda lease: lease.fail(DOWN), (1, 1, 0)),
            (lambda lease: lease.release(), (0, 0, 0)),
            (lambda lease: lease.settle(DOWN), (1, 1, 0)),
        ],
        ids=["succeed", "fail", "release", "settle"],
    )
    @pytest.mark.parametrize("raises", [False, True])
    def test_the_end_of_the_block_adds_nothing(self, make, counts, block, word, booked, raises):
        """Whether it ends well or raises; nothing is told as late."""
        circuit, seen = make(minimum_calls=5), []
        circuit.add_listener(seen.append)

        def body(lease):
            word(lease)
            if raises:
                raise Broken

        if raises:
            with pytest.raises(Broken):
                block(circuit, body)
        else:
            block(circuit, body)
        assert counts(circuit) == booked
        assert seen == []

    def test_a_hold_in_it_opens(self, circuit, block):
        """For what the provider named."""
        block(circuit, lambda lease: lease.hold(60.0))
        assert circuit.snapshot().open_until == 60.0

    def test_the_duration_may_be_said(self, make, block):
        """Where the block does more than the call."""
        circuit = make(slow_call_duration=5.0, minimum_calls=2)
        block(circuit, lambda lease: lease.succeed(duration=5.0))
        assert circuit.snapshot().slow_calls == 1


class TestManyAtOnce:
    """One circuit serves many blocks; each has its own lease."""

    def test_blocks_nest(self, calm, counts):
        """The inner one ends first."""
        circuit = calm()
        with circuit as outer:
            with pytest.raises(Broken), circuit as inner:
                raise Broken
            assert (inner.settled, outer.settled) == (True, False)
            assert counts(circuit) == (1, 1, 1)
        assert counts(circuit) == (2, 1, 0)

    def test_blocks_of_two_circuits_interleave(self, make, counts):
        """Entered as first, second and left as first, second: each gets its own outcome."""
        first, second = make(minimum_calls=5), make(minimum_calls=5)
        first_stack, second_stack = ExitStack(), ExitStack()
        one = first_stack.enter_context(first)
        two = second_stack.enter_context(second)
        first_stack.close()
        assert (one.settled, two.settled) == (True, False)
        with pytest.raises(Broken), second_stack:
            raise Broken
        assert counts(first) == (1, 0, 0)
        assert counts(second) == (1, 1, 0)

    def test_blocks_of_one_circuit_around_blocks_of_another(self, make, counts):
        """Three deep, in turns."""
        first, second = make(minimum_calls=5), make(minimum_calls=5)
        with first:
            with pytest.raises(Broken), second, first:
                raise Broken
            assert counts(first) == (1, 1, 1)
        assert counts(first) == (2, 1, 0)
        assert counts(second) == (1, 1, 0)

    def test_two_tasks_at_once_each_have_their_own(self, calm, counts, loop):
        """The one that fails is not booked on the lease of the other."""
        circuit, leases = calm(), {}

        async def work(name, gate, *, fails):
            with suppress(Broken):
                async with circuit as lease:
                    leases[name] = lease
                    await gate.wait()
                    if fails:
                        raise Broken

        async def scenario():
            gates = [anyio.Event(), anyio.Event()]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(work, "bad", gates[0], fails=True))
                tasks.start_soon(partial(work, "good", gates[1], fails=False))
                await anyio.wait_all_tasks_blocked()
                assert counts(circuit) == (0, 0, 2)
                gates[0].set()
                await anyio.wait_all_tasks_blocked()
                assert leases["bad"].settled
                assert not leases["good"].settled
                gates[1].set()

        loop.run(scenario)
        assert counts(circuit) == (2, 1, 0)

    def test_a_task_made_within_a_block_has_none_of_it(self, calm, counts, loop):
        """It inherits the context, and not the call."""
        circuit = calm()

        async def child():
            with pytest.raises(Broken):
                async with circuit:
                    raise Broken

        async def scenario():
            async with circuit as lease:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(child)
                assert not lease.settled

        loop.run(scenario)
        assert counts(circuit) == (2, 1, 0)

    def test_threads_each_have_their_own(self, calm, counts):
        """All in their blocks at the same time."""
        circuit, together = calm(), threading.Barrier(4)

        def work(number):
            with circuit:
                together.wait(PATIENCE)
                if number % 2:
                    raise Broken

        with ThreadPoolExecutor(4) as pool:
            errors = [task.exception() for task in [pool.submit(work, n) for n in range(4)]]
        assert [type(error) for error in errors] == [type(None), Broken] * 2
        assert counts(circuit) == (4, 2, 0)

    @pytest.mark.parametrize("after", [0, 1])
    def test_a_cancelled_task_gives_its_lease_back(self, calm, counts, loop, after):
        """In the middle of its block."""
        circuit = calm()

        async def work():
            async with circuit:
                for _ in range(after):
                    await anyio.lowlevel.checkpoint()
                await anyio.sleep_forever()

        async def scenario():
            async with loop.cancelling(work):
                await anyio.wait_all_tasks_blocked()
                assert counts(circuit) == (0, 0, 1)

        loop.run(scenario)
        assert counts(circuit) == (0, 0, 0)


class TestStrayEnds:
    """A block that ends where it did not begin is not counted, and harms no other."""

    def test_in_another_context_it_settles_nothing(self, circuit, counts):
        """As a framework may run the two halves in two threads."""
        context = contextvars.copy_context()
        lease = context.run(circuit.__enter__)
        circuit.__exit__(None, None, None)
        assert not lease.settled
        context.run(circuit.__exit__, None, None, None)
        assert counts(circuit) == (1, 0, 0)

    def test_the_end_of_another_circuits_block_is_left_alone(self, make, counts):
        """Each looks for a lease of its own."""
        first, second = make(), make()
        with first as lease:
            second.__exit__(None, None, None)
            assert not lease.settled
        assert counts(first) == (1, 0, 0)
        assert counts(second) == (0, 0, 0)

    def test_a_refused_block_leaves_the_one_around_it_alone(self, make):
        """It never began, so it never ends."""
        outer, inner = make(), CircuitBreaker("inner", clock=ManualClock())
        inner.force_open()
        with outer as lease, pytest.raises(BreakerOpen), inner:
            raise AssertionError("refused")
        assert lease.settled
        assert outer.snapshot().calls == 1
