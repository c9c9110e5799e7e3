"""The mark on everything the demo prints: nobody may take it for the real thing."""

from __future__ import annotations

from typing import Final

import click

SIMULATED: Final = "SIMULATED: loopback emulator, no provider is reached"
"""Title of every table."""

_PREFIX: Final = "simulated"


def say(text: str = "") -> None:
    """Print a line, marked."""
    click.echo(f"{_PREFIX}  {text}".rstrip())
