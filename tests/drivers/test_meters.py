"""`drivers.meters`: what calls leave to be counted, who counts it, and who is told."""

import logging
import math
import os
import subprocess
import sys
from contextlib import aclosing
from decimal import Decimal

import pytest

from fsm_fallback import (
    CapabilityBased,
    ChainFailed,
    FallbackConfig,
    FallbackProvider,
    ModelInfo,
    Price,
)
from fsm_fallback.core.metrics import NO_DURATIONS
from fsm_fallback.drivers.meters import MANY, Meters
from fsm_fallback.drivers.told import Passed
from fsm_fallback.testing import Delay, ScriptedProvider, Stream, Value

PRICE = Price(input_mtok=1, output_mtok=10)
USAGE = {"prompt_tokens": 2_000, "completion_tokens": 50}
ANSWER = {"usage": USAGE}
PIECE = {
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}],
}
LAST = {"object": "chat.completion.chunk", "choices": [], "usage": USAGE}
COST = PRICE.cost(2_000, 50)


class Overloaded(Exception):
    """A server that is down."""

    status_code = 503


class Told:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.heard = []

    def __call__(self, name, outcome, durations):
        """As a chain tells them."""
        self.heard.append((name, outcome, durations))


@pytest.fixture
def make(clock):
    """Make a chain of scripts by name, each repeating its last step, with a price for each."""

    def made(price=None, config=None, strategy=None, **scripts):
        providers = [
            ScriptedProvider(name, script, clock=clock, exhausted="repeat", price=price)
            for name, script in scripts.items()
        ]
        return FallbackProvider(
            *providers,
            clock=clock,
            sample=lambda: 0.5,
            strategy=strategy,
            config=config or FallbackConfig(),
        )

    return made


def pending(llm, name):
    """How many straight calls nobody has counted."""
    return len(llm._made.meters.by_name[name].pending)  # how else to see it


class TestPending:
    """What straight calls leave for whoever counts it."""

    def test_much_is_counted_by_the_call_that_finds_it(self, make):
        """Without anybody reading: what is pending is bounded."""
        told = Told()
        llm = make(a=["hello"])
        llm.on_durations(told)
        for _ in range(MANY - 1):
            llm.call("why")
        assert (told.heard, pending(llm, "a")) == ([], MANY - 1)
        llm.call("why")
        assert told.heard == [("a", "success", (0.0,) * MANY)]
        assert pending(llm, "a") == 0
        for _ in range(10 * MANY + 3):
            llm.call("why")
        assert pending(llm, "a") == 3

    def test_awaited_calls_leave_no_more(self, make, loop):
        """The same number."""
        llm = make(a=["hello"])

        async def main():
            for _ in range(MANY + 2):
                await llm.acall("why")

        loop.run(main)
        assert pending(llm, "a") == 2

    @pytest.mark.parametrize("reading", ["metrics", "requests", "health", "explain"])
    def test_whoever_reads_counts_it(self, make, reading):
        """And reads all of it."""
        llm = make(a=["hello"])
        for _ in range(7):
            llm.call("why")
        getattr(llm, reading)()
        assert pending(llm, "a") == 0
        assert llm.metrics()["a"].attempts == 7
        assert llm.requests()["succeeded", "a"].count == 7

    def test_all_is_counted_in_the_order_of_the_facts(self, make):
        """A failure in a row comes after the answers before it."""
        told = Told()
        llm = make(a=["hello", "hello", Overloaded()], b=["spare"])
        llm.on_durations(told)
        for _ in range(3):
            llm.call("why")
        assert llm.health()["a"].consecutive_failures == 1
        llm.metrics()
        assert [each[:2] for each in told.heard] == [
            ("a", "success"),
            ("a", "failure"),
            ("b", "success"),
        ]

    def test_what_a_straight_call_passed_over_is_counted_at_once(self, make):
        """A skip and a fallback are rare, and have no batch."""
        llm = make(a=["hello"], b=["spare"])
        llm.breaker("a").force_open()
        llm.call("why")
        told = llm.metrics()
        assert told["a"].skips == {"forced_open": 1}
        assert told["a"].fallbacks == {("b", "forced_open"): 1}
        assert (told["a"].attempts, told["b"].successes) == (0, 1)


