"""The walk along a chain of providers: one `Chain` per call, driven by commands.

Rules
-----
1. Everything that decides is a row of `CHAIN`. A driver does what `next` asks and reports what came
   of it; a report that the table does not know in this state raises `MachineError`: the driver has
   a bug, and hears of it.
2. A candidate is called only on a lease from its breaker, and each at most once per walk. There is
   no way to call an open breaker.
3. Every attempt and every skip is in the trail, in order, with the original exception object.
4. One final state, and nothing is called after it.

Pure: `now` is an argument. It knows nothing of requests, answers, threads or event loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, ClassVar, Final

from fsm_fallback.core.commands import Admit, Call, Command, Raise, Return
from fsm_fallback.core.compiled import CompiledEvent
from fsm_fallback.core.events import AttemptStep, ChainStep, Facts
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import KINDS, FailOver, Fault, FaultKind
from fsm_fallback.core.table import STAY, Row, Table, TableMachine, machine_of
from fsm_fallback.core.trail import Attempt, Candidate, Skip, Trail, failure
from fsm_fallback.errors import (
    AllProvidersFailed,
    ChainFailed,
    DeadlineExceeded,
    RequestRejected,
)


class ChainState(Enum):
    """Where a call stands."""

    __hash__ = object.__hash__

    SELECTING = "selecting"
    CALLING = "calling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"


S: Final = ChainState
FINAL: Final = frozenset({S.SUCCEEDED, S.FAILED, S.REJECTED, S.ABANDONED})

# fmt: off
# ruff: noqa: E501, SLF001  # rows are lines; the table of commands names private methods
CHAIN: Final = Table("chain", initial=S.SELECTING, final=FINAL, rows=(
    # A candidate's breaker granted a lease, or did not.
    Row("offer",   S.SELECTING, None,       S.CALLING,   "begin_attempt",        "only a lease lets us call"),
    Row("skip",    S.SELECTING, None,       STAY,        "note_skip",            "not called: the next candidate may be"),
    Row("exhaust", S.SELECTING, None,       S.FAILED,    "give_up",              "nobody is left to ask"),
    # The candidate came back.
    Row("answer",  S.CALLING,   None,       S.SUCCEEDED, "",                     "one answer is enough; the driver holds it"),
    Row("fault",   S.CALLING,   "rejected", S.REJECTED,  "note_attempt reject",  "no other provider would help"),
    Row("fault",   S.CALLING,   None,       S.SELECTING, "note_attempt go_on",   "another provider may"),
    # Time ran out.
    Row("expire",  S.SELECTING, None,       S.FAILED,    "run_out",              "no time to ask anyone"),
    Row("expire",  S.CALLING,   None,       S.FAILED,    "note_attempt run_out", "the attempt is cut, and told"),
    # The caller left: cancelled, interrupted.
    Row("abandon", S.SELECTING, None,       S.ABANDONED, "",                     "nobody waits for an answer"),
    Row("abandon", S.CALLING,   None,       S.ABANDONED, "",                     "nobody waits for an answer"),
), illegal=frozenset({
    # Nothing is out to come back.
    (S.SELECTING, "answer"), (S.SELECTING, "fault"),
    # One candidate at a time.
    (S.CALLING, "offer"), (S.CALLING, "skip"), (S.CALLING, "exhaust"),
    # A final state is final.
    *((state, trigger) for state in FINAL for trigger in (
        "offer", "skip", "exhaust", "answer", "fault", "expire", "abandon",
    )),
}), words={
    "rejected": "the fault is the request's, or it needs a larger context window and none is left",
})
# fmt: on

_NOTHING: Final[Facts] = {}
_RETURN: Final = Return()
_TIMEOUT: Final = FaultKind.TIMEOUT
_LARGER_WINDOW: Final = FailOver.LARGER_WINDOW
_new = tuple.__new__

# What a fault says to the guards, by kind; how many larger windows are left is the chain's to say.
_FAULT_FACTS: Final[Mapping[FaultKind, Facts]] = {
    kind: {"fault": kind.value, "fail_over": row.fail_over.value, "larger_left": 0}
    for kind, row in KINDS.items()
}
_NO_ONE_ELSE: Final = FailOver.NO.value
_A_LARGER_ONE: Final = FailOver.LARGER_WINDOW.value


_Attempted = tuple[str, int, Fault | None, Exception | None, float, float]
"""An `Attempt` to be: most trails are never read, and a frozen record takes five times as long."""

_Skipped = tuple[str, Refusal]
"""A `Skip` to be: whom, and why its breaker refused."""

_Note = _Attempted | _Skipped | Skip


class Chain:
    """One call on its way: a model of the machine `CHAIN`.

    Every report answers the next command. One chain is made for each call, so what most calls never
    touch is a default of the class, not a store of the constructor.

    Args:
        name: The chain's name in records.
        call: The call's number in that chain.
        candidates: Whom to ask, in order; a `Skip` stands for one the strategy ruled out.
        deadline: When the call ends, in the clock's seconds; None for never.
        attempt_timeout: Seconds one attempt may take; None for no limit. With a deadline, the last
            candidate gets what is left of it.
        started_at: The clock's seconds at the beginning.
        record: Gets a record of every firing, in order.
    """

    table: ClassVar[Table] = CHAIN
    machine: ClassVar[TableMachine]

    state: ChainState = S.SELECTING
    facts: Facts = _NOTHING
    now: float = 0.0
    position: int = 0
    attempts: int = 0
    told: int = 0  # records so far
    lease: Lease | None = None
    notes: tuple[_Note, ...] = ()
    error: ChainFailed | None = None
    needs_larger_than: int | None = None

    # The report being taken; only actions read it.
    _fault: Fault | None = None
    _error: Exception | None = None
    _skip: Skip | _Skipped | None = None

    def __init__(
        self,
        name: str,
        call: int,
        candidates: tuple[Candidate | Skip, ...],
        deadline: float | None = None,
        attempt_timeout: float | None = None,
        started_at: float = 0.0,
        record: Callable[[AttemptStep | ChainStep], None] | None = None,
    ) -> None:
        self.name = name
        self.call = call
        self.candidates = candidates
        self.deadline = deadline
        self.attempt_timeout = attempt_timeout
        self.started_at = started_at
        self.record = record

    def next(self, now: float) -> Command:
        """What the driver has to do now."""
        self.now = now
        return _COMMANDS[self.state](self)

    # Reports --------------------------------------------------------------------------------

    def offered(self, lease: Lease, now: float) -> None:
        """The candidate's breaker granted a lease, and the driver has called the candidate."""
        self.now = now
        self.lease = lease
        self._offer()

    def admission(self, granted: Lease | Refusal, now: float) -> Command:
        """What the candidate's breaker said: an offer, or a skip."""
        self.now = now
        if isinstance(granted, Refusal):
            name = self.candidate.name
            self._skip = (name, granted)
            self.facts = {"until": granted.until}
            self._fire(SKIP, name, granted.cause, granted.state)
            return self._select()
        self.lease = granted
        self._offer()
        return self._call()

    def answer(self, now: float) -> Command:
        """The candidate answered."""
        self.now = now
        self.facts = _NOTHING
        if self._fault is not None:
            self._fault = self._error = None
        self._end_attempt(ANSWER)
        return _RETURN

    def fault(self, fault: Fault, error: Exception, now: float) -> tuple[Fault, Command]:
        """The candidate failed.

        Returns the fault to settle the lease with, and the next command. A time-out at the deadline
        is the end of the call; it speaks against the provider only if the attempt had its fair time:
        the attempt time-out, or half of the deadline.
        """
        self.now = now
        self._error = error
        if fault.kind is _TIMEOUT and self.deadline is not None and now >= self.deadline:
            fair = (self.deadline - self.started_at) / 2
            if self.attempt_timeout is not None:
                fair = min(fair, self.attempt_timeout)
            had = max(0.0, now - self._offered_at)
            if had < fair:
                fault = Fault(FaultKind.CANCELLED, message=fault.message)
            self.facts = {"now": now, "deadline": self.deadline, "had": had, "fair": fair}
            event = EXPIRE
        else:
            self.facts = _FAULT_FACTS[fault.kind]
            if self.facts["fail_over"] == _A_LARGER_ONE:
                self.facts = {**self.facts, "larger_left": self._larger_left()}
            event = FAULT
        self._fault = fault
        self._end_attempt(event)
        return fault, self.next(now)

    def time_out(self, now: float) -> tuple[Fault, Command]:
        """The timer of the attempt rang; as `fault`, with a `TimeoutError` for the trail."""
        had = max(0.0, now - self._offered_at)
        words = f"{self.candidate.name!r} did not answer within {had:g} s"
        return self.fault(Fault(FaultKind.TIMEOUT, message=words), TimeoutError(words), now)

    def abandon(self, now: float) -> None:
        """The caller left."""
        self.now = now
        self._fault = self._error = None
        self.facts = _NOTHING
        if self.state is S.CALLING:
            self._end_attempt(ABANDON)
        else:
            self._fire(ABANDON)

    # Guards ---------------------------------------------------------------------------------

    def rejected(self) -> bool:
        """No other provider would help."""
        fail_over = self.facts["fail_over"]
        return fail_over == _NO_ONE_ELSE or (
            fail_over == _A_LARGER_ONE and self.facts["larger_left"] == 0
        )

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
        self.notes = (*self.notes, self._attempted())

    def go_on(self) -> None:
        """Go to the next candidate, and remember what it must have."""
        if self.facts["fail_over"] == _A_LARGER_ONE:
            self.needs_larger_than = self.candidate.context_window
        self.position += 1

    def give_up(self) -> None:
        """Make the error that holds everything that went wrong."""
        count = len(self.candidates)
        if not self.attempts:
            what = "no provider could be asked"
        else:
            what = "the only provider failed" if count == 1 else f"all {count} providers failed"
        self.error = failure(AllProvidersFailed, what, self.trail, self.now)

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
        notes = (*self.notes, self._attempted()) if self.state is S.SUCCEEDED else self.notes
        return tuple(map(_noted, notes))

    # Mechanism ------------------------------------------------------------------------------

    def _select(self) -> Command:
        while self.position < len(self.candidates):
            if self.deadline is not None and self.now >= self.deadline:
                self.facts = {"now": self.now, "deadline": self.deadline}
                self._fire(EXPIRE)
                return self._fail()
            candidate = self.candidates[self.position]
            if isinstance(candidate, Skip):
                self._note(candidate)
            elif self.needs_larger_than is not None and not self._is_larger(candidate):
                self._note(Skip(candidate.name, "context_window"))
            else:
                return Admit(candidate)
        self.facts = _NOTHING
        self._fire(EXHAUST)
        return self._fail()

    def _call(self) -> Command:
        lease = self.lease
        if lease is None:
            raise TypeError("a chain in CALLING has no lease")
        timeout = self.attempt_timeout
        if self.deadline is not None:
            left = max(0.0, self.deadline - self.now)
            last = all(isinstance(each, Skip) for each in self.candidates[self.position + 1 :])
            timeout = left if last or timeout is None else min(timeout, left)
        return Call(self.candidates[self.position], lease, timeout)

    def _return(self) -> Command:
        return _RETURN

    def _fail(self) -> Command:
        # Handed over, not kept: the error's traceback leads to frames that hold this chain.
        error, self.error = self.error, None
        if error is None:
            raise TypeError(f"a chain in {self.state.value!r} has raised its error before")
        return Raise(error)

    def _leave(self) -> Command:
        raise TypeError("the caller left; an abandoned chain asks for nothing")

    def _is_larger(self, candidate: Candidate) -> bool:
        window, needed = candidate.context_window, self.needs_larger_than
        return window is not None and needed is not None and window > needed

    def _larger_left(self) -> int:
        present = self.candidate.context_window
        if present is None:
            return 0
        return sum(
            1
            for other in self.candidates[self.position + 1 :]
            if not isinstance(other, Skip)
            and other.context_window is not None
            and other.context_window > present
        )

    @property
    def _offered_at(self) -> float:
        return self.started_at if self.lease is None else self.lease.admitted_at

    def _attempted(self) -> _Attempted:
        candidate: Any = self.candidates[self.position]
        began = self._offered_at
        took = self.now - began
        return (
            candidate.name,
            self.attempts,
            self._fault,
            self._error,
            began,
            took if took > 0 else 0.0,
        )

    def _offer(self) -> None:
        OFFER.fire(self)  # told with the end of the attempt

    def _note(self, skip: Skip) -> None:
        self._skip = skip
        self.facts = {"until": skip.until}
        self._fire(SKIP, skip.provider, skip.cause, skip.reason)

    def _end_attempt(self, event: CompiledEvent) -> None:
        candidate: Any = self.candidates[self.position]
        lease: Any = self.lease
        row: Row = event.fire(self).row
        if self.record is not None:
            # Ten times as fast as AttemptStep(...), and every call makes one.
            step = _new(
                AttemptStep,
                (
                    self.name,
                    self.call,
                    lease.admitted_at,
                    self.now,
                    row,
                    self.attempts,
                    candidate.name,
                    lease.generation,
                    lease.number,
                    self._fault,
                    self.facts,
                    len(self.candidates) - self.position,
                    self.told,
                ),
            )
            self.told += 2
            self.record(step)

    def _fire(
        self,
        event: CompiledEvent,
        provider: str | None = None,
        fault: Fault | None = None,
        reason: str | None = None,
    ) -> None:
        row: Row = event.fire(self).row
        if self.record is not None:
            left = len(self.candidates) - self.position
            what = (self.now, row, provider, fault, reason, self.facts, left, self.told)
            self.told += 1
            self.record(_new(ChainStep, (self.name, self.call, *what)))


def _noted(note: _Note) -> Attempt | Skip:
    if isinstance(note, Skip):
        return note
    if len(note) == 2:  # noqa: PLR2004  # what tells the two apart, for a checker, too
        name, refusal = note
        return Skip(name, *refusal)
    return Attempt(*note)


_COMMANDS: Final[Mapping[ChainState, Callable[[Chain], Command]]] = {
    S.SELECTING: Chain._select,
    S.CALLING: Chain._call,
    S.SUCCEEDED: Chain._return,
    S.FAILED: Chain._fail,
    S.REJECTED: Chain._fail,
    S.ABANDONED: Chain._leave,
}

MACHINE: Final = machine_of(CHAIN, Chain)
Chain.machine = MACHINE
OFFER: Final = MACHINE.events["offer"]
SKIP: Final = MACHINE.events["skip"]
EXHAUST: Final = MACHINE.events["exhaust"]
ANSWER: Final = MACHINE.events["answer"]
FAULT: Final = MACHINE.events["fault"]
EXPIRE: Final = MACHINE.events["expire"]
ABANDON: Final = MACHINE.events["abandon"]
