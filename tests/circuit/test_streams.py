"""Generators behind a circuit: the end of a stream is its outcome, all else is `yield from`."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import BreakerOpen, BreakerState, CircuitBreaker, ConfigurationError

S = BreakerState


class Broken(Exception):
    """What a provider raises that is down."""


class Other(Exception):
    """What a consumer throws."""


class Left(BaseException):
    """Not of the program's making, as a key pressed."""


def pieces(*values):
    """Give what was given, one by one; an exception among it is raised."""
    for value in values:
        if isinstance(value, BaseException):
            raise value
        yield value
    return len(values)


class TestLeave:
    """When a stream asks for its lease, and when it gives it back."""

    def test_one_that_was_not_started_asks_for_none(self, circuit, counts):
        """Making a generator runs nothing, so nothing is guarded yet."""
        stream = circuit(pieces)(1)
        assert counts(circuit) == (0, 0, 0)
        stream.close()
        del stream
        assert circuit.acquire().number == 1

    def test_it_asks_at_its_first_step(self, circuit, counts):
        """And is in flight until its end."""
        stream = circuit(pieces)(1, 2)
        assert next(stream) == 1
        assert counts(circuit) == (0, 0, 1)
        assert [*stream] == [2]
        assert counts(circuit) == (1, 0, 0)

    def test_an_open_circuit_refuses_the_first_step(self, circuit):
        """Whatever it was when the generator was made; nothing of it has run."""
        begun = []

        @circuit
        def stream():
            begun.append(1)
            yield 1

        made = stream()
        circuit.force_open()
        with pytest.raises(BreakerOpen):
            next(made)
        with pytest.raises(StopIteration):
            next(made)
        assert begun == []
        assert circuit.snapshot().in_flight == 0

    def test_wrong_arguments_are_found_at_the_first_step_and_book_nothing(self, circuit, counts):
        """The provider was never asked."""

        @circuit
        def stream(prompt):
            yield prompt

        made = stream(1, 2)
        with pytest.raises(TypeError):
            next(made)
        assert counts(circuit) == (0, 0, 0)


class TestEnds:
    """What is booked for a stream."""

    def test_one_that_ends_is_a_success(self, circuit, counts):
        """Even without a piece."""
        assert [*circuit(pieces)()] == []
        assert [*circuit(pieces)(1, 2, 3)] == [1, 2, 3]
        assert counts(circuit) == (2, 0, 0)

    @pytest.mark.parametrize("before", [0, 1, 3])
    def test_one_that_fails_is_a_failure_with_its_own_error(self, make, counts, before):
        """Before the first piece, or midway; what came before is handed over."""
        circuit, error, got = make(minimum_calls=5), Broken("cut"), []
        with pytest.raises(Broken) as caught:
            got.extend(circuit(pieces)(*range(before), error))
        assert caught.value is error
        assert counts(circuit) == (1, 1, 0)

    def test_one_closed_early_is_neutral(self, circuit, counts):
        """A consumer that has enough says nothing of the provider; the stream is told at once."""
        ended = []

        @circuit
        def stream():
            try:
                yield 1
                yield 2
            finally:
                ended.append(1)

        made = stream()
        next(made)
        made.close()
        assert ended == [1]
        assert counts(circuit) == (0, 0, 0)

    def test_one_dropped_in_the_middle_is_neutral(self, circuit, counts):
        """`break` leaves it to the collector."""
        for _ in circuit(pieces)(1, 2, 3):
            break
        gc.collect()
        assert counts(circuit) == (0, 0, 0)

    def test_one_that_fails_while_it_is_closed_is_a_failure(self, make, counts):
        """Its error comes out of `close`, as it would without the circuit."""
        circuit = make(minimum_calls=5)

        @circuit
        def stream():
            try:
                yield 1
            finally:
                raise Broken

        made = stream()
        next(made)
        with pytest.raises(Broken):
            made.close()
        assert counts(circuit) == (1, 1, 0)

    def test_one_that_is_interrupted_is_neutral(self, circuit, counts):
        """Ctrl-C says nothing of the provider."""
        with pytest.raises(KeyboardInterrupt):
            [*circuit(pieces)(1, KeyboardInterrupt())]
        assert counts(circuit) == (0, 0, 0)

    def test_one_whose_generation_ended_meanwhile_is_late(self, circuit, counts):
        """It counts nothing where it did not begin."""
        seen = []
        circuit.add_listener(seen.append)
        made = circuit(pieces)(1, 2)
        next(made)
        circuit.reset()
        assert [*made] == [2]
        assert counts(circuit) == (0, 0, 0)
        assert [step.verdict for step in seen] == ["moved", "late"]

    def test_results_of_streams_cannot_be_judged(self, make):
        """There is no one result; the message says what to do."""
        judged = make(accept=bool)
        with pytest.raises(ConfigurationError, match="accept=, which cannot judge a stream"):
            judged(pieces)
        with pytest.raises(ConfigurationError, match="accept=, which cannot judge a stream"):
            make()(accept=bool)(pieces)


