"""Streamed answers of an emulated provider, read by the real SDKs, and what the journal says."""

import asyncio
import http.client
import json
import threading
import time

import anyio
import openai
import pytest

from fsm_fallback.testing import Emulator, Hang, Reply, Slow, Stall, Status

TEXT = "Because  air scatters\nblue light. "
PIECES = ["Because", "  air", " scatters", "\nblue", " light.", " "]

CHAT_ORDER = ["role", *["content"] * 6, "finish"]
RESPONSES_ORDER = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 6,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]
MESSAGES_ORDER = [
    "message_start",
    "ping",
    "content_block_start",
    *["content_block_delta"] * 6,
    "content_block_stop",
    "message_delta",
    "message_stop",
]


@pytest.fixture
def raw(emulator):
    """Ask for a stream without an SDK; return the response's headers and its bytes."""

    def send(path, body, *, version=11):
        dialect = "anthropic" if path == "/v1/messages" else "openai"
        provider = emulator.provider("raw", dialect=dialect, text=TEXT)
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=5)
        connection._http_vsn, connection._http_vsn_str = version, f"HTTP/1.{version - 10}"
        connection.request("POST", path, json.dumps({"stream": True} | body))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.headers, content.decode()

    return send


def events(content):
    """Return name and data of each event."""
    blocks = [block.split("\n") for block in content.removesuffix("\n\n").split("\n\n")]
    fields = [dict(line.split(": ", 1) for line in block) for block in blocks]
    return [(each.get("event"), each["data"]) for each in fields]


def usage_of(api, answer):
    """Return input and output tokens of a plain answer."""
    usage = answer.usage
    if api.endpoint == "chat":
        return usage.prompt_tokens, usage.completion_tokens
    return usage.input_tokens, usage.output_tokens


def streamed_usage(api, items):
    """Return input and output tokens of a stream."""
    match api.endpoint:
        case "chat":
            return usage_of(api, items[-1])
        case "responses":
            return usage_of(api, items[-1].response)
        case _:
            return items[0].message.usage.input_tokens, items[-2].usage.output_tokens


def with_usage(api):
    """Return what asks for usage: chat completions send it only then."""
    return {"stream_options": {"include_usage": True}} if api.endpoint == "chat" else {}


def test_the_pieces_of_a_stream_are_the_text(api, provider):
    """Word by word, each with the space before it."""
    provider.script(Reply(TEXT))
    assert api.read(provider.base_url).pieces == PIECES


@pytest.mark.parametrize(
    "text", ["", "x", " x", "\n \n", "ä\u2028b\r\nc\x85d", "日本 語", "x" * 99]
)
def test_no_text_is_changed_by_streaming(api, provider, text):
    """Whatever spaces and line ends it has."""
    provider.script(Reply(text))
    streamed = api.read(provider.base_url)
    assert (streamed.text, streamed.error) == (text, None)


def test_a_stream_says_what_the_plain_answer_says(api, provider):
    """Text, model and usage."""
    plain = api.ask(provider.base_url)
    streamed = api.read(provider.base_url, **with_usage(api))
    assert streamed.text == api.text(plain)
    assert streamed_usage(api, streamed.items) == usage_of(api, plain)
    if api.endpoint == "responses":
        assert streamed.items[-1].response.model == plain.model
        assert streamed.items[-1].response.output_text == api.text(plain)
    else:
        first = streamed.items[0].message if api.endpoint == "messages" else streamed.items[0]
        assert first.model == plain.model


def test_the_items_of_a_stream_are_valid_by_the_types_of_the_sdk(api, provider):
    """Every field that the SDK's own models declare has a value of its type."""
    for item in api.stream(provider.base_url, **with_usage(api)):
        type(item).model_validate_json(item.model_dump_json(warnings="error"))


@pytest.mark.parametrize("include_usage", [None, False, True])
def test_chat_sends_usage_if_asked(chat_api, openai_provider, include_usage):
    """In a chunk of its own without choices; the other chunks say that it is null."""
    options = {} if include_usage is None else {"stream_options": {"include_usage": include_usage}}
    items = chat_api.stream(openai_provider.base_url, **options)
    assert [item.usage is not None for item in items[-2:]] == [False, bool(include_usage)]
    assert [not item.choices for item in items[-2:]] == [False, bool(include_usage)]
    assert ("usage" in items[0].model_fields_set) == bool(include_usage)


def test_chat_streams_in_its_order(raw):
    """The role first, the reason at the end, then [DONE]."""
    _, content = raw("/v1/chat/completions", {"model": "m", "messages": [{"content": "x"}]})
    *chunks, last = [data for _, data in events(content)]
    assert last == "[DONE]"
    choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
    assert choices[0]["delta"]["role"] == "assistant"
    assert [each["delta"].get("content") for each in choices[1:]] == [*PIECES, None]
    assert [each["finish_reason"] for each in choices] == [None] * 7 + ["stop"]
    assert len({json.loads(chunk)["id"] for chunk in chunks}) == 1


