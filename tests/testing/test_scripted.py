"""The scripted provider: what the n-th call gets, how long it takes, what is recorded."""

import math
import threading

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_fallback import FallbackConfig, FallbackProvider, StreamConfig
from fsm_fallback.core.prices import Price
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing import (
    Delay,
    Hang,
    ManualClock,
    ScriptedCall,
    ScriptedProvider,
    Stream,
    Value,
)


@pytest.fixture
def play(plain_or_loop):
    """Play a step, plain or awaited."""

    def played(provider, *args, **kwargs):
        if plain_or_loop is None:
            return provider.call(*args, **kwargs)
        return plain_or_loop.run(provider.acall, *args, **kwargs)

    return played


def test_answers_come_in_the_order_of_the_script(play):
    """Any object is an answer, None and exceptions' look-alikes too."""
    answer = object()
    provider = ScriptedProvider("a", [answer, None, str])
    assert [play(provider) for _ in range(3)] == [answer, None, str]


def test_an_exception_instance_is_raised_itself(play):
    """The very object of the script, for tests of identity."""
    boom = RuntimeError("boom")
    with pytest.raises(RuntimeError) as caught:
        play(ScriptedProvider("a", [boom]))
    assert caught.value is boom


def test_an_exception_class_is_raised(play):
    """It is called without arguments."""
    with pytest.raises(ConnectionError):
        play(ScriptedProvider("a", [ConnectionError]))


def test_a_repeated_exception_collects_no_frames():
    """Its traceback is as long the third time as the first."""
    boom = RuntimeError("boom")
    provider = ScriptedProvider("a", [boom], exhausted="repeat")
    lengths = []
    for _ in range(3):
        with pytest.raises(RuntimeError):
            provider.call()
        frame, length = boom.__traceback__, 0
        while frame is not None:
            frame, length = frame.tb_next, length + 1
        lengths.append(length)
    assert len(set(lengths)) == 1


def test_a_value_is_returned_as_it_is(play):
    """So that an answer may be an exception, a class of them, or a step."""
    values = [KeyError("answer"), KeyError, Hang()]
    provider = ScriptedProvider("a", [Value(value) for value in values])
    assert [play(provider) for _ in values] == values


def test_past_its_script_a_provider_says_so(play):
    """The error names provider, call and length of the script."""
    provider = ScriptedProvider("slow-one", ["x"])
    play(provider)
    with pytest.raises(AssertionError, match="call 2 of provider 'slow-one' is past its script of"):
        play(provider)


def test_without_a_script_a_provider_is_not_to_be_called(play):
    """The first call is one too many."""
    with pytest.raises(AssertionError, match="call 1 "):
        play(ScriptedProvider("never"))


def test_the_last_step_can_be_repeated(play):
    """For as many calls as come."""
    provider = ScriptedProvider("a", ["first", "last"], exhausted="repeat")
    assert [play(provider) for _ in range(4)] == ["first", "last", "last", "last"]


def test_calls_are_recorded(play):
    """Arguments, keywords and the time on the clock."""
    clock = ManualClock()
    clock.advance(3)
    provider = ScriptedProvider("a", ["x"], clock=clock)
    play(provider, "prompt", temperature=0)
    assert provider.calls == [ScriptedCall(("prompt",), {"temperature": 0}, 3.0, None)]


def test_the_timeout_of_a_call_is_recorded(play):
    """It is no keyword of the call, and there is no time without a clock."""
    provider = ScriptedProvider("a", ["x"])
    play(provider, timeout=2.5)
    assert provider.calls == [ScriptedCall((), {}, None, 2.5)]


def test_failed_calls_are_recorded():
    """Those past the script, too."""
    provider = ScriptedProvider("a", [RuntimeError])
    for error in (RuntimeError, AssertionError):
        with pytest.raises(error):
            provider.call()
    assert len(provider.calls) == 2


def test_the_record_of_calls_is_a_copy():
    """What a test does to it does not reach the provider."""
    provider = ScriptedProvider("a", ["x"])
    provider.call()
    provider.calls.clear()
    assert len(provider.calls) == 1


