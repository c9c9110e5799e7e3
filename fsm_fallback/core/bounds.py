"""What a parameter may be, said once: the bound, and the words that name the remedy.

A configuration class declares its fields with `bounded`; `refuse_unbounded` then lists every field
out of bounds at once, so that a user mends a file in one go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeGuard

import attrs

from fsm_fallback.errors import ConfigurationError


@attrs.frozen
class Bound:
    """A test for a value, and the words for what passes it."""

    accepts: Callable[[object], bool]
    wanted: str

    def or_none(self) -> Bound:
        """The same bound, None allowed."""
        return Bound(lambda value: value is None or self.accepts(value), f"{self.wanted}, or None")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is an int or float that a float can hold and finite; bool is neither."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int above every float
        return False


def is_count(value: object, least: int) -> bool:
    """Whether a value is an int of at least `least`; bool is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_MAX_FACTOR: Final = 1000  # keeps powers of it finite

RATIO: Final = Bound(lambda v: is_number(v) and 0 < v <= 1, "a ratio in (0, 1]")
SHARE: Final = Bound(lambda v: is_number(v) and 0 <= v < 1, "a share in [0, 1)")
PART: Final = Bound(lambda v: is_number(v) and 0 <= v <= 1, "a share in [0, 1]")
SECONDS: Final = Bound(lambda v: is_number(v) and v > 0, "finite seconds > 0")
WAIT: Final = Bound(lambda v: is_number(v) and v >= 0, "finite seconds >= 0")
FACTOR: Final = Bound(lambda v: is_number(v) and 1 <= v <= _MAX_FACTOR, "a factor in [1, 1000]")
COUNT: Final = Bound(lambda v: is_count(v, 1), "a whole number >= 1")
WHOLE: Final = Bound(lambda v: is_count(v, 0), "a whole number >= 0")
FLAG: Final = Bound(lambda v: isinstance(v, bool), "True or False")


def one_of(*values: str) -> Bound:
    """One of the given words."""
    return Bound(lambda v: isinstance(v, str) and v in values, "one of " + ", ".join(values))


def instance_of(kind: type, wanted: str) -> Bound:
    """An instance of a class."""
    return Bound(lambda v: isinstance(v, kind), wanted)


def bounded(bound: Bound, default: Any) -> Any:
    """An attrs field with a default and a bound."""
    return attrs.field(default=default, metadata={"bound": bound})


_MOST_SHOWN: Final = 10**40  # a longer one says nothing, and Python itself shows only so many


def shown(value: object) -> str:
    """A value as a message may show it: words and numbers, of anything else only the type.

    What stands in the wrong place may be a table of settings, keys among them.
    """
    if isinstance(value, int) and not -_MOST_SHOWN < value < _MOST_SHOWN:
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    return f"a {value.__name__} class" if isinstance(value, type) else f"a {type(value).__name__}"


def bound_problems(instance: attrs.AttrsInstance) -> Iterator[str]:
    """Each field out of bounds: its path, its value and the remedy."""
    owner = type(instance).__name__
    for field in attrs.fields(type(instance)):
        bound = field.metadata.get("bound")
        if bound is None:
            continue
        value = getattr(instance, field.name)
        if not bound.accepts(value):
            yield f"{owner}.{field.name} is {shown(value)}; give {bound.wanted}"


def refuse_problems(problems: Iterator[str]) -> None:
    """Raise one `ConfigurationError` with all problems, or return if there are none."""
    found = tuple(problems)
    if found:
        raise ConfigurationError(found)
