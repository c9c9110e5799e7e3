"""`CircuitBreaker`: the pure breaker with a lock, a clock and listeners.

Decides nothing. It serialises operations on a `core.breaker.Breaker`, reads the clock before it
locks, and delivers events after it has unlocked. An operation that comes while another of the same
breaker runs in the same thread (from a finaliser in the middle of it) waits in a queue, so that
nothing nests and nothing deadlocks.
"""

from __future__ import annotations

import functools
import os
import random
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from threading import Lock, RLock
from typing import Any, Final, assert_never

from fsm_fallback.core.bounds import is_number, refuse_problems, shown
from fsm_fallback.core.breaker import OPERATORS, Breaker
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault, Outcome
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.errors import BreakerOpen, ConfigurationError

Listener = Callable[[BreakerStep], object]

_DEFAULTS: Final = BreakerConfig()
_CIRCUITS: Final[weakref.WeakSet[CircuitBreaker]] = weakref.WeakSet()


class CircuitBreaker:
    """A circuit breaker for any calls, safe in threads and event loops at once.

    Ask for a lease, make the call, settle the lease: `try_acquire` answers None where the breaker
    refuses, `acquire` raises `BreakerOpen`. Reading (`state`, `snapshot`) changes nothing.

        breaker = CircuitBreaker("search")
        lease = breaker.acquire()
        try:
            answer = search(query)
        except Exception as error:
            lease.settle(classify(error))
            raise
        except BaseException:
            lease.release()
            raise
        lease.succeed()

    Args:
        name: What it guards; its name in logs and errors.
        config: Its parameters.
        clock: Monotonic seconds.
        sample: Draws from [0, 1) for the jitter of openings.

    Raises:
        ConfigurationError: If an argument cannot work.
    """

    __slots__ = (
        "__weakref__",
        "_audit",
        "_breaker",
        "_busy",
        "_clock",
        "_delivering",
        "_events",
        "_listeners",
        "_lock",
        "_lost",
        "_name",
        "_queued",
        "_sample",
    )

    def __init__(
        self,
        name: str,
        config: BreakerConfig = _DEFAULTS,
        *,
        clock: Callable[[], float] = time.monotonic,
        sample: Callable[[], float] = random.random,
    ) -> None:
        refuse_problems(_argument_problems(name, config, clock, sample))
        self._name = name
        self._clock = clock
        self._sample = sample
        self._lock = RLock()
        self._busy = False
        self._queued: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._lost: deque[Lease] = deque()
        self._events: deque[BreakerStep] = deque()
        self._delivering = Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._audit: Callable[[BreakerStep], None] | None = None
        self._breaker = Breaker(
            name, config, now=clock(), owner=self, record=self._note, sample=sample()
        )
        _CIRCUITS.add(self)

    # Leases ---------------------------------------------------------------------------------

    def try_acquire(self) -> Lease | None:
        """A lease for one call, or None where the breaker refuses."""
        granted = self.admission()
        return None if isinstance(granted, Refusal) else granted

    def acquire(self) -> Lease:
        """A lease for one call.

        Raises:
            BreakerOpen: Where the breaker refuses; nothing has been called.
        """
        now = self._clock()
        granted = self.admission(now)
        if not isinstance(granted, Refusal):
            return granted
        left = None if granted.until is None else max(0.0, granted.until - now)
        raise BreakerOpen(self.name, granted.state, left, granted.cause)

    def admission(self, now: float | None = None) -> Lease | Refusal:
        """A lease for one call, or why there is none. `now`: the clock, if just read."""
        if now is None:
            now = self._clock()
        breaker = self._breaker
        with self._lock:
            if self._busy:
                # A finaliser asks in the middle of another operation; it cannot wait for that.
                return Refusal(breaker.state.value, None, None)
            self._busy = True
            try:
                if self._lost:
                    self._release_lost()
                granted = breaker.admit(now) or Refusal(
                    breaker.state.value, breaker.open_until, breaker.cause
                )
                if self._queued:
                    self._run_queued()
            finally:
                self._busy = False
        if self._events:
            self._deliver()
        return granted

    def settle_success(self, lease: Lease, now: float | None = None) -> None:
        """Book a success; `Lease.succeed` is the way to say it."""
        if now is None:
            now = self._clock()
        with self._lock:
            if self._busy:
                self._queued.append((self._breaker.succeed, (lease, now)))
                return
            self._busy = True
            try:
                self._breaker.succeed(lease, now)
                if self._queued:
                    self._run_queued()
            finally:
                self._busy = False
        if self._events:
            self._deliver()

    def settle_failure(
        self, lease: Lease, fault: Fault | None = None, now: float | None = None
    ) -> None:
        """Book a failure; `Lease.fail` is the way to say it."""
        self._run(self._breaker.fail, lease, self._clock() if now is None else now, fault)

    def settle_release(self, lease: Lease, now: float | None = None) -> None:
        """Take a lease back without evidence; `Lease.release` is the way to say it."""
        self._run(self._breaker.release, lease, self._clock() if now is None else now)

    def settle_hold(
        self, lease: Lease, seconds: float, fault: Fault | None = None, now: float | None = None
    ) -> None:
        """Open for a time the provider named; `Lease.hold` is the way to say it."""
        if now is None:
            now = self._clock()
        self._run(self._breaker.hold, now + self._seconds(seconds), now, lease, fault)

    def settle_fault(self, lease: Lease, fault: Fault, now: float | None = None) -> None:
        """Settle as the fault table says; `Lease.settle` is the way to say it."""
        match fault.outcome:
            case Outcome.FAILURE:
                self.settle_failure(lease, fault, now)
            case Outcome.HOLD:
                self.settle_hold(lease, fault.hold_duration, fault, now)
            case Outcome.NEUTRAL:
                self.settle_release(lease, now)
            case Outcome.SUCCESS:
                self.settle_success(lease, now)
            case _:
                assert_never(fault.outcome)

    def lose(self, lease: Lease) -> None:
        """Note that a lease was dropped unsettled; the next operation releases it.

        Runs in finalisers, at any point of any thread: it only appends.
        """
        self._lost.append(lease)

    # Operators ------------------------------------------------------------------------------

    def force_open(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Refuse every call until `reset`."""
        self._run(self._breaker.force_open, self._clock(), actor, reason)

    def disable(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Admit every call and count nothing until `reset`."""
        self._run(self._breaker.disable, self._clock(), actor, reason)

    def observe(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Admit every call and count, but never trip, until `reset`: a shadow roll-out."""
        self._run(self._breaker.observe, self._clock(), actor, reason)

    def reset(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Close with empty evidence; the outcome of every call now out is late."""
        self._run(self._breaker.reset, self._clock(), actor, reason)

    def hold(self, seconds: float, *, reason: str | None = None, actor: str | None = None) -> None:
        """Stay away for `seconds`, at most `max_hold`; never shortens a longer hold.

        Forced open, disabled or observing, the breaker stays as it is: that word stands.

        Raises:
            ValueError: If `seconds` is negative or not finite.
        """
        now = self._clock()
        hold = functools.partial(self._breaker.hold, actor=actor, reason=reason)
        self._run(hold, now + self._seconds(seconds), now)

    # Reading --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What it guards."""
        return self._name

    @property
    def config(self) -> BreakerConfig:
        """Its parameters."""
        return self._breaker.config

    @property
    def state(self) -> BreakerState:
        """Where it stands; OPEN until a caller comes after the open time."""
        return self._breaker.state

    def snapshot(self) -> BreakerSnapshot:
        """How it stands, read at one instant."""
        now = self._clock()
        with self._lock:
            return self._breaker.snapshot(now)

    def restore(self, snapshot: BreakerSnapshot) -> None:
        """Take over how another breaker stood; see `core.breaker.Breaker.restore`.

        Raises:
            ConfigurationError: If it is no snapshot; the breaker is unchanged.
        """
        if not isinstance(snapshot, BreakerSnapshot):
            raise ConfigurationError(
                f"restore of {self.name!r} got {shown(snapshot)}; give a BreakerSnapshot"
            )
        self._run(self._breaker.restore, snapshot, self._clock())

    def add_listener(self, listener: Listener) -> None:
        """Call `listener(event)` for each transition and late outcome, in order, off the lock.

        A listener that raises is logged and touches no call. It may use this breaker.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def audit(self, append: Callable[[BreakerStep], None], *, id: str, stays: bool) -> None:  # noqa: A002  # the record's field
        """Hand each record to `append` inside the critical section that made it.

        `append` must not block nor raise. `id` names this breaker in the records; `stays`: also
        firings that change no state.
        """
        with self._lock:
            self._audit = append
            self._breaker.name = id
            self._breaker.record_stays = stays

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r}: {self.state.value}>"

    # Mechanism ------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """In a forked child: locks that threads of the parent held are held by nobody."""
        self._lock = RLock()
        self._delivering = Lock()
        self._busy = False

    def _seconds(self, seconds: float) -> float:
        if not is_number(seconds) or seconds < 0:
            raise ValueError(f"hold of {self.name!r} is {seconds!r}; give finite seconds >= 0")
        return seconds

    def _run(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            if self._busy:
                self._queued.append((operation, arguments))
                return None
            self._busy = True
            try:
                if self._lost:
                    self._release_lost()
                result = operation(*arguments)
                if self._queued:
                    self._run_queued()
            finally:
                self._busy = False
        if self._events:
            self._deliver()
        return result

    def _run_queued(self) -> None:
        while self._queued:
            operation, arguments = self._queued.popleft()
            operation(*arguments)

    def _release_lost(self) -> None:
        while self._lost:
            self._breaker.release(self._lost.popleft(), self._breaker.now)

    def _note(self, step: BreakerStep) -> None:
        """Take a record, inside the critical section."""
        if self._audit is not None:
            self._audit(step)
        told = step.verdict in ("moved", "late") or step.trigger in OPERATORS
        if told and (self._listeners or step.target is BreakerState.OPEN):
            self._events.append(step)

    def _deliver(self) -> None:
        """Deliver events in order: whoever is at it goes on until there are none."""
        while self._events and self._delivering.acquire(blocking=False):
            try:
                while self._events:
                    step = self._events.popleft()
                    if step.target is BreakerState.OPEN and step.verdict == "moved":
                        self._breaker.sample = self._sample()
                    for listener in self._listeners:
                        self._call(listener, step)
            finally:
                self._delivering.release()

    def _call(self, listener: Listener, step: BreakerStep) -> None:
        try:
            listener(step)
        except Exception as error:  # noqa: BLE001  # the user's code, and no call's business
            import logging  # noqa: PLC0415  # not imported with the package

            # Its type only: a message may quote whatever the listener had in hand.
            logging.getLogger("fsm_fallback").error(  # noqa: TRY400  # as above
                "listener %r of breaker %r raised %s", listener, self.name, type(error).__name__
            )


def _free_all() -> None:
    for circuit in tuple(_CIRCUITS):
        circuit.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)


def _argument_problems(
    name: object, config: object, clock: object, sample: object
) -> Iterator[str]:
    if not isinstance(name, str) or not name:
        yield f"CircuitBreaker.name is {shown(name)}; give a non-empty string"
    if not isinstance(config, BreakerConfig):
        yield f"CircuitBreaker.config is {shown(config)}; give a BreakerConfig"
    if not callable(clock):
        yield f"CircuitBreaker.clock is {shown(clock)}; give a function that returns seconds"
    if not callable(sample):
        yield f"CircuitBreaker.sample is {shown(sample)}; give a function that draws from [0, 1)"
