"""Frozen machines: what they refuse, what they keep, what they hold against change.

That they do what stock `transitions` does is `specs/spec_compiled.py`.
"""

# ruff: noqa: D101, D102, D103  # a scenario's classes are its nouns; the tests say what they are for

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any

import attrs
import pytest
from transitions import Machine, MachineError, State, Transition
from transitions.core import Condition

from fsm_fallback.core.compiled import CompiledMachine, resolve


class Lamp(Enum):
    OFF = "off"
    ON = "on"
    BROKEN = "broken"


noted: list[tuple[str, tuple[object, ...], dict[str, object]]] = []
"""What callbacks without a model have noted."""


@attrs.define(eq=False)
class Model:
    state: Any = Lamp.OFF
    powered: bool = True
    journal: list[object] = attrs.field(factory=list)

    def ready(self, *args: object, **kwargs: object) -> bool:
        self.journal.append(("ready", args, kwargs))
        return self.powered

    def note(self, *args: object, **kwargs: object) -> None:
        self.journal.append(("note", args, kwargs))

    def smash(self) -> None:
        self.state = Lamp.BROKEN

    def fire_again(self) -> None:
        self.switch()

    async def ponder(self) -> bool:
        return True

    @staticmethod
    async def dream() -> bool:
        return True

    @staticmethod
    def dim(*args: object, **kwargs: object) -> None:
        noted.append(("dim", args, kwargs))

    @classmethod
    def light(cls, *args: object, **kwargs: object) -> None:
        noted.append((cls.__name__, args, kwargs))

    @property
    def bright(self) -> bool:
        return True


async def wait() -> bool:
    return True


class Waiter:
    async def __call__(self) -> bool:
        return True


@attrs.define
class Unhashable:
    calls: int = 0

    def __call__(self) -> bool:
        self.calls += 1
        return True


class Hasty(Transition):
    def execute(self, event_data: object) -> bool:
        return True


class Either(Condition):
    pass


class Lenient(Transition):
    condition_cls = Either


def machine(row: dict[str, object] | None = None, **options: Any) -> CompiledMachine:
    """`switch` goes from OFF to ON if the model is ready; `options` change the machine."""
    switch = {"trigger": "switch", "source": Lamp.OFF, "dest": Lamp.ON, "conditions": "ready"}
    kind = options.pop("kind", CompiledMachine)
    defaults = {"model": None, "states": Lamp, "initial": Lamp.OFF, "auto_transitions": False}
    return kind(**{**defaults, "transitions": [{**switch, **(row or {})}], **options})


def frozen(row: dict[str, object] | None = None, **options: Any) -> CompiledMachine:
    made = machine(row, **options)
    made.freeze(Model)
    return made


class WithoutSlots:
    """What a stock machine can bind."""

    def ready(self) -> bool:
        return True


def test_before_it_is_frozen_a_machine_takes_callbacks_as_stock_does():
    """They fire with the others once it is."""
    made = machine()
    made.events["switch"].add_callback("before", "note")
    made.freeze(Model)
    model = Model()
    made.events["switch"].trigger(model)
    assert [name for name, _, _ in model.journal] == ["ready", "note"]


