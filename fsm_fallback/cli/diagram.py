"""`fsm-fallback diagram`: the machine that runs, as text to review."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from fsm_fallback.cli.endings import CannotBegin
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.diagrams import FORMATS
from fsm_fallback.diagrams import diagram as draw

# The breaker with the defaults in force, the chain without numbers: as in docs/diagrams.
_MACHINES: Final = {
    BREAKER.name: (BREAKER, BreakerConfig().in_force),
    CHAIN.name: (CHAIN, None),
}


@click.command()
@click.argument("machine", type=click.Choice(list(_MACHINES)))
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    default="mermaid",
    show_default=True,
    help="mermaid, table (Markdown) or dot (Graphviz).",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, replacing it, instead of printing.",
)
def diagram(machine: str, format_: str, out: Path | None) -> None:
    """Draw the breaker or the chain from the rows that run.

    The breaker is drawn with the default parameters in force.
    """
    table, parameters = _MACHINES[machine]
    text = draw(table, format_, parameters)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotBegin(
            f"--out {str(out)!r} cannot be written ({error.strerror}); make its directory, or give "
            "another file"
        ) from error
