"""Sockets, threads and bytes of the emulator: what is opened is closed, what comes is read."""

import gc
import http.client
import socket
import threading
import time

import openai
import pytest

from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing import Emulator, Hang, Reply, Slow, Status

ASK = b'{"model": "m", "input": "x"}'
REQUEST = b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\n" + ASK
assert len(ASK) == 28


class Wire:
    """A bare connection to a provider."""

    def __init__(self, provider):
        self._socket = socket.create_connection(("127.0.0.1", provider.port), timeout=5)
        self._reader = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._reader.close()
        self._socket.close()

    def send(self, content):
        """Send bytes."""
        self._socket.sendall(content)

    def read_status(self):
        """Read one response to its end; return its status."""
        status = int(self._reader.readline().split()[1])
        size = 0
        while (line := self._reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length: "):
                size = int(line.split()[1])
        assert len(self._reader.read(size)) == size
        return status

    def is_closed(self):
        """Whether nothing more will come."""
        return self._reader.read(1) == b""


@pytest.fixture
def wire(openai_provider):
    """A bare connection to the provider."""
    with Wire(openai_provider) as opened:
        yield opened


def test_small_writes_are_sent_at_once(openai_provider, wire):
    """No event of a stream waits for the client to acknowledge the one before, 40 ms on Linux."""
    wire.send(REQUEST)
    assert wire.read_status() == 200
    (connection,) = openai_provider._listener.connections
    accepted = connection._transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def client_of(provider, limit=5.0):
    """Return an OpenAI client that keeps its connection."""
    return openai.OpenAI(base_url=provider.base_url, api_key="test", max_retries=0, timeout=limit)


def ask(client):
    """Ask once."""
    return client.responses.create(model="m", input="x").output_text


def in_thread(function, *args):
    """Run a function in a thread; return the thread and the list that gets its end."""
    ends = []

    def run():
        try:
            ends.append(function(*args))
        except Exception as error:  # noqa: BLE001  # the test looks at it
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ends


def test_stopping_leaves_nothing_behind():
    """No thread, no socket, no warning, though a client keeps its connection."""
    before = threading.enumerate()
    with Emulator() as emulator:
        client = client_of(emulator.provider("p", dialect="openai"))
        ask(client)
    assert threading.enumerate() == before
    client.close()
    gc.collect()


def test_stopping_ends_hanging_requests_at_once():
    """Their clients see the connection close, long before any time-out."""
    with Emulator() as emulator:
        provider = emulator.provider("p", dialect="openai")
        provider.script(Hang(), Slow(60))
        with client_of(provider, limit=60) as client:
            runs = [in_thread(ask, client) for _ in range(2)]
            emulator.journal.wait_for(2)
            began_at = time.monotonic()
            emulator.stop()
            for thread, _ in runs:
                thread.join()
    assert time.monotonic() - began_at < 5
    assert all(isinstance(ends[0], openai.APIConnectionError) for _, ends in runs)


def test_a_stopped_emulator_refuses_connections():
    """Its ports are closed."""
    with Emulator() as emulator:
        provider = emulator.provider("p", dialect="openai")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", provider.port), timeout=5)


def test_stopping_twice_or_before_the_start_does_nothing():
    """It is safe in a finally."""
    emulator = Emulator()
    emulator.stop()
    emulator = Emulator().start()
    emulator.stop()
    emulator.stop()


def test_an_emulator_starts_once():
    """A second start would mix two journals."""
    with Emulator() as emulator, pytest.raises(RuntimeError, match="started before"):
        emulator.start()
    with pytest.raises(RuntimeError, match="started before"):
        emulator.start()


def test_providers_need_a_running_emulator():
    """To be added, and to be told to refuse."""
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="not running"):
        emulator.provider("p", dialect="openai")
    with emulator:
        provider = emulator.provider("p", dialect="openai")
    with pytest.raises(RuntimeError, match="has stopped"):
        provider.refuse()


def test_emulators_run_side_by_side():
    """Each with its own ports and journal."""
    with Emulator() as first, Emulator() as second:
        providers = [each.provider("p", dialect="openai") for each in (first, second)]
        with client_of(providers[1]) as client:
            ask(client)
        assert (len(first.journal), len(second.journal)) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "", "dialect": "openai"}, "name is ''"),
        ({"name": "taken", "dialect": "openai"}, "name is 'taken'"),
        ({"name": "p", "dialect": "cohere"}, "dialect is 'cohere'; give one of"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(emulator, arguments, words):
    """The error names the argument and its value."""
    emulator.provider("taken", dialect="openai")
    with pytest.raises(ConfigurationError, match=words):
        emulator.provider(**arguments)
    assert list(emulator.providers) == ["taken"]


def test_a_limit_below_one_byte_is_refused():
    """No request has none."""
    with pytest.raises(ConfigurationError, match="max_body_bytes is 0"):
        Emulator(max_body_bytes=0)


def test_a_released_request_is_answered(openai_provider, emulator):
    """One that hangs later is not."""
    openai_provider.script(Hang(), Hang())
    with client_of(openai_provider, limit=0.3) as client:
        thread, ends = in_thread(ask, client)
        emulator.journal.wait_for(1)
        openai_provider.release()
        thread.join()
        assert ends == ["[emulated openai] x"]
        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(timeout=0.1))


