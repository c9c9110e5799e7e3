"""The breaker's claims, on the real core: interleaved calls, late outcomes, a clock that jumps.

Guarantees (specs/README.md): 1 an open breaker is never called; 3 every lease is settled once; 4
never more probes than allowed; 5 a late outcome changes nothing; 6 a way back to CLOSED from every
state; 8 neutral outcomes leave evidence and state alone; 13 counters equal a naive recount.
"""

from __future__ import annotations

import attrs
import pytest
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

from fsm_fallback import (
    BreakerConfig,
    BreakerSnapshot,
    BreakerState,
    ConfigurationError,
    Fault,
    FaultKind,
)
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.lease import Lease
from fsm_fallback.spec.floors import CoverageFloor
from fsm_fallback.spec.stateful import breaker_configs
from specs.reference_breaker import (
    Recount,
    ReferenceBreaker,
    ReferenceLease,
    ReferenceSnapshot,
)

TICK = 2.0**-10  # binary fractions: sums of times are exact
FLOOR = CoverageFloor(BREAKER)
OUTCOMES = ("success", "failure", "failure", "neutral")
DURATIONS = (None, None, 0.0, 1.0 - TICK, 1.0, 5.0)  # None: as the clock says
WORDS = ("force_open", "disable", "observe", "reset")
OPERATED = (BreakerState.FORCED_OPEN, BreakerState.DISABLED, BreakerState.OBSERVING)
EVIDENT = (BreakerState.CLOSED, BreakerState.OBSERVING)
LONGEST_HOLD = {FaultKind.RATE_LIMIT: 300.0, FaultKind.QUOTA: 3600.0}
BIRTHS = st.sampled_from([0.0, 0.0, -7.25, 1000.5])
SAMPLES = (0.5, 0.0, 0.25, 0.875)
PATIENCE = 6  # callers until an operator resets what operators did


def recounted(snapshot: BreakerSnapshot) -> Recount:
    """The part of a snapshot that a recount must agree with."""
    return Recount(
        calls=snapshot.calls,
        failures=snapshot.failures,
        slow_calls=snapshot.slow_calls,
        failure_ratio=snapshot.failure_ratio,
        slow_call_ratio=snapshot.slow_call_ratio,
    )


@attrs.frozen
class Pair:
    """One lease, as the breaker and as the reference know it."""

    real: Lease
    reference: ReferenceLease


@attrs.frozen
class Picture:
    """How a breaker stood, as the breaker and as the reference put it."""

    real: BreakerSnapshot
    reference: ReferenceSnapshot


