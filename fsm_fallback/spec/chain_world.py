"""Calls of one chain over the breakers of its providers: what may happen next, what comes of it.

Chains and breakers are the real ones of the core; the world is their driver, the callers and the
clock. Calls of several callers overlap in every order, between any two commands.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from typing import Any, Final

import attrs
from transitions import MachineError

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import FINAL, Chain
from fsm_fallback.core.commands import Admit, Call, Command
from fsm_fallback.core.events import AttemptStep, ChainStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
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
from fsm_fallback.spec.chain_acts import ChainAct, ChainStanding, chain_standing
from fsm_fallback.spec.scope import Scope

Act = BreakerAct | ChainAct

_BEGINNING: Final = 1.0
"""When the first call may begin: not at zero, where instants and durations look alike."""

_ENDINGS: Final = {
    Outcome.FAILURE: "fail",
    Outcome.NEUTRAL: "release",
    Outcome.HOLD: "hold",
    Outcome.SUCCESS: "succeed",
}


@attrs.frozen
class Named:
    """A candidate: a name, and how much it takes."""

    name: str
    context_window: int | None


@attrs.define(eq=False)
class Followed:
    """A call on its way, with its notebook: reports to its chain, and tells what was said."""

    chain: Chain
    command: Command | None = None
    trail: Trail = ()
    needs_larger_than: int | None = None
    records: list[AttemptStep | ChainStep] = attrs.field(factory=list)

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
        if isinstance(granted, Refusal):
            self._note(Skip(candidate.name, *granted))
        return self._end("admission", now, before, candidate, granted=granted)

    def answer(self, now: float) -> ChainAct:
        """The candidate answered."""
        candidate, lease = self.candidate, self.lease
        before = self._begin()
        self.command = self.chain.answer(now)
        self._note(self._attempt(candidate, lease, None, None, now))
        return self._end("answer", now, before, candidate, lease=lease)

    def fault(self, fault: Fault, now: float) -> ChainAct:
        """The candidate failed."""
        candidate, lease = self.candidate, self.lease
        error = RuntimeError(f"{fault.kind.value} of {candidate.name}")
        before = self._begin()
        settled, self.command = self.chain.fault(fault, error, now)
        if fault.kind is FaultKind.CONTEXT:
            self.needs_larger_than = candidate.context_window
        self._note(self._attempt(candidate, lease, settled, error, now))
        return self._end("fault", now, before, candidate, lease, fault=fault, settled=settled)

    def time_out(self, now: float) -> ChainAct:
        """The timer of the attempt rang."""
        candidate, lease = self.candidate, self.lease
        before = self._begin()
        settled, self.command = self.chain.time_out(now)
        told = next(
            (
                item.error
                for item in self.chain.trail
                if isinstance(item, Attempt) and item.provider == candidate.name
            ),
            None,
        )
        self._note(self._attempt(candidate, lease, settled, told, now))
        fault = Fault(FaultKind.TIMEOUT)
        return self._end("time_out", now, before, candidate, lease, fault=fault, settled=settled)

    def abandon(self, now: float) -> ChainAct:
        """The caller left."""
        calling = isinstance(self.command, Call)
        candidate = self.candidate if calling else None
        lease = self.lease if calling else None
        before = self._begin()
        self.chain.abandon(now)
        self.command = None
        return self._end("abandon", now, before, candidate, lease)

    @property
    def candidate(self) -> Any:
        """Whose turn it is."""
        command = self.command
        if not isinstance(command, (Admit, Call)):
            raise TypeError(f"a call that has to {command!r} has nobody's turn")
        return command.candidate

    @property
    def lease(self) -> Lease:
        """The lease of the attempt that is out."""
        if not isinstance(self.command, Call):
            raise TypeError(f"a call that has to {self.command!r} has no attempt out")
        return self.command.lease

    def key(self) -> tuple[Hashable, ...]:
        """What makes a difference of this call, times aside."""
        chain, command = self.chain, self.command
        kinds = tuple(isinstance(item, Attempt) for item in self.trail)
        lease = command.lease if isinstance(command, Call) else None
        return (
            chain.state.value,
            chain.position,
            kinds,
            self.needs_larger_than,
            None if lease is None else lease.generation == lease.breaker.generation,
            of_its_own(chain, Chain) if type(chain) is not Chain else (),
        )

    def times(self, now: float) -> list[float]:
        """The times left until the attempt and the call are over, and until its time was fair."""
        chain, command = self.chain, self.command
        left = math.inf if chain.deadline is None else chain.deadline - now
        if not isinstance(command, Call) or command.timeout is None:
            return [left, math.inf, math.inf]
        began = command.lease.admitted_at
        fair = math.inf
        if chain.deadline is not None:
            fair = (chain.deadline - chain.started_at) / 2
            if chain.attempt_timeout is not None:
                fair = min(fair, chain.attempt_timeout)
        return [left, began + command.timeout - now, began + fair - now]

    def _begin(self) -> ChainStanding:
        self.records.clear()
        self.chain.record = self.records.append
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
        return Attempt(candidate.name, number, fault, error, began, max(0.0, now - began))

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
    ) -> ChainAct:
        chain = self.chain
        after = chain_standing(chain)
        records = tuple(self.records)
        refuses = after.is_final and self._refuses_all()
        self.records.clear()
        chain.record = None
        act = ChainAct(
            chain.name,
            chain.call,
            trigger,
            now,
            before,
            after,
            self.command,
            chain.candidates,
            chain.deadline,
            chain.attempt_timeout,
            chain.started_at,
            candidate,
            granted,
            lease,
            fault,
            settled,
            self.needs_larger_than,
            self.trail,
            self._offer if isinstance(granted, Lease) else None,
            refuses,
            records,
        )
        # What the chain skipped on its way is expected from now on.
        self.trail = after.trail
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

    def moves(self) -> Iterator[Move]:
        """What may happen next. Callers are alike, so that the first idle one calls."""
        if len(self.out) < self.scope.callers:
            yield Move("call")
        for who, call in enumerate(self.out):
            if isinstance(call.command, Admit):
                yield Move("ask", who)
            if isinstance(call.command, Call):
                yield Move("answer", who)
                for kind in self.scope.faults:
                    yield Move(kind.value, who)
                timeout = call.command.timeout
                if timeout is not None and self.now >= call.lease.admitted_at + timeout:
                    yield Move("time_out", who)
            yield Move("leave", who)
        soonest = min((t for t in self._boundaries() if t > self.now), default=None)
        if soonest is not None:
            if soonest - TICK > self.now and self.scope.deadline is not None:
                yield Move("wait", 0, soonest - TICK)
            yield Move("wait", 0, soonest)

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
        name = None if touched is None else touched.candidate.name
        for other, watched in self.watched.items():
            if other != name:
                yield watched
        for call in self.out:
            on_it = isinstance(call.command, Call) and call.candidate.name == name
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
            if isinstance(call.command, Call):
                watched = self.watched[call.candidate.name]
                key = (*key, *watched.key_of_lease(call.lease, now))
                times = [*times, *watched.times_of_lease(call.lease, now)]
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
        chain = self.model("chain", self.calls, order, deadline, scope.attempt_timeout, self.now)
        call = Followed(chain)
        self.out.append(call)
        return call

    def _happens(self, call: Followed, what: str) -> list[Act]:
        now = self.now
        if what == "leave":
            acts: list[Act] = []
            if isinstance(call.command, Call):
                watched, lease = self.watched[call.candidate.name], call.lease
                acts.append(watched.settle("release", lease, now, None))
            return [*acts, call.abandon(now)]
        watched = self.watched[call.candidate.name]
        if what == "ask":
            granted, act = watched.admit(now)
            said = granted or watched.breaker.refusal
            return [act, call.admission(said, now)]
        lease = call.lease
        if what == "answer":
            return [watched.settle("succeed", lease, now, None), call.answer(now)]
        if what == "time_out":
            told = call.time_out(now)
        else:
            kind = FaultKind(what)
            wait = HOLD if kind is FaultKind.RATE_LIMIT else None
            told = call.fault(Fault(kind, retry_after=wait), now)
        settled = told.settled_with or Fault(FaultKind.UNKNOWN)
        return [told, watched.settle(_ENDINGS[settled.outcome], lease, now, settled)]

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