class TestTime:
    """A stream is as slow as its first piece."""

    def test_one_that_begins_in_time_may_last(self, make, clock):
        """However slowly it is consumed."""
        circuit = make(slow_call_duration=5.0, minimum_calls=2)
        made = circuit(pieces)(1, 2)
        clock.advance(1_000.0)  # not begun: no call is out
        next(made)
        clock.advance(1_000.0)
        assert circuit.snapshot().slow_calls == 0
        assert [*made] == [2]
        assert circuit.snapshot().slow_calls == 0

    def test_one_that_begins_late_is_slow(self, make, clock):
        """Though it ended well."""
        circuit = make(slow_call_duration=5.0, minimum_calls=2)

        @circuit
        def stream():
            clock.advance(5.0)
            yield 1

        assert [*stream()] == [1]
        assert circuit.snapshot().slow_calls == 1

    def test_one_without_a_piece_is_as_slow_as_its_end(self, make, clock):
        """There is nothing else to judge by."""
        circuit = make(slow_call_duration=5.0, minimum_calls=2)

        @circuit
        def stream():
            clock.advance(5.0)
            yield from ()

        assert [*stream()] == []
        assert circuit.snapshot().slow_calls == 1

    def test_the_first_piece_of_a_probe_gives_it_its_time_anew(self, make, clock):
        """A round does not end over a stream that has begun."""
        circuit = make(probe_timeout=60.0)
        circuit.acquire().fail()
        clock.advance(30.0)

        @circuit
        def stream():
            clock.advance(50.0)
            yield 1
            yield 2

        made = stream()
        next(made)
        clock.advance(60.0)
        assert circuit.try_acquire() is None
        assert circuit.state is S.HALF_OPEN
        assert [*made] == [2]
        assert circuit.state is S.CLOSED


class TestPassingThrough:
    """A guarded generator is `yield from` the one it guards."""

    def test_the_return_value_comes_out(self, circuit):
        """Where `yield from` expects it."""
        results = []

        def consumer():
            results.append((yield from circuit(pieces)("a", "b")))

        assert [*consumer()] == ["a", "b"]
        assert results == [2]

    def test_what_is_sent_goes_in(self, circuit):
        """None among it."""
        got = []

        @circuit
        def stream():
            for _ in range(3):
                got.append((yield len(got)))

        made = stream()
        assert [next(made), made.send("x"), made.send(None)] == [0, 1, 2]
        with pytest.raises(StopIteration):
            made.send(0)
        assert got == ["x", None, 0]

    def test_what_is_thrown_goes_in(self, circuit, counts):
        """A stream that deals with it goes on, and its answer is the outcome."""

        @circuit
        def stream():
            try:
                yield 1
            except Other as error:
                yield error
            return 5

        made, error = stream(), Other()
        next(made)
        assert made.throw(error) is error
        with pytest.raises(StopIteration) as caught:
            next(made)
        assert caught.value.value == 5
        assert counts(circuit) == (1, 0, 0)

    def test_a_stream_may_end_over_what_is_thrown(self, circuit, counts):
        """It returns, so that is its end."""

        @circuit
        def stream():
            try:
                yield 1
            except Other:
                return 5

        made = stream()
        next(made)
        with pytest.raises(StopIteration) as caught:
            made.throw(Other())
        assert caught.value.value == 5
        assert counts(circuit) == (1, 0, 0)

    def test_what_it_does_not_deal_with_comes_out(self, make, counts):
        """The very object; an Exception counts, anything else does not."""
        circuit = make(minimum_calls=5)
        for error in (Other(), Left()):
            made = circuit(pieces)(1, 2)
            next(made)
            with pytest.raises(type(error)) as caught:
                made.throw(error)
            assert caught.value is error
        assert counts(circuit) == (1, 1, 0)

    def test_what_was_thrown_keeps_nothing_alive(self, make):
        """No cycle holds the request until the collector comes."""
        circuit = make(minimum_calls=5)

        class Request:
            """Something large."""

        @circuit
        def stream(request):
            yield request

        request = Request()
        gone = weakref.ref(request)
        made = stream(request)
        next(made)
        gc.disable()
        try:
            with pytest.raises(Other):
                made.throw(Other())
            del made, request
            assert gone() is None
        finally:
            gc.enable()


def scripted(script):
    """A generator that does as it is told, and writes down what comes in."""
    seen = []

    def stream():
        for word in script:
            try:
                seen.append((yield word))
            except Other:
                seen.append("thrown")
                if word == "fails":
                    raise Broken from None
                if word == "ends":
                    return "over"
            except GeneratorExit:
                seen.append("closed")
                if word == "fails":
                    raise Broken from None
                raise
        return "end"

    return stream, seen


def driven(stream, steps):
    """Everything that comes out of a generator that is driven in some way, and its end."""
    out = []
    for step in steps:
        try:
            match step:
                case "next":
                    out.append(next(stream))
                case "throw":
                    out.append(stream.throw(Other()))
                case "throw left":
                    out.append(stream.throw(Left()))
                case "close":
                    out.append(stream.close())
                case _:
                    out.append(stream.send(step))
        except StopIteration as end:
            out.append(("end", end.value))
        except BaseException as error:  # noqa: BLE001  # to compare what comes out
            out.append((type(error), str(error)))
    return out


@given(
    script=st.lists(st.sampled_from(["goes on", "fails", "ends"]), max_size=5),
    steps=st.lists(
        st.sampled_from(["next", "next", "throw", "throw left", "close", "a", 0]), max_size=8
    ),
)
def test_nobody_can_tell_a_guarded_generator_from_a_delegating_one(script, steps):
    """Whatever is asked of it in whatever order: the same comes out, the same goes in."""
    circuit = CircuitBreaker("openai")
    stream, seen = scripted(script)
    plain, plain_seen = scripted(script)

    def delegating():
        return (yield from plain())

    guarded, other = circuit(stream)(), delegating()
    assert driven(guarded, [*steps, "close"]) == driven(other, [*steps, "close"])
    assert seen == plain_seen
    assert circuit.snapshot().in_flight == 0