def refusal_of(made: CompiledMachine, model_class: type = Model) -> str:
    """What freezing it says."""
    with pytest.raises(MachineError) as refusal:
        made.freeze(model_class)
    words: str = refusal.value.value
    return words


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"queued": True}, "queued=True: events would wait for each other across threads"),
        ({"send_event": True}, "send_event=True: compiled callbacks get no EventData"),
        ({"prepare_event": "note"}, "prepare_event callbacks"),
        ({"finalize_event": "note"}, "finalize_event callbacks"),
        ({"on_exception": "note"}, "on_exception callbacks"),
        ({"on_final": "note"}, "on_final callbacks"),
        (
            {"ignore_invalid_triggers": True},
            "ignore_invalid_triggers: a wrong trigger must be heard; "
            + "; ".join(
                f"state {name!r} ignores invalid triggers" for name in ("OFF", "ON", "BROKEN")
            ),
        ),
        ({"model": WithoutSlots()}, "a registered model: fire events on models instead"),
        ({"model_attribute": "place"}, "model_attribute other than 'state'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_freezing_refuses_machine_options_it_cannot_keep(options, reason):
    """Each option that a compiled trigger would silently ignore is named."""
    assert refusal_of(machine(**options)) == f"cannot be frozen: {reason}"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prepare": "note"}, "switch from 'OFF': prepare callbacks"),
        ({"conditions": "missing"}, "callback 'missing' is no method of Model"),
        ({"conditions": "math.isfinite"}, "callback 'math.isfinite' is no method of Model"),
        ({"conditions": "bright"}, "callback 'bright' is no method of Model"),
        ({"conditions": "journal"}, "callback 'journal' is no method of Model"),
        ({"conditions": "ponder"}, "callback 'ponder' is a coroutine function"),
        ({"unless": "dream"}, "callback 'dream' is a coroutine function"),
        ({"after": wait}, "callback 'wait' is a coroutine function"),
        ({"before": Waiter()}, r"callback '\?' is a coroutine function"),
        ({"before": "fire_again"}, "callback 'fire_again' names the trigger 'switch': re-entrant"),
        ({"after": lambda: Model().switch()}, "names the trigger 'switch': re-entrant"),
        ({"after": lambda event: event.trigger(1)}, "names the trigger 'trigger': re-entrant"),
        ({"after": lambda event: event.fire(1)}, "names the trigger 'fire': re-entrant"),
        ({"dest": "DIM"}, "'DIM' is no declared state"),
        ({"source": "DIM"}, "'DIM' is no declared state"),
        ({"source": "DIM", "dest": None}, "'DIM' is no declared state"),
    ],
)
def test_freezing_refuses_transitions_it_cannot_keep(row, reason):
    """The reason names the trigger, the source and the callback."""
    with pytest.raises(MachineError, match=reason):
        frozen(row)


@pytest.mark.parametrize("where", ["before_state_change", "after_state_change"])
def test_freezing_refuses_a_missing_callback_of_the_machine(where):
    """Callbacks of the whole machine are resolved as those of a transition are."""
    with pytest.raises(MachineError, match="callback 'missing' is no method of Model"):
        frozen(**{where: "missing"})


@pytest.mark.parametrize(("state", "where"), [(Lamp.OFF, "on_exit"), (Lamp.ON, "on_enter")])
def test_freezing_refuses_a_missing_callback_of_a_state(state, where):
    """Callbacks of states are resolved as those of a transition are."""
    states = [member for member in Lamp if member is not state]
    with pytest.raises(MachineError, match="callback 'missing' is no method of Model"):
        frozen(states=[*states, {"name": state, where: "missing"}])


def test_freezing_refuses_a_state_that_ignores_triggers():
    """A wrong trigger must be heard in every state."""
    broken = {"name": Lamp.BROKEN, "ignore_invalid_triggers": True}
    with pytest.raises(MachineError, match="state 'BROKEN' ignores invalid triggers"):
        frozen(states=[Lamp.OFF, Lamp.ON, broken])


def test_freezing_refuses_states_of_another_kind():
    """A nested or tagged state has behaviour of its own, which no compiled trigger has."""

    class Tagged(State):
        pass

    class Tagging(CompiledMachine):
        state_cls = Tagged

    with pytest.raises(MachineError, match=r"state 'OFF' is nested or extended \(Tagged\)"):
        frozen(kind=Tagging)


@pytest.mark.parametrize(("kind", "part"), [(Hasty, "execute"), (Lenient, "condition_cls")])
def test_freezing_refuses_transitions_of_another_mind(kind, part):
    """A transition class that executes or checks in its own way would be passed over."""

    class Minded(CompiledMachine):
        transition_cls = kind

    with pytest.raises(MachineError, match=f"{kind.__name__} overrides '{part}'"):
        frozen(kind=Minded)


