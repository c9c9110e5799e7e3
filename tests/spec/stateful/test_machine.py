"""What stateful specs have in common: how they are run, and the floor."""

import subprocess
import sys
import unittest

import pytest
from hypothesis import Phase, settings

from fsm_fallback import ConfigurationError, Sequential
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.spec.stateful import BreakerSpec, StrategySpec


class Spec(StrategySpec):
    """A spec that is kept."""

    floor_examples = 10

    def make_strategy(self):
        """The configured order."""
        return Sequential()


def test_a_spec_is_a_test_case_of_unittest(few):
    """As Hypothesis makes them, with the floor, found by pytest where it is written."""
    case = Spec.TestCase
    assert issubclass(case, unittest.TestCase)
    assert case is Spec.TestCase
    assert case.__module__ == __name__
    assert case.__name__ == "Spec.TestCase"
    assert case.runTest.is_hypothesis_test
    case.settings = few
    case("runTest").run(result := unittest.TestResult())
    assert result.wasSuccessful()
    assert result.testsRun == 1


def test_a_test_case_fails_below_the_floor(few):
    """Naming what was not reached."""

    class High(Spec):
        floor = 1_000_000

    High.TestCase.settings = few
    High.TestCase("runTest").run(result := unittest.TestResult())
    ((_, told),) = result.failures
    assert "properties are below the floor of 1000000: 'strategy-never-raises' applied " in told


def test_a_floor_of_a_table_names_its_rows(few):
    """And guards."""

    class High(BreakerSpec):
        floor = 1_000_000
        floor_examples = 1

    with pytest.raises(
        AssertionError, match=r"'breaker' is below the floor of 1000000: T1 \(admit"
    ):
        High.run(few)


def test_few_examples_and_replays_are_not_asked_for_the_floor(few):
    """They prove too little anyhow."""

    class High(Spec):
        floor = 1_000_000
        floor_examples = 100

    High.run(few)
    High.floor_examples = 1
    with pytest.raises(unittest.SkipTest):  # there is nothing to replay
        High.run(settings(few, phases=[Phase.reuse]))
    with pytest.raises(AssertionError, match="below the floor"):
        High.run(few)


def test_each_run_counts_anew(few):
    """The floor is of the latest one."""
    Spec.run(few)
    once = Spec.lowest()
    Spec.run(few)
    assert 0 < Spec.lowest() <= once * 2 - 1


def test_a_history_is_no_longer_than_a_spec_wants(few):
    """Whatever the settings say, as long as they say more."""
    Spec.run(settings(few, stateful_step_count=500, max_examples=10))
    assert Spec.lowest() < 10 * 2 * Spec.most_steps


def test_a_machine_can_be_made_outside_a_run():
    """As Hypothesis does for its own purposes."""

    class Alone(Spec):
        pass

    machine = Alone()
    machine.teardown()
    assert Alone.lowest() == 0


@pytest.mark.parametrize("floor", [0, 2.5, None])
def test_a_floor_is_a_whole_number(few, floor):
    """Else nothing is run."""
    odd = type("Odd", (Spec,), {"floor": floor})
    with pytest.raises(ConfigurationError, match=r"Odd.floor is .*; give whole numbers >= 1"):
        odd.run(few)


def test_out_of_reach_names_what_there_is(few):
    """A property for a part, a row or a guard for a table."""

    class Odd(Spec):
        out_of_reach = frozenset({"never-late"})

    with pytest.raises(ConfigurationError, match="out_of_reach names 'never-late', which is none"):
        Odd.run(few)


def test_without_hypothesis_it_says_what_to_install():
    """By the name of the extra."""
    code = """
import sys
sys.modules["hypothesis"] = None
try:
    import fsm_fallback.spec.stateful
except ImportError as error:
    print(error)
"""
    done = subprocess.run(  # noqa: S603  # our own interpreter and text
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == (
        "fsm_fallback.spec.stateful needs hypothesis; install fsm-fallback[spec]"
    )


def test_the_rest_of_the_spec_does_without_hypothesis():
    """It is no dependency of the package."""
    code = """
import sys
sys.modules["hypothesis"] = None
import fsm_fallback.spec.parts, fsm_fallback.spec.schedule, fsm_fallback.spec.watched_store
import fsm_fallback.spec.floors, fsm_fallback.spec.call_properties
"""
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # as above


def test_the_floor_of_a_table_can_be_asked_for_at_any_time(few):
    """Of the latest run."""

    class Low(BreakerSpec):
        floor = 1
        out_of_reach = frozenset(
            [row_id for row_id, _ in BREAKER.numbered()]
            + [row.guard for row in BREAKER.rows if row.guard is not None]
        )

    Low.run(few)
    Low.assert_floor()
