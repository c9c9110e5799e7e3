"""Scenario 19: the consumer has had enough. Upstream is closed, and nothing speaks against it.

The streams stall where they are left, so that none of them can have been sent whole.
"""

import functools

import anyio
import pytest

from fsm_fallback import BreakerConfig, BreakerState, FaultKind, StreamConfig
from fsm_fallback.testing import Hang, Reply, Stall, Status, StreamCut
from tests.scenarios.stage import TEXTS, aread, pieces_of, told

K = FaultKind


def is_untouched(chain, name="first"):
    """Whether a breaker looks as if it had never been asked."""
    snapshot = chain.breaker(name).snapshot()
    return (snapshot.state, snapshot.calls, snapshot.in_flight) == (BreakerState.CLOSED, 0, 0)


def last_word(chain):
    """How the last call ended, as the audit tells it."""
    *_, last = (record for record in chain.audit.records() if record["machine"] == "chain")
    return last["trigger"], last["to"]


class TestAStream:
    """Left after its second word."""

    def test_upstream_is_closed_and_the_breaker_untouched(self, streaming):
        """The journal calls it left; nobody else is asked."""
        stage = streaming
        stage.first.script(Stall(2))
        chain = stage.chain(streams=True)
        seen = stage.read(chain, take=2)
        assert (seen.error, seen.pieces) == (None, ["one", " two"])
        assert stage.ends() == [("left", 2)]
        assert stage.requests() == (1, 0)
        assert is_untouched(chain)
        assert last_word(chain) == ("abandon", "abandoned")
        assert (seen.stream.is_whole, seen.stream.trail) == (False, ())

    def test_the_generator_may_be_left_as_well(self, streaming):
        """By `close` and `aclose`."""
        stage = streaming
        stage.first.script(Stall(1))
        chain = stage.chain(streams=True)

        async def main():
            items = chain.astream("why")
            while not pieces_of([await anext(items)]):
                pass
            await items.aclose()

        if stage.is_async:
            stage.run(main)
        else:
            items = chain.stream("why")
            while not pieces_of([next(items)]):
                pass
            items.close()
        assert stage.ends() == [("left", 1)]
        assert is_untouched(chain)

    def test_an_exception_of_the_consumer_leaves_too(self, streaming):
        """It passes through as it is."""
        stage = streaming
        stage.first.script(Stall(1))
        chain = stage.chain(streams=True)

        async def amain():
            async with chain.astream_detailed("why") as stream:
                async for item in stream:
                    if pieces_of([item]):
                        raise ZeroDivisionError

        def main():
            with chain.stream_detailed("why") as stream:
                for item in stream:
                    if pieces_of([item]):
                        raise ZeroDivisionError

        run = functools.partial(stage.run, amain) if stage.is_async else main
        with pytest.raises(ZeroDivisionError):
            run()
        assert stage.ends() == [("left", 1)]
        assert is_untouched(chain)

    def test_one_that_is_never_begun_asks_nobody(self, streaming):
        """No request, no lease."""
        stage = streaming
        chain = stage.chain(streams=True)

        async def main():
            await chain.astream_detailed("why").aclose()

        if stage.is_async:
            stage.run(main)
        else:
            chain.stream_detailed("why").close()
        assert stage.requests() == (0, 0)
        assert is_untouched(chain)

    def test_the_next_stream_of_the_same_client_is_whole(self, streaming):
        """The connection that was closed is not used again."""
        stage = streaming
        stage.first.script(Stall(2))
        chain = stage.chain(streams=True)

        async def main():
            await aread(chain, take=2)
            return await aread(chain)

        if stage.is_async:
            seen = stage.run(main)
        else:
            stage.read(chain, take=2)
            seen = stage.read(chain)
        assert seen.text == TEXTS["first"]
        assert stage.ends() == [("left", 2), ("sent", 4)]

    def test_after_a_restart_the_second_is_left(self, streaming):
        """The first has failed, and keeps its failure."""
        stage = streaming
        stage.first.script(StreamCut(2))
        stage.second.script(Stall(2))
        chain = stage.chain(streams=True, stream=StreamConfig(policy="restart"))
        seen = stage.read(chain, take=5)  # two words, the reset, two words
        assert told(seen.stream.trail) == [("first", K.STREAM)]
        assert stage.ends() + stage.ends("second") == [("cut", 2), ("left", 2)]
        assert chain.breaker("first").snapshot().failures == 1
        assert is_untouched(chain, "second")

    def test_a_probe_that_is_left_gives_its_slot_back(self, streaming):
        """The next call probes, and finds the provider well."""
        stage = streaming
        stage.first.script(Status(503), Stall(1), Reply())
        chain = stage.chain(streams=True, breaker=BreakerConfig(minimum_calls=1, jitter=0.0))
        stage.read(chain)
        stage.clock.advance_to(30.0)
        stage.read(chain, take=1)
        snapshot = chain.breaker("first").snapshot()
        assert (snapshot.state, snapshot.in_flight) == (BreakerState.HALF_OPEN, 0)
        assert stage.read(chain).stream.provider == "first"
        assert chain.breaker("first").state is BreakerState.CLOSED
        assert stage.ends() == [("sent", 0), ("left", 1), ("sent", 4)]


class TestACancelledTask:
    """Left from outside, where it waits."""

    @pytest.mark.parametrize("step", [Stall(0), Stall(2), Hang()], ids=str)
    @pytest.mark.parametrize("policy", ["raise", "buffer"])
    def test_upstream_is_closed_wherever_it_stands(self, awaited, step, policy):
        """Before the head, before output, after it; held back or handed over."""
        stage = awaited
        stage.first.script(step)
        chain = stage.chain(streams=True, stream=StreamConfig(policy=policy))
        pieces = getattr(step, "after", 0)

        async def main():
            async with stage.loop.cancelling(aread, chain):
                await stage.journal.await_for(1)
                while stage.journal.entries[0].pieces < pieces:  # noqa: ASYNC110  # a journal rings no bell
                    await anyio.sleep(0.002)
                await anyio.sleep(0.01)  # for the reader to take what was sent

        stage.run(main)
        assert stage.ends() == [("left", pieces)]
        assert stage.requests() == (1, 0)
        assert is_untouched(chain)
        assert last_word(chain) == ("abandon", "abandoned")
