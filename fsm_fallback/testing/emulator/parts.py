"""What a connection does with one request, as data: a plan is parts in their order.

A plan says what is sent and when it waits; the connection adds the framing of HTTP and carries it
out. A response is either one `Whole`, or a `Begin`, chunks, and an `End` or a `Break`.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs


@attrs.frozen
class Response:
    """An HTTP response but for its framing; header names are lower-case."""

    status: int
    body: bytes
    headers: dict[str, str]


@attrs.frozen
class Pause:
    """Wait for so many seconds of real time."""

    seconds: float


@attrs.frozen
class Hold:
    """Wait until the provider is released."""


@attrs.frozen
class Whole:
    """Send a response at once.

    Args:
        response: Its length is announced.
        cut_after: How many bytes of the body are sent before the connection is closed; None for all
            of it.
    """

    response: Response
    cut_after: int | None = None


@attrs.frozen
class Begin:
    """Send the head of a response whose body comes in chunks."""

    status: int
    headers: dict[str, str]


@attrs.frozen
class Chunk:
    """Send a part of the body; `is_piece` says whether it is a piece of the model's output."""

    content: bytes
    is_piece: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen
class End:
    """Say that the body is complete."""


@attrs.frozen
class Break:
    """Close the connection though the body is not complete."""


@attrs.frozen
class Drop:
    """Reset the connection (TCP RST)."""


Part: TypeAlias = Pause | Hold | Whole | Begin | Chunk | End | Break | Drop


@attrs.frozen
class Plan:
    """What happens to one request: its word in the journal, and the parts in their order."""

    outcome: str
    parts: tuple[Part, ...]

    @property
    def status(self) -> int | None:
        """The status that is sent; None where nothing is promised."""
        for part in self.parts:
            match part:
                case Whole(response):
                    return response.status
                case Begin(status):
                    return status
                case Hold() | Drop():
                    return None
                case _:
                    continue
        return None
