"""A copied world shares what cannot change, and nothing else."""

import logging
import threading
import weakref
from collections import OrderedDict, deque

import attrs
import pytest

from fsm_fallback import BreakerConfig, CountWindow, Fault, FaultKind, TimeWindow
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.spec.acts import standing_of
from fsm_fallback.spec.copying import CannotCopy, copied


@attrs.define(eq=False)
class Slotted:
    """With one slot that may be left unset."""

    parts: list = attrs.field(factory=list)
    late: object = attrs.field(init=False)


class Loose:
    """With a dictionary."""

    def __init__(self):
        self.seen = {"a": [1]}
        self.me = self


class Both(Breaker):
    """A user's subclass: slots from above, a dictionary of its own."""

    def note(self, what):
        """Remember what is said."""
        self.noted = [*getattr(self, "noted", ()), what]


def test_a_breaker_and_its_leases_are_copied_as_one():
    """The copy's leases are settled on the copy; the original does not hear of it."""
    breaker = Breaker("a", BreakerConfig(window=CountWindow(2), minimum_calls=2))
    lease, other = breaker.admit(0.0), breaker.admit(0.0)
    breaker.fail(lease, 0.5, Fault(FaultKind.TRANSIENT))
    before = standing_of(breaker, 1.0)
    twin, twins_lease = copied([breaker, other])
    twin.fail(twins_lease, 1.0, Fault(FaultKind.TRANSIENT))
    assert standing_of(breaker, 1.0) == before
    assert twin.state.value == "open"
    assert (other.settled, twins_lease.settled) == (False, True)
    breaker.succeed(other, 1.0)
    assert breaker.current.tally(1.0).calls == 2


def test_numbers_are_drawn_apart():
    """The iterators of a copy go on by themselves, and stay one where they were one."""
    breaker = Breaker("a")
    twin = copied(breaker)
    assert next(twin.refusals) == next(breaker.refusals)
    assert twin.current.admissions is twin._admissions


def test_a_time_window_is_copied_with_its_buckets():
    """A deque of objects, each copied once."""
    breaker = Breaker("a", BreakerConfig(window=TimeWindow(8.0, 4)))
    breaker.fail(breaker.admit(0.0), 0.0)
    twin = copied(breaker)
    twin.fail(twin.admit(1.0), 1.0)
    assert breaker.current.tally(1.0).failures == 1
    assert twin.current.tally(1.0).failures == 2


def test_what_cannot_change_is_shared():
    """Words, numbers, parameters, functions, exceptions."""
    config, error = BreakerConfig(), ValueError("x")
    thing = [config, error, len, "word", 1.5, frozenset({1}), ("a", 1)]
    twin = copied(thing)
    assert twin is not thing
    assert all(one is other for one, other in zip(twin, thing, strict=True))


def test_what_can_change_is_copied_once():
    """An object met twice is one object in the copy, loops and all."""
    inner = Slotted()
    thing = {"one": inner, "two": (inner, {inner}), "more": deque([inner], 3)}
    twin = copied(thing)
    assert twin["one"] is twin["two"][0] is twin["more"][0]
    assert twin["two"][1] == {twin["one"]}
    assert twin["more"].maxlen == 3
    assert twin["one"] is not inner
    loop = Loose()
    assert copied(loop).me is not loop
    assert (loop_twin := copied(loop)).me is loop_twin


def test_a_slot_that_is_not_set_stays_unset():
    """Nothing is made up."""
    thing = Slotted([1])
    twin = copied(thing)
    assert (twin.parts, hasattr(twin, "late")) == ([1], False)
    thing.late = [2]
    assert copied(thing).late == [2]
    assert copied(thing).late is not thing.late


def test_a_users_subclass_is_copied_with_what_it_added():
    """Slots and dictionary alike."""
    breaker = Both("a")
    breaker.note("x")
    twin = copied(breaker)
    twin.note("y")
    assert (breaker.noted, twin.noted) == (["x"], ["x", "y"])


def test_a_bound_method_goes_with_its_copy():
    """A recorder that is a method of something copied records there."""
    loop = Loose()
    loop.tell = loop.seen["a"].append
    loop.look = Both("a").note
    twin = copied(loop)
    twin.look("x")
    assert not hasattr(loop.look.__self__, "noted")


def test_classes_made_in_their_own_way_are_copied_by_the_standard_library():
    """What has a constructor of its own is left to `copy.deepcopy`."""
    thing = OrderedDict(a=[1])
    twin = copied([thing])[0]
    twin["a"].append(2)
    assert thing == {"a": [1]}


def test_parts_given_as_they_are_stay():
    """Whatever stands in the memo is not copied."""
    inner = [1]
    thing = {"a": inner}
    assert copied(thing, {id(inner): inner})["a"] is inner


def test_a_tuple_with_something_in_it_that_changes_is_made_anew():
    """Named ones as well, with their class."""
    lock = threading.Lock  # a function: shared
    thing = ([1], lock)
    twin = copied(thing)
    assert twin == thing
    assert twin[0] is not thing[0]


class Guarded:
    """With what belongs to nobody's world: a lock, a logger, a weak reference."""

    __slots__ = ("__hidden", "__weakref__", "lock", "log", "seen", "watch")

    def __init__(self):
        self.lock, self.log = threading.RLock(), logging.getLogger("theirs")
        self.seen, self.__hidden = [], [1]
        self.watch = weakref.ref(self)

    def hidden(self):
        """What a name of two underscores holds."""
        return self.__hidden


@attrs.frozen
class FrozenBox:
    """Frozen, and yet its list is not."""

    items: list


class Own:
    """Says itself how it is copied."""

    def __deepcopy__(self, memo):
        return "a copy"


def test_locks_loggers_and_weak_references_are_shared():
    """What is beside them is copied, names with two underscores as well."""
    thing = Guarded()
    twin = copied(thing)
    assert (twin.lock, twin.log, twin.watch) == (thing.lock, thing.log, thing.watch)
    twin.seen.append(1)
    twin.hidden().append(2)
    assert (thing.seen, thing.hidden()) == ([], [1])


def test_a_frozen_object_of_the_users_is_copied_with_what_it_holds():
    """Only our own are known to hold nothing that changes."""
    box = FrozenBox([1])
    twin = copied(box)
    twin.items.append(2)
    assert box.items == [1]


def test_an_object_that_says_how_is_copied_so():
    """`__deepcopy__` is the user's word."""
    assert copied([Own()]) == ["a copy"]


def test_what_cannot_be_had_twice_is_refused_by_name():
    """Class and remedy."""
    with pytest.raises(CannotCopy, match=r"a builtins\.generator cannot be copied"):
        copied([(each for each in ())])
