"""Two circuits in one history: one goes straight where it may, the other asks its table each time.

Nobody can tell them apart: the same answers, the same snapshots, the same events.
"""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import (
    BreakerConfig,
    BreakerOpen,
    CircuitBreaker,
    CountWindow,
    Fault,
    FaultKind,
    TimeWindow,
)
from fsm_fallback.testing import ManualClock

FAULTS = {
    "failure": Fault(FaultKind.TRANSIENT),
    "neutral": Fault(FaultKind.CALLER),
    "limited": Fault(FaultKind.RATE_LIMIT, retry_after=3.0),
}


class Failed(Exception):
    """What a call raises; its argument says which fault it is."""


class Left(BaseException):
    """Not of the program's making, as a key pressed."""


@attrs.define
class Twin:
    """A circuit on a clock of its own, and everything that is seen of it."""

    circuit: CircuitBreaker
    clock: ManualClock
    leases: list = attrs.field(factory=list)
    heard: list = attrs.field(factory=list)

    def do(self, step):
        """One step; what came of it."""
        what, *how = step
        return getattr(self, what)(*how)

    def call(self, ending, seconds):
        """A guarded call that takes so long."""

        def body():
            self.clock.advance(seconds)
            if ending == "left":
                raise Left
            if ending != "success":
                raise Failed(ending)

        try:
            return self.circuit.call(body)
        except (Failed, Left) as error:
            return type(error)
        except BreakerOpen as refused:
            return refused.state, refused.retry_after, refused.cause

    def ask(self):
        """A lease by hand, if there is one."""
        lease = self.circuit.try_acquire()
        if lease is None:
            return None
        self.leases.append(lease)
        return lease.number, lease.generation, lease.admitted_at, lease.deadline

    def settle(self, number, ending):
        """Settle one of the leases that are out, or drop it."""
        if not self.leases:
            return
        lease = self.leases.pop(min(number, len(self.leases) - 1))
        match ending:
            case "success":
                lease.succeed()
            case "left":
                lease.release()
            case "lost":
                del lease
            case _:
                lease.settle(FAULTS[ending])

    def time(self, seconds):
        """Time passes, or jumps back."""
        self.clock.advance(seconds)

    def say(self, word):
        """An operator speaks."""
        getattr(self.circuit, word)(*[2.0] * (word == "hold"))

    @property
    def seen(self):
        """How it stands, and what its listeners heard; a lost lease is found by either's next call.

        Where no time is watched a straight call does not look at the clock, so when a breaker has
        last looked may differ; nothing else does.
        """
        events = [
            (event.trigger, event.verdict, event.source, event.target, event.lease, event.fault)
            for event in self.heard
        ]
        return self.circuit.snapshot(), self.circuit.would_admit(), events


def twin(config, *, straight):
    """One of the two."""
    clock = ManualClock()
    made = Twin(
        CircuitBreaker(
            "openai",
            config,
            clock=clock,
            sample=lambda: 0.5,
            classify=lambda error: FAULTS[error.args[0]],
        ),
        clock,
    )
    made.circuit.add_listener(made.heard.append)
    if not straight:
        made.circuit.audit(lambda _: None, id="openai", stays=True)
    return made


CONFIGS = st.builds(
    BreakerConfig,
    window=st.sampled_from([CountWindow(4), CountWindow(12), TimeWindow(6.0, 3)]),
    failure_ratio=st.sampled_from([0.1, 0.3, 1 / 3, 0.5, 0.7, 1.0]),
    minimum_calls=st.integers(1, 4),
    consecutive_failures=st.sampled_from([None, None, 2]),
    slow_call_duration=st.sampled_from([None, None, 2.0]),
    trip_on_success=st.sampled_from([False, False, True]),
    open_duration=st.just(4.0),
    jitter=st.just(0.0),
    probe_timeout=st.just(10.0),
)
ENDINGS = st.sampled_from(["success", "success", "failure", "failure", "neutral", "left"])
STEPS = st.one_of(
    st.tuples(st.just("call"), ENDINGS, st.sampled_from([0.0, 0.0, 1.0, 2.0])),
    st.tuples(st.just("call"), ENDINGS, st.just(0.0)),
    st.tuples(st.just("call"), st.just("limited"), st.just(0.0)),
    st.tuples(st.just("ask")),
    st.tuples(st.just("settle"), st.integers(0, 3), st.one_of(ENDINGS, st.just("lost"))),
    st.tuples(st.just("time"), st.sampled_from([0.5, 2.0, 4.0])),
    st.tuples(st.just("say"), st.sampled_from(["reset", "hold", "observe", "force_open"])),
)


@given(config=CONFIGS, steps=st.lists(STEPS, max_size=60))
def test_nobody_can_tell_a_straight_circuit_from_one_that_asks_its_table(config, steps):
    """After every step of whatever history."""
    straight, asking = twin(config, straight=True), twin(config, straight=False)
    for step in steps:
        assert straight.do(step) == asking.do(step), step
        assert straight.seen == asking.seen, step
