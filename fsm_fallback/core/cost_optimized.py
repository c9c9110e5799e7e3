"""`CostOptimized`: the cheaper candidates first, by what this very call is expected to cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import attrs

from fsm_fallback.core.bounds import WHOLE, Bound, bound_problems, bounded, refuse_problems
from fsm_fallback.core.info import ModelInfo, PriceSource
from fsm_fallback.core.prices import Price
from fsm_fallback.core.strategies import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    CallOptions,
    Sequential,
    Strategy,
    able_to_serve,
    is_strategy,
    sizes,
    until_answered,
)
from fsm_fallback.core.trail import Candidate, Skip

_MANY: Final = 1024
_SEQUENTIAL: Final = Sequential()
_IS_SOURCE: Final = Bound(
    lambda value: value is None or callable(getattr(value, "price", None)),
    "an object with price(), or None",
)


@attrs.frozen(kw_only=True)
class CostOptimized:
    """The cheaper first, by what this call is expected to cost.

    The expected cost is that of the tokens the call said, at the candidate's price, tiers and sums
    per request included, divided by the share of its latest attempts that were answered: who fails
    half of the time is paid for twice. A price nobody knows is not 0, and comes after every price
    that is known; a price of 0 is free. Needs, context window and `max_cost` rule out whoever
    lacks them, as in `CapabilityBased`.

    Args:
        prices: What models cost whose providers do not say; None for nobody else. A chain asks it
            once for each provider.
        then: Orders those that cost the same, and those whose price nobody knows.
        input_tokens: What a call that does not say is taken to have.
        output_tokens: As above; what a model will answer is always a guess.

    Raises:
        ConfigurationError: If an argument cannot work.
    """

    prices: PriceSource | None = bounded(_IS_SOURCE, None)
    then: Strategy = bounded(Bound(is_strategy, "an object with order()"), _SEQUENTIAL)
    input_tokens: int = bounded(WHOLE, INPUT_TOKENS)
    output_tokens: int = bounded(WHOLE, OUTPUT_TOKENS)
    _quotes: dict[int, tuple[ModelInfo, Price | None]] = attrs.field(
        init=False, factory=dict, repr=False, eq=False
    )

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,
        now: float,
        sample: float,
    ) -> tuple[Candidate | Skip, ...]:
        """Those whose price is known, the cheapest first; the others; those ruled out."""
        taken_for = self.input_tokens, self.output_tokens
        fitting, lacking = able_to_serve(candidates, request, self._price, taken_for)
        into, out = sizes(request, taken_for)
        costs: list[tuple[float, int, Candidate]] = []
        unknown: list[Candidate] = []
        for place, each in enumerate(fitting):
            price = self._price(each)
            if price is None:
                unknown.append(each)
            else:
                cost = until_answered(each, price.estimate(into, out), now)
                costs.append((cost, place, each))
        costs.sort()  # no two have one place, so that candidates are not compared
        if type(self.then) is Sequential:
            return (*[each for _, _, each in costs], *unknown, *lacking)
        ordered: list[Candidate | Skip] = []
        for alike in (*_alike(costs), unknown):
            if alike:
                ordered.extend(self.then.order(tuple(alike), request, now, sample))
        return (*ordered, *lacking)

    def _price(self, candidate: Candidate) -> Price | None:
        info = candidate.info
        if info.price is not None or self.prices is None:
            return info.price
        known = self._quotes.get(id(info))
        if known is None or known[0] is not info:  # kept, so that its number is nobody else's
            if len(self._quotes) >= _MANY:
                self._quotes.clear()
            known = self._quotes[id(info)] = info, _quoted(self.prices, info)
        return known[1]


def _quoted(prices: PriceSource, info: ModelInfo) -> Price | None:
    """What a source says; of one that fails in the middle of a call, nothing."""
    try:
        quoted: object = prices.price(info)
    except Exception:  # noqa: BLE001  # the user's code; a chain asks it when it is made, and says so
        return None
    return quoted if isinstance(quoted, Price) else None


def _alike(costs: list[tuple[float, int, Candidate]]) -> Iterator[list[Candidate]]:
    """Those that cost the same, the cheapest first."""
    for _, same in itertools.groupby(costs, key=lambda item: item[0]):
        yield [each for _, _, each in same]
