"""Diagrams of a table, as text: Mermaid, Markdown, DOT.

Made from the rows that run and from nothing else, so a diagram cannot tell another story than the
machine. The text is deterministic: a diff of it in a pull request is a diff of the machine. Every
row with a target is one edge with its id (the id in audit records); rows that stay are listed in
the box of their state, as UML draws internal transitions; guards stand in words, with the numbers
in force.

It decides nothing, and knows of breakers and chains only the colours of their states. The syntax is
that of https://mermaid.js.org/syntax/stateDiagram.html and
https://graphviz.org/doc/info/lang.html.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from html.entities import codepoint2name
from types import MappingProxyType
from typing import Final

import attrs

from fsm_fallback.core.table import Row, Table
from fsm_fallback.errors import ConfigurationError

Parameters = Mapping[str, object] | None
"""The numbers in force by name, as `BreakerConfig.in_force` gives them; None if there are none."""

_DIGEST_DIGITS: Final = 12
_EDGE_WIDTH: Final = 18  # wider, and Mermaid lays one label over the next
_BOX_WIDTH: Final = 64
_INDENT: Final = "\N{NO-BREAK SPACE}" * 4
_EMPHASIS: Final = r"(?<![^\W_])_|_(?![^\W_])"  # an underscore within a word is none
# Whatever is not known to be plain text in Mermaid.
_MERMAID_MARKUP: Final = re.compile(rf"[^\w =>.,()/'\[\]+-]|{_EMPHASIS}")
_MARKDOWN_MARKUP: Final = re.compile(rf"[\\`*\[\]<&|~]|{_EMPHASIS}")

# Light fills and black text: readable on a dark page, too.
_TEXT: Final = "#111111"
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "green": ("#c8e6c9", "#2e7d32"),
    "red": ("#ffcdd2", "#c62828"),
    "amber": ("#ffe0b2", "#ef6c00"),
    "blue": ("#bbdefb", "#1565c0"),
    "grey": ("#e0e0e0", "#616161"),
}
_COLOUR_OF: Final[Mapping[str, str]] = {
    "closed": "green",
    "succeeded": "green",
    "open": "red",
    "forced_open": "red",
    "failed": "red",
    "half_open": "amber",
    "rejected": "amber",
    "selecting": "blue",
    "calling": "blue",
}


def diagram(
    table: Table,
    format: str = "mermaid",  # noqa: A002  # the word users look for
    parameters: Parameters = None,
) -> str:
    """Draw a table in one of `FORMATS`.

    Args:
        table: The machine.
        format: `"mermaid"`, `"table"` (Markdown) or `"dot"` (Graphviz).
        parameters: The numbers in force; without them guards name their parameters.

    Returns:
        Text that ends in a newline.

    Raises:
        ConfigurationError: If there is no such format.
    """
    draw = FORMATS.get(format)
    if draw is None:
        known = ", ".join(repr(name) for name in FORMATS)
        raise ConfigurationError(f"diagram format {format!r} is not known; give one of {known}")
    return draw(table, parameters)


def mermaid(
    table: Table,
    parameters: Parameters = None,
    *,
    triggers: Collection[str] | None = None,
    current: Enum | None = None,
) -> str:
    """A Mermaid `stateDiagram-v2`, as forges and documentation sites draw it.

    Args:
        table: The machine.
        parameters: The numbers in force; without them guards name their parameters.
        triggers: Draw the rows of these alone, and the states they touch; None for all.
        current: A state to draw with a thick border, for a live view of one model.
    """
    picture = _Picture(table, parameters, triggers)
    lines = [
        "---",
        f"title: {json.dumps(picture.title, ensure_ascii=False)}",
        "---",
        "stateDiagram-v2",
    ]
    for state in picture.states:
        name = _mermaid_id(state)
        lines.append(f'    state "{_mermaid_text(str(state.value))}" as {name}')
        lines += [f"    {name} : {_mermaid_lines(label)}" for label in picture.stays(state)]
    lines.append(f"    [*] --> {_mermaid_id(table.initial)}")
    for source, target, label in picture.moves():
        edge = f"{_mermaid_id(source)} --> {_mermaid_id(target)}"
        lines.append(f"    {edge} : {_mermaid_lines(label)}")
    lines += [f"    {_mermaid_id(state)} --> [*]" for state in picture.final]
    for colour, (fill, border) in _COLOURS.items():
        if coloured := [_mermaid_id(s) for s in picture.states if _colour(s) == colour]:
            lines.append(f"    classDef {colour} fill:{fill},stroke:{border},color:{_TEXT}")
            lines.append(f"    class {','.join(coloured)} {colour}")
    if current is not None:
        lines.append("    classDef current stroke-width:4px")
        lines.append(f"    class {_mermaid_id(current)} current")
    return "\n".join(lines) + "\n"


def markdown(table: Table, parameters: Parameters = None) -> str:
    """The complete table in Markdown: every row with its reason, and every illegal cell.

    Args:
        table: The machine.
        parameters: The numbers in force; without them guards name their parameters.
    """
    picture = _Picture(table, parameters)
    final = ", ".join(_code(state.value) for state in picture.final) or "none"
    lines = [
        f"{_prose(picture.title)}: {len(table.rows)} rows",
        "",
        f"Initial state: {_code(table.initial.value)}. Final states: {final}.",
        "",
        "| id | trigger | source | guard | target | action | why |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, row in table.numbered():
        cells = (
            number,
            _code(row.trigger),
            _code(row.source.value),
            _prose(picture.guard(row)),
            "stays" if row.target is None else _code(row.target.value),
            ", ".join(_code(action) for action in row.actions),
            _prose(row.why),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += _illegal_cells(table)
    return "\n".join(lines) + "\n"


def dot(
    table: Table,
    parameters: Parameters = None,
    *,
    triggers: Collection[str] | None = None,
    current: Enum | None = None,
) -> str:
    """A Graphviz digraph.

    Args:
        table: The machine.
        parameters: The numbers in force; without them guards name their parameters.
        triggers: Draw the rows of these alone, and the states they touch; None for all.
        current: A state to draw with a thick border, for a live view of one model.
    """
    picture = _Picture(table, parameters, triggers)
    font = 'fontname="Helvetica,Arial,sans-serif"'
    lines = [
        f"digraph {_dot_text(table.name)} {{",
        f"    graph [label={_dot_text(picture.title)}, labelloc=t, {font}];",
        f'    node [shape=box, style="rounded,filled", fontcolor="{_TEXT}", {font}];',
        f"    edge [fontsize=11, {font}];",
        f'    ":initial" [shape=circle, label="", width=0.2, fillcolor="{_TEXT}"];',
        f'    ":final" [shape=doublecircle, label="", width=0.15, fillcolor="{_TEXT}"];'
        if picture.final
        else "",
    ]
    for state in picture.states:
        fill, border = _COLOURS[_colour(state)]
        lines.append(
            f'    {_dot_id(state)} [fillcolor="{fill}", color="{border}", '
            f"penwidth={4 if state is current else 1}, "
            f"label=<{_dot_box(state, picture.stays(state))}>];"
        )
    lines.append(f'    ":initial" -> {_dot_id(table.initial)};')
    for source, target, label in picture.moves():
        lines.append(f"    {_dot_id(source)} -> {_dot_id(target)} [label={_dot_text(*label)}];")
    lines += [f'    {_dot_id(state)} -> ":final";' for state in picture.final]
    return "\n".join(filter(None, lines)) + "\n}\n"


FORMATS: Final[Mapping[str, Callable[[Table, Parameters], str]]] = MappingProxyType(
    {"mermaid": mermaid, "table": markdown, "dot": dot}
)


@attrs.frozen
class _Picture:
    """What every format says of a table."""

    table: Table
    parameters: Parameters
    triggers: Collection[str] | None = None

    @property
    def title(self) -> str:
        """Name and digest, and which triggers are drawn if not all are."""
        only = "" if self.triggers is None else f": {', '.join(self.triggers)}"
        return f"{self.table.name} {self.table.digest(self.parameters)[:_DIGEST_DIGITS]}{only}"

    @property
    def states(self) -> list[Enum]:
        """The states drawn, in the order of their declaration."""
        if self.triggers is None:
            return list(self.table.states)
        touched = {end for _, row in self._drawn() for end in (row.source, row.target)}
        return [s for s in self.table.states if s in touched or s is self.table.initial]

    @property
    def final(self) -> list[Enum]:
        """The final states drawn."""
        return [state for state in self.states if state in self.table.final]

    def moves(self) -> Iterator[tuple[Enum, Enum, list[str]]]:
        """Source, target and label of each row with a target."""
        for number, row in self._drawn():
            if row.target is not None:
                yield row.source, row.target, self._label(number, row)

    def stays(self, state: Enum) -> Iterator[list[str]]:
        """The label of each row that stays in a state."""
        for number, row in self._drawn():
            if row.source is state and row.target is None:
                label = " ".join(self._label(number, row))
                yield textwrap.wrap(label, _BOX_WIDTH, subsequent_indent=_INDENT)

    def guard(self, row: Row) -> str:
        """The guard in words, with the numbers in force; empty for an unguarded row."""
        if row.guard is None:
            return ""
        return self.table.words[row.guard].format_map(_InForce(self.parameters or {}))

    def _drawn(self) -> Iterator[tuple[str, Row]]:
        for number, row in self.table.numbered():
            if self.triggers is None or row.trigger in self.triggers:
                yield number, row

    def _label(self, number: str, row: Row) -> list[str]:
        lines = [f"{number} {row.trigger}"]
        if row.guard is not None:
            lines += _balanced(f"[{self.guard(row)}]", _EDGE_WIDTH)
        if row.actions:
            lines += _balanced("/ " + ", ".join(row.actions), _EDGE_WIDTH)
        return lines


class _InForce(dict[str, object]):
    """Parameters for `str.format_map`: one that is not given stands as its name, None as "off"."""

    def __missing__(self, name: str) -> object:
        return _Name(name)

    def __getitem__(self, name: str) -> object:
        value = super().__getitem__(name)
        return _Name("off") if value is None else value


class _Name(str):
    """A word that ignores the format meant for a number."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        return str(self)


