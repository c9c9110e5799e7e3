"""What every chat adapter does: the real SDKs over the emulator, plain and awaited."""

import gc
import inspect
import json
import logging
import subprocess
import sys
import traceback

import anthropic
import openai
import pytest

from fsm_fallback import (
    AllProvidersFailed,
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
from tests.providers.chat_stage import ADAPTERS, KEY, MODEL, text_of, told

K = FaultKind
SDKS = {"openai": (openai, "OpenAI"), "anthropic": (anthropic, "Anthropic")}
NATIVE = {"openai": openai.types.chat.ChatCompletion, "anthropic": anthropic.types.Message}
VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def client_of(stage, *, awaited=False, retries=0):
    """A client as a user makes one."""
    sdk, kind = SDKS[stage.dialect]
    prefix = "Async" if awaited else ""
    transport = getattr(sdk, f"Default{prefix}HttpxClient")(verify=False)
    return getattr(sdk, prefix + kind)(
        base_url=stage.emulated.base_url, api_key=KEY, max_retries=retries, http_client=transport
    )


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


class TestClients:
    """Whose clients are used, and what becomes of them."""

    def test_each_event_loop_has_a_client(self, awaited_chat):
        """Connections of another loop would fail."""
        chat, seen = awaited_chat, []

        async def ask(adapter):
            assert (await adapter.acall("Why?")).text == "[emulated first] Why?"
            client = adapter._clients.awaited()
            seen.append(client)
            await client.close()  # by itself: the adapter does not know

        adapter = chat.adapter()
        for _ in range(3):
            chat.loop.run(ask, adapter)
            gc.collect()
        assert len(set(map(id, seen))) == 3
        assert len(adapter._clients._awaited) <= 1

    def test_calls_share_a_client(self, chat):
        """And its connections."""
        if chat.loop is None:
            adapter = chat.adapter()
            assert adapter._clients.plain() is adapter._clients.plain()
            return

        async def twice():
            return chat.adapter()._clients.awaited(), chat.made[0]._clients.awaited()

        first, second = chat.run(twice)
        assert first is second

    def test_a_closed_adapter_closes_its_client_and_makes_another(self, plain_chat):
        """So that whoever closes it twice, or too early, does no harm."""
        with plain_chat.adapter() as adapter:
            client = adapter._clients.plain()
        assert client.is_closed()
        adapter.close()
        assert adapter.call("Why?").text == "[emulated first] Why?"

    def test_an_awaited_adapter_is_closed_by_its_block(self, awaited_chat):
        """The client of this loop, and that of plain calls."""

        async def block():
            async with awaited_chat.adapter() as adapter:
                return adapter._clients.awaited(), adapter._clients.plain()

        assert [client.is_closed() for client in awaited_chat.loop.run(block)] == [True, True]

    def test_its_clients_do_not_retry(self, plain_chat):
        """One failure is one request."""
        assert plain_chat.adapter()._clients.plain().max_retries == 0

    def test_a_client_that_was_handed_in_is_used_and_left_open(self, plain_chat, monkeypatch):
        """No key is wanted then."""
        monkeypatch.delenv(VARIABLES[plain_chat.dialect])
        with client_of(plain_chat) as client:
            with plain_chat.adapter(client=client, base_url=None) as adapter:
                assert adapter.call("Why?").provider == "first"
            assert not client.is_closed()

    def test_an_adapter_with_a_plain_client_is_awaited_in_threads(self, awaited_chat):
        """By a chain; by itself it has no awaited ways."""
        chat = awaited_chat
        with client_of(chat) as client:
            adapter = chat.adapter(client=client)
            assert (adapter.acall, adapter.astream) == (None, None)
            assert chat.detailed(FallbackProvider(adapter), "Why?").value.provider == "first"

    def test_an_adapter_with_an_asynchronous_client_has_no_plain_ways(self, awaited_chat):
        """A chain that is called plainly says so."""
        chat = awaited_chat

        async def ask():
            async with client_of(chat, awaited=True) as client:
                adapter = chat.adapter(async_client=client)
                assert (adapter.call, adapter.stream) == (None, None)
                with pytest.raises(ConfigurationError, match="cannot be called with call"):
                    FallbackProvider(adapter).call("Why?")
                return await adapter.acall("Why?")

        assert chat.run(ask).provider == "first"

    def test_a_client_that_retries_is_warned_of_once(self, plain_chat):
        """With the fix, where the adapter is made; a second adapter of it says no more."""
        with client_of(plain_chat, retries=2) as client:
            with pytest.warns(UserWarning, match="max_retries=0") as warned:
                plain_chat.adapter(client=client)
            plain_chat.adapter("second", client=client)
        assert str(warned[0].message) == (
            f"{ADAPTERS[plain_chat.dialect].__name__} 'first': its client retries 2 times by "
            "itself, so that one failure is 3 requests; make it with max_retries=0, or give "
            "client.with_options(max_retries=0)"
        )
        assert warned[0].filename == inspect.getsourcefile(type(plain_chat))


class TestSettings:
    """What an adapter is made with."""

    def test_what_is_known_of_the_model_is_its_info(self, plain_chat):
        """For strategies to read."""
        info = plain_chat.adapter(
            account="acme", capabilities=["tools"], context_window=9, price="cheap"
        ).info
        assert (info.model, info.account, info.price) == (MODEL, "acme", "cheap")
        assert (info.capabilities, info.context_window) == (frozenset({"tools"}), 9)

    def test_a_missing_variable_is_named(self, plain_chat, monkeypatch):
        """When the adapter is made, not when it is first called."""
        monkeypatch.delenv(VARIABLES[plain_chat.dialect])
        with pytest.raises(ConfigurationError) as caught:
            plain_chat.adapter()
        assert str(caught.value) == (
            f"{ADAPTERS[plain_chat.dialect].__name__} 'first': environment variable "
            f"{VARIABLES[plain_chat.dialect]!r} is not set; set it to the key, name another one "
            "with api_key_env, or give a client"
        )

    def test_another_variable_is_read(self, plain_chat, monkeypatch):
        """By its name; an empty one is none."""
        monkeypatch.setenv("THEIR_KEY", "")
        with pytest.raises(ConfigurationError, match="'THEIR_KEY' is not set"):
            plain_chat.adapter(api_key_env="THEIR_KEY")
        monkeypatch.setenv("THEIR_KEY", "k")
        assert plain_chat.adapter(api_key_env="THEIR_KEY").call("Why?").provider == "first"

    def test_a_server_that_wants_no_key_gets_none(self, plain_chat, monkeypatch):
        """Whatever the environment holds."""
        adapter = plain_chat.adapter(api_key_env=None)
        assert adapter.call("Why?").provider == "first"
        assert adapter._clients.plain().api_key == "none"

    def test_every_argument_that_cannot_work_is_named_at_once(self, plain_chat):
        """And a key in place of its variable's name is not shown."""
        adapter = ADAPTERS[plain_chat.dialect]
        with pytest.raises(ConfigurationError) as caught:
            adapter(
                "",
                model=None,
                base_url=3,
                api_key_env="sk-" + KEY,
                client=client_of,
                capabilities="tools",
                context_window=0,
                max_output_tokens=-1,
            )
        fields = [each.partition(" ")[0].partition(".")[2] for each in caught.value.problems]
        assert fields == [
            "name",
            "model",
            "base_url",
            "capabilities",
            "context_window",
            "max_output_tokens",
            "api_key_env",
            "client",
        ]
        assert KEY not in str(caught.value)

    def test_a_client_of_the_wrong_kind_is_refused(self, plain_chat):
        """Its calls would give coroutines, or could not be awaited."""
        wanted = "give an asynchronous client of the SDK"
        with client_of(plain_chat) as client, pytest.raises(ConfigurationError, match=wanted):
            plain_chat.adapter(async_client=client)

    def test_no_key_and_no_words_are_shown_anywhere(self, chat, caplog):
        """Neither by the adapter, nor by errors, nor in the log."""
        caplog.set_level(logging.INFO)
        chain = chat.chain()
        chat.provider("first").script(Reply("the-ANSWER"), Status(401))
        chat.provider("second").script(Status(401))
        reply = chat.ask(chain, "the-PROMPT")
        failure = chat.fail(chain, "the-PROMPT")
        assert isinstance(failure, AllProvidersFailed)
        shown = [
            *map(repr, (chat.made[0], vars(chat.made[0]), vars(chat.made[0]._clients), reply)),
            *("".join(traceback.format_exception(each)) for each in (failure, *failure.exceptions)),
            *(record.getMessage() for record in caplog.records),
        ]
        for secret in (KEY, "the-PROMPT", "the-ANSWER"):
            assert not any(secret in each for each in shown)


def in_a_fresh_interpreter(code):
    """What code prints in an interpreter of its own, as JSON."""
    done = subprocess.run(  # noqa: S603  # our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_importing_the_profile_imports_no_sdk_and_no_event_loop():
    """They are imported by the first adapter."""
    code = """
import json, sys, fsm_fallback.chat
print(json.dumps([m for m in ("anthropic", "anyio", "asyncio", "openai") if m in sys.modules]))
"""
    assert in_a_fresh_interpreter(code) == []


@pytest.mark.parametrize("dialect", ADAPTERS)
def test_a_missing_sdk_is_named_with_the_extra_that_brings_it(dialect):
    """When the adapter is made."""
    name = ADAPTERS[dialect].__name__
    code = f"""
import json, os, sys
sys.modules[{dialect!r}] = None
os.environ[{VARIABLES[dialect]!r}] = "k"
from fsm_fallback.chat import {name}
try:
    {name}("gpt", model="m")
except ValueError as error:
    print(json.dumps(str(error)))
"""
    assert in_a_fresh_interpreter(code) == (
        f"{name} 'gpt': the package {dialect!r} cannot be imported; "
        f"pip install 'fsm-fallback[{dialect}]'"
    )
