"""The caller leaves: cancellation, Ctrl-C, exit. Nothing is counted, nothing stays out."""

import asyncio
import gc
import signal
import threading

import anyio
import anyio.lowlevel
import pytest
import trio

from fsm_fallback import BreakerState, FallbackConfig, FallbackProvider, provider
from fsm_fallback.testing import Hang, ScriptedProvider

SOON = 0.02
TURNS = 1_000
LEAVING = [KeyboardInterrupt, SystemExit]


def down():
    """An outage."""
    return ConnectionError("down")


def untouched(llm, name):
    """Whether a breaker looks as if it had never been asked."""
    snapshot = llm.breaker(name).snapshot()
    return (snapshot.state, snapshot.calls, snapshot.in_flight) == (BreakerState.CLOSED, 0, 0)


def last_word(llm):
    """How the last call ended, as the audit tells it."""
    *_, last = (record for record in llm.audit.records() if record["machine"] == "chain")
    return last["trigger"], last["to"]


async def until(reached):
    """Let the other tasks run until something is so."""
    for _ in range(TURNS):
        if reached():
            return
        await anyio.lowlevel.checkpoint()
    raise AssertionError(f"not reached in {TURNS} turns of the loop")


async def reach(scripted, calls=1):
    """Let the other tasks run until a provider has been called."""
    await until(lambda: len(scripted.calls) >= calls)


