"""`CircuitBreakers`: who is in, who is evicted, who hears of it, and words to many at once.

What a single breaker does is in `test_circuit` and its neighbours.
"""

import gc
import logging
import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fsm_fallback import (
    BreakerConfig,
    BreakerState,
    ConfigurationError,
    Fault,
    FaultKind,
)
from fsm_fallback.circuit.registry import CircuitBreakers, _free_all
from fsm_fallback.testing import ManualClock

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
PATIENCE = 5.0
PLAIN = BreakerConfig(jitter=0.0, minimum_calls=1)
WORDS = [
    ("force_open", S.FORCED_OPEN),
    ("disable", S.DISABLED),
    ("observe", S.OBSERVING),
]


@pytest.fixture
def clock():
    """A clock at 0."""
    return ManualClock()


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


class BusyClock:
    """A clock at 0 that does something when it is read: the first of `todo`, each once."""

    def __init__(self):
        self.todo = []

    def __call__(self):
        """Return the time in seconds."""
        if self.todo:
            self.todo.pop(0)()
        return 0.0


def nothing():
    """Do nothing."""


def is_free(registry):
    """Whether another thread gets the lock of the registry now."""
    user = threading.Thread(target=registry.remove, args=("nobody",))
    user.start()
    user.join(PATIENCE)
    return not user.is_alive()


def states(registry):
    """The states of all that are in, by name."""
    return {name: breaker.state for name, breaker in registry.items()}


def at_once(number, work):
    """Have so many threads do something at the same time; what it returned to each."""
    start = threading.Barrier(number)

    def begin(position):
        start.wait(PATIENCE)
        return work(position)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


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
        assert registry["anthropic"].config is PLAIN

    def test_overrides_are_read_once(self, make):
        """What the caller does with the mapping later changes nothing."""
        overrides = {}
        registry = make(overrides=overrides)
        overrides["openai"] = BreakerConfig(open_duration=60.0)
        assert registry["openai"].config is PLAIN

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

    def test_a_clock_that_raises_makes_nothing(self, make):
        """Its error passes through, and asking again is as asking first."""
        clock = BusyClock()
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

    def test_the_lock_is_free_while_a_breaker_is_made(self, make):
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

    def test_snapshots_are_by_name(self, registry):
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


