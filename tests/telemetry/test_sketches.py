"""`LatencySketches`: quantiles to a relative accuracy, of one or of many."""

from __future__ import annotations

import gc
import math
import pickle
import threading
import weakref
from random import Random

import pytest

from fsm_fallback import ConfigurationError, FallbackProvider
from fsm_fallback.telemetry.sketches import LatencySketches
from fsm_fallback.testing import Delay, ScriptedProvider
from tests.telemetry.traffic import Traffic, booked

QUANTILES = [0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]
SHAPES = {
    "narrow": lambda random: random.uniform(0.9, 1.1),
    "log-normal": lambda random: random.lognormvariate(0.0, 1.5),
    "two-humped": lambda random: random.choice([random.gauss(0.2, 0.01), random.gauss(20.0, 1.0)]),
    "heavy-tailed": lambda random: min(random.paretovariate(0.8), 1e5),
}


def drawn(shape, count, seed=0):
    """Latencies of one shape."""
    random = Random(seed)  # noqa: S311  # a draw of numbers
    return tuple(SHAPES[shape](random) for _ in range(count))


def exact(latencies, q):
    """The value at that rank, counted."""
    return sorted(latencies)[math.floor(q * (len(latencies) - 1))]


def seen(*batches, accuracy=0.01):
    """Sketches that have heard these."""
    sketches = LatencySketches(relative_accuracy=accuracy)
    for batch in batches:
        sketches.hear("openai", "success", batch)
    return sketches


@pytest.mark.parametrize("accuracy", [0.001, 0.01, 0.05])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_quantile_is_off_by_the_relative_accuracy_at_most(shape, accuracy):
    """Of whatever shape the latencies are, at whatever rank."""
    latencies = drawn(shape, 5000)
    sketches = seen(latencies, accuracy=accuracy)

    for q in QUANTILES:
        truth = exact(latencies, q)
        assert abs(sketches.quantile("openai", q) - truth) <= accuracy * truth * (1 + 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_two_that_were_merged_are_one_that_saw_both(shape):
    """To the last bit, at every rank; the one that was taken in stays as it is."""
    first, second = drawn(shape, 3000, seed=1), drawn(shape, 500, seed=2)
    one, other, both = seen(first), seen(second), seen(first, second)
    before = other.quantile("openai", 0.5)
    one.merge(other)

    assert one.counts() == both.counts() == {("openai", "success"): 3500}
    assert [one.quantile("openai", q) for q in QUANTILES] == [
        both.quantile("openai", q) for q in QUANTILES
    ]
    assert other.quantile("openai", 0.5) == before


def test_a_merge_brings_providers_that_were_not_there():
    """And outcomes."""
    one, other = seen((1.0,)), LatencySketches()
    other.hear("mistral", "failure", (2.0,))
    one.merge(other)

    assert one.counts() == {("openai", "success"): 1, ("mistral", "failure"): 1}


def test_one_that_takes_in_itself_has_everything_twice():
    """It does not wait for itself."""
    one = seen((1.0, 2.0))
    one.merge(one)

    assert one.counts() == {("openai", "success"): 4}


def test_another_accuracy_is_refused():
    """Their bins do not match; nothing is taken in."""
    one = seen((1.0,))
    with pytest.raises(ConfigurationError, match=r"relative_accuracy 0.05, not 0.01"):
        one.merge(seen((2.0,), accuracy=0.05))

    assert one.counts() == {("openai", "success"): 1}


@pytest.mark.parametrize("strange", [None, {}, 0.01])
def test_what_is_no_sketches_is_not_merged(strange):
    """Whatever it is."""
    with pytest.raises(ConfigurationError, match="give a LatencySketches"):
        seen().merge(strange)


def test_a_chain_is_heard_to_the_last_attempt():
    """Straight ones and walked ones, those that failed too; what waits is counted by reading."""
    traffic = Traffic()
    sketches = LatencySketches(traffic.chain)
    traffic.play()
    attempts = [
        (name, booked(fault), seconds)
        for _, _, steps, _ in traffic.trails()
        for name, fault, seconds in steps
        if seconds is not None
    ]

    for name, outcome in {each[:2] for each in attempts}:
        latencies = [seconds for *key, seconds in attempts if key == [name, outcome]]
        assert sketches.counts()[name, outcome] == len(latencies)
        assert sketches.quantile(name, 1.0, outcome=outcome) == pytest.approx(max(latencies), 0.01)
    assert sum(sketches.counts().values()) == len(attempts)


def test_chains_share_the_sketch_of_a_provider(manual_clock):
    """By its name."""
    chains = [
        FallbackProvider(
            ScriptedProvider("openai", [Delay(seconds, "an answer")], clock=manual_clock),
            name=name,
            clock=manual_clock,
        )
        for name, seconds in (("chat", 1.0), ("batch", 9.0))
    ]
    sketches = LatencySketches(*chains)
    for each in chains:
        each.call("a prompt")

    assert sketches.counts() == {("openai", "success"): 2}
    assert sketches.quantile("openai", 1.0) == pytest.approx(9.0, 0.01)


def test_a_chain_is_not_kept_alive():
    """What it told stays."""
    chain = FallbackProvider(ScriptedProvider("openai", ["an answer"]))
    sketches = LatencySketches(chain)
    chain.call("a prompt")
    chain.metrics()
    gone = weakref.ref(chain)
    del chain
    gc.collect()

    assert gone() is None
    assert sketches.counts() == {("openai", "success"): 1}


def test_a_pickled_one_has_all_that_was_seen():
    """So another process can merge it; it goes on by itself."""
    one = seen(drawn("log-normal", 1000))
    copy = pickle.loads(pickle.dumps(one))  # noqa: S301  # our own
    copy.hear("openai", "success", (1e9,))

    assert copy.relative_accuracy == 0.01
    assert copy.counts() == {("openai", "success"): 1001}
    assert one.counts() == {("openai", "success"): 1000}
    assert copy.quantile("openai", 0.5) == pytest.approx(one.quantile("openai", 0.5), 0.03)


def test_nothing_seen_is_no_quantile():
    """And not 0."""
    assert LatencySketches().quantile("openai", 0.5) is None
    assert seen((1.0,)).quantile("openai", 0.5, outcome="failure") is None


def test_no_time_at_all_is_a_time():
    """A manual clock that stands measures 0."""
    assert seen((0.0, 0.0)).quantile("openai", 0.5) == 0.0


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, "0.5", None, True])
def test_what_is_no_quantile_is_refused(q):
    """95 is none: 0.95 is."""
    with pytest.raises(ValueError, match=r"give a number in \[0, 1\]"):
        seen((1.0,)).quantile("openai", q)


