"""What the guards of a chain compare, and the times it has: measured before a row is chosen.

Nothing here changes the model; a place in the budget of retries is taken, since to ask for one is
to take it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from fsm_fallback.core.chain_model import A_LARGER_ONE, NO_ONE_ELSE, ChainModel
from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.events import Facts
from fsm_fallback.core.outcome import KINDS, Fault, FaultKind
from fsm_fallback.core.parameters import StreamConfig
from fsm_fallback.core.rules import PLAIN
from fsm_fallback.core.trail import Skip

# What a fault says to the guards, by kind; all else is the chain's to say.
_FAULT_FACTS: Final[Mapping[FaultKind, Facts]] = {
    kind: {
        "fault": kind.value,
        "fail_over": row.fail_over.value,
        "larger_left": 0,
        "handed_over": False,
        "tries_left": 0,
    }
    for kind, row in KINDS.items()
}


class ChainMeasures(ChainModel):
    """The model, and what can be measured of it."""

    deadline: float | None
    attempt_timeout: float | None
    fair: float | None = None
    """A fair time for an attempt that the end cuts, in seconds; None for half of the call's."""

    # Facts ----------------------------------------------------------------------------------

    def _facts_of(self, fault: Fault) -> Facts:
        """What the guards compare, measured once."""
        facts = _FAULT_FACTS[fault.kind]
        fail_over = facts["fail_over"]
        if fail_over == A_LARGER_ONE:
            facts = {**facts, "larger_left": self._larger_left()}
        if self.seen_of is not None:
            facts = {**facts, "handed_over": True}
        if self.rules is not PLAIN and self.rules.retry.attempts > 1 and fail_over != NO_ONE_ELSE:
            facts = {**facts, **self._retry_facts(fault)}
        return facts

    def _retry_facts(self, fault: Fault) -> Facts:
        """Whether the same candidate is worth another try; takes a place for it if it seems so."""
        rules, now = self.rules, self.now
        candidate: Any = self.candidate
        tries = self.tries_of(candidate.name) + 1
        left = rules.tries(fault) - tries
        if left <= 0 or self.state is not S.CALLING:
            return {"tries_left": 0}
        wait: float = max(
            rules.retry.wait(tries, rules.sample()),
            fault.retry_after or 0.0,
            candidate.opens_at(now) - now,
        )
        others: list[Any] = [
            each for each in self.candidates[self.position + 1 :] if not isinstance(each, Skip)
        ]
        another = any(self.fits(other) and other.opens_at(now) <= now for other in others)
        longest = rules.longest_wait(fault, another=another)
        time_left = self._end - now
        fits = wait <= longest and wait < time_left
        return {
            "tries_left": left,
            "wait": wait,
            "another": another,
            "longest": longest,
            "left": time_left,
            "budget": rules.budget.take(self.call) if fits else None,
        }

    def _larger_left(self) -> int:
        present = self.candidate.context_window
        if present is None:
            return 0
        return sum(
            1
            for other in self.candidates[self.position + 1 :]
            if not isinstance(other, Skip)
            and other.context_window is not None
            and other.context_window > present
        )

    # Times ----------------------------------------------------------------------------------

    def _time_to_output(self) -> float | None:
        """Seconds the attempt has left to its first output; the last candidate all there are."""
        limit = self._stream.first_output_timeout
        if limit is None:
            limit = self.attempt_timeout
        if limit is not None:
            limit = None if self._is_last else max(0.0, self._quiet_since + limit - self.now)
        if self.deadline is None:
            return limit
        left = max(0.0, self.deadline - self.now)
        return left if limit is None else min(limit, left)

    def _fairness(self, now: float) -> tuple[float, float]:
        """How long the attempt has had, or been quiet, and how long were fair."""
        limit = self.attempt_timeout
        if self.rules.stream is not None:
            config = self._stream
            limit = config.first_output_timeout or limit
            limit = limit if self.output_at is None else config.idle_timeout
        fair = (self._end - self.started_at) / 2 if self.fair is None else self.fair
        return max(0.0, now - self._quiet_since), fair if limit is None else min(fair, limit)

    @property
    def _quiet_since(self) -> float:
        """Since when the attempt is waited for: what the consumer of its items took is his."""
        return self.offered_at + self.taken if self.output_at is None else self.spoke_at

    def _limit_rung(self, now: float) -> str:
        """The name of the limit whose timer rings now."""
        if self.deadline is not None and now >= self.deadline:
            return "deadline"
        if self.rules.stream is None:
            return "attempt_timeout"
        if self.output_at is not None:
            return "idle_timeout"
        by_stream = self._stream.first_output_timeout is not None
        return "first_output_timeout" if by_stream else "attempt_timeout"

    @property
    def _stream(self) -> StreamConfig:
        if self.rules.stream is None:
            raise TypeError("a chain without Rules.stream has no stream")
        return self.rules.stream

    @property
    def _is_last(self) -> bool:
        return all(isinstance(each, Skip) for each in self.candidates[self.position + 1 :])

    @property
    def _end(self) -> float:
        return math.inf if self.deadline is None else self.deadline
