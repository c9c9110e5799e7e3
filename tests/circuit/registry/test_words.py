"""`CircuitBreakers`, who hears of what, and words to many at once."""

import logging
import math
import threading

import pytest

from fsm_fallback import BreakerConfig, BreakerState

S = BreakerState
PATIENCE = 5.0
WORDS = [
    ("force_open", S.FORCED_OPEN),
    ("disable", S.DISABLED),
    ("observe", S.OBSERVING),
]


def nothing():
    """Do nothing."""


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

    def test_one_may_use_the_registry(self, registry, states):
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

    def test_the_lock_is_free_while_they_run(self, registry, is_free):
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
    def test_the_named_hear_it_and_the_others_do_not(self, registry, word, state, states):
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
    def test_without_names_all_hear_it(self, registry, word, state, states):
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

    def test_a_word_stands_until_a_reset_without_names(self, registry, states):
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
    def test_an_unknown_name_is_an_error_and_nothing_is_done(self, registry, word, states):
        """The error names the known ones."""
        registry["a"], registry["b"].hold(5.0)
        say = getattr(registry, word)
        with pytest.raises(KeyError, match=r"no breakers \['c', 'd'\].*there are \['a', 'b'\]"):
            say(*([1.0] if word == "hold" else []), "a", "c", "d", "b")
        assert states(registry) == {"a": S.CLOSED, "b": S.OPEN}

    def test_those_evicted_and_held_hear_it_where_they_are(self, make, states):
        """A stop stops all, and fills no registry with those that nobody holds."""
        registry = make(capacity=1)
        held = registry["a"]
        registry["b"], registry["c"]
        registry.force_open()
        assert held.state is S.FORCED_OPEN
        assert states(registry) == {"c": S.FORCED_OPEN}

    def test_those_evicted_and_held_come_back_when_they_are_named(self, make, states):
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

    def test_a_hold_of_the_named_leaves_the_others(self, registry, states):
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

    def test_the_lock_is_free_while_the_word_is_said(self, make, is_free, busy_clock):
        """Each breaker reads the clock when it hears it."""
        clock, free = busy_clock(), []
        registry = make(clock=clock)
        registry.get("a")
        for say in (registry.force_open, registry.reset, lambda: registry.hold(1.0)):
            clock.todo = [lambda: free.append(is_free(registry))]
            say()
        assert free == [True] * 3


class TestCrossingWords:
    """A word comes in the middle of something."""

    @pytest.fixture
    def clock(self, busy_clock):
        """One that can say a word when it is read."""
        return busy_clock()

    def test_the_later_of_two_words_holds(self, registry, clock, states):
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

    def test_threads_that_give_words_leave_all_as_the_last_one_says(
        self, registry, states, at_once
    ):
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
