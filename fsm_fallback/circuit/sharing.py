"""One breaker per provider object, whichever chains it is in; and one of its account.

What one chain learns of a provider holds in the other, where both read one clock and give the
breaker the same parameters. A breaker lives as long as somebody has it; then the provider begins
anew.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Container
from threading import Lock
from typing import Final

from fsm_fallback.circuit.breaker import CircuitBreaker
from fsm_fallback.core.parameters import BreakerConfig

_Clock = Callable[[], float]
_Key = tuple[int, str, tuple[int, str], BreakerConfig]
_Owner = Callable[[], object]

# By the identities of provider and clock. The breaker keeps its clock alive; the provider is
# compared, for its number may be another's by now.
_SHARED: Final[weakref.WeakValueDictionary[_Key, CircuitBreaker]] = weakref.WeakValueDictionary()
_LATEST: Final[weakref.WeakValueDictionary[tuple[int, str], CircuitBreaker]] = (
    weakref.WeakValueDictionary()
)
_OWNERS: Final[weakref.WeakKeyDictionary[CircuitBreaker, dict[_Key, _Owner]]] = (
    weakref.WeakKeyDictionary()
)
_LOCK: Final = Lock()


def shared_breaker(
    owners: tuple[object, ...],
    name: str,
    config: BreakerConfig,
    clock: _Clock,
    sample: Callable[[], float],
    former: Container[CircuitBreaker] = (),
) -> CircuitBreaker:
    """The breaker that provider objects have with these parameters, or a new one.

    Args:
        owners: The provider; of an account's breaker, all of its providers in the chain.
        name: The breaker's, where it is new.
        config: Its parameters.
        clock: Its clock.
        sample: Its samples, where it is new.
        former: Breakers whose place it takes; that those are others is no news.
    """
    keyed = [((id(owner), name, _identity(clock), config), owner) for owner in owners]
    with _LOCK:
        there = [each for each in (_breaker_of(*pair) for pair in keyed) if each is not None]
        before = [each for each in (_latest_of(name, owner) for owner in owners) if each]
        found = there[0] if there else CircuitBreaker(name, config, clock=clock, sample=sample)
        if any(each is not found and each not in former for each in (*there, *before)):
            _warn(name)
        known = _OWNERS.setdefault(found, {})
        for key in [key for key, owner in known.items() if owner() is None]:
            del known[key]  # a partner that is gone
            if _SHARED.get(key) is found:
                del _SHARED[key]
        for key, owner in keyed:
            if _breaker_of(key, owner) is None:
                _SHARED[key] = found
                known[key] = _reference(owner)
            _LATEST[key[:2]] = found
    return found


def _breaker_of(key: _Key, owner: object) -> CircuitBreaker | None:
    """The breaker under a key, if it is this very provider's and not that of a number's former."""
    found = _SHARED.get(key)
    return found if found is not None and _OWNERS[found].get(key, _nobody)() is owner else None


def _latest_of(name: str, owner: object) -> CircuitBreaker | None:
    """The breaker that a provider got latest, whatever its parameters."""
    found = _LATEST.get((id(owner), name))
    if found is None:
        return None
    return found if any(each() is owner for each in _OWNERS[found].values()) else None


def _warn(name: str) -> None:
    import logging  # noqa: PLC0415  # not imported with the package

    logging.getLogger("fsm_fallback").warning(
        "%r is in two chains and has a breaker in each, for their BreakerConfig, attempt_timeout "
        "or clock differ; give them the same, and they share one",
        name,
    )


def _nobody() -> None:
    """Stands for a provider that never was."""


def _identity(clock: _Clock) -> tuple[int, str]:
    """What tells clocks apart: a method is made anew whenever it is asked for."""
    of = getattr(clock, "__self__", None)
    if of is None or inspect.ismodule(of):
        return id(clock), ""
    return id(of), getattr(clock, "__name__", "")


def _reference(owner: object) -> _Owner:
    """A provider that may hold its chain, and so its breaker, is not held by that."""
    try:
        return weakref.ref(owner)
    except TypeError:  # its class has slots, and none for that
        return lambda: owner
