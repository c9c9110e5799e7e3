"""A `transitions` machine whose triggers are compiled once it is frozen.

A stock trigger builds an `EventData`, two partials and a dozen log calls for each firing (6-10 us).
A frozen `CompiledMachine` turns the same declared `Transition` objects into one straight function
per trigger and fires that, through the library's own extension point `event_cls`. Freezing decides
whether that can be done. Compiling is left to a trigger's first firing: a process fires few of
them, and one that only imports the package none.

What stock promises is kept: declaration order, conditions that stop at the first failure, before
and exit callbacks that leave the old state on an exception, enter and after callbacks that leave
the new one. `specs/spec_compiled.py` proves it on random machines; it is the licence to replace the
engine.

What cannot be kept is refused: by `freeze`, with the reason, or by the firing itself, with
`MachineError` and the state as it was. The latter are a callback that moves the state behind a
firing's back, and a model whose state is the mere name of an enumeration's member. Callbacks given
by name are those of the model's class; one instance cannot override them.

This module knows nothing of tables.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from types import CodeType, MappingProxyType
from typing import Any, Final, NoReturn

from transitions import Event, Machine, MachineError, State, Transition

Callback = Callable[..., Any]
Fire = Callable[..., Transition | None]

_Judged = dict[str | int, tuple[str, ...]]
"""What speaks against each callback, by its name or id."""

_BARE: Final = "model"
_WITH_ARGUMENTS: Final = "model, *args, **kwargs"


class CompiledEvent(Event):
    """A stock event until its machine is frozen; from then on `trigger` runs compiled steps.

    Attributes:
        fire: On a frozen machine, fires without arguments and answers the transition that was made,
            or None. Raises `MachineError` as `trigger` does. Look it up for each firing: the first
            one replaces it by what it compiled.
    """

    machine: CompiledMachine  # pyright: ignore[reportIncompatibleVariableOverride]  # made by it
    transitions: Any  # a defaultdict of lists until frozen, a read-only mapping of tuples after
    fire: Callable[[Any], Any]  # a Transition of the machine's own class

    def __init__(self, name: str, machine: CompiledMachine) -> None:
        super().__init__(name, machine)
        self.fire = self._refuse_to_fire
        self._fires: dict[tuple[str, type], Fire] = {}  # by signature and class of the model

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        """Fire with stock semantics: True if a transition was made, False if no guard held.

        Raises:
            MachineError: If the model's state does not know this trigger; the state is unchanged.
        """
        return bool(super().trigger(model, *args, **kwargs))

    def _trigger_compiled(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        if args or kwargs:
            return self.fire_other(model, *args, **kwargs) is not None
        return self.fire(model) is not None

    def freeze(self, model_class: type) -> None:
        """Fire for one class from now on; subclasses have functions of their own."""
        self.transitions = MappingProxyType(
            {source: tuple(rows) for source, rows in self.transitions.items()}
        )
        self._model_class = model_class
        self.fire = self._fire_first
        # Stock reaches the compiled path, too: `events[name].trigger` is it from now on.
        self.trigger = self._trigger_compiled  # type: ignore[method-assign]

    def add_transition(self, transition: Transition) -> None:
        """Declare one more transition; refused once frozen."""
        if self.machine.frozen:
            self.machine.refuse_change()
        super().add_transition(transition)

    def add_callback(self, trigger: str, func: str | Callback) -> None:
        """Declare one more callback; refused once frozen."""
        if self.machine.frozen:
            self.machine.refuse_change()
        super().add_callback(trigger, func)

    def fire_other(self, model: Any, *args: Any, **kwargs: Any) -> Transition | None:
        """Fire with arguments, or on a model of another class than the one frozen for."""
        signature = _WITH_ARGUMENTS if args or kwargs else _BARE
        return self._compiled(signature, type(model))(model, *args, **kwargs)

    def _fire_first(self, model: Any) -> Transition | None:
        self.fire = self._compiled(_BARE, self._model_class)
        return self.fire(model)

    def _compiled(self, signature: str, model_class: type) -> Fire:
        """The function for models of one class, overrides included; compiled on the first firing.

        Two threads that are first both compile; either function will do.
        """
        fire = self._fires.get((signature, model_class))
        if fire is None:
            if model_class is not self._model_class:
                self.machine.refuse_callbacks(model_class, self.name)
            fire = _FireWriter(self, model_class).write(signature)
            self._fires[signature, model_class] = fire
        return fire

    def refuse(self, model: Any) -> NoReturn:
        """Say, as stock does, that the model's state does not know this trigger."""
        state = self.machine.get_state(model.state)  # raises ValueError for no state at all
        if model.state != state.value:
            raise MachineError(
                f"{self.machine.name}state {model.state!r} only names {state.value!r}; set that"
            )
        raise MachineError(
            f"{self.machine.name}Can't trigger event {self.name} from state {state.name}!"
        )

    def _refuse_to_fire(self, _: Any) -> NoReturn:
        raise MachineError(f"{self.machine.name}is not frozen; use trigger, or freeze it first")


