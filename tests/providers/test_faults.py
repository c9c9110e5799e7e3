"""What the classifier makes of exceptions: class names, attributes, text, causes, traceback."""

import asyncio
import concurrent.futures
import enum
import errno
import functools
import json
import math
import socket
import ssl
import subprocess
import sys
import types

import anyio
import anyio.to_thread
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import errors
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.providers import faults
from fsm_fallback.providers.fault_table import SIGNALS
from fsm_fallback.providers.faults import classify, classify_response

K = FaultKind


def qualified(function):
    """What a function is called, and where it is from."""
    return f"{function.__module__}.{function.__qualname__}"


def named(name, *bases):
    """Make an exception class: only its name and bases matter."""
    return type(name, bases or (Exception,), {})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncio.CancelledError(), K.CANCELLED),
        (concurrent.futures.CancelledError(), K.CANCELLED),
        (GeneratorExit(), K.CANCELLED),
        (KeyboardInterrupt(), K.CANCELLED),
        (SystemExit(), K.CANCELLED),
        (named("Cancelled", BaseException)(), K.CANCELLED),
        (BaseExceptionGroup("g", [KeyboardInterrupt()]), K.CANCELLED),
        (TimeoutError(), K.TIMEOUT),
        (OSError(errno.ETIMEDOUT, "x"), K.TIMEOUT),
        (named("TooSlowError")(), K.TIMEOUT),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), K.CONNECT),
        (ConnectionResetError(errno.ECONNRESET, "x"), K.CONNECT),
        (BrokenPipeError(errno.EPIPE, "x"), K.CONNECT),
        (ConnectionError("Failed to connect to Ollama"), K.CONNECT),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), K.CONNECT),
        (OSError(errno.EHOSTUNREACH, "x"), K.CONNECT),
        (OSError(errno.EMFILE, "x"), K.LOCAL),
        (OSError(errno.ENETUNREACH, "x"), K.LOCAL),
        (MemoryError(), K.LOCAL),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), K.LOCAL),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), K.CONNECT),
        (named("PoolTimeout", named("TimeoutException"))(), K.LOCAL),
        (named("ConnectTimeout", named("ConnectionError"), named("Timeout"))(), K.TIMEOUT),
        (named("NewConnectionError", named("ConnectTimeoutError"))(), K.CONNECT),
        (named("IncompleteRead")(), K.STREAM),
        (named("DeadlineExceeded")(), K.TIMEOUT),
        (named("NoCredentialsError")(), K.AUTH),
        (named("ContextWindowExceededError", named("BadRequestError"))("x"), K.CONTEXT),
        (named("ContentPolicyViolationError", named("BadRequestError"))("x"), K.CONTENT),
        (named("BudgetExceededError")("x"), K.QUOTA),
        (json.JSONDecodeError("Expecting value", "x", 0), K.BAD_RESPONSE),
        (NotImplementedError("streaming"), K.UNSUPPORTED),
        (named("Cancelled")(), K.UNKNOWN),
        (Exception("boom"), K.UNKNOWN),
        (ValueError(), K.UNKNOWN),
        (KeyError("rate limit"), K.UNKNOWN),
        (AttributeError("'X' has no attribute 'model not found'"), K.UNKNOWN),
        (TypeError("unsupported operand type"), K.UNKNOWN),
        (TypeError(), K.UNKNOWN),
    ],
)
def test_exceptions_speak_by_their_class(error, kind):
    """Names along the MRO decide, the nearest first; texts of programming errors do not count."""
    assert classify(error).kind is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Event loop is closed", K.CALLER),
        ("Cannot send a request, as the client has been closed.", K.CALLER),
        ("<asyncio.locks.Lock object> is bound to a different event loop", K.CALLER),
        ("Task got Future attached to a different loop", K.CALLER),
        ("Session is closed", K.CALLER),
        ("429 Too Many Requests", K.RATE_LIMIT),
        ("503 UNAVAILABLE. {'error': {'code': 503, 'status': 'UNAVAILABLE'}}", K.TRANSIENT),
        ("Error code: 402 - {'error': {'message': 'x', 'type': 'y'}}", K.QUOTA),
        ("openai.APITimeoutError: Request timed out.", K.TIMEOUT),
        ("API error occurred: Status 401\nBody: x", K.AUTH),
        ("the server disconnected without sending a response", K.CONNECT),
        ("(incomplete chunked read)", K.STREAM),
        ("Connection error.", K.CONNECT),
        ("connect ECONNREFUSED 127.0.0.1:443", K.CONNECT),
        ("ReadTimeout: The read operation timed out", K.TIMEOUT),
        ("HTTPSConnectionPool: too many open files", K.LOCAL),
    ],
)
def test_a_bare_exception_speaks_by_its_text(text, kind):
    """A RuntimeError into which an SDK's error was printed is read like a body."""
    assert classify(RuntimeError(text)).kind is kind


