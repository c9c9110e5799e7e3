"""How a breaker stands, and the actions that change it: the model of the machine `BREAKER`.

Actions are fired by rows and by nothing else. They change this model, and read what was measured
(`facts`) and the outcome being settled. What fires the rows is `core.breaker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from fsm_fallback.core.breaker_facts import (
    NOTHING,
)
from fsm_fallback.core.breaker_guards import BreakerGuards
from fsm_fallback.core.breaker_rows import BreakerState, S
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.generation import Generation, drawn, numbers
from fsm_fallback.core.lease import Lease, LeaseOwner, Refusal
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.round import NO_ROUND, Round
from fsm_fallback.core.straight import Shut, ways_of

_HUNG: Final = Fault(FaultKind.TIMEOUT, message="a probe did not come back in time")
_SLOW: Final = Fault(FaultKind.TIMEOUT, message="calls take longer than slow_call_duration")


@attrs.define(eq=False)
class BreakerModel(BreakerGuards):
    """The state of one breaker.

    Args:
        name: What it guards; its name in records.
        config: Its parameters.
        now: The clock's seconds at birth.
        owner: Settles the leases it grants; None in specs, which settle here.
        record: Gets a `BreakerStep` for every firing worth a record, in order.
        record_stays: Whether firings that change no state are worth one; no call goes straight.
        sample: A draw from [0, 1) for the next jitter; whoever owns the breaker draws anew after an
            opening. 0.5 is no jitter.

    Attributes:
        straight: The generation whose calls need neither lock nor clock; None where there is none.
        timed: The generation whose calls need no lock until its `check_at`.
        shut: Says that every call is refused until a time.
    """

    name: str
    config: BreakerConfig = attrs.field(factory=BreakerConfig)
    now: float = 0.0
    owner: LeaseOwner | None = None
    record: Callable[[BreakerStep], None] | None = None
    record_stays: bool = False
    sample: float = 0.5

    state: BreakerState = attrs.field(init=False, default=S.CLOSED)
    facts: Mapping[str, float] = attrs.field(init=False, default=NOTHING)
    reply: Lease | None = attrs.field(init=False, default=None)
    current: Generation = attrs.field(init=False)
    straight: Generation | None = attrs.field(init=False, default=None)
    timed: Generation | None = attrs.field(init=False, default=None)
    shut: Shut | None = attrs.field(init=False, default=None)
    open_until: float | None = attrs.field(init=False, default=None)
    step: int = attrs.field(init=False, default=0)
    holds: int = attrs.field(init=False, default=0)
    cause: Fault | None = attrs.field(init=False, default=None)
    healed_at: float | None = attrs.field(init=False, default=None)  # when a round closed it
    actor: str | None = attrs.field(init=False, default=None)  # whose word it stands by
    reason: str | None = attrs.field(init=False, default=None)
    round: Round = attrs.field(init=False, default=NO_ROUND)

    # Drawn from, also by calls that go straight; `_settled` are the leases that came back.
    _admissions: Iterator[int] = attrs.field(init=False, factory=lambda: numbers(1))
    refusals: Iterator[int] = attrs.field(init=False, factory=lambda: numbers(1))
    _settled: int = attrs.field(init=False, default=0)

    # The outcome being settled; only measuring and actions read it.
    lease: Lease | None = attrs.field(init=False, default=None)
    failed: bool = attrs.field(init=False, default=False)
    slow: bool = attrs.field(init=False, default=False)
    fault: Fault | None = attrs.field(init=False, default=None)
    last_fault: Fault | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.current = self._generation(0)
        self._stand(self.config.initial_state, self.config.open_duration)
        self.find_ways()

    # Actions: they change this breaker and nothing else ---------------------------------------

    def grant(self) -> None:
        """Give a lease without a slot."""
        number = next(self._admissions)
        if self.state is not S.DISABLED:  # which counts nothing, slow calls neither
            self.current.let_out(number, self.now)
        self.reply = Lease(self, self.current.number, number, self.now)

    def grant_probe(self) -> None:
        """Give a lease that takes a slot of the round."""
        number = next(self._admissions)
        deadline = self.round.probes[number] = self.now + self.config.probe_timeout
        self.reply = Lease(self, self.current.number, number, self.now, deadline)

    def refuse(self) -> None:
        """Give no lease, and count that."""
        next(self.refusals)

    def begin_round(self) -> None:
        """Begin a round of probes."""
        self.open_until = None
        self._turn()
        self.round = Round()

    def count(self) -> None:
        """Book the outcome as evidence."""
        self.current.book(self.now, failed=self.failed, slow=self.slow)
        if self.failed:
            self.last_fault = self.fault
        else:
            self.holds = 0

    def count_probe(self) -> None:
        """Book the outcome in the round; evidence of the closed state is another matter."""
        self.free_probe()
        self.round.calls += 1
        self.round.failures += self.failed
        self.round.slow_calls += self.slow
        if not self.failed:
            self.holds = 0

    def free_probe(self) -> None:
        """Give the slot back."""
        if self.lease is not None:
            self.round.probes.pop(self.lease.number, None)

    def arm(self) -> None:
        """Open from CLOSED.

        Time spent closed wears the backoff off: a provider that flaps does not start over, one that
        was well for long does.
        """
        rested = (self.now - self.current.since) / self.config.open_duration  # may be infinite
        self.step -= int(min(rested, self.step))
        if not self.failed or self.lease is None:
            self.fault = _SLOW if self._too_slow() else self.last_fault
        self._arm_next_step()

    def rearm(self) -> None:
        """Open from a round that failed, for longer than the time before."""
        if self.lease is None:  # fired by `admit`
            self.fault = _HUNG
        self._arm_next_step()

    def arm_until(self) -> None:
        """Open until the named time; no jitter, no backoff."""
        if self.lease is not None:  # an operator's hold is no word of the provider
            self.holds += 1
        self.open_until = self.facts["until"]
        self.cause = self.fault
        self._turn()

    def extend(self) -> None:
        """Stay open until the later time."""
        self.open_until = self.facts["until"]
        self.cause = self.fault

    def close(self) -> None:
        """Close with empty evidence; the backoff stays, and wears off with time."""
        self.begin_empty()
        self.healed_at = self.now

    def clear(self) -> None:
        """Forget evidence, backoff, holds and cause: what an operator's word begins with."""
        self.step = self.holds = 0
        self.healed_at = None
        self.begin_empty()

    def begin_empty(self) -> None:
        """Begin a generation without evidence, open time and cause."""
        self.open_until = self.cause = None
        self._turn()

    # Reading --------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """The number of the present generation."""
        return self.current.number

    @property
    def in_flight(self) -> int:
        """How many leases are not settled yet, of all generations."""
        return drawn(self._admissions) - self._settled - self.current.straight_outcomes

    @property
    def not_permitted(self) -> int:
        """How many calls were refused so far."""
        return drawn(self.refusals)

    @property
    def probes(self) -> Mapping[int, float]:
        """Admission number and deadline of each probe that is out."""
        return self.round.probes

    @property
    def refusal(self) -> Refusal:
        """Why a call is refused."""
        return Refusal(self.state.value, self.open_until, self.cause)

    # Mechanism ------------------------------------------------------------------------------

    def find_ways(self) -> None:
        """Say which calls need not ask the table from now on."""
        self.straight, self.timed, self.shut = ways_of(self)

    def pass_time(self, now: float) -> None:
        """Let time go on; it does not go back."""
        # Calls that went straight may have seen more of it.
        if self.current.latest > now:
            now = self.current.latest
        if now > self.now:
            self.now = now
            if self.shut is not None and now >= self.shut.until:
                self.shut = None  # cooled down, and stays so if the clock goes back

    def _generation(self, number: int) -> Generation:
        config = self.config
        ledger = config.window.ledger()
        return Generation(number, self.now, ledger, self._admissions, config.slow_call_duration)

    def _turn(self) -> None:
        """Begin a new generation: whatever is out is late, evidence and rounds start empty."""
        self.straight = self.timed = self.shut = None
        ended = self.current
        ended.end()
        self._settled += ended.straight_outcomes
        self.current = self._generation(ended.number + 1)
        self.last_fault = None
        self.round = NO_ROUND

    def _stand(self, state: BreakerState, open_left: float) -> None:
        """Be in a state that no row led to: at birth, and by `restore`."""
        self.state = state
        if state is S.HALF_OPEN:
            self.state = S.OPEN
            self.open_until = self.now
        elif state is S.OPEN:
            self.open_until = self.now + open_left

    def _arm_next_step(self) -> None:
        self.step += 1
        self.open_until = self.now + self.config.opening(self.step, self.sample)
        if self.fault is not None:
            self.cause = self.fault
        self._turn()
