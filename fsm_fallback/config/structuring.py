"""Tables to parts, strictly: `"3"` is not 3, 1 is not True, and what nobody knows is refused.

The classes keep their own bounds; this module gives them the values as they stand in the file, and
converts what TOML cannot say: a list to a tuple, a table to the class of its `kind`, a word to a
state.
"""

from __future__ import annotations

import datetime as dt
import functools
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import UnionType
from typing import Any, Final, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import ClassValidationError, IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from fsm_fallback.config.parts import (
    GIVEN_IN_CODE,
    PROVIDERS,
    STRATEGIES,
    TEXT,
    WINDOWS,
    Kinds,
    Path,
    ProviderConfig,
)
from fsm_fallback.config.wording import MissingError, RefusedError, keys_of
from fsm_fallback.core.bounds import is_number
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.strategies import Strategy
from fsm_fallback.core.windows import Window
from fsm_fallback.errors import ConfigurationError

DEAREST: Final = 1e9
_DOLLARS: Final = "US dollars in [0, 1e9]"


def structured(value: object, wanted: Any) -> Any:
    """A value of a file as the part it stands for.

    Raises:
        Exception: A tree of what is wrong with it, for `wording.told`.
    """
    return _converter().structure(value, wanted)


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(Decimal, _amount)
    converter.register_structure_hook(BreakerState, _state)
    converter.register_structure_hook_factory(attrs.has, lambda part: _part(converter, part))
    converter.register_structure_hook_factory(_is_list, lambda kind: _list(converter, kind))
    for union, kinds in ((Window, WINDOWS), (ProviderConfig, PROVIDERS), (Strategy, STRATEGIES)):
        converter.register_structure_hook_func(
            functools.partial(_is, union), functools.partial(_of_kind, converter, kinds)
        )
    return converter


def _part(converter: cattrs.Converter, part: type[Any]) -> Callable[[object, object], Any]:
    """The hook for a class: what cattrs refuses, and then what the class says of the rest."""
    resolve(part)
    as_it_is = override(struct_hook=lambda value, _: value)
    plain: dict[str, Any] = {f.name: as_it_is for f in attrs.fields(part) if _is_plain(f.type)}
    plain |= {f.name: override(omit=True) for f in attrs.fields(part) if f.name in GIVEN_IN_CODE}
    generated = make_dict_structure_fn(
        part,
        converter,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **plain,
    )

    def structure(value: object, _: object) -> Any:
        if not isinstance(value, Mapping):
            raise RefusedError(value, "a table")
        try:
            return generated(value, part)
        except ClassValidationError as error:
            raise _with_the_rest(error, value, part, generated) from None

    return structure


def _with_the_rest(
    error: ClassValidationError,
    value: Mapping[Any, Any],
    part: type[Any],
    generated: Callable[[Mapping[Any, Any], type[Any]], Any],
) -> ClassValidationError:
    """What is wrong with a table: with its tables, its keys, and with all that is sound in itself.

    cattrs makes no object of a table with a fault in it, so nobody has asked the class yet.
    """
    noted, others = error.group_exceptions()
    bad = {note.name for _, note in noted}
    found = [_missing(each, note.name, part) for each, note in noted]
    found += [_unsaid(each, value) for each in others]
    sound = {key: each for key, each in value.items() if key in keys_of(part) and key not in bad}
    if len(sound) < len(value):
        try:
            generated(sound, part)
        except ClassValidationError as further:
            _, unasked = further.group_exceptions()
            found += [
                _unsaid(ConfigurationError(kept), value)
                for each in unasked
                if isinstance(each, ConfigurationError)
                and (kept := [text for text in each.problems if not _is_of(text, bad)])
            ]
    return ClassValidationError(error.message, found, part)  # pyright: ignore[reportCallIssue]  # has its own __new__


def _missing(error: Exception, field: str, part: type[Any]) -> Exception:
    """The error of a field, in our words where cattrs missed it."""
    if not isinstance(error, KeyError):
        return error
    return MissingError(_wanted(part, field), (field,))


