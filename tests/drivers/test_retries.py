"""Trying again, and waiting for a breaker: in virtual time, in both drivers."""

import anyio
import attrs
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerState,
    CountWindow,
    DeadlineExceeded,
    FallbackConfig,
    FallbackProvider,
    RetryConfig,
    provider,
)
from fsm_fallback.testing import Delay, ManualClock

RETRY = RetryConfig(attempts=3, backoff=1.0, jitter="none", long_wait=60.0)
PATIENT = {"minimum_calls": 10}
WIDE = CountWindow(10_000)


class ServiceUnavailableError(Exception):
    """As an SDK raises it for a 503."""

    status_code = 503


class LimitedError(Exception):
    """As an SDK raises it for a 429 that names a time."""

    status_code = 429

    def __init__(self, seconds):
        self.response = attrs.make_class("Response", ["headers"])({"retry-after": str(seconds)})


def busy():
    """A provider that may recover."""
    return ServiceUnavailableError()


def names(trail):
    """Whom the attempts asked."""
    return [item.provider for item in trail]


class TestRetries:
    """The same provider again, after a wait."""

    def test_one_that_recovers_answers(self, way, chain, clock):
        """After one second, and then two."""
        llm, (a, b) = chain({"a": [busy(), busy(), "hello"], "b": ["no"]}, PATIENT, retry=RETRY)
        answer = way.detailed(llm, "why")
        assert (answer.value, names(answer.trail)) == ("hello", ["a", "a", "a"])
        assert [call.at for call in a.calls] == [0.0, 1.0, 3.0]
        assert b.calls == []
        assert llm._made.wiring.budget.out == 0

    def test_there_is_no_wait_after_the_last_try(self, way, chain, clock):
        """The call fails at once, or the next is asked at once."""
        llm, (_, b) = chain({"a": [busy()] * 3, "b": [busy()] * 3}, PATIENT, retry=RETRY)
        failure = way.failure(llm, "why")
        assert type(failure) is AllProvidersFailed
        assert len(failure.exceptions) == 6
        assert b.calls[0].at == 3.0
        assert clock() == 6.0
        assert llm._made.wiring.budget.out == 0

    def test_a_wait_that_does_not_fit_is_not_begun(self, way, chain, clock):
        """The deadline would come first."""
        llm, _ = chain({"a": [busy()] * 3}, PATIENT, retry=RETRY, deadline=2.5)
        assert len(way.failure(llm, "why").exceptions) == 2
        assert clock() == 1.0

    def test_a_time_that_the_provider_names_is_waited_for(self, way, chain, clock):
        """And its breaker, which holds as long, admits then."""
        llm, (a,) = chain({"a": [LimitedError(7), "hello"]}, PATIENT, retry=RETRY)
        assert way.detailed(llm, "why").value == "hello"
        assert [call.at for call in a.calls] == [0.0, 7.0]

    def test_what_is_no_use_is_not_tried_again(self, way, chain, clock):
        """A fault whose kind says so."""
        llm, (a,) = chain({"a": [LookupError(), "no"]}, PATIENT, retry=RETRY)
        way.failure(llm, "why")
        assert (len(a.calls), clock()) == (1, 0.0)

    def test_a_stream_is_tried_again_before_output_only(self, streams, stream_chain, clock):
        """After it there is no going back to the same provider."""
        llm, (a, _) = stream_chain(
            {"a": [["", busy()], ["one", busy()]], "b": [["no"]]}, PATIENT, retry=RETRY
        )
        read = streams.read(llm, "why")
        assert (read.items, clock()) == (["one"], 1.0)
        assert read.error.partial == ("one",)
        assert a.closings == [1, 1]
        assert llm._made.wiring.budget.out == 0

    def test_the_request_is_never_touched(self, way, clock):
        """The same objects each time, whatever the limit that is passed on."""
        seen = []

        @provider("a", timeout_arg="timeout")
        def ask(request, **keywords):
            seen.append((request, dict(keywords)))
            keywords.clear()
            raise busy()

        llm = FallbackProvider(
            ask, clock=clock, config=FallbackConfig(retry=RETRY, attempt_timeout=5.0, deadline=60.0)
        )
        request, keywords = {"messages": []}, {"tone": ["dry"]}
        way.failure(llm, request, **keywords)
        assert len(seen) == 3
        assert all(got is request for got, _ in seen)
        assert all(more["tone"] is keywords["tone"] for _, more in seen)
        assert (request, keywords) == ({"messages": []}, {"tone": ["dry"]})

    @pytest.mark.parametrize("limit", [0, 1])
    def test_the_budget_bounds_what_waits(self, loop, chain, clock, limit):
        """Of a hundred calls that fail at once so many are tried again, and some of its share."""
        retry = attrs.evolve(RETRY, attempts=2, budget=0.0, budget_floor=limit)
        llm, (a,) = chain(
            {"a": [busy()] * 300}, {"minimum_calls": 10_000, "window": WIDE}, retry=retry
        )

        async def ask():
            with pytest.raises(AllProvidersFailed):
                await llm.acall("why")

        async def main():
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(ask)

        loop.run(main)
        assert len(a.calls) == 100 + limit
        assert llm._made.wiring.budget.out == 0


