"""Strategies: in which order the candidates of a call are asked.

A strategy is pure: it gets the candidates, what the call said of itself, the time and a random
sample, and answers each candidate exactly once, in order, or a `Skip` in its place for one that
lacks a hard need. It knows nothing of breakers: whether a candidate may be called is their word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

import attrs

from fsm_fallback.core.bounds import (
    Bound,
    bound_problems,
    bounded,
    is_count,
    refuse_problems,
    shown,
)
from fsm_fallback.core.trail import Candidate, Skip

if TYPE_CHECKING:
    from decimal import Decimal

    from fsm_fallback.core.prices import Price


@attrs.frozen(kw_only=True)
class CallOptions:
    """What one call says of itself beside its arguments.

    Args:
        deadline: Seconds the whole call may take; None for no limit.
        needs: What a model must be able to do: `"tools"`, `"vision"`, `"json_schema"`, any string.
        input_tokens: About how many tokens the request has; None if nobody counted.
        output_tokens: About how many the answer may have; None as above.
        max_cost: US dollars an attempt may cost, by the price of its model and those tokens, or
            1,000 in and 250 out where they are None; None for any.
        tags: Words for a strategy of one's own.
    """

    deadline: float | None = None
    needs: frozenset[str] = frozenset()
    input_tokens: int | None = None
    output_tokens: int | None = None
    max_cost: Decimal | None = None
    tags: frozenset[str] = frozenset()

    @property
    def tokens(self) -> int:
        """The tokens a context window must hold, as far as they were counted."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@runtime_checkable
class Strategy(Protocol):
    """How a chain orders its candidates; write your own by writing this method.

    One whose order follows from the names and `info` of the candidates and from the request alone
    may have `is_fixed = True`: then it is asked once for all calls with one request.
    """

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,
        now: float,
        sample: float,
    ) -> tuple[Candidate | Skip, ...]:
        """Each candidate exactly once, in the order to ask; a `Skip` for one that cannot serve.

        Args:
            candidates: The providers as configured.
            request: What the call says of itself.
            now: The clock's seconds.
            sample: A draw from [0, 1); the only randomness there is.
        """
        ...


def said_problems(options: CallOptions) -> Iterator[str]:
    """What is wrong with the needs, words and sizes of a call."""
    for name in ("needs", "tags"):
        words: object = getattr(options, name)
        if not isinstance(words, frozenset) or not all(
            isinstance(word, str) and word for word in words
        ):
            yield f"{name} is {shown(words)}; give non-empty strings, in a set or a list"
    for name in ("input_tokens", "output_tokens"):
        count: object = getattr(options, name)
        if not (count is None or is_count(count, 0)):
            yield f"{name} is {shown(count)}; give a whole number >= 0, or None"


def strategies_in(strategy: Strategy) -> Iterator[Strategy]:
    """A strategy, and those that it leaves ties to."""
    then: Any = strategy
    while is_strategy(then):
        yield then
        then = getattr(then, "then", None)


def is_strategy(value: object) -> bool:
    """Whether a value is an object with `order`; a class is not, for nobody made one of it."""
    return isinstance(value, Strategy) and not isinstance(value, type)


@attrs.frozen
class Sequential:
    """The configured order, always."""

    is_fixed: ClassVar[bool] = True

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,  # noqa: ARG002  # the protocol's
        now: float,  # noqa: ARG002  # as above
        sample: float,  # noqa: ARG002  # as above
    ) -> tuple[Candidate | Skip, ...]:
        """The candidates as they came."""
        return candidates


INPUT_TOKENS: Final = 1000
OUTPUT_TOKENS: Final = 250
"""What a call costs that says nothing of its size, is reckoned with these."""

CONTEXT_WINDOW: Final = "context_window"
"""What a candidate lacks whose window is too small, as a `Skip` says it."""

MAX_COST: Final = "max_cost"
"""As above, of a candidate that is too dear."""

_SEQUENTIAL: Final = Sequential()


def _strings(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, str) and each for each in value)


