"""The JSON Schema of configuration files, for editors: made of the classes and their bounds.

It says what can be said of one value by itself, of the keys of a table, and of waiting, which needs
a deadline. What else takes two values, two tables or the machine to judge is for `fsm-fallback
check`: names, nesting, a window that is smaller than what has to be in it. Some things JSON Schema
has no words for: 1.0 is a whole number to it, -0.0 is 0, and a date may be text.

https://json-schema.org/draft/2020-12/schema
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Any, Final, get_args, get_origin

import attrs

from fsm_fallback.config.absurdities import MOST
from fsm_fallback.config.drafting import CHAIN_KEYS
from fsm_fallback.config.parts import (
    MEMBERS,
    PROVIDERS,
    STRATEGIES,
    TEXT,
    TEXTS,
    URL,
    URL_PATTERN,
    VARIABLE,
    VARIABLE_PATTERN,
    WINDOWS,
    FileConfig,
    Kinds,
)
from fsm_fallback.config.structuring import DEAREST, resolve
from fsm_fallback.config.wording import keys_of
from fsm_fallback.core.bounds import (
    COUNT,
    FACTOR,
    FLAG,
    PART,
    RATIO,
    SECONDS,
    SHARE,
    WAIT,
    WHOLE,
    Bound,
)
from fsm_fallback.core.load_balanced import LEAST_WEIGHT, MOST_WEIGHT
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.core.prices import DATE, SOURCE
from fsm_fallback.core.strategies import Strategy
from fsm_fallback.core.windows import Window
from fsm_fallback.providers.model_entries import ModelEntry

Schema = dict[str, Any]

_OR_NONE: Final = ", or None"
_ONE_OF: Final = "one of "
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_BOUNDS: Final[Mapping[str, Schema]] = {
    RATIO.wanted: {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    SHARE.wanted: {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    PART.wanted: {"type": "number", "minimum": 0, "maximum": 1},
    SECONDS.wanted: {"type": "number", "exclusiveMinimum": 0},
    WAIT.wanted: {"type": "number", "minimum": 0},
    FACTOR.wanted: {"type": "number", "minimum": 1, "maximum": 1000},
    COUNT.wanted: {"type": "integer", "minimum": 1, "maximum": MOST},
    WHOLE.wanted: {"type": "integer", "minimum": 0, "maximum": MOST},
    FLAG.wanted: {"type": "boolean"},
    TEXT.wanted: _TEXT,
    SOURCE.wanted: _TEXT,
    TEXTS.wanted: {"type": "array", "items": _TEXT},
    MEMBERS.wanted: {"type": "array", "items": _TEXT, "minItems": 1},
    URL.wanted: {"type": "string", "pattern": URL_PATTERN},
    VARIABLE.wanted: {"type": "string", "pattern": VARIABLE_PATTERN},
    DATE.wanted.removesuffix(_OR_NONE): {"type": "string", "format": "date"},
}
_NAME: Final[Schema] = {"minLength": 1}
_WEIGHT: Final[Schema] = {
    "anyOf": [{"const": 0}, {"type": "number", "minimum": LEAST_WEIGHT, "maximum": MOST_WEIGHT}]
}
_AMOUNT: Final[Schema] = {"type": "number", "minimum": 0, "maximum": DEAREST}


def schema() -> Schema:
    """The schema of a whole file."""
    chain = _properties(FallbackConfig)
    words = _words(FileConfig)
    models = {
        "type": "object",
        "propertyNames": _NAME,
        "additionalProperties": _part(ModelEntry),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A configuration of fsm-fallback",
        "type": "object",
        "properties": {
            "name": {**_field(attrs.fields(FileConfig).name), **_about(words, "name")},
            **{key: chain[key] for key in CHAIN_KEYS},
            "providers": {
                "type": "array",
                "minItems": 1,
                "items": {"oneOf": _tables(PROVIDERS)},
                "description": words["providers"],
            },
            "models": {**models, "description": words["models"]},
        },
        "required": ["providers"],
        "additionalProperties": False,
        "if": {"properties": {"when_all_open": {"const": "wait"}}, "required": ["when_all_open"]},
        "then": {"properties": {"deadline": {"type": "number"}}, "required": ["deadline"]},
        "$defs": {
            "strategy": {"anyOf": [{"enum": list(STRATEGIES)}, *_tables(STRATEGIES)]},
            "window": {"oneOf": _tables(WINDOWS)},
        },
    }


def bound_schema(bound: Bound) -> Schema:
    """What a bound says, as a schema.

    Raises:
        KeyError: If it is a bound that no table here knows.
    """
    wanted = bound.wanted.removesuffix(_OR_NONE)
    if wanted.startswith(_ONE_OF):
        found: Schema = {"enum": wanted.removeprefix(_ONE_OF).split(", ")}
    else:
        found = dict(_BOUNDS[wanted])
    return _nullable(found) if wanted != bound.wanted else found


def _nullable(found: Schema) -> Schema:
    """The same, or null: TOML has none, other mappings have."""
    if "enum" in found:
        return {**found, "enum": [*found["enum"], None]}
    return {**found, "type": [found["type"], "null"]}


def _tables(kinds: Kinds) -> list[Schema]:
    return [_part(part, kind) for kind, part in kinds.items()]


def _part(part: type[Any], kind: str | None = None) -> Schema:
    """The schema of a table: its keys, those it needs, and no others."""
    properties = _properties(part)
    required = [key for key in properties if _is_needed(attrs.fields_dict(part)[key])]
    if kind is not None:
        properties = {
            "kind": {"const": kind},
            **{k: v for k, v in properties.items() if k != "kind"},
        }
        required = ["kind", *(each for each in required if each != "kind")]
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    summary = (inspect.getdoc(part) or "").partition("\n")[0]
    return {**found, "required": required, "description": summary}


def _properties(part: type[Any]) -> dict[str, Schema]:
    resolve(part)
    words = _words(part)
    fields = attrs.fields_dict(part)
    return {key: {**_field(fields[key]), **_about(words, key)} for key in keys_of(part)}


def _about(words: Mapping[str, str], key: str) -> Schema:
    return {"description": words[key]} if key in words else {}


def _is_needed(field: attrs.Attribute[Any]) -> bool:
    bound: Bound | None = field.metadata.get("bound")
    if field.default is attrs.NOTHING:
        return True
    return bound is not None and field.default is None and not bound.accepts(None)


def _field(field: attrs.Attribute[Any]) -> Schema:
    bound = field.metadata.get("bound")
    found = _of_type(field.type) if bound is None or not _is_known(bound) else bound_schema(bound)
    default = field.default
    plain = isinstance(default, (bool, int, float, str))
    return {**found, "default": default} if plain and not _is_needed(field) else found


def _is_known(bound: Bound) -> bool:
    wanted = bound.wanted.removesuffix(_OR_NONE)
    return wanted in _BOUNDS or wanted.startswith(_ONE_OF)


def _of_type(kind: Any) -> Schema:
    """The schema of what is more than a plain value, which has a bound of its own."""
    if kind == Strategy:
        return {"$ref": "#/$defs/strategy"}
    if kind == Window:
        return {"$ref": "#/$defs/window"}
    if isinstance(kind, UnionType):
        (inner,) = (each for each in get_args(kind) if each is not type(None))
        return _nullable(_of_type(inner))
    if kind is Decimal:
        return dict(_AMOUNT)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [str(each.value) for each in kind]}
    if attrs.has(kind):
        return _part(kind)
    if get_origin(kind) is Mapping:
        return {"type": "object", "propertyNames": _NAME, "additionalProperties": _WEIGHT}
    if get_origin(kind) in (tuple, frozenset):
        element = get_args(kind)[0]
        return {"type": "array", "items": _TEXT if element is str else _part(element)}
    raise TypeError(f"{kind!r} has no schema; give its field a bound that is known here")


_ENTRY: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def _words(part: type[Any]) -> dict[str, str]:
    """What the docstring of a class says of each of its arguments."""
    arguments = (inspect.getdoc(part) or "").partition("Args:\n")[2].partition("\n\n")[0]
    return {
        found[1]: " ".join(found[2].split()).replace("`", "")
        for found in _ENTRY.finditer(arguments)
    }
