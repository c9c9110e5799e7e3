"""Closing a provider's stream: once, whatever comes, in the time of the call."""

import asyncio
import threading
import time

import anyio
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    DeadlineExceeded,
    FallbackConfig,
    FallbackProvider,
    RetryConfig,
    StreamConfig,
    provider,
)
from fsm_fallback.testing import Delay, ManualClock, ScriptedProvider
from specs.scripted_streams import PlainStreams, ScriptedStreams


def down():
    """An outage."""
    return ConnectionError("down")


class SlowToClose(ScriptedStreams):
    """Fails, and takes its time to be closed."""

    def __init__(self, name, seconds, clock):
        super().__init__(name, [down()], clock=clock)
        self.seconds = seconds

    def _begin(self, kind, args, kwargs):
        source, spend = super()._begin(kind, args, kwargs), self.clock.spend
        close = source.aclose if hasattr(source, "aclose") else source.close

        def closing():
            spend(self.seconds)
            return close()

        setattr(source, close.__name__, closing)
        return source


class TestTime:
    """It takes the time of the call, and of nobody else."""

    def test_nobody_is_asked_once_the_deadline_is_over(self, streams, clock, at_rest):
        """Closing took all there was."""
        b = ScriptedStreams("b", ["no"], clock=clock)
        config = FallbackConfig(deadline=5.0)
        llm = FallbackProvider(SlowToClose("a", 7.0, clock), b, clock=clock, config=config)
        read = streams.read(llm, "why")
        assert isinstance(read.error, DeadlineExceeded)
        assert b.calls == []
        assert at_rest(llm)

    def test_the_next_one_has_its_time_from_when_it_is_asked(self, loop, clock):
        """Not from when the one before it failed."""
        b = ScriptedStreams("b", ["one"], clock=clock)
        config = FallbackConfig(stream=StreamConfig(first_output_timeout=5.0))
        c = ScriptedStreams("c", ["no"], clock=clock)
        llm = FallbackProvider(SlowToClose("a", 7.0, clock), b, c, clock=clock, config=config)

        async def main():
            async with llm.astream_detailed("why") as stream:
                return [item async for item in stream], stream.trail

        items, trail = loop.run(main)
        assert items == ["one"]
        assert [attempt.started_at for attempt in trail] == [0.0, 7.0]

    def test_a_wait_ends_when_it_would_have(self, streams, clock):
        """What closing took is no longer waited for."""
        a = SlowToClose("a", 3.0, clock)
        a.scripts = ([down()], ["one"])
        config = FallbackConfig(retry=RetryConfig(attempts=2, backoff=5.0, jitter="none"))
        llm = FallbackProvider(a, clock=clock, config=config)
        assert streams.read(llm, "why").items == ["one"]
        assert clock() == 5.0 + 3.0  # the second one is closed, too


class Managed:
    """Items to be read in a block, plain or awaited."""

    def __init__(self):
        self.seen = []

    def __enter__(self):
        self.seen.append("in")
        return self

    def __exit__(self, *_):
        self.seen.append("out")

    def __iter__(self):
        return iter(["one"])

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, *_):
        self.__exit__()

    async def __aiter__(self):
        yield "one"


class TestCleanUps:
    """What they do is nobody else's business."""

    def test_one_that_is_cancelled_with_a_task_of_its_own_hides_nothing(self, caplog):
        """It cancels its reader and awaits it, as clients do; asyncio alone has such tasks."""

        class Stream:
            def __init__(self):
                self.reader = asyncio.ensure_future(asyncio.sleep(60))

            def __aiter__(self):
                return self

            async def __anext__(self):
                raise down()

            async def aclose(self):
                self.reader.cancel()
                await self.reader

        @provider("a", streams=True)
        async def ask(_):
            return Stream()

        async def main():
            return [item async for item in llm.astream("why")]

        llm = FallbackProvider(ask, ScriptedStreams("b", ["one"]))
        assert asyncio.run(main()) == ["one"]
        assert "closing the stream of provider 'a' raised CancelledError" in caplog.text

    @pytest.mark.parametrize("gives", ["text", {"id": "x"}, [None], None], ids=repr)
    def test_what_is_no_stream_is_not_quoted(self, streams, gives):
        """It may be the whole answer; a list of items is one."""

        class Giving:
            name = "a"

            def stream(self, _):
                return gives

            async def astream(self, _):
                return gives

        read = streams.read(FallbackProvider(Giving()), "why")
        if isinstance(gives, list) and streams.loop is None:
            assert read.error is not None  # None is no output
            return
        (error,) = read.error.exceptions
        assert isinstance(read.error, AllProvidersFailed)
        kind = "None" if gives is None else f"a {type(gives).__name__}"
        assert f"provider 'a' gave {kind} for a stream; give " in str(error)

    def test_what_is_no_stream_is_closed_all_the_same(self, streams):
        """A response of an HTTP library, say."""

        class Response:
            closed = 0

            def close(self):
                Response.closed += 1

        class Giving:
            name = "a"

            def stream(self, _):
                return Response()

            async def astream(self, _):
                return Response()

        streams.read(FallbackProvider(Giving()), "why")
        assert Response.closed == 1

    def test_a_stream_that_must_be_entered_is(self, streams):
        """It iterates, but knows no other way to be closed."""

        class Giving:
            name = "a"

            def __init__(self):
                self.managed = Managed()

            def stream(self, _):
                return self.managed

            async def astream(self, _):
                return self.managed

        giving = Giving()
        assert streams.read(FallbackProvider(giving), "why").items == ["one"]
        assert giving.managed.seen == ["in", "out"]


