"""One operation of a breaker at a time, and its events after it.

The lock, what waits for it, and what is told when it is free. An operation that comes while another
of the same breaker runs in the same thread (from a finaliser in the middle of it) waits in a queue,
so that nothing nests and nothing deadlocks. It decides nothing, and reads no clock.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from threading import Lock, RLock
from typing import Any, Final

from fsm_fallback.core.breaker import OPERATORS, Breaker
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.lease import Lease
from fsm_fallback.providers.classifying import log_fault_of_user

Listener = Callable[[BreakerStep], object]
Append = Callable[[BreakerStep], None]

_ALL: Final[weakref.WeakSet[Serial]] = weakref.WeakSet()


class Serial:
    """The critical section of one breaker.

    Args:
        sample: Draws from [0, 1) for the jitter of openings, off the lock.
    """

    __slots__ = (
        "__weakref__",
        "_busy",
        "_listeners",
        "_logs",
        "_outbox",
        "_sample",
        "_waiting",
        "append",
        "lock",
    )

    def __init__(self, sample: Callable[[], float]) -> None:
        self.lock = RLock()
        self.append: Append | None = None
        self._logs: tuple[Append, ...] = ()
        self._sample = sample
        self._busy = False
        # A list, appended to and taken from in atomic steps: an empty deque takes 600 bytes.
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._outbox: _Outbox | None = None  # most breakers never have news
        self._listeners: tuple[Listener, ...] = ()
        _ALL.add(self)

    def run(self, core: Breaker, operation: Callable[..., Any], *arguments: Any) -> Any:
        """Do an operation of the breaker, or queue it if one runs in this thread; its result."""
        with self.lock:
            if self._busy:
                self._waiting.append((operation, arguments))
                return None
            self._busy = True
            try:
                if self._waiting:
                    self._catch_up()
                result = operation(*arguments)
                if self._waiting:
                    self._catch_up()
            finally:
                self._busy = False
        if self._outbox is not None and self._outbox.events:
            self._deliver(core, self._outbox)
        return result

    def run_now(self, core: Breaker, operation: Callable[..., Any], *arguments: Any) -> Any:
        """As `run`, of one that cannot wait: None if an operation runs in this thread."""
        with self.lock:
            if self._busy:  # in this thread: any other would have the lock
                return None
        return self.run(core, operation, *arguments)

    def lose(self, core: Breaker, lease: Lease) -> None:
        """Note that a lease was dropped unsettled; the next operation releases it.

        Runs in finalisers, at any point of any thread: it only appends, and sends the next call to
        the lock.
        """
        self._waiting.append((_release_lost, (core, lease)))
        core.straight = core.timed = core.shut = None

    def note(self, step: BreakerStep) -> None:
        """Take a record, inside the critical section."""
        if self.append is not None:
            self.append(step)
        told = step.verdict in ("moved", "late") or step.trigger in OPERATORS
        if told and (self._listeners or step.target is BreakerState.OPEN):
            if self._outbox is None:
                self._outbox = _Outbox()
            self._outbox.events.append(step)

    def add_log(self, append: Append) -> tuple[bool, bool]:
        """Hand records to one more log; whether it is the first, and whether it is a new one.

        One that is added again hears everything once, until it has been removed as often.
        """
        is_first, is_new = not self._logs, append not in self._logs
        self._logs = (*self._logs, append)
        self._choose()
        return is_first, is_new

    def remove_log(self, append: Append) -> None:
        """Hand records to one log less."""
        if append in self._logs:
            position = self._logs.index(append)
            self._logs = self._logs[:position] + self._logs[position + 1 :]
            self._choose()

    def _choose(self) -> None:
        match tuple(dict.fromkeys(self._logs)):
            case ():
                self.append = None
            case (only,):
                self.append = only
            case _:
                self.append = self._append_to_all

    def _append_to_all(self, step: BreakerStep) -> None:
        for append in dict.fromkeys(self._logs):
            append(step)

    def add_listener(self, listener: Listener) -> None:
        """Tell one more."""
        with self.lock:
            self._listeners = (*self._listeners, listener)

    def after_fork(self) -> None:
        """In a forked child: locks that threads of the parent held are held by nobody."""
        self.lock = RLock()
        self._busy = False
        if self._outbox is not None:
            self._outbox.delivering = Lock()

    def _catch_up(self) -> None:
        while self._waiting:
            operation, arguments = self._waiting.pop(0)
            operation(*arguments)

    def _deliver(self, core: Breaker, outbox: _Outbox) -> None:
        """Deliver events in order: whoever is at it goes on until there are none."""
        delivering = outbox.delivering  # a listener may fork, and the child has another
        while outbox.events and delivering.acquire(blocking=False):
            try:
                while outbox.events:
                    step = outbox.events.pop(0)
                    if step.target is BreakerState.OPEN and step.verdict == "moved":
                        self._draw_sample(core)
                    for listener in self._listeners:
                        self._call(listener, step)
            finally:
                delivering.release()

    def _draw_sample(self, core: Breaker) -> None:
        try:
            core.sample = self._sample()
        except Exception as error:  # noqa: BLE001  # the user's code; the one before serves again
            log_fault_of_user("sample of breaker %r raised %s", core.name, error)

    def _call(self, listener: Listener, step: BreakerStep) -> None:
        try:
            listener(step)
        except Exception as error:  # noqa: BLE001  # the user's code, and no call's business
            log_fault_of_user("a listener of breaker %r raised %s", step.breaker, error)


class _Outbox:
    """The events to deliver, and the right to do it."""

    __slots__ = ("delivering", "events")

    def __init__(self) -> None:
        self.events: list[BreakerStep] = []
        self.delivering = Lock()


def _release_lost(core: Breaker, lease: Lease) -> None:
    core.release(lease, core.now)


def _free_all() -> None:
    for serial in tuple(_ALL):
        serial.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_free_all)
