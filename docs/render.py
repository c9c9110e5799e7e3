"""Write the committed diagrams and the generated parts of the pages, from the tables.

Run by `make diagrams`. A test compares `pages()` with the files, so a table cannot change without
its diagrams.
"""  # noqa: INP001  # a script beside the pages it writes

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

import attrs

from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.outcome import KIND_ROWS
from fsm_fallback.core.parameters import (
    BreakerConfig,
    FallbackConfig,
    RetryConfig,
    StreamConfig,
)
from fsm_fallback.core.table import Table
from fsm_fallback.diagrams import diagram, mermaid
from fsm_fallback.providers.faults import fault_table_rows
from fsm_fallback.spec.listing import all_properties, rows_covered

DOCS: Final = Path(__file__).parent
SPECS: Final = DOCS.parent / "specs"
PAGES: Final = (
    DOCS / "breaker.md",
    DOCS / "machines.md",
    DOCS / "faults.md",
    DOCS / "configuration.md",
    DOCS.parent / "README.md",
)
SUFFIXES: Final = {"mermaid": "mmd", "table": "md", "dot": "dot"}
IN_FORCE: Final[Mapping[str, Mapping[str, object] | None]] = {
    "breaker": BreakerConfig().in_force,
    "chain": None,
}
TABLES: Final = (BreakerConfig, RetryConfig, StreamConfig)
"""What has a table of its own."""
ARGUMENT: Final = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
"""An argument in a docstring, and what is said of it."""
CALLS: Final = ("admit", "succeed", "fail", "release", "hold")


def pages() -> dict[Path, str]:
    """The text every generated file should have, by its path."""
    files = {
        DOCS / "diagrams" / f"{table.name}.{suffix}": drawn(table, format_)
        for table in (BREAKER, CHAIN)
        for format_, suffix in SUFFIXES.items()
    }
    parts = {
        "breaker, calls": fenced(mermaid(BREAKER, IN_FORCE["breaker"], triggers=CALLS)),
        "breaker, whole": fenced(drawn(BREAKER, "mermaid")),
        "breaker, rows": drawn(BREAKER, "table"),
        "chain, whole": fenced(drawn(CHAIN, "mermaid")),
        "chain, rows": drawn(CHAIN, "table"),
        "breaker, parameters": parameters(BreakerConfig),
        "chain, parameters": parameters(FallbackConfig),
        "retry, parameters": parameters(RetryConfig),
        "stream, parameters": parameters(StreamConfig),
        "kinds": kinds(),
        "signals": signals(),
    }
    files[SPECS / "promises.md"] = promises()
    for table in (BREAKER, CHAIN):
        files[SPECS / f"{table.name}.md"] = covered(table)
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    for name, part in parts.items():
        texts = with_part(texts, name, part)
    return {**files, **texts}


def drawn(table: Table, format_: str) -> str:
    """A table in a format, with the numbers in force by default."""
    return diagram(table, format_, IN_FORCE[table.name])


def fenced(text: str) -> str:
    """Mermaid text as a block that forges draw."""
    return f"```mermaid\n{text}```\n"


def parameters(part: type[attrs.AttrsInstance]) -> str:
    """Every parameter of a class, as a Markdown table: from the class and its docstring."""
    told = dict(ARGUMENT.findall(inspect.cleandoc(part.__doc__ or "")))
    rows = ["| parameter | default | may be | meaning |", "|" + " --- |" * 4]
    for field in attrs.fields(part):
        default = field.default.value if isinstance(field.default, Enum) else field.default
        if isinstance(default, TABLES):
            default = f"{type(default).__name__}()"
        wanted = field.metadata["bound"].wanted
        meaning = " ".join(told[field.name].split())
        rows.append(f"| `{field.name}` | `{default}` | {wanted} | {meaning} |")
    return "\n".join(rows) + "\n"


def kinds() -> str:
    """What follows from each kind of fault, as a Markdown table."""
    rows = [
        "| kind | same provider | next provider | breaker | scope | hold | why |",
        "|" + " --- |" * 7,
    ]
    for row in KIND_ROWS:
        hold = (
            ""
            if row.hold_duration is None
            else f"{row.hold_duration:g} s, at most {row.max_hold_duration:g} s"
        )
        words = (row.kind, row.retry, row.fail_over, row.outcome, row.scope)
        rows.append("| " + " | ".join([*(word.value for word in words), hold, row.why]) + " |")
    return "\n".join(rows) + "\n"


def signals() -> str:
    """What speaks for each kind of fault, as a Markdown table."""
    rows = [f"| {row.kind.value} | {row.signals.replace('|', '/')} |" for row in fault_table_rows()]
    return "\n".join(["| kind | signals |", "| --- | --- |", *rows]) + "\n"


def promises() -> str:
    """Every property, as a page."""
    rows = ["| property | of | kind | guarantee | rows | promise |", "|" + " --- |" * 6]
    for each in all_properties():
        number = "" if each.guarantee is None else str(each.guarantee)
        words = (f"`{each.id}`", each.of, f"`{each.kind}`", number, rows_covered(each))
        rows.append(f"| {' | '.join(words)} | {each.sentence} |")
    told = "Generated from `fsm_fallback.spec`, as `fsm-fallback spec list` prints it."
    return "\n".join(["# Promises", "", told, "", *rows]) + "\n"


def covered(table: Table) -> str:
    """A table with its diagram, and the properties that speak of each row, as a page."""
    speaking = [each for each in all_properties() if each.of == table.name]
    wide = {each.id for each in speaking if len(each.rows(table)) == len(table.rows)}
    lines = ["| row | trigger | state | guard | goes to | promises |", "|" + " --- |" * 6]
    for number, row in table.numbered():
        ids = [
            f"`{each.id}`" for each in speaking if each.id not in wide and row in each.rows(table)
        ]
        target = "stays" if row.target is None else row.target.value
        words = (number, row.trigger, row.source.value, row.guard or "", target, ", ".join(ids))
        lines.append(f"| {' | '.join(words)} |")
    return (
        f"# The {table.name}'s machine, and what is promised of each row\n\n"
        "Generated from the table that runs and the properties that are checked.\n\n"
        f"{fenced(drawn(table, 'mermaid'))}\n"
        f"Promised of every row: {', '.join(f'`{each}`' for each in sorted(wide))}.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def with_part(texts: Mapping[Path, str], name: str, part: str) -> dict[Path, str]:
    """The pages with one generated part renewed, wherever its two markers stand.

    Raises:
        ValueError: If they stand nowhere.
    """
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->\n"
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not any(between.search(text) for text in texts.values()):
        raise ValueError(f"no page has the part {name!r}; put its two markers into one")
    renewed = f"{begin}\n{part}\n{end}"
    return {page: between.sub(lambda _: renewed, text) for page, text in texts.items()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