def test_a_delay_takes_the_time_of_the_clock(play):
    """Then its step follows."""
    clock = ManualClock()
    assert play(ScriptedProvider("a", [Delay(2, then="late")], clock=clock)) == "late"
    assert clock() == 2


def test_delays_add_up(play):
    """A delay may follow a delay, and an exception the last."""
    clock = ManualClock()
    script = [Delay(2, then=Delay(3, then=RuntimeError("late")))]
    with pytest.raises(RuntimeError, match="late"):
        play(ScriptedProvider("a", script, clock=clock))
    assert clock() == 5


def test_a_delay_longer_than_the_timeout_times_out():
    """The clock has moved by exactly the time-out."""
    clock = ManualClock()
    provider = ScriptedProvider("a", [Delay(5, then="late")], clock=clock)
    with pytest.raises(TimeoutError, match=r"provider 'a' did not answer in 2\.0 s"):
        provider.call(timeout=2.0)
    assert clock() == 2


def test_an_answer_at_the_very_timeout_wins():
    """The time-out is missed by nothing."""
    clock = ManualClock()
    assert ScriptedProvider("a", [Delay(2, then="x")], clock=clock).call(timeout=2) == "x"


def test_a_hang_ends_with_the_timeout():
    """In virtual time with a clock, at once without one."""
    clock = ManualClock()
    for provider in (ScriptedProvider("a", [Hang()], clock=clock), ScriptedProvider("b", [Hang()])):
        with pytest.raises(TimeoutError):
            provider.call(timeout=30)
    assert clock() == 30


def test_a_synchronous_hang_without_a_timeout_is_a_mistake():
    """It would never end, and the error says so."""
    with pytest.raises(AssertionError, match="would never end"):
        ScriptedProvider("a", [Hang()]).call()


async def play_within(clock, provider, seconds):
    """Call as a driver does: a timer on the clock cancels the attempt."""
    with anyio.CancelScope() as scope:
        timer = clock.call_at(clock() + seconds, scope.cancel)
        try:
            return await provider.acall()
        finally:
            timer.cancel()
    raise TimeoutError


def test_a_timer_cuts_a_hang_on_time(loop):
    """The clock stands at the timer, and nothing is left on it."""
    clock = ManualClock()
    provider = ScriptedProvider("a", [Hang()], clock=clock)
    with pytest.raises(TimeoutError):
        loop.run(play_within, clock, provider, 7)
    assert (clock(), clock.next_timer_at) == (7, None)


def test_a_hang_without_a_timer_waits_for_cancellation(loop):
    """With and without a clock; it takes no virtual time."""

    async def main():
        clock = ManualClock()
        for its_clock in (clock, None):
            provider = ScriptedProvider("a", [Hang()], clock=its_clock)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(provider.acall)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        assert clock() == 0

    loop.run(main)


def test_a_timer_of_somebody_else_is_passed_by(loop):
    """It fires at its time, and the delay goes on to its end."""

    async def main():
        clock, fired = ManualClock(), []
        clock.call_at(1, lambda: fired.append(clock()))
        clock.call_at(9, lambda: fired.append(clock()))
        assert await ScriptedProvider("a", [Delay(3, then="x")], clock=clock).acall() == "x"
        assert (fired, clock()) == ([1], 3)

    loop.run(main)


@pytest.mark.parametrize("order", [(5, 3, 4), (3, 4, 5), (4, 5, 3)])
def test_delays_of_concurrent_calls_overlap(loop, order):
    """Each ends at its own time, whichever began first."""

    async def main():
        clock, ends = ManualClock(), []

        async def one(seconds):
            await ScriptedProvider("a", [Delay(seconds)], clock=clock).acall()
            ends.append((seconds, clock()))

        async with anyio.create_task_group() as tasks:
            for seconds in order:
                tasks.start_soon(one, seconds)
        assert ends == [(3, 3), (4, 4), (5, 5)]

    loop.run(main)


