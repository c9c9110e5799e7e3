"""`StrategySpec`, `ClassifierSpec`, `StoreSpec`: histories find what single questions do not."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from fsm_fallback import ConfigurationError, Fault, FaultKind, Sequential, classify
from fsm_fallback.spec.parts import assert_kept, check_classifier, check_strategy
from fsm_fallback.spec.stateful import ClassifierSpec, StoreSpec, StrategySpec
from specs.memory_store import MemoryStore


def strategy_spec(strategy):
    """A spec of strategies that are made like this."""
    return type("Spec", (StrategySpec,), {"make_strategy": lambda _: strategy(), "patience": 0.5})


def classifier_spec(make):
    """A spec of classifiers that are made like this."""
    return type("Spec", (ClassifierSpec,), {"make_classifier": lambda _: make()})


def store_spec(store):
    """A spec of stores that are made like this."""
    return type("Spec", (StoreSpec,), {"make_store": lambda _: store()})


def test_good_parts_keep_every_promise(few):
    """The floors are `specs/spec_stateful.py`'s."""
    for spec in (
        strategy_spec(Sequential),
        classifier_spec(lambda: classify),
        store_spec(MemoryStore),
    ):
        spec.run(few)
        assert spec.lowest() > 0


class Remembering:
    """A strategy that gives way to whoever came first the last time; twice in a row all is well."""

    def __init__(self):
        self.last = self.asked = None

    def order(self, candidates, request, now, sample):
        """By what another call was told."""
        if self.asked != (candidates, request, now, sample):
            self.asked = (candidates, request, now, sample)
            self.last, self.before = candidates[0].name, self.last
        return tuple(sorted(candidates, key=lambda each: each.name == self.before))


def test_a_strategy_that_remembers_other_calls_is_caught(few, told):
    """Only a history shows it."""
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        strategy_spec(Remembering).run(few)
    story = told(failed.value)
    assert "Spec: Remembering breaks 'same-sample-same-order'" in story
    assert "asked later: (" in story


class Dropping:
    """A strategy that leaves out who is too small."""

    def order(self, candidates, request, now, sample):  # the protocol's
        """Without a word."""
        return tuple(each for each in candidates if each.context_window != 8)


def test_a_strategy_that_drops_is_caught(few, told):
    """As by the check, in a larger scope."""
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        strategy_spec(Dropping).run(few)
    assert "breaks 'never-drops'" in told(failed.value)
    with pytest.raises(AssertionError, match=r"order\(\(a\[8\]\), now=0, sample=0\) -> \(\)"):
        assert_kept(check_strategy(Dropping()))


class Looping:
    """A strategy that never ends."""

    def order(self, candidates, request, now, sample):  # the protocol's
        """Not where there are many."""
        while len(candidates) > 3:
            pass
        return candidates


def test_a_strategy_that_loops_is_caught(few, told):
    """After as long as the spec is patient."""
    spec = strategy_spec(Looping)
    spec.patience = 0.05
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        spec.run(settings(few, max_examples=20))
    assert "breaks 'strategy-ends'" in told(failed.value)


def forgetful():
    """A classifier that means something else once it has read enough."""
    read = itertools.count()
    seen = {}

    def classifier(error):
        if id(error) not in seen or next(read) > 12:
            seen[id(error)] = Fault(FaultKind.CALLER if next(read) < 8 else FaultKind.CONTENT)
        return seen[id(error)]

    return classifier


def test_a_classifier_that_changes_its_mind_is_caught(few, told):
    """Only a history shows it."""
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        classifier_spec(forgetful).run(few)
    story = told(failed.value)
    assert "Spec: forgetful.<locals>.classifier breaks 'classifier-is-deterministic'" in story


def test_a_classifier_that_counts_cancellation_is_caught(few, told):
    """By a caller who leaves."""
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        classifier_spec(lambda: lambda _: Fault(FaultKind.UNKNOWN)).run(few)
    assert "breaks 'cancellation-is-neutral'" in told(failed.value)
    assert any(not each.kept for each in check_classifier(lambda _: Fault(FaultKind.UNKNOWN)))


class Unfenced(MemoryStore):
    """Lets everybody move."""

    def move(self, version):  # that is the fault
        """As if nobody else could have."""
        return super().move(self.version)


def test_a_store_without_a_fence_is_caught(few, told):
    """By two who race."""
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        store_spec(Unfenced).run(few)
    assert "Spec: Unfenced breaks 'one-wins-a-race'" in told(failed.value)


@pytest.mark.parametrize(
    ("base", "factory", "returned", "problem"),
    [
        (
            StrategySpec,
            "make_strategy",
            Sequential,
            "returned a Sequential class; return an object",
        ),
        (StrategySpec, "make_strategy", None, "returned None; return an object with order"),
        (ClassifierSpec, "make_classifier", Fault, "returned a Fault class; return a function of"),
        (ClassifierSpec, "make_classifier", 1, "returned 1; return a function of an exception"),
        (StoreSpec, "make_store", {}, "returned a dict, which has no merge, move, take_probe"),
    ],
)
def test_what_a_factory_made_wrong_is_refused(few, base, factory, returned, problem):
    """Naming it, what it returned, and what to return."""
    spec = type("Spec", (base,), {factory: lambda _: returned})
    with pytest.raises(ConfigurationError, match=f"Spec.{factory} {problem}"):
        spec.run(few)


@pytest.mark.parametrize(
    ("base", "factory"),
    [
        (StrategySpec, "make_strategy"),
        (ClassifierSpec, "make_classifier"),
        (StoreSpec, "make_store"),
    ],
)
def test_a_factory_that_is_not_written_is_asked_for(few, base, factory):
    """By its name, and by what it is to return."""
    spec = type("Spec", (base,), {})
    with pytest.raises(ConfigurationError, match=f"Spec has no {factory}; write the method, and"):
        spec.run(few)


def test_what_is_drawn_must_be_of_its_kind(few):
    """Candidates from a strategy, errors from one of exceptions."""
    candidates = strategy_spec(Sequential)
    candidates.make_candidates = lambda _: ()
    with pytest.raises(ConfigurationError, match="make_candidates returned a tuple; return a stra"):
        candidates.run(few)
    errors = classifier_spec(lambda: classify)
    errors.make_error = lambda _: st.just("error")
    with pytest.raises(ConfigurationError, match="make_error returned 'error'; return a strategy"):
        errors.run(few)
