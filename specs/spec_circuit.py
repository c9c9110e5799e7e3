"""The public breaker's claims: calls in every form, overlapping, late or never back.

While CLOSED a call takes no lock; here it is held to the same naive reference as the pure core, in
all the forms a user may write it in. Coroutines and generators are driven by hand, each in its own
context as a task is, so that calls overlap in any order; whatever they wait for is `suspended`.

Guarantees (specs/README.md): 1 an open breaker is never called; 3 every lease is settled once,
whatever is raised, cancelled or dropped; 4 never more probes than allowed; 5 a late outcome changes
nothing; 6 a way back to CLOSED; 8 neutral outcomes leave evidence and state alone; 13 counters
equal a naive recount.
"""

from __future__ import annotations

import logging
from itertools import product

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
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
    BreakerState,
)
from fsm_fallback.spec.stateful import breaker_configs
from specs.call_forms import (
    BLOCKS,
    ENDINGS,
    FORMS,
    SUSPENDED,
    THROWN,
    Flight,
    Pair,
    steady,
    straight,
)
from specs.driven_calls import (
    ENDS,
    FLOOR,
    WAYS,
    DrivenCalls,
)
from specs.spec_breaker import (
    BIRTHS,
    DURATIONS,
    EVIDENT,
    OPERATED,
    SAMPLES,
    TICK,
    WORDS,
    recounted,
)


