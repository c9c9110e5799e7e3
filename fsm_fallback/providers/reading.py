"""How a provider's stream is read: what of it is output, whether it ended as it should, its usage.

`pieces` knows the items of the SDKs; a provider may know its own better, and says so with
`is_output` and `terminal`. A `Reader` belongs to a provider, a `Reading` to one stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from fsm_fallback.providers.classifying import log_fault_of_user
from fsm_fallback.providers.pieces import Piece, piece_of
from fsm_fallback.providers.refusal import is_filtered
from fsm_fallback.providers.usage import Usage, usage_of

Terminal = Callable[[Any], bool] | Literal["auto"] | None
"""Tells the item that ends a stream as it should: `"auto"` knows the SDKs', None wants none."""

AUTO: Final = "auto"


class Reader:
    """What a provider says of its streams.

    Args:
        whose: Its name, for the log.
        is_output: Whether an item carries output; None to know it by `pieces`. One that raises
            means yes, so that nothing is handed over twice.
        terminal: Tells the terminal item. One that raises means yes.
    """

    __slots__ = ("is_output", "terminal", "whose")

    def __init__(
        self,
        whose: str = "",
        is_output: Callable[[Any], bool] | None = None,
        terminal: Terminal = AUTO,
    ) -> None:
        self.whose = whose
        self.is_output = is_output
        self.terminal = terminal

    def begin(self) -> Reading:
        """A new stream."""
        return Reading(self)


PLAIN_READER: Final = Reader()


class Reading:
    """One stream, as far as it has been read.

    Attributes:
        has_begun: Whether an item has come.
        is_filtered: Whether it said that a content filter ended it.
        usage: The tokens it told of; None while it told none.
    """

    __slots__ = ("_ended", "_expects_end", "_reader", "has_begun", "is_filtered", "usage")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ended = False
        self.has_begun = False
        self.is_filtered = False
        self._expects_end = callable(reader.terminal)
        self.usage: Usage | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its terminal item has come."""
        return self._ended

    @property
    def is_complete(self) -> bool:
        """Whether an end that comes now is one as it should be."""
        return self._ended or not self._expects_end

    def read(self, item: object) -> Piece:
        """What an item is."""
        self.has_begun = True
        piece = piece_of(item)
        reader = self._reader
        if reader.is_output is not None:
            piece = piece._replace(output=self._ask("is_output", reader.is_output, item))
        if isinstance(reader.terminal, str):
            self._ended = self._ended or piece.ends
            self._expects_end = self._expects_end or piece.dialect is not None
        elif reader.terminal is not None and not self._ended:
            self._ended = self._ask("terminal", reader.terminal, item)
        if piece.dialect is not None and (piece.ends or not piece.output):
            self.is_filtered = self.is_filtered or is_filtered(item)
            told = usage_of(item)
            if told is not None:
                self.usage = told if self.usage is None else self.usage.merged(told)
        return piece

    def _ask(self, what: str, predicate: Callable[[Any], bool], item: object) -> bool:
        try:
            return bool(predicate(item))
        except Exception as raised:  # noqa: BLE001  # the user's code
            log_fault_of_user(f"{what} of provider %r raised %s", self._reader.whose, raised)
            return True


class ChainReader(Reader):
    """Of a chain: it has judged its items already, and hands over none before there is output."""

    __slots__ = ()

    def begin(self) -> Reading:
        """A new stream."""
        return _ChainReading(self)


class _ChainReading(Reading):
    __slots__ = ()

    @property
    def is_complete(self) -> bool:
        """Whatever end it has: the chain inside would have said that it was none."""
        return True

    def read(self, item: object) -> Piece:  # noqa: ARG002  # the chain inside has read it
        """An item that was handed over."""
        self.has_begun = True
        return _HANDED_OVER


_HANDED_OVER: Final = Piece(output=True, ends=False, dialect=None, fault=None)


def size_of(item: object) -> int:
    """About how many bytes an item takes: the length of its text."""
    if isinstance(item, (str, bytes)):
        return len(item)
    try:
        native = getattr(item, "native", None)  # of a piece, which does not show its text
        return len(repr(item if native is None else native))
    except Exception:  # noqa: BLE001  # whatever a foreign item does
        return 0
