"""A strategy that is wrong on purpose: it drops a candidate.

`fsm-fallback spec check examples.broken.strategy_that_drops:SMALLEST_FIRST` says so.
"""

from fsm_fallback.core.strategies import CallOptions
from fsm_fallback.core.trail import Candidate


class SmallestFirst:
    """Small windows first; whoever does not tell its window is forgotten."""

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,
        now: float,
        sample: float,
    ) -> tuple[Candidate, ...]:
        """Should be each candidate exactly once."""
        told = [each for each in candidates if each.context_window is not None]
        return tuple(sorted(told, key=lambda each: each.context_window))


SMALLEST_FIRST = SmallestFirst()
