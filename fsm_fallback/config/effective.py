"""What is in force, as TOML: every value, the defaults, too, with a mark on what the file says.

TOML has no None: what is None stands in a comment.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import attrs

from fsm_fallback.config.parts import PROVIDERS, STRATEGIES, WINDOWS, FileConfig
from fsm_fallback.config.wording import keys_of

_KIND_OF: Final = {
    part: kind
    for kinds in (STRATEGIES, WINDOWS, PROVIDERS)
    for kind, part in kinds.items()
    if "kind" not in keys_of(part)
}
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_MARK_AT: Final = 44
_INTEGRAL: Final = 10**15


def tables_of(config: FileConfig) -> dict[str, Any]:
    """The tables that a file with all of this in it has; reading them gives the same again."""
    chain = _plain(config.chain)
    return {
        "name": config.name,
        **chain,
        "providers": [_plain(each) for each in config.providers],
        "models": {name: _plain(each) for name, each in config.models.items()},
    }


def effective(config: FileConfig, given: Mapping[Any, Any]) -> str:
    """The configuration in force, as TOML.

    Args:
        config: The parts of a file.
        given: Its tables, as they stand in it.
    """
    return "\n".join(_lines(tables_of(config), given, ())) + "\n"


def _plain(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value() and abs(value) < _INTEGRAL
        return int(value) if whole else float(value)
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if attrs.has(type(value)):
        kind = _KIND_OF.get(type(value))
        fields = {key: _plain(getattr(value, key)) for key in keys_of(type(value))}
        return fields if kind is None else {"kind": kind, **fields}
    return value


def _lines(table: Mapping[str, Any], given: object, path: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table: its values, then its tables."""
    if isinstance(given, str):  # a strategy by its kind alone
        given = {"kind": given}
    said: Mapping[Any, Any] = given if isinstance(given, Mapping) else {}
    inner = {key: each for key, each in table.items() if _is_table(each)}
    for key, each in table.items():
        if key not in inner:
            yield _line(key, each, is_set=key in said)
    for key, each in inner.items():
        at = (*path, key)
        name = ".".join(map(_key, at))
        there: object = said.get(key)
        if isinstance(each, list):
            for place, one in enumerate(each):
                listed = there[place] if isinstance(there, (list, tuple)) else None
                yield from ("", f"[[{name}]]", *_lines(one, listed, at))
        else:
            yield from ("", f"[{name}]", *_lines(each, there, at))


def _is_table(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, dict) for each in value)
    return isinstance(value, dict)


def _line(key: str, value: object, *, is_set: bool) -> str:
    line = f"# {_key(key)}: none" if value is None else f"{_key(key)} = {_toml(value)}"
    return f"{line.ljust(_MARK_AT)}# set" if is_set else line


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _toml(key)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
