"""Whether the spec bites: every mutant is killed, or shown to be no mutant at all.

A mutant is killed when a property breaks somewhere in the scopes. One that lives is run side by
side with the original: if in all scopes, the whole ones among them, no step of the two differs, it
is equal, and nobody could tell; if one does, it survived, and the spec has a hole. The original
itself must live, or the harness proves nothing.
"""

from __future__ import annotations

import os
import threading
import time
import tomllib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.table import Cell, Row, Table, audit
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.breaker_properties import BREAKER_PROPERTIES
from fsm_fallback.spec.breaker_world import breaker_worlds
from fsm_fallback.spec.chain_properties import CHAIN_PROPERTIES
from fsm_fallback.spec.chain_world import chain_worlds
from fsm_fallback.spec.explore import Exploration, Explorer, World
from fsm_fallback.spec.mutants import Mutant, mutants_of, mutated
from fsm_fallback.spec.properties import Property
from fsm_fallback.spec.scope import Scope
from fsm_fallback.spec.scopes import BREAKER_SCOPES, CHAIN_SCOPES, WHOLE_BREAKER, WHOLE_CHAIN
from fsm_fallback.spec.tabled import breaker_class, chain_class

_BY_VALUE: Final = (str, int, float, type(None), Enum, Fault, BreakerConfig)
"""What two worlds share the values of; of anything else, what it says of itself."""

_A_LOOK: Final = 0.5  # seconds between looks for the parent

Fate = Literal["killed", "equal", "survived"]


@attrs.frozen
class Fated:
    """What became of a mutant.

    Attributes:
        mutant: Which one.
        fate: `"killed"`, `"equal"` or `"survived"`.
        by: The id of the property that killed it; of a survivor, the step that differs.
        is_audited: Whether the audit of its table refuses it, too.
    """

    mutant: Mutant
    fate: Fate
    by: str
    is_audited: bool


@attrs.frozen
class Prey:
    """What mutants are made of, and where they are hunted.

    Attributes:
        table: The rows.
        model: The class that runs them.
        properties: What must break.
        scopes: Where it must.
        whole: The largest scopes, in which the equal ones are shown to be so.
        tabled: Makes a class that runs another table.
        worlds: Makes the worlds of a scope, of such a class.
    """

    table: Table
    model: type
    properties: tuple[Property, ...]
    scopes: tuple[Scope, ...]
    whole: tuple[Scope, ...]
    tabled: Callable[..., type]
    worlds: Callable[[Scope, Any], Sequence[World]]


def breaker_prey(table: Table | None = None) -> Prey:
    """The breaker's machine, or another table for it."""
    return Prey(
        Breaker.table if table is None else table,
        Breaker,
        BREAKER_PROPERTIES,
        tuple(BREAKER_SCOPES.values()),
        tuple(WHOLE_BREAKER.values()),
        breaker_class,
        breaker_worlds,
    )


def chain_prey(table: Table | None = None) -> Prey:
    """The chain's machine, or another table for it."""
    return Prey(
        Chain.table if table is None else table,
        Chain,
        (*CHAIN_PROPERTIES, *BREAKER_PROPERTIES),
        tuple(CHAIN_SCOPES.values()),
        tuple(WHOLE_CHAIN.values()),
        chain_class,
        lambda scope, model: chain_worlds(scope, chain=model),
    )


@attrs.frozen
class Catch:
    """What a hunt came to.

    Attributes:
        name: What was hunted.
        broken: The property that the original itself breaks; None for a hunt that counts.
        fated: What became of each mutant.
        known: The equal ones that are known, with the reason; None where nobody lists them.
    """

    name: str
    broken: str | None
    fated: tuple[Fated, ...]
    known: Mapping[str, str] | None = None

    def of(self, fate: Fate) -> tuple[Fated, ...]:
        """The mutants that met a fate."""
        return tuple(each for each in self.fated if each.fate == fate)

    def problems(self) -> Iterator[str]:
        """Why the spec does not bite; nothing where it does."""
        if self.broken is not None:
            yield f"{self.name} itself breaks {self.broken!r}, so that its mutants prove nothing"
        for each in self.of("survived"):
            yield f"{each.mutant.id} survived, and differs in a step: {each.by}"
        if self.known is None:
            return
        equal = {each.mutant.id for each in self.of("equal")}
        for unlisted in sorted(equal - self.known.keys()):
            yield f"{unlisted} is equal to the original, and not listed; list it with the reason"
        for stale in sorted(self.known.keys() - equal):
            yield f"{stale} is listed as equal, and is not there or is killed; strike it out"


