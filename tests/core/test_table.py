"""Tables: what the audit refuses, and what a machine made of rows does.

That every flaw is found wherever it stands is `specs/spec_table.py`.
"""

# ruff: noqa: D101, D102  # a scenario's classes are its nouns; the tests say what they are for

from __future__ import annotations

from enum import Enum

import attrs
import pytest
from transitions import Machine, MachineError

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.table import STAY, Row, RowTransition, Table, audit, machine_of
from fsm_fallback.errors import ConfigurationError


class Gate(Enum):
    SHUT = "shut"
    OPEN = "open"
    GONE = "gone"


class Fence(Enum):
    UP = "up"


class Keeper:
    """A model of GATE."""

    def __init__(self, *, paid: bool = True) -> None:
        self.state = Gate.SHUT
        self.is_paid = paid
        self.rung = 0

    def paid(self) -> bool:
        return self.is_paid

    def vague(self) -> int:
        return 1

    def unsaid(self):
        return True

    built_in = len

    def ring(self) -> None:
        self.rung += 1


PAID = Row("push", Gate.SHUT, "paid", Gate.OPEN, "ring", "a paid push opens")
UNPAID = Row("push", Gate.SHUT, None, STAY, "", "no money, no way")
PUSHED_AGAIN = Row("push", Gate.OPEN, None, Gate.SHUT, "", "the next has to pay")
BROKEN = Row("wreck", Gate.OPEN, None, Gate.GONE, "ring ring", "it happens")
GATE = Table(
    name="gate",
    rows=(PAID, UNPAID, PUSHED_AGAIN, BROKEN),
    initial=Gate.SHUT,
    illegal=frozenset({(Gate.SHUT, "wreck"), (Gate.GONE, "push"), (Gate.GONE, "wreck")}),
    final=frozenset({Gate.GONE}),
    words={"paid": "the fare is paid"},
)


def with_rows(*rows: Row, **changes: object) -> Table:
    """GATE with other rows."""
    return attrs.evolve(GATE, rows=rows, **changes)


UNSOUND = {
    "a cell is missing": (
        with_rows(PAID, UNPAID, BROKEN),
        "gate: cell ('open', 'push') has no row; add one or declare the cell illegal",
    ),
    "a cell ends in a guard": (
        with_rows(PAID, PUSHED_AGAIN, BROKEN),
        "gate: cell ('shut', 'push') does not end in an unguarded row; add one with guard None",
    ),
    "a row stands after the unguarded one": (
        with_rows(UNPAID, PAID, PUSHED_AGAIN, BROKEN),
        "gate: cell ('shut', 'push') has rows after an unguarded one, which can never fire",
    ),
    "two rows are unguarded": (
        with_rows(PAID, UNPAID, attrs.evolve(UNPAID, why="twice"), PUSHED_AGAIN, BROKEN),
        "gate: cell ('shut', 'push') has rows after an unguarded one, which can never fire",
    ),
    "a guard is asked twice": (
        with_rows(PAID, attrs.evolve(PAID, target=STAY), UNPAID, PUSHED_AGAIN, BROKEN),
        "gate: cell ('shut', 'push') asks one guard twice, and the second row can never fire",
    ),
    "a row stands twice": (
        with_rows(PAID, PAID, UNPAID, PUSHED_AGAIN, BROKEN),
        f"gate: row {PAID!r} stands 2 times; keep one",
    ),
    "a state is never reached": (
        with_rows(attrs.evolve(PAID, target=STAY), UNPAID, PUSHED_AGAIN, BROKEN),
        "gate: state 'open' cannot be reached from the initial one",
    ),
    "a state is never left": (
        with_rows(PAID, UNPAID, PUSHED_AGAIN, BROKEN, final=frozenset()),
        "gate: no way leads from 'gone' to the initial state",
    ),
    "no final state is reached": (
        with_rows(PAID, UNPAID, PUSHED_AGAIN, attrs.evolve(BROKEN, target=STAY)),
        "gate: no way leads from 'open' to a final state",
    ),
    "a final state is left": (
        with_rows(*GATE.rows, Row("mend", Gate.GONE, None, Gate.SHUT, "", "as new")),
        "gate: final state 'gone' is left by a row",
    ),
    "an illegal cell has rows": (
        with_rows(*GATE.rows, Row("wreck", Gate.SHUT, None, STAY, "", "too strong")),
        "gate: cell ('shut', 'wreck') has rows and is declared illegal; remove one of the two",
    ),
    "an illegal cell has a strange trigger": (
        attrs.evolve(GATE, illegal=GATE.illegal | {(Gate.SHUT, "sing")}),
        f"gate: illegal cell ({Gate.SHUT!r}, 'sing') names nothing of the table",
    ),
    "an illegal cell has a strange state": (
        attrs.evolve(GATE, illegal=GATE.illegal | {(Fence.UP, "push")}),
        f"gate: illegal cell ({Fence.UP!r}, 'push') names nothing of the table",
    ),
    "a target is of another enumeration": (
        with_rows(PAID, UNPAID, PUSHED_AGAIN, attrs.evolve(BROKEN, target=Fence.UP)),
        f"gate: {Fence.UP!r} is not a state of Gate",
    ),
    "a source is of another enumeration": (
        with_rows(*GATE.rows, attrs.evolve(BROKEN, source=Fence.UP)),
        f"gate: {Fence.UP!r} is not a state of Gate",
    ),
    "an action is missing": (
        with_rows(PAID, UNPAID, PUSHED_AGAIN, attrs.evolve(BROKEN, action="ring sing")),
        "gate T4: action 'sing' is not a method of Keeper",
    ),
    "a guard is missing": (
        with_rows(attrs.evolve(PAID, guard="kind"), UNPAID, PUSHED_AGAIN, BROKEN),
        "gate T1: guard 'kind' is not a method of Keeper",
    ),
    "a guard is not annotated bool": (
        with_rows(attrs.evolve(PAID, guard="vague"), UNPAID, PUSHED_AGAIN, BROKEN),
        "gate T1: guard 'vague' must be annotated '-> bool'",
    ),
    "a guard is not annotated": (
        with_rows(attrs.evolve(PAID, guard="unsaid"), UNPAID, PUSHED_AGAIN, BROKEN),
        "gate T1: guard 'unsaid' must be annotated '-> bool'",
    ),
    "a guard can have no annotation": (
        with_rows(attrs.evolve(PAID, guard="built_in"), UNPAID, PUSHED_AGAIN, BROKEN),
        "gate T1: guard 'built_in' must be annotated '-> bool'",
    ),
    "a guard has no words": (
        attrs.evolve(GATE, words={}),
        "gate T1: guard 'paid' has no words; add them to the table",
    ),
}