class TestCapacity:
    """Bounded: who goes, who stays, who comes back."""

    def test_without_a_bound_nobody_goes(self, registry):
        """However many come."""
        for number in range(500):
            registry.get(str(number))
        assert len(registry) == 500

    def test_one_more_evicts_the_one_asked_for_longest_ago(self, make):
        """Asking again makes young."""
        registry = make(capacity=3)
        for name in ("a", "b", "c", "a", "d"):
            registry.get(name)
        assert list(registry) == ["a", "c", "d"]
        registry.get("e")
        assert list(registry) == ["a", "d", "e"]

    def test_looking_is_not_asking(self, make):
        """Whoever watches all of them keeps none of them."""
        registry = make(capacity=2)
        registry["a"], registry["b"]
        assert registry.find("a") is not None
        assert "a" in registry
        assert list(registry)
        assert registry.values()
        assert registry.items()
        assert registry.snapshots()
        registry.get("c")
        assert list(registry) == ["b", "c"]

    def test_the_one_that_comes_in_stays(self, make):
        """Though it is the only one that could go."""
        registry = make(capacity=1)
        registry["a"].force_open()
        registry.get("b")
        assert list(registry) == ["a", "b"]

    @pytest.mark.parametrize(
        "keep",
        [
            lambda breaker, _: breaker.acquire(),
            lambda breaker, _: breaker.acquire().fail(DOWN),
            lambda breaker, clock: (
                breaker.acquire().fail(DOWN),
                clock.advance(30.0),
                breaker.acquire(),
            ),
            lambda breaker, _: breaker.hold(5.0),
            lambda breaker, _: breaker.force_open(),
            lambda breaker, _: breaker.disable(),
            lambda breaker, _: breaker.observe(),
        ],
        ids=["busy", "open", "half_open", "held", "forced_open", "disabled", "observing"],
    )
    def test_one_that_is_not_idle_and_closed_stays(self, make, clock, keep):
        """The next that is goes instead."""
        registry = make(capacity=2)
        kept = keep(registry["a"], clock)
        registry["b"], registry["c"]
        assert list(registry) == ["a", "c"]
        del kept

    def test_a_guarded_call_keeps_its_breaker_busy(self, make):
        """A call without a lease of its own, too."""
        registry = make(capacity=1)
        registry["a"].call(lambda: registry["b"])
        assert list(registry) == ["a", "b"]

    def test_a_bound_that_was_exceeded_is_made_good_with_the_next(self, make):
        """As soon as they can go, all that are too many go at once, the oldest first."""
        registry, gone = make(capacity=1), []
        registry.on_removed(lambda breaker: gone.append(breaker.name))
        leases = [registry[name].acquire() for name in "abc"]
        assert len(registry) == 3
        for lease in leases:
            lease.succeed()
        assert len(registry) == 3
        registry.get("d")
        assert list(registry) == ["d"]
        assert gone == ["a", "b", "c"]

    def test_one_that_is_held_comes_back_as_itself(self, make):
        """With what it knows: there never is a twin."""
        registry = make(BreakerConfig(minimum_calls=5), capacity=1)
        held = registry["a"]
        held.acquire().fail(DOWN)
        registry.get("b")
        assert registry.find("a") is None
        assert registry["a"] is held
        assert registry["a"].snapshot().failures == 1
        assert list(registry) == ["a"]

    def test_one_that_nobody_holds_is_made_anew(self, make):
        """What it knew is gone with it."""
        registry = make(BreakerConfig(minimum_calls=5), capacity=1)
        registry["a"].acquire().fail(DOWN)
        registry.get("b")
        gc.collect()
        assert registry["a"].snapshot().failures == 0

    def test_a_registry_keeps_nothing_of_those_that_are_gone(self, make):
        """A thousand tenants that came once leave no trace."""
        registry = make(capacity=1)
        for number in range(1_000):
            registry.get(str(number))
        gc.collect()
        assert (len(registry), len(registry._evicted)) == (1, 0)

    def test_one_that_is_held_comes_back_when_a_call_opens_it(self, make):
        """Whoever watches the registry sees it open."""
        registry = make(capacity=1)
        held = registry["a"]
        registry.get("b")
        held.acquire().fail(DOWN)
        assert states(registry) == {"a": S.OPEN}

    def test_one_that_is_held_comes_back_when_a_call_finds_it_stalled(self, make, clock):
        """The call that is refused has no lease, and it is a call all the same."""
        config = BreakerConfig(minimum_calls=1, slow_call_duration=1.0, slow_call_ratio=1.0)
        registry = make(config, capacity=1)
        held = registry["a"]
        registry.get("b")
        hung = held.acquire()
        clock.advance(2.0)
        assert held.try_acquire() is None
        assert states(registry) == {"a": S.OPEN}
        hung.release()

    def test_one_that_is_held_and_stays_closed_does_not_come_back(self, make):
        """A late outcome is news, and no reason."""
        registry = make(capacity=1)
        held = registry["a"]
        registry.get("b")
        late = held.acquire()
        held.reset()
        late.succeed()
        assert list(registry) == ["b"]

    def test_threads_that_hold_what_they_got_hold_no_twins(self, make):
        """Eight ask for twelve names where three have room."""
        registry, names = make(capacity=3), "abcdefghijkl"

        def work(number):
            turned = names[number:] + names[:number]
            return [(name, registry[name]) for _ in range(30) for name in turned]

        got = [pair for pairs in at_once(8, work) for pair in pairs]
        assert {name: len({id(b) for n, b in got if n == name}) for name in names} == dict.fromkeys(
            names, 1
        )
        assert len(registry) == 3

    def test_none_that_opens_while_it_is_evicted_is_lost(self, make, eager_switches):
        """It stays or comes back, whichever is first."""
        registries = [make(capacity=1) for _ in range(400)]
        held = [registry["a"] for registry in registries]
        pace = threading.Barrier(2)

        def work(number):
            for registry, breaker in zip(registries, held, strict=True):
                pace.wait(PATIENCE)
                if number:
                    breaker.acquire().fail(DOWN)
                else:
                    registry.get("b")

        at_once(2, work)
        assert all("a" in registry for registry in registries)


class TestFirstAsking:
    """Many ask for a name that has no breaker yet, at the same time."""

    @pytest.fixture
    def crowd(self, make):
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

    def test_one_that_came_and_went_meanwhile_is_found(self, make):
        """It was made by another, who holds it, and evicted, before this one could come in."""
        clock, held = BusyClock(), []
        registry = make(capacity=1, clock=clock)
        clock.todo = [lambda: held.extend((registry["a"], registry["b"]))]
        assert registry["a"] is held[0]


