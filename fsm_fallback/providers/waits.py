"""How long a provider asks to be left alone: every dialect of the wait hint, read in one place.

It decides one number, seconds as a finite float >= 0, or None where nobody named a time. It knows
nothing of fault kinds. The order of belief, most specific first: `retry-after-ms` and
`retry-after`, then a field of the error body, then the error's text, then the reset time of an
empty bucket.

A success is never believed: Anthropic, Hugging Face and Together send `retry-after` with answers
of status 200, far more often than with errors.

Sources: RFC 9110 10.2.3 (retry-after), the rate-limit pages of OpenAI and Anthropic (reset
headers), azure-core's throttling policy (`retry-after-ms`, `x-ms-retry-after-ms`),
google.rpc.RetryInfo (`retryDelay`), draft-ietf-httpapi-ratelimit-headers (`ratelimit`).
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final

from fsm_fallback.providers.patterns import when_needed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

LONGEST_WAIT: Final = 30 * 86_400.0
"""Seconds a hint is cut to: keeps sums of instants exact, and no caller holds for longer."""

_LONGEST_VALUE: Final = 80
_LONGEST_TEXT: Final = 4_096
_MOST_HEADERS: Final = 256
_SUCCESS: Final = range(200, 300)
_TOO_MANY_REQUESTS: Final = 429
_EPOCH_MILLISECONDS: Final = 1e12
_EPOCH_SECONDS: Final = 1e9

_MILLISECOND_HEADERS: Final = ("retry-after-ms", "x-ms-retry-after-ms")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

# Longest spelling first. No letter may follow, so that "7 members" is not seven minutes.
_UNIT: Final = (
    r"(?:(milliseconds?|msecs?|ms)|(minutes?|mins?|m)|(seconds?|secs?|s)|(hours?|hrs?|h)|(days?|d))"
    r"(?![a-z])"
)
_PART: Final = when_needed(rf"(\d{{1,12}}(?:\.\d{{1,12}})?) ?{_UNIT}")
_DURATION: Final = when_needed(rf"(?:\d{{1,12}}(?:\.\d{{1,12}})? ?{_UNIT} ?){{1,5}}")
_UNITS_BY_GROUP: Final = ("ms", "m", "s", "h", "d")
_ASKED_TO_WAIT: Final = when_needed(
    r"\b(?:try again|retry|retrying|wait|available|resets?)"
    r"(?: again)?(?: (?:in|after|for|at least|about|another|approximately)){0,2} ~?(?=\d)"
)
_DIGIT: Final = when_needed(r"[0-9]")
_QUOTA_ITEM: Final = when_needed(r"; ?([rt]) ?= ?(\d{1,12})")


def named_wait(
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    fields: Iterable[tuple[str, object]] = (),
    text: str = "",
    now: datetime | None = None,
) -> float | None:
    """Read how long the provider asks to be left alone.

    Args:
        status: HTTP status of the response; None if there was none. A 2xx is never believed.
        headers: Response headers, names in any case.
        fields: Names and values of body fields that name a delay, such as `retryDelay`.
        text: The error's words.
        now: What absolute dates count from when the `date` header is missing; None for the wall
            clock.

    Returns:
        Seconds, finite and in [0, `LONGEST_WAIT`]; None if no time was named.
    """
    if status in _SUCCESS:
        return None
    known = _relevant(headers) if headers else {}
    if known and (wait := _wait_from_retry_after(known, now)) is not None:
        return wait
    for name, value in fields:
        if (wait := _wait_from_field(name, value)) is not None:
            return wait
    if text and (wait := wait_from_text(text)) is not None:
        return wait
    return _wait_from_resets(known, now, guess=status == _TOO_MANY_REQUESTS) if known else None


def duration_seconds(text: str) -> float | None:
    """Read a duration with units: "6m0s", "12ms", "17.399999999s", "1 hour 5 minutes".

    Returns:
        Seconds, or None if the whole text is not one duration.
    """
    text = text.strip().lower()
    if len(text) > _LONGEST_VALUE or not _DURATION().fullmatch(text):
        return None
    total = 0.0
    for part in _PART().finditer(text):
        unit = _UNITS_BY_GROUP[(part.lastindex or 2) - 2]
        total += float(part.group(1)) * _UNIT_SECONDS[unit]
    return _credible(total)


def wait_from_text(text: str) -> float | None:
    """Read "try again in 1m0.36s", "retry after 3 seconds", "please wait 7 seconds" out of a text.

    Returns:
        Seconds of the first such request; None if there is none with a unit.
    """
    text = text[:_LONGEST_TEXT].lower()
    if _DIGIT().search(text) is None:
        return None
    text = " ".join(text.split())
    for asked in _ASKED_TO_WAIT().finditer(text):
        if (duration := _DURATION().match(text, asked.end())) is not None:
            return duration_seconds(duration.group())
    return None


def _credible(seconds: float) -> float | None:
    if not math.isfinite(seconds) or seconds < 0.0:
        return None
    return min(seconds, LONGEST_WAIT)


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if len(value) > _LONGEST_VALUE:
            return None
    elif not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _scaled(value: object, factor: float = 1.0) -> float | None:
    number = _number(value)
    return None if number is None else _credible(number * factor)


def _relevant(headers: Mapping[str, str]) -> dict[str, str]:
    """Keep the few headers that can name a time, by lower-case name."""
    known: dict[str, str] = {}
    for name, value in islice(headers.items(), _MOST_HEADERS):
        key = str(name)[:_LONGEST_VALUE].lower()
        if key == "date" or "retry-after" in key or "ratelimit" in key or "rate-limit" in key:
            known[key] = str(value)[: _LONGEST_VALUE + 1].strip()
    return known


def _instant(text: str) -> datetime | None:
    """Read an HTTP date or an RFC 3339 instant; one without a zone is taken as UTC."""
    if len(text) > _LONGEST_VALUE:
        return None
    # Not imported with the package: most waits are numbers, and what reads mail brings sockets.
    from datetime import UTC, datetime  # noqa: PLC0415  # see above
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  # see above

    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return None


def _sent_at(known: Mapping[str, str], now: datetime | None) -> datetime:
    """Tell when the answer was sent: the provider's own clock, so that ours may be wrong."""
    from datetime import UTC, datetime  # noqa: PLC0415  # as in `_instant`

    if "date" in known and (sent := _instant(known["date"])) is not None:
        return sent
    if now is None:
        return datetime.now(UTC)
    return now if now.tzinfo is not None else now.replace(tzinfo=UTC)


