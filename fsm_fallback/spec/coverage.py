"""Whether what was tried reaches every row of a table, and every guard both ways.

A property that was kept where its row never fired was not tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fsm_fallback.core.table import Table
from fsm_fallback.spec.explore import Exploration
from fsm_fallback.spec.properties import Property, Subject
from fsm_fallback.spec.verdict import Verdict


def every_row_fires(of: Subject) -> Property:
    """The promise of a spec, not of a machine: it tries every row."""
    return Property(
        id="every-row-fires",
        kind="sometimes",
        of=of,
        sentence="Every row of the table fires somewhere in what is tried.",
    )


def every_guard_both_ways(of: Subject) -> Property:
    """The promise of a spec, not of a machine: it tries every guard."""
    return Property(
        id="every-guard-both-ways",
        kind="sometimes",
        of=of,
        sentence="Every guard holds somewhere in what is tried, and somewhere else does not.",
    )


def coverage_verdicts(
    of: Subject, subject: str, table: Table, explorations: Iterable[Exploration]
) -> tuple[Verdict, Verdict]:
    """Whether some explorations together reach all of a table."""
    rows: Counter[tuple[str, str]] = Counter()
    guards: Counter[tuple[str, str, bool]] = Counter()
    for each in explorations:
        rows.update(each.rows)
        guards.update(each.guards)
    never = [
        f"{row_id} ({row.trigger} in {row.source.value}) never fired"
        for row_id, row in table.numbered()
        if not rows[of, row_id]
    ]
    named = dict.fromkeys(row.guard for row in table.rows if row.guard is not None)
    one_way = [
        f"guard {guard!r} was never {'true' if held else 'false'}"
        for guard in named
        for held in (True, False)
        if not guards[of, guard, held]
    ]
    return (
        Verdict(every_row_fires(of), subject, len(table.rows), "; ".join(never) or None),
        Verdict(every_guard_both_ways(of), subject, 2 * len(named), "; ".join(one_way) or None),
    )
