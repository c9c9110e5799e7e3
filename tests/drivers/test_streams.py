"""What of a stream is handed over, and when: in order, once, and nothing of a failed attempt."""

from contextlib import asynccontextmanager, contextmanager

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerState,
    ConfigurationError,
    FallbackProvider,
    FaultKind,
    StreamInterrupted,
    StreamReset,
    provider,
)
from specs.scripted_streams import Gives, ScriptedStreams

K = FaultKind
EMPTY = ""


def down():
    """An outage."""
    return ConnectionError("down")


def told(stream):
    """Provider and kind of each attempt."""
    return [(item.provider, item.fault and item.fault.kind) for item in stream.trail]


class TestHandingOver:
    """Until the first output another provider takes over without a trace."""

    def test_items_come_in_order_and_each_once(self, streams, stream_chain):
        """Those without output, too, once there is output."""
        llm, (a, b) = stream_chain({"a": [[EMPTY, "one", EMPTY, "two"]], "b": [["no"]]})
        read = streams.read(llm, "why", tone="dry")
        assert (read.items, read.error) == ([EMPTY, "one", EMPTY, "two"], None)
        assert read.stream.provider == "a"
        assert read.stream.is_whole
        assert told(read.stream) == [("a", None)]
        assert a.calls == [(("why",), {"tone": "dry"})]
        assert b.calls == []
        assert a.closings == [1]

    def test_nothing_of_a_failed_attempt_is_handed_over(self, streams, stream_chain):
        """It gave items, but no output."""
        error = down()
        llm, (a, b) = stream_chain({"a": [[EMPTY, EMPTY, error]], "b": [["hello"]]})
        read = streams.read(llm, "why")
        assert read.items == ["hello"]
        assert told(read.stream) == [("a", K.STREAM), ("b", None)]
        assert read.stream.trail[0].error is error
        assert (a.closings, b.closings) == ([1], [1])
        assert llm.breaker("a").state is BreakerState.OPEN

    @pytest.mark.parametrize("script", [down(), [down()], []], ids=["open", "first", "empty"])
    def test_a_stream_that_fails_before_output_is_failed_over(self, streams, stream_chain, script):
        """On opening, at its first item, or by giving none."""
        llm, _ = stream_chain({"a": [script], "b": [["hello"]]})
        assert streams.read(llm, "why").items == ["hello"]

    def test_nothing_is_called_before_the_first_item_is_asked_for(self, streams, stream_chain):
        """A stream that nobody reads is none."""
        llm, (a,) = stream_chain({"a": [["one"]]})
        assert streams.read(llm, "why", most=0).items == []
        assert a.calls == []
        assert llm.audit.records() == []

    def test_a_stream_refused_by_its_breaker_is_skipped(self, streams, stream_chain):
        """And not opened."""
        llm, (a, _) = stream_chain({"a": [["no"]], "b": [["hello"]]})
        llm.breaker("a").force_open()
        read = streams.read(llm, "why")
        assert read.items == ["hello"]
        assert a.calls == []

    def test_all_that_fail_raise_every_error_in_order(self, streams, stream_chain):
        """The very objects."""
        errors = [down(), down()]
        llm, _ = stream_chain({"a": [[EMPTY, errors[0]]], "b": [errors[1]]})
        read = streams.read(llm, "why")
        assert type(read.error) is AllProvidersFailed
        assert [*read.error.exceptions] == errors
        assert read.items == []

    def test_an_error_of_the_strategy_is_told(self, streams, clock):
        """It is the caller's to see, before anything was called."""

        class Nobody:
            def order(self, candidates, options, now, sample):
                return ()

        llm = FallbackProvider(ScriptedStreams("a", ["no"]), strategy=Nobody(), clock=clock)
        assert type(streams.read(llm, "why").error) is ConfigurationError


