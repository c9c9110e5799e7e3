"""Wait hints: every dialect gives finite seconds, junk gives none, a success is not believed."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.providers.waits import (
    LONGEST_WAIT,
    duration_seconds,
    named_wait,
    wait_from_text,
)

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
NOON_IN_HTTP = "Mon, 04 May 2026 12:00:00 GMT"


def wait(headers, status=429):
    """Read headers at noon."""
    return named_wait(status=status, headers=headers, now=NOON)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("30s", 30.0),
        ("Mon, 04 May 2026 12:00:25 GMT", 25.0),
        ("2026-05-04T12:01:00Z", 60.0),
        ("2026-05-04T14:01:00+02:00", 60.0),
        ("Mon, 04 May 2026 11:00:00 GMT", 0.0),
        ("1e300", LONGEST_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    """Seconds, fractions, HTTP dates and RFC 3339 are read; the past means now; huge is cut."""
    assert wait({"retry-after": value}) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "-0.5",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "soon",
        "7 apples",
        "9" * 500,
        "Mon, 99",
        "{}",
    ],
)
def test_retry_after_that_is_junk_names_no_time(value):
    """Negative, infinite, overlong and unreadable values are no hint."""
    assert wait({"retry-after": value}) is None


def test_a_date_counts_from_the_providers_own_clock():
    """With a date header, the answer's clock decides, however wrong ours is."""
    headers = {
        "Retry-After": "Mon, 04 May 2026 12:00:25 GMT",
        "Date": "Mon, 04 May 2026 12:00:20 GMT",
    }
    assert wait(headers) == 5.0


def test_a_date_header_that_is_junk_leaves_the_given_clock():
    """An unreadable date header is as good as none."""
    headers = {"Retry-After": "Mon, 04 May 2026 12:00:25 GMT", "Date": "yesterday"}
    assert wait(headers) == 25.0


def test_a_date_without_now_counts_from_the_wall_clock():
    """By default an absolute date is held against the wall clock."""
    an_hour_ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    found = named_wait(status=429, headers={"retry-after": an_hour_ahead})
    assert found is not None
    assert 3500.0 < found <= 3600.0


@pytest.mark.parametrize("now", [NOON, NOON.replace(tzinfo=None), NOON.astimezone(timezone.min)])
def test_now_may_be_in_any_zone(now):
    """A `now` without a zone is taken as UTC."""
    assert named_wait(headers={"retry-after": "2026-05-04T12:00:09Z"}, now=now) == 9.0


@pytest.mark.parametrize("name", ["retry-after-ms", "Retry-After-Ms", "x-ms-retry-after-ms"])
def test_milliseconds_are_read(name):
    """Azure and OpenAI name milliseconds, under two names, in any case."""
    assert wait({name: "250"}) == 0.25


def test_the_longer_of_milliseconds_and_seconds_counts():
    """Azure rounds one of the two down, even to 0."""
    assert wait({"retry-after-ms": "0", "retry-after": "1"}) == 1.0
    assert wait({"retry-after-ms": "26549", "retry-after": "26"}) == 26.549


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_success_is_never_believed(status):
    """Anthropic sends retry-after with most answers of status 200."""
    headers = {"retry-after": "25", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}
    fields = [("retryDelay", "26s")]
    text = "try again in 3s"
    assert named_wait(status=status, headers=headers, fields=fields, text=text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("17.399999999s", 17.399999999),
        ("1m0.36s", 60.36),
        ("1h2m3s", 3723.0),
        ("1d", 86400.0),
        ("2 hours 5 minutes", 7500.0),
        ("3 secs", 3.0),
        ("1 day", 86400.0),
        ("0s", 0.0),
    ],
)
def test_durations_carry_units(text, seconds):
    """Go durations and spelt-out ones are read alike."""
    assert duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "-5s", "5s later", "1 sheep", "9" * 90 + "s"])
