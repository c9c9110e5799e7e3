"""How a provider does: what strategies and people read, and the record of its pace.

Nothing here decides anything. A `Pace` is not thread-safe: whoever owns one has a lock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.metrics import Told

WINDOW: Final = 1000
"""So many of the latest answers make the percentiles."""

DECAY: Final = 10.0
"""Seconds in which a latency that was seen loses all but 1/e of its weight to those seen later."""

FORGOTTEN: Final = 60.0
"""Seconds in which a latency falls to 1/e of what it was while none is seen. Finagle has one
constant for both, for services that are asked a thousand times a second; a model that is asked
every few seconds would be forgotten from one call to the next."""

_WORST: Final = 60.0  # what failures alone can make a latency
_LEAST: Final = 1.0  # what a failure counts for at least, however fast: it is no answer


@attrs.frozen(kw_only=True)
class ProviderHealth:
    """How one provider of a chain does.

    Latencies are seconds to an answer, or to the first output of a stream.

    Attributes:
        provider: Its name.
        state: Where its breaker stands.
        success_ratio: Answers among its latest 100 attempts, those left out that say nothing of it
            (the request's fault, the caller left); None before the first.
        slow_ratio: Slow calls among those in the breaker's window; None where none are watched, or
            too few were made.
        latency: What its answers take lately: an average in which one loses weight with a time
            constant of 10 s, and a slower one counts at once; None before the first.
        p50: Half of the latest 1,000 answers took that long at most, exactly; None before the
            first.
        p95: As above, 95 of 100.
        p99: As above, 99 of 100.
        first_output_latency: As `latency`, of streams alone.
        consecutive_failures: How many of its latest attempts, none answered in between, failed or
            had it held.
        in_flight: Leases that are out, of all chains that share its breaker.
        last_fault: The kind of the latest fault; None where there was none.
        last_fault_age: Seconds since then.
        open_until: When the next probe is admitted, in the clock's seconds; None unless open.
        next_probe_in: Seconds until then; 0 where the next caller is the probe.
    """

    provider: str
    state: BreakerState
    success_ratio: float | None
    slow_ratio: float | None
    latency: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    first_output_latency: float | None
    consecutive_failures: int
    in_flight: int
    last_fault: str | None
    last_fault_age: float | None
    open_until: float | None
    next_probe_in: float | None


class PeakEwma:
    """An average that peaks at once and decays with time; the rule is Finagle's `PeakEwma`.

    https://github.com/twitter/finagle/blob/develop/finagle-core/src/main/scala/com/twitter/finagle/loadbalancer/distributor/
    """

    __slots__ = ("seen_at", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self.seen_at = -math.inf

    def see(self, seconds: float, now: float) -> None:
        """Take one in."""
        if self.value is None or seconds >= self.value:
            self.value = seconds
        else:
            weight = math.exp(min(0.0, self.seen_at - now) / DECAY)
            self.value = self.value * weight + seconds * (1.0 - weight)
        if now > self.seen_at:
            self.seen_at = now

    def at(self, now: float) -> float | None:
        """What it is worth by now: it decays while nothing is seen, so that no one is shunned."""
        if self.value is None:
            return None
        return self.value * math.exp(min(0.0, self.seen_at - now) / FORGOTTEN)


_FEW: Final = 64


class Pace:
    """How fast one provider answers.

    What it saw is averaged when somebody asks. Of large batches of straight calls that came since
    then only the latest is, for what is older has lost its weight, or was made in the same moment.
    """

    __slots__ = ("_straight", "answers", "first_output", "latest", "of_answers")

    def __init__(self) -> None:
        self.answers: deque[float] = deque(maxlen=WINDOW)
        self.first_output = PeakEwma()
        self.latest = PeakEwma()  # what those who choose go by: failures are in it
        self.of_answers = PeakEwma()
        self._straight: Sequence[Told] = ()

    def answered_straight(self, unread: Sequence[Told], latencies: Sequence[float]) -> None:
        """Note straight calls: how long each took, and those the average has not seen."""
        if 0 < len(self._straight) < _FEW:
            self.average()
        self.answers.extend(latencies)
        self._straight = unread

    @property
    def has_unread(self) -> bool:
        """Whether there is something that the average has not seen."""
        return bool(self._straight)

    def answered(self, now: float, latency: float) -> None:
        """Note an answer."""
        self.answers.append(latency)
        self.average().see(latency, now)
        self.of_answers.see(latency, now)

    def waited(self, now: float, seconds: float) -> None:
        """Note that somebody waited that long, and left: it is no faster than was known."""
        average = self.average()
        known = average.at(now)
        average.see(max(seconds, _LEAST if known is None else known), now)

    def failed(self, now: float, seconds: float) -> None:
        """Note a failure: twice as slow as it was, a second at least; to fail fast is no merit."""
        average = self.average()
        known = 0.0 if average.value is None else average.value
        average.see(max(seconds, _LEAST, min(2 * known, _WORST)), now)

    def average(self) -> PeakEwma:
        """The average by what has been noted."""
        latest, unread = self.latest, self._straight
        if unread:
            self._straight = ()
            for each in unread:
                latency, now = max(0.0, each[3] - each[2]), each[3]
                latest.see(latency, now)
                self.of_answers.see(latency, now)
        return latest

    def percentiles(self, *ranks: float) -> tuple[float | None, ...]:
        """The least latency that such a share of the latest answers did not exceed."""
        ordered = sorted(self.answers)
        if not ordered:
            return (None,) * len(ranks)
        return tuple(ordered[math.ceil(rank * len(ordered)) - 1] for rank in ranks)