class TestHoldingBack:
    """So much is held back at most."""

    def test_many_items_without_output_are_handed_over(self, streams, stream_chain):
        """At the bound itself; what fails then is an interruption."""
        llm, _ = stream_chain(
            {"a": [[EMPTY, EMPTY, EMPTY, down()]], "b": [["no"]]}, stream={"buffer_items": 3}
        )
        read = streams.read(llm, "why")
        assert read.items == [EMPTY] * 3
        assert type(read.error) is StreamInterrupted

    def test_one_item_less_is_held_back(self, streams, stream_chain):
        """So another provider may take over."""
        llm, _ = stream_chain(
            {"a": [[EMPTY, EMPTY, down()]], "b": [["hello"]]}, stream={"buffer_items": 3}
        )
        assert streams.read(llm, "why").items == ["hello"]

    def test_large_items_are_handed_over_by_their_size(self, streams, stream_chain, clock):
        """Whether they are output or not."""
        mute = ScriptedStreams(
            "a", ["x" * 60, "y" * 40, down()], clock=clock, is_output=lambda _: False
        )
        llm, _ = stream_chain({"a": mute, "b": [["no"]]}, stream={"buffer_bytes": 100})
        read = streams.read(llm, "why")
        assert read.items == ["x" * 60, "y" * 40]
        assert type(read.error) is StreamInterrupted

    def test_an_item_that_cannot_be_looked_at_is_output(self, streams, stream_chain):
        """Whatever it raises when it is asked."""

        class Hostile:
            def __getattr__(self, name):
                raise ValueError(name)

            def __bool__(self):
                raise ValueError

            def __repr__(self):
                raise ValueError

        item = Hostile()
        llm, _ = stream_chain({"a": [[item]]})
        (seen,) = streams.read(llm, "why").items
        assert seen is item


class TestPolicies:
    """What becomes of a stream that breaks after output was handed over."""

    def test_raise_interrupts_and_has_what_had_come(self, streams, stream_chain):
        """Nobody else is asked."""
        error = down()
        llm, (a, b) = stream_chain({"a": [["one", "two", error]], "b": [["no"]]})
        read = streams.read(llm, "why")
        assert read.items == ["one", "two"]
        assert type(read.error) is StreamInterrupted
        assert read.error.partial == ("one", "two")
        assert [*read.error.exceptions] == [error]
        assert (a.closings, b.calls) == ([1], [])
        assert llm.breaker("a").state is BreakerState.OPEN

    def test_restart_says_so_and_begins_anew(self, streams, stream_chain):
        """With a marker between the two."""
        llm, (a, b) = stream_chain(
            {"a": [["one", down()]], "b": [[EMPTY, "uno"]]}, stream={"policy": "restart"}
        )
        read = streams.read(llm, "why")
        first, reset, *rest = read.items
        assert (first, rest) == ("one", [EMPTY, "uno"])
        assert isinstance(reset, StreamReset)
        assert (reset.provider, reset.after, reset.fault.kind) == ("b", "a", K.STREAM)
        assert read.stream.provider == "b"
        assert (a.closings, b.closings) == ([1], [1])

    def test_restart_gives_no_marker_before_there_is_output(self, streams, stream_chain):
        """The one between them failed unseen."""
        llm, _ = stream_chain(
            {"a": [["one", down()]], "b": [[EMPTY, down()]], "c": [["uno"]]},
            stream={"policy": "restart"},
        )
        one, reset, uno = streams.read(llm, "why").items
        assert (one, uno) == ("one", "uno")
        assert (reset.provider, reset.after) == ("c", "a")

    def test_restart_with_nobody_left_interrupts(self, streams, stream_chain):
        """The partial is of the stream that was seen last."""
        llm, _ = stream_chain(
            {"a": [["one", down()]], "b": [["uno", "dos", down()]], "c": [[EMPTY, down()]]},
            stream={"policy": "restart"},
        )
        read = streams.read(llm, "why")
        assert type(read.error) is StreamInterrupted
        assert read.error.partial == ("uno", "dos")
        assert [type(each) for each in read.items] == [str, StreamReset, str, str]

    def test_buffer_hands_over_nothing_of_a_stream_that_breaks(self, streams, stream_chain):
        """However much of it had come."""
        llm, _ = stream_chain(
            {"a": [["one"] * 100 + [down()]], "b": [["uno", "dos"]]}, stream={"policy": "buffer"}
        )
        read = streams.read(llm, "why")
        assert (read.items, read.error) == (["uno", "dos"], None)
        assert read.stream.is_whole

    def test_buffer_with_nobody_left_fails(self, streams, stream_chain):
        """It is no interruption: nothing had been handed over."""
        llm, _ = stream_chain({"a": [["one", down()]]}, stream={"policy": "buffer"})
        read = streams.read(llm, "why")
        assert type(read.error) is AllProvidersFailed
        assert read.items == []


