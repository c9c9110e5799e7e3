"""What `audit` calls sound runs as it reads; what is unsound is refused, by row or cell.

Sound tables are drawn by construction: a way through all states first, then any rows beside it.
Each is run against stock `transitions` and against a reading of its rows that shares no code with
the core. Each flaw of `FLAWS` is then put into a sound table and must be named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings
from transitions import Machine, MachineError

from fsm_fallback.core.table import STAY, Cell, Row, Table, audit, machine_of
from fsm_fallback.errors import ConfigurationError


class Pair(Enum):
    A = "a"
    B = "b"


class Trio(Enum):
    A = "a"
    B = "b"
    C = "c"


class Quintet(Enum):
    A = "a"
    B = "b"
    C = "c"
    D = "d"
    E = "e"


class Elsewhere(Enum):
    A = "a"


WAY: Final = "advance"
TRIGGERS: Final = ("push", "pull", "rest")
GUARDS: Final = ("hot", "late", "full")
ACTIONS: Final = ("note", "count", "ring")
DOOR: Final = "ajar"
WORDS: Final[Mapping[str, str]] = {
    guard: f"it is {guard}" for guard in (*GUARDS, DOOR, "vague", "missing")
}


@attrs.define(eq=False)
class Walker:
    """A model whose guards say what the firing was drawn with; it notes whom it was asked by."""

    state: Enum
    holding: frozenset[str] = frozenset()
    journal: list[tuple[str, Enum]] = attrs.field(factory=list)

    def hot(self) -> bool:
        return self.asked("hot")

    def late(self) -> bool:
        return self.asked("late")

    def full(self) -> bool:
        return self.asked("full")

    def ajar(self) -> bool:
        return self.asked("ajar")

    def vague(self) -> int:
        return 1

    def note(self) -> None:
        self.noted("note")

    def count(self) -> None:
        self.noted("count")

    def ring(self) -> None:
        self.noted("ring")

    def asked(self, guard: str) -> bool:
        self.journal.append((guard, self.state))
        return guard in self.holding

    def noted(self, action: str) -> None:
        self.journal.append((action, self.state))


ACTING: Final = st.lists(st.sampled_from(ACTIONS), max_size=2).map(" ".join)


@st.composite
def cells(draw: st.DrawFn, cell: Cell, last: Enum | None = STAY) -> list[Row]:
    """The rows of one cell: guarded ones to anywhere, then the unguarded one to `last`."""
    state, trigger = cell
    anywhere = st.sampled_from((*type(state), STAY))
    guards = draw(st.lists(st.sampled_from(GUARDS), max_size=2, unique=True))
    return [
        *(Row(trigger, state, guard, draw(anywhere), draw(ACTING), "drawn") for guard in guards),
        Row(trigger, state, None, last, draw(ACTING), "drawn"),
    ]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A sound table: no, one or two final states, every other state on a way to them or round."""
    states: tuple[Enum, ...] = tuple(draw(st.sampled_from((Pair, Trio, Quintet))))
    finals = states[len(states) - draw(st.integers(0, min(2, len(states) - 1))) :]
    passed = states[: len(states) - len(finals)]
    rows: list[Row] = []
    for state, after in zip(passed, (*passed[1:], (*finals, passed[0])[0]), strict=True):
        rows += draw(cells((state, WAY), last=after))
    # The way ends in one final state; a door leads to the other.
    rows[:0] = [Row(WAY, passed[0], DOOR, final, "", "drawn") for final in finals[1:]]
    for trigger in TRIGGERS:
        answering = draw(st.lists(st.sampled_from(passed), max_size=len(passed), unique=True))
        for state in answering:
            rows += draw(cells((state, trigger), last=draw(st.sampled_from((*states, STAY)))))
    for final in finals:
        if draw(st.booleans()):
            rows.append(Row(WAY, final, None, STAY, draw(ACTING), "drawn"))
    answered = {row.cell for row in rows}
    used = {trigger for _, trigger in answered}
    return Table(
        name="drawn",
        rows=tuple(rows),
        initial=states[0],
        illegal=frozenset((s, t) for s in states for t in used if (s, t) not in answered),
        final=frozenset(finals),
        words=WORDS,
    )


def reading(table: Table, state: Enum, trigger: str, holding: frozenset[str]) -> Row | None:
    """The row a reviewer would point at."""
    for row in table.rows:
        if row.source is state and row.trigger == trigger:
            if row.guard is None or row.guard in holding:
                return row
    return None


def stock_of(table: Table) -> Machine:
    """The rows as a stock machine."""
    return Machine(
        model=None,
        name=table.name,
        states=type(table.initial),
        initial=table.initial,
        auto_transitions=False,
        transitions=[
            {
                "trigger": row.trigger,
                "source": row.source,
                "dest": row.target,
                "conditions": row.guard,
                "before": row.action.split(),
            }
            for row in table.rows
        ],
    )


