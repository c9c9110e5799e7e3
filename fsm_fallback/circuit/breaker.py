"""`CircuitBreaker`: the pure breaker with a lock, a clock, listeners and guarded calls.

Decides nothing. It reads the clock before it locks, has one operation at a time done on a
`core.breaker.Breaker`, and listeners hear of it when the lock is free (`circuit.serial`). Calls
that go straight (`core.straight`) take no lock.
"""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ClassVar, Final, ParamSpec, TypeVar, overload

from fsm_fallback.circuit.arguments import argument_problems, judge_problems
from fsm_fallback.circuit.calls import Guard
from fsm_fallback.circuit.explain import explained
from fsm_fallback.circuit.serial import Listener, Serial
from fsm_fallback.core.bounds import is_number, refuse_problems, shown
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault, Outcome
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.errors import BreakerOpen, ConfigurationError
from fsm_fallback.providers.classifying import Classifier

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS: Final = BreakerConfig()
_FAILURE: Final = Outcome.FAILURE  # an enum member is a slow look-up
_HOLD: Final = Outcome.HOLD

# The leases of the `with` blocks this context is in, the innermost last. One breaker serves many
# threads and tasks at once, so it cannot keep them itself.
_ENTERED: Final[ContextVar[tuple[Lease, ...]]] = ContextVar("fsm_fallback_entered", default=())


