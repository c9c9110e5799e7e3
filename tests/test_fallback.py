"""`FallbackProvider` over scripted providers: what a call gives, in both ways of calling.

What a chain refuses and what it tells is in `test_fallback_wiring`; time, interruption and memory
are in `drivers`; the real SDKs are in `integration`.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    Answer,
    BreakerConfig,
    BreakerOpen,
    BreakerState,
    CallOptions,
    CapabilityBased,
    ConfigurationError,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    Fault,
    FaultKind,
    NotEligible,
    RequestRejected,
    Sequential,
    Skip,
    provider,
)
from fsm_fallback.testing import ManualClock, ScriptedProvider, Value

K = FaultKind
TRIGGERS_AT_ONCE = FallbackConfig(
    breaker=BreakerConfig(window=CountWindow(10), minimum_calls=1, jitter=0.0)
)


@attrs.frozen
class Way:
    """One way of calling a chain, plain or awaited."""

    loop: Any

    def call(self, chain, *args, **kwargs):
        """The answer of a call."""
        if self.loop:
            return self.loop.run(chain.acall, *args, **kwargs)
        return chain.call(*args, **kwargs)

    def detailed(self, chain, *args, **kwargs):
        """The answer of a call, and how it came about."""
        if self.loop:
            return self.loop.run(chain.adetailed, *args, **kwargs)
        return chain.detailed(*args, **kwargs)

    def failure(self, chain, *args, **kwargs):
        """The error of a call."""
        with pytest.raises(ExceptionGroup) as caught:
            self.call(chain, *args, **kwargs)
        return caught.value


@pytest.fixture
def way(plain_or_loop):
    """Both ways of calling, the awaited one in each loop."""
    return Way(plain_or_loop)


@pytest.fixture
def clock():
    """A clock at 0."""
    return ManualClock()


@pytest.fixture
def chain(clock):
    """Make a chain of scripts by name; its breakers open on the first failure."""

    def made(config=TRIGGERS_AT_ONCE, **scripts):
        providers = [ScriptedProvider(name, script) for name, script in scripts.items()]
        built = FallbackProvider(*providers, config=config, clock=clock, sample=lambda: 0.5)
        return built, providers

    return made


def down(words="down"):
    """An outage."""
    return ConnectionError(words)


def called(*providers):
    """How often each was called."""
    return [len(each.calls) for each in providers]


class TestAnswering:
    """Somebody answers."""

    def test_the_first_provider_is_asked_first_and_alone(self, way, chain):
        """The second is not called."""
        llm, providers = chain(a=["hello"], b=["no"])
        assert way.call(llm, "why") == "hello"
        assert called(*providers) == [1, 0]

    def test_arguments_reach_every_provider_untouched(self, way, chain):
        """The very objects, in place and by name."""
        llm, providers = chain(a=[down()], b=["hello"])
        prompt, tools = object(), [object()]
        way.call(llm, prompt, 2, tools=tools)
        for each in providers:
            (call,) = each.calls
            assert call.args == (prompt, 2)
            assert call.kwargs["tools"] is tools

    @pytest.mark.parametrize("answer", [None, False, 0, "", Value(ValueError("as a value"))])
    def test_whatever_is_returned_is_the_answer(self, way, chain, answer):
        """Nothing, falsehood and exceptions included: only raising is failing."""
        llm, (first, second) = chain(a=[answer], b=["no"])
        expected = answer.value if isinstance(answer, Value) else answer
        assert way.call(llm, "why") is expected
        assert called(first, second) == [1, 0]

    def test_a_failure_leads_to_the_next(self, way, chain):
        """And the call gives what that one answered."""
        llm, providers = chain(a=[down()], b=[TimeoutError()], c=["hello"])
        assert way.call(llm, "why") == "hello"
        assert called(*providers) == [1, 1, 1]

    def test_details_tell_who_answered_and_what_went_before(self, way, chain):
        """The failed attempt with its error, then the answer's own."""
        error = down()
        llm, _ = chain(a=[error], b=["hello"])
        answer = way.detailed(llm, "why")
        assert isinstance(answer, Answer)
        assert (answer.value, answer.provider) == ("hello", "b")
        first, second = answer.trail
        assert (first.provider, first.number, first.fault.kind) == ("a", 1, K.CONNECT)
        assert first.error is error
        assert (second.provider, second.number, second.fault, second.error) == ("b", 2, None, None)

    def test_details_tell_whom_a_breaker_kept_out(self, way, chain):
        """With state, time and cause."""
        llm, _ = chain(a=[down()], b=["one", "two"])
        way.call(llm, "why")
        skip, attempt = way.detailed(llm, "why").trail
        assert isinstance(skip, Skip)
        assert (skip.provider, skip.reason, skip.until, skip.cause.kind) == (
            "a",
            "open",
            30.0,
            K.CONNECT,
        )
        assert (attempt.provider, attempt.number) == ("b", 1)

    def test_calls_do_not_remember_each_other(self, way, chain):
        """Each begins with the first provider."""
        config = FallbackConfig()
        llm, _ = chain(config, a=[down(), "hello"], b=["instead"])
        assert way.detailed(llm, "why").provider == "b"
        answer = way.detailed(llm, "why")
        assert (answer.provider, len(answer.trail)) == ("a", 1)


