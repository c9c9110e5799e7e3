"""Two breakers before one call: the provider's, and that of the account behind it."""

import anyio
import pytest

from fsm_fallback import (
    BreakerConfig,
    BreakerState,
    FallbackConfig,
    FallbackProvider,
    FaultKind,
)
from fsm_fallback.testing import Hang, ScriptedProvider
from specs.scripted_streams import ScriptedStreams

K = FaultKind
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
QUICK = {"minimum_calls": 1, "jitter": 0.0, "open_duration": 10.0}


class AuthenticationError(Exception):
    """As an SDK raises it for a 401."""

    status_code = 401


class ServiceUnavailableError(Exception):
    """As an SDK raises it for a 503."""

    status_code = 503


@pytest.fixture
def paid(clock):
    """A chain of scripts by name, all on one account but those named `free`."""

    def made(scripts, breaker=None, streams=None, **config):
        kind = ScriptedStreams if streams else None
        providers = [
            kind(name, *script, clock=clock, account=None if name == "free" else "acme")
            if kind
            else ScriptedProvider(
                name, script, clock=clock, account=None if name == "free" else "acme"
            )
            for name, script in scripts.items()
        ]
        llm = FallbackProvider(
            *providers,
            clock=clock,
            sample=lambda: 0.5,
            config=FallbackConfig(breaker=BreakerConfig(**{**QUICK, **(breaker or {})}), **config),
        )
        return llm, providers

    return made


def states(llm, *names):
    """How breakers stand."""
    return [llm.breaker(name).state for name in names]


def out(llm):
    """Leases that are out."""
    return [circuit.snapshot().in_flight for circuit in llm.breakers().values()]


def test_a_fault_of_the_account_holds_all_its_providers(way, paid):
    """The second is not asked; one elsewhere is."""
    llm, (_, b, _) = paid({"a": [AuthenticationError()], "b": ["no"], "free": ["hello"]})
    answer = way.detailed(llm, "why")
    assert answer.provider == "free"
    assert b.calls == []
    assert states(llm, "account:acme", "a", "b", "free") == [OPEN, CLOSED, CLOSED, CLOSED]
    assert out(llm) == [0, 0, 0, 0]


def test_a_fault_of_the_model_holds_only_that(way, paid):
    """The account is good."""
    llm, _ = paid({"a": [ServiceUnavailableError()], "b": ["hello"]})
    assert way.detailed(llm, "why").value == "hello"
    assert states(llm, "account:acme", "a", "b") == [CLOSED, OPEN, CLOSED]
    assert llm.breaker("account:acme").snapshot().failures == 0
    assert out(llm) == [0, 0, 0]


def test_an_answer_speaks_for_both(way, paid):
    """Each counts it."""
    llm, _ = paid({"a": ["hello"]})
    way.detailed(llm, "why")
    assert [llm.breaker(name).snapshot().calls for name in ("a", "account:acme")] == [1, 1]


def test_a_refusal_by_the_second_gives_the_first_back(way, paid):
    """No lease of the account stays out, and nothing is counted there."""
    llm, _ = paid({"a": ["no"], "b": ["hello"]})
    llm.breaker("a").force_open()
    assert way.detailed(llm, "why").value == "hello"
    assert out(llm) == [0, 0, 0]
    assert llm.breaker("account:acme").snapshot().calls == 1


def test_a_refusal_by_the_account_takes_nothing_of_the_model(way, paid):
    """A probe slot stays free."""
    llm, (a,) = paid({"a": [ServiceUnavailableError(), "hello"]})
    way.failure(llm, "why")
    llm._made.plan.clock.advance(10.0)
    llm.breaker("account:acme").force_open()
    way.failure(llm, "why")
    assert len(a.calls) == 1
    llm.breaker("account:acme").reset()
    assert way.detailed(llm, "why").value == "hello"
    assert states(llm, "a", "account:acme") == [CLOSED, CLOSED]


