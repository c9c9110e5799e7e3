"""Real errors of the real OpenAI and Anthropic SDKs, over loopback HTTP, sync and async.

The same file runs against the current majors and against the ones before (`make previous`).
"""

import asyncio
import importlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trio

from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.providers.faults import classify

anthropic = pytest.importorskip("anthropic")
openai = pytest.importorskip("openai")

K = FaultKind
JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}


class Handler(BaseHTTPRequestHandler):
    """Answers every POST with what the test put on the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        """Send the scripted answer, whole, cut short, or not before the test is over."""
        self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, body, end = self.server.answer
        if end == "hang":
            self.server.released.wait(10)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if end == "cut":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            self.close_connection = True
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that go away."""

    def handle_error(self, request, client_address):
        """Say nothing."""


@pytest.fixture(scope="module")
def server():
    """Serve on loopback for all tests of this file."""
    with QuietServer(("127.0.0.1", 0), Handler) as running:
        running.released = threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def url(server):
    """Give the server's address."""
    return f"http://127.0.0.1:{server.server_port}"


def script(server, status, body=b"", headers=JSON, end="whole"):
    """Set the answer of the next calls."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    server.answer = (status, headers, body, end)


def ask_openai(client, **kwargs):
    """Make one chat completion call."""
    messages = [{"role": "user", "content": "hi"}]
    return client.chat.completions.create(model="m", messages=messages, **kwargs)


def ask_openai_responses(client, **kwargs):
    """Make one call of the newer endpoint."""
    return client.responses.create(model="m", input="hi", **kwargs)


def ask_anthropic(client, **kwargs):
    """Make one message call."""
    messages = [{"role": "user", "content": "hi"}]
    return client.messages.create(model="m", max_tokens=9, messages=messages, **kwargs)


SDKS = {
    "openai": (openai.OpenAI, openai.AsyncOpenAI, ask_openai),
    "openai-responses": (openai.OpenAI, openai.AsyncOpenAI, ask_openai_responses),
    "anthropic": (anthropic.Anthropic, anthropic.AsyncAnthropic, ask_anthropic),
}
OPTIONS = {"api_key": "test", "max_retries": 0}

each_sdk = pytest.mark.parametrize("sdk", SDKS)
each_flavour = pytest.mark.parametrize("flavour", ["sync", "asyncio", "trio"])


def ask_all(client, ask, stream):
    """Make one call, and read its stream to the end."""
    answer = ask(client, stream=stream)
    if stream:
        for _ in answer:
            pass


async def await_all(client, ask, stream):
    """As `ask_all`, awaited."""
    answer = await ask(client, stream=stream)
    if stream:
        async for _ in answer:
            pass


async def await_all_afresh(make, ask, stream, options):
    """As `await_all`, over a client whose connections end with the event loop; no certificates."""
    sdk = importlib.import_module(make.__module__.partition(".")[0])
    transport = sdk.DefaultAsyncHttpxClient(verify=False)
    async with make(http_client=transport, **OPTIONS, **options) as client:
        await await_all(client, ask, stream)


@pytest.fixture(scope="module")
def error_of(server):
    """Call an SDK and hand back what it raised. Clients are kept: each loads certificates."""
    url = f"http://127.0.0.1:{server.server_port}"
    makers = {maker for makers in SDKS.values() for maker in makers[:2]}
    clients = {maker: maker(base_url=url, **OPTIONS) for maker in makers}

    def error(flavour, sdk, *, stream=False, **options):
        make, amake, ask = SDKS[sdk]
        try:
            match flavour:
                case "sync":
                    ask_all(clients[make].with_options(**options), ask, stream)
                case "asyncio":
                    runner.run(await_all(clients[amake].with_options(**options), ask, stream))
                case "trio":
                    trio.run(await_all_afresh, amake, ask, stream, {"base_url": url, **options})
        except Exception as error:  # noqa: BLE001  # whatever an SDK raises is the subject
            return error
        return None

    with asyncio.Runner() as runner:
        yield error
        for sync, asynchronous, _ in SDKS.values():
            clients[sync].close()
            runner.run(clients[asynchronous].close())


def openai_body(message, kind="invalid_request_error", code=None, param=None):
    """Write an error as OpenAI does."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def anthropic_body(message, kind="invalid_request_error"):
    """Write an error as Anthropic does."""
    return {"type": "error", "error": {"type": kind, "message": message}}