FIRINGS: Final = st.lists(
    st.tuples(st.sampled_from((WAY, WAY, *TRIGGERS)), st.frozensets(st.sampled_from(GUARDS))),
    min_size=1,
    max_size=10,
)


class ASoundTableRunsAsItReads:
    @given(tables(), FIRINGS)
    def test_it_fires_the_row_a_reader_would_point_at(
        self, table: Table, firings: list[tuple[str, frozenset[str]]]
    ) -> None:
        """Row, guards asked, actions and state follow from the rows alone."""
        machine = machine_of(table, Walker)
        walker = Walker(table.initial)
        for trigger, holding in firings:
            source = walker.state
            row = reading(table, source, trigger, holding)
            walker.holding, walker.journal = holding, []
            if row is None:
                assert (source, trigger) in table.illegal or trigger not in table.triggers
                continue
            assert machine.events[trigger].fire(walker).row is row
            asked = [(guard, source) for guard, _ in table.guards_before(row)]
            assert walker.journal == [*asked, *((action, source) for action in row.actions)]
            assert walker.state is (source if row.target is None else row.target)

    @given(tables(), FIRINGS)
    def test_it_fires_as_stock_does(
        self, table: Table, firings: list[tuple[str, frozenset[str]]]
    ) -> None:
        """Same states, same calls, same errors as the rows given to a stock machine."""
        machine, stock = machine_of(table, Walker), stock_of(table)
        walker, twin = Walker(table.initial), Walker(table.initial)
        for trigger, holding in firings:
            if trigger not in table.triggers:
                continue
            walker.holding = twin.holding = holding
            ends: list[tuple[object, ...]] = []
            for each, model in ((machine, walker), (stock, twin)):
                try:
                    ends.append((each.events[trigger].trigger(model), model.state, model.journal))
                except MachineError as error:
                    ends.append((str(error), model.state, model.journal))
            assert ends[0] == ends[1]


Flawed = tuple[Table, str]
"""An unsound table, and what the refusal has to say of it."""


def where(row: Row) -> str:
    """How a refusal names a cell."""
    return f"drawn: cell ({row.source.value!r}, {row.trigger!r})"


def unguarded(table: Table) -> list[Row]:
    """The last rows of their cells."""
    return [row for row in table.rows if row.guard is None]


def without(table: Table, *rows: Row) -> Table:
    """The table less some of its rows."""
    return attrs.evolve(table, rows=tuple(row for row in table.rows if row not in rows))


def instead(table: Table, row: Row, **changes: Any) -> Table:
    """The table with one row changed."""
    changed = attrs.evolve(row, **changes)
    rows = tuple(changed if each is row else each for each in table.rows)
    return attrs.evolve(table, rows=rows)


@st.composite
def a_cell_without_rows(draw: st.DrawFn, table: Table) -> Flawed:
    """Total no more: nothing answers a trigger in a state."""
    row = draw(st.sampled_from(table.rows))
    rest = without(table, *table.cell(*row.cell))
    assume(row.trigger in rest.triggers)
    return rest, f"{where(row)} has no row"


@st.composite
def a_cell_that_may_choose_none(draw: st.DrawFn, table: Table) -> Flawed:
    """Total no more: all guards may be false."""
    row = draw(st.sampled_from(unguarded(table)))
    assume(len(table.cell(*row.cell)) > 1)
    return without(table, row), f"{where(row)} does not end in an unguarded row"


@st.composite
def a_row_that_can_never_fire(draw: st.DrawFn, table: Table) -> Flawed:
    """A row hides behind an unguarded one."""
    row = draw(st.sampled_from(unguarded(table)))
    dead = attrs.evolve(row, guard=draw(st.sampled_from((None, "hot"))), why="dead")
    flawed = attrs.evolve(table, rows=(*table.rows, dead))
    return flawed, f"{where(row)} has rows after an unguarded one"


@st.composite
def a_row_twice(draw: st.DrawFn, table: Table) -> Flawed:
    """The same row again, at the end."""
    row = draw(st.sampled_from(table.rows))
    return attrs.evolve(table, rows=(*table.rows, row)), f"drawn: row {row!r} stands 2 times"


@st.composite
def a_state_nobody_reaches(draw: st.DrawFn, table: Table) -> Flawed:
    """Every row into a state stays instead."""
    state = draw(st.sampled_from(table.states[1:]))
    for row in table.rows:
        if row.target is state:
            table = instead(table, row, target=STAY)
    return table, f"drawn: state {state.value!r} cannot be reached from the initial one"


