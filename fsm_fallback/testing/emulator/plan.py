"""What goes over the wire for a step, byte by byte, and when.

`plan` is a pure function of a step and of what was asked; the server only carries the plan out. It
knows the dialect's words through `Dialect`, and nothing of sockets and time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, assert_never

import attrs

from fsm_fallback.testing.emulator.dialect import AnswerFacts, ErrorWords, estimate_tokens
from fsm_fallback.testing.emulator.faults import (
    Cut,
    Empty,
    ErrorIn200,
    Malformed,
    Overloaded,
    QuotaSpent,
    RateLimited,
    Reply,
    Reset,
    Responding,
    Slow,
    Status,
    Step,
)
from fsm_fallback.testing.scripted import Hang

if TYPE_CHECKING:
    from fsm_fallback.testing.emulator.dialect import Dialect, Endpoint, Json
    from fsm_fallback.testing.emulator.faults import Body

_FIRST_ERROR: Final = 400
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"

OUTCOMES: Final[dict[type[Step], str]] = {
    Reply: "answer",
    Status: "status",
    RateLimited: "rate_limited",
    QuotaSpent: "quota_spent",
    Overloaded: "overloaded",
    Malformed: "malformed",
    Empty: "empty",
    ErrorIn200: "error_in_200",
    Slow: "slow",
    Cut: "cut",
    Reset: "reset",
    Hang: "hang",
}


@attrs.frozen(kw_only=True)
class Asked:
    """What a plan is made for.

    Args:
        dialect: The API that was called.
        endpoint: Its path.
        number: Counts the requests of the provider from 1.
        model: The model asked for; empty if none.
        stream: Whether a stream was asked for.
        body: The JSON object sent; None if it was none.
        text: What the model says if a step does not.
    """

    dialect: Dialect
    endpoint: Endpoint
    number: int
    model: str
    stream: bool
    body: Json | None
    text: str

    @property
    def request_id(self) -> str:
        """The id of this request in headers and error bodies."""
        return request_id(self.number)


@attrs.frozen
class Response:
    """An HTTP response but for its framing; header names are lower-case."""

    status: int
    body: bytes
    headers: dict[str, str]


@attrs.frozen(kw_only=True)
class Plan:
    """What the server does with one request.

    Args:
        outcome: Its word in the journal.
        response: What is sent; None resets the connection.
        delay: Seconds to wait before.
        hangs: Whether to wait, too, until the provider is released.
        cut_after: How many bytes of the body are sent before the connection is closed; None for all
            of it.
    """

    outcome: str
    response: Response | None
    delay: float = 0.0
    hangs: bool = False
    cut_after: int | None = None

    @property
    def status(self) -> int | None:
        """The status that is sent; None where nothing is promised."""
        return None if self.hangs or self.response is None else self.response.status


def plan(step: Step, asked: Asked) -> Plan:
    """Say what happens on the wire for a step."""
    outcome = OUTCOMES[type(step)]
    match step:
        case Slow(seconds, then):
            rest = plan(then, asked)
            return attrs.evolve(rest, outcome=outcome, delay=rest.delay + seconds)
        case Hang():
            return attrs.evolve(plan(Reply(), asked), outcome=outcome, hangs=True)
        case Reset():
            return Plan(outcome=outcome, response=None)
        case Cut(after_bytes, of=of):
            response = _signed(_respond(of, asked), asked.dialect, asked.request_id)
            size = len(response.body)
            cut_after = size // 2 if after_bytes is None else min(after_bytes, size - 1)
            return Plan(outcome=outcome, response=response, cut_after=max(cut_after, 0))
        case Reply() if (words := _problem(asked)) is not None:
            return reject(words.about(asked.model), asked.dialect, asked.request_id)
        case _:
            response = _signed(_respond(step, asked), asked.dialect, asked.request_id)
            return Plan(outcome=outcome, response=response)


def reject(words: ErrorWords, dialect: Dialect, request_id: str) -> Plan:
    """Say what happens to a request that the emulator itself turns down."""
    response = _signed(_error(words, dialect, request_id), dialect, request_id)
    return Plan(outcome="rejected", response=response)


def request_id(number: int) -> str:
    """Return the id of a provider's request by its number, counted from 1."""
    return f"req_emulated{number:020d}"


