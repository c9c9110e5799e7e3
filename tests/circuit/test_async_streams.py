"""Async generators behind a circuit: as `test_streams`, and what a loop adds: cancellation."""

import gc
import weakref
from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import BreakerOpen, BreakerState, CircuitBreaker, ConfigurationError

S = BreakerState
# trio tells of every async generator that is dropped before its end; asyncio does not.
DROPPED = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


class Broken(Exception):
    """What a provider raises that is down."""


class Other(Exception):
    """What a consumer throws."""


class Left(BaseException):
    """Not of the program's making, as a key pressed."""


async def pieces(*values):
    """Give what was given, one by one; an exception among it is raised."""
    for value in values:
        await anyio.lowlevel.checkpoint()
        if isinstance(value, BaseException):
            raise value
        yield value


async def all_of(stream):
    """Consume a stream to its end."""
    return [each async for each in stream]


class TestLeave:
    """When a stream asks for its lease, and when it gives it back."""

    def test_one_that_was_not_started_asks_for_none(self, circuit, counts, loop):
        """Making a generator runs nothing, so nothing is guarded yet."""

        async def scenario():
            stream = circuit(pieces)(1)
            assert counts(circuit) == (0, 0, 0)
            await stream.aclose()

        loop.run(scenario)
        assert circuit.acquire().number == 1

    def test_it_asks_at_its_first_step(self, circuit, counts, loop):
        """And is in flight until its end."""

        async def scenario():
            stream = circuit(pieces)(1, 2)
            assert await anext(stream) == 1
            assert counts(circuit) == (0, 0, 1)
            assert await all_of(stream) == [2]

        loop.run(scenario)
        assert counts(circuit) == (1, 0, 0)

    def test_an_open_circuit_refuses_the_first_step(self, circuit, loop):
        """Whatever it was when the generator was made."""

        async def scenario():
            stream = circuit(pieces)(1)
            circuit.force_open()
            with pytest.raises(BreakerOpen):
                await anext(stream)
            assert await all_of(stream) == []

        loop.run(scenario)
        assert circuit.snapshot().in_flight == 0

    def test_wrong_arguments_are_found_at_the_first_step_and_book_nothing(
        self, circuit, counts, loop
    ):
        """The provider was never asked."""

        @circuit
        async def stream(prompt):
            yield prompt

        with pytest.raises(TypeError):
            loop.run(all_of, stream(1, 2))
        assert counts(circuit) == (0, 0, 0)


class TestEnds:
    """What is booked for a stream."""

    def test_one_that_ends_is_a_success(self, circuit, counts, loop):
        """Even without a piece."""
        assert loop.run(all_of, circuit(pieces)()) == []
        assert loop.run(all_of, circuit(pieces)(1, 2)) == [1, 2]
        assert counts(circuit) == (2, 0, 0)

    @pytest.mark.parametrize("before", [0, 1, 3])
    def test_one_that_fails_is_a_failure_with_its_own_error(self, make, counts, before, loop):
        """Before the first piece, or midway."""
        circuit, error = make(minimum_calls=5), Broken("cut")
        with pytest.raises(Broken) as caught:
            loop.run(all_of, circuit(pieces)(*range(before), error))
        assert caught.value is error
        assert counts(circuit) == (1, 1, 0)

    def test_one_closed_early_is_neutral(self, circuit, counts, loop):
        """The stream it guards is closed in the same step."""
        ended = []

        @circuit
        async def stream():
            try:
                yield 1
            finally:
                await anyio.lowlevel.checkpoint()
                ended.append(1)

        async def scenario():
            async with aclosing(stream()) as made:
                await anext(made)
            assert ended == [1]

        loop.run(scenario)
        assert counts(circuit) == (0, 0, 0)

    @DROPPED
    def test_one_left_with_break_is_neutral(self, circuit, counts, loop):
        """The loop closes it at the latest as it ends."""

        async def scenario():
            async for _ in circuit(pieces)(1, 2, 3):
                break

        loop.run(scenario)
        assert counts(circuit) == (0, 0, 0)

    def test_one_that_fails_while_it_is_closed_is_a_failure(self, make, counts, loop):
        """Its error comes out of `aclose`, as it would without the circuit."""
        circuit = make(minimum_calls=5)

        @circuit
        async def stream():
            try:
                yield 1
            finally:
                raise Broken

        async def scenario():
            made = stream()
            await anext(made)
            with pytest.raises(Broken):
                await made.aclose()

        loop.run(scenario)
        assert counts(circuit) == (1, 1, 0)

    @pytest.mark.parametrize("first", [True, False])
    def test_one_whose_consumer_is_cancelled_is_neutral(self, circuit, counts, first, loop):
        """While it waits for the first piece, or for a later one; the stream hears of it."""
        heard = []

        @circuit
        async def stream():
            try:
                if not first:
                    yield 1
                await anyio.sleep_forever()
                yield 2
            except anyio.get_cancelled_exc_class():
                heard.append(1)
                raise

        async def scenario():
            async with loop.cancelling(all_of, stream()):
                await anyio.wait_all_tasks_blocked()
                assert counts(circuit) == (0, 0, 1)

        loop.run(scenario)
        assert heard == [1]
        assert counts(circuit) == (0, 0, 0)

    @DROPPED
    def test_a_consumer_cancelled_between_two_pieces_is_neutral(self, circuit, counts, loop):
        """The stream is not running then; its end comes with the loop's at the latest."""

        async def consume():
            async for _ in circuit(pieces)(1, 2):
                await anyio.sleep_forever()

        async def scenario():
            async with loop.cancelling(consume):
                await anyio.wait_all_tasks_blocked()
                assert counts(circuit) == (0, 0, 1)

        loop.run(scenario)
        assert counts(circuit) == (0, 0, 0)

    def test_results_of_streams_cannot_be_judged(self, make):
        """There is no one result; the message says what to do."""
        judged = make(accept=bool)
        with pytest.raises(ConfigurationError, match="accept=, which cannot judge a stream"):
            judged(pieces)
        with pytest.raises(ConfigurationError, match="accept=, which cannot judge a stream"):
            make()(accept=bool)(pieces)


