"""Strategies: in which order the candidates of a call are asked.

A strategy is pure: it gets the candidates, what the call said of itself, the time and a random
sample, and answers each candidate exactly once, in order, or a `Skip` in its place for one that
lacks a hard need. It knows nothing of breakers: whether a candidate may be called is their word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import attrs

from fsm_fallback.core.bounds import Bound, bound_problems, bounded, refuse_problems
from fsm_fallback.core.trail import Candidate, Skip

if TYPE_CHECKING:
    from decimal import Decimal


@attrs.frozen(kw_only=True)
class CallOptions:
    """What one call says of itself beside its arguments.

    Args:
        deadline: Seconds the whole call may take; None for no limit.
        needs: What a model must be able to do: `"tools"`, `"vision"`, `"json_schema"`, any string.
        input_tokens: About how many tokens the request has; None if nobody counted.
        output_tokens: About how many the answer may have; None as above.
        max_cost: US dollars an attempt may cost, by the price of its model and those tokens; None
            for any.
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
    """How a chain orders its candidates; write your own by writing this method."""

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

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,  # noqa: ARG002  # the protocol's
        now: float,  # noqa: ARG002  # as above
        sample: float,  # noqa: ARG002  # as above
    ) -> tuple[Candidate | Skip, ...]:
        """The candidates as they came."""
        return candidates


CONTEXT_WINDOW: Final = "context_window"
"""What a candidate lacks whose window is too small, as a `Skip` says it."""

_SEQUENTIAL: Final = Sequential()


def _strings(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, str) and each for each in value)


@attrs.frozen(kw_only=True)
class CapabilityBased:
    """Who can do what the call needs, and of those first who can do what is preferred.

    A candidate that has said what it can do, and lacks a need, is skipped, and its `Skip` names the
    first one it lacks; so is one whose context window is smaller than the tokens of the call. One
    that has said nothing may be able to do it: it is asked after all that are known to.

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

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,
        now: float,
        sample: float,
    ) -> tuple[Candidate | Skip, ...]:
        """Those known to serve, the best first; those of whom nobody knows; the others skipped."""
        ranked: dict[tuple[bool, ...], list[Candidate]] = {}
        lacking: list[Skip] = []
        for each in candidates:
            lacks = missing_need(each, request)
            if lacks is not None:
                lacking.append(Skip(each.name, lacks))
            else:
                ranked.setdefault(self._rank(each, request), []).append(each)
        ordered: list[Candidate | Skip] = []
        for rank in sorted(ranked):
            ordered.extend(self.then.order(tuple(ranked[rank]), request, now, sample))
        return (*ordered, *lacking)

    def _rank(self, candidate: Candidate, request: CallOptions) -> tuple[bool, ...]:
        """The smaller, the earlier: False where something is known, or there."""
        able = candidate.info.capabilities
        unsaid = bool(request.needs) and not able
        unmeasured = request.tokens > 0 and candidate.context_window is None
        return (unsaid or unmeasured, *(each not in able for each in self.prefer))


def missing_need(candidate: Candidate, request: CallOptions) -> str | None:
    """What a candidate is known to lack for a call; None where nothing is."""
    able = candidate.info.capabilities
    if able and not request.needs <= able:
        return min(request.needs - able)
    window = candidate.context_window
    return CONTEXT_WINDOW if window is not None and window < request.tokens else None
