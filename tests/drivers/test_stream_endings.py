"""How streams end: as they should, cut short, left, cancelled, dropped; and how they are closed.

Upstream is closed once, the lease is settled once, and a close that fails hides nothing.
"""

import asyncio
import contextlib
import gc

import anyio
import anyio.lowlevel
import pytest
import trio

from fsm_fallback import (
    AllProvidersFailed,
    BreakerState,
    FaultKind,
    StreamEmpty,
    StreamInterrupted,
    StreamTruncated,
)
from fsm_fallback.drivers import aupstream
from specs.scripted_streams import FOREVER, AwaitedSource, Gives, Pause, ScriptedStreams

K = FaultKind
SOON = 0.02
DELTA = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}
STOP = {"type": "message_stop"}


def down():
    """An outage."""
    return ConnectionError("down")


class TestEnds:
    """An end is one as it should be, or a failure."""

    def test_an_end_without_output_is_a_failure(self, streams, stream_chain):
        """Nobody can use nothing."""
        llm, (a, _) = stream_chain({"a": [["", ""]], "b": [["hello"]]})
        read = streams.read(llm, "why")
        assert read.items == ["hello"]
        assert isinstance(read.stream.trail[0].error, StreamEmpty)
        assert read.stream.trail[0].fault.kind is K.BAD_RESPONSE
        assert a.closings == [1]

    @pytest.mark.parametrize("terminal", [lambda item: item == "end", "auto", None])
    def test_who_wants_a_terminal_item_is_truncated_without(
        self, streams, stream_chain, clock, terminal
    ):
        """A predicate does; "auto" knows no such item of text; None wants none."""
        mine = ScriptedStreams("a", ["one"], ["one", "end"], clock=clock, terminal=terminal)
        llm, _ = stream_chain({"a": mine}, breaker={"minimum_calls": 5})
        cut, whole = streams.read(llm, "why"), streams.read(llm, "why")
        assert (whole.items, whole.error) == (["one", "end"], None)
        if callable(terminal):
            assert type(cut.error) is StreamInterrupted
            assert isinstance(cut.error.exceptions[0], StreamTruncated)
            assert cut.stream.trail[0].fault.kind is K.STREAM
        else:
            assert (cut.items, cut.error) == (["one"], None)

    @pytest.mark.parametrize(("terminal", "is_whole"), [("auto", False), (None, True)])
    def test_the_items_of_an_sdk_want_its_terminal_event(
        self, streams, stream_chain, clock, terminal, is_whole
    ):
        """Unless the provider passes on part of them only, and says so."""
        mine = ScriptedStreams("a", [DELTA], [DELTA, STOP], clock=clock, terminal=terminal)
        llm, _ = stream_chain({"a": mine}, breaker={"minimum_calls": 5})
        assert (streams.read(llm, "why").error is None) is is_whole
        assert streams.read(llm, "why").error is None

    def test_truncated_before_output_is_failed_over(self, streams, stream_chain, clock):
        """It is a failure like any other."""
        mine = ScriptedStreams("a", [""], clock=clock, terminal=lambda item: item == "end")
        llm, _ = stream_chain({"a": mine, "b": [["hello"]]})
        read = streams.read(llm, "why")
        assert read.items == ["hello"]
        assert isinstance(read.stream.trail[0].error, StreamTruncated)

    @pytest.mark.parametrize("what", ["is_output", "terminal"])
    def test_a_predicate_that_raises_means_yes(self, streams, stream_chain, clock, caplog, what):
        """And is logged, without what it said."""

        def broken(_):
            raise LookupError("secret")

        mine = ScriptedStreams("a", ["", down()], [""], clock=clock, **{what: broken})
        llm, _ = stream_chain({"a": mine}, breaker={"minimum_calls": 5})
        first, second = streams.read(llm, "why"), streams.read(llm, "why")
        if what == "is_output":
            assert (first.items, second.items) == ([""], [""])
            assert second.error is None
        else:
            assert isinstance(second.stream.trail[0].error, StreamEmpty)
        assert f"{what} of provider 'a' raised LookupError" in caplog.text
        assert "secret" not in caplog.text