@pytest.mark.parametrize(("table", "problem"), UNSOUND.values(), ids=UNSOUND)
def test_an_unsound_table_is_refused_by_row_or_cell(table, problem):
    """The audit says what is wrong and where, and no machine is made."""
    with pytest.raises(ConfigurationError) as refusal:
        machine_of(table, Keeper)
    assert problem in refusal.value.problems


def test_the_audit_names_every_problem_at_once():
    """A table is mended in one go."""
    flawed = with_rows(attrs.evolve(PAID, guard="kind", action="sing"), PUSHED_AGAIN, BROKEN)
    with pytest.raises(ConfigurationError) as refusal:
        audit(flawed, Keeper)
    assert refusal.value.problems == (
        "gate: cell ('shut', 'push') does not end in an unguarded row; add one with guard None",
        "gate T1: action 'sing' is not a method of Keeper",
        "gate T1: guard 'kind' has no words; add them to the table",
        "gate T1: guard 'kind' is not a method of Keeper",
    )


@pytest.mark.parametrize(("table", "model"), [(GATE, Keeper), (BREAKER, Breaker), (CHAIN, Chain)])
def test_a_sound_table_passes(table, model):
    """The library's own tables among them."""
    audit(table, model)


def test_a_machine_of_rows_is_a_frozen_transitions_machine():
    """Whatever reads transitions machines reads the rows, in their order."""
    machine = machine_of(GATE, Keeper)
    assert isinstance(machine, Machine)
    assert machine.frozen
    assert machine.get_state("GONE").final
    assert machine.initial == "SHUT"
    arcs = [arc for name in machine.events for arc in machine.get_transitions(name)]
    assert [arc.row for arc in arcs] == list(GATE.rows)


def test_the_transition_of_a_row_takes_what_a_stock_one_takes():
    """In its own words, by name or by place."""
    arc = RowTransition("SHUT", dest="OPEN", before="ring", row=PAID)
    assert (arc.source, arc.dest, arc.before, arc.row) == ("SHUT", "OPEN", ["ring"], PAID)


def test_a_firing_names_its_row():
    """The transition that was made carries the row it was declared by."""
    push = machine_of(GATE, Keeper).events["push"]
    keeper = Keeper(paid=False)
    assert push.fire(keeper).row is UNPAID
    keeper.is_paid = True
    assert push.fire(keeper).row is PAID
    assert (keeper.state, keeper.rung) == (Gate.OPEN, 1)