class TestCancellation:
    """Of the task, of a scope around it, by a time-out of the caller's.

    Each library cancels in its own way: asyncio a task, trio a scope.
    """

    @pytest.mark.parametrize("limits", [{}, {"attempt_timeout": 600.0}, {"deadline": 600.0}])
    @pytest.mark.parametrize("method", ["acall", "adetailed"])
    def test_a_cancelled_task_leaves_nothing_behind(self, loop, limits, method):
        """The second provider is not asked, and the cancellation arrives."""
        asked = []

        @provider("a")
        async def stuck(prompt):
            asked.append(prompt)
            await anyio.sleep_forever()

        second = ScriptedProvider("b", ["no"])
        llm = FallbackProvider(stuck, second, config=FallbackConfig(**limits))

        async def main():
            async with loop.cancelling(getattr(llm, method), "why"):
                await until(lambda: asked)
                assert llm.breaker("a").snapshot().in_flight == 1

        loop.run(main)
        assert untouched(llm, "a")
        assert second.calls == []
        assert last_word(llm) == ("abandon", "abandoned")

    def test_a_time_out_of_the_callers_is_theirs(self, loop, chain):
        """It is raised as such, and speaks against nobody."""
        llm, (_, second) = chain({"a": [Hang()], "b": ["no"]})

        async def main():
            with anyio.fail_after(SOON):
                await llm.acall("why")

        with pytest.raises(TimeoutError):
            loop.run(main)
        assert untouched(llm, "a")
        assert second.calls == []

    def test_a_time_out_of_asyncio_is_the_callers(self, chain):
        """`asyncio.timeout` cancels the task."""
        llm, (_, second) = chain({"a": [Hang()], "b": ["no"]})

        async def main():
            async with asyncio.timeout(SOON):
                await llm.acall("why")

        with pytest.raises(TimeoutError):
            asyncio.run(main())
        assert untouched(llm, "a")
        assert second.calls == []
        assert last_word(llm) == ("abandon", "abandoned")

    def test_a_time_out_of_trio_is_the_callers(self, chain):
        """`trio.fail_after` cancels the scope; its error is no `TimeoutError`."""
        llm, (_, second) = chain({"a": [Hang()], "b": ["no"]})

        async def main():
            with trio.fail_after(SOON):
                await llm.acall("why")

        with pytest.raises(trio.TooSlowError):
            trio.run(main)
        assert untouched(llm, "a")
        assert second.calls == []
        assert last_word(llm) == ("abandon", "abandoned")

    def test_a_scope_around_a_call_ends_it_quietly(self, loop, chain):
        """As anyio has it."""
        llm, (_, second) = chain({"a": [Hang()], "b": ["no"]})

        async def main():
            with anyio.move_on_after(SOON) as scope:
                await llm.acall("why")
            return scope.cancelled_caught

        assert loop.run(main)
        assert untouched(llm, "a")
        assert second.calls == []

    def test_a_task_group_of_asyncio_that_fails_cancels_the_call(self, chain):
        """The other task's error is what is raised."""
        llm, (first,) = chain({"a": [Hang()]})

        async def fail_later():
            await reach(first)
            raise LookupError

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(llm.acall("why"))
                group.create_task(fail_later())

        with pytest.raises(ExceptionGroup) as caught:
            asyncio.run(main())
        assert [type(member) for member in caught.value.exceptions] == [LookupError]
        assert untouched(llm, "a")
        assert last_word(llm) == ("abandon", "abandoned")

    def test_a_nursery_of_trio_that_fails_cancels_the_call(self, chain):
        """The other task's error is what is raised."""
        llm, (first,) = chain({"a": [Hang()]})

        async def main():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(llm.acall, "why")
                await reach(first)
                raise LookupError

        with pytest.raises(ExceptionGroup) as caught:
            trio.run(main)
        assert [type(member) for member in caught.value.exceptions] == [LookupError]
        assert untouched(llm, "a")
        assert last_word(llm) == ("abandon", "abandoned")

    def test_what_failed_before_stays_counted(self, loop, chain):
        """The first provider did fail; the second did nothing."""
        llm, (_, second) = chain({"a": [down()], "b": [Hang()]})

        async def main():
            async with loop.cancelling(llm.acall, "why"):
                await reach(second)

        loop.run(main)
        assert llm.breaker("a").state is BreakerState.OPEN
        assert untouched(llm, "b")

    def test_a_cancelled_probe_gives_its_slot_to_the_next_caller(self, loop, chain, clock):
        """The round goes on, and can be healed."""
        llm, (first,) = chain({"a": [down(), Hang(), "back"]})

        async def main():
            with pytest.raises(ExceptionGroup):
                await llm.acall("why")
            clock.advance(30.0)
            async with loop.cancelling(llm.acall, "why"):
                await reach(first, 2)
            assert llm.breaker("a").state is BreakerState.HALF_OPEN
            return await llm.acall("why")

        assert loop.run(main) == "back"
        assert llm.breaker("a").state is BreakerState.CLOSED

    def test_a_provider_that_makes_an_error_of_a_cancellation_hides_none(self, loop, untouched):
        """The caller has left: nobody else is asked, and nothing is counted."""

        @provider("a")
        async def stubborn(prompt):
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                raise down() from None

        second = ScriptedProvider("b", ["no"])
        llm = FallbackProvider(stubborn, second)

        async def call():
            answers.append(await llm.acall("why"))

        async def main():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()

        answers = []
        loop.run(main)
        assert (answers, second.calls) == ([], [])
        assert untouched(llm, "a")

    def test_a_call_cancelled_in_a_thread_leaves_nothing_behind(self, loop):
        """The thread runs on; nobody waits for it, and its end is not counted."""
        started, release, done = threading.Event(), threading.Event(), threading.Event()

        @provider("a")
        def stuck(prompt):
            started.set()
            release.wait(10.0)
            done.set()

        llm = FallbackProvider(stuck)

        async def main():
            try:
                async with loop.cancelling(llm.acall, "why"):
                    await anyio.to_thread.run_sync(started.wait, 10.0)
            finally:
                release.set()

        loop.run(main)
        assert done.wait(10.0)
        assert untouched(llm, "a")

    def test_a_call_that_is_dropped_halfway_leaves_nothing_behind(self, loop):
        """Its coroutine is closed, as when a loop goes down with it."""

        @provider("a")
        async def stuck(prompt):
            await anyio.sleep_forever()

        second = ScriptedProvider("b", ["no"])
        llm = FallbackProvider(stuck, second)

        async def main():
            call = llm.acall("why")
            call.send(None)
            assert llm.breaker("a").snapshot().in_flight == 1
            call.close()

        loop.run(main)
        assert untouched(llm, "a")
        assert second.calls == []
        assert last_word(llm) == ("abandon", "abandoned")

    def test_a_hundred_calls_cancelled_at_once_leave_nothing_behind(self, loop, chain):
        """However many are on their way."""
        llm, (first,) = chain({"a": [Hang()] * 100})

        async def main():
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(llm.acall, "why")
                await reach(first, 100)
                assert llm.breaker("a").snapshot().in_flight == 100
                tasks.cancel_scope.cancel()

        loop.run(main)
        assert untouched(llm, "a")