class Bare:
    """An async iterator, and no more."""

    def __init__(self, items):
        self.items = items

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self.items)
        except StopIteration:
            raise StopAsyncIteration from None


class ContextManaged:
    """A context manager whose stream has nothing to close it by."""

    def __init__(self, items):
        self.items = items
        self.entered = self.left = 0

    def __enter__(self):
        self.entered += 1
        return iter(self.items)

    def __exit__(self, *_):
        self.left += 1

    async def __aenter__(self):
        self.entered += 1
        return Bare(iter(self.items))

    async def __aexit__(self, *_):
        self.left += 1


class TestKindsOfStreams:
    """An iterator, an iterable, or a context manager of one."""

    @pytest.fixture
    def giving(self, stream_chain, clock):
        """A chain whose first provider gives something, and whose second says hello."""

        def made(value):
            return stream_chain({"a": [Gives(value)], "b": [["hello"]]})[0]

        return made

    def test_a_context_manager_is_entered_and_left_once(self, streams, giving):
        """As the SDKs' stream helpers want it."""
        manager = ContextManaged(["one", "two"])
        read = streams.read(giving(lambda: manager), "why")
        assert (read.items, read.error) == (["one", "two"], None)
        assert (manager.entered, manager.left) == (1, 1)

    def test_a_context_manager_is_left_by_a_consumer_who_leaves(self, streams, giving):
        """Once, too."""
        manager = ContextManaged(["one", "two"])
        assert streams.read(giving(lambda: manager), "why", most=1).items == ["one"]
        assert (manager.entered, manager.left) == (1, 1)

    def test_context_managers_made_of_generators_are_left(self, streams, giving):
        """Those of `contextlib`."""
        left = []

        async def each():
            yield "one"

        @contextmanager
        def plain():
            yield ["one"]
            left.append("plain")

        @asynccontextmanager
        async def awaited():
            yield each()
            left.append("awaited")

        kind = awaited if streams.loop else plain
        assert streams.read(giving(kind), "why").items == ["one"]
        assert left == [kind.__name__]

    def test_a_context_manager_that_cannot_be_entered_is_not_left(self, streams, giving):
        """It failed on opening."""

        class Closed(ContextManaged):
            def __enter__(self):
                raise down()

            async def __aenter__(self):
                raise down()

        manager = Closed([])
        assert streams.read(giving(lambda: manager), "why").items == ["hello"]
        assert manager.left == 0

    def test_an_iterable_is_read(self, plain_or_loop, streams, giving):
        """A list is as good a stream as any, where it is not awaited."""
        if plain_or_loop is None:
            assert streams.read(giving(lambda: ["one", "two"]), "why").items == ["one", "two"]
        else:
            read = streams.read(giving(lambda: ["one", "two"]), "why")
            assert read.items == ["hello"]
            assert read.stream.trail[0].fault.kind is K.BAD_RESPONSE

    @pytest.mark.parametrize(
        "value", [lambda: None, lambda: 7, object], ids=["none", "7", "object"]
    )
    def test_what_is_no_stream_is_a_bad_response(self, streams, giving, value):
        """Another provider is asked."""
        read = streams.read(giving(value), "why")
        assert read.items == ["hello"]
        assert told(read.stream) == [("a", K.BAD_RESPONSE), ("b", None)]

    def test_a_stream_of_the_other_kind_is_a_bad_response(self, streams, giving):
        """A coroutine is closed, so that nobody complains of it."""

        async def items():
            yield "no"

        async def answer():
            return 7

        for value in (items, answer) if streams.loop is None else (lambda: iter("no"), answer):
            read = streams.read(giving(value), "why")
            assert read.items == ["hello"]
            assert told(read.stream)[0] == ("a", K.BAD_RESPONSE)

    def test_a_call_that_has_to_be_awaited_gives_its_stream(self, loop, clock):
        """As the async SDKs have it."""

        @provider("a", streams=True)
        async def ask(prompt):
            return ScriptedStreams("x", ["one"], clock=clock).astream()

        async def main():
            return [item async for item in FallbackProvider(ask).astream("why")]

        assert loop.run(main) == ["one"]
