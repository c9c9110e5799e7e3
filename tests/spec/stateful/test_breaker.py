"""`BreakerSpec`: real breakers keep it, broken ones do not."""

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from fsm_fallback import BreakerConfig, CircuitBreaker, ConfigurationError, CountWindow, TimeWindow
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.table import Table
from fsm_fallback.spec.breaker_properties import BREAKER_PROPERTIES
from fsm_fallback.spec.stateful import BreakerSpec
from fsm_fallback.spec.stateful.behind import BehindTheClock
from fsm_fallback.spec.stateful.telling import NEEDS_COUNT_WINDOW, NEEDS_NO_JITTER, tellable
from fsm_fallback.spec.tabled import breaker_class


def test_there_is_a_rule_for_every_trigger_of_the_table():
    """Named as the trigger is."""
    rules = {each.function.__name__ for each in BreakerSpec.setup_state().rules}
    assert set(BREAKER.triggers) <= rules


def test_the_librarys_breaker_keeps_every_promise(few):
    """The whole table and the floor are `specs/spec_stateful.py`'s."""
    BreakerSpec.run(few)
    assert BreakerSpec.lowest() >= 0


@attrs.define(eq=False)
class Leaky(Breaker):
    """Keeps the slot of a probe that was released."""

    def free_probe(self):
        """Gives it back only with evidence."""
        if self.facts:
            super().free_probe()


@attrs.define(eq=False)
class Hasty(Breaker):
    """Lets callers in a tick too early."""

    def cooled_down(self) -> bool:
        """Almost."""
        return self.facts["now"] >= self.facts["open_until"] - 2.0**-10


BROKEN = {kind: breaker_class(BREAKER, kind) for kind in (Leaky, Hasty)}


@pytest.mark.parametrize(
    ("kind", "promise"), [(Leaky, "'neutral-leaves-no-evidence'"), (Hasty, "'open-never-called'")]
)
def test_a_broken_breaker_is_caught_by_name(few, told, kind, promise):
    """With the breaker's class, the property, the act, and the rules that led to it."""

    class Spec(BreakerSpec):
        def make_breaker(self, config):
            return BROKEN[kind]("broken", config)

    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        Spec.run(settings(few, max_examples=200))
    story = told(failed.value)
    assert f"Spec: {kind.__name__} breaks " in story
    assert promise in story
    assert "state.begin(config=BreakerConfig(" in story


def test_a_table_with_no_way_home_is_caught(few, told):
    """From wherever it stands, callers and time must close it."""
    rows = tuple(
        attrs.evolve(row, target=None, action="refuse")
        if row.cell == BREAKER.rows[2].cell and row.guard == "cooled_down"
        else row
        for row in BREAKER.rows
    )
    table = Table("breaker", rows, BREAKER.initial, BREAKER.illegal, words=BREAKER.words)

    kind = breaker_class(table, sound=False)

    class Spec(BreakerSpec):
        def make_breaker(self, config):
            return kind("stuck", config)

    Spec.table = table
    Spec.properties = tuple(each for each in BREAKER_PROPERTIES if each.id != "open-cools-down")
    with pytest.raises((AssertionError, ExceptionGroup)) as failed:
        Spec.run(few)
    assert "50 callers who come and succeed leave it open" in told(failed.value)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ("closed", "Spec.make_breaker returned 'closed'; return a Breaker of fsm_fallback.core"),
        (CircuitBreaker("c"), "Spec.make_breaker returned a CircuitBreaker; return a Breaker of"),
        (Breaker, "Spec.make_breaker returned a Breaker class; return a Breaker of"),
    ],
)
def test_what_is_no_breaker_is_refused(few, made, problem):
    """Naming the factory, what it returned, and what to return."""

    class Spec(BreakerSpec):
        def make_breaker(self, config):  # the factory's
            return made

    with pytest.raises(ConfigurationError, match=problem):
        Spec.run(few)


def test_parameters_are_drawn_from_a_strategy_of_them(few):
    """A configuration alone is none, nor is a strategy of numbers."""

    class One(BreakerSpec):
        def make_config(self):
            return BreakerConfig()

    with pytest.raises(
        ConfigurationError, match=r"One.make_config returned a BreakerConfig; return"
    ):
        One.run(few)

    class Numbers(BreakerSpec):
        def make_config(self):
            return st.integers()

    with pytest.raises(
        ConfigurationError, match=r"Numbers.make_config returned 0; return a strategy"
    ):
        Numbers.run(few)


def test_a_breaker_of_another_table_is_refused(few):
    """Its rows would be counted for the wrong one."""

    class Spec(BreakerSpec):
        table = Table("breaker", BREAKER.rows[:-1], BREAKER.initial)

    with pytest.raises(ConfigurationError, match=r"runs another table than Spec.table; set table"):
        Spec.run(few)


def test_what_a_bystander_cannot_tell_is_left_out():
    """With a window of time, and with jitter; nothing else ever."""
    ids = {each.id for each in BREAKER_PROPERTIES}
    assert ids >= NEEDS_COUNT_WINDOW | NEEDS_NO_JITTER
    plain = BreakerConfig(window=CountWindow(10), jitter=0.0)
    assert {each.id for each in tellable(BREAKER_PROPERTIES, plain)} == ids
    timed = BreakerConfig(window=TimeWindow(10.0))
    left = {each.id for each in tellable(BREAKER_PROPERTIES, timed)}
    assert left == ids - NEEDS_COUNT_WINDOW - NEEDS_NO_JITTER


def test_a_clock_that_is_behind_is_told_to_the_breaker_alone():
    """Within the block; the breaker has seen the present time before."""
    breaker = Breaker("b")
    behind = BehindTheClock(breaker)
    with behind.by(5.0, 10.0):
        lease = behind.as_breaker.admit(10.0)
        behind.as_breaker.succeed(lease, 10.0)
        behind.as_breaker.force_open(10.0)
    assert breaker.now == 10.0
    behind.as_breaker.record_stays = True
    assert breaker.record_stays
    behind.as_breaker.reset(11.0)
    assert breaker.now == 11.0
