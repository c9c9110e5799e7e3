"""`LoadBalanced`: the calls shared out among the candidates.

Three ways to share: by weight, each call drawn; by latency, the better of two drawn (power of two
choices: Mitzenmacher, https://www.eecs.harvard.edu/~michaelm/postscripts/handbook2001.pdf) by what
Finagle's `PeakEwma` weighs; by calls in flight, the fewest. One that has just recovered has its
share grow, as in Envoy's slow start.

The only chance is the sample: the same sample gives the same order. So the draw is a draw, and not
a smooth round robin, which has to remember whose turn it was.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Final, TypeVar

import attrs

from fsm_fallback.core.bounds import (
    WAIT,
    Bound,
    bound_problems,
    bounded,
    is_number,
    one_of,
    refuse_problems,
    shown,
)
from fsm_fallback.core.strategies import CallOptions, until_answered
from fsm_fallback.core.trail import Candidate, Skip

T = TypeVar("T")

WAYS_TO_BALANCE: Final = ("weight", "latency", "in_flight")

LEAST_SHARE: Final = 0.1
"""What one that has just recovered has of its share."""

_LEAST_LATENCY: Final = 1e-9
LEAST_WEIGHT: Final = 1e-9
MOST_WEIGHT: Final = 1e9


def _is_weight(value: object) -> bool:
    return is_number(value) and (value == 0 or LEAST_WEIGHT <= value <= MOST_WEIGHT)


_WEIGHT: Final = "0 or a number in [1e-9, 1e9]"
_WEIGHTS: Final = Bound(
    lambda value: value is None or isinstance(value, Mapping),
    "by the names of providers 0 or numbers in [1e-9, 1e9], or None",
)


def _weight_problems(weights: object) -> Iterator[str]:
    """Each name that is none, and each weight out of bounds."""
    if not isinstance(weights, Mapping):
        return
    for name, weight in weights.items():
        where = f"LoadBalanced.weights[{shown(name)}]"
        if not isinstance(name, str) or not name:
            yield f"{where} is the weight of no name; give it the name of a provider"
        if not _is_weight(weight):
            yield f"{where} is {shown(weight)}; give {_WEIGHT}"


def _kept(weights: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Weights nobody can change any more; what are none, as they came."""
    return MappingProxyType(dict(weights)) if isinstance(weights, Mapping) else weights


@attrs.frozen(kw_only=True, eq=False)
class LoadBalanced:
    """The calls shared out among the candidates; whoever is not first is there to fall back on.

    Args:
        weights: By name, what each is worth against the others; 1 for those not named. One of
            weight 0 is never first, and is asked when all others failed. None for equal weights.
        by: How they are shared: `"weight"`, each call drawn in proportion; `"latency"`, of two
            drawn the one whose latency times its calls in flight is less for its weight, divided
            by the share of its attempts that are answered;
            `"in_flight"`, the one with the fewest calls in flight for its weight.
        slow_start: Seconds in which the share of one whose breaker has closed grows from a tenth
            to the whole; 0 for at once. By latency or calls in flight, that is the share of those
            calls that would be its own; the others go to the next best.

    Raises:
        ConfigurationError: If an argument cannot work. A chain refuses weights of providers it has
            not, and weights that are all 0.
    """

    weights: Mapping[str, float] | None = attrs.field(
        default=None, converter=_kept, metadata={"bound": _WEIGHTS}
    )
    by: str = bounded(one_of(*WAYS_TO_BALANCE), "weight")
    slow_start: float = bounded(WAIT, 30.0)

    def __attrs_post_init__(self) -> None:
        refuse_problems(chain(bound_problems(self), _weight_problems(self.weights)))

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,  # noqa: ARG002  # the protocol's
        now: float,
        sample: float,
    ) -> tuple[Candidate | Skip, ...]:
        """All of them, the one whose turn it is first; those of weight 0 last."""
        count = len(candidates)
        if count == 1:
            return candidates
        grown = self._grown(candidates, now) if self.slow_start else None
        if self.weights is None and grown is None and self.by == "weight":
            return tuple(_drawn_evenly(candidates, sample)[0])
        weights = self._weights(candidates)
        sharing, last = list(candidates), list[Candidate]()
        if not all(weights):
            sharing = [each for each, weight in zip(candidates, weights, strict=True) if weight]
            last = [each for each, weight in zip(candidates, weights, strict=True) if not weight]
            weights = [weight for weight in weights if weight]
            grown = None if grown is None else self._grown(sharing, now)
        if len(sharing) > 1:
            sharing = _WAYS[self.by](sharing, weights, grown, now, sample)
        return (*sharing, *last)

    def _weights(self, candidates: tuple[Candidate, ...]) -> list[float]:
        weights = self.weights
        if weights is None:
            return [1.0] * len(candidates)
        return [weights.get(each.name, 1.0) for each in candidates]

    def _grown(self, candidates: Sequence[Candidate], now: float) -> list[float] | None:
        """How far the share of each has grown since its breaker closed; None if all have theirs."""
        grown = None
        for place, each in enumerate(candidates):
            recovered = each.recovered_at
            if recovered is not None and now - recovered < self.slow_start:
                grown = grown or [1.0] * len(candidates)
                grown[place] = max(LEAST_SHARE, (now - recovered) / self.slow_start)
        return grown


