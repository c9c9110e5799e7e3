"""Streams and time: first output, silence, the deadline; in virtual time, and some in real time."""

import time

import anyio
import anyio.lowlevel
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerState,
    DeadlineExceeded,
    FallbackConfig,
    FallbackProvider,
    FaultKind,
    StreamConfig,
    StreamInterrupted,
    provider,
)
from specs.scripted_streams import FOREVER, Pause, ScriptedStreams
from tests.drivers.reading_streams import StreamWay

K = FaultKind
SOON = 0.1
LATE = 0.05


def down():
    """An outage."""
    return ConnectionError("down")


def told(stream):
    """Provider, kind and duration of each attempt."""
    return [(each.provider, each.fault and each.fault.kind, each.duration) for each in stream.trail]


@pytest.fixture
def streams():
    """The plain way, which nobody cuts in the midst of a step."""
    return StreamWay(None)


@pytest.fixture
def awaited(loop):
    """The awaited way, which is cut."""
    return StreamWay(loop)


class TestFirstOutput:
    """An attempt has so long to its first output."""

    @pytest.mark.parametrize("limit", ["attempt_timeout", "first_output_timeout"])
    @pytest.mark.parametrize("script", [[Pause(FOREVER)], ["", Pause(FOREVER)]])
    def test_one_that_takes_longer_is_cut(self, awaited, stream_chain, clock, limit, script):
        """Items without output do not count."""
        config = {"attempt_timeout": 5.0} if limit == "attempt_timeout" else {}
        stream = {"first_output_timeout": 5.0} if limit != "attempt_timeout" else {}
        llm, (a, _) = stream_chain({"a": [script], "b": [["hello"]]}, stream=stream, **config)
        read = awaited.read(llm, "why")
        assert (read.items, clock()) == (["hello"], 5.0)
        assert told(read.stream) == [("a", K.TIMEOUT, 5.0), ("b", None, 0.0)]
        assert a.closings == [1]
        assert llm.breaker("a").state is BreakerState.OPEN

    def test_its_own_limit_goes_before_that_of_attempts(self, awaited, stream_chain, clock):
        """It may be the longer one."""
        llm, _ = stream_chain(
            {"a": [[Pause(7.0), "one"]], "b": [["no"]]},
            stream={"first_output_timeout": 10.0},
            attempt_timeout=5.0,
        )
        assert awaited.read(llm, "why").items == ["one"]
        assert clock() == 7.0

    def test_it_ends_with_the_first_output(self, awaited, stream_chain, clock):
        """From there on a stream may take its time."""
        llm, _ = stream_chain(
            {"a": [[Pause(4.0), "one", Pause(60.0), "two"]], "b": [["no"]]}, attempt_timeout=5.0
        )
        assert awaited.read(llm, "why").items == ["one", "two"]
        assert clock() == 64.0

    def test_the_last_candidate_is_not_cut_by_it(self, awaited, stream_chain, clock):
        """There is nobody to save time for."""
        llm, _ = stream_chain({"a": [[Pause(50.0), "one"]]}, attempt_timeout=5.0)
        assert awaited.read(llm, "why").items == ["one"]

    def test_all_items_without_output_share_it(self, awaited, stream_chain, clock):
        """It is not begun anew with each."""
        llm, _ = stream_chain(
            {"a": [["", Pause(2.0), "", Pause(2.0), "", Pause(2.0), "one"]], "b": [["hello"]]},
            attempt_timeout=5.0,
        )
        assert awaited.read(llm, "why").items == ["hello"]
        assert clock() == 5.0


class TestSilence:
    """A stream that has spoken may be silent for so long."""

    def test_one_that_is_silent_for_longer_is_cut(self, awaited, stream_chain, clock):
        """It is an interruption, and counts."""
        llm, (a, b) = stream_chain(
            {"a": [["one", Pause(2.0), "two", Pause(FOREVER)]], "b": [["no"]]},
            stream={"idle_timeout": 3.0},
        )
        read = awaited.read(llm, "why")
        assert read.items == ["one", "two"]
        assert type(read.error) is StreamInterrupted
        assert isinstance(read.error.exceptions[0], TimeoutError)
        assert told(read.stream) == [("a", K.TIMEOUT, 5.0)]
        assert (a.closings, b.calls, clock()) == ([1], [], 5.0)
        assert llm.breaker("a").state is BreakerState.OPEN

    def test_the_consumers_time_is_not_its_silence(self, awaited, stream_chain, clock):
        """A timer is set around what is upstream."""
        llm, _ = stream_chain({"a": [["one", "two"]]}, stream={"idle_timeout": 3.0})
        read = awaited.read(llm, "why", between=lambda: clock.advance(60.0))
        assert (read.items, read.error) == (["one", "two"], None)

    def test_a_stream_cut_by_it_is_begun_anew(self, awaited, stream_chain):
        """Where the policy is to."""
        llm, _ = stream_chain(
            {"a": [["one", Pause(FOREVER)]], "b": [["uno"]]},
            stream={"idle_timeout": 3.0, "policy": "restart"},
        )
        one, reset, uno = awaited.read(llm, "why").items
        assert (one, reset.fault.kind, uno) == ("one", K.TIMEOUT, "uno")


