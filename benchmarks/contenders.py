"""Circuit breakers of seven libraries, each used as its documentation says.

`breaker.py` races them, `scenarios.py` puts them through the same scenarios. Each is asked for the
same: open after so many failures, stay open so long, close on one good probe. What a library
cannot be asked for is `Unsupported`, with the reason.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, ClassVar, Final
from unittest import mock

import aiobreaker
import attrs
import circuitbreaker
import hyx.circuitbreaker
import hyx.circuitbreaker.exceptions
import interlock
import purgatory.domain.model
import pybreaker

import fsm_fallback

Judge = Callable[[], None]
"""Stands in for the user's predicate: every exception is a failure, or the predicate itself raises.
"""

CIRCUIT = "search"
PLAIN, AWAITED = "plain", "awaited"


class Unsupported(Exception):
    """The library has no such thing; the message says what it has instead."""


@attrs.define(eq=False)
class Clock:
    """Seconds that pass when told to. What reads it is counted."""

    now: float = 1_000_000.0
    reads: int = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now

    monotonic = __call__  # the clock of interlock is an object with this method

    def datetime_class(self) -> type[datetime]:
        """`datetime`, with the present taken from here."""

        class Told(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.fromtimestamp(self(), tz)

            @classmethod
            def utcnow(cls):
                return datetime.fromtimestamp(self(), UTC).replace(tzinfo=None)

        return Told


@attrs.frozen(kw_only=True)
class Wanted:
    """What is asked of a breaker; the clock is for those that can be given one."""

    failures: int = 5
    """In a row, or of a window of a hundred; a window decides from so many calls on."""
    failure_ratio: float = 0.5
    open_duration: float = 30.0
    judge: Judge | None = None
    clock: Clock | None = None


class Library(ABC):
    """One library: how it is asked for a breaker, and for a guarded function."""

    distribution: ClassVar[str]
    ways: ClassVar[tuple[str, ...]] = (PLAIN, AWAITED)
    refusal: ClassVar[type[Exception]]
    reads: ClassVar[str]
    """What tells it the time, where it is not told otherwise."""

    @property
    def name(self) -> str:
        return self.distribution

    @property
    def version(self) -> str:
        return version(self.distribution)

    @abstractmethod
    def breaker(self, wanted: Wanted) -> Any:
        """A breaker for one run."""

    def guard(self, breaker: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, guarded: decorated, as every one of them documents."""
        return breaker(function)

    @abstractmethod
    def state(self, breaker: Any) -> str:
        """`"closed"`, `"open"` or `"half_open"`."""

    def many(self, names: list[str]) -> list[Any]:
        """A breaker per name with the library's defaults, as one who wants many makes them."""
        return [self.named(name) for name in names]

    @abstractmethod
    def named(self, name: str) -> Any:
        """A breaker with the library's defaults."""

    def told(self, clock: Clock) -> contextlib.AbstractContextManager[object]:
        """Where the library cannot be given a clock: patch what it reads, in its own modules."""
        return contextlib.nullcontext(clock)


# Ours ----------------------------------------------------------------------------------------


class FsmFallback(Library):
    distribution = "fsm-fallback"
    refusal = fsm_fallback.BreakerOpen
    reads = "time.monotonic"

    @property
    def name(self) -> str:
        return "fsm_fallback"

    def breaker(self, wanted):
        config = fsm_fallback.BreakerConfig(
            window=fsm_fallback.CountWindow(max(wanted.failures, 100)),
            minimum_calls=wanted.failures,
            failure_ratio=wanted.failure_ratio,
            open_duration=wanted.open_duration,
            max_open_duration=max(wanted.open_duration, 300.0),
            jitter=0.0,
        )
        judge = wanted.judge
        return fsm_fallback.CircuitBreaker(
            CIRCUIT,
            config,
            clock=wanted.clock or time.monotonic,
            classify=judge and (lambda error: judge() or fsm_fallback.classify(error)),
        )

    def state(self, breaker):
        return breaker.state.value

    def named(self, name):
        return fsm_fallback.CircuitBreaker(name, _DEFAULTS)


# Theirs --------------------------------------------------------------------------------------


class Circuitbreaker(Library):
    distribution = "circuitbreaker"
    refusal = circuitbreaker.CircuitBreakerError
    reads = "time.monotonic"

    def breaker(self, wanted):
        judge = wanted.judge
        return circuitbreaker.CircuitBreaker(
            failure_threshold=wanted.failures,
            recovery_timeout=wanted.open_duration,
            expected_exception=judge and (lambda _kind, _error: judge() is None),
        )

    def state(self, breaker):
        return breaker.state

    def named(self, name):
        return circuitbreaker.CircuitBreaker(name=name)

    def told(self, clock):
        return mock.patch.object(circuitbreaker, "monotonic", clock)


