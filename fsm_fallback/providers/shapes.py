"""How the fields of a foreign thing are read: of a mapping, of an object, of whatever it is.

It decides where the fields are, and refuses to know what they mean. Stream items are read by the
thousand, so an object that keeps its fields in `__dict__`, as pydantic models, dataclasses and
namespaces do, is read there: asking a pydantic model for what it has not costs more than all else.
Only what a thing has itself is read, never what a `__getattr__` makes up: a mock has no fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Final, Protocol, cast

from fsm_fallback.providers.evidence import attribute

_MOST_FIELDS: Final = 64
_DEEPEST: Final = 4
_PLAIN: Final = (str, int, float, bytes)

# What the readers of this package ask for. A class that has one of them, as a slot, a property or a
# default, is asked by attribute.
_ASKED: Final = frozenset(
    {
        *("type", "choices", "delta", "content", "text", "finish_reason", "usage", "model"),
        *("response", "message", "chunk", "data", "error", "candidates", "parts", "done", "item"),
        *("part", "content_block", "citation", "thinking", "signature", "sequence_number"),
    }
)
_OF_ERRORS: Final = (
    *("type", "code", "status", "message", "param", "error", "object", "headers", "choices"),
    *("finish_reason", "block_reason", "blockReason"),
)


class Fields(Protocol):
    """Fields by name."""

    def get(self, name: str, /) -> object:
        """Return a field; None if there is none."""
        ...


class _Attributes:
    """The fields of a thing that keeps them in slots or behind properties."""

    __slots__ = ("_thing",)

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def get(self, name: str, /) -> object:
        own = attribute(self._thing, "__dict__")
        if type(own) is dict and name in own:
            return cast("object", own[name])
        kind: type = type(self._thing)
        return attribute(self._thing, name) if name in _declared(kind) else None


NO_FIELDS: Final[Fields] = cast("Fields", {})


def fields_of(thing: object) -> Fields:
    """Find the fields of a thing. May raise what a foreign property raises."""
    kind: type = type(thing)
    if kind is dict:
        return cast("Fields", thing)
    if _keeps_them_in_dict(kind) and (own := thing.__dict__):
        return cast("Fields", own)
    if isinstance(thing, Mapping):
        return cast("Fields", thing)
    if thing is None or isinstance(thing, _PLAIN):
        return NO_FIELDS
    return _Attributes(thing)


def extras_of(thing: object) -> Fields:
    """Find what a pydantic model took without declaring it, as the SDKs' models do."""
    extras = attribute(thing, "__pydantic_extra__")
    return cast("Fields", extras) if type(extras) is dict else NO_FIELDS


def has_any(fields: Fields, names: Iterable[str]) -> bool:
    """Tell whether one of these fields holds anything."""
    for name in names:  # noqa: SIM110  # `any` makes a generator, for every item
        if fields.get(name):
            return True
    return False


def plain(thing: object, depth: int = _DEEPEST) -> object:
    """Turn objects into mappings, as deep as an error goes; the rest is left as it is."""
    if depth == 0 or thing is None or isinstance(thing, (*_PLAIN, Mapping)):
        return thing
    if isinstance(thing, (list, tuple)):
        return [plain(member, depth - 1) for member in islice(thing, _MOST_FIELDS)]
    own = attribute(thing, "__dict__")
    if type(own) is not dict or not own:
        told = _Attributes(thing)
        own = {name: value for name in _OF_ERRORS if (value := told.get(name)) is not None}
    extras = attribute(thing, "__pydantic_extra__")
    fields = {**own, **extras} if type(extras) is dict else own
    return {key: plain(value, depth - 1) for key, value in islice(fields.items(), _MOST_FIELDS)}


@lru_cache(maxsize=1024)
def _keeps_them_in_dict(kind: type) -> bool:
    if not kind.__dictoffset__ or not _ASKED.isdisjoint(_declared(kind)):
        return False
    return not issubclass(kind, (*_PLAIN, Mapping, type))


@lru_cache(maxsize=1024)
def _declared(kind: type) -> frozenset[str]:
    return frozenset(name for base in kind.__mro__ for name in vars(base))
