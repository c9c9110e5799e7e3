"""Parameters of the core: what a user may set, with default, unit and bound.

Defaults follow resilience4j where the field agrees; each that does not is argued in `docs/breaker`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from fsm_fallback.core.bounds import (
    COUNT,
    FACTOR,
    FLAG,
    RATIO,
    SECONDS,
    SHARE,
    Bound,
    bound_problems,
    bounded,
    instance_of,
    is_count,
    is_number,
    one_of,
    refuse_problems,
)
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.strategies import Sequential, Strategy, is_strategy
from fsm_fallback.core.windows import CountWindow, TimeWindow, Window

MAX_EXPONENT: Final = 64  # past any cap, and the power stays finite

_WINDOW = CountWindow()
_IS_WINDOW = Bound(
    lambda value: isinstance(value, (CountWindow, TimeWindow)), "a CountWindow or a TimeWindow"
)
_IS_STATE = instance_of(BreakerState, "a BreakerState")


@attrs.frozen(kw_only=True)
class BreakerConfig:
    """Parameters of a breaker. Durations are seconds.

    Args:
        window: Which finished calls are evidence.
        failure_ratio: Trips when failures / calls in the window reach it, in (0, 1].
        minimum_calls: No ratio counts before that many calls are in the window.
        consecutive_failures: Trips on so many failures in a row, whatever the window says; None
            for never.
        slow_call_duration: A call that takes so long, or is out for so long, is slow; None watches
            nothing. Of a stream its first output counts.
        slow_call_ratio: Trips when slow calls / calls reach it, in (0, 1].
        trip_on_success: Whether a plain success may trip, too, when it is the one that fills
            `minimum_calls`.
        open_duration: How long the first opening lasts.
        backoff_factor: Each opening of a series lasts that many times the one before, >= 1.
        max_open_duration: Cap of an opening, before jitter.
        jitter: Openings vary by up to this share both ways, in [0, 1).
        probe_calls: How many probes a round in HALF_OPEN wants.
        probe_concurrency: How many of them may be out at once, <= `probe_calls`.
        probe_timeout: A probe out longer than this ends the round.
        early_verdict: Decide a round as soon as the missing probes cannot change the verdict.
        max_hold: Cap of a hold; a kind of fault may have a lower one, see `core.outcome.KINDS`.
        initial_state: Where it begins. OPEN lasts `open_duration`; HALF_OPEN is OPEN with the open
            time over, so that the first caller is a probe.

    Raises:
        ConfigurationError: Naming every parameter out of bounds.
    """

    window: Window = bounded(_IS_WINDOW, _WINDOW)
    failure_ratio: float = bounded(RATIO, 0.5)
    minimum_calls: int = bounded(COUNT, 10)
    consecutive_failures: int | None = bounded(COUNT.or_none(), None)
    slow_call_duration: float | None = bounded(SECONDS.or_none(), None)
    slow_call_ratio: float = bounded(RATIO, 0.5)
    trip_on_success: bool = bounded(FLAG, default=False)
    open_duration: float = bounded(SECONDS, 30.0)
    backoff_factor: float = bounded(FACTOR, 2.0)
    max_open_duration: float = bounded(SECONDS, 300.0)
    jitter: float = bounded(SHARE, 0.1)
    probe_calls: int = bounded(COUNT, 1)
    probe_concurrency: int = bounded(COUNT, 1)
    probe_timeout: float = bounded(SECONDS, 600.0)
    early_verdict: bool = bounded(FLAG, default=True)
    max_hold: float = bounded(SECONDS, 3600.0)
    initial_state: BreakerState = bounded(_IS_STATE, BreakerState.CLOSED)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def opening(self, step: int, sample: float) -> float:
        """Seconds that opening number `step` of a series lasts; `sample`: jitter, from [0, 1)."""
        growth = self.backoff_factor ** min(step - 1, MAX_EXPONENT)
        duration = min(self.open_duration * growth, self.max_open_duration)
        return duration * (1.0 + self.jitter * (2.0 * sample - 1.0))

    @property
    def in_force(self) -> Mapping[str, object]:
        """What a breaker decides by, as plain values: all parameters but where it began."""
        return attrs.asdict(self, filter=lambda field, _: field.name != "initial_state")

    def problems(self) -> Iterator[str]:
        """Every parameter, and every pair of parameters, that cannot work."""
        yield from bound_problems(self)
        if is_count(self.minimum_calls, 1) and isinstance(self.window, CountWindow):
            if self.minimum_calls > self.window.size:
                yield (
                    f"BreakerConfig.minimum_calls is {self.minimum_calls!r}, above the window of "
                    f"{self.window.size!r}, so never reached; lower it or widen the window"
                )
        if is_count(self.probe_calls, 1) and is_count(self.probe_concurrency, 1):
            if self.probe_concurrency > self.probe_calls:
                yield (
                    f"BreakerConfig.probe_concurrency is {self.probe_concurrency!r}, above "
                    f"probe_calls {self.probe_calls!r}; lower it or raise probe_calls"
                )
        if is_number(self.open_duration) and is_number(self.max_open_duration):
            if self.max_open_duration < self.open_duration:
                yield (
                    f"BreakerConfig.max_open_duration is {self.max_open_duration!r}, below "
                    f"open_duration {self.open_duration!r}; raise it"
                )


AUDIT_MODES = ("moves", "full", "off")

_BREAKER = BreakerConfig()
_SEQUENTIAL = Sequential()


@attrs.frozen(kw_only=True)
class FallbackConfig:
    """Parameters of a chain. Durations are seconds.

    Args:
        breaker: Parameters of every provider's breaker.
        deadline: How long a whole call may take; None for no limit. A call may set its own with
            `options(deadline=...)`. In `acall` it is enforced. In `call` it is passed on to
            providers with a `timeout_arg`, and keeps the next one from being asked; a plain
            function without one runs as long as it likes, for threads cannot be cut.
        attempt_timeout: How long one attempt may take; None for no limit. As `deadline`.
        strategy: The order in which providers are asked.
        audit: What is recorded: `"moves"` every state change, attempt, skip and end; `"full"` every
            firing; `"off"` nothing.

    Raises:
        ConfigurationError: Naming every parameter out of bounds.
    """

    breaker: BreakerConfig = bounded(instance_of(BreakerConfig, "a BreakerConfig"), _BREAKER)
    deadline: float | None = bounded(SECONDS.or_none(), None)
    attempt_timeout: float | None = bounded(SECONDS.or_none(), None)
    strategy: Strategy = bounded(
        Bound(is_strategy, "a strategy: an object with order()"), _SEQUENTIAL
    )
    audit: str = bounded(one_of(*AUDIT_MODES), "moves")

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def problems(self) -> Iterator[str]:
        """Every parameter out of bounds."""
        yield from bound_problems(self)

    @property
    def breaker_in_chain(self) -> BreakerConfig:
        """The breaker's parameters, with a probe time-out that fits the attempts.

        A probe in a chain cannot be out for longer than the attempt may take, so a round need not
        wait longer for it: the limit of an attempt plus one second.
        """
        if self.attempt_timeout is None:
            return self.breaker
        longest = max(self.attempt_timeout, self.deadline or 0.0) + 1.0
        return attrs.evolve(self.breaker, probe_timeout=min(self.breaker.probe_timeout, longest))