@pytest.mark.parametrize("state", Gate)
@pytest.mark.parametrize("trigger", GATE.triggers)
def test_an_illegal_cell_raises_and_leaves_the_state(state, trigger):
    """And every other cell of the table fires."""
    keeper = Keeper()
    keeper.state = state
    event = machine_of(GATE, Keeper).events[trigger]
    if (state, trigger) not in GATE.illegal:
        assert event.trigger(keeper) is True
        return
    with pytest.raises(MachineError, match=f"^.gate: Can't trigger event {trigger} from state"):
        event.trigger(keeper)
    assert (keeper.state, keeper.rung) == (state, 0)


def test_rows_are_numbered_from_one():
    """The ids of diagrams and audit records."""
    assert list(GATE.numbered()) == [
        ("T1", PAID),
        ("T2", UNPAID),
        ("T3", PUSHED_AGAIN),
        ("T4", BROKEN),
    ]
    assert [GATE.id_of(row) for row in GATE.rows] == ["T1", "T2", "T3", "T4"]


def test_a_table_knows_its_states_triggers_and_cells():
    """In the order of their declaration."""
    assert GATE.states == (Gate.SHUT, Gate.OPEN, Gate.GONE)
    assert GATE.triggers == ("push", "wreck")
    assert GATE.cell(Gate.SHUT, "push") == (PAID, UNPAID)
    assert GATE.cell(Gate.SHUT, "wreck") == ()
    assert (BROKEN.actions, UNPAID.actions) == (("ring", "ring"), ())


def test_a_row_determines_the_guards_asked_before_it():
    """Guards stop at the first that holds."""
    assert GATE.guards_before(PAID) == (("paid", True),)
    assert GATE.guards_before(UNPAID) == (("paid", False),)
    assert GATE.guards_before(BROKEN) == ()
    with pytest.raises(ValueError, match="is not in table 'gate'"):
        GATE.guards_before(attrs.evolve(PAID, why="another"))


def test_a_digest_stays_what_it_was():
    """It names declarations in audit logs that outlive this version."""
    assert GATE.digest({"fare": 2.5}) == (
        "11f4b5789d39f72e1a57560e95506088ec265ff959c872a7fb63b94674f6d3b9"
    )


@pytest.mark.parametrize(
    "changed",
    [
        attrs.evolve(GATE, name="door"),
        attrs.evolve(GATE, initial=Gate.OPEN),
        attrs.evolve(GATE, final=frozenset()),
        attrs.evolve(GATE, illegal=frozenset()),
        with_rows(UNPAID, PAID, PUSHED_AGAIN, BROKEN),
        with_rows(UNPAID, PUSHED_AGAIN, BROKEN),
        with_rows(attrs.evolve(PAID, trigger="pull"), UNPAID, PUSHED_AGAIN, BROKEN),
        with_rows(attrs.evolve(PAID, source=Gate.OPEN), UNPAID, PUSHED_AGAIN, BROKEN),
        with_rows(attrs.evolve(PAID, guard="vague"), UNPAID, PUSHED_AGAIN, BROKEN),
        with_rows(attrs.evolve(PAID, guard=None), UNPAID, PUSHED_AGAIN, BROKEN),
        with_rows(attrs.evolve(PAID, target=STAY), UNPAID, PUSHED_AGAIN, BROKEN),
        with_rows(attrs.evolve(PAID, action="ring ring"), UNPAID, PUSHED_AGAIN, BROKEN),
    ],
)
def test_a_digest_changes_with_whatever_decides(changed):
    """Name, initial and final states, illegal cells, and each part and place of a row."""
    assert changed.digest() != GATE.digest()


def test_a_digest_changes_with_the_parameters():
    """The numbers in force decide, too; in which order they are named does not."""
    assert GATE.digest({"fare": 2.5}) != GATE.digest({"fare": 3.0})
    assert GATE.digest({"fare": 2.5}) != GATE.digest()
    assert GATE.digest({"fare": 2.5, "free": 1}) == GATE.digest({"free": 1, "fare": 2.5})


def test_a_digest_takes_a_parameter_that_is_no_plain_value_by_its_repr():
    """Such as a window somebody else wrote."""
    assert GATE.digest({"fare": PAID}) == GATE.digest({"fare": repr(PAID)})


def test_a_digest_does_not_hear_prose():
    """Reasons and words may be mended without a new machine."""
    mended = with_rows(
        *(attrs.evolve(row, why="because") for row in GATE.rows), words={"paid": "$"}
    )
    assert mended.digest() == GATE.digest()


def test_whole_numbers_have_one_digest_however_they_are_written():
    """30 s and 30.0 s are one parameter, in this process and in another."""
    assert GATE.digest({"limits": {"seconds": 30}}) == GATE.digest({"limits": {"seconds": 30.0}})
    assert GATE.digest({"seconds": 30}) != GATE.digest({"seconds": 30.5})
