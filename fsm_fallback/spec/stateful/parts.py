"""Strategies, classifiers and stores, asked again and again in changing company.

The checks of `fsm_fallback.spec.parts` try all of a small scope, each question by itself; here
questions come in histories, so that a part which remembers what it should not is found out.
"""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, multiple, precondition, rule

from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.prices import Price
from fsm_fallback.core.strategies import CallOptions, Strategy, is_strategy
from fsm_fallback.core.trail import Candidate
from fsm_fallback.providers.classifying import Classifier
from fsm_fallback.spec.answers import (
    ClassifierAct,
    StandIn,
    StrategyAct,
    ask_classifier,
    ask_order,
    same_fault,
    same_order,
)
from fsm_fallback.spec.classifier_properties import CLASSIFIER_PROPERTIES
from fsm_fallback.spec.errors_bag import StatusError, cancellations, ordinary_errors
from fsm_fallback.spec.parts import SAMPLES, is_classifier, name_of
from fsm_fallback.spec.patience import SECONDS_OF_PATIENCE, Patience
from fsm_fallback.spec.properties import Property
from fsm_fallback.spec.stateful.machine import SpecMachine, drawn_by, made, not_written, refuse_made
from fsm_fallback.spec.store_properties import STORE_PROPERTIES, Counts, StoreAct
from fsm_fallback.spec.strategy_properties import STRATEGY_PROPERTIES
from fsm_fallback.spec.watched_store import (
    LEASE_SECONDS,
    TICK,
    StoreUnderTest,
    WatchedStore,
    refuse_store,
)

_MOMENTS = st.sampled_from([(now, sample) for now in (0.0, 0.5, 1e3, 1e9) for sample in SAMPLES])
_WORDS = st.frozensets(st.sampled_from(["tools", "vision", "json_schema"]), max_size=2)
_TOKENS = st.sampled_from([None, 0, 8, 20])
_REQUESTS = st.builds(
    CallOptions,
    deadline=st.sampled_from([None, 0.5, 5.0]),
    needs=_WORDS,
    input_tokens=_TOKENS,
    output_tokens=_TOKENS,
    tags=_WORDS,
)
_PRICES = st.sampled_from(
    [None, *(Price(input_mtok=into, output_mtok=out) for into, out in ((0, 0), (1, 4), (3, 1)))]
)
_STAND_INS = st.builds(
    StandIn,
    name=st.sampled_from("abcdef"),
    context_window=st.sampled_from([None, 8, 32]),
    info=st.builds(ModelInfo, capabilities=_WORDS, price=_PRICES),
    takes=st.sampled_from([None, 0.2, 3.0]),
    in_flight=st.integers(0, 2),
    answers=st.sampled_from([None, 0.5, 1.0]),
    recovered_at=st.sampled_from([None, 0.0, math.inf]),
)


def _one(properties: tuple[Property, ...], property_id: str) -> Property:
    return next(each for each in properties if each.id == property_id)


_SAME_ORDER = _one(STRATEGY_PROPERTIES, "same-sample-same-order")
_SAME_FAULT = _one(CLASSIFIER_PROPERTIES, "classifier-is-deterministic")


class PatientSpec(SpecMachine):
    """A spec of a part that is asked, and given `patience` seconds to answer."""

    most_steps: ClassVar[int | None] = 15
    patience: ClassVar[float] = SECONDS_OF_PATIENCE

    def __init__(self) -> None:
        super().__init__()
        self.patient = Patience(self.patience)

    def teardown(self) -> None:
        """As of every spec; and the worker goes."""
        try:
            super().teardown()
        finally:
            self.patient.close()


class StrategySpec(PatientSpec):
    """A strategy keeps `STRATEGY_PROPERTIES`, whatever it was asked before.

    Make your own with `make_strategy`; with `make_candidates` you say what it is to order, where it
    reads more of its candidates than names and windows. That it ever skips is not asked for.
    """

    properties = STRATEGY_PROPERTIES
    out_of_reach: ClassVar[frozenset[str]] = frozenset({"skip-names-a-need"})

    orders = Bundle("orders")

    def make_strategy(self) -> Strategy:
        """A new strategy."""
        not_written(self, "make_strategy", "an object with order()")

    def make_candidates(self) -> st.SearchStrategy[tuple[Candidate, ...]]:
        """Where candidates are drawn from: tuples, at least one in each, no name twice."""
        unique = st.lists(_STAND_INS, min_size=1, max_size=5, unique_by=lambda one: one.name)
        return unique.map(tuple)

    def __init__(self) -> None:
        super().__init__()
        self.strategy = self.make_strategy()
        if not is_strategy(self.strategy):
            refuse_made(self, "make_strategy", self.strategy, "an object with order()")
        self.subject = name_of(self.strategy)

    @rule(
        candidates=drawn_by("make_candidates", "a strategy of tuples of candidates"),
        request=_REQUESTS,
        moment=_MOMENTS,
        target=orders,
    )
    def a_call_is_ordered(
        self,
        candidates: tuple[Candidate, ...],
        request: CallOptions,
        moment: tuple[float, float],
    ) -> StrategyAct:
        """Asked twice in a row; `moment` is the time and the sample."""
        asked = (candidates, request, *moment)
        order = ask_order(self.patient, self.strategy, *asked)
        again = ask_order(self.patient, self.strategy, *asked) if order.ended else order
        act = StrategyAct(self.subject, *asked, order, again)
        self.judge(act, self.subject)
        return act

    @rule(act=orders)
    def the_same_is_asked_later(self, act: StrategyAct) -> None:
        """After other calls were ordered."""
        asked = (act.candidates, act.request, act.now, act.sample)
        later = ask_order(self.patient, self.strategy, *asked)
        kept = same_order(act.order, later)
        self.promise(kept, self.subject, _SAME_ORDER, f"{act}; asked later: {later}")


