"""How a breaker stands, as one frozen record: to read, to show, to carry to another process."""

from __future__ import annotations

import attrs

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.outcome import Fault


@attrs.frozen(kw_only=True)
class BreakerSnapshot:
    """How a breaker stands. Instants are the clock's seconds.

    Attributes:
        taken_at: When this was read.
        state: Where it stands.
        generation: Counts every transition; leases of older ones are late.
        calls: Outcomes in the window.
        failures: Failures among them.
        failure_ratio: failures / calls; None below `minimum_calls`.
        in_flight: Leases not settled yet, of all generations.
        not_permitted: How many calls were refused so far.
        open_until: When the next probe is admitted; None unless OPEN.
        step: How many openings the backoff counts.
        holds: How many holds came in a row without a success.
        cause: The fault that opened it; None where none did.
    """

    taken_at: float
    state: BreakerState
    generation: int
    calls: int
    failures: int
    failure_ratio: float | None
    in_flight: int
    not_permitted: int
    open_until: float | None
    step: int
    holds: int
    cause: Fault | None