SECONDS = st.sampled_from([0.0, 0.1, 0.2, 0.1 + 0.2, 0.3, 1.0, 7.5])
STEPS = st.one_of(
    st.builds(Delay, SECONDS, then=st.sampled_from(["x", KeyError("x")])),
    st.builds(Delay, SECONDS, then=st.builds(Delay, SECONDS, then=st.just("y"))),
    st.builds(Delay, SECONDS, then=st.just(Hang())),
    st.sampled_from(["x", KeyError("x"), Hang()]),
)


@settings(deadline=None)  # each example starts an event loop
@given(st.lists(st.tuples(STEPS, SECONDS), min_size=1, max_size=4))
def test_synchronous_and_asynchronous_calls_end_alike(loop, plays):
    """Same answers, same errors, same times, for any steps and time-outs."""

    def play_all(play_one):
        clock, trace = ManualClock(), []
        provider = ScriptedProvider("a", [step for step, _ in plays], clock=clock)
        for _, seconds in plays:
            try:
                trace.append((play_one(clock, provider, seconds), clock()))
            except (TimeoutError, KeyError) as error:
                trace.append((type(error), clock()))
        return trace, clock.next_timer_at

    def synchronously(_clock, provider, seconds):
        return provider.call(timeout=seconds)

    def asynchronously(clock, provider, seconds):
        return loop.run(play_within, clock, provider, seconds)

    assert play_all(synchronously) == play_all(asynchronously)


def test_threads_get_a_step_each():
    """No step is played twice or lost."""
    provider = ScriptedProvider("a", range(400))
    got = []

    def work():
        got.extend(provider.call() for _ in range(100))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(400))


def test_what_is_known_of_the_model_is_told():
    """The keywords end up in `info`; the time-out goes by its name."""
    free = Price(input_mtok=0, output_mtok=0)
    provider = ScriptedProvider(
        "a", model="m", account="acme", capabilities=["tools"], context_window=8000, price=free
    )
    info = provider.info
    assert (provider.name, provider.timeout_arg) == ("a", "timeout")
    assert (info.model, info.account, info.capabilities, info.context_window, info.price) == (
        "m",
        "acme",
        frozenset({"tools"}),
        8000,
        free,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "name is ''"),
        ({"name": "a", "exhausted": "never"}, "exhausted is 'never'"),
        ({"name": "a", "exhausted": "repeat"}, "script is empty"),
        ({"name": "a", "script": [Delay(1)]}, "clock=ManualClock"),
        ({"name": "a", "capabilities": "tools"}, "capabilities is 'tools'"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments, words):
    """The error names the argument and its value."""
    with pytest.raises(ConfigurationError, match=words):
        ScriptedProvider(**arguments)


def test_every_problem_is_named_at_once():
    """One error for all of them."""
    with pytest.raises(ConfigurationError) as caught:
        ScriptedProvider("", [Delay(1)], exhausted="never")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, "1"])
def test_a_delay_that_is_no_duration_is_refused(seconds):
    """The error names the value."""
    with pytest.raises(ConfigurationError, match="seconds is"):
        Delay(seconds)