class TestListeners:
    """Who hears of comings, goings and events."""

    def test_comings_and_goings_are_told_in_order(self, make):
        """Of the new one before the one that goes for it; a return is a coming."""
        registry, seen = make(capacity=1), []
        registry.on_added(lambda breaker: seen.append(("added", breaker.name)))
        registry.on_removed(lambda breaker: seen.append(("removed", breaker.name)))
        held = registry["a"]
        registry["b"], registry["a"]
        registry.remove("a")
        registry.remove("a")
        assert seen == [
            ("added", "a"),
            ("added", "b"),
            ("removed", "a"),
            ("added", "a"),
            ("removed", "b"),
            ("removed", "a"),
        ]
        del held

    def test_those_who_listen_late_hear_what_comes_late(self, registry):
        """Nothing is told twice."""
        seen = []
        registry.get("a")
        registry.on_added(lambda breaker: seen.append(breaker.name))
        registry["a"], registry["b"]
        assert seen == ["b"]

    def test_a_listener_is_added_to_every_breaker(self, make):
        """Made before or after, evicted or taken out meanwhile."""
        registry, seen = make(capacity=2), []
        evicted, removed = registry["evicted"], registry["removed"]
        registry.remove("removed")
        registry.add_listener(lambda step: seen.append((step.breaker, step.target)))
        registry["a"], registry["b"]
        assert "evicted" not in registry
        for breaker in (registry["a"], registry["b"], removed, evicted):
            breaker.force_open()
        assert seen == [(n, S.FORCED_OPEN) for n in ("a", "b", "removed", "evicted")]

    def test_one_that_raises_touches_nothing(self, registry, caplog):
        """The others hear, the caller gets the breaker, and a line names the error's type only."""
        seen = []

        def broken(_):
            raise RuntimeError("MARKER")

        for add in (registry.on_added, registry.on_removed, registry.add_listener):
            add(broken)
            add(seen.append)
        with caplog.at_level(logging.ERROR, logger="fsm_fallback"):
            breaker = registry["openai"]
            breaker.force_open()
            registry.remove("openai")
        assert [getattr(each, "trigger", each) for each in seen] == [
            breaker,
            "force_open",
            breaker,
        ]
        assert len(caplog.records) == 3
        assert all(
            "'openai' raised RuntimeError" in record.getMessage() for record in caplog.records
        )
        assert "MARKER" not in caplog.text

    def test_one_that_is_interrupted_silences_nobody(self, registry):
        """Ctrl-C passes through, and the next coming is told."""
        seen = []

        def interrupted(breaker):
            seen.append(breaker.name)
            if breaker.name == "a":
                raise KeyboardInterrupt

        registry.on_added(interrupted)
        with pytest.raises(KeyboardInterrupt):
            registry.get("a")
        assert "a" in registry
        registry.get("b")
        assert seen == ["a", "b"]

    def test_one_may_use_the_registry(self, registry):
        """It gets what it asks for at once; what it does is told after it, in order."""
        seen, got = [], []

        def follow(breaker):
            if breaker.name == "a":
                got.append(registry["a"])
                got.append(registry["b"])
                registry.remove("a")
                registry.force_open("b")
            seen.append(("added", breaker.name))

        registry.on_added(follow)
        registry.on_removed(lambda breaker: seen.append(("removed", breaker.name)))
        breaker = registry["a"]
        assert got == [breaker, registry["b"]]
        assert seen == [("added", "a"), ("added", "b"), ("removed", "a")]
        assert states(registry) == {"b": S.FORCED_OPEN}

    def test_one_may_add_another(self, registry):
        """Who comes later hears what happens later."""
        seen = []
        registry.on_added(lambda _: registry.on_added(seen.append))
        registry["a"], registry["b"]
        assert seen == [registry["b"]]

    def test_one_that_waits_keeps_no_other_thread_waiting(self, registry):
        """Those who come meanwhile get their breaker; the listener hears of it next."""
        told, go_on, seen = threading.Event(), threading.Event(), []

        def slow(breaker):
            seen.append(breaker.name)
            if breaker.name == "a":
                told.set()
                assert go_on.wait(PATIENCE)

        registry.on_added(slow)
        asker = threading.Thread(target=registry.get, args=("a",))
        asker.start()
        assert told.wait(PATIENCE)
        assert registry["b"].name == "b"
        assert seen == ["a"]
        go_on.set()
        asker.join(PATIENCE)
        assert seen == ["a", "b"]

    def test_the_lock_is_free_while_they_run(self, registry):
        """Whatever they are told."""
        free = []
        for add in (registry.on_added, registry.on_removed, registry.add_listener):
            add(lambda _: free.append(is_free(registry)))
        registry["openai"].force_open()
        registry.remove("openai")
        assert free == [True] * 3

    def test_what_happens_to_one_made_under_a_word_is_told_in_order(self, registry):
        """It comes in, it heard the word, and then what others do who have it by now."""
        seen = []

        def undo(breaker):
            seen.append(breaker.state)
            breaker.reset(actor="listener")

        registry.on_added(undo)
        registry.add_listener(lambda step: seen.append((step.trigger, step.actor)))
        registry.force_open(actor="ops")
        registry["openai"].disable()
        assert seen == [
            S.FORCED_OPEN,
            ("force_open", "ops"),
            ("reset", "listener"),
            ("disable", None),
        ]


