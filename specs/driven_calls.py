"""Calls driven beside their reference: how each is begun, told to end, and settled in both.

What may happen to them is in `spec_circuit`; this is how it is done.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
)

from fsm_fallback import (
    BreakerConfig,
    BreakerOpen,
    BreakerState,
    CircuitBreaker,
    ConfigurationError,
    Fault,
    FaultKind,
)
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.spec.floors import CoverageFloor
from fsm_fallback.testing import ManualClock
from specs.call_forms import (
    HOLD,
    JUDGED,
    PLAIN,
    STRAIGHT,
    STREAMS,
    Broken,
    Driven,
    Flight,
    Job,
    Limited,
    Pair,
    accept,
    astreamed,
    awaited,
    classify,
    consumed,
    in_async_with,
    in_with,
    plain,
    streamed,
)
from specs.reference_breaker import ReferenceBreaker, ReferenceLease
from specs.spec_breaker import (
    LONGEST_HOLD,
    OPERATED,
    PATIENCE,
    TICK,
    Picture,
)

FLOOR = CoverageFloor(BREAKER)
WAYS: Counter[tuple[str, str]] = Counter()  # how often each form of call set out on which way
ENDS: Counter[tuple[str, str, str]] = Counter()  # and how calls came back that set out on it


class DrivenCalls(RuleBasedStateMachine):
    """A breaker, its reference, and calls of every form that both hear of."""

    all_is_recorded = False

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
