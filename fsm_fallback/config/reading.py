"""What a configuration is given as: a path, or a mapping; and what a path holds."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_fallback.core.bounds import shown
from fsm_fallback.errors import ConfigurationError

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read(config: object) -> Mapping[Any, Any]:
    """The tables of a configuration, as they are.

    Args:
        config: The path of a TOML file, or a mapping.

    Raises:
        ConfigurationError: If it is neither, or the file cannot be read, or is no TOML.
    """
    if isinstance(config, Mapping):
        return config
    if not isinstance(config, (str, os.PathLike)) or not os.fspath(config):
        raise ConfigurationError(
            f"config is {shown(config)}; give the path of a TOML file, a mapping or a "
            "FallbackConfig"
        )
    path = Path(os.fsdecode(config))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{str(path)!r} {_fault(error)}") from error


def _fault(error: OSError | ValueError) -> str:
    """What is the matter with a file, and what to do."""
    if isinstance(error, UnicodeDecodeError):
        return f"is no UTF-8 (byte {error.start}); write it as UTF-8"
    if isinstance(error, tomllib.TOMLDecodeError):
        told = str(error)
        place = _PLACE.search(told)
        if place is None:
            return f"is no TOML ({told}); mend it"
        what = told[: place.start()]
        if place[1] is None:
            return f"is no TOML at its end ({what}); mend it"
        return f"is no TOML at line {place[1]}, column {place[2]} ({what}); mend it"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror}); give the path of a TOML file"
    return "cannot be read (its name holds a null byte); give the path of a TOML file"