class TestStreams:
    """A `Stream` is a step of items, plain and awaited alike."""

    @pytest.fixture
    def read(self, plain_or_loop):
        """Read a stream to its end; its items, and its error if any."""

        def reading(provider, **kwargs):
            items = []
            try:
                if plain_or_loop is None:
                    items.extend(iter_noting(provider.stream("why", **kwargs), items))
                else:
                    plain_or_loop.run(awaited, provider.astream("why"), items)
            except Exception as error:  # noqa: BLE001  # that is what is asked
                return items, error
            return items, None

        def iter_noting(stream, items):
            for item in stream:
                items.append(item)
            return ()

        async def awaited(stream, items):
            async for item in stream:
                items.append(item)

        return reading

    def test_its_items_come_in_order_and_take_their_time(self, read):
        """A delay comes before its item."""
        clock = ManualClock()
        script = [Stream("Hel", Delay(3, then="lo"), Value(KeyError))]
        provider = ScriptedProvider("a", script, clock=clock)
        assert read(provider) == (["Hel", "lo", KeyError], None)
        assert clock() == 3
        (stream,) = provider.streams
        assert (stream.given, stream.ended) == (["Hel", "lo", KeyError], True)
        assert [(call.args, call.at) for call in provider.calls] == [(("why",), 0.0)]

    def test_it_may_break(self, read):
        """Nothing follows the exception."""
        boom = ConnectionError("boom")
        provider = ScriptedProvider("a", [Stream("Hel", boom, "lo")])
        assert read(provider) == (["Hel"], boom)
        assert provider.streams[0].ended

    def test_a_plain_step_that_fails_fails_the_stream(self, read):
        """An outage is one of both forms."""
        boom = ConnectionError("boom")
        assert read(ScriptedProvider("a", [boom])) == ([], boom)
        with ScriptedProvider("a", [Stream("no")]).outage(boom) as outage:
            assert outage is not None

    def test_an_answer_is_no_stream_and_a_stream_no_answer(self, play):
        """The test is wrong, and hears what to write."""
        with pytest.raises(AssertionError, match="its step is 'one'; script a Stream"):
            ScriptedProvider("a", ["one"]).stream()
        with pytest.raises(AssertionError, match="its step is a Stream; ask it with stream"):
            play(ScriptedProvider("a", [Stream("one")]))

    def test_a_stream_may_be_delayed_as_a_whole(self, read, play):
        """Its first item is; it is still no answer."""
        clock = ManualClock()
        step = Delay(2, then=Stream("x", "y"))
        assert read(ScriptedProvider("a", [step], clock=clock)) == (["x", "y"], None)
        assert clock() == 2
        with pytest.raises(AssertionError, match="its step is a Stream"):
            play(ScriptedProvider("a", [step], clock=clock))

    def test_a_delay_in_a_stream_needs_a_clock(self):
        """As one of a call."""
        with pytest.raises(ConfigurationError, match="script has a Delay"):
            ScriptedProvider("a", [Stream(Delay(1, then="late"))])

    def test_a_plain_one_gives_up_before_its_first_item(self):
        """The clock stands at its time-out; after the first item nothing is limited."""
        clock = ManualClock()
        provider = ScriptedProvider("a", [Stream(Hang()), Stream("x", Delay(9, "y"))], clock=clock)
        with pytest.raises(TimeoutError, match="did not begin its stream in time"):
            next(provider.stream(timeout=5))
        assert clock() == 5
        assert list(provider.stream(timeout=5)) == ["x", "y"]

    def test_a_plain_one_that_nothing_ends_says_so(self):
        """It would hang for ever."""
        stream = ScriptedProvider("a", [Stream("x", Hang())]).stream(timeout=5)
        assert next(stream) == "x"
        with pytest.raises(AssertionError, match="hangs in a plain stream"):
            next(stream)

    def test_it_is_not_read_after_it_was_closed(self):
        """Whoever does that has a bug."""
        stream = ScriptedProvider("a", [Stream("x", "y")]).stream()
        stream.close()
        with pytest.raises(AssertionError, match="is read after its closing"):
            next(stream)

    def test_a_chain_fails_over_restarts_and_closes_them(self, plain_or_loop):
        """What they are for, in virtual time."""
        clock = ManualClock()
        a = ScriptedProvider("a", [Stream("Hel", ConnectionError("reset"))], clock=clock)
        b = ScriptedProvider("b", [Stream("Hello", Delay(2, then="!"))], clock=clock)
        config = FallbackConfig(stream=StreamConfig(policy="restart"))
        llm = FallbackProvider(a, b, clock=clock, config=config)

        async def main():
            return [item async for item in llm.astream("why")]

        items = list(llm.stream("why")) if plain_or_loop is None else plain_or_loop.run(main)
        assert [items[0], *items[2:]] == ["Hel", "Hello", "!"]
        assert items[1].after == "a"
        assert [each.streams[0].closed for each in (a, b)] == [1, 1]
        assert clock() == 2


def test_a_provider_counts_the_calls_past_its_script():
    """A chain takes their errors for the provider's."""
    provider = ScriptedProvider("a", ["one"])
    llm = FallbackProvider(provider, ScriptedProvider("b", ["spare"], exhausted="repeat"))
    assert [llm.call("why") for _ in range(3)] == ["one", "spare", "spare"]
    assert provider.beyond == 2
