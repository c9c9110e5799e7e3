"""Somebody else's function, given a few seconds: what it came to, or that it does not end.

The function runs in a worker thread, and whoever asks waits for it there. If it takes too long an
exception is injected into that thread, and into no other: nothing can arrive late in the thread of
the asker. One that swallows even that is left behind in its thread, and so is one that waits in a
lock; neither keeps the process alive. Two things cannot be ended from within a process: a loop in C
that runs no line of Python, and whatever holds the interpreter for itself.
"""

from __future__ import annotations

import contextvars
import ctypes
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, Self

import attrs

from fsm_fallback.core.bounds import SECONDS, refuse_problems, shown

SECONDS_OF_PATIENCE: Final = 3.0
"""How long a part may think: it should take microseconds, on a machine that may be busy."""

_AGAIN: Final = 0.05  # between two injections
_INJECTIONS: Final = 20
_IDLE: Final = 0.001  # seconds of computing in `_AGAIN` that are none

_Job = tuple[contextvars.Context, Callable[..., Any], tuple[Any, ...]]


class _OutOfPatience(BaseException):
    """Injected into a worker that takes too long."""


@attrs.frozen
class Reply:
    """What a function came to.

    Attributes:
        value: What it returned; None if it did not.
        error: What it raised; None if nothing.
        ended: Whether it came to an end within the time given.
    """

    value: Any = None
    error: BaseException | None = None
    ended: bool = True

    @property
    def returned(self) -> bool:
        """Whether it returned."""
        return self.ended and self.error is None


class Patience:
    """Asks functions, one after the other, and waits for each as long as its patience lasts.

    Args:
        seconds: How long, finite seconds > 0.

    To be closed when done, or used in a `with` block. Not for several threads at once.
    """

    def __init__(self, seconds: float = SECONDS_OF_PATIENCE) -> None:
        refuse_problems(
            f"patience is {shown(value)}; give {SECONDS.wanted}"
            for value in (seconds,)
            if not SECONDS.accepts(value)
        )
        self.seconds: Final = seconds
        self._worker: _Worker | None = None

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Reply:
        """Call a function, in a copy of the present context; Ctrl-C interrupts the asker."""
        if self._worker is None:
            self._worker = _Worker()
        reply = self._worker.ask(function, arguments, self.seconds)
        if not reply.ended:
            self.close()  # nothing more can be asked of a worker that was interrupted
        return reply

    def close(self) -> None:
        """Let the worker go. Idempotent; the next question gets another one."""
        if self._worker is not None:
            self._worker.jobs.put(None)
            self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Worker:
    """A thread that does one job after the other, until it is given None or was interrupted."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._replies: SimpleQueue[Reply] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="fsm_fallback-spec", daemon=True)
        self._thread.start()

    def ask(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], patience: float
    ) -> Reply:
        self.jobs.put((contextvars.copy_context(), function, arguments))
        try:
            return self._replies.get(timeout=patience)
        except Empty:
            self._interrupt()
            return Reply(ended=False)

    def _work(self) -> None:
        try:
            while (job := self.jobs.get()) is not None:
                context, function, arguments = job
                try:
                    reply = Reply(context.run(function, *arguments))
                except _OutOfPatience:
                    return
                except BaseException as error:  # noqa: BLE001  # the asker's to judge
                    reply = Reply(error=error)
                self._replies.put(reply)
                del job, context, function, arguments, reply  # while it waits it keeps nothing
        except _OutOfPatience:  # it came just after the function had ended
            return

    def _is_busy(self) -> bool:
        """Whether it computes: what waits in a lock would not notice, and costs nothing.

        An exception that is pending for a thread that waits keeps CPython 3.11 from going on in
        every other thread that is traced, by coverage say.
        """
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None or self._thread.ident is None:
            return True
        clock = clock_of(self._thread.ident)
        before = time.clock_gettime(clock)
        self._thread.join(_AGAIN)
        return self._thread.is_alive() and time.clock_gettime(clock) - before > _IDLE

    def _interrupt(self) -> None:
        """End the thread if that can be done; it is never asked again."""
        number = ctypes.c_ulong(self._thread.ident or 0)
        if not self._is_busy():
            return
        inject = ctypes.pythonapi.PyThreadState_SetAsyncExc
        for _ in range(_INJECTIONS):
            inject(number, ctypes.py_object(_OutOfPatience))
            self._thread.join(_AGAIN)
            if not self._thread.is_alive():
                return