def read_equivalent(path: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    """The equal mutants that are known, by the name of their table: id and reason.

    Raises:
        ConfigurationError: If the file cannot be read as such.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{os.fspath(path)!r} cannot be read: {error}") from error
    for name, reasons in found.items():
        if not isinstance(reasons, dict) or not all(
            isinstance(reason, str) and reason for reason in reasons.values()
        ):
            raise ConfigurationError(
                f"{os.fspath(path)!r} has {name!r}, which is no table of reasons; give each equal "
                "mutant its reason"
            )
    return found


def control(prey: Prey) -> str | None:
    """The property that the original breaks; None, or no hunt proves anything.

    Raises:
        ConfigurationError: If the table names what the model does not have.
    """
    problems = [each for each in _audited(prey.table, prey.model) if "is not a method" in each]
    if problems:
        raise ConfigurationError(problems)
    return _killer(prey, prey.tabled(prey.table, sound=False), prey.scopes)


def hunt(prey: Prey, mutants: Iterable[Mutant] | None = None) -> Iterator[Fated]:
    """What becomes of each mutant; by default of all there are."""
    grounds = _grounds(prey, prey.scopes)
    whole: tuple[_Ground, ...] | None = None  # only equal ones ask for it, and it takes its time
    for mutant in mutants_of(prey.table, prey.model) if mutants is None else mutants:
        model = prey.tabled(mutant.table, mutated(prey.model, mutant.methods), sound=False)
        killer = _killer(prey, model, _nearest(grounds, mutant))
        is_audited = bool(_audited(mutant.table, model))
        if killer is not None:
            yield Fated(mutant, "killed", killer, is_audited)
            continue
        if whole is None:
            whole = _grounds(prey, prey.whole)
        telling = [each.scope for each in (*grounds, *whole) if each.may_tell(mutant)]
        difference = tell_apart(prey, model, telling)
        fate: Fate = "equal" if difference is None else "survived"
        yield Fated(mutant, fate, difference or "", is_audited)


def hunt_in_processes(make: Callable[[], Prey], jobs: int) -> tuple[Fated, ...]:
    """As `hunt`, shared out to some processes.

    Args:
        make: Makes the prey anew in each process; importable by name, as pickle wants it.
        jobs: How many processes.
    """
    # Left, by Ctrl-C too, it ends the processes; and they end with this one, however that ends.
    with get_context("spawn").Pool(jobs, _end_with, (os.getpid(),)) as pool:
        shares = pool.starmap(_share, [(make, first, jobs) for first in range(jobs)])
    # A mutant's methods cannot be sent: by place, with the mutants made here.
    fates = {place: fate for share in shares for place, fate in share}
    prey = make()
    return tuple(
        Fated(mutant, *fates[place])
        for place, mutant in enumerate(mutants_of(prey.table, prey.model))
    )


def _end_with(parent: int) -> None:
    """End this process when its parent has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_A_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _share(
    make: Callable[[], Prey], first: int, jobs: int
) -> list[tuple[int, tuple[Fate, str, bool]]]:
    prey = make()
    numbered = [*enumerate(mutants_of(prey.table, prey.model))][first::jobs]
    hunted = hunt(prey, (mutant for _, mutant in numbered))
    return [
        (place, (fated.fate, fated.by, fated.is_audited))
        for (place, _), fated in zip(numbered, hunted, strict=True)
    ]


def tell_apart(prey: Prey, model: type, scopes: Iterable[Scope] | None = None) -> str | None:
    """The first step in which a class differs from the original; None if none does.

    `scopes`: those in which it may; by default all of them.
    """
    original = prey.tabled(prey.table, sound=False)
    for scope in (*prey.scopes, *prey.whole) if scopes is None else scopes:
        twins = [
            Twins(one, other)
            for one, other in zip(
                prey.worlds(scope, original), prey.worlds(scope, model), strict=True
            )
        ]
        found = Explorer(twins, (_AGREE,), depth=scope.depth, states=scope.states, stops=True).run()
        if found.broken:
            broken = found.broken[0]
            moves = ", ".join(step.move.what for step in broken.steps)
            return f"{moves}: {broken.why}"
        if scope.depth is None and not found.is_complete:
            return f"nobody knows: the scope has more than {scope.states} states"
    return None


@attrs.define(eq=False)
class Twins:
    """Two worlds in which the same happens."""

    one: World
    other: World

    def moves(self) -> Iterable[Any]:
        """What may happen in the first."""
        return self.one.moves()

    def make(self, move: Any) -> tuple[Any, ...]:
        """Let it happen in both; raises if it came to something else.

        Raises:
            AssertionError: Naming what differs.
        """
        for one, other in zip(self.one.make(move), self.other.make(move), strict=True):
            for name, value, twin in zip(one._fields, told(one), told(other), strict=True):
                if value != twin:
                    raise AssertionError(f"{name} of {one.trigger} is {twin!r}, not {value!r}")
        return ()

    def untouched(self, move: Any) -> Iterable[Any]:
        """What neither touches."""
        return (*self.one.untouched(move), *self.other.untouched(move))

    def key(self) -> Hashable:
        """The keys of both."""
        return (self.one.key(), self.other.key())

    def standings(self) -> tuple[tuple[str, Any], ...]:
        """Nothing is asked of them."""
        return ()

    def is_way(self, move: Any) -> bool:
        """As in the first."""
        return self.one.is_way(move)


def told(act: Any) -> tuple[Any, ...]:
    """An act as far as anybody outside could tell: rows, errors and leases by what they say."""
    return tuple(_told(value) for value in act)


def _told(value: Any) -> Any:
    if isinstance(value, tuple):
        named = getattr(value, "_replace", None)
        if named is not None and hasattr(value, "row"):  # a record; the rows are not the same
            value = named(row=None)
        return tuple(_told(each) for each in value)
    return value if isinstance(value, _BY_VALUE) else repr(value)


@attrs.frozen
class _Ground:
    """A scope as the original leaves it: where it fires, and what trying it costs."""

    scope: Scope
    rows: frozenset[Row]
    cells: frozenset[Cell]
    steps: int

    def distance(self, mutant: Mutant) -> int:
        """0 where a row fires that the mutant is of, 1 where its cell is tried, 2 for elsewhere."""
        if mutant.rows & self.rows:
            return 0
        if not mutant.cells or mutant.cells & self.cells:
            return 1
        return 2

    def may_tell(self, mutant: Mutant) -> bool:
        """Whether the mutant may differ from the original here."""
        return self.distance(mutant) < (1 if mutant.rows else 2)


def _grounds(prey: Prey, scopes: tuple[Scope, ...]) -> tuple[_Ground, ...]:
    """Where the original fires in each scope."""
    rows = dict(prey.table.numbered())
    grounds = []
    for scope in scopes:
        found = _explored(prey, scope, prey.tabled(prey.table, sound=False), prey.properties)
        fired = frozenset(
            rows[row_id] for machine, row_id in found.rows if machine == prey.table.name
        )
        cells = frozenset(row.cell for row in fired)
        grounds.append(_Ground(scope, fired, cells, found.transitions))
    return tuple(grounds)


def _nearest(grounds: tuple[_Ground, ...], mutant: Mutant) -> tuple[Scope, ...]:
    """All scopes, those first in which the mutant may make a difference, and the cheap ones."""

    def distance(ground: _Ground) -> tuple[int, int]:
        return ground.distance(mutant), ground.steps

    return tuple(ground.scope for ground in sorted(grounds, key=distance))


def _explored(
    prey: Prey, scope: Scope, model: type, properties: tuple[Property, ...]
) -> Exploration:
    return Explorer(
        prey.worlds(scope, model),
        properties,
        tables={prey.table.name: prey.table},
        depth=scope.depth,
        states=scope.states,
        stops=True,
    ).run()


def _killer(prey: Prey, model: type, scopes: tuple[Scope, ...]) -> str | None:
    for scope in scopes:
        found = _explored(prey, scope, model, prey.properties)
        if found.broken:
            return found.broken[0].promise.id
    return None


def _audited(table: Table, model: type) -> tuple[str, ...]:
    """What the audit says against a table."""
    try:
        audit(table, model)
    except ConfigurationError as error:
        return error.problems
    return ()


_AGREE: Final = Property(
    id="twins-agree",
    kind="no_deadlock",
    of="breaker",
    sentence="The same happens to both, and comes to the same.",
)
