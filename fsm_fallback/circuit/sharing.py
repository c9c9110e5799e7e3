"""One breaker per provider object, whichever chains it is in.

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

_Key = tuple[int, int, BreakerConfig]

# By the identities of provider and clock. A breaker keeps both alive, so that no number is used
# again while it lives.
_SHARED: Final[weakref.WeakValueDictionary[_Key, CircuitBreaker]] = weakref.WeakValueDictionary()
_KEPT: Final[weakref.WeakKeyDictionary[CircuitBreaker, tuple[object, object]]] = (
    weakref.WeakKeyDictionary()
)
_LOCK: Final = Lock()


def shared_breaker(
    provider: object,
    name: str,
    config: BreakerConfig,
    clock: Callable[[], float],
    sample: Callable[[], float],
) -> CircuitBreaker:
    """The breaker of a provider object: the one it has with these parameters, or a new one."""
    key = (id(provider), id(clock), config)
    with _LOCK:
        found = _SHARED.get(key)
        if found is None:
            found = CircuitBreaker(name, config, clock=clock, sample=sample)
            _SHARED[key] = found
            _KEPT[found] = (provider, clock)
    return found
