"""A stream breaks: before its first output nobody sees it, after it the policy decides."""

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    FaultKind,
    RetryConfig,
    StreamConfig,
    StreamEmpty,
    StreamInterrupted,
    StreamReset,
    StreamTruncated,
)
from fsm_fallback.testing import (
    EmptyStream,
    ErrorIn200,
    MalformedChunk,
    NoDone,
    NoEnd,
    StreamCut,
    StreamError,
)
from tests.scenarios.stage import RESET, TEXTS, told

K = FaultKind
ONE = ["one", " two", " three", " four"]
OTHER = ["five", " six", " seven", " eight", " nine", " ten"]
RESTART = StreamConfig(policy="restart")
BUFFER = StreamConfig(policy="buffer")

EARLY = [
    (StreamCut(0), K.STREAM),
    (MalformedChunk(0), K.BAD_RESPONSE),
    (NoEnd(0), K.STREAM),
    (StreamError(0, 500), K.TRANSIENT),
    (StreamError(0, 500, failed=True), K.TRANSIENT),
    (StreamError(0, 529), K.TRANSIENT),
    (StreamError(0, 429), K.RATE_LIMIT),
    (StreamError(0, 429, failed=True), K.RATE_LIMIT),
    (ErrorIn200(500), K.TRANSIENT),
    (EmptyStream(), K.BAD_RESPONSE),
    (EmptyStream(lifecycle=False), K.BAD_RESPONSE),
]
LATE = [
    (StreamCut(2), K.STREAM, "cut"),
    (MalformedChunk(2), K.BAD_RESPONSE, "sent"),
    (NoEnd(2), K.STREAM, "sent"),
    (StreamError(2, 500), K.TRANSIENT, "sent"),
    (StreamError(2, 500, failed=True), K.TRANSIENT, "sent"),
    (StreamError(2, 429), K.RATE_LIMIT, "sent"),
]


class TestBeforeOutput:
    """Scenarios 9, 11, 12, 13 and 14, where nothing has been handed over."""

    @pytest.mark.parametrize(("step", "kind"), EARLY, ids=str)
    def test_the_next_one_streams_and_nothing_leaks(self, streaming, step, kind):
        """One request each, and not an item of the first."""
        stage = streaming
        stage.first.script(step)
        chain = stage.chain(streams=True)
        seen = stage.read(chain)
        assert told(seen.trail) == [("first", kind), ("second", None)]
        assert seen.pieces == OTHER
        assert (seen.stream.provider, seen.stream.is_whole) == ("second", True)
        assert {type(item).__module__.partition(".")[0] for item in seen.items} == {
            "anthropic" if stage.endpoints["second"] == "messages" else "openai"
        }
        assert stage.requests() == (1, 1)
        assert stage.ends("second") == [("sent", 6)]
        snapshot = chain.breaker("first").snapshot()
        held = kind is K.RATE_LIMIT
        assert (snapshot.failures, snapshot.holds) == ((0, 1) if held else (1, 0))

    @pytest.mark.parametrize("policy", ["raise", "restart", "buffer"])
    def test_no_policy_shows_what_was_never_seen(self, streaming, policy):
        """No reset either: for the caller the stream begins once."""
        stage = streaming
        stage.first.script(StreamCut(0))
        seen = stage.read(stage.chain(streams=True, stream=StreamConfig(policy=policy)))
        assert (seen.error, seen.pieces) == (None, OTHER)

    def test_an_error_in_a_stream_holds_as_one_before_it(self, streaming):
        """The rate limit of an event is good for ten seconds."""
        stage = streaming
        stage.first.script(StreamError(0, 429))
        chain = stage.chain(streams=True)
        stage.read(chain)
        assert chain.breaker("first").snapshot().open_until == 10.0
        assert told(stage.read(chain).trail) == [("first", "open"), ("second", None)]
        assert stage.requests() == (1, 2)

    def test_an_empty_stream_says_so(self, streaming):
        """With an error of ours, for the SDKs have none."""
        stage = streaming
        stage.first.script(EmptyStream())
        attempt = stage.read(stage.chain(streams=True)).trail[0]
        assert type(attempt.error) is StreamEmpty
        assert attempt.first_output is None

    def test_a_stream_that_was_cut_early_may_be_tried_again(self, streaming):
        """With retries on, the same provider is asked once more."""
        stage = streaming
        stage.first.script(StreamCut(0))
        retry = RetryConfig(attempts=2, jitter="none", backoff=0.5)
        seen = stage.read(stage.chain(streams=True, retry=retry))
        assert told(seen.trail) == [("first", K.STREAM), ("first", None)]
        assert (seen.pieces, stage.instants()) == (ONE, [0.0, 0.5])

    def test_both_cut_early_is_a_call_that_nobody_answered(self, streaming):
        """No stream was interrupted, for none was begun."""
        stage = streaming
        stage.first.script(StreamCut(0))
        stage.second.script(StreamCut(0))
        seen = stage.read(stage.chain(streams=True))
        assert type(seen.error) is AllProvidersFailed
        assert told(seen.trail) == [("first", K.STREAM), ("second", K.STREAM)]
        assert seen.items == []


