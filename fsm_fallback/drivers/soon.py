"""Into the running event loop from anywhere: timers may be rung in any thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from importlib import import_module
from typing import TypeAlias

import anyio

Soon: TypeAlias = Callable[[Callable[[], object]], object]


def is_being_cancelled() -> bool:
    """Whether somebody cancels this task; trio says so itself, and nobody else raises its word."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is not None and task.cancelling() > 0


def cancellation_in(error: BaseException) -> BaseException | None:
    """The cancellation that an error was made of; None if it is one of its own."""
    before: BaseException | None = error
    if isinstance(error, Exception):  # is none itself, and most were made of nothing
        before = error.__cause__ or error.__context__
    if before is None:
        return None
    try:
        cancelled = anyio.get_cancelled_exc_class()
    except RuntimeError:  # awaited by hand, in no event loop
        return None
    seen: set[int] = set()
    while before is not None and id(before) not in seen:
        if isinstance(before, cancelled):
            return before
        seen.add(id(before))
        before = before.__cause__ or before.__context__
    return None


def callers_cancellation(error: BaseException) -> BaseException | None:
    """The cancellation of the caller, if a provider made this error of it."""
    found = cancellation_in(error)
    if found is None:
        return None
    cut = anyio.current_effective_deadline() == -math.inf
    return found if cut or (_is_asyncio() and is_being_cancelled()) else None


def _is_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def soon_in_this_loop() -> Soon:
    """What runs a function in the event loop this is called in, soon; it may be called anywhere."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        token = import_module("trio").lowlevel.current_trio_token()
        soon: Soon = token.run_sync_soon
        return soon