def _signed(response: Response, dialect: Dialect, request_id: str) -> Response:
    """Add the headers that every response has; those of the step win."""
    own = {"server": "fsm-fallback-emulator", dialect.request_id_header: request_id}
    return attrs.evolve(response, headers=own | response.headers)


def _respond(step: Responding, asked: Asked) -> Response:
    match step:
        case Reply(text):
            return _answer(asked.text if text is None else text, asked)
        case Malformed(text):
            return Response(200, text.encode(), {"content-type": _JSON})
        case Empty(status):
            return Response(status, b"", {})
        case ErrorIn200():
            return _error_in_200(step, asked)
        case Status() if step.body is not None or step.status < _FIRST_ERROR:
            body, content_type = _encode(step.body)
            return Response(step.status, body, {"content-type": content_type} | _lower(step))
        case Status() | RateLimited() | QuotaSpent() | Overloaded():
            words, headers = _error_words(step, asked.dialect)
            error = _error(words.about(asked.model), asked.dialect, asked.request_id)
            return attrs.evolve(error, headers=error.headers | headers)
        case _:
            assert_never(step)


def _error_words(
    step: Status | RateLimited | QuotaSpent | Overloaded, dialect: Dialect
) -> tuple[ErrorWords, dict[str, str]]:
    match step:
        case Status(status):
            return dialect.words_for(status), _lower(step)
        case RateLimited(retry_after):
            wait = None if isinstance(retry_after, str) else retry_after
            return dialect.rate_limited(wait), _retry_after(retry_after)
        case Overloaded(retry_after):
            return dialect.overloaded, _retry_after(retry_after)
        case QuotaSpent():
            return dialect.quota_spent, {}
        case _:
            assert_never(step)


def _problem(asked: Asked) -> ErrorWords | None:
    if asked.body is None:
        return asked.dialect.invalid("We could not parse the JSON body of your request.")
    return asked.endpoint.check(asked.body)


def _answer(text: str, asked: Asked) -> Response:
    answer = asked.endpoint.answer(
        AnswerFacts(
            number=asked.number,
            model=asked.model,
            text=text,
            input_tokens=estimate_tokens(asked.endpoint.texts(asked.body or {})),
            output_tokens=estimate_tokens(iter((text,))),
        )
    )
    return Response(200, json.dumps(answer).encode(), {"content-type": _JSON})


def _error_in_200(step: ErrorIn200, asked: Asked) -> Response:
    words = asked.dialect.words_for(step.error).about(asked.model)
    error = asked.dialect.error_body(words, asked.request_id)
    if asked.stream if step.events is None else step.events:
        return Response(200, asked.endpoint.error_events(error).encode(), {"content-type": _EVENTS})
    return Response(200, json.dumps(error).encode(), {"content-type": _JSON})


def _error(words: ErrorWords, dialect: Dialect, request_id: str) -> Response:
    body = json.dumps(dialect.error_body(words, request_id)).encode()
    return Response(words.status, body, {"content-type": _JSON})


def _encode(body: Body | None) -> tuple[bytes, str]:
    match body:
        case None:
            return b"", _TEXT
        case bytes():
            return body, "application/octet-stream"
        case str():
            return body.encode(), _TEXT
        case _:
            return json.dumps(body).encode(), _JSON


def _lower(step: Status) -> dict[str, str]:
    return {name.lower(): value for name, value in step.headers.items()}


def _retry_after(value: float | str | None) -> dict[str, str]:
    if value is None:
        return {}
    return {"retry-after": value if isinstance(value, str) else f"{value:g}"}
