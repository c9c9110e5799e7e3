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

import asyncio
import contextvars
import logging
import types
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from itertools import product
from typing import Protocol

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
    BreakerOpen,
    BreakerState,
    CircuitBreaker,
    ConfigurationError,
    CountWindow,
    Fault,
    FaultKind,
    Lease,
)
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.spec.floors import CoverageFloor
from fsm_fallback.testing import ManualClock
from specs.reference_breaker import ReferenceBreaker, ReferenceLease
from specs.spec_breaker import (
    BIRTHS,
    DURATIONS,
    EVIDENT,
    LONGEST_HOLD,
    OPERATED,
    PATIENCE,
    SAMPLES,
    TICK,
    WORDS,
    Picture,
    configs,
    recounted,
)

FLOOR = CoverageFloor(BREAKER)
WAYS: Counter[tuple[str, str]] = Counter()  # how often each form of call set out on which way
ENDS: Counter[tuple[str, str, str]] = Counter()  # and how calls came back that set out on it
GOOD, BAD = "good", "bad"  # results; `accept` takes the good ones
HOLD = 6.0

PLAIN = ("call", "function", "judged function")
COROUTINES = ("acall", "async function", "judged async function")
BLOCKS = ("with", "async with")
STREAMS = ("generator", "async generator")
SUSPENDED = COROUTINES + BLOCKS + STREAMS
FORMS = PLAIN + SUSPENDED
STRAIGHT = ("call", "function", "acall", "async function")  # these may go without a lease
JUDGED = ("judged function", "judged async function")  # of these a result may be refused
ENDINGS = (
    *("success", "success", "failure", "failure", "neutral", "neutral"),
    *("unaccepted", "unreadable", "hold", "interrupt"),
)


class Broken(Exception):
    """Speaks against the provider."""


class Misused(Exception):
    """The caller's own fault."""


class Limited(Exception):
    """The provider names a time."""


class Unreadable(Exception):
    """One the user's classifier stumbles over."""


class Interrupted(BaseException):
    """Not of the program's making, as a key pressed."""


ERRORS: dict[str, type[BaseException]] = {
    "failure": Broken,
    "neutral": Misused,
    "hold": Limited,
    "unreadable": Unreadable,
    "interrupt": Interrupted,
}
THROWN: dict[str, type[BaseException]] = {
    "broken": Broken,
    "limited": Limited,
    "cancelled": asyncio.CancelledError,
}
FAULTS: dict[type[BaseException], Fault] = {
    Broken: Fault(FaultKind.TRANSIENT),
    Misused: Fault(FaultKind.CALLER),
    Limited: Fault(FaultKind.RATE_LIMIT, retry_after=HOLD),
}


def classify(error: BaseException) -> Fault:
    """The user's own table of exceptions; it raises `KeyError` for what is not in it."""
    return FAULTS[type(error)]


def accept(result: object) -> bool:
    """The user's own idea of a good result, asked about functions that are `JUDGED`."""
    return result != BAD


@types.coroutine
def suspended() -> Generator[None, None, None]:
    """Wait until whoever drives the coroutine sends something."""
    yield


def straight(config: BreakerConfig) -> BreakerConfig:
    """The same, but a success need not look at the clock, nor may trip; and it takes more to open.

    So that calls go straight for a while.
    """
    return attrs.evolve(
        steady(config), window=CountWindow(6), slow_call_duration=None, minimum_calls=4
    )


def steady(config: BreakerConfig) -> BreakerConfig:
    """The same, but it takes more to open."""
    return attrs.evolve(
        config,
        failure_ratio=1.0,
        slow_call_ratio=1.0,
        consecutive_failures=None,
        trip_on_success=False,
        initial_state=BreakerState.CLOSED,
    )


@attrs.define(eq=False)
class Job:
    """What is guarded: it takes time, waits to be told how to end if need be, and ends so."""

    breaker: CircuitBreaker
    clock: ManualClock
    lasts: float = 0.0
    meanwhile: Callable[[], object] = bool
    calls: int = 0
    waits: bool = True
    told: bool = False
    result: str = GOOD
    error: BaseException | None = None
    way: str = ""
    straight_at_end: bool = False

    def tell(self, ending: str) -> None:
        """How to end; from now on it waits for nothing."""
        self.told = True
        self.waits = False
        self.result = BAD if ending == "unaccepted" else GOOD
        self.error = ERRORS[ending]() if ending in ERRORS else None

    def begin(self) -> None:
        """The first thing every form does."""
        self.calls += 1
        self.clock.advance(self.lasts)
        self.meanwhile()

    def end(self) -> str:
        """The last thing every form does."""
        self.straight_at_end = self.breaker.core.straight is not None
        if self.error is not None:
            raise self.error
        return self.result


