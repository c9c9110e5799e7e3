"""What a table may say of a model, and how that is read from plain mappings.

Decides which keys and values there are, and tells of every slip by its path, all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs

from fsm_fallback.core.bounds import (
    COUNT,
    Bound,
    bound_problems,
    bounded,
    refuse_problems,
    shown,
)
from fsm_fallback.core.info import is_names
from fsm_fallback.core.prices import AMOUNT, DATE, PRICE, SOURCE, Price, Tier
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    import datetime as dt  # a millisecond to import, and only a type here

T = TypeVar("T")


def _to_set(value: Iterable[str]) -> frozenset[str]:
    return cast("frozenset[str]", _collected(frozenset, value))


def _to_tuple(value: Iterable[str]) -> tuple[str, ...]:
    return cast("tuple[str, ...]", _collected(tuple, value))


def _collected(kind: Callable[[Any], object], value: object) -> object:
    """A collection as one of this kind; what is none, as it came: its bound refuses it."""
    try:
        return kind(value) if isinstance(value, (list, tuple, set, frozenset)) else value
    except TypeError:  # it holds what has no hash, so no strings
        return value


_NAMES: Final = Bound(is_names, "a set of non-empty strings")
_ALIASES: Final = Bound(
    lambda v: isinstance(v, tuple) and all(isinstance(each, str) and each for each in v),
    "a tuple of non-empty strings",
)


@attrs.frozen(kw_only=True)
class ModelEntry:
    """What a table says of one model.

    Args:
        price: What it costs; None if the table does not say.
        capabilities: What it can do, as in `ModelInfo`; any collection of strings.
        context_window: Tokens it takes at most, whole number >= 1; None if the table does not say.
        aliases: Its other names, such as the one with a date.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """

    price: Price | None = bounded(PRICE.or_none(), None)
    capabilities: frozenset[str] = attrs.field(
        default=frozenset(), converter=_to_set, metadata={"bound": _NAMES}
    )
    context_window: int | None = bounded(COUNT.or_none(), None)
    aliases: tuple[str, ...] = attrs.field(
        default=(), converter=_to_tuple, metadata={"bound": _ALIASES}
    )

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))


def origin_problems(source: object, date: object, where: str) -> Iterator[str]:
    """What is wrong with who says something, and of which day."""
    for field, value, bound in (("source", source, SOURCE), ("date", date, DATE)):
        if not bound.accepts(value):
            yield f"{where}{field} is {shown(value)}; give {bound.wanted}"


def double_names(where: str, entries: Mapping[str, ModelEntry]) -> Iterator[str]:
    """Each alias that is also a name of another model."""
    owners = {name: name for name in entries}
    for model, entry in entries.items():
        for alias in entry.aliases:
            if alias in owners:
                yield (
                    f"{where}: {alias!r} is an alias of {model!r} and a name of "
                    f"{owners[alias]!r}; give each name once"
                )
            else:
                owners[alias] = model


class Reading:
    """What is wrong with a mapping, found while it is read; and who says what does not say so."""

    def __init__(self, source: Any, date: Any, where: str) -> None:
        self._problems = list(origin_problems(source, date, where))
        self.source = source if SOURCE.accepts(source) else "configured"
        self.date: dt.date | None = date if DATE.accepts(date) else None

    def add(self, problems: Iterable[str]) -> None:
        """Note problems."""
        self._problems.extend(problems)

    def refuse(self, prefix: str = "") -> None:
        """Raise one `ConfigurationError` with all of them, if there are any."""
        refuse_problems(f"{prefix}{problem}" for problem in self._problems)

    def refuse_unknown(
        self, mapping: Mapping[Any, Any], names: tuple[str, ...], where: str
    ) -> None:
        """Note every key that is none of these names."""
        for key in mapping:
            if key not in names:
                self.add([f"{where}{key} is unknown; {_nearest(str(key), names)}"])

    def table(self, value: object, where: str) -> Mapping[Any, Any]:
        """A mapping; of anything else an empty one."""
        if isinstance(value, Mapping):
            return value
        self.add([f"{where} is {shown(value)}; give a table"])
        return {}

    def names(self, value: object, where: str) -> tuple[str, ...]:
        """A list of names; of anything else an empty one."""
        if isinstance(value, (list, tuple, set, frozenset)):
            if all(isinstance(each, str) and each for each in value):
                return tuple(value)
        self.add([f"{where} is {shown(value)}; give a list of non-empty strings"])
        return ()

    def made(self, kind: type[T], where: str, values: dict[str, Any]) -> T | None:
        """A record of these values; None if it refuses them, its problems told by this path."""
        try:
            return kind(**values)
        except ConfigurationError as error:
            prefix = f"{kind.__name__}."
            self.add(f"{where}.{each.removeprefix(prefix)}" for each in error.problems)
            return None


def _nearest(word: str, names: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # only those with a slip need it

    near = get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}" if near else f"give one of {', '.join(names)}"


_ENTRY_KEYS: Final = tuple(field.name for field in attrs.fields(ModelEntry))
_PRICE_KEYS: Final = tuple(field.name for field in attrs.fields(Price) if field.init)
_TIER_KEYS: Final = tuple(field.name for field in attrs.fields(Tier))


def read_entries(found: Reading, value: object, where: str) -> dict[str, ModelEntry]:
    """The entries of a mapping; of those with a slip it is noted."""
    entries: dict[str, ModelEntry] = {}
    for name, given in found.table(value, where).items():
        if not isinstance(name, str) or not name:
            found.add([f"{where} has the name {shown(name)}; give a non-empty string"])
            continue
        entry = _entry(found, given, f"{where}.{name}")
        if entry is not None:
            entries[name] = entry
    found.add(double_names(where, entries))
    return entries


def _entry(found: Reading, value: object, where: str) -> ModelEntry | None:
    table = found.table(value, where)
    found.refuse_unknown(table, _ENTRY_KEYS, f"{where}.")
    values = {key: table[key] for key in ("context_window",) if key in table}
    for key in ("capabilities", "aliases"):
        if key in table:
            values[key] = found.names(table[key], f"{where}.{key}")
    if "price" in table:
        values["price"] = _price(found, table["price"], f"{where}.price")
    return found.made(ModelEntry, where, values)


def _price(found: Reading, value: object, where: str) -> Price | None:
    table = found.table(value, where)
    if not isinstance(value, Mapping):
        return None
    values = {"source": found.source, "date": found.date}
    values |= _amounts(found, table, _PRICE_KEYS, ("input_mtok", "output_mtok"), where)
    tiers = values.get("tiers", ())
    if isinstance(tiers, (list, tuple)):
        places = (f"{where}.tiers[{number}]" for number in range(len(tiers)))
        read = [_tier(found, tier, place) for tier, place in zip(tiers, places, strict=True)]
        values["tiers"] = tuple(tier for tier in read if tier is not None)
    return found.made(Price, where, values)


def _tier(found: Reading, value: object, where: str) -> Tier | None:
    table = found.table(value, where)
    if not isinstance(value, Mapping):
        return None
    needed = ("start", "input_mtok", "output_mtok")
    return found.made(Tier, where, _amounts(found, table, _TIER_KEYS, needed, where))


def _amounts(
    found: Reading,
    table: Mapping[Any, Any],
    names: tuple[str, ...],
    needed: tuple[str, ...],
    where: str,
) -> dict[str, Any]:
    """The known keys of a table; in place of each that is missing 0, so that the rest is read."""
    found.refuse_unknown(table, names, f"{where}.")
    values = {key: table[key] for key in names if key in table}
    for key in needed:
        if key not in values:
            wanted = "a number of tokens" if key == "start" else AMOUNT.wanted
            found.add([f"{where}.{key} is missing; give {wanted}"])
            values[key] = 0
    return values
