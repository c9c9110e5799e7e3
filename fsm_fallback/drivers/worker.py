"""Plain calls, awaited: each runs in a worker thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import Lock
from typing import Any

import anyio
import attrs

from fsm_fallback.drivers.link import Carried

CameLate = Callable[[Any, Exception | None], None]
"""Told of a call that came back after its caller had left: its answer, or what it raised."""


async def in_thread(
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    came_late: CameLate | None = None,
    never_began: Callable[[], None] | None = None,
    *,
    spare: bool = False,
) -> Any:
    """Make a plain call in a worker thread.

    A call that is cut or cancelled is left behind: its thread runs on, nobody waits for it. When it
    comes back, `came_late` is told, once, in the thread that comes second; where there was no
    thread for it yet, it is not made any more, and `never_began` is told. `spare` is for calls that
    may not wait until a thread is free.
    """
    errand = _Errand([functools.partial(call, *args, **kwargs)], came_late)
    limiter = anyio.CapacityLimiter(1) if spare else None
    try:
        await anyio.to_thread.run_sync(errand.run, abandon_on_cancel=True, limiter=limiter)
    except BaseException:
        if not errand.leave() and never_began is not None:
            never_began()
        raise
    value, error = errand.ends.pop()
    if error is None:
        return value
    try:
        raise Carried(error) if isinstance(error, StopIteration) else error
    finally:
        del error


@attrs.define(eq=False)
class _Errand:
    """One call on its way to a worker thread, and what it came to on its way back.

    Threads keep what they ran, their frames what they return, and an error its frames: both lie
    here only until they are taken.
    """

    calls: list[Callable[[], Any]]
    came_late: CameLate | None
    ends: list[tuple[Any, Exception | None]] = attrs.field(init=False, factory=list)
    is_left: bool = attrs.field(init=False, default=False)
    lock: Lock = attrs.field(init=False, factory=Lock)

    def run(self) -> None:
        """Make the call."""
        try:
            call = self.calls.pop()
        except IndexError:  # left before it began
            return
        try:
            end: tuple[Any, Exception | None] = (call(), None)
        except Exception as error:  # noqa: BLE001  # raised again where it is awaited
            end = (None, error)
        finally:
            del call
        with self.lock:
            self.ends.append(end)
            del end
            is_left = self.is_left
        if is_left:
            self._tell()

    def leave(self) -> bool:
        """Nobody waits any more; whichever side comes second tells. Whether the call was begun."""
        try:
            self.calls.pop()
        except IndexError:
            has_begun = True
        else:
            has_begun = False
        with self.lock:
            self.is_left = True
            has_ended = bool(self.ends)
        if has_ended:
            self._tell()
        return has_begun

    def _tell(self) -> None:
        value, error = self.ends.pop()
        try:
            if self.came_late is not None:
                self.came_late(value, error)
        finally:
            del value, error
