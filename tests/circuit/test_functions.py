"""`@breaker`, `call` and `acall`: functions and coroutine functions behind a circuit."""

import asyncio
import functools
import inspect
import traceback

import anyio
import anyio.lowlevel
import pytest
import trio

from fsm_fallback import (
    BreakerOpen,
    BreakerState,
    CircuitBreaker,
    ConfigurationError,
    FaultKind,
    classify,
)

S = BreakerState
INTERRUPTS = [KeyboardInterrupt, SystemExit, GeneratorExit]


class Broken(Exception):
    """What a provider raises that is down."""


def plain(value, *, more=0):
    """Answer with what was given."""
    return value + more


async def awaited(value, *, more=0):
    """Answer with what was given, after a turn of the loop."""
    await anyio.lowlevel.checkpoint()
    return value + more


def pieces(*values):
    """Give what was given, one by one."""
    yield from values


async def awaited_pieces(*values):
    """Give what was given, one by one, when awaited."""
    for value in values:
        yield value


def ways_to_call(circuit, function):
    """The ways to make one guarded call of a plain function."""
    return {"decorated": circuit(function), "call": functools.partial(circuit.call, function)}


def ways_to_await(circuit, function, loop):
    """As `ways_to_call`, of a coroutine function; each is run in a loop of its own."""
    awaiting = (circuit(function), functools.partial(circuit.acall, function))
    runs = (functools.partial(loop.run, ask) for ask in awaiting)
    return dict(zip(("decorated", "call"), runs, strict=True))


@pytest.fixture(params=["decorated", "call"])
def guard(request, plain_or_loop):
    """Put a body behind a circuit, as a function of each kind, to be called in each form."""

    def guarded(circuit, body):
        if plain_or_loop is None:
            return ways_to_call(circuit, body)[request.param]

        async def coroutine(*args, **kwargs):
            await anyio.lowlevel.checkpoint()
            return body(*args, **kwargs)

        return ways_to_await(circuit, coroutine, plain_or_loop)[request.param]

    return guarded


class TestCalls:
    """What is booked for a call, whichever way it goes."""

    def test_arguments_go_in_and_the_answer_comes_out(self, calm, guard):
        """Untouched, keywords with any name among them."""
        answer = [object()]

        def body(*args, **kwargs):
            return args, kwargs, answer

        args, kwargs, got = guard(calm(), body)(1, 2, function=3, self=4, fn=5)
        assert (args, kwargs) == ((1, 2), {"function": 3, "self": 4, "fn": 5})
        assert got is answer

    def test_an_answer_counts_as_a_success(self, calm, counts, guard):
        """Whatever it is: nothing, a number, a lie."""
        circuit = calm()
        for answer in (None, 0, False):
            assert guard(circuit, lambda answer=answer: answer)() is answer
        assert counts(circuit) == (3, 0, 0)

    def test_an_error_counts_and_passes_through(self, calm, counts, guard):
        """The very object, with the place it was raised at."""
        circuit, error = calm(), Broken("down")

        def broken():
            raise error

        with pytest.raises(Broken) as caught:
            guard(circuit, broken)()
        assert caught.value is error
        assert error.__cause__ is None
        assert error.__context__ is None
        assert traceback.extract_tb(error.__traceback__)[-1].name == "broken"
        assert counts(circuit) == (1, 1, 0)

    @pytest.mark.parametrize("interrupt", INTERRUPTS)
    def test_what_is_no_exception_gives_the_lease_back(self, calm, counts, guard, interrupt):
        """Ctrl-C says nothing of the provider."""
        circuit, error = calm(), interrupt()

        def interrupted():
            raise error

        with pytest.raises(interrupt) as caught:
            guard(circuit, interrupted)()
        assert caught.value is error
        assert counts(circuit) == (0, 0, 0)

    def test_the_call_that_trips_gets_its_own_error(self, make, way, guard):
        """And not the news that the circuit is open now."""
        circuit, error = make(**way), Broken("the last straw")

        def broken():
            raise error

        with pytest.raises(Broken) as caught:
            guard(circuit, broken)()
        assert caught.value is error
        assert circuit.state is S.OPEN

    def test_an_open_circuit_calls_nothing(self, make, way, guard):
        """It raises instead, with when to come back and why."""
        called = []
        circuit = make(**way)
        circuit.acquire().fail()
        with pytest.raises(BreakerOpen) as caught:
            guard(circuit, lambda: called.append(1))()
        assert (caught.value.provider, caught.value.retry_after) == ("openai", 30.0)
        assert called == []
        assert circuit.snapshot().not_permitted == 1

    def test_a_refusal_is_raised_as_such(self, make, guard):
        """It has no cause and no context of its own."""
        circuit = make()
        circuit.force_open()
        with pytest.raises(BreakerOpen) as caught:
            guard(circuit, bool)()
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)

    def test_a_success_closes_a_half_open_circuit(self, make, clock, way, guard):
        """The call was the probe."""
        circuit = make(**way)
        circuit.acquire().fail()
        clock.advance(30.0)
        guard(circuit, bool)()
        assert circuit.state is S.CLOSED
        assert circuit.snapshot().in_flight == 0

    def test_a_call_within_a_call_is_one_of_its_own(self, calm, counts, guard):
        """Each is booked when it ends."""
        circuit, seen = calm(), []

        def body():
            circuit.call(lambda: seen.append(counts(circuit)))
            seen.append(counts(circuit))

        guard(circuit, body)()
        assert seen == [(0, 0, 2), (1, 0, 1)]
        assert counts(circuit) == (2, 0, 0)

    def test_the_word_of_another_circuit_counts_like_any_error(self, calm, counts, make, guard):
        """Who depends on what is down is down, too."""
        circuit, inner = calm(), make()
        inner.force_open()
        with pytest.raises(BreakerOpen):
            guard(circuit, lambda: inner.call(bool))()
        assert counts(circuit) == (1, 1, 0)
        assert counts(inner) == (0, 0, 0)


