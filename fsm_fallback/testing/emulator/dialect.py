"""What a dialect is: the paths of a provider's API and the words of its answers and errors.

A dialect says what an answer and an error look like as JSON; it knows nothing of sockets, scripts
and faults. Token counts are an approximation, four characters to a token, rounded up: right enough
for budgets and dashboards under test, never for prices.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fsm_fallback.testing.emulator.journal import DialectName

Json: TypeAlias = "dict[str, Any]"

_CHARACTERS_PER_TOKEN: Final = 4


@attrs.frozen(kw_only=True)
class ErrorWords:
    """An error in a provider's words: its HTTP status and the fields of its error object.

    `code` and `param` are None where the dialect has no such field or leaves it empty. In
    `message`, `{model}` stands for the model that was asked for.
    """

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None

    def about(self, model: str) -> ErrorWords:
        """Return the same words with the model filled in."""
        return attrs.evolve(self, message=self.message.replace("{model}", model))


@attrs.frozen(kw_only=True)
class AnswerFacts:
    """What an answer is made of.

    Args:
        number: Counts the requests of a provider from 1; ids are made from it.
        created: Its date, in seconds since 1970.
        model: The model that was asked for, echoed.
        text: What the model is to have said.
        is_filtered: Whether a content filter has ended it.
        has_output: Whether the model has said anything, be it an empty text.
        input_tokens: About how many tokens the request had.
        output_tokens: About how many the text has.
        body: The JSON object sent.
    """

    number: int
    created: int
    model: str
    text: str
    is_filtered: bool
    has_output: bool
    input_tokens: int
    output_tokens: int
    body: Json


@attrs.frozen
class Event:
    """One server-sent event.

    `name` is None where the dialect gives it none; `data` is JSON, or a text that is sent as it is.
    """

    name: str | None
    data: Json | str


Events: TypeAlias = "tuple[Event, ...]"


@attrs.frozen(kw_only=True)
class Streaming:
    """How an endpoint streams an answer: its events, in the order of the fields.

    Args:
        begin: Builds the events that come first, whether there is output or not.
        open: Builds those that announce the output.
        piece: Builds the event of one piece of the text.
        close: Builds those that end the output.
        end: Builds those that end the stream; its last is the dialect's terminal event.
        last: What stands after every stream that ended well.
        error: Builds the event of an error, from the error's JSON.
        failed: Builds the event of an answer that failed; None where there is no such event.
        is_numbered: Whether events carry a `sequence_number`.
    """

    begin: Callable[[AnswerFacts], Events]
    open: Callable[[AnswerFacts], Events]
    piece: Callable[[AnswerFacts, str], Event]
    close: Callable[[AnswerFacts], Events]
    end: Callable[[AnswerFacts], Events]
    last: Events = ()
    error: Callable[[Json], Event]
    failed: Callable[[AnswerFacts, ErrorWords], Event] | None = None
    is_numbered: bool = False


@attrs.frozen(kw_only=True)
class Endpoint:
    """One path of a dialect.

    Args:
        path: The path it is posted to.
        check: Returns what is wrong with a body, None if nothing is.
        texts: Yields every text of a body that the model would read, the last message last.
        answer: Builds the JSON of an answer.
        streaming: How an answer is streamed.
    """

    path: str
    check: Callable[[Json], ErrorWords | None]
    texts: Callable[[Json], Iterator[str]]
    answer: Callable[[AnswerFacts], Json]
    streaming: Streaming


@attrs.frozen(kw_only=True)
class Dialect:
    """How one vendor's API looks from outside.

    Args:
        name: What `Emulator.provider` takes.
        base_path: What the vendor's SDK expects in its base URL after host and port.
        endpoints: The paths it answers.
        request_id_header: The response header that carries the request's id.
        errors: Its words per status; others are derived by `words_for`.
        invalid_request_type: The error type of every other status from 400 to 499.
        server_error_type: The error type of every other status from 500 to 599.
        overloaded: The words of an overload.
        quota_spent: The words of spent credit.
        rate_limited: Builds the words of a rate limit, with the wait in seconds or None.
        error_body: Builds the JSON of an error from its words and the request's id.
    """

    name: DialectName
    base_path: str
    endpoints: tuple[Endpoint, ...]
    request_id_header: str
    errors: Mapping[int, ErrorWords]
    invalid_request_type: str
    server_error_type: str
    overloaded: ErrorWords
    quota_spent: ErrorWords
    rate_limited: Callable[[float | None], ErrorWords]
    error_body: Callable[[ErrorWords, str], Json]

    def endpoint(self, path: str) -> Endpoint | None:
        """Return the endpoint at a path, None if there is none."""
        return next((each for each in self.endpoints if each.path == path), None)

    def words_for(self, status: int) -> ErrorWords:
        """Return the words this vendor has for an error status."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return self.rate_limited(None)
        if status in self.errors:
            return self.errors[status]
        is_server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        kind = self.server_error_type if is_server_error else self.invalid_request_type
        return ErrorWords(status=status, type=kind, message=phrase(status))

    def invalid(self, message: str, param: str | None = None) -> ErrorWords:
        """Return the words for a request that is wrong."""
        return ErrorWords(status=400, type=self.invalid_request_type, message=message, param=param)


def phrase(status: int) -> str:
    """Return the reason phrase of a status; a plain one where the standard has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def estimate_tokens(texts: Iterator[str]) -> int:
    """Return about how many tokens the texts have: four characters to a token, rounded up."""
    return -(-sum(map(len, texts)) // _CHARACTERS_PER_TOKEN)


def texts_of(content: object) -> Iterator[str]:
    """Yield the texts of a content: a string, a list of parts, or messages that hold either."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from texts_of(part)
    elif isinstance(content, dict):
        yield from texts_of(content.get("text"))
        yield from texts_of(content.get("content"))
