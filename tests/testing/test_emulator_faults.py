"""Every fault of the emulator, as the real SDKs report it."""

import json
import math
import time

import pytest

from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing import (
    Cut,
    Empty,
    ErrorIn200,
    Hang,
    Malformed,
    Overloaded,
    QuotaSpent,
    RateLimited,
    Reply,
    Reset,
    Slow,
    Status,
)

HANG_LIMIT = 0.15

ERRORS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    418: "APIStatusError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    502: "InternalServerError",
    503: "InternalServerError",
    504: "InternalServerError",
    529: "APIStatusError",
}

OPENAI_WORDS = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    418: ("invalid_request_error", None),
    500: ("server_error", None),
    503: ("server_error", None),
    529: ("server_error", None),
}

ANTHROPIC_WORDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    418: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def failure(api, provider, limit=5.0):
    """Ask once and return the error of the SDK."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is what the test is about
        api.ask(provider.base_url, limit=limit)
    return caught.value


@pytest.mark.parametrize("status", ERRORS)
def test_a_status_becomes_the_exception_of_the_sdk(api, provider, status):
    """Its type, its status, and it is journalled as served."""
    provider.script(Status(status))
    error = failure(api, provider)
    assert isinstance(error, getattr(api.sdk, ERRORS[status]))
    assert error.status_code == status
    (entry,) = provider.requests
    assert (entry.outcome, entry.status) == ("status", status)


@pytest.mark.parametrize(("status", "words"), OPENAI_WORDS.items())
def test_openai_says_a_status_in_its_words(chat_api, openai_provider, status, words):
    """Type and code of its error object."""
    openai_provider.script(Status(status))
    error = failure(chat_api, openai_provider)
    assert (error.type, error.code) == words


@pytest.mark.parametrize(("status", "words"), ANTHROPIC_WORDS.items())
def test_anthropic_says_a_status_in_its_words(messages_api, anthropic_provider, status, words):
    """The type of its error object; the request's id is in the body."""
    anthropic_provider.script(Status(status))
    error = failure(messages_api, anthropic_provider)
    assert error.body["error"]["type"] == words
    assert error.body["request_id"] == error.request_id


def test_an_unknown_model_is_named(api, provider):
    """A 404 says which model does not exist."""
    provider.script(Status(404))
    assert "some-model" in str(failure(api, provider))


def test_a_body_of_ones_own_replaces_the_words(api, provider):
    """As JSON."""
    provider.script(Status(500, {"error": {"message": "mine", "type": "t"}}))
    assert "mine" in json.dumps(failure(api, provider).response.json())


def test_a_text_is_sent_as_it_is(api, provider):
    """Such as the page of a gateway."""
    provider.script(Status(502, "<html>Bad gateway", headers={"Content-Type": "text/html"}))
    response = failure(api, provider).response
    assert (response.text, response.headers["content-type"]) == ("<html>Bad gateway", "text/html")


@pytest.mark.parametrize(
    ("body", "content"),
    [(b"\xff", b"\xff"), ("\xe4", b"\xc3\xa4"), ([1], b"[1]"), (None, b"")],
    ids=["bytes", "text", "list", "none"],
)
def test_a_body_may_be_of_any_kind(chat_api, openai_provider, body, content):
    """Bytes, text, JSON, or nothing under a status that is no error."""
    openai_provider.script(Status(500 if body else 200, body), Status(200, body))
    if body:
        assert failure(chat_api, openai_provider).response.content == content
    else:
        assert chat_api.ask(openai_provider.base_url) == ""


def test_headers_of_ones_own_are_sent(api, provider):
    """Beside those of the emulator."""
    provider.script(Status(429, headers={"retry-after-ms": "1500"}))
    headers = failure(api, provider).response.headers
    assert headers["retry-after-ms"] == "1500"
    assert headers["server"] == "fsm-fallback-emulator"


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [(7, "7"), (0.5, "0.5"), (None, None), ("Wed, 21 Oct 2099 07:28:00 GMT",) * 2],
)
def test_a_rate_limit_names_its_wait(api, provider, retry_after, header):
    """In the header, as seconds or as the text given; without one there is none."""
    provider.script(RateLimited(retry_after))
    error = failure(api, provider)
    assert isinstance(error, api.sdk.RateLimitError)
    assert error.response.headers.get("retry-after") == header


