"""Rendering: what a machine recorded, as the audit record a person or the verifier reads.

Decides how each kind of step reads and which numbers it gets. Pure: no clock, no thread, no file.
It reads tables and steps, never the machines: of a fault the kind, of an exception nothing.

Steps are numbered in the order they are rendered. `seq` runs over the stream, `id_seq` over one
machine; an attempt is one step and two records, its offer and its end.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable, Mapping
from typing import Final, assert_never

import attrs

from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.events import (
    AttemptStep,
    BreakerStep,
    ChainStep,
    Facts,
    Kept,
    Step,
    StreamStep,
    Traced,
    made,
)
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.table import STAY, Row, Table
from fsm_fallback.telemetry.fields import (
    AUDIT_MACHINE,
    BREAKER_MACHINE,
    CHAIN_MACHINE,
    DROPPED,
    SCHEMA_VERSION,
    Record,
    Value,
)

_NOTHING: Final[Facts] = {}
_YEAR_10000: Final = 253_402_300_799  # RFC 3339 ends there; a second less, for rounding


@attrs.frozen
class RowNotes:
    """What every record of one row says.

    Attributes:
        id: `T1`, `T2`, ...
        source: The state left, as logs name it.
        target: The state reached; that of `source` for a row that stays.
        guards: Name and result of each guard evaluated, in order.
        verdict: Whether the machine moved.
    """

    id: str
    source: str
    target: str
    guards: tuple[tuple[str, bool], ...]
    verdict: str


@attrs.frozen
class Declaration:
    """A declared machine as its records name it; `digest` is None where nobody registered it."""

    table: Table
    digest: str | None
    notes: Mapping[Row, RowNotes]


def declaration(table: Table, digest: str | None = None) -> Declaration:
    """What records of a table need, worked out once per table."""
    return Declaration(table, digest, _notes(table))


@functools.cache
def _notes(table: Table) -> Mapping[Row, RowNotes]:
    return {
        row: RowNotes(
            id=row_id,
            source=row.source.value,
            target=row.source.value if row.target is None else row.target.value,
            guards=table.guards_before(row),
            verdict="stayed" if row.target is STAY else "moved",
        )
        for row_id, row in table.numbered()
    }


@functools.cache
def _offer(table: Table) -> Row:
    return table.cell(table.initial, "offer")[-1]


@functools.cache
def _undeclared(kind: str) -> Declaration:
    return declaration(BREAKER if kind == BREAKER_MACHINE else CHAIN)


@attrs.define(eq=False)
class Stream:
    """One run's records: who it is, where its clock stands, how far it has counted.

    Args:
        id: Name of the run.
        mono: The clock's seconds at its start.
        wall: The same instant in seconds since the epoch: wall time is read once, so that a clock
            set back puts no record before its cause.
    """

    id: str
    mono: float
    wall: float
    _declared: dict[tuple[str, str], Declaration] = attrs.field(init=False, factory=dict)
    _seq: int = attrs.field(init=False, default=0)
    _machines: dict[tuple[str, str], int] = attrs.field(init=False, factory=dict)

    # Declarations ---------------------------------------------------------------------------

    def declare(self, name: str, declared: Declaration) -> None:
        """Name the declaration of a machine; records rendered from now on carry its digest."""
        self._declared[declared.table.name, name] = declared

    def declared(self, kind: str, name: str) -> Declaration | None:
        """What was declared for a machine; None where nothing was."""
        return self._declared.get((kind, name))

    # Streams --------------------------------------------------------------------------------

    def copy(self) -> Stream:
        """A stream that goes on from here by itself."""
        same = self.successor(self.id, self.mono, self.wall)
        same._seq = self._seq  # noqa: SLF001  # a copy of self
        same._machines.update(self._machines)  # noqa: SLF001  # as above
        return same

    def successor(self, id: str, mono: float, wall: float) -> Stream:  # noqa: A002  # the field
        """A new stream of the same machines, counting from 1."""
        same = Stream(id, mono, wall)
        same._declared = self._declared
        return same

    # Rendering ------------------------------------------------------------------------------

    def render(self, told: Kept) -> tuple[Record, ...]:
        """The records of a step, in order."""
        if isinstance(told, Traced):
            records = self.render(told.step)
            for record in records:
                record["trace_id"], record["span_id"] = told.trace_id, told.span_id
            return records
        step = made(told)
        seq, id_seq = self._number(step)
        match step:
            case BreakerStep():
                return (self._breaker_record(step, seq, id_seq),)
            case AttemptStep():
                return self._attempt_records(step, seq, id_seq)
            case StreamStep():
                return (self._stream_record(step, seq, id_seq),)
            case ChainStep():
                return (self._chain_record(step, seq, id_seq),)
            case _:
                assert_never(step)

    def pass_over(self, steps: Iterable[Kept]) -> None:
        """Count steps that nobody will read."""
        passed = 0
        for told in steps:
            step = told.step if isinstance(told, Traced) else told
            kind = type(step)
            if kind is tuple or kind is AttemptStep:  # a straight call's, most of all
                passed += 2
            elif isinstance(step, BreakerStep):
                self._seq += passed
                passed = 0
                self._number(step)
            else:
                passed += 1
        self._seq += passed

    def dropped(self, count: int, at: float) -> Record:
        """The record that stands for `count` steps the log had no room for."""
        self._seq += 1
        id_seq = self._next_of((AUDIT_MACHINE, AUDIT_MACHINE))
        return self._record(
            seq=self._seq,
            mono=at,
            machine=AUDIT_MACHINE,
            id=AUDIT_MACHINE,
            id_seq=id_seq,
            trigger=DROPPED,
            facts={"count": count},
        )

    def _breaker_record(self, step: BreakerStep, seq: int, id_seq: int) -> Record:
        known = self._declaration(BREAKER_MACHINE, step.breaker)
        notes = None if step.row is None else known.notes[step.row]
        return self._record(
            seq=seq,
            mono=step.at,
            machine=BREAKER_MACHINE,
            digest=known.digest,
            id=step.breaker,
            id_seq=id_seq,
            row=None if notes is None else notes.id,
            trigger=step.trigger,
            source=step.source.value,
            target=step.target.value,
            verdict=step.verdict,
            guards=() if notes is None else notes.guards,
            because=step.because,
            facts=step.facts,
            generation=step.generation,
            lease=step.lease,
            fault=step.fault,
            actor=step.actor,
            reason=step.reason,
        )

    def _attempt_records(self, step: AttemptStep, seq: int, id_seq: int) -> tuple[Record, Record]:
        # The row that ended the attempt may have gone on to the next candidate; at the offer this
        # one was still to be tried.
        left = step.left + ("go_on" in step.row.actions)
        known = self._declaration(CHAIN_MACHINE, step.chain)
        offer = self._row_record(step, _offer(known.table), step.offered_at, seq, id_seq, left=left)
        end = self._row_record(
            step, step.row, step.at, seq + 1, id_seq + 1, step.because, step.fault, left=step.left
        )
        for record in (offer, end):
            _name_attempt(record, step)
        return offer, end

    def _stream_record(self, step: StreamStep, seq: int, id_seq: int) -> Record:
        record = self._row_record(
            step, step.row, step.at, seq, id_seq, step.because, step.fault, left=step.left
        )
        _name_attempt(record, step)
        return record

    def _chain_record(self, step: ChainStep, seq: int, id_seq: int) -> Record:
        record = self._row_record(
            step, step.row, step.at, seq, id_seq, step.because, step.fault, left=step.left
        )
        record["reason"] = step.reason
        return record

    def _row_record(
        self,
        step: AttemptStep | StreamStep | ChainStep,
        row: Row,
        at: float,
        seq: int,
        id_seq: int,
        because: Facts = _NOTHING,
        fault: Fault | None = None,
        *,
        left: int,
    ) -> Record:
        known = self._declaration(CHAIN_MACHINE, step.chain)
        notes = known.notes[row]
        call_id = f"{step.chain}#{step.call}"
        return self._record(
            seq=seq,
            mono=at,
            machine=CHAIN_MACHINE,
            digest=known.digest,
            id=call_id,
            id_seq=id_seq,
            row=notes.id,
            trigger=row.trigger,
            source=notes.source,
            target=notes.target,
            verdict=notes.verdict,
            guards=notes.guards,
            because=because,
            facts={"left": left},
            call_id=call_id,
            provider=step.provider,
            fault=fault,
        )

    def _record(
        self,
        *,
        seq: int,
        mono: float,
        machine: str,
        id: str,  # noqa: A002  # the field's name
        id_seq: int,
        trigger: str,
        digest: str | None = None,
        row: str | None = None,
        source: str | None = None,
        target: str | None = None,
        verdict: str | None = None,
        guards: tuple[tuple[str, bool], ...] = (),
        because: Facts = _NOTHING,
        facts: Facts = _NOTHING,
        generation: int | None = None,
        lease: int | None = None,
        call_id: str | None = None,
        attempt: int | None = None,
        provider: str | None = None,
        fault: Fault | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Record:
        return {
            "v": SCHEMA_VERSION,
            "stream": self.id,
            "seq": seq,
            "ts": self._timestamp(mono),
            "mono": mono if math.isfinite(mono) else None,
            "machine": machine,
            "digest": digest,
            "id": id,
            "id_seq": id_seq,
            "row": row,
            "trigger": trigger,
            "from": source,
            "to": target,
            "verdict": verdict,
            "guards": [list(guard) for guard in guards],
            "because": _strict(because),
            "facts": _strict(facts),
            "generation": generation,
            "lease": lease,
            "call_id": call_id,
            "attempt": attempt,
            "provider": provider,
            "fault": None if fault is None else fault.kind.value,
            "actor": actor,
            "reason": reason,
            "trace_id": None,
            "span_id": None,
            "prev": None,
        }

    # Mechanism ------------------------------------------------------------------------------

    def _declaration(self, kind: str, name: str) -> Declaration:
        return self._declared.get((kind, name)) or _undeclared(kind)

    def _number(self, step: Step) -> tuple[int, int]:
        """Take the numbers of a step's first record: in the stream, and of its machine."""
        records = 2 if isinstance(step, AttemptStep) else 1
        seq = self._seq + 1
        self._seq += records
        if isinstance(step, BreakerStep):
            return seq, self._next_of((BREAKER_MACHINE, step.breaker))
        return seq, step.before + 1

    def _next_of(self, machine: tuple[str, str]) -> int:
        number = self._machines.get(machine, 0) + 1
        self._machines[machine] = number
        return number

    def _timestamp(self, at: float) -> str | None:
        """RFC 3339 in UTC; None for an instant it does not know."""
        moment = self.wall + (at - self.mono)
        if not 0 <= moment < _YEAR_10000:  # undefined is in no bounds
            return None
        seconds, micros = divmod(round(moment * 1_000_000), 1_000_000)
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micros:06d}Z"


def _name_attempt(record: Record, step: AttemptStep | StreamStep) -> None:
    record["generation"] = step.generation
    record["lease"] = step.lease
    record["attempt"] = step.attempt


def _strict(facts: Facts) -> dict[str, Value]:
    """Facts as JSON knows them: an infinite or undefined number is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in facts.items()
    }
