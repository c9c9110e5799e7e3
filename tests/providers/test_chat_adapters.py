"""What every chat adapter does: the real SDKs over the emulator, plain and awaited."""

import anthropic
import openai
import pytest

from fsm_fallback import (
    ConfigurationError,
    FallbackProvider,
    FaultKind,
    RequestRejected,
    StreamInterrupted,
    Usage,
)
from fsm_fallback.chat import ChatMessage, ChatPiece, ChatReply, ChatRequest, UnusableReply
from fsm_fallback.testing import (
    Cut,
    Empty,
    EmptyStream,
    ErrorIn200,
    Filtered,
    Malformed,
    MalformedChunk,
    NoDone,
    NoEnd,
    Overloaded,
    QuotaSpent,
    RateLimited,
    Reply,
    Stall,
    Status,
    StreamCut,
    StreamError,
)
from tests.providers.chat_stage import MODEL, text_of, told

K = FaultKind
NATIVE = {"openai": openai.types.chat.ChatCompletion, "anthropic": anthropic.types.Message}


class TestAnswers:
    """Plain answers."""

    def test_a_reply_says_all_there_is_in_neutral_words(self, chat):
        """And holds the SDK's own object."""
        chat.emulated.script(Reply("one two three"))
        reply = chat.ask(chat.adapter(), "Why is the sky blue?")
        assert type(reply) is ChatReply
        assert (reply.text, reply.finish) == ("one two three", "stop")
        assert (reply.model, reply.provider) == (MODEL, "first")
        assert reply.usage == Usage(5, 4, cached_tokens=0)
        assert isinstance(reply.native, NATIVE[chat.dialect])

    def test_text_is_sent_as_one_message(self, chat):
        """With the model, and not as a stream."""
        chat.ask(chat.adapter(), "Why?")
        body = chat.body()
        assert body["messages"] == [{"role": "user", "content": "Why?"}]
        assert body["model"] == MODEL
        assert not body["stream"]

    def test_a_conversation_keeps_its_order(self, chat):
        """Both roles are the APIs' own words."""
        messages = [ChatMessage("user", "a"), ChatMessage("assistant", "b")]
        chat.ask(chat.adapter(), ChatRequest(messages=[*messages, ChatMessage("user", "c")]))
        assert [(each["role"], each["content"]) for each in chat.body()["messages"]] == [
            ("user", "a"),
            ("assistant", "b"),
            ("user", "c"),
        ]

    def test_extra_goes_to_the_provider_it_names(self, chat):
        """And wins over what the profile would have sent."""
        request = ChatRequest(
            messages="Why?",
            max_output_tokens=7,
            extra={
                "first": {"metadata": {"user_id": "u"}, "model": "another"},
                "second": {"service_tier": "auto"},
            },
        )
        chat.ask(chat.adapter(), request)
        body = chat.body()
        assert (body["metadata"], body["model"]) == ({"user_id": "u"}, "another")
        assert "service_tier" not in body
        assert 7 in body.values()

    def test_extra_that_the_sdk_does_not_know_is_the_callers_mistake(self, chat):
        """Nothing is sent, and nobody else is asked."""
        request = ChatRequest(messages="Why?", extra={"first": {"no_such_keyword": 1}})
        failure = chat.fail(chat.chain(), request)
        assert told(failure.trail) == [("first", K.CALLER)]
        assert len(chat.emulator.journal) == 0

    def test_extra_cannot_turn_an_answer_into_a_stream(self, chat):
        """Which way is asked is for the caller of the way."""
        request = ChatRequest(messages="Why?", extra={"first": {"stream": True}})
        assert chat.ask(chat.adapter(), request).text == "[emulated first] Why?"

    @pytest.mark.parametrize("limit", [7.5, None])
    def test_a_timeout_is_that_of_the_sdk(self, chat, limit):
        """None leaves the client's own."""
        chat.ask(chat.adapter(), "Why?", timeout=limit)
        headers = chat.emulator.journal.of("first")[-1].headers
        assert headers["x-stainless-read-timeout"] == ("600" if limit is None else "7.5")

    def test_a_chain_hands_its_time_out_down(self, chat):
        """By the argument that `timeout_arg` names."""
        chain = FallbackProvider(chat.adapter())
        chat.detailed(chain.options(deadline=300), "Why?")
        headers = chat.emulator.journal.of("first")[-1].headers
        assert 290 < float(headers["x-stainless-read-timeout"]) <= 300

    def test_what_is_no_request_is_sent_nowhere(self, chat):
        """In all ways."""
        adapter = chat.adapter()
        for way in (chat.ask, chat.pieces):
            with pytest.raises(ConfigurationError, match="request is a dict; give text or"):
                way(adapter, {"messages": []})
        assert len(chat.emulator.journal) == 0


