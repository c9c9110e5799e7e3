"""Time-outs and deadlines, in virtual time and in both drivers."""

import threading

import anyio
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerState,
    DeadlineExceeded,
    FallbackConfig,
    FallbackProvider,
    FaultKind,
    provider,
)
from fsm_fallback.testing import Delay, Hang, ScriptedProvider

K = FaultKind
SOON = 0.05


def down():
    """An outage."""
    return ConnectionError("down")


def told(trail):
    """Provider, kind and duration of each attempt."""
    return [(item.provider, item.fault and item.fault.kind, item.duration) for item in trail]


class TestAttempts:
    """One attempt may take so long."""

    def test_one_that_takes_longer_is_cut_and_the_next_is_asked(self, way, chain, clock):
        """At exactly its limit; the breaker counts a failure."""
        llm, _ = chain({"a": [Hang()], "b": ["hello"]}, attempt_timeout=5.0)
        answer = way.detailed(llm, "why")
        assert (answer.value, clock()) == ("hello", 5.0)
        assert told(answer.trail) == [("a", K.TIMEOUT, 5.0), ("b", None, 0.0)]
        assert llm.breaker("a").state is BreakerState.OPEN

    def test_one_that_takes_exactly_as_long_is_answered(self, way, chain):
        """It was there in time."""
        llm, _ = chain({"a": [Delay(5.0, "hello")]}, attempt_timeout=5.0)
        assert way.detailed(llm, "why").value == "hello"

    def test_without_a_limit_it_may_take_all_day(self, way, chain, clock):
        """Nothing is cut."""
        llm, _ = chain({"a": [Delay(86_400.0, "hello")]})
        assert way.detailed(llm, "why").value == "hello"
        assert clock() == 86_400.0

    def test_every_one_cut_is_a_member(self, way, chain, clock):
        """A `TimeoutError` each, in order."""
        llm, _ = chain({"a": [Hang()], "b": [Hang()]}, attempt_timeout=5.0)
        failure = way.failure(llm, "why")
        assert type(failure) is AllProvidersFailed
        assert [type(member) for member in failure.exceptions] == [TimeoutError, TimeoutError]
        assert clock() == 10.0


class TestDeadlines:
    """The whole call may take so long."""

    def test_the_call_ends_at_exactly_its_deadline(self, way, chain, clock):
        """With every error that was there by then."""
        error = down()
        llm, _ = chain({"a": [Delay(3.0, error)], "b": [Hang()], "c": ["no"]}, deadline=10.0)
        failure = way.failure(llm, "why")
        assert type(failure) is DeadlineExceeded
        assert clock() == 10.0
        assert failure.exceptions[0] is error
        assert isinstance(failure.exceptions[1], TimeoutError)
        assert told(failure.trail) == [("a", K.CONNECT, 3.0), ("b", K.TIMEOUT, 7.0)]

    def test_nobody_is_called_after_it(self, way, chain):
        """The last one finds no time left."""
        llm, (_, last) = chain({"a": [Delay(10.0, down())], "b": ["no"]}, deadline=10.0)
        failure = way.failure(llm, "why")
        assert type(failure) is DeadlineExceeded
        assert last.calls == []

    def test_the_last_candidate_gets_what_is_left(self, way, chain, clock):
        """More than one attempt's limit, for there is nobody to save time for."""
        llm, _ = chain(
            {"a": [Hang()], "b": [Delay(7.0, "hello")]}, deadline=10.0, attempt_timeout=2.0
        )
        assert way.detailed(llm, "why").value == "hello"
        assert clock() == 9.0

    def test_an_attempt_cut_by_it_early_is_neutral(self, way, chain):
        """It had three seconds of ten: too few to speak against the provider."""
        llm, _ = chain({"a": [Delay(7.0, down())], "b": [Hang()]}, deadline=10.0)
        failure = way.failure(llm, "why")
        assert told(failure.trail)[1] == ("b", K.CANCELLED, 3.0)
        snapshot = llm.breaker("b").snapshot()
        assert (snapshot.state, snapshot.calls, snapshot.in_flight) == (BreakerState.CLOSED, 0, 0)

    def test_an_attempt_cut_by_it_late_is_a_failure(self, way, chain):
        """It had half of the time: a provider that hangs must trip."""
        llm, _ = chain({"a": [Delay(5.0, down())], "b": [Hang()]}, deadline=10.0)
        failure = way.failure(llm, "why")
        assert told(failure.trail)[1] == ("b", K.TIMEOUT, 5.0)
        assert llm.breaker("b").state is BreakerState.OPEN

    def test_an_attempt_cut_by_it_after_its_own_limit_is_a_failure(self, way, chain):
        """It had an attempt's limit, which is enough."""
        llm, _ = chain(
            {"a": [Delay(7.0, down())], "b": [Hang()]}, deadline=10.0, attempt_timeout=30.0
        )
        assert told(way.failure(llm, "why").trail)[1] == ("b", K.CANCELLED, 3.0)
        llm, _ = chain({"a": [Hang()], "b": [Hang()]}, deadline=5.0, attempt_timeout=2.0)
        assert told(way.failure(llm, "why").trail)[1] == ("b", K.TIMEOUT, 3.0)

    def test_a_probe_cut_by_it_early_gives_its_slot_back(self, way, chain, clock):
        """The next caller is a probe again."""
        llm, _ = chain(
            {"a": [Delay(7.0, down()), Delay(7.0, down())], "b": [down(), Hang(), "back"]},
            breaker={"open_duration": 30.0},
            deadline=10.0,
        )
        way.failure(llm, "why")
        clock.advance(100.0)
        way.failure(llm, "why")
        assert llm.breaker("b").state is BreakerState.HALF_OPEN
        assert way.detailed(llm, "why").value == "back"
        assert llm.breaker("b").state is BreakerState.CLOSED

    def test_a_call_may_set_its_own(self, way, chain, clock):
        """The chain keeps the one it had; breakers are shared."""
        llm, _ = chain({"a": [Hang(), Hang()]}, deadline=10.0)
        hurried = llm.options(deadline=2.0)
        assert type(way.failure(hurried, "why")) is DeadlineExceeded
        assert clock() == 2.0
        assert hurried.breaker("a") is llm.breaker("a")
        clock.advance(100.0)
        way.failure(llm, "why")
        assert clock() == 112.0

    def test_a_call_may_go_without(self, way, chain, clock):
        """None is no limit, not the configuration's."""
        llm, _ = chain({"a": [Delay(50.0, "hello")]}, deadline=10.0)
        assert way.detailed(llm.options(deadline=None), "why").value == "hello"
        assert clock() == 50.0

    def test_time_begins_anew_with_each_call(self, way, chain, clock):
        """Two calls of six seconds fit a deadline of ten, each its own."""
        llm, _ = chain({"a": [Delay(6.0, "one"), Delay(6.0, "two")]}, deadline=10.0)
        assert [way.detailed(llm, "why").value for _ in range(2)] == ["one", "two"]
        assert clock() == 12.0


