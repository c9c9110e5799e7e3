"""Registries, and what a test does with many breakers at once."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fsm_fallback import BreakerConfig
from fsm_fallback.circuit import CircuitBreakers

PLAIN = BreakerConfig(jitter=0.0, minimum_calls=1)
PATIENCE = 5.0


@pytest.fixture
def make(clock):
    """Make a registry whose breakers trip on their first failure, without jitter."""

    def made(config=PLAIN, **arguments):
        return CircuitBreakers(config, **{"clock": clock, "sample": lambda: 0.5, **arguments})

    return made


@pytest.fixture
def registry(make):
    """One without a bound."""
    return make()


@pytest.fixture
def eager_switches():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def is_free():
    """Whether a registry is free."""

    def is_free(registry):
        """Whether another thread gets the lock of the registry now."""
        user = threading.Thread(target=registry.remove, args=("nobody",))
        user.start()
        user.join(PATIENCE)
        return not user.is_alive()

    return is_free


@pytest.fixture
def states():
    """How all stand."""

    def states(registry):
        """The states of all that are in, by name."""
        return {name: breaker.state for name, breaker in registry.items()}

    return states


@pytest.fixture
def at_once():
    """Threads that begin together."""

    def at_once(number, work):
        """Have so many threads do something at the same time; what it returned to each."""
        start = threading.Barrier(number)

        def begin(position):
            start.wait(PATIENCE)
            return work(position)

        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(begin, range(number)))

    return at_once


@pytest.fixture
def busy_clock():
    """A class of clocks."""

    class BusyClock:
        """A clock at 0 that does something when it is read: the first of `todo`, each once."""

        def __init__(self):
            self.todo = []

        def __call__(self):
            """Return the time in seconds."""
            if self.todo:
                self.todo.pop(0)()
            return 0.0

    return BusyClock
