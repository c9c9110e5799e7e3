"""One provider as a driver sees it: what to call, whom to ask for leave, how to read its errors.

All that can be decided once is decided here, at registration, and not per call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol

import attrs

from fsm_fallback.core.bounds import is_number
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.commands import Command
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.classifying import fault_of
from fsm_fallback.providers.faults import classify

Way = Literal["call", "acall"]
"""How a chain is called; each driver knows one."""

WAYS: Final[tuple[Way, ...]] = ("call", "acall")


class Admits(Protocol):
    """What a driver asks for leave: a `CircuitBreaker`."""

    core: Breaker

    def lease_of(self, generation: Generation, number: int, admitted_at: float) -> Lease:
        """The lease of a call that began straight and cannot end so."""
        ...

    def end_straight(self, generation: Generation, number: int, place: int, now: float) -> None:
        """Settle a straight call whose way was closed while it was out."""

    def admission(self, now: float) -> Lease | Refusal:
        """A lease for one call, or why there is none."""
        ...

    def settle_success(self, lease: Lease, now: float) -> None:
        """Book a success."""
        ...

    def settle_fault(self, lease: Lease, fault: Fault, now: float) -> None:
        """Book what the fault table says."""
        ...

    def settle_release(self, lease: Lease, now: float) -> None:
        """Book nothing."""
        ...


def _core_of(link: Link) -> Breaker:
    return link.circuit.core


@attrs.define(eq=False)
class Link:
    """A candidate of the core, with everything a driver needs to call it.

    Attributes:
        name: The provider's name.
        context_window: Tokens its model takes; None if unknown.
        circuit: Its breaker.
        core: The machine of that.
        call: The callable of this driver's kind: plain, or returning an awaitable.
        classify: Its own reading of exceptions; None for the fault table.
        timeout_arg: The keyword that takes its time-out; None where it has none.
    """

    name: str
    context_window: int | None
    circuit: Admits
    call: Callable[..., Any]
    classify: Callable[[BaseException], Fault] | None = None
    timeout_arg: str | None = None
    core: Breaker = attrs.field(init=False, default=attrs.Factory(_core_of, takes_self=True))

    def keywords(self, kwargs: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        """The keywords of the call, with its time-out if it takes one; the caller's stay as is.

        A shorter time-out that the caller gave stands.
        """
        if timeout is None or self.timeout_arg is None:
            return kwargs
        given = kwargs.get(self.timeout_arg)
        if is_number(given) and given <= timeout:
            return kwargs
        return {**kwargs, self.timeout_arg: timeout}

    def take_error(self, chain: Chain, lease: Lease, error: Exception, now: float) -> Command:
        """Tell chain and breaker of an exception, in the words of the fault table."""
        try:
            meant = self.fault_of(error)
        except BaseException:  # Ctrl-C in a classifier
            self.abandon(chain, lease, now)
            raise
        fault, command = chain.fault(meant, error, now)
        self.circuit.settle_fault(lease, fault, now)
        return command

    def abandon(self, chain: Chain, lease: Lease, now: float) -> None:
        """Tell breaker and chain that the caller left."""
        self.circuit.settle_release(lease, now)
        chain.abandon(now)

    def fault_of(self, error: Exception) -> Fault:
        """What an exception of this provider means; a classifier that raises means UNKNOWN."""
        if self.classify is None:
            return classify(error)
        return fault_of(error, self.classify, f"provider {self.name!r}")


def links_of(
    providers: tuple[Any, ...], circuits: Mapping[str, Admits], way: Way
) -> tuple[Link, ...]:
    """The links of a chain for one way of calling it.

    Raises:
        ConfigurationError: Naming every provider that cannot be called this way.
    """
    callables = [_callable(each, way) for each in providers]
    missing = [each for each, found in zip(providers, callables, strict=True) if found is None]
    if missing:
        raise ConfigurationError(
            f"provider {each.name!r} cannot be called with {way}(); {_remedy(each)}"
            for each in missing
        )
    return tuple(
        Link(
            name=each.name,
            context_window=getattr(getattr(each, "info", None), "context_window", None),
            circuit=circuits[each.name],
            call=found,
            classify=getattr(each, "classify", None),
            timeout_arg=getattr(each, "timeout_arg", None),
        )
        for each, found in zip(providers, callables, strict=True)
        if found is not None
    )


def _remedy(provider: object) -> str:
    if any(_callable(provider, way) is not None for way in WAYS):
        return "use acall, or give it a plain call"
    return "it only streams, and a chain does not yet; give it call or acall"


def ways_of(providers: tuple[Any, ...]) -> frozenset[Way]:
    """The ways all of these providers can be called in."""
    return frozenset(
        way for way in WAYS if all(_callable(each, way) is not None for each in providers)
    )


def _callable(provider: object, way: Way) -> Callable[..., Any] | None:
    ways: object = getattr(provider, "ways", None)
    if isinstance(ways, frozenset) and way not in ways:
        return None  # a chain, and it cannot be called like this either
    plain: object = getattr(provider, "call", None)
    if way == "call":
        return plain if callable(plain) else None
    awaited: object = getattr(provider, "acall", None)
    if callable(awaited):
        return awaited
    if callable(plain):
        from fsm_fallback.drivers.worker import in_thread  # noqa: PLC0415  # anyio only where awaited

        return in_thread(plain)
    return None
