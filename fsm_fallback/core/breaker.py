"""The circuit breaker of one provider: its table, its evidence, its leases.

Rules
-----
1. Everything that decides is a row of `BREAKER`. Guards compare `facts`, which are measured once
   before a row is chosen, the pending outcome included; actions change only the breaker.
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

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from fsm_fallback.core.breaker_facts import (
    FACTS_OF_ADMISSION,
    MAX_EXPONENT,
    evidence_facts,
    hold_facts,
    verdict_facts,
)
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState, S
from fsm_fallback.core.compiled import CompiledEvent
from fsm_fallback.core.events import BreakerStep, Verdict
from fsm_fallback.core.lease import Lease, LeaseOwner
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.core.table import STAY, Row, machine_of
from fsm_fallback.core.windows import CountEvidence

_NOTHING: Final[Mapping[str, float]] = {}
OPERATORS: Final = frozenset({"force_open", "disable", "observe", "reset"})
_VERDICTS: Final[dict[str, Verdict]] = {
    row_id: "moved"
    if row.target is not STAY
    else "refused"
    if "refuse" in row.actions
    else "stayed"
    for row_id, row in BREAKER.numbered()
}


@attrs.define(eq=False)
class Breaker:
    """One breaker: a model of the machine `BREAKER`, not thread-safe by itself.

    Args:
        name: What it guards; its name in records.
        config: Its parameters.
        now: The clock's seconds at birth.
        owner: Settles the leases it grants; None in specs, which settle here.
        record: Gets a `BreakerStep` for every firing worth a record, in order.
        record_stays: Whether firings that change no state are worth one.
        sample: A draw from [0, 1) for the next jitter; whoever owns the breaker draws anew after an
            opening. 0.5 is no jitter.
    """

    name: str
    config: BreakerConfig = attrs.field(factory=BreakerConfig)
    now: float = 0.0
    owner: LeaseOwner | None = None
    record: Callable[[BreakerStep], None] | None = None
    record_stays: bool = False
    sample: float = 0.5

    state: BreakerState = attrs.field(init=False, default=S.CLOSED)
    facts: Mapping[str, float] = attrs.field(init=False, default=_NOTHING)
    reply: Lease | None = attrs.field(init=False, default=None)
    evidence: CountEvidence = attrs.field(init=False)
    generation: int = attrs.field(init=False, default=0)
    admissions: int = attrs.field(init=False, default=0)
    in_flight: int = attrs.field(init=False, default=0)
    not_permitted: int = attrs.field(init=False, default=0)
    open_until: float | None = attrs.field(init=False, default=None)
    closed_at: float = attrs.field(init=False)
    step: int = attrs.field(init=False, default=0)
    holds: int = attrs.field(init=False, default=0)
    cause: Fault | None = attrs.field(init=False, default=None)
    probes: dict[int, float] = attrs.field(init=False, factory=dict)
    round_calls: int = attrs.field(init=False, default=0)
    round_failures: int = attrs.field(init=False, default=0)

    # The outcome being settled; only measuring and actions read it.
    lease: Lease | None = attrs.field(init=False, default=None)
    failed: bool = attrs.field(init=False, default=False)
    fault: Fault | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.evidence = self.config.window.evidence()
        self.closed_at = self.now

    # Triggers -------------------------------------------------------------------------------

    def admit(self, now: float) -> Lease | None:
        """Ask for leave to call: a lease, or None where the breaker refuses.

        After a refusal `retry_at` says when to come back.
        """
        if now > self.now:
            self.now = now
        self.lease = self.fault = None
        measure = FACTS_OF_ADMISSION.get(self.state)
        self.facts = _NOTHING if measure is None else measure(self)
        source = self.state
        row: Row = ADMIT.fire(self).row
        if row.target is not None or self.record_stays:
            self._tell(ADMIT, row, source)
        # Not kept: a lease whose holder drops it must be collectable.
        reply, self.reply = self.reply, None
        return reply

    def succeed(self, lease: Lease, now: float) -> None:
        """Settle a lease: the provider answered."""
        if self._take_back(lease, now, SUCCEED, None):
            self.failed = False
            source = self.state
            self.facts = verdict_facts(self) if source is _HALF_OPEN else _NOTHING
            row: Row = SUCCEED.fire(self).row
            if row.target is not None or self.record_stays:
                self._tell(SUCCEED, row, source)

    def fail(self, lease: Lease, now: float, fault: Fault | None = None) -> None:
        """Settle a lease: the provider failed."""
        if self._take_back(lease, now, FAIL, fault):
            self.failed = True
            half_open = self.state is _HALF_OPEN
            self.facts = verdict_facts(self) if half_open else evidence_facts(self)
            self._fire(FAIL)

    def release(self, lease: Lease, now: float) -> None:
        """Settle a lease without evidence."""
        if self._take_back(lease, now, RELEASE, None):
            self.facts = _NOTHING
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
        if lease is not None and not self._settle(lease):
            return
        self._clock(now)
        self.lease, self.fault = lease, fault
        self.facts = hold_facts(self, until)
        source = self.state
        row: Row = HOLD.fire(self).row
        if lease is None or row.action or self.record_stays:
            self._tell(HOLD, row, source, actor, reason)

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

    # Guards: they compare `facts` and nothing else ---------------------------------------------

    def cooled_down(self) -> bool:
        """At exactly `open_until` the call is admitted; one tick before it is not."""
        return self.facts["now"] >= self.facts["open_until"]

    def probe_overdue(self) -> bool:
        """Some probe is out for longer than `probe_timeout`."""
        return self.facts["now"] > self.facts["probe_deadline"]

    def probe_free(self) -> bool:
        """The round has a slot and still wants a probe."""
        facts = self.facts
        return (
            facts["out"] < facts["probe_concurrency"]
            and facts["done"] + facts["out"] < facts["probe_calls"]
        )

    def tripped(self) -> bool:
        """With the pending failure the window is full enough and bad enough."""
        facts = self.facts
        return (
            facts["calls"] >= facts["minimum_calls"]
            and facts["failure_ratio"] >= facts["threshold"]
        )

    def healed(self) -> bool:
        """With the pending outcome the round is decided, and well."""
        return bool(self.facts["decidable"]) and self.facts["worst_ratio"] < self.facts["threshold"]

    def relapsed(self) -> bool:
        """With the pending outcome the round is decided, and ill."""
        return bool(self.facts["decidable"]) and self.facts["best_ratio"] >= self.facts["threshold"]

    def longer(self) -> bool:
        """The named time is later than the one already set."""
        return self.facts["until"] > self.facts["open_until"]

    # Actions: they change this breaker and nothing else ---------------------------------------

    def grant(self) -> None:
        """Give a lease without a slot."""
        self.admissions += 1
        self.in_flight += 1
        self.reply = Lease(self.generation, self.admissions, self.now, None, self.owner)

    def grant_probe(self) -> None:
        """Give a lease that takes a slot of the round."""
        self.grant()
        if self.reply is not None:
            deadline = self.now + self.config.probe_timeout
            self.reply.deadline = self.probes[self.admissions] = deadline

    def refuse(self) -> None:
        """Give no lease, and count that."""
        self.not_permitted += 1

    def begin_round(self) -> None:
        """Begin a round of probes."""
        self.open_until = None
        self._turn()

    def count(self) -> None:
        """Book the outcome as evidence."""
        if self.failed:
            self.evidence.book_failure()
        else:
            self.evidence.book_success()
            self.holds = 0

    def count_probe(self) -> None:
        """Book the outcome in the round; evidence of the closed state is another matter."""
        self.free_probe()
        self.round_calls += 1
        self.round_failures += self.failed
        if not self.failed:
            self.holds = 0

    def free_probe(self) -> None:
        """Give the slot back."""
        if self.lease is not None:
            self.probes.pop(self.lease.number, None)

    def arm(self) -> None:
        """Open from CLOSED.

        Time spent closed wears the backoff off: a provider that flaps does not start over, one that
        was well for long does.
        """
        rested = int((self.now - self.closed_at) / self.config.open_duration)
        self.step = max(0, self.step - rested)
        self._arm_next_step()

    def rearm(self) -> None:
        """Open from a round that failed, for longer than the time before."""
        if self.lease is None:  # fired by `admit`
            self.fault = Fault(FaultKind.TIMEOUT, message="a probe did not come back in time")
        self._arm_next_step()

    def arm_until(self) -> None:
        """Open until the named time; no jitter, no backoff."""
        if self.lease is not None:  # an operator's hold is no word of the provider
            self.holds += 1
        self.open_until = self.facts["until"]
        self.cause = self.fault
        self._turn()

    def extend(self) -> None:
        """Stay open until the later time."""
        self.open_until = self.facts["until"]
        self.cause = self.fault

    def close(self) -> None:
        """Close with empty evidence; the backoff stays, and wears off with time."""
        self._close()

    def clear(self) -> None:
        """Forget evidence, backoff, holds and cause: what an operator's word begins with."""
        self.step = 0
        self.holds = 0
        self._close()

    # Reading --------------------------------------------------------------------------------

    @property
    def retry_at(self) -> float | None:
        """When the next call may be admitted, if that is known: `open_until` while OPEN."""
        return self.open_until

    def snapshot(self, now: float) -> BreakerSnapshot:
        """How this breaker stands; reading changes nothing, the clamped clock included."""
        calls, failures = self.evidence.calls, self.evidence.failures
        return BreakerSnapshot(
            taken_at=max(now, self.now),
            state=self.state,
            generation=self.generation,
            calls=calls,
            failures=failures,
            failure_ratio=failures / calls if calls >= self.config.minimum_calls else None,
            in_flight=self.in_flight,
            not_permitted=self.not_permitted,
            open_until=self.open_until,
            step=self.step,
            holds=self.holds,
            cause=self.cause,
        )

    def restore(self, snapshot: BreakerSnapshot, now: float) -> None:
        """Take over how another breaker stood, perhaps in a process that is gone.

        State, backoff step, holds, cause and the open time that was left come back; evidence starts
        empty, every lease out is late, and HALF_OPEN comes back as OPEN, cooled down.
        """
        self._clock(now)
        source = self.state
        self._close()
        self.state = snapshot.state
        self.step, self.holds, self.cause = snapshot.step, snapshot.holds, snapshot.cause
        if snapshot.state is S.HALF_OPEN:
            self.state = S.OPEN
            self.open_until = self.now
        elif snapshot.state is S.OPEN and snapshot.open_until is not None:
            left = max(0.0, snapshot.open_until - snapshot.taken_at)
            self.open_until = self.now + left
        if self.record is not None:
            self.record(self._step("restore", None, source, "moved", None, self.cause))

    # Mechanism ------------------------------------------------------------------------------

    def _clock(self, now: float) -> None:
        if now > self.now:
            self.now = now

    def _settle(self, lease: Lease) -> bool:
        if lease.settled:
            return False
        lease.settled = True
        self.in_flight -= 1
        return True

    def _take_back(
        self, lease: Lease, now: float, event: CompiledEvent, fault: Fault | None
    ) -> bool:
        """Settle a lease; False where that is all: settled before, or of an older generation."""
        if lease.settled:
            return False
        lease.settled = True
        self.in_flight -= 1
        if now > self.now:
            self.now = now
        if lease.generation == self.generation:
            self.lease = lease
            self.fault = fault
            return True
        if self.record is not None:
            self.record(self._step(event.name, None, self.state, "late", lease, fault))
        return False

    def _operate(
        self, event: CompiledEvent, now: float, actor: str | None, reason: str | None
    ) -> None:
        self._clock(now)
        self.lease = self.fault = None
        self.facts = _NOTHING
        source = self.state
        self._tell(event, event.fire(self).row, source, actor, reason)

    def _fire(self, event: CompiledEvent) -> None:
        source = self.state
        row: Row = event.fire(self).row
        if row.target is not None or self.record_stays:
            self._tell(event, row, source)

    def _tell(
        self,
        event: CompiledEvent,
        row: Row,
        source: BreakerState,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        if self.record is not None:
            lease = self.lease or self.reply
            verdict = _VERDICTS[BREAKER.id_of(row)]
            step = self._step(event.name, row, source, verdict, lease, self.fault, actor, reason)
            self.record(step)

    def _step(
        self,
        trigger: str,
        row: Row | None,
        source: BreakerState,
        verdict: Verdict,
        lease: Lease | None,
        fault: Fault | None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> BreakerStep:
        return BreakerStep(
            breaker=self.name,
            at=self.now,
            trigger=trigger,
            row=row,
            source=source,
            target=self.state,
            verdict=verdict,
            because=self.facts if row is not None else _NOTHING,
            facts={
                "failures": self.evidence.failures,
                "calls": self.evidence.calls,
                "in_flight": self.in_flight,
                "open_until": self.open_until,
                "step": self.step,
                "holds": self.holds,
                "generation": self.generation,
            },
            generation=self.generation if lease is None else lease.generation,
            lease=None if lease is None else lease.number,
            fault=fault,
            actor=actor,
            reason=reason,
        )

    def _turn(self) -> None:
        """Begin a new generation: whatever is out is late, evidence and rounds start empty."""
        self.generation += 1
        self.evidence.clear()
        self.probes.clear()
        self.round_calls = self.round_failures = 0

    def _close(self) -> None:
        self.open_until = self.cause = None
        self.closed_at = self.now
        self._turn()

    def _arm_next_step(self) -> None:
        config = self.config
        self.step += 1
        growth = config.backoff_factor ** min(self.step - 1, MAX_EXPONENT)
        duration = min(config.open_duration * growth, config.max_open_duration)
        duration *= 1.0 + config.jitter * (2.0 * self.sample - 1.0)
        self.open_until = self.now + duration
        if self.fault is not None:
            self.cause = self.fault
        self._turn()


_HALF_OPEN: Final = S.HALF_OPEN  # an enum member is a slow look-up

MACHINE: Final = machine_of(BREAKER, Breaker)
ADMIT: Final = MACHINE.events["admit"]
SUCCEED: Final = MACHINE.events["succeed"]
FAIL: Final = MACHINE.events["fail"]
RELEASE: Final = MACHINE.events["release"]
HOLD: Final = MACHINE.events["hold"]
FORCE_OPEN: Final = MACHINE.events["force_open"]
DISABLE: Final = MACHINE.events["disable"]
OBSERVE: Final = MACHINE.events["observe"]
RESET: Final = MACHINE.events["reset"]
