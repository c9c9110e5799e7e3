"""A store of a fleet in one process's memory: what the specs of stores are tried on.

It keeps what `StoreUnderTest` asks for, and is no store of the library's.
"""

from __future__ import annotations

import attrs

from fsm_fallback import StoreUnavailable
from fsm_fallback.spec.store_properties import Counts


@attrs.define(eq=False)
class MemoryStore:
    """One breaker of a fleet."""

    now: float = 0.0
    is_lost: bool = False
    version: int = 0
    batches: dict[str, Counts] = attrs.field(factory=dict)
    leases: dict[str, float] = attrs.field(factory=dict)
    granted: int = 0

    def merge(self, version: int, batch: str, counts: Counts) -> Counts | None:
        """The totals are the sum of the batches, each by its name."""
        self._be_reached()
        if version != self.version:
            return None
        self.batches.setdefault(batch, counts)
        total = Counts()
        for each in self.batches.values():
            total = total.plus(each)
        return total

    def move(self, version: int) -> bool:
        """Compare and swap."""
        self._be_reached()
        if version != self.version:
            return False
        self.version += 1
        self.batches.clear()
        return True

    def take_probe(self, limit: int, seconds: float) -> str | None:
        """A lease, if fewer than `limit` are alive."""
        self._be_reached()
        self.leases = {name: until for name, until in self.leases.items() if until > self.now}
        if len(self.leases) >= limit:
            return None
        self.granted += 1
        lease = f"lease {self.granted}"
        self.leases[lease] = self.now + seconds
        return lease

    def give_back(self, lease: str) -> None:
        """Forget a lease."""
        self._be_reached()
        self.leases.pop(lease, None)

    def pass_time(self, seconds: float) -> None:
        """Its clock."""
        self.now += seconds

    def lose(self) -> None:
        """Nobody reaches it."""
        self.is_lost = True

    def find_again(self) -> None:
        """Everybody does."""
        self.is_lost = False

    def _be_reached(self) -> None:
        if self.is_lost:
            raise StoreUnavailable("the store is lost")