class TestWrongArguments:
    """A TypeError says of whom it speaks by where it was raised."""

    @pytest.mark.parametrize("ask", ["decorated", "call"])
    def test_one_of_a_plain_call_books_nothing(self, calm, counts, ask):
        """Wrong here is wrong everywhere."""
        circuit = calm()
        with pytest.raises(TypeError):
            ways_to_call(circuit, plain)[ask](1, 2, 3)
        assert counts(circuit) == (0, 0, 0)

    @pytest.mark.parametrize("ask", ["decorated", "call"])
    def test_one_of_an_awaited_call_books_nothing(self, calm, counts, loop, ask):
        """As of a plain one."""
        circuit = calm()
        with pytest.raises(TypeError):
            ways_to_await(circuit, awaited, loop)[ask](1, 2, 3)
        assert counts(circuit) == (0, 0, 0)

    def test_one_raised_inside_counts(self, calm, counts, guard):
        """The function's own mistake, or its provider's strange answer."""
        circuit = calm()

        def body():
            return None + 1

        with pytest.raises(TypeError):
            guard(circuit, body)()
        assert counts(circuit) == (1, 1, 0)

    def test_one_of_a_builtin_is_the_callers(self, calm, counts):
        """It has no frame of its own."""
        circuit = calm()
        with pytest.raises(TypeError):
            circuit.call(len, 5)
        assert counts(circuit) == (0, 0, 0)

    def test_awaiting_what_cannot_be_awaited_books_nothing(self, calm, counts, loop):
        """A plain function went to `acall`: the caller's mistake."""
        circuit = calm()
        with pytest.raises(TypeError, match="await"):
            loop.run(circuit.acall, lambda: 5)
        assert counts(circuit) == (0, 0, 0)


