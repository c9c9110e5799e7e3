"""Calls of one chain over the breakers of its providers: what may happen next, what comes of it.

Chains and breakers are the real ones of the core; the world is their driver, the callers and the
clock. Calls of several callers overlap in every order, between any two commands.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

import attrs

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import FINAL
from fsm_fallback.core.commands import Admit, Call, Command, Emit, Open, Pull, Wait
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
from fsm_fallback.core.rules import Rules
from fsm_fallback.core.strategies import CallOptions, Sequential, Strategy
from fsm_fallback.core.trail import Skip
from fsm_fallback.spec.acts import BreakerAct
from fsm_fallback.spec.breaker_world import HOLD, NAMES, TICK, Move, Watched, by_order, made
from fsm_fallback.spec.chain_acts import ChainAct, chain_standing
from fsm_fallback.spec.chain_followed import OUT, Board, Followed, Named, Places
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

_COMES_BACK: Final[Mapping[type[Command], tuple[str, ...]]] = {
    Call: ("answer",),
    Open: ("opened",),
    Pull: ITEMS,
}


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
        self.rules = Rules(retry=scope.retry, waits=scope.waits, stream=scope.stream, budget=Places)

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
        Board.opens = {
            name: watched.breaker.opens_at(self.now) for name, watched in self.watched.items()
        }
        taken = sum(call.chain.budgeted for call in self.out)
        Board.has_place = taken < self.scope.places

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
