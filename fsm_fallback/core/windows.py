"""Windows: which finished calls count as evidence, and how many of them failed.

A window class is the parameter a user writes (`CountWindow(100)`); `evidence()` makes the ledger
one breaker keeps. The breaker asks a ledger what it would hold with the pending outcome included,
and decides on that; a ledger decides nothing. Neutral outcomes never reach it.

`CountWindow` is the sliding window by count of resilience4j.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from fsm_fallback.core.bounds import COUNT, bound_problems, bounded, refuse_problems


@attrs.frozen
class CountWindow:
    """The last `size` outcomes.

    Args:
        size: How many finished calls count, whole number >= 1.

    Raises:
        ConfigurationError: If `size` is out of bounds.
    """

    size: int = bounded(COUNT, 100)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def problems(self) -> Iterator[str]:
        """Every parameter out of bounds."""
        yield from bound_problems(self)

    def evidence(self) -> CountEvidence:
        """An empty ledger."""
        return CountEvidence(self.size)


@attrs.define(eq=False)
class CountEvidence:
    """Ledger of the last `size` outcomes: one bit each, newest lowest, 1 for a failure."""

    size: int
    calls: int = 0
    _bits: int = 0

    @property
    def failures(self) -> int:
        """How many of the outcomes in the window failed."""
        return self._bits.bit_count()

    def book_success(self) -> None:
        """Add a success; the oldest outcome leaves a full window."""
        if self.calls < self.size:
            self.calls += 1
        if self._bits:  # without a failure in the window the count alone determines it
            self._bits = self._bits << 1 & self._mask

    def book_failure(self) -> None:
        """Add a failure; the oldest outcome leaves a full window."""
        self.calls, _ = self.with_failure()
        self._bits = (self._bits << 1 | 1) & self._mask

    def with_failure(self) -> tuple[int, int]:
        """Calls and failures as they would be after `book_failure`, which is not done."""
        failures = ((self._bits << 1 | 1) & self._mask).bit_count()
        return min(self.calls + 1, self.size), failures

    def clear(self) -> None:
        """Forget everything."""
        self.calls = 0
        self._bits = 0

    @property
    def _mask(self) -> int:
        return (1 << self.size) - 1