class TheBreakerAgreesWithItsReference(RuleBasedStateMachine):
    """Whatever callers, providers, operators and the clock do, both say the same."""

    leases = Bundle("leases")
    settled = Bundle("settled")

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[BreakerStep] = []
        self.now = 0.0
        self.asked = 0
        self.spoken_at = 0
        self.late = 0
        self.settled_again = 0
        self.generation = -1

    @initialize(config=breaker_configs(), born_at=BIRTHS)
    def a_breaker_is_born(self, config: BreakerConfig, born_at: float) -> None:
        self.now = born_at
        self.breaker = Breaker(
            "b", config, now=born_at, record=self.steps.append, record_stays=True
        )
        self.reference = ReferenceBreaker(config, now=born_at)
        self.picture = self._picture()

    # Callers ------------------------------------------------------------------------------------

    @rule(target=leases)
    def a_caller_comes(self) -> object:
        return self._asked()

    @rule(
        pair=consumes(leases),
        outcome=st.sampled_from(OUTCOMES),
        duration=st.sampled_from(DURATIONS),
        target=settled,
    )
    def a_call_ends(self, pair: Pair, outcome: str, duration: float | None) -> Pair:
        self._settle_on_another_breaker(pair)
        self._settle(pair, outcome, duration)
        return pair

    @rule(
        outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=2, max_size=6),
        seconds=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
        duration=st.sampled_from(DURATIONS),
    )
    def calls_come_and_go(
        self, outcomes: list[str], seconds: float, duration: float | None
    ) -> None:
        """As many calls as are admitted, ending in the order they came."""
        pairs = [self._ask() for _ in outcomes]
        for pair, outcome in zip(pairs, outcomes, strict=True):
            self.now += seconds
            if pair is not None:
                self._settle(pair, outcome, duration)

    @precondition(lambda self: self.slow is not None and self.breaker.state in EVIDENT)
    @rule(
        callers=st.integers(2, 4),
        offset=st.sampled_from([-TICK, 0.0, 0.0, TICK]),
        next_one=st.sampled_from(["asks", "asks", "success", "failure"]),
        target=leases,
    )
    def calls_hang_as_another_one(self, callers: int, offset: float, next_one: str) -> object:
        """Comes, or ends well, or fails; they were let through about as long ago as is slow."""
        hanging = [self._ask() for _ in range(callers)]
        self.now = self.breaker.now + (self.slow or 0.0) + offset
        other = hanging.pop() if next_one != "asks" else self._ask()
        if other is not None and next_one != "asks":
            self._settle(other, next_one, duration=0.0)
            other = None
        return multiple(*(pair for pair in (*hanging, other) if pair is not None))

    @precondition(lambda self: self.breaker.state not in OPERATED)
    @rule(
        outcomes=st.lists(st.sampled_from(OUTCOMES[:2]), min_size=4, max_size=4),
        durations=st.lists(st.sampled_from([0.0, 0.0, 5.0]), min_size=4, max_size=4),
    )
    def a_whole_round_is_probed(self, outcomes: list[str], durations: list[float]) -> None:
        """Open, if only because an operator held it; then callers come one after the other."""
        if self.breaker.state is BreakerState.CLOSED:
            self._operate("hold")
        self._wait_until_open_time_ends()
        wanted = self.breaker.config.probe_calls
        for outcome, duration in zip(outcomes[:wanted], durations[:wanted], strict=True):
            pair = self._ask()
            if pair is not None:
                self._settle(pair, outcome, duration)

    @precondition(lambda self: self.breaker.state in {BreakerState.OPEN, BreakerState.HALF_OPEN})
    @rule(word=st.sampled_from(WORDS), after=st.sampled_from(["opening", "probe"]), target=leases)
    def an_operator_speaks_after(self, word: str, after: str) -> object:
        if after == "probe":
            self._wait_until_open_time_ends()
        pair = self._asked()
        self._operate(word)
        return pair

    @rule(pair=leases | settled)
    def a_stream_gives_output(self, pair: Pair) -> None:
        """For the first time, or again, or of a stream that is over."""
        self.breaker.begin_output(pair.real, self.now)
        self.reference.begin_output(pair.reference, self.now)

    @rule(pair=settled, outcome=st.sampled_from([*OUTCOMES, "hold"]))
    def a_lease_is_settled_again(self, pair: Pair, outcome: str) -> None:
        before = self.breaker.snapshot(self.now)
        if outcome == "hold":
            self.breaker.hold(self.now + 50.0, self.now, pair.real)
            self.reference.hold(self.now + 50.0, self.now, pair.reference)
        else:
            self._settle(pair, outcome)
        assert self.breaker.snapshot(self.now) == before

    # Providers and operators --------------------------------------------------------------------

    @rule(
        pair=consumes(leases),
        seconds=st.sampled_from([0.0, TICK, 1.0, 6.0, 20.0, 200.0]),
        kind=st.sampled_from([FaultKind.RATE_LIMIT, FaultKind.QUOTA]),
        target=settled,
    )
    def a_provider_names_a_time(self, pair: Pair, seconds: float, kind: FaultKind) -> Pair:
        until = max(self.now, self.breaker.now) + seconds
        before = self.breaker.open_until
        self.breaker.hold(until, self.now, pair.real, Fault(kind))
        self.reference.hold(until, self.now, pair.reference, LONGEST_HOLD[kind])
        if self.breaker.state is BreakerState.OPEN and before is not None:
            assert self.breaker.open_until is not None
            assert self.breaker.open_until >= before
        return pair

    @precondition(lambda self: self.asked % 3 == 2)
    @rule(words=st.lists(st.sampled_from([*WORDS, "hold"]), min_size=1, max_size=4))
    def operators_speak(self, words: list[str]) -> None:
        """Now and then: more often, and nothing else would ever happen."""
        for word in words:
            self._operate(word)

    @precondition(lambda self: self.asked % 4 == 2)
    @rule()
    def a_snapshot_is_restored(self) -> None:
        """One taken a while ago; a breaker with other parameters refuses it."""
        config = attrs.evolve(self.breaker.config, probe_timeout=7.0)
        other = Breaker("other", config, now=self.now)
        before = other.snapshot(self.now)
        with pytest.raises(ConfigurationError):
            other.restore(self.picture.real, self.now + 1.0)
        assert other.snapshot(self.now) == before
        self.breaker.restore(self.picture.real, self.now)
        self.reference.take_over(self.picture.reference, self.now)

    # Time ---------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([TICK, 0.5, 1.0, 3.0, 9.0, -0.5, -10.0]))
    def time_passes_or_the_clock_jumps_back(self, seconds: float) -> None:
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

    # Facts --------------------------------------------------------------------------------------

    @invariant()
    def both_stand_alike(self) -> None:
        breaker, reference = self.breaker, self.reference
        assert breaker.state.value == reference.state
        assert breaker.holds == reference.holds
        assert breaker.step == reference.openings
        assert breaker.not_permitted == reference.refused
        if breaker.state is BreakerState.OPEN:
            assert breaker.open_until == reference.open_until
        else:
            assert breaker.open_until is None

    @invariant()
    def counters_equal_a_recount(self) -> None:
        snapshot = self.breaker.snapshot(self.now)
        assert recounted(snapshot) == self.reference.recount(self.now)
        assert snapshot.in_flight == self.breaker.in_flight == self.reference.in_flight()

    @invariant()
    def the_probe_budget_is_kept(self) -> None:
        assert sorted(self.breaker.probes.values()) == self.reference.deadlines()
        assert len(self.breaker.probes) <= self.breaker.config.probe_concurrency

    @invariant()
    def a_generation_is_never_reused(self) -> None:
        if self.breaker.generation != self.generation:
            assert self.breaker.generation > self.generation
            self.generation = self.breaker.generation

    @invariant()
    def every_step_is_a_row_of_the_table_or_late(self) -> None:
        for step in self.steps:
            if step.verdict == "late":
                assert step.row is None
                assert step.source is step.target
                again = step.because == {"settled_before": True}
                self.settled_again += again
                self.late += not again
                continue
            if step.row is None:
                assert step.trigger == "restore"
                continue
            assert step.row.source is step.source
            assert step.target is (step.row.target or step.source)
            assert (step.verdict == "moved") == (step.row.target is not None)
        FLOOR.see(step.row for step in self.steps if step.row is not None)
        self.steps.clear()
        assert self.late == self.reference.late
        assert self.settled_again == self.reference.settled_again

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

    # Both at once -------------------------------------------------------------------------------

    @property
    def slow(self) -> float | None:
        """How long a slow call takes."""
        return self.breaker.config.slow_call_duration

    def _wait_until_open_time_ends(self) -> None:
        if self.breaker.open_until is not None:
            self.now = self.breaker.open_until

    def _asked(self) -> object:
        pair = self._ask()
        return multiple() if pair is None else pair

    def _ask(self) -> Pair | None:
        self.asked += 1
        self.breaker.sample = self.reference.sample = SAMPLES[self.asked % len(SAMPLES)]
        if self.asked % 8 == 1:
            self.picture = self._picture()
        if self.breaker.state in OPERATED and self.asked > self.spoken_at + PATIENCE:
            self._operate("reset")
        before = self.breaker.snapshot(self.now)
        foretold = self.breaker.would_admit(self.now)
        assert self.breaker.snapshot(self.now) == before
        lease = self.breaker.admit(self.now)
        expected = self.reference.ask(self.now)
        assert (lease is not None) == (expected is not None) == foretold
        if lease is None or expected is None:
            if self.asked % 2 and self.breaker.open_until is not None:
                self.now = self.breaker.open_until  # this caller waits as long as it is told to
            return None
        assert lease.generation == self.breaker.generation
        return Pair(lease, expected)

    def _settle(self, pair: Pair, outcome: str, duration: float | None = None) -> None:
        before, generation = self._evidence(), self.breaker.generation
        late = pair.real.settled or pair.real.generation != generation
        match outcome:
            case "success":
                self.breaker.succeed(pair.real, self.now, duration)
            case "failure":
                self.breaker.fail(pair.real, self.now, Fault(FaultKind.TRANSIENT), duration)
            case _:
                self.breaker.release(pair.real, self.now)
        self.reference.settle(pair.reference, self.now, outcome, duration)
        if late or outcome == "neutral":
            assert self._evidence() == before
            assert self.breaker.generation == generation

    def _settle_on_another_breaker(self, pair: Pair) -> None:
        other = Breaker("other", self.breaker.config, now=self.now)
        before = self.breaker.snapshot(self.now), other.snapshot(self.now)
        for settle in (other.succeed, other.fail, other.release, other.begin_output):
            with pytest.raises((ValueError, ConfigurationError)):
                settle(pair.real, self.now)
        with pytest.raises((ValueError, ConfigurationError)):
            other.hold(self.now + 1.0, self.now, pair.real)
        assert (self.breaker.snapshot(self.now), other.snapshot(self.now)) == before

    def _operate(self, word: str) -> None:
        self.spoken_at = self.asked
        if word == "hold":
            until = max(self.now, self.breaker.now) + 6.0
            self.breaker.hold(until, self.now, actor="ops", reason="spec")
            self.reference.hold(until, self.now, None)
            return
        getattr(self.breaker, word)(self.now, actor="ops", reason="spec")
        self.reference.operate(word, self.now)
        if word == "reset":
            assert self.breaker.state is BreakerState.CLOSED

    def _picture(self) -> Picture:
        return Picture(self.breaker.snapshot(self.now), self.reference.picture(self.now))

    def _evidence(self) -> tuple[int, int]:
        snapshot = self.breaker.snapshot(self.now)
        return snapshot.calls, snapshot.failures


def test_the_breaker_agrees_with_its_reference() -> None:
    """Every interleaving drawn agrees with the naive model, and the draws reach every row."""
    run_state_machine_as_test(
        TheBreakerAgreesWithItsReference,
        settings=settings(stateful_step_count=60, max_examples=max(500, settings().max_examples)),
    )
    FLOOR.assert_reached(20)
