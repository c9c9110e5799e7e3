"""What an emulated provider can do with a request: the steps of its script.

They are data: `plan.py` says what goes over the wire for each. They know nothing of dialects and
sockets. What can go wrong within a stream is in `stream_faults.py`.

There is no step for a refused connection: refusing happens before a request exists, so it cannot be
counted in requests. `EmulatedProvider.refuse` closes the port until `accept` opens it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from fsm_fallback.core.bounds import is_count, is_number
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing.durations import check_duration
from fsm_fallback.testing.emulator.statuses import check_error_status, check_status
from fsm_fallback.testing.emulator.stream_faults import StreamFault
from fsm_fallback.testing.steps import Hang

Headers: TypeAlias = Mapping[str, str]
Body: TypeAlias = "Mapping[str, Any] | Sequence[Any] | str | bytes"

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS: Final = frozenset({"connection", "content-length", "transfer-encoding"})


def _check_headers(_record: object, _field: attrs.Attribute[Headers], headers: Headers) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(
                f"Status.headers has the name {name!r}; give an HTTP header name"
            )
        if not _is_header_value(value):
            raise ConfigurationError(f"Status.headers[{name!r}] is {value!r}; give printable ASCII")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(
                f"Status.headers has {name!r}, which the emulator sets by itself; "
                "use Cut() for a body shorter than announced"
            )


def _check_wait(
    record: object, field: attrs.Attribute[float | str | None], value: float | str | None
) -> None:
    if value is None:
        return
    fits = _is_header_value(value) if isinstance(value, str) else is_number(value) and value >= 0
    if not fits:
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(
            f"{name} is {value!r}; give finite seconds >= 0, the header's text, or None"
        )


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _check_responding(record: object, field: attrs.Attribute[Responding], value: object) -> None:
    if not isinstance(value, Responding):
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(f"{name} is {value!r}; give a step that has a response")


def _check_step(record: object, field: attrs.Attribute[Step], value: object) -> None:
    if not isinstance(value, Step):
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(f"{name} is {value!r}; give a step, such as Status(503)")


def _check_after_bytes(
    _record: object, _field: attrs.Attribute[int | None], value: int | None
) -> None:
    if value is not None and not is_count(value, 0):
        raise ConfigurationError(
            f"Cut.after_bytes is {value!r}; give a number >= 0, or None for half"
        )


@attrs.frozen
class Reply:
    """An answer with status 200, as a stream if that was asked for.

    `text` is what the model says, None for the provider's default.
    """

    text: str | None = None


@attrs.frozen
class Status:
    """A response with this status.

    Args:
        status: From 200 to 599.
        body: JSON if a mapping or a list, else sent as it is; None for the dialect's own error body
            under an error status, and for an empty body otherwise. 204 and 304 go without.
        headers: Sent besides the emulator's own; a content type here wins.
    """

    status: int = attrs.field(validator=check_status)
    body: Body | None = None
    headers: Headers = attrs.field(factory=dict, kw_only=True, validator=_check_headers)


@attrs.frozen
class RateLimited:
    """A 429 in the dialect's words.

    `retry_after` is the header of that name: seconds, its text as it is (an HTTP date, junk), or
    None to leave it out.
    """

    retry_after: float | str | None = attrs.field(default=None, validator=_check_wait)


@attrs.frozen
class QuotaSpent:
    """Spent credit in the dialect's words: OpenAI 429 `insufficient_quota`, Anthropic 400."""


@attrs.frozen
class Overloaded:
    """An overload in the dialect's words: OpenAI 503, Anthropic 529 `overloaded_error`."""

    retry_after: float | str | None = attrs.field(default=None, validator=_check_wait)


@attrs.frozen
class Malformed:
    """A response with status 200 that says it is JSON and is not; `text` is its body."""

    text: str = '{"id": "emulated", "object": '


@attrs.frozen
class Empty:
    """A response with this status and no body at all."""

    status: int = attrs.field(default=200, validator=check_status)


@attrs.frozen
class ErrorIn200:
    """An error body under status 200, as gateways and streams send it.

    Args:
        error: The HTTP error status whose words to use; the response itself has status 200.
        events: True for server-sent events, False for JSON, None for what the request asked for.
    """

    error: int = attrs.field(default=500, validator=check_error_status)
    events: bool | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Reset:
    """The connection is reset (TCP RST) without a byte of a response."""


@attrs.frozen
class Slow:
    """`then` comes after this many seconds of real time; keep them few."""

    seconds: float = attrs.field(validator=check_duration)
    then: Step = attrs.field(factory=Reply, validator=_check_step)


@attrs.frozen
class Cut:
    """The body of `of` breaks off and the connection is closed.

    Args:
        after_bytes: How much of the body is sent, at most all of it but one byte; None for half.
        of: The step whose response is cut; of a response without one, the head is cut.
    """

    after_bytes: int | None = attrs.field(default=None, validator=_check_after_bytes)
    of: Responding = attrs.field(factory=Reply, kw_only=True, validator=_check_responding)


Responding: TypeAlias = (
    Reply | Status | RateLimited | QuotaSpent | Overloaded | Malformed | Empty | ErrorIn200
)
Step: TypeAlias = Responding | StreamFault | Slow | Cut | Reset | Hang