def test_what_is_no_duration_names_no_time(text):
    """A bare number has no unit, a sign no meaning, a rest no reading."""
    assert duration_seconds(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 1m0.36s. See the docs.", 60.36),
        ("Please try again in 6ms.", 0.006),
        ("Please retry after 3 seconds.", 3.0),
        ("Please wait 7 seconds", 7.0),
        ("Please wait for 7 seconds", 7.0),
        ("retry in 36.429760048s.", 36.429760048),
        ("Try again after\n 2 minutes", 120.0),
        ("limit resets in 3h", 10800.0),
        ("try again in about 20 minutes", 1200.0),
    ],
)
def test_a_text_may_ask_for_a_wait(text, seconds):
    """The words before the duration make it a request."""
    assert wait_from_text(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "created within the last 5 minutes, please wait a moment and try again",
        "it can take up to 15 minutes",
        "Please try again in a few minutes",
        "please retry 3 times",
        "retry after 7",
        "limited to 10 calls / minute",
        "wait 5 members",
    ],
)
def test_other_numbers_in_a_text_are_no_wait(text):
    """A duration nobody asks to wait for, and a request without a unit, are no hint."""
    assert wait_from_text(text) is None


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("retrydelay", "26s", 26.0),
        ("retrydelay", {"seconds": 3, "nanos": 500_000_000}, 3.5),
        ("retrydelay", {"seconds": "x"}, None),
        ("retryafter", 12, 12.0),
        ("retryafterms", 1500, 1.5),
        ("estimatedtime", 20.5, 20.5),
        ("retryafter", math.nan, None),
        ("retryafter", True, None),
        ("retryafter", [3], None),
        ("retryafter", 10**400, None),
    ],
)
def test_body_fields_name_delays(name, value, seconds):
    """Gemini's RetryInfo, OpenRouter's seconds and Hugging Face's loading time are read."""
    assert named_wait(status=429, fields=[(name, value)]) == seconds


def test_the_most_specific_hint_wins():
    """Header before body field before text before bucket resets."""
    buckets = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "4s"}
    fields = [("retrydelay", "2s")]
    text = "try again in 3s"
    with_header = {**buckets, "retry-after": "1"}
    assert named_wait(status=429, headers=with_header, fields=fields, text=text) == 1.0
    assert named_wait(status=429, headers=buckets, fields=fields, text=text) == 2.0
    assert named_wait(status=429, headers=buckets, text=text) == 3.0
    assert named_wait(status=429, headers=buckets) == 4.0


def test_only_empty_buckets_explain_a_refusal():
    """A bucket with something left says nothing, however soon it resets."""
    headers = {
        "anthropic-ratelimit-requests-remaining": "4000",
        "anthropic-ratelimit-requests-reset": "2026-05-04T12:00:01Z",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-05-04T12:01:03Z",
        "date": NOON_IN_HTTP,
    }
    assert wait(headers) == 63.0


def test_all_empty_buckets_must_refill():
    """Of several empty buckets the latest counts."""
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2ms",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert wait(headers) == 360.0


def test_full_buckets_alone_name_no_time():
    """A refusal that no bucket explains leaves the default hold."""
    headers = {"x-ratelimit-remaining-requests": "10", "x-ratelimit-reset-requests": "6ms"}
    assert wait(headers) is None


def test_buckets_that_do_not_say_what_remains_are_asked_at_429_only():
    """The earliest of them counts: a second refusal is cheaper than the wrong wait."""
    headers = {"x-rate-limit-reset-tokens": "55", "x-rate-limit-reset-requests": "70"}
    assert wait(headers) == 55.0
    assert wait(headers, status=500) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("39", 39.0),
        ("-1", None),
        ("17.399999999s", 17.399999999),
        (str(int(NOON.timestamp()) + 8), 8.0),
        (str((int(NOON.timestamp()) + 8) * 1000), 8.0),
        (str(int(NOON.timestamp()) - 8), 0.0),
        ("2026-05-04T12:00:05Z", 5.0),
        ("later", None),
    ],
)
def test_a_reset_is_a_duration_an_epoch_or_an_instant(value, seconds):
    """Seconds, Go durations, epochs in s and ms, RFC 3339; -1 stands for unknown."""
    assert wait({"x-ratelimit-reset": value, "x-ratelimit-remaining": "0"}) == seconds


def test_the_structured_rate_limit_header_is_read():
    """Only an item with r=0 is empty; t is when it is full again."""
    assert wait({"RateLimit": '"api";r=0;t=295'}) == 295.0
    assert wait({"RateLimit": '"api";r=999;t=295'}) is None
    assert wait({"RateLimit": '"day";r=5;t=9, "minute";r=0;t=2'}) == 2.0


NAMES = (
    "retry-after",
    "Retry-After-Ms",
    "ratelimit",
    "date",
    "x-ratelimit-reset-a",
    "x-ratelimit-remaining-a",
    "anthropic-ratelimit-b-reset",
)
VALUES = st.text(max_size=100) | st.floats().map(str) | st.integers().map(str)


@given(
    status=st.none() | st.integers(-5, 700),
    headers=st.dictionaries(st.sampled_from(NAMES), VALUES | st.datetimes().map(str)),
    text=st.text(max_size=200) | st.floats().map("try again in {}s".format),
    field=st.none() | st.floats() | st.text() | st.integers(),
)
def test_any_hint_is_finite_seconds_or_none(status, headers, text, field):
    """Whatever is sent, the wait is in [0, LONGEST_WAIT] or None, and None for a success."""
    found = named_wait(
        status=status, headers=headers, fields=[("retryafter", field)], text=text, now=NOON
    )
    assert found is None or 0.0 <= found <= LONGEST_WAIT
    if status in range(200, 300):
        assert found is None
