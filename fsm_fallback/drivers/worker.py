"""Plain calls, awaited: each runs in a worker thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import anyio


def in_thread(call: Callable[..., Any]) -> Callable[..., Any]:
    """An awaitable form of a plain call: it runs in a worker thread.

    A call that is cut or cancelled is left behind: its thread runs on, nobody waits for it.
    """

    async def acall(*args: Any, **kwargs: Any) -> Any:
        # Worker threads keep what they ran, and errors keep the worker: give them neither.
        bound: list[Callable[[], Any]] = [functools.partial(call, *args, **kwargs)]
        value, error = await anyio.to_thread.run_sync(_end_of, bound, abandon_on_cancel=True)
        if error is None:
            return value
        try:
            raise error
        finally:
            del error

    return acall


def _end_of(bound: list[Callable[[], Any]]) -> tuple[Any, Exception | None]:
    """What a call, taken out of its box, came to."""
    try:
        return bound.pop()(), None
    except Exception as error:  # noqa: BLE001  # raised again where it is awaited
        return None, error