OPENAI_ANSWERS = [
    (400, openai_body("Missing required parameter: 'model'."), K.CALLER),
    (400, openai_body("maximum context length is 9", code="context_length_exceeded"), K.CONTEXT),
    (400, openai_body("flagged", code="content_policy_violation"), K.CONTENT),
    (400, openai_body("x", code="unsupported_parameter"), K.UNSUPPORTED),
    (401, openai_body("Incorrect API key provided: sk-x", code="invalid_api_key"), K.AUTH),
    (403, openai_body("x", code="unsupported_country_region_territory"), K.REGION),
    (403, openai_body("no"), K.AUTH),
    (404, openai_body("The model does not exist", code="model_not_found"), K.MODEL),
    (404, openai_body("No such file", param="file"), K.CALLER),
    (413, openai_body("too big"), K.TOO_LARGE),
    (422, openai_body("x"), K.CALLER),
    (429, openai_body("x", "requests", "rate_limit_exceeded"), K.RATE_LIMIT),
    (429, openai_body("x", "insufficient_quota", "insufficient_quota"), K.QUOTA),
    (500, openai_body("x", "server_error"), K.TRANSIENT),
]
ANTHROPIC_ANSWERS = [
    (400, anthropic_body("messages: at least one message is required"), K.CALLER),
    (400, anthropic_body("Your credit balance is too low"), K.QUOTA),
    (400, anthropic_body("prompt is too long: 9 tokens > 8 maximum"), K.CONTEXT),
    (401, anthropic_body("invalid x-api-key", "authentication_error"), K.AUTH),
    (402, anthropic_body("x", "billing_error"), K.QUOTA),
    (403, anthropic_body("x", "permission_error"), K.AUTH),
    (404, anthropic_body("model: m", "not_found_error"), K.MODEL),
    (413, anthropic_body("x", "request_too_large"), K.TOO_LARGE),
    (422, anthropic_body("x"), K.CALLER),
    (429, anthropic_body("x", "rate_limit_error"), K.RATE_LIMIT),
    (500, anthropic_body("Internal server error", "api_error"), K.TRANSIENT),
    (504, anthropic_body("x", "timeout_error"), K.TIMEOUT),
    (529, anthropic_body("Overloaded", "overloaded_error"), K.TRANSIENT),
]
ANSWERS = [
    *(("openai", *answer) for answer in OPENAI_ANSWERS),
    *(("anthropic", *answer) for answer in ANTHROPIC_ANSWERS),
]


@each_flavour
@pytest.mark.parametrize(("sdk", "status", "body", "kind"), ANSWERS)
def test_error_answers(server, error_of, sdk, flavour, status, body, kind):
    """Type, code and words of a real SDK's error decide before its status."""
    script(server, status, body)
    error = error_of(flavour, sdk)
    assert error.status_code == status
    fault = classify(error)
    assert fault.kind is kind
    assert fault.message.startswith((body["error"]["message"].split(":")[0], "Incorrect"))


@each_flavour
@each_sdk
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, K.UNSUPPORTED),
        (401, K.AUTH),
        (403, K.AUTH),
        (404, K.MODEL),
        (408, K.TIMEOUT),
        (413, K.TOO_LARGE),
        (422, K.UNSUPPORTED),
        (429, K.RATE_LIMIT),
        (500, K.TRANSIENT),
        (503, K.TRANSIENT),
        (529, K.TRANSIENT),
    ],
)
def test_error_answers_without_a_body(server, error_of, sdk, flavour, status, kind):
    """With nothing said the status decides; a bare 400 or 422 fails over and counts nothing."""
    script(server, status)
    assert classify(error_of(flavour, sdk)).kind is kind


