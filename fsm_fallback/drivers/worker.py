"""Plain calls, awaited: each runs in a worker thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import anyio
import attrs


def in_thread(call: Callable[..., Any]) -> Callable[..., Any]:
    """An awaitable form of a plain call: it runs in a worker thread.

    A call that is cut or cancelled is left behind: its thread runs on, nobody waits for it.
    """

    async def acall(*args: Any, **kwargs: Any) -> Any:
        errand = _Errand([functools.partial(call, *args, **kwargs)])
        try:
            await anyio.to_thread.run_sync(errand.run, abandon_on_cancel=True)
            value, error = errand.ends.pop()
        finally:
            errand.drop()
        if error is None:
            return value
        try:
            raise error
        finally:
            del error

    return acall


@attrs.define(eq=False)
class _Errand:
    """One call on its way to a worker thread, and what it came to on its way back.

    Threads keep what they ran, their frames what they return, and an error its frames: both lie
    here only until they are taken.
    """

    calls: list[Callable[[], Any]]
    ends: list[tuple[Any, Exception | None]] = attrs.field(init=False, factory=list)
    is_dropped: bool = attrs.field(init=False, default=False)

    def run(self) -> None:
        """Make the call."""
        try:
            self.ends.append((self.calls.pop()(), None))
        except Exception as error:  # noqa: BLE001  # raised again where it is awaited
            self.ends.append((None, error))
        if self.is_dropped:
            self.ends.clear()

    def drop(self) -> None:
        """Nobody waits any more: whichever side comes second clears."""
        self.is_dropped = True
        self.calls.clear()
        self.ends.clear()