class Calls(DrivenCalls):
    """Calls in whatever form, ending in whatever order; what is claimed of them stands below."""

    flights = Bundle("flights")
    leases = Bundle("leases")
    settled = Bundle("settled")

    @rule(target=leases)
    def a_lease_is_taken(self) -> object:
        pair = self._take()
        return multiple() if pair is None else pair

    @rule(
        pair=consumes(leases),
        ending=st.sampled_from(["success", "failure", "neutral", "hold", "fault"]),
        duration=st.sampled_from(DURATIONS),
        target=settled,
    )
    def a_lease_is_settled(self, pair: Pair, ending: str, duration: float | None) -> Pair:
        self._settle_on_another_breaker(pair)
        self._settle_by_hand(pair, ending, duration)
        return pair

    @rule(pair=settled, ending=st.sampled_from(["success", "failure", "neutral", "hold"]))
    def a_lease_is_settled_again(self, pair: Pair, ending: str) -> None:
        self._settle_by_hand(pair, ending, None)

    @rule(pair=leases | settled)
    def a_stream_by_hand_gives_output(self, pair: Pair) -> None:
        assert pair.real is not None
        pair.real.begin_output()
        self.reference.begin_output(pair.reference, self.clock())

    @rule(pair=consumes(leases))
    def a_lease_is_dropped(self, pair: Pair) -> None:
        """The next operation finds it."""
        pair.real = None
        pair.reference.lost = True

    # Calls --------------------------------------------------------------------------------------

    @rule(
        form=st.sampled_from(SUSPENDED),
        lasts=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
        target=flights,
    )
    def a_call_begins(self, form: str, lasts: float) -> object:
        flight = self._begin(form, self._job(lasts))
        return multiple() if flight is None else flight

    @rule(flight=flights)
    def a_call_goes_on(self, flight: Flight) -> None:
        """A stream gives output; whatever else waits is woken for nothing."""
        flight.job.waits = False
        flight.run("send", None)
        self._note_output(flight)

    @rule(flight=consumes(flights), ending=st.sampled_from(ENDINGS))
    def a_call_ends(self, flight: Flight, ending: str) -> None:
        self._end(flight, ending)

    @rule(
        flight=consumes(flights),
        how=st.sampled_from(["dropped", "closed", *THROWN]),
    )
    def a_call_is_cut(self, flight: Flight, how: str) -> None:
        """An error is thrown into it, or it is closed, or not even that."""
        self.in_the_air.remove(flight)
        if how in THROWN:
            self._throw(flight, THROWN[how]())
        elif how == "closed" or flight.awaited:
            self._close(flight)
            self._settle_reference(flight.reference, "neutral")
        elif flight.form in BLOCKS:  # collected outside its context: only its lease tells
            flight.driven = flight.context = None
            flight.reference.lost = True
        else:
            flight.driven = None
            self._settle_reference(flight.reference, "neutral")

    @rule(
        form=st.sampled_from(FORMS),
        lasts=st.sampled_from([0.0, 0.0, 0.0, 1.0, 5.0]),
        ending=st.sampled_from(ENDINGS),
    )
    def a_call_comes_and_goes(self, form: str, lasts: float, ending: str) -> None:
        if form in SUSPENDED:
            self._give_up_before_it_begins(form)
        self._pass(form, self._job(lasts), ending)

    @rule(
        forms=st.lists(st.sampled_from(FORMS), min_size=2, max_size=6),
        endings=st.lists(st.sampled_from(["success", "failure"]), min_size=6, max_size=6),
    )
    def calls_come_and_go(self, forms: list[str], endings: list[str]) -> None:
        for form, ending in zip(forms, endings, strict=False):
            self._pass(form, self._job(), ending)

    @rule(
        form=st.sampled_from(FORMS),
        ending=st.sampled_from(ENDINGS),
        happening=st.lists(
            st.sampled_from(["time", "back", "failure", "success", "block", "lease", *WORDS]),
            min_size=1,
            max_size=4,
        ),
    )
    def things_happen_during_a_call(self, form: str, ending: str, happening: list[str]) -> None:
        def happen() -> None:
            for what in happening:
                self._happen(what)

        self._pass(form, self._job(meanwhile=happen), ending)

    @precondition(lambda self: self.slow is not None and self.breaker.state in EVIDENT)
    @rule(
        forms=st.lists(st.sampled_from(SUSPENDED), min_size=1, max_size=4),
        offset=st.sampled_from([-TICK, 0.0, 0.0, TICK]),
        next_one=st.sampled_from(["asks", "asks", "success", "failure"]),
        target=flights,
    )
    def calls_hang_as_another_one(self, forms: list[str], offset: float, next_one: str) -> object:
        """Comes, or ends well, or fails; they were let through about as long ago as is slow."""
        hanging = [self._begin(form, self._job()) for form in forms]
        last = self._take()
        self.clock.advance((self.slow or 0.0) + offset)
        if last is not None:
            self._settle_by_hand(last, "neutral" if next_one == "asks" else next_one, 0.0)
        if next_one == "asks":
            self._pass("function", self._job(), "success")
        return multiple(*(flight for flight in hanging if flight is not None))

    @precondition(
        lambda self: (
            self.breaker.state not in OPERATED
            and (self.all_is_recorded or self.breaker.state is not BreakerState.CLOSED)
        )
    )
    @rule(
        forms=st.lists(st.sampled_from(FORMS), min_size=4, max_size=4),
        endings=st.lists(st.sampled_from(["success", "failure"]), min_size=4, max_size=4),
        lasts=st.lists(st.sampled_from([0.0, 0.0, 5.0]), min_size=4, max_size=4),
    )
    def a_whole_round_is_probed(
        self, forms: list[str], endings: list[str], lasts: list[float]
    ) -> None:
        """Open, if only because an operator held it; then callers come one after the other."""
        if self.breaker.state is BreakerState.CLOSED:
            self._operate("hold")
        self._wait_until_open_time_ends(0.0)
        wanted = self.breaker.config.probe_calls
        for form, ending, seconds in list(zip(forms, endings, lasts, strict=True))[:wanted]:
            self._pass(form, self._job(seconds), ending)

    @precondition(lambda self: self.breaker.state in {BreakerState.OPEN, BreakerState.HALF_OPEN})
    @rule(
        word=st.sampled_from(WORDS),
        after=st.sampled_from(["opening", "probe"]),
        form=st.sampled_from(SUSPENDED),
        target=flights,
    )
    def an_operator_speaks_after(self, word: str, after: str, form: str) -> object:
        if after == "probe":
            self._wait_until_open_time_ends(0.0)
        flight = self._begin(form, self._job())
        self._operate(word)
        return multiple() if flight is None else flight

    # Operators and time -------------------------------------------------------------------------

    @precondition(lambda self: self.asked % 3 == 2)
    @rule(words=st.lists(st.sampled_from([*WORDS, "hold", "hold briefly"]), min_size=1, max_size=3))
    def operators_speak(self, words: list[str]) -> None:
        """Now and then: more often, and nothing else would ever happen."""
        for word in words:
            self._operate(word)

    @precondition(lambda self: self.asked % 4 == 2)
    @rule()
    def a_snapshot_is_restored(self) -> None:
        """One taken a while ago."""
        self.breaker.restore(self.picture.real)
        self.reference.take_over(self.picture.reference, self.clock())

    @rule(seconds=st.sampled_from([TICK, 0.5, 1.0, 3.0, 9.0, -0.5, -10.0]))
    def time_passes_or_the_clock_jumps_back(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.breaker.state is BreakerState.OPEN)
    @rule(offset=st.sampled_from([-TICK, 0.0, 0.0, TICK]), form=st.sampled_from(SUSPENDED))
    def a_caller_comes_as_the_open_time_ends(self, offset: float, form: str) -> None:
        self._wait_until_open_time_ends(offset)
        self._pass(form, self._job(), "success")

    @precondition(lambda self: bool(self.reference.deadlines()))
    @rule(offset=st.sampled_from([-TICK, 0.0, TICK, TICK]), form=st.sampled_from(SUSPENDED))
    def a_caller_comes_as_a_probe_is_overdue(self, offset: float, form: str) -> None:
        self.clock.advance(self.reference.deadlines()[0] + offset - self.clock())
        self._pass(form, self._job(), "success")

    # Facts --------------------------------------------------------------------------------------

    @invariant()
    def both_stand_alike(self) -> None:
        snapshot = self.breaker.snapshot()
        assert self.breaker.state is snapshot.state
        assert snapshot.state.value == self.reference.state
        assert snapshot.holds == self.reference.holds
        assert snapshot.step == self.reference.openings
        assert snapshot.not_permitted == self.reference.refused
        if snapshot.state is BreakerState.OPEN:
            assert snapshot.open_until == self.reference.open_until
        else:
            assert snapshot.open_until is None

    @invariant()
    def counters_equal_a_recount(self) -> None:
        snapshot = self.breaker.snapshot()
        assert recounted(snapshot) == self.reference.recount(self.clock())
        assert snapshot.in_flight == self.reference.in_flight()

    @invariant()
    def the_probe_budget_is_kept(self) -> None:
        assert self.reference.probes_out() <= self.breaker.config.probe_concurrency

    @invariant()
    def nothing_is_called_twice(self) -> None:
        assert all(flight.job.calls == 1 for flight in self.in_the_air)

    @invariant()
    def every_move_is_told_once_and_in_order(self) -> None:
        for event in self.events:
            if event.verdict == "late":
                again = event.because == {"settled_before": True}
                self.settled_again += again
                self.late += not again
            elif event.verdict == "moved":
                generation = event.facts["generation"]
                assert isinstance(generation, int)
                assert generation > self.told_generation
                assert event.source is self.told_state
                self.told_generation = generation
                assert isinstance(event.target, BreakerState)
                self.told_state = event.target
        self.events.clear()
        assert self.told_state is self.breaker.state
        if self.told_generation >= 0:
            assert self.told_generation == self.breaker.snapshot().generation
        assert self.late == self.reference.late
        assert self.settled_again == self.reference.settled_again

    @invariant()
    def every_step_is_a_row_of_the_table(self) -> None:
        FLOOR.see(step.row for step in self.steps if step.row is not None)
        self.steps.clear()

    def teardown(self) -> None:
        """Whoever is out comes back, and from wherever it stands a way leads back to CLOSED."""
        if not hasattr(self, "breaker"):
            return
        for flight in self.in_the_air:
            self._close(flight)
        self.every_step_is_a_row_of_the_table()
        for pair in self.by_hand:
            if pair.real is not None and not pair.reference.settled:
                pair.real.release()
        if self.breaker.state in OPERATED:
            self.breaker.reset()
        self.clock.advance_to(self.reference.now)
        for _ in range(50):
            if self.breaker.state is BreakerState.CLOSED:
                break
            self.clock.advance(100.0)
            lease = self.breaker.try_acquire()
            if lease is not None:
                lease.succeed()
        else:
            raise AssertionError(f"no way back to CLOSED from {self.breaker!r}")
        self.breaker.reset()
        assert self.breaker.snapshot().in_flight == 0


