"""`would_admit`: the answer of `admit`, without asking."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import BreakerConfig, BreakerState, CountWindow, Fault, FaultKind, TimeWindow
from fsm_fallback.core.breaker import Breaker

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
TICK = 1e-9


def everything_of(breaker):
    """All that a breaker knows, ledgers and calls in flight included."""
    return repr(attrs.asdict(breaker, recurse=False)), repr(breaker.current)


def test_a_closed_breaker_would(make):
    """Whatever is out."""
    breaker = make()
    breaker.take(5)
    assert breaker.would_admit(0.0)


def test_an_open_one_would_at_exactly_the_end(make):
    """As it does."""
    breaker = make(open_duration=30.0)
    breaker.trip()
    assert not breaker.would_admit(30.0 - TICK)
    assert breaker.would_admit(30.0)
    assert breaker.state is S.OPEN


def test_a_round_would_while_it_has_a_slot(make):
    """Asking takes none, however often."""
    breaker = make(probe_calls=2, probe_concurrency=2)
    breaker.trip()
    breaker.probe()
    assert all(breaker.would_admit(breaker.now) for _ in range(10))
    assert breaker.admit() is not None
    assert not breaker.would_admit(breaker.now)


def test_a_round_whose_probe_hangs_would_not(make):
    """It reopens when somebody really asks."""
    breaker = make(probe_calls=2, probe_concurrency=2, probe_timeout=60.0)
    breaker.trip()
    breaker.probe()
    assert breaker.would_admit(90.0)
    assert not breaker.would_admit(90.0 + TICK)
    assert breaker.state is S.HALF_OPEN


def test_a_closed_one_whose_calls_hang_would_not(make):
    """It opens when somebody really asks; looking ahead notes nothing."""
    breaker = make(slow_call_duration=5.0, minimum_calls=2)
    breaker.take(2)
    assert not breaker.would_admit(5.0)
    assert breaker.state is S.CLOSED
    assert breaker.would_admit(4.0)
    breaker.now = 5.0
    assert breaker.admit() is None


@pytest.mark.parametrize(
    ("state", "would"), [(S.FORCED_OPEN, False), (S.DISABLED, True), (S.OBSERVING, True)]
)
def test_an_operators_state_answers_at_any_time(make, state, would):
    """No time leads out of it."""
    breaker = make(initial_state=state)
    assert breaker.would_admit(1e9) is would


CONFIGS = st.builds(
    BreakerConfig,
    window=st.sampled_from([CountWindow(4), TimeWindow(8.0, 4)]),
    minimum_calls=st.integers(1, 4),
    slow_call_duration=st.sampled_from([None, 2.0]),
    open_duration=st.just(4.0),
    jitter=st.just(0.0),
    probe_calls=st.just(3),
    probe_concurrency=st.integers(1, 3),
    probe_timeout=st.just(6.0),
    early_verdict=st.booleans(),
    initial_state=st.sampled_from(S),
)
WORDS = ["force_open", "disable", "observe", "reset"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.sampled_from([TICK, 1.0, 2.0, 4.0, 6.0, -3.0])),
        st.tuples(st.just("ask"), st.just(0)),
        st.tuples(st.sampled_from(["succeed", "fail", "release"]), st.integers(0, 3)),
        st.tuples(st.sampled_from(WORDS), st.just(0)),
    ),
    max_size=40,
)


@given(config=CONFIGS, steps=STEPS)
def test_it_is_pure_and_equals_what_admit_then_does(config, steps):
    """In every state, whatever led there, and at any time."""
    breaker, out, now = Breaker("b", config), [], 0.0
    for what, number in steps:
        before = everything_of(breaker)
        would = breaker.would_admit(now)
        assert everything_of(breaker) == before
        if what == "time":
            now += number
        elif what == "ask":
            lease = breaker.admit(now)
            assert would is (lease is not None)
            out += [] if lease is None else [lease]
        elif what in WORDS:
            getattr(breaker, what)(now)
        elif out:
            lease = out.pop(min(number, len(out) - 1))
            getattr(breaker, what)(lease, now)
