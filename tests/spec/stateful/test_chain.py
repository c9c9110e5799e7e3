"""`ChainSpec`: real chains keep it, broken ones do not."""

import asyncio
import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from fsm_fallback import ConfigurationError, FallbackConfig, FallbackProvider, Sequential, Skip
from fsm_fallback.drivers import aio, link
from fsm_fallback.spec.pausing import pause
from fsm_fallback.spec.stateful import ChainSpec, Puppet


def test_the_librarys_chain_keeps_every_promise(few):
    """The whole table and the floor are `specs/spec_stateful.py`'s."""
    ChainSpec.run(few)
    assert ChainSpec.lowest() > 0


class Network:
    """A provider of somebody's own, that waits twice."""

    name = "network"
    info = Puppet("n").info

    async def acall(self):
        """Connect, then read."""
        await pause()
        return await pause()


class Plain:
    """A provider with a plain call."""

    name = "plain"
    info = Puppet("p").info

    def call(self):
        """At once."""
        return "answer"


def test_providers_and_strategies_of_ones_own_are_driven(few):
    """As long as they await pauses alone."""

    class Backwards:
        def order(self, candidates, request, now, sample):  # the protocol's
            return (*reversed(candidates[1:]), Skip(candidates[0].name, "vision"))

    class Spec(ChainSpec):
        def make_providers(self):
            return [Puppet("a"), Network(), Plain()]

        def make_strategy(self):
            return Backwards()

    Spec.run(few)


class Repeating(FallbackProvider):
    """A chain that asks everybody again when it has failed."""

    async def acall(self, *args, **kwargs):
        """Twice."""
        try:
            return await super().acall(*args, **kwargs)
        except Exception:  # noqa: BLE001  # that is the fault
            return await super().acall(*args, **kwargs)


class Wrapping(FallbackProvider):
    """A chain that raises something of its own."""

    async def acall(self, *args, **kwargs):
        """Another error, with no member."""
        try:
            return await super().acall(*args, **kwargs)
        except Exception as error:
            raise RuntimeError("failed") from error


class Deaf(FallbackProvider):
    """A chain that hears no cancellation."""

    async def acall(self, *args, **kwargs):
        """None at all."""
        try:
            return await super().acall(*args, **kwargs)
        except asyncio.CancelledError:
            return "cancelled"


@pytest.mark.parametrize(
    ("chain", "promises"),
    [
        (Repeating, ("nothing-after-the-end", "errors-preserved-in-order")),
        (Wrapping, ("failure-is-told",)),
        (Deaf, ("failure-is-told",)),
    ],
)
def test_a_broken_chain_is_caught_by_name(few, told, chain, promises):
    """With the chain's class, the property, and what happened."""

    class Spec(ChainSpec):
        def make_chain(self, *providers, **parameters):
            return chain(*providers, **parameters)

    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        Spec.run(few)
    story = told(failed.value)
    assert any(f"Spec: {chain.__name__} breaks {promise!r}" in story for promise in promises)
    assert "state.a_call_begins()" in story


def test_a_driver_that_forgets_a_lease_is_caught(few, told, monkeypatch):
    """The breaker has one out that no call has."""
    monkeypatch.setattr(
        link.Link,
        "abandon",
        lambda self, chain, lease, now: chain.abandon(now),  # noqa: ARG005
    )
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        ChainSpec.run(few)
    story = told(failed.value)
    assert "breaks 'every-lease-comes-back'" in story
    assert "asyncio.CancelledError()" in story
    assert re.search(r" has \d calls out, its breaker \d leases", story)


def test_a_provider_that_needs_an_event_loop_is_refused(few):
    """By what it awaits, though the chain would fail over."""

    class Sleeping(Puppet):
        async def acall(self):
            await asyncio.sleep(1)

    class Spec(ChainSpec):
        def make_providers(self):
            return [Sleeping("a"), Puppet("b")]

    with pytest.raises(
        ConfigurationError, match="Spec: a provider awaits what needs an event loop"
    ):
        Spec.run(few)


def test_a_timer_would_need_an_event_loop(few):
    """So deadlines are drawn for plain calls alone."""

    class Spec(ChainSpec):
        def make_config(self):
            return st.just(FallbackConfig(deadline=5.0))

    with pytest.raises(
        ConfigurationError, match=r"drew deadline 5.0 and attempt_timeout None, and"
    ):
        Spec.run(few)


@pytest.mark.parametrize(
    ("factory", "returned", "problem"),
    [
        ("make_providers", (), "make_providers returned a tuple; return a tuple of providers"),
        ("make_providers", "ab", "make_providers returned 'ab'; return a tuple of providers"),
        ("make_providers", [None], "make_providers returned None; return providers only"),
        ("make_strategy", Sequential, "make_strategy returned a Sequential class; return an obj"),
        ("make_config", None, "make_config returned None; return a strategy of FallbackConfig"),
        ("make_config", st.just(1), "make_config returned 1; return a strategy of FallbackConf"),
        ("make_chain", aio, "make_chain returned a module; return a FallbackProvider"),
    ],
)
def test_what_a_factory_made_wrong_is_refused(few, factory, returned, problem):
    """Naming it, what it returned, and what to return."""
    spec = type("Spec", (ChainSpec,), {factory: lambda self, *_, **__: returned})  # noqa: ARG005
    with pytest.raises(ConfigurationError, match=f"Spec.{problem}"):
        spec.run(settings(few, max_examples=5))