@attrs.frozen(kw_only=True)
class CapabilityBased:
    """Who can do what the call needs, and of those first who can do what is preferred.

    A candidate that has said what it can do, and lacks a need, is skipped, and its `Skip` names the
    first one it lacks; so is one whose context window is smaller than the tokens of the call, or
    whose price makes them dearer than `max_cost`. One of which nothing is known may be able to do
    it: it is asked after all that are known to.

    Args:
        prefer: Capabilities worth having, the best first: whoever has the first one comes before
            whoever has not, whatever else they have.
        then: Orders those that are equal by that; by default as configured.

    Raises:
        ConfigurationError: If an argument cannot work.
    """

    prefer: tuple[str, ...] = bounded(Bound(_strings, "a tuple of non-empty strings"), ())
    then: Strategy = bounded(Bound(is_strategy, "an object with order()"), _SEQUENTIAL)

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))

    @property
    def is_fixed(self) -> bool:
        """Whether ties are left to a strategy of which that is true."""
        return getattr(self.then, "is_fixed", False) is True

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,
        now: float,
        sample: float,
    ) -> tuple[Candidate | Skip, ...]:
        """Those known to serve, the best first; those of whom nobody knows; the others skipped."""
        fitting, lacking = able_to_serve(candidates, request)
        prefer, order = self.prefer, self.then.order
        asks = bool(request.needs or request.tokens or request.max_cost is not None)
        if not prefer and not asks:
            return (*order(fitting, request, now, sample), *lacking)
        ranked: dict[tuple[bool, ...], list[Candidate]] = {}
        for each in fitting:
            able = each.info.capabilities
            rank = (asks and _is_unknown(each, request), *[word not in able for word in prefer])
            ranked.setdefault(rank, []).append(each)  # False before True
        ordered: list[Candidate | Skip] = []
        for rank in sorted(ranked):
            ordered.extend(order(tuple(ranked[rank]), request, now, sample))
        return (*ordered, *lacking)


Priced = Callable[[Candidate], "Price | None"]
"""What a candidate costs; None where nobody knows."""


def _own_price(candidate: Candidate) -> Price | None:
    return candidate.info.price


def able_to_serve(
    candidates: tuple[Candidate, ...],
    request: CallOptions,
    price_of: Priced = _own_price,
    taken_for: tuple[int, int] = (INPUT_TOKENS, OUTPUT_TOKENS),
) -> tuple[tuple[Candidate, ...], tuple[Skip, ...]]:
    """The candidates that are not known to lack what a call needs, and skips of the others.

    `taken_for`: the tokens a call has that does not say.
    """
    needs, tokens, most = request.needs, request.tokens, request.max_cost
    if not needs and not tokens and most is None:
        return candidates, ()
    fitting: list[Candidate] = []
    lacking: list[Skip] = []
    for each in candidates:
        able, window = each.info.capabilities, each.context_window
        if needs and able and not needs <= able:
            lacking.append(Skip(each.name, min(needs - able)))
        elif window is not None and window < tokens:
            lacking.append(Skip(each.name, CONTEXT_WINDOW))
        elif most is not None and _costs_more(request, taken_for, most, price_of(each)):
            lacking.append(Skip(each.name, MAX_COST))
        else:
            fitting.append(each)
    return tuple(fitting), tuple(lacking)


def _costs_more(
    request: CallOptions, taken_for: tuple[int, int], most: Decimal, price: Price | None
) -> bool:
    """Whether a call would cost more than it may."""
    return price is not None and price.cost(*sizes(request, taken_for)) > most


def sizes(request: CallOptions, taken_for: tuple[int, int]) -> tuple[int, int]:
    """The tokens of a call: what it says, and where it does not, what it is taken for."""
    into, out = request.input_tokens, request.output_tokens
    return taken_for[0] if into is None else into, taken_for[1] if out is None else out


LEAST_RATIO: Final = 0.01
"""One that fails always is taken for one that answers one call in a hundred."""


def until_answered(candidate: Candidate, amount: float, now: float) -> float:
    """What a candidate takes or costs until it has answered, where one attempt takes so much."""
    ratio = candidate.success_ratio(now)
    return amount if ratio is None or ratio == 1 else amount / max(ratio, LEAST_RATIO)


def _is_unknown(candidate: Candidate, request: CallOptions) -> bool:
    """Whether nobody has said of a candidate what the call asks for."""
    if request.needs and not candidate.info.capabilities:
        return True
    if request.max_cost is not None and candidate.info.price is None:
        return True
    return candidate.context_window is None and request.tokens > 0
