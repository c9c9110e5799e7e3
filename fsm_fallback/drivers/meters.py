"""The meters of a chain: what its calls tell the tallies, and what is read off them.

A straight call appends what it knows to `Meter.pending`, which is one atomic step, and whoever
reads, or finds that much is pending, counts it. A walked call tells what each row says, in plain
values.

One lock for the tallies of a chain; nothing foreign runs under it. A finaliser or a signal handler
may break in even so, in the thread that has the lock: what it has to tell then waits for that
thread to go on, and what it reads is as it stands.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any, Final, NamedTuple

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
    is_no_use,
    is_setback,
    measured,
    took,
)
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.core.table import Row
from fsm_fallback.providers.classifying import log_fault_of_user

MANY: Final = 256
"""So much pending is counted by the call that finds it."""

FORGIVEN: Final = 60.0
"""Seconds after its latest setback in which a provider's failures lose all but 1/e of their weight
for those who choose: one that is never chosen could not show that it is well again."""

_SUCCEEDED: Final = S.SUCCEEDED.value
_ENDS: Final = frozenset({"answer", "fault", "finish", "cut", "expire", "abandon"})
_CALLED: Final = frozenset({S.CALLING, S.STREAMING})

DurationListener = Callable[[str, str, tuple[float, ...]], object]
"""Told of a provider, of an outcome, and of the seconds that attempts of that took."""

_Durations = tuple[str, str, tuple[float, ...]]


class _Ended(NamedTuple):
    """What the end of an attempt says; `fault` is None for an answer, `left` for one left early."""

    name: str
    left: bool
    fault: Fault | None
    now: float
    duration: float
    first_output: float | None
    usage: Any
    before: tuple[str, str] | None


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
        "setback_at",
        "tally",
    )

    def __init__(self, name: str, price: Any, meters: Meters) -> None:
        self.name = name
        self.price = price
        self.pending: deque[Told] = deque()
        self.tally = ProviderTally(name)
        self.pace = Pace()
        self.last_fault: str | None = None
        self.last_fault_at = 0.0
        self.setback_at = -math.inf
        self._read = 0  # of those pending, how many the pace has seen
        self._meters = meters

    def begin_anew(self) -> None:
        """Count from 0; what is known of its pace stays."""
        self.pending.clear()
        self._read = 0
        self.tally = ProviderTally(self.name)

    def count(self) -> None:
        """Count what is pending."""
        if self.pending:
            self._meters.run(self.count_locked)

    def count_locked(self) -> None:
        """Count what is pending, under the lock; who listens hears of it without."""
        pending = self.pending
        told = [pending.popleft() for _ in range(len(pending))]
        if not told:
            return
        durations = took(told)
        counted = measured(durations)
        self.tally.answered(counted)
        self.pace.answered_straight(told[self._read :], durations)
        self._read = 0
        self._meters.succeeded_locked(self.name, counted, durations)

    def passed(self, reason: str) -> None:
        """Count that a straight call passed it over."""
        self._meters.run(self.tally.skipped, reason)

    def fell_back_to(self, name: str, reason: str) -> None:
        """Count that a straight call that had passed it over was answered by another."""
        self._meters.run(self.tally.fell_back, name, reason)

    def used(self, usage: Any) -> None:
        """Count the tokens of a straight call, where its answer told them."""
        if usage is not None:
            self._meters.run(self.tally.used, usage, self.price)

    def latency(self, now: float) -> float | None:
        """What it takes lately, decayed until now; None before its first attempt.

        Looks at what is pending, and leaves it there.
        """
        if len(self.pending) != self._read or self.pace.has_unread:
            self._meters.run(self._read_on)
        return self.pace.latest.at(now)

    def _read_on(self) -> None:
        average, pending = self.pace.average(), self.pending
        while self._read < len(pending):
            told = pending[self._read]
            average.see(max(0.0, told[3] - told[2]), told[3])
            self._read += 1

    def success_ratio(self, now: float) -> float | None:
        """Answers among its latest attempts, what failed forgiven with time; None before them."""
        tally = self.tally
        if tally.never_failed_lately:
            return 1.0 if tally.successes or self.pending else None
        self.count()
        ratio = tally.success_ratio
        if ratio is None:
            return None
        return 1.0 - (1.0 - ratio) * math.exp(min(0.0, self.setback_at - now) / FORGIVEN)


class Meters:
    """The meters of a chain, which go on through a reload."""

    def __init__(self) -> None:
        self.by_name: dict[str, Meter] = {}
        self._lock = RLock()
        self._busy = False
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._requests = DurationTallies()
        self._listeners: tuple[DurationListener, ...] = ()
        self._news: deque[_Durations] = deque()
        _ALL.add(self)

    def begin_anew(self) -> None:
        """Have a lock of its own and count from 0, in a forked child: each tells of itself."""
        self._lock, self._busy = RLock(), False
        self._waiting.clear()
        self._news.clear()
        self._requests = DurationTallies()
        for meter in self.by_name.values():
            meter.begin_anew()

    def know(self, infos: Mapping[str, ModelInfo]) -> None:
        """Have a meter for each provider; those that are there go on counting."""
        with self._lock:
            meters = dict(self.by_name)
            for name, info in infos.items():
                if name in meters:
                    meters[name].price = info.price
                else:
                    meters[name] = Meter(name, info.price, self)
            self.by_name = meters

    # Counting -------------------------------------------------------------------------------

    def run(self, operation: Callable[..., object], *arguments: Any) -> None:
        """Change the tallies, one operation at a time; one that breaks in waits for the other."""
        with self._lock:
            self._waiting.append((operation, arguments))
            if self._busy:  # by this very thread
                return
            self._busy = True
            try:
                while self._waiting:
                    operation, arguments = self._waiting.popleft()
                    operation(*arguments)
            finally:
                self._busy = False
        if self._news:
            self._tell()

    def take(self, chain: Chain, row: Row) -> None:
        """Count what a row of a walked call says."""
        if row.trigger == "skip":
            name, reason = passed_over(chain.notes[-1])
            self.run(self.by_name[name].tally.skipped, reason)
        elif row.source in _CALLED and row.trigger in _ENDS:
            self.run(self._end_attempt, _ended(chain, row))
        if row.target in FINAL:
            state: Any = row.target
            answered = chain.candidate.name if state is S.SUCCEEDED else chain.seen_of
            seconds = max(0.0, chain.now - chain.started_at)
            self.run(self._requests.add, (state.value, answered), measured((seconds,)))

    def _end_attempt(self, ended: _Ended) -> None:
        meter = self.by_name[ended.name]
        tally, pace, fault, duration = meter.tally, meter.pace, ended.fault, ended.duration
        if ended.before is not None and ended.before[0] != ended.name:
            former, reason = ended.before
            self.by_name[former].tally.fell_back(ended.name, reason)
        if ended.left:
            tally.left()
            pace.waited(ended.now, duration)
            return
        meter.count_locked()  # in the order of the facts
        if ended.first_output is not None:
            pace.first_output.see(ended.first_output, ended.now)
        if fault is None:
            tally.answered(measured((duration,)))
            pace.answered(ended.now, duration if ended.first_output is None else ended.first_output)
        else:
            tally.failed(fault, duration)
            meter.last_fault, meter.last_fault_at = fault.kind.value, ended.now
            if is_setback(fault):
                meter.setback_at = ended.now
            if is_no_use(fault):
                pace.failed(ended.now, duration)
        if ended.usage is not None and meter.price is not None:
            tally.used(ended.usage, meter.price)
        outcome = SUCCESS if fault is None else fault.outcome.value
        self._note_news(ended.name, outcome, (duration,))

    def succeeded_locked(self, name: str, counted: Durations, durations: list[float]) -> None:
        """Count straight calls, which are requests answered by one attempt."""
        self._requests.add((_SUCCEEDED, name), counted)
        self._note_news(name, SUCCESS, durations)

    # Reading --------------------------------------------------------------------------------

    def metrics(self) -> dict[str, ProviderMetrics]:
        """What has been counted, by provider."""
        self._count()
        with self._lock:
            return {name: meter.tally.view() for name, meter in self.by_name.items()}

    def requests(self) -> dict[tuple[str, str | None], Durations]:
        """How long the calls took, by how they ended and whose output the caller got."""
        self._count()
        with self._lock:
            return self._requests.view()

    def health(self, name: str, stands: BreakerSnapshot) -> ProviderHealth:
        """How a provider does, whose breaker stands so."""
        meter = self.by_name[name]
        meter.count()
        self.run(meter.pace.average)
        now, until = stands.taken_at, stands.open_until
        with self._lock:
            pace, tally, fault = meter.pace, meter.tally, meter.last_fault
            p50, p95, p99 = pace.percentiles(0.5, 0.95, 0.99)
            return ProviderHealth(
                provider=name,
                state=stands.state,
                success_ratio=tally.success_ratio,
                slow_ratio=stands.slow_call_ratio,
                latency=pace.latest.value,
                p50=p50,
                p95=p95,
                p99=p99,
                first_output_latency=pace.first_output.value,
                consecutive_failures=tally.run,
                in_flight=stands.in_flight,
                last_fault=fault,
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
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def remove_listener(self, listener: DurationListener) -> None:
        """Tell it no more."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def _note_news(self, name: str, outcome: str, durations: Any) -> None:
        if self._listeners:
            self._news.append((name, outcome, tuple(durations)))

    def _tell(self) -> None:
        """Tell the listeners; one that raises is logged, and touches no call."""
        while self._news:
            try:
                news = self._news.popleft()
            except IndexError:  # another thread tells it
                return
            for listener in self._listeners:
                try:
                    listener(*news)
                except Exception as error:  # noqa: BLE001  # the user's code
                    log_fault_of_user("a listener to the durations of %r raised %s", news[0], error)


def _ended(chain: Chain, row: Row) -> _Ended:
    """What the row says that ended an attempt, before anything else happens to the chain."""
    notes: tuple[Any, ...] = chain.notes
    left = row.trigger == "abandon"
    if left or row.target is S.SUCCEEDED:
        notes = (*notes, chain.attempted())
    name, _, fault, _, _, duration, first, usage, *_ = notes[-1]
    before = passed_over(notes[-2]) if len(notes) > 1 else None
    return _Ended(name, left, fault, chain.now, duration, first, usage, before)


_ALL: Final[weakref.WeakSet[Meters]] = weakref.WeakSet()


def _free_all() -> None:
    """In a forked child a lock may be held by a thread that is gone, and the counts are others'."""
    for meters in list(_ALL):
        meters.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_free_all)
