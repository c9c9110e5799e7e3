"""One breaker per provider object, whichever chains it is in; and one of its account.

What one chain learns of a provider holds in the other, where both read one clock and give the
breaker the same parameters. A breaker lives as long as somebody has it; then the provider begins
anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import Lock
from typing import Final

from fsm_fallback.circuit.breaker import CircuitBreaker
from fsm_fallback.core.parameters import BreakerConfig

_Clock = Callable[[], float]
_Key = tuple[int, str, tuple[int, int], BreakerConfig]
_Owner = Callable[[], object]

# By the identities of provider and clock. The breaker keeps its clock alive; the provider is
# compared, for its number may be another's by now.
_SHARED: Final[weakref.WeakValueDictionary[_Key, CircuitBreaker]] = weakref.WeakValueDictionary()
_LATEST: Final[weakref.WeakValueDictionary[tuple[int, str], CircuitBreaker]] = (
    weakref.WeakValueDictionary()
)
_OWNERS: Final[weakref.WeakKeyDictionary[CircuitBreaker, dict[int, _Owner]]] = (
    weakref.WeakKeyDictionary()
)
_LOCK: Final = Lock()


def shared_breaker(
    owners: tuple[object, ...],
    name: str,
    config: BreakerConfig,
    clock: _Clock,
    sample: Callable[[], float],
) -> CircuitBreaker:
    """The breaker that provider objects have with these parameters, or a new one.

    Args:
        owners: The provider; of an account's breaker, all of its providers in the chain.
        name: The breaker's, where it is new.
        config: Its parameters.
        clock: Its clock.
        sample: Its samples, where it is new.
    """
    keys = {id(owner): (id(owner), name, _identity(clock), config) for owner in owners}
    with _LOCK:
        found = next(filter(None, (_owned(_SHARED.get(keys[id(o)]), o) for o in owners)), None)
        if found is None:
            if any(_owned(_LATEST.get((id(owner), name)), owner) for owner in owners):
                _warn(name)
            found = CircuitBreaker(name, config, clock=clock, sample=sample)
            _OWNERS[found] = {}
        for owner in owners:
            _SHARED.setdefault(keys[id(owner)], found)
            _LATEST[id(owner), name] = found
            _OWNERS[found].setdefault(id(owner), _reference(owner))
    return found


def _owned(found: CircuitBreaker | None, owner: object) -> CircuitBreaker | None:
    """A breaker, if it is this very provider's."""
    if found is None:
        return None
    return found if _OWNERS[found].get(id(owner), _nobody)() is owner else None


def _warn(name: str) -> None:
    import logging  # noqa: PLC0415  # not imported with the package

    logging.getLogger("fsm_fallback").warning(
        "%r is in two chains and has a breaker in each, for their BreakerConfig, attempt_timeout "
        "or clock differ; give them the same, and they share one",
        name,
    )


def _nobody() -> None:
    """Stands for a provider that never was."""


def _identity(clock: _Clock) -> tuple[int, int]:
    """What tells clocks apart: a method is made anew whenever it is asked for."""
    return id(getattr(clock, "__self__", None)), id(getattr(clock, "__func__", clock))


def _reference(owner: object) -> _Owner:
    """A provider that may hold its chain, and so its breaker, is not held by that."""
    try:
        return weakref.ref(owner)
    except TypeError:  # its class has slots, and none for that
        return lambda: owner
