"""Ordered calls go straight past breakers that are shut, and nobody can tell that they did.

A chain whose strategy orders its candidates is held against one with the same strategy, scripts and
breakers that makes a chain for every call: the same answers, records, numbers and breakers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from fsm_fallback import (
    Attempt,
    AuditLog,
    BreakerConfig,
    BreakerSnapshot,
    CallOptions,
    Candidate,
    CapabilityBased,
    ChainFailed,
    CostOptimized,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    LoadBalanced,
    Price,
    RetryConfig,
    Sequential,
    Skip,
)
from fsm_fallback.providers.usage import Usage
from fsm_fallback.testing import Delay, ManualClock, ScriptedProvider

NAMES = "abc"


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


class ContextLengthExceededError(Exception):
    """As an SDK raises it where a window is too small."""

    status_code = 400
    code = "context_length_exceeded"


@attrs.frozen
class Reply:
    """An answer that tells its tokens."""

    usage: Usage


@attrs.frozen
class Backwards:
    """The last one first, and never the one that is named."""

    is_fixed = True
    without: str = ""

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,  # noqa: ARG002  # the protocol's
        now: float,  # noqa: ARG002  # as above
        sample: float,  # noqa: ARG002  # as above
    ) -> tuple[Candidate | Skip, ...]:
        """A `Skip` stands where the candidate would."""
        return tuple(
            Skip(each.name, "unwanted") if each.name == self.without else each
            for each in reversed(candidates)
        )


@attrs.frozen
class Anew:
    """Another strategy, asked for each call."""

    strategy: Any

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,
        now: float,
        sample: float,
    ) -> tuple[Candidate | Skip, ...]:
        """What that one answers."""
        order: tuple[Candidate | Skip, ...] = self.strategy.order(candidates, request, now, sample)
        return order


REPLY = Reply(Usage(1000, 10, cached_tokens=5))
ANSWERS = st.sampled_from(["an answer", REPLY])
STEPS = st.one_of(
    ANSWERS,
    ANSWERS,
    ANSWERS,
    st.builds(Delay, st.sampled_from([0.5, 2.0, 30.0]), ANSWERS),
    st.builds(ServiceUnavailableError),
    st.sampled_from([RateLimitError(), BadRequestError(), ContextLengthExceededError()]),
    st.builds(Delay, st.just(2.0), st.builds(ServiceUnavailableError)),
)
ABLE = st.frozensets(st.sampled_from(["tools", "vision"]), max_size=2)
AMOUNTS = st.sampled_from([0, "0.5", 1, 20])
MODELS = st.fixed_dictionaries(
    {
        "capabilities": ABLE,
        "context_window": st.sampled_from([None, 10, 5000]),
        "price": st.none() | st.builds(Price, input_mtok=AMOUNTS, output_mtok=AMOUNTS),
    }
)
LEAVES: Any = st.one_of(
    st.just(Sequential()),
    st.builds(Backwards, st.sampled_from(["", *NAMES])),
    st.builds(
        LoadBalanced,
        weights=st.sampled_from([None, {"a": 3.0}]),
        by=st.sampled_from(["weight", "latency", "in_flight"]),
        slow_start=st.sampled_from([0.0, 30.0]),
    ),
)
SEVERAL: Any = LEAVES | st.builds(LoadBalanced, weights=st.just({"a": 0.0, "b": 3.0}))
"""For chains of more than one: a weight of 0 for the only one is refused."""


def strategies(leaves: Any) -> Any:
    """Strategies, put into each other."""
    return st.recursive(leaves, composed, max_leaves=3)


def composed(then: Any) -> Any:
    """Those that leave ties to another."""
    return st.one_of(
        st.builds(CapabilityBased, prefer=st.sampled_from([(), ("vision",)]), then=then),
        st.builds(CostOptimized, then=then),
    )


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "needs": ABLE,
        "input_tokens": st.sampled_from([0, 7, 1000]),
        "output_tokens": st.sampled_from([0, 5]),
        "max_cost": st.sampled_from([Decimal(0), Decimal("0.001"), Decimal(1)]),
    },
)


def rarely(value: Any) -> st.SearchStrategy[Any]:
    """A value, now and then; else None."""
    return st.sampled_from([*[None] * 7, value])


@st.composite
def configs(draw: st.DrawFn) -> FallbackConfig:
    """Parameters of a chain; half of them leave its calls the straight way."""
    deadline, limit, slow, attempts = None, None, None, 1
    if draw(st.booleans()):
        deadline, limit = draw(st.sampled_from([None, 20.0])), draw(st.sampled_from([None, 1.0]))
        slow, attempts = draw(st.sampled_from([None, 1.0])), draw(st.integers(1, 2))
    waits = deadline is not None and draw(st.booleans())
    return FallbackConfig(
        breaker=BreakerConfig(
            window=CountWindow(4),
            minimum_calls=draw(st.integers(1, 3)),
            open_duration=4.0,
            max_open_duration=8.0,
            slow_call_duration=slow,
        ),
        deadline=deadline,
        attempt_timeout=limit,
        retry=RetryConfig(attempts=attempts, jitter="full"),
        when_all_open="wait" if waits else "fail",
    )


OPERATORS = ("force_open", "disable", "observe", "reset")
CALLS = st.tuples(st.just("call"), st.just({}) | OPTIONS, st.integers(1, 5))
HAPPENINGS = st.lists(
    st.one_of(
        CALLS,
        CALLS,
        CALLS,
        CALLS,
        st.tuples(st.just("operate"), st.sampled_from(NAMES), st.sampled_from(OPERATORS)),
        st.tuples(st.just("hold"), st.sampled_from(NAMES), st.sampled_from([1.0, 6.0])),
        st.tuples(st.just("borrow"), st.sampled_from(NAMES)),
        st.tuples(st.just("give back")),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0, 20.0, 70.0])),
        st.tuples(st.just("read")),
    ),
    min_size=4,
    max_size=16,
)


def is_reply(answer: object) -> bool:
    """Accepts what tells its tokens."""
    return answer is REPLY


Chain = FallbackProvider[..., Any]
Ask = Callable[[Chain], object]


def plain(chain: Chain) -> object:
    """As callers call, straight where that is possible."""
    return chain.call()


def plain_walked(chain: Chain) -> object:
    """Walked, always."""
    return chain.detailed().value


def awaited(chain: Chain) -> object:
    """As `plain`, awaited."""
    return asyncio.run(chain.acall())


def awaited_walked(chain: Chain) -> object:
    """As `plain_walked`, awaited."""
    return asyncio.run(chain.adetailed()).value


WAYS = st.sampled_from([(plain, plain_walked), (awaited, awaited_walked)])


@attrs.frozen
class Scene:
    """Everything about a chain but how it is asked."""

    scripts: list[list[Any]]
    models: list[dict[str, Any]]
    strategy: Any
    config: FallbackConfig
    accept: Any
    happenings: list[tuple[Any, ...]]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Of one to three providers."""
    count = draw(st.sampled_from([1, 2, 3, 3]))
    return Scene(
        draw(st.lists(st.lists(STEPS, min_size=1, max_size=6), min_size=count, max_size=count)),
        draw(st.lists(MODELS, min_size=count, max_size=count)),
        draw(strategies(SEVERAL if count > 1 else LEAVES)),
        draw(configs()),
        draw(rarely(is_reply)),
        draw(HAPPENINGS),
    )


