"""Races: contenders measured in one interleaved run, reported as ratios.

A number of nanoseconds says as much of the machine as of the code; a ratio to something else,
measured in the same seconds, says more. In every round each contender runs one batch, in random
order; its ratio to another is the median over the rounds. Minima are for the eye.

Batches are measured in CPU time of the process, so that a neighbour on the machine counts less.
The garbage collector runs between batches and not in them. The loop around a call, some 20 ns, is
part of what is measured; put a contender that does nothing into the race to see it.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
import statistics
import time
from collections.abc import Callable, Coroutine, Mapping
from itertools import repeat
from typing import Any, Final

import attrs

Call = Callable[[], Any] | Callable[[], Coroutine[Any, Any, Any]]
"""One unit of work: a plain function, or a coroutine function."""

_NOTHING_LEFT: Final[Mapping[str, Callable[[], object]]] = {}


@attrs.frozen
class Race:
    """What came out: nanoseconds per call, by contender and round."""

    samples: Mapping[str, list[float]]

    def ratio(self, contender: str, to: str) -> float:
        """Median of the per-round ratios: below 1, `contender` is the faster one."""
        pairs = zip(self.samples[contender], self.samples[to], strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def extra_ratio(self, contender: str, to: str, beyond: str) -> float:
        """As `ratio`, of what each costs beyond a third contender."""
        rounds = zip(*(self.samples[name] for name in (contender, to, beyond)), strict=True)
        return statistics.median((ours - base) / (theirs - base) for ours, theirs, base in rounds)

    def only(self, *contenders: str) -> Race:
        """The same race with these contenders alone, for a report."""
        return Race({name: self.samples[name] for name in contenders})

    def minimum(self, contender: str) -> float:
        """The fastest batch, in nanoseconds per call."""
        return min(self.samples[contender])

    def median(self, contender: str) -> float:
        """The middle batch, in nanoseconds per call."""
        return statistics.median(self.samples[contender])


def race(
    contenders: Mapping[str, Call],
    *,
    rounds: int = 40,
    batch_seconds: float = 0.01,
    clock: Callable[[], int] = time.process_time_ns,
    seed: int | None = None,
    finish: Mapping[str, Callable[[], object]] = _NOTHING_LEFT,
) -> Race:
    """Measure contenders against each other.

    Args:
        contenders: Units of work by name. Where one is a coroutine function, every round runs in
            one event loop, and each call of it is awaited there.
        rounds: How often each runs a batch.
        batch_seconds: How long a batch takes about; the calls in it are found beforehand.
        clock: Nanoseconds; `time.perf_counter_ns` for contenders that use threads or wait.
        seed: Of the order within the rounds, for a run that is to be repeated.
        finish: By contender, what does the work its calls put off; done at the end of each batch
            and measured with it.
    """
    shuffled = random.Random(seed)  # noqa: S311  # an order, not a secret
    entries = {name: _Entry(call, clock, finish.get(name)) for name, call in contenders.items()}
    for entry in entries.values():
        entry.find_batch(batch_seconds)
    for _ in range(rounds):
        order = list(entries.values())
        shuffled.shuffle(order)
        if any(entry.is_async for entry in order):
            asyncio.run(_round(order))
        else:
            for entry in order:
                entry.run()
    return Race({name: entry.samples for name, entry in entries.items()})


async def _round(order: list[_Entry]) -> None:
    for entry in order:
        if entry.is_async:
            await entry.arun()
        else:
            entry.run()


class _Entry:
    """A contender in a race."""

    def __init__(
        self, call: Call, clock: Callable[[], int], finish: Callable[[], object] | None
    ) -> None:
        self._call = call
        self._clock = clock
        self._finish = finish
        self._calls = 1
        self.is_async = inspect.iscoroutinefunction(call)
        self.samples: list[float] = []

    def find_batch(self, seconds: float) -> None:
        """Double the calls in a batch until it takes long enough; this warms up, too."""
        asyncio.run(self.arun()) if self.is_async else self.run()  # what only the first call does
        while True:
            self.samples.clear()
            asyncio.run(self.arun()) if self.is_async else self.run()
            if self.samples[0] * self._calls >= seconds * 1e9:
                break
            self._calls *= 2
        self.samples.clear()

    def run(self) -> None:
        """One batch of plain calls."""
        call, clock = self._call, self._clock
        gc.collect()
        gc.disable()
        try:
            began = clock()
            for _ in repeat(None, self._calls):
                call()
            if self._finish is not None:
                self._finish()
            ended = clock()
        finally:
            gc.enable()
        self.samples.append((ended - began) / self._calls)

    async def arun(self) -> None:
        """One batch of awaited calls."""
        call, clock = self._call, self._clock
        gc.collect()
        gc.disable()
        try:
            began = clock()
            for _ in repeat(None, self._calls):
                await call()
            if self._finish is not None:
                self._finish()
            ended = clock()
        finally:
            gc.enable()
        self.samples.append((ended - began) / self._calls)


def verdict(what: str, value: float, budget: float, *, at_least: bool = False) -> str:
    """One line: a number, and whether it is within its budget or by what factor it is not."""
    by = budget / value if at_least else value / budget
    word = "within budget" if by <= 1 else f"missed by {by:.2f}x"
    return f"{what}: {value:.3f} (budget {'>=' if at_least else '<='} {budget:g}): {word}"


@attrs.frozen
class Budget:
    """What a contender may cost, as a ratio to another; of both, only what is beyond a third."""

    what: str
    contender: str
    to: str
    at_most: float
    beyond: str | None = None

    def verdict(self, race: Race) -> str:
        """One line: the ratio, and whether it is within the budget or by what factor it is not."""
        if self.beyond is None:
            ratio = race.ratio(self.contender, self.to)
        else:
            ratio = race.extra_ratio(self.contender, self.to, self.beyond)
        return verdict(self.what, ratio, self.at_most)


def report(race: Race, to: str, budgets: tuple[Budget, ...] = ()) -> str:
    """A line per contender, fastest first, with its ratio to one of them; then the verdicts."""
    width = max(map(len, race.samples))
    lines = [f"{'':{width}}   min ns  median ns   ratio to {to}"]
    for name in sorted(race.samples, key=race.median):
        numbers = (
            f"{race.minimum(name):7.0f}  {race.median(name):9.0f}  {race.ratio(name, to):6.3f}"
        )
        lines.append(f"{name:{width}}  {numbers}")
    return "\n".join([*lines, *(budget.verdict(race) for budget in budgets)])
