"""The breaker's claims, on the real core: interleaved calls, late outcomes, a clock that jumps.

Guarantees (specs/README.md): 1 an open breaker is never called; 3 every lease is settled once; 4
never more probes than allowed; 5 a late outcome changes nothing; 6 a way back to CLOSED from every
state; 8 neutral outcomes leave evidence and state alone; 13 counters equal a naive recount.
"""

from __future__ import annotations

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fsm_fallback import BreakerConfig, BreakerState, CountWindow, Fault, FaultKind
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.lease import Lease
from specs.coverage_floor import CoverageFloor
from specs.reference_breaker import ReferenceBreaker, ReferenceLease

TICK = 2.0**-10  # binary fractions: sums of times are exact
FLOOR = CoverageFloor(BREAKER)
OUTCOMES = ("success", "failure", "failure", "neutral")
WORDS = ("force_open", "disable", "observe", "reset")
OPERATED = (BreakerState.FORCED_OPEN, BreakerState.DISABLED, BreakerState.OBSERVING)


@st.composite
def configs(draw: st.DrawFn) -> BreakerConfig:
    """Small windows and rounds, so that a few dozen steps see everything."""
    size = draw(st.integers(1, 6))
    probes = draw(st.sampled_from([1, 2, 3, 4, 4]))
    return BreakerConfig(
        window=CountWindow(size),
        minimum_calls=draw(st.integers(1, size)),
        failure_ratio=draw(st.sampled_from([0.25, 0.5, 0.75, 1.0])),
        open_duration=4.0,
        backoff_factor=draw(st.sampled_from([1.0, 2.0])),
        max_open_duration=draw(st.sampled_from([4.0, 16.0])),
        jitter=0.0,
        probe_calls=probes,
        probe_concurrency=draw(st.integers(1, probes)),
        probe_timeout=8.0,
        early_verdict=draw(st.sampled_from([True, False, False])),
        max_hold=32.0,
    )


@attrs.frozen
class Pair:
    """One lease, as the breaker and as the reference know it."""

    real: Lease
    reference: ReferenceLease