SLOW_THEN_FAST = Scene(
    scripts=[[Delay(30.0, REPLY), REPLY]],
    models=[{"price": Price(input_mtok=1, output_mtok=1)}],
    strategy=Sequential(),
    config=FallbackConfig(),
    accept=None,
    happenings=[("call", {}, 2), ("read",)],
)


@given(scene=scenes(), ways=WAYS)
@example(SLOW_THEN_FAST, (plain, plain_walked))
def test_an_ordered_call_tells_the_same_story_as_a_walked_one(
    scene: Scene, ways: tuple[Ask, Ask]
) -> None:
    """Whatever the strategy and the needs, and wherever the breakers stand."""
    straight, walked = ways
    assert played(scene, straight) == played(scene, walked)


@given(scene=scenes().filter(lambda scene: getattr(scene.strategy, "is_fixed", False)), ways=WAYS)
def test_an_order_asked_once_tells_the_same_story_as_one_asked_anew(
    scene: Scene, ways: tuple[Ask, Ask]
) -> None:
    """A strategy that says that its order is fixed, and the same one that does not say so."""
    # Asked anew it draws more often; so all draws are alike.
    anew = attrs.evolve(scene, strategy=Anew(scene.strategy))
    for way in ways:
        assert played(scene, way, lambda: 0.5) == played(anew, way, lambda: 0.5)


def played(scene: Scene, ask: Ask, sample: Callable[[], float] | None = None) -> list[Any]:
    """Everything that a chain tells of what happens to it."""
    clock = ManualClock()
    log = AuditLog(clock=clock, wall=lambda: 0.0, capacity=100_000)
    providers = [
        ScriptedProvider(name, script, clock=clock, exhausted="repeat", **model)
        for name, script, model in zip(NAMES, scene.scripts, scene.models, strict=False)
    ]
    chain: Chain = FallbackProvider(
        *providers,
        strategy=scene.strategy,
        config=scene.config,
        clock=clock,
        sample=random.Random(3).random if sample is None else sample,  # noqa: S311  # no secret
        audit=log,
        accept=scene.accept,
        name="chain",
    )
    leases: list[Any] = []
    story: list[Any] = []
    for what, *about in scene.happenings:
        if what == "call":
            same = chain.options(**about[0])
            story.extend(outcome(same, ask) for _ in range(about[1]))
        elif what == "give back":
            if leases:
                leases.pop().succeed()
        elif what == "wait":
            clock.advance(about[0])
        elif what == "read":
            story.append((chain.metrics(), chain.requests(), chain.health()))
        elif about[0] in [each.name for each in providers]:
            meddle(chain, what, about, leases)
        story.append([stands(chain, each.name) for each in providers])
    story.append((chain.metrics(), chain.requests(), chain.health()))
    story.extend([(call.at, call.timeout) for call in each.calls] for each in providers)
    story.extend({**record, "stream": ""} for record in log.records())
    return story


def outcome(chain: Chain, ask: Ask) -> Any:
    """What a call comes to."""
    try:
        return ask(chain)
    except ChainFailed as failed:
        return type(failed), failed.message, [told(item) for item in failed.trail]


def told(item: Any) -> Any:
    """A trail item by what it means: two runs raise two time-outs, each in its own words."""
    if isinstance(item, Attempt):
        kind = None if item.fault is None else item.fault.kind
        return attrs.evolve(item, error=None, fault=None), kind, type(item.error)
    kind = None if item.cause is None else item.cause.kind
    return attrs.evolve(item, cause=None), kind


def meddle(chain: Chain, what: str, about: list[Any], leases: list[Any]) -> None:
    """What others do to a breaker."""
    breaker = chain.breaker(about[0])
    if what == "operate":
        getattr(breaker, about[1])()
    elif what == "hold":
        breaker.hold(about[1])
    else:
        lease = breaker.try_acquire()
        if lease is not None:
            leases.append(lease)


def stands(chain: Chain, name: str) -> BreakerSnapshot:
    """How a breaker stands."""
    return attrs.evolve(chain.breaker(name).snapshot(), cause=None)
