"""The audit log: machines append what they record; a thread of its own writes it.

Decides what is kept when there is more than room, and in what order it leaves. It knows nothing of
what a step says (`records`) nor of how it is written (`sinks`).

Rules
-----
1. `append` runs inside the critical sections of breakers, on the path of every call, and in
   finalisers: it appends to a deque, and never waits, raises or does I/O.
2. The order of the ring is the order of the log. One consumer at a time empties it.
3. What there is no room for is counted, exactly, and the count is written where it was missed.
4. A sink that fails costs its records, never a call.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import attrs

from fsm_fallback.core.bounds import COUNT, Bound, bound_problems, one_of, refuse_problems
from fsm_fallback.core.events import Kept
from fsm_fallback.core.table import Table
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.telemetry.fields import Record

if TYPE_CHECKING:  # imported with the first log, not with the package
    from fsm_fallback.telemetry.sinks import Mirror, Sink

_WRITE_INTERVAL: Final = 0.05
_PATIENCE: Final = 5.0  # how long closing and exiting wait for a sink that hangs
_SLACK: Final = 64  # a full recorder forgets in batches: one append in 65 pays for all

_PATH: Final = Bound(
    lambda value: isinstance(value, (str, os.PathLike)) and bool(os.fspath(value)), "a file name"
)
_LOGGER: Final = Bound(
    lambda value: (
        callable(getattr(value, "info", None)) and callable(getattr(value, "warning", None))
    ),
    "a logger with info() and warning()",
)
_CLOCK: Final = Bound(callable, "a function that returns seconds")


# No slots: they want every attribute declared as a field, and those are half of what importing this
# module costs.
@attrs.define(eq=False, repr=False, slots=False)
class AuditLog:
    """What breakers and chains did, in one order.

    With a path, each record is a JSON line, written by a thread of the log's own; with a mirror, a
    logger hears of each. With neither it is a flight recorder: the latest records stay in memory,
    for `records()`.

    Safe in threads. One log may serve many chains; that gives one order over all their machines.
    Close a log that writes: until then its thread keeps it alive. After a fork the child goes on as
    a stream of its own, and leaves what the parent had not written to the parent.

    Args:
        path: File to append to, made if it is not there; its directory must be. None for no file.
        mode: What machines should record: `"moves"` every state change, attempt, skip, late outcome
            and operator act; `"full"` also every firing that changed no state.
        mirror: A logger, structlog's or the standard library's, that hears of each record as
            `machine.trigger` with the fields that are not null; openings, failed calls and lost
            records at WARNING, all else at INFO. None for none.
        capacity: How many steps wait to be written, or stay in a flight recorder; an attempt is one
            step and two records. A step takes up to 1 kB.
        clock: Monotonic seconds; the clock the machines use.
        wall: Seconds since the epoch, read once for `ts`.

    Raises:
        ConfigurationError: Naming every argument that cannot work, or a path that cannot be opened.
    """

    path: str | os.PathLike[str] | None = attrs.field(
        default=None, metadata={"bound": _PATH.or_none()}
    )
    mode: str = attrs.field(
        default="moves", kw_only=True, metadata={"bound": one_of("moves", "full")}
    )
    mirror: Mirror | None = attrs.field(
        default=None, kw_only=True, metadata={"bound": _LOGGER.or_none()}
    )
    capacity: int = attrs.field(default=65_536, kw_only=True, metadata={"bound": COUNT})
    clock: Callable[[], float] = attrs.field(
        default=time.monotonic, kw_only=True, metadata={"bound": _CLOCK}
    )
    wall: Callable[[], float] = attrs.field(
        default=time.time, kw_only=True, metadata={"bound": _CLOCK}
    )

    def __attrs_post_init__(self) -> None:
        from fsm_fallback.telemetry.records import Stream  # noqa: PLC0415  # see above
        from fsm_fallback.telemetry.sinks import file_sink, mirror_sink  # noqa: PLC0415  # as well

        refuse_problems(bound_problems(self))
        # None marks a gap: steps were refused here.
        self._ring: deque[Kept | None] = deque()
        self._sinks: tuple[Sink, ...] = ()
        self._errors = 0
        self._closed = False

        # Drawn from, never incremented: drawing is atomic, and a lock could be held by the very
        # thread whose finaliser appends. To read it is to draw, so the draws of readers are counted
        # apart.
        self._refused = itertools.count()
        self._readings = 0
        self._told = 0
        self._reading = threading.Lock()

        # Whoever empties the ring, or counts what leaves it, holds `_lock`; `_holder` is its
        # thread.
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

        self._stream = Stream(_run_id(), self.clock(), self.wall())
        if self.path is not None:
            self._sinks += (file_sink(self.path),)
        if self.mirror is not None:
            self._sinks += (mirror_sink(self.mirror),)
        if self._sinks:
            self._limit = self.capacity
            atexit.register(self._flush_at_exit)
        else:
            self._limit = self.capacity + _SLACK
        _LOGS.add(self)

    # Wiring ---------------------------------------------------------------------------------

    def register(self, table: Table, name: str, parameters: Mapping[str, object]) -> None:
        """Name the declaration of a machine, so that its records carry its digest.

        Args:
            table: The machine's table.
            name: The breaker's or the chain's name. Machines of one name in one log are told apart
                by nothing: give each chain, and each breaker, its own.
            parameters: The numbers in force, as plain values; empty for none.

        Raises:
            ConfigurationError: If that name is registered already.
        """
        from fsm_fallback.telemetry.records import declaration  # noqa: PLC0415  # see above

        self.refuse_taken(table, name)
        self._stream.declare(name, declaration(table, table.digest(parameters)))

    def refuse_taken(self, table: Table, name: str) -> None:
        """Refuse a name that is registered.

        Raises:
            ConfigurationError: If it is.
        """
        if self._stream.declared(table.name, name) is not None:
            raise ConfigurationError(
                f"AuditLog: {table.name} {name!r} is registered already, and records would not "
                "tell the two apart; give this one another name, or a log of its own"
            )

    def start(self) -> None:
        """Start the thread that writes; a flight recorder has none. Idempotent.

        Not done by `append`, which runs where a thread must not be started. What is appended before
        waits, and is written by `flush` and `close` in any case.
        """
        with self._starting:
            if not self._sinks or self._closed or self._thread is not None:
                return
            thread = threading.Thread(target=self._write_on, name="fsm_fallback-audit", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is going
                self._note_error("cannot start its thread", error)
            else:
                self._thread = thread

    def append(self, step: Kept) -> None:
        """Take what a machine recorded. Never waits, never raises, does no I/O."""
        ring = self._ring
        if len(ring) < self._limit:
            ring.append(step)
        else:
            self._overflow(step)

    # Reading --------------------------------------------------------------------------------

    @property
    def stream(self) -> str:
        """The name of this run, in each of its records."""
        return self._stream.id

    @property
    def errors(self) -> int:
        """How often a sink failed; each time a record was lost to that sink."""
        return self._errors

    @property
    def dropped(self) -> int:
        """How many steps were not kept: no room, or the log was closed."""
        with self._reading:
            total = next(self._refused) - self._readings
            self._readings += 1
        return total

    def records(self) -> list[Record]:
        """The records in memory, oldest first; they stay there.

        All a flight recorder has kept; of a log that writes, those not written yet.
        """
        # A mirror, or a finaliser, that reads us runs under the lock already.
        if self._holder == threading.get_ident():
            return self._rendered()
        with self._lock:
            self._holder = threading.get_ident()
            try:
                return self._rendered()
            finally:
                self._holder = None

    def _rendered(self) -> list[Record]:
        if not self._sinks:
            self._forget()
        steps, numbered = list(self._ring), self._stream.copy()
        return [record for step in steps if step is not None for record in numbered.render(step)]

    # Writing --------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write everything appended before, in this thread, and return. Waits for the sinks."""
        self._drain()

    def close(self) -> None:
        """Write everything, stop the thread, close the file. Idempotent.

        What is appended later is counted in `dropped`. A flight recorder has nothing to close: it
        goes on.
        """
        if self._closed or not self._sinks:
            return
        self._closed = True
        self._limit = 0
        self._stop.set()
        self._drain(_PATIENCE)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)
        self._drain(_PATIENCE)  # what was being appended while we closed
        atexit.unregister(self._flush_at_exit)
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001  # a sink never breaks a call
                self._note_error("cannot close its file", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else repr(os.fspath(self.path))
        return f"<AuditLog {self.stream} {where}, mode {self.mode!r}>"

    # Mechanism ------------------------------------------------------------------------------

    def _overflow(self, step: Kept) -> None:
        """Take a step there is no room for; runs where `append` does."""
        if not self._sinks:
            self._ring.append(step)
            # Whoever has the lock is forgetting, or reading: the next append sees to the rest.
            if self._lock.acquire(blocking=False):
                try:
                    self._forget()
                finally:
                    self._lock.release()
            return
        next(self._refused)
        if self._closed:
            return
        # Counted first, marked then: whoever reads the mark later finds this one counted.
        try:
            marked = self._ring[-1] is None
        except IndexError:  # emptied since we looked
            marked = False
        if not marked:
            self._ring.append(None)

    def _forget(self) -> None:
        """Let the oldest leave a flight recorder; they are counted, so that `seq` goes on."""
        leave = self._ring.popleft
        leaving = [leave() for _ in range(len(self._ring) - self.capacity)]
        self._stream.pass_over(step for step in leaving if step is not None)

    def _write_on(self) -> None:
        while not self._stop.wait(_WRITE_INTERVAL):
            self._drain()

    def _drain(self, timeout: float = -1) -> None:
        """Empty the ring into the sinks; what is appended meanwhile waits for the next time."""
        if self._holder == threading.get_ident():
            return  # a sink that flushes: we are at it
        if not self._sinks or not self._lock.acquire(timeout=timeout):
            return
        self._holder = threading.get_ident()
        try:
            for _ in range(len(self._ring)):
                self._write(self._ring.popleft())
        finally:
            self._holder = None
            self._lock.release()

    def _write(self, step: Kept | None) -> None:
        try:
            records = self._missed() if step is None else self._stream.render(step)
        except Exception as error:  # noqa: BLE001  # a step nobody can read costs its records only
            self._note_error("cannot render a record", error)
            return
        for record in records:
            for sink in self._sinks:
                try:
                    sink.write(record)
                except Exception as error:  # noqa: BLE001  # a sink never breaks a call
                    self._note_error("cannot write a record", error)

    def _missed(self) -> tuple[Record, ...]:
        """The record for what was dropped since the last one; none if that was told already."""
        total = self.dropped
        count, self._told = total - self._told, total
        return (self._stream.dropped(count, self.clock()),) if count else ()

    def _flush_at_exit(self) -> None:
        self._drain(_PATIENCE)

    def _note_error(self, what: str, error: Exception) -> None:
        """Count what went wrong, and say so the first time."""
        self._errors += 1
        if self._errors > 1:
            return
        import logging  # noqa: PLC0415  # not imported with the package

        # The type and, of the system's own errors, the system's words: nothing of the record.
        said = error.strerror if isinstance(error, OSError) else None
        with contextlib.suppress(Exception):  # a logger of the user's
            logging.getLogger("fsm_fallback").warning(
                "%r %s: %s; calls go on, see AuditLog.errors",
                self,
                what,
                said or type(error).__name__,
            )

    def _renew(self) -> None:
        """Begin anew in a forked child: its locks may be held, and its thread is gone, for ever."""
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._reading = threading.Lock()
        self._holder = None
        self._ring.clear()
        self._refused, self._readings, self._told = itertools.count(), 0, 0
        self._stream = self._stream.successor(_run_id(), self.clock(), self.wall())
        if self._thread is not None:
            self._thread, self._stop = None, threading.Event()
            self.start()


def _run_id() -> str:
    return os.urandom(8).hex()


_LOGS: Final[weakref.WeakSet[AuditLog]] = weakref.WeakSet()


def _renew_all() -> None:
    for log in list(_LOGS):
        log._renew()  # noqa: SLF001  # the same module


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew_all)