def test_a_refusal_names_everything_at_once_and_leaves_the_machine_as_it_was():
    """All reasons in one message; the machine is still a stock one that can be changed."""
    made = machine({"before": "ponder", "prepare": "note"}, send_event=True, on_final="note")
    with pytest.raises(MachineError) as refusal:
        made.freeze(Model)
    reasons = ("send_event=True", "on_final callbacks", "prepare callbacks")
    assert [reason for reason in reasons if reason not in str(refusal.value)] == []
    made.add_transition("off", Lamp.ON, Lamp.OFF)
    assert not made.frozen


def test_a_refusal_says_which_trigger_from_which_state_for_which_reasons():
    """Those of one transition together; a transition that can be kept is not named."""
    made = machine({"before": "ponder", "after": "missing"}, name="lamp")
    made.add_transition("dim", Lamp.ON, Lamp.OFF, before="note")
    made.add_transition("smash", Lamp.ON, Lamp.BROKEN, before="gone")
    assert refusal_of(made) == (
        "lamp: cannot be frozen: switch from 'OFF': callback 'ponder' is a coroutine function; "
        "callback 'missing' is no method of Model; "
        "smash from 'ON': callback 'gone' is no method of Model"
    )


def test_each_callback_is_judged_by_itself():
    """That the first one is sound says nothing of the second."""
    made = machine({"before": lambda: True, "after": wait})
    assert refusal_of(made) == (
        "cannot be frozen: switch from 'OFF': callback 'wait' is a coroutine function"
    )


def test_an_object_that_is_called_is_a_callback_like_any_other():
    """Though it may have no hash."""
    count = Unhashable()
    frozen({"after": count}).events["switch"].trigger(Model())
    assert count.calls == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.add_transition("off", Lamp.ON, Lamp.OFF),
        lambda made: made.add_transitions([["off", Lamp.ON, Lamp.OFF]]),
        lambda made: made.add_state("DIM"),
        lambda made: made.add_states(["DIM"]),
        lambda made: made.add_ordered_transitions(),
        lambda made: made.remove_transition("switch"),
        lambda made: made.add_model(Model()),
        lambda made: made.freeze(Model),
        lambda made: made.on_enter_ON("note"),
        lambda made: made.on_exit_OFF("note"),
        lambda made: made.before_switch("note"),
        lambda made: made.after_switch("note"),
        lambda made: made.events["switch"].add_callback("before", "note"),
        lambda made: made.events["switch"].add_transition(Transition("ON", "OFF")),
        lambda made: made.get_state("ON").add_callback("enter", "note"),
        lambda made: made.get_transitions("switch")[0].add_callback("before", "note"),
        lambda made: setattr(made, "send_event", True),
        lambda made: setattr(made, "before_state_change", ["note"]),
        lambda made: setattr(made, "initial", Lamp.ON),
    ],
)
def test_a_frozen_machine_refuses_every_change(change):
    """A change that came too late to be compiled is an error, never ignored."""
    with pytest.raises(MachineError, match="is frozen; declare it anew"):
        change(frozen())


@pytest.mark.parametrize(
    "callbacks",
    [
        lambda made: made.get_state("ON").on_enter,
        lambda made: made.get_transitions("switch")[0].before,
        lambda made: made.get_transitions("switch")[0].conditions,
        lambda made: made.before_state_change,
        lambda made: made.events["switch"].transitions["OFF"],
    ],
)
def test_the_lists_of_a_frozen_machine_cannot_grow(callbacks):
    """What stock keeps in lists stands in tuples."""
    assert isinstance(callbacks(frozen()), tuple)


def test_a_transition_that_is_made_answers_true_and_moves():
    """As stock does; `fire` answers the transition itself."""
    made, model = frozen(), Model()
    assert made.events["switch"].trigger(model) is True
    assert model.state is Lamp.ON
    model.state = Lamp.OFF
    assert made.events["switch"].fire(model) is made.get_transitions("switch")[0]


