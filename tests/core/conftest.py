"""A breaker driven by hand, and the candidates of a chain."""

from __future__ import annotations

import attrs
import pytest

from fsm_fallback import BreakerConfig, CountWindow, Fault, FaultKind
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.lease import Refusal

DOWN = Fault(FaultKind.TRANSIENT)


@attrs.define(eq=False)
class Driven:
    """A breaker, the clock it is driven by, and short words for what happens to it."""

    breaker: Breaker
    now: float = 0.0

    def __getattr__(self, name):
        return getattr(self.breaker, name)

    def admit(self):
        """Ask for a lease now."""
        return self.breaker.admit(self.now)

    def play(self, outcomes):
        """Make a row of calls: "F" fails, "." succeeds, "-" comes back without evidence."""
        for outcome in outcomes:
            lease = self.admit()
            assert lease is not None
            self.settle(lease, outcome)

    def settle(self, lease, outcome):
        """Settle a lease now, with one of the letters of `play`."""
        match outcome:
            case "F":
                self.breaker.fail(lease, self.now, DOWN)
            case ".":
                self.breaker.succeed(lease, self.now)
            case "-":
                self.breaker.release(lease, self.now)

    def hold(self, seconds, lease=None, fault=None):
        """Tell it to stay away from now on for so long."""
        self.breaker.hold(self.now + seconds, self.now, lease, fault)

    def take(self, count):
        """Ask for so many leases now; all are granted."""
        leases = [self.admit() for _ in range(count)]
        assert None not in leases
        return leases

    def trip(self):
        """Fail until it opens."""
        while self.admit_and("F"):
            pass

    def admit_and(self, outcome):
        """Make one call if it is admitted; whether it was."""
        lease = self.admit()
        if lease is not None:
            self.settle(lease, outcome)
        return lease is not None

    def cool_down(self):
        """Let the open time pass, to the tick."""
        self.now = self.breaker.open_until

    def probe(self):
        """Let the open time pass and take the first probe."""
        self.cool_down()
        return self.admit()

    @property
    def tally(self):
        """What is evidence now: calls, failures, slow calls."""
        return self.breaker.current.tally(self.now)

    @property
    def stands(self):
        """How it stands now."""
        return self.breaker.snapshot(self.now)

    @property
    def opened_for(self):
        """How long it stays open from now."""
        return self.breaker.open_until - self.now


@pytest.fixture
def make():
    """Make a breaker that trips on its first failure, without jitter, unless told otherwise."""

    def made(*, at=0.0, record=None, stays=False, sample=0.5, **config):
        plain = {"jitter": 0.0, "minimum_calls": 1, "window": CountWindow(10)}
        breaker = Breaker(
            "openai",
            BreakerConfig(**{**plain, **config}),
            now=at,
            record=record,
            record_stays=stays,
            sample=sample,
        )
        return Driven(breaker, at)

    return made


@pytest.fixture
def watched(make):
    """Make a breaker that watches slow calls and opens at two of four; failures open nothing."""

    def made(**config):
        plain = {
            "slow_call_duration": 5.0,
            "slow_call_ratio": 0.5,
            "minimum_calls": 4,
            "failure_ratio": 1.0,
        }
        return make(**{**plain, **config})

    return made


@attrs.frozen
class Named:
    """A candidate: a name and a context window."""

    name: str
    context_window: int | None = None


@pytest.fixture
def named():
    """Make candidates of their names."""
    return lambda *names, window=None: tuple(Named(name, window) for name in names)


@pytest.fixture
def candidate():
    """Make a candidate with a context window."""
    return Named


@pytest.fixture
def grant():
    """Make a lease as a closed breaker grants it."""
    return lambda now=0.0: Breaker("any").admit(now)


@pytest.fixture
def refusal():
    """Make the word of a breaker that refuses."""
    return lambda state="open", until=None, cause=None: Refusal(state, until, cause)
