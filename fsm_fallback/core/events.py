"""What happened: frozen records for sinks. Nothing here decides anything.

A machine hands each record to its `record` callable inside the critical section that made it, so
that the order of the records is the order of the facts. Sinks (audit log, listeners, metrics) read
them later and off the lock. Times are the clock's seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal, NamedTuple

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
    """One whole attempt of a chain: the offer that began it and the row that ended it."""

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


class ChainStep(NamedTuple):
    """Any other firing of a chain: a skip, or an end outside an attempt."""

    chain: str
    call: int
    at: float
    row: Row
    provider: str | None
    fault: Fault | None
    reason: str | None
    because: Facts
    left: int


Step = BreakerStep | AttemptStep | ChainStep