def test_a_condition_that_fails_answers_false_and_stays():
    """As stock does; `fire` answers None."""
    made, model = frozen(), Model(powered=False)
    assert made.events["switch"].trigger(model) is False
    assert made.events["switch"].fire(model) is None
    assert model.state is Lamp.OFF


def test_arguments_reach_every_callback():
    """Methods get the model and the arguments, callables the arguments alone."""
    heard: list[object] = []
    row = {"before": "note", "after": lambda *args, **kwargs: heard.append((args, kwargs))}
    made, model = frozen(row), Model()
    made.events["switch"].trigger(model, 1, step=2)
    assert [*model.journal, *heard] == [
        ("ready", (1,), {"step": 2}),
        ("note", (1,), {"step": 2}),
        ((1,), {"step": 2}),
    ]


@pytest.mark.parametrize("made", [machine(), frozen()], ids=["stock", "frozen"])
@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1,), {}), ((), {"step": 2})])
def test_arguments_by_place_or_by_name_reach_a_callback(made, args, kwargs):
    """Stock and frozen hand on what they got."""
    model = Model()
    made.events["switch"].trigger(model, *args, **kwargs)
    assert model.journal == [("ready", args, kwargs)]


@pytest.mark.parametrize(("name", "label"), [("dim", "dim"), ("light", "Model")])
def test_a_method_without_a_model_gets_the_arguments_alone(name, label):
    """As stock would call it."""
    noted.clear()
    frozen({"before": name}).events["switch"].trigger(Model(), 1, step=2)
    assert noted == [(label, (1,), {"step": 2})]


@pytest.mark.parametrize(("powered", "warm"), [(True, False), (False, True), (True, True)])
def test_a_transition_is_made_if_all_of_its_conditions_hold(powered, warm):
    """The first that fails ends the asking."""
    made, model = frozen({"conditions": ["ready", lambda: warm]}), Model(powered=powered)
    assert made.events["switch"].trigger(model) is (powered and warm)


def test_a_callback_by_name_is_that_of_the_class():
    """One instance cannot override it."""

    class Loose(Model):
        pass  # with a __dict__

    model = Loose()
    model.ready = lambda: False
    assert frozen().events["switch"].trigger(model) is True


@pytest.mark.parametrize("name", ["bright", "state", "nothing"])
def test_what_is_no_method_is_named(name):
    """A property, a field, and what is not there at all."""
    with pytest.raises(AttributeError, match=name):
        resolve(name, Model)


def test_a_trigger_is_compiled_once_for_a_class_and_a_signature():
    """Every later firing runs what the first one has compiled."""

    class Other(Model):
        pass

    event = frozen().events["switch"]
    for signature in ("model", "model, *args, **kwargs"):
        fire = event._compiled(signature, Other)
        assert fire is not None
        assert event._compiled(signature, Other) is fire
    assert event._compiled("model", Model) is not event._compiled("model", Other)


def test_a_state_that_is_a_string_is_known_by_its_value():
    """Whether or not it is the same object."""
    made = machine(
        states=["off", "on"],
        initial="off",
        transitions=[{"trigger": "switch", "source": "off", "dest": "on"}],
    )
    made.freeze(Model)
    model = Model(str(b"off", "ascii"))
    assert made.events["switch"].trigger(model) is True
    assert model.state == "on"


def test_the_value_of_a_member_is_no_state():
    """Though a `StrEnum` says that they are equal."""

    class Light(StrEnum):
        OFF = "off"
        ON = "on"

    row = {"trigger": "switch", "source": Light.OFF, "dest": Light.ON}
    made = machine(states=Light, initial=Light.OFF, transitions=[row])
    made.freeze(Model)
    with pytest.raises(ValueError, match="State 'off' is not a registered state"):
        made.events["switch"].trigger(Model("off"))