def test_openai_names_the_wait_in_words_too(chat_api, openai_provider):
    """In the message of a rate limit."""
    openai_provider.script(RateLimited(1.5))
    error = failure(chat_api, openai_provider)
    assert error.code == "rate_limit_exceeded"
    assert "Please try again in 1.5s." in error.message


def test_spent_credit_speaks_the_dialect(api, provider):
    """OpenAI sends a 429 of another type, Anthropic a 400."""
    provider.script(QuotaSpent())
    error = failure(api, provider)
    if api.dialect == "openai":
        assert (error.status_code, error.code) == (429, "insufficient_quota")
    else:
        assert error.status_code == 400
        assert "credit balance is too low" in str(error)


def test_an_overload_speaks_the_dialect(api, provider):
    """OpenAI sends a 503, Anthropic a 529; both may name a wait."""
    provider.script(Overloaded(retry_after=3))
    error = failure(api, provider)
    assert error.status_code == {"openai": 503, "anthropic": 529}[api.dialect]
    assert error.response.headers["retry-after"] == "3"


def test_faults_are_served_in_the_order_of_the_script(api, provider):
    """One to each request, then answers."""
    provider.script(Status(503), Status(401))
    provider.script(RateLimited())
    assert [failure(api, provider).status_code for _ in range(3)] == [503, 401, 429]
    api.ask(provider.base_url)
    assert [entry.outcome for entry in provider.requests] == [
        "status",
        "status",
        "rate_limited",
        "answer",
    ]


def test_a_fault_can_be_served_always(api, provider):
    """After the script, until the provider recovers."""
    provider.always(Status(503))
    provider.script(Status(401))
    assert [failure(api, provider).status_code for _ in range(3)] == [401, 503, 503]
    provider.recover()
    api.ask(provider.base_url)


def test_recovering_forgets_the_script(api, provider):
    """Nothing of it is served later."""
    provider.script(Status(503), Status(503))
    assert provider.pending == 2
    provider.recover()
    assert provider.pending == 0
    api.ask(provider.base_url)


def test_malformed_json_cannot_be_read(api, provider):
    """The SDK lets the parser's error through."""
    provider.script(Malformed())
    assert isinstance(failure(api, provider), json.JSONDecodeError)


def test_an_empty_body_is_no_answer(api, provider):
    """The SDK hands over what it got: nothing."""
    provider.script(Empty())
    assert not api.ask(provider.base_url)


def test_an_error_can_come_in_a_200(api, provider):
    """The SDK hands over an answer without content."""
    provider.script(ErrorIn200())
    answer = api.ask(provider.base_url)
    with pytest.raises((TypeError, AttributeError)):
        api.text(answer)


def test_an_error_can_come_in_a_stream(api, provider):
    """As a server-sent event under status 200; SDKs raise it, the responses API hands it over."""
    provider.script(ErrorIn200(503))
    if api.endpoint == "responses":
        assert [event.type for event in api.stream(provider.base_url)] == ["error"]
    else:
        with pytest.raises(api.sdk.APIError) as caught:
            api.stream(provider.base_url)
        assert getattr(caught.value, "status_code", 200) == 200
    (entry,) = provider.requests
    assert (entry.outcome, entry.status) == ("error_in_200", 200)


def test_the_form_of_an_error_in_a_200_can_be_chosen(chat_api, openai_provider):
    """Events where none were asked for."""
    openai_provider.script(ErrorIn200(events=True))
    answer = chat_api.ask(openai_provider.base_url)
    assert "data: " in answer


def test_a_cut_answer_is_a_connection_error(api, provider):
    """Half of the body came."""
    provider.script(Cut())
    error = failure(api, provider)
    assert isinstance(error, api.sdk.APIConnectionError)
    assert not isinstance(error, api.sdk.APITimeoutError)
    (entry,) = provider.requests
    assert (entry.outcome, entry.status) == ("cut", 200)


@pytest.mark.parametrize("after_bytes", [0, 1, 10**9])
def test_a_cut_answer_is_never_complete(api, provider, after_bytes):
    """Even if it is cut after more bytes than it has."""
    provider.script(Cut(after_bytes))
    assert isinstance(failure(api, provider), api.sdk.APIConnectionError)


def test_an_error_response_can_be_cut(api, provider):
    """What matters is the cut: the SDK cannot read the error."""
    provider.script(Cut(of=Status(503)))
    assert isinstance(failure(api, provider), api.sdk.APIError)


