"""A naive breaker: lists and recounts, no table, no code shared with the core.

It keeps the whole history and asks it every time. Slow, obvious, and the oracle of `spec_breaker`
and `spec_circuit`.
"""

from __future__ import annotations

import copy
import math

import attrs

from fsm_fallback import BreakerConfig, CountWindow

EVIDENT = ("closed", "observing")  # where outcomes are evidence


@attrs.define(eq=False)
class ReferenceLease:
    """What the reference remembers of a lease.

    `deadline` is infinite for what is no probe; `output_at` is when the first output came.
    """

    epoch: int
    granted_at: float
    granted_in: str
    deadline: float = math.inf
    output_at: float | None = None
    settled: bool = False
    lost: bool = False

    @property
    def probe(self) -> bool:
        """Whether it takes a slot of a round."""
        return self.granted_in == "half_open"


@attrs.frozen
class ReferenceOutcome:
    """A call that came back; or one that hangs, which is slow already and has not failed."""

    at: float
    failed: bool
    slow: bool


@attrs.frozen
class Recount:
    """How the evidence stands."""

    calls: int
    failures: int
    slow_calls: int
    failure_ratio: float | None
    slow_call_ratio: float | None


@attrs.frozen
class ReferenceSnapshot:
    """What outlives a breaker: `left` is the open time it still had."""

    state: str
    openings: int
    holds: int
    left: float


