"""Counterexamples, told to people: as a story, an audit log, a Mermaid sequence and a pytest test.

All four come from the same steps. Of a fault they tell the kind, as the audit log does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final

import attrs

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.commands import Admit, Call, Emit, Open, Pull, Raise, Return, Wait
from fsm_fallback.core.table import Table
from fsm_fallback.spec.acts import BreakerAct
from fsm_fallback.spec.chain_acts import ChainAct
from fsm_fallback.spec.explore import Broken
from fsm_fallback.spec.scope import Scope
from fsm_fallback.telemetry.fields import Record
from fsm_fallback.telemetry.records import Stream, declaration

Act = BreakerAct | ChainAct


@attrs.frozen(kw_only=True)
class Counterexample:
    """The shortest history that breaks a property.

    Attributes:
        broken: What was found.
        kind: The kind of world it happened in, `"breaker"` or `"chain"`.
        scope: How much was tried.
        tables: The tables that ran, by the kind of machine.
        subject: Where the part under proof is to be imported from, `"module:NAME"`; None for the
            library's own.
        role: What that part is to `replay`: `"subject"` or `"strategy"`.
    """

    broken: Broken
    kind: str
    scope: Scope
    tables: Mapping[str, Table]
    subject: str | None = None
    role: str = "subject"

    def story(self) -> str:
        """What happened, a line for each step, and what was promised."""
        birth = self.scope.births[self.broken.root]
        begins = "open, its time over" if birth is BreakerState.HALF_OPEN else birth.value
        lines = [f"  0. every breaker begins {begins}"]
        now = 0.0
        for number, step in enumerate(self.broken.steps, 1):
            if step.move.what == "wait":
                lines.append(f"{number:>3}. {step.move.until - now:g} s pass")
                now = step.move.until
                continue
            told = "; ".join(_words(act, self.tables) for act in step.acts) or _raised(step.move)
            lines.append(f"{number:>3}. {told}")
        lines.append(f"  => {self.broken.promise.id}: {self.broken.promise.sentence}")
        if self.broken.why:
            lines.append(f"     but {self.broken.why}")
        return "\n".join(lines) + "\n"

    def records(self) -> tuple[Record, ...]:
        """What the audit log of these steps says."""
        stream = Stream("counterexample", 0.0, 0.0)
        return tuple(
            record
            for act in self._acts()
            for kept in act.records
            for record in self._declared(stream, act).render(kept)
        )

    def log(self) -> str:
        """The audit log as JSON lines."""
        return "".join(json.dumps(record) + "\n" for record in self.records())

    def mermaid(self) -> str:
        """A Mermaid `sequenceDiagram`: callers, breakers, and where each transition was made."""
        lines = [*self._messages()]
        whom = dict.fromkeys(name for line in lines for name in line.names)
        head = ["sequenceDiagram", *(f"    participant {name}" for name in whom)]
        over = ",".join((next(iter(whom), "a"), [*whom][-1] if whom else "a"))
        why = f", but {self.broken.why}" if self.broken.why else ""
        last = f"    Note over {over}: broken: {_plain(self.broken.promise.sentence + why)}"
        return "\n".join([*head, *(f"    {line.text}" for line in lines), last]) + "\n"

    def pytest(self) -> str:
        """A test that fails as long as the property is broken, and passes once it is kept."""
        name = self.broken.promise.id.replace("-", "_")
        moves = "".join(f"            {_source(step.move)},\n" for step in self.broken.steps)
        imports, given = "", ""
        if self.subject is not None:
            module, _, thing = self.subject.partition(":")
            imports = f"from {module} import {thing.split('.')[0]}\n"
            given = f"        {self.role}={thing},\n"
        return (
            f"{_IMPORTS}{imports}\n\ndef test_{name}() -> None:\n"
            f'    """{self.broken.promise.sentence}"""\n'
            f"    replay(\n"
            f'        "{self.kind}",\n'
            f"{_indented(_source(self.scope, lines=True) + ',', 8)}"
            f"        [\n{moves}        ],\n"
            f"        root={self.broken.root},\n"
            f'        promise="{self.broken.promise.id}",\n'
            f"{given}    )\n"
        )

    def _acts(self) -> Iterator[Act]:
        for step in self.broken.steps:
            yield from step.acts

    def _declared(self, stream: Stream, act: Act) -> Stream:
        name = act.breaker if isinstance(act, BreakerAct) else act.chain
        if stream.declared(act.of, name) is None:
            table = self.tables[act.of]
            named = attrs.evolve(table, name=act.of)  # as records name it
            parameters = self.scope.config.in_force if act.of == "breaker" else None
            stream.declare(name, declaration(named, table.digest(parameters)))
        return stream

    def _messages(self) -> Iterator[_Line]:
        now = 0.0
        for step in self.broken.steps:
            if step.move.what == "wait":
                waited = f"{step.move.until - now:g} s pass"
                yield _Line(f"Note over a: {waited}", ("a",))
                now = step.move.until
                continue
            caller = _caller(step.acts)
            if not step.acts:
                yield _Line(f"Note over a: {_plain(_raised(step.move))}", ("a",))
            for act in step.acts:
                yield from _lines(act, caller, self.tables)


@attrs.frozen
class _Line:
    text: str
    names: tuple[str, ...]


_IMPORTS = """\
from fsm_fallback import BreakerConfig, BreakerState, CountWindow, FaultKind
from fsm_fallback.spec import Move, Scope, replay
"""


def _caller(acts: Sequence[Act]) -> str:
    for act in acts:
        if isinstance(act, ChainAct):
            return f"call{act.call}"
    for act in acts:
        if isinstance(act, BreakerAct) and act.by_hand:
            return "operator"
    return "caller"


def _words(act: Act, tables: Mapping[str, Table]) -> str:
    if isinstance(act, ChainAct):
        return _chain_words(act)
    who = f"breaker {act.breaker!r}"
    if act.trigger == "admit":
        what = f"{who} grants lease {act.granted.number}" if act.granted else f"{who} refuses"
    elif act.lease is not None:
        again = " again" if act.lease.settled else ""
        because = "" if act.fault is None else f" ({act.fault.kind.value})"
        what = f"lease {act.lease.number} of {who} comes back{again}: {act.trigger}{because}"
    else:
        what = f"an operator tells {who}: {act.trigger}"
    return f"{what}{_transition(act, tables)}"


def _transition(act: BreakerAct, tables: Mapping[str, Table]) -> str:
    rows = ", ".join(tables["breaker"].id_of(row) for row in act.rows)
    moved = act.before.state.value
    if act.after.state is not act.before.state:
        moved = f"{moved} -> {act.after.state.value}"
    return f" [{moved}{', ' if rows else ''}{rows}]"


def _raised(move: Any) -> str:
    """A move of which nothing is told but that it was made."""
    return f"{move.what} of {move.who + 1} raises" if move.who > 0 else f"{move.what} raises"


_HEARD: Final[Mapping[str, str]] = {
    "begin": "begins",
    "admission": "hears of the breaker",
    "answer": "is answered",
    "opened": "has a stream",
    "item": "gets an item",
    "finish": "has all of its stream",
    "next": "has handed over what it held",
    "elapse": "has waited",
    "fault": "hears of a fault",
    "time_out": "cuts the attempt off",
    "abandon": "is left by its caller",
}


def _chain_words(act: ChainAct) -> str:
    match act.command:
        case Admit(candidate=candidate):
            due = f"asks for {candidate.name!r}"
        case Call(candidate=candidate):
            due = f"calls {candidate.name!r}"
        case Open(candidate=candidate):
            due = f"opens the stream of {candidate.name!r}"
        case Pull(candidate=candidate):
            due = f"reads on from {candidate.name!r}"
        case Emit(reset=reset):
            due = "hands over" if reset is None else "hands over a reset, and what follows"
        case Wait(seconds=seconds):
            due = f"waits {seconds:g} s"
        case Return():
            due = "has its answer"
        case Raise(error=error):
            due = f"raises {type(error).__name__}"
        case _:
            due = "is over"
    heard = _HEARD[act.trigger]
    if act.fault is not None:
        heard = f"{heard} ({act.fault.kind.value})"
    return f"call {act.call} {heard} and {due} [{act.after.state.value}]"


def _lines(act: Act, caller: str, tables: Mapping[str, Table]) -> Iterator[_Line]:
    if isinstance(act, ChainAct):
        yield _Line(f"Note right of {caller}: {_plain(_chain_words(act))}", (caller,))
        return
    who = act.breaker
    both = (caller, who)
    if act.trigger == "admit":
        yield _Line(f"{caller}->>{who}: admit", both)
        if act.granted is None:
            yield _Line(f"{who}--x{caller}: refused", both)
        else:
            yield _Line(f"{who}-->>{caller}: lease {act.granted.number}", both)
    elif act.lease is not None:
        because = "" if act.fault is None else f" ({act.fault.kind.value})"
        yield _Line(f"{caller}->>{who}: {act.trigger} lease {act.lease.number}{because}", both)
    else:
        yield _Line(f"{caller}->>{who}: {act.trigger}", both)
    if act.moved:
        yield _Line(f"Note over {who}: {_plain(_transition(act, tables).strip(' []'))}", (who,))


def _plain(text: str) -> str:
    """Text as a Mermaid message may hold it."""
    return text.replace(";", ",").replace("#", "no. ").replace("->", "to")


def _indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


def _source(value: Any, *, lines: bool = False) -> str:
    """A value as Python that makes it again; parameters at their defaults are left out.

    `lines`: each parameter on a line of its own.
    """
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if attrs.has(type(value)):
        given = [
            f"{field.name}={_source(getattr(value, field.name))}"
            for field in attrs.fields(type(value))
            if getattr(value, field.name) != field.default
        ]
        if lines and given:
            inner = "".join(f"    {each},\n" for each in given)
            return f"{type(value).__name__}(\n{inner})"
        return f"{type(value).__name__}({', '.join(given)})"
    fields = getattr(value, "_fields", None)
    if isinstance(value, tuple) and fields is not None:
        defaults: Mapping[str, Any] = getattr(type(value), "_field_defaults", {})
        given = [
            f"{name}={_source(each)}" if place else _source(each)
            for place, (name, each) in enumerate(zip(fields, value, strict=True))
            if place == 0 or each != defaults.get(name)
        ]
        return f"{type(value).__name__}({', '.join(given)})"
    if isinstance(value, tuple):
        inner = ", ".join(_source(each) for each in value)
        return f"({inner}{',' if len(value) == 1 else ''})"
    return json.dumps(value) if isinstance(value, str) else repr(value)