class ClassifierSpec(PatientSpec):
    """A classifier keeps `CLASSIFIER_PROPERTIES`, whatever it has read before.

    Make your own with `make_classifier`; with `make_error` you say what else it is to read.
    """

    properties = CLASSIFIER_PROPERTIES

    acts = Bundle("acts")

    def make_classifier(self) -> Classifier:
        """A new classifier: a function of an exception that returns a `Fault`."""
        not_written(self, "make_classifier", "a function of an exception that returns a Fault")

    def make_error(self) -> st.SearchStrategy[BaseException]:
        """Where exceptions are drawn from."""
        headers = st.dictionaries(st.sampled_from(["retry-after", "x"]), st.text(max_size=8))
        return st.sampled_from(_bag()) | st.builds(StatusError, st.integers(100, 599), headers)

    def __init__(self) -> None:
        super().__init__()
        self.classifier = self.make_classifier()
        if not is_classifier(self.classifier):
            wanted = "a function of an exception that returns a Fault"
            refuse_made(self, "make_classifier", self.classifier, wanted)
        self.subject = name_of(self.classifier)

    @rule(error=drawn_by("make_error", "a strategy of exceptions"), target=acts)
    def an_error_is_read(self, error: BaseException) -> ClassifierAct:
        """Read twice in a row."""
        made(self, "make_error", error, BaseException, "a strategy of exceptions")
        return self._read(error)

    @rule(which=st.integers(0, 4), target=acts)
    def a_caller_leaves(self, which: int) -> ClassifierAct:
        """Cancelled, closed, interrupted."""
        left = tuple(cancellations())
        return self._read(left[which % len(left)])

    @rule(act=acts)
    def the_same_is_read_later(self, act: ClassifierAct) -> None:
        """After other exceptions were read."""
        later = ask_classifier(self.patient, self.subject, self.classifier, act.error)
        kept = same_fault(act.reply, later.reply)
        self.promise(kept, self.subject, _SAME_FAULT, f"{act}; read later: {later}")

    def _read(self, error: BaseException) -> ClassifierAct:
        act = ask_classifier(self.patient, self.subject, self.classifier, error)
        self.judge(act, self.subject)
        return act


class StoreSpec(SpecMachine):
    """A shared store keeps `STORE_PROPERTIES`, whatever processes do and however often it is lost.

    Make your own with `make_store`: a `StoreUnderTest`, new and empty.
    """

    properties = STORE_PROPERTIES
    most_steps: ClassVar[int | None] = 25
    limit: ClassVar[int] = 2

    batches = Bundle("batches")
    leases = Bundle("leases")

    def make_store(self) -> StoreUnderTest:
        """A new, empty store."""
        not_written(self, "make_store", "a StoreUnderTest")

    def __init__(self) -> None:
        super().__init__()
        store = refuse_store(f"{type(self).__name__}.make_store", self.make_store())
        self.watched = WatchedStore(store, self.limit)
        self.sent = 0

    @rule(calls=st.integers(0, 5), failures=st.integers(0, 5), target=batches)
    def a_process_merges(self, calls: int, failures: int) -> Any:
        """A batch of its own."""
        self.sent += 1
        batch = (self.watched.version, f"batch {self.sent}", Counts(calls + failures, failures))
        self._see(self.watched.merge(*batch))
        return batch

    @rule(batch=batches)
    def a_batch_is_sent_again(self, batch: Any) -> None:
        """Because nobody answered, or much later."""
        self._see(self.watched.merge(*batch))

    @rule(racers=st.integers(1, 3))
    def processes_race(self, racers: int) -> None:
        """All of them know the same version."""
        version = self.watched.version
        for _ in range(racers):
            self._see(self.watched.move(version))

    @rule(target=leases)
    def a_process_probes(self) -> Any:
        """If it may."""
        act = self.watched.take_probe()
        self._see(act)
        return act.value if isinstance(act.value, str) else multiple()

    @rule(lease=consumes(leases))
    def a_probe_is_over(self, lease: str) -> None:
        """In time, or after its lease has expired."""
        self._see(self.watched.give_back(lease))

    @rule(seconds=st.sampled_from([TICK, LEASE_SECONDS - TICK, LEASE_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        """By the store's clock."""
        self.watched.pass_time(seconds)

    @precondition(lambda self: not self.watched.is_lost)
    @rule()
    def the_store_is_lost(self) -> None:
        """Nobody reaches it."""
        self.watched.lose()

    @precondition(lambda self: self.watched.is_lost)
    @rule()
    def the_store_is_found_again(self) -> None:
        """With all it had."""
        self.watched.find_again()

    def _see(self, act: StoreAct) -> None:
        self.judge(act, act.store)


@functools.cache
def _bag() -> tuple[BaseException, ...]:
    """Made once: drawing from it is drawing a number."""
    return tuple(ordinary_errors())
