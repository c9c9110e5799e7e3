"""Coverage floors: a run that never reaches a row proves nothing about it, so it says so.

Counts what a stateful run did to a table, over all its examples, and what it held its properties
against. It knows nothing of who drives the machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from fsm_fallback.core.bounds import is_count, shown
from fsm_fallback.core.table import Row, Table
from fsm_fallback.errors import ConfigurationError


class CoverageFloor:
    """Counts rows fired and guards seen both ways over all examples of a stateful run.

    Args:
        table: Whose rows and guards must be reached.
        out_of_reach: Ids of rows (`"T1"`) and names of guards that the parameters of the run rule
            out; they are counted, and not asked for.

    Raises:
        ConfigurationError: If `out_of_reach` names what the table does not have.
    """

    def __init__(self, table: Table, out_of_reach: Collection[str] = ()) -> None:
        self.table: Final = table
        self.rows: Counter[str] = Counter()
        self.guards: Counter[tuple[str, bool]] = Counter()
        self._named: Final = {row.guard for row in table.rows if row.guard is not None}
        self._out_of_reach: Final = frozenset(out_of_reach)
        ids = [row_id for row_id, _ in table.numbered()]
        strange = sorted(self._out_of_reach - self._named - {*ids})
        if strange:
            raise ConfigurationError(
                f"out_of_reach names {each!r}, which is no row and no guard of table "
                f"{table.name!r}; give ids of rows, {ids[0]} to {ids[-1]}, or names of guards"
                for each in strange
            )

    def see(self, rows: Iterable[Row]) -> None:
        """Count rows that fired, and the guards that were evaluated on the way."""
        for row in rows:
            self.rows[self.table.id_of(row)] += 1
            self.guards.update(self.table.guards_before(row))

    def see_ids(self, ids: Iterable[str]) -> None:
        """As `see`, of rows by their ids, as records name them."""
        known = dict(self.table.numbered())
        self.see(known[row_id] for row_id in ids)

    def lowest(self) -> int:
        """How often the rarest of what is asked for was reached."""
        return min((count for _, count in self._counts()), default=0)

    def assert_reached(self, least: int) -> None:
        """Demand that every row fired, and every guard held and failed, at least `least` times.

        Raises:
            AssertionError: Naming every row and guard below the floor, and how often it was seen.
            ConfigurationError: If `least` is no whole number >= 1.
        """
        _refuse_floor(least)
        missing = [f"{what} {count} times" for what, count in self._counts() if count < least]
        if missing:
            raise AssertionError(
                f"table {self.table.name!r} is below the floor of {least}: {'; '.join(missing)}; "
                "draw more examples or other parameters, or name in out_of_reach what these "
                "parameters rule out"
            )

    def _counts(self) -> Iterator[tuple[str, int]]:
        for row_id, row in self.table.numbered():
            if row_id not in self._out_of_reach:
                yield f"{row_id} ({row.trigger} in {row.source.value}) fired", self.rows[row_id]
        for guard in sorted(self._named - self._out_of_reach):
            for verdict in (True, False):
                yield f"guard {guard!r} was {verdict}", self.guards[guard, verdict]


def assert_applied(
    seen: Mapping[str, int], ids: Iterable[str], least: int, out_of_reach: Collection[str] = ()
) -> None:
    """Demand that every property applied to at least `least` acts of a run.

    Args:
        seen: To how many acts each property applied, by its id.
        ids: The properties asked for.
        least: The floor, whole number >= 1.
        out_of_reach: Those that need not apply at all.

    Raises:
        AssertionError: Naming every property below the floor.
        ConfigurationError: If `least` is no such number, or `out_of_reach` names no property.
    """
    _refuse_floor(least)
    ids = tuple(ids)
    refuse_strange(out_of_reach, ids)
    missing = [
        f"{each!r} applied {seen.get(each, 0)} times"
        for each in ids
        if each not in out_of_reach and seen.get(each, 0) < least
    ]
    if missing:
        raise AssertionError(
            f"properties are below the floor of {least}: {'; '.join(missing)}; draw more examples, "
            "or name in out_of_reach what this part never does"
        )


def refuse_strange(out_of_reach: Iterable[str], ids: Collection[str]) -> None:
    """Refuse to excuse what nobody asks for.

    Raises:
        ConfigurationError: Naming what is none of the properties asked for.
    """
    strange = [each for each in out_of_reach if each not in ids]
    if strange:
        raise ConfigurationError(
            f"out_of_reach names {each!r}, which is none of the properties asked for; give some of "
            f"{', '.join(ids)}"
            for each in strange
        )


def _refuse_floor(least: object) -> None:
    if not is_count(least, 1):
        raise ConfigurationError(f"floor is {shown(least)}; give a whole number >= 1")
