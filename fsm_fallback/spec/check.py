"""Whether tables, and classes that run them, keep their promises: explored in some scopes.

    report = check_breaker(my_table)
    print(report)

A table that does not pass its audit is explored all the same, as far as it runs: the audit names
the cell, the explorer tells a history that ends in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from transitions import MachineError

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import ChainState
from fsm_fallback.core.strategies import Strategy
from fsm_fallback.core.table import Table, audit
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.breaker_properties import BREAKER_PROPERTIES
from fsm_fallback.spec.breaker_world import breaker_worlds
from fsm_fallback.spec.chain_properties import CHAIN_PROPERTIES
from fsm_fallback.spec.chain_world import chain_worlds
from fsm_fallback.spec.coverage import coverage_verdicts
from fsm_fallback.spec.explore import Exploration, Explorer, World
from fsm_fallback.spec.properties import Property, Subject
from fsm_fallback.spec.scope import Scope
from fsm_fallback.spec.scopes import BREAKER_SCOPES, CHAIN_SCOPES
from fsm_fallback.spec.tabled import breaker_class, chain_class
from fsm_fallback.spec.tell import Counterexample
from fsm_fallback.spec.verdict import Verdict


@attrs.frozen(kw_only=True)
class Explored:
    """One scope, and what was found in it."""

    name: str
    scope: Scope
    found: Exploration

    def __str__(self) -> str:
        found = self.found
        how = "all of it" if found.is_complete else "in part"
        return (
            f"{self.name}: {found.states:,} states, {found.transitions:,} steps, "
            f"{found.seconds:.2f} s, {how} ({self.scope})"
        )


@attrs.frozen(kw_only=True)
class Report:
    """Verdicts on one subject, with the scopes they hold in.

    Attributes:
        subject: What was explored.
        problems: What the audit of its table says against it; empty for a sound one.
        verdicts: One for each property.
        scopes: What was tried.
        counterexamples: The first history that breaks each property that is not kept.
    """

    subject: str
    problems: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    scopes: tuple[Explored, ...]
    counterexamples: tuple[Counterexample, ...]

    @property
    def kept(self) -> bool:
        """Whether the table is sound and every promise is kept."""
        return not self.problems and all(verdict.kept for verdict in self.verdicts)


def check_breaker(
    subject: Table | type[Breaker] = Breaker,
    scopes: Mapping[str, Scope] | None = None,
    *,
    covers: bool = True,
    named: str | None = None,
) -> Report:
    """Explore the breaker's machine: the library's own, over another table, or another class of it.

    Args:
        subject: A table over `BreakerState`, or a subclass of `core.breaker.Breaker`.
        scopes: What to try, by name; by default `BREAKER_SCOPES`.
        covers: Whether all of it together has to reach every row, and every guard both ways.
        named: `"module:NAME"` of the subject, for the test that a counterexample comes with.

    Raises:
        ConfigurationError: If the subject is neither, or cannot be run at all.
    """
    problems, model = _breaker_of(subject)
    tables = {"breaker": model.table}
    explored = _explored(
        "breaker",
        BREAKER_SCOPES if scopes is None else scopes,
        lambda scope: breaker_worlds(scope, model),
        BREAKER_PROPERTIES,
        tables,
    )
    report = _report("breaker", subject, problems, BREAKER_PROPERTIES, explored, tables, named)
    return _covered(report, tables["breaker"]) if covers else report


def check_chain(
    subject: Table | type[Chain] = Chain,
    scopes: Mapping[str, Scope] | None = None,
    *,
    strategy: Strategy | None = None,
    covers: bool = True,
    named: str | None = None,
) -> Report:
    """Explore the chain's machine with its breakers; arguments and errors as of `check_breaker`.

    Args:
        subject: A table over `ChainState`, or a subclass of `core.chain.Chain`.
        scopes: What to try, by name; by default `CHAIN_SCOPES`.
        strategy: Orders the candidates; by default the configured order.
        covers: As of `check_breaker`, like `named`; `named` is of the strategy, where there is one.
        named: See above.
    """
    problems, model = _chain_of(subject)
    properties = (*CHAIN_PROPERTIES, *BREAKER_PROPERTIES)
    tables = {"chain": model.table, "breaker": BREAKER}
    explored = _explored(
        "chain",
        CHAIN_SCOPES if scopes is None else scopes,
        lambda scope: chain_worlds(scope, chain=model, strategy=strategy),
        properties,
        tables,
    )
    role = "subject" if strategy is None else "strategy"
    report = _report(
        "chain", subject, problems, CHAIN_PROPERTIES, explored, tables, named, role=role
    )
    return _covered(report, tables["chain"]) if covers else report


def replay(
    kind: str,
    scope: Scope,
    moves: Sequence[Any],
    *,
    root: int = 0,
    promise: str | None = None,
    subject: Table | type[Any] | None = None,
    strategy: Strategy | None = None,
) -> None:
    """Make the moves of a counterexample again.

    Args:
        kind: `"breaker"` or `"chain"`.
        scope: Its scope.
        moves: What happens, in order.
        root: How the world begins, by its place.
        promise: The id of the property to look at; by default all of them.
        subject: The table or class under proof; by default the library's own.
        strategy: What orders the candidates of a chain; by default the configured order.

    Raises:
        AssertionError: If the property is broken on the way: its sentence and the story so far.
    """
    worlds: Sequence[World]
    if kind == "breaker":
        _, breaker = _breaker_of(Breaker if subject is None else subject)
        worlds, tables = breaker_worlds(scope, breaker), {"breaker": breaker.table}
    else:
        _, chain = _chain_of(Chain if subject is None else subject)
        worlds, tables = (
            chain_worlds(scope, chain=chain, strategy=strategy),
            {"chain": chain.table, "breaker": BREAKER},
        )
    properties = [
        each
        for each in (*(CHAIN_PROPERTIES if kind == "chain" else ()), *BREAKER_PROPERTIES)
        if promise in (None, each.id) or each.kind == "no_deadlock"
    ]
    broken = Explorer(worlds, properties, depth=scope.depth).follow(moves, root)
    if broken is not None:
        found = Counterexample(broken=broken, kind=kind, scope=scope, tables=tables)
        raise AssertionError(found.story())


def _breaker_of(subject: object) -> tuple[tuple[str, ...], type[Breaker]]:
    return _run_by(subject, Breaker, BreakerState, breaker_class)


def _chain_of(subject: object) -> tuple[tuple[str, ...], type[Chain]]:
    return _run_by(subject, Chain, ChainState, chain_class)


def _run_by(subject: object, model: type, states: type, tabled: Any) -> tuple[tuple[str, ...], Any]:
    """What the audit says against a subject, and the class that runs it.

    Raises:
        ConfigurationError: If it is neither a table over these states nor a subclass of the model.
    """
    name = model.__name__
    if isinstance(subject, type) and issubclass(subject, model):
        return (), subject
    if not isinstance(subject, Table):
        raise ConfigurationError(
            f"{subject!r} is no table and no subclass of {name}; give a Table over "
            f"{states.__name__}, or a class that extends {model.__module__}.{name}"
        )
    if type(subject.initial) is not states:
        raise ConfigurationError(
            f"table {subject.name!r} is over {type(subject.initial).__name__}: the explorer runs a "
            f"{name.lower()}'s table over {states.__name__}; give one, or audit this with its own "
            "model"
        )
    return _tabled(subject, model, tabled)


def _tabled(table: Table, model: type, tabled: Any) -> tuple[tuple[str, ...], Any]:
    """What the audit says against a table, and the class that runs it nevertheless."""
    problems: tuple[str, ...] = ()
    try:
        audit(table, model)
    except ConfigurationError as error:
        problems = error.problems
    try:
        return problems, tabled(table, sound=False)
    except (MachineError, ValueError) as error:
        raise ConfigurationError(
            [*problems, f"table {table.name!r} cannot run: {error}"]
        ) from error


def _explored(
    kind: Subject,
    scopes: Mapping[str, Scope],
    worlds: Any,
    properties: Iterable[Property],
    tables: Mapping[str, Table],
) -> tuple[Explored, ...]:
    given: object = scopes
    if not isinstance(given, Mapping) or not all(isinstance(s, Scope) for s in given.values()):
        raise ConfigurationError(
            f"check_{kind}.scopes is {shown(scopes)}; give Scopes by name, as {{'small': Scope()}}"
        )
    explored = []
    for name, scope in scopes.items():
        found = Explorer(
            worlds(scope),
            properties,
            tables=tables,
            scope=f"{kind}: {scope}",
            depth=scope.depth,
            states=scope.states,
        ).run()
        explored.append(Explored(name=name, scope=scope, found=found))
    return tuple(explored)


def _report(
    kind: Subject,
    subject: object,
    problems: tuple[str, ...],
    properties: Iterable[Property],
    explored: tuple[Explored, ...],
    tables: Mapping[str, Table],
    named: str | None,
    *,
    role: str = "subject",
) -> Report:
    seen: Counter[str] = Counter()
    found: dict[str, Counterexample] = {}
    listed = {each.id: each for each in properties}
    for each in explored:
        seen.update(each.found.seen)
        for broken in each.found.broken:
            listed.setdefault(broken.promise.id, broken.promise)
            found.setdefault(
                broken.promise.id,
                Counterexample(
                    broken=broken,
                    kind=kind,
                    scope=each.scope,
                    tables=tables,
                    subject=named,
                    role=role,
                ),
            )
    name = str(getattr(subject, "name", None) or getattr(subject, "__name__", subject))
    verdicts = [
        Verdict(each, name, seen[each.id], found[each.id].story() if each.id in found else None)
        for each in listed.values()
    ]
    return Report(
        subject=name,
        problems=problems,
        verdicts=tuple(verdicts),
        scopes=explored,
        counterexamples=tuple(found.values()),
    )


def _covered(report: Report, table: Table) -> Report:
    """The report, with verdicts on what its scopes reach of a table."""
    of = report.verdicts[0].promise.of
    found = (each.found for each in report.scopes)
    coverage = coverage_verdicts(of, report.subject, table, found)
    return attrs.evolve(report, verdicts=(*report.verdicts, *coverage))