class CompiledMachine(Machine):
    """A `Machine` without models that can be frozen, and is fast and fixed from then on."""

    event_cls = CompiledEvent
    events: dict[str, CompiledEvent]  # type: ignore[assignment]  # made by event_cls
    frozen = False

    def freeze(self, model_class: type) -> None:
        """Have every trigger fire compiled for models of `model_class`; refuse all later changes.

        Raises:
            MachineError: Naming every declared thing that compiled triggers do not keep. The
                machine is left unfrozen.
        """
        if self.frozen:
            self.refuse_change()
        reasons = list(self._machine_refusals())
        judged: _Judged = {}
        for name in self.events:
            reasons += self._event_refusals(name, model_class, judged)
        if reasons:
            raise MachineError(f"{self.name}cannot be frozen: " + "; ".join(reasons))
        for event in self.events.values():
            event.freeze(model_class)
        self._seal()
        self.frozen = True

    def refuse_callbacks(self, model_class: type, event: str) -> None:
        """Refuse what another class than the one frozen for has in place of the callbacks.

        Raises:
            MachineError: As `freeze`.
        """
        if reasons := [*self._event_refusals(event, model_class, {})]:
            raise MachineError(f"{self.name}cannot be fired: " + "; ".join(reasons))

    def refuse_change(self, *_: object, **__: object) -> NoReturn:
        """Say that a frozen machine stays as it is."""
        raise MachineError(f"{self.name}is frozen; declare it anew instead of changing it")

    def __setattr__(self, name: str, value: object) -> None:
        if self.frozen:
            self.refuse_change()
        super().__setattr__(name, value)

    def _seal(self) -> None:
        parts: tuple[Any, ...] = (*self.states.values(), *self.get_transitions())
        for part in (self, *parts):
            for name, value in vars(part).items():
                if isinstance(value, list):
                    setattr(part, name, tuple(value))
        for part in parts:
            part.add_callback = self.refuse_change
        for change in _CHANGES:
            setattr(self, change, self.refuse_change)

    def _machine_refusals(self) -> Iterator[str]:
        refused = {
            "queued=True: events would wait for each other across threads": self.has_queue,
            "send_event=True: compiled callbacks get no EventData": self.send_event,
            "prepare_event callbacks": self.prepare_event,
            "finalize_event callbacks": self.finalize_event,
            "on_exception callbacks": self.on_exception,
            "on_final callbacks": self.on_final,
            "ignore_invalid_triggers: a wrong trigger must be heard": self.ignore_invalid_triggers,
            "a registered model: fire events on models instead": self.models,
            "model_attribute other than 'state'": self.model_attribute != "state",
        }
        yield from (reason for reason, found in refused.items() if found)
        for state in self.states.values():
            if type(state) is not State:
                yield f"state {state.name!r} is nested or extended ({type(state).__name__})"
            if state.ignore_invalid_triggers:
                yield f"state {state.name!r} ignores invalid triggers"

    def _event_refusals(self, event: str, model_class: type, judged: _Judged) -> Iterator[str]:
        for transition in self.get_transitions(event):
            reasons = list(self._transition_refusals(transition))
            if not reasons:
                reasons += self._callback_refusals(transition, model_class, judged)
            if reasons:
                yield f"{event} from {transition.source!r}: {'; '.join(reasons)}"

    def _transition_refusals(self, transition: Transition) -> Iterator[str]:
        for state in (transition.source, transition.dest):
            if state and state not in self.states:
                yield f"{state!r} is no declared state"
        if transition.prepare:
            yield "prepare callbacks"
        for part in ("execute", "_change_state", "_eval_conditions", "condition_cls"):
            if getattr(type(transition), part) is not getattr(Transition, part):
                yield f"{type(transition).__name__} overrides {part!r}"

    def _callback_refusals(
        self, transition: Transition, model_class: type, judged: _Judged
    ) -> Iterator[str]:
        for callback in self.callbacks_of(transition):
            key = callback if isinstance(callback, str) else id(callback)
            if key not in judged:  # a name stands in many rows
                judged[key] = tuple(self._reasons_against(callback, model_class))
            yield from judged[key]

    def _reasons_against(self, callback: str | Callback, model_class: type) -> Iterator[str]:
        label = callback if isinstance(callback, str) else getattr(callback, "__name__", "?")
        try:
            resolve(callback, model_class)
        except AttributeError:
            yield f"callback {label!r} is no method of {model_class.__name__}"
            return
        declared = getattr(model_class, callback) if isinstance(callback, str) else callback
        if _is_coroutine(declared):
            yield f"callback {label!r} is a coroutine function"
        if fired := _names_in(declared) & {"trigger", "fire", *self.events}:
            yield f"callback {label!r} names the trigger {min(fired)!r}: re-entrant"

    def callbacks_of(self, transition: Transition) -> Iterator[str | Callback]:
        """Every callback a transition runs: conditions, then before ... after, in firing order."""
        yield from (condition.func for condition in transition.conditions)
        yield from self.callbacks_before(transition)
        yield from self.callbacks_after(transition)

    def callbacks_before(self, transition: Transition) -> Iterator[str | Callback]:
        """What runs in the old state once the conditions hold."""
        yield from self.before_state_change
        yield from transition.before
        if transition.dest:
            yield from self.get_state(transition.source).on_exit

    def callbacks_after(self, transition: Transition) -> Iterator[str | Callback]:
        """What runs in the new state."""
        if transition.dest:
            yield from self.get_state(transition.dest).on_enter
        yield from transition.after
        yield from self.after_state_change