def test_a_response_without_a_body_is_cut_in_its_head(api, provider):
    """It never looks complete."""
    provider.script(Cut(of=Empty()))
    assert isinstance(failure(api, provider), api.sdk.APIConnectionError)


def test_a_reset_is_a_connection_error(api, provider):
    """Without a byte of an answer."""
    provider.script(Reset())
    error = failure(api, provider)
    assert isinstance(error, api.sdk.APIConnectionError)
    (entry,) = provider.requests
    assert (entry.outcome, entry.status) == ("reset", None)


def test_a_hang_is_cut_by_the_timeout_of_the_client(api, provider):
    """The request has arrived, nothing came back."""
    provider.script(Hang())
    error = failure(api, provider, limit=HANG_LIMIT)
    assert isinstance(error, api.sdk.APITimeoutError)
    (entry,) = provider.requests
    assert (entry.outcome, entry.status) == ("hang", None)


def test_a_slow_answer_is_cut_by_the_timeout_of_the_client(api, provider):
    """The next request is not held up by it."""
    provider.script(Slow(30))
    assert isinstance(failure(api, provider, limit=HANG_LIMIT), api.sdk.APITimeoutError)
    began_at = time.monotonic()
    api.ask(provider.base_url)
    assert time.monotonic() - began_at < 5


def test_a_fault_can_be_slow(api, provider):
    """It comes after the delay, in its own words."""
    provider.script(Slow(0.02, then=Status(503)))
    assert failure(api, provider).status_code == 503
    (entry,) = provider.requests
    assert (entry.outcome, entry.status) == ("slow", 503)


def test_a_refused_connection_is_real(api, provider):
    """The operating system refuses it, and nothing is journalled."""
    provider.refuse()
    error = failure(api, provider)
    assert isinstance(error, api.sdk.APIConnectionError)
    assert "refused" in str(error.__cause__).lower() or "failed" in str(error.__cause__).lower()
    assert provider.requests == ()


def test_a_refusing_provider_accepts_again_on_its_port(api, provider):
    """The base URL stays good, and scripted faults have waited."""
    provider.script(Status(503))
    with provider.refusing():
        assert isinstance(failure(api, provider), api.sdk.APIConnectionError)
    assert failure(api, provider).status_code == 503
    api.ask(provider.base_url)


def test_recovering_opens_the_port(api, provider):
    """Whatever it was that was wrong."""
    provider.refuse()
    provider.recover()
    api.ask(provider.base_url)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Status(99), "Status.status is 99"),
        (lambda: Status(600), "Status.status is 600"),
        (lambda: Status("503"), "Status.status is '503'"),
        (lambda: Status(503, headers={"a b": "c"}), "the name 'a b'"),
        (lambda: Status(503, headers={"a": "b\r\nc: d"}), "printable"),
        (lambda: Status(503, headers={"Content-Length": "3"}), "sets by itself"),
        (lambda: RateLimited(-1), "RateLimited.retry_after is -1"),
        (lambda: RateLimited(math.nan), "RateLimited.retry_after is nan"),
        (lambda: Overloaded("a\nb"), "Overloaded.retry_after is"),
        (lambda: Empty(0), "Empty.status is 0"),
        (lambda: ErrorIn200(200), "ErrorIn200.error is 200"),
        (lambda: Slow(-1), "Slow.seconds is -1"),
        (lambda: Slow(math.inf), r"use Hang\(\)"),
        (lambda: Slow(1, then=503), "Slow.then is 503"),
        (lambda: Cut(-1), "Cut.after_bytes is -1"),
        (lambda: Cut(of=Hang()), "Cut.of is Hang"),
    ],
)
def test_a_step_that_cannot_work_is_refused(make, words):
    """The error names the field and its value."""
    with pytest.raises(ConfigurationError, match=words):
        make()


@pytest.mark.parametrize("step", [503, None, Status, ConnectionError()])
def test_only_steps_can_be_scripted(openai_provider, step):
    """Nothing of a script with something else in it is kept."""
    with pytest.raises(ConfigurationError, match="step 2 of the script"):
        openai_provider.script(Reply(), step)
    with pytest.raises(ConfigurationError, match="always"):
        openai_provider.always(step)
    assert openai_provider.pending == 0


def test_only_a_function_can_respond(openai_provider):
    """A text is a step: Reply("text")."""
    with pytest.raises(ConfigurationError, match="the responder is 'text'"):
        openai_provider.respond("text")
