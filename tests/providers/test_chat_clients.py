"""Whose clients the chat adapters use, what they are made with, and what they never show."""

import asyncio
import inspect
import json
import logging
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    ConfigurationError,
    FallbackProvider,
    Price,
    RequestRejected,
)
from fsm_fallback.chat import ChatRequest, UnusableReply
from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.testing import Reply, Status
from tests.providers.chat_stage import ADAPTERS, KEY, MODEL

PRICE = Price(input_mtok=1, output_mtok=2)

SDKS = {"openai": (openai, "OpenAI"), "anthropic": (anthropic, "Anthropic")}
VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def client_of(stage, *, awaited=False, retries=0):
    """A client as a user makes one."""
    sdk, kind = SDKS[stage.dialect]
    prefix = "Async" if awaited else ""
    transport = getattr(sdk, f"Default{prefix}HttpxClient")(verify=False)
    return getattr(sdk, prefix + kind)(
        base_url=stage.emulated.base_url, api_key=KEY, max_retries=retries, http_client=transport
    )


class Standing:
    """A client as a user's tests have one, for both SDKs: it answers nothing."""

    __slots__ = ("asked",)
    max_retries = 2

    def __init__(self):
        self.asked = []

    @property
    def chat(self):
        """Where OpenAI's has its endpoints."""
        return self

    completions = messages = chat

    def create(self, **keywords):
        """Note what was asked."""
        self.asked.append(keywords)

    def close(self):
        """Nothing to close."""


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
        assert len(set(map(id, seen))) == 3

    def test_the_clients_of_closed_loops_are_forgotten(self, plain_chat):
        """They would keep their loops alive; trio's are forgotten with their tokens."""
        loops = []

        async def ask(adapter):
            loops.append(asyncio.get_running_loop())
            await adapter.acall("Why?")
            await adapter._clients.awaited().close()  # by itself: the adapter does not know

        adapter = plain_chat.adapter()
        for _ in range(3):
            asyncio.run(ask(adapter))
        assert list(adapter._clients._awaited) == loops[-1:]

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

    def test_threads_share_a_client(self, plain_chat):
        """Made once, whoever comes first."""
        adapter = plain_chat.adapter()
        with ThreadPoolExecutor(8) as threads:
            made = [threads.submit(adapter._clients.plain) for _ in range(8)]
        assert len({id(each.result()) for each in made}) == 1

    def test_a_closed_adapter_closes_its_client_and_makes_another(self, plain_chat):
        """So that whoever closes it twice, or too early, does no harm."""
        with plain_chat.adapter() as adapter:
            client = adapter._clients.plain()
        assert client.is_closed()
        adapter.close()
        assert adapter.call("Why?").text == "[emulated first] Why?"

    def test_a_call_that_is_out_has_its_client_to_the_end(self, plain_chat):
        """It is closed behind the last; a call that begins meanwhile has another."""
        adapter = plain_chat.adapter()
        pieces = adapter.stream("Why?")
        next(pieces)
        client = adapter._clients.plain()
        adapter.close()
        assert not client.is_closed()
        assert adapter.call("Why?").text == "[emulated first] Why?"
        assert adapter._clients.plain() is not client
        assert "".join(each.text for each in pieces)
        assert client.is_closed()

    def test_an_awaited_call_that_is_out_has_its_client_to_the_end(self, awaited_chat):
        """As above."""
        adapter = awaited_chat.adapter()

        async def closed_meanwhile():
            pieces = adapter.astream("Why?")
            await anext(pieces)
            client = adapter._clients.awaited()
            await adapter.aclose()
            was_closed = client.is_closed()
            rest = [each async for each in pieces]
            return was_closed, bool(rest), client.is_closed()

        assert awaited_chat.loop.run(closed_meanwhile) == (False, True, True)

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

    def test_a_client_that_was_closed_is_no_fault_of_its_provider(self, plain_chat):
        """Both SDKs say "connection error", and httpx, of which they raise it, what it was."""
        client = client_of(plain_chat)
        adapter = plain_chat.adapter(client=client, base_url=None)
        chain = FallbackProvider(adapter, audit="off")
        client.close()
        with pytest.raises(RequestRejected) as caught:
            chain.call("Why?")
        assert caught.value.trail[-1].fault.kind is FaultKind.CALLER
        assert chain.breaker(adapter.name).snapshot().failure_ratio is None
        assert chain.metrics()[adapter.name].faults == {"caller": 1}

    def test_a_stand_in_for_a_client_is_used_as_it_is(self, plain_chat):
        """Whatever keywords it takes; what retries, and cannot be remembered, is warned of."""
        made = Standing()
        with pytest.warns(UserWarning, match="retries 2 times"):
            adapter = plain_chat.adapter(client=made)
        request = ChatRequest(messages="Why?", extra={"first": {"own_keyword": 1}})
        with pytest.raises(UnusableReply):
            adapter.call(request)
        assert made.asked[0]["own_keyword"] == 1

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
            account="acme", capabilities=["tools"], context_window=9, price=PRICE
        ).info
        assert (info.model, info.account, info.price) == (MODEL, "acme", PRICE)
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