class TestFailures:
    """In a chain, each failure is what the fault table says, and the second provider answers."""

    @pytest.mark.parametrize(
        ("step", "kind"),
        [
            (RateLimited(), K.RATE_LIMIT),
            (Status(500), K.TRANSIENT),
            (Overloaded(), K.TRANSIENT),
            (Status(401), K.AUTH),
            (QuotaSpent(), K.QUOTA),
            (Cut(), K.STREAM),
            (ErrorIn200(429), K.RATE_LIMIT),
            (ErrorIn200(500), K.BAD_RESPONSE),
            (Malformed(), K.BAD_RESPONSE),
            (Malformed("[]"), K.BAD_RESPONSE),
            (Malformed('{"id": "x", "choices": null, "content": null}'), K.BAD_RESPONSE),
            (Malformed('{"id": "x", "choices": [], "content": []}'), K.BAD_RESPONSE),
            (Empty(), K.BAD_RESPONSE),
            (Empty(204), K.BAD_RESPONSE),
            (Reply(""), K.BAD_RESPONSE),
        ],
        ids=str,
    )
    def test_an_answer_that_is_none_leads_to_the_second(self, chat, step, kind):
        """One request to each: the SDK's retries are off."""
        chain = chat.chain()
        chat.emulated.script(step)
        answer = chat.detailed(chain, "Why?")
        assert told(answer.trail) == [("first", kind), ("second", None)]
        assert answer.value.provider == "second"
        assert answer.trail[1].usage == answer.value.usage
        assert (chat.emulator.journal.count("first"), chat.emulator.journal.count("second")) == (
            1,
            1,
        )

    def test_an_unusable_answer_is_kept_in_its_error(self, chat):
        """As the SDK gave it."""
        chain = chat.chain()
        chat.emulated.script(Reply(""))
        error = chat.detailed(chain, "Why?").trail[0].error
        assert isinstance(error, UnusableReply)
        assert isinstance(error.answer, NATIVE[chat.dialect])

    def test_a_request_too_long_goes_to_a_larger_window(self, chat):
        """And to no other."""
        body = {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "code": "context_length_exceeded",
                "message": "prompt is too long: 300000 tokens > 200000 maximum",
            },
        }
        small = chat.adapter("first", context_window=1000)
        same = chat.adapter("second", context_window=1000)
        large = chat.adapter("third", context_window=9000)
        chat.emulated.script(Status(400, body))
        answer = chat.detailed(FallbackProvider(small, same, large), "Why?")
        assert answer.provider == "third"
        assert answer.trail[0].fault.kind is K.CONTEXT
        assert chat.emulator.journal.count("second") == 0

    def test_a_request_at_fault_is_asked_once(self, chat):
        """Another provider would say the same."""
        chain = chat.chain()
        chat.emulated.script(Status(400))
        failure = chat.fail(chain, "Why?")
        assert isinstance(failure, RequestRejected)
        assert told(failure.trail) == [("first", K.CALLER)]