@each_flavour
@each_sdk
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "Mon, 04 May 2009 12:00:00 GMT"}, 0.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({}, None),
    ],
)
def test_waits_are_read_off_the_response_of_the_error(
    server, error_of, sdk, flavour, headers, seconds
):
    """The headers are on the error's response, whichever httpx made it."""
    script(server, 429, b"{}", {**JSON, **headers})
    fault = classify(error_of(flavour, sdk))
    assert (fault.kind, fault.retry_after) == (K.RATE_LIMIT, seconds)


@each_flavour
@each_sdk
def test_a_page_of_an_edge_speaks_by_its_status(server, error_of, sdk, flavour):
    """HTML is not the API's word."""
    page = "<html><head><title>502 Bad Gateway</title></head><body>rate limit</body></html>"
    script(server, 502, page, {"Content-Type": "text/html"})
    fault = classify(error_of(flavour, sdk))
    assert (fault.kind, fault.message) == (K.TRANSIENT, "502 Bad Gateway")


@each_flavour
@each_sdk
def test_a_refused_connection(error_of, sdk, flavour):
    """Nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert classify(error_of(flavour, sdk, base_url=f"http://127.0.0.1:{port}")).kind is K.CONNECT


@each_flavour
@each_sdk
def test_a_hang(server, error_of, sdk, flavour):
    """The SDK's read timeout ends it."""
    script(server, 200, end="hang")
    assert classify(error_of(flavour, sdk, timeout=0.05)).kind is K.TIMEOUT


@each_flavour
@each_sdk
def test_an_answer_that_is_no_json(server, error_of, sdk, flavour):
    """A truncated answer of status 200 cannot be used."""
    script(server, 200, b'{"id": "x", ')
    assert classify(error_of(flavour, sdk)).kind is K.BAD_RESPONSE


@each_flavour
@each_sdk
def test_a_connection_that_ends_inside_an_answer(server, error_of, sdk, flavour):
    """The server promised a chunk more than it sent."""
    script(server, 200, b'{"id": ', end="cut")
    assert classify(error_of(flavour, sdk)).kind is K.STREAM


FIRST_OPENAI = 'data: {"id":"x","object":"chat.completion.chunk","choices":[],"model":"m"}\n\n'
FIRST_ANTHROPIC = 'event: ping\ndata: {"type": "ping"}\n\n'
STREAMS = [
    ("openai", FIRST_OPENAI, openai_body("x", "server_error"), K.TRANSIENT),
    ("openai", FIRST_OPENAI, openai_body("x", "t", "rate_limit_exceeded"), K.RATE_LIMIT),
    ("openai", FIRST_OPENAI, openai_body("Our servers are currently overloaded."), K.TRANSIENT),
    ("openai", FIRST_OPENAI, openai_body("x"), K.CALLER),
    ("anthropic", FIRST_ANTHROPIC, anthropic_body("x", "overloaded_error"), K.TRANSIENT),
    ("anthropic", FIRST_ANTHROPIC, anthropic_body("x", "api_error"), K.TRANSIENT),
    ("anthropic", FIRST_ANTHROPIC, anthropic_body("x", "rate_limit_error"), K.RATE_LIMIT),
    ("anthropic", FIRST_ANTHROPIC, anthropic_body("x"), K.CALLER),
]


@each_flavour
@pytest.mark.parametrize(("sdk", "first", "body", "kind"), STREAMS)
def test_an_error_inside_a_stream_of_status_200(server, error_of, sdk, flavour, first, body, kind):
    """OpenAI's error has no status then, Anthropic's has 200: the body tells, no hint counts."""
    stream = f"{first}event: error\ndata: {json.dumps(body)}\n\n"
    script(server, 200, stream, {**EVENTS, "retry-after": "25"})
    error = error_of(flavour, sdk, stream=True)
    assert getattr(error, "status_code", None) in {None, 200}
    fault = classify(error)
    assert (fault.kind, fault.retry_after) == (kind, None)