def test_responses_streams_in_its_order(raw):
    """Each event is named, typed and numbered; the texts that end it are complete."""
    _, content = raw("/v1/responses", {"model": "m", "input": "x"})
    named = [(name, json.loads(data)) for name, data in events(content)]
    assert [name for name, _ in named] == RESPONSES_ORDER
    assert [data["type"] for _, data in named] == RESPONSES_ORDER
    assert [data["sequence_number"] for _, data in named] == list(range(len(named)))
    by_type = dict(named)
    assert by_type["response.output_text.done"]["text"] == TEXT
    assert by_type["response.output_item.done"]["item"]["content"][0]["text"] == TEXT


def test_messages_streams_in_its_order(raw):
    """Each event is named and typed; usage comes at both ends."""
    body = {"model": "m", "max_tokens": 9, "messages": [{"content": "12345"}]}
    _, content = raw("/v1/messages", body)
    named = [(name, json.loads(data)) for name, data in events(content)]
    assert [name for name, _ in named] == MESSAGES_ORDER
    assert [data["type"] for _, data in named] == MESSAGES_ORDER
    assert named[0][1]["message"]["usage"]["input_tokens"] == 2
    assert named[-2][1]["delta"]["stop_reason"] == "end_turn"


def test_a_stream_comes_in_chunks(raw):
    """Its length is not announced."""
    headers, _ = raw("/v1/responses", {"model": "m", "input": "x"})
    assert headers["transfer-encoding"] == "chunked"
    assert headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in headers


def test_an_old_client_gets_no_chunks(raw):
    """With HTTP/1.0 the body lasts until the connection closes."""
    headers, content = raw("/v1/responses", {"model": "m", "input": "x"}, version=10)
    assert "transfer-encoding" not in headers
    assert [name for name, _ in events(content)] == RESPONSES_ORDER


def test_a_stream_that_is_wrong_is_rejected(emulator, post):
    """As any other request, with a plain body."""
    provider = emulator.provider("p", dialect="openai")
    status, answer = post(provider, "/v1/responses", {"model": "m", "stream": True})
    assert (status, answer["error"]["param"]) == (400, "input")
    assert provider.requests[0].outcome == "rejected"


def test_a_connection_is_kept_after_a_stream(openai_provider):
    """The next request of the client goes over it."""
    with client_of(openai_provider) as client:
        for _ in range(2):
            assert len(list(client.responses.create(model="m", input="x", stream=True))) == 11
        assert len(openai_provider._listener.connections) == 1


def test_a_function_can_answer_a_stream(api, provider):
    """A text is streamed."""
    provider.respond(lambda request: f"stream={request.stream}")
    assert api.read(provider.base_url).text == "stream=True"


def test_a_slow_stream_arrives(api, provider):
    """It begins late and is complete."""
    provider.script(Slow(0.02, then=Reply(TEXT)))
    assert api.read(provider.base_url).text == TEXT


def test_a_stream_that_hangs_can_be_released(api, provider):
    """It begins when the provider is released."""
    provider.script(Hang())
    timer = threading.Timer(0.05, provider.release)
    timer.start()
    assert api.read(provider.base_url).text == "[emulated primary] Why?"
    timer.join()


def client_of(provider, limit=5.0):
    """Return an OpenAI client that keeps its connection."""
    return openai.OpenAI(base_url=provider.base_url, api_key="test", max_retries=0, timeout=limit)


def ended(emulator, requests=1):
    """Return how the latest response ended: after how many pieces, and in which way."""
    emulator.journal.wait_for(requests, ended=True, give_up_after=1.0)
    entry = emulator.journal.entries[-1]
    return entry.pieces, entry.ended


def test_the_journal_says_that_a_stream_was_sent_to_its_end(api, provider, emulator):
    """With all of its pieces."""
    provider.script(Reply(TEXT))
    api.read(provider.base_url)
    assert ended(emulator) == (6, "sent")
    (entry,) = provider.requests
    assert (entry.stream, entry.outcome, entry.status) == (True, "answer", 200)


def test_the_journal_says_that_a_client_left_a_stream(api, provider, emulator):
    """Within a second, and after how many pieces."""
    provider.script(Stall(2, text=TEXT))
    streamed = api.read(provider.base_url, take=2)
    assert (streamed.pieces, streamed.error) == (PIECES[:2], None)
    assert ended(emulator) == (2, "left")


def test_a_client_leaves_a_stream_that_goes_on(api, provider, emulator):
    """It is noticed before the next piece."""
    provider.script(Stall(1, 0.2, text=TEXT))
    api.read(provider.base_url, take=1)
    assert ended(emulator) == (1, "left")


