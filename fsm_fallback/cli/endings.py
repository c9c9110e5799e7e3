"""How a command ends that could not begin, or was stopped."""

from __future__ import annotations

from typing import Final

import click

MISCONFIGURED: Final = 2
STOPPED: Final = 130
"""Exit codes: nothing has been started; Ctrl-C, as shells count signals."""


class CannotBegin(click.ClickException):
    """Something the command needs is missing; nothing has been started.

    The message names it and the remedy.
    """

    exit_code = MISCONFIGURED
