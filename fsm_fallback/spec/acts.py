"""What properties look at: one thing done to one machine, and how it stood before and after.

An act is made by whoever drives the machine (the explorer, a Hypothesis machine, a log) and judged
by properties. Beside what the machine says of itself it carries what a bystander with a notebook
knows: the outcomes of this generation, when it began, which calls hang. Properties compare the two,
so that a machine cannot vouch for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.outcome import Fault

if TYPE_CHECKING:
    from fsm_fallback.core.breaker import Breaker
    from fsm_fallback.core.events import BreakerStep
    from fsm_fallback.core.lease import Lease, Refusal
    from fsm_fallback.core.parameters import BreakerConfig
    from fsm_fallback.core.table import Row


class Outcome(NamedTuple):
    """How a call came back, as a bystander notes it."""

    failed: bool
    slow: bool


class BreakerStanding(NamedTuple):
    """How a breaker stands, by its own account.

    `probes` are those out; `round_calls`, `round_failures` and `round_slow_calls` came back in this
    round; `failures_in_a_row` is the run that the next failure would lengthen.
    """

    state: BreakerState
    generation: int
    calls: int
    failures: int
    slow_calls: int
    failures_in_a_row: int
    probes: int
    round_calls: int
    round_failures: int
    round_slow_calls: int
    open_until: float | None
    step: int
    holds: int
    cause: Fault | None
    in_flight: int
    not_permitted: int


def standing_of(breaker: Breaker, now: float) -> BreakerStanding:
    """How a breaker stands at a time; reading changes nothing."""
    tally = breaker.current.tally(now)
    probing = breaker.round
    return BreakerStanding(
        breaker.state,
        breaker.generation,
        tally.calls,
        tally.failures,
        tally.slow_calls,
        breaker.current.failures_in_a_row,
        len(probing.probes),
        probing.calls,
        probing.failures,
        probing.slow_calls,
        breaker.open_until,
        breaker.step,
        breaker.holds,
        breaker.cause,
        breaker.in_flight,
        breaker.not_permitted,
    )


class LeaseStanding(NamedTuple):
    """How a lease stood before it was settled. `duration`: fixed by a first output; else None."""

    number: int
    generation: int
    admitted_at: float
    deadline: float | None
    duration: float | None
    settled: bool


def lease_standing(lease: Lease) -> LeaseStanding:
    """How a lease stands."""
    return LeaseStanding(
        lease.number,
        lease.generation,
        lease.admitted_at,
        lease.deadline,
        lease.duration,
        lease.settled,
    )


class BreakerAct(NamedTuple):
    """One trigger given to a breaker.

    Attributes:
        breaker: Its name.
        trigger: What it was told, or `"begin_output"`, which no row declares.
        now: When, in the clock's seconds.
        config: Its parameters.
        before: How it stood.
        after: How it stands.
        lease: The lease that came back, as it stood before; None where none did.
        returned: The same lease as it stands now.
        granted: The lease that was given, as it stands; None where none was.
        refusal: The word for a caller who was refused; None where none was.
        foreseen: What `would_admit` said just before an `admit`; None if nobody asked.
        named: Until when a `hold` was named; None for other triggers.
        fault: The fault that came with it.
        by_hand: Whether an operator spoke.
        outcomes: The notebook: what came back in this generation before, oldest first.
        hanging: The notebook: how many other calls of this generation are slow already.
        deadlines: The notebook: when the probes that are out are overdue.
        since: The notebook: when this generation began.
        took: The notebook: how long the call took, up to its first output if it had one.
        last_fault: The notebook: the fault of the latest failure of this generation.
        records: What was recorded.
    """

    breaker: str
    trigger: str
    now: float
    config: BreakerConfig
    before: BreakerStanding
    after: BreakerStanding
    lease: LeaseStanding | None
    returned: LeaseStanding | None
    granted: LeaseStanding | None
    refusal: Refusal | None
    foreseen: bool | None
    named: float | None
    fault: Fault | None
    by_hand: bool
    outcomes: tuple[Outcome, ...]
    hanging: int
    deadlines: tuple[float, ...]
    since: float
    took: float
    last_fault: Fault | None
    records: tuple[BreakerStep, ...]

    @property
    def of(self) -> str:
        """The kind of machine it was done to."""
        return "breaker"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that fired."""
        return tuple(step.row for step in self.records if step.row is not None)

    @property
    def moved(self) -> bool:
        """Whether a transition was made, CLOSED to CLOSED by `reset` included."""
        return self.before.state is not self.after.state or self.trigger == "reset"

    @property
    def in_time(self) -> bool:
        """Whether an unsettled lease of this generation came back."""
        lease = self.lease
        return (
            lease is not None and not lease.settled and lease.generation == self.before.generation
        )

    @property
    def late(self) -> bool:
        """Whether an unsettled lease of an older generation came back."""
        lease = self.lease
        return (
            lease is not None and not lease.settled and lease.generation != self.before.generation
        )

    @property
    def is_slow(self) -> bool:
        """Whether the call that came back was slow."""
        limit = self.config.slow_call_duration
        return limit is not None and self.lease is not None and self.took >= limit

    @property
    def outcome(self) -> Outcome:
        """What came back, for the notebook."""
        return Outcome(failed=self.trigger == "fail", slow=self.is_slow)
