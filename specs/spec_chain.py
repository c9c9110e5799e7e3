"""The chain's claims, on the real core: several calls at once over the same breakers.

Guarantees (specs/README.md): 1 an open breaker is never called; 2 all errors are preserved, in
order, as objects; 3 every lease is settled once; 7 one final state, and nothing called after it;
8 neutral outcomes change nothing; 9 the chain ends by its deadline.
"""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from transitions import MachineError

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
)
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import MACHINE, Chain, ChainEvent
from fsm_fallback.core.chain_rows import CHAIN, FINAL, ChainState
from fsm_fallback.core.commands import Admit, Call, Command, Raise, Return
from fsm_fallback.core.events import AttemptStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.spec.floors import CoverageFloor

FLOOR = CoverageFloor(CHAIN)
OFFER = CHAIN.cell(ChainState.SELECTING, "offer")[0]
REJECTING = (FaultKind.CALLER, FaultKind.CONTENT, FaultKind.CONTEXT)
ENDINGS = st.one_of(  # None: an answer
    st.none(), st.just(FaultKind.TRANSIENT), st.sampled_from(REJECTING), st.sampled_from(FaultKind)
)
CONFIG = BreakerConfig(
    window=CountWindow(3),
    minimum_calls=2,
    open_duration=4.0,
    max_open_duration=8.0,
    jitter=0.0,
    probe_timeout=8.0,
)


@attrs.frozen
class Named:
    """A candidate: a name and a window."""

    name: str
    context_window: int | None


CANDIDATES = (Named("small", 8), Named("large", 32), Named("unknown", None))


@attrs.define(eq=False)
class Walk:
    """A call on its way, and what the spec has seen of it."""

    chain: Chain
    command: Command | None
    errors: list[Exception] = attrs.field(factory=list)
    skips: list[str] = attrs.field(factory=list)
    called: list[str] = attrs.field(factory=list)
    finals: list[ChainState] = attrs.field(factory=list)


