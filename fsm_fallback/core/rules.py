"""What all calls of one chain decide by, beside their own candidates and deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import attrs

from fsm_fallback.core.outcome import Fault, FaultKind, Retry
from fsm_fallback.core.parameters import RetryConfig, StreamConfig


class Budget(Protocol):
    """How many retries a chain affords; shared by its calls, so the driver keeps it."""

    def take(self, call: int) -> bool:
        """Take a place for a retry of that call; False where there is none."""
        ...

    def give_back(self) -> None:
        """Give a place back."""


class Unlimited:
    """A budget without bounds, for a chain that is walked alone."""

    def take(self, call: int) -> bool:  # noqa: ARG002  # the protocol's
        """A place, always."""
        return True

    def give_back(self) -> None:
        """Nothing to take back."""


_RETRY: Final = RetryConfig()
_UNLIMITED: Final = Unlimited()


def _middle() -> float:
    return 0.5


@attrs.frozen(kw_only=True)
class Rules:
    """What a `Chain` decides by.

    Args:
        retry: When the same provider is tried again.
        waits: Whether a call waits for a breaker where all refuse.
        stream: How its stream is handed over; None for a call that has one answer.
        budget: Whom to ask for a place before a retry.
        sample: Draws from [0, 1), for the jitter of waits.
    """

    retry: RetryConfig = _RETRY
    waits: bool = False
    stream: StreamConfig | None = None
    budget: Budget = _UNLIMITED
    sample: Callable[[], float] = _middle

    def tries(self, fault: Fault) -> int:
        """How often one call may ask one provider that fails like this."""
        most = self.retry.attempts
        match fault.retry:
            case Retry.NO:
                return 1
            case Retry.ONCE:
                return min(most, 2)
            case Retry.OPTIONAL if not self.retry.bad_responses:
                return 1
            case _:
                return most

    def longest_wait(self, fault: Fault, *, another: bool) -> float:
        """The longest wait that is worth it; `another`: whether somebody takes the call at once."""
        named = fault.retry_after is not None or fault.kind is FaultKind.RATE_LIMIT
        longest = self.retry.max_retry_after if named else self.retry.max_backoff
        return min(longest, self.retry.long_wait) if another else longest


PLAIN: Final = Rules()
"""One try each, no waits, one answer."""