class TestCancellation:
    """A task that is cancelled says nothing of the provider."""

    @pytest.mark.parametrize("form", ["decorated", "acall"])
    def test_it_passes_through_and_books_nothing(self, calm, counts, loop, form):
        """The lease is back at once."""
        circuit = calm()

        async def scenario():
            entered = anyio.Event()

            async def hang():
                entered.set()
                await anyio.sleep_forever()

            ask = circuit(hang) if form == "decorated" else functools.partial(circuit.acall, hang)
            async with loop.cancelling(ask):
                await entered.wait()
                assert counts(circuit) == (0, 0, 1)
            assert counts(circuit) == (0, 0, 0)

        loop.run(scenario)

    def test_a_cancelled_probe_gives_its_slot_to_the_next_caller(self, circuit, clock, loop):
        """The round goes on."""
        circuit.acquire().fail()
        clock.advance(30.0)

        async def scenario():
            async with loop.cancelling(circuit.acall, anyio.sleep_forever):
                await anyio.wait_all_tasks_blocked()
                assert circuit.state is S.HALF_OPEN
                assert not circuit.would_admit()

        loop.run(scenario)
        assert circuit.would_admit()
        circuit.call(bool)
        assert circuit.state is S.CLOSED

    def test_a_time_out_around_it_is_a_cancellation(self, calm, counts, loop):
        """Whose limit it was the circuit cannot know; one inside the call counts."""
        circuit = calm()

        async def limited():
            with anyio.fail_after(0):
                await anyio.sleep_forever()

        async def scenario():
            with pytest.raises(TimeoutError), anyio.fail_after(0):
                await circuit.acall(anyio.sleep_forever)
            assert counts(circuit) == (0, 0, 0)
            with pytest.raises(TimeoutError):
                await circuit.acall(limited)

        loop.run(scenario)
        assert counts(circuit) == (1, 1, 0)

    def test_a_time_out_of_asyncio_is_one_too(self, calm, counts):
        """`asyncio.timeout`, around the call and inside it."""
        circuit = calm()

        async def limited():
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

        async def scenario():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await circuit.acall(asyncio.Event().wait)
            assert counts(circuit) == (0, 0, 0)
            with pytest.raises(TimeoutError):
                await circuit.acall(limited)

        asyncio.run(scenario())
        assert counts(circuit) == (1, 1, 0)

    def test_a_time_out_of_trio_is_one_too(self, calm, counts):
        """`trio.fail_after`, around the call and inside it; its error is no `TimeoutError`."""
        circuit = calm(classify=lambda error: heard.append(classify(error)) or heard[-1])
        heard = []

        async def limited():
            with trio.fail_after(0):
                await trio.sleep_forever()

        async def scenario():
            with pytest.raises(trio.TooSlowError), trio.fail_after(0):
                await circuit.acall(trio.sleep_forever)
            assert counts(circuit) == (0, 0, 0)
            with pytest.raises(trio.TooSlowError):
                await circuit.acall(limited)

        trio.run(scenario)
        assert counts(circuit) == (1, 1, 0)
        assert [fault.kind for fault in heard] == [FaultKind.TIMEOUT]

    def test_a_coroutine_that_is_never_awaited_asks_for_no_leave(self, calm, counts):
        """Nothing begins before it is awaited."""
        circuit = calm()
        ask = circuit(awaited)(1)
        assert counts(circuit) == (0, 0, 0)
        ask.close()
        assert counts(circuit) == (0, 0, 0)
        assert circuit.acquire().number == 1