class TestWords:
    """An operator speaks to many at once."""

    @pytest.mark.parametrize(("word", "state"), [*WORDS, ("reset", S.CLOSED)])
    def test_the_named_hear_it_and_the_others_do_not(self, registry, word, state):
        """With who said it, and why."""
        seen = []
        for name in "abc":
            registry[name].hold(5.0)
        registry.add_listener(seen.append)
        getattr(registry, word)("a", "c", reason="drill", actor="ops")
        assert states(registry) == {"a": state, "b": S.OPEN, "c": state}
        assert [(step.breaker, step.trigger, step.reason, step.actor) for step in seen] == [
            ("a", word, "drill", "ops"),
            ("c", word, "drill", "ops"),
        ]

    @pytest.mark.parametrize(("word", "state"), [*WORDS, ("reset", S.CLOSED)])
    def test_without_names_all_hear_it(self, registry, word, state):
        """Every one that is in."""
        for name in "ab":
            registry[name].hold(5.0)
        getattr(registry, word)()
        assert states(registry) == {"a": state, "b": state}

    @pytest.mark.parametrize(("word", "state"), WORDS)
    def test_without_names_those_made_later_hear_it(self, registry, word, state):
        """With the same reason and actor, before anybody has them."""
        seen, found = [], []
        getattr(registry, word)(reason="drill", actor="ops")
        registry.add_listener(seen.append)
        registry.on_added(lambda breaker: found.append(breaker.state))
        assert registry["a"].state is state
        assert found == [state]
        assert [(step.trigger, step.verdict, step.reason, step.actor) for step in seen] == [
            (word, "moved", "drill", "ops")
        ]

    def test_one_that_begins_as_the_word_says_hears_it_all_the_same(self, make):
        """So that the reason is on record."""
        registry, seen = make(BreakerConfig(initial_state=S.FORCED_OPEN)), []
        registry.add_listener(seen.append)
        registry.force_open(reason="drill")
        assert registry["a"].state is S.FORCED_OPEN
        assert [(step.trigger, step.reason) for step in seen] == [("force_open", "drill")]

    def test_a_word_stands_until_a_reset_without_names(self, registry):
        """A reset of some is for them alone."""
        registry.get("a")
        registry.force_open()
        registry.reset("a")
        registry.get("b")
        assert states(registry) == {"a": S.CLOSED, "b": S.FORCED_OPEN}
        registry.reset()
        registry.get("c")
        assert states(registry) == {"a": S.CLOSED, "b": S.CLOSED, "c": S.CLOSED}

    def test_a_word_stands_until_the_next(self, registry):
        """The latest is the one that counts."""
        registry.force_open()
        registry.observe()
        assert registry["a"].state is S.OBSERVING

    def test_a_word_to_the_named_does_not_stand(self, registry):
        """Those made later are as ever."""
        registry.get("a")
        registry.disable("a")
        assert registry["b"].state is S.CLOSED

    def test_a_name_said_twice_hears_it_once(self, registry):
        """One word, one event."""
        seen = []
        registry.get("a")
        registry.add_listener(seen.append)
        registry.force_open("a", "a")
        assert len(seen) == 1

    @pytest.mark.parametrize("word", ["force_open", "disable", "observe", "reset", "hold"])
    def test_an_unknown_name_is_an_error_and_nothing_is_done(self, registry, word):
        """The error names the known ones."""
        registry["a"], registry["b"].hold(5.0)
        say = getattr(registry, word)
        with pytest.raises(KeyError, match=r"no breakers \['c', 'd'\].*there are \['a', 'b'\]"):
            say(*([1.0] if word == "hold" else []), "a", "c", "d", "b")
        assert states(registry) == {"a": S.CLOSED, "b": S.OPEN}

    def test_those_evicted_and_held_hear_it_where_they_are(self, make):
        """A stop stops all, and fills no registry with those that nobody holds."""
        registry = make(capacity=1)
        held = registry["a"]
        registry["b"], registry["c"]
        registry.force_open()
        assert held.state is S.FORCED_OPEN
        assert states(registry) == {"c": S.FORCED_OPEN}

    def test_those_evicted_and_held_come_back_when_they_are_named(self, make):
        """An operator sees whom the word reached; listeners hear of the return."""
        registry, added = make(capacity=1), []
        held = [registry[name] for name in "abc"]
        registry.on_added(added.append)
        registry.disable("a", "b")
        assert states(registry) == {"a": S.DISABLED, "b": S.DISABLED}
        assert added == held[:2]

    def test_a_hold_is_for_those_there_are(self, registry):
        """It does not stand, and leaves standing what does."""
        seen = []
        registry["a"], registry["b"]
        registry.add_listener(seen.append)
        registry.hold(60.0, reason="maintenance", actor="ops")
        assert [registry[name].snapshot().open_until for name in "ab"] == [60.0, 60.0]
        assert [(step.reason, step.actor) for step in seen] == [("maintenance", "ops")] * 2
        assert registry["c"].state is S.CLOSED
        registry.observe()
        registry.hold(60.0)
        assert registry["d"].state is S.OBSERVING

    def test_a_hold_of_the_named_leaves_the_others(self, registry):
        """Only they stay away."""
        registry["a"], registry["b"]
        registry.hold(60.0, "b")
        assert states(registry) == {"a": S.CLOSED, "b": S.OPEN}

    @pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, True, "7", None])
    def test_a_hold_of_no_duration_is_refused(self, registry, seconds):
        """Before anything was done."""
        registry.get("a")
        with pytest.raises(ValueError, match="give finite seconds >= 0"):
            registry.hold(seconds)
        assert registry["a"].state is S.CLOSED

    def test_the_lock_is_free_while_the_word_is_said(self, make):
        """Each breaker reads the clock when it hears it."""
        clock, free = BusyClock(), []
        registry = make(clock=clock)
        registry.get("a")
        for say in (registry.force_open, registry.reset, lambda: registry.hold(1.0)):
            clock.todo = [lambda: free.append(is_free(registry))]
            say()
        assert free == [True] * 3