class TestLeaving:
    """A consumer who has had enough: closed once, nothing counted, ABANDONED in the audit."""

    @pytest.mark.parametrize("policy", ["raise", "restart"])
    def test_leaving_early_counts_nothing(
        self, streams, stream_chain, at_rest, last_word, untouched, policy
    ):
        """And nobody else is asked."""
        llm, (a, b) = stream_chain(
            {"a": [["one", "two"]], "b": [["no"]]}, stream={"policy": policy}
        )
        read = streams.read(llm, "why", most=1)
        assert read.items == ["one"]
        assert (a.closings, b.calls) == ([1], [])
        assert untouched(llm, "a")
        assert at_rest(llm)
        assert last_word(llm) == ("abandon", "abandoned")
        assert not read.stream.is_whole

    def test_leaving_a_buffered_stream_is_leaving_an_answer(self, streams, stream_chain, last_word):
        """It had ended as it should before the first item was handed over."""
        llm, _ = stream_chain({"a": [["one", "two"]]}, stream={"policy": "buffer"})
        assert streams.read(llm, "why", most=1).items == ["one"]
        assert last_word(llm) == ("answer", "succeeded")
        assert llm.breaker("a").snapshot().calls == 1

    def test_reading_all_and_not_the_end_is_leaving(self, streams, stream_chain, last_word):
        """Nobody knows whether the stream was whole."""
        llm, _ = stream_chain({"a": [["one", "two"]]})
        streams.read(llm, "why", most=2)
        assert last_word(llm) == ("abandon", "abandoned")

    def test_a_consumer_who_raises_leaves(self, stream_chain, at_rest, last_word):
        """Its own error is what is seen."""
        llm, (a,) = stream_chain({"a": [["one", "two"]]})

        def read():
            with contextlib.closing(llm.stream("why")) as stream:
                for _ in stream:
                    raise LookupError

        with pytest.raises(LookupError):
            read()
        assert a.closings == [1]
        assert last_word(llm) == ("abandon", "abandoned")
        assert at_rest(llm)

    def test_a_dropped_stream_that_was_never_begun_is_nothing(self, stream_chain, loop):
        """No call, no record, no warning."""
        llm, (a,) = stream_chain({"a": [["one"]]})
        llm.stream("why")

        async def main():
            llm.astream("why")

        loop.run(main)
        gc.collect()
        assert a.calls == []
        assert llm.audit.records() == []

    def test_a_plain_stream_dropped_half_read_is_closed(self, stream_chain, at_rest, untouched):
        """At once, for nothing refers to it."""
        llm, (a,) = stream_chain({"a": [["one", "two"]]})
        assert next(iter(llm.stream("why"))) == "one"
        assert a.closings == [1]
        assert untouched(llm, "a")
        assert at_rest(llm)

    def test_an_awaited_stream_dropped_half_read_is_closed_by_its_loop(
        self, loop, stream_chain, at_rest, untouched, last_word
    ):
        """Asyncio and trio see to generators that were dropped; trio says so."""
        llm, (a,) = stream_chain({"a": [["one", "two"]]})

        async def main():
            stream = llm.astream("why")
            assert await anext(stream) == "one"
            del stream
            gc.collect()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()

        if loop.library == "trio":
            with pytest.warns(ResourceWarning, match="garbage collected"):
                loop.run(main)
        else:
            loop.run(main)
        assert a.closings == [1]
        assert untouched(llm, "a")
        assert at_rest(llm)
        assert last_word(llm) == ("abandon", "abandoned")

    def test_an_interrupt_in_a_provider_passes_through(
        self, stream_chain, at_rest, untouched, last_word
    ):
        """Ctrl-C while a stream is read."""
        llm, (a, b) = stream_chain({"a": [["one", KeyboardInterrupt()]], "b": [["no"]]})
        with pytest.raises(KeyboardInterrupt):
            list(llm.stream("why"))
        assert (a.closings, b.calls) == ([1], [])
        assert untouched(llm, "a")
        assert at_rest(llm)
        assert last_word(llm) == ("abandon", "abandoned")