class Purgatory(Library):
    """Its breakers live in a factory by name, and the factory is plain or asynchronous."""

    distribution = "purgatory"
    refusal = purgatory.domain.model.OpenedState
    reads = "time.time"

    @attrs.define(eq=False)
    class Factories:
        plain: purgatory.SyncCircuitBreakerFactory
        awaited: purgatory.AsyncCircuitBreakerFactory

        def contexts(self) -> Iterator[Any]:
            for factory in (self.plain, self.awaited):
                yield from factory.uow.contexts.breakers.values()

    def breaker(self, wanted):
        judge = wanted.judge
        exclude = judge and [(Exception, lambda _error: judge() is not None)]
        parameters = {
            "default_threshold": wanted.failures,
            "default_ttl": wanted.open_duration,
            "exclude": exclude,
        }
        return self.Factories(
            purgatory.SyncCircuitBreakerFactory(**parameters),
            purgatory.AsyncCircuitBreakerFactory(**parameters),
        )

    def guard(self, breaker, function):
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        return (breaker.awaited if is_async else breaker.plain)(CIRCUIT)(function)

    def state(self, breaker):
        states = {context.state for context in breaker.contexts()} or {"closed"}
        assert len(states) == 1, "a scenario uses one of the two factories"
        return {"opened": "open", "half-opened": "half_open"}.get(state := states.pop(), state)

    def named(self, name):
        return purgatory.SyncCircuitBreakerFactory().get_breaker(name)

    def many(self, names):
        factory = purgatory.SyncCircuitBreakerFactory()
        return [factory.get_breaker(name) for name in names]

    def told(self, clock):
        return mock.patch.object(purgatory.domain.model, "time", SimpleNamespace(time=clock))


class Pybreaker(Library):
    distribution = "pybreaker"
    ways = (PLAIN,)  # its asynchronous form is for Tornado
    refusal = pybreaker.CircuitBreakerError
    reads = "datetime.now"

    def breaker(self, wanted):
        judge = wanted.judge
        exclude = judge and [lambda _error: judge() is not None]
        return pybreaker.CircuitBreaker(
            fail_max=wanted.failures, reset_timeout=wanted.open_duration, exclude=exclude
        )

    def state(self, breaker):
        return breaker.current_state.replace("-", "_")

    def named(self, name):
        return pybreaker.CircuitBreaker(name=name)

    def told(self, clock):
        return mock.patch.object(pybreaker, "datetime", clock.datetime_class())


class Aiobreaker(Library):
    distribution = "aiobreaker"
    refusal = aiobreaker.CircuitBreakerError
    reads = "datetime.utcnow"

    def breaker(self, wanted):
        judge = wanted.judge
        exclude = judge and [lambda _error: judge() is not None]
        return aiobreaker.CircuitBreaker(
            fail_max=wanted.failures,
            timeout_duration=timedelta(seconds=wanted.open_duration),
            exclude=exclude,
        )

    def state(self, breaker):
        return breaker.current_state.name.lower()

    def named(self, name):
        return aiobreaker.CircuitBreaker(name=name)

    @contextlib.contextmanager
    def told(self, clock):
        told = clock.datetime_class()
        with (
            mock.patch.object(aiobreaker.circuitbreaker, "datetime", told),
            mock.patch.object(aiobreaker.state, "datetime", told),
        ):
            yield


class Hyx(Library):
    distribution = "hyx"
    ways = (AWAITED,)
    refusal = hyx.circuitbreaker.exceptions.BreakerFailing
    reads = "datetime.utcnow"

    def breaker(self, wanted):
        if wanted.judge is not None:
            raise Unsupported("takes exception types only")
        return hyx.circuitbreaker.consecutive_breaker(
            failure_threshold=wanted.failures,
            recovery_time_secs=wanted.open_duration,
            recovery_threshold=1,
        )

    def state(self, breaker):
        names = {"working": "closed", "failing": "open", "recovering": "half_open"}
        return names[breaker.state.name]

    def named(self, name):  # noqa: ARG002  # its breakers have none
        return hyx.circuitbreaker.consecutive_breaker()

    def told(self, clock):
        return mock.patch.object(hyx.circuitbreaker.states, "datetime", clock.datetime_class())


class Interlock(Library):
    distribution = "interlock-cb"
    refusal = interlock.CircuitOpenError
    reads = "time.monotonic"

    @attrs.frozen
    class Classifier:
        judge: Judge

        def is_failure(self, *, result, exception):  # noqa: ARG002  # its protocol
            self.judge()
            return exception is not None

    def breaker(self, wanted):
        judge = wanted.judge
        config = interlock.Config(
            window_size=max(wanted.failures, 100),
            minimum_number_of_calls=wanted.failures,
            failure_rate_threshold=wanted.failure_ratio,
            wait_duration_in_open=wanted.open_duration,
            permitted_calls_in_half_open=1,
        )
        classifier = judge and self.Classifier(judge)
        return interlock.CircuitBreaker(
            name=CIRCUIT, config=config, classifier=classifier, clock=wanted.clock
        )

    def state(self, breaker):
        return breaker.state.value

    def named(self, name):
        return interlock.CircuitBreaker(name=name, config=_INTERLOCK_DEFAULTS)


_DEFAULTS: Final = fsm_fallback.BreakerConfig()
_INTERLOCK_DEFAULTS: Final = interlock.Config()
OURS: Final = FsmFallback()
PURGATORY: Final = Purgatory()
THEIRS: Final = (
    Circuitbreaker(),
    PURGATORY,
    Pybreaker(),
    Aiobreaker(),
    Hyx(),
    Interlock(),
)


# What the guarded functions do -----------------------------------------------------------------


class Down(ConnectionError):
    """The provider failed."""