@pytest.mark.parametrize("made", [machine(name="lamp"), frozen(name="lamp")])
@pytest.mark.parametrize("arguments", [(), (1,)])
def test_an_illegal_trigger_raises_and_leaves_the_state(made, arguments):
    """Stock and frozen say the same, and no callback has run."""
    model = Model(Lamp.ON)
    with pytest.raises(MachineError) as error:
        made.events["switch"].trigger(model, *arguments)
    assert error.value.value == "lamp: Can't trigger event switch from state ON!"
    assert error.value.__context__ is None
    assert (model.state, model.journal) == (Lamp.ON, [])


@pytest.mark.parametrize("made", [machine(), frozen()])
def test_a_state_of_no_machine_is_an_error(made):
    """Stock and frozen say the same."""
    with pytest.raises(ValueError, match="State 'DIM' is not a registered state"):
        made.events["switch"].trigger(Model("DIM"))


def test_the_name_of_a_member_is_no_state():
    """Stock takes "OFF" for Lamp.OFF; a frozen machine says what to set instead."""
    model = Model("OFF")
    with pytest.raises(MachineError, match=r"state 'OFF' only names <Lamp\.OFF: 'off'>; set that"):
        frozen().events["switch"].trigger(model)
    assert (model.state, model.journal) == ("OFF", [])


def test_a_callback_that_moves_the_state_is_an_error():
    """A trigger fired, or a state set, behind the firing's back does not get lost."""
    model = Model()
    with pytest.raises(MachineError, match=r"state moved from .* while a trigger was firing"):
        frozen({"before": "smash"}).events["switch"].trigger(model)
    assert model.state is Lamp.BROKEN


def test_a_subclass_of_the_model_overrides_callbacks():
    """Compiled for the class of the model that is fired, not for the one frozen with."""

    class Unplugged(Model):
        def ready(self, *args: object, **kwargs: object) -> bool:
            return False

    made = frozen()
    assert made.events["switch"].trigger(Unplugged()) is False
    assert made.events["switch"].trigger(Unplugged(), 1) is False
    assert made.events["switch"].fire(Unplugged()) is None
    assert made.events["switch"].trigger(Model()) is True


def test_a_subclass_of_the_model_is_held_to_the_same_rules():
    """Its overrides are looked at on the first firing, before any of them runs."""

    class Sleepy(Model):
        async def ready(self, *args: object, **kwargs: object) -> bool:
            return True

    for _ in range(2):
        with pytest.raises(MachineError, match="'ready' is a coroutine function"):
            frozen().events["switch"].trigger(Sleepy())


def test_a_stranger_without_the_callbacks_is_refused():
    """A model of any class may be fired if it has every callback."""

    class Stranger:
        state = Lamp.OFF

    made = machine(name="lamp")
    made.add_transition("dim", Lamp.ON, Lamp.OFF, before="note")
    made.add_transition("switch", Lamp.ON, Lamp.OFF, after="note")
    made.freeze(Model)
    with pytest.raises(MachineError) as refusal:
        made.events["switch"].trigger(Stranger())
    assert refusal.value.value == (
        "lamp: cannot be fired: switch from 'OFF': callback 'ready' is no method of Stranger; "
        "switch from 'ON': callback 'note' is no method of Stranger"
    )


def test_before_freezing_triggers_are_stock_and_fire_is_refused():
    """`fire` has no stock to fall back on."""
    made, model = machine(), Model()
    with pytest.raises(MachineError, match="is not frozen"):
        made.events["switch"].fire(model)
    assert made.events["switch"].trigger(model) is True


def test_a_frozen_machine_is_still_a_transitions_machine():
    """Tools that read transitions machines read it."""
    made = frozen()
    assert isinstance(made, Machine)
    assert made.get_triggers("OFF") == ["switch"]
    assert [(arc.source, arc.dest) for arc in made.get_transitions("switch")] == [("OFF", "ON")]
    assert made.get_model_state(Model()).value is Lamp.OFF