@pytest.mark.parametrize("accuracy", [0, 1, -0.1, math.nan, "1 %", None, True])
def test_what_is_no_accuracy_is_refused(accuracy):
    """Before any chain is heard."""
    with pytest.raises(ConfigurationError, match="relative_accuracy is"):
        LatencySketches(relative_accuracy=accuracy)


def test_what_is_no_chain_is_refused():
    """All of them at once."""
    with pytest.raises(ConfigurationError) as caught:
        LatencySketches("openai", None)

    assert len(caught.value.problems) == 2


def test_nothing_is_lost_where_threads_crowd():
    """Whoever finds the lock taken leaves what it heard to the one that has it."""
    sketches = LatencySketches()

    def hear():
        for _ in range(200):
            sketches.hear("openai", "success", (1.0, 2.0))

    threads = [threading.Thread(target=hear) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sketches.counts() == {("openai", "success"): 8 * 200 * 2}


def test_sketches_that_nobody_holds_are_let_go():
    """The chain tells those that are left; each day may have its own."""
    chain = FallbackProvider(ScriptedProvider("a", ["x"] * 4), audit="off")
    days = []
    for _ in range(3):
        today = LatencySketches(chain)
        chain.call("hi")
        days.append(weakref.ref(today))
        del today
    gc.collect()
    last = LatencySketches(chain)
    chain.call("hi")

    assert [day() for day in days] == [None] * 3
    assert last.counts()["a", "success"] <= 4
    assert len(chain._made.meters._listeners) == 1


def test_sketches_that_are_closed_keep_what_they_have_seen():
    """All up to then, and nothing after it."""
    chain = FallbackProvider(ScriptedProvider("a", ["x"] * 3), audit="off")
    with LatencySketches(chain) as today:
        chain.call("hi")
        chain.call("hi")
    chain.call("hi")
    chain.metrics()
    today.close()

    assert today.counts() == {("a", "success"): 2}
    assert chain._made.meters._listeners == ()
