"""`fsm-fallback check`: what a configuration file comes to, and what is odd about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.diagrams import diagram as draw
from fsm_fallback.errors import ConfigurationError

WARNED: Final = 1
"""Exit code with `--strict`: the file is sound, and something in it is odd."""

DRAWN: Final = "#|"
"""What each line of the diagram begins with: a comment to TOML."""


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--schema", "wants_schema", is_flag=True, help="Print the JSON Schema of such files.")
@click.option("--strict", is_flag=True, help="End with 1 if there is a warning.")
def check(config: Path | None, *, wants_schema: bool, strict: bool) -> int:
    """Check a configuration file, and print all that it puts in force.

    Every value is printed, the defaults, too, as TOML; then, in comments that begin with "#|", the
    breaker with these numbers, as Mermaid. So what is printed is a sound file of the same chain.
    Warnings tell what in the file does not do what it seems to. Notes tell what this machine lacks
    for it, and count for nothing: neither keys nor SDKs are needed here.

    The exit code is 2 if the file cannot work; every problem is told.
    """
    # Imported here: cattrs is for those who read files.
    from fsm_fallback.config.advice import advice  # noqa: PLC0415  # see above
    from fsm_fallback.config.drafting import draft  # noqa: PLC0415  # as well
    from fsm_fallback.config.effective import effective  # noqa: PLC0415  # as well
    from fsm_fallback.config.making import environment_problems  # noqa: PLC0415  # as well
    from fsm_fallback.config.reading import read  # noqa: PLC0415  # as well
    from fsm_fallback.config.schema import schema  # noqa: PLC0415  # as well

    if wants_schema:
        click.echo(json.dumps(schema(), indent=2))
        return 0
    if config is None:
        raise click.UsageError("CONFIG is missing; give the path of a TOML file, or --schema")
    tables = read(config)
    drafted = draft(tables)
    if drafted.problems:
        raise ConfigurationError(drafted.problems)
    file = drafted.config
    click.echo(effective(file, tables))
    for line in draw(BREAKER, "mermaid", file.chain.breaker_in_chain.in_force).splitlines():
        click.echo(f"{DRAWN} {line}".rstrip())
    warnings = tuple(advice(file))
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    for note in environment_problems(drafted):
        click.echo(f"Note: {note}", err=True)
    return WARNED if strict and warnings else 0