class TheBreakerAgreesWithItsReference(RuleBasedStateMachine):
    """Whatever callers, providers, operators and the clock do, both say the same."""

    leases = Bundle("leases")
    settled = Bundle("settled")

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[BreakerStep] = []
        self.now = 0.0
        self.granted: list[Lease] = []
        self.generations = [0]

    @initialize(config=configs())
    def a_breaker_is_born(self, config: BreakerConfig) -> None:
        self.breaker = Breaker("b", config, record=self.steps.append, record_stays=True)
        self.reference = ReferenceBreaker(config)

    @rule(target=leases)
    def a_caller_comes(self) -> object:
        return self._asked()

    @rule(pair=consumes(leases), outcome=st.sampled_from(OUTCOMES), target=settled)
    def a_call_ends(self, pair: Pair, outcome: str) -> Pair:
        self._settle(pair, outcome)
        return pair

    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=2, max_size=6))
    def calls_come_and_go(self, outcomes: list[str]) -> None:
        """As many calls as are admitted, ending in the order they came."""
        pairs = [self._ask() for _ in outcomes]
        for pair, outcome in zip(pairs, outcomes, strict=True):
            if pair is not None:
                self._settle(pair, outcome)

    @precondition(lambda self: self.breaker.state not in OPERATED)
    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES[:2]), min_size=4, max_size=4))
    def a_whole_round_is_probed(self, outcomes: list[str]) -> None:
        """Open, if only because an operator held it; then callers come one after the other."""
        if self.breaker.state is BreakerState.CLOSED:
            self.an_operator_holds(1.0)
        if self.breaker.open_until is not None:
            self.now = self.breaker.open_until
        for outcome in outcomes[: self.breaker.config.probe_calls]:
            pair = self._ask()
            if pair is not None:
                self._settle(pair, outcome)

    @rule(pair=settled, outcome=st.sampled_from(OUTCOMES))
    def a_lease_is_settled_again(self, pair: Pair, outcome: str) -> None:
        before = self.breaker.snapshot(self.now)
        self._settle(pair, outcome)
        assert self.breaker.snapshot(self.now) == before

    @rule(
        pair=consumes(leases),
        seconds=st.sampled_from([0.0, TICK, 1.0, 6.0, 20.0, 100.0]),
        target=settled,
    )
    def a_provider_names_a_time(self, pair: Pair, seconds: float) -> Pair:
        until = max(self.now, self.breaker.now) + seconds
        before = self.breaker.open_until
        self.breaker.hold(until, self.now, pair.real, Fault(FaultKind.RATE_LIMIT))
        self.reference.hold(until, self.now, pair.reference)
        if self.breaker.state is BreakerState.OPEN and before is not None:
            assert self.breaker.open_until is not None
            assert self.breaker.open_until >= before
        return pair

    @rule(seconds=st.sampled_from([1.0, 6.0, 50.0]))
    def an_operator_holds(self, seconds: float) -> None:
        until = max(self.now, self.breaker.now) + seconds
        self.breaker.hold(until, self.now)
        self.reference.hold(until, self.now, None)

    @rule(pair=consumes(leases))
    def a_lease_is_forgotten(self, pair: Pair) -> None:
        """Its caller hangs for good: nothing comes back, ever."""

    @precondition(lambda self: self.breaker.state is BreakerState.HALF_OPEN)
    @rule(word=st.sampled_from(WORDS))
    def an_operator_interrupts_a_round(self, word: str) -> None:
        self.operators_speak([word])

    @precondition(lambda self: len(self.granted) % 3 == 2)
    @rule(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))
    def operators_speak(self, words: list[str]) -> None:
        """Now and then: more often, and nothing else would ever happen."""
        for word in words:
            getattr(self.breaker, word)(self.now, actor="ops", reason="spec")
            self.reference.operate(word, self.now)
            if word == "reset":
                assert self.breaker.state is BreakerState.CLOSED

    @rule(seconds=st.sampled_from([TICK, 1.0, 3.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.open_until is not None)
    @rule(offset=st.sampled_from([-TICK, 0.0, 0.0, TICK]), target=leases)
    def a_caller_comes_as_the_open_time_ends(self, offset: float) -> object:
        assert self.breaker.open_until is not None
        self.now = self.breaker.open_until + offset
        return self._asked()

    @precondition(lambda self: bool(self.breaker.probes))
    @rule(offset=st.sampled_from([-TICK, 0.0, TICK, TICK]), target=leases)
    def a_caller_comes_as_a_probe_is_overdue(self, offset: float) -> object:
        self.now = min(self.breaker.probes.values()) + offset
        return self._asked()

    @rule(seconds=st.sampled_from([0.5, 10.0]))
    def the_clock_jumps_back(self, seconds: float) -> None:
        self.now -= seconds

    @invariant()
    def both_stand_alike(self) -> None:
        breaker, reference = self.breaker, self.reference
        assert breaker.state.value == reference.state
        assert breaker.holds == reference.holds
        assert breaker.not_permitted == reference.refused
        if breaker.state is BreakerState.OPEN:
            assert breaker.open_until == reference.open_until
            assert breaker.step == reference.openings

    @invariant()
    def counters_equal_a_recount(self) -> None:
        window = self.reference.window()
        if self.breaker.state in (BreakerState.CLOSED, BreakerState.OBSERVING):
            assert self._evidence() == (len(window), sum(window))
        assert self.breaker.in_flight == self.reference.in_flight()

    @invariant()
    def the_probe_budget_is_kept(self) -> None:
        assert len(self.breaker.probes) == self.reference.probes_out()
        assert len(self.breaker.probes) <= self.breaker.config.probe_concurrency

    @invariant()
    def a_generation_is_never_reused(self) -> None:
        if self.breaker.generation != self.generations[-1]:
            assert self.breaker.generation > self.generations[-1]
            self.generations.append(self.breaker.generation)

    @invariant()
    def every_step_is_a_row_of_the_table(self) -> None:
        for step in self.steps:
            if step.row is None:
                assert step.verdict == "late"
                assert step.source is step.target
                continue
            assert step.row.source is step.source
            assert step.target is (step.row.target or step.source)
            assert (step.verdict == "moved") == (step.row.target is not None)
        FLOOR.see(step.row for step in self.steps if step.row is not None)
        self.steps.clear()

    def teardown(self) -> None:
        """From wherever it stands, time and well-meaning callers lead back to CLOSED."""
        if not hasattr(self, "breaker"):
            return
        if self.breaker.state in OPERATED:
            self.breaker.reset(self.now)
        for _ in range(50):
            if self.breaker.state is BreakerState.CLOSED:
                return
            self.now = max(self.now, self.breaker.now) + 100.0
            lease = self.breaker.admit(self.now)
            if lease is not None:
                self.breaker.succeed(lease, self.now)
        raise AssertionError(f"no way back to CLOSED from {self.breaker!r}")

    def _asked(self) -> object:
        pair = self._ask()
        return multiple() if pair is None else pair

    def _ask(self) -> Pair | None:
        lease = self.breaker.admit(self.now)
        expected = self.reference.ask(self.now)
        assert (lease is None) == (expected is None)
        if lease is None or expected is None:
            return None
        self.granted.append(lease)
        assert lease.generation == self.breaker.generation
        return Pair(lease, expected)

    def _settle(self, pair: Pair, outcome: str) -> None:
        before, generation = self._evidence(), self.breaker.generation
        late = pair.real.settled or pair.real.generation != generation
        match outcome:
            case "success":
                self.breaker.succeed(pair.real, self.now)
            case "failure":
                self.breaker.fail(pair.real, self.now, Fault(FaultKind.TRANSIENT))
            case _:
                self.breaker.release(pair.real, self.now)
        self.reference.settle(pair.reference, self.now, outcome)
        if late or outcome == "neutral":
            assert self._evidence() == before
            assert self.breaker.generation == generation

    def _evidence(self) -> tuple[int, int]:
        return self.breaker.evidence.calls, self.breaker.evidence.failures


def test_the_breaker_agrees_with_its_reference() -> None:
    """Every interleaving drawn agrees with the naive model, and the draws reach every row."""
    run_state_machine_as_test(
        TheBreakerAgreesWithItsReference,
        settings=settings(stateful_step_count=60, max_examples=max(500, settings().max_examples)),
    )
    FLOOR.assert_reached(5)
