"""What each strategy is for, as laws: guarantee 14, and what `docs/strategies.md` says of shares.

Shares are counted over 10,000 draws and held against binomial bounds of five standard deviations,
which a right strategy misses once in two million.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fsm_fallback import (
    CallOptions,
    CapabilityBased,
    CostOptimized,
    FallbackProvider,
    LoadBalanced,
    ModelInfo,
    Price,
    Sequential,
    Skip,
    Strategy,
    Tier,
)
from fsm_fallback.core.load_balanced import LEAST_SHARE
from fsm_fallback.spec.answers import StandIn
from fsm_fallback.spec.stateful import StrategySpec
from fsm_fallback.testing import Delay, ManualClock, ScriptedProvider

DRAWS = 10_000
ABLE = st.frozensets(st.sampled_from(["tools", "vision", "json_schema"]), max_size=3)
AMOUNTS = st.sampled_from([0, "0.1", "1", "2.5", 15])
PRICES = st.none() | st.builds(
    Price,
    input_mtok=AMOUNTS,
    output_mtok=AMOUNTS,
    tiers=st.just(())
    | st.tuples(st.builds(Tier, start=st.just(100), input_mtok=AMOUNTS, output_mtok=AMOUNTS)),
)
RATIOS = st.none() | st.sampled_from([0.0, 0.25, 1.0])
CANDIDATES = st.lists(
    st.builds(
        StandIn,
        name=st.sampled_from("abcdef"),
        context_window=st.none() | st.sampled_from([8, 1000]),
        info=st.builds(ModelInfo, capabilities=ABLE, price=PRICES),
        takes=st.none() | st.sampled_from([0.0, 0.1, 5.0]),
        in_flight=st.integers(0, 3),
        answers=RATIOS,
        recovered_at=st.none() | st.sampled_from([0.0, 90.0, 100.0, math.inf]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.name,
).map(tuple)
REQUESTS = st.builds(
    CallOptions,
    needs=ABLE,
    input_tokens=st.none() | st.sampled_from([0, 7, 100, 101, 10_000]),
    output_tokens=st.none() | st.sampled_from([0, 5, 2000]),
    max_cost=st.none() | st.sampled_from([Decimal(0), Decimal("0.001"), Decimal(1)]),
)
LEAVES: Any = st.one_of(
    st.just(Sequential()),
    st.builds(
        LoadBalanced,
        weights=st.none() | st.just({"a": 0.0, "b": 3.0, "c": 0.5}),
        by=st.sampled_from(["weight", "latency", "in_flight"]),
        slow_start=st.sampled_from([0.0, 30.0]),
    ),
)
STRATEGIES: Any = st.recursive(
    LEAVES,
    lambda then: st.one_of(
        st.builds(CapabilityBased, prefer=st.sampled_from([(), ("vision", "tools")]), then=then),
        st.builds(CostOptimized, then=then),
    ),
    max_leaves=3,
)
SAMPLES = st.floats(0.0, math.nextafter(1.0, 0.0))


def asked(strategy: Strategy, candidates: Any, request: CallOptions, sample: float) -> Any:
    """An order at 100 s."""
    return strategy.order(candidates, request, 100.0, sample)


def known(name: str, **known: Any) -> StandIn:
    """A candidate of which something is known."""
    price, able = known.pop("price", None), frozenset(known.pop("able", ()))
    return StandIn(name, info=ModelInfo(capabilities=able, price=price), **known)


def firsts(strategy: Strategy, *candidates: StandIn, now: float = 100.0) -> Counter[str]:
    """Who was first, how often."""
    draw = random.Random(7).random  # noqa: S311  # no secret
    orders = (strategy.order(candidates, CallOptions(), now, draw()) for _ in range(DRAWS))
    return Counter(order[0].name for order in orders if not isinstance(order[0], Skip))


def within(count: int, share: float) -> bool:
    """Whether so many of the draws are what a share comes to."""
    return abs(count - DRAWS * share) <= 5 * math.sqrt(DRAWS * share * (1 - share)) + 1e-9


class _Shut(StandIn):
    """One whose breaker is open."""

    def opens_at(self, now: float) -> float:
        """Later."""
        return now + 10.0


class TestEveryStrategy:
    @given(STRATEGIES, CANDIDATES, REQUESTS, SAMPLES)
    def test_candidates_in_are_candidates_out(
        self, strategy: Strategy, candidates: Any, request: CallOptions, sample: float
    ) -> None:
        """Each once, the very object or a `Skip` that names it; twice asked, twice the same."""
        order = asked(strategy, candidates, request, sample)
        assert type(order) is tuple
        named = [each.provider if isinstance(each, Skip) else each.name for each in order]
        assert sorted(named) == sorted(each.name for each in candidates)
        assert all(
            isinstance(each, Skip) or any(each is one for one in candidates) for each in order
        )
        assert asked(strategy, candidates, request, sample) == order

    @given(CANDIDATES, REQUESTS, SAMPLES, st.booleans())
    def test_a_hard_need_filters(
        self,
        candidates: Any,
        request: CallOptions,
        sample: float,
        costs: bool,  # noqa: FBT001
    ) -> None:
        """A drop names what is missing; whoever stays lacks nothing that is known."""
        strategy: Strategy = CostOptimized() if costs else CapabilityBased()
        by_name = {each.name: each for each in candidates}
        for each in asked(strategy, candidates, request, sample):
            one = by_name[each.provider if isinstance(each, Skip) else each.name]
            able, window, price = one.info.capabilities, one.context_window, one.info.price
            lacks = {word for word in request.needs if able and word not in able}
            if window is not None and window < request.tokens:
                lacks.add("context_window")
            if price is not None and request.max_cost is not None:
                into = 1000 if request.input_tokens is None else request.input_tokens
                out = 250 if request.output_tokens is None else request.output_tokens
                if price.cost(into, out) > request.max_cost:
                    lacks.add("max_cost")
            assert each.reason in lacks if isinstance(each, Skip) else not lacks


class TestLoadBalanced:
    @pytest.mark.parametrize(
        "weights", [None, {"a": 1, "b": 2, "c": 7}, {"a": 0.1, "b": 0.1, "c": 0.1}, {"c": 5}]
    )
    def test_shares_are_the_weights(self, weights: Any) -> None:
        """Within binomial bounds."""
        counted = firsts(LoadBalanced(weights=weights), *map(StandIn, "abc"))
        worth = {name: (weights or {}).get(name, 1.0) for name in "abc"}
        for name, weight in worth.items():
            assert within(counted[name], weight / sum(worth.values())), counted

    def test_a_second_is_drawn_by_the_weights_of_those_left(self) -> None:
        """So that the load of one that is open is shared out, too."""
        strategy = LoadBalanced(weights={"a": 1, "b": 2, "c": 7})
        draw = random.Random(8).random  # noqa: S311  # no secret
        after_c: Counter[str] = Counter()
        while sum(after_c.values()) < DRAWS:
            first, second, _ = strategy.order(
                tuple(map(StandIn, "abc")), CallOptions(), 0.0, draw()
            )
            if getattr(first, "name", "") == "c":
                after_c[getattr(second, "name", "")] += 1
        assert within(after_c["b"], 2 / 3), after_c

    @given(CANDIDATES, SAMPLES, st.sampled_from(["weight", "latency", "in_flight"]))
    def test_weight_zero_is_never_first_and_always_there(
        self, candidates: Any, sample: float, by: str
    ) -> None:
        """It is asked when all others failed."""
        names = [each.name for each in candidates]
        assume(len(names) > 1)
        strategy = LoadBalanced(weights={names[0]: 0.0, names[-1]: 1.0}, by=by)
        order = asked(strategy, candidates, CallOptions(), sample)
        assert order[-1] is candidates[0]

    @pytest.mark.parametrize("others", [1, 2, 4])
    def test_one_that_nobody_has_measured_gets_a_bounded_share(self, others: int) -> None:
        """That of one as fast as what it was drawn against: not all of the traffic."""
        measured = [known(f"m{number}", takes=0.5) for number in range(others)]
        counted = firsts(LoadBalanced(by="latency"), known("new"), *measured)
        assert within(counted["new"], 1 / (others + 1)), counted
        busy = firsts(LoadBalanced(by="latency"), known("new", in_flight=1), *measured)
        assert busy["new"] == 0

    @pytest.mark.parametrize("by", ["weight", "latency", "in_flight"])
    def test_one_that_has_recovered_ramps_up(self, by: str) -> None:
        """From a tenth of its share on; once the slow start is over it has all of it."""
        strategy = LoadBalanced(by=by, slow_start=30.0)

        def shared(since: float) -> float:
            back = known("back", takes=0.5, in_flight=2, recovered_at=100.0 - since)
            counted = firsts(strategy, back, known("other", takes=0.5, in_flight=2))
            return counted["back"] / DRAWS

        shares = [shared(since) for since in (0.0, 3.0, 15.0, 29.0, 30.0, 300.0)]
        assert shares == sorted(shares)
        assert shares[-2] == pytest.approx(0.5, abs=0.03)
        grown = (LEAST_SHARE, LEAST_SHARE, 0.5)
        expected = [each / (1 + each) if by == "weight" else each / 2 for each in grown]
        for seen, share in zip(shares, expected, strict=False):
            assert within(round(seen * DRAWS), share), shares

    def test_one_that_timed_out_decays_back(self) -> None:
        """It is asked again after minutes, not after hours, and has its share once it answers."""
        clock = ManualClock()
        slow: list[Any] = ["hello", Delay(30.0, TimeoutError()), *["hello"] * 1000]
        a = ScriptedProvider(
            "a",
            [step if isinstance(step, Delay) else Delay(0.5, step) for step in slow],
            clock=clock,
        )
        b = ScriptedProvider("b", [Delay(0.5, "hello")], clock=clock, exhausted="repeat")
        draw = random.Random(5).random  # noqa: S311  # no secret
        llm: FallbackProvider[..., Any] = FallbackProvider(
            a, b, strategy=LoadBalanced(by="latency"), clock=clock, sample=draw
        )
        asked: list[int] = []
        for minute in range(30):
            before = len(a.calls)
            for _ in range(60):
                clock.advance(0.5)
                llm.call("why")
            asked.append(len(a.calls) - before)
            assert minute < 10 or asked[-1] > 10, asked
        timed_out = next(number for number, count in enumerate(asked) if count < 10)
        assert timed_out < 5, asked

    @given(st.lists(st.floats(0.01, 30.0), min_size=2, max_size=6), SAMPLES)
    def test_of_two_the_slower_is_never_first(self, latencies: list[float], sample: float) -> None:
        """Whichever two are drawn; the slowest of more than two never is."""
        assume(len(set(latencies)) == len(latencies))
        candidates = [known(str(place), takes=latency) for place, latency in enumerate(latencies)]
        order = asked(LoadBalanced(by="latency"), tuple(candidates), CallOptions(), sample)
        assert order[0].latency(0.0) < order[1].latency(0.0)

    @given(st.lists(st.integers(0, 9), min_size=2, max_size=6), SAMPLES)
    def test_the_idlest_is_first(self, loads: list[int], sample: float) -> None:
        """And the rest after it by their load."""
        candidates = tuple(known(str(n), in_flight=load) for n, load in enumerate(loads))
        order = asked(LoadBalanced(by="in_flight"), candidates, CallOptions(), sample)
        assert [each.in_flight for each in order] == sorted(loads)

    @pytest.mark.parametrize("by", ["in_flight", "latency"])
    def test_one_whose_breaker_would_refuse_is_asked_for_nobody(self, by: str) -> None:
        """Though it is the idlest, and was the fastest; and its share does not go to one alone."""
        down = _Shut("down", takes=0.01)
        rest = [known(name, takes=0.5, in_flight=2) for name in "abc"]
        counted = firsts(LoadBalanced(by=by), down, *rest)
        assert counted["down"] == 0
        assert all(within(counted[name], 1 / 3) for name in "abc"), counted

    def test_equal_loads_are_shared_out(self) -> None:
        """None of them is first always."""
        counted = firsts(LoadBalanced(by="in_flight"), *map(StandIn, "abcd"))
        assert all(within(counted[name], 0.25) for name in "abcd"), counted


class TestCostOptimized:
    @given(CANDIDATES, REQUESTS, SAMPLES)
    def test_the_cheaper_is_first(
        self, candidates: Any, request: CallOptions, sample: float
    ) -> None:
        """By a reckoning in exact numbers; the unknown come after all that are known."""
        order = asked(CostOptimized(), candidates, request, sample)
        kept = [each for each in order if not isinstance(each, Skip)]
        prices = [each.info.price for each in kept]
        assert prices == sorted(prices, key=lambda price: price is None)
        into = 1000 if request.input_tokens is None else request.input_tokens
        out = 250 if request.output_tokens is None else request.output_tokens
        ratios = [1.0 if each.answers is None else each.answers for each in kept]
        costs = [
            price.cost(into, out) / Decimal(repr(max(0.01, ratio)))
            for ratio, price in zip(ratios, prices, strict=True)
            if price is not None
        ]
        assert all(a <= b * Decimal("1.000000001") for a, b in itertools.pairwise(costs))

    def test_the_order_flips_between_input_heavy_and_output_heavy(self) -> None:
        """What is cheap to read may be dear to write."""
        reads = known("reads", price=Price(input_mtok="0.1", output_mtok=10))
        writes = known("writes", price=Price(input_mtok=2, output_mtok=1))

        def first(into: int, out: int) -> str:
            request = CallOptions(input_tokens=into, output_tokens=out)
            return str(asked(CostOptimized(), (writes, reads), request, 0.5)[0].name)

        assert first(10_000, 10) == "reads"
        assert first(10, 10_000) == "writes"

    def test_the_order_flips_at_a_tier(self) -> None:
        """One token more, and all of them are dear."""
        tier = Tier(start=1000, input_mtok=4, output_mtok=4)
        tiered = known("tiered", price=Price(input_mtok=1, output_mtok=1, tiers=(tier,)))
        flat = known("flat", price=Price(input_mtok=2, output_mtok=2))
        firsts_at = {
            into: asked(
                CostOptimized(),
                (flat, tiered),
                CallOptions(input_tokens=into, output_tokens=0),
                0.5,
            )[0].name
            for into in (1000, 1001)
        }
        assert firsts_at == {1000: "tiered", 1001: "flat"}

    def test_free_is_first_and_unknown_is_not_free(self) -> None:
        """An explicit 0 wins; a price nobody knows beats no known one, however dear."""
        dear = known("dear", price=Price(input_mtok=1000, output_mtok=1000))
        free = known("free", price=Price(input_mtok=0, output_mtok=0))
        order = asked(CostOptimized(), (known("unknown"), dear, free), CallOptions(), 0.5)
        assert [each.name for each in order] == ["free", "dear", "unknown"]

    def test_who_fails_half_of_the_time_is_paid_for_twice(self) -> None:
        """So it comes after one that is less than twice as dear."""
        price = Price(input_mtok=1, output_mtok=1)
        flaky = known("flaky", price=price, answers=0.5)
        sound = known("sound", price=Price(input_mtok="1.9", output_mtok="1.9"), answers=1.0)
        assert asked(CostOptimized(), (flaky, sound), CallOptions(), 0.5)[0].name == "sound"


class EveryStrategyIsAStrategy(StrategySpec):
    """The shipped spec, on the deepest composition there is."""

    def make_strategy(self) -> Strategy:
        return CapabilityBased(
            prefer=("vision",), then=CostOptimized(then=LoadBalanced(weights={"a": 2, "b": 0}))
        )

    def make_candidates(self) -> Any:
        return CANDIDATES


TestShipped = EveryStrategyIsAStrategy.TestCase
