"""Pauses, and the tasks that come to them: what a `Schedule` runs, without an event loop."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final

import attrs

_LOOPLESS: Final = ("NoEventLoopError", "AsyncLibraryNotFoundError")


class _Pause:
    """What a task at a pause yields to its schedule."""


_PAUSE: Final = _Pause()


@coroutine
def pause() -> Generator[_Pause, Any, Any]:
    """Mark a point where another task may go on; returns what the schedule's `go_on` was given.

    To be awaited in tasks of a `Schedule`, and in no event loop.
    """
    return (yield _PAUSE)


def pauses(awaited: object) -> bool:
    """Whether what a coroutine yielded is a pause."""
    return awaited is _PAUSE


def needs_a_loop(error: BaseException) -> bool:
    """Whether an exception says that something was awaited that needs an event loop."""
    return type(error).__name__ in _LOOPLESS or (
        isinstance(error, RuntimeError) and str(error) == "no running event loop"
    )


@attrs.define(eq=False)
class Task:
    """A coroutine on its way.

    Attributes:
        name: Its name, unique in its schedule.
        has_ended: Whether it has come to its end.
        has_begun: Whether it ever ran.
        value: What it returned; None before.
        error: What it raised; None if nothing.
        was_cancelled: Whether it was ever cancelled.
    """

    name: str
    coroutine: Coroutine[Any, Any, Any] = attrs.field(repr=False)
    has_ended: bool = False
    has_begun: bool = False
    value: Any = None
    error: BaseException | None = None
    was_cancelled: bool = False
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context, repr=False)

    def step(self, act: Callable[..., Any], what: Any) -> object:
        """Run it in its own context until it yields; what it yielded, or None at its end."""
        self.has_begun = True
        try:
            return self._context.run(act, what)
        except StopIteration as end:
            self.has_ended, self.value = True, end.value
        except BaseException as error:  # noqa: BLE001  # the task's; told by whoever runs it
            self.has_ended, self.error = True, error
        return None
