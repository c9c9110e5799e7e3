"""One report made to a chain, with what a bystander of the call knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fsm_fallback.core.chain import FINAL, Chain, ChainState
from fsm_fallback.core.commands import Command
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.trail import Candidate, Skip, Trail

if TYPE_CHECKING:
    from fsm_fallback.core.events import AttemptStep, ChainStep
    from fsm_fallback.core.table import Row


class ChainStanding(NamedTuple):
    """How a chain stands, by its own account."""

    state: ChainState
    attempts: int
    trail: Trail

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.state in FINAL


def chain_standing(chain: Chain) -> ChainStanding:
    """How a chain stands."""
    return ChainStanding(chain.state, chain.attempts, chain.trail)


class ChainAct(NamedTuple):
    """One report made to a chain, and what it asks for now.

    Attributes:
        chain: Its name.
        call: The number of the call.
        trigger: The report: `"begin"`, `"admission"`, `"answer"`, `"fault"`, `"time_out"` or
            `"abandon"`.
        now: When, in the clock's seconds.
        before: How it stood.
        after: How it stands.
        command: What it asks for now; None where it was told that the caller left.
        candidates: Whom to ask, in order; a `Skip` for one that was ruled out.
        deadline: When the call ends; None for never.
        attempt_timeout: Seconds one attempt may take; None for no limit.
        started_at: When the call began.
        candidate: Whose turn it was; None at the beginning.
        granted: What the breaker said, in an admission.
        lease: The lease of the attempt that came back.
        fault: Why it failed, as reported.
        settled_with: What the lease is settled with, as the chain says.
        needs_larger_than: The notebook: the window that was too small; None where none was.
        trail: The notebook: every attempt and every skip, this report's among them, but not those
            that follow from it.
        offer: The row that offered the candidate, which is recorded with the end of its attempt.
        refuses: Whether a chain that is final refused every trigger there is.
        records: What was recorded.
    """

    chain: str
    call: int
    trigger: str
    now: float
    before: ChainStanding
    after: ChainStanding
    command: Command | None
    candidates: tuple[Candidate | Skip, ...]
    deadline: float | None
    attempt_timeout: float | None
    started_at: float
    candidate: Candidate | None
    granted: Lease | Refusal | None
    lease: Lease | None
    fault: Fault | None
    settled_with: Fault | None
    needs_larger_than: int | None
    trail: Trail
    offer: Row | None
    refuses: bool
    records: tuple[AttemptStep | ChainStep, ...]

    @property
    def of(self) -> str:
        """The kind of machine it was reported to."""
        return "chain"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that fired."""
        fired = tuple(step.row for step in self.records)
        return fired if self.offer is None else (self.offer, *fired)

    @property
    def is_late(self) -> bool:
        """Whether the deadline is over."""
        return self.deadline is not None and self.now >= self.deadline
