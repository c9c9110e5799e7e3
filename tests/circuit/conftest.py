"""Circuits on a clock of their own, for every way a guarded call may take through them."""

import pytest

from fsm_fallback import BreakerConfig, CircuitBreaker, TimeWindow
from fsm_fallback.testing import ManualClock

# Which of these a call takes is decided by the parameters alone; nobody can tell them apart.
WAYS = {
    "straight": {},
    "slow calls watched": {"slow_call_duration": 1_000.0},
    "time window": {"window": TimeWindow(1e6, 1)},
    "by lease": {"trip_on_success": True},
}


@pytest.fixture
def clock():
    """A clock at 0."""
    return ManualClock()


@pytest.fixture
def make(clock):
    """Make a circuit that trips on its first failure, without jitter, unless told otherwise."""

    def made(*, sample=lambda: 0.5, clock=clock, classify=None, accept=None, **config):
        plain = {"jitter": 0.0, "minimum_calls": 1}
        return CircuitBreaker(
            "openai",
            BreakerConfig(**{**plain, **config}),
            clock=clock,
            sample=sample,
            classify=classify,
            accept=accept,
        )

    return made


@pytest.fixture
def circuit(make):
    """One with the parameters of `make`."""
    return make()


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def way(request):
    """Parameters that send calls one of the ways."""
    return request.param


@pytest.fixture
def calm(make, way):
    """Make a circuit that nothing here opens, for each way; `config` comes last."""

    def made(**config):
        return make(**{"minimum_calls": 50, **way, **config})

    return made


@pytest.fixture
def counts():
    """What a circuit has counted: calls, failures, and leases that are out."""

    def counted(circuit):
        snapshot = circuit.snapshot()
        return snapshot.calls, snapshot.failures, snapshot.in_flight

    return counted
