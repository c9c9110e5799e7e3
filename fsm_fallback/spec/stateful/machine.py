"""What the stateful specs have in common: a judge, a floor, and two ways to be run as a test."""

from __future__ import annotations

import sys
import unittest
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar, NoReturn

from hypothesis import Phase
from hypothesis import settings as settings_of
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy, runner

from fsm_fallback.core.bounds import is_count, shown
from fsm_fallback.core.table import Table
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.explore import Judge
from fsm_fallback.spec.floors import CoverageFloor, assert_applied, refuse_strange
from fsm_fallback.spec.properties import Property


class SpecMachine(RuleBasedStateMachine):
    """A stateful spec; subclass one of those that say what they make.

    Attributes:
        properties: What is promised.
        table: Whose rows and guards must be reached; None where there is no table.
        floor: How often each row must fire, each guard hold and fail, and each property of a part
            apply, over all examples of a run.
        floor_examples: From how many examples on the floor is asked for; fewer prove too little.
        most_steps: How long a history gets at most, whatever the settings say; None for as long as
            they say.
        out_of_reach: Ids of rows, names of guards and ids of properties that need not be reached,
            because what this spec makes rules them out.
    """

    properties: ClassVar[tuple[Property, ...]] = ()
    table: ClassVar[Table | None] = None
    floor: ClassVar[int] = 20
    floor_examples: ClassVar[int] = 300
    most_steps: ClassVar[int | None] = None
    out_of_reach: ClassVar[frozenset[str]] = frozenset()

    _seen: ClassVar[Counter[str]]
    _strategies: ClassVar[dict[str, SearchStrategy[Any]]]
    _reached: ClassVar[CoverageFloor | None]

    def __init__(self) -> None:
        super().__init__()
        if "_seen" not in vars(type(self)):
            self._begin_run()
        self._judge = Judge(self.properties)

    # Running --------------------------------------------------------------------------------

    @classmethod
    def run(cls, settings: settings_of | None = None) -> None:
        """Draw examples and hold them against the properties; then ask for the floor.

        Args:
            settings: As of Hypothesis; by default those in force, without a deadline.

        Raises:
            AssertionError: A property is broken, with the shortest history that was found; or the
                floor was not reached, naming what was not.
            ConfigurationError: A factory method made something else than it should.
        """
        chosen = cls.TestCase.settings if settings is None else settings
        if cls.most_steps is not None and cls.most_steps < chosen.stateful_step_count:
            chosen = settings_of(chosen, stateful_step_count=cls.most_steps)
        cls._begin_run()
        run_state_machine_as_test(cls, settings=chosen)
        if chosen.max_examples >= cls.floor_examples and Phase.generate in chosen.phases:
            cls.assert_floor()

    @classmethod
    def assert_floor(cls) -> None:
        """Demand that the latest run reached what it must.

        Raises:
            AssertionError: Naming every row, guard and property below the floor.
        """
        if cls._reached is not None:
            cls._reached.assert_reached(cls.floor)
            return
        ids = [each.id for each in cls.properties]
        assert_applied(cls._seen, ids, cls.floor, cls.out_of_reach)

    @classmethod
    def applied(cls, promise: str) -> int:
        """To how many acts of the latest run a property applied, by its id."""
        return cls._seen[promise]

    @classmethod
    def lowest(cls) -> int:
        """How often the rarest of what the floor asks for was reached in the latest run."""
        if cls._reached is not None:
            return cls._reached.lowest()
        asked = {each.id for each in cls.properties} - cls.out_of_reach
        return min((cls._seen[each] for each in asked), default=0)

    @classmethod
    @lru_cache
    def _to_test_case(cls) -> Any:  # Hypothesis makes `TestCase` of it
        plain: Any = super()._to_test_case()

        class SpecTestCase(unittest.TestCase):
            settings = plain.settings

            def runTest(self) -> None:  # noqa: N802  # unittest's
                cls.run(self.settings)

            runTest.is_hypothesis_test = True  # type: ignore[attr-defined]
            runTest._hypothesis_state_machine_class = cls  # type: ignore[attr-defined]  # noqa: SLF001

        SpecTestCase.__name__ = plain.__name__
        SpecTestCase.__qualname__ = plain.__qualname__
        SpecTestCase.__module__ = cls.__module__
        SpecTestCase.__doc__ = cls.__doc__
        return SpecTestCase

    @classmethod
    def _begin_run(cls) -> None:
        if not is_count(cls.floor, 1) or not is_count(cls.floor_examples, 1):
            raise ConfigurationError(
                f"{cls.__name__}.floor is {shown(cls.floor)} and floor_examples is "
                f"{shown(cls.floor_examples)}; give whole numbers >= 1"
            )
        if cls.table is None:
            refuse_strange(cls.out_of_reach, [each.id for each in cls.properties])
        cls._seen = Counter()
        cls._strategies = {}
        cls._reached = None if cls.table is None else CoverageFloor(cls.table, cls.out_of_reach)

    def drawn(self, factory: str, wanted: str) -> SearchStrategy[Any]:
        """The strategy a factory method made, one and the same for all examples of a run.

        Raises:
            ConfigurationError: If it made something else: naming it, and what to return.
        """
        found = self._strategies.get(factory)
        if found is None:
            found = getattr(self, factory)()
            made(self, factory, found, SearchStrategy, wanted)
            self._strategies[factory] = found
        return found

    # Judging --------------------------------------------------------------------------------

    def judge(self, act: Any, subject: str, told: str | None = None) -> None:
        """Hold one act against the properties.

        Raises:
            AssertionError: Naming the part, the property and the act.
        """
        broken = self._judge.broken_by(act)
        if broken is not None:
            self.say_broken(subject, broken, str(act) if told is None else told)

    def say_broken(self, subject: str, broken: Property, told: str) -> NoReturn:
        """Say that a property is broken: of what, by what."""
        raise AssertionError(
            f"{type(self).__name__}: {subject} breaks {broken.id!r}: {broken.sentence}\n    {told}"
        )

    def promise(self, kept: object, subject: str, promise: Property, told: str) -> None:
        """Hold a fact against a property that the spec looks after itself."""
        self._judge.seen[promise.id] += 1
        if not kept:
            self.say_broken(subject, promise, told)

    def count_rows(self, rows: Iterable[Any]) -> None:
        """Count rows that fired for the floor."""
        if self._reached is not None:
            self._reached.see(rows)

    def teardown(self) -> None:
        """Count what this example was held against, and look at how it ended."""
        self._seen.update(self._judge.seen)
        if sys.exc_info()[0] is None:  # else it has ended too early to be looked at
            self.look_back()

    def look_back(self) -> None:
        """Look at an example that has ended."""


def drawn_by(factory: str, wanted: str) -> SearchStrategy[Any]:
    """What is drawn from the strategy that a factory method of the running spec makes."""
    return runner().flatmap(lambda spec: spec.drawn(factory, wanted))


def made(spec: object, factory: str, value: object, kind: type, wanted: str) -> None:
    """Refuse what a factory method made, if it is of another kind.

    Raises:
        ConfigurationError: Naming the method, what it returned and what it should.
    """
    if not isinstance(value, kind):
        refuse_made(spec, factory, value, wanted)


def refuse_made(spec: object, factory: str, value: object, wanted: str) -> NoReturn:
    """Refuse what a factory method made."""
    raise ConfigurationError(
        f"{type(spec).__name__}.{factory} returned {shown(value)}; return {wanted}"
    )


def not_written(spec: object, factory: str, wanted: str) -> NoReturn:
    """Refuse a spec that does not say what it is of."""
    raise ConfigurationError(
        f"{type(spec).__name__} has no {factory}; write the method, and return {wanted}"
    )