@attrs.define
class ReferenceBreaker:
    """The breaker as one would explain it on a whiteboard."""

    config: BreakerConfig
    now: float = 0.0
    sample: float = 0.5
    state: str = "closed"
    epoch: int = 0
    history: list[ReferenceOutcome] = attrs.field(factory=list)  # of this epoch
    leases: list[ReferenceLease] = attrs.field(factory=list)
    open_until: float = math.inf
    closed_since: float = 0.0
    openings: int = 0
    holds: int = 0
    refused: int = 0
    late: int = 0
    settled_again: int = 0

    def __attrs_post_init__(self) -> None:
        born = self.config.initial_state.value
        self.closed_since = self.now
        if born != "closed":
            left = self.config.open_duration if born == "open" else 0.0
            self.take_over(ReferenceSnapshot(born, openings=0, holds=0, left=left), self.now)

    # What happens -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Whatever is done moves time on, if only forward.

        What was dropped unsettled before has come back by now, without evidence.
        """
        for lease in self.lost():
            self._take_back(lease)
        self.now = max(self.now, now)

    def ask(self, now: float) -> ReferenceLease | None:
        """A caller asks for leave."""
        self.tick(now)
        if self.state == "open" and self.now >= self.open_until:
            self.enter("half_open")
        elif self.state == "half_open" and self._a_probe_hangs():
            self._open_longer()
        elif self.state == "closed" and self._stalled(self.now) and self._too_slow():
            self._trip()
        if self.state in ("open", "forced_open") or (
            self.state == "half_open" and not self._wants_a_probe()
        ):
            self.refused += 1
            return None
        lease = ReferenceLease(self.epoch, self.now, self.state)
        if lease.probe:
            lease.deadline = self.now + self.config.probe_timeout
        self.leases.append(lease)
        return lease

    def would_grant(self, now: float) -> bool:
        """What a caller would hear; asked of a copy."""
        twin = copy.copy(self)
        twin.leases = [copy.copy(lease) for lease in self.leases if not lease.settled]
        twin.history = list(self.history)
        return twin.ask(now) is not None

    def begin_output(self, lease: ReferenceLease, now: float) -> None:
        """The first output of a stream came: how long the call took is known."""
        self.tick(now)
        if lease.settled or lease.epoch != self.epoch or lease.output_at is not None:
            return
        lease.output_at = self.now
        if lease.probe:
            longer = self.config.probe_stream_timeout
            lease.deadline = self.now + (self.config.probe_timeout if longer is None else longer)

    def settle(
        self, lease: ReferenceLease, now: float, outcome: str, duration: float | None = None
    ) -> None:
        """A call came back: success, failure or neutral."""
        self.tick(now)
        if lease.settled:
            self.settled_again += 1
            return
        in_time = self._take_back(lease)
        if not in_time or outcome == "neutral" or self.state == "disabled":
            return
        if duration is None:
            ended_at = self.now if lease.output_at is None else lease.output_at
            duration = ended_at - lease.granted_at
        slow = self.config.slow_call_duration is not None and (
            duration >= self.config.slow_call_duration
        )
        self.history.append(ReferenceOutcome(self.now, failed=outcome == "failure", slow=slow))
        if outcome == "success":
            self.holds = 0
        if self.state == "closed" and self._trips(slow=slow, failed=outcome == "failure"):
            self._trip()
        elif self.state == "half_open":
            self._judge_round()

    def hold(
        self, until: float, now: float, lease: ReferenceLease | None, longest: float = math.inf
    ) -> None:
        """The provider named a time, of which at most `longest` is believed; or an operator did."""
        self.tick(now)
        if lease is not None:
            if lease.settled:
                self.settled_again += 1
                return
            lease.settled = True
        if self.state not in ("closed", "half_open", "open"):
            return
        opens = self.state != "open"
        series = max(1, self.holds + 1 if opens else self.holds) if lease is not None else 1
        doubled = max(0.0, until - self.now) * 2.0 ** (series - 1)
        end = self.now + min(doubled, self.config.max_hold, longest)
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

    def picture(self, now: float) -> ReferenceSnapshot:
        """What another breaker would take over."""
        left = max(0.0, self.open_until - max(now, self.now)) if self.state == "open" else 0.0
        return ReferenceSnapshot(self.state, self.openings, self.holds, left)

    def take_over(self, picture: ReferenceSnapshot, now: float) -> None:
        """Stand as another breaker stood."""
        self.tick(now)
        self.enter("open" if picture.state == "half_open" else picture.state)
        self.closed_since = self.now
        self.openings, self.holds = picture.openings, picture.holds
        if self.state == "open":
            self.open_until = self.now + picture.left

    # What can be counted ------------------------------------------------------------------------

    def recount(self, now: float) -> Recount:
        """The evidence as seen at a time, which changes nothing."""
        seen_at = max(now, self.now)
        booked = self._booked(seen_at)
        watched = self._watched(seen_at)
        failures = sum(outcome.failed for outcome in booked)
        slow_calls = sum(outcome.slow for outcome in watched)
        least = self.config.minimum_calls
        measured = self.config.slow_call_duration is not None and len(watched) >= least
        return Recount(
            calls=len(booked),
            failures=failures,
            slow_calls=slow_calls,
            failure_ratio=failures / len(booked) if len(booked) >= least else None,
            slow_call_ratio=slow_calls / len(watched) if measured else None,
        )

    def probes_out(self) -> int:
        """Probes of this round that have not come back."""
        return sum(1 for lease in self._out_of_this_epoch() if lease.probe)

    def deadlines(self) -> list[float]:
        """When those probes end the round, the next first."""
        return sorted(lease.deadline for lease in self._out_of_this_epoch() if lease.probe)

    def lost(self) -> list[ReferenceLease]:
        """Leases that were dropped, and have not come back yet."""
        return [lease for lease in self.leases if lease.lost and not lease.settled]

    def in_flight(self) -> int:
        """Leases that have not come back."""
        return sum(1 for lease in self.leases if not lease.settled)

    # How it is decided --------------------------------------------------------------------------

    def enter(self, state: str) -> None:
        """Begin a new epoch."""
        self.state = state
        self.epoch += 1
        self.history = []
        self.open_until = math.inf
        if state not in ("open", "half_open"):
            self.closed_since = self.now

    def _take_back(self, lease: ReferenceLease) -> bool:
        lease.settled = True
        in_time = lease.epoch == self.epoch
        self.late += not in_time
        return in_time

    def _out_of_this_epoch(self) -> list[ReferenceLease]:
        return [lease for lease in self.leases if lease.epoch == self.epoch and not lease.settled]

    def _stalled(self, now: float) -> int:
        """How many calls are out, have shown nothing yet, and are slow already."""
        limit = self.config.slow_call_duration
        if limit is None:
            return 0
        return sum(
            1
            for lease in self._out_of_this_epoch()
            if lease.granted_in in EVIDENT
            and lease.output_at is None
            and now - lease.granted_at >= limit
        )

    def _booked(self, now: float) -> list[ReferenceOutcome]:
        """The outcomes that count."""
        return self._in_window(self.history, now) if self.state in EVIDENT else []

    def _watched(self, now: float, *, deciding: bool = False) -> list[ReferenceOutcome]:
        """The outcomes that count, and the calls that hang, which count as slow ones just come.

        Where the last outcome booked is being decided on, it came after those.
        """
        if self.state not in EVIDENT:
            return []
        hanging = [ReferenceOutcome(now, failed=False, slow=True)] * self._stalled(now)
        split = len(self.history) - deciding
        return self._in_window([*self.history[:split], *hanging, *self.history[split:]], now)

    def _in_window(self, outcomes: list[ReferenceOutcome], now: float) -> list[ReferenceOutcome]:
        window = self.config.window
        if isinstance(window, CountWindow):
            return outcomes[-window.size :]
        width = window.seconds / window.buckets
        return [
            outcome
            for outcome in outcomes
            if now - math.floor(outcome.at / width) * width < window.seconds
        ]

    def _too_many_failures(self) -> bool:
        booked = self._booked(self.now)
        return (
            len(booked) >= self.config.minimum_calls
            and sum(outcome.failed for outcome in booked) / len(booked) >= self.config.failure_ratio
        )

    def _too_slow(self, *, deciding: bool = False) -> bool:
        watched = self._watched(self.now, deciding=deciding)
        return (
            len(watched) >= self.config.minimum_calls
            and sum(outcome.slow for outcome in watched) / len(watched)
            >= self.config.slow_call_ratio
        )

    def _too_many_in_a_row(self) -> bool:
        limit = self.config.consecutive_failures
        if limit is None or len(self.history) < limit:
            return False
        return all(outcome.failed for outcome in self.history[-limit:])

    def _trips(self, *, slow: bool, failed: bool) -> bool:
        """Whether the outcome just booked opens a closed breaker."""
        too_slow = self._too_slow(deciding=True)
        too_bad = too_slow or self._too_many_failures()
        if failed:
            return too_bad or self._too_many_in_a_row()
        if slow or self.config.trip_on_success:
            return too_bad
        return too_slow and self._stalled(self.now) > 0

    def _a_probe_hangs(self) -> bool:
        return any(self.now > lease.deadline for lease in self._out_of_this_epoch())

    def _wants_a_probe(self) -> bool:
        out = self.probes_out()
        return (
            out < self.config.probe_concurrency
            and len(self.history) + out < self.config.probe_calls
        )

    def _judge_round(self) -> None:
        missing = self.config.probe_calls - len(self.history)
        if missing and not self.config.early_verdict:
            return
        limits = [(sum(outcome.failed for outcome in self.history), self.config.failure_ratio)]
        if self.config.slow_call_duration is not None:
            limits.append((sum(o.slow for o in self.history), self.config.slow_call_ratio))
        # What the round comes to if all the missing ones go well, and if all go badly.
        wanted = self.config.probe_calls
        if all((bad + missing) / wanted < limit for bad, limit in limits):
            self.enter("closed")
        elif any(bad / wanted >= limit for bad, limit in limits):
            self._open_longer()

    def _trip(self) -> None:
        rested = int((self.now - self.closed_since) / self.config.open_duration)
        self.openings = max(0, self.openings - rested)
        self._open_longer()

    def _open_longer(self) -> None:
        self.openings += 1
        self.enter("open")
        duration = self.config.open_duration
        for _ in range(self.openings - 1):
            duration = min(duration * self.config.backoff_factor, self.config.max_open_duration)
        duration = min(duration, self.config.max_open_duration)
        spread = self.config.jitter * (2.0 * self.sample - 1.0)
        self.open_until = self.now + duration * (1.0 + spread)
