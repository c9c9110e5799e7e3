"""Guarantee 11: what a frozen machine does, stock `transitions` does.

Whole machines are drawn: states as strings or enumerations; internal, reflexive and moving
transitions, several to a cell and not one of them needing an unguarded last; conditions, `unless`,
callbacks at every stage, by name and as callables, that answer anything and raise at any moment.
Each machine is built twice, stock and compiled, driven by one script, and must leave one journal:
every callback in order, with the state it saw and the arguments it got.

Run against every release of `transitions`: this is the licence to replace its engine.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum, StrEnum
from typing import Any, Final

import attrs
import hypothesis.strategies as st
from hypothesis import given, settings
from transitions import Machine

from fsm_fallback.core.compiled import CompiledMachine


class Letter(Enum):
    A = "a"
    B = "b"
    C = "c"


class Word(StrEnum):
    A = "first"
    B = "second"
    C = "third"


class Number(IntEnum):
    A = 0
    B = 1
    C = 2


State = Any  # a string or a member of an enumeration
POOLS: Final[tuple[tuple[State, ...], ...]] = (
    ("A", "B", "C"),
    tuple(Letter),
    tuple(Word),
    tuple(Number),
    ("A", Letter.B, Letter.C),
)
TRIGGERS: Final = ("go", "turn", "halt")
METHODS: Final = ("ask", "tell", "show")
LATE_BOUND: Final = "late"


class Oops(Exception):
    """A callback's own mistake."""


class Quit(BaseException):
    """What `KeyboardInterrupt` is: not an `Exception`."""


class Comparing:
    """Answers a comparison with something that is no bool, as arrays do."""

    def __init__(self, result: object) -> None:
        self.result = result

    def __eq__(self, other: object) -> Any:
        return self.result

    __hash__ = None  # type: ignore[assignment]  # never a key

    def __repr__(self) -> str:
        return f"Comparing({self.result!r})"


ANSWERS: Final = (
    *(True, True, False) * 4,
    *(1, 0, 1.0, 2, "", "yes", None, (), Comparing("truthy"), Comparing([])),
)


@attrs.frozen
class Hook:
    """A callback in a declaration: the name of a method, or a callable made for each run."""

    name: str
    by_name: bool


@attrs.frozen
class Arc:
    """One declared transition; `target` is a state, None (internal) or "=" (reflexive)."""

    trigger: str
    source: State
    target: State | None
    conditions: tuple[Hook, ...]
    unless: tuple[Hook, ...]
    before: tuple[Hook, ...]
    after: tuple[Hook, ...]


@attrs.frozen
class Declared:
    """A whole machine."""

    name: str
    states: tuple[State, ...]
    on_enter: tuple[tuple[Hook, ...], ...]  # by state
    on_exit: tuple[tuple[Hook, ...], ...]
    before_state_change: tuple[Hook, ...]
    after_state_change: tuple[Hook, ...]
    arcs: tuple[Arc, ...]


@attrs.frozen
class Firing:
    """A trigger, the state to put the model into first, if any, and arguments."""

    use: tuple[str, tuple[State, ...]]
    args: tuple[int, ...]
    kwargs: dict[str, int]


@attrs.frozen
class Script:
    """What the n-th callback called in a run answers, and which calls raise instead."""

    answers: tuple[object, ...]
    raised: Mapping[int, type[BaseException]]


@attrs.define(eq=False)
class Model:
    """Notes each callback with the state it saw and the arguments it got."""

    state: State
    script: Script
    journal: list[object] = attrs.field(factory=list)

    def note(self, name: str, *args: object, **kwargs: object) -> object:
        number = len(self.journal)
        self.journal.append((name, self.state, args, kwargs))
        if number in self.script.raised:
            raise self.script.raised[number](f"call {number} of {name}")
        return self.script.answers[number % len(self.script.answers)]

    def ask(self, *args: object, **kwargs: object) -> object:
        return self.note("ask", *args, **kwargs)

    def tell(self, *args: object, **kwargs: object) -> object:
        return self.note("tell", *args, **kwargs)

    def show(self, *args: object, **kwargs: object) -> object:
        return self.note("show", *args, **kwargs)

    late = functools.partialmethod(note, LATE_BOUND)


def built(kind: type[Machine], declared: Declared, model: Model) -> Machine:
    """The declared machine as stock or compiled; its callables note in the model's journal."""

    def callbacks(hooks: tuple[Hook, ...]) -> list[str | Callable[..., Any]]:
        return [
            hook.name if hook.by_name else functools.partial(model.note, f"callable {hook.name}")
            for hook in hooks
        ]

    return kind(
        model=None,
        name=declared.name,
        states=[
            {"name": state, "on_enter": callbacks(enter), "on_exit": callbacks(leave)}
            for state, enter, leave in zip(
                declared.states, declared.on_enter, declared.on_exit, strict=True
            )
        ],
        initial=declared.states[0],
        auto_transitions=False,
        before_state_change=callbacks(declared.before_state_change),
        after_state_change=callbacks(declared.after_state_change),
        transitions=[
            {
                "trigger": arc.trigger,
                "source": arc.source,
                "dest": arc.target,
                "conditions": callbacks(arc.conditions),
                "unless": callbacks(arc.unless),
                "before": callbacks(arc.before),
                "after": callbacks(arc.after),
            }
            for arc in declared.arcs
        ],
    )


