"""The shipped stateful specs, on this library's own parts.

Guarantees (specs/README.md): 1 to 8 and 13 of a breaker with windows of time, jitter and a clock
that jumps; 1, 2, 3, 4, 7 and 8 of calls that overlap; 14 of strategies; 15 of a store, as far as
there is one.
"""

from __future__ import annotations

from fsm_fallback import Sequential, classify
from fsm_fallback.core.strategies import Strategy
from fsm_fallback.providers.classifying import Classifier
from fsm_fallback.spec.stateful import (
    BreakerSpec,
    ChainSpec,
    ClassifierSpec,
    StoreSpec,
    StrategySpec,
)
from fsm_fallback.spec.watched_store import StoreUnderTest
from specs.memory_store import MemoryStore


class TheConfiguredOrderIsAStrategy(StrategySpec):
    def make_strategy(self) -> Strategy:
        return Sequential()


class TheFaultTableIsAClassifier(ClassifierSpec):
    def make_classifier(self) -> Classifier:
        return classify


class AStoreInMemoryServesAFleet(StoreSpec):
    def make_store(self) -> StoreUnderTest:
        return MemoryStore()


TestBreaker = BreakerSpec.TestCase
TestChain = ChainSpec.TestCase
TestStrategy = TheConfiguredOrderIsAStrategy.TestCase
TestClassifier = TheFaultTableIsAClassifier.TestCase
TestStore = AStoreInMemoryServesAFleet.TestCase
