"""`accept=`: the caller's own judgement of answers, in both drivers."""

import gc
import pickle

import anyio.lowlevel
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    AnswerRejected,
    BreakerConfig,
    BreakerState,
    ConfigurationError,
    DeadlineExceeded,
    FallbackConfig,
    FallbackProvider,
    Fault,
    FaultKind,
    provider,
)
from fsm_fallback.testing import Hang, ScriptedProvider

K = FaultKind


def is_long(answer):
    """Takes long answers."""
    return len(answer) > 3


@pytest.fixture
def judged(chain):
    """A chain of scripts whose answers are judged."""

    def made(scripts, accept, **config):
        llm, providers = chain(scripts, **config)
        return llm.options(accept=accept), providers

    return made


def test_an_answer_that_is_not_taken_is_passed_over(way, judged, untouched):
    """It is kept in the trail, and its provider is not blamed."""
    llm, _ = judged({"a": ["no"], "b": ["hello"]}, is_long)
    answer = way.detailed(llm, "why")
    assert answer.value == "hello"
    rejected = answer.trail[0]
    assert isinstance(rejected.error, AnswerRejected)
    assert (rejected.error.provider, rejected.error.answer) == ("a", "no")
    assert rejected.fault.kind is K.BAD_RESPONSE
    assert untouched(llm, "a")


def test_a_fault_says_why_and_may_count(way, judged):
    """Its kind and scope are the caller's to say."""
    fault = Fault(K.BAD_RESPONSE, message="nonsense")
    llm, _ = judged({"a": ["no"], "b": ["hello"]}, lambda answer: is_long(answer) or fault)
    answer = way.detailed(llm, "why")
    assert answer.trail[0].fault is fault
    assert llm.breaker("a").state is BreakerState.OPEN


def test_one_that_raises_does_not_take_it(way, judged, untouched):
    """A schema that does not fit raises; that is the cause of the error."""
    broken = LookupError()

    def accept(answer):
        if answer == "no":
            raise broken
        return True

    llm, _ = judged({"a": ["no"], "b": ["hello"]}, accept)
    answer = way.detailed(llm, "why")
    assert answer.value == "hello"
    assert answer.trail[0].error.__cause__ is broken
    assert untouched(llm, "a")


def test_answers_that_nobody_takes_fail_the_call(way, judged):
    """All of them are in the error."""
    llm, _ = judged({"a": ["no"], "b": ["nay"]}, is_long)
    failure = way.failure(llm, "why")
    assert type(failure) is AllProvidersFailed
    assert [each.answer for each in failure.exceptions] == ["no", "nay"]


def test_a_verdict_may_have_to_be_awaited(loop, judged):
    """Another model may judge."""

    async def accept(answer):
        await anyio.lowlevel.checkpoint()
        return is_long(answer)

    llm, _ = judged({"a": ["no", "no"], "b": ["hello", "hello"]}, accept)
    assert loop.run(llm.acall, "why") == "hello"
    assert loop.run(llm.adetailed, "why").value == "hello"


def test_a_verdict_that_has_to_be_awaited_is_refused_in_a_plain_call(judged):
    """Before anything is called."""

    async def accept(answer):
        return True

    llm, (a,) = judged({"a": ["no"]}, accept)
    with pytest.raises(ConfigurationError, match="has to be awaited"):
        llm.call("why")
    assert a.calls == []


def test_a_verdict_that_turns_out_to_be_awaited_takes_nothing_in_a_plain_call(judged):
    """A plain function may return a coroutine; it is closed, and the error says so."""

    async def verdict():
        return True

    llm, _ = judged({"a": ["no"]}, lambda _: verdict())
    with pytest.raises(AllProvidersFailed) as caught:
        llm.call("why")
    assert isinstance(caught.value.exceptions[0].__cause__, ConfigurationError)


@pytest.mark.parametrize("method", ["stream", "astream", "stream_detailed", "astream_detailed"])
def test_streams_are_refused_where_answers_are_judged(stream_chain, method):
    """A stream has no whole answer; nothing is called."""
    llm, (a,) = stream_chain({"a": [["no"]]})
    with pytest.raises(ConfigurationError, match="judges whole answers"):
        getattr(llm.options(accept=is_long), method)("why")
    assert a.calls == []
    assert list(llm.stream("why")) == ["no"]


def test_a_judge_that_hangs_is_cut_and_its_provider_not_blamed(loop, chain, clock, untouched):
    """It has the time of an attempt; the answer was there at once, and is kept."""

    async def accept(answer):
        if answer == "one":
            await clock.pass_time(600.0)
        return True

    llm, _ = chain({"a": ["one"], "b": ["two"]}, attempt_timeout=5.0)
    answer = loop.run(llm.options(accept=accept).adetailed, "why")
    assert (answer.value, clock()) == ("two", 5.0)
    rejected = answer.trail[0]
    assert (rejected.fault.kind, rejected.error.answer) == (K.BAD_RESPONSE, "one")
    assert rejected.error.why == "accept had not judged it in time"
    assert untouched(llm, "a")


