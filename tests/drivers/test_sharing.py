"""One provider object in two chains; chains entered and left; results that come late."""

import contextlib
import gc
import itertools
import threading
import time
import weakref

import anyio
import attrs
import pytest

from fsm_fallback import (
    AuditLog,
    BreakerConfig,
    BreakerState,
    FallbackConfig,
    FallbackProvider,
    ModelInfo,
    provider,
)
from fsm_fallback.circuit import sharing
from fsm_fallback.testing import ManualClock, ScriptedProvider

QUICK = FallbackConfig(breaker=BreakerConfig(minimum_calls=1, jitter=0.0))


def test_what_one_chain_learns_of_a_provider_holds_in_the_other(way, clock):
    """They have one breaker, and each its own trail."""
    bad = ScriptedProvider("a", [ConnectionError("down"), "no"], clock=clock)
    good = ScriptedProvider("b", ["one", "two"], clock=clock)
    first = FallbackProvider(bad, good, clock=clock, config=QUICK, name="first")
    second = FallbackProvider(bad, good, clock=clock, config=QUICK, name="second")
    assert first.breaker("a") is second.breaker("a")
    assert way.detailed(first, "why").value == "one"
    answer = way.detailed(second, "why")
    assert answer.value == "two"
    assert [item.provider for item in answer.trail] == ["a", "b"]
    assert len(bad.calls) == 1


def test_each_of_two_chains_records_what_their_breaker_did(way, clock):
    """Under the name that the breaker got in the first."""
    bad = ScriptedProvider("a", [ConnectionError("down")], clock=clock)
    first = FallbackProvider(bad, clock=clock, config=QUICK, name="first")
    second = FallbackProvider(bad, clock=clock, config=QUICK, name="second")
    way.failure(first, "why")
    for llm in (first, second):
        ids = {record["id"] for record in llm.audit.records() if record["machine"] == "breaker"}
        assert ids == {"first/a"}


@pytest.mark.parametrize("left", ["first", "second"])
def test_two_chains_of_one_provider_may_have_one_log(clock, left):
    """Their breaker keeps its name there, and is heard as long as one of them lives."""
    log = AuditLog(clock=clock)
    bad = ScriptedProvider("a", [ConnectionError], clock=clock)
    chains = {
        name: FallbackProvider(bad, clock=clock, config=QUICK, name=name, audit=log)
        for name in ("first", "second")
    }
    llm = chains.pop(left)
    del chains
    gc.collect()
    with contextlib.suppress(ExceptionGroup):
        llm.call("why")
    trips = [each for each in log.records() if each["machine"] == "breaker"]
    assert {each["id"] for each in trips} == {"first/a"}
    assert [each["to"] for each in trips if each["verdict"] == "moved"] == ["open"]


@pytest.mark.parametrize(
    ("config", "own_clock"),
    [(FallbackConfig(breaker=BreakerConfig(minimum_calls=2)), False), (QUICK, True)],
    ids=["parameters", "clock"],
)
def test_a_breaker_is_not_shared_across_what_it_decides_by(clock, config, own_clock):
    """Other parameters, or another clock, are another breaker."""
    bad = ScriptedProvider("a", [], clock=clock)
    first = FallbackProvider(bad, clock=clock, config=QUICK)
    second = FallbackProvider(bad, clock=ManualClock() if own_clock else clock, config=config)
    assert first.breaker("a") is not second.breaker("a")


def test_chains_that_do_not_share_a_breaker_say_so(clock, caplog):
    """Most people who use one provider twice mean it to be one."""
    bad = ScriptedProvider("a", [], clock=clock)
    first = FallbackProvider(bad, clock=clock, config=QUICK)
    same = FallbackProvider(bad, clock=clock, config=QUICK)
    assert first.breaker("a") is same.breaker("a")
    assert caplog.text == ""
    other = FallbackProvider(bad, clock=clock, config=attrs.evolve(QUICK, attempt_timeout=20.0))
    assert other.breaker("a") is not first.breaker("a")
    assert "'a' is in two chains and has a breaker in each" in caplog.text
    assert "attempt_timeout" in caplog.text


def test_a_method_is_the_clock_it_was(clock):
    """It is another object whenever it is asked for."""
    bad = ScriptedProvider("a", [], clock=clock)
    first = FallbackProvider(bad, clock=clock.__call__, config=QUICK)
    second = FallbackProvider(bad, clock=clock.__call__, config=QUICK)
    assert first.breaker("a") is second.breaker("a")


def test_what_one_chain_learns_of_an_account_holds_in_the_other(way, clock):
    """Where they have one of its providers in common; credit is spent for both."""

    class QuotaError(Exception):
        status_code = 402

    def on_account(name, *script):
        return ScriptedProvider(name, script, account="acme", clock=clock)

    spent, sister, cousin = (
        on_account("a", QuotaError(), "no"),
        on_account("b", "no"),
        on_account("c", "no"),
    )
    last = ScriptedProvider("last", ["one", "two"], clock=clock)
    first = FallbackProvider(spent, sister, last, clock=clock, config=QUICK, name="first")
    second = FallbackProvider(cousin, spent, last, clock=clock, config=QUICK, name="second")
    assert first.breaker("account:acme") is second.breaker("account:acme")
    assert way.detailed(first, "why").value == "one"
    assert way.detailed(second, "why").value == "two"
    assert [len(each.calls) for each in (spent, sister, cousin)] == [1, 0, 0]


def test_a_provider_that_refers_to_its_chain_is_freed_with_it(clock):
    """Who shares its breaker does not keep it."""

    def made():
        @provider("a")
        def ask(_):
            return llm.name

        llm = FallbackProvider(ask, clock=clock)
        return weakref.ref(llm)

    gone = [made() for _ in range(5)]
    gc.collect()
    assert [each() for each in gone] == [None] * 5


