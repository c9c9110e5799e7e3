"""`CircuitBreakers`, who is in: getting, looking, removing, forks, bad input."""

import math
import os
import subprocess
import sys
import threading

import pytest

from fsm_fallback import BreakerConfig, BreakerState, ConfigurationError, Fault, FaultKind
from fsm_fallback.circuit.registry import CircuitBreakers, _free_all

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
PATIENCE = 5.0
PLAIN = BreakerConfig(jitter=0.0, minimum_calls=1)


def nothing():
    """Do nothing."""


class TestGetting:
    """One breaker for each name, made when it is first asked for."""

    def test_asking_makes_a_breaker_of_that_name(self, registry):
        """Closed, with the parameters of the registry."""
        breaker = registry.get("openai")
        assert (breaker.name, breaker.state, breaker.config) == ("openai", S.CLOSED, PLAIN)

    def test_asking_again_gives_the_same_one(self, registry):
        """Either way to ask."""
        breaker = registry["openai"]
        assert registry.get("openai") is breaker
        assert registry["openai"] is breaker
        assert registry["anthropic"] is not breaker

    def test_a_registry_works_without_any_argument(self):
        """With the defaults of `CircuitBreaker`."""
        assert CircuitBreakers()["openai"].config == BreakerConfig()

    def test_registries_share_nothing(self, make):
        """None of them is global."""
        assert make()["openai"] is not make()["openai"]

    def test_an_override_is_for_its_name_only(self, make):
        """All others have the common parameters."""
        slow = BreakerConfig(open_duration=60.0)
        registry = make(overrides={"openai": slow})
        assert registry["openai"].config is slow
        assert registry["anthropic"].config == PLAIN

    def test_overrides_are_read_once(self, make):
        """What the caller does with the mapping later changes nothing."""
        overrides = {}
        registry = make(overrides=overrides)
        overrides["openai"] = BreakerConfig(open_duration=60.0)
        assert registry["openai"].config == PLAIN

    def test_clock_and_sample_are_those_of_every_breaker(self, make, clock):
        """An opening at 5 s lasts 30 s, and the lowest sample takes a tenth off."""
        registry = make(BreakerConfig(minimum_calls=1), sample=lambda: 0.0)
        clock.advance(5.0)
        registry["openai"].acquire().fail(DOWN)
        assert registry["openai"].snapshot().open_until == pytest.approx(5.0 + 27.0)

    def test_a_classifier_is_that_of_every_breaker(self, make):
        """What it calls the caller's fault leaves no evidence."""
        registry = make(classify=lambda _: Fault(FaultKind.CALLER))
        with pytest.raises(ZeroDivisionError):
            registry["openai"].call(lambda: 1 / 0)
        assert registry["openai"].state is S.CLOSED

    def test_a_judge_of_results_is_that_of_every_breaker(self, make):
        """What it does not accept is a failure."""
        registry = make(accept=lambda value: value != 7)
        assert registry["openai"].call(lambda: 7) == 7
        assert registry["openai"].state is S.OPEN

    @pytest.mark.parametrize("name", ["", None, 7])
    def test_a_name_that_is_none_makes_nothing(self, registry, name):
        """The error says what a name is."""
        with pytest.raises(ConfigurationError, match="give a non-empty string"):
            registry.get(name)
        assert len(registry) == 0

    def test_a_clock_that_raises_makes_nothing(self, make, busy_clock):
        """Its error passes through, and asking again is as asking first."""
        clock = busy_clock()
        registry = make(clock=clock)
        clock.todo = [lambda: 1 / 0]
        with pytest.raises(ZeroDivisionError):
            registry.get("openai")
        assert "openai" not in registry
        assert registry["openai"].state is S.CLOSED

    def test_one_that_exists_is_got_without_the_lock(self, registry):
        """Whoever has the lock keeps nobody waiting."""
        breaker, got = registry["openai"], []
        asker = threading.Thread(target=lambda: got.append(registry["openai"]))
        with registry._lock:
            asker.start()
            asker.join(PATIENCE)
        assert got == [breaker]

    def test_the_lock_is_free_while_a_breaker_is_made(self, make, is_free):
        """Its constructor reads the clock and draws a sample."""
        free = []
        watched = make(clock=lambda: free.append(is_free(watched)) or 0.0)
        assert watched["openai"].name == "openai"
        drawn = make(sample=lambda: free.append(is_free(drawn)) or 0.5)
        assert drawn["openai"].name == "openai"
        assert free == [True, True]

    def test_a_signal_handler_may_ask_in_the_middle(self, registry):
        """The lock is no obstacle to the thread that has it."""
        with registry._lock:
            breaker = registry["openai"]
        assert registry["openai"] is breaker