def test_a_release_counts_for_a_request_that_would_hang_later(openai_provider, emulator):
    """It has arrived, though it is still delayed."""
    openai_provider.script(Slow(0.05, then=Hang()))
    with client_of(openai_provider) as client:
        thread, ends = in_thread(ask, client)
        emulator.journal.wait_for(1)
        openai_provider.release()
        thread.join()
    assert ends == ["[emulated openai] x"]


def test_recovering_releases_what_hangs(openai_provider, emulator):
    """With the answer of a healthy provider."""
    openai_provider.always(Hang())
    with client_of(openai_provider) as client:
        thread, ends = in_thread(ask, client)
        emulator.journal.wait_for(1)
        openai_provider.recover()
        thread.join()
    assert ends == ["[emulated openai] x"]


def test_connections_are_kept(openai_provider):
    """Two requests of one client share one."""
    with client_of(openai_provider) as client:
        ask(client)
        ask(client)
        assert len(openai_provider._listener.connections) == 1


def test_refusing_closes_idle_connections(openai_provider):
    """So that a client with a pool is refused, too."""
    with client_of(openai_provider) as client:
        ask(client)
        openai_provider.refuse()
        with pytest.raises(openai.APIConnectionError) as caught:
            ask(client)
        assert "refused" in str(caught.value.__cause__).lower()
        openai_provider.accept()
        ask(client)


def test_refusing_lets_requests_under_way_end(openai_provider, emulator):
    """They are answered, and their connection is closed afterwards."""
    openai_provider.script(Hang())
    with client_of(openai_provider) as client:
        thread, ends = in_thread(ask, client)
        emulator.journal.wait_for(1)
        openai_provider.refuse()
        openai_provider.release()
        thread.join()
        assert ends == ["[emulated openai] x"]
        with pytest.raises(openai.APIConnectionError):
            ask(client)


def test_refusing_and_accepting_twice_is_once(openai_provider):
    """Neither is an error."""
    openai_provider.refuse()
    openai_provider.refuse()
    openai_provider.accept()
    openai_provider.accept()
    with client_of(openai_provider) as client:
        ask(client)


def test_a_refusing_provider_keeps_its_port(openai_provider):
    """Nobody else gets it meanwhile."""
    openai_provider.refuse()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", openai_provider.port))


def test_a_client_that_leaves_is_noticed(openai_provider):
    """Its hanging request is given up, and the connection with it."""
    openai_provider.script(Hang())
    with client_of(openai_provider, limit=0.05) as client, pytest.raises(openai.APITimeoutError):
        ask(client)
    give_up_at = time.monotonic() + 5
    while openai_provider._listener.connections and time.monotonic() < give_up_at:
        time.sleep(0.002)
    assert not openai_provider._listener.connections


def run_with(responder, requests, afterwards=lambda: None):
    """Run an emulator whose responder fails; return the outcomes of the requests."""
    with Emulator() as emulator:
        provider = emulator.provider("p", dialect="openai")
        provider.respond(responder)
        with client_of(provider) as client:
            for _ in range(requests):
                with pytest.raises(openai.InternalServerError):
                    ask(client)
        assert {entry.outcome for entry in provider.requests} == {"failed"}
        afterwards()


def fail_with(error):
    """Raise an error; for use in expressions."""
    raise error


def test_what_a_function_raises_is_raised_at_the_end():
    """The client gets a 500, the test the error itself."""
    boom = AssertionError("the prompt was wrong")
    with pytest.raises(AssertionError) as caught:
        run_with(lambda _: fail_with(boom), requests=1)
    assert caught.value is boom


def test_a_function_may_fail_the_test():
    """Though `pytest.fail` raises what is no `Exception`."""
    with pytest.raises(pytest.fail.Exception, match="not this prompt"):
        run_with(lambda _: pytest.fail("not this prompt"), requests=1)


def test_several_errors_of_functions_come_as_a_group():
    """In the order of the requests."""
    with pytest.raises(BaseExceptionGroup) as caught:
        run_with(lambda request: 1 / len(request.prompt[1:]), requests=2)
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError] * 2


def test_the_error_of_the_test_comes_first():
    """That of a function is a note on it."""
    with pytest.raises(KeyError) as caught:
        run_with(lambda _: 503, requests=1, afterwards=lambda: fail_with(KeyError()))
    (note,) = caught.value.__notes__
    assert "what the responder returned is 503" in note


def test_a_clock_that_fails_is_raised_at_the_end():
    """The client gets a 500."""
    with pytest.raises(KeyError), Emulator(clock=lambda: fail_with(KeyError())) as emulator:
        ask_and_fail(emulator.provider("p", dialect="openai"))


def ask_and_fail(provider):
    """Ask once; the answer is an error of the server."""
    with client_of(provider) as client, pytest.raises(openai.InternalServerError):
        ask(client)


