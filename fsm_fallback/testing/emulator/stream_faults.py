"""How the stream of an answer can go wrong: the steps of a script that only streams can have.

They are data: `stream_plan.py` says what goes over the wire for each. An answer is streamed in
pieces, one word each with the space before it. `after` counts the pieces that come before the
fault: with 0 it follows the events that open the stream, with more than there are it follows the
last piece, still before the events that end the stream. `text` is what the model would have said,
None for the provider's default.

A request that asked for no stream has no place for these faults. It gets a status 500, and the end
of the emulator raises an error that names the plain step; only `Filtered` is served to both.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from fsm_fallback.core.bounds import is_count
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing.durations import check_duration
from fsm_fallback.testing.emulator.statuses import check_error_status


def _check_after(record: object, field: attrs.Attribute[int], value: int) -> None:
    if not is_count(value, 0):
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(f"{name} is {value!r}; give a number of pieces >= 0")


def _check_after_or_all(
    record: object, field: attrs.Attribute[int | None], value: int | None
) -> None:
    if value is not None and not is_count(value, 0):
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(f"{name} is {value!r}; give a number >= 0, or None for all")


def _check_text(record: object, field: attrs.Attribute[str | None], value: object) -> None:
    if value is not None and not isinstance(value, str):
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(
            f"{name} is {value!r}; give what the model says, or None for the default"
        )


@attrs.frozen
class StreamError:
    """The dialect's error event comes in the stream, and the stream ends with it.

    Args:
        after: How many pieces come before.
        error: The HTTP error status whose words to use; the response itself has status 200.
        failed: Whether OpenAI responses sends `response.failed` instead of `error`; nothing to
            the others, which have one error event only.
        text: What the model would have said.
    """

    after: int = attrs.field(default=1, validator=_check_after)
    error: int = attrs.field(default=500, validator=check_error_status)
    failed: bool = attrs.field(default=False, kw_only=True)
    text: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)


@attrs.frozen
class StreamCut:
    """The connection is closed after that many pieces, in the middle of the body."""

    after: int = attrs.field(default=1, validator=_check_after)
    text: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)


@attrs.frozen
class Stall:
    """Nothing comes after that many pieces, though the connection stays; then the rest does.

    `Stall(0, seconds)` is a slow first token: the head and the opening events come at once.

    Args:
        after: How many pieces come before.
        seconds: How long nothing comes, in seconds of real time; None until the client leaves or
            the provider is released, as with `Hang`.
        text: What the model says.
    """

    after: int = attrs.field(default=1, validator=_check_after)
    seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_duration)
    )
    text: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)


@attrs.frozen
class MalformedChunk:
    """After that many pieces comes an event whose data is not JSON, and the stream ends with it."""

    after: int = attrs.field(default=1, validator=_check_after)
    text: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)


@attrs.frozen
class NoEnd:
    """The body ends cleanly after that many pieces (None for all), without any closing event."""

    after: int | None = attrs.field(default=None, validator=_check_after_or_all)
    text: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)


@attrs.frozen
class NoDone:
    """A complete stream but for `[DONE]`, which only OpenAI chat completions has."""

    text: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)


@attrs.frozen
class EmptyStream:
    """A stream without output.

    `lifecycle` says whether it begins and ends as a stream does; without, it has no event at all.
    """

    lifecycle: bool = attrs.field(default=True, kw_only=True)


@attrs.frozen
class Filtered:
    """A content filter ends the answer after that many pieces.

    Chat completions says `finish_reason` "content_filter", responses is `incomplete`, messages has
    `stop_reason` "refusal". It is served to requests for plain answers, too.
    """

    after: int = attrs.field(default=1, validator=_check_after)
    text: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)


StreamFault: TypeAlias = (
    StreamError | StreamCut | Stall | MalformedChunk | NoEnd | NoDone | EmptyStream | Filtered
)

PLAIN_STEPS: Final[dict[type[StreamFault], str]] = {
    StreamError: "ErrorIn200()",
    StreamCut: "Cut()",
    Stall: "Hang() or Slow()",
    MalformedChunk: "Malformed()",
    NoEnd: "Cut()",
    NoDone: "Reply()",
    EmptyStream: "Empty()",
    Filtered: "Filtered()",
}
"""The step that is nearest to each fault where no stream was asked for."""