def plain(job: Job) -> str:
    """A plain function: it cannot wait."""
    job.begin()
    return job.end()


async def awaited(job: Job) -> str:
    """A coroutine function."""
    job.begin()
    while not job.told:
        await suspended()
    return job.end()


def streamed(job: Job) -> Generator[str, None, str]:
    """A generator function: it waits by giving output."""
    job.begin()
    while not job.told:
        yield GOOD
    return job.end()


async def astreamed(job: Job) -> AsyncGenerator[str, None]:
    """An async generator function: it may wait before its first output, too."""
    job.begin()
    while job.waits:
        await suspended()
    while not job.told:
        yield GOOD
    job.end()


async def in_with(breaker: CircuitBreaker, job: Job) -> str:
    """A task with a `with` block."""
    with breaker:
        return await awaited(job)


async def in_async_with(breaker: CircuitBreaker, job: Job) -> str:
    """A task with an `async with` block."""
    async with breaker:
        return await awaited(job)


async def consumed(stream: AsyncGenerator[str, None], job: Job) -> str:
    """A task that takes its time over every output of a stream."""
    async with aclosing(stream):
        async for _ in stream:
            await suspended()
    return job.result


class Driven(Protocol):
    """A coroutine or a generator."""

    def send(self, value: None, /) -> object: ...
    def throw(self, error: BaseException, /) -> object: ...
    def close(self) -> object: ...


@attrs.define(eq=False)
class Flight:
    """A call that is on its way, as its driver and as the reference know it."""

    form: str
    job: Job
    reference: ReferenceLease
    driven: Driven | None  # None: dropped
    context: contextvars.Context | None = attrs.field(factory=contextvars.copy_context)
    outputs: int = 0

    @property
    def awaited(self) -> bool:
        """Whether it is a stream that waits inside for its first output."""
        return self.form == "async generator" and not self.outputs

    def run(self, step: str, *arguments: object) -> object:
        """Drive it one step further, in its own context."""
        assert self.context is not None
        return self.context.run(getattr(self.driven, step), *arguments)


@attrs.define(eq=False)
class Pair:
    """A lease taken by hand, as the breaker and as the reference know it."""

    real: Lease | None  # None: dropped
    reference: ReferenceLease


