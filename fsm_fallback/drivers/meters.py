"""The meters of a chain: what its calls tell the tallies, and what is read off them.

A straight call appends what it knows to `Meter.pending`, which is one atomic step, and whoever
reads, or finds that much is pending, counts it. A walked call is counted row by row. One lock for
the tallies of a chain; nothing foreign runs under it.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any, Final

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_model import passed_over
from fsm_fallback.core.chain_rows import FINAL, S
from fsm_fallback.core.health import Pace, ProviderHealth
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.metrics import (
    SUCCESS,
    Durations,
    DurationTallies,
    ProviderMetrics,
    ProviderTally,
    Told,
    is_setback,
    took,
)
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.core.table import Row
from fsm_fallback.providers.classifying import log_fault_of_user

MANY: Final = 256
"""So much pending is counted by the call that finds it."""

_SUCCEEDED: Final = S.SUCCEEDED.value
_ENDS: Final = frozenset({"answer", "fault", "finish", "cut", "expire", "abandon"})
_CALLED: Final = frozenset({S.CALLING, S.STREAMING})

DurationListener = Callable[[str, str, tuple[float, ...]], object]
"""Told of a provider, of an outcome, and of the seconds that attempts of that took."""

_Told = tuple[str, str, tuple[float, ...]]


class Meter:
    """What one provider does in one chain. Safe in threads.

    Attributes:
        pending: What straight calls told and nobody has counted.
        price: What it costs; None where nobody knows.
    """

    __slots__ = (
        "_meters",
        "_read",
        "last_fault",
        "last_fault_at",
        "name",
        "pace",
        "pending",
        "price",
        "tally",
    )

    def __init__(self, name: str, price: Any, meters: Meters) -> None:
        self.name = name
        self.price = price
        self.pending: deque[Told] = deque()
        self.tally = ProviderTally(name)
        self.pace = Pace()
        self.last_fault: Fault | None = None
        self.last_fault_at = 0.0
        self._read = 0  # of those pending, how many the pace has seen
        self._meters = meters

    def count(self) -> None:
        """Count what is pending."""
        with self._meters.lock:
            durations = self.count_locked()
        if durations:
            self._meters.tell(self.name, SUCCESS, durations)

    def count_locked(self) -> tuple[float, ...]:
        """Count what is pending, under the lock; the durations, to be told without it."""
        pending = self.pending
        told = [pending.popleft() for _ in range(len(pending))]
        if not told:
            return ()
        durations = took(told)
        self.tally.answered(durations)
        self.pace.answered_straight(told[self._read :], durations)
        self._read = 0
        self._meters.succeeded_locked(self.name, durations)
        return tuple(durations)

    def passed(self, reason: str) -> None:
        """Count that a straight call passed it over."""
        with self._meters.lock:
            self.tally.skips[reason] += 1

    def fell_back_to(self, name: str, reason: str) -> None:
        """Count that a straight call that had passed it over was answered by another."""
        with self._meters.lock:
            self.tally.fallbacks[name, reason] += 1

    def used(self, usage: Any) -> None:
        """Count the tokens of a straight call, where its answer told them."""
        if usage is not None:
            with self._meters.lock:
                self.tally.used(usage, self.price)

    def latency(self, now: float) -> float | None:
        """What it takes lately, decayed until now; None before its first attempt.

        Looks at what is pending, and leaves it there.
        """
        pending, pace = self.pending, self.pace
        if len(pending) != self._read or pace.has_unread:
            with self._meters.lock:
                average = pace.average()
                while self._read < len(pending):
                    told = pending[self._read]
                    average.see(max(0.0, told[3] - told[2]), told[3])
                    self._read += 1
        return pace.latest.at(now)

    @property
    def success_ratio(self) -> float | None:
        """Answers among its latest attempts; None before the first."""
        tally = self.tally
        if tally.never_failed_lately and (tally.successes or self.pending):
            return 1.0
        if self.pending:
            self.count()
        with self._meters.lock:
            return tally.success_ratio


class Meters:
    """The meters of a chain, which go on through a reload."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.by_name: dict[str, Meter] = {}
        self._requests = DurationTallies()
        self._listeners: tuple[DurationListener, ...] = ()
        _ALL.add(self)

    def know(self, infos: Mapping[str, ModelInfo]) -> None:
        """Have a meter for each provider; those that are there go on counting."""
        with self.lock:
            meters = dict(self.by_name)
            for name, info in infos.items():
                if name in meters:
                    meters[name].price = info.price
                else:
                    meters[name] = Meter(name, info.price, self)
            self.by_name = meters

    # Counting -------------------------------------------------------------------------------

    def take(self, chain: Chain, row: Row) -> None:
        """Count what a row of a walked call says."""
        told: tuple[_Told, ...] = ()
        with self.lock:
            if row.trigger == "skip":
                name, reason = passed_over(chain.notes[-1])
                self.by_name[name].tally.skips[reason] += 1
            elif row.source in _CALLED and row.trigger in _ENDS:
                told = tuple(self._end_attempt(chain, row))
            if row.target in FINAL:
                self._end_request(chain, row.target)
        for each in told:
            self.tell(*each)

    def _end_attempt(self, chain: Chain, row: Row) -> Iterator[_Told]:
        if row.trigger == "abandon":
            self.by_name[chain.candidate.name].tally.left()
            return
        notes: tuple[Any, ...] = chain.notes
        if row.target is S.SUCCEEDED:
            notes = (*notes, chain.attempted())
        name, _, fault, _, _, duration, first, usage, *_ = notes[-1]
        meter = self.by_name[name]
        if meter.pending:
            yield name, SUCCESS, meter.count_locked()  # in the order of the facts
        if first is not None:
            meter.pace.first_output.see(first, chain.now)
        if fault is None:
            meter.tally.answered((duration,))
            meter.pace.answered(chain.now, duration if first is None else first)
            yield name, SUCCESS, (duration,)
        else:
            meter.tally.failed(fault, duration)
            meter.last_fault, meter.last_fault_at = fault, chain.now
            if is_setback(fault):
                meter.pace.failed(chain.now, duration)
            yield name, fault.outcome.value, (duration,)
        if usage is not None and meter.price is not None:
            meter.tally.used(usage, meter.price)
        if len(notes) > 1:
            former, reason = passed_over(notes[-2])
            if former != name:
                self.by_name[former].tally.fallbacks[name, reason] += 1

    def _end_request(self, chain: Chain, state: Any) -> None:
        answered = chain.candidate.name if state is S.SUCCEEDED else chain.seen_of
        self._requests.add((state.value, answered), (max(0.0, chain.now - chain.started_at),))

    def succeeded_locked(self, name: str, durations: list[float]) -> None:
        """Count straight calls, which are requests answered by one attempt."""
        self._requests.add((_SUCCEEDED, name), durations)

    # Reading --------------------------------------------------------------------------------

    def metrics(self) -> dict[str, ProviderMetrics]:
        """What has been counted, by provider."""
        self._count()
        with self.lock:
            return {name: meter.tally.view() for name, meter in self.by_name.items()}

    def requests(self) -> dict[tuple[str, str | None], Durations]:
        """How long the calls took, by how they ended and whose output the caller got."""
        self._count()
        with self.lock:
            return dict(self._requests.view())

    def health(self, name: str, stands: BreakerSnapshot) -> ProviderHealth:
        """How a provider does, whose breaker stands so."""
        meter = self.by_name[name]
        meter.count()
        now, until = stands.taken_at, stands.open_until
        with self.lock:
            pace, tally, fault = meter.pace, meter.tally, meter.last_fault
            p50, p95, p99 = pace.percentiles(0.5, 0.95, 0.99)
            return ProviderHealth(
                provider=name,
                state=stands.state,
                success_ratio=tally.success_ratio,
                slow_ratio=stands.slow_call_ratio,
                latency=pace.average().value,
                p50=p50,
                p95=p95,
                p99=p99,
                first_output_latency=pace.first_output.value,
                consecutive_failures=tally.run,
                in_flight=stands.in_flight,
                last_fault=None if fault is None else fault.kind.value,
                last_fault_age=None if fault is None else max(0.0, now - meter.last_fault_at),
                open_until=until,
                next_probe_in=None if until is None else max(0.0, until - now),
            )

    def _count(self) -> None:
        for meter in self.by_name.values():
            meter.count()

    # Listening ------------------------------------------------------------------------------

    def add_listener(self, listener: DurationListener) -> None:
        """Tell a listener of durations when they are counted, off the lock."""
        with self.lock:
            self._listeners = (*self._listeners, listener)

    def tell(self, name: str, outcome: str, durations: tuple[float, ...]) -> None:
        """Tell the listeners; one that raises is logged, and touches no call."""
        for listener in self._listeners:
            try:
                listener(name, outcome, durations)
            except Exception as error:  # noqa: BLE001  # the user's code
                log_fault_of_user("a listener to the durations of %r raised %s", name, error)


_ALL: Final[weakref.WeakSet[Meters]] = weakref.WeakSet()


def _free_all() -> None:
    """In a forked child a lock may be held by a thread that is gone."""
    for meters in list(_ALL):
        meters.lock = Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_free_all)
