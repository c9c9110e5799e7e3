"""The model of the machine `CHAIN`: what a call remembers, its guards and its actions.

Guards compare the facts that were measured before a row was chosen; actions change the model alone.
`core.chain_measures` measures; `core.chain` fires and records.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.chain_rows import ChainState, S
from fsm_fallback.core.events import Facts
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.metrics import cost_of
from fsm_fallback.core.outcome import FailOver, Fault, Outcome
from fsm_fallback.core.rules import PLAIN, Rules
from fsm_fallback.core.trail import Attempt, Candidate, Skip, Trail, failure, total_cost
from fsm_fallback.errors import (
    AllProvidersFailed,
    ChainFailed,
    DeadlineExceeded,
    RequestRejected,
    StreamInterrupted,
)

if TYPE_CHECKING:
    from decimal import Decimal

NOTHING: Final[Facts] = {}
NO_ONE_ELSE: Final = FailOver.NO.value
A_LARGER_ONE: Final = FailOver.LARGER_WINDOW.value

_PROBING: Final = BreakerState.HALF_OPEN.value

Attempted = tuple[
    str,
    int,
    Fault | None,
    Exception | None,
    float,
    float,
    float | None,
    Any,
    Trail,
    float | None,
    "Decimal | None",
]
"""An `Attempt` to be: most trails are never read, and a frozen record takes five times as long."""

Skipped = tuple[str, Refusal]
"""A `Skip` to be: whom, and why its breaker refused."""

Note = Attempted | Skipped | Skip


class ChainModel:
    """What a call remembers, and how that changes.

    One is made for each call, so what most calls never touch is a default of the class, not a store
    of the constructor.
    """

    state: ChainState = S.SELECTING
    facts: Facts = NOTHING
    now: float = 0.0
    position: int = 0
    attempts: int = 0
    lease: Lease | None = None
    notes: tuple[Note, ...] = ()
    error: ChainFailed | None = None
    needs_larger_than: int | None = None
    rules: Rules = PLAIN

    # Waiting.
    wake_at: float = 0.0
    budgeted: bool = False  # whether this call has a place in the budget of retries

    # Streams: what is held back, when the attempt gave output and last spoke, whose output the
    # caller has seen last.
    is_open: bool = False
    held: int = 0
    held_bytes: int = 0
    output_at: float | None = None
    spoke_at: float = 0.0
    taken: float = 0.0  # seconds the consumer took before there was output
    seen_of: str | None = None

    # What the answer, or the inner chain, told of the attempt.
    usage: Any = None
    inner: Trail = ()

    # The report being taken; only actions read it.
    _fault: Fault | None = None
    _error: Exception | None = None
    _skip: Skip | Skipped | None = None

    name: str
    call: int
    candidates: tuple[Candidate | Skip, ...]
    started_at: float

    # Guards ---------------------------------------------------------------------------------

    def may_wait(self) -> bool:
        """A breaker admits in time, and the chain is one that waits."""
        facts: Any = self.facts
        return bool(facts["waits"]) and facts["reopens"] < facts["deadline"]

    def handed_over(self) -> bool:
        """Output of a stream that broke has been handed over."""
        return bool(self.facts["handed_over"])

    def spoilt(self) -> bool:
        """No other provider would help, and the caller has seen output."""
        return bool(self.facts["handed_over"]) and self.rejected()

    def rejected(self) -> bool:
        """No other provider would help."""
        fail_over = self.facts["fail_over"]
        return fail_over == NO_ONE_ELSE or (
            fail_over == A_LARGER_ONE and self.facts["larger_left"] == 0
        )

    def retryable(self) -> bool:
        """The same provider is worth another try, which begins in time and is admitted."""
        facts: Any = self.facts
        return bool(
            facts["tries_left"] > 0
            and facts["wait"] <= facts["longest"]
            and facts["wait"] < facts["left"]
            and facts["budget"]
        )

    def restartable(self) -> bool:
        """The caller takes a fresh stream, and another provider may give one."""
        return self.facts["policy"] == "restart" and not self.rejected()

    # Actions --------------------------------------------------------------------------------

    def begin_attempt(self) -> None:
        """Number the attempt."""
        self.attempts += 1

    def note_skip(self) -> None:
        """Put the skip on the trail and go to the next candidate."""
        if self._skip is not None:
            self.notes = (*self.notes, self._skip)
        self.position += 1

    def note_attempt(self) -> None:
        """Put the attempt on the trail."""
        self.notes = (*self.notes, self.attempted())
        if self.inner or self.usage is not None:
            self.inner, self.usage = (), None

    def go_on(self) -> None:
        """Go to the next candidate, and remember what it must have."""
        if self.facts["fail_over"] == A_LARGER_ONE:
            self.needs_larger_than = self.candidate.context_window
        self.position += 1

    def hand_over(self) -> None:
        """From here on the caller sees what comes."""
        self.seen_of = self.candidate.name

    def plan_retry(self) -> None:
        """Come back to the same candidate after the wait."""
        wait: Any = self.facts["wait"]
        self.wake_at = self.now + wait
        self.budgeted = True

    def plan_reopening(self) -> None:
        """Come back to those whose breakers refused, and to nobody else."""
        reopens: Any = self.facts["reopens"]
        self.wake_at = reopens
        self.candidates = self.refused()
        self.position = 0

    def give_up(self) -> None:
        """Make the error that holds everything that went wrong."""
        trail = self.trail
        count = len({item.provider for item in trail})
        if not self.attempts:
            what = "no provider could be asked"
        else:
            what = "the only provider failed" if count == 1 else f"all {count} providers failed"
        self.error = failure(AllProvidersFailed, what, trail, self.now)

    def reject(self) -> None:
        """Make the error that says the request is at fault."""
        what = "no other provider would help"
        self.error = failure(RequestRejected, what, self.trail, self.now)

    def run_out(self) -> None:
        """Make the error that says time is over."""
        took = self.now - self.started_at
        what = f"no provider answered within the deadline ({took:g} s)"
        stand_in = TimeoutError(what)
        self.error = failure(DeadlineExceeded, what, self.trail, self.now, stand_in=stand_in)

    def interrupt(self) -> None:
        """Make the error that says a stream broke that the caller had seen."""
        what = f"the stream of {self.seen_of!r} broke after output had been handed over"
        if "deadline" in self.facts and "had" in self.facts:
            what = f"the deadline passed before the stream of {self.seen_of!r} had ended"
        self.error = failure(StreamInterrupted, what, self.trail, self.now)

    # Reading --------------------------------------------------------------------------------

    @property
    def candidate(self) -> Candidate:
        """The candidate whose turn it is.

        Raises:
            IndexError: After the last one.
        """
        candidate = self.candidates[self.position]
        if isinstance(candidate, Skip):
            raise TypeError(f"candidate {candidate.provider!r} was ruled out; it has no turn")
        return candidate

    @property
    def trail(self) -> Trail:
        """All attempts and skips so far, in order."""
        notes = (*self.notes, self.attempted()) if self.state is S.SUCCEEDED else self.notes
        return tuple(map(_noted, notes))

    @property
    def offered_at(self) -> float:
        """When the attempt was admitted."""
        return self.started_at if self.lease is None else self.lease.admitted_at

    def attempted(self) -> Attempted:
        """The attempt as it stands."""
        candidate: Any = self.candidates[self.position]
        began = self.offered_at
        took = self.now - began
        first = None if self.output_at is None else max(0.0, self.output_at - began)
        return (
            candidate.name,
            self.attempts,
            self._fault,
            self._error,
            began,
            took if took > 0 else 0.0,
            first,
            self.usage,
            self.inner,
            self._held_until(candidate),
            self._cost(candidate),
        )

    def _cost(self, candidate: Candidate) -> Decimal | None:
        """What the attempt cost: its tokens at the price of its provider, or the sum of inside."""
        if self.inner:
            return total_cost(self.inner)
        return None if self.usage is None else cost_of(candidate.info.price, self.usage)

    def _held_until(self, candidate: Candidate) -> float | None:
        if self._fault is None or self._fault.outcome is not Outcome.HOLD:
            return None
        opens = candidate.opens_at(self.now)
        return opens if self.now < opens < math.inf else None

    def tries_of(self, name: str) -> int:
        """How often a candidate has been called, the attempt that is out not counted."""
        return sum(1 for note in self.notes if _is_attempt(note) and note[0] == name)

    def latest_of(self, name: str) -> Attempted:
        """The latest attempt of a candidate that has been called."""
        return next(each for each in reversed(self.notes) if _is_attempt(each) and each[0] == name)

    def refused(self) -> tuple[Candidate, ...]:
        """The candidates that were never called because their breakers refused, in order."""
        called = {_provider_of(note) for note in self.notes if not _is_refusal(note)}
        return tuple(
            each
            for each in self.candidates
            if not isinstance(each, Skip) and each.name not in called and self.fits(each)
        )

    def fits(self, candidate: Candidate) -> bool:
        """Whether its window is as large as a provider that failed has shown to be needed."""
        needed, window = self.needs_larger_than, candidate.context_window
        return needed is None or (window is not None and window > needed)

    def reopens(self, poll: float) -> float:
        """When the first of the breakers that refused may admit; infinite if nobody knows.

        One that is probing names no time; it is asked again after `poll` seconds.
        """
        latest = {note[0]: note[1] for note in self.notes if _is_refusal(note)}
        soonest = math.inf
        for each in self.refused():
            refusal = latest[each.name]
            if refusal.until is not None:
                soonest = min(soonest, max(refusal.until, self.now))
            elif refusal.state == _PROBING:
                soonest = min(soonest, self.now + poll)
        return soonest


def passed_over(note: Note) -> tuple[str, str]:
    """Whom a note passes over and why: the reason of a skip, or the kind of the fault."""
    if isinstance(note, Skip):
        return note.provider, note.reason
    if len(note) == 2:  # noqa: PLR2004  # as in _noted
        return note[0], note[1].state
    fault = note[2]
    return note[0], "" if fault is None else fault.kind.value


def _noted(note: Note) -> Attempt | Skip:
    if isinstance(note, Skip):
        return note
    if len(note) == 2:  # noqa: PLR2004  # what tells the two apart, for a checker, too
        name, refusal = note
        return Skip(name, *refusal)
    return Attempt(*note)


def _provider_of(note: Note) -> str:
    return note.provider if isinstance(note, Skip) else note[0]


def _is_refusal(note: Note) -> TypeGuard[Skipped]:
    return not isinstance(note, Skip) and len(note) == 2  # noqa: PLR2004  # as in _noted


def _is_attempt(note: Note) -> TypeGuard[Attempted]:
    return not isinstance(note, Skip) and len(note) > 2  # noqa: PLR2004  # as in _noted
