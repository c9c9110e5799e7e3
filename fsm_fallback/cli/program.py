"""The command `fsm-fallback`: its commands under one name, and its exit codes.

0 done, 1 something the command checked is not so, 2 wrong usage, configuration or a missing extra,
130 stopped by Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import click

from fsm_fallback.cli.ask import ask
from fsm_fallback.cli.check import check
from fsm_fallback.cli.demo.command import demo
from fsm_fallback.cli.diagram import diagram
from fsm_fallback.cli.endings import MISCONFIGURED, STOPPED
from fsm_fallback.cli.spec import spec
from fsm_fallback.errors import ConfigurationError


def _version() -> str:
    try:
        return version("fsm-fallback")
    except PackageNotFoundError:  # run from a source tree
        return "of a source tree that is not installed"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), message="fsm-fallback %(version)s")
def program() -> None:
    """Provider fallback as declared state machines."""


program.add_command(ask)
program.add_command(check)
program.add_command(demo)
program.add_command(diagram)
program.add_command(spec)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, by default those of the process; its exit code."""
    try:
        code: object = program.main(arguments, prog_name="fsm-fallback", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return STOPPED
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(f"Error: {problem}", err=True)
        return MISCONFIGURED
    return code if isinstance(code, int) else 0