class TestThreads:
    """A plain stream that is awaited, and cut before a step of it has a thread."""

    def test_a_step_that_never_began_leaves_the_stream_to_be_closed(self, loop, at_rest):
        """The task is cancelled while it works on an item."""
        plain = PlainStreams("a", ["one", "two", "three"])
        llm = FallbackProvider(plain)

        async def main():
            with anyio.CancelScope() as scope:
                async for _ in llm.astream("why"):
                    scope.cancel()

        loop.run(main)
        assert plain.closings == [1]
        assert at_rest(llm)

    def test_who_waits_for_a_thread_blames_nobody(self, loop, at_rest, untouched):
        """All threads are busy: the provider was not asked, and another one is."""
        occupied, release = threading.Event(), threading.Event()

        def occupy():
            occupied.set()
            release.wait(10.0)

        def call(_):
            raise AssertionError("there was no thread")

        class Awaited:
            name = "b"

            async def acall(self, _):
                return "one"

        llm = FallbackProvider(
            provider("a")(call), Awaited(), config=FallbackConfig(attempt_timeout=0.05)
        )

        async def main():
            limiter = anyio.to_thread.current_default_thread_limiter()
            limiter.total_tokens = 1
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, occupy)
                while not occupied.is_set():  # noqa: ASYNC110  # set in a thread
                    await anyio.sleep(0.001)
                answer = await llm.adetailed("why")
                release.set()
            return answer

        answer = loop.run(main)
        assert answer.value == "one"
        assert "no worker thread was free for 'a'" in str(answer.trail[0].error)
        assert untouched(llm, "a")
        assert at_rest(llm)

    def test_stop_iteration_stays_what_it_was(self, way):
        """No coroutine may raise it, and the trail has it all the same."""

        def ask(_):
            return next(iter([]))

        (error,) = way.failure(FallbackProvider(provider("a")(ask)), "why").exceptions
        assert type(error) is StopIteration

    def test_an_awaited_call_in_a_plain_function_is_awaited(self, loop):
        """A function around an asynchronous client, without `async`."""

        async def create(prompt):
            await anyio.lowlevel.checkpoint()
            return prompt.upper()

        def ask(prompt):
            return create(prompt)

        llm = FallbackProvider(provider("a")(ask))
        assert loop.run(llm.acall, "why") == "WHY"


class TestEnds:
    """What comes after the terminal item takes nothing away."""

    @pytest.mark.parametrize("policy", ["raise", "restart", "buffer"])
    def test_a_stream_that_breaks_after_its_end_is_whole(self, streams, clock, policy):
        """There was nothing left to lose."""
        a = ScriptedStreams(
            "a", ["whole", "END", down()], clock=clock, terminal=lambda item: item == "END"
        )
        config = FallbackConfig(stream=StreamConfig(policy=policy))
        llm = FallbackProvider(a, ScriptedStreams("b", ["no"]), clock=clock, config=config)
        read = streams.read(llm, "why")
        assert (read.items, read.error) == (["whole", "END"], None)
        assert llm.breaker("a").snapshot().failures == 0
        assert a.closings == [1]

    def test_a_call_that_is_cut_is_late_whatever_its_provider_makes_of_that(self, loop, last_word):
        """An SDK may turn its cancellation into an error of its own."""

        @provider("a")
        async def ask(_):
            try:
                await anyio.sleep_forever()
            except BaseException as cut:
                raise RuntimeError("aborted") from cut

        llm = FallbackProvider(ask, config=FallbackConfig(deadline=0.05))
        with pytest.raises(DeadlineExceeded) as caught:
            loop.run(llm.acall, "why")
        (error,) = caught.value.exceptions
        assert isinstance(error, TimeoutError)
        assert str(error.__cause__) == "aborted"
        assert last_word(llm) == ("expire", "failed")