class TestTime:
    """A stream is as slow as its first piece."""

    def test_one_that_begins_in_time_may_last(self, make, clock, loop):
        """However slowly it is consumed."""
        circuit = make(slow_call_duration=5.0, minimum_calls=2)

        async def scenario():
            stream = circuit(pieces)(1, 2)
            await anext(stream)
            clock.advance(1_000.0)
            assert await all_of(stream) == [2]

        loop.run(scenario)
        assert circuit.snapshot().slow_calls == 0

    def test_one_that_begins_late_is_slow(self, make, clock, loop):
        """Though it ended well."""
        circuit = make(slow_call_duration=5.0, minimum_calls=2)

        @circuit
        async def stream():
            clock.advance(5.0)
            yield 1

        loop.run(all_of, stream())
        assert circuit.snapshot().slow_calls == 1


class TestPassingThrough:
    """A guarded async generator is the one it guards."""

    def test_what_is_sent_goes_in(self, circuit, loop):
        """None among it."""
        got = []

        @circuit
        async def stream():
            for _ in range(3):
                got.append((yield len(got)))

        async def scenario():
            made = stream()
            out = [await anext(made), await made.asend("x"), await made.asend(None)]
            assert out == [0, 1, 2]
            with pytest.raises(StopAsyncIteration):
                await made.asend(0)

        loop.run(scenario)
        assert got == ["x", None, 0]

    def test_what_is_thrown_goes_in(self, circuit, counts, loop):
        """A stream that deals with it goes on, and its end is the outcome."""

        @circuit
        async def stream():
            try:
                yield 1
            except Other as error:
                yield error

        async def scenario():
            made, error = stream(), Other()
            await anext(made)
            assert await made.athrow(error) is error
            assert await all_of(made) == []

        loop.run(scenario)
        assert counts(circuit) == (1, 0, 0)

    def test_what_it_does_not_deal_with_comes_out(self, make, counts, loop):
        """The very object; an Exception counts, anything else does not."""
        circuit = make(minimum_calls=5)

        async def scenario(error):
            made = circuit(pieces)(1, 2)
            await anext(made)
            with pytest.raises(type(error)) as caught:
                await made.athrow(error)
            assert caught.value is error

        for error in (Other(), Left()):
            loop.run(scenario, error)
        assert counts(circuit) == (1, 1, 0)

    def test_what_was_thrown_keeps_nothing_alive(self, make, loop):
        """No cycle holds the request until the collector comes."""
        circuit = make(minimum_calls=5)

        class Request:
            """Something large."""

        @circuit
        async def stream(request):
            yield request

        async def scenario():
            request = Request()
            gone = weakref.ref(request)
            made = stream(request)
            await anext(made)
            gc.disable()
            try:
                with pytest.raises(Other):
                    await made.athrow(Other())
                del made, request
                assert gone() is None
            finally:
                gc.enable()

        loop.run(scenario)


def scripted(script):
    """An async generator that does as it is told, and writes down what comes in."""
    seen = []

    async def stream():
        for word in script:
            await anyio.lowlevel.checkpoint()
            try:
                seen.append((yield word))
            except Other:
                seen.append("thrown")
                if word == "fails":
                    raise Broken from None
                if word == "ends":
                    return
            except GeneratorExit:
                seen.append("closed")
                if word == "fails":
                    raise Broken from None
                raise

    return stream, seen


async def driven(stream, steps):
    """Everything that comes out of a stream that is driven in some way, and its end."""
    out = []
    for step in steps:
        try:
            match step:
                case "next":
                    out.append(await anext(stream))
                case "throw":
                    out.append(await stream.athrow(Other()))
                case "throw left":
                    out.append(await stream.athrow(Left()))
                case "close":
                    out.append(await stream.aclose())
                case _:
                    out.append(await stream.asend(step))
        except StopAsyncIteration:
            out.append("end")
        except BaseException as error:  # noqa: BLE001  # to compare what comes out
            out.append((type(error), str(error)))
    return out


@given(
    script=st.lists(st.sampled_from(["goes on", "fails", "ends"]), max_size=5),
    steps=st.lists(
        st.sampled_from(["next", "next", "throw", "throw left", "close", "a", 0]), max_size=8
    ),
)
def test_nobody_can_tell_a_guarded_async_generator_from_a_bare_one(script, steps, loop):
    """Whatever is asked of it in whatever order: the same comes out, the same goes in."""
    circuit = CircuitBreaker("openai")
    stream, seen = scripted(script)
    bare, bare_seen = scripted(script)

    async def both():
        guarded, other = circuit(stream)(), bare()
        closing = [*steps, "close"]
        assert await driven(guarded, closing) == await driven(other, closing)
        assert seen == bare_seen

    loop.run(both)
    assert circuit.snapshot().in_flight == 0