class TestCancellation:
    """Of whoever reads, by the means of each library."""

    @pytest.mark.parametrize("before", [[], ["one"]], ids=["before output", "after output"])
    @pytest.mark.parametrize("limits", [{}, {"deadline": 600.0, "attempt_timeout": 600.0}])
    def test_a_cancelled_reader_leaves_nothing_behind(
        self, loop, stream_chain, at_rest, untouched, last_word, before, limits
    ):
        """Wherever the stream was."""
        waits = ScriptedStreams("a", [*before, Pause(FOREVER)])
        llm, (a, b) = stream_chain({"a": waits, "b": [["no"]]}, **limits)

        async def read():
            async for _ in llm.astream("why"):
                pass

        async def main():
            async with loop.cancelling(read):
                await anyio.wait_all_tasks_blocked()
                assert llm.breaker("a").snapshot().in_flight == 1

        loop.run(main)
        assert (a.closings, b.calls) == ([1], [])
        assert untouched(llm, "a")
        assert at_rest(llm)
        assert last_word(llm) == ("abandon", "abandoned")

    def test_a_time_out_of_asyncio_around_a_stream_is_the_callers(self, stream_chain, untouched):
        """`asyncio.timeout` cancels the task."""
        llm, (a,) = stream_chain({"a": [["one", Pause(FOREVER)]]})

        async def main():
            async with asyncio.timeout(SOON):
                async for _ in llm.astream("why"):
                    pass

        with pytest.raises(TimeoutError):
            asyncio.run(main())
        assert a.closings == [1]
        assert untouched(llm, "a")

    def test_a_time_out_of_trio_around_a_stream_is_the_callers(self, stream_chain, untouched):
        """`trio.fail_after` cancels the scope."""
        llm, (a,) = stream_chain({"a": [["one", Pause(FOREVER)]]})

        async def main():
            with trio.fail_after(SOON):
                async for _ in llm.astream("why"):
                    pass

        with pytest.raises(trio.TooSlowError):
            trio.run(main)
        assert a.closings == [1]
        assert untouched(llm, "a")

    def test_a_reader_cancelled_between_two_items_closes_as_it_leaves(
        self, loop, stream_chain, at_rest, last_word
    ):
        """The cancellation falls into its own code; `aclosing` closes."""
        llm, (a,) = stream_chain({"a": [["one", "two"]]})

        async def read():
            async with contextlib.aclosing(llm.astream("why")) as stream:
                async for _ in stream:
                    await anyio.sleep_forever()

        async def main():
            async with loop.cancelling(read):
                await anyio.wait_all_tasks_blocked()

        loop.run(main)
        assert a.closings == [1]
        assert at_rest(llm)
        assert last_word(llm) == ("abandon", "abandoned")

    def test_an_awaited_close_runs_to_its_end_though_its_reader_is_cancelled(
        self, loop, stream_chain
    ):
        """It has a moment of its own."""
        closed = []

        class Slow(AwaitedSource):
            async def aclose(self):
                await anyio.sleep(SOON)
                closed.append("yes")

        llm, _ = stream_chain({"a": [Gives(lambda: Slow(["one", Pause(FOREVER)], None))]})

        async def read():
            async for _ in llm.astream("why"):
                pass

        async def main():
            with anyio.move_on_after(SOON):
                await read()

        loop.run(main)
        assert closed == ["yes"]


class TestClosing:
    """A close that raises, hangs or is cancelled hides nothing."""

    def test_one_that_raises_is_logged_and_the_next_is_asked(
        self, streams, stream_chain, clock, caplog
    ):
        """By the type of its error only."""
        a = ScriptedStreams("a", [down()], clock=clock, closing=LookupError("secret"))
        llm, _ = stream_chain({"a": a, "b": [["hello"]]})
        read = streams.read(llm, "why")
        assert (read.items, read.error) == (["hello"], None)
        assert a.closings == [1]
        assert "closing the stream of provider 'a' raised LookupError" in caplog.text
        assert "secret" not in caplog.text

    def test_one_that_raises_hides_no_error_and_no_answer(self, streams, stream_chain, clock):
        """Nor the leaving of a consumer."""
        error = down()
        a = ScriptedStreams(
            "a", ["one", error], ["one"], ["one", "two"], clock=clock, closing=LookupError()
        )
        llm, _ = stream_chain({"a": a}, breaker={"minimum_calls": 5})
        assert [*streams.read(llm, "why").error.exceptions] == [error]
        assert streams.read(llm, "why").error is None
        assert streams.read(llm, "why", most=1).items == ["one"]
        assert a.closings == [1, 1, 1]

    def test_one_that_hangs_is_left_to_itself(self, loop, stream_chain, clock, monkeypatch):
        """After a moment of real time."""
        monkeypatch.setattr(aupstream, "CLOSING_SECONDS", SOON)
        a = ScriptedStreams("a", [down()], clock=clock, closing=Pause(FOREVER))
        llm, _ = stream_chain({"a": a, "b": [["hello"]]})

        async def main():
            return [item async for item in llm.astream("why")]

        assert loop.run(main) == ["hello"]

    def test_one_that_hangs_hides_no_error(self, loop, stream_chain, clock, monkeypatch):
        """The call fails with what it failed with."""
        monkeypatch.setattr(aupstream, "CLOSING_SECONDS", SOON)
        error = down()
        a = ScriptedStreams("a", [error], clock=clock, closing=Pause(FOREVER))
        llm, _ = stream_chain({"a": a})

        async def main():
            async for _ in llm.astream("why"):
                pass

        with pytest.raises(AllProvidersFailed) as caught:
            loop.run(main)
        assert [*caught.value.exceptions] == [error]

    def test_one_cut_by_a_cancellation_cancels(self, stream_chain, at_rest, last_word):
        """Asyncio's `Task.cancel` knows no shield: it arrives, and nothing stays out."""
        closing = []

        class Slow(AwaitedSource):
            async def aclose(self):
                closing.append("begun")
                await anyio.sleep_forever()

        llm, (_, b) = stream_chain({"a": [Gives(lambda: Slow([down()], None))], "b": [["no"]]})

        async def read():
            async for _ in llm.astream("why"):
                pass

        async def main():
            task = asyncio.create_task(read())
            await anyio.wait_all_tasks_blocked()
            assert closing == ["begun"]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert b.calls == []
        assert at_rest(llm)
        assert last_word(llm) == ("abandon", "abandoned")
        assert llm.breaker("a").state is BreakerState.OPEN