class TestFailing:
    """Nobody answers."""

    def test_every_error_is_a_member_in_order(self, way, chain):
        """The very objects, with the traceback of their raising."""
        errors = [down(), TimeoutError("slow"), ValueError("odd")]
        llm, _ = chain(a=[errors[0]], b=[errors[1]], c=[errors[2]])
        failure = way.failure(llm, "why")
        assert type(failure) is AllProvidersFailed
        assert all(a is b for a, b in zip(failure.exceptions, errors, strict=True))
        assert all(error.__traceback__ is not None for error in errors)
        assert [item.provider for item in failure.trail] == ["a", "b", "c"]

    def test_members_are_no_causes_of_each_other(self, way, chain):
        """Each stands for itself, and so does the group."""
        llm, _ = chain(a=[down()], b=[down()])
        failure = way.failure(llm, "why")
        for error in (failure, *failure.exceptions):
            assert (error.__cause__, error.__context__) == (None, None)

    def test_all_breakers_open_gives_one_fresh_error_for_each(self, way, chain, clock):
        """With the earliest time to come back."""
        llm, providers = chain(a=[down()], b=[down()])
        way.failure(llm, "why")
        clock.advance(10.0)
        failure = way.failure(llm, "why")
        assert [type(member) for member in failure.exceptions] == [BreakerOpen, BreakerOpen]
        assert failure.retry_after == 20.0
        assert called(*providers) == [1, 1]

    def test_wrong_arguments_are_the_callers_fault(self, way):
        """The second provider would take them no better."""

        @provider("a")
        def ask(prompt):
            return prompt

        second = ScriptedProvider("b", ["no"])
        llm = FallbackProvider(ask, second)
        failure = way.failure(llm, "why", wrong=1)
        assert type(failure) is RequestRejected
        assert isinstance(failure.exceptions[0], TypeError)
        assert called(second) == [0]
        assert llm.breaker("a").snapshot().calls == 0

    def test_a_type_error_of_the_providers_own_code_fails_over(self, way):
        """An answer of an unexpected shape is no fault of the caller."""

        @provider("a")
        def ask(prompt):
            return prompt + 1

        assert way.call(FallbackProvider(ask, ScriptedProvider("b", ["hello"])), "why") == "hello"

    def test_a_provider_held_for_its_key_leads_every_message(self, way, chain):
        """The tenth as the first, whatever the order."""

        class AuthenticationError(Exception):
            status_code = 401

        config = FallbackConfig()
        llm, _ = chain(config, a=[down()] * 10, b=[AuthenticationError()])
        for _ in range(10):
            failure = way.failure(llm, "why")
            first, _, _ = failure.message.partition(";")
            assert first.startswith("all 2 providers failed: 'b' ")
            assert first.endswith("auth (check its key and permissions)")
        assert failure.trail[-1].cause.kind is K.AUTH