@st.composite
def a_state_nobody_leaves(draw: st.DrawFn, table: Table) -> Flawed:
    """Every row out of a state stays instead."""
    leaving = {row.source for row in table.rows if row.target is not None}
    state = draw(st.sampled_from([s for s in table.states if s in leaving]))
    assume(table.final or state is not table.initial)
    for row in table.rows:
        if row.source is state:
            table = instead(table, row, target=STAY)
    return table, f"drawn: no way leads from {state.value!r} to "


@st.composite
def a_final_state_left(draw: st.DrawFn, table: Table) -> Flawed:
    """A row leads from a final state back to the start."""
    assume(table.final)
    state = draw(st.sampled_from([s for s in table.states if s in table.final]))
    row = Row("leave", state, None, table.initial, "", "drawn")
    flawed = attrs.evolve(table, rows=(*table.rows, row))
    return flawed, f"drawn: final state {state.value!r} is left by a row"


@st.composite
def an_illegal_cell_with_rows(draw: st.DrawFn, table: Table) -> Flawed:
    """A cell is answered and declared illegal."""
    row = draw(st.sampled_from(table.rows))
    flawed = attrs.evolve(table, illegal=table.illegal | {row.cell})
    return flawed, f"{where(row)} has rows and is declared illegal"


@st.composite
def an_illegal_cell_of_nothing(draw: st.DrawFn, table: Table) -> Flawed:
    """A cell of a trigger or state that is none is declared illegal."""
    cell = draw(st.sampled_from(((table.initial, "unheard_of"), (Elsewhere.A, WAY))))
    flawed = attrs.evolve(table, illegal=table.illegal | {cell})
    return flawed, f"drawn: illegal cell ({cell[0]!r}, {cell[1]!r}) names nothing of the table"


@st.composite
def a_target_of_another_machine(draw: st.DrawFn, table: Table) -> Flawed:
    """A row leads to a state of another enumeration."""
    row = draw(st.sampled_from(table.rows))
    flawed = instead(table, row, target=Elsewhere.A)
    return flawed, f"drawn: {Elsewhere.A!r} is not a state of {type(table.initial).__name__}"


@st.composite
def an_action_nobody_wrote(draw: st.DrawFn, table: Table) -> Flawed:
    """The second of two actions is missing."""
    row = draw(st.sampled_from(table.rows))
    flawed = instead(table, row, action="note missing")
    return flawed, f"drawn {table.id_of(row)}: action 'missing' is not a method of Walker"


@st.composite
def a_guard_nobody_wrote(draw: st.DrawFn, table: Table) -> Flawed:
    """A guard is missing."""
    row = draw(st.sampled_from(table.rows))
    flawed = instead(table, row, guard="missing")
    return flawed, f"drawn {table.id_of(row)}: guard 'missing' is not a method of Walker"


@st.composite
def a_guard_that_may_answer_anything(draw: st.DrawFn, table: Table) -> Flawed:
    """A guard is not annotated as bool."""
    row = draw(st.sampled_from(table.rows))
    flawed = instead(table, row, guard="vague")
    return flawed, f"drawn {table.id_of(row)}: guard 'vague' must be annotated '-> bool'"


@st.composite
def a_guard_without_words(draw: st.DrawFn, table: Table) -> Flawed:
    """A diagram could not say what a guard compares."""
    row = draw(st.sampled_from(table.rows))
    assume(row.guard is not None)
    flawed = attrs.evolve(table, words={})
    return flawed, f"drawn {table.id_of(row)}: guard {row.guard!r} has no words"


FLAWS: Final[tuple[Callable[[Table], st.SearchStrategy[Flawed]], ...]] = (
    a_cell_without_rows,
    a_cell_that_may_choose_none,
    a_row_that_can_never_fire,
    a_row_twice,
    a_state_nobody_reaches,
    a_state_nobody_leaves,
    a_final_state_left,
    an_illegal_cell_with_rows,
    an_illegal_cell_of_nothing,
    a_target_of_another_machine,
    an_action_nobody_wrote,
    a_guard_nobody_wrote,
    a_guard_that_may_answer_anything,
    a_guard_without_words,
)


class AnUnsoundTableIsRefused:
    @pytest.mark.parametrize("flaw", FLAWS)
    @settings(max_examples=settings().max_examples // 10)
    @given(st.data(), tables())
    def test_by_the_row_or_cell_that_is_wrong(
        self,
        flaw: Callable[[Table], st.SearchStrategy[Flawed]],
        data: st.DataObject,
        table: Table,
    ) -> None:
        """Every flaw is named, wherever in a sound table it stands."""
        audit(table, Walker)
        flawed, reason = data.draw(flaw(table))
        with pytest.raises(ConfigurationError) as refusal:
            machine_of(flawed, Walker)
        assert any(problem.startswith(reason) for problem in refusal.value.problems)
