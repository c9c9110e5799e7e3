"""Calls of one chain over the breakers of its providers: what may happen next, what comes of it.

Chains and breakers are the real ones of the core; the world is their driver, the callers and the
clock. Calls of several callers overlap in every order, between any two commands.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, ClassVar, Final

import attrs
from transitions import MachineError

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain, ChainEvent
from fsm_fallback.core.chain_rows import FINAL, S
from fsm_fallback.core.commands import Admit, Call, Command, Emit, Open, Pull, Wait
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
from fsm_fallback.core.rules import Rules
from fsm_fallback.core.strategies import CallOptions, Sequential, Strategy
from fsm_fallback.core.table import Row
from fsm_fallback.core.trail import Attempt, Candidate, Skip, Trail
from fsm_fallback.spec.acts import BreakerAct
from fsm_fallback.spec.breaker_world import (
    HOLD,
    NAMES,
    TICK,
    Move,
    Watched,
    by_order,
    made,
    of_its_own,
)
from fsm_fallback.spec.chain_acts import ChainAct, ChainStanding, StreamNotes, chain_standing
from fsm_fallback.spec.chain_reckoning import left_after_waiting, retry_wait
from fsm_fallback.spec.scope import ITEMS, Scope

Act = BreakerAct | ChainAct

_BEGINNING: Final = 1.0
"""When the first call may begin: not at zero, where instants and durations look alike."""

_ENDINGS: Final = {
    Outcome.FAILURE: "fail",
    Outcome.NEUTRAL: "release",
    Outcome.HOLD: "hold",
    Outcome.SUCCESS: "succeed",
}


OUT: Final = (Call, Open, Pull)
"""The commands that leave an attempt out."""

_COMES_BACK: Final[Mapping[type[Command], tuple[str, ...]]] = {
    Call: ("answer",),
    Open: ("opened",),
    Pull: ITEMS,
}


class _Board:
    """What the breakers and the budget say, as the world read them before a report.

    Candidates and rules are shared between the copies of a world, so they read from here.
    """

    opens: ClassVar[Mapping[str, float]] = {}
    has_place: ClassVar[bool] = True
    places: ClassVar[int] = 0


class _Places:
    """The budget of retries, as far as there is a place in it."""

    @classmethod
    def take(cls, call: int) -> bool:  # noqa: ARG003  # the protocol's
        """A place, if the world says so."""
        _Board.places += _Board.has_place
        return _Board.has_place

    @classmethod
    def give_back(cls) -> None:
        """One place less is taken."""
        _Board.places -= 1


@attrs.frozen
class Named:
    """A candidate: a name, and how much it takes."""

    name: str
    context_window: int | None

    def opens_at(self, now: float) -> float:  # noqa: ARG002  # as it was read at that instant
        """When its breaker may admit."""
        return _Board.opens[self.name]


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
        self.stream = StreamNotes(stream.held + is_held, first, now)
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
        _Board.places = 0
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
        return Attempt(candidate.name, number, fault, error, began, max(0.0, now - began), first)

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
            _Board.opens,
            _Board.has_place,
            _Board.places,
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


@attrs.define(eq=False)
class ChainWorld:
    """Some providers, their breakers, and callers whose calls overlap."""

    scope: Scope
    watched: dict[str, Watched]
    strategy: Strategy = attrs.field(factory=Sequential)
    model: type[Chain] = Chain
    now: float = _BEGINNING
    calls: int = 0
    out: list[Followed] = attrs.field(factory=list)
    rules: Rules = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        scope = self.scope
        self.rules = Rules(
            retry=scope.retry, waits=scope.waits, stream=scope.stream, budget=_Places
        )

    def moves(self) -> Iterator[Move]:
        """What may happen next. Callers are alike, so that the first idle one calls."""
        if len(self.out) < self.scope.callers:
            yield Move("call")
        for who, call in enumerate(self.out):
            yield from self._moves_of(call, who)
            if self.scope.leaves:
                yield Move("leave", who)
        soonest = min((t for t in self._boundaries() if t > self.now), default=None)
        if soonest is not None:
            if soonest - TICK > self.now and self.scope.deadline is not None:
                yield Move("wait", 0, soonest - TICK)
            yield Move("wait", 0, soonest)

    def _moves_of(self, call: Followed, who: int) -> Iterator[Move]:
        command = call.command
        if isinstance(command, Admit):
            yield Move("ask", who)
        elif isinstance(command, Emit):
            yield Move("next", who)
        elif isinstance(command, Wait):
            if self.now >= call.chain.wake_at:
                yield Move("elapse", who)
        elif isinstance(command, OUT):
            for what in _COMES_BACK[type(command)]:
                if what not in ITEMS or what in self.scope.items:
                    yield Move(what, who)
            for kind in self.scope.faults:
                yield Move(kind.value, who)
            if command.timeout is not None and self.now >= call.asked_at + command.timeout:
                yield Move("time_out", who)

    def make(self, move: Move) -> tuple[Act, ...]:
        """Let something happen; what was done to chains and breakers."""
        what, who, until = move
        if what == "wait":
            self.now = until
            return ()
        if what == "call":
            return self._over(self._called())
        call = self.out[who]
        return self._over(call, *self._happens(call, what))

    def untouched(self, move: Move) -> Iterator[object]:
        """All calls and breakers but those a move speaks of, and who has a lease of these."""
        touched = self.out[move.who] if move.what not in ("wait", "call") else None
        name = None if touched is None else touched.provider
        for other, watched in self.watched.items():
            if other != name:
                yield watched
        for call in self.out:
            on_it = call.is_out and call.provider == name
            if call is not touched and not on_it:
                yield call

    def key(self) -> Hashable:
        """Two worlds with one key have one future, but for how long its waits are."""
        now = self.now
        left: list[float] = []
        breakers = []
        for watched in self.watched.values():
            breakers.append(watched.key(now))
            left += watched.times(now)
        calls = []
        for call in self.out:
            key, times = call.key(), call.times(now)
            if call.is_out and call.provider is not None:
                watched, lease = self.watched[call.provider], call.lease_out
                key = (*key, *watched.key_of_lease(lease, now))
                times = [*times, *watched.times_of_lease(lease, now)]
            calls.append((key, times))
        calls.sort(key=repr)
        for _, times in calls:
            left += times
        return (tuple(breakers), tuple(key for key, _ in calls), by_order(left))

    def standings(self) -> list[tuple[str, Any]]:
        """How the calls that are out stand; a call that is over is forgotten."""
        return [("chain", chain_standing(call.chain)) for call in self.out]

    def is_way(self, move: Move) -> bool:
        """A caller who leaves ends every call, which proves nothing."""
        return move.what != "leave"

    def _called(self) -> Followed:
        self.calls += 1
        scope = self.scope
        candidates = tuple(
            Named(name, window) for name, window in zip(self.watched, scope.windows, strict=False)
        )
        order = self.strategy.order(candidates, CallOptions(), self.now, 0.5)
        if scope.rules_out:
            order = tuple(
                Skip(NAMES[1], "vision") if getattr(each, "name", "") == NAMES[1] else each
                for each in order
            )
        deadline = None if scope.deadline is None else self.now + scope.deadline
        what = ("chain", self.calls, order, deadline, scope.attempt_timeout, self.now)
        call = Followed(self.model(*what, rules=self.rules), order, order)
        self.out.append(call)
        return call

    def _happens(self, call: Followed, what: str) -> list[Act]:  # noqa: C901  # a case for each move
        now = self.now
        self._read_board()
        if call.provider is None:
            return [call.abandon(now) if what == "leave" else call.elapse(now)]
        watched = self.watched[call.provider]
        if what == "ask":
            granted, act = watched.admit(now)
            said = granted or watched.breaker.refusal
            return [act, call.admission(said, now)]
        if not call.is_out:
            return [call.abandon(now)]
        lease = call.lease_out
        match what:
            case "leave":
                return [watched.settle("release", lease, now, None), call.abandon(now)]
            case "next":
                return [call.next(now)]
            case "opened":
                return [call.opened(now)]
            case "noise":
                return [call.item(now, output=False)]
            case "output":
                first = call.stream.output_at is None
                acts = [watched.begin_output(lease, now)] if first else []
                return [*acts, call.item(now, output=True)]
            case "answer":
                return [watched.settle("succeed", lease, now, None), call.answer(now)]
            case "end" | "cut short":
                return self._ends(call, complete=what == "end")
            case "time_out":
                return self._fails(call, *call.chain.lateness(now))
            case _:
                kind = FaultKind(what)
                wait = HOLD if kind is FaultKind.RATE_LIMIT else None
                return self._fails(call, Fault(kind, retry_after=wait), None)

    def _ends(self, call: Followed, *, complete: bool) -> list[Act]:
        flaw = call.chain.flaw_of_end(complete=complete)
        if flaw is not None:
            return self._fails(call, flaw[0], None, complete=complete)
        watched = self.watched[call.lease_out.breaker.name]
        settled = watched.settle("succeed", call.lease_out, self.now, None)
        return [settled, call.end(self.now, complete=complete)]

    def _fails(
        self,
        call: Followed,
        fault: Fault,
        error: Exception | None,
        *,
        complete: bool | None = None,
    ) -> list[Act]:
        """The breaker hears first, and the chain asks how it stands then."""
        now, lease = self.now, call.lease_out
        watched = self.watched[lease.breaker.name]
        weighed = call.chain.weighed(fault, now)
        settled = watched.settle(_ENDINGS[weighed.outcome], lease, now, weighed)
        self._read_board()
        if complete is not None:
            return [settled, call.end(now, complete=complete)]
        if isinstance(error, TimeoutError):
            return [settled, call.time_out(now)]
        return [settled, call.fault(fault, now)]

    def _read_board(self) -> None:
        scope = self.scope
        if scope.retry.attempts > 1:
            _Board.opens = {
                name: watched.breaker.opens_at(self.now) for name, watched in self.watched.items()
            }
            taken = sum(call.chain.budgeted for call in self.out)
            _Board.has_place = taken < scope.places

    def _over(self, call: Followed, *acts: Act) -> tuple[Act, ...]:
        told = acts or (call.begin(self.now),)
        if call.chain.state in FINAL:
            self.out.remove(call)
        return told

    def _boundaries(self) -> Iterator[float]:
        for watched in self.watched.values():
            yield from watched.boundaries()
        for call in self.out:
            for left in call.times(self.now):
                if left != math.inf:
                    yield self.now + left


def chain_worlds(
    scope: Scope,
    *,
    breaker: type[Breaker] = Breaker,
    strategy: Strategy | None = None,
    chain: type[Chain] = Chain,
) -> list[ChainWorld]:
    """A world for each state the breakers may be born in, within a scope."""
    worlds = []
    for birth in scope.births:
        config = attrs.evolve(scope.config, initial_state=birth)
        watched = {
            name: Watched(made(breaker, name, config), scope.series)
            for name in NAMES[: scope.providers]
        }
        worlds.append(ChainWorld(scope, watched, strategy or Sequential(), chain))
    return worlds
