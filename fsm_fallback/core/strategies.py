"""Strategies: in which order the candidates of a call are asked.

A strategy is pure: it gets the candidates, what the call said of itself, the time and a random
sample, and answers each candidate exactly once, in order, or a `Skip` in its place for one that
lacks a hard need. It knows nothing of breakers: whether a candidate may be called is their word.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs

from fsm_fallback.core.trail import Candidate, Skip


@attrs.frozen(kw_only=True)
class CallOptions:
    """What one call says of itself beside its arguments.

    Args:
        deadline: Seconds the whole call may take; None for no limit.
    """

    deadline: float | None = None


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
