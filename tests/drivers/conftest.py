"""A chain in virtual time, and tasks that are brought to a point."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import attrs
import pytest

from fsm_fallback import BreakerConfig, CountWindow, FallbackConfig, FallbackProvider, StreamConfig
from fsm_fallback.testing import ManualClock, ScriptedProvider
from specs.scripted_streams import ScriptedStreams
from tests.drivers.reading_streams import StreamWay


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


@pytest.fixture
def streams(plain_or_loop):
    """Both ways of streaming, the awaited one in each loop."""
    return StreamWay(plain_or_loop)


@pytest.fixture
def stream_chain(clock):
    """Make a chain of stream scripts by name; its breakers open on the first failure.

    A provider has a list of scripts, one for each call, or is made already.
    """

    def made(scripts, breaker=None, stream=None, audit=None, **config):
        providers = [
            each if isinstance(each, ScriptedStreams) else ScriptedStreams(name, *each, clock=clock)
            for name, each in scripts.items()
        ]
        breaker = {"window": CountWindow(10), "minimum_calls": 1, "jitter": 0.0, **(breaker or {})}
        built = FallbackProvider(
            *providers,
            config=FallbackConfig(
                breaker=BreakerConfig(**breaker), stream=StreamConfig(**(stream or {})), **config
            ),
            clock=clock,
            sample=lambda: 0.5,
            audit=audit,
        )
        return built, providers

    return made


@pytest.fixture
def at_rest():
    """Whether nothing of a chain is out: no lease, no retry, and its last call has one end."""

    def look(llm):
        ends = [record for record in llm.audit.records() if record["machine"] == "chain"]
        return (
            all(circuit.snapshot().in_flight == 0 for circuit in llm.breakers().values())
            and llm._made.wiring.budget.out == 0
            and ends[-1]["to"] in {"succeeded", "failed", "rejected", "interrupted", "abandoned"}
        )

    return look


@pytest.fixture
def last_word():
    """How the last call ended, as the audit tells it."""

    def look(llm):
        *_, last = (record for record in llm.audit.records() if record["machine"] == "chain")
        return last["trigger"], last["to"]

    return look


@pytest.fixture
def untouched():
    """Whether a breaker looks as if it had never been asked."""

    def look(llm, name):
        snapshot = llm.breaker(name).snapshot()
        return (snapshot.state.value, snapshot.calls, snapshot.in_flight) == ("closed", 0, 0)

    return look


class Prompt:
    """A prompt that can be watched."""


@pytest.fixture
def watched():
    """Run something with a prompt, without the collector; whether the prompt is gone after."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()

    def run(use):
        prompt = Prompt()
        seen = weakref.ref(prompt)
        use(prompt)
        del prompt
        return seen() is None

    yield run
    if was_enabled:
        gc.enable()