def end_of(machine: Machine, model: Model, firing: Firing) -> tuple[object, ...]:
    """How one firing ended: its value or its exception, and the state it left."""
    try:
        event = machine.events[firing.use[0]]
        returned = event.trigger(model, *firing.args, **firing.kwargs)
    except BaseException as error:  # noqa: BLE001  # whatever stock raises is the measure
        return type(error), str(error), model.state, type(model.state)
    return type(returned), returned, model.state, type(model.state)


def listed(machine: Machine) -> list[object]:
    """All that a machine says of itself."""
    return [
        *machine.states,
        machine.initial,
        *(
            (trigger, arc.source, arc.dest, [check.target for check in arc.conditions])
            for trigger in machine.events
            for arc in machine.get_transitions(trigger)
        ),
        *(machine.get_triggers(state) for state in machine.states),
    ]


HOOKS: Final = st.builds(Hook, st.sampled_from((*METHODS, LATE_BOUND)), st.booleans())


def hooks(most: int) -> st.SearchStrategy[tuple[Hook, ...]]:
    """Up to so many callbacks."""
    return st.lists(HOOKS, max_size=most).map(tuple)


@st.composite
def machines(draw: st.DrawFn) -> Declared:
    """A whole machine: any states, any transitions, any callbacks."""
    states = draw(st.sampled_from(POOLS))
    per_state = st.tuples(*[hooks(1)] * len(states))
    arcs = st.builds(
        Arc,
        trigger=st.sampled_from(TRIGGERS),
        source=st.sampled_from(states),
        target=st.sampled_from((*states, None, "=")),
        conditions=hooks(2),
        unless=st.just(()) | st.just(()) | hooks(1),
        before=hooks(2),
        after=hooks(2),
    )
    return Declared(
        name=draw(st.sampled_from(("", "drawn"))),
        states=states,
        on_enter=draw(per_state),
        on_exit=draw(per_state),
        before_state_change=draw(hooks(1)),
        after_state_change=draw(hooks(1)),
        arcs=tuple(draw(st.lists(arcs, min_size=1, max_size=9))),
    )


def firings(declared: Declared) -> st.SearchStrategy[list[Firing]]:
    """Uses of a machine: most of a trigger its state knows, or did a moment ago; some of none."""
    uses: list[tuple[str, tuple[State, ...]]] = []
    for arc in declared.arcs:
        uses += [(arc.trigger, (arc.source,))] * 4 + [(arc.trigger, ())] * 2
    uses += [("unheard_of", ()), (declared.arcs[0].trigger, ("nowhere",))]
    return st.lists(
        st.builds(
            Firing,
            use=st.sampled_from(uses),
            args=st.sampled_from(((), (), (), (7,), (8, 9))),
            kwargs=st.sampled_from(({}, {}, {}, {"now": 1}, {"now": 2, "step": 3})),
        ),
        min_size=4,
        max_size=12,
    )


SCRIPTS: Final = st.builds(
    Script,
    answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=6).map(tuple),
    raised=st.dictionaries(st.integers(1, 30), st.sampled_from((Oops, Quit)), max_size=6),
)


REACHED: Final = (
    "moved",
    "moved, with arguments",
    "stayed",
    "stayed, with arguments",
    "no guard held",
    "raised before the move",
    "raised after the move",
    "MachineError",
    "ValueError",
    "KeyError",
)


def kind_of(firing: Firing, before: State, end: tuple[object, ...]) -> str:
    """What a firing was, in the words of the floors."""
    what, value, after, _ = end
    if what in (Oops, Quit):
        return "raised before the move" if before == after else "raised after the move"
    if what is not bool:
        return getattr(what, "__name__", "")
    if not value:
        return "no guard held"
    given_any = ", with arguments" if firing.args or firing.kwargs else ""
    return ("stayed" if before == after else "moved") + given_any


class ACompiledMachineDoesWhatStockDoes:
    def test_it_ends_calls_and_moves_alike(self) -> None:
        """One script, two engines, one journal; and the draws reach every kind of firing."""
        seen: Counter[str] = Counter()

        @settings(max_examples=max(300, settings().max_examples))
        @given(st.data(), machines(), SCRIPTS)
        def they_agree(data: st.DataObject, declared: Declared, script: Script) -> None:
            stock_model = Model(declared.states[0], script)
            model = Model(declared.states[0], script)
            stock = built(Machine, declared, stock_model)
            compiled = built(CompiledMachine, declared, model)
            compiled.freeze(Model)
            for firing in data.draw(firings(declared)):
                before = stock_model.state = model.state = (*firing.use[1], model.state)[0]
                expected = end_of(stock, stock_model, firing)
                assert end_of(compiled, model, firing) == expected
                assert model.journal == stock_model.journal
                seen[kind_of(firing, before, expected)] += 1

        they_agree()
        floor = settings().max_examples // 100
        assert {kind: seen[kind] for kind in REACHED if seen[kind] < floor} == {}

    @settings(max_examples=settings().max_examples // 4)
    @given(machines())
    def test_it_lists_the_same_transitions(self, declared: Declared) -> None:
        """What reads transitions machines reads a frozen one alike."""
        model = Model(declared.states[0], Script((True,), {}))
        stock = built(Machine, declared, model)
        compiled = built(CompiledMachine, declared, model)
        compiled.freeze(Model)
        assert listed(compiled) == listed(stock)
