"""The chain's claims, on the real core: several calls at once over the same breakers.

Calls for one answer and for a stream, with retries and without, that wait for breakers or do not.

Guarantees (specs/README.md): 1 an open breaker is never called; 2 all errors are preserved, in
order, as objects; 3 every lease is settled once, and every place in the budget given back once;
7 one final state, and nothing called after it; 8 neutral outcomes change nothing; 9 the chain ends
by its deadline, and no wait goes beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from transitions import MachineError

from fsm_fallback import Fault, FaultKind
from fsm_fallback.core.chain import MACHINE
from fsm_fallback.core.chain_rows import CHAIN, FINAL, ChainState
from fsm_fallback.core.commands import Admit, Call, Emit, Open, Pull, Wait
from fsm_fallback.core.rules import Rules
from specs.walked_calls import CONFIG, FLOOR, PLACES, Walking
from specs.walked_streams import RETRIES, SAMPLES, SHOWN, STREAMS

REJECTING: Final = (FaultKind.CALLER, FaultKind.CONTENT, FaultKind.CONTEXT)
KINDS: Final = st.sampled_from(FaultKind)
TAKES: Final = st.sampled_from([0.0, 0.0, 1.0])
REPORTS: Final = st.sampled_from(
    [
        *("output", "output", "noise", "end", "cut short", "late", "refused"),
        *(FaultKind.TRANSIENT, FaultKind.TRANSIENT, FaultKind.RATE_LIMIT, *REJECTING),
    ]
)
PICK: Final = st.integers(0, 2)
ORDERS: Final = st.permutations(range(3))
CALLS: Final = 4


def some(*commands: type) -> Callable[[Any], Any]:
    """Only while a call has one of these to do."""
    return precondition(
        lambda machine: any(isinstance(walk.command, commands) for walk in machine.open)
    )


class TheChainKeepsItsWord(Walking):
    """Whatever order calls start, wait, end, time out and leave in."""

    @precondition(lambda self: len(self.open) < CALLS)
    @rule(
        order=ORDERS,
        ruled_out=st.sampled_from([None, None, None, 0, 1]),
        deadline=st.sampled_from([None, 0.0, 5.0, 5.0, 9.0]),
        attempt_timeout=st.sampled_from([None, 2.0]),
        rules=st.builds(Rules, retry=RETRIES, stream=STREAMS, waits=st.booleans(), sample=SAMPLES),
    )
    def a_call_starts(
        self,
        order: list[int],
        ruled_out: int | None,
        deadline: float | None,
        attempt_timeout: float | None,
        rules: Rules,
    ) -> None:
        self.begin(self.line(order, ruled_out), deadline, attempt_timeout, rules)

    @precondition(lambda self: len(self.open) < CALLS)
    @rule(
        order=ORDERS,
        ruled_out=st.sampled_from([None, None, None, 1]),
        deadline=st.sampled_from([5.0, 9.0]),
        rules=st.builds(Rules, retry=RETRIES, stream=SHOWN, waits=st.booleans(), sample=SAMPLES),
        breaks=st.integers(0, 2),
        reports=st.lists(REPORTS, max_size=4),
    )
    def a_stream_is_handed_over(
        self,
        order: list[int],
        ruled_out: int | None,
        deadline: float,
        rules: Rules,
        breaks: int,
        reports: list[str | FaultKind],
    ) -> None:
        """A call that begins well, may break, and goes on as drawn."""
        walk = self.begin(self.line(order, ruled_out), deadline, None, rules)
        self.walk_on(walk, ["output", *[FaultKind.TRANSIENT] * breaks, *reports])

    # What a driver reports -------------------------------------------------------------------

    @some(Admit)
    @rule(pick=PICK)
    def the_driver_asks_the_breaker(self, pick: int) -> None:
        self.ask(self.one(pick, Admit))

    @some(Admit)
    @rule(pick=PICK, state=st.sampled_from(["open", "half_open", "forced_open"]))
    def another_process_has_opened_the_breaker(self, pick: int, state: str) -> None:
        """Its word is as good as that of our own."""
        self.refuse_elsewhere(self.one(pick, Admit), state)

    @some(Call, Open, Pull)
    @rule(pick=PICK, kind=st.one_of(st.just(FaultKind.TRANSIENT), KINDS), takes=TAKES)
    def a_provider_fails(self, pick: int, kind: FaultKind, takes: float) -> None:
        self.now += takes
        self.come_back(self.one(pick, Call, Open, Pull), kind)

    @some(Call, Open)
    @rule(pick=PICK, takes=TAKES)
    def a_provider_answers(self, pick: int, takes: float) -> None:
        self.now += takes
        self.come_back(self.one(pick, Call, Open), None)

    @some(Pull)
    @rule(pick=PICK, output=st.booleans(), size=st.sampled_from([0, 1, 3]))
    def an_item_comes(self, pick: int, *, output: bool, size: int) -> None:
        self.item(self.one(pick, Pull), size, output=output)

    @some(Pull)
    @rule(pick=PICK, complete=st.sampled_from([True, True, False]))
    def the_stream_ends(self, pick: int, *, complete: bool) -> None:
        self.end(self.one(pick, Pull), complete=complete)

    @some(Emit)
    @rule(pick=PICK)
    def the_caller_takes_what_was_handed_over(self, pick: int) -> None:
        self.take(self.one(pick, Emit))

    @some(Call, Open, Pull)
    @rule(pick=PICK)
    def the_timer_rings(self, pick: int) -> None:
        self.ring(self.one(pick, Call, Open, Pull))

    @some(Wait)
    @rule(pick=PICK, late=st.sampled_from([0.0, 10.0]))
    def the_wait_is_over(self, pick: int, late: float) -> None:
        self.elapse(self.one(pick, Wait), late)

    @some(Admit, Call, Open, Pull, Emit, Wait)
    @rule(pick=PICK)
    def the_caller_leaves(self, pick: int) -> None:
        walk = self.one(pick, Admit, Call, Open, Pull, Emit, Wait)
        chain = walk.chain
        if chain.state in (ChainState.CALLING, ChainState.STREAMING):
            assert chain.lease is not None
            breaker = self.breakers[chain.candidate.name]
            before = breaker.current.tally(self.now), breaker.state
            self.settle_on(breaker, chain.lease, Fault(FaultKind.CANCELLED))
            assert (breaker.current.tally(self.now), breaker.state) == before
        walk.do(None, self.now)
        chain.abandon(self.now)
        assert chain.state is ChainState.ABANDONED

    @some(Admit, Call, Open, Pull, Emit, Wait)
    @rule(pick=PICK, reports=st.lists(REPORTS, min_size=2, max_size=6))
    def a_driver_walks_on(self, pick: int, reports: list[str | FaultKind]) -> None:
        """Uninterrupted, for as many reports as were drawn."""
        self.walk_on(self.one(pick, Admit, Call, Open, Pull, Emit, Wait), reports)

    @precondition(lambda self: any(walk.chain.deadline for walk in self.open))
    @rule(pick=PICK, breaks=st.booleans())
    def a_deadline_comes(self, pick: int, *, breaks: bool) -> None:
        """And the driver finds out as it does whatever it has to do."""
        found = [walk for walk in self.open if walk.chain.deadline]
        walk = found[pick % len(found)]
        self.now = max(self.now, walk.chain.deadline or 0.0)
        self.take(walk)
        self.elapse(walk, 0.0)
        self.refuse_elsewhere(walk, "open")
        if breaks:
            self.come_back(walk, FaultKind.TRANSIENT)
        self.ring(walk)

    @precondition(lambda self: self.ended)
    @rule(pick=PICK, trigger=st.sampled_from(CHAIN.triggers))
    def nothing_follows_a_final_state(self, pick: int, trigger: str) -> None:
        walk = self.ended[-1 - pick % len(self.ended)]
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

    # What holds at all times -------------------------------------------------------------------

    @invariant()
    def every_lease_is_settled_at_most_once(self) -> None:
        assert len({id(lease) for lease in self.settlings}) == len(self.settlings)
        out = sum(1 for lease in self.granted if not lease.settled)
        assert out == sum(breaker.in_flight for breaker in self.breakers.values())

    @invariant()
    def nobody_probes_beyond_the_budget(self) -> None:
        for breaker in self.breakers.values():
            assert len(breaker.probes) <= CONFIG.probe_concurrency

    @invariant()
    def a_call_has_a_place_only_for_a_retry(self) -> None:
        assert 0 <= self.places.out <= PLACES
        assert self.places.out == sum(walk.place.out for walk in self.open)
        for walk in (*self.open, *self.ended):
            assert walk.place.out in (0, 1)
            assert walk.chain.state not in FINAL or not walk.place.out

    @invariant()
    def no_more_is_held_back_than_there_is_room_for(self) -> None:
        assert all(walk.seen.is_bounded() for walk in self.open)

    @invariant()
    def what_was_handed_over_is_never_denied(self) -> None:
        denying = (ChainState.FAILED, ChainState.REJECTED)
        for walk in (*self.open, *self.ended):
            assert walk.seen.of is None or walk.chain.state not in denying
            assert walk.seen.of is not None or walk.chain.state is not ChainState.INTERRUPTED

    @invariant()
    def no_wait_ends_at_the_deadline_or_beyond(self) -> None:
        for walk in self.open:
            if isinstance(walk.command, Wait) and walk.chain.deadline is not None:
                assert walk.asked_at + walk.command.seconds < walk.chain.deadline

    @invariant()
    def a_call_ends_once_and_tells_all(self) -> None:
        for walk in [walk for walk in self.open if walk.chain.state in FINAL]:
            self.look_back_at(walk)
            self.open.remove(walk)
            self.ended.append(walk)


def test_the_chain_keeps_its_word() -> None:
    """Every interleaving drawn keeps the guarantees, and the draws reach every row."""
    run_state_machine_as_test(
        TheChainKeepsItsWord,
        settings=settings(stateful_step_count=60, max_examples=max(300, settings().max_examples)),
    )
    FLOOR.assert_reached(20 if settings().derandomize else 5)  # `ci` always draws the same
