"""Parts of a user's own, held against everything in a small scope: strategies and classifiers.

    for verdict in check_strategy(Cheapest()):
        print(verdict)
    assert_kept(check_classifier(my_classifier))

The scope is tried from its smallest case up, so that the history of whatever is found is the
smallest there is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from fsm_fallback.core.bounds import is_count, refuse_problems, shown
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.prices import Price
from fsm_fallback.core.strategies import CallOptions, Strategy, is_strategy
from fsm_fallback.core.trail import Candidate
from fsm_fallback.providers.classifying import Classifier
from fsm_fallback.spec.answers import (
    StandIn,
    StrategyAct,
    ask_classifier,
    ask_order,
)
from fsm_fallback.spec.classifier_properties import CLASSIFIER_PROPERTIES
from fsm_fallback.spec.errors_bag import cancellations, ordinary_errors
from fsm_fallback.spec.patience import SECONDS_OF_PATIENCE, Patience
from fsm_fallback.spec.properties import Property
from fsm_fallback.spec.strategy_properties import STRATEGY_PROPERTIES
from fsm_fallback.spec.verdict import Verdict

SAMPLES: Final = (0.0, 0.25, 0.5, 1.0 - 2.0**-53)
TIMES: Final = (0.0, 0.5, 100.0, 1_000_000.0)
REQUESTS: Final = (
    CallOptions(),
    CallOptions(deadline=5.0, needs=frozenset({"tools"})),
    CallOptions(input_tokens=12, output_tokens=4, tags=frozenset({"nightly"})),
)
_FREE: Final = Price(input_mtok=0, output_mtok=0)
_ABLE: Final = ModelInfo(
    capabilities=frozenset({"tools", "vision"}), price=Price(input_mtok=2, output_mtok=8)
)
_BLIND: Final = ModelInfo(capabilities=frozenset({"json_schema"}), price=_FREE)
_UNKNOWN: Final = ModelInfo()
KINDS: Final = (
    ((None, _UNKNOWN),) * 4,
    ((8, _ABLE), (None, _UNKNOWN), (32, _BLIND), (8, _UNKNOWN)),
)
"""Windows and what is known of candidates."""
MOST_CANDIDATES: Final = 4


class Docket:
    """Cases, and the verdicts they come to.

    Args:
        subject: What is held against the properties.
        properties: The promises.
    """

    def __init__(self, subject: str, properties: Iterable[Property]) -> None:
        self.subject: Final = subject
        self.properties: Final = tuple(properties)
        self.cases: Counter[str] = Counter()
        self._histories: dict[str, str] = {}

    def hear(self, act: Any, history: str | None = None) -> bool:
        """Hold one act against every property; False if it breaks one for the first time.

        `history`: what led to it; by default the act in its own words.
        """
        kept = True
        for each in self.properties:
            applies = not each.triggers or act.trigger in each.triggers
            if not applies or not each.when(act):
                continue
            self.cases[each.id] += 1
            if not each.then(act) and each.id not in self._histories:
                self._histories[each.id] = str(act) if history is None else history
                kept = False
        return kept

    def verdicts(self) -> list[Verdict]:
        """One verdict a property, in their order."""
        return [
            Verdict(each, self.subject, self.cases[each.id], self._histories.get(each.id))
            for each in self.properties
        ]


def assert_kept(verdicts: Sequence[Verdict]) -> None:
    """Demand that every promise was kept.

    Raises:
        AssertionError: With every verdict that says otherwise: part, property, smallest case.
    """
    broken = [str(each) for each in verdicts if not each.kept]
    if broken:
        raise AssertionError("\n".join(broken))


def check_strategy(
    strategy: Strategy,
    providers: int = 3,
    *,
    candidates: Sequence[Candidate] | None = None,
    requests: Iterable[CallOptions] = REQUESTS,
    patience: float = SECONDS_OF_PATIENCE,
) -> list[Verdict]:
    """Hold a strategy against every choice and order of a few candidates.

    Args:
        strategy: An object with `order`.
        providers: How many candidates there are at most, 1 to 4; with and without windows.
        candidates: Candidates to order instead of stand-ins, at most 4: what the strategy reads of
            its providers, prices say, is its own to give.
        requests: What the calls say of themselves.
        patience: Seconds one question may take.

    Returns:
        A verdict for each of `STRATEGY_PROPERTIES`. Where it does not end the check does, there.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """
    given = None if candidates is None else tuple(candidates)
    refuse_problems(_strategy_problems(strategy, providers, given))
    docket = Docket(name_of(strategy), STRATEGY_PROPERTIES)
    with Patience(patience) as patient:
        for chosen, request, now, sample in _questions(providers, given, tuple(requests)):
            asked = (patient, strategy, chosen, request, now, sample)
            order = ask_order(*asked)
            again = ask_order(*asked) if order.ended else order
            act = StrategyAct(docket.subject, chosen, request, now, sample, order, again)
            docket.hear(act)
            if not (order.ended and again.ended):
                break  # each further question could take as long
    return docket.verdicts()


def check_classifier(
    classify: Classifier,
    *,
    errors: Iterable[BaseException] = (),
    patience: float = SECONDS_OF_PATIENCE,
) -> list[Verdict]:
    """Hold a classifier against a bag of exceptions: builtin, of every HTTP status, and wicked.

    Args:
        classify: A function of an exception that returns a `Fault`.
        errors: Exceptions to read beside those of the bag, before them.
        patience: Seconds one reading may take.

    Returns:
        A verdict for each of `CLASSIFIER_PROPERTIES`. Where it does not end the check does, there.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """
    own = tuple(errors)
    refuse_problems(_classifier_problems(classify, own))
    docket = Docket(name_of(classify), CLASSIFIER_PROPERTIES)
    with Patience(patience) as patient:
        for error in itertools.chain(own, cancellations(), ordinary_errors()):
            act = ask_classifier(patient, docket.subject, classify, error)
            docket.hear(act)
            if not (act.reply.ended and act.again.ended):
                break  # as above
    return docket.verdicts()


def is_classifier(value: object) -> bool:
    """Whether a value is something to call with an exception; no class makes a Fault of one."""
    return callable(value) and not isinstance(value, type)


def name_of(part: object) -> str:
    """What a part is called in messages: a function by its name, anything else by its class."""
    name = getattr(part, "__qualname__", None)
    return name if isinstance(name, str) else type(part).__qualname__


def _questions(
    providers: int, given: tuple[Candidate, ...] | None, requests: tuple[CallOptions, ...]
) -> Iterator[tuple[tuple[Candidate, ...], CallOptions, float, float]]:
    """Every question of the scope, those with few candidates first."""
    if given is None:
        kinds: list[tuple[Candidate, ...]] = [
            tuple(StandIn(name, *known) for name, known in zip("abcd", kind, strict=True))
            for kind in KINDS
        ]
        pools = [kind[:providers] for kind in kinds]
    else:
        pools = [given]
    most = max(len(pool) for pool in pools)
    for count in range(1, most + 1):
        for pool in pools:
            for chosen in itertools.permutations(pool, count):
                yield from ((chosen, *rest) for rest in itertools.product(requests, TIMES, SAMPLES))


def _strategy_problems(
    strategy: object, providers: object, given: tuple[object, ...] | None
) -> Iterator[str]:
    if not is_strategy(strategy):
        yield f"check_strategy.strategy is {shown(strategy)}; give an object with order()"
    if not is_count(providers, 1) or not isinstance(providers, int) or providers > MOST_CANDIDATES:
        yield f"check_strategy.providers is {shown(providers)}; give 1 to {MOST_CANDIDATES}"
    if given is None:
        return
    if not 1 <= len(given) <= MOST_CANDIDATES:
        yield (
            f"check_strategy.candidates has {len(given)} candidates; give 1 to {MOST_CANDIDATES}, "
            "all their orders are tried"
        )
    names = [getattr(each, "name", None) for each in given]
    for each, name in zip(given, names, strict=True):
        if not isinstance(name, str) or not name or names.count(name) > 1:
            yield (
                f"check_strategy.candidates has {shown(each)} named {shown(name)}; give each a "
                "name of its own"
            )


def _classifier_problems(classify: object, errors: tuple[object, ...]) -> Iterator[str]:
    if not is_classifier(classify):
        yield (
            f"check_classifier.classify is {shown(classify)}; give a function of an exception that "
            "returns a Fault"
        )
    for each in errors:
        if not isinstance(each, BaseException):
            yield f"check_classifier.errors has {shown(each)}; give exceptions, not their classes"