class TestLeaving:
    """Ctrl-C and exit pass through untouched."""

    @pytest.mark.parametrize("leaving", LEAVING)
    @pytest.mark.parametrize("limits", [{}, {"deadline": 600.0}])
    def test_they_pass_through_and_count_nothing(self, way, chain, leaving, limits):
        """The very object, and the second provider is not asked."""
        error = leaving("now")
        llm, (_, second) = chain({"a": [error], "b": ["no"]}, **limits)
        with pytest.raises(leaving) as caught:
            way.detailed(llm, "why")
        assert caught.value is error
        assert untouched(llm, "a")
        assert second.calls == []
        assert last_word(llm) == ("abandon", "abandoned")

    @pytest.fixture
    def _interruptible(self):
        """Ctrl-C raises, even where the tests run in the background."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.parametrize("limits", [{}, {"deadline": 600.0}])
    @pytest.mark.usefixtures("_interruptible")
    def test_ctrl_c_in_a_loop_counts_nothing(self, loop, limits):
        """Asyncio cancels the task, trio raises in it; out of the loop it is Ctrl-C in both."""

        @provider("a")
        async def interrupted(prompt):
            signal.raise_signal(signal.SIGINT)
            await anyio.sleep_forever()

        second = ScriptedProvider("b", ["no"])
        llm = FallbackProvider(interrupted, second, config=FallbackConfig(**limits))
        with pytest.raises(KeyboardInterrupt):
            loop.run(llm.acall, "why")
        assert untouched(llm, "a")
        assert second.calls == []
        assert last_word(llm) == ("abandon", "abandoned")

    @pytest.mark.parametrize("leaving", LEAVING)
    def test_they_pass_through_a_straight_call(self, chain, leaving):
        """The healthy path is none without its exits."""
        llm, (_, second) = chain({"a": [leaving()], "b": ["no"]})
        with pytest.raises(leaving):
            llm.call("why")
        assert untouched(llm, "a")
        assert second.calls == []
        assert last_word(llm) == ("abandon", "abandoned")

    @pytest.mark.parametrize("leaving", LEAVING)
    def test_they_pass_through_a_classifier_and_leave_no_lease(self, leaving):
        """Ctrl-C falls where it falls; what it leaves is released by the next operation."""

        def classify(_):
            raise leaving

        llm = FallbackProvider(ScriptedProvider("a", [ConnectionError, "back"], classify=classify))
        with pytest.raises(leaving):
            llm.call("why")
        gc.collect()
        assert llm.call("why") == "back"
        snapshot = llm.breaker("a").snapshot()
        assert (snapshot.calls, snapshot.failures, snapshot.in_flight) == (1, 0, 0)

    def test_a_chain_serves_on_afterwards(self, way, chain):
        """One who left is no outage."""
        llm, _ = chain({"a": [KeyboardInterrupt(), "hello"], "b": ["no"]})
        with pytest.raises(KeyboardInterrupt):
            way.detailed(llm, "why")
        assert way.detailed(llm, "why").provider == "a"
