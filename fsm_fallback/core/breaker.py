"""The circuit breaker of one provider: its table, its evidence, its leases.

Rules
-----
1. Everything that decides is a row of `BREAKER`. Guards compare `facts`, which are measured once
   before a row is chosen, the pending outcome included; actions change only the breaker. Where the
   row is known beforehand, callers may do its action by themselves: `straight`, `timed` and `shut`
   say when (`core.generation`).
2. Admission is a lease, and a lease is settled once. Every row with a target begins a new
   generation; the outcome of an older lease adds no evidence, frees no slot, closes nothing.
3. A round of probes cannot wedge: a probe that never comes back ends the round at its deadline,
   a round without a probe out never ages.
4. `now` is an argument, and clamped: a clock that jumps back evicts nothing and reopens nothing.

Pure: no clock, no randomness, no lock. `fsm_fallback.circuit.CircuitBreaker` adds those.

States and evidence follow resilience4j and Polly, generations sony/gobreaker. What follows no one
is argued where it stands.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import ClassVar, Final, NoReturn

import attrs

from fsm_fallback.core.breaker_facts import (
    FACTS_OF_ADMISSION,
    FACTS_OF_FAILURE,
    FACTS_OF_SUCCESS,
    NOTHING,
    hold_facts,
    standing_facts,
)
from fsm_fallback.core.breaker_model import BreakerModel
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.compiled import CompiledEvent
from fsm_fallback.core.events import BreakerStep, Verdict
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.snapshot import BreakerSnapshot, refuse_foreign, snapshot_of
from fsm_fallback.core.table import STAY, Row, Table, TableMachine, machine_of
from fsm_fallback.errors import ConfigurationError

OPERATORS: Final = frozenset({"force_open", "disable", "observe", "reset"})
_SETTLED_BEFORE: Final[Mapping[str, float]] = {"settled_before": True}
_ABANDONED: Final[Mapping[str, float]] = {"abandoned": True}


@attrs.define(eq=False)
class Breaker(BreakerModel):
    """One breaker, not thread-safe by itself; its arguments are those of `BreakerModel`."""

    table: ClassVar[Table] = BREAKER
    machine: ClassVar[TableMachine]

    # Triggers -------------------------------------------------------------------------------

    def admit(self, now: float) -> Lease | None:
        """Ask for leave to call: a lease, or None where the breaker refuses."""
        self.pass_time(now)
        self.lease = self.fault = None
        self.current.note_stalled(self.now)
        measure = FACTS_OF_ADMISSION.get(self.state)
        self.facts = NOTHING if measure is None else measure(self)
        self._fire(ADMIT)
        # Not kept: a lease whose holder drops it must be collectable.
        reply, self.reply = self.reply, None
        return reply

    def succeed(self, lease: Lease, now: float, duration: float | None = None) -> None:
        """Settle a lease: the provider answered. `duration`: the seconds it took, if known."""
        if self._take_back(lease, now, SUCCEED, None, duration):
            self.failed = False
            measure = FACTS_OF_SUCCESS.get(self.state)
            self.facts = NOTHING if measure is None else measure(self)
            self._fire(SUCCEED)

    def fail(
        self, lease: Lease, now: float, fault: Fault | None = None, duration: float | None = None
    ) -> None:
        """Settle a lease: the provider failed. `duration` as in `succeed`."""
        if self._take_back(lease, now, FAIL, fault, duration):
            self.failed = True
            if self.current.allowed_failures and not self.record_stays:  # it cannot trip
                self.current.allowed_failures -= 1
                self.count()
                return
            measure = FACTS_OF_FAILURE.get(self.state)
            self.facts = NOTHING if measure is None else measure(self)
            self._fire(FAIL)
            if self.straight is self.current and "calls" in self.facts:
                calls = self.facts["calls"]
                failures = self.facts["failure_ratio"] * calls
                self.current.allow_failures(self.config, calls, failures)

    def release(self, lease: Lease, now: float) -> None:
        """Settle a lease without evidence."""
        if self._take_back(lease, now, RELEASE, None):
            self.facts = NOTHING
            self._fire(RELEASE)

    def hold(
        self,
        until: float,
        now: float,
        lease: Lease | None = None,
        fault: Fault | None = None,
        *,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Stay away until a time the provider, or an operator (without a lease), named.

        A late lease is as good as any here: it is an instruction about the future, and can open or
        lengthen but never shorten.
        """
        self.pass_time(now)
        if lease is not None and not self._settle(lease, HOLD, fault):
            return
        self.lease, self.fault = lease, fault
        self.facts = hold_facts(self, until)
        self._fire(HOLD, actor, reason, by_operator=lease is None)

    def force_open(self, now: float, actor: str | None = None, reason: str | None = None) -> None:
        """Refuse every call until told otherwise."""
        self._operate(FORCE_OPEN, now, actor, reason)

    def disable(self, now: float, actor: str | None = None, reason: str | None = None) -> None:
        """Admit every call and count nothing."""
        self._operate(DISABLE, now, actor, reason)

    def observe(self, now: float, actor: str | None = None, reason: str | None = None) -> None:
        """Admit every call, count, never trip."""
        self._operate(OBSERVE, now, actor, reason)

    def reset(self, now: float, actor: str | None = None, reason: str | None = None) -> None:
        """Close with empty evidence; every lease out is late from now on."""
        self._operate(RESET, now, actor, reason)

    # Beside the table -------------------------------------------------------------------------

    def begin_output(self, lease: Lease, now: float) -> None:
        """Note the first output of a stream: slowness is judged by now, a probe's time begins anew.

        Only the first time counts; a settled lease, or one of an older generation, is left alone.
        """
        if lease.breaker is not self:
            self._refuse_strange(lease)
        self.pass_time(now)
        if lease.settled or lease.duration is not None:
            return
        lease.duration = self.now - lease.admitted_at
        if lease.generation != self.generation:
            return
        self.current.take_in(lease.number)
        if lease.number in self.round.probes:
            lease.deadline = self.round.probes[lease.number] = self.now + self.config.stream_timeout

    def end_straight(self, generation: Generation, number: int, place: int, now: float) -> None:
        """Settle a call that went straight, but whose generation may have ended before it did.

        Its place tells: one taken before the end has been counted, one after it is late.
        """
        self.pass_time(now)
        if generation.ended is not None and place > generation.ended:
            self._settled += 1
            late = Lease(self, generation.number, number, self.now)
            late.claim()
            self._record(SUCCEED.name, None, self.state, "late", late)
        elif self.straight is None:
            self.find_ways()

    def note_late(self, lease: Lease, now: float, fault: Fault | None) -> None:
        """Record that a call came back whose caller had left, and whose lease is settled.

        `fault`: why it failed; None if it answered. Nothing is booked.
        """
        self.pass_time(now)
        trigger = SUCCEED.name if fault is None else FAIL.name
        self._record(trigger, None, self.state, "late", lease, _ABANDONED, fault)

    # Reading --------------------------------------------------------------------------------

    def opens_at(self, now: float) -> float:
        """When `admit` may grant a lease, as far as this breaker knows; asking changes nothing.

        `now` where it would now, infinite where nobody knows.
        """
        if self.would_admit(now):
            return now
        return math.inf if self.open_until is None else self.open_until

    def would_admit(self, now: float) -> bool:
        """Whether `admit` would grant a lease; asking changes nothing."""
        before = self.now, self.facts, self.shut
        self.pass_time(now)
        try:
            measure = FACTS_OF_ADMISSION.get(self.state)
            self.facts = NOTHING if measure is None else measure(self)
            rows = self.table.cell(self.state, "admit")
            row = next(row for row in rows if row.guard is None or getattr(self, row.guard)())
            return "refuse" not in row.actions
        finally:
            self.now, self.facts, self.shut = before

    def snapshot(self, now: float) -> BreakerSnapshot:
        """How this breaker stands; reading changes nothing, the clamped clock included."""
        return snapshot_of(self, max(now, self.now, self.current.latest))

    def restore(self, snapshot: BreakerSnapshot, now: float) -> None:
        """Take over how another breaker stood, perhaps in a process that is gone.

        State, backoff step, holds, cause and the open time that was left come back; evidence starts
        empty, every lease out is late, and HALF_OPEN comes back as OPEN, cooled down.

        Raises:
            ConfigurationError: If the snapshot is of a breaker with other parameters; this one is
                left as it was.
        """
        refuse_foreign(snapshot, self)
        self.take_over(snapshot, now)

    def take_over(
        self,
        snapshot: BreakerSnapshot,
        now: float,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """As `restore`, whatever its parameters were; by whose word it stood, if anybody's."""
        self.pass_time(now)
        source = self.state
        until = snapshot.taken_at if snapshot.open_until is None else snapshot.open_until
        self.begin_empty()
        self._stand(snapshot.state, max(0.0, until - snapshot.taken_at))
        self.step, self.holds, self.cause = snapshot.step, snapshot.holds, snapshot.cause
        self.actor, self.reason = actor, reason
        told = (self.cause, actor, reason)
        self._record("restore", None, source, "moved", None, NOTHING, *told)
        self.find_ways()

    # Mechanism ------------------------------------------------------------------------------

    def _refuse_strange(self, lease: Lease) -> NoReturn:
        raise ConfigurationError(
            f"lease {lease.number} of breaker {lease.breaker.name!r} came to breaker "
            f"{self.name!r}; settle it on the one that granted it"
        )

    def _settle(self, lease: Lease, event: CompiledEvent, fault: Fault | None) -> bool:
        """Settle a lease; False if it was settled before."""
        if lease.breaker is not self:
            self._refuse_strange(lease)
        if not lease.claim():
            self._record(event.name, None, self.state, "late", lease, _SETTLED_BEFORE, fault)
            return False
        self._settled += 1
        current = self.current
        if current.slow_after is not None and lease.generation == current.number:
            current.take_in(lease.number)
        return True

    def _take_back(
        self,
        lease: Lease,
        now: float,
        event: CompiledEvent,
        fault: Fault | None,
        duration: float | None = None,
    ) -> bool:
        """Settle a lease; False where that is all: settled before, or of an older generation."""
        self.pass_time(now)
        if not self._settle(lease, event, fault):
            return False
        if lease.generation != self.current.number:
            self._record(event.name, None, self.state, "late", lease, fault=fault)
            return False
        self.lease, self.fault = lease, fault
        slow_after = self.config.slow_call_duration
        if slow_after is not None:
            if duration is None:
                duration = lease.duration
            took = self.now - lease.admitted_at if duration is None else duration
            self.slow = took >= slow_after
            self.current.note_stalled(self.now)
        return True

    def _operate(
        self, event: CompiledEvent, now: float, actor: str | None, reason: str | None
    ) -> None:
        self.pass_time(now)
        self.lease = self.fault = None
        self.facts = NOTHING
        self._fire(event, actor, reason, by_operator=True)

    def _fire(
        self,
        event: CompiledEvent,
        actor: str | None = None,
        reason: str | None = None,
        *,
        by_operator: bool = False,
    ) -> None:
        """Fire, record what is worth it, and find the ways of the calls to come."""
        source = self.state
        row: Row = event.fire(self).row
        spoken = by_operator and event.name != HOLD.name
        if row.target is not None or row.action == "extend" or spoken:
            self.actor, self.reason = actor, reason
        if row.target is not None or self.record_stays or by_operator or row.action == "extend":
            lease, told = self.lease or self.reply, (self.facts, self.fault, actor, reason)
            self._record(event.name, row, source, _verdict(row), lease, *told)
        if self.straight is None:
            self.find_ways()

    def _record(
        self,
        trigger: str,
        row: Row | None,
        source: BreakerState,
        verdict: Verdict,
        lease: Lease | None,
        because: Mapping[str, float] = NOTHING,
        fault: Fault | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        if self.record is not None:
            generation = self.generation if lease is None else lease.generation
            number = None if lease is None else lease.number
            ends = (self.name, self.now, trigger, row, source, self.state, verdict)
            stands = (because, standing_facts(self), generation, number)
            self.record(BreakerStep(*ends, *stands, fault, actor, reason))


@functools.cache
def _verdict(row: Row) -> Verdict:
    if row.target is not STAY:
        return "moved"
    return "refused" if "refuse" in row.actions else "stayed"


MACHINE: Final = machine_of(BREAKER, Breaker)
Breaker.machine = MACHINE
ADMIT: Final = MACHINE.events["admit"]
SUCCEED: Final = MACHINE.events["succeed"]
FAIL: Final = MACHINE.events["fail"]
RELEASE: Final = MACHINE.events["release"]
HOLD: Final = MACHINE.events["hold"]
FORCE_OPEN: Final = MACHINE.events["force_open"]
DISABLE: Final = MACHINE.events["disable"]
OBSERVE: Final = MACHINE.events["observe"]
RESET: Final = MACHINE.events["reset"]
