"""A breaker put through a scenario: its clock, and calls that end when the scenario says.

A call is a task, or a thread where the library has no asynchronous form. It gets in, is refused, or
waits for another one to end; nothing here waits for it longer than `PATIENCE`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import attrs
from contenders import AWAITED, Clock, Down, Judge, Library, Wanted

OPEN_DURATION = 30.0
STEP = 10.0
DAY = 86_400.0
FAR = 60.0
PATIENCE = 0.5
"""Seconds until a call that neither got in nor was refused counts as waiting."""


# Calls ---------------------------------------------------------------------------------------


async def until(fact: Callable[[], object], patience: float = PATIENCE) -> None:
    """Let others run until something is so, or for so long."""
    ends = time.monotonic() + patience
    turns = 0
    while not fact() and time.monotonic() < ends:
        turns += 1
        await asyncio.sleep(0 if turns < 100 else 0.001)


@attrs.define(eq=False)
class Call:
    """One call through a breaker: it gets in, or not, and ends when and how the scenario says."""

    entered: bool = False
    over: bool = False
    error: BaseException | None = None

    @property
    def settled(self) -> bool:
        return self.entered or self.over

    @property
    def waits(self) -> bool:
        return not self.settled

    @property
    def raised(self) -> str:
        return type(self.error).__name__


class TaskCall(Call):
    """In a task."""

    cancelled_by: type[BaseException] = asyncio.CancelledError

    def start(self, guarded: Callable[[TaskCall], Awaitable[object]]) -> None:
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(guarded))

    @staticmethod
    async def work(call: TaskCall) -> str:
        call.entered = True
        return await call._answer

    async def _run(self, guarded: Callable[[TaskCall], Awaitable[object]]) -> None:
        try:
            await guarded(self)
        except BaseException as error:
            self.error = error
        finally:
            self.over = True

    async def end(self, error: BaseException | None = None) -> None:
        if self._answer.done():
            return
        if error is None:
            self._answer.set_result("yes")
        else:
            self._answer.set_exception(error)
        await until(lambda: self.over)

    async def cancel(self) -> None:
        self._task.cancel()
        await until(lambda: self.over)


class ThreadCall(Call):
    """In a thread of its own."""

    cancelled_by: type[BaseException] = KeyboardInterrupt

    def start(self, guarded: Callable[[ThreadCall], object]) -> None:
        self._told = threading.Event()
        self._outcome: BaseException | None = None
        threading.Thread(target=self._run, args=(guarded,), daemon=True).start()

    @staticmethod
    def work(call: ThreadCall) -> str:
        call.entered = True
        call._told.wait(FAR)
        if call._outcome is not None:
            raise call._outcome
        return "yes"

    def _run(self, guarded: Callable[[ThreadCall], object]) -> None:
        try:
            guarded(self)
        except BaseException as error:
            self.error = error
        finally:
            self.over = True

    async def end(self, error: BaseException | None = None) -> None:
        if not self._told.is_set():
            self._outcome = error
            self._told.set()
            await until(lambda: self.over)

    async def cancel(self) -> None:
        await self.end(KeyboardInterrupt())


# Subjects ------------------------------------------------------------------------------------


class Subject:
    """A breaker of one library, its clock, and the calls made through it."""

    def __init__(
        self,
        library: Library,
        clock: Clock,
        judge: Judge | None = None,
        way: str | None = None,
    ) -> None:
        self.library = library
        self.clock = clock
        self.way = way or library.ways[-1]
        self.breaker = library.breaker(
            Wanted(failures=1, open_duration=OPEN_DURATION, judge=judge, clock=clock)
        )
        self._kind = TaskCall if self.way == AWAITED else ThreadCall
        self._guarded = library.guard(self.breaker, self._kind.work)
        self._calls: list[Any] = []

    @property
    def state(self) -> str:
        return self.library.state(self.breaker)

    def guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.library.guard(self.breaker, function)

    def start(self) -> Any:
        call = self._kind()
        self._calls.append(call)
        call.start(self._guarded)
        return call

    async def begin(self) -> Any:
        """A call that has got in, was refused, or waits."""
        call = self.start()
        await until(lambda: call.settled)
        return call

    async def trip(self) -> Any:
        """Open by a failure; the call that failed."""
        call = await self.begin()
        await call.end(Down())
        assert self.state == "open", f"did not trip: {self.state}"
        return call

    async def probe(self) -> Any:
        """Open, let the open time pass, and let a probe in."""
        await self.trip()
        self.clock.now += OPEN_DURATION + 1
        call = await self.begin()
        assert call.entered, f"no probe: {call.raised}"
        return call

    async def next_entry(self) -> str:
        """How long until somebody gets in again, by the clock."""
        began = self.clock.now
        while self.clock.now <= began + DAY:
            call = await self.begin()
            passed = self.clock.now - began
            if call.waits:
                return "waits"
            if call.entered:
                await call.end()
                return f"after {passed:,.0f} s" if passed else "at once"
            self.clock.now += STEP
        return "never"

    async def let_go(self) -> None:
        """Let every call end, so that none outlives the scenario."""
        for call in self._calls:
            with suppress(Exception):
                await call.end()