@each_flavour
@pytest.mark.parametrize(
    ("sdk", "first"), [("openai", FIRST_OPENAI), ("anthropic", FIRST_ANTHROPIC)]
)
def test_a_stream_that_is_cut(server, error_of, sdk, flavour, first):
    """The connection closes between chunks; the SDKs wrap this differently."""
    script(server, 200, first, EVENTS, end="cut")
    assert classify(error_of(flavour, sdk, stream=True)).kind is K.STREAM


@each_flavour
@pytest.mark.parametrize(
    ("sdk", "event"),
    [("openai", "data: {oops\n\n"), ("anthropic", "event: message_start\ndata: {oops\n\n")],
)
def test_a_stream_with_an_event_that_is_no_json(server, error_of, sdk, flavour, event):
    """An event nobody can parse is a bad response."""
    script(server, 200, event, EVENTS)
    assert classify(error_of(flavour, sdk, stream=True)).kind is K.BAD_RESPONSE


@each_sdk
def test_a_closed_client_is_the_callers(url, sdk):
    """No other provider is at fault when the client was closed."""
    make, _, ask = SDKS[sdk]
    client = make(base_url=url, **OPTIONS)
    client.close()
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever an SDK raises
        ask(client)
    assert classify(raised.value).kind is K.CALLER


@each_sdk
def test_a_full_connection_pool_is_ours(server, url, sdk):
    """The provider never saw the call: a timeout of our own pool, wrapped as the SDK's timeout."""
    make, _, ask = SDKS[sdk]
    script(server, 200, FIRST_OPENAI, EVENTS)
    http = http_of(make)
    limits = http.Limits(max_connections=1)
    transport = http.Client(limits=limits, timeout=http.Timeout(5, pool=0.01))
    with (
        make(base_url=url, http_client=transport, **OPTIONS) as client,
        transport.stream("POST", url, content=b"x"),
        pytest.raises(Exception, match="timed out") as raised,
    ):
        ask(client)
    assert classify(raised.value).kind is K.LOCAL


def http_of(make):
    """Find which generation of httpx an SDK is built on."""
    with make(base_url="http://127.0.0.1:1", **OPTIONS) as client:
        classes = type(client._client).__mro__
    modules = (c.__module__.partition(".")[0] for c in classes)
    return importlib.import_module(next(name for name in modules if name.startswith("httpx")))


@each_sdk
def test_a_client_of_another_event_loop_is_the_callers(server, url, sdk):
    """A kept connection belongs to the loop of asyncio it was opened in; trio's are nobody's."""
    _, make, ask = SDKS[sdk]
    script(server, 400)
    client = make(base_url=url, **OPTIONS)

    async def call():
        try:
            await ask(client)
        except Exception as error:  # noqa: BLE001  # whatever an SDK raises is the subject
            return error
        return None

    with asyncio.Runner() as here, asyncio.Runner() as elsewhere:
        assert classify(here.run(call())).kind is K.UNSUPPORTED
        error = elsewhere.run(call())
        here.run(client.close())
    assert classify(error).kind is K.CALLER


def test_anthropic_without_a_key_is_an_auth_fault(url, monkeypatch, tmp_path):
    """The SDK raises a TypeError from inside; it is no wrong argument."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with (
        anthropic.Anthropic(base_url=url, max_retries=0) as client,
        pytest.raises(Exception) as raised,  # noqa: PT011  # the type differs by version
    ):
        ask_anthropic(client)
    assert classify(raised.value).kind is K.AUTH


@each_sdk
def test_a_key_that_is_no_header_value_is_ours_and_stays_unseen(error_of, sdk):
    """The provider never saw the call, and nobody sees the key."""
    error = error_of("sync", sdk, api_key="sk-secret-123456\n")
    fault = classify(error)
    assert fault.kind is K.LOCAL
    assert "secret" not in fault.message
