"""Providers slower than the limit of an attempt, where nothing can cut them."""

import pytest

from fsm_fallback import BreakerConfig, ChainFailed, FallbackConfig, FallbackProvider, provider
from fsm_fallback.testing import ManualClock

CONFIG = FallbackConfig(
    breaker=BreakerConfig(minimum_calls=1, open_duration=4.0, jitter=0.0), attempt_timeout=20.0
)


def test_a_slow_plain_provider_comes_back_while_others_call():
    """Its probe takes longer than the limit plus a second, and is no hang for that."""
    clock = ManualClock()
    script = [ConnectionError("down"), "well"]
    seen = []

    @provider("slow")
    def ask():
        step = script.pop(0)
        clock.advance(25.0)
        if isinstance(step, Exception):
            raise step
        seen.append(llm.breaker("slow").try_acquire())  # another caller, while the probe is out
        return step

    llm = FallbackProvider(ask, config=CONFIG, clock=clock)
    with pytest.raises(ChainFailed):
        llm.call()
    clock.advance(4.0)
    assert llm.call() == "well"
    assert seen == [None]
    assert llm.breaker("slow").state.value == "closed"


def test_a_provider_that_takes_its_limit_is_probed_within_it():
    """A probe out for longer hangs."""

    @provider("cut", timeout_arg="timeout")
    def ask(timeout=None):
        return timeout

    assert FallbackProvider(ask, config=CONFIG).breaker("cut").config.probe_timeout == 21.0
