"""A naive breaker: lists and recounts, no table, no code shared with the core.

It keeps the whole history and asks it every time. Slow, obvious, and the oracle of `spec_breaker`.
"""

from __future__ import annotations

import math

import attrs

from fsm_fallback import BreakerConfig


@attrs.define
class ReferenceLease:
    """What the reference remembers of a lease."""

    epoch: int
    granted_at: float
    probe: bool
    settled: bool = False


@attrs.define
class ReferenceBreaker:
    """The breaker as one would explain it on a whiteboard."""

    config: BreakerConfig
    now: float = 0.0
    state: str = "closed"
    epoch: int = 0
    history: list[bool] = attrs.field(factory=list)  # outcomes of this epoch, True: failed
    leases: list[ReferenceLease] = attrs.field(factory=list)
    open_until: float = math.inf
    closed_since: float = 0.0
    openings: int = 0
    holds: int = 0
    refused: int = 0

    def tick(self, now: float) -> None:
        """Time does not go back."""
        self.now = max(self.now, now)

    def ask(self, now: float) -> ReferenceLease | None:
        """A caller asks for leave."""
        self.tick(now)
        if self.state == "open" and self.now >= self.open_until:
            self.enter("half_open")
        elif self.state == "half_open" and self._a_probe_hangs():
            self._open_longer()
        if self.state in ("open", "forced_open") or (
            self.state == "half_open" and not self._wants_a_probe()
        ):
            self.refused += 1
            return None
        lease = ReferenceLease(self.epoch, self.now, probe=self.state == "half_open")
        self.leases.append(lease)
        return lease

    def settle(self, lease: ReferenceLease, now: float, outcome: str) -> None:
        """A call came back: success, failure or neutral."""
        if lease.settled:
            return
        lease.settled = True
        self.tick(now)
        if lease.epoch != self.epoch or outcome == "neutral" or self.state == "disabled":
            return
        self.history.append(outcome == "failure")
        if outcome == "success":
            self.holds = 0
        if self.state == "closed" and outcome == "failure":
            window = self.window()
            if (
                len(window) >= self.config.minimum_calls
                and sum(window) / len(window) >= self.config.failure_ratio
            ):
                rested = int((self.now - self.closed_since) / self.config.open_duration)
                self.openings = max(0, self.openings - rested)
                self._open_longer()
        elif self.state == "half_open":
            self._judge_round()

    def hold(self, until: float, now: float, lease: ReferenceLease | None) -> None:
        """The provider named a time."""
        if lease is not None:
            if lease.settled:
                return
            lease.settled = True
        self.tick(now)
        if self.state not in ("closed", "half_open", "open"):
            return
        opens = self.state != "open"
        series = max(1, self.holds + 1 if opens else self.holds) if lease is not None else 1
        doubled = max(0.0, until - self.now) * 2.0 ** (series - 1)
        end = self.now + min(doubled, self.config.max_hold)
        if opens:
            self.enter("open")
            self.holds += lease is not None
            self.open_until = end
        else:
            self.open_until = max(self.open_until, end)

    def operate(self, word: str, now: float) -> None:
        """An operator speaks."""
        self.tick(now)
        target = {
            "force_open": "forced_open",
            "disable": "disabled",
            "observe": "observing",
            "reset": "closed",
        }[word]
        if target != self.state or word == "reset":
            self.enter(target)
            self.openings = self.holds = 0

    def window(self) -> list[bool]:
        """The outcomes that count."""
        return self.history[-self.config.window.size :]

    def probes_out(self) -> int:
        """Probes of this round that have not come back."""
        return sum(
            1
            for lease in self.leases
            if lease.probe and lease.epoch == self.epoch and not lease.settled
        )

    def in_flight(self) -> int:
        """Leases that have not come back."""
        return sum(1 for lease in self.leases if not lease.settled)

    def enter(self, state: str) -> None:
        """Begin a new epoch."""
        self.state = state
        self.epoch += 1
        self.history = []
        self.open_until = math.inf
        if state not in ("open", "half_open"):
            self.closed_since = self.now

    def _a_probe_hangs(self) -> bool:
        return any(
            self.now > lease.granted_at + self.config.probe_timeout
            for lease in self.leases
            if lease.probe and lease.epoch == self.epoch and not lease.settled
        )

    def _wants_a_probe(self) -> bool:
        out = self.probes_out()
        return (
            out < self.config.probe_concurrency
            and len(self.history) + out < self.config.probe_calls
        )

    def _judge_round(self) -> None:
        wanted = self.config.probe_calls
        missing = wanted - len(self.history)
        if missing and not self.config.early_verdict:
            return
        # What the round comes to if all the missing ones go well, and if all go badly.
        best = sum(self.history) / wanted
        worst = (sum(self.history) + missing) / wanted
        if worst < self.config.failure_ratio:
            self.enter("closed")
        elif best >= self.config.failure_ratio:
            self._open_longer()

    def _open_longer(self) -> None:
        self.openings += 1
        self.enter("open")
        duration = self.config.open_duration
        for _ in range(self.openings - 1):
            duration = min(duration * self.config.backoff_factor, self.config.max_open_duration)
        self.open_until = self.now + min(duration, self.config.max_open_duration)
