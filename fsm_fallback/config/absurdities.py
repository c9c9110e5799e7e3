"""Tables that no reader gets through: nested without end, or with numbers that nobody can print.

They are looked for before anything is read, in one walk without recursion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fsm_fallback.config.parts import Path
from fsm_fallback.config.wording import dotted

DEEPEST: Final = 32
"""How deep tables and lists may lie in each other."""

MOST: Final = 2**63 - 1
"""The greatest whole number, as in TOML: https://toml.io/en/v1.0.0#integer."""


def absurdities(tables: Mapping[Any, Any]) -> Iterator[str]:
    """A problem for each key of a file that holds one, with its path."""
    for key, value in tables.items():
        problem = _first_in(value, (str(key),))
        if problem is not None:
            yield problem


def _first_in(value: object, path: Path) -> str | None:
    left: list[tuple[object, Path]] = [(value, path)]
    seen: dict[int, int] = {}
    while left:
        each, at = left.pop()
        if isinstance(each, int) and not -MOST - 1 <= each <= MOST:
            return f"{dotted(at)} is a whole number of more than 64 bits; give a smaller one"
        if not isinstance(each, (Mapping, list, tuple)) or seen.get(id(each), -1) >= len(at):
            continue  # one that is there twice is looked through once, as deep as it lies
        if len(at) > DEEPEST:
            return f"{dotted(path)} is nested deeper than {DEEPEST}; take tables or lists out"
        seen[id(each)] = len(at)
        inner = each.items() if isinstance(each, Mapping) else enumerate(each)
        left += [(one, (*at, key if isinstance(key, int) else str(key))) for key, one in inner]
    return None