class TestLeavingAWait:
    """Whoever leaves during a wait leaves nothing behind."""

    @pytest.mark.parametrize("method", ["acall", "adetailed", "astream"])
    @pytest.mark.parametrize("waits_for", ["retry", "breaker"])
    def test_a_cancelled_wait_is_abandoned(
        self, loop, chain, stream_chain, last_word, at_rest, method, waits_for
    ):
        """And the budget is empty."""
        config = {"retry": RETRY} if waits_for == "retry" else {"when_all_open": "wait"}
        build = stream_chain if method == "astream" else chain
        llm, (a,) = build({"a": [busy(), ["no"]]}, PATIENT, deadline=600.0, **config)
        clock = Still()
        llm._made.renew(attrs.evolve(llm._made.plan, clock=clock))
        if waits_for == "breaker":
            llm.breaker("a").force_open()
        clock.still = True

        async def call():
            if method == "astream":
                async for _ in llm.astream("why"):
                    pass
            else:
                await getattr(llm, method)("why")

        async def main():
            async with loop.cancelling(call):
                await anyio.wait_all_tasks_blocked()
                if waits_for == "retry":
                    assert llm._made.wiring.budget.out == 1

        if waits_for == "breaker":
            llm.breaker("a").reset()
            llm.breaker("a").hold(60.0)
        loop.run(main)
        assert len(a.calls) == (1 if waits_for == "retry" else 0)
        assert last_word(llm) == ("abandon", "abandoned")
        assert at_rest(llm)

    @pytest.mark.parametrize("method", ["call", "detailed", "stream"])
    def test_ctrl_c_in_a_wait_abandons(self, chain, stream_chain, last_word, at_rest, method):
        """A plain wait is cut by nothing else."""

        class Interrupted(ManualClock):
            def spend(self, seconds):
                raise KeyboardInterrupt

        build = stream_chain if method == "stream" else chain
        llm, (a,) = build({"a": [busy(), "no"]}, PATIENT, retry=RETRY)
        llm._made.renew(attrs.evolve(llm._made.plan, clock=Interrupted()))
        with pytest.raises(KeyboardInterrupt):
            list(getattr(llm, method)("why"))
        assert len(a.calls) == 1
        assert last_word(llm) == ("abandon", "abandoned")
        assert at_rest(llm)


class Still(ManualClock):
    """A clock that others move: who waits on it waits until then."""

    still = False

    async def pass_time(self, seconds):
        """Wait, and move nothing."""
        await self.sleep(seconds)


class TestWaiting:
    """`when_all_open="wait"`: until a breaker admits, within the deadline."""

    def test_a_call_waits_for_the_first_breaker_that_admits(self, way, chain, clock):
        """Not longer, and no other is asked."""
        llm, (_, b) = chain({"a": ["no"], "b": ["hello"]}, when_all_open="wait", deadline=60.0)
        llm.breaker("a").hold(30.0)
        llm.breaker("b").hold(10.0)
        assert way.detailed(llm, "why").value == "hello"
        assert (clock(), b.calls[0].at) == (10.0, 10.0)

    def test_a_stream_waits_as_well(self, streams, stream_chain, clock):
        """It begins when it may."""
        llm, _ = stream_chain({"a": [["hello"]]}, when_all_open="wait", deadline=60.0)
        llm.breaker("a").hold(10.0)
        assert streams.read(llm, "why").items == ["hello"]
        assert clock() == 10.0

    def test_it_does_not_wait_past_the_deadline(self, way, chain, clock):
        """A breaker that opens later is not waited for."""
        llm, (a,) = chain({"a": ["no"]}, when_all_open="wait", deadline=5.0)
        llm.breaker("a").hold(10.0)
        way.failure(llm, "why")
        assert (a.calls, clock()) == ([], 0.0)

    def test_a_probe_that_fails_is_waited_for_again(self, way, chain, clock):
        """As long as there is time."""
        llm, (a,) = chain(
            {"a": [busy(), busy(), "hello"]},
            {"open_duration": 4.0, "backoff_factor": 1.0},
            when_all_open="wait",
            deadline=20.0,
        )
        way.failure(llm, "why")
        way.failure(llm, "why")
        assert way.detailed(llm, "why").value == "hello"
        assert [call.at for call in a.calls] == [0.0, 4.0, 8.0]

    def test_many_that_wait_send_one_probe_and_then_all(self, loop, chain, clock):
        """The others poll until it has answered."""
        llm, (a,) = chain(
            {"a": [busy(), Delay(2.0, "probe"), *["hello"] * 20]},
            {"open_duration": 4.0},
            when_all_open="wait",
            deadline=20.0,
        )
        answers = []

        async def ask():
            answers.append(await llm.acall("why"))

        async def main():
            with pytest.raises(AllProvidersFailed):
                await llm.acall("why")
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(ask)

        loop.run(main)
        assert sorted(answers) == ["hello"] * 19 + ["probe"]
        early = [call.at for call in a.calls if call.at < 6.0]
        assert early == [0.0, 4.0]
        assert llm.breaker("a").state is BreakerState.CLOSED

    def test_one_who_comes_too_late_keeps_the_deadline(self, loop, chain, clock):
        """A probe that never comes back blocks the way."""
        llm, _ = chain(
            {"a": [busy(), Delay(600.0, "late")]},
            {"open_duration": 1.0},
            when_all_open="wait",
            deadline=20.0,
        )
        ends = []

        async def ask(deadline):
            try:
                await llm.options(deadline=deadline).acall("why")
            except (DeadlineExceeded, AllProvidersFailed):
                ends.append((deadline, clock()))

        async def main():
            with pytest.raises(AllProvidersFailed):
                await llm.acall("why")
            async with anyio.create_task_group() as tasks:
                for deadline in (30.0, 5.0, 7.0):
                    tasks.start_soon(ask, deadline)

        loop.run(main)
        assert len(ends) == 3
        assert all(ended <= deadline for deadline, ended in ends)
