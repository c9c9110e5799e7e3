"""One call of a chain, followed: what is reported to the chain, and the acts that tell of it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Final

import attrs
from transitions import MachineError

from fsm_fallback.core.chain import Chain, ChainEvent
from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.commands import Admit, Call, Command, Emit, Open, Pull, Wait
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
from fsm_fallback.core.table import Row
from fsm_fallback.core.trail import Attempt, Candidate, Skip, Trail
from fsm_fallback.spec.answers import StandIn
from fsm_fallback.spec.breaker_world import of_its_own
from fsm_fallback.spec.chain_acts import ChainAct, ChainStanding, StreamNotes, chain_standing
from fsm_fallback.spec.chain_reckoning import left_after_waiting, retry_wait

OUT: Final = (Call, Open, Pull)
"""The commands that leave an attempt out."""


class Board:
    """What the breakers and the budget say, as the world read them before a report.

    Candidates and rules are shared between the copies of a world, so they read from here.
    """

    opens: ClassVar[Mapping[str, float]] = {}
    has_place: ClassVar[bool] = True
    places: ClassVar[int] = 0


class Places:
    """The budget of retries, as far as there is a place in it."""

    @classmethod
    def take(cls, call: int) -> bool:  # noqa: ARG003  # the protocol's
        """A place, if the world says so."""
        Board.places += Board.has_place
        return Board.has_place

    @classmethod
    def give_back(cls) -> None:
        """One place less is taken."""
        Board.places -= 1


@attrs.frozen
class Named(StandIn):
    """A candidate: a name, and how much it takes."""

    def opens_at(self, now: float) -> float:  # noqa: ARG002  # as it was read at that instant
        """When its breaker may admit."""
        return Board.opens[self.name]


@attrs.define(eq=False)
class Followed:
    """A call on its way, with its notebook: reports to its chain, and tells what was said."""

    chain: Chain
    line: tuple[Candidate | Skip, ...]
    candidates: tuple[Candidate | Skip, ...]
    command: Command | None = None
    trail: Trail = ()
    needs_larger_than: int | None = None
    stream: StreamNotes = attrs.field(factory=StreamNotes)
    seen_of: str | None = None
    records: list[ChainEvent] = attrs.field(factory=list)
    asked_at: float = 0.0

    def begin(self, now: float) -> ChainAct:
        """The driver asks for the first command."""
        before = self._begin()
        self.command = self.chain.next(now)
        return self._end("begin", now, before, None)

    def admission(self, granted: Lease | Refusal, now: float) -> ChainAct:
        """The breaker answered."""
        candidate = self.candidate
        before = self._begin()
        self.command = self.chain.admission(granted, now)
        self._pass_skips(candidate)
        if isinstance(granted, Refusal):
            self._note(Skip(candidate.name, *granted))
            self.line = self.line[1:]
        self.stream = StreamNotes()
        return self._end("admission", now, before, candidate, granted=granted)

    def answer(self, now: float) -> ChainAct:
        """The candidate answered."""
        candidate, lease = self.candidate, self.lease
        before = self._begin()
        self.command = self.chain.answer(now)
        self._note(self._attempt(candidate, lease, None, None, now))
        return self._end("answer", now, before, candidate, lease=lease)

    def opened(self, now: float) -> ChainAct:
        """The candidate's stream is there."""
        candidate, lease = self.candidate, self.lease
        before = self._begin()
        self.command = self.chain.opened(now)
        return self._end("opened", now, before, candidate, lease=lease)

    def item(self, now: float, *, output: bool) -> ChainAct:
        """An item of the stream came."""
        candidate, lease, stream = self.candidate, self.lease, self.stream
        before = self._begin()
        self.command = self.chain.item(now, 1, output=output)
        first = now if output and stream.output_at is None else stream.output_at
        is_held = before.state is S.CALLING
        in_time = self.chain.deadline is None or now < self.chain.deadline
        spoke = now if in_time else stream.spoke_at
        self.stream = StreamNotes(stream.held + is_held, first, spoke)
        act = self._end("item", now, before, candidate, lease=lease, output=output)
        if isinstance(self.command, Emit):
            self.seen_of = candidate.name
        return act

    def next(self, now: float) -> ChainAct:
        """What was held back has been handed over."""
        candidate, lease = self._calling()
        before = self._begin()
        self.command = self.chain.next(now)
        return self._end("next", now, before, candidate, lease=lease)

    def end(self, now: float, *, complete: bool) -> ChainAct:
        """The stream ended."""
        flaw = self.chain.flaw_of_end(complete=complete)
        if flaw is not None:
            return self.fault(flaw[0], now, flaw[1], complete=complete)
        candidate, lease = self.candidate, self.lease
        before = self._begin()
        self.command = self.chain.finish(now)
        self._note(self._attempt(candidate, lease, None, None, now))
        return self._end("finish", now, before, candidate, lease=lease, output=complete)

    def fault(
        self,
        fault: Fault,
        now: float,
        error: Exception | None = None,
        *,
        complete: bool | None = None,
    ) -> ChainAct:
        """The candidate failed."""
        candidate, lease = self.candidate, self.lease
        if error is None:
            error = RuntimeError(f"{fault.kind.value} of {candidate.name}")
        before = self._begin()
        settled, self.command = self.chain.fault(fault, error, now)
        if fault.kind is FaultKind.CONTEXT:
            self.needs_larger_than = candidate.context_window
        told = self._attempt(candidate, lease, settled, error, now)
        return self._failed(
            "fault", now, before, (candidate, lease), told, fault, settled, complete=complete
        )

    def time_out(self, now: float) -> ChainAct:
        """The timer of the attempt rang."""
        candidate, lease = self.candidate, self.lease
        before = self._begin()
        settled, self.command = self.chain.time_out(now)
        told = [
            item.error
            for item in self.chain.trail
            if isinstance(item, Attempt) and item.provider == candidate.name
        ]
        attempt = self._attempt(candidate, lease, settled, told[-1] if told else None, now)
        fault = Fault(FaultKind.TIMEOUT)
        return self._failed("time_out", now, before, (candidate, lease), attempt, fault, settled)

    def elapse(self, now: float) -> ChainAct:
        """The wait is over."""
        before = self._begin()
        self.command = self.chain.elapse(now)
        return self._end("elapse", now, before, None)

    def abandon(self, now: float) -> ChainAct:
        """The caller left."""
        out = isinstance(self.command, (*OUT, Emit))
        candidate, lease = self._calling() if out else (None, None)
        before = self._begin()
        self.chain.abandon(now)
        self.command = None
        return self._end("abandon", now, before, candidate, lease)

    @property
    def candidate(self) -> Any:
        """Whose turn it is."""
        command = self.command
        if not isinstance(command, (Admit, *OUT)):
            raise TypeError(f"a call that has to {command!r} has nobody's turn")
        return command.candidate

    @property
    def lease(self) -> Lease:
        """The lease of the attempt that is out."""
        if not isinstance(self.command, OUT):
            raise TypeError(f"a call that has to {self.command!r} has no attempt out")
        return self.command.lease

    @property
    def is_out(self) -> bool:
        """Whether an attempt is out."""
        return isinstance(self.command, (*OUT, Emit))

    @property
    def provider(self) -> str | None:
        """Whose breaker the next report is about; None where it is about none."""
        if isinstance(self.command, Emit):
            return str(self._calling()[0].name)
        return str(self.candidate.name) if isinstance(self.command, (Admit, *OUT)) else None

    @property
    def lease_out(self) -> Lease:
        """The lease of the attempt that is out, whatever is to be done."""
        return self._calling()[1] if isinstance(self.command, Emit) else self.lease

    def key(self) -> tuple[Hashable, ...]:
        """What makes a difference of this call, times aside."""
        chain = self.chain
        kinds: tuple[Hashable, ...] = tuple(isinstance(item, Attempt) for item in self.trail)
        if chain.rules.waits:  # who was refused, and how often, makes none
            kinds = tuple({item.provider: isinstance(item, Attempt) for item in self.trail}.items())
        lease = self.lease_out if self.is_out else None
        return (
            chain.state.value,
            type(self.command).__name__,
            tuple(getattr(each, "name", "") for each in self.line),
            chain.position,
            len(chain.candidates),
            kinds,
            self.needs_larger_than,
            self.stream.held if chain.state is S.CALLING else 0,
            self.stream.output_at is None,
            self.seen_of,
            chain.budgeted,
            None if lease is None else lease.generation == lease.breaker.generation,
            of_its_own(chain, Chain) if type(chain) is not Chain else (),
        )

    def times(self, now: float) -> list[float]:
        """The times left until call, attempt or wait are over, and until the attempt's was fair."""
        chain, command = self.chain, self.command
        left = math.inf if chain.deadline is None else chain.deadline - now
        if isinstance(command, Wait):
            return [left, chain.wake_at - now, math.inf, math.inf]
        if not self.is_out:
            return [left, math.inf, math.inf, math.inf]
        since, limit = self._limit()
        fair = math.inf
        if chain.deadline is not None:
            fair = (chain.deadline - chain.started_at) / 2
            if limit is not None:
                fair = min(fair, limit)
        timer = math.inf
        if isinstance(command, OUT) and command.timeout is not None:
            timer = self.asked_at + command.timeout - now
        idle = math.inf if limit is None else since + limit - now
        return [left, timer, since + fair - now, idle]

    def _limit(self) -> tuple[float, float | None]:
        """Since when the attempt is quiet, and how long it may be."""
        chain, began = self.chain, self.lease_out.admitted_at
        config = chain.rules.stream
        if config is None:
            return began, chain.attempt_timeout
        if self.stream.output_at is not None:
            return self.stream.spoke_at, config.idle_timeout
        return began, config.first_output_timeout or chain.attempt_timeout

    def _calling(self) -> tuple[Any, Any]:
        return self.chain.candidate, self.chain.lease

    def _pass_skips(self, candidate: Candidate) -> None:
        """Whoever stands before the one that was asked has been skipped."""
        while self.line and self.line[0] is not candidate:
            self.line = self.line[1:]

    def _begin(self) -> ChainStanding:
        self.records.clear()
        self.chain.record = self.records.append
        Board.places = 0
        return chain_standing(self.chain)

    def _note(self, item: Attempt | Skip) -> None:
        self.trail = (*self.trail, item)

    def _attempt(
        self,
        candidate: Candidate,
        lease: Lease,
        fault: Fault | None,
        error: Exception | None,
        now: float,
    ) -> Attempt:
        number = 1 + sum(isinstance(item, Attempt) for item in self.trail)
        began = lease.admitted_at
        output_at = self.stream.output_at
        first = None if output_at is None else max(0.0, output_at - began)
        held = None
        if fault is not None and fault.outcome is Outcome.HOLD:
            opens = Board.opens[candidate.name]
            held = opens if now < opens < math.inf else None
        took = max(0.0, now - began)
        return Attempt(candidate.name, number, fault, error, began, took, first, held_until=held)

    def _failed(
        self,
        trigger: str,
        now: float,
        before: ChainStanding,
        of: tuple[Candidate, Lease],
        told: Attempt,
        fault: Fault,
        settled: Fault,
        *,
        complete: bool | None = None,
    ) -> ChainAct:
        candidate, lease = of
        self._note(told)
        whole = self.line
        self.line = whole[1:]
        act = self._end(
            trigger,
            now,
            before,
            candidate,
            lease,
            fault=fault,
            settled=settled,
            output=complete,
        )
        if retry_wait(act) is not None:
            self.line = whole
        return act

    def _end(
        self,
        trigger: str,
        now: float,
        before: ChainStanding,
        candidate: Candidate | None,
        lease: Lease | None = None,
        *,
        granted: Lease | Refusal | None = None,
        fault: Fault | None = None,
        settled: Fault | None = None,
        output: bool | None = None,
    ) -> ChainAct:
        chain = self.chain
        after = chain_standing(chain)
        records = tuple(self.records)
        refuses = after.is_final and self._refuses_all()
        self.records.clear()
        chain.record = None
        self.asked_at = now
        act = ChainAct(
            chain.name,
            chain.call,
            trigger,
            now,
            before,
            after,
            self.command,
            self.candidates,
            self.line,
            chain.rules,
            Board.opens,
            Board.has_place,
            Board.places,
            chain.deadline,
            chain.attempt_timeout,
            chain.started_at,
            candidate,
            granted,
            lease,
            fault,
            settled,
            output,
            self.stream,
            self.seen_of,
            self.needs_larger_than,
            self.trail,
            self._offer if isinstance(granted, Lease) else None,
            refuses,
            records,
        )
        # What the chain skipped on its way is expected from now on, and whom it waits for as well.
        self.trail = after.trail
        if after.state is S.WAITING and not after.budgeted:
            self.line = left_after_waiting(self.candidates, self.trail, self.needs_larger_than)
        return act

    @property
    def _offer(self) -> Row:
        return self.chain.table.cell(self.chain.table.initial, "offer")[-1]

    def _refuses_all(self) -> bool:
        state = self.chain.state
        for trigger in self.chain.table.triggers:
            try:
                self.chain.machine.events[trigger].trigger(self.chain)
            except MachineError:
                if self.chain.state is not state:
                    return False
            else:
                return False
        return True