class TestListeners:
    """Who is told of durations."""

    def test_one_that_raises_is_logged_and_touches_nothing(self, make, caplog):
        """Not the call, not the count, not who listens after it; no text of it is told."""

        def broken(name, outcome, durations):
            raise LookupError("sk-MARKER")

        told = Told()
        llm = make(a=["hello", Overloaded(), "hello"], b=["spare"])
        llm.on_durations(broken)
        llm.on_durations(told)
        with caplog.at_level(logging.ERROR):
            assert [llm.detailed("why").value for _ in range(3)] == ["hello", "spare", "hello"]
            llm.metrics()
        assert {each.getMessage() for each in caplog.records} == {
            "a listener to the durations of 'a' raised LookupError",
            "a listener to the durations of 'b' raised LookupError",
        }
        assert "MARKER" not in caplog.text
        assert len(told.heard) == len(caplog.records)
        assert llm.metrics()["a"].attempts == 3

    def test_they_are_told_all_durations_once(self, make, clock):
        """Straight or walked, whatever they mean."""
        told = Told()
        script = [Delay(0.5, "hello"), Delay(2.0, Overloaded()), Delay(0.25, "hello")]
        llm = make(a=script, b=[Delay(1.0, "spare")])
        llm.on_durations(told)
        for _ in range(3):
            llm.call("why")
        llm.metrics()
        llm.metrics()
        assert told.heard == [
            ("a", "success", (0.5,)),
            ("a", "failure", (2.0,)),
            ("a", "success", (0.25,)),
            ("b", "success", (1.0,)),
        ]

    def test_one_may_read_what_it_is_told_of(self, make):
        """It is called off the lock."""
        seen = []
        llm = make(a=["hello"])
        llm.on_durations(lambda *_: seen.append(llm.metrics()["a"].attempts))
        for _ in range(3):
            llm.call("why")
        assert (llm.metrics()["a"].attempts, seen) == (3, [3])

    def test_of_a_caller_who_left_nobody_is_told_a_duration(self, make):
        """It says nothing of the provider; the attempt is counted."""
        told = Told()
        llm = make(a=[KeyboardInterrupt()])
        llm.on_durations(told)
        with pytest.raises(KeyboardInterrupt):
            llm.call("why")
        assert (told.heard, llm.metrics()["a"].abandoned) == ([], 1)
        assert llm.requests()["abandoned", None].count == 1


async def astreamed(llm):
    """An awaited stream, read to its end."""
    async with aclosing(llm.astream("why")) as stream:
        return [item async for item in stream]


async def astreamed_in_detail(llm):
    """The same, with its details."""
    async with llm.astream_detailed("why") as stream:
        return [item async for item in stream]


def streamed_in_detail(llm):
    """A plain stream with its details, read to its end."""
    with llm.stream_detailed("why") as stream:
        return list(stream)


# fmt: off
FORMS = {
    "call":             (ANSWER, lambda _, llm: llm.call("why")),
    "detailed":         (ANSWER, lambda _, llm: llm.detailed("why")),
    "acall":            (ANSWER, lambda loop, llm: loop.run(llm.acall, "why")),
    "adetailed":        (ANSWER, lambda loop, llm: loop.run(llm.adetailed, "why")),
    "stream":           (Stream(PIECE, LAST), lambda _, llm: list(llm.stream("why"))),
    "stream_detailed":  (Stream(PIECE, LAST), lambda _, llm: streamed_in_detail(llm)),
    "astream":          (Stream(PIECE, LAST), lambda loop, llm: loop.run(astreamed, llm)),
    "astream_detailed": (Stream(PIECE, LAST), lambda loop, llm: loop.run(astreamed_in_detail, llm)),
}
# fmt: on