def _seconds_until(text: str, known: Mapping[str, str], now: datetime | None) -> float | None:
    """Read an instant as seconds since the answer; one in the past is 0: come back at once."""
    at = _instant(text)
    if at is None:
        return None
    try:
        return _credible(max(0.0, (at - _sent_at(known, now)).total_seconds()))
    except OverflowError:
        return None


def _wait_from_retry_after(known: Mapping[str, str], now: datetime | None) -> float | None:
    """Read the retry-after headers; the longest wins.

    Azure rounds the milliseconds of a second's wait down to 0, and the seconds of 26.5 down to 26:
    waiting a little longer costs less than a second refusal.
    """
    waits = [_scaled(known[name], 0.001) for name in _MILLISECOND_HEADERS if name in known]
    if (text := known.get("retry-after")) is not None:
        seconds = _number(text)
        waits.append(_seconds_until(text, known, now) if seconds is None else _credible(seconds))
        if waits[-1] is None:
            waits.append(duration_seconds(text))
    return max((wait for wait in waits if wait is not None), default=None)


def _wait_from_field(name: str, value: object) -> float | None:
    if isinstance(value, dict):  # google.protobuf.Duration as an object
        seconds = _number(value.get("seconds", 0))
        nanoseconds = _number(value.get("nanos", 0))
        if seconds is None or nanoseconds is None:
            return None
        return _credible(seconds + nanoseconds * 1e-9)
    if name.endswith("ms"):
        return _scaled(value, 0.001)
    plain = _scaled(value)
    return duration_seconds(value) if plain is None and isinstance(value, str) else plain


def _wait_from_resets(
    known: Mapping[str, str], now: datetime | None, *, guess: bool
) -> float | None:
    """Read when the empty buckets are full again.

    Every service sends several buckets, most of them full, each with a reset time of its own. Only
    those with nothing remaining explain the refusal, and all of them must refill: the latest
    counts. A bucket that has something left says nothing. With `guess` (a 429), buckets that do
    not say what remains may be asked; the earliest counts, for a second refusal is cheaper than
    sitting out the wrong bucket.
    """
    empty: list[float] = []
    silent: list[float] = []
    for name, value in known.items():
        if name == "ratelimit":
            empty.extend(_empty_quota_items(value))
        elif "reset" in name and (wait := _wait_from_reset(value, known, now)) is not None:
            remaining = _number(known.get(name.replace("reset", "remaining")))
            if remaining is None:
                silent.append(wait)
            elif remaining <= 0:
                empty.append(wait)
    if empty:
        return max(empty)
    return min(silent) if silent and guess else None


def _wait_from_reset(value: str, known: Mapping[str, str], now: datetime | None) -> float | None:
    """Read one reset header: a duration, seconds, an epoch in s or ms, or an instant."""
    number = _number(value)
    if number is None:
        wait = duration_seconds(value)
        return _seconds_until(value, known, now) if wait is None else wait
    if number < _EPOCH_SECONDS:
        return _credible(number)  # -1 stands for "unknown", and is not credible
    epoch = number / 1000.0 if number >= _EPOCH_MILLISECONDS else number
    return _credible(max(0.0, epoch - _sent_at(known, now).timestamp()))


def _empty_quota_items(value: str) -> list[float]:
    """Read the waits of the exhausted items of a structured header: `"api";r=0;t=295`."""
    waits: list[float] = []
    for item in value.split(","):
        sizes = dict(_QUOTA_ITEM().findall(item))
        if sizes.get("r") == "0" and "t" in sizes:
            waits.append(float(sizes["t"]))
    return waits
