"""What people are shown of an error: the provider's own words, short, and nothing like a key."""

import pytest

from fsm_fallback.providers.faults import classify, classify_response


class SdkError(Exception):
    """An error that carries a body, as SDKs' errors do."""

    def __init__(self, body):
        super().__init__("x")
        self.body = body


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcDEF123456",
        "sk-ant-api03-xyzXYZ",
        "gsk_0123456789",
        "AIzaSyA0123456789-abc",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_messages_hold_no_key(secret):
    """What looks like a key is replaced, wherever it stands."""
    for text in (
        f"Incorrect API key provided: {secret}.",
        f"Illegal header value b'Bearer {secret}\\n'",
        f"GET https://api.example/v1?key={secret}&x=1 failed",
        f"{{'api_key': '{secret}'}}",
        f"{secret} is not allowed",
    ):
        for fault in (
            classify_response(status=401, headers=None, body={"error": {"message": text}}),
            classify_response(status=401, headers=None, body=text),
            classify(RuntimeError(text)),
            classify(SdkError({"error": {"message": text}})),
        ):
            assert secret not in fault.message
            assert "[redacted]" in fault.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("api_key=hunter2, token: 'opensesame' x", "api_key=[redacted], token: '[redacted]' x"),
        ("proxy http://me:pw@host/ failed", "proxy http://[redacted]@host/ failed"),
        ("model claude-sonnet-4-5-20250929-v1 max_tokens: 512",) * 2,
        ("two\n  lines", "two lines"),
    ],
)
def test_messages_stay_readable(text, shown):
    """Keys go, model names and numbers stay, and it is one line."""
    assert classify(RuntimeError(text)).message == shown


def test_messages_are_the_providers_own_words_and_short():
    """Nested texts follow the outer one; a page gives its title; the rest is cut."""
    quoted = {"metadata": {"raw": "upstream is busy"}}
    body = {"error": {"message": "Provider returned error", **quoted}}
    fault = classify_response(status=429, headers=None, body=body)
    assert fault.message == "Provider returned error; upstream is busy"
    page = "<html><title>api | 502: Bad gateway</title><p>x</p></html>"
    assert (
        classify_response(status=502, headers=None, body=page).message == "api | 502: Bad gateway"
    )
    long = classify_response(status=500, headers=None, body={"error": "word " * 10_000}).message
    assert len(long) == 500
    assert long.endswith("…")
    assert classify(ConnectionResetError("peer")).message == "peer"
    assert classify(Exception()).message == ""