def test_a_task_that_is_cancelled_leaves_its_stream(emulator, openai_provider):
    """The journal notices."""

    async def read():
        async with openai.AsyncOpenAI(
            base_url=openai_provider.base_url, api_key="test", max_retries=0
        ) as client:
            async for item in await client.responses.create(model="m", input="x", stream=True):
                if item.type == "response.output_text.delta":
                    has_read.set()

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await has_read.wait()
            tasks.cancel_scope.cancel()
        await emulator.journal.await_for(1, ended=True, give_up_after=1.0)

    has_read = asyncio.Event()
    openai_provider.script(Stall(1))
    asyncio.run(main())
    assert ended(emulator) == (1, "left")


@pytest.fixture
def unread(openai_provider):
    """A large stream whose client has read nothing yet, so that the emulator waits for it."""
    openai_provider.script(Reply(f"{'x' * 100_000} " * 200))
    connection = http.client.HTTPConnection("127.0.0.1", openai_provider.port, timeout=5)
    body = json.dumps({"model": "m", "input": "x", "stream": True})
    connection.request("POST", "/v1/responses", body)
    response = connection.getresponse()
    (sender,) = openai_provider._listener.connections
    give_up_at = time.monotonic() + 5
    while sender._writable.is_set() and time.monotonic() < give_up_at:
        time.sleep(0.002)
    assert openai_provider.requests[0].ended is None
    yield response, connection
    response.close()
    connection.close()


def test_a_client_that_does_not_read_is_waited_for(emulator, unread):
    """What it has not read is not sent on and on, so that its leaving is noticed."""
    for each in unread:
        each.close()
    pieces, how = ended(emulator)
    assert (pieces < 200, how) == (True, "left")


def test_a_client_that_reads_late_gets_all(emulator, unread):
    """The emulator goes on as soon as it reads."""
    response, _ = unread
    assert response.read().count(b"response.output_text.delta") == 2 * 201
    assert ended(emulator) == (201, "sent")


def test_plain_answers_end_too(emulator, openai_provider):
    """Without pieces."""
    openai_provider.script(Reply(), Status(503), Hang())
    with client_of(openai_provider, limit=0.1) as client:
        client.responses.create(model="m", input="x")
        for _ in range(2):
            with pytest.raises(openai.APIError):
                client.responses.create(model="m", input="x")
    assert ended(emulator, requests=3) == (0, "left")
    assert [entry.ended for entry in openai_provider.requests] == ["sent", "sent", "left"]


def test_an_end_can_be_waited_for(emulator, openai_provider):
    """The error says how many ended."""
    with pytest.raises(TimeoutError, match="0 of 1 requests at provider 'openai' ended in"):
        emulator.journal.wait_for(1, provider="openai", ended=True, give_up_after=0.01)
    with pytest.raises(TimeoutError, match="0 of 1 requests at the emulator ended"):
        anyio.run(lambda: emulator.journal.await_for(1, ended=True, give_up_after=0.01))
    assert emulator.journal.count(ended=True) == 0


def test_a_cleared_journal_stays_empty(emulator, openai_provider):
    """A response that ends later is not entered again."""
    openai_provider.script(Stall())
    with client_of(openai_provider) as client:
        stream = client.responses.create(model="m", input="x", stream=True)
        emulator.journal.clear()
        openai_provider.release()
        assert list(stream)[-1].type == "response.completed"
    assert emulator.journal.entries == ()


def test_stopping_ends_a_stream_at_once():
    """It leaves no thread and no task, and the journal says what happened."""
    threads = threading.enumerate()
    began_at = time.monotonic()
    with Emulator() as emulator:
        provider = emulator.provider("p", dialect="openai")
        provider.script(Stall(), Stall(1, 60))
        with client_of(provider, limit=60) as client:
            streams = [client.responses.create(model="m", input="x", stream=True) for _ in range(2)]
            emulator.journal.wait_for(2)
            emulator.stop()
            assert threading.enumerate() == threads
            for stream in streams:
                with pytest.raises(openai.APIConnectionError):
                    list(stream)
    assert time.monotonic() - began_at < 5
    assert [entry.ended for entry in emulator.journal] == ["stopped", "stopped"]


def test_refusing_lets_a_stream_end(emulator, openai_provider):
    """Its connection is closed afterwards."""
    openai_provider.script(Stall(1, text=TEXT))
    with client_of(openai_provider) as client:
        stream = client.responses.create(model="m", input="x", stream=True)
        openai_provider.refuse()
        openai_provider.release()
        assert list(stream)[-1].response.output_text == TEXT
        assert ended(emulator) == (6, "sent")
        with pytest.raises(openai.APIConnectionError):
            client.responses.create(model="m", input="x")
