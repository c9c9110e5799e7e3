"""The scripted outage: what each provider does when, and the parameters of a run.

Decides nothing while it runs: it is one table. All of its durations are those of a run of 20 s, and
grow and shrink with the length that is asked for, so that every run tells the same story.
"""

from __future__ import annotations

from typing import Final

import attrs

from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.core.parameters import BreakerConfig, FallbackConfig
from fsm_fallback.core.strategies import CallOptions
from fsm_fallback.core.trail import Candidate, Skip
from fsm_fallback.core.windows import CountWindow
from fsm_fallback.testing import Hang, Overloaded, RateLimited, Slow, Status
from fsm_fallback.testing.emulator import Step

FULL_LENGTH: Final = 20.0
CALLERS: Final = 8
CHAIN_NAME: Final = "demo"
ANTHROPIC: Final = "anthropic"
OPENAI: Final = "openai"
PROVIDERS: Final = (ANTHROPIC, OPENAI)

EXPECTED: Final[dict[int | None, frozenset[FaultKind | None]]] = {
    200: frozenset({None}),
    429: frozenset({FaultKind.RATE_LIMIT}),
    503: frozenset({FaultKind.TRANSIENT}),
    529: frozenset({FaultKind.TRANSIENT}),
    None: frozenset({FaultKind.TIMEOUT, None}),  # one that hangs is cut, or released and answered
}
"""The faults that an attempt may have, by the status the emulator served; None is a hang."""


@attrs.frozen(kw_only=True)
class Phase:
    """A part of the outage: from `starts_at`, in seconds, each provider does its step."""

    starts_at: float
    steps: dict[str, Step]
    words: str


@attrs.frozen(kw_only=True)
class Outage:
    """One run. Durations are seconds.

    Attributes:
        duration: When callers stop to ask.
        phases: What the providers do, in order; the first starts at 0.
        pauses: The shortest and the longest pause of a caller between two calls.
        config: Parameters of the chain.
    """

    duration: float
    phases: tuple[Phase, ...]
    pauses: tuple[float, float]
    config: FallbackConfig

    def phase_at(self, elapsed: float) -> int:
        """The index of the phase that is on."""
        return sum(phase.starts_at <= elapsed for phase in self.phases[1:])


@attrs.frozen
class HalfEach:
    """Half of the calls ask one provider first, half the other: both are always in use."""

    def order(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,  # noqa: ARG002  # the protocol's
        now: float,  # noqa: ARG002  # as above
        sample: float,
    ) -> tuple[Candidate | Skip, ...]:
        """The candidates as they came, or the other way round."""
        return candidates if sample < 0.5 else candidates[::-1]  # noqa: PLR2004  # a half


def outage(duration: float = FULL_LENGTH) -> Outage:
    """The outage at a length in seconds."""
    scale = duration / FULL_LENGTH
    hold, cut = 2.0 * scale, 1.0 * scale
    well = Slow(0.08 * scale)
    storm = Slow(0.05 * scale, Overloaded())
    limit = Slow(0.02 * scale, RateLimited(retry_after=hold))
    down = Slow(0.05 * scale, Status(503))
    hang = Hang()
    # fmt: off
    rows: tuple[tuple[float, Step, Step, str], ...] = (
        # at   anthropic  openai  what it is
        ( 0.0, well,      well,   "all well, each has half of the calls"),
        ( 2.5, storm,     well,   "anthropic is in a storm of 529, overloaded"),
        ( 6.5, well,      well,   "anthropic is well again, a probe will find out"),
        ( 9.0, well,      limit,  f"openai answers 429, Retry-After: {hold:g} s"),
        (10.0, well,      well,   "openai is well again, but named a time: held"),
        (12.0, hang,      well,   f"anthropic hangs, attempts are cut after {cut:g} s"),
        (13.8, hang,      down,   "and openai answers 503: nobody is left"),
        (14.8, well,      well,   "both are well again, probes will find out"),
    )
    # fmt: on
    return Outage(
        duration=duration,
        phases=tuple(
            Phase(starts_at=at * scale, steps={ANTHROPIC: first, OPENAI: second}, words=words)
            for at, first, second, words in rows
        ),
        pauses=(0.15 * scale, 0.35 * scale),
        config=FallbackConfig(
            breaker=BreakerConfig(
                window=CountWindow(10), minimum_calls=5, open_duration=1.5 * scale
            ),
            attempt_timeout=cut,
            strategy=HalfEach(),
        ),
    )