class CircuitBreaker:
    """A circuit breaker for any calls, safe in threads and event loops at once.

    It is a decorator, for functions, coroutine functions, generators and async generators, and a
    context manager, plain and async; `call` and `acall` guard one call:

        search = CircuitBreaker("search")

        @search
        def find(query): ...

        with search:
            answer = find_elsewhere(query)

    By hand: ask for a lease, make the call, settle the lease. `try_acquire` answers None where the
    breaker refuses, everything else raises `BreakerOpen`, and nothing has been called then. Reading
    (`state`, `snapshot`, `would_admit`, `explain`) changes nothing.

        lease = search.acquire()
        try:
            answer = find(query)
        except Exception as error:
            lease.settle(classify(error))
            raise
        except BaseException:
            lease.release()
            raise
        lease.succeed()

    A stream is settled by its end: one that fails midway is a failure, one that its consumer closes
    early leaves no evidence. A `with` block and its end belong into one context: where a framework
    runs them in two threads, the call is not counted; take a lease by hand there.

    Args:
        name: What it guards; its name in logs and errors.
        config: Its parameters.
        clock: Monotonic seconds.
        sample: Draws from [0, 1) for the jitter of openings.
        classify: Turns an exception of a guarded call into a `Fault`, whose kind decides what is
            booked; by default the fault table. See `counting` and `ignoring`. One that raises means
            `FaultKind.UNKNOWN` and is logged.
        accept: Judges the result of a guarded call: False books a failure, and the caller gets the
            result all the same. One that raises books nothing and is logged.

    Raises:
        ConfigurationError: If an argument cannot work.
    """

    is_joint: ClassVar[bool] = False

    __slots__ = (
        "__weakref__",
        "_guard",
        "_name",
        "_serial",
        "clock",
        "core",
    )

    def __init__(
        self,
        name: str,
        config: BreakerConfig = _DEFAULTS,
        *,
        clock: Callable[[], float] = time.monotonic,
        sample: Callable[[], float] = random.random,
        classify: Classifier | None = None,
        accept: Callable[[Any], bool] | None = None,
    ) -> None:
        refuse_problems(argument_problems(name, config, clock, sample, classify, accept))
        self._name = name
        self.clock = clock
        self._serial = Serial(sample)
        self.core = Breaker(
            name, config, now=clock(), owner=self, record=self._serial.note, sample=sample()
        )
        self._guard = Guard(self, classify, accept)

    # Guarded calls --------------------------------------------------------------------------

    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(
        self,
        /,
        *,
        classify: Classifier | None = None,
        accept: Callable[[Any], bool] | None = None,
    ) -> Callable[[F], F]: ...
    def __call__(
        self,
        *function: Any,
        classify: Classifier | None = None,
        accept: Callable[[Any], bool] | None = None,
    ) -> Any:
        """Guard a function: the same function, but it asks this breaker first.

        `@breaker`, or `@breaker(classify=..., accept=...)` where this function's exceptions or
        results are to be judged otherwise than the breaker's others.

        Raises:
            ConfigurationError: If it cannot be guarded.
        """
        refuse_problems(judge_problems(classify, accept))
        guard = self._guard
        if classify is not None or accept is not None:
            guard = guard.with_judges(classify, accept)
        return guard.guarded(*function) if function else guard.guarded

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function if the breaker lets us, and book what comes of it.

        A coroutine function has done nothing yet when it returns: give it to `acall`.

        Raises:
            BreakerOpen: Where the breaker refuses; the function has not been called.
        """
        value: T = self._guard.call(function, args, kwargs)
        return value

    async def acall(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `call`, of a coroutine function. Cancellation passes through and books nothing."""
        value: T = await self._guard.acall(function, args, kwargs)
        return value

    def __enter__(self) -> Lease:
        lease = self.acquire()
        _ENTERED.set((*_ENTERED.get(), lease))
        return lease

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lease = self._leave()
        if lease is None or lease.settled:
            return
        if exc is None:
            self.settle_success(lease)
        else:
            self._guard.settle_error(lease, exc)

    async def __aenter__(self) -> Lease:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    # Leases ---------------------------------------------------------------------------------

    def try_acquire(self) -> Lease | None:
        """A lease for one call, or None where the breaker refuses."""
        core = self.core
        now = self.clock()
        if (shut := core.shut) is not None and now < shut.until:
            if now > core.now:
                core.now = now
            next(shut.refusals)
            return None
        granted = self.admission(now)
        return granted if isinstance(granted, Lease) else None

    def acquire(self) -> Lease:
        """A lease for one call.

        Raises:
            BreakerOpen: Where the breaker refuses; nothing has been called.
        """
        now = self.clock()
        granted = self.admission(now)
        if isinstance(granted, Lease):
            return granted
        left = None if granted.until is None else max(0.0, granted.until - now)
        raise BreakerOpen(self._name, granted.state, left, granted.cause)

    def would_admit(self) -> bool:
        """Whether a caller would get a lease now; asking takes no slot and counts nothing.

        Leases that were dropped are taken back first, as by any operation. Asking ends no round:
        one whose probe hangs is ended by a caller, so who asks must call as well.
        """
        now = self.clock()
        return bool(self._serial.run_now(self.core, self.core.would_admit, now))

    def opens_at(self, now: float) -> float:
        """When a caller may get a lease: `now` if now, infinite if nobody knows; only reads."""
        core = self.core
        if core.straight is not None:
            return now
        opens: float | None = self._serial.run_now(core, core.opens_at, now)
        return math.inf if opens is None else opens

    def admission(self, now: float) -> Lease | Refusal:
        """A lease for one call, or why there is none. `now`: the clock, just read."""
        core = self.core
        if (generation := core.straight) is not None:
            if now > core.now:
                core.now = now
            return Lease(core, generation.number, next(generation.admissions), now)
        if (shut := core.shut) is not None and now < shut.until:
            if now > core.now:
                core.now = now
            next(shut.refusals)
            return shut.refusal
        if (generation := core.timed) is not None and (number := generation.enter(now)):
            return Lease(core, generation.number, number, now)
        granted: Lease | Refusal | None = self._serial.run_now(core, self._admit, now)
        # A finaliser asks in the middle of another operation; it cannot wait for that.
        return Refusal(core.state.value, None, None) if granted is None else granted

    def settle_success(
        self, lease: Lease, now: float | None = None, *, duration: float | None = None
    ) -> None:
        """Book a success; `Lease.succeed` is the way to say it."""
        if duration is not None:
            self._check_seconds("duration", duration)
        core = self.core
        generation = core.straight
        if generation is not None and lease.generation == generation.number:
            if lease.breaker is core and lease.claim():
                place = next(generation.places)
                if core.straight is not generation:
                    self.end_straight(generation, lease.number, place, now)
                return
        self._serial.run(core, core.succeed, lease, self.clock() if now is None else now, duration)

    def settle_failure(
        self,
        lease: Lease,
        fault: Fault | None = None,
        now: float | None = None,
        *,
        duration: float | None = None,
    ) -> None:
        """Book a failure; `Lease.fail` is the way to say it."""
        if duration is not None:
            self._check_seconds("duration", duration)
        now = self.clock() if now is None else now
        self._serial.run(self.core, self.core.fail, lease, now, fault, duration)

    def settle_release(self, lease: Lease, now: float | None = None) -> None:
        """Take a lease back without evidence; `Lease.release` is the way to say it."""
        self._serial.run(self.core, self.core.release, lease, self.clock() if now is None else now)

    def settle_hold(
        self, lease: Lease, seconds: float, fault: Fault | None = None, now: float | None = None
    ) -> None:
        """Open for a time the provider named; `Lease.hold` is the way to say it."""
        self._check_seconds("hold", seconds)
        if now is None:
            now = self.clock()
        self._serial.run(self.core, self.core.hold, now + seconds, now, lease, fault)

    def settle_fault(self, lease: Lease, fault: Fault, now: float | None = None) -> None:
        """Settle as the fault table says; `Lease.settle` is the way to say it."""
        outcome = fault.outcome
        if outcome is _FAILURE:
            self.settle_failure(lease, fault, now)
        elif outcome is _HOLD:
            self.settle_hold(lease, fault.hold_duration, fault, now)
        else:
            self.settle_release(lease, now)

    def begin_output(self, lease: Lease) -> None:
        """Note the first output of a stream; `Lease.begin_output` is the way to say it."""
        self._serial.run(self.core, self.core.begin_output, lease, self.clock())

    def note_late(self, lease: Lease, fault: Fault | None) -> None:
        """Record that a call came back after its caller had left; nothing is booked."""
        self._serial.run(self.core, self.core.note_late, lease, self.clock(), fault)

    def lose(self, lease: Lease) -> None:
        """Note that a lease was dropped unsettled; the next operation releases it.

        Runs in finalisers, at any point of any thread: it only appends, and sends the next call to
        the lock.
        """
        self._serial.lose(self.core, lease)

    # Straight calls ---------------------------------------------------------------------------

    def lease_of(
        self, generation: Generation, number: int, admitted_at: float | None = None
    ) -> Lease:
        """The lease of a call that began straight and cannot end so."""
        if admitted_at is None:  # nobody watches its time, and the clock might raise
            admitted_at = self.core.now
        return Lease(self.core, generation.number, number, admitted_at)

    def end_straight(
        self, generation: Generation, number: int, place: int, now: float | None = None
    ) -> None:
        """Settle a straight call whose way was closed while it was out, or as it took its place."""
        core, at = self.core, self.core.now
        try:
            at = self.clock() if now is None else now
        finally:  # the place is taken, whether or not the clock raises
            self._serial.run(core, core.end_straight, generation, number, place, at)

    # Operators ------------------------------------------------------------------------------

    def force_open(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Refuse every call until `reset`."""
        self._serial.run(self.core, self.core.force_open, self.clock(), actor, reason)

    def disable(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Admit every call and count nothing until `reset`."""
        self._serial.run(self.core, self.core.disable, self.clock(), actor, reason)

    def observe(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Admit every call and count, but never trip, until `reset`: a shadow roll-out."""
        self._serial.run(self.core, self.core.observe, self.clock(), actor, reason)

    def reset(self, *, reason: str | None = None, actor: str | None = None) -> None:
        """Close with empty evidence; the outcome of every call now out is late."""
        self._serial.run(self.core, self.core.reset, self.clock(), actor, reason)

    def hold(self, seconds: float, *, reason: str | None = None, actor: str | None = None) -> None:
        """Stay away for `seconds`, at most `max_hold`; never shortens a longer hold.

        Forced open, disabled or observing, the breaker stays as it is: that word stands.

        Raises:
            ValueError: If `seconds` is negative or not finite.
        """
        self._check_seconds("hold", seconds)
        now = self.clock()
        hold = functools.partial(self.core.hold, actor=actor, reason=reason)
        self._serial.run(self.core, hold, now + seconds, now)

    # Reading --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What it guards."""
        return self._name

    @property
    def config(self) -> BreakerConfig:
        """Its parameters."""
        return self.core.config

    @property
    def state(self) -> BreakerState:
        """Where it stands; OPEN until a caller comes after the open time."""
        return self.core.state

    def snapshot(self) -> BreakerSnapshot:
        """How it stands, read at one instant."""
        now = self.clock()
        with self._serial.lock:
            return self.core.snapshot(now)

    def explain(self) -> str:
        """How it stands, why, since when and until when, for a person on call."""
        now = self.clock()
        with self._serial.lock:
            return explained(self.core, now)

    def restore(self, snapshot: BreakerSnapshot) -> None:
        """Take over how another breaker stood, perhaps in a process that is gone.

        State, backoff, holds, cause and the open time that was left come back; evidence starts
        empty, every lease out is late, HALF_OPEN comes back as OPEN with the open time over.

        Raises:
            ConfigurationError: If it is no snapshot, or one of a breaker with other parameters; the
                breaker is unchanged.
        """
        if not isinstance(snapshot, BreakerSnapshot):
            raise ConfigurationError(
                f"restore of {self.name!r} got {shown(snapshot)}; give a BreakerSnapshot"
            )
        self._serial.run(self.core, self.core.restore, snapshot, self.clock())

    def take_the_place_of(self, former: CircuitBreaker) -> None:
        """Stand where another one stands, whatever its parameters, by the same words.

        As `restore`; nothing happens where both are closed and have no series behind them.
        """
        now = self.clock()
        with former._serial.lock:  # of the same class
            core = former.core
            stands, told = core.snapshot(now), (core.actor, core.reason)
        if stands.state is not BreakerState.CLOSED or stands.step or stands.holds:
            self._serial.run(self.core, self.core.take_over, stands, now, *told)

    def add_listener(self, listener: Listener) -> None:
        """Call `listener(event)` for each transition and late outcome, in order, off the lock.

        A listener that raises is logged and touches no call. It may use this breaker.
        """
        self._serial.add_listener(listener)

    def audit(self, append: Callable[[BreakerStep], None], *, id: str, stays: bool) -> bool:  # noqa: A002  # the record's field
        """Hand each record to `append` inside the critical section that made it.

        Several may listen; the first one's `id` names this breaker in the records, `stays` asks for
        firings that change no state as well. `append` must not block nor raise. One that listens
        already hears nothing twice.

        Returns:
            Whether it is one that did not listen before.
        """
        with self._serial.lock:
            is_first, is_new = self._serial.add_log(append)
            if is_first:
                self.core.name = id
            self.core.record_stays = self.core.record_stays or stays
            self.core.find_ways()
        return is_new

    @property
    def is_audited(self) -> bool:
        """Whether records of it go anywhere: then it has its name in them already."""
        return self._serial.append is not None

    def unaudit(self, append: Callable[[BreakerStep], None]) -> None:
        """Hand no more records to `append`, once it was taken off as often as it was put on."""
        with self._serial.lock:
            self._serial.remove_log(append)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r}: {self.state.value}>"

    # Mechanism ------------------------------------------------------------------------------

    def _check_seconds(self, what: str, seconds: float) -> None:
        if not is_number(seconds) or seconds < 0:
            raise ValueError(f"{what} of {self.name!r} is {seconds!r}; give finite seconds >= 0")

    def _leave(self) -> Lease | None:
        """Take this breaker's innermost lease off the stack; None if another context has it."""
        entered = _ENTERED.get()
        for position in range(len(entered) - 1, -1, -1):
            if entered[position].breaker is self.core:
                _ENTERED.set(entered[:position] + entered[position + 1 :])
                return entered[position]
        return None

    def _admit(self, now: float) -> Lease | Refusal:
        return self.core.admit(now) or self.core.refusal
