"""Coverage floors: a spec that never reaches a row proves nothing about it, so it says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fsm_fallback.core.table import Row, Table


class CoverageFloor:
    """Counts rows fired and guards seen both ways over all examples of a stateful run."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.rows: Counter[str] = Counter()
        self.guards: Counter[tuple[str, bool]] = Counter()

    def see(self, rows: Iterable[Row]) -> None:
        """Count rows that fired, and the guards that were evaluated on the way."""
        for row in rows:
            self.rows[self._table.id_of(row)] += 1
            self.guards.update(self._table.guards_before(row))

    def assert_reached(self, least: int) -> None:
        """Every row fired at least `least` times, every guard held and failed that often."""
        missing = [
            f"{row_id} ({row.trigger} in {row.source.value}) fired {self.rows[row_id]} times"
            for row_id, row in self._table.numbered()
            if self.rows[row_id] < least
        ]
        named = {row.guard for row in self._table.rows if row.guard is not None}
        missing += [
            f"guard {guard!r} was {verdict} {self.guards[guard, verdict]} times"
            for guard in sorted(named)
            for verdict in (True, False)
            if self.guards[guard, verdict] < least
        ]
        assert not missing, f"below the floor of {least}: " + "; ".join(missing)
