"""Into the running event loop from anywhere: timers may be rung in any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TypeAlias

Soon: TypeAlias = Callable[[Callable[[], object]], object]


def is_being_cancelled() -> bool:
    """Whether somebody cancels this task; trio says so itself, and nobody else raises its word."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is not None and task.cancelling() > 0


def soon_in_this_loop() -> Soon:
    """What runs a function in the event loop this is called in, soon; it may be called anywhere."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        token = import_module("trio").lowlevel.current_trio_token()
        soon: Soon = token.run_sync_soon
        return soon
