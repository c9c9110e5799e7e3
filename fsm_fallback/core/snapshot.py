"""How a breaker stands, as one frozen record: to read, to show, to carry to another process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import attrs

from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.windows import Pending
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    from fsm_fallback.core.breaker_model import BreakerModel


@attrs.frozen(kw_only=True)
class BreakerSnapshot:
    """How a breaker stands. Instants are the clock's seconds.

    Attributes:
        taken_at: When this was read.
        state: Where it stands.
        generation: Counts every transition; leases of older ones are late.
        calls: Outcomes in the window.
        failures: Failures among them.
        slow_calls: Slow outcomes among them, and calls that are out for that long already.
        failure_ratio: failures / calls; None below `minimum_calls`.
        slow_call_ratio: Slow calls / calls, those that are out for long counted in both; None below
            `minimum_calls`, or where slow calls are not watched.
        in_flight: Leases not settled yet, of all generations.
        not_permitted: How many calls were refused so far.
        open_until: When the next probe is admitted; None unless OPEN.
        step: How many openings the backoff counts.
        holds: How many holds came in a row without a success.
        cause: The fault that opened it; None where none did.
        digest: Names the table and the parameters it stands by.
    """

    taken_at: float
    state: BreakerState
    generation: int
    calls: int
    failures: int
    slow_calls: int
    failure_ratio: float | None
    slow_call_ratio: float | None
    in_flight: int
    not_permitted: int
    open_until: float | None
    step: int
    holds: int
    cause: Fault | None
    digest: str


@functools.lru_cache(maxsize=256)
def digest_of(config: BreakerConfig) -> str:
    """The digest of the breaker's table with these parameters."""
    return BREAKER.digest(config.in_force)


def snapshot_of(breaker: BreakerModel, now: float) -> BreakerSnapshot:
    """How a breaker stands at a time, which may be yet to come: nothing is changed by looking."""
    config, current = breaker.config, breaker.current
    least = config.minimum_calls
    calls, failures, _ = current.tally(now)
    seen, _, slow_calls = current.tally(now, Pending(stalled=current.stalled(now)))
    watched = config.slow_call_duration is not None and seen >= least
    return BreakerSnapshot(
        taken_at=now,
        state=breaker.state,
        generation=breaker.generation,
        calls=calls,
        failures=failures,
        slow_calls=slow_calls,
        failure_ratio=failures / calls if calls >= least else None,
        slow_call_ratio=slow_calls / seen if watched else None,
        in_flight=breaker.in_flight,
        not_permitted=breaker.not_permitted,
        open_until=breaker.open_until,
        step=breaker.step,
        holds=breaker.holds,
        cause=breaker.cause,
        digest=digest_of(config),
    )


def refuse_foreign(snapshot: BreakerSnapshot, breaker: BreakerModel) -> None:
    """Refuse a snapshot of a breaker that decides by other parameters.

    Raises:
        ConfigurationError: If it is one.
    """
    own = digest_of(breaker.config)
    if snapshot.digest != own:
        raise ConfigurationError(
            f"restore of {breaker.name!r} got a snapshot of other parameters (digest "
            f"{snapshot.digest[:12]!r}, not {own[:12]!r}); give one of a breaker with the same "
            "BreakerConfig"
        )
