"""Every form in which a call may be guarded, and a call on its way.

Coroutines and generators are driven by hand, each in its own context as a task is, so that calls
overlap in any order; whatever they wait for is `suspended`.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Protocol

import attrs

from fsm_fallback import (
    BreakerConfig,
    BreakerState,
    CircuitBreaker,
    CountWindow,
    Fault,
    FaultKind,
    Lease,
)
from fsm_fallback.testing import ManualClock
from specs.reference_breaker import ReferenceLease

GOOD, BAD = "good", "bad"  # results; `accept` takes the good ones
HOLD = 6.0

PLAIN = ("call", "function", "judged function")
COROUTINES = ("acall", "async function", "judged async function")
BLOCKS = ("with", "async with")
STREAMS = ("generator", "async generator")
SUSPENDED = COROUTINES + BLOCKS + STREAMS
FORMS = PLAIN + SUSPENDED
STRAIGHT = ("call", "function", "acall", "async function")  # these may go without a lease
JUDGED = ("judged function", "judged async function")  # of these a result may be refused
ENDINGS = (
    *("success", "success", "failure", "failure", "neutral", "neutral"),
    *("unaccepted", "unreadable", "hold", "interrupt"),
)


class Broken(Exception):
    """Speaks against the provider."""


class Misused(Exception):
    """The caller's own fault."""


class Limited(Exception):
    """The provider names a time."""


class Unreadable(Exception):
    """One the user's classifier stumbles over."""


class Interrupted(BaseException):
    """Not of the program's making, as a key pressed."""


ERRORS: dict[str, type[BaseException]] = {
    "failure": Broken,
    "neutral": Misused,
    "hold": Limited,
    "unreadable": Unreadable,
    "interrupt": Interrupted,
}
THROWN: dict[str, type[BaseException]] = {
    "broken": Broken,
    "limited": Limited,
    "cancelled": asyncio.CancelledError,
}
FAULTS: dict[type[BaseException], Fault] = {
    Broken: Fault(FaultKind.TRANSIENT),
    Misused: Fault(FaultKind.CALLER),
    Limited: Fault(FaultKind.RATE_LIMIT, retry_after=HOLD),
}


def classify(error: BaseException) -> Fault:
    """The user's own table of exceptions; it raises `KeyError` for what is not in it."""
    return FAULTS[type(error)]


def accept(result: object) -> bool:
    """The user's own idea of a good result, asked about functions that are `JUDGED`."""
    return result != BAD


@types.coroutine
def suspended() -> Generator[None, None, None]:
    """Wait until whoever drives the coroutine sends something."""
    yield


def straight(config: BreakerConfig) -> BreakerConfig:
    """The same, but a success need not look at the clock, nor may trip; and it takes more to open.

    So that calls go straight for a while.
    """
    return attrs.evolve(
        steady(config), window=CountWindow(6), slow_call_duration=None, minimum_calls=4
    )


def steady(config: BreakerConfig) -> BreakerConfig:
    """The same, but it takes more to open."""
    return attrs.evolve(
        config,
        failure_ratio=1.0,
        slow_call_ratio=1.0,
        consecutive_failures=None,
        trip_on_success=False,
        initial_state=BreakerState.CLOSED,
    )


@attrs.define(eq=False)
class Job:
    """What is guarded: it takes time, waits to be told how to end if need be, and ends so."""

    breaker: CircuitBreaker
    clock: ManualClock
    lasts: float = 0.0
    meanwhile: Callable[[], object] = bool
    calls: int = 0
    waits: bool = True
    told: bool = False
    result: str = GOOD
    error: BaseException | None = None
    way: str = ""
    straight_at_end: bool = False

    def tell(self, ending: str) -> None:
        """How to end; from now on it waits for nothing."""
        self.told = True
        self.waits = False
        self.result = BAD if ending == "unaccepted" else GOOD
        self.error = ERRORS[ending]() if ending in ERRORS else None

    def begin(self) -> None:
        """The first thing every form does."""
        self.calls += 1
        self.clock.advance(self.lasts)
        self.meanwhile()

    def end(self) -> str:
        """The last thing every form does."""
        self.straight_at_end = self.breaker.core.straight is not None
        if self.error is not None:
            raise self.error
        return self.result


def plain(job: Job) -> str:
    """A plain function: it cannot wait."""
    job.begin()
    return job.end()


async def awaited(job: Job) -> str:
    """A coroutine function."""
    job.begin()
    while not job.told:
        await suspended()
    return job.end()


def streamed(job: Job) -> Generator[str, None, str]:
    """A generator function: it waits by giving output."""
    job.begin()
    while not job.told:
        yield GOOD
    return job.end()


async def astreamed(job: Job) -> AsyncGenerator[str, None]:
    """An async generator function: it may wait before its first output, too."""
    job.begin()
    while job.waits:
        await suspended()
    while not job.told:
        yield GOOD
    job.end()


async def in_with(breaker: CircuitBreaker, job: Job) -> str:
    """A task with a `with` block."""
    with breaker:
        return await awaited(job)


async def in_async_with(breaker: CircuitBreaker, job: Job) -> str:
    """A task with an `async with` block."""
    async with breaker:
        return await awaited(job)


async def consumed(stream: AsyncGenerator[str, None], job: Job) -> str:
    """A task that takes its time over every output of a stream."""
    async with aclosing(stream):
        async for _ in stream:
            await suspended()
    return job.result


class Driven(Protocol):
    """A coroutine or a generator."""

    def send(self, value: None, /) -> object: ...
    def throw(self, error: BaseException, /) -> object: ...
    def close(self) -> object: ...


@attrs.define(eq=False)
class Flight:
    """A call that is on its way, as its driver and as the reference know it."""

    form: str
    job: Job
    reference: ReferenceLease
    driven: Driven | None  # None: dropped
    context: contextvars.Context | None = attrs.field(factory=contextvars.copy_context)
    outputs: int = 0

    @property
    def awaited(self) -> bool:
        """Whether it is a stream that waits inside for its first output."""
        return self.form == "async generator" and not self.outputs

    def run(self, step: str, *arguments: object) -> object:
        """Drive it one step further, in its own context."""
        assert self.context is not None
        return self.context.run(getattr(self.driven, step), *arguments)


@attrs.define(eq=False)
class Pair:
    """A lease taken by hand, as the breaker and as the reference know it."""

    real: Lease | None  # None: dropped
    reference: ReferenceLease