class TestWhatIsDecorated:
    """The same function, but it asks first."""

    @pytest.mark.parametrize("function", [plain, awaited, pieces, awaited_pieces])
    def test_it_keeps_its_name_its_words_and_its_signature(self, circuit, function):
        """Whatever reads them reads the same."""
        guarded = circuit(function)
        assert guarded.__name__ == function.__name__
        assert guarded.__qualname__ == function.__qualname__
        assert guarded.__doc__ == function.__doc__
        assert guarded.__module__ == function.__module__
        assert guarded.__wrapped__ is function
        assert inspect.signature(guarded) == inspect.signature(function)

    @pytest.mark.parametrize("function", [plain, awaited, pieces, awaited_pieces])
    def test_it_stays_of_its_kind(self, circuit, function):
        """Frameworks ask `inspect` how to call a function."""
        guarded = circuit(function)
        for is_it in (
            inspect.iscoroutinefunction,
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
        ):
            assert is_it(guarded) == is_it(function)

    @pytest.mark.parametrize(
        "function",
        [lambda value: value, functools.partial(plain, more=0), int, abs, "".join],
        ids=["lambda", "partial", "class", "builtin", "bound builtin"],
    )
    def test_it_may_be_anything_that_is_called(self, circuit, counts, function):
        """With a name or without."""
        given = "" if function == "".join else 3
        assert circuit(function)(given) == given
        assert counts(circuit) == (1, 0, 0)

    def test_a_partial_of_a_coroutine_function_is_awaited(self, circuit, counts, loop):
        """The call is over when its answer is there."""
        guarded = circuit(functools.partial(awaited, more=1))
        assert inspect.iscoroutinefunction(guarded)
        assert loop.run(guarded, 1) == 2
        assert counts(circuit) == (1, 0, 0)

    def test_an_object_whose_call_is_a_coroutine_is_awaited(self, circuit, counts, loop):
        """As `@provider` does: what it raises counts."""

        class Asked:
            async def __call__(self):
                raise Broken

        with pytest.raises(Broken):
            loop.run(circuit(Asked()))
        assert circuit.state is S.OPEN

    def test_methods_are_bound_as_ever(self, circuit, counts, loop):
        """Plain, awaited, and of either stream; one circuit for all instances."""

        class Client:
            def __init__(self, name):
                self.name = name

            @circuit
            def ask(self, word):
                return self.name + word

            @circuit
            async def aask(self, word):
                return self.name + word

            @circuit
            def stream(self, word):
                yield self.name + word

            @circuit
            async def astream(self, word):
                yield self.name + word

            @staticmethod
            @circuit
            def lone(word):
                return word

            @classmethod
            @circuit
            def made(cls, word):
                return cls.__name__ + word

        async def all_of(client):
            return [await client.aask("!")] + [each async for each in client.astream("!")]

        a, b = Client("a"), Client("b")
        assert (a.ask("!"), b.ask("!")) == ("a!", "b!")
        assert [*a.stream("!"), *loop.run(all_of, b)] == ["a!", "b!", "b!"]
        assert (Client.lone("!"), Client.made("!")) == ("!", "Client!")
        assert counts(circuit) == (7, 0, 0)

    def test_one_function_behind_two_circuits_asks_both(self, circuit, make, counts):
        """The outer one first."""
        outer = make()
        both = outer(circuit(plain))
        assert both(1) == 1
        circuit.force_open()
        with pytest.raises(BreakerOpen):
            both(1)
        assert counts(outer) == (0, 0, 0)  # the refusal tripped it
        assert outer.state is S.OPEN

    def test_brackets_without_arguments_decorate_alike(self, circuit, counts):
        """`@breaker()` is `@breaker`."""
        assert circuit()(plain)(1) == 1
        assert counts(circuit) == (1, 0, 0)

    @pytest.mark.parametrize(
        "thing",
        [
            5,
            "ask",
            {"api_key": "sk-MARKER"},
            None,
        ],
    )
    def test_what_is_no_function_is_refused(self, circuit, thing):
        """By its type: what stands in the wrong place may hold a key."""
        with pytest.raises(ConfigurationError, match=r"'openai' decorates .*; give it a fun") as e:
            circuit(thing)
        assert "MARKER" not in str(e.value)

    @pytest.mark.parametrize("wrapper", [staticmethod, classmethod])
    def test_a_descriptor_is_refused(self, circuit, wrapper):
        """The circuit goes beneath it, next to the function."""
        with pytest.raises(ConfigurationError, match="give it a function"):
            circuit(wrapper(plain))

    def test_two_functions_share_one_circuit(self, circuit):
        """What one of them breaks is broken for the other."""

        @circuit
        def first():
            raise Broken

        second = circuit(plain)
        with pytest.raises(Broken):
            first()
        with pytest.raises(BreakerOpen):
            second(1)


class TestRefusals:
    """`BreakerOpen`: a new one each time."""

    @pytest.mark.parametrize("state", ["open", "half_open", "forced_open"])
    def test_each_is_fresh_and_its_traceback_does_not_grow(self, make, clock, state):
        """Callers that are refused for hours pile nothing up."""
        circuit = make()
        guarded = circuit(plain)
        circuit.force_open() if state == "forced_open" else circuit.acquire().fail()
        if state == "half_open":
            clock.advance(30.0)
            probe = circuit.acquire()
        seen, depths = [], []
        for _ in range(3):
            with pytest.raises(BreakerOpen) as caught:
                guarded(1)
            assert caught.value.state == state
            seen.append(caught.value)
            depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
        assert len({id(error) for error in seen}) == 3
        assert len(set(depths)) == 1
        if state == "half_open":
            probe.release()

    def test_the_time_to_come_back_is_counted_anew(self, make, clock):
        """From the moment of each refusal."""
        circuit = make()
        circuit.acquire().fail()
        left = []
        for _ in range(3):
            with pytest.raises(BreakerOpen) as caught:
                circuit.call(plain, 1)
            left.append(caught.value.retry_after)
            clock.advance(10.0)
        assert left == [30.0, 20.0, 10.0]

    def test_a_circuit_is_named_by_its_name(self, clock):
        """In every refusal."""
        circuit = CircuitBreaker("search", clock=clock)
        circuit.force_open()
        with pytest.raises(BreakerOpen, match="breaker 'search' is forced_open"):
            circuit.call(bool)
