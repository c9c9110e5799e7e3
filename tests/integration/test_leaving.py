"""The caller leaves a call over the real SDKs: no lease stays out, and nothing is counted."""

import asyncio
import time

import anyio
import pytest
import trio

from fsm_fallback import BreakerState, FallbackProvider, provider
from fsm_fallback.testing import Hang, RateLimited, Status

SOON = 0.2
LEAVING = [KeyboardInterrupt, SystemExit]


def nothing_counted(chain, name="openai"):
    """Whether a breaker looks as if it had never been asked."""
    snapshot = chain.breaker(name).snapshot()
    return (snapshot.state, snapshot.calls, snapshot.in_flight) == (BreakerState.CLOSED, 0, 0)


def last_word(chain):
    """How the last call ended, as the audit tells it."""
    *_, last = (record for record in chain.audit.records() if record["machine"] == "chain")
    return last["trigger"], last["to"]


class TestCancellation:
    """In the middle of a request."""

    @pytest.mark.parametrize("method", ["acall", "adetailed"])
    def test_a_cancelled_task_leaves_nothing_behind(self, async_house, method):
        """The secondary gets no request."""
        house = async_house
        house.openai.script(Hang())
        chain = house.chain()

        async def main():
            async with house.loop.cancelling(getattr(chain, method), "why"):
                await house.journal.await_for(1, provider="openai")
                assert chain.breaker("openai").snapshot().in_flight == 1

        house.loop.run(main)
        assert nothing_counted(chain)
        assert house.requests() == (1, 0)
        assert last_word(chain) == ("abandon", "abandoned")

    def test_a_time_out_around_the_call_is_the_callers(self, async_house):
        """It speaks against nobody: `asyncio.timeout`, or `trio.fail_after`."""
        house = async_house
        house.openai.script(Hang())
        chain = house.chain(clock=time.monotonic)

        async def in_asyncio():
            async with asyncio.timeout(SOON):
                await chain.acall("why")

        async def in_trio():
            with trio.fail_after(SOON):
                await chain.acall("why")

        with pytest.raises((TimeoutError, trio.TooSlowError)):
            house.loop.run({"asyncio": in_asyncio, "trio": in_trio}[house.loop.library])
        assert nothing_counted(chain)
        assert house.journal.count("anthropic") == 0

    @pytest.mark.parametrize("limit", [None, 60.0])
    def test_a_scope_around_the_call_ends_it_quietly(self, async_house, limit):
        """With a timer of our own inside, and without."""
        house = async_house
        house.openai.script(Hang())
        chain = house.chain(clock=time.monotonic, attempt_timeout=limit)

        async def main():
            with anyio.move_on_after(SOON) as scope:
                await chain.acall("why")
            return scope.cancelled_caught

        assert house.loop.run(main)
        assert nothing_counted(chain)
        assert house.journal.count("anthropic") == 0

    def test_a_call_cancelled_at_the_secondary_keeps_what_the_primary_did(self, async_house):
        """One failure there, nothing here."""
        house = async_house
        house.openai.script(Status(503))
        house.anthropic.script(Hang())
        chain = house.chain()

        async def main():
            async with house.loop.cancelling(chain.acall, "why"):
                await house.journal.await_for(1, provider="anthropic")

        house.loop.run(main)
        snapshot = chain.breaker("openai").snapshot()
        assert (snapshot.calls, snapshot.failures, snapshot.in_flight) == (1, 1, 0)
        assert nothing_counted(chain, "anthropic")

    def test_a_cancelled_probe_gives_its_slot_to_the_next_caller(self, async_house, clock):
        """The provider is found well after all."""
        house = async_house
        house.openai.script(RateLimited(retry_after=7), Hang())
        chain = house.chain()

        async def main():
            await chain.acall("why")
            clock.advance_to(7.0)
            async with house.loop.cancelling(chain.acall, "why"):
                await house.journal.await_for(2, provider="openai")
            assert chain.breaker("openai").state is BreakerState.HALF_OPEN
            return await chain.adetailed("why")

        assert house.loop.run(main).provider == "openai"
        assert nothing_counted(chain)

    def test_a_call_over_plain_clients_can_be_cancelled(self, sync_house, loop):
        """The thread is left behind with its request."""
        house = sync_house
        house.openai.script(Hang())
        chain = house.chain()

        async def main():
            try:
                async with loop.cancelling(chain.acall, "why"):
                    await house.journal.await_for(1, provider="openai")
            finally:
                await anyio.to_thread.run_sync(house.openai.release)

        loop.run(main)
        assert nothing_counted(chain)
        assert house.requests() == (1, 0)


class TestInterruption:
    """Ctrl-C and exit, after the request was answered and before the answer was handed over."""

    @pytest.mark.parametrize("leaving", LEAVING)
    def test_it_passes_through_and_leaves_nothing_behind(self, house, leaving):
        """The very object; the secondary gets no request."""
        error = leaving("now")
        ask_gpt = house.ask_gpt()

        def interrupted():
            raise error

        if house.is_async:

            @provider("openai")
            async def ask(prompt):
                await ask_gpt(prompt)
                interrupted()

        else:

            @provider("openai")
            def ask(prompt):
                ask_gpt(prompt)
                interrupted()

        chain = FallbackProvider(ask, house.ask_claude())
        with pytest.raises(leaving) as caught:
            house.ask(chain)
        assert caught.value is error
        assert nothing_counted(chain)
        assert house.requests() == (1, 0)
        assert last_word(chain) == ("abandon", "abandoned")
