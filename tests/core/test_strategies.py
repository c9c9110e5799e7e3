"""Strategies: the configured order, and what is one."""

from fsm_fallback import Sequential
from fsm_fallback.core.strategies import is_strategy


def test_sequential_hands_out_the_candidates_as_they_came(named):
    """The very tuple: nothing is made for a call."""
    candidates = named("a", "b", "c")
    assert Sequential().order(candidates, None, 0.0, 0.5) is candidates


def test_an_object_with_an_order_is_a_strategy_and_its_class_is_none():
    """Nobody has made one of it yet."""
    assert is_strategy(Sequential())
    assert not is_strategy(Sequential)
    assert not is_strategy("sequential")