def wrapped(outer, inner):
    """Give an error the cause that `raise … from` gives it."""
    outer.__cause__ = inner
    return outer


CONNECTION_ERROR = named("APIConnectionError")
TIMEOUT_ERROR = named("APITimeoutError", CONNECTION_ERROR)


@pytest.mark.parametrize(
    ("outer", "inner", "kind"),
    [
        (CONNECTION_ERROR("x"), named("ConnectError")("refused"), K.CONNECT),
        (CONNECTION_ERROR("x"), OSError(errno.EMFILE, "x"), K.LOCAL),
        (CONNECTION_ERROR("x"), ssl.SSLCertVerificationError(1, "x"), K.LOCAL),
        (CONNECTION_ERROR("x"), named("ReadTimeout")(), K.TIMEOUT),
        (CONNECTION_ERROR("x"), named("RemoteProtocolError")("incomplete chunked read"), K.STREAM),
        (CONNECTION_ERROR("x"), RuntimeError("Event loop is closed"), K.CALLER),
        (CONNECTION_ERROR("x"), ValueError("rate limit"), K.CONNECT),
        (TIMEOUT_ERROR("x"), named("PoolTimeout", named("TimeoutException"))(), K.LOCAL),
        (TIMEOUT_ERROR("x"), ConnectionResetError(), K.TIMEOUT),
        (TimeoutError(), asyncio.CancelledError(), K.TIMEOUT),
        (ValueError("boom"), asyncio.CancelledError(), K.UNKNOWN),
        (ValueError("boom"), ConnectionResetError(), K.CONNECT),
        (ValueError("boom"), wrapped(CONNECTION_ERROR("x"), named("PoolTimeout")()), K.LOCAL),
        (named("RequestRejected")(), ConnectionResetError(), K.CALLER),
    ],
)
def test_a_cause_may_correct_its_wrapper(outer, inner, kind):
    """A wrapper says too little; of a cause only what is more exact is believed."""
    assert classify(wrapped(outer, inner)).kind is kind


def test_a_context_counts_unless_it_was_suppressed():
    """What was being handled counts like a cause; `from None` hides it."""
    error = ValueError("boom")
    error.__context__ = ConnectionResetError()
    assert classify(error).kind is K.CONNECT
    error.__suppress_context__ = True
    assert classify(error).kind is K.UNKNOWN


def test_a_plain_group_is_read_by_its_members():
    """A task group wraps the one error that matters."""
    assert classify(ExceptionGroup("g", [ValueError("x"), TimeoutError()])).kind is K.TIMEOUT