class TestStreams:
    """Answers piece by piece."""

    def test_a_stream_tells_its_end_and_its_usage(self, chat):
        """One piece for each item of the SDK; the last has both."""
        chat.emulated.script(Reply("one two three"))
        pieces = chat.pieces(chat.adapter(), "Why is the sky blue?")
        assert {type(piece) for piece in pieces} == {ChatPiece}
        assert text_of(pieces) == "one two three"
        assert (pieces[-1].finish, pieces[-1].usage) == ("stop", Usage(5, 4, cached_tokens=0))
        assert {(piece.model, piece.provider) for piece in pieces} == {(MODEL, "first")}
        assert all(piece.finish is None and piece.usage is None for piece in pieces if piece.text)
        assert all(type(piece.native).__module__.startswith(chat.dialect) for piece in pieces)

    def test_a_chain_reads_its_pieces(self, chat):
        """Usage and all, though they are no items of an SDK."""
        pieces, stream, _ = chat.read(chat.chain(), "Why?")
        assert text_of(pieces) == "[emulated first] Why?"
        assert stream.is_whole
        assert stream.usage == pieces[-1].usage
        assert told(stream.trail) == [("first", None)]
        assert stream.trail[0].first_output is not None

    @pytest.mark.parametrize(
        ("step", "kind"),
        [
            (Status(500), K.TRANSIENT),
            (StreamError(0, 500), K.TRANSIENT),
            (StreamError(0, 429), K.RATE_LIMIT),
            (StreamCut(0), K.STREAM),
            (NoEnd(0), K.STREAM),
            (EmptyStream(), K.BAD_RESPONSE),
            (EmptyStream(lifecycle=False), K.BAD_RESPONSE),
            (MalformedChunk(0), K.BAD_RESPONSE),
        ],
        ids=str,
    )
    def test_a_stream_that_breaks_before_output_is_replaced_without_a_trace(self, chat, step, kind):
        """Nothing of it is handed over."""
        chain = chat.chain()
        chat.emulated.script(step)
        pieces, stream, _ = chat.read(chain, "Why?")
        assert text_of(pieces) == "[emulated second] Why?"
        assert {piece.provider for piece in pieces} == {"second"}
        assert told(stream.trail) == [("first", kind), ("second", None)]

    @pytest.mark.parametrize(
        ("step", "kind"),
        [
            (StreamError(1, 500), K.TRANSIENT),
            (StreamCut(1), K.STREAM),
            (NoEnd(1), K.STREAM),
            (MalformedChunk(1), K.BAD_RESPONSE),
        ],
        ids=str,
    )
    def test_a_stream_that_breaks_half_way_is_an_interruption(self, chat, step, kind):
        """A body that ends as HTTP likes it, but without the API's last event, is one, too."""
        chain = chat.chain()
        chat.emulated.script(step)
        _, _, error = chat.read(chain, "Why?")
        assert isinstance(error, StreamInterrupted)
        assert text_of(error.partial) == "[emulated"
        assert told(error.trail) == [("first", kind)]

    def test_a_stream_without_done_is_whole(self, chat):
        """The finish reason is the end that counts."""
        chat.emulated.script(NoDone())
        pieces, stream, error = chat.read(chat.chain(), "Why?")
        assert (pieces[-1].finish, stream.is_whole, error) == ("stop", True, None)

    def test_a_filter_that_leaves_nothing_is_a_refusal(self, chat):
        """Nobody else is asked."""
        chain = chat.chain()
        chat.emulated.script(Filtered(0))
        _, _, error = chat.read(chain, "Why?")
        assert isinstance(error, RequestRejected)
        assert told(error.trail) == [("first", K.CONTENT)]

    def test_a_filter_half_way_is_an_end(self, chat):
        """In plain answers as in streams."""
        chat.emulated.script(Filtered(1), Filtered(1))
        adapter = chat.adapter()
        pieces = chat.pieces(adapter, "Why?")
        reply = chat.ask(adapter, "Why?")
        assert (text_of(pieces), pieces[-1].finish) == ("[emulated", "content_filter")
        assert (reply.text, reply.finish) == ("[emulated", "content_filter")

    def test_a_stream_that_is_left_is_closed(self, chat):
        """The connection, too, which the provider sees."""
        chat.emulated.script(Stall(1))
        piece = chat.leave(chat.adapter(), "Why?")
        assert isinstance(piece, ChatPiece)
        chat.emulator.journal.wait_for(1, ended=True)
        assert chat.emulator.journal.of("first")[0].ended == "left"

    def test_a_chain_that_is_left_closes_it(self, chat):
        """After its first output."""
        chat.emulated.script(Stall(1))
        pieces, _, _ = chat.read(chat.chain(), "Why?", take=1)
        assert text_of(pieces) == "[emulated"
        chat.emulator.journal.wait_for(1, ended=True)
        assert chat.emulator.journal.of("first")[0].ended == "left"

    def test_nothing_is_sent_before_the_first_piece_is_asked_for(self, plain_chat):
        """A stream that is dropped unread costs nothing."""
        plain_chat.adapter().stream("Why?").close()
        assert len(plain_chat.emulator.journal) == 0
