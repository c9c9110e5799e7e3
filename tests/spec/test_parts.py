"""Parts in a small scope: what is caught, and how it is told."""

import itertools
import random

import pytest

from fsm_fallback import (
    CallOptions,
    ConfigurationError,
    Fault,
    FaultKind,
    Sequential,
    Skip,
    classify,
    counting,
    ignoring,
)
from fsm_fallback.core.trail import Candidate
from fsm_fallback.spec.answers import StandIn
from fsm_fallback.spec.classifier_properties import CLASSIFIER_PROPERTIES
from fsm_fallback.spec.parts import assert_kept, check_classifier, check_strategy
from fsm_fallback.spec.strategy_properties import STRATEGY_PROPERTIES


class Ordering:
    """A strategy made of a function."""

    def __init__(self, order):
        self._order = order

    def order(self, candidates, request, now, sample):
        """What the function says."""
        return self._order(candidates, request, now, sample)


def broken(verdicts):
    """The histories of the properties that are broken, by their ids."""
    return {each.promise.id: each.history for each in verdicts if not each.kept}


def histories(order, **how):
    """What a strategy made of a function breaks."""
    return broken(check_strategy(Ordering(order), patience=0.3, **how))


def test_the_configured_order_keeps_every_promise():
    """In every choice and order of three, with and without windows."""
    verdicts = check_strategy(Sequential())
    assert_kept(verdicts)
    assert [each.promise for each in verdicts] == list(STRATEGY_PROPERTIES)
    assert {each.cases for each in verdicts} == {0, 1440}
    assert str(verdicts[0]) == "Sequential keeps 'strategy-never-raises' in 1440 cases"


def test_a_strategy_that_drops_a_candidate_is_caught():
    """By the smallest case: three candidates of which two come back."""
    assert histories(lambda candidates, *_: candidates[:2]) == {
        "never-drops": "order((a, b, c), now=0, sample=0) -> (a, b)"
    }


def test_a_strategy_that_invents_a_candidate_is_caught():
    """Another object, a copy, or a Skip of nobody."""
    other = StandIn("z")
    assert "never-invents" in histories(lambda candidates, *_: (*candidates, other))
    assert "never-invents" in histories(lambda candidates, *_: (*candidates, None))
    copy = histories(lambda candidates, *_: tuple(StandIn(each.name) for each in candidates))
    assert copy["never-invents"] == "order((a), now=0, sample=0) -> (a); asked again: (a)"
    nobody = histories(lambda candidates, *_: (*candidates, Skip("z", "vision")))
    assert nobody == {"never-invents": "order((a), now=0, sample=0) -> (a, Skip('z', 'vision'))"}


def test_a_strategy_that_repeats_a_candidate_is_caught():
    """Be it once to be asked and once skipped."""
    assert "never-repeats" in histories(lambda candidates, *_: candidates * 2)
    again = histories(lambda candidates, *_: (*candidates, Skip(candidates[0].name, "vision")))
    assert again == {"never-repeats": "order((a), now=0, sample=0) -> (a, Skip('a', 'vision'))"}


def test_a_strategy_that_raises_is_caught():
    """In `order`, or while its answer is gone through."""

    def late(candidates, *_):
        yield candidates[0]
        raise KeyError("late")

    def pick(candidates, *_):
        return (candidates[0], candidates[1])

    told = histories(pick)
    assert told["strategy-never-raises"] == (
        "order((a), now=0, sample=0) -> raised IndexError('tuple index out of range')"
    )
    assert "strategy-never-raises" in histories(late)


def test_a_strategy_that_never_ends_is_caught():
    """A loop, or an answer without end."""

    def loop(candidates, *_):
        while len(candidates) > 1:
            pass
        return candidates

    assert histories(loop) == {"strategy-ends": "order((a, b), now=0, sample=0) -> no end"}
    endless = histories(lambda candidates, *_: itertools.cycle(candidates))
    assert endless == {"strategy-ends": "order((a), now=0, sample=0) -> no end, after a, a, a, ..."}