def test_circular_causes_end():
    """Each exception is visited once."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert classify(first).kind is K.UNKNOWN


@pytest.mark.parametrize(
    ("error", "kind", "wait"),
    [
        (errors.BreakerOpen("a", "open", 12.5), K.TRANSIENT, 12.5),
        (errors.BreakerOpen("a", "forced_open"), K.TRANSIENT, None),
        (errors.BreakerOpen("a", "open", math.inf), K.TRANSIENT, None),
        (errors.AllProvidersFailed("x", [ValueError()], (), 3.0), K.TRANSIENT, 3.0),
        (errors.RequestRejected("x", [ConnectionError()]), K.CALLER, None),
        (errors.DeadlineExceeded("x", [ValueError()]), K.TIMEOUT, None),
        (errors.StreamInterrupted("x", [ValueError()]), K.STREAM, None),
        (errors.StreamTruncated("x"), K.STREAM, None),
        (errors.ConfigurationError("x"), K.CALLER, None),
        (errors.StoreUnavailable("x"), K.LOCAL, None),
        (errors.UnpicklableError("openai.RateLimitError", 429, "x"), K.RATE_LIMIT, None),
    ],
)
def test_errors_of_this_library_are_understood_when_chains_nest(error, kind, wait):
    """An open breaker and a failed chain say when to come back."""
    fault = classify(error)
    assert (fault.kind, fault.retry_after) == (kind, wait)


def response(status=None, headers=None, content=None):
    """Stand in for a response of httpx or requests."""
    found = types.SimpleNamespace(headers=headers)
    if status is not None:
        found.status_code = status
    if content is not None:
        found._content = content
    return found


def with_attributes(error, /, **attributes):
    """Give an error the attributes an SDK gives it."""
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


BOTO = {
    "Error": {"Code": "ThrottlingException", "Message": "Too many requests"},
    "ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "3"}},
}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"response": BOTO}, Fault(K.RATE_LIMIT, retry_after=3.0)),
        (
            {"response": response(429, {"Retry-After": "2"}, b'{"error":"x"}')},
            Fault(K.RATE_LIMIT, retry_after=2.0),
        ),
        ({"response": response(400, {}, b'{"error":"x"}')}, Fault(K.CALLER)),
        ({"code": 429, "headers": {"retry-after": "1"}}, Fault(K.RATE_LIMIT, retry_after=1.0)),
        ({"status_code": -1, "error": "x"}, Fault(K.UNKNOWN)),
        ({"status_code": 404, "param": "file"}, Fault(K.CALLER)),
        ({"status": 503}, Fault(K.TRANSIENT)),
        ({"code": 503, "status": "UNAVAILABLE", "details": {"error": {}}}, Fault(K.TRANSIENT)),
        ({"code": 429, "details": {"status": "RESOURCE_EXHAUSTED"}}, Fault(K.RATE_LIMIT)),
        ({"http_status": 402}, Fault(K.QUOTA)),
        ({"http_status": 429, "http_body": '{"code": "insufficient_quota"}'}, Fault(K.QUOTA)),
        ({"response": response(429, {}, b'{"code":"insufficient_quota"}')}, Fault(K.QUOTA)),
        ({"response": response(429, {}, content=False)}, Fault(K.RATE_LIMIT)),
        ({"status_code": 429, "body": '{"type":"rate_limited"}'}, Fault(K.RATE_LIMIT)),
        ({"status_code": 200, "body": {"error": {"type": "overloaded_error"}}}, Fault(K.TRANSIENT)),
        ({"status_code": 200}, Fault(K.BAD_RESPONSE)),
        ({"type": "overloaded_error"}, Fault(K.TRANSIENT)),
        ({"error_code": "contract_spend_limit_reached"}, Fault(K.QUOTA)),
        ({"status_code": True, "code": object(), "body": object()}, Fault(K.UNKNOWN)),
    ],
)
def test_attributes_that_sdks_share_are_read(attributes, expected):
    """Status, code, type, body, headers and response are read wherever an SDK puts them."""
    fault = classify(with_attributes(Exception("x"), **attributes))
    assert (fault.kind, fault.retry_after) == (expected.kind, expected.retry_after)


class GrpcStatus(enum.Enum):
    """As grpc.StatusCode: the value is a pair."""

    UNAVAILABLE = (14, "unavailable")


def test_a_grpc_error_is_asked_for_its_code():
    """`code()` of an RpcError is a method and gives an enum."""
    error = named("AioRpcError", named("RpcError"))("x")
    error.code = lambda: GrpcStatus.UNAVAILABLE
    assert classify(error).kind is K.TRANSIENT
    other = named("OtherError")("x")
    other.code = lambda: GrpcStatus.UNAVAILABLE
    assert classify(other).kind is K.UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "Error code: 400",
        "Client error '400 Bad Request' for url 'https://api.example/models/not-found'",
        "400 Client Error: Bad Request for url: https://api.example/v1",
        "HTTP Error 400: Bad Request",
        "Error code: 400 - {}",
        "",
    ],
)
def test_a_status_line_is_not_the_providers_word(text):
    """What a client writes over an empty body says nothing: a bare 400 fails over."""
    error = with_attributes(Exception(text), response=response(400, {}, b""))
    assert classify(error).kind is K.UNSUPPORTED


def call_in_a_driver(function, *arguments, module="fsm_fallback.drivers.sync"):
    """Call as our driver does, in a frame of our package, and hand back what was raised."""
    source = (
        "def drive(function, arguments):\n"
        "    try:\n"
        "        function(*arguments)\n"
        "    except Exception as error:\n"
        "        return error\n"
    )
    namespace = {"__name__": module}
    exec(compile(source, module, "exec"), namespace)  # noqa: S102
    return namespace["drive"](function, arguments)


def ask(prompt):
    """Fail inside, as a user's function does over an answer of an unexpected shape."""
    return len(prompt) + prompt


