"""Scopes: how much of what may happen is tried, and in which numbers.

A verdict is worth what its scope is, so every verdict states it. What a scope cannot hold is
refused by name: nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from fsm_fallback.core.bounds import (
    COUNT,
    FLAG,
    SECONDS,
    Bound,
    bound_problems,
    bounded,
    instance_of,
    is_count,
    refuse_problems,
)
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.core.parameters import BreakerConfig, RetryConfig, StreamConfig
from fsm_fallback.core.windows import CountWindow

MOST_CALLERS: Final = 3
MOST_PROVIDERS: Final = 3
MOST_EVIDENCE: Final = 6  # outcomes that make a state: windows and rounds above it explode

SMALL: Final = BreakerConfig(
    window=CountWindow(2),
    minimum_calls=2,
    open_duration=4.0,
    max_open_duration=8.0,
    jitter=0.0,
    probe_timeout=8.0,
    max_hold=16.0,
)
"""Parameters as small as they can be, with everything in them that can happen."""

_STATES = Bound(
    lambda v: isinstance(v, tuple) and v != () and all(isinstance(s, BreakerState) for s in v),
    "a tuple of BreakerStates",
)
_FAULTS = Bound(
    lambda v: isinstance(v, tuple) and all(isinstance(kind, FaultKind) for kind in v),
    "a tuple of FaultKinds",
)
ITEMS: Final = ("output", "noise", "end", "cut short")
_ITEMS = Bound(
    lambda v: isinstance(v, tuple) and all(each in ITEMS for each in v),
    f"a tuple of {', '.join(ITEMS)}",
)
_FEW = Bound(
    lambda v: isinstance(v, int) and is_count(v, 1) and v <= MOST_CALLERS, f"1 to {MOST_CALLERS}"
)


@attrs.frozen(kw_only=True)
class Scope:
    """What is tried.

    Args:
        callers: How many callers there are, 1 to 3; each has at most one call out.
        providers: How many providers a chain has, 1 to 3. One breaker is explored alone.
        config: The breakers' parameters. Small windows and rounds; jitter does not happen.
        births: In which states a breaker may begin; HALF_OPEN begins as OPEN, cooled down.
        faults: What providers of a chain fail with.
        deadline: Seconds a call may take; None for no limit.
        attempt_timeout: Seconds an attempt may take; None for no limit.
        retry: When the same provider is tried again; without jitter, for chance is not modelled.
        places: How many retries the budget affords at once.
        waits: Whether calls wait for a breaker where all refuse.
        stream: How streams are handed over; None for calls with one answer.
        items: What streams may give: `"output"`, `"noise"`, `"end"`, `"cut short"`.
        leaves: Whether callers may leave.
        windows: The context windows of the providers, in order; None for one that does not tell.
        rules_out: Whether the strategy rules the second provider out, for want of a need.
        series: How many openings, or holds, in a row are told apart.
        operators: Whether operators speak.
        again: Whether leases are settled a second time.
        depth: After how many steps to stop; None to go on until nothing new is found.
        states: How many states may be found before the explorer gives up.

    Raises:
        ConfigurationError: Naming every value that is out of bounds or cannot be modelled.
    """

    callers: int = bounded(_FEW, 2)
    providers: int = bounded(_FEW, 1)
    config: BreakerConfig = bounded(instance_of(BreakerConfig, "a BreakerConfig"), SMALL)
    births: tuple[BreakerState, ...] = bounded(_STATES, (BreakerState.CLOSED,))
    faults: tuple[FaultKind, ...] = bounded(_FAULTS, (FaultKind.TRANSIENT,))
    deadline: float | None = bounded(SECONDS.or_none(), None)
    attempt_timeout: float | None = bounded(SECONDS.or_none(), None)
    retry: RetryConfig = bounded(instance_of(RetryConfig, "a RetryConfig"), RetryConfig())
    places: int = bounded(COUNT, 1)
    waits: bool = bounded(FLAG, default=False)
    stream: StreamConfig | None = bounded(
        instance_of(StreamConfig, "a StreamConfig").or_none(), None
    )
    items: tuple[str, ...] = bounded(_ITEMS, ITEMS)
    leaves: bool = bounded(FLAG, default=True)
    windows: tuple[int | None, ...] = (8, None, 32)
    rules_out: bool = False
    series: int = bounded(COUNT, 2)
    operators: bool = False
    again: bool = False
    depth: int | None = bounded(COUNT.or_none(), None)
    states: int = bounded(COUNT, 200_000)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def problems(self) -> Iterator[str]:
        """Everything that cannot be explored."""
        found = list(bound_problems(self))
        yield from found
        if len(self.windows) < self.providers:
            yield (
                f"Scope.windows is {self.windows!r}; give a context window, or None, to each of "
                f"the {self.providers} providers"
            )
        if not found:
            yield from _unmodelled(self.config)
            if self.retry.attempts > 1 and self.retry.jitter != "none":
                yield (
                    f"Scope.retry.jitter is {self.retry.jitter!r}: the explorer does not model "
                    "chance; give 'none'"
                )

    def __str__(self) -> str:
        config = self.config
        parts = [
            _many(self.callers, "caller"),
            _many(self.providers, "provider"),
            f"window {getattr(config.window, 'size', '?')}",
            f"{config.probe_calls} probe{'s' * (config.probe_calls > 1)} a round",
        ]
        if config.slow_call_duration is not None:
            parts.append("slow calls watched")
        if self.stream is not None:
            parts.append(f"streams ({self.stream.policy})")
        if self.retry.attempts > 1:
            parts.append(f"{self.retry.attempts} tries each")
        if self.waits:
            parts.append("calls wait")
        if not self.leaves:
            parts.append("nobody leaves")
        if self.operators:
            parts.append("operators")
        if self.again:
            parts.append("leases settled twice")
        parts.append("complete" if self.depth is None else f"to depth {self.depth}")
        return ", ".join(parts)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count > 1)}"


def _unmodelled(config: BreakerConfig) -> Iterator[str]:
    if not isinstance(config.window, CountWindow):
        yield (
            f"Scope.config.window is {config.window!r}: the explorer does not model windows of "
            "time, whose states never repeat; give a CountWindow, and leave a TimeWindow to "
            "BreakerSpec"
        )
    elif config.window.size > MOST_EVIDENCE:
        yield (
            f"Scope.config.window is {config.window!r}: the explorer models up to {MOST_EVIDENCE} "
            "outcomes; give a smaller one"
        )
    if config.probe_calls > MOST_EVIDENCE:
        yield (
            f"Scope.config.probe_calls is {config.probe_calls!r}: the explorer models up to "
            f"{MOST_EVIDENCE} probes a round; give fewer"
        )
    if config.jitter:
        yield (
            f"Scope.config.jitter is {config.jitter!r}: the explorer does not model chance; give "
            "0, and leave jitter to BreakerSpec"
        )
