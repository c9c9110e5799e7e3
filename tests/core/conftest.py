"""A breaker driven by hand, and the candidates of a chain."""

from __future__ import annotations

import attrs
import pytest

from fsm_fallback import BreakerConfig, CountWindow, Fault, FaultKind, RetryConfig, StreamConfig
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.lease import Refusal
from fsm_fallback.core.rules import Rules

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
    """A candidate: a name, a context window, and when its breaker opens its way."""

    name: str
    context_window: int | None = None
    opens: float = 0.0
    info: ModelInfo = attrs.field(factory=ModelInfo, repr=False)

    def opens_at(self, now):
        """When its breaker may admit."""
        return max(now, self.opens)


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


@attrs.define(eq=False)
class Places:
    """A budget of retries with so many places, and what was done to it."""

    most: int = 1_000
    taken: list = attrs.field(factory=list)
    given_back: int = 0

    def take(self, call):
        """A place for a call, if there is one."""
        if self.out >= self.most:
            return False
        self.taken.append(call)
        return True

    def give_back(self):
        """One place less is taken."""
        self.given_back += 1

    @property
    def out(self):
        """How many places are taken now."""
        return len(self.taken) - self.given_back


@attrs.define(eq=False)
class DrivenCall:
    """A call, its clock and its records, and short words for what its driver reports."""

    chain: Chain
    steps: list
    places: Places
    now: float
    command: object = None

    def __getattr__(self, name):
        return getattr(self.chain, name)

    def at(self, now):
        """The same call at that second."""
        self.now = now
        return self

    def admit(self):
        """The breaker grants a lease now."""
        return self.done(self.chain.admission(Breaker("any").admit(self.now), self.now))

    def refuse(self, state="open", until=None, cause=None):
        """The breaker refuses."""
        return self.done(self.chain.admission(Refusal(state, until, cause), self.now))

    def answer(self):
        """The candidate answers."""
        return self.done(self.chain.answer(self.now))

    def open(self):
        """The breaker grants a lease, and the stream is there."""
        self.admit()
        return self.done(self.chain.opened(self.now))

    def noise(self, size=1):
        """An item comes that carries no output."""
        return self.done(self.chain.item(self.now, size, output=False))

    def output(self, size=1):
        """An item comes that carries output."""
        return self.done(self.chain.item(self.now, size, output=True))

    def finish(self):
        """The stream ends as it should."""
        assert self.chain.flaw_of_end(complete=True) is None
        return self.done(self.chain.finish(self.now))

    def fail(self, fault=DOWN, error=None):
        """The candidate fails, or its stream breaks."""
        error = RuntimeError(fault.kind.value) if error is None else error
        return self.done(self.chain.fault(fault, error, self.now)[1])

    def ring(self):
        """The timer of the attempt rings."""
        return self.done(self.chain.time_out(self.now)[1])

    def elapse(self):
        """The wait is over."""
        return self.done(self.chain.elapse(self.now))

    def done(self, command):
        """Keep the command that is due."""
        self.command = command
        return command

    @property
    def error(self):
        """What is raised."""
        return self.command.error

    @property
    def step(self):
        """The latest record."""
        return self.steps[-1]

    @property
    def fired(self):
        """The latest row: trigger, guard, target."""
        row = self.step.row
        return row.trigger, row.guard, row.target


@pytest.fixture
def start(named):
    """Begin the call 7 over candidates, given by name or made before; rules as their parameters."""

    def started(
        *candidates, at=0.0, retry=None, stream=None, waits=False, places=1_000, sample=0.5, **call
    ):
        budget, steps = Places(places), []
        rules = Rules(
            retry=RetryConfig(**{"jitter": "none", **(retry or {})}),
            waits=waits,
            stream=None if stream is None else StreamConfig(**stream),
            budget=budget,
            sample=lambda: sample,
        )
        ready = tuple(c if not isinstance(c, str) else named(c)[0] for c in candidates)
        chain = Chain("fallback", 7, ready, started_at=at, record=steps.append, rules=rules, **call)
        started = DrivenCall(chain, steps, budget, at)
        started.done(chain.next(at))
        return started

    return started