def in_a_worker_thread(function, *arguments):
    """Call as user code may, in a thread of its own."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def test_a_type_error_of_the_call_itself_is_the_callers():
    """Wrong arguments are found before a frame of the callee exists."""
    assert classify(call_in_a_driver(ask)).kind is K.CALLER
    assert classify(call_in_a_driver(ask, 1, 2)).kind is K.CALLER
    assert classify(call_in_a_driver(functools.partial(ask, 1), 2)).kind is K.CALLER
    assert classify(call_in_a_driver(len, 5)).kind is K.CALLER
    assert classify(call_in_a_driver(None)).kind is K.CALLER


def test_a_type_error_below_the_call_must_fail_over():
    """An answer of an unexpected shape inside the user's function is nobody's wrong argument."""
    assert classify(call_in_a_driver(ask, "hello")).kind is K.UNKNOWN
    assert classify(call_in_a_driver(in_a_worker_thread, ask)).kind is K.UNKNOWN


@pytest.mark.parametrize(
    "thread", [anyio.to_thread.run_sync, asyncio.to_thread, trio.to_thread.run_sync], ids=qualified
)
def test_a_worker_thread_between_us_and_the_callable_does_not_hide_the_boundary(thread):
    """Whichever library's it is: those frames are machinery."""
    backend = "trio" if "trio" in qualified(thread) else "asyncio"
    in_thread = functools.partial(anyio.run, thread, backend=backend)
    assert classify(call_in_a_driver(in_thread, ask)).kind is K.CALLER
    assert classify(call_in_a_driver(in_thread, functools.partial(ask, 5))).kind is K.UNKNOWN


def test_a_worker_thread_of_anyio_in_trio_does_not_hide_the_boundary_either():
    """There it stands on trio's own."""
    in_trio = functools.partial(anyio.run, anyio.to_thread.run_sync, backend="trio")
    assert classify(call_in_a_driver(in_trio, ask)).kind is K.CALLER
    assert classify(call_in_a_driver(in_trio, functools.partial(ask, 5))).kind is K.UNKNOWN


def test_a_type_error_outside_our_frames_is_unknown():
    """A package that merely starts with our name is not ours."""
    error = call_in_a_driver(ask, module="fsm_fallback_extras.drivers")
    assert classify(error).kind is K.UNKNOWN


def test_frames_above_ours_do_not_matter():
    """Who called us cannot be to blame for what happens below."""
    error = call_in_a_driver(ask)
    with pytest.raises(TypeError) as again:
        raise error
    assert again.value.__traceback__.tb_frame.f_globals["__name__"] == __name__
    assert classify(again.value).kind is K.CALLER


def test_an_sdk_without_a_key_is_an_auth_fault():
    """Anthropic's client raises a TypeError when it has no credentials."""
    error = TypeError('"Could not resolve authentication method. Expected one of api_key"')
    assert classify(error).kind is K.AUTH


