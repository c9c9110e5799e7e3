"""The journal: what is kept of a request, how it is counted and waited for."""

import threading

import anyio
import openai
import pytest

from fsm_fallback.testing import Emulator, Hang, ManualClock, Reply, Status


def test_an_entry_tells_what_was_asked_and_served(api, provider):
    """Provider, dialect, method, path, model, stream flag, prompt, outcome and status."""
    api.ask(provider.base_url, "Why?")
    (entry,) = provider.requests
    paths = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
    assert (entry.provider, entry.dialect) == ("primary", api.dialect)
    assert (entry.method, entry.path) == ("POST", paths.get(api.endpoint, "/v1/messages"))
    assert (entry.model, entry.stream, entry.prompt) == ("some-model", False, "Why?")
    assert (entry.outcome, entry.status) == ("answer", 200)


def test_the_body_is_kept(chat_api, openai_provider):
    """As the JSON object that was sent."""
    chat_api.ask(openai_provider.base_url, "Why?", temperature=0.5)
    (entry,) = openai_provider.requests
    assert entry.body["temperature"] == 0.5
    assert entry.body["messages"] == [{"role": "user", "content": "Why?"}]


def test_the_prompt_is_the_last_message(post, openai_provider):
    """All texts of it, whatever parts it has."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": parts}]
    post(openai_provider, "/v1/chat/completions", {"model": "m", "messages": messages})
    (entry,) = openai_provider.requests
    assert entry.prompt == "a\nb"


def test_secrets_are_left_out(api, provider):
    """The header of the key is there, its value is not, nowhere."""
    api.ask(provider.base_url)
    (entry,) = provider.requests
    keys = {name: entry.headers.get(name) for name in ("authorization", "x-api-key")}
    assert "[redacted]" in keys.values()
    assert not any("s3cret" in value for value in entry.headers.values())
    assert entry.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "name", ["Authorization", "x-api-key", "api-key", "Cookie", "x-goog-api-key", "X-Auth-Token"]
)
def test_every_header_of_a_secret_is_redacted(post, openai_provider, name):
    """By the words in its name."""
    post(openai_provider, "/v1/responses", {}, headers={name: "s3cret"})
    (entry,) = openai_provider.requests
    assert entry.headers[name.lower()] == "[redacted]"
    assert "s3cret" not in repr(entry)


def test_the_query_is_left_out(post, openai_provider):
    """It may hold a key; the path is found without it."""
    post(openai_provider, "/v1/responses?key=s3cret", {"model": "m", "input": "x"})
    (entry,) = openai_provider.requests
    assert (entry.path, entry.status) == ("/v1/responses", 200)


def test_prompts_are_not_in_its_repr(chat_api, openai_provider):
    """So that a failing assertion does not print them."""
    chat_api.ask(openai_provider.base_url, "private matters")
    assert "private" not in repr(openai_provider.requests)


def test_entries_are_in_the_order_of_arrival(emulator, post):
    """Across providers; `of` and `count` tell them apart."""
    providers = [emulator.provider(name, dialect="openai") for name in ("a", "b")]
    for index in (0, 1, 1, 0):
        post(providers[index], "/v1/responses", {"model": "m", "input": "x"})
    journal = emulator.journal
    assert [entry.provider for entry in journal] == ["a", "b", "b", "a"]
    assert (len(journal), journal.count(), journal.count("b")) == (4, 4, 2)
    assert journal.of("a") == providers[0].requests
    assert journal.of("nobody") == ()


def test_a_journal_can_be_cleared(emulator, openai_provider, post):
    """Between the parts of a test."""
    post(openai_provider, "/v1/responses", {})
    emulator.journal.clear()
    assert emulator.journal.entries == ()


def test_times_are_those_of_the_clock(post):
    """Of the one the emulator was given."""
    clock = ManualClock()
    clock.advance(12)
    with Emulator(clock=clock) as emulator:
        provider = emulator.provider("p", dialect="openai")
        post(provider, "/v1/responses", {})
        clock.advance(3)
        post(provider, "/v1/responses", {})
    assert [entry.at for entry in emulator.journal] == [12, 15]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"", b"[" * 100_000])
def test_a_body_that_is_no_object_is_rejected(api, provider, post, body):
    """In the words of the dialect; there is nothing of it to keep."""
    path = {"openai": "/v1/responses", "anthropic": "/v1/messages"}[api.dialect]
    status, answer = post(provider, path, body)
    (entry,) = provider.requests
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert (entry.body, entry.model, entry.outcome) == (None, None, "rejected")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/chat/completions", {"messages": [{}]}, "model"),
        ("/v1/chat/completions", {"model": "m"}, "messages"),
        ("/v1/chat/completions", {"model": "m", "messages": []}, "messages"),
        ("/v1/responses", {"input": "x"}, "model"),
        ("/v1/responses", {"model": 3, "input": "x"}, "model"),
        ("/v1/responses", {"model": "m"}, "input"),
        ("/v1/messages", {"max_tokens": 1, "messages": [{}]}, "model"),
        ("/v1/messages", {"model": "m", "messages": [{}]}, "max_tokens"),
        ("/v1/messages", {"model": "m", "max_tokens": True, "messages": [{}]}, "max_tokens"),
        ("/v1/messages", {"model": "m", "max_tokens": 0, "messages": [{}]}, "max_tokens"),
        ("/v1/messages", {"model": "m", "max_tokens": 1}, "messages"),
    ],
)
def test_a_request_without_what_it_needs_is_rejected(emulator, post, path, body, words):
    """The error names the field."""
    dialect = "anthropic" if path == "/v1/messages" else "openai"
    status, answer = post(emulator.provider("p", dialect=dialect), path, body)
    assert status == 400
    assert words in answer["error"]["message"]


def test_a_fault_comes_before_the_check_of_the_body(openai_provider, post):
    """As from a gateway, which does not read it."""
    openai_provider.script(Status(503))
    assert post(openai_provider, "/v1/responses", b"{")[0] == 503


def test_an_unknown_path_is_rejected(openai_provider, post):
    """It takes no step of the script, and the answer names the known paths."""
    openai_provider.script(Status(503))
    status, answer = post(openai_provider, "/chat/completions", {})
    assert status == 404
    assert "POST /v1/chat/completions" in answer["error"]["message"]
    assert openai_provider.pending == 1
    assert openai_provider.requests[0].outcome == "rejected"


def test_another_method_is_rejected(openai_provider, post):
    """Only POST is emulated."""
    assert post(openai_provider, "/v1/responses", {}, method="GET")[0] == 405


def test_waiting_for_requests_of_threads(emulator, openai_provider, post):
    """It returns when they have arrived, though nothing was answered."""
    openai_provider.script(Hang())
    thread = threading.Thread(target=post, args=(openai_provider, "/v1/responses", {}))
    thread.start()
    emulator.journal.wait_for(1)
    emulator.journal.wait_for(1, provider="openai")
    assert openai_provider.requests[0].outcome == "hang"
    openai_provider.release()
    thread.join()


def test_waiting_ends(emulator, openai_provider, loop):
    """The error says how many came."""
    with pytest.raises(TimeoutError, match=r"0 of 1 requests reached provider 'openai' in 0\.01 s"):
        emulator.journal.wait_for(1, provider="openai", give_up_after=0.01)
    with pytest.raises(TimeoutError, match="0 of 2 requests reached the emulator"):
        loop.run(emulator.journal.await_for, 2, give_up_after=0.01)


def test_waiting_for_requests_of_tasks(emulator, openai_provider, loop):
    """A task that hangs can be cancelled as soon as its request is there."""

    async def main():
        async with (
            openai.AsyncOpenAI(
                base_url=openai_provider.base_url, api_key="test", max_retries=0
            ) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(lambda: client.responses.create(model="m", input="x"))
            await emulator.journal.await_for(1)
            tasks.cancel_scope.cancel()

    openai_provider.script(Hang())
    loop.run(main)
    assert openai_provider.requests[0].outcome == "hang"


def test_a_client_that_leaves_before_the_function_has_decided(emulator, openai_provider, post):
    """Is entered as one that left."""
    decide = threading.Event()
    openai_provider.respond(lambda _: Reply() if decide.wait(5) else None)
    with pytest.raises(TimeoutError):
        post(openai_provider, "/v1/responses", {}, limit=0.05)
    emulator.journal.wait_for(1)
    decide.set()
    (entry,) = openai_provider.requests
    assert (entry.outcome, entry.status) == ("left", None)
