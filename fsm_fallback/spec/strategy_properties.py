"""What a strategy promises: guarantee 14, in sentences that can be broken one by one.

A strategy is pure, so that its promises are of single answers. What order is a good one is nobody's
promise.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.trail import Skip
from fsm_fallback.spec.answers import StrategyAct, same_order
from fsm_fallback.spec.properties import Promises

promise: Final = Promises("strategy")

_REFUSALS: Final = frozenset(state.value for state in BreakerState)


def _is_whole(act: StrategyAct) -> bool:
    return act.order.is_whole


def _is_text(reason: object) -> bool:
    return isinstance(reason, str) and bool(reason)


def _named(act: StrategyAct) -> list[object]:
    """Whom each item of the answer speaks of."""
    return [
        item.provider if isinstance(item, Skip) else getattr(item, "name", None)
        for item in act.order.items
    ]


@promise.obliges(
    "strategy-never-raises",
    when=lambda act: act.order.ended,
    guarantee=14,
)
def strategy_never_raises(act: StrategyAct) -> bool:
    """A strategy answers every question, and raises nothing.

    Neither `order` nor going through its answer raises.
    """
    return act.order.error is None


@promise.obliges(
    "strategy-ends",
    guarantee=14,
)
def strategy_ends(act: StrategyAct) -> bool:
    """A strategy comes to an end, and so does its answer.

    No loop in `order`, and no answer without end.
    """
    return act.order.ended


@promise.obliges(
    "answers-a-tuple",
    when=_is_whole,
    guarantee=14,
)
def answers_a_tuple(act: StrategyAct) -> bool:
    """An answer is a tuple: a chain goes through it while other calls are ordered.

    Not a list that somebody may change, not a generator that is used up.
    """
    return act.order.kind == "tuple"


@promise.obliges(
    "never-invents",
    when=_is_whole,
    guarantee=14,
)
def never_invents(act: StrategyAct) -> bool:
    """Whatever stands in an answer is a candidate, the very object, or a Skip that names one.

    No copies, no providers of another call, no None.
    """
    return all(
        item.provider in act.names
        if isinstance(item, Skip)
        else any(item is each for each in act.candidates)
        for item in act.order.items
    )


@promise.obliges(
    "never-repeats",
    when=_is_whole,
    guarantee=14,
)
def never_repeats(act: StrategyAct) -> bool:
    """No candidate stands in an answer twice, be it to be asked or skipped.

    Each at most once, a Skip counted as its candidate.
    """
    named = _named(act)
    return all(named.count(name) <= 1 for name in act.names)


@promise.obliges(
    "never-drops",
    when=_is_whole,
    guarantee=14,
)
def never_drops(act: StrategyAct) -> bool:
    """Every candidate stands in the answer, be it to be asked or skipped.

    A candidate that cannot serve is skipped, and the trail says so; none is just left out.
    """
    named = _named(act)
    return all(name in named for name in act.names)


@promise.obliges(
    "skip-names-a-need",
    when=lambda act: _is_whole(act) and any(isinstance(item, Skip) for item in act.order.items),
    guarantee=14,
)
def skip_names_a_need(act: StrategyAct) -> bool:
    """A Skip says in words what its candidate lacks, and in no word of a breaker's.

    `"open"` would be told as the refusal of a breaker that nobody asked.
    """
    return all(
        _is_text(item.reason) and item.reason not in _REFUSALS
        for item in act.order.items
        if isinstance(item, Skip)
    )


@promise.obliges(
    "same-sample-same-order",
    when=lambda act: _is_whole(act) or act.again.is_whole,
    guarantee=14,
)
def same_sample_same_order(act: StrategyAct) -> bool:
    """Asked the same with the same sample, a strategy answers the same.

    The sample is the only chance there is: no clock, counter or random numbers of its own.
    """
    return same_order(act.order, act.again)


STRATEGY_PROPERTIES: Final = tuple(promise.all.values())
