"""Stores: one that serves a fleet, and those that do not."""

import pytest

from fsm_fallback import ConfigurationError, StoreUnavailable
from fsm_fallback.spec.parts import assert_kept
from fsm_fallback.spec.store_properties import STORE_PROPERTIES, Counts
from fsm_fallback.spec.watched_store import check_store
from specs.memory_store import MemoryStore


def broken(make_store, depth=4):
    """The histories of the properties a store breaks, by their ids."""
    return {
        each.promise.id: each.history for each in check_store(make_store, depth) if not each.kept
    }


def test_a_store_in_memory_keeps_every_promise():
    """In every history of four steps, and each promise has been put to the test."""
    verdicts = check_store(MemoryStore)
    assert_kept(verdicts)
    assert [each.promise for each in verdicts] == list(STORE_PROPERTIES)
    assert min(each.cases for each in verdicts) > 0


class Forgetful(MemoryStore):
    """Counts only the last batch."""

    def merge(self, version, batch, counts):
        """Whatever came before is gone."""
        if version == self.version:
            self.batches.clear()
        return super().merge(version, batch, counts)


class Eager(MemoryStore):
    """Counts a batch as often as it is sent."""

    def merge(self, version, batch, counts):
        """Under a name of its own."""
        return super().merge(version, f"{batch} {len(self.batches)}", counts)


class Unfenced(MemoryStore):
    """Lets everybody move."""

    def move(self, version):  # that is the fault
        """As if nobody else could have."""
        return super().move(self.version)


class Lavish(MemoryStore):
    """Gives one lease more than it may."""

    def take_probe(self, limit, seconds):
        """Off by one."""
        return super().take_probe(limit + 1, seconds)


class Hoarding(MemoryStore):
    """Never takes a lease back by itself."""

    def take_probe(self, limit, seconds):
        """A lease for ever."""
        return super().take_probe(limit, seconds * 1e9)


class Dreaming(MemoryStore):
    """Answers though it is lost."""

    def _be_reached(self):
        pass


class Crashing(MemoryStore):
    """Raises what its driver raises."""

    def _be_reached(self):
        if self.is_lost:
            raise ConnectionError("refused")


class Strict(MemoryStore):
    """Takes a late batch for an error."""

    def merge(self, version, batch, counts):
        """Which it is not."""
        totals = super().merge(version, batch, counts)
        if totals is None:
            raise ValueError("stale")
        return totals


class Late(MemoryStore):
    """Counts what is late."""

    def merge(self, version, batch, counts):  # that is the fault
        """In the version that is there."""
        return super().merge(self.version, batch, counts)


@pytest.mark.parametrize(
    ("store", "promise", "history"),
    [
        (
            Forgetful,
            "merged-counts-equal-the-sum",
            (
                "merge(0, 'a', 3 calls, 1 failed) -> Counts(calls=3, failures=1); "
                "merge(0, 'b', 1 calls, 0 failed) -> Counts(calls=1, failures=0)"
            ),
        ),
        (
            Eager,
            "merged-counts-equal-the-sum",
            (
                "merge(0, 'a', 3 calls, 1 failed) -> Counts(calls=3, failures=1); "
                "merge(0, 'a', 3 calls, 1 failed) -> Counts(calls=6, failures=2)"
            ),
        ),
        (Unfenced, "one-wins-a-race", "move(-1) -> True"),
        (
            Lavish,
            "fleet-probe-budget",
            "take_probe(1, 8.0) -> 'lease 1'; take_probe(1, 8.0) -> 'lease 2'",
        ),
        (
            Hoarding,
            "leases-expire",
            "take_probe(1, 8.0) -> 'lease 1'; a lease's time passes; take_probe(1, 8.0) -> None",
        ),
        (
            Dreaming,
            "lost-store-says-so",
            "the store is lost; merge(0, 'a', 3 calls, 1 failed) -> Counts(calls=3, failures=1)",
        ),
        (
            Crashing,
            "lost-store-says-so",
            "the store is lost; merge(0, 'a', 3 calls, 1 failed) raised ConnectionError('refused')",
        ),
        (
            Strict,
            "store-answers",
            "merge(-1, 'c', 5 calls, 5 failed) raised ValueError('stale')",
        ),
        (
            Late,
            "late-merge-adds-nothing",
            "merge(-1, 'c', 5 calls, 5 failed) -> Counts(calls=5, failures=5)",
        ),
    ],
)
def test_a_wrong_store_is_caught_by_the_shortest_history(store, promise, history):
    """In the words of what was asked and answered."""
    assert broken(store, 3)[promise] == history


def test_the_store_in_memory_says_that_it_is_lost():
    """And has lost nothing when it is found again."""
    store = MemoryStore()
    store.merge(0, "a", Counts(1, 1))
    store.lose()
    with pytest.raises(StoreUnavailable):
        store.take_probe(1, 1.0)
    store.find_again()
    assert store.merge(0, "b", Counts(1, 0)) == Counts(2, 1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((None,), "make_store is None; give a function that makes a store"),
        ((MemoryStore, 0), "depth is 0; give 1 to 6"),
        ((MemoryStore, 7), "depth is 7; give 1 to 6"),
        (
            (dict,),
            "make_store returned a dict, which has no merge, move, take_probe, give_back, pas",
        ),
        (
            (lambda: MemoryStore,),
            "make_store returned a MemoryStore class; return a StoreUnderTest",
        ),
    ],
)
def test_arguments_of_check_store_that_cannot_work_are_named(arguments, problem):
    """Each with its remedy."""
    with pytest.raises(ConfigurationError, match=problem):
        check_store(*arguments)