class TestAfterOutputRaise:
    """The default: the call ends, with what was handed over."""

    @pytest.mark.parametrize(("step", "kind", "ended"), LATE, ids=str)
    def test_the_partial_is_exactly_what_was_handed_over(self, streaming, step, kind, ended):
        """The very items; nobody else is asked, and the breaker counts."""
        stage = streaming
        stage.first.script(step)
        chain = stage.chain(streams=True)
        seen = stage.read(chain)
        assert type(seen.error) is StreamInterrupted
        assert seen.pieces == ONE[:2]
        assert len(seen.error.partial) == len(seen.items)
        assert all(a is b for a, b in zip(seen.error.partial, seen.items, strict=True))
        assert told(seen.trail) == [("first", kind)]
        assert (seen.stream.provider, seen.stream.is_whole) == ("first", False)
        assert seen.stream.trail == seen.error.trail
        assert stage.requests() == (1, 0)
        assert stage.ends() == [(ended, 2)]
        snapshot = chain.breaker("first").snapshot()
        held = kind is K.RATE_LIMIT
        assert (snapshot.failures, snapshot.holds) == ((0, 1) if held else (1, 0))

    def test_the_error_of_the_sdk_is_a_member(self, streaming):
        """As it was raised."""
        stage = streaming
        stage.first.script(StreamCut(2))
        seen = stage.read(stage.chain(streams=True))
        (member,) = seen.error.exceptions
        assert member is seen.trail[0].error
        assert type(member).__name__ in {"APIConnectionError", "RemoteProtocolError"}

    def test_retries_do_not_bring_it_back(self, streaming):
        """What has been seen is not tried again."""
        stage = streaming
        stage.first.script(StreamCut(2))
        seen = stage.read(stage.chain(streams=True, retry=RetryConfig(attempts=5)))
        assert type(seen.error) is StreamInterrupted
        assert (stage.requests(), stage.clock()) == ((1, 0), 0.0)


