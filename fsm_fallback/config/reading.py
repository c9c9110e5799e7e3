"""What a configuration is given as: a path, or a mapping; and what a path holds."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_fallback.config.wording import hidden
from fsm_fallback.core.bounds import shown
from fsm_fallback.errors import ConfigurationError

_BYTE_ORDER_MARK: Final = "\ufeff"
_PROVIDERS: Final = re.compile(r"\s*\[\[?\s*providers\s*\]")
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
    tables, fault = _parsed(path)
    if fault:  # raised out here: what the fault was raised from has the text of the file
        raise ConfigurationError(f"{str(path)!r} {fault}")
    return tables


def _parsed(path: Path) -> tuple[dict[str, Any], str]:
    """The tables of a file, or what is the matter with it and what to do."""
    try:
        if path.exists() and not path.is_file():
            return {}, "is no regular file; give the path of a TOML file"
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return {}, f"is no UTF-8 (byte {error.start}); write it as UTF-8"
    except OSError as error:
        return {}, f"cannot be read ({error.strerror}); give the path of a TOML file"
    except ValueError:
        return {}, "cannot be read (its name holds a null byte); give the path of a TOML file"
    text = text.removeprefix(_BYTE_ORDER_MARK)
    try:
        return tomllib.loads(text), ""
    except tomllib.TOMLDecodeError as error:
        return {}, hidden(_no_toml(str(error), text))
    except RecursionError:
        return {}, "is nested too deep; take tables or lists out"
    except ValueError:  # of int()
        most = sys.get_int_max_str_digits()
        return {}, f"has a number of more than {most} digits; give one of 64 bits"


def _no_toml(told: str, text: str) -> str:
    place = _PLACE.search(told)
    if place is None:
        return f"is no TOML ({told}); mend it"
    what = told[: place.start()]
    if place[1] is None:
        return f"is no TOML at its end ({what}); mend it"
    line = text.split("\n")[int(place[1]) - 1]
    remedy = "write [[providers]] above each" if _PROVIDERS.match(line) else "mend it"
    return f"is no TOML at line {place[1]}, column {place[2]} ({what}); {remedy}"