class TestTokens:
    """Of providers whose price is known they are counted, however they are called."""

    @pytest.fixture(params=["straight", "walked", "by a strategy"])
    def priced(self, request, make):
        """A chain with a price, whose calls go straight where they can, or are walked."""

        def made(step, **more):
            strategy = CapabilityBased() if request.param == "by a strategy" else None
            llm = make(price=PRICE, strategy=strategy, **{**more, "b": [step]})
            return llm.options(deadline=100.0) if request.param == "walked" else llm

        return made

    @pytest.mark.parametrize("form", FORMS)
    def test_tokens_and_cost_are_counted(self, priced, loop, form):
        """Once for each answer, exactly."""
        step, ask = FORMS[form]
        llm = priced(step)
        for _ in range(3):
            ask(loop, llm)
        told = llm.metrics()["b"]
        assert (told.attempts, told.successes) == (3, 3)
        assert (told.input_tokens, told.output_tokens) == (6_000, 150)
        assert told.cost == 3 * COST

    @pytest.mark.parametrize("form", FORMS)
    def test_they_are_counted_after_a_failure_and_past_an_open_breaker(self, priced, loop, form):
        """Where calls begin straight and are walked from there, and where they skip."""
        step, ask = FORMS[form]
        failing = Stream(Overloaded()) if isinstance(step, Stream) else Overloaded()
        llm = priced(step, a=[failing])
        ask(loop, llm)
        llm.breaker("a").force_open()
        ask(loop, llm)
        assert llm.metrics()["b"].cost == 2 * COST
        assert (llm.metrics()["a"].cost, llm.metrics()["a"].attempts) == (None, 1)

    def test_without_a_price_nobody_looks_for_them(self, make):
        """An answer is the user's own business."""

        class Answer:
            @property
            def usage(self):
                raise AssertionError("nobody asked for it")

        llm = make(a=[Value(Answer())])
        llm.call("why")
        told = llm.metrics()["a"]
        assert (told.input_tokens, told.output_tokens, told.cost) == (None, None, None)

    def test_an_answer_that_tells_none_costs_nothing_that_is_known(self, make):
        """Which is not 0."""
        llm = make(price=PRICE, a=["hello"])
        llm.call("why")
        told = llm.metrics()["a"]
        assert (told.successes, told.input_tokens, told.cost) == (1, None, None)

    def test_an_answer_that_was_not_taken_is_paid_for_all_the_same(self, make):
        """Its tokens were used."""
        llm = make(price=PRICE, a=[ANSWER], b=[ANSWER])
        picky = llm.options(accept=lambda _: False)
        with pytest.raises(ChainFailed):
            picky.call("why")
        assert [each.cost for each in llm.metrics().values()] == [COST, COST]

    def test_the_cost_of_a_chain_is_the_sum_of_its_calls(self, make, loop):
        """Of copies with other options, too."""
        llm = make(price=PRICE, a=[ANSWER])
        llm.call("why")
        llm.options(deadline=9.0).call("why")
        loop.run(llm.options(needs={"tools"}).acall, "why")
        assert llm.metrics()["a"].cost == Decimal(3) * COST


class TestTimes:
    """Clocks do what they like."""

    @pytest.mark.parametrize("deadline", [None, 1e9], ids=["straight", "walked"])
    def test_a_clock_that_goes_back_makes_no_negative_time(self, clock, deadline):
        """Such a call took no time that anybody knows of; it is counted."""

        class Jumping:
            name = "a"
            info = ModelInfo()

            def call(self):
                clock.advance(-5.0)
                return "hello"

        llm = FallbackProvider(Jumping(), clock=clock).options(deadline=deadline)
        for _ in range(3):
            llm.call()
        told, health = llm.metrics()["a"], llm.health()["a"]
        assert (told.durations["success"].count, told.durations["success"].total) == (3, 0.0)
        assert llm.requests()["succeeded", "a"].total == 0.0
        assert (health.latency, health.p99) == (0.0, 0.0)

    def test_a_fault_of_a_time_to_come_is_no_age(self, make, clock):
        """An age is never below 0."""
        llm = make(a=[Overloaded()], b=["spare"])
        llm.call("why")
        clock.advance(-50.0)
        assert llm.health()["a"].last_fault_age == 0.0

    def test_first_output_of_streams_has_a_latency_of_its_own(self, clock):
        """And is what such a provider is weighed by."""

        class Streaming:
            name = "a"
            info = ModelInfo()

            def stream(self):
                clock.advance(0.5)
                yield "one"
                clock.advance(8.0)
                yield "two"

        llm = FallbackProvider(Streaming(), clock=clock)
        assert list(llm.stream()) == ["one", "two"]
        health = llm.health()["a"]
        assert (health.first_output_latency, health.latency, health.p50) == (0.5, 0.5, 0.5)
        assert llm.metrics()["a"].durations["success"].total == 8.5


