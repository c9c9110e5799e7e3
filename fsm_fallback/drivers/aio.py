"""The driver for awaited calls: the same loop as `drivers.sync`, with `await` and with timers.

Runs under asyncio and trio through anyio. Cancellation at any await releases the lease, leaves the
chain ABANDONED, and goes on its way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any, Final, Protocol, Self

import anyio

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.commands import Command
from fsm_fallback.core.lease import Refusal
from fsm_fallback.drivers.judging import Accept, Flaw, aflaw_of, not_judged
from fsm_fallback.drivers.soon import callers_cancellation, cancellation_in, soon_in_this_loop
from fsm_fallback.drivers.walk import Walk
from fsm_fallback.providers.usage import usage_of

_NONE: Final[tuple[Refusal, ...]] = ()


async def call(walk: Walk, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One call: straight as long as it can be, walked from there."""
    now = walk.clock()
    line, link, refusals = walk.line, walk.first, _NONE
    generation = None if link is None else link.core.straight
    call_number = next(walk.calls)
    if link is None or generation is None:
        line, link, generation, refusals = walk.past_shut(now, call_number, args, kwargs)
        if link is None or generation is None:
            # Not kept here: errors lead back to this frame.
            return await drive(
                walk,
                *walk.begun(line, now, call_number, refusals),
                now,
                args,
                kwargs,
            )
    number = next(generation.admissions)
    try:
        value = await link.call(*args, **kwargs)
    except Exception as error:
        lease = link.circuit.lease_of(generation, number, now)
        chain = walk.chain_at(line, now, call_number, refusals, lease)
        left = callers_cancellation(error)
        if left is not None:
            link.abandon(chain, lease, walk.clock())
            raise left from error
        now = walk.clock()
        command = link.take_error(chain, lease, error, now)
    except BaseException:
        lease = link.circuit.lease_of(generation, number, now)
        chain = walk.chain_at(line, now, call_number, refusals, lease)
        link.abandon(chain, lease, walk.clock())
        raise
    else:
        ended = walk.clock()
        place = next(generation.places)
        if link.core.straight is not generation:
            link.circuit.end_straight(generation, number, place, ended)
        told = (link.answered[len(refusals)], call_number, now, ended, generation.number, number)
        pending = link.pending
        pending.append(told)
        if walk.record is not None:
            walk.record(told)
        if refusals or len(pending) >= link.most_pending:
            walk.tell(line, link, refusals, value)
        return value
    try:
        return await drive(walk, chain, command, now, args, kwargs)
    finally:
        # The error keeps this frame in its traceback, and the chain keeps the error: no cycle.
        del chain, command


async def drive(  # noqa: C901, PLR0912, PLR0915  # a case for each command
    walk: Walk,
    chain: Chain,
    command: Command,
    now: float,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Walk a chain to its end, from this command on; the answer, or the chain's error."""
    value: Any = None
    accept = walk.accept
    try:
        while True:
            match command.do:
                case "admit":
                    granted = command.candidate.circuit.admission(now)
                    command = chain.admission(granted, now)
                case "call":
                    link, lease = command.candidate, command.lease
                    limits = link.limits(chain, command.timeout) if link.is_chain else None
                    scope = timer(walk.clock, None if link.is_chain else command.timeout)
                    flaw = None
                    try:
                        with scope:
                            value = await link.ask(lease, args, kwargs, command.timeout, limits)
                        now = walk.clock()
                        if not scope.cancelled_caught:
                            if link.is_chain:
                                value = link.received(chain, value)
                            if accept is not None:
                                most = chain.most_for_judging(now)
                                flaw = await judged(walk.clock, most, accept, value, link.name)
                    except Exception as error:
                        left = callers_cancellation(error)
                        if left is not None:
                            link.abandon(chain, lease, walk.clock())
                            raise left from error
                        now = walk.clock()
                        if is_of_timer(scope, error):
                            command = link.take_time_out(chain, lease, now, error)
                        else:
                            command = link.take_error(chain, lease, error, now)
                    except BaseException:
                        link.abandon(chain, lease, walk.clock())
                        raise
                    else:
                        if scope.cancelled_caught:
                            command = link.take_time_out(chain, lease, now)
                        elif flaw is None:
                            if link.is_priced:
                                chain.usage = usage_of(value)
                            link.circuit.settle_success(lease, now)
                            command = chain.answer(now)
                        else:
                            answered, now = now, walk.clock()
                            command = link.take_flaw(chain, lease, flaw, value, now, answered)
                case "wait":
                    try:
                        await pause(walk.clock, command.seconds)
                    except BaseException:
                        chain.abandon(walk.clock())
                        raise
                    now = walk.clock()
                    command = chain.elapse(now)
                case "return":
                    return value
                case "raise":
                    raise command.error
    finally:
        # Errors keep this frame in their tracebacks: no cycle, so no prompt lives on in one.
        del chain, command


async def judged(
    clock: Callable[[], float],
    most: float | None,
    accept: Accept,
    value: object,
    provider: str,
) -> Flaw | None:
    """What is wrong with an answer, as far as that is known within so many seconds.

    To judge takes the call's time, and not the provider's.
    """
    flaw = None
    with timer(clock, most) as scope:
        flaw = await aflaw_of(accept, value, provider)
    return not_judged(value, provider) if scope.cancelled_caught else flaw


def warm_up() -> None:
    """Have anyio import what this loop needs now, and not within the first limit."""
    with contextlib.suppress(Exception):  # in no loop there is nothing to warm
        anyio.current_effective_deadline()


async def pause(clock: Callable[[], float], seconds: float) -> None:
    """Wait, on the clock given if it keeps time itself, as `ManualClock` does."""
    await getattr(clock, "pass_time", anyio.sleep)(seconds)


class Timer(Protocol):
    """A scope whose body is cancelled when its time is over."""

    @property
    def cancelled_caught(self) -> bool:
        """Whether that happened."""
        ...

    @property
    def cancel_called(self) -> bool:
        """Whether its time was over, whatever the body made of it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None: ...


def timer(clock: Callable[[], float], seconds: float | None) -> Timer:
    """A timer on the clock given: on its own timers if it keeps any, as `ManualClock` does."""
    if seconds is None:
        return _NO_TIMER
    call_at = getattr(clock, "call_at", None)
    if call_at is None:
        return anyio.move_on_after(seconds)
    return _ClockTimer(call_at, clock() + seconds)


def is_of_timer(scope: Timer, error: BaseException) -> bool:
    """Whether an error is what a provider made of being cut, and not one of its own.

    An error of its own may come at the very instant the timer rings.
    """
    return scope.cancel_called and cancellation_in(error) is not None


class _NoTimer:
    """No limit."""

    cancelled_caught = cancel_called = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        return None


_NO_TIMER = _NoTimer()


class _ClockTimer:
    """A cancel scope rung by a clock that keeps timers, in whichever thread moves that clock."""

    def __init__(self, call_at: Callable[[float, Callable[[], object]], Any], when: float) -> None:
        self._scope = anyio.CancelScope()
        self._call_at = call_at
        self._when = when

    @property
    def cancelled_caught(self) -> bool:
        return self._scope.cancelled_caught

    @property
    def cancel_called(self) -> bool:
        return self._scope.cancel_called

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._soon = soon_in_this_loop()
        self._thread = get_ident()
        self._timer = self._call_at(self._when, self._ring)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        self._timer.cancel()
        return self._scope.__exit__(exc_type, exc_val, exc_tb)

    def _ring(self) -> None:
        if get_ident() == self._thread:
            self._scope.cancel()  # at once: the clock stands at this very instant
        else:
            self._soon(self._scope.cancel)
