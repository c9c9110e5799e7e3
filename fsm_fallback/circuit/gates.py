"""The breakers of a chain: one before each provider, and before those on an account that of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fsm_fallback.circuit.breaker import CircuitBreaker
from fsm_fallback.circuit.joint import JointCircuit
from fsm_fallback.circuit.sharing import shared_breaker
from fsm_fallback.core.parameters import FallbackConfig

ACCOUNT: Final = "account:"
"""What the names of the breakers of accounts begin with."""

Gates = dict[str, CircuitBreaker | JointCircuit]


def gates_of(
    providers: tuple[Any, ...],
    config: FallbackConfig,
    clock: Callable[[], float],
    sample: Callable[[], float],
    *,
    instead_of: Iterable[CircuitBreaker] = (),
) -> tuple[dict[str, CircuitBreaker], Gates]:
    """All breakers by name, and for each provider what is asked for leave to call it.

    `instead_of`: breakers whose place they take, in a chain that is reloaded.
    """
    former = frozenset(instead_of)
    circuits: dict[str, CircuitBreaker] = {}
    accounts: dict[str, list[Any]] = {}
    for each in providers:
        own = config.breaker_in_chain if can_be_cut(each) else config.breaker
        circuits[each.name] = shared_breaker((each,), each.name, own, clock, sample, former)
        account = getattr(getattr(each, "info", None), "account", None)
        if account is not None:
            accounts.setdefault(f"{ACCOUNT}{account}", []).append(each)
    gates: Gates = {**circuits}
    for name, owners in accounts.items():
        paying = shared_breaker(tuple(owners), name, config.breaker, clock, sample, former)
        for each in owners:
            gates[each.name] = JointCircuit(circuits[each.name], paying)
        circuits[name] = paying
    return circuits, gates


def can_be_cut(provider: Any) -> bool:
    """Whether an attempt ends with its limit; a plain function takes the time it takes.

    A probe that cannot be cut must not count as hung when its limit is over: a provider that is
    slower than the limit would open again with every probe, and never come back. A chain says it of
    those in it.
    """
    said: object = getattr(provider, "can_be_cut", None)
    if isinstance(said, bool):
        return said
    takes_limit = getattr(provider, "timeout_arg", None) is not None
    is_plain = any(callable(getattr(provider, way, None)) for way in ("call", "stream"))
    return takes_limit or not is_plain