def _unsaid(error: Exception, value: Mapping[Any, Any]) -> Exception:
    """The problems of a class; what was not given at all is missing, and not None."""
    if not isinstance(error, ConfigurationError):
        return error
    return ConfigurationError(
        each.replace(" is None;", " is missing;", 1) if _field(each) not in value else each
        for each in error.problems
    )


def _is_of(problem: str, fields: set[str]) -> bool:
    return _field(problem) in fields


def _field(problem: str) -> str:
    return problem.partition(" ")[0].rpartition(".")[2]


def _wanted(part: type[Any], field: str) -> str:
    declared = attrs.fields_dict(part)[field]
    bound = declared.metadata.get("bound")
    return _DOLLARS if declared.type is Decimal else "it" if bound is None else bound.wanted


def _of_kind(converter: cattrs.Converter, kinds: Kinds, value: object, _: object) -> Any:
    """The part that a table stands for, by its `kind`; of a strategy its kind alone will do."""
    named = f"one of {', '.join(kinds)}"
    at: Path = ("kind",)
    if isinstance(value, str) and kinds is STRATEGIES:
        value, at = {"kind": value}, ()
    if not isinstance(value, Mapping):
        table = f"a table whose kind is {named}"
        raise RefusedError(value, f"{named}, or {table}" if kinds is STRATEGIES else table)
    if "kind" not in value:
        raise MissingError(named, ("kind",))
    kind: object = value["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        raise RefusedError(kind, named, at)
    part = kinds[kind]
    keeps = "kind" in keys_of(part)
    rest = {key: each for key, each in value.items() if keeps or key != "kind"}
    return converter.structure(rest, part)


def _list(converter: cattrs.Converter, wanted: Any) -> Callable[[object, Any], Any]:
    """The hook for a list: cattrs would take a string, or a table, for one, too."""
    element = get_args(wanted)[0]
    whole = frozenset if get_origin(wanted) is frozenset else tuple
    one = converter.get_structure_hook(element)

    def structure(value: object, _: object) -> Any:
        if not isinstance(value, (list, tuple)):
            what = "non-empty strings" if element is str else "tables"
            raise RefusedError(value, f"a list of {what}")
        found: list[Any] = []
        errors: list[Exception] = []
        for place, each in enumerate(value):
            try:
                found.append(one(each, element))
            except Exception as error:  # noqa: BLE001  # told with its place
                error.add_note(IterableValidationNote("an element", place, element))
                errors.append(error)
        if errors:
            raise IterableValidationError("elements", errors, wanted)  # pyright: ignore[reportCallIssue]  # as above
        return whole(found)

    return structure


def _text(value: object, _: object) -> str:
    if not isinstance(value, str) or not value:
        raise RefusedError(value, TEXT.wanted)
    return value


def _state(value: object, _: object) -> BreakerState:
    states: dict[object, BreakerState] = {str(each.value): each for each in BreakerState}
    if not isinstance(value, str) or value not in states:
        raise RefusedError(value, f"one of {', '.join(map(str, states))}")
    return states[value]


def _amount(value: object, _: object) -> object:
    if not is_number(value) or not 0 <= value <= DEAREST:
        raise RefusedError(value, _DOLLARS)
    return value


def _is(wanted: object, asked: object) -> bool:
    return bool(asked == wanted)


def _is_list(kind: object) -> bool:
    return get_origin(kind) in (tuple, frozenset)


def _is_plain(kind: object) -> bool:
    """Whether TOML has values of a kind, so that the class judges them as they stand."""
    kinds: tuple[Any, ...] = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    return not any(
        attrs.has(each) or each in (Strategy, BreakerState, Decimal) or _is_list(each)
        for each in kinds
    )


def resolve(part: type[Any]) -> None:
    """Make the annotations of a class types, those that are only imported for checkers, too."""
    names = vars(sys.modules[part.__module__])
    attrs.resolve_types(part, {**names, "Decimal": Decimal, "datetime": dt, "dt": dt})