class TheChainKeepsItsWord(RuleBasedStateMachine):
    """Whatever order calls start, wait, end, time out and leave in."""

    walks = Bundle("walks")
    ended = Bundle("ended")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.calls = 0
        self.breakers = {each.name: Breaker(each.name, CONFIG) for each in CANDIDATES}
        self.granted: list[Lease] = []
        self.settlings: list[Lease] = []

    @rule(
        target=walks,
        candidates=st.permutations(CANDIDATES),
        ruled_out=st.sampled_from([None, None, None, 0, 1]),
        deadline=st.sampled_from([None, 0.0, 5.0, 5.0]),
        attempt_timeout=st.sampled_from([None, 2.0]),
    )
    def a_call_starts(
        self,
        candidates: list[Named],
        ruled_out: int | None,
        deadline: float | None,
        attempt_timeout: float | None,
    ) -> Walk:
        self.calls += 1
        order: list[Any] = list(candidates)
        if ruled_out is not None:
            order[ruled_out] = Skip(order[ruled_out].name, "vision")
        chain = Chain(
            "spec",
            self.calls,
            tuple(order),
            None if deadline is None else self.now + deadline,
            attempt_timeout,
            self.now,
            self._see,
        )
        self.walk = Walk(chain, None)
        self.walk.command = chain.next(self.now)
        return self.walk

    @rule(walk=walks)
    def the_driver_asks_the_breaker(self, walk: Walk) -> None:
        self.walk = walk
        if not isinstance(walk.command, Admit):
            return
        breaker = self.breakers[walk.command.candidate.name]
        was_open = breaker.state is BreakerState.OPEN
        until = breaker.open_until
        lease = breaker.admit(self.now)
        if lease is None:
            word = Refusal(breaker.state.value, breaker.open_until, breaker.cause)
            walk.skips.append(breaker.name)
            walk.command = walk.chain.admission(word, self.now)
            return
        if was_open:
            assert until is not None
            assert breaker.now >= until, "an open breaker granted a lease"
        self.granted.append(lease)
        walk.called.append(breaker.name)
        walk.command = walk.chain.admission(lease, self.now)
        assert isinstance(walk.command, Call)

    @rule(
        walk=walks,
        kind=ENDINGS,
        takes=st.sampled_from([0.0, 0.0, 1.0]),
    )
    def a_provider_comes_back(self, walk: Walk, kind: FaultKind | None, takes: float) -> None:
        self.walk = walk
        if not isinstance(walk.command, Call):
            return
        self.now += takes
        lease, breaker = walk.command.lease, self.breakers[walk.command.candidate.name]
        if kind is None:
            self._settle(breaker, lease, None)
            walk.command = walk.chain.answer(self.now)
            return
        error = RuntimeError(kind.value)
        fault = Fault(kind, retry_after=3.0 if kind is FaultKind.RATE_LIMIT else None)
        walk.errors.append(error)
        fault, walk.command = walk.chain.fault(fault, error, self.now)
        self._settle(breaker, lease, fault)
        if kind in (FaultKind.CALLER, FaultKind.CONTENT):
            assert walk.chain.state is ChainState.REJECTED

    @rule(walk=walks, kinds=st.lists(ENDINGS, min_size=2, max_size=3))
    def a_driver_walks_on(self, walk: Walk, kinds: list[FaultKind | None]) -> None:
        """Uninterrupted, for as many endings as were drawn."""
        for kind in kinds:
            while isinstance(walk.command, Admit):
                self.the_driver_asks_the_breaker(walk)
            self.a_provider_comes_back(walk, kind, 0.0)

    @rule(walk=walks)
    def the_timer_rings(self, walk: Walk) -> None:
        while isinstance(walk.command, Admit):
            self.the_driver_asks_the_breaker(walk)
        self.walk = walk
        if not isinstance(walk.command, Call) or walk.command.timeout is None:
            return
        lease, breaker = walk.command.lease, self.breakers[walk.command.candidate.name]
        self.now = max(self.now, lease.admitted_at + walk.command.timeout)
        fault, walk.command = walk.chain.time_out(self.now)
        noted = walk.chain.trail[-1]
        while isinstance(noted, Skip):
            noted = walk.chain.trail[walk.chain.trail.index(noted) - 1]
        assert noted.fault is fault
        assert isinstance(noted.error, TimeoutError)
        walk.errors.append(noted.error)
        self._settle(breaker, lease, fault)

    @rule(walk=walks)
    def the_caller_leaves(self, walk: Walk) -> None:
        self.walk = walk
        if walk.chain.state in FINAL:
            return
        if isinstance(walk.command, Call):
            breaker = self.breakers[walk.command.candidate.name]
            before = breaker.current.tally(self.now), breaker.state
            self._settle(breaker, walk.command.lease, Fault(FaultKind.CANCELLED))
            assert (breaker.current.tally(self.now), breaker.state) == before
        walk.command = None
        walk.chain.abandon(self.now)
        assert walk.chain.state is ChainState.ABANDONED

    @rule(walk=consumes(walks), target=ended)
    def a_call_is_over(self, walk: Walk) -> object:
        """Look at what came of it, once it has ended."""
        if walk.chain.state not in FINAL:
            return multiple()
        assert walk.finals == [walk.chain.state]
        attempts = [item for item in walk.chain.trail if isinstance(item, Attempt)]
        skips = [item for item in walk.chain.trail if isinstance(item, Skip)]
        assert [item.error for item in attempts if item.error is not None] == walk.errors
        assert len({item.provider for item in attempts}) == len(attempts)
        assert {*walk.skips} <= {item.provider for item in skips}
        if isinstance(walk.command, Raise):
            self._look_at(walk, walk.command.error)
        elif walk.chain.state is ChainState.SUCCEEDED:
            assert isinstance(walk.command, Return)
            assert attempts[-1].error is None
        return walk

    @rule(
        walk=ended,
        trigger=st.sampled_from(CHAIN.triggers),
    )
    def nothing_follows_a_final_state(self, walk: Walk, trigger: str) -> None:
        state = walk.chain.state
        try:
            MACHINE.events[trigger].trigger(walk.chain)
        except MachineError:
            assert walk.chain.state is state
        else:
            raise AssertionError(f"{trigger!r} fired in final state {state!r}")

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def every_lease_is_settled_at_most_once(self) -> None:
        assert len({id(lease) for lease in self.settlings}) == len(self.settlings)
        out = sum(1 for lease in self.granted if not lease.settled)
        assert out == sum(breaker.in_flight for breaker in self.breakers.values())

    @invariant()
    def nobody_probes_beyond_the_budget(self) -> None:
        for breaker in self.breakers.values():
            assert len(breaker.probes) <= CONFIG.probe_concurrency

    def _look_at(self, walk: Walk, error: Exception) -> None:
        chain = walk.chain
        assert isinstance(error, (AllProvidersFailed, RequestRejected, DeadlineExceeded))
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
            assert {item.provider for item in chain.trail} == {each.name for each in CANDIDATES}

    def _settle(self, breaker: Breaker, lease: Lease, fault: Fault | None) -> None:
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

    def _see(self, step: ChainEvent) -> None:
        if isinstance(step, AttemptStep):
            FLOOR.see([OFFER])
        FLOOR.see([step.row])
        if step.row.target in FINAL:
            self._final(step)

    def _final(self, step: ChainEvent) -> None:
        assert isinstance(step.row.target, ChainState)
        self.walk.finals.append(step.row.target)


def test_the_chain_keeps_its_word() -> None:
    """Every interleaving drawn keeps the guarantees, and the draws reach every row."""
    run_state_machine_as_test(
        TheChainKeepsItsWord,
        settings=settings(stateful_step_count=60, max_examples=max(300, settings().max_examples)),
    )
    FLOOR.assert_reached(20 if settings().derandomize else 5)  # `ci` always draws the same