_CHANGES = frozenset(
    {
        "add_model",
        "add_ordered_transitions",
        "add_state",
        "add_states",
        "add_transition",
        "add_transitions",
        "remove_transition",
    }
)


def resolve(callback: str | Callback, model_class: type) -> Callback:
    """The function that stock would call for `callback`, taking the model first.

    Raises:
        AttributeError: If a name is no callable attribute of the class.
    """
    if not isinstance(callback, str):
        function = callback
        return lambda _model, *args, **kwargs: function(*args, **kwargs)
    # As `inspect.getattr_static` finds it, in a tenth of its time.
    found = next((vars(c)[callback] for c in model_class.__mro__ if callback in vars(c)), None)
    if inspect.isfunction(found):
        return found
    if not callable(getattr(model_class, callback)):
        raise AttributeError(callback)  # noqa: TRY004  # to the caller: no such method
    name = callback
    return lambda model, *args, **kwargs: getattr(model, name)(*args, **kwargs)


def _is_coroutine(function: Callback) -> bool:
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(function, "__call__", None)  # noqa: B004  # an instance's may be `async def`
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(call)


def _names_in(function: Callback) -> set[str]:
    """Every attribute and global a function's code mentions, nested functions included."""
    code = getattr(function, "__code__", None)
    names: set[str] = set()
    pending = [code] if isinstance(code, CodeType) else []
    while pending:
        current = pending.pop()
        names.update(current.co_names)
        pending.extend(const for const in current.co_consts if isinstance(const, CodeType))
    return names


class _FireWriter:
    """Writes, as source, what one event does in every state, and compiles it.

    Source rather than closures: one frame per firing. In a state with a guarded and an unguarded
    transition it reads

        state = model.state
        if state is source1:
            if f2(model) == True:
                f3(model)
                ...
                model.state = target4
                return transition5
            f6(model)
            ...
    """

    def __init__(self, event: CompiledEvent, model_class: type) -> None:
        self._event = event
        self._machine = event.machine
        self._model_class = model_class
        self._names: dict[str, Any] = {}

    def write(self, signature: str) -> Fire:
        """The function that fires, with this signature."""
        self._names = {
            "cls": self._model_class,
            "other": self._event.fire_other,
            "refuse": self._event.refuse,
            "reentrant": self._reentrant,
        }
        lines = [
            f"def fire({signature}):",
            f"    if model.__class__ is not cls: return other({signature})",
            "    state = model.state",
        ]
        for source, transitions in self._event.transitions.items():
            value = self._machine.get_state(source).value
            same = "is" if isinstance(value, Enum) else "=="
            lines.append(f"    if state {same} {self._bind('source', value)}:")
            for transition in transitions:
                lines += (f"        {line}" for line in self._transition(transition, signature))
            lines.append("        return None")
        lines.append("    refuse(model)")
        exec("\n".join(lines), self._names)  # noqa: S102  # our own text, declared names only
        fire: Fire = self._names["fire"]
        return fire

    def _transition(self, transition: Transition, signature: str) -> Iterator[str]:
        def call(callback: str | Callback) -> str:
            return f"{self._bind('f', resolve(callback, self._model_class))}({signature})"

        tests = [f"{call(cond.func)} == {cond.target!r}" for cond in transition.conditions]
        yield f"if {' and '.join(tests) or 'True'}:"
        for callback in self._machine.callbacks_before(transition):
            yield f"    {call(callback)}"
        if transition.dest:
            target = self._machine.get_state(transition.dest).value
            yield "    if model.state != state: reentrant(model, state)"
            yield f"    model.state = {self._bind('target', target)}"
        for callback in self._machine.callbacks_after(transition):
            yield f"    {call(callback)}"
        yield f"    return {self._bind('transition', transition)}"

    def _bind(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{len(self._names)}"
        self._names[name] = value
        return name

    def _reentrant(self, model: Any, state: Any) -> NoReturn:
        raise MachineError(
            f"{self._machine.name}state moved from {state!r} to {model.state!r} while a "
            "trigger was firing; guards and actions fire no triggers"
        )