def _balanced(text: str, width: int) -> list[str]:
    """As few lines as `width` allows, and those as even as can be."""
    longest = max(map(len, text.split()))
    fewest = len(textwrap.wrap(text, max(width, longest)))
    while width > longest and len(textwrap.wrap(text, width - 1)) == fewest:
        width -= 1
    return textwrap.wrap(text, max(width, longest))


def _colour(state: Enum) -> str:
    return _COLOUR_OF.get(str(state.value), "grey")


def _mermaid_id(state: Enum) -> str:
    # The prefix keeps ids clear of Mermaid's keywords, which differ from version to version.
    plain = re.sub(r"[^A-Za-z0-9_]", lambda found: f"_{ord(found[0]):x}_", str(state.value))
    return f"s_{plain}"


def _mermaid_lines(lines: list[str]) -> str:
    return "<br/>".join(_mermaid_text(line) for line in lines)


def _mermaid_text(text: str) -> str:
    return _MERMAID_MARKUP.sub(lambda found: f"#{_entity(ord(found[0]))};", text)


def _entity(code: int) -> str:
    return codepoint2name.get(code, str(code))


def _illegal_cells(table: Table) -> list[str]:
    if not table.illegal:
        return []
    lines = [
        "",
        f"Illegal cells: {len(table.illegal)}. Firing one raises `MachineError`; the state stays.",
        "",
        "| trigger | illegal in |",
        "| --- | --- |",
    ]
    for trigger in table.triggers:
        states = [state for state in table.states if (state, trigger) in table.illegal]
        if states:
            names = ", ".join(_code(state.value) for state in states)
            lines.append(f"| {_code(trigger)} | {names} |")
    return lines


def _code(value: object) -> str:
    return "`" + str(value).replace("`", "'").replace("|", r"\|") + "`"


def _prose(text: str) -> str:
    return _MARKDOWN_MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _dot_id(state: Enum) -> str:
    return _dot_text(str(state.value))


def _dot_text(*lines: str) -> str:
    def quoted(line: str) -> str:
        return line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")

    return '"' + r"\n".join(quoted(line) for line in lines) + '"'


def _dot_box(state: Enum, stays: Iterator[list[str]]) -> str:
    rows = [f"<tr><td><b>{html.escape(str(state.value))}</b></td></tr>"]
    lines = [f'{html.escape(line)}<br align="left"/>' for label in stays for line in label]
    if lines:
        text = "".join(lines)
        rows.append(f'<hr/><tr><td align="left"><font point-size="11">{text}</font></td></tr>')
    return f'<table border="0" cellborder="0">{"".join(rows)}</table>'