def test_a_function_that_blocks_holds_up_nobody_else(openai_provider):
    """Another request is answered meanwhile."""
    both_are_here = threading.Barrier(2, timeout=5)

    def meet(_request):
        both_are_here.wait()

    openai_provider.respond(meet)
    with client_of(openai_provider) as client:
        runs = [in_thread(ask, client) for _ in range(2)]
        for thread, _ in runs:
            thread.join()
    assert [ends for _, ends in runs] == [["[emulated openai] x"]] * 2


def test_a_function_may_use_its_provider(openai_provider):
    """It can script, refuse and read the journal."""

    def respond(_request):
        openai_provider.script(Status(503))
        openai_provider.refuse()
        openai_provider.accept()
        return Reply(f"{len(openai_provider.requests)} before")

    openai_provider.respond(respond)
    with client_of(openai_provider) as client:
        assert ask(client) == "0 before"
        with pytest.raises(openai.InternalServerError):
            ask(client)


def test_a_function_that_never_returns_is_named(openai_provider, emulator):
    """Instead of waiting for it without end."""
    leave = threading.Event()
    openai_provider.respond(lambda _: "late" if leave.wait(5) else None)
    with client_of(openai_provider, limit=0.05) as client, pytest.raises(openai.APITimeoutError):
        ask(client)
    with pytest.raises(RuntimeError, match="a responder of provider 'openai' still runs"):
        openai_provider._exchange.join_responders(0.01)
    leave.set()


def test_a_request_may_come_byte_by_byte(wire):
    """It is answered when it is complete."""
    for byte in REQUEST:
        wire.send(bytes([byte]))
    assert wire.read_status() == 200


def test_requests_may_come_together(wire, openai_provider):
    """They are answered one after the other."""
    openai_provider.script(Status(503), Slow(0.02), Status(401))
    wire.send(REQUEST * 3)
    assert [wire.read_status() for _ in range(3)] == [503, 200, 401]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\nname : x\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /v1/responses HTTP/1.1\r\nx: " + b"x" * 70_000, 431),
    ],
    ids=["words", "version", "colon", "space", "negative", "huge", "chunked", "endless"],
)
def test_what_is_no_request_is_turned_down(wire, request_bytes, status):
    """The connection is closed after the answer."""
    wire.send(request_bytes)
    assert wire.read_status() == status
    assert wire.is_closed()


@pytest.mark.parametrize(
    "request_bytes",
    [
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REQUEST.replace(b"Host: x", b"Connection: Close"),
    ],
    ids=["http-1.0", "close"],
)
def test_a_client_may_ask_for_the_connection_to_close(wire, request_bytes):
    """By its version or in so many words."""
    wire.send(request_bytes)
    assert wire.read_status() == 200
    assert wire.is_closed()


def test_a_client_may_wait_before_it_sends_the_body(wire):
    """It is told to go on."""
    head, _, body = REQUEST.partition(b"\r\n\r\n")
    wire.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert wire.read_status() == 100
    wire.send(body)
    assert wire.read_status() == 200


def test_a_body_that_is_too_large_is_turned_down():
    """With status 413, and the connection goes on."""
    with Emulator(max_body_bytes=len(ASK)) as emulator:
        provider = emulator.provider("p", dialect="openai")
        provider.script(Status(503))
        with client_of(provider) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                client.responses.create(model="m", input="x" * 200_000)
            assert caught.value.status_code == 413
        with Wire(provider) as wire:
            wire.send(b"POST /v1/responses HTTP/1.1\r\nContent-Length: 29\r\n\r\n" + b"x" * 29)
            wire.send(REQUEST)
            assert [wire.read_status() for _ in range(2)] == [413, 503]
    assert [entry.outcome for entry in provider.requests] == ["rejected", "rejected", "status"]


def send_without_end(wire):
    """Send request after request until the other side has enough."""
    while True:
        wire.send(REQUEST * 100)


def test_a_client_that_sends_without_end_is_dropped():
    """While its first request is still being answered."""
    with Emulator(max_body_bytes=100) as emulator:
        provider = emulator.provider("p", dialect="openai")
        provider.script(Hang())
        with Wire(provider) as wire, pytest.raises(OSError, match=r"reset|pipe"):
            send_without_end(wire)


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(wire, openai_provider, status):
    """Whatever was scripted, so that the next response is read right."""
    openai_provider.script(Status(status, "body"))
    wire.send(REQUEST * 2)
    assert [wire.read_status() for _ in range(2)] == [status, 200]


def test_many_clients_at_once(openai_provider):
    """Each gets its own answer, and each request is journalled once."""

    def ask_with(number):
        connection = http.client.HTTPConnection("127.0.0.1", openai_provider.port, timeout=5)
        body = b'{"model": "m", "input": "%d"}' % number
        connection.request("POST", "/v1/responses", body)
        answer = connection.getresponse().read()
        connection.close()
        return b"[emulated openai] %d" % number in answer

    runs = [in_thread(ask_with, number) for number in range(50)]
    for thread, _ in runs:
        thread.join()
    assert all(ends == [True] for _, ends in runs)
    assert sorted(entry.prompt for entry in openai_provider.requests) == sorted(
        str(number) for number in range(50)
    )
