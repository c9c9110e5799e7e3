"""The explorer: every history of a small world, breadth first, over the real code.

A world says what may happen next and lets it happen; the explorer tries everything, each distinct
state once, and judges every step and state by the properties. Breadth first, so that the history of
whatever is found is the shortest there is. It knows nothing of breakers or chains.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import attrs

from fsm_fallback.core.table import Table
from fsm_fallback.spec.copying import CannotCopy, copied
from fsm_fallback.spec.properties import Property

_UNKNOWN: Final = -1
"""Stands for every state that was not looked at: a way there may lead home."""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class World(Protocol):
    """Real objects, and what may happen to them."""

    def moves(self) -> Iterable[Any]:
        """What may happen next."""
        ...

    def make(self, move: Any) -> Sequence[Any]:
        """Let something happen; the acts it came to."""
        ...

    def untouched(self, move: Any) -> Iterable[Any]:
        """The parts that a move cannot change, nor lead to one that it can: they are not copied."""
        ...

    def key(self) -> Hashable:
        """Two worlds with one key have one future."""
        ...

    def standings(self) -> Sequence[tuple[str, Any]]:
        """How each machine stands that a `can_always` property may ask about, by its kind."""
        ...

    def is_way(self, move: Any) -> bool:
        """Whether a move counts as a way home; an operator's help does not, where none spoke."""
        ...


class Judge:
    """Holds properties against acts, and counts to how many each applied."""

    def __init__(self, properties: Iterable[Property]) -> None:
        self.properties: Final = tuple(properties)
        self.seen: Counter[str] = Counter()
        self._steps: dict[tuple[str, str], tuple[Property, ...]] = {}
        self._graphs: Final = [each for each in self.properties if each.kind == "can_always"]
        self.deadlock: Final = {
            each.of: each for each in self.properties if each.kind == "no_deadlock"
        }

    def broken_by(self, act: Any, known: Container[str] = ()) -> Property | None:
        """The first property that an act breaks, but those known by id; None if it keeps them."""
        of, trigger, source = act.of, act.trigger, act.before.state
        found = self._steps.get((of, trigger))
        if found is None:
            found = self._steps[of, trigger] = tuple(self._of_steps(of, trigger))
        for each in found:
            if each.id in known or (each.sources and source not in each.sources):
                continue
            if not each.when(act):
                continue
            kept = each.then(act)
            self.seen[each.id] += kept or each.kind != "sometimes"
            if not kept and each.kind != "sometimes":
                return each
        return None

    def goals(self, standings: Sequence[tuple[str, Any]]) -> list[tuple[Property, bool]]:
        """Of each property of graphs, whether a state is its goal."""
        return [
            (each, all(each.then(standing) for of, standing in standings if of == each.of))
            for each in self._graphs
        ]

    def _of_steps(self, of: str, trigger: str) -> Iterable[Property]:
        for each in self.properties:
            if each.of == of and each.kind in ("obliges", "never", "sometimes"):
                if not each.triggers or trigger in each.triggers:
                    yield each


@attrs.frozen
class Step:
    """A move, and the acts it came to; none where it raised or time passed."""

    move: Any
    acts: tuple[Any, ...]


@attrs.frozen
class Broken:
    """A property that is not kept, with the shortest history that shows it.

    Attributes:
        promise: Which one.
        root: How the world began, by its place among those given.
        steps: What happened, in order; the last one broke it.
        why: What was raised, or what the graph lacks; empty where the last act says it all.
    """

    promise: Property
    root: int
    steps: tuple[Step, ...]
    why: str = ""


@attrs.frozen(kw_only=True)
class Exploration:
    """What an explorer found.

    Attributes:
        scope: How much was tried, in words.
        states: How many distinct states were found.
        transitions: How many steps were made.
        seconds: How long that took.
        is_complete: Whether nothing is left to be tried in the scope.
        seen: To how many acts each property applied, by its id.
        rows: How often each row fired, by machine and id.
        guards: How often each guard held and did not, by machine and name.
        broken: The first history that breaks each property that is not kept.
    """

    scope: str
    states: int
    transitions: int
    seconds: float
    is_complete: bool
    seen: Mapping[str, int]
    rows: Mapping[tuple[str, str], int]
    guards: Mapping[tuple[str, str, bool], int]
    broken: tuple[Broken, ...]


