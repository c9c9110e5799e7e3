"""Tables: rows that read like the specification, and the machine made from them.

A table is a tuple of `Row`s. This module decides two things:

1. Which tables are sound (`audit`): every cell of state x trigger is either answered by rows or
   declared illegal; each cell ends in exactly one unguarded row; nothing is unreachable; every
   guard and action exists. A bad table never imports.
2. How rows become a real `transitions` machine (`machine_of`), so that whatever reads transitions
   machines reads ours.

It knows nothing of how a trigger fires (`core.compiled`), and nothing of breakers or chains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import product
from typing import Any, Final

import attrs
from transitions import Transition

from fsm_fallback.core.compiled import CompiledMachine
from fsm_fallback.errors import ConfigurationError

STAY: Final = None
"""Target of a row that does not leave its state (an internal transition, `dest=None`)."""

Cell = tuple[Enum, str]
"""A state and a trigger."""


@attrs.frozen
class Row:
    """One transition: in `source`, on `trigger`, if `guard`, do `action` and go to `target`.

    Args:
        trigger: The input, an imperative verb.
        source: The state it is for. One row, one state: a reviewer sees every cell.
        guard: Name of a method of the model annotated `-> bool`; None means always.
        target: The state it leads to, or `STAY`.
        action: Names of methods of the model, separated by spaces, called in order before the
            state changes; empty for none.
        why: One sentence for the reviewer; where nothing happens, why nothing is right.
    """

    trigger: str
    source: Enum
    guard: str | None
    target: Enum | None
    action: str
    why: str

    @property
    def actions(self) -> tuple[str, ...]:
        """The names in `action`, in order."""
        return tuple(self.action.split())

    @property
    def cell(self) -> Cell:
        """The state and trigger this row answers."""
        return (self.source, self.trigger)


@attrs.frozen
class Table:
    """A declared machine: its rows and what is said about the cells without one.

    Args:
        name: What kind of machine this is: `"breaker"`, `"chain"`.
        rows: All transitions; the position (from 1) is the row's id, `T1`, `T2`, ...
        initial: The state a model starts in.
        illegal: Cells that must never fire; firing one raises `MachineError`.
        final: States that are left by nothing.
        words: What each guard compares, for people; `{name}` stands for a parameter in force.
    """

    name: str
    rows: tuple[Row, ...]
    initial: Enum
    illegal: frozenset[Cell] = frozenset()
    final: frozenset[Enum] = frozenset()
    words: Mapping[str, str] = attrs.field(factory=dict, eq=False)

    @property
    def states(self) -> tuple[Enum, ...]:
        """All states, in the order of their declaration."""
        return tuple(type(self.initial))

    @property
    def triggers(self) -> tuple[str, ...]:
        """All triggers, in the order of their first row."""
        return tuple(dict.fromkeys(row.trigger for row in self.rows))

    def numbered(self) -> Iterator[tuple[str, Row]]:
        """Each row with its id, `("T1", row)` first."""
        return ((f"T{number}", row) for number, row in enumerate(self.rows, 1))

    def id_of(self, row: Row) -> str:
        """The id of a row of this table."""
        return f"T{self.rows.index(row) + 1}"

    def cell(self, state: Enum, trigger: str) -> tuple[Row, ...]:
        """The rows that answer a trigger in a state, in the order they are tried."""
        return tuple(row for row in self.rows if row.cell == (state, trigger))

    def guards_before(self, row: Row) -> tuple[tuple[str, bool], ...]:
        """Name and result of every guard evaluated when `row` was chosen, in order.

        Guards stop at the first that holds, so the row alone determines them.
        """
        seen = []
        for tried in self.cell(*row.cell):
            if tried.guard is not None:
                seen.append((tried.guard, tried is row))
            if tried is row:
                return tuple(seen)
        raise ValueError(f"row {row!r} is not in table {self.name!r}")

    def digest(self, parameters: Mapping[str, object] | None = None) -> str:
        """SHA-256 (hex) of the rows in canonical form and of `parameters`.

        Two machines with one digest decide alike: it names the declaration in diagrams, audit
        records and verdicts. Reasons (`why`) are prose and do not count.
        """
        import hashlib  # noqa: PLC0415  # not imported with the package: OpenSSL comes with it
        import json  # noqa: PLC0415  # as above, its reader

        declaration = {
            "name": self.name,
            "initial": self.initial.value,
            "final": sorted(state.value for state in self.final),
            "illegal": sorted([state.value, trigger] for state, trigger in self.illegal),
            "rows": [
                [
                    row.trigger,
                    row.source.value,
                    row.guard,
                    None if row.target is None else row.target.value,
                    *row.actions,
                ]
                for row in self.rows
            ],
            "parameters": _canonical(parameters or {}),
        }
        text = json.dumps(declaration, sort_keys=True, separators=(",", ":"), default=repr)
        return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object) -> object:
    """Parameters as a digest sees them: 30 and 30.0 are one number."""
    if isinstance(value, Mapping):
        return {name: _canonical(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def audit(table: Table, model: type) -> None:
    """Refuse a table that is not total, deterministic, connected and implemented.

    Args:
        table: The declaration.
        model: The class whose methods are the guards and actions.

    Raises:
        ConfigurationError: Listing every problem at once, each with its row or cell.
    """
    problems = [
        *_cell_problems(table),
        *_callback_problems(table, model),
        *_reachability_problems(table),
    ]
    if problems:
        raise ConfigurationError(problems)


def _cell_problems(table: Table) -> Iterator[str]:
    for duplicate, count in Counter(table.rows).items():
        if count > 1:
            yield f"{table.name}: row {duplicate!r} stands {count} times; keep one"
    cells: dict[Cell, list[Row]] = {cell: [] for cell in product(table.states, table.triggers)}
    for row in table.rows:
        if row.cell in cells:  # else its source is no state, which `_reachability_problems` says
            cells[row.cell].append(row)
    for cell, rows in cells.items():
        for problem in _problems_of_cell(rows, illegal=cell in table.illegal):
            yield f"{table.name}: cell ({cell[0].value!r}, {cell[1]!r}) {problem}"
    for state, trigger in table.illegal:
        if (state, trigger) not in cells:
            yield f"{table.name}: illegal cell ({state!r}, {trigger!r}) names nothing of the table"


def _problems_of_cell(rows: Sequence[Row], *, illegal: bool) -> Iterator[str]:
    if illegal:
        if rows:
            yield "has rows and is declared illegal; remove one of the two"
        return
    if not rows:
        yield "has no row; add one or declare the cell illegal"
        return
    if rows[-1].guard is not None:
        yield "does not end in an unguarded row; add one with guard None"
    guards = [row.guard for row in rows if row.guard is not None]
    if len(set(guards)) < len(guards):
        yield "asks one guard twice, and the second row can never fire"
    if any(row.guard is None for row in rows[:-1]):
        yield "has rows after an unguarded one, which can never fire"


def _callback_problems(table: Table, model: type) -> Iterator[str]:
    for number, row in table.numbered():
        for name in row.actions:
            if not callable(getattr(model, name, None)):
                yield f"{table.name} {number}: action {name!r} is not a method of {model.__name__}"
        if row.guard is None:
            continue
        if row.guard not in table.words:
            yield f"{table.name} {number}: guard {row.guard!r} has no words; add them to the table"
        guard = getattr(model, row.guard, None)
        if not callable(guard):
            yield f"{table.name} {number}: guard {row.guard!r} is not a method of {model.__name__}"
        elif getattr(guard, "__annotations__", {}).get("return") not in (bool, "bool"):
            yield f"{table.name} {number}: guard {row.guard!r} must be annotated '-> bool'"


def _reachability_problems(table: Table) -> Iterator[str]:
    forward: dict[Enum, set[Enum]] = {state: set() for state in table.states}
    for row in table.rows:
        strange = [s for s in (row.source, row.target) if s is not None and s not in forward]
        if strange:
            yield f"{table.name}: {strange[0]!r} is not a state of {type(table.initial).__name__}"
            return
        if row.target is not None:
            forward[row.source].add(row.target)
    homes = table.final or {table.initial}
    for state in table.states:
        if state not in _reachable(forward, table.initial):
            yield f"{table.name}: state {state.value!r} cannot be reached from the initial one"
        if state in table.final and forward[state]:
            yield f"{table.name}: final state {state.value!r} is left by a row"
        if not homes & _reachable(forward, state):
            home = "a final state" if table.final else "the initial state"
            yield f"{table.name}: no way leads from {state.value!r} to {home}"


def _reachable(forward: Mapping[Enum, Iterable[Enum]], start: Enum) -> set[Enum]:
    seen = {start}
    edge = [start]
    while edge:
        for state in forward[edge.pop()]:
            if state not in seen:
                seen.add(state)
                edge.append(state)
    return seen


class RowTransition(Transition):
    """A stock transition that remembers the row it was declared by."""

    row: Row

    def __init__(self, *args: Any, row: Row, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row = row


class TableMachine(CompiledMachine):
    """The frozen machine of a table: one per module, shared by every model."""

    transition_cls = RowTransition


def machine_of(table: Table, model: type) -> TableMachine:
    """Audit a table and make the frozen `transitions` machine that runs it.

    No model is ever registered: binding models breaks slotted classes and keeps them alive. Fire
    with `machine.events[trigger].trigger(model)`, or `.fire(model)` for the transition that fired.

    Raises:
        ConfigurationError: If `audit` finds the table unsound.
    """
    audit(table, model)
    return unaudited_machine_of(table, model)


def unaudited_machine_of(table: Table, model: type) -> TableMachine:
    """As `machine_of`, of a table that may be unsound: for proofs that an audit is not all.

    Raises:
        MachineError: If `transitions` cannot run it at all.
    """
    machine = TableMachine(
        model=None,
        name=table.name,
        states=[{"name": state, "final": state in table.final} for state in table.states],
        initial=table.initial,
        auto_transitions=False,
        transitions=[
            {
                "trigger": row.trigger,
                "source": row.source,
                "dest": row.target,
                "conditions": row.guard,
                "before": list(row.actions),
                "row": row,
            }
            for row in table.rows
        ],
    )
    machine.freeze(model)
    return machine
