"""The driver of `spec_chain`: calls walked by hand over shared breakers, and what has to hold.

Each method does what one command asks, if that is the command, and checks what comes of it.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import attrs
from hypothesis.stateful import RuleBasedStateMachine

from fsm_fallback import (
    AllProvidersFailed,
    Attempt,
    BreakerConfig,
    BreakerState,
    CountWindow,
    DeadlineExceeded,
    Fault,
    FaultKind,
    Outcome,
    RequestRejected,
    Skip,
    StreamInterrupted,
)
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain, ChainEvent
from fsm_fallback.core.chain_rows import CHAIN, FINAL, ChainState
from fsm_fallback.core.commands import Admit, Call, Command, Emit, Open, Pull, Raise, Return, Wait
from fsm_fallback.core.events import AttemptStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.rules import Rules
from fsm_fallback.spec.floors import CoverageFloor
from specs.walked_streams import Candidate, Place, Places, Seen

FLOOR: Final = CoverageFloor(CHAIN)
OFFER: Final = CHAIN.cell(ChainState.SELECTING, "offer")[0]
REQUEST: Final = (FaultKind.CALLER, FaultKind.CONTENT)
PLACES: Final = 2
WINDOWS: Final = {"small": 8, "large": 32, "unknown": None}
CONFIG: Final = BreakerConfig(
    window=CountWindow(4),
    minimum_calls=3,
    open_duration=4.0,
    max_open_duration=8.0,
    jitter=0.0,
    probe_timeout=8.0,
)


@attrs.define(eq=False)
class Walk:
    """A call on its way, and what the spec has seen of it."""

    chain: Chain
    seen: Seen
    place: Place
    finals: list[ChainState]
    command: Command | None = None
    asked_at: float = 0.0
    errors: list[Exception] = attrs.field(factory=list)
    skips: list[str] = attrs.field(factory=list)

    def do(self, command: Command | None, now: float) -> None:
        """The driver has something new to do."""
        self.command = command
        self.asked_at = now
        if isinstance(command, Open):
            self.seen.begin()

    @property
    def out(self) -> Call | Open | Pull | None:
        """The command of the attempt that is out, if one is."""
        command = self.command
        return command if isinstance(command, (Call, Open, Pull)) else None


class Walking(RuleBasedStateMachine):
    """Some calls at once over three breakers, on one clock, with one budget."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.calls = 0
        self.items = 0
        self.breakers = {name: Breaker(name, CONFIG) for name in WINDOWS}
        self.candidates = [
            Candidate(name, window, self.breakers[name]) for name, window in WINDOWS.items()
        ]
        self.places = Places(PLACES)
        self.open: list[Walk] = []
        self.ended: list[Walk] = []
        self.granted: list[Lease] = []
        self.settlings: list[Lease] = []

    def line(self, order: list[int], ruled_out: int | None) -> list[Any]:
        line: list[Any] = [self.candidates[place] for place in order]
        if ruled_out is not None:
            line[ruled_out] = Skip(line[ruled_out].name, "vision")
        return line

    def begin(
        self,
        line: list[Any],
        deadline: float | None,
        attempt_timeout: float | None,
        rules: Rules,
    ) -> Walk:
        self.calls += 1
        place, finals = Place(self.places), list[ChainState]()
        chain = Chain(
            "spec",
            self.calls,
            tuple(line),
            None if deadline is None else self.now + deadline,
            attempt_timeout,
            self.now,
            functools.partial(self._see, finals),
            attrs.evolve(rules, budget=place, waits=rules.waits and deadline is not None),
        )
        walk = Walk(chain, Seen(rules.stream), place, finals)
        walk.do(chain.next(self.now), self.now)
        self.open.append(walk)
        return walk

    def walk_on(self, walk: Walk, reports: list[str | FaultKind]) -> None:
        for report in reports:
            self.take(walk)
            self.elapse(walk, 10.0 if report == "late" else 0.0)
            if report == "refused":
                self.refuse_elsewhere(walk, "open")
                continue
            while isinstance(walk.command, Admit):
                self.ask(walk)
            if not isinstance(report, FaultKind):
                self.come_back(walk, None)
            self.report(walk, report)

    def one(self, pick: int, *commands: type) -> Walk:
        found = [walk for walk in self.open if isinstance(walk.command, commands)]
        return found[pick % len(found)]

    def ask(self, walk: Walk) -> None:
        assert isinstance(walk.command, Admit)
        breaker = self.breakers[walk.command.candidate.name]
        was_open = breaker.state is BreakerState.OPEN
        until = breaker.open_until
        lease = breaker.admit(self.now)
        if lease is None:
            self._refuse(walk, Refusal(breaker.state.value, breaker.open_until, breaker.cause))
            return
        if was_open:
            assert until is not None
            assert breaker.now >= until, "an open breaker granted a lease"
        self.granted.append(lease)
        walk.do(walk.chain.admission(lease, self.now), self.now)
        assert walk.out is not None
        assert isinstance(walk.out, Call if walk.seen.config is None else Open)
        assert walk.out.lease is lease

    def refuse_elsewhere(self, walk: Walk, state: str) -> None:
        if isinstance(walk.command, Admit):
            until = self.now + 2.0 if state == "open" else None
            self._refuse(walk, Refusal(state, until, None))

    def come_back(self, walk: Walk, kind: FaultKind | None) -> None:
        """An answer, an open stream, or a fault."""
        if kind is not None and walk.out is not None:
            hint = 3.0 if kind is FaultKind.RATE_LIMIT else None
            self._fail(walk, Fault(kind, retry_after=hint), RuntimeError(kind.value))
        elif isinstance(walk.out, Call):
            self._settle(walk.out, None)
            walk.do(walk.chain.answer(self.now), self.now)
            assert isinstance(walk.command, Return)
        elif isinstance(walk.out, Open):
            walk.do(walk.chain.opened(self.now), self.now)
            assert isinstance(walk.command, Pull)

    def item(self, walk: Walk, size: int, *, output: bool) -> None:
        if not isinstance(walk.out, Pull):
            return
        name, seen = walk.out.candidate.name, walk.seen
        self.items += 1
        seen.hold(self.items, size, output=output)
        wanted = seen.wants(output=output)
        walk.do(walk.chain.item(self.now, size, output=output), self.now)
        assert isinstance(walk.command, Emit if wanted else Pull)
        if isinstance(walk.command, Emit):
            seen.take(walk.command, name)
        assert (walk.chain.state is ChainState.STREAMING) == seen.shows

    def end(self, walk: Walk, *, complete: bool) -> None:
        if not isinstance(walk.out, Pull):
            return
        flaw = walk.chain.flaw_of_end(complete=complete)
        assert (flaw is None) == (complete and walk.seen.output)
        if flaw is not None:
            self._fail(walk, *flaw)
            return
        self._settle(walk.out, None)
        walk.do(walk.chain.finish(self.now), self.now)
        assert isinstance(walk.command, Return)
        walk.seen.finish()

    def take(self, walk: Walk) -> None:
        if isinstance(walk.command, Emit):
            command = walk.chain.next(self.now)
            assert isinstance(command, Pull)
            walk.do(command, self.now)

    def ring(self, walk: Walk) -> None:
        if walk.out is None or walk.out.timeout is None:
            return  # no timer was set
        self.now = max(self.now, walk.asked_at + walk.out.timeout)
        fault, error = walk.chain.lateness(self.now)
        self._fail(walk, fault, error)

    def elapse(self, walk: Walk, late: float) -> None:
        if isinstance(walk.command, Wait):
            self.now = max(self.now, walk.asked_at + walk.command.seconds) + late
            command = walk.chain.elapse(self.now)
            assert isinstance(command, (Admit, Raise))
            walk.do(command, self.now)

    def report(self, walk: Walk, report: str | FaultKind) -> None:
        match report:
            case FaultKind():
                self.come_back(walk, report)
            case "output" | "noise":
                self.item(walk, 1, output=report == "output")
            case "end" | "cut short":
                self.end(walk, complete=report == "end")
            case "late":
                self.ring(walk)

    def _refuse(self, walk: Walk, word: Refusal) -> None:
        assert isinstance(walk.command, Admit)
        walk.skips.append(walk.command.candidate.name)
        walk.do(walk.chain.admission(word, self.now), self.now)
        assert not walk.place.out

    def _fail(self, walk: Walk, fault: Fault, error: Exception) -> None:
        """The breaker is told first, for the chain asks how it stands."""
        out = walk.out
        assert out is not None
        weighed = walk.chain.weighed(fault, self.now)
        self._settle(out, weighed)
        tries = [item for item in walk.chain.trail if isinstance(item, Attempt)]
        told, command = walk.chain.fault(fault, error, self.now)
        assert told == weighed
        walk.errors.append(error)
        walk.seen.fail(told)
        walk.do(command, self.now)
        assert isinstance(command, Wait) or not walk.place.out
        *earlier, last = [item for item in walk.chain.trail if isinstance(item, Attempt)]
        assert earlier == tries
        assert (last.provider, last.fault, last.error) == (out.candidate.name, told, error)
        if fault.kind in REQUEST:
            unseen = walk.seen.of is None
            final = ChainState.REJECTED if unseen else ChainState.INTERRUPTED
            assert walk.chain.state is final

    def look_back_at(self, walk: Walk) -> None:
        state, trail = walk.chain.state, walk.chain.trail
        assert walk.finals == [state]
        attempts = [item for item in trail if isinstance(item, Attempt)]
        called = [item.provider for item in attempts]
        assert [item.error for item in attempts if item.error is not None] == walk.errors
        assert [item.number for item in attempts] == [*range(1, len(attempts) + 1)]
        assert all(called.count(each) <= walk.chain.rules.retry.attempts for each in called)
        assert {*walk.skips} <= {item.provider for item in trail if isinstance(item, Skip)}
        if isinstance(walk.command, Raise):
            self._look_at(walk, walk.command.error)
        elif state is ChainState.SUCCEEDED:
            assert isinstance(walk.command, Return)
            assert attempts[-1].error is None

    def _look_at(self, walk: Walk, error: Exception) -> None:
        chain = walk.chain
        assert isinstance(
            error, (AllProvidersFailed, RequestRejected, DeadlineExceeded, StreamInterrupted)
        )
        if walk.errors:
            assert len(error.exceptions) == len(walk.errors)
            assert all(a is b for a, b in zip(error.exceptions, walk.errors, strict=True))
        elif isinstance(error, DeadlineExceeded):
            assert [type(member) for member in error.exceptions] == [TimeoutError]
        else:
            assert len(error.exceptions) == len(chain.trail)
        assert error.trail == chain.trail
        assert error.retry_after is None or error.retry_after >= 0.0
        if isinstance(error, DeadlineExceeded):
            assert chain.deadline is not None
            assert self.now >= chain.deadline
        if isinstance(error, AllProvidersFailed):
            assert {item.provider for item in chain.trail} == {*WINDOWS}
        if isinstance(error, StreamInterrupted):
            told = [f"the stream of {walk.seen.of!r} broke after output had been handed over"]
            if chain.deadline is not None and self.now >= chain.deadline:
                told.append(f"the deadline passed before the stream of {walk.seen.of!r} had ended")
            assert error.message.startswith(tuple(told))

    def _settle(self, out: Call | Open | Pull, fault: Fault | None) -> None:
        self.settle_on(self.breakers[out.candidate.name], out.lease, fault)

    def settle_on(self, breaker: Breaker, lease: Lease, fault: Fault | None) -> None:
        assert not lease.settled
        self.settlings.append(lease)
        if fault is None:
            breaker.succeed(lease, self.now)
        elif fault.outcome is Outcome.FAILURE:
            breaker.fail(lease, self.now, fault)
        elif fault.outcome is Outcome.HOLD:
            breaker.hold(self.now + fault.hold_duration, self.now, lease, fault)
        else:
            breaker.release(lease, self.now)

    def _see(self, finals: list[ChainState], step: ChainEvent) -> None:
        if isinstance(step, AttemptStep):
            FLOOR.see([OFFER])
        FLOOR.see([step.row])
        if step.row.target in FINAL:
            assert isinstance(step.row.target, ChainState)
            finals.append(step.row.target)
