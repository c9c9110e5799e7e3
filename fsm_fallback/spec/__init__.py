"""The executable spec: named properties, an explorer of small worlds, mutants, Hypothesis bases.

It proves the machines of this library, and a user's own tables, strategies, classifiers, drivers
and stores. Names are imported when they are first used: Hypothesis is needed by the bases alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsm_fallback.spec.bite import breaker_prey, chain_prey, control, hunt
    from fsm_fallback.spec.breaker_properties import BREAKER_PROPERTIES
    from fsm_fallback.spec.breaker_world import Move
    from fsm_fallback.spec.chain_properties import CHAIN_PROPERTIES
    from fsm_fallback.spec.check import Report, check_breaker, check_chain, replay
    from fsm_fallback.spec.drivers import DRIVER_PROPERTIES, check_driver
    from fsm_fallback.spec.explore import Exploration, Explorer
    from fsm_fallback.spec.listing import all_properties
    from fsm_fallback.spec.log import judge_log
    from fsm_fallback.spec.mutants import Mutant, mutants_of
    from fsm_fallback.spec.parts import assert_kept, check_classifier, check_strategy
    from fsm_fallback.spec.pausing import pause
    from fsm_fallback.spec.properties import Promises, Property
    from fsm_fallback.spec.schedule import Schedule
    from fsm_fallback.spec.scope import Scope
    from fsm_fallback.spec.tell import Counterexample
    from fsm_fallback.spec.verdict import Verdict
    from fsm_fallback.spec.watched_store import StoreUnderTest, check_store
else:
    from importlib import import_module

    _HOMES = {
        "bite": ("breaker_prey", "chain_prey", "control", "hunt"),
        "breaker_properties": ("BREAKER_PROPERTIES",),
        "breaker_world": ("Move",),
        "chain_properties": ("CHAIN_PROPERTIES",),
        "check": ("Report", "check_breaker", "check_chain", "replay"),
        "drivers": ("DRIVER_PROPERTIES", "check_driver"),
        "explore": ("Exploration", "Explorer"),
        "listing": ("all_properties",),
        "log": ("judge_log",),
        "mutants": ("Mutant", "mutants_of"),
        "parts": ("assert_kept", "check_classifier", "check_strategy"),
        "properties": ("Promises", "Property"),
        "pausing": ("pause",),
        "schedule": ("Schedule",),
        "scope": ("Scope",),
        "tell": ("Counterexample",),
        "verdict": ("Verdict",),
        "watched_store": ("StoreUnderTest", "check_store"),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name: str) -> object:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, getattr(import_module(f"{__name__}.{home}"), name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "BREAKER_PROPERTIES",
    "CHAIN_PROPERTIES",
    "DRIVER_PROPERTIES",
    "Counterexample",
    "Exploration",
    "Explorer",
    "Move",
    "Mutant",
    "Promises",
    "Property",
    "Report",
    "Schedule",
    "Scope",
    "StoreUnderTest",
    "Verdict",
    "all_properties",
    "assert_kept",
    "breaker_prey",
    "chain_prey",
    "check_breaker",
    "check_chain",
    "check_classifier",
    "check_driver",
    "check_store",
    "check_strategy",
    "control",
    "hunt",
    "judge_log",
    "mutants_of",
    "pause",
    "replay",
]