def test_a_judge_that_hangs_ends_with_the_call(loop, chain, clock, untouched):
    """At the deadline; nobody else is asked."""

    async def accept(_):
        await clock.pass_time(600.0)

    llm, (_, b) = chain({"a": ["one"], "b": ["no"]}, deadline=5.0)
    with pytest.raises(DeadlineExceeded) as caught:
        loop.run(llm.options(accept=accept).adetailed, "why")
    assert clock() == 5.0
    assert caught.value.trail[0].error.answer == "one"
    assert (b.calls, untouched(llm, "a")) == ([], True)


@pytest.mark.parametrize("verdict", [True, False])
def test_the_time_a_judge_takes_is_not_the_providers(way, chain, clock, verdict):
    """An answer that came at once is not slow, taken or not."""

    def accept(answer):
        clock.spend(7.0)
        return verdict or answer == "two"

    slow = {"slow_call_duration": 1.0, "slow_call_ratio": 0.1, "minimum_calls": 1}
    llm, _ = chain({"a": ["one"], "b": ["two"]}, slow)
    answer = way.detailed(llm.options(accept=accept), "why")
    assert answer.value == ("one" if verdict else "two")
    assert llm.breaker("a").snapshot().slow_calls == 0
    assert llm.breaker("a").state is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("accept", "why"),
    [
        (lambda _: None, "accept returned None, not True"),
        (lambda _: [].pop(), "accept raised IndexError"),
    ],
    ids=["returns nothing", "raises"],
)
def test_an_error_says_why_where_accept_did_not_simply_say_no(way, judged, accept, why):
    """A validator returns None for all that is well: that is no yes, and the error tells."""
    llm, _ = judged({"a": ["one"]}, accept)
    error = way.failure(llm, "why").exceptions[0]
    assert str(error) == f"the answer of 'a' was not accepted: {why}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  # our own


def test_ctrl_c_in_a_judge_leaves_nothing_behind(way, judged, untouched, last_word):
    """It passes through."""

    def accept(_):
        raise KeyboardInterrupt

    llm, (_, b) = judged({"a": ["no"], "b": ["no"]}, accept)
    with pytest.raises(KeyboardInterrupt):
        way.detailed(llm, "why")
    assert b.calls == []
    assert untouched(llm, "a")
    assert last_word(llm) == ("abandon", "abandoned")


def test_options_of_a_call_are_its_own(way, chain, clock):
    """The chain, and other options of it, stay as they were; None takes all."""
    llm, _ = chain({"a": ["no"] * 4, "b": ["hello"] * 2}, deadline=10.0)
    strict = llm.options(accept=is_long)
    hurried = strict.options(deadline=2.0)
    lenient = hurried.options(accept=None)
    assert [way.detailed(each, "why").value for each in (llm, strict, hurried, lenient)] == [
        "no",
        "hello",
        "hello",
        "no",
    ]
    assert [each._options.deadline for each in (llm, strict, hurried, lenient)] == [10, 10, 2, 2]


@pytest.mark.parametrize(
    "options", [{"accept": 7}, {"deadline": 0}, {"deadline": float("nan")}, {"deadline": "1"}]
)
def test_options_out_of_bounds_are_refused(chain, options):
    """When they are given."""
    llm, _ = chain({"a": ["hello"]})
    with pytest.raises(ConfigurationError):
        llm.options(**options)


def test_what_the_breakers_did_is_recorded_though_the_chain_it_came_from_is_gone(way, clock):
    """Options are often all that is kept of a chain."""
    llm = FallbackProvider(
        ScriptedProvider("a", [ConnectionError], clock=clock),
        clock=clock,
        config=FallbackConfig(breaker=BreakerConfig(minimum_calls=1)),
    ).options(deadline=5.0)
    gc.collect()
    way.failure(llm, "why")
    assert "breaker" in {record["machine"] for record in llm.audit.records()}


def test_a_wait_without_end_is_refused(chain):
    """Waiting for breakers needs a deadline."""
    llm, _ = chain({"a": [Hang()]}, when_all_open="wait", deadline=5.0)
    with pytest.raises(ConfigurationError, match="give the wait an end"):
        llm.options(deadline=None)


def test_the_judge_sees_the_answer_of_a_chain_inside(way, clock):
    """Not what tells how it came about."""
    seen = []

    @provider("a")
    def ask(prompt):
        return "hello"

    inner = FallbackProvider(ask, name="inner", clock=clock)
    llm = FallbackProvider(inner, clock=clock, accept=lambda answer: seen.append(answer) or True)
    assert way.detailed(llm, "why").value == "hello"
    assert seen == ["hello"]