def test_an_answer_that_is_no_tuple_is_caught():
    """A list, a generator, nothing."""
    assert histories(lambda candidates, *_: list(candidates)) == {
        "answers-a-tuple": "order((a), now=0, sample=0) -> [a]"
    }
    told = histories(lambda candidates, *_: (each for each in candidates))
    assert told == {"answers-a-tuple": "order((a), now=0, sample=0) -> generator <a>"}
    told = histories(lambda *_: None)
    assert told["answers-a-tuple"] == "order((a), now=0, sample=0) -> NoneType <>"

    async def order(candidates, *_):
        return candidates

    assert "coroutine <>" in histories(order)["answers-a-tuple"]


def test_a_strategy_with_chances_of_its_own_is_caught():
    """A counter, random numbers: whatever the sample does not say."""
    turns = itertools.count()
    chance = random.Random(0)  # noqa: S311  # to be the same each time
    told = histories(lambda candidates, *_: candidates[:: 1 if next(turns) % 2 else -1])
    assert told == {
        "same-sample-same-order": "order((a, b), now=0, sample=0) -> (b, a); asked again: (a, b)"
    }
    drawn = histories(lambda candidates, *_: tuple(chance.sample(candidates, len(candidates))))
    assert set(drawn) == {"same-sample-same-order"}


@pytest.mark.parametrize("reason", ["", None, "open"])
def test_a_skip_that_names_no_need_is_caught(reason):
    """Words of a breaker's would be told as its refusal."""
    told = histories(lambda candidates, *_: tuple(Skip(each.name, reason) for each in candidates))
    assert set(told) == {"skip-names-a-need"}


def test_a_skip_is_as_good_as_an_equal_one():
    """A strategy may make them anew."""
    needs = check_strategy(
        Ordering(lambda candidates, *_: tuple(Skip(each.name, "vision") for each in candidates))
    )
    assert_kept(needs)
    assert min(each.cases for each in needs) == 1440


def test_a_case_tells_windows_and_deadlines():
    """What was asked, as far as it differs from nothing."""

    def only_later(candidates, request, _now, _sample):
        if request.deadline is not None and candidates[0].context_window is not None:
            return ()
        return candidates

    assert histories(only_later)["never-drops"] == (
        "order((a[8]), now=0, sample=0, deadline=5, needs=tools) -> ()"
    )


def test_a_case_tells_needs_and_sizes():
    """In the words of `options`."""

    def only_small(candidates, request, _now, _sample):
        return () if request.tokens else candidates

    assert histories(only_small)["never-drops"] == (
        "order((a), now=0, sample=0, input_tokens=12, output_tokens=4, tags=nightly) -> ()"
    )


def test_candidates_may_be_of_ones_own():
    """With what the strategy reads of them."""
    own: tuple[Candidate, ...] = (StandIn("x"), StandIn("y"))
    told = histories(lambda candidates, *_: candidates[:1], candidates=own)
    assert told == {"never-drops": "order((x, y), now=0, sample=0) -> (x)"}
    requests = [CallOptions(deadline=1.0)]
    told = histories(lambda candidates, *_: candidates[:1], candidates=own, requests=requests)
    assert told == {"never-drops": "order((x, y), now=0, sample=0, deadline=1) -> (x)"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"strategy": Sequential}, "strategy is a Sequential class; give an object with order"),
        ({"strategy": None}, r"strategy is None; give an object with order\(\)"),
        ({"providers": 5}, "providers is 5; give 1 to 4"),
        ({"providers": 0}, "providers is 0; give 1 to 4"),
        ({"candidates": ()}, "candidates has 0 candidates; give 1 to 4"),
        ({"candidates": (StandIn("a"), StandIn("a"))}, "has a StandIn named 'a'; give each a"),
        ({"candidates": (None,)}, "has None named None; give each a name of its own"),
        ({"patience": 0}, "patience is 0; give finite seconds > 0"),
    ],
)
def test_arguments_of_check_strategy_that_cannot_work_are_named(arguments, problem):
    """Each with its remedy."""
    with pytest.raises(ConfigurationError, match=problem):
        check_strategy(**{"strategy": Sequential(), **arguments})


