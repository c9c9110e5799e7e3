"""The meters of a chain: what its calls tell the tallies, and what is read off them.

A call appends what it has to tell to `Meter.pending`, in plain values, which is one atomic step;
whoever reads, or finds that much is pending, counts it. So a call waits for nobody, and what a
finaliser or a signal handler has to tell is told like everything else.

One lock for the tallies of a chain; nothing foreign runs under it. Who counts or reads in a
finaliser or a signal handler may break in on a thread that has the lock: to count waits for that
thread to go on, and what is read is as it stands.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from threading import RLock
from typing import Any, Final

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_model import passed_over
from fsm_fallback.core.chain_rows import CHAIN, FINAL, S
from fsm_fallback.core.health import Pace, ProviderHealth
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.metrics import (
    SUCCESS,
    Durations,
    DurationTallies,
    ProviderMetrics,
    ProviderTally,
    Told,
    meaning_of,
    measured,
    took,
)
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.core.table import Row
from fsm_fallback.drivers.told import Ended, Fell, Passed, Used
from fsm_fallback.providers.classifying import log_fault_of_user

MANY: Final = 256
"""So much pending is counted by the call that finds it."""

FORGIVEN: Final = 60.0
"""Seconds after its latest setback in which a provider's failures lose all but 1/e of their weight
for those who choose: one that is never chosen could not show that it is well again."""

_SUCCEEDED: Final = S.SUCCEEDED.value
_new = tuple.__new__  # half the time of a constructor, and every call makes some


def _said_by(row: Row) -> tuple[str, str | None]:
    """What a row of the chain says of an attempt, if anything, and how it ends the call."""
    ends = row.target.value if row.target in FINAL else None
    called = row.source in (S.CALLING, S.STREAMING)
    if row.trigger == "skip" or (called and row.trigger == "abandon"):
        return row.trigger, ends
    if called and row.target is S.SUCCEEDED:
        return "answer", ends
    return "fault" if "note_attempt" in row.actions else "", ends


# By identity: most rows say something, and to find out takes longer than to tell it.
_SAYS: Final = {id(row): said for row in CHAIN.rows if (said := _said_by(row)) != ("", None)}

DurationListener = Callable[[str, str, tuple[float, ...]], object]
"""Told of a provider, of an outcome, and of the seconds that attempts of that took."""


_STRAIGHT: Final = frozenset({tuple})
_BESIDE: Final = frozenset({Passed, Fell, Used})  # what is no attempt, and has no order among them


class Meter:
    """What one provider does in one chain. Safe in threads.

    Attributes:
        pending: What nobody has counted.
        price: What it costs; None where nobody knows.
    """

    __slots__ = (
        "_has_walked",
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
        self.pending: deque[Any] = deque()
        self.tally = ProviderTally(name)
        self.pace = Pace()
        self.last_fault: str | None = None
        self.last_fault_at = 0.0
        self.setback_at = -math.inf
        self._has_walked = False  # whether something other than straight answers may be pending
        self._read = 0  # of the straight answers pending, how many the pace has seen
        self._meters = meters

    # Telling --------------------------------------------------------------------------------

    def tell(self, what: Ended | Passed | Fell | Used) -> None:
        """Have something counted."""
        self.pending.append(what)
        self._has_walked = True
        if len(self.pending) >= MANY:
            self.count()

    # Counting -------------------------------------------------------------------------------

    def count(self) -> None:
        """Count what is pending."""
        if self.pending:
            self._meters.run(self._count)

    def begin_anew(self) -> None:
        """Count from 0; what is known of its pace stays."""
        self.pending.clear()
        self._read = 0
        self.tally = ProviderTally(self.name)

    def _count(self) -> None:
        self._has_walked = False
        pending = self.pending
        told = [pending.popleft() for _ in range(len(pending))]
        seen, self._read = self._read, 0
        if set(map(type, told)) == _STRAIGHT:  # most batches: no look at each
            self._count_straight(told, told[seen:])
            return
        beside = [each for each in told if type(each) in _BESIDE]
        for each in beside:
            self._count_one(each)
        attempts = [each for each in told if type(each) not in _BESIDE] if beside else told
        for kind, group in groupby(attempts, type):
            if kind is Ended:
                self._count_ends(group)
            else:
                straight = list(group)
                self._count_straight(straight, straight[seen:])
            seen = 0

    def _count_straight(self, told: Sequence[Told], unseen: Sequence[Told]) -> None:
        durations = took(told)
        counted = measured(durations)
        self.tally.answered(counted.count)
        self.tally.durations.add(SUCCESS, counted)
        self.pace.answered_straight(unseen, durations)
        self._meters.answered_straight(self.name, counted)
        self._meters.note_news(self.name, SUCCESS, durations)

    def _count_one(self, what: Passed | Fell | Used) -> None:
        match what:
            case Passed():
                self.tally.skipped(what.reason)
            case Fell():
                self.tally.fell_back(what.name, what.reason)
            case Used():
                self.tally.used(what.usage, self.price)

    def _count_ends(self, ends: Iterable[Ended]) -> None:
        tally, pace, price = self.tally, self.pace, self.price
        by_outcome: dict[str, list[float]] = {}
        for left, fault, now, duration, first, usage, former, reason in ends:
            if former and former != self.name:
                self._meters.by_name[former].tally.fell_back(self.name, reason)
            if left:
                tally.left()
                pace.waited(now, duration)
                continue
            if first is not None:
                pace.first_output.see(first, now)
            if fault is None:
                outcome = SUCCESS
                tally.answered()
                pace.answered(now, duration if first is None else first)
            else:
                kind, outcome, is_setback, is_no_use = fault
                tally.failed(kind, is_setback=is_setback)
                self.last_fault, self.last_fault_at = kind, now
                if is_setback:
                    self.setback_at = now
                if is_no_use:
                    pace.failed(now, duration)
            if usage is not None and price is not None:
                tally.used(usage, price)
            by_outcome.setdefault(outcome, []).append(duration)
        for outcome, durations in by_outcome.items():
            tally.durations.add(outcome, measured(durations))
            self._meters.note_news(self.name, outcome, durations)

    # Reading --------------------------------------------------------------------------------

    def latency(self, now: float) -> float | None:
        """What it takes lately, decayed until now; None before its first attempt.

        Looks at straight answers that are pending, and leaves them there.
        """
        if self._has_walked:
            self.count()
        if len(self.pending) != self._read or self.pace.has_unread:
            self._meters.run(self._look)
        return self.pace.latest.at(now)

    def _look(self) -> None:
        average, pending = self.pace.average(), self.pending
        while self._read < len(pending):
            told = pending[self._read]
            if type(told) is not tuple:  # it came just now; what is behind it is for the count
                return
            latency = max(0.0, told[3] - told[2])
            average.see(latency, told[3])
            self.pace.of_answers.see(latency, told[3])
            self._read += 1

    def success_ratio(self, now: float) -> float | None:
        """Answers among its latest attempts, what failed forgiven with time; None before them."""
        if self._has_walked:
            self.count()
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
        self._waiting: deque[Callable[[], object]] = deque()
        self._ends: deque[tuple[str, str | None, float]] = deque()
        self._requests = DurationTallies()
        self._listeners: tuple[DurationListener, ...] = ()
        self._news: deque[tuple[str, str, tuple[float, ...]]] = deque()
        _ALL.add(self)

    def begin_anew(self) -> None:
        """Have a lock of its own and count from 0, in a forked child: each tells of itself."""
        self._lock, self._busy = RLock(), False
        self._waiting.clear()
        self._ends.clear()
        self._news.clear()
        self._requests = DurationTallies()
        for meter in self.by_name.values():
            meter.begin_anew()

    def know(self, infos: Mapping[str, ModelInfo]) -> None:
        """Have a meter for each provider; those that are there go on counting."""
        self._count_all()  # at the prices that hold until now
        with self._lock:
            meters = dict(self.by_name)
            for name, info in infos.items():
                if name in meters:
                    meters[name].price = info.price
                else:
                    meters[name] = Meter(name, info.price, self)
            self.by_name = meters

    # Telling --------------------------------------------------------------------------------

    def take(self, chain: Chain, row: Row) -> None:
        """Have counted what a row of a walked call says."""
        says = _SAYS.get(id(row))
        if says is None:
            return
        what, ends = says
        if what == "skip":
            name, reason = passed_over(chain.notes[-1])
            self.by_name[name].tell(_new(Passed, (reason,)))
        elif what:
            notes: Any = chain.notes
            if what == "fault":  # its note is there
                note = notes[-1]
                name, meant, usage = note[0], meaning_of(note[2]), note[7]
                duration, first = note[5], note[6]
                before = notes[-2] if len(notes) > 1 else None
            else:
                name, meant, usage = chain.candidate.name, None, chain.usage
                began, output_at = chain.offered_at, chain.output_at
                duration = max(0.0, chain.now - began)
                first = None if output_at is None else max(0.0, output_at - began)
                before = notes[-1] if notes else None
            former, reason = ("", "") if before is None else passed_over(before)
            left = what == "abandon"
            ended = (left, meant, chain.now, duration, first, usage, former, reason)
            self.by_name[name].tell(_new(Ended, ended))
        if ends is not None:
            answered = chain.candidate.name if ends == _SUCCEEDED else chain.seen_of
            self._ends.append((ends, answered, chain.now - chain.started_at))
            if len(self._ends) >= MANY:
                self.run(self._count_ends)

    # Counting -------------------------------------------------------------------------------

    def run(self, operation: Callable[[], object]) -> None:
        """Change the tallies, one operation at a time; one that breaks in waits for the other."""
        with self._lock:
            self._waiting.append(operation)
            if self._busy:  # by this very thread
                return
            self._busy = True
            try:
                while self._waiting:
                    self._waiting.popleft()()
            finally:
                self._busy = False
        if self._news:
            self._tell()

    def answered_straight(self, name: str, counted: Durations) -> None:
        """Count straight calls as requests, under the lock: each is answered by one attempt."""
        self._requests.add((_SUCCEEDED, name), counted)

    def note_news(self, name: str, outcome: str, durations: Sequence[float]) -> None:
        """Keep for the listeners, under the lock, what they are told without it."""
        if self._listeners:
            self._news.append((name, outcome, tuple(durations)))

    def _count_ends(self) -> None:
        ends, by_end = self._ends, dict[tuple[str, str | None], list[float]]()
        for _ in range(len(ends)):
            outcome, answered, seconds = ends.popleft()
            by_end.setdefault((outcome, answered), []).append(max(0.0, seconds))
        for end, durations in by_end.items():
            self._requests.add(end, measured(durations))

    def _count_all(self) -> None:
        for meter in self.by_name.values():
            meter.count()
        self.run(self._count_ends)

    # Reading --------------------------------------------------------------------------------

    def metrics(self) -> dict[str, ProviderMetrics]:
        """What has been counted, by provider."""
        self._count_all()
        with self._lock:
            return {name: meter.tally.view() for name, meter in self.by_name.items()}

    def requests(self) -> dict[tuple[str, str | None], Durations]:
        """How long the calls took, by how they ended and whose output the caller got."""
        self._count_all()
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
                latency=pace.of_answers.value,
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

    # Listening ------------------------------------------------------------------------------

    def add_listener(self, listener: DurationListener) -> None:
        """Tell a listener of durations when they are counted, off the lock."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def remove_listener(self, listener: DurationListener) -> None:
        """Tell it no more."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each != listener)

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


_ALL: Final[weakref.WeakSet[Meters]] = weakref.WeakSet()


def _free_all() -> None:
    """In a forked child a lock may be held by a thread that is gone, and the counts are others'."""
    for meters in list(_ALL):
        meters.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_free_all)
