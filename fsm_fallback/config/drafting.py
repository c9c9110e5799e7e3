"""From the tables of a file to its parts, with everything that is wrong with it, at once.

What one part gets wrong keeps no other from being read: names and nesting are judged by what stands
in the file, sound or not. Nothing here looks at the machine it runs on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs

from fsm_fallback.circuit.gates import ACCOUNT
from fsm_fallback.config.absurdities import absurdities
from fsm_fallback.config.parts import TEXT, FileConfig, NestedConfig, Path, ProviderConfig
from fsm_fallback.config.structuring import structured
from fsm_fallback.config.wording import (
    RefusedError,
    dotted,
    hidden,
    keys_of,
    told,
    unknown_keys,
)
from fsm_fallback.core.bounds import shown
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.core.strategies import Strategy
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.models import ModelEntry, ModelTable

T = TypeVar("T")

CHAIN_KEYS: Final = keys_of(FallbackConfig)
MODEL_KEYS: Final = keys_of(ModelEntry)
_NO_ENTRY: Final = ModelEntry()
FILE_KEYS: Final = ("name", *CHAIN_KEYS, "providers", "models")


@attrs.frozen(kw_only=True)
class Entry:
    """An entry of `[[providers]]` as it stands in the file.

    Attributes:
        place: Its index.
        name: Its name; None where it has none.
        members: The names in it, of a nested chain.
        config: The part it stands for; None if it cannot be one.
    """

    place: int
    name: str | None
    members: tuple[str, ...]
    config: ProviderConfig | None


@attrs.frozen(kw_only=True)
class Draft:
    """What is sound in a file, and what is not.

    Attributes:
        config: The sound parts; all of them if there are no problems.
        entries: All entries of `[[providers]]`.
        problems: Everything that is wrong, each with its path.
    """

    config: FileConfig
    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    def place(self, name: str) -> str:
        """Where an entry stands, as a path."""
        return next(f"providers[{each.place}]" for each in self.entries if each.name == name)


def draft(tables: Mapping[Any, Any]) -> Draft:
    """Read the tables of a file.

    Args:
        tables: As TOML gives them; `None` may stand where a part takes it.

    Raises:
        ConfigurationError: If they are nested without end, or hold a number beyond 64 bits: then
            nothing else is looked at.
    """
    absurd = tuple(map(hidden, absurdities(tables)))
    if absurd:
        raise ConfigurationError(absurd)
    problems = list(unknown_keys(set(tables) - set(FILE_KEYS), FILE_KEYS, ()))
    config = FileConfig()
    name = _sound(problems, tables.get("name", config.name), str, ("name",), config.name)
    given = {key: tables[key] for key in CHAIN_KEYS if key in tables}
    chain = _sound(problems, given, FallbackConfig, (), config.chain)
    entries = tuple(_entries(problems, tables.get("providers", ())))
    models = _models(problems, tables.get("models", {}))
    config = FileConfig(
        name=name,
        chain=chain,
        providers=tuple(each.config for each in entries if each.config is not None),
        models=models,
    )
    problems += _name_problems(entries)
    problems += _nesting_problems(entries)
    problems += _weight_problems(config, entries)
    return Draft(config=config, entries=entries, problems=tuple(map(hidden, problems)))


def strategies_in(strategy: Strategy, path: Path) -> Iterator[tuple[Strategy, Path]]:
    """A strategy and those it hands on to, each with its path."""
    yield strategy, path
    then = getattr(strategy, "then", None)
    if isinstance(then, Strategy):
        yield from strategies_in(then, (*path, "then"))


def _sound(problems: list[str], value: object, wanted: type[T], path: Path, default: T) -> T:
    """A part, or the default where it is not sound."""
    try:
        part: T = structured(value, wanted)
    except Exception as error:  # noqa: BLE001  # a tree, which `told` knows; it raises what it does not
        problems.extend(told(error, path))
        return default
    return part


def _entries(problems: list[str], value: object) -> Iterator[Entry]:
    if not isinstance(value, (list, tuple)):
        problems.append(f"providers is {shown(value)}; give a list of tables, [[providers]]")
        return
    if not value:
        problems.append("providers is empty; give at least one, [[providers]]")
    for place, each in enumerate(value):
        table = each if isinstance(each, Mapping) else {}
        name, members = table.get("name"), table.get("providers")
        nests = table.get("kind") == "chain" and isinstance(members, (list, tuple))
        yield Entry(
            place=place,
            name=name if TEXT.accepts(name) else None,
            members=tuple(m if isinstance(m, str) else "" for m in members or ()) if nests else (),
            config=_sound(problems, each, ProviderConfig, ("providers", place), None),  # type: ignore[arg-type]  # a union
        )


def _models(problems: list[str], value: object) -> dict[str, ModelEntry]:
    if not isinstance(value, Mapping):
        problems += told(RefusedError(value, "a table of models by name"), ("models",))
        return {}
    entries: dict[str, ModelEntry] = {}
    for name, each in value.items():
        path = ("models", str(name))
        unquoted = dict(_unquoted(each))
        for rest in unquoted.values():
            whole = f"{name}.{rest}"
            remedy = f"quote the name, [{dotted(('models', whole))}]"
            problems.append(f"models.{whole} is unknown; {remedy}")
        sound = {k: v for k, v in each.items() if k not in unquoted} if unquoted else each
        entries[str(name)] = _sound(problems, sound, ModelEntry, path, _NO_ENTRY)
    try:
        ModelTable(entries)
    except ConfigurationError as error:
        problems += told(error)
    return entries


def _unquoted(table: object) -> Iterator[tuple[object, str]]:
    """The keys of a model that are the rest of its name, which has a dot: `[models.gpt-4.1]`."""
    for key, each in table.items() if isinstance(table, Mapping) else ():
        if isinstance(each, Mapping) and not difflib.get_close_matches(str(key), MODEL_KEYS, n=1):
            further = tuple(rest for _, rest in _unquoted(each))
            yield key, f"{key}.{further[0]}" if further else str(key)


def _name_problems(entries: Sequence[Entry]) -> Iterator[str]:
    """Names that two have, or that breakers of accounts have."""
    seen: dict[str, int] = {}
    for each in entries:
        if each.name is None:
            continue
        where = f"providers[{each.place}].name is {each.name!r}"
        if each.name in seen:
            yield f"{where}, as of providers[{seen[each.name]}]; give each its own"
        elif each.name.startswith(ACCOUNT):
            yield f"{where}; give it one that does not begin with {ACCOUNT!r}"
        seen.setdefault(each.name, each.place)


def _nesting_problems(entries: Sequence[Entry]) -> Iterator[str]:
    """Names of nobody in nested chains, names twice in one, and chains that hold themselves."""
    known = {each.name: each for each in entries if each.name is not None}
    for each in entries:
        for number, name in enumerate(each.members):
            where = f"providers[{each.place}].providers[{number}] is {name!r}"
            if name in each.members[:number]:
                first = each.members.index(name)
                yield f"{where}, as providers[{each.place}].providers[{first}]; name each once"
            elif name and name not in known:
                yield f"{where}, and no provider has that name; {_nearest(name, known)}"
    for circle in _circles(known):
        path = " -> ".join(map(repr, (*circle, circle[0])))
        where = f"providers[{known[circle[0]].place}].providers"
        yield f"{where} leads back to itself, {path}; take one of them out"


def _circles(known: Mapping[str, Entry]) -> Iterator[tuple[str, ...]]:
    """Every circle of nested chains that a walk comes upon, once, from its first entry on."""
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if name in way:
            yield way[way.index(name) :]
        elif name not in done and name in known:
            for member in known[name].members:
                yield from walk(member, (*way, name))
            done.add(name)

    for name in known:
        yield from walk(name, ())


def _weight_problems(config: FileConfig, entries: Sequence[Entry]) -> Iterator[str]:
    """Weights for nobody, or all 0, in the strategy of the chain and in those of nested ones."""
    nested = {name for each in entries for name in each.members}
    asked = [each.name for each in entries if each.name is not None and each.name not in nested]
    yield from _weights_in_vain(config.chain.strategy, ("strategy",), asked)
    for each in entries:
        if isinstance(each.config, NestedConfig):
            path = ("providers", each.place, "strategy")
            yield from _weights_in_vain(each.config.strategy, path, each.members)


def _weights_in_vain(strategy: Strategy, path: Path, asked: Sequence[str]) -> Iterator[str]:
    for each, where in strategies_in(strategy, path):
        weights: Mapping[str, float] = getattr(each, "weights", None) or {}
        if asked and all(weights.get(name, 1) == 0 for name in asked):
            yield (
                f"{dotted((*where, 'weights'))} is 0 for every provider of the chain; give at "
                "least one a number above 0"
            )
        for name in weights:
            if name not in asked:
                at = dotted((*where, "weights", name))
                yield f"{at} is the weight of nobody in this chain; {_nearest(name, asked)}"


def _nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}"
    return f"give one of {', '.join(map(repr, known))}" if known else "take it out"
