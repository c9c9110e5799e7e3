"""A chain as a provider of a chain: one trail, one deadline, failures understood."""

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerConfig,
    BreakerState,
    ConfigurationError,
    DeadlineExceeded,
    FallbackConfig,
    FallbackProvider,
    FaultKind,
    RequestRejected,
    StreamConfig,
    StreamInterrupted,
    StreamReset,
    provider,
)
from fsm_fallback.testing import Delay, Hang, ScriptedProvider
from specs.scripted_streams import FOREVER, Pause, ScriptedStreams
from tests.drivers.reading_streams import StreamWay

K = FaultKind
CHUNK = {
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
}
QUICK = BreakerConfig(minimum_calls=1, jitter=0.0)


class BadRequestError(Exception):
    """As an SDK raises it for a 400 it explains."""

    status_code = 400
    body = {"error": {"type": "invalid_request_error", "message": "wrong", "param": "n"}}  # noqa: RUF012  # as SDKs have it


def down():
    """An outage."""
    return ConnectionError("down")


@pytest.fixture
def nest(clock):
    """A chain named inner of some providers, within a chain of that and others."""

    def made(inside, beside=(), inner=None, **config):
        inner = FallbackProvider(
            *inside,
            clock=clock,
            name="inner",
            config=FallbackConfig(breaker=QUICK, **(inner or {})),
        )
        outer = FallbackProvider(
            inner, *beside, clock=clock, config=FallbackConfig(breaker=QUICK, **config)
        )
        return inner, outer

    return made


@pytest.fixture
def scripted(clock):
    """A scripted provider."""
    return lambda name, *script: ScriptedProvider(name, script, clock=clock)


class TestCalls:
    """What is called, plain or awaited."""

    def test_the_trail_of_the_inner_one_is_in_the_outer_ones(self, way, nest, scripted):
        """One attempt outside, two inside."""
        error = down()
        _, outer = nest([scripted("a", error), scripted("b", "hello")])
        answer = way.detailed(outer, "why")
        assert (answer.value, answer.provider) == ("hello", "inner")
        (attempt,) = answer.trail
        assert [item.provider for item in attempt.trail] == ["a", "b"]
        assert attempt.trail[0].error is error

    def test_an_inner_failure_is_understood(self, way, nest, scripted):
        """As an outage of the chain inside, and another provider is asked."""
        _, outer = nest([scripted("a", down())], [scripted("c", "hello")])
        answer = way.detailed(outer, "why")
        assert answer.value == "hello"
        failed = answer.trail[0]
        assert isinstance(failed.error, AllProvidersFailed)
        assert failed.fault.kind is K.TRANSIENT
        assert [item.provider for item in failed.trail] == ["a"]
        assert outer.breaker("inner").state is BreakerState.OPEN

    def test_a_request_rejected_inside_is_rejected_outside(self, way, nest, scripted):
        """Nobody else is asked, and the inner chain is not blamed."""
        second = scripted("c", "no")
        _, outer = nest([scripted("a", BadRequestError())], [second])
        assert type(way.failure(outer, "why")) is RequestRejected
        assert second.calls == []
        assert outer.breaker("inner").snapshot().failures == 0

    def test_the_outer_deadline_holds_inside(self, way, nest, scripted, clock):
        """The inner chain is told what is left."""
        _, outer = nest(
            [scripted("a", Delay(3.0, down())), scripted("b", Hang()), scripted("c", "no")],
            deadline=10.0,
        )
        failure = way.failure(outer, "why")
        assert type(failure) is DeadlineExceeded
        assert clock() == 10.0

    def test_the_inner_deadline_is_an_inner_failure(self, way, nest, scripted, clock):
        """The outer chain goes on."""
        _, outer = nest(
            [scripted("a", Hang())], [scripted("c", "hello")], {"deadline": 2.0}, deadline=10.0
        )
        assert way.detailed(outer, "why").value == "hello"
        assert clock() == 2.0

    def test_one_that_hangs_inside_is_blamed_inside(self, loop, nest, scripted, clock):
        """The time from outside is kept inside, by who knows whose fault it is."""
        hung, good = scripted("hung", Hang(), Hang()), scripted("good", "one", "two")
        inner, outer = nest([hung, good], [scripted("c", "uno")], attempt_timeout=5.0)
        first = loop.run(outer.adetailed, "why")
        assert (first.value, clock()) == ("uno", 5.0)
        assert [item.provider for item in first.trail[0].trail] == ["hung"]
        assert inner.breaker("hung").state is BreakerState.OPEN
        outer.breaker("inner").reset()
        assert loop.run(outer.acall, "why") == "one"

    def test_an_overflow_inside_goes_on_to_a_larger_one_outside(self, way, nest):
        """A chain takes as much as the largest in it."""

        class TooLongError(Exception):
            status_code = 400

        def overflowing(name, window):
            def ask(_):
                raise TooLongError("context_length_exceeded")

            return provider(name, context_window=window)(ask)

        large = provider("large", context_window=1_000_000)(lambda _: "large")
        inner, outer = nest([overflowing("s", 8_000), overflowing("m", 16_000)], [large])
        assert inner.info.context_window == 16_000
        assert way.detailed(outer, "why").value == "large"

    def test_what_a_person_can_do_is_named_from_inside(self, way, nest):
        """The cause, not that a chain failed; and of the skip of the next call as well."""

        class QuotaError(Exception):
            status_code = 402

        def ask(_):
            raise QuotaError

        _, outer = nest([provider("a")(ask)])
        for words in ("'inner/a' quota", "'inner/a' skipped, open after quota"):
            error = way.failure(outer, "why")
            outer.breaker("inner").reset()
            assert f"{words} (check its credit and billing)" in str(error)

    def test_a_chain_is_called_only_as_all_in_it_can_be(self, clock):
        """A plain call of an inner chain that must be awaited is refused at once."""

        @provider("a")
        async def ask(prompt):
            return "hello"

        outer = FallbackProvider(FallbackProvider(ask, name="inner"))
        assert outer.ways == {"acall"}
        with pytest.raises(ConfigurationError, match="'inner' cannot be called with call"):
            outer.call("why")