class TestLooking:
    """Looking makes nothing."""

    def test_finding_makes_nothing(self, registry):
        """None is the answer where there is none."""
        assert registry.find("openai") is None
        assert "openai" not in registry
        breaker = registry["openai"]
        assert registry.find("openai") is breaker
        assert "openai" in registry

    def test_names_breakers_and_both_are_shown_in_the_order_they_came(self, registry):
        """As a mapping does."""
        first, second = registry["a"], registry["b"]
        assert list(registry) == ["a", "b"]
        assert registry.values() == (first, second)
        assert registry.items() == (("a", first), ("b", second))
        assert len(registry) == 2

    def test_iteration_is_over_those_that_were_in_when_it_began(self, registry):
        """Coming and going meanwhile does not disturb it."""
        registry["a"], registry["b"]
        seen = []
        for name in registry:
            seen.append(name)
            registry.remove("b")
            registry.get("c")
        assert seen == ["a", "b"]
        assert list(registry) == ["a", "c"]

    def test_snapshots_are_by_name(self, registry, states):
        """Each tells how its breaker stands."""
        registry["a"].acquire().fail(DOWN)
        assert registry["b"].state is S.CLOSED
        snapshots = registry.snapshots()
        assert {name: each.state for name, each in snapshots.items()} == states(registry)
        assert snapshots["a"].open_until == 30.0


class TestRemoving:
    """Taken out by hand."""

    @pytest.mark.parametrize("word", ["force_open", "disable", "observe", "reset", "acquire"])
    def test_a_breaker_is_taken_out_whatever_its_state(self, registry, word):
        """And handed to who took it out."""
        breaker = registry["openai"]
        lease = getattr(breaker, word)()
        assert registry.remove("openai") is breaker
        assert list(registry) == []
        del lease

    def test_an_unknown_name_is_no_error(self, registry):
        """There was nothing to take out."""
        assert registry.remove("openai") is None

    def test_asking_again_makes_a_new_one(self, registry):
        """Though somebody holds the old one, which goes on."""
        old = registry["openai"]
        registry.remove("openai")
        assert registry["openai"] is not old
        assert old.try_acquire() is not None

    def test_one_that_was_evicted_is_forgotten(self, make):
        """It was not in, and asking for its name makes a new one."""
        registry = make(capacity=1)
        held = registry["a"]
        registry.get("b")
        assert registry.remove("a") is None
        assert registry["a"] is not held

    def test_it_does_not_come_back_when_it_opens(self, registry):
        """Nor does it stand in the way of its successor."""
        held = registry["a"]
        registry.remove("a")
        held.acquire().fail(DOWN)
        assert "a" not in registry

    def test_its_opening_does_not_bring_back_another_of_its_name(self, make):
        """The evicted successor is none of its business."""
        registry = make(capacity=1)
        removed = registry["a"]
        registry.remove("a")
        evicted = registry["a"]
        registry.get("b")
        removed.acquire().fail(DOWN)
        assert list(registry) == ["b"]
        assert registry["a"] is evicted

    def test_words_to_all_do_not_reach_it(self, registry):
        """It belongs to its holders."""
        held = registry["a"]
        registry.remove("a")
        registry.force_open()
        assert held.state is S.CLOSED