class CallsOfEveryFormAgreeWithTheReference(Calls):
    """Where every firing is recorded, and every call walks the table."""

    all_is_recorded = True

    @initialize(config=breaker_configs(), born_at=BIRTHS, sample=st.sampled_from(SAMPLES))
    def a_breaker_is_born(self, config: BreakerConfig, born_at: float, sample: float) -> None:
        self._bear(config, born_at, sample, listener_raises=False)


class StraightCallsAgreeWithTheReference(Calls):
    """Where only moves are recorded, and calls go straight while they may."""

    @initialize(
        config=breaker_configs().map(straight) | breaker_configs().map(steady),
        born_at=BIRTHS,
        sample=st.sampled_from(SAMPLES),
    )
    def a_breaker_is_born(self, config: BreakerConfig, born_at: float, sample: float) -> None:
        self._bear(config, born_at, sample, listener_raises=True)


def _run(calls: type[Calls]) -> None:
    log = logging.getLogger("fsm_fallback")
    log.disabled = True  # it hears of listeners that raise, each time they do
    try:
        run_state_machine_as_test(
            calls,
            settings=settings(
                stateful_step_count=60, max_examples=max(500, settings().max_examples)
            ),
        )
    finally:
        log.disabled = False


def test_calls_of_every_form_agree_with_the_reference() -> None:
    """Every interleaving drawn agrees with the naive model, and the draws reach every row."""
    _run(CallsOfEveryFormAgreeWithTheReference)
    FLOOR.assert_reached(20)


def test_straight_calls_agree_with_the_reference() -> None:
    """Nobody can tell a straight call from one through the table, whatever becomes of it."""
    _run(StraightCallsAgreeWithTheReference)
    ways = product((*FORMS, "lease"), ("straight", "timed", "table"))
    assert not {way: WAYS[way] for way in ways if WAYS[way] < 20}
    ends = product(("straight", "timed"), ("in time", "late"), ("success", "failure", "neutral"))
    assert not {end: ENDS[end] for end in ends if ENDS[end] < 20}