class Explorer:
    """Explores a world.

    Args:
        worlds: The ways it may begin; they are left as they were.
        properties: What must hold.
        tables: The tables whose rows and guards are counted, by the kind of machine.
        scope: The scope, in words.
        depth: After how many steps to stop; None for never.
        states: How many states to find at most.
        stops: Whether to stop at the first property that is broken.
    """

    def __init__(
        self,
        worlds: Sequence[World],
        properties: Iterable[Property],
        *,
        tables: Mapping[str, Table] | None = None,
        scope: str = "",
        depth: int | None = None,
        states: int = 200_000,
        stops: bool = False,
    ) -> None:
        self._worlds = tuple(worlds)
        self._judge = Judge(properties)
        self._tables = tables or {}
        self._scope = scope
        self._depth = depth
        self._most = states
        self._stops = stops
        self._broken: dict[str, Broken] = {}
        self._rows: Counter[tuple[str, Any]] = Counter()
        self._transitions = 0

        # By number of a state: where it came from (a root: from its place, less one, less than
        # zero), and where it leads.
        self._from: list[tuple[int, Any]] = []
        self._known: dict[Hashable, int] = {}
        self._edge: deque[tuple[int, World, int]] = deque()
        self._ways: list[list[int]] = []
        self._goals: list[list[tuple[Property, bool]]] = []

    def run(self) -> Exploration:
        """Try everything."""
        began = time.perf_counter()
        is_complete = self._search()
        if not (self._stops and self._broken):
            self._look_for_ways_home()
            self._look_for_what_never_happened()
        for each in self._judge.deadlock.values():
            self._judge.seen[each.id] += self._transitions
        rows, guards = self._counted()
        return Exploration(
            scope=self._scope,
            states=len(self._from),
            transitions=self._transitions,
            seconds=time.perf_counter() - began,
            is_complete=is_complete,
            seen=dict(self._judge.seen),
            rows=rows,
            guards=guards,
            broken=tuple(self._broken.values()),
        )

    def follow(self, moves: Iterable[Any], root: int = 0) -> Broken | None:
        """Make given moves alone, and look for ways home from where they end; what they break."""
        world = copied(self._worlds[root])
        steps: list[Step] = []
        for move in moves:
            try:
                steps.append(Step(move, ()))
                acts = tuple(world.make(move))
                steps[-1] = Step(move, acts)
                broken = next(filter(None, map(self._judge.broken_by, acts)), None)
            except BaseException as error:  # noqa: BLE001  # as in a search
                return Broken(self._stuck_by(error), root, tuple(steps), _words(error))
            if broken is not None:
                return Broken(broken, root, tuple(steps))
        kinds = ("can_always", "no_deadlock")
        graphs = [each for each in self._judge.properties if each.kind in kinds]
        onward = Explorer([world], graphs, depth=self._depth, states=self._most).run()
        lost = next((each for each in onward.broken if not each.steps), None)
        return None if lost is None else attrs.evolve(lost, root=root, steps=tuple(steps))

    def _search(self) -> bool:
        """Try everything; whether nothing was left out."""
        for place, root in enumerate(self._worlds):
            self._number(copied(root), -1 - place, None, 0)
        is_complete = True
        while self._edge and not (self._stops and self._broken):
            number, world, depth = self._edge.popleft()
            if self._depth is not None and depth >= self._depth:
                is_complete = False
            else:
                is_complete &= self._expand(number, world, depth)
        return is_complete

    def _expand(self, number: int, world: World, depth: int) -> bool:
        """Try whatever may happen in one state; whether there was room for what it led to."""
        ways: list[int] = []
        for move in tuple(world.moves()):
            try:
                found = self._try(world, move, number, depth)
            except BaseException as error:  # noqa: BLE001  # whatever explored code raises is the find
                self._note_stuck(number, move, error)
                continue
            if self._stops and self._broken:
                return False
            if found == _UNKNOWN or world.is_way(move):
                ways.append(found)
        self._ways[number] = ways
        return _UNKNOWN not in ways

    def _try(self, world: World, move: Any, number: int, depth: int) -> int:
        """Make a move in a copy, and judge it; the number of the state it leads to."""
        self._transitions += 1
        child = copied(world, {id(part): part for part in world.untouched(move)})
        for act in child.make(move):
            for row in act.rows:
                self._rows[act.of, row] += 1
            while (broken := self._judge.broken_by(act, self._broken)) is not None:
                self._broken[broken.id] = self._told(broken, number, move)
                if self._stops:
                    return _UNKNOWN
        return self._number(child, number, move, depth + 1)

    def _number(self, world: World, before: int, move: Any, depth: int) -> int:
        """The number of a state, a new one to be expanded; `_UNKNOWN` if there is no room."""
        key = world.key()
        number = self._known.get(key)
        if number is None:
            if len(self._known) >= self._most:
                return _UNKNOWN
            number = self._known[key] = len(self._from)
            self._from.append((before, move))
            self._ways.append([_UNKNOWN])  # not expanded yet
            self._goals.append(self._judge.goals(world.standings()))
            self._edge.append((number, world, depth))
        return number

    def _stuck_by(self, error: BaseException) -> Property:
        """The property that whatever is raised breaks; raises what is not for it to judge."""
        if isinstance(error, (KeyboardInterrupt, CannotCopy)) or not self._judge.deadlock:
            raise error
        return next(iter(self._judge.deadlock.values()))

    def _note_stuck(self, number: int, move: Any, error: BaseException) -> None:
        each = self._stuck_by(error)
        if each.id not in self._broken:
            told = self._told(each, number)
            steps = (*told.steps, Step(move, ()))
            self._broken[each.id] = Broken(each, told.root, steps, told.why or _words(error))

    def _told(self, broken: Property, number: int, *last: Any) -> Broken:
        """The history again, from the beginning, with all that was done in it."""
        moves = list(reversed(last))
        while number >= 0:
            number, move = self._from[number]
            moves.append(move)
        root = -1 - number
        world = copied(self._worlds[root])
        steps: list[Step] = []
        for move in reversed(moves[:-1]):
            steps.append(Step(move, ()))
            try:
                steps[-1] = Step(move, tuple(world.make(move)))
            except Exception as error:  # noqa: BLE001  # the first time it did not raise
                return Broken(broken, root, tuple(steps), f"it did not repeat: {_words(error)}")
        return Broken(broken, root, tuple(steps))

    def _look_for_ways_home(self) -> None:
        """Find the first state from which everything was tried, and no way leads home."""
        back: dict[int, list[int]] = {}
        for number, ways in enumerate(self._ways):
            for to in ways:
                back.setdefault(to, []).append(number)
        for position, (each, _) in enumerate(self._goals[0]):
            home = [n for n, goals in enumerate(self._goals) if goals[position][1]]
            self._judge.seen[each.id] += len(self._from)
            reached = {*home, _UNKNOWN}
            pending = [*home, _UNKNOWN]
            while pending:
                for number in back.get(pending.pop(), ()):
                    if number not in reached:
                        reached.add(number)
                        pending.append(number)
            lost = next((n for n in range(len(self._from)) if n not in reached), None)
            if lost is not None:
                told = self._told(each, lost)
                self._broken[each.id] = attrs.evolve(told, why="from here no way leads back")

    def _look_for_what_never_happened(self) -> None:
        for each in self._judge.properties:
            if each.kind == "sometimes" and not self._judge.seen[each.id]:
                self._broken[each.id] = Broken(each, 0, (), "it never happened in this scope")

    def _counted(
        self,
    ) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str, bool], int]]:
        rows: Counter[tuple[str, str]] = Counter()
        guards: Counter[tuple[str, str, bool]] = Counter()
        for (of, row), count in self._rows.items():
            table = self._tables.get(of)
            if table is None or row not in table.rows:
                continue
            rows[of, table.id_of(row)] += count
            for guard, held in table.guards_before(row):
                guards[of, guard, held] += count
        return rows, guards