class Hostile(Exception):
    """An exception of which every attribute raises."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError("str")


class HostileProperties(Exception):
    """An exception with a few attributes that raise, and one that does not."""

    status_code = 429

    @property
    def body(self):
        """Raise."""
        raise ValueError("body")

    @property
    def response(self):
        """Raise."""
        raise OSError("response")

    def __str__(self):
        raise RuntimeError("str")


class HostileMapping(dict):
    """A mapping that cannot be iterated."""

    def items(self):
        """Raise."""
        raise RuntimeError("items")


def test_hostile_errors_harm_nobody():
    """Attributes that raise hide only themselves."""
    assert classify(Hostile()).kind is K.UNKNOWN
    assert classify(HostileProperties()).kind is K.RATE_LIMIT
    error = with_attributes(Exception("x"), status_code=503, headers=HostileMapping(a="b"))
    assert classify(error).kind is K.TRANSIENT
    trap = HostileMapping(a="b")
    assert classify_response(status=503, headers=trap, body=None).kind is K.TRANSIENT
    assert isinstance(classify_response(status=503, headers=None, body=trap), Fault)


class Slotted(Exception):
    """An exception that keeps its status out of `vars`."""

    __slots__ = ("status_code",)


def test_equal_plain_errors_are_classified_alike_and_apart_from_others():
    """Remembering what was seen changes nothing: not across classes, texts or attributes."""
    faults._REMEMBERED.clear()
    first = classify(ConnectionResetError("x"))
    assert classify(ConnectionResetError("x")) is first
    assert classify(ValueError("x")).kind is K.UNKNOWN
    assert classify(with_attributes(ValueError("x"), status_code=429)).kind is K.RATE_LIMIT
    assert classify(with_attributes(ValueError("x"), status_code=503)).kind is K.TRANSIENT
    assert classify(with_attributes(ValueError("x"), code=503)).kind is K.TRANSIENT
    assert classify(ValueError("x", "code", 503)).kind is K.UNKNOWN
    for status, kind in ((429, K.RATE_LIMIT), (503, K.TRANSIENT)):
        assert classify(with_attributes(Slotted("x"), status_code=status)).kind is kind
    for number, kind in ((errno.EMFILE, K.LOCAL), (errno.ECONNRESET, K.CONNECT)):
        assert classify(with_attributes(OSError("x"), errno=number)).kind is kind
    for number in range(1000):
        classify(ValueError(number))
    assert len(faults._REMEMBERED) <= 256


class Dynamic(Exception):
    """An exception whose attributes are made when they are asked for."""

    status = 429

    def __getattr__(self, name):
        """Answer a status code from elsewhere."""
        if name == "status_code":
            return Dynamic.status
        raise AttributeError(name)


def test_what_is_not_in_sight_is_looked_at_each_time():
    """Equal args say nothing where attributes are dynamic, a file is named or somebody wrote."""
    assert classify(Dynamic("x")).kind is K.RATE_LIMIT
    Dynamic.status = 503
    assert classify(Dynamic("x")).kind is K.TRANSIENT
    assert "left.txt" in classify(OSError(2, "x", "left.txt")).message
    assert "right.txt" in classify(OSError(2, "x", "right.txt")).message
    assert classify(with_attributes(OSError(2, "x"), strerror="y")).message == "[Errno 2] y"
    assert classify(OSError(2, "x")).message == "[Errno 2] x"


def test_what_holds_the_same_in_another_place_is_another_error():
    """Args are not attributes, True is not 1, and two args are not one."""
    assert classify(ValueError("x", 1)).message != classify(ValueError("x", True)).message  # noqa: FBT003
    assert classify(ValueError("x", "status_code", 503)).kind is K.UNKNOWN
    assert classify(with_attributes(ValueError("x"), status_code=503)).kind is K.TRANSIENT
    assert classify(ValueError("x", "status_code", 503)).kind is K.UNKNOWN
    assert classify(ValueError("x", None)).message != classify(ValueError("x")).message


def test_a_remembered_wrapper_is_corrected_by_its_origin():
    """What is remembered is the verdict on the exception itself, not on what it came from."""
    full = named("PoolTimeout")("x")
    for _ in range(2):
        plain, wrapping, hiding = TimeoutError("x"), TimeoutError("x"), TimeoutError("x")
        wrapping.__cause__ = full
        hiding.__context__, hiding.__suppress_context__ = full, True
        assert classify(plain).kind is K.TIMEOUT
        assert classify(wrapping).kind is K.LOCAL
        assert classify(hiding).kind is K.TIMEOUT


def test_importing_the_package_leaves_what_errors_need_to_the_first_error():
    """No phrase is compiled, and what reads mail, dates, digests and pickles is not imported."""
    code = """
import sys, attrs, transitions
before = set(sys.modules)
import fsm_fallback
from fsm_fallback.providers import signals
costly = "asyncio datetime email.utils hashlib ipaddress pickle socket structlog cattrs".split()
print(*(set(costly) & set(sys.modules) - before), signals._compiled.cache_info().currsize)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ours
    assert done.stdout.split() == ["0"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "Error"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    name=st.sampled_from(sorted({n for row in SIGNALS for n in (*row.names, *row.status_names)})),
    text=st.text(),
    attributes=st.dictionaries(
        st.sampled_from(["status_code", "code", "type", "body", "param", "retry_after", "errno"])
        | st.sampled_from(["status", "message", "headers", "details", "error", "response"]),
        VALUES | st.integers(0, 700),
        max_size=4,
    ),
)
def test_any_exception_gives_a_fault(name, text, attributes):
    """Whatever is raised, `classify` never raises and every wait is finite."""
    error = with_attributes(named(name)(text), **attributes)
    fault = classify(error)
    assert isinstance(fault, Fault)
    assert fault.retry_after is None or math.isfinite(fault.retry_after)
    assert len(fault.message) <= 500
