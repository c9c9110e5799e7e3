"""One report made to a chain, with what a bystander of the call knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import FINAL, ChainState
from fsm_fallback.core.commands import Command
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.rules import Rules
from fsm_fallback.core.trail import Candidate, Skip, Trail

if TYPE_CHECKING:
    from fsm_fallback.core.chain import ChainEvent
    from fsm_fallback.core.table import Row


class ChainStanding(NamedTuple):
    """How a chain stands, by its own account."""

    state: ChainState
    attempts: int
    trail: Trail
    budgeted: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.state in FINAL


def chain_standing(chain: Chain) -> ChainStanding:
    """How a chain stands."""
    return ChainStanding(chain.state, chain.attempts, chain.trail, chain.budgeted)


class StreamNotes(NamedTuple):
    """What a bystander knows of the stream of one attempt.

    Attributes:
        held: How many items are held back.
        output_at: When its first output came; None while none did.
        spoke_at: When its latest item came.
    """

    held: int = 0
    output_at: float | None = None
    spoke_at: float = 0.0


class ChainAct(NamedTuple):
    """One report made to a chain, and what it asks for now.

    Attributes:
        chain: Its name.
        call: The number of the call.
        trigger: The report: `"begin"`, `"admission"`, `"answer"`, `"opened"`, `"item"`, `"finish"`,
            `"next"`, `"fault"`, `"time_out"`, `"elapse"` or `"abandon"`.
        now: When, in the clock's seconds.
        before: How it stood.
        after: How it stands.
        command: What it asks for now; None where it was told that the caller left.
        candidates: Whom to ask, in order; a `Skip` for one that was ruled out.
        line: The notebook: who is still to be asked, in order; whose turn it is, first, as long as
            it may be asked again.
        rules: What the call is decided by.
        opens: When each breaker may admit, as it says itself.
        has_place: Whether the budget has a place for a retry.
        places: How many places were taken in this report, those given back subtracted.
        deadline: When the call ends; None for never.
        attempt_timeout: Seconds one attempt may take; None for no limit.
        started_at: When the call began.
        candidate: Whose turn it was; None at the beginning.
        granted: What the breaker said, in an admission.
        lease: The lease of the attempt that came back.
        fault: Why it failed, as reported.
        settled_with: What the lease is settled with, as the chain says.
        output: Whether an item carried output; of an end, whether it was complete.
        stream: The notebook: how the stream of the attempt stands.
        seen_of: The notebook: whose output the caller has seen last.
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
    line: tuple[Candidate | Skip, ...]
    rules: Rules
    opens: Mapping[str, float]
    has_place: bool
    places: int
    deadline: float | None
    attempt_timeout: float | None
    started_at: float
    candidate: Candidate | None
    granted: Lease | Refusal | None
    lease: Lease | None
    fault: Fault | None
    settled_with: Fault | None
    output: bool | None
    stream: StreamNotes
    seen_of: str | None
    needs_larger_than: int | None
    trail: Trail
    offer: Row | None
    refuses: bool
    records: tuple[ChainEvent, ...]

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
