"""Mutants: tables, and models, with one thing wrong. A spec that lets one live proves too little.

Each row is dropped, sent elsewhere, robbed of its guard or of an action, its guard is negated, it
changes places with the next of its cell; each comparison of a guard is off by one; each action does
nothing; and what a model does beside the table is left out. The audit of the table refuses some of
them; here they run all the same, so that each layer shows that it can fail alone.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from fsm_fallback.core.table import STAY, Cell, Row, Table

Method = Callable[..., Any]


@attrs.frozen
class Mutant:
    """One thing wrong.

    Attributes:
        id: What is wrong, in words that outlive a renumbering: the row by trigger, state and guard.
        table: The rows.
        methods: What the model does otherwise, by name.
        cells: Where it may make a difference; empty where nobody knows.
        rows: The rows of the original of which one has to fire before it can; empty as above.
    """

    id: str
    table: Table
    methods: Mapping[str, Method] = attrs.field(factory=dict, eq=False, repr=False)
    cells: frozenset[Cell] = attrs.field(default=frozenset(), eq=False, repr=False)
    rows: frozenset[Row] = attrs.field(default=frozenset(), eq=False, repr=False)


def mutants_of(table: Table, model: type) -> Iterator[Mutant]:
    """Every mutant of a table and of the guards and actions its rows name, in a fixed order."""
    for position, row in enumerate(table.rows):
        for what, rows, methods in _of_row(table, model, position, row):
            changed = attrs.evolve(table, rows=rows)
            fires = frozenset() if what in _BY_GUARD else frozenset({row})
            name = f"{row_name(row)}: {what}"
            yield Mutant(name, changed, methods, frozenset({row.cell}), fires)
    for name in _guards_of(table, model):
        for what, method in _off_by_one(model, name):
            cells = frozenset(row.cell for row in table.rows if row.guard == name)
            yield Mutant(f"guard {name}: {what}", table, {name: method}, cells)
    for name in dict.fromkeys(name for row in table.rows for name in row.actions):
        of = frozenset(row for row in table.rows if name in row.actions)
        cells = frozenset(row.cell for row in of)
        yield Mutant(f"action {name}: does nothing", table, {name: _nothing}, cells, of)
    for name, check in UNCHECKED:
        if hasattr(model, name):
            unchecked = _without(check, name, getattr(model, name))
            yield Mutant(f"{name}: without {check}", table, {name: unchecked})


_BY_GUARD: Final = ("always", "guard negated")
"""What makes a difference where the row does not fire, too."""

UNCHECKED: Final = (
    ("_take_back", "lease.generation != self.current.number"),
    ("_settle", "not lease.claim()"),
)
"""What a breaker checks beside its table: by method, what a mutant takes for false."""


def row_name(row: Row) -> str:
    """A row as its cell and guard, which is what it is known by."""
    guard = "" if row.guard is None else f" [{row.guard}]"
    return f"{row.trigger} in {row.source.value}{guard}"


def mutated(model: type, methods: Mapping[str, Method]) -> type:
    """A class like a model, but for some methods."""
    if not methods:
        return model
    return type(model.__name__, (model,), {"__slots__": (), **methods})


Rows = tuple[Row, ...]


def _of_row(
    table: Table, model: type, position: int, row: Row
) -> Iterator[tuple[str, Rows, Mapping[str, Method]]]:
    rows = table.rows

    def instead(*others: Row) -> Rows:
        return (*rows[:position], *others, *rows[position + 1 :])

    yield "dropped", instead(), {}
    for state in (*table.states, STAY):
        stays = row.target is STAY and state is row.source and row.trigger != "reset"
        if state is not row.target and not stays:
            where = "stays" if state is None else f"leads to {state.value}"
            yield where, instead(attrs.evolve(row, target=state)), {}
    if row.guard is not None:
        yield "always", instead(attrs.evolve(row, guard=None)), {}
        negation = f"not_{row.guard}"
        negated = instead(attrs.evolve(row, guard=negation))
        yield "guard negated", negated, {negation: _not(getattr(model, row.guard))}
    for number, action in enumerate(row.actions):
        left = " ".join((*row.actions[:number], *row.actions[number + 1 :]))
        yield f"without {action}", instead(attrs.evolve(row, action=left)), {}
    if len(row.actions) > 1:
        turned = instead(attrs.evolve(row, action=" ".join(reversed(row.actions))))
        yield "actions in reverse", turned, {}
    for later, other in enumerate(rows[position + 1 :], position + 1):
        if other.cell == row.cell:
            swapped = [*rows]
            swapped[position], swapped[later] = other, row
            yield f"after {_short(other)}", tuple(swapped), {}
            break


def _short(row: Row) -> str:
    return "the unguarded row" if row.guard is None else f"[{row.guard}]"


def _nothing(_: Any) -> None:
    return None


def _not(guard: Method) -> Method:
    def negated(model: Any) -> bool:
        return not guard(model)

    return negated


def _guards_of(table: Table, model: type) -> Iterator[str]:
    """The guards, and whatever else of the model they ask."""
    pending = list(dict.fromkeys(row.guard for row in table.rows if row.guard is not None))
    seen: set[str] = set()
    while pending:
        name = pending.pop(0)
        if name in seen:
            continue
        seen.add(name)
        yield name
        code = getattr(getattr(model, name, None), "__code__", None)
        pending += [
            other
            for other in (() if code is None else code.co_names)
            if inspect.isfunction(inspect.getattr_static(model, other, None))
        ]


_NEIGHBOUR: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_SIGN: Final = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def _off_by_one(model: type, name: str) -> Iterator[tuple[str, Method]]:
    """The method with each of its comparisons one off, as `<` is to `<=`."""
    method = getattr(model, name)
    source = textwrap.dedent(inspect.getsource(method))
    count = sum(isinstance(node, ast.Compare) for node in ast.walk(ast.parse(source)))
    for number in range(count):
        tree = ast.parse(source)
        compare = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)][number]
        sign = type(compare.ops[0])
        if sign not in _NEIGHBOUR:
            continue
        before = ast.unparse(compare)
        compare.ops[0] = _NEIGHBOUR[sign]()
        what = f"{before}, but {_SIGN[_NEIGHBOUR[sign]]}"
        yield what, _compiled(tree, name, method)


def _without(check: str, name: str, method: Method) -> Method:
    """The method with one of its conditions taken for false."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))

    class Unchecked(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            if isinstance(node, ast.expr) and ast.unparse(node) == check:
                return ast.copy_location(ast.Constant(value=False), node)
            return self.generic_visit(node)

    return _compiled(ast.fix_missing_locations(Unchecked().visit(tree)), name, method)


def _compiled(tree: ast.Module, name: str, like: Method) -> Method:
    found: dict[str, Any] = {}
    # The names of the module it was written in, and nothing put into it.
    exec(compile(tree, f"<mutant of {name}>", "exec"), dict(like.__globals__), found)  # noqa: S102
    method: Method = found[name]
    return method
