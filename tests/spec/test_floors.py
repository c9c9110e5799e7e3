"""Floors: what a run must reach, and what it says when it did not."""

from enum import Enum

import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.core.table import STAY, Row, Table
from fsm_fallback.spec.floors import CoverageFloor, assert_applied


class Light(Enum):
    """A small machine's states."""

    RED = "red"
    GREEN = "green"


LIGHT = Table(
    "light",
    (
        Row("turn", Light.RED, "due", Light.GREEN, "", "its time has come"),
        Row("turn", Light.RED, None, STAY, "", "not yet"),
        Row("turn", Light.GREEN, None, Light.RED, "", "at once"),
    ),
    Light.RED,
    words={"due": "it is time"},
)


def test_a_floor_that_is_reached_says_nothing():
    """Every row as often as asked for, the guard both ways."""
    floor = CoverageFloor(LIGHT)
    floor.see([*LIGHT.rows, *LIGHT.rows])
    floor.assert_reached(2)
    assert floor.lowest() == 2


def test_rows_are_counted_by_their_ids_too():
    """As records name them."""
    floor = CoverageFloor(LIGHT)
    floor.see_ids(["T1", "T2", "T3"])
    floor.assert_reached(1)


def test_a_floor_names_every_row_and_guard_below_it():
    """With how often each was seen, and what to do."""
    floor = CoverageFloor(LIGHT)
    floor.see([LIGHT.rows[1]])
    with pytest.raises(AssertionError) as failed:
        floor.assert_reached(1)
    assert str(failed.value) == (
        "table 'light' is below the floor of 1: T1 (turn in red) fired 0 times; T3 (turn in green) "
        "fired 0 times; guard 'due' was True 0 times; draw more examples or other parameters, or "
        "name in out_of_reach what these parameters rule out"
    )


def test_what_is_out_of_reach_is_not_asked_for():
    """Rows by id, guards by name."""
    floor = CoverageFloor(LIGHT, {"T1", "due"})
    floor.see(LIGHT.rows[1:])
    floor.assert_reached(1)


def test_what_the_table_does_not_have_cannot_be_out_of_reach():
    """A floor that excuses nothing is a mistake in spelling."""
    with pytest.raises(ConfigurationError, match="names 'T9', which is no row and no guard of"):
        CoverageFloor(LIGHT, {"T9"})


@pytest.mark.parametrize("least", [0, True, 2.5, "20"])
def test_a_floor_is_a_whole_number(least):
    """Of at least one: a floor of none proves nothing."""
    with pytest.raises(ConfigurationError, match=r"floor is .*; give a whole number >= 1"):
        CoverageFloor(LIGHT).assert_reached(least)


def test_properties_that_never_applied_are_named():
    """Unless they are out of reach."""
    assert_applied({"a": 20}, ["a", "b"], 20, ["b"])
    with pytest.raises(AssertionError, match="properties are below the floor of 20: 'b' applied 0"):
        assert_applied({"a": 20}, ["a", "b"], 20)


def test_what_is_no_property_cannot_be_out_of_reach():
    """As for rows."""
    with pytest.raises(ConfigurationError, match="names 'c', which is none of the properties"):
        assert_applied({}, ["a"], 1, ["c"])