class TestBreakersInAChain:
    """One for each provider."""

    def test_a_provider_is_asked_again_after_its_open_time(self, way, chain, clock):
        """One tick before it is not."""
        llm, (first, _) = chain(a=[down(), "back"], b=["one", "two"])
        way.call(llm, "why")
        clock.advance_to(29.999)
        assert way.call(llm, "why") == "two"
        assert called(first) == [1]
        clock.advance_to(30.0)
        assert way.call(llm, "why") == "back"
        assert llm.breaker("a").state is BreakerState.CLOSED

    def test_a_breaker_can_be_operated(self, way, chain):
        """What it is told counts for the next call."""
        llm, providers = chain(a=["one"], b=["two"])
        llm.breaker("a").force_open(reason="drill")
        assert way.call(llm, "why") == "two"
        llm.breaker("a").reset()
        assert way.call(llm, "why") == "one"
        assert called(*providers) == [1, 1]

    def test_a_breaker_of_an_unknown_name_is_an_error(self, chain):
        """Which names those that there are."""
        llm, _ = chain(a=["one"], b=["two"])
        with pytest.raises(KeyError, match="no provider 'c' in chain 'fallback'; there are 'a'"):
            llm.breaker("c")

    def test_chains_over_one_provider_object_share_its_breaker(self, way, clock):
        """What one has learnt, the other knows."""
        shared = ScriptedProvider("a", [down(), "hello"])
        first = FallbackProvider(shared, config=TRIGGERS_AT_ONCE, clock=clock, name="first")
        second = FallbackProvider(shared, config=TRIGGERS_AT_ONCE, clock=clock, name="second")
        way.failure(first, "why")
        assert first.breaker("a") is second.breaker("a")
        assert [type(skip) for skip in way.failure(second, "why").trail] == [Skip]

    def test_chains_that_judge_otherwise_have_breakers_of_their_own(self, way, clock):
        """Other parameters are another machine."""
        shared = ScriptedProvider("a", [down(), "hello"])
        first = FallbackProvider(shared, config=TRIGGERS_AT_ONCE, clock=clock)
        second = FallbackProvider(shared, clock=clock)
        way.failure(first, "why")
        assert way.call(second, "why") == "hello"

    def test_a_shared_breaker_is_told_to_both_logs(self, way, clock):
        """Under the name the first chain gave it."""
        shared = ScriptedProvider("a", [down()])
        first = FallbackProvider(shared, config=TRIGGERS_AT_ONCE, clock=clock, name="first")
        second = FallbackProvider(shared, config=TRIGGERS_AT_ONCE, clock=clock, name="second")
        way.failure(second, "why")
        for chain in (first, second):
            opened = [r for r in chain.audit.records() if r["to"] == "open"]
            assert [record["id"] for record in opened] == ["first/a"]

    def test_eight_threads_lose_no_outcome(self, clock):
        """Every call is answered or accounted for, and nothing stays in flight."""

        @provider("a")
        def odd(number):
            if number % 2:
                raise down()
            return number

        size = 800
        config = FallbackConfig(
            breaker=BreakerConfig(window=CountWindow(size), minimum_calls=size, failure_ratio=1.0)
        )
        llm = FallbackProvider(odd, ScriptedProvider("b", ["b"], exhausted="repeat"), config=config)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(llm.call, range(size)))
        assert answers == [number if number % 2 == 0 else "b" for number in range(size)]
        first, second = (llm.breaker(name).snapshot() for name in "ab")
        assert (first.calls, first.failures, first.in_flight) == (size, size // 2, 0)
        assert (second.calls, second.failures, second.in_flight) == (size // 2, 0, 0)


class TestContextWindows:
    """A request too long for one goes to a larger one only."""

    @pytest.fixture
    def too_long(self):
        """An error whose words the fault table knows."""
        error = ValueError("maximum context length is 8 tokens")
        return error, lambda _: Fault(K.CONTEXT)

    def test_it_goes_to_the_larger_window(self, way, too_long):
        """The one between is skipped, and the trail says why."""
        error, classify = too_long
        small = ScriptedProvider("small", [error], context_window=8, classify=classify)
        same = ScriptedProvider("same", ["no"], context_window=8)
        large = ScriptedProvider("large", ["hello"], context_window=32)
        answer = way.detailed(FallbackProvider(small, same, large), "why")
        assert answer.provider == "large"
        assert answer.trail[1] == Skip("same", "context_window")
        assert called(same) == [0]

    def test_it_is_rejected_without_a_larger_window(self, way, too_long):
        """And neutral: the provider did nothing wrong."""
        error, classify = too_long
        small = ScriptedProvider("small", [error], context_window=8, classify=classify)
        llm = FallbackProvider(small, ScriptedProvider("unknown", ["no"]))
        failure = way.failure(llm, "why")
        assert type(failure) is RequestRejected
        assert failure.exceptions == (error,)
        assert llm.breaker("small").snapshot().calls == 0


class TestClassifiers:
    """A provider may read its errors in its own way."""

    def test_each_provider_has_its_own(self, way):
        """The same error is the caller's fault of one and an outage of the other."""
        first = ScriptedProvider("a", [ValueError()], classify=lambda _: Fault(K.TRANSIENT))
        second = ScriptedProvider("b", [ValueError()], classify=lambda _: Fault(K.CALLER))
        third = ScriptedProvider("c", ["no"])
        failure = way.failure(FallbackProvider(first, second, third), "why")
        assert type(failure) is RequestRejected
        assert [item.fault.kind for item in failure.trail] == [K.TRANSIENT, K.CALLER]

    @pytest.mark.parametrize(
        "classify",
        [lambda _: 1 / 0, lambda _: None, lambda _: "transient", lambda _: K.TRANSIENT],
        ids=["raises", "none", "text", "kind"],
    )
    def test_one_that_fails_means_unknown_and_is_logged(self, way, classify, caplog):
        """The call goes on to the next provider."""
        first = ScriptedProvider("a", [down()], classify=classify)
        llm = FallbackProvider(first, ScriptedProvider("b", ["hello"]))
        with caplog.at_level(logging.ERROR, logger="fsm_fallback"):
            answer = way.detailed(llm, "why")
        assert answer.provider == "b"
        assert answer.trail[0].fault.kind is K.UNKNOWN
        (line,) = caplog.records
        assert "classifier of provider 'a'" in line.getMessage()

    def test_it_runs_while_no_breaker_is_locked(self, way):
        """One that waits for another thread that looks at the breaker makes no deadlock."""
        free = []

        def classify(_):
            reader = threading.Thread(target=llm.breaker("a").snapshot)
            reader.start()
            reader.join(5.0)
            free.append(not reader.is_alive())
            return Fault(K.TRANSIENT)

        llm = FallbackProvider(ScriptedProvider("a", [down()], classify=classify))
        way.failure(llm, "why")
        assert free == [True]


class TestNesting:
    """A chain is a provider."""

    def test_a_chain_answers_within_a_chain(self, way):
        """The answer goes through; each has a trail of its own."""
        inner = FallbackProvider(
            ScriptedProvider("x", [down()]), ScriptedProvider("y", ["deep"]), name="inner"
        )
        answer = way.detailed(FallbackProvider(inner, ScriptedProvider("b", ["no"])), "why")
        assert (answer.value, answer.provider) == ("deep", "inner")
        assert len(answer.trail) == 1

    def test_an_inner_failure_leads_on_and_is_kept_whole(self, way):
        """A group within the group, with its own trail."""
        error = down()
        inner = FallbackProvider(ScriptedProvider("x", [error]), name="inner")
        failure = way.failure(FallbackProvider(inner, ScriptedProvider("b", [down()])), "why")
        nested, _ = failure.exceptions
        assert isinstance(nested, AllProvidersFailed)
        assert nested.exceptions == (error,)
        assert nested.trail[0].error is error
        assert failure.trail[0].fault.kind is K.TRANSIENT

    def test_an_inner_rejection_is_a_rejection(self, way):
        """The request is at fault, however deep it was found."""
        inner = FallbackProvider(
            ScriptedProvider("x", [ValueError()], classify=lambda _: Fault(K.CALLER)), name="inner"
        )
        second = ScriptedProvider("b", ["no"])
        failure = way.failure(FallbackProvider(inner, second), "why")
        assert type(failure) is RequestRejected
        assert failure.trail[0].fault.kind is K.CALLER
        assert called(second) == [0]

    def test_a_plain_call_over_a_chain_that_can_only_be_awaited_is_refused(self):
        """Before anybody is called, and not as a failure of that provider."""

        @provider("x")
        async def ask(prompt):
            return prompt

        first = ScriptedProvider("a", [down()])
        llm = FallbackProvider(first, FallbackProvider(ask, name="inner"))
        with pytest.raises(ConfigurationError, match="provider 'inner' cannot be called"):
            llm.call("why")
        assert called(first) == [0]


class TestStrategies:
    """Who is asked first."""

    def test_a_strategy_may_turn_the_order_round_and_rule_out(self, way):
        """It gets the candidates, what the call says of itself, the time, and a sample."""
        given = []

        class Backwards:
            def order(self, candidates, request, now, sample):
                given.append(([c.name for c in candidates], request, now, sample))
                first, *others = reversed(candidates)
                return (Skip(first.name, "tools"), *others)

        providers = [ScriptedProvider(name, [name]) for name in "abc"]
        llm = FallbackProvider(
            *providers, strategy=Backwards(), clock=ManualClock(), sample=lambda: 0.25
        )
        answer = way.detailed(llm.options(deadline=5.0), "why")
        assert answer.provider == "b"
        assert answer.trail[0] == Skip("c", "tools")
        assert given == [(["a", "b", "c"], CallOptions(deadline=5.0), 0.0, 0.25)]

    def test_all_ruled_out_is_told_as_such(self, way):
        """One `NotEligible` for each."""

        class Nobody:
            def order(self, candidates, request, now, sample):
                return tuple(Skip(c.name, "vision") for c in candidates)

        llm = FallbackProvider(ScriptedProvider("a", ["no"]), strategy=Nobody())
        (member,) = way.failure(llm, "why").exceptions
        assert isinstance(member, NotEligible)
        assert (member.provider, member.reason) == ("a", "vision")

    def test_an_argument_wins_over_the_configuration(self, way, chain):
        """The configuration has one, too."""

        class Backwards:
            def order(self, candidates, request, now, sample):
                return candidates[::-1]

        providers = [ScriptedProvider(name, [name]) for name in "ab"]
        llm = FallbackProvider(
            *providers, config=FallbackConfig(strategy=Backwards()), strategy=Sequential()
        )
        assert way.call(llm, "why") == "a"


class TestNeeds:
    """A chain that orders by what its calls need."""

    def test_who_lacks_a_need_is_skipped_and_the_error_names_it(self, plain_or_loop):
        """The skip is in the trail; of one that could, nobody says more."""
        blind = ScriptedProvider("blind", ["no"], capabilities=["tools"])
        seeing = ScriptedProvider("seeing", ["one", ValueError()], capabilities=["vision"])
        llm = FallbackProvider(blind, seeing, strategy=CapabilityBased())
        looking = llm.options(needs=["vision"], tags=["nightly"]).options(input_tokens=7)
        detailed = looking.detailed if plain_or_loop is None else None
        ask = detailed or (lambda _: plain_or_loop.run(looking.adetailed, "why"))
        assert ask("why").provider == "seeing"
        with pytest.raises(AllProvidersFailed) as caught:
            ask("why")
        assert caught.value.trail[-1] == Skip("blind", "vision")
        assert "'blind' skipped, vision" in str(caught.value)
        assert blind.calls == []
        assert llm.call("why") == "no"

    def test_options_stay_until_they_are_given_anew(self):
        """One call's are no other's."""
        given = []

        class Noting:
            def order(self, candidates, request, now, sample):
                given.append(request)
                return candidates

        llm = FallbackProvider(ScriptedProvider("a", [1, 2, 3]), strategy=Noting())
        sized = llm.options(needs={"tools"}, input_tokens=5, deadline=9.0)
        sized.options(output_tokens=2, needs=()).call("why")
        sized.call("why")
        llm.call("why")
        assert given == [
            CallOptions(deadline=9.0, input_tokens=5, output_tokens=2),
            CallOptions(deadline=9.0, input_tokens=5, needs=frozenset({"tools"})),
            CallOptions(),
        ]
        assert given[0].tokens == 7
