"""What happened: frozen records for sinks. Nothing here decides anything.

A machine hands each record to its `record` callable inside the critical section that made it, so
that the order of the records is the order of the facts. Sinks (audit log, listeners, metrics) read
them later and off the lock. Times are the clock's seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal, NamedTuple

import attrs

from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.table import Row

Facts = Mapping[str, float | str | bool | None]
"""Measured values by name: what guards compared, or how a machine stands."""

Verdict = Literal["moved", "stayed", "refused", "late"]


class BreakerStep(NamedTuple):
    """One firing of a breaker, or one outcome that came too late to fire anything.

    `row` is None for a late outcome and for `restore`, which no row declares; `because` holds what
    the guards compared, `facts` how the breaker stands afterwards; `generation` is the lease's, or
    without a lease the breaker's.
    """

    breaker: str
    at: float
    trigger: str
    row: Row | None
    source: Enum
    target: Enum
    verdict: Verdict
    because: Facts
    facts: Facts
    generation: int
    lease: int | None
    fault: Fault | None
    actor: str | None = None
    reason: str | None = None


class AttemptStep(NamedTuple):
    """One whole attempt of a chain: the offer that began it and the row that ended it.

    The row of a stream is the one that committed it; its end is a `StreamStep`. It is two records;
    `before` is how many the call had before.
    """

    chain: str
    call: int
    offered_at: float
    at: float
    row: Row
    attempt: int
    provider: str
    generation: int
    lease: int
    fault: Fault | None
    because: Facts
    left: int
    before: int


class StreamStep(NamedTuple):
    """The end of an attempt whose stream was handed over: its own step is told by `AttemptStep`.

    One record; `before` as above.
    """

    chain: str
    call: int
    at: float
    row: Row
    attempt: int
    provider: str
    generation: int
    lease: int
    fault: Fault | None
    because: Facts
    left: int
    before: int


class ChainStep(NamedTuple):
    """Any other firing of a chain: a skip, or an end outside an attempt. `before` as above."""

    chain: str
    call: int
    at: float
    row: Row
    provider: str | None
    fault: Fault | None
    reason: str | None
    because: Facts
    left: int
    before: int


@attrs.frozen
class Answered:
    """What the calls have in common that one candidate answered at the first attempt.

    Called with what is a call's own, it makes the step; most of those are never read.
    """

    chain: str
    provider: str
    row: Row
    left: int
    before: int

    def __call__(
        self, call: int, offered_at: float, at: float, generation: int, lease: int
    ) -> AttemptStep:
        """The step of one call."""
        return AttemptStep(
            chain=self.chain,
            call=call,
            offered_at=offered_at,
            at=at,
            row=self.row,
            attempt=1,
            provider=self.provider,
            generation=generation,
            lease=lease,
            fault=None,
            because={},
            left=self.left,
            before=self.before,
        )


Step = BreakerStep | AttemptStep | StreamStep | ChainStep

PutOff = tuple[Answered, int, float, float, int, int]
"""A step that is made when somebody reads it: `Answered`, and what to call it with."""


class Traced(NamedTuple):
    """A step of a call that is traced, and the span it was recorded in, as `traceparent` has it."""

    step: Step
    trace_id: str
    span_id: str


Kept = Step | PutOff | Traced
"""What a log keeps until it is read."""


def made(step: Step | PutOff) -> Step:
    """The step itself, made now if that was put off."""
    if isinstance(step, (BreakerStep, AttemptStep, StreamStep, ChainStep)):
        return step
    answered, call, offered_at, at, generation, lease = step
    return answered(call, offered_at, at, generation, lease)