class TestAJudgeInside:
    """A chain inside that judges whole answers, and so gives no streams."""

    @pytest.fixture
    def nested(self, scripted):
        """Two chains around one that has `accept`."""
        judging = FallbackProvider(scripted("a", "hello"), name="judging", accept=bool)
        return FallbackProvider(FallbackProvider(judging, name="middle"), scripted("b"))

    def test_the_chains_around_it_can_be_called(self, way, nested):
        """However many there are."""
        assert way.detailed(nested, "why").value == "hello"

    def test_none_of_them_can_be_streamed(self, nested):
        """They say so, and refuse it before anybody is called."""
        assert nested.ways == {"call", "acall"}
        with pytest.raises(ConfigurationError, match="provider 'middle' cannot be called with st"):
            nested.stream("why")

    def test_what_stands_there_can_be_read(self, nested):
        """Of every chain, down to the one that judges."""
        assert "provider 'judging'" in nested.explain()


class TestStreams:
    """What is streamed through two levels."""

    @pytest.fixture
    def scripted(self, clock):
        """A provider of streams."""
        return lambda name, *scripts, **more: ScriptedStreams(name, *scripts, clock=clock, **more)

    def test_items_pass_and_the_trail_is_told(self, streams, nest, scripted):
        """Failed over inside."""
        a, b = scripted("a", ["", down()]), scripted("b", ["one", "two"])
        _, outer = nest([a, b])
        read = streams.read(outer, "why")
        assert read.items == ["one", "two"]
        (attempt,) = read.stream.trail
        assert [item.provider for item in attempt.trail] == ["a", "b"]
        assert (a.closings, b.closings) == ([1], [1])

    def test_a_stream_that_fails_inside_is_failed_over_outside(self, streams, nest, scripted):
        """Nothing had been handed over."""
        _, outer = nest([scripted("a", ["", down()])], [scripted("c", ["hello"])])
        assert streams.read(outer, "why").items == ["hello"]

    def test_an_interruption_inside_interrupts_outside(self, streams, nest, scripted):
        """Each with what had come."""
        _, outer = nest([scripted("a", ["one", down()])], [scripted("c", ["no"])])
        error = streams.read(outer, "why").error
        assert type(error) is StreamInterrupted
        assert error.partial == ("one",)
        assert error.exceptions[0].partial == ("one",)

    def test_an_interruption_inside_is_begun_anew_outside(self, streams, nest, scripted):
        """Where the outer policy is to."""
        _, outer = nest(
            [scripted("a", ["one", down()])],
            [scripted("c", ["uno"])],
            stream=StreamConfig(policy="restart"),
        )
        one, reset, uno = streams.read(outer, "why").items
        assert (one, reset.after, uno) == ("one", "inner", "uno")

    def test_a_restart_inside_passes_its_marker_on_to_who_takes_it(self, streams, nest, scripted):
        """The caller has to know, and what came before is no part of the answer."""
        restart = StreamConfig(policy="restart")
        _, outer = nest(
            [scripted("a", ["one", down()]), scripted("b", ["uno", down()])],
            inner={"stream": restart},
            stream=restart,
        )
        read = streams.read(outer, "why")
        one, reset, uno = read.items
        assert (one, uno) == ("one", "uno")
        assert isinstance(reset, StreamReset)
        assert (reset.provider, reset.after) == ("b", "a")
        assert read.error.partial == ("uno",)

    def test_a_restart_inside_is_a_break_to_who_does_not_take_it(self, streams, nest, scripted):
        """It would not know that the stream begins anew."""
        b = scripted("b", ["uno"])
        _, outer = nest(
            [scripted("a", ["one", down()]), b], inner={"stream": StreamConfig(policy="restart")}
        )
        read = streams.read(outer, "why")
        assert read.items == ["one"]
        assert isinstance(read.error, StreamInterrupted)
        assert "began anew" in str(read.error.exceptions[0])
        assert b.closings == [1]

    def test_a_restart_inside_is_not_seen_by_who_holds_all_back(self, streams, nest, scripted):
        """What came before it is dropped."""
        _, outer = nest(
            [scripted("a", ["one", down()]), scripted("b", ["uno", "due"])],
            inner={"stream": StreamConfig(policy="restart")},
            stream=StreamConfig(policy="buffer"),
        )
        assert streams.read(outer, "why").items == ["uno", "due"]

    @pytest.mark.parametrize(
        ("items", "options"),
        [
            ([CHUNK], {"terminal": None}),
            (["", None], {"terminal": None, "is_output": lambda _: True}),
            (["one", "END"], {"terminal": lambda item: item == "END"}),
        ],
        ids=["no end is wanted", "all is output", "an end of its own"],
    )
    def test_what_a_provider_says_of_its_items_holds_inside(
        self, streams, nest, scripted, items, options
    ):
        """The chain outside takes what the one inside has judged."""
        _, outer = nest([scripted("a", items, **options)])
        read = streams.read(outer, "why")
        assert (read.items, read.error) == (items, None)

    def test_leaving_closes_all_the_way_up(self, streams, nest, scripted, untouched):
        """Once, and nothing is counted at either level."""
        a = scripted("a", ["one", "two"])
        inner, outer = nest([a])
        assert streams.read(outer, "why", most=1).items == ["one"]
        assert a.closings == [1]
        assert untouched(inner, "a")
        assert untouched(outer, "inner")

    def test_the_limit_to_first_output_outside_does_not_cut_the_stream_inside(
        self, loop, nest, scripted, clock
    ):
        """It is over with the first output; the deadline is what is passed on."""
        _, outer = nest(
            [scripted("a", ["one", Pause(7.0), "two"])],
            [scripted("c", ["no"])],
            attempt_timeout=5.0,
            deadline=20.0,
        )
        read = StreamWay(loop).read(outer, "why")
        assert (read.items, read.error) == (["one", "two"], None)

    def test_one_that_is_mute_inside_is_blamed_inside(self, loop, nest, scripted, clock):
        """The limit to first output from outside is kept inside."""
        inner, outer = nest(
            [scripted("a", [Pause(FOREVER)])],
            [scripted("c", ["uno"])],
            stream=StreamConfig(first_output_timeout=5.0),
            deadline=20.0,
        )
        read = StreamWay(loop).read(outer, "why")
        assert (read.items, clock()) == (["uno"], 5.0)
        assert [item.provider for item in read.stream.trail[0].trail] == ["a"]
        assert inner.breaker("a").state is BreakerState.OPEN

    def test_a_steady_stream_that_the_deadline_cuts_speaks_against_nobody(
        self, streams, nest, scripted, clock
    ):
        """It was not quiet: at neither level is anything counted."""
        a = scripted("a", ["one", *[Pause(1.0), "more"] * 20])
        inner, outer = nest([a], deadline=5.5)
        read = streams.read(outer, "why")
        assert isinstance(read.error, StreamInterrupted)
        assert str(read.error).startswith("the deadline passed before the stream of 'inner'")
        for llm, name in ((inner, "a"), (outer, "inner")):
            assert llm.breaker(name).snapshot().failures == 0
        assert [record["trigger"] for record in outer.audit.records()][-1] == "expire"

    def test_what_is_left_of_an_outer_deadline_is_no_fair_time(self, loop, nest, scripted, clock):
        """Half of the whole call would have been."""
        slow = scripted("z", [Pause(8.0), down()])
        inner, _ = nest([scripted("a", [Pause(1.5), "late"])])
        config = FallbackConfig(deadline=9.0, breaker=QUICK)
        around = FallbackProvider(slow, inner, clock=clock, config=config, name="around")
        read = StreamWay(loop).read(around, "why")
        assert isinstance(read.error, DeadlineExceeded)
        assert inner.breaker("a").snapshot().failures == 0
        assert around.breaker("inner").snapshot().failures == 0

    def test_a_limit_between_items_from_outside_is_kept_inside(self, loop, nest, scripted):
        """By who can begin the stream anew, and knows whose silence it is."""
        restart = StreamConfig(policy="restart", idle_timeout=3.0)
        inner, outer = nest(
            [scripted("a", ["one", Pause(FOREVER)]), scripted("b", ["uno", "due"])],
            inner={"stream": StreamConfig(policy="restart")},
            stream=restart,
        )
        read = StreamWay(loop).read(outer, "why")
        assert [item for item in read.items if isinstance(item, str)] == ["one", "uno", "due"]
        assert inner.breaker("a").state is BreakerState.OPEN
        assert outer.breaker("inner").snapshot().failures == 0

    def test_a_limit_between_items_holds_under_buffer_too(self, loop, nest, scripted, clock):
        """Where all is held back, nobody sees the silence."""
        _, outer = nest(
            [scripted("a", ["one", Pause(30.0), "two"])],
            [scripted("c", ["uno"])],
            stream=StreamConfig(policy="buffer", idle_timeout=2.0),
        )
        assert StreamWay(loop).read(outer, "why").items == ["uno"]
        assert clock() == 2.0

    def test_a_stream_whose_terminal_item_came_is_whole_outside_too(
        self, loop, nest, scripted, clock
    ):
        """Whatever follows it, or does not."""
        a = scripted("a", ["one", "END", Pause(30.0)], terminal=lambda item: item == "END")
        _, outer = nest([a], stream=StreamConfig(idle_timeout=2.0), deadline=20.0)
        read = StreamWay(loop).read(outer, "why")
        assert (read.items, read.error) == (["one", "END"], None)
        assert outer.breaker("inner").snapshot().failures == 0

    def test_a_request_at_fault_in_the_middle_of_a_stream_is_so_outside(
        self, streams, nest, scripted
    ):
        """Nobody else is asked."""
        spare = scripted("c", ["no"])
        restart = StreamConfig(policy="restart")
        _, outer = nest(
            [scripted("a", ["one", BadRequestError()])],
            [spare],
            inner={"stream": restart},
            stream=restart,
        )
        read = streams.read(outer, "why")
        assert (read.items, spare.calls) == (["one"], [])
        assert isinstance(read.error, StreamInterrupted)
        assert outer.breaker("inner").snapshot().failures == 0

    @pytest.mark.parametrize("script", [[Pause(FOREVER)], ["one", Pause(FOREVER)]])
    def test_the_outer_deadline_holds_inside(self, loop, nest, scripted, clock, script):
        """Before and after output."""
        a = scripted("a", script)
        inner, outer = nest([a], deadline=10.0)
        read = StreamWay(loop).read(outer, "why")
        assert isinstance(read.error, (DeadlineExceeded, StreamInterrupted))
        assert (clock(), a.closings) == (10.0, [1])
        assert inner.breaker("a").snapshot().in_flight == 0
        assert outer.breaker("inner").snapshot().in_flight == 0


def test_chains_may_lie_forty_deep_in_each_other():
    """What each can do is found out once, when it is made."""
    chain = provider("leaf")(lambda prompt: prompt)
    for depth in range(40):
        chain = FallbackProvider(chain, name=f"chain-{depth}")
    assert chain.call("why") == "why"
    assert chain.ways == {"call", "acall"}
