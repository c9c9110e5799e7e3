"""Guarantee 10: the sync and the async driver give the same trail for the same script.

And with it, through the public face: 1 an open breaker is never called; 2 all errors are preserved,
in order, as objects; 7 nothing is called after the end; 9 the chain ends by its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
CONFIGS = st.builds(
    FallbackConfig,
    breaker=st.builds(
        BreakerConfig,
        window=st.just(CountWindow(4)),
        minimum_calls=st.integers(1, 3),
        open_duration=st.just(4.0),
        max_open_duration=st.just(8.0),
    ),
    deadline=st.sampled_from([None, 5.0, 20.0]),
    attempt_timeout=st.sampled_from([None, 1.0]),
)


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
    log = AuditLog(mode="full", clock=clock, wall=lambda: 0.0)
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
        for name in (provider.name for provider in providers):
            assert chain.breaker(name).snapshot().in_flight == 0
    run.calls.extend(len(provider.calls) for provider in providers)
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
