"""Stateful specs for Hypothesis: subclass one, say what it is to make, and run it as a test.

    class MyStrategySpec(StrategySpec):
        def make_strategy(self):
            return Cheapest()

    TestMyStrategy = MyStrategySpec.TestCase

Or call `MyStrategySpec.run()` in a test of your own. Each spec holds the part against the named
properties of `fsm_fallback.spec`, counts what it has reached, and fails where that is below its
`floor`: a spec that never gets to a row proves nothing about it. The profile of Hypothesis says how
much is drawn; the floor is asked for from `floor_examples` on, which the smallest profiles are
below.
"""

try:
    import hypothesis.stateful  # noqa: F401  # to say what is missing before anything else does
except ImportError as error:
    raise ImportError(
        "fsm_fallback.spec.stateful needs hypothesis; install fsm-fallback[spec]"
    ) from error

from fsm_fallback.spec.stateful.breaker import BreakerSpec
from fsm_fallback.spec.stateful.chain import ChainSpec
from fsm_fallback.spec.stateful.draws import breaker_configs, chain_configs
from fsm_fallback.spec.stateful.machine import SpecMachine
from fsm_fallback.spec.stateful.parts import ClassifierSpec, StoreSpec, StrategySpec
from fsm_fallback.spec.stateful.puppet import Puppet

__all__ = [
    "BreakerSpec",
    "ChainSpec",
    "ClassifierSpec",
    "Puppet",
    "SpecMachine",
    "StoreSpec",
    "StrategySpec",
    "breaker_configs",
    "chain_configs",
]
