"""Copies of running machines, so that an explorer can try what else might happen next.

A copy shares what cannot change: words, numbers, parameters, tables, functions, exceptions. What
can, it copies with everything it leads to, each object once, whatever class of the user's it is of.
Locks, loggers and weak references it shares, generators it refuses: what a world holds of them is
not its own, or cannot be had twice. Beside that it does what `copy.deepcopy` does, in a fraction of
the time: it learns once for each class how.
"""

from __future__ import annotations

import copy
import logging
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable
from enum import Enum
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

import attrs

from fsm_fallback.core.table import TableMachine
from fsm_fallback.errors import ConfigurationError

T = TypeVar("T")
_Memo = dict[int, Any]
_How = Callable[[Any, _Memo], Any]

_FROZEN: Final[object] = attrs.make_class("Frozen", {}, frozen=True).__setattr__
_RANGE_ITERATORS: Final = (type(iter(range(0))), type(iter(range(2**70))))
_UNCHANGING: Final = (
    TableMachine,
    Enum,
    BaseException,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MappingProxyType,
    types.ModuleType,
    weakref.ref,
    logging.Logger,
    type(threading.Lock()),
    type(threading.RLock()),
    type,
    frozenset,
    str,
    bytes,
    int,
    float,
    type(None),
)


def copied(thing: T, memo: _Memo | None = None) -> T:
    """A copy of a thing and of whatever it leads to that can change.

    Args:
        thing: Any object.
        memo: What has been copied already, by id; the copies of one world share one.
    """
    cls = type(thing)
    if cls in _SHARED:
        return thing
    how = _HOW.get(cls)
    if how is None:
        how = _how_to_copy(cls)
        if how is None:
            _SHARED.add(cls)
            return thing
        _HOW[cls] = how
    if memo is None:
        memo = {}
    elif (found := memo.get(id(thing))) is not None:
        return found  # type: ignore[no-any-return]  # the copy of a T
    return how(thing, memo)  # type: ignore[no-any-return]  # as above


def _list(thing: list[Any], memo: _Memo) -> list[Any]:
    new: list[Any] = []
    memo[id(thing)] = new
    new.extend(copied(each, memo) for each in thing)
    return new


def _deque(thing: deque[Any], memo: _Memo) -> deque[Any]:
    new: deque[Any] = deque(maxlen=thing.maxlen)
    memo[id(thing)] = new
    new.extend(copied(each, memo) for each in thing)
    return new


def _dict(thing: dict[Any, Any], memo: _Memo) -> dict[Any, Any]:
    new: dict[Any, Any] = {}
    memo[id(thing)] = new
    for key, value in thing.items():
        new[copied(key, memo)] = copied(value, memo)
    return new


def _set(thing: set[Any], memo: _Memo) -> set[Any]:
    new: set[Any] = set()
    memo[id(thing)] = new
    new.update(copied(each, memo) for each in thing)
    return new


def _tuple(thing: tuple[Any, ...], memo: _Memo) -> tuple[Any, ...]:
    parts = [copied(each, memo) for each in thing]
    if all(new is old for new, old in zip(parts, thing, strict=True)):
        return thing
    return tuple.__new__(type(thing), parts)


def _iterator(thing: Any, memo: _Memo) -> Any:
    make, arguments, position = thing.__reduce__()
    new = memo[id(thing)] = make(*arguments)
    if position:
        new.__setstate__(position)
    return new


def _method(thing: types.MethodType, memo: _Memo) -> types.MethodType:
    return types.MethodType(thing.__func__, copied(thing.__self__, memo))


class CannotCopy(ConfigurationError):
    """Something that a world holds cannot be had twice; names its class."""


def _how_to_copy(cls: type) -> _How | None:
    simple: dict[type, _How] = {
        list: _list,
        dict: _dict,
        set: _set,
        deque: _deque,
        types.MethodType: _method,
    }
    if cls in simple:
        return simple[cls]
    if cls in _RANGE_ITERATORS:
        return _iterator
    if issubclass(cls, _UNCHANGING) or _is_frozen(cls):
        return None
    if issubclass(cls, tuple) and cls.__dictoffset__ == 0:
        return _tuple
    if hasattr(cls, "__deepcopy__") or cls.__new__ is not cast("Any", object.__new__):
        return _as_the_library_does  # made in a way of its own
    return _object(cls)


def _as_the_library_does(thing: Any, memo: _Memo) -> Any:
    try:
        return copy.deepcopy(thing, memo)
    except Exception as error:
        raise _refusal(type(thing)) from error


def _refusal(cls: type) -> CannotCopy:
    return CannotCopy(
        f"a {cls.__module__}.{cls.__qualname__} cannot be copied, and the explorer has to try what "
        "else might happen; keep it out of the machine, or give its class a __deepcopy__"
    )


def _is_frozen(cls: type) -> bool:
    """Whether its instances never change: the records and parameters of this library."""
    frozen = attrs.has(cls) and getattr(cls, "__setattr__", None) is _FROZEN
    return frozen and cls.__module__.startswith("fsm_fallback.")


def _object(cls: type) -> _How:
    """How to copy an object: slot by slot, and what else it has."""
    slots = {
        name: slot
        for each in cls.__mro__
        for name, slot in vars(each).items()
        if isinstance(slot, types.MemberDescriptorType) and name != "__weakref__"
    }
    puts = [slot.__set__ for slot in slots.values()]
    read = attrgetter(*slots, "__class__", "__class__")  # the last two: always a tuple
    new_object: Callable[[type], Any] = object.__new__

    def how(thing: Any, memo: _Memo) -> Any:
        try:
            new = new_object(cls)
        except TypeError as error:
            raise _refusal(cls) from error
        memo[id(thing)] = new
        try:
            values = read(thing)
        except AttributeError:  # some are not set yet
            values = None
        if values is not None:
            for put, value in zip(puts, values, strict=False):
                put(new, value if type(value) in _SHARED else copied(value, memo))
        else:
            for name, slot in slots.items():
                if hasattr(thing, name):
                    slot.__set__(new, copied(getattr(thing, name), memo))
        attributes = getattr(thing, "__dict__", None)
        if attributes:
            new.__dict__.update((name, copied(value, memo)) for name, value in attributes.items())
        return new

    return how


_SHARED: Final[set[type]] = set()
"""Classes whose objects are shared, as far as they have been met."""

_HOW: Final[dict[type, _How]] = {}
"""How to copy the others."""
