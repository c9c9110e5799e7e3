"""Guarantee 10: the sync and the async driver give the same trail for the same script.

And with it, through the public face: 1 an open breaker is never called; 2 all errors are preserved,
in order, as objects; 7 nothing is called after the end; 9 the chain ends by its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import (
    Answer,
    Attempt,
    AuditLog,
    BreakerConfig,
    ChainFailed,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    RetryConfig,
    provider,
)
from fsm_fallback.testing import Delay, ManualClock, ScriptedProvider


class ServiceUnavailableError(Exception):
    """As an SDK raises it for a 503."""

    status_code = 503


class BadRequestError(Exception):
    """As an SDK raises it for a 400 it explains."""

    status_code = 400
    body = {"error": {"type": "invalid_request_error", "message": "wrong", "param": "n"}}  # noqa: RUF012  # as SDKs have it


class RateLimitError(Exception):
    """As an SDK raises it for a 429."""

    status_code = 429


PLAIN = st.one_of(
    st.just("an answer"),
    st.builds(ServiceUnavailableError),
    st.builds(ServiceUnavailableError),
    st.builds(RateLimitError),
    st.builds(BadRequestError),
)
STEPS = st.one_of(
    PLAIN,
    st.builds(lambda seconds, then: (seconds, then), st.sampled_from([0.5, 2.0, 30.0]), PLAIN),
)
BREAKERS = st.builds(
    BreakerConfig,
    window=st.just(CountWindow(4)),
    minimum_calls=st.integers(1, 3),
    open_duration=st.just(4.0),
    max_open_duration=st.just(8.0),
)
RETRIES = st.builds(
    RetryConfig,
    attempts=st.sampled_from([1, 1, 2, 3]),
    jitter=st.sampled_from(["none", "full"]),
    max_retry_after=st.sampled_from([0.0, 60.0]),
)


@st.composite
def configs(draw: st.DrawFn) -> FallbackConfig:
    """Parameters of a chain; only one with a deadline may wait."""
    deadline = draw(st.sampled_from([None, 5.0, 20.0]))
    waits = deadline is not None and draw(st.booleans())
    return FallbackConfig(
        breaker=draw(BREAKERS),
        deadline=deadline,
        attempt_timeout=draw(st.sampled_from([None, 1.0])),
        retry=draw(RETRIES),
        when_all_open="wait" if waits else "fail",
    )


CONFIGS = configs()


@attrs.frozen
class Run:
    """What one driver made of a script: outcomes, trails, audit records, calls."""

    outcomes: list[str]
    trails: list[list[Any]]
    records: list[dict[str, Any]]
    calls: list[int]
    times: list[float]
    members: list[Any] = attrs.field(factory=list, eq=False)


@given(
    scripts=st.lists(st.lists(STEPS, min_size=6, max_size=6), min_size=1, max_size=3),
    config=CONFIGS,
    pauses=st.lists(st.sampled_from([0.0, 1.0, 4.0, 20.0]), min_size=6, max_size=6),
)
def test_both_drivers_tell_the_same_story(
    scripts: list[list[Any]], config: FallbackConfig, pauses: list[float]
) -> None:
    """Trails, records, breaker states and times are equal, whatever the providers do."""
    told = play(scripts, config, pauses, in_plain_calls)
    awaited = play(scripts, config, pauses, in_a_loop)
    assert told == awaited


@given(
    scripts=st.lists(st.lists(PLAIN, min_size=6, max_size=6), min_size=1, max_size=3),
    config=CONFIGS,
    pauses=st.lists(st.sampled_from([0.0, 1.0, 4.0, 20.0]), min_size=6, max_size=6),
    awaited=st.booleans(),
)
def test_a_straight_call_tells_the_same_story_as_a_walked_one(
    scripts: list[list[Any]], config: FallbackConfig, pauses: list[float], *, awaited: bool
) -> None:
    """`call` goes straight where it can, `detailed` always walks: records and calls are equal."""
    walked = play(scripts, config, pauses, in_a_loop if awaited else in_plain_calls)
    straight = play(scripts, config, pauses, straight_in_a_loop if awaited else straight_calls)
    assert straight.records == walked.records
    assert straight.calls == walked.calls
    assert [words.rpartition(": ")[2] for words in straight.outcomes] == [
        words.rpartition(": ")[2] for words in walked.outcomes
    ]


HAPPENINGS = st.lists(
    st.one_of(
        st.just(("begin",)),
        st.just(("begin",)),
        st.tuples(st.just("answer"), st.integers(0, 5)),
        st.tuples(st.just("raise"), st.integers(0, 5), st.sampled_from([503, 503, 429, 400])),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("operate"), st.sampled_from(["reset", "force_open", "observe"])),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0, 20.0])),
    ),
    min_size=4,
    max_size=30,
)


@given(happenings=HAPPENINGS, config=CONFIGS)
def test_straight_calls_that_overlap_tell_the_same_story(
    happenings: list[tuple[Any, ...]], config: FallbackConfig
) -> None:
    """Late outcomes, trips, operators and cancellation in the midst of calls: records are equal."""
    # There is no loop here to wait in.
    config = attrs.evolve(
        config,
        deadline=None,
        attempt_timeout=None,
        retry=RetryConfig(),
        when_all_open="fail",
    )
    straight = overlap(happenings, config, lambda chain: chain.acall())
    assert straight == overlap(happenings, config, lambda chain: chain.adetailed())


@coroutine
def waiting() -> Generator[None, Any, Any]:
    """Wait until somebody says what the provider does."""
    return (yield)


async def being_called() -> Any:
    """A provider that is out for as long as the script says."""
    return await waiting()


def overlap(
    happenings: list[tuple[Any, ...]],
    config: FallbackConfig,
    begin: Callable[[FallbackProvider[..., Any]], Coroutine[Any, Any, Any]],
) -> list[Any]:
    """Calls driven by hand, so that each stays out for as long as the script says."""
    clock = ManualClock()
    log = AuditLog(clock=clock, wall=lambda: 0.0)
    providers = [provider(name)(being_called) for name in "ab"]
    chain: FallbackProvider[..., Any] = FallbackProvider(
        *providers, config=config, clock=clock, sample=lambda: 0.5, audit=log
    )
    out: list[Coroutine[Any, Any, Any]] = []
    story: list[Any] = []
    for what, *about in happenings:
        match what:
            case "begin":
                out.append(begin(chain))
                go_on(out, len(out) - 1, None, story)
            case "answer" if out:
                go_on(out, about[0] % len(out), "an answer", story)
            case "raise" if out:
                kind = {503: ServiceUnavailableError, 429: RateLimitError, 400: BadRequestError}
                go_on(out, about[0] % len(out), kind[about[1]](), story)
            case "cancel" if out:
                go_on(out, about[0] % len(out), asyncio.CancelledError(), story)
            case "operate":
                getattr(chain.breaker("a"), about[0])()
            case "wait":
                clock.advance(about[0])
        stands = [chain.breaker(name).snapshot() for name in "ab"]
        story.append([attrs.evolve(each, cause=None) for each in stands])
    for each in out:
        each.close()
    story.append([chain.breaker(name).snapshot().in_flight for name in "ab"])
    story.extend({**record, "stream": ""} for record in log.records())
    return story


def go_on(out: list[Coroutine[Any, Any, Any]], which: int, what: Any, story: list[Any]) -> None:
    """One call goes on until it waits for its next provider, or ends."""
    call = out[which]
    try:
        if isinstance(what, BaseException):
            call.throw(what)
        else:
            call.send(what)
    except StopIteration:
        story.append("answered")
        del out[which]
    except (ChainFailed, asyncio.CancelledError) as error:
        story.append(type(error).__name__)
        del out[which]


def play(
    scripts: list[list[Any]],
    config: FallbackConfig,
    pauses: list[float],
    driver: Callable[[FallbackProvider[..., Any]], Answer[Any]],
) -> Run:
    """Run a script through a fresh chain on a fresh clock."""
    clock = ManualClock()
    providers = [
        ScriptedProvider(f"p{number}", [scripted(step) for step in script], clock=clock)
        for number, script in enumerate(scripts)
    ]
    log = AuditLog(clock=clock, wall=lambda: 0.0)  # in "full" no call would go straight
    chain: FallbackProvider[..., Any] = FallbackProvider(
        *providers, config=config, clock=clock, sample=lambda: 0.5, audit=log
    )
    run = Run([], [], [], [], [])
    for pause in pauses:
        clock.advance(pause)
        started = clock()
        try:
            answer = driver(chain)
        except ChainFailed as failed:
            run.outcomes.append(f"{type(failed).__name__}: {failed.message}")
            trail = failed.trail
            run.members.append(failed.exceptions)
        else:
            run.outcomes.append(f"{answer.provider}: {answer.value}")
            trail = answer.trail
            run.members.append(None)
        if run.members[-1] is not None:
            attempted = tuple(item.error for item in trail if isinstance(item, Attempt))
            assert run.members[-1] == attempted or not attempted
        run.trails.append([told(item) for item in trail])
        run.times.append(clock())
        if config.deadline is not None:
            assert clock() <= started + config.deadline
        for name in (each.name for each in providers):
            assert chain.breaker(name).snapshot().in_flight == 0
    run.calls.extend(len(each.calls) for each in providers)
    run.records.extend({**record, "stream": ""} for record in log.records())
    return run


def scripted(step: Any) -> Any:
    """A step as the provider plays it."""
    return Delay(step[0], then=step[1]) if isinstance(step, tuple) else step


def told(item: Any) -> Any:
    """A trail item by what it means: two runs raise two time-outs, each in its own words."""
    if isinstance(item, Attempt):
        kind = None if item.fault is None else item.fault.kind
        return attrs.evolve(item, error=None, fault=None), kind, type(item.error)
    kind = None if item.cause is None else item.cause.kind
    return attrs.evolve(item, cause=None), kind


def in_plain_calls(chain: FallbackProvider[..., Any]) -> Answer[Any]:
    """The sync driver."""
    return chain.detailed()


def in_a_loop(chain: FallbackProvider[..., Any]) -> Answer[Any]:
    """The async driver."""
    return asyncio.run(chain.adetailed())


def straight_calls(chain: FallbackProvider[..., Any]) -> Answer[Any]:
    """The sync driver, straight where it can go straight."""
    return Answer(chain.call(), "", ())


def straight_in_a_loop(chain: FallbackProvider[..., Any]) -> Answer[Any]:
    """The async driver, straight where it can go straight."""
    return Answer(asyncio.run(chain.acall()), "", ())