class TestCrossingWords:
    """A word comes in the middle of something."""

    @pytest.fixture
    def clock(self):
        """One that can say a word when it is read."""
        return BusyClock()

    def test_the_later_of_two_words_holds(self, registry, clock):
        """Though the earlier reaches the breaker after it."""
        registry.get("a")
        clock.todo = [registry.reset]
        registry.force_open()
        assert states(registry) == {"a": S.CLOSED}

    def test_one_that_is_being_made_when_the_word_comes_hears_it(self, registry, clock):
        """It comes in once, under the word."""
        added = []
        registry.on_added(added.append)
        clock.todo = [registry.force_open]
        breaker = registry["a"]
        assert breaker.state is S.FORCED_OPEN
        assert added == [breaker]

    def test_one_that_is_hearing_a_word_that_is_taken_back_is_made_without_it(
        self, registry, clock
    ):
        """Nobody hears of the first attempt."""
        seen, added = [], []
        registry.add_listener(seen.append)
        registry.on_added(added.append)
        registry.force_open()
        clock.todo = [nothing, registry.reset]  # its constructor reads the clock, then the word
        breaker = registry["a"]
        assert breaker.state is S.CLOSED
        assert (added, seen) == ([breaker], [])

    def test_threads_that_give_words_leave_all_as_the_last_one_says(self, registry):
        """Eight operators disagree, and a ninth has the last word that stands."""
        names = "abcdef"
        for name in names:
            registry.get(name)
        said = []
        registry.add_listener(lambda step: said.append(step.target))

        def work(number):
            for _ in range(30):
                (registry.force_open, registry.disable, registry.observe, registry.reset)[
                    number % 4
                ]()

        at_once(8, work)
        found = set(states(registry).values())
        assert len(found) == 1
        assert registry["later"].state in found


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