def _drawn_evenly(items: Sequence[T], sample: float) -> tuple[list[T], float]:
    """The first few drawn, each as likely as the others left; and what is left of the sample."""
    left, drawn = list(items), []
    for count in range(len(left), max(1, len(left) - _DRAWS), -1):
        point = sample * count
        place = int(point)
        drawn.append(left.pop(place))
        sample = point - place
    return [*drawn, *left], sample


def _drawn(
    candidates: list[Candidate],
    weights: list[float],
    grown: list[float] | None,
    now: float,  # noqa: ARG001  # as all ways
    sample: float,
) -> list[Candidate]:
    """The first few drawn, each in proportion among those left; the rest by their shares."""
    shares = weights if grown is None else list(map(operator.mul, weights, grown))
    left, total, drawn = list(zip(candidates, shares, strict=True)), math.fsum(shares), []
    for _ in range(min(_DRAWS, len(left) - 1)):
        point, below, place = sample * total, 0.0, 0
        for place, (_, share) in enumerate(left):  # noqa: B007  # where it ends
            if point < below + share:
                break
            below += share
        candidate, share = left.pop(place)
        drawn.append(candidate)
        # What the draw leaves of the sample is as good as a new one.
        sample = min(max((point - below) / share, 0.0), _BELOW_ONE)
        total -= share
    left.sort(key=_share, reverse=True)
    return [*drawn, *[each for each, _ in left]]


def _share(item: tuple[Candidate, float]) -> float:
    return item[1]


_DRAWS: Final = 6
_BELOW_ONE: Final = math.nextafter(1.0, 0.0)


def _faster(
    candidates: list[Candidate],
    weights: list[float],
    grown: list[float] | None,
    now: float,
    sample: float,
) -> list[Candidate]:
    """The better of two drawn, the other one, the rest as drawn."""
    (one, other, *rest), chance = _drawn_evenly(range(len(candidates)), sample)
    first, second = _scores(candidates[one], candidates[other], now)
    if second / weights[other] < first / weights[one]:
        one, other = other, one
    if grown is not None and chance >= grown[one]:
        one, other = other, one
    return [candidates[place] for place in (one, other, *rest)]


def _scores(one: Candidate, other: Candidate, now: float) -> tuple[float, float]:
    """What a call of each is expected to take; of one nobody has measured, as of the other.

    So it gets the share of one that is as fast, and its calls in flight count against it.
    """
    first, second = one.latency(now), other.latency(now)
    if first is None:
        first = 1.0 if second is None else second
    if second is None:
        second = first
    return _score(one, first, now), _score(other, second, now)


def _score(candidate: Candidate, latency: float, now: float) -> float:
    if candidate.opens_at(now) > now:
        return math.inf  # its breaker would refuse
    expected = until_answered(candidate, latency, now)
    return max(expected, _LEAST_LATENCY) * (candidate.in_flight + 1)


def _idler(
    candidates: list[Candidate],
    weights: list[float],
    grown: list[float] | None,
    now: float,
    sample: float,
) -> list[Candidate]:
    """Those with the fewest calls in flight first; equal ones as drawn."""
    drawn, chance = _drawn_evenly(range(len(candidates)), sample)
    loads = [
        (_load(candidates[place], now) / weights[place], turn, place)
        for turn, place in enumerate(drawn)
    ]
    loads.sort()
    order = [place for _, _, place in loads]
    if grown is not None and chance >= grown[order[0]]:
        order[0], order[1] = order[1], order[0]
    return [candidates[place] for place in order]


def _load(candidate: Candidate, now: float) -> float:
    if candidate.opens_at(now) > now:
        return math.inf  # its breaker would refuse
    return candidate.in_flight + 1


_Way = Callable[[list[Candidate], list[float], list[float] | None, float, float], list[Candidate]]
_WAYS: Final[Mapping[str, _Way]] = {"weight": _drawn, "latency": _faster, "in_flight": _idler}