def test_a_provider_without_weak_references_is_known_again(clock):
    """Its class has slots; its breaker keeps it."""

    class Slim:
        __slots__ = ("name",)

        def __init__(self):
            self.name = "a"

        def call(self, _):
            return "one"

    slim = Slim()
    first, second = (FallbackProvider(slim, clock=clock) for _ in range(2))
    assert first.breaker("a") is second.breaker("a")


def test_a_provider_begins_anew_when_its_chains_are_gone(clock):
    """Nothing keeps the breaker but those who have it."""
    bad = ScriptedProvider("a", [ConnectionError, "hello"], clock=clock)

    def fail():
        with contextlib.suppress(ExceptionGroup):
            FallbackProvider(bad, clock=clock, config=QUICK).call("why")

    fail()
    gc.collect()
    assert FallbackProvider(bad, clock=clock, config=QUICK).call("why") == "hello"


def test_a_chain_may_be_entered_again_while_it_is(tmp_path, clock):
    """The last who leaves closes, and it goes on working."""
    llm = FallbackProvider(ScriptedProvider("a", ["hello"] * 3, clock=clock), clock=clock)
    with llm as entered:
        assert entered is llm
        with llm:
            llm.call("why")
        assert llm.call("why") == "hello"
    llm.close()
    llm.close()
    assert llm.call("why") == "hello"


def test_a_chain_may_be_entered_in_many_tasks(loop, clock):
    """Each leaves when it likes."""
    llm = FallbackProvider(ScriptedProvider("a", ["hello"] * 30, clock=clock), clock=clock)

    async def use():
        async with llm:
            for _ in range(3):
                assert await llm.acall("why") == "hello"

    async def main():
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(use)
        await llm.aclose()

    loop.run(main)
    assert llm._made._entered == 0


def test_a_log_that_was_given_is_flushed_and_stays_open(tmp_path, clock):
    """It may be of other chains as well."""
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, clock=clock) as log:
        a = ScriptedProvider("a", ["hello"] * 2, clock=clock)
        llm = FallbackProvider(a, clock=clock, audit=log)
        with llm:
            llm.call("why")
        before = path.read_text()
        assert before
        llm.call("why")
        llm.close()
        assert len(path.read_text()) > len(before)


@pytest.mark.parametrize("ends", ["answer", "error"])
def test_a_result_that_comes_after_the_caller_left_is_recorded_once(loop, ends):
    """As late, because the caller had left; nothing is counted."""
    began, release = threading.Event(), threading.Event()

    @provider("a")
    def stuck(prompt):
        began.set()
        release.wait(10.0)
        if ends == "error":
            raise ConnectionError("down")
        return "late"

    llm = FallbackProvider(stuck, config=QUICK)

    async def main():
        try:
            async with loop.cancelling(llm.acall, "why"):
                await anyio.to_thread.run_sync(began.wait, 10.0)
        finally:
            release.set()

    loop.run(main)
    for _ in range(1_000):
        late = [each for each in llm.audit.records() if each["verdict"] == "late"]
        if late:
            break
        time.sleep(0.005)
    (record,) = late
    assert record["because"]["abandoned"] is True
    assert (record["fault"] is None) is (ends == "answer")
    snapshot = llm.breaker("a").snapshot()
    assert (snapshot.state, snapshot.calls, snapshot.in_flight) == (BreakerState.CLOSED, 0, 0)


class Plain:
    """A provider whose place in memory another may have next."""

    def __init__(self, name, account=None):
        self.name = name
        self.info = ModelInfo(account=account)

    def call(self, _):
        """Answer."""
        return self.name


def test_a_number_that_was_anothers_is_no_hindrance(clock, caplog):
    """Providers are told apart by identity, and a dead one's may be used again."""
    kept = []
    for _ in range(200):
        made = Plain("a")
        number = id(made)
        gone = FallbackProvider(made, clock=clock).breaker("a")  # the breaker outlives it
        del made
        again = Plain("a")
        kept.append(gone)
        if id(again) == number:
            break
    else:
        pytest.skip("no number was used again")
    first, second = (FallbackProvider(again, clock=clock) for _ in range(2))
    assert first.breaker("a") is second.breaker("a") is not gone
    assert caplog.text == ""


def test_partners_that_are_gone_leave_nothing_behind(clock):
    """The account lives on with who is left."""
    stays = Plain("stays", "acme")
    chain = FallbackProvider(stays, clock=clock)
    paying = chain.breaker("account:acme")
    for _ in range(50):
        FallbackProvider(stays, Plain("goes", "acme"), clock=clock)
    gc.collect()
    FallbackProvider(stays, clock=clock)
    assert len(sharing._OWNERS[paying]) == 1


def test_an_account_with_two_breakers_is_told(clock, caplog):
    """Two chains had one each before a third put their providers together."""
    one, two = Plain("one", "acme"), Plain("two", "acme")
    first, second = (FallbackProvider(each, clock=clock) for each in (one, two))
    both = FallbackProvider(one, two, clock=clock)
    assert both.breaker("account:acme") is first.breaker("account:acme")
    assert both.breaker("account:acme") is not second.breaker("account:acme")
    assert "'account:acme' is in two chains" in caplog.text


def test_a_builtin_method_is_the_clock_it_was(clock):
    """It has no function of its own to be known by."""
    a, ticks = Plain("a"), itertools.count()
    first, second = (FallbackProvider(a, clock=ticks.__next__) for _ in range(2))
    assert first.breaker("a") is second.breaker("a")
