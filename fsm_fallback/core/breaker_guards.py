"""The breaker's guards: each compares `facts`, and there is nothing else it could look at.

Facts are measured once before a row is chosen, the pending outcome included (`breaker_facts`). What
is not watched has no values there, and cannot hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FOREVER: Final = float("inf")


class BreakerGuards:
    """The guards of `BREAKER`, for the model that holds the facts."""

    __slots__ = ()

    facts: Mapping[str, float]

    def stalled(self) -> bool:
        """Calls that hang make too many slow ones."""
        return self.facts["stalled"] > 0 and self._too_slow()

    def cooled_down(self) -> bool:
        """At exactly `open_until` the call is admitted; one tick before it is not."""
        return self.facts["now"] >= self.facts["open_until"]

    def probe_overdue(self) -> bool:
        """Some probe is out for longer than `probe_timeout`."""
        return self.facts["now"] > self.facts["probe_deadline"]

    def probe_free(self) -> bool:
        """The round has a slot and still wants a probe."""
        facts = self.facts
        return (
            facts["out"] < facts["probe_concurrency"]
            and facts["done"] + facts["out"] < facts["probe_calls"]
        )

    def tripped(self) -> bool:
        """With the pending failure the window is full and bad enough, or the run too long."""
        facts = self.facts
        return (
            self._too_many_failures()
            or self._too_slow()
            or ("in_a_row" in facts and facts["in_a_row"] >= facts["consecutive_failures"])
        )

    def tripped_by_success(self) -> bool:
        """With the pending success, if it or others are slow, or if any may trip."""
        if self.facts["may_trip"] and self._too_many_failures():
            return True
        return bool(self.facts["may_trip"] or self.facts["stalled"]) and self._too_slow()

    def healed(self) -> bool:
        """With the pending outcome the round is decided, and well."""
        facts = self.facts
        return (
            bool(facts["decidable"])
            and facts["worst_ratio"] < facts["threshold"]
            and facts.get("worst_slow_ratio", 0.0) < facts.get("slow_threshold", _FOREVER)
        )

    def relapsed(self) -> bool:
        """With the pending outcome the round is decided, and ill."""
        facts = self.facts
        return bool(facts["decidable"]) and (
            facts["best_ratio"] >= facts["threshold"]
            or facts.get("best_slow_ratio", 0.0) >= facts.get("slow_threshold", _FOREVER)
        )

    def longer(self) -> bool:
        """The named time is later than the one already set."""
        return self.facts["until"] > self.facts["open_until"]

    def _too_many_failures(self) -> bool:
        facts = self.facts
        return (
            facts["calls"] >= facts["minimum_calls"]
            and facts["failure_ratio"] >= facts["threshold"]
        )

    def _too_slow(self) -> bool:
        facts = self.facts
        return (
            "watched_calls" in facts
            and facts["watched_calls"] >= facts["minimum_calls"]
            and facts["slow_call_ratio"] >= facts["slow_threshold"]
        )