class TestMeters:
    """They go on through a reload, and begin with nothing."""

    def test_a_provider_that_was_never_asked_has_nothing(self, make):
        """No ratio, no latency, no fault; a metric of 0."""
        llm = make(a=["hello"])
        health, told = llm.health()["a"], llm.metrics()["a"]
        assert (health.success_ratio, health.latency, health.p50, health.last_fault) == (None,) * 4
        assert (told.attempts, told.faults, told.durations) == (0, {}, {})
        assert llm.requests() == {}

    def test_those_that_are_known_go_on_counting(self):
        """With the price that holds from then on."""
        meters = Meters()
        meters.know({"a": ModelInfo(price=PRICE)})
        before = meters.by_name["a"]
        before.tell(Passed("open"))
        meters.know({"a": ModelInfo(), "b": ModelInfo()})
        assert meters.by_name["a"] is before
        assert before.price is None
        assert list(meters.metrics()) == ["a", "b"]
        assert meters.metrics()["a"].skips == {"open": 1}

    def test_requests_are_told_by_how_they_ended(self, make):
        """And by who answered, where anybody did."""
        llm = make(a=["hello", Overloaded()], b=["spare", Overloaded()])
        for _ in range(2):
            llm.call("why")
        with pytest.raises(ChainFailed):
            llm.call("why")
        counts = {key: each.count for key, each in llm.requests().items()}
        assert counts == {("succeeded", "a"): 1, ("succeeded", "b"): 1, ("failed", None): 1}
        assert llm.requests()["failed", None] + NO_DURATIONS == llm.requests()["failed", None]


FORK = """
import os, signal, threading
from fsm_fallback import FallbackProvider, provider

@provider("a")
def ask(prompt):
    return prompt

llm = FallbackProvider(ask)
for _ in range(3):
    llm.call("why")
held, done = threading.Event(), threading.Event()

def hold():
    with llm._made.meters._lock:
        held.set()
        done.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(10)  # ends it if it hangs
    llm.call("why")
    os._exit(0 if llm.metrics()["a"].attempts == 1 else 1)
_, status = os.waitpid(child, 0)
done.set()
assert llm.metrics()["a"].attempts == 3
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_counts_on_though_the_lock_was_held():
    """It counts its own calls alone, and its parent goes on with those before."""
    ended = subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False)  # noqa: S603  # our own code
    assert ended.returncode == 0


class TestRecovery:
    """When a breaker closed again, as strategies read it."""

    def test_it_is_told_of_a_round_of_probes_and_of_nothing_else(self, make, clock):
        """Not of a breaker that never was open, nor of an operator's word."""
        llm = make(a=[Overloaded(), "hello", "hello"], b=["spare"])
        candidate = llm._walk("call").named["a"]
        circuit = llm.breaker("a")
        assert candidate.recovered_at is None
        llm.call("why")
        circuit.hold(5.0)
        assert candidate.recovered_at == math.inf
        clock.advance(5.0)
        llm.call("why")
        assert candidate.recovered_at == 5.0
        circuit.force_open()
        assert candidate.recovered_at == math.inf
        circuit.reset()
        assert candidate.recovered_at is None
