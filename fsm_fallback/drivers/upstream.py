"""A provider's stream while it is read: opened, pulled item by item, closed once, whatever comes.

A provider may give an iterator, an iterable, or a context manager of either, as SDKs do. What
closes it is asked once; a clean-up that fails is logged, and hides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.drivers.judging import Flaw
from fsm_fallback.errors import StreamFailed
from fsm_fallback.providers.classifying import log_fault_of_user

CLOSING_SECONDS: Final = 1.0
"""So long an awaited stream may take to be closed, in real time; then it is left to itself."""

CLOSING_AT_THE_END: Final = 0.04
"""So long at least, where the call has no time left."""

END: Final = object()
"""Stands for the end of a stream: `StopIteration` does not pass through threads and coroutines."""


class Upstream:
    """The stream of one attempt, read with plain calls.

    Args:
        name: Whose it is.
    """

    __slots__ = ("_close", "_items", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._items: Iterator[Any] | None = None
        self._close: Callable[[], object] | None = None

    def open(self, source: Any) -> Flaw | None:
        """Take what the provider gave; what is wrong with it, None if it can be read."""
        if is_manager(source, "__enter__", "close"):
            manager = source
            source = manager.__enter__()
            self._close = lambda: manager.__exit__(None, None, None)
        if self._close is None:
            self._close = closing_of(source, "close")
        if not is_iterated(source, "__iter__", "__next__"):
            return wrong_kind(self.name, source, "an iterator")
        self._items = source if hasattr(source, "__next__") else iter(source)
        if self._close is None:
            self._close = closing_of(self._items, "close")
        return None

    @property
    def is_open(self) -> bool:
        """Whether there is anything to close."""
        return self._close is not None

    def pull(self) -> Any:
        """The next item, or `END`."""
        return END if self._items is None else next(self._items, END)

    def close(self) -> bool:
        """Close it, the first time; whether there was anything to close."""
        close, self._close, self._items = self._close, None, None
        if close is None:
            return False
        try:
            close()
        except Exception as raised:  # noqa: BLE001  # foreign code, and no call's business
            log_failed_closing(self.name, raised)
        return True


def is_manager(source: object, enter: str, close: str) -> bool:
    """Whether a source has to be entered: what has a way to be closed of its own, has not."""
    return hasattr(source, enter) and closing_of(source, close) is None


def is_iterated(source: object, *methods: str) -> bool:
    """Whether a source gives items; a text, a mapping, a whole answer is none that does."""
    if hasattr(source, "__next__") or hasattr(source, "__anext__"):
        return any(hasattr(source, method) for method in methods)
    whole = isinstance(source, (str, bytes, bytearray, Mapping)) or hasattr(source, "model_dump")
    return not whole and any(hasattr(source, method) for method in methods)


def wrong_kind(name: str, source: object, wanted: str) -> Flaw:
    """What it means that a provider gave something that cannot be read; it may be an answer."""
    gave = "None" if source is None else f"a {type(source).__name__}"
    words = f"provider {name!r} gave {gave} for a stream; give {wanted}"
    return Fault(FaultKind.BAD_RESPONSE, message=words), StreamFailed(words, source)


def closing_of(source: object, method: str) -> Callable[[], object] | None:
    """What closes a source, if it has it."""
    close: object = getattr(source, method, None)
    return close if callable(close) else None


def log_failed_closing(name: str, raised: BaseException) -> None:
    """Say that a clean-up failed."""
    log_fault_of_user("closing the stream of provider %r raised %s", name, raised)