class TestFirstAsking:
    """Many ask for a name that has no breaker yet, at the same time."""

    @pytest.fixture
    def crowd(self, make, at_once):
        """Eight threads that all make the same breaker, each before any of them is in."""
        making, waiting = threading.Barrier(8), threading.local()

        def read():
            if not hasattr(waiting, "done"):
                waiting.done = True
                making.wait(PATIENCE)
            return 0.0

        registry = make(clock=read)
        return registry, lambda: at_once(8, lambda _: registry["openai"])

    def test_all_get_the_same_object(self, crowd):
        """The first one in wins."""
        registry, ask = crowd
        got = ask()
        assert {id(breaker) for breaker in got} == {id(registry["openai"])}

    def test_one_is_added(self, crowd):
        """The others were never there."""
        registry, ask = crowd
        added = []
        registry.on_added(added.append)
        ask()
        assert added == [registry["openai"]]

    def test_one_is_heard(self, crowd):
        """A word that stands is told of the one that is in, not of those that are not."""
        registry, ask = crowd
        seen = []
        registry.add_listener(seen.append)
        registry.force_open()
        ask()
        assert [(step.trigger, step.verdict) for step in seen] == [("force_open", "moved")]

    def test_one_that_came_and_went_meanwhile_is_found(self, make, busy_clock):
        """It was made by another, who holds it, and evicted, before this one could come in."""
        clock, held = busy_clock(), []
        registry = make(capacity=1, clock=clock)
        clock.todo = [lambda: held.extend((registry["a"], registry["b"]))]
        assert registry["a"] is held[0]


FORKED = """
import os, signal, threading
from fsm_fallback.circuit.registry import CircuitBreakers

registry = CircuitBreakers()
held, done = threading.Event(), threading.Event()

def hold():
    with registry._lock, registry._telling:
        held.set()
        done.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(10)  # ends it if it hangs
    added = []
    registry.on_added(added.append)
    os._exit(added != [registry["openai"]])
_, status = os.waitpid(child, 0)
done.set()
raise SystemExit(status)
"""

FORKING = """
import os
from fsm_fallback.circuit.registry import CircuitBreakers

registry, children = CircuitBreakers(), []
registry.on_added(lambda breaker: children.append(os.fork()))
registry.get("openai")
if not children[0]:
    os._exit(list(registry) != ["openai"])
raise SystemExit(os.waitpid(children[0], 0)[1])
"""


class TestForks:
    """A child has the registry, and none of the threads that used it."""

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
    @pytest.mark.parametrize("script", [FORKED, FORKING], ids=["middle", "listener"])
    def test_a_registry_works_in_the_child(self, script):
        """Whatever a thread of the parent, or the forking one, was at."""
        done = subprocess.run((sys.executable, "-W", "ignore", "-c", script), check=False)  # noqa: S603
        assert done.returncode == 0

    def test_locks_are_new(self, registry):
        """Who held the old ones is not there to give them back."""
        held, done = threading.Event(), threading.Event()

        def hold():
            with registry._lock, registry._telling:
                held.set()
                assert done.wait(PATIENCE)

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(PATIENCE)
        _free_all()
        added = []
        registry.on_added(added.append)
        breaker = registry["openai"]
        assert added == [breaker]
        done.set()
        holder.join(PATIENCE)


class TestBadInput:
    """Everything wrong at once, and nothing half made."""

    def test_every_problem_is_named(self):
        """Each with its path, its value and the remedy."""
        with pytest.raises(ConfigurationError) as caught:
            CircuitBreakers(
                3.0,
                overrides={"a": 7, "": PLAIN},
                capacity=0,
                clock=0.0,
                sample=0.5,
                classify=1,
                accept=True,
            )
        assert str(caught.value).splitlines() == [
            "CircuitBreakers.config is 3.0; give a BreakerConfig",
            "CircuitBreakers.capacity is 0; give a whole number >= 1, or None",
            "CircuitBreakers.clock is 0.0; give a function that returns seconds",
            "CircuitBreakers.sample is 0.5; give a function that draws from [0, 1)",
            "CircuitBreakers.classify is 1; give a function that returns a Fault, or None",
            "CircuitBreakers.accept is True; give a function that returns a bool, or None",
            "CircuitBreakers.overrides['a'] is 7; give a BreakerConfig",
            "CircuitBreakers.overrides key is ''; give a non-empty string",
        ]

    @pytest.mark.parametrize("overrides", [None, 7, [("a", PLAIN)]])
    def test_overrides_that_are_no_mapping_are_refused(self, overrides):
        """The error says what they are."""
        with pytest.raises(ConfigurationError, match=r"overrides is .*; give BreakerConfigs"):
            CircuitBreakers(overrides=overrides)

    @pytest.mark.parametrize("capacity", [0, -1, 1.5, True, "7", math.inf])
    def test_a_capacity_that_is_no_count_is_refused(self, capacity):
        """None is how to say that there is no bound."""
        with pytest.raises(ConfigurationError, match=r"capacity is .*; give a whole number >= 1"):
            CircuitBreakers(capacity=capacity)