def test_a_round_of_probes_is_won_at_both(way, paid, clock):
    """One answer heals the model and the account."""
    llm, _ = paid({"a": [AuthenticationError(), ServiceUnavailableError(), "hello"]})
    way.failure(llm, "why")
    clock.advance(10_000.0)
    way.failure(llm, "why")
    assert states(llm, "a", "account:acme") == [OPEN, HALF_OPEN]
    clock.advance(10.0)
    assert way.detailed(llm, "why").value == "hello"
    assert states(llm, "a", "account:acme") == [CLOSED, CLOSED]
    assert out(llm) == [0, 0]


def test_one_probe_at_the_account_keeps_its_other_providers_away(loop, paid, clock, untouched):
    """Until it is back; whoever leaves gives both slots back."""
    llm, (a, b) = paid({"a": [AuthenticationError(), Hang()], "b": ["no", "hello"]})

    async def main():
        with pytest.raises(ExceptionGroup):
            await llm.acall("why")
        clock.advance(10_000.0)
        async with loop.cancelling(llm.acall, "why"):
            await anyio.wait_all_tasks_blocked()
            assert out(llm) == [1, 0, 1]
            with pytest.raises(ExceptionGroup):
                await llm.acall("why")
            assert (len(a.calls), len(b.calls)) == (2, 0)
        assert out(llm) == [0, 0, 0]

    loop.run(main)
    assert states(llm, "account:acme") == [HALF_OPEN]
    assert untouched(llm, "a")


def test_a_stream_settles_both_once(streams, paid):
    """Broken, left, whole."""
    llm, _ = paid({"a": [["one", ServiceUnavailableError()]]}, {"minimum_calls": 9}, streams=True)
    streams.read(llm, "why")
    assert out(llm) == [0, 0]
    assert llm.breaker("a").snapshot().failures == 1
    assert llm.breaker("account:acme").snapshot().calls == 0
    llm, _ = paid({"a": [["one", "two"]]}, streams=True)
    streams.read(llm, "why", most=1)
    assert out(llm) == [0, 0]
    streams.read(llm, "why")
    assert [llm.breaker(name).snapshot().calls for name in ("a", "account:acme")] == [1, 1]


def test_a_fault_of_the_account_within_a_stream_holds_the_account(streams, paid):
    """Before output another account is asked."""
    llm, (_, b, _) = paid(
        {"a": [["", AuthenticationError()]], "b": [["no"]], "free": [["hello"]]}, streams=True
    )
    assert streams.read(llm, "why").items == ["hello"]
    assert b.calls == []
    assert states(llm, "account:acme", "a", "b") == [OPEN, CLOSED, CLOSED]


def test_a_probe_that_gave_output_has_its_time_anew_at_both(streams, paid, clock):
    """A long stream is no probe that hangs."""
    llm, _ = paid(
        {"a": [AuthenticationError(), ["one", "two"]]},
        {"probe_timeout": 20.0, "probe_stream_timeout": 100.0},
        streams=True,
    )
    streams.read(llm, "why")
    clock.advance(10_000.0)
    read = streams.read(llm, "why", between=lambda: clock.advance(40.0))
    assert (read.items, read.error) == (["one", "two"], None)
    assert states(llm, "a", "account:acme") == [CLOSED, CLOSED]


def test_a_skip_names_the_account_whose_breaker_refused(way, paid, clock):
    """In the trail, the record and the message: nobody can reset a breaker that is well."""
    llm, _ = paid({"a": [AuthenticationError()], "b": ["no"]})
    way.failure(llm, "why")
    error = way.failure(llm, "why")
    assert [item.breaker for item in error.trail] == ["account:acme"] * 2
    assert "'b' skipped, account:acme open after auth (check its key" in str(error)
    skip = [each for each in llm.audit.records() if each["trigger"] == "skip"][-1]
    assert skip["because"]["breaker"] == "account:acme"
    llm.breaker("account:acme").reset()
    assert llm.breaker("account:acme").state is CLOSED