class TestDeadlines:
    """The whole call, from its first item asked for to its last one handed over."""

    def test_before_output_it_is_exceeded(self, awaited, stream_chain, clock):
        """As of any call."""
        llm, (a,) = stream_chain({"a": [[Pause(FOREVER)]]}, deadline=10.0)
        read = awaited.read(llm, "why")
        assert type(read.error) is DeadlineExceeded
        assert (clock(), a.closings) == (10.0, [1])

    def test_after_output_it_interrupts(self, awaited, stream_chain, clock):
        """At exactly that instant, and nobody else is asked."""
        llm, (a, b) = stream_chain(
            {"a": [["one", Pause(FOREVER)]], "b": [["no"]]},
            deadline=10.0,
            stream={"policy": "restart"},
        )
        read = awaited.read(llm, "why")
        assert type(read.error) is StreamInterrupted
        assert read.error.partial == ("one",)
        assert (clock(), a.closings, b.calls) == (10.0, [1], [])

    def test_it_begins_with_the_first_item_asked_for(self, awaited, stream_chain, clock):
        """Not when the stream is made."""
        llm, _ = stream_chain({"a": [[Pause(9.0), "one"]]}, deadline=10.0)

        async def main():
            stream = llm.astream("why")
            clock.advance(100.0)
            return [item async for item in stream]

        assert awaited.loop.run(main) == ["one"]

    @pytest.mark.parametrize("plain", [True, False], ids=["plain", "awaited"])
    def test_it_ends_a_stream_whose_items_are_always_there(
        self, awaited, streams, stream_chain, clock, plain
    ):
        """Nothing is awaited that a timer could cut; a slow consumer took the time."""
        llm, (a,) = stream_chain({"a": [["item"] * 100]}, deadline=10.0)
        way = streams if plain else awaited
        read = way.read(llm, "why", between=lambda: clock.advance(3.0))
        assert read.items == ["item"] * 4
        assert type(read.error) is StreamInterrupted
        assert (clock(), a.closings) == (12.0, [1])

    def test_what_the_consumer_took_speaks_against_no_provider(
        self, awaited, stream_chain, clock, untouched
    ):
        """It had a second of ten."""
        llm, _ = stream_chain({"a": [["one", Pause(FOREVER)]]}, deadline=10.0)
        read = awaited.read(llm, "why", between=lambda: clock.advance(9.0))
        assert told(read.stream) == [("a", K.CANCELLED, 10.0)]
        assert untouched(llm, "a")

    def test_a_call_may_set_its_own(self, awaited, stream_chain, clock):
        """As of any call."""
        llm, _ = stream_chain({"a": [["one", Pause(FOREVER)]]}, deadline=10.0)
        assert type(awaited.read(llm.options(deadline=2.0), "why").error) is StreamInterrupted
        assert clock() == 2.0

    def test_a_wait_between_two_attempts_is_part_of_it(self, awaited, stream_chain, clock):
        """Waiting for a breaker, in a stream."""
        llm, (a,) = stream_chain(
            {"a": [down(), ["hello"]]},
            breaker={"open_duration": 5.0},
            deadline=10.0,
            when_all_open="wait",
        )
        awaited.read(llm, "why")
        read = awaited.read(llm, "why")
        assert (read.items, clock()) == (["hello"], 5.0)
        assert len(a.calls) == 2


class TestRealTime:
    """Without a clock of its own, on the wall's time."""

    @pytest.mark.parametrize(
        "script",
        [
            [Pause(FOREVER)],
            ["", Pause(FOREVER)],
            ["one", Pause(FOREVER)],
            ["one", *[Pause(0.01), "more"] * 1_000],
        ],
        ids=["at once", "before output", "after output", "dripping"],
    )
    def test_the_deadline_is_kept(self, loop, script):
        """Within 50 milliseconds, however the stream stalls."""
        a = ScriptedStreams("a", script)
        llm = FallbackProvider(a).options(deadline=SOON)

        async def main():
            began = time.monotonic()
            with pytest.raises((DeadlineExceeded, StreamInterrupted)):
                async for _ in llm.astream("why"):
                    pass
            return time.monotonic() - began

        assert min(loop.run(main) for _ in range(3)) < SOON + LATE
        assert set(a.closings) == {1}

    def test_the_deadline_is_kept_by_a_stream_that_never_waits(self, loop):
        """It gives items without end, and the loop no turn."""

        @provider("a")
        async def flood(prompt):
            while True:
                yield "more"

        llm = FallbackProvider(flood).options(deadline=SOON)

        async def main():
            began = time.monotonic()
            with pytest.raises(StreamInterrupted):
                async for _ in llm.astream("why"):
                    pass
            return time.monotonic() - began

        assert min(loop.run(main) for _ in range(3)) < SOON + LATE

    def test_silence_is_cut(self, loop):
        """By a timer of the loop's."""
        a = ScriptedStreams("a", ["one", Pause(FOREVER)])
        llm = FallbackProvider(a, config=FallbackConfig(stream=StreamConfig(idle_timeout=SOON)))

        async def main():
            async for _ in llm.astream("why"):
                pass

        with pytest.raises(StreamInterrupted):
            loop.run(main)
        assert a.closings == [1]

    def test_a_first_output_that_is_late_is_cut_on_opening(self, loop):
        """A call that has to be awaited, and is long in coming."""

        @provider("a", streams=True)
        async def stuck(prompt):
            await anyio.sleep_forever()

        llm = FallbackProvider(
            stuck,
            ScriptedStreams("b", [ConnectionError("down")]),
            config=FallbackConfig(attempt_timeout=SOON),
        )

        async def main():
            async for _ in llm.astream("why"):
                pass

        with pytest.raises(AllProvidersFailed) as caught:
            loop.run(main)
        assert [type(each) for each in caught.value.exceptions] == [TimeoutError, ConnectionError]