class Calls(RuleBasedStateMachine):
    """Calls in whatever form, ending in whatever order; what is claimed of them stands below."""

    all_is_recorded = False

    flights = Bundle("flights")
    leases = Bundle("leases")
    settled = Bundle("settled")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.events: list[BreakerStep] = []
        self.steps: list[BreakerStep] = []
        self.in_the_air: list[Flight] = []
        self.by_hand: list[Pair] = []
        self.asked = 0
        self.spoken_at = 0
        self.late = 0
        self.settled_again = 0
        self.told_state = BreakerState.CLOSED
        self.told_generation = -1

    def _bear(
        self, config: BreakerConfig, born_at: float, sample: float, *, listener_raises: bool
    ) -> None:
        self.clock.advance(born_at)
        self.breaker = CircuitBreaker(
            "b", config, clock=self.clock, sample=lambda: sample, classify=classify
        )
        if listener_raises:
            self.breaker.add_listener(_refuse_to_listen)
        self.breaker.add_listener(self._listen)
        self.breaker.audit(self.steps.append, id="b", stays=self.all_is_recorded)
        self.reference = ReferenceBreaker(config, now=born_at, sample=sample)
        self.told_state = self.breaker.state
        self.picture = self._picture()
        self.guarded = self.breaker(plain)
        self.guarded_async = self.breaker(awaited)
        self.judged = self.breaker(accept=accept)(plain)
        self.judged_async = self.breaker(accept=accept)(awaited)
        self.guarded_stream = self.breaker(streamed)
        self.guarded_async_stream = self.breaker(astreamed)

    # Leases taken by hand -----------------------------------------------------------------------

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

    # Both at once -------------------------------------------------------------------------------

    @property
    def slow(self) -> float | None:
        """How long a slow call takes."""
        return self.breaker.config.slow_call_duration

    def _listen(self, event: BreakerStep) -> None:
        """A listener may ask the breaker it listens to."""
        self.events.append(event)
        self.breaker.snapshot()
        self.breaker.would_admit()

    def _driven(self, form: str, job: Job) -> Driven:
        forms: dict[str, Callable[[], Driven]] = {
            "acall": lambda: self.breaker.acall(awaited, job),
            "async function": lambda: self.guarded_async(job),
            "judged async function": lambda: self.judged_async(job),
            "with": lambda: in_with(self.breaker, job),
            "async with": lambda: in_async_with(self.breaker, job),
            "generator": lambda: self.guarded_stream(job),
            "async generator": lambda: consumed(self.guarded_async_stream(job), job),
        }
        return forms[form]()

    def _job(self, lasts: float = 0.0, meanwhile: Callable[[], object] = bool) -> Job:
        return Job(self.breaker, self.clock, lasts, meanwhile)

    def _expect(self, form: str, job: Job | None = None) -> ReferenceLease | None:
        """What the next caller will hear. Calls that go all straight look at no clock."""
        self.asked += 1
        if self.asked % 8 == 1:
            self.picture = self._picture()
        if self.breaker.state in OPERATED and self.asked > self.spoken_at + PATIENCE:
            self._operate("reset")
        before = self.breaker.snapshot()
        foretold = self.breaker.would_admit()
        # Whatever was dropped may come back first, and does when a caller comes.
        assert self.reference.lost() or self.breaker.snapshot() == before
        core = self.breaker.core
        way = "table"
        if core.straight is not None:
            way = "straight"
        elif core.timed is not None:
            way = "timed"
        WAYS[form, way] += 1
        if job is not None:
            job.way = way
        blind = way == "straight" and form in STRAIGHT
        expected = self.reference.ask(self.reference.now if blind else self.clock())
        assert foretold == (expected is not None)
        return expected

    def _is_refused(self, call: Callable[[], object]) -> None:
        with pytest.raises(BreakerOpen) as refused:
            call()
        assert refused.value.provider == "b"
        assert refused.value.state == self.reference.state
        if self.reference.state == "open":
            left = max(0.0, self.reference.open_until - self.clock())
            assert refused.value.retry_after == left
            if self.asked % 2:
                self.clock.advance(left)  # this caller waits as long as it is told to

    def _take(self) -> Pair | None:
        expected = self._expect("lease")
        if expected is None:
            self._is_refused(self.breaker.acquire)
            return None
        lease = self.breaker.try_acquire()
        assert lease is not None
        pair = Pair(lease, expected)
        self.by_hand.append(pair)
        return pair

    def _begin(self, form: str, job: Job) -> Flight | None:
        """Let a call begin and wait."""
        expected = self._expect(form, job)
        driven = self._driven(form, job)
        if expected is None:
            self._is_refused(lambda: driven.send(None))
            assert not job.calls
            return None
        flight = Flight(form, job, expected, driven)
        flight.run("send", None)
        if form == "generator":
            self._note_output(flight)
        self.in_the_air.append(flight)
        return flight

    @staticmethod
    def _close(flight: Flight) -> None:
        """Let it be closed; a stream that awaits cannot be, Python leaves it as it is then."""
        if not flight.awaited:
            flight.run("close")
            return
        with pytest.raises(asyncio.CancelledError):
            flight.run("throw", asyncio.CancelledError())

    def _note_output(self, flight: Flight) -> None:
        """Only the first output of a stream is told to the breaker."""
        if flight.form in STREAMS:
            if not flight.outputs:
                self.reference.begin_output(flight.reference, self.clock())
            flight.outputs += 1

    def _end(self, flight: Flight, ending: str) -> None:
        """Let a call that waits end."""
        flight.job.tell(ending)
        self._returns(flight.job, lambda: flight.run("send", None))
        self._settle_reference(flight.reference, self._booked(flight.form, ending), flight.job)
        self.in_the_air.remove(flight)

    def _pass(self, form: str, job: Job, ending: str) -> None:
        """Let a call begin and end without waiting."""
        job.tell(ending)
        expected = self._expect(form, job)
        if form in PLAIN:
            call: Callable[[], object] = {
                "call": lambda: self.breaker.call(plain, job),
                "function": lambda: self.guarded(job),
                "judged function": lambda: self.judged(job),
            }[form]
        else:
            driven = self._driven(form, job)

            def call() -> object:
                return driven.send(None)

        if expected is None:
            self._is_refused(call)
            assert not job.calls
            return
        if form in PLAIN:
            assert self._outcome_of(call) == (job.error or job.result)
        else:
            self._returns(job, call)
        assert job.calls == 1
        self._settle_reference(expected, self._booked(form, ending), job)

    def _returns(self, job: Job, step: Callable[[], object]) -> None:
        """A coroutine or generator ends in this step, with its own error or its own result."""
        outcome = self._outcome_of(step)
        if job.error is None:
            assert isinstance(outcome, StopIteration)
            assert outcome.value == job.result
        else:
            assert outcome is job.error

    @staticmethod
    def _outcome_of(step: Callable[[], object]) -> object:
        try:
            return step()
        except BaseException as error:  # noqa: BLE001  # to compare it with the one expected
            return error

    @staticmethod
    def _booked(form: str, ending: str) -> str:
        match ending:
            case "unaccepted":
                return "failure" if form in JUDGED else "success"
            case "unreadable":
                return "failure"
            case "interrupt":
                return "neutral"
            case _:
                return ending

    def _settle_reference(self, lease: ReferenceLease, ending: str, job: Job | None = None) -> None:
        now = self.clock()
        if job is not None:
            ENDS[job.way, "late" if lease.epoch != self.reference.epoch else "in time", ending] += 1
        if ending == "hold":
            self.reference.hold(now + HOLD, now, lease, LONGEST_HOLD[FaultKind.RATE_LIMIT])
        else:
            straight = job is not None and job.straight_at_end
            self.reference.settle(lease, self._seen(lease, ending, straight=straight), ending)

    def _seen(self, lease: ReferenceLease, ending: str, *, straight: bool) -> float:
        """What time it is for the breaker: where a success goes straight it looks at no clock."""
        blind = straight and ending == "success" and lease.epoch == self.reference.epoch
        return self.reference.now if blind and not lease.settled else self.clock()

    def _settle_by_hand(self, pair: Pair, ending: str, duration: float | None) -> None:
        assert pair.real is not None
        now = self.clock()
        straight = self.breaker.core.straight is not None
        match ending:
            case "success":
                pair.real.succeed(duration)
            case "failure":
                pair.real.fail(Fault(FaultKind.TRANSIENT), duration)
            case "neutral":
                pair.real.release()
            case "hold":
                pair.real.hold(HOLD)
                self.reference.hold(now + HOLD, now, pair.reference)
                return
            case _:
                pair.real.settle(Fault(FaultKind.TIMEOUT))
                ending, duration = "failure", None
        seen = self._seen(pair.reference, ending, straight=straight)
        self.reference.settle(pair.reference, seen, ending, duration)

    def _settle_on_another_breaker(self, pair: Pair) -> None:
        assert pair.real is not None
        other = CircuitBreaker("other", clock=self.clock)
        before = self.breaker.snapshot(), other.snapshot()
        for settle in (other.settle_success, other.settle_failure, other.settle_release):
            with pytest.raises((ValueError, ConfigurationError)):
                settle(pair.real)
        with pytest.raises((ValueError, ConfigurationError)):
            other.settle_hold(pair.real, HOLD)
        assert (self.breaker.snapshot(), other.snapshot()) == before

    def _give_up_before_it_begins(self, form: str) -> None:
        before = self.breaker.snapshot()
        job = self._job()
        self._driven(form, job).close()
        assert not job.calls
        assert self.breaker.snapshot() == before

    def _throw(self, flight: Flight, error: BaseException) -> None:
        """Where the consumer of a stream is hit, the stream is closed early: that is neutral."""
        with pytest.raises(type(error)) as raised:
            flight.run("throw", error)
        assert raised.value is error
        endings: dict[type[BaseException], str] = {Broken: "failure", Limited: "hold"}
        ending = endings.get(type(error), "neutral")
        if flight.form == "async generator" and not flight.awaited:
            ending = "neutral"
        self._settle_reference(flight.reference, ending)

    def _operate(self, word: str) -> None:
        self.spoken_at = self.asked
        if word.startswith("hold"):
            seconds = HOLD if word == "hold" else TICK
            self.breaker.hold(seconds, actor="ops", reason="spec")
            self.reference.hold(self.clock() + seconds, self.clock(), None)
        else:
            getattr(self.breaker, word)(actor="ops", reason="spec")
            self.reference.operate(word, self.clock())

    def _picture(self) -> Picture:
        return Picture(self.breaker.snapshot(), self.reference.picture(self.clock()))

    def _wait_until_open_time_ends(self, offset: float) -> None:
        if self.breaker.state is BreakerState.OPEN:
            self.clock.advance(self.reference.open_until + offset - self.clock())

    def _happen(self, what: str) -> None:
        """One thing, while something else may be going on."""
        match what:
            case "time":
                self.clock.advance(1.0)
            case "back":
                self.clock.advance(-2.0)
            case "lease":
                self._take()
            case "success" | "failure":
                self._pass("call", self._job(), what)
            case "block":
                self._pass("with", self._job(), "success")
            case _:
                self._operate(what)


def _refuse_to_listen(event: BreakerStep) -> None:
    raise RuntimeError(event.trigger)


class CallsOfEveryFormAgreeWithTheReference(Calls):
    """Where every firing is recorded, and every call walks the table."""

    all_is_recorded = True

    @initialize(config=configs(), born_at=BIRTHS, sample=st.sampled_from(SAMPLES))
    def a_breaker_is_born(self, config: BreakerConfig, born_at: float, sample: float) -> None:
        self._bear(config, born_at, sample, listener_raises=False)


class StraightCallsAgreeWithTheReference(Calls):
    """Where only moves are recorded, and calls go straight while they may."""

    @initialize(
        config=configs().map(straight) | configs().map(steady),
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