class TestKeywords:
    """`timeout_arg`: the limit goes to those who take one."""

    @pytest.fixture
    def taking(self):
        """Make a provider that fails and notes the keywords it got."""

        def made(name, timeout_arg, seen):
            @provider(name, timeout_arg=timeout_arg)
            def ask(prompt, **keywords):
                seen[name] = keywords
                raise down()

            return ask

        return made

    def test_each_provider_gets_the_limit_by_its_own_name_and_no_other(self, way, clock, taking):
        """Nor does the keyword of one reach the next."""
        seen = {}
        llm = FallbackProvider(
            taking("a", "timeout", seen),
            taking("b", "request_timeout", seen),
            taking("c", None, seen),
            clock=clock,
            config=FallbackConfig(attempt_timeout=5.0, deadline=20.0),
        )
        way.failure(llm, "why", tone="dry")
        assert seen == {
            "a": {"tone": "dry", "timeout": 5.0},
            "b": {"tone": "dry", "request_timeout": 5.0},
            "c": {"tone": "dry"},
        }

    def test_the_last_gets_what_is_left_of_the_deadline(self, way, clock, taking):
        """As a number of seconds, not as an instant."""
        seen = {}
        clock.advance(1_000.0)
        llm = FallbackProvider(taking("a", "timeout", seen), clock=clock).options(deadline=20.0)
        way.failure(llm, "why")
        assert seen == {"a": {"timeout": 20.0}}

    def test_without_a_limit_the_keyword_is_not_given(self, way, clock, taking):
        """The function's own default stands."""
        seen = {}
        way.failure(FallbackProvider(taking("a", "timeout", seen), clock=clock), "why")
        assert seen == {"a": {}}

    @pytest.mark.parametrize("limit", [None, 5.0])
    def test_the_callers_keywords_stay_as_they_were(self, way, clock, limit):
        """Whatever a provider does with those it got."""

        def spoil(prompt, **keywords):
            keywords.clear()
            raise down()

        given = {"tone": "dry", "stops": ["."]}
        llm = FallbackProvider(
            provider("a", timeout_arg="timeout")(spoil),
            second := ScriptedProvider("b", ["hello"], clock=clock),
            clock=clock,
            config=FallbackConfig(attempt_timeout=limit),
        )
        way.detailed(llm, "why", **given)
        assert given == {"tone": "dry", "stops": ["."]}
        assert second.calls[0].kwargs == {"tone": "dry", "stops": ["."]}


def test_a_thread_that_hangs_is_left_behind(loop):
    """An awaited call over a plain provider is cut though the thread cannot be."""
    release, done = threading.Event(), threading.Event()

    @provider("a")
    def stuck(prompt):
        release.wait(10.0)
        done.set()

    second = ScriptedProvider("b", ["hello"])

    async def main():
        llm = FallbackProvider(stuck, second, config=FallbackConfig(attempt_timeout=SOON))
        try:
            return await llm.adetailed("why"), llm.breaker("a").snapshot()
        finally:
            release.set()

    answer, snapshot = loop.run(main)
    assert answer.provider == "b"
    assert answer.trail[0].fault.kind is K.TIMEOUT
    assert (snapshot.in_flight, snapshot.failures) == (0, 1)
    assert done.wait(10.0)


def test_a_clock_without_timers_gets_real_ones(loop):
    """A hang is cut on the wall's time."""

    @provider("a")
    async def stuck(prompt):
        await anyio.sleep_forever()

    llm = FallbackProvider(stuck).options(deadline=SOON)
    with pytest.raises(DeadlineExceeded) as caught:
        loop.run(llm.acall, "why")
    (attempt,) = caught.value.trail
    assert attempt.fault.kind is K.TIMEOUT
    assert attempt.duration >= SOON


def test_a_timer_rung_by_another_thread_cuts_the_attempt(loop, clock):
    """A plain provider, in its worker thread, takes the time of a clock that is moved by hand."""
    release, done = threading.Event(), threading.Event()

    @provider("a")
    def slow(prompt):
        clock.advance(7.0)
        release.wait(10.0)
        done.set()

    llm = FallbackProvider(
        slow,
        ScriptedProvider("b", ["hello"]),
        clock=clock,
        config=FallbackConfig(attempt_timeout=5.0),
    )
    try:
        answer = loop.run(llm.adetailed, "why")
    finally:
        release.set()
    assert answer.value == "hello"
    assert answer.trail[0].fault.kind is K.TIMEOUT
    assert done.wait(10.0)
