"""Strategies: the configured order, and what is one."""

import math

import pytest

from fsm_fallback import ConfigurationError, LoadBalanced, Sequential
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


def test_each_wrong_weight_is_a_problem_of_its_own():
    """By its name and with its value."""
    weights = {"a": -1, "b": 0, "c": "x", "d": 1e-10, "e": 1e9, "": 1, 3: math.nan}
    with pytest.raises(ConfigurationError) as caught:
        LoadBalanced(weights=weights)
    wanted = "give 0 or a number in [1e-9, 1e9]"
    nameless = "is the weight of no name; give it the name of a provider"
    assert caught.value.problems == (
        f"LoadBalanced.weights['a'] is -1; {wanted}",
        f"LoadBalanced.weights['c'] is 'x'; {wanted}",
        f"LoadBalanced.weights['d'] is 1e-10; {wanted}",
        f"LoadBalanced.weights[''] {nameless}",
        f"LoadBalanced.weights[3] {nameless}",
        f"LoadBalanced.weights[3] is nan; {wanted}",
    )


def test_weights_that_are_no_mapping_are_refused():
    """As they came."""
    with pytest.raises(ConfigurationError, match=r"LoadBalanced.weights is a list; give by the"):
        LoadBalanced(weights=[1, 2])
