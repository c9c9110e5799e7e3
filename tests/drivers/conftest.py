"""A chain in virtual time, and tasks that are brought to a point."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from fsm_fallback import BreakerConfig, CountWindow, FallbackConfig, FallbackProvider
from fsm_fallback.testing import ManualClock, ScriptedProvider


@attrs.frozen
class Way:
    """One way of calling a chain, plain or awaited; answers and errors come with their trail."""

    loop: Any

    def detailed(self, chain, *args, **kwargs):
        """The answer of a call, and how it came about."""
        if self.loop:
            return self.loop.run(chain.adetailed, *args, **kwargs)
        return chain.detailed(*args, **kwargs)

    def failure(self, chain, *args, **kwargs):
        """The error of a call."""
        with pytest.raises(ExceptionGroup) as caught:
            self.detailed(chain, *args, **kwargs)
        return caught.value


@pytest.fixture
def way(plain_or_loop):
    """Both ways of calling, the awaited one in each loop."""
    return Way(plain_or_loop)


@pytest.fixture
def clock():
    """A clock at 0."""
    return ManualClock()


@pytest.fixture
def chain(clock):
    """Make a chain of scripts by name on that clock; its breakers open on the first failure."""

    def made(scripts, breaker=None, **config):
        providers = [
            ScriptedProvider(name, script, clock=clock) for name, script in scripts.items()
        ]
        breaker = {"window": CountWindow(10), "minimum_calls": 1, "jitter": 0.0, **(breaker or {})}
        built = FallbackProvider(
            *providers,
            config=FallbackConfig(breaker=BreakerConfig(**breaker), **config),
            clock=clock,
            sample=lambda: 0.5,
        )
        return built, providers

    return made
