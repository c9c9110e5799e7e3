"""What is in force, as TOML: every value, the defaults, too, with a mark on what the file says.

TOML has no None: what is None stands in a comment. So does what is in force and no value of the
place it stands in: what `[models]` knows of a provider's model, and the time-out of a probe that
follows from the chain's limits. What is printed so reads back as the same.
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

from fsm_fallback.config.parts import PROVIDERS, STRATEGIES, WINDOWS, ChatConfig, FileConfig, Path
from fsm_fallback.config.wording import keys_of

_KIND_OF: Final = {
    part: kind
    for kinds in (STRATEGIES, WINDOWS, PROVIDERS)
    for kind, part in kinds.items()
    if "kind" not in keys_of(part)
}
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_FACTS: Final = ("capabilities", "context_window", "price")
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
    return "\n".join(_lines(tables_of(config), given, (), _in_force(config))) + "\n"


@attrs.frozen
class _Fact:
    """What is in force in place of a value: its TOML, or None for the value's own; and why."""

    toml: str | None
    note: str


_Facts = Mapping[Path, _Fact]


def _in_force(config: FileConfig) -> dict[Path, _Fact]:
    """By their paths, the values that something else in the file completes or cuts."""
    found: dict[Path, _Fact] = {}
    for place, each in enumerate(config.providers):
        if isinstance(each, ChatConfig):
            entry = config.known(each)
            for key in _FACTS:
                if not getattr(each, key) and (known := _plain(getattr(entry, key))):
                    found["providers", place, key] = _Fact(_inline(known), "from [models]")
    longest = config.chain.breaker_in_chain.probe_timeout
    if longest != config.chain.breaker.probe_timeout:
        note = f"{longest!r} where attempt_timeout can cut a call"
        found["breaker", "probe_timeout"] = _Fact(None, note)
    return found


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


def _lines(
    table: Mapping[str, Any], given: object, path: Path, in_force: _Facts, name: str = ""
) -> Iterator[str]:
    """The lines of a table: its values, then its tables."""
    if isinstance(given, str):  # a strategy by its kind alone
        given = {"kind": given}
    said: Mapping[Any, Any] = given if isinstance(given, Mapping) else {}
    inner = {key: each for key, each in table.items() if _is_table(each)}
    for key, each in table.items():
        if key not in inner:
            yield _line(key, each, in_force.get((*path, key)), is_set=key in said)
    for key, each in inner.items():
        named = f"{name}.{_key(key)}" if name else _key(key)
        at: Path = (*path, key)
        there: object = said.get(key)
        if isinstance(each, list):
            for place, one in enumerate(each):
                listed = there[place] if isinstance(there, (list, tuple)) else None
                yield from ("", f"[[{named}]]")
                yield from _lines(one, listed, (*at, place), in_force, named)
        else:
            yield from ("", f"[{named}]", *_lines(each, there, at, in_force, named))


def _is_table(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, dict) for each in value)
    return isinstance(value, dict)


def _line(key: str, value: object, fact: _Fact | None, *, is_set: bool) -> str:
    toml = None if fact is None else fact.toml
    if toml is not None:
        line = f"# {_key(key)}: {toml}"
    else:
        line = f"# {_key(key)}: none" if value is None else f"{_key(key)} = {_toml(value)}"
    marks = [*(["set"] if is_set else []), *([fact.note] if fact is not None else [])]
    return f"{line.ljust(_MARK_AT - 1)} # {'; '.join(marks)}" if marks else line


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
        return f"[{', '.join(map(_inline, value))}]"
    return repr(value)


def _inline(value: object) -> str:
    """A value in one line, a table too; what is none in it, and empty, is left out."""
    if not isinstance(value, dict):
        return _toml(value)
    table: dict[str, Any] = value
    said = {key: each for key, each in table.items() if each is not None and each != []}
    return f"{{ {', '.join(f'{_key(key)} = {_inline(each)}' for key, each in said.items())} }}"
