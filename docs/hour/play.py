"""One strategy through the hour: every request asked when it is due, and what came of it.

One caller, who asks the next request when it is due and the one before has ended. Time is virtual,
so an hour takes seconds.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

import attrs

from docs.hour.scene import ATTEMPT_TIMEOUT, Ask, Hour, described
from docs.hour.servers import providers
from fsm_fallback import (
    BreakerConfig,
    CapabilityBased,
    ChainFailed,
    CostOptimized,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    LoadBalanced,
    Sequential,
    Strategy,
)
from fsm_fallback.chat import ChatReply
from fsm_fallback.core.trail import Trail
from fsm_fallback.testing import ManualClock

STRATEGIES: Final[Mapping[str, Strategy]] = {
    "sequential": Sequential(),
    "weight": LoadBalanced(),
    "latency": LoadBalanced(by="latency"),
    "capability": CapabilityBased(),
    "capability_latency": CapabilityBased(then=LoadBalanced(by="latency")),
    "cost": CostOptimized(),
}
"""Those compared, by the name of the chain they order."""

WRITTEN: Final[Mapping[str, str]] = {
    "sequential": "Sequential()",
    "weight": "LoadBalanced()",
    "latency": 'LoadBalanced(by="latency")',
    "capability": "CapabilityBased()",
    "capability_latency": 'CapabilityBased(then=LoadBalanced(by="latency"))',
    "cost": "CostOptimized()",
}
"""As a user writes them."""

CONFIG: Final = FallbackConfig(
    # Ten requests a minute: a hundred calls would be the evidence of ten minutes.
    breaker=BreakerConfig(window=CountWindow(20)),
    attempt_timeout=ATTEMPT_TIMEOUT,
    audit="off",
)

Llm = FallbackProvider[..., ChatReply]  # an `Ask`


@attrs.frozen(kw_only=True)
class Call:
    """One request as its caller saw it.

    Attributes:
        ask: What was asked.
        began_at: When, in seconds of the hour.
        ended_at: When there was an answer, or an error.
        trail: Every attempt and skip.
        answered_by: The provider that answered; None if none did.
        error: What was raised instead.
    """

    ask: Ask
    began_at: float
    ended_at: float
    trail: Trail
    answered_by: str | None = None
    error: ChainFailed | None = None

    @property
    def duration(self) -> float:
        """Seconds the caller waited."""
        return self.ended_at - self.began_at


@attrs.frozen
class Stage:
    """A chain over the four providers at the beginning of an hour."""

    hour: Hour
    clock: ManualClock
    llm: Llm

    def play(self) -> tuple[Call, ...]:
        """Ask every request of the hour."""
        return tuple(map(self._call, self.hour.asks()))

    def _call(self, ask: Ask) -> Call:
        self.clock.advance_to(ask.due_at)
        began_at = self.clock()
        trail: Trail
        error: ChainFailed | None
        try:
            answer = self.llm.detailed(ask)
        except ChainFailed as failed:
            trail, answered_by, error = failed.trail, None, failed
        else:
            trail, answered_by, error = answer.trail, answer.provider, None
        return Call(
            ask=ask,
            began_at=began_at,
            ended_at=self.clock(),
            trail=trail,
            answered_by=answered_by,
            error=error,
        )


@contextmanager
def stage(name: str, hour: Hour) -> Generator[Stage]:
    """The stage of the strategy of that name; its servers end with the block."""
    clock = ManualClock()
    with providers(hour, clock) as timed:
        llm: Llm = FallbackProvider(
            *timed,
            strategy=STRATEGIES[name],
            config=CONFIG,
            clock=clock,
            sample=random.Random(f"{hour.seed} {name}").random,  # noqa: S311  # order and jitter
            describe=described,
            name=name,
        )
        yield Stage(hour, clock, llm)