# Classifiers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("classifier", [classify, counting(TimeoutError), ignoring(ValueError)])
def test_the_librarys_classifiers_keep_every_promise(classifier):
    """The fault table, and what narrows it."""
    verdicts = check_classifier(classifier)
    assert_kept(verdicts)
    assert [each.promise for each in verdicts] == list(CLASSIFIER_PROPERTIES)
    assert min(each.cases for each in verdicts) >= 5


def test_a_classifier_that_counts_cancellation_is_caught():
    """As a failure, or as a hold."""
    failing = broken(check_classifier(lambda _: Fault(FaultKind.UNKNOWN)))
    assert failing == {
        "cancellation-is-neutral": "classify(asyncio.CancelledError()) -> unknown (failure)"
    }
    holding = broken(check_classifier(lambda _: Fault(FaultKind.RATE_LIMIT)))
    assert set(holding) == {"cancellation-is-neutral"}


def test_a_classifier_that_answers_no_fault_is_caught():
    """Or raises."""
    told = broken(check_classifier(lambda error: FaultKind.CALLER))  # noqa: ARG005  # a classifier's
    assert told == {
        "classifier-answers-a-fault": "classify(asyncio.CancelledError()) -> a FaultKind, no Fault"
    }

    def read(error):
        return Fault(FaultKind.CALLER) if not error.args else Fault(error.kind)

    told = broken(check_classifier(read))["classifier-answers-a-fault"]
    assert told.startswith("classify(BaseExceptionGroup('cancelled', [CancelledError(), ")
    assert "-> raised AttributeError(" in told


def test_a_classifier_that_never_ends_is_caught():
    """Following a cause that leads back."""

    def follow(error):
        while error.__cause__ is not None:
            error = error.__cause__
        return Fault(FaultKind.CALLER)

    told = broken(check_classifier(follow, patience=0.3))
    assert told == {"classifier-ends": "classify(RuntimeError('its own cause')) -> no end"}


def test_a_classifier_that_changes_its_mind_is_caught():
    """Or the exception."""
    turns = itertools.cycle([Fault(FaultKind.CALLER), Fault(FaultKind.CONTENT)])
    told = broken(check_classifier(lambda _: next(turns)))
    assert told == {
        "classifier-is-deterministic": (
            "classify(asyncio.CancelledError()) -> caller (neutral); again: content (neutral)"
        )
    }

    def mark(error):
        error.args = ("read",)
        return Fault(FaultKind.CALLER)

    assert set(broken(check_classifier(mark))) == {"reading-changes-nothing"}


def test_errors_of_ones_own_are_read_first():
    """The smallest history is theirs."""
    told = broken(check_classifier(lambda _: None, errors=[OSError(5, "own")]))
    assert told["classifier-answers-a-fault"].startswith("classify(OSError(5, 'own')) -> a NoneTyp")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"classify": None}, "classify is None; give a function of an exception"),
        ({"classify": ValueError}, "classify is a ValueError class; give a function"),
        ({"errors": [ValueError]}, "errors has a ValueError class; give exceptions, not their"),
    ],
)
def test_arguments_of_check_classifier_that_cannot_work_are_named(arguments, problem):
    """Each with its remedy."""
    with pytest.raises(ConfigurationError, match=problem):
        check_classifier(**{"classify": classify, **arguments})


def test_broken_promises_are_told_by_part_property_and_history():
    """One after the other."""
    with pytest.raises(AssertionError) as failed:
        assert_kept(check_strategy(Ordering(lambda candidates, *_: list(candidates[:1]))))
    assert str(failed.value) == (
        "Ordering breaks 'answers-a-tuple': An answer is a tuple: a chain goes through it while "
        "other calls are ordered.\n    order((a), now=0, sample=0) -> [a]\n"
        "Ordering breaks 'never-drops': Every candidate stands in the answer, be it to be asked or "
        "skipped.\n    order((a, b), now=0, sample=0) -> [a]"
    )