class TestAfterOutputRestart:
    """The caller takes a fresh stream."""

    @pytest.mark.parametrize(("step", "kind", "ended"), LATE, ids=str)
    def test_a_reset_is_handed_over_and_then_the_whole_of_the_other(
        self, streaming, step, kind, ended
    ):
        """It says who broke, why, and who follows."""
        stage = streaming
        stage.first.script(step)
        seen = stage.read(stage.chain(streams=True, stream=RESTART))
        assert seen.error is None
        assert seen.pieces == [*ONE[:2], RESET, *OTHER]
        (reset,) = (item for item in seen.items if isinstance(item, StreamReset))
        assert (reset.after, reset.provider, reset.fault.kind) == ("first", "second", kind)
        assert told(seen.trail) == [("first", kind), ("second", None)]
        assert (seen.stream.provider, seen.stream.is_whole) == ("second", True)
        assert stage.ends() + stage.ends("second") == [(ended, 2), ("sent", 6)]

    def test_a_second_break_ends_it_where_nobody_is_left(self, streaming):
        """The partial is the part of the second only: what came before the reset is void."""
        stage = streaming
        stage.first.script(StreamCut(2))
        stage.second.script(StreamCut(3))
        seen = stage.read(stage.chain(streams=True, stream=RESTART))
        assert type(seen.error) is StreamInterrupted
        assert seen.pieces == [*ONE[:2], RESET, *OTHER[:3]]
        begin = next(i for i, item in enumerate(seen.items) if isinstance(item, StreamReset)) + 1
        assert seen.error.partial == tuple(seen.items[begin:])
        assert told(seen.trail) == [("first", K.STREAM), ("second", K.STREAM)]

    def test_the_other_failing_before_output_leaves_what_was_seen(self, streaming):
        """No reset: no other stream began."""
        stage = streaming
        stage.first.script(StreamCut(2))
        stage.second.script(StreamCut(0))
        seen = stage.read(stage.chain(streams=True, stream=RESTART))
        assert type(seen.error) is StreamInterrupted
        assert seen.pieces == ONE[:2]
        assert seen.error.partial == tuple(seen.items)
        assert len(seen.error.exceptions) == 2


class TestAfterOutputBuffer:
    """Nothing is handed over before it is whole."""

    @pytest.mark.parametrize(("step", "kind", "ended"), LATE, ids=str)
    def test_only_the_whole_of_the_other_is_seen(self, streaming, step, kind, ended):
        """As if the first had never begun."""
        stage = streaming
        stage.first.script(step)
        seen = stage.read(stage.chain(streams=True, stream=BUFFER))
        assert (seen.error, seen.pieces) == (None, OTHER)
        assert told(seen.trail) == [("first", kind), ("second", None)]
        assert stage.ends() + stage.ends("second") == [(ended, 2), ("sent", 6)]

    def test_both_broken_is_a_call_that_nobody_answered(self, streaming):
        """Not an interrupted one."""
        stage = streaming
        stage.first.script(StreamCut(2))
        stage.second.script(StreamCut(2))
        seen = stage.read(stage.chain(streams=True, stream=BUFFER))
        assert type(seen.error) is AllProvidersFailed
        assert (seen.items, len(seen.error.exceptions)) == ([], 2)


class TestTheEnd:
    """Scenario 12: what is a whole stream, and what is not."""

    def test_all_pieces_without_an_end_are_a_truncated_stream(self, streaming):
        """The text looks whole; nobody says so."""
        stage = streaming
        stage.first.script(NoEnd())
        seen = stage.read(stage.chain(streams=True))
        assert type(seen.error) is StreamInterrupted
        assert [type(member) for member in seen.error.exceptions] == [StreamTruncated]
        assert (seen.pieces, seen.stream.is_whole) == (ONE, False)
        assert stage.ends() == [("sent", 4)]

    def test_a_missing_done_alone_is_none(self, streaming):
        """Gateways leave it out; the finish reason was there."""
        stage = streaming
        stage.first.script(NoDone())
        chain = stage.chain(streams=True)
        seen = stage.read(chain)
        assert (seen.error, seen.text, seen.stream.is_whole) == (None, TEXTS["first"], True)
        assert told(seen.trail) == [("first", None)]
        assert stage.requests() == (1, 0)
        assert chain.breaker("first").snapshot().failures == 0

    def test_a_provider_without_an_end_of_its_own_may_say_so(self, streaming):
        """`terminal=None` takes any end for one."""
        stage = streaming
        stage.first.script(NoEnd())
        seen = stage.read(stage.chain(streams=True, info={"first": {"terminal": None}}))
        assert (seen.error, seen.text) == (None, TEXTS["first"])