def test_an_error_at_the_very_instant_of_the_limit_is_the_providers_own(way, clock):
    """The timer has rung as well, and cut nothing."""
    a = ScriptedProvider("a", [Delay(5.0, then=down())], clock=clock)
    llm = FallbackProvider(a, clock=clock, config=FallbackConfig(deadline=5.0))
    failure = way.failure(llm, "why")
    assert isinstance(failure, AllProvidersFailed)
    assert type(failure.exceptions[0]) is ConnectionError


def test_a_stream_keeps_the_log_of_its_chain():
    """The chain is dropped while its stream is read; the breaker's moves are told all the same."""
    from fsm_fallback import AuditLog, BreakerConfig, CountWindow  # noqa: PLC0415

    log = AuditLog()
    breaker = BreakerConfig(window=CountWindow(2), minimum_calls=1)
    made = FallbackProvider(
        ScriptedStreams("a", ["one", down()], clock=ManualClock()),
        audit=log,
        config=FallbackConfig(breaker=breaker),
    )
    stream = made.stream("why")
    del made
    with pytest.raises(ExceptionGroup):
        list(stream)
    assert ("breaker", "open") in [(each["machine"], each["to"]) for each in log.records()]


class TestCallers:
    """Who leaves has left, whatever a provider makes of that."""

    @pytest.mark.parametrize("streams", [False, True], ids=["call", "stream"])
    def test_a_cancellation_turned_into_an_error_stays_one(self, streams, untouched):
        """As some clients do; asyncio forgets a cancellation that was caught."""

        class Converting:
            name = "a"

            async def acall(self, _):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError as cut:
                    raise RuntimeError("aborted") from cut

            async def astream(self, _):
                yield await self.acall(_)

        llm = FallbackProvider(Converting(), ScriptedProvider("b", ["no"]))

        async def main():
            if streams:
                return [item async for item in llm.astream("why")]
            return await llm.acall("why")

        async def cut():
            async with asyncio.timeout(0.02):
                return await main()

        with pytest.raises(TimeoutError):
            asyncio.run(cut())
        assert untouched(llm, "a")

    def test_an_error_made_of_a_cancellation_of_its_own_is_an_error(self, loop):
        """A provider may cut what it does itself."""

        @provider("a")
        async def ask(_):
            cut = None
            with anyio.move_on_after(0.01):
                try:
                    await anyio.sleep_forever()
                except BaseException as cancelled:
                    cut = cancelled
                    raise
            raise RuntimeError("too slow for me") from cut

        llm = FallbackProvider(ask, ScriptedProvider("b", ["one"]))
        answer = loop.run(llm.adetailed, "why")
        assert answer.value == "one"
        assert str(answer.trail[0].error) == "too slow for me"

    def test_a_judge_whose_own_task_is_cancelled_does_not_take_the_answer(self):
        """That is an exception of its own; asyncio alone has such tasks."""

        async def accept(_):
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task

        llm = FallbackProvider(ScriptedProvider("a", ["one"]), accept=accept)
        with pytest.raises(AllProvidersFailed, match="'a' bad_response"):
            asyncio.run(llm.acall("why"))

    def test_a_stream_cancelled_again_while_it_closes_is_closed(self):
        """In a thread; the second cancellation comes before there is one."""
        plain = PlainStreams("a", ["one", "two"])
        llm = FallbackProvider(plain)

        async def main():
            async def read():
                async for _ in llm.astream("why"):
                    await asyncio.sleep(60)

            task = asyncio.create_task(read())
            while not plain.sources or not plain.sources[0].given:  # noqa: ASYNC110  # in a thread
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(main())
        end = time.monotonic() + 5.0
        while plain.closings != [1] and time.monotonic() < end:
            time.sleep(0.005)
        assert plain.closings == [1]

    def test_to_leave_takes_no_longer_than_the_call_may(self, loop):
        """A stream that hangs while it is closed is left to itself."""

        @provider("a")
        async def ask(_):
            try:
                yield "one"
                yield "two"
            finally:
                await anyio.sleep(30)

        llm = FallbackProvider(ask, config=FallbackConfig(deadline=0.1))

        async def main():
            began = time.monotonic()
            async with llm.astream_detailed("why") as stream:
                await anext(stream)
            return time.monotonic() - began

        assert loop.run(main) < 0.9  # not the second that a call without a deadline has
