"""Every property there is, in order, with the rows it speaks of."""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.table import Table
from fsm_fallback.spec.breaker_properties import BREAKER_PROPERTIES
from fsm_fallback.spec.call_properties import CALL_PROPERTIES
from fsm_fallback.spec.chain_properties import CHAIN_PROPERTIES
from fsm_fallback.spec.classifier_properties import CLASSIFIER_PROPERTIES
from fsm_fallback.spec.coverage import every_guard_both_ways, every_row_fires
from fsm_fallback.spec.drivers import DRIVER_PROPERTIES
from fsm_fallback.spec.properties import Property
from fsm_fallback.spec.store_properties import STORE_PROPERTIES
from fsm_fallback.spec.strategy_properties import STRATEGY_PROPERTIES

TABLES: Final = {table.name: table for table in (BREAKER, CHAIN)}


def all_properties() -> tuple[Property, ...]:
    """The properties of machines, then those of parts."""
    return (
        *BREAKER_PROPERTIES,
        every_row_fires("breaker"),
        every_guard_both_ways("breaker"),
        *CHAIN_PROPERTIES,
        every_row_fires("chain"),
        every_guard_both_ways("chain"),
        *DRIVER_PROPERTIES,
        *CALL_PROPERTIES,
        *STRATEGY_PROPERTIES,
        *CLASSIFIER_PROPERTIES,
        *STORE_PROPERTIES,
    )


def rows_covered(promise: Property) -> str:
    """The ids of the rows a property speaks of, as `T1-T3, T7`; empty for a part."""
    table = TABLES.get(promise.of)
    return "" if table is None else ids_in_short(table, promise)


def ids_in_short(table: Table, promise: Property) -> str:
    """The ids of the rows of a table that a property speaks of."""
    numbers = [table.rows.index(row) + 1 for row in promise.rows(table)]
    if len(numbers) == len(table.rows):
        return "all"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"T{run[0]}" if len(run) == 1 else f"T{run[0]}-T{run[-1]}" for run in runs)
