"""A breaker's table that is wrong on purpose: whoever is HALF_OPEN stays so.

`fsm-fallback spec check examples.broken.table_without_a_way_out:TABLE` says so.
"""

import attrs

from fsm_fallback.core.breaker_rows import BREAKER, S
from fsm_fallback.core.table import STAY

TABLE = attrs.evolve(
    BREAKER,
    name="without a way out",
    rows=tuple(
        attrs.evolve(row, target=STAY) if row.source is S.HALF_OPEN else row for row in BREAKER.rows
    ),
)
