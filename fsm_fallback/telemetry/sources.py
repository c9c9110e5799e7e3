"""Whom exporters read: chains, breakers and registries, each under a name that nobody else has.

A breaker knows where it stands, not how often it went there. So each gets a listener that counts,
and is called when the breaker moves: never on the way of a call that moves nothing.
"""

from __future__ import annotations

import functools
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

import attrs

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.metrics import Durations, ProviderMetrics
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.errors import ConfigurationError

Move = tuple[str, str, str]
"""From where, to where, and by which trigger."""


class BreakerSource(Protocol):
    """A `CircuitBreaker`."""

    @property
    def name(self) -> str:
        """What it guards."""
        ...

    def snapshot(self) -> BreakerSnapshot:
        """How it stands."""
        ...

    def add_listener(self, listener: Callable[[BreakerStep], object]) -> None:
        """Tell a listener of every move."""


class RegistrySource(Protocol):
    """A registry: `CircuitBreakers`."""

    def values(self) -> tuple[BreakerSource, ...]:
        """The breakers that are in."""
        ...

    def add_listener(self, listener: Callable[[BreakerStep], object]) -> None:
        """Tell a listener of every move of every breaker, there by now or later."""

    def on_removed(self, listener: Callable[[Any], object]) -> None:
        """Tell a listener of every breaker that goes out."""


class ChainSource(Protocol):
    """A `FallbackProvider`."""

    @property
    def name(self) -> str:
        """The chain's name in records."""
        ...

    def breakers(self) -> Mapping[str, BreakerSource]:
        """Its breakers by name, as they are now: those of its providers, and those of accounts."""
        ...

    def metrics(self) -> Mapping[str, ProviderMetrics]:
        """What its providers did, by name."""
        ...

    def requests(self) -> Mapping[tuple[str, str | None], Durations]:
        """How long its calls took, by their end and by who answered."""
        ...


Source = ChainSource | BreakerSource | RegistrySource


@attrs.define(eq=False)
class Moves:
    """How often breakers moved, by name.

    A breaker tells of its moves in order and one at a time, so its counts need no lock; and a
    listener that took one could be called by a finaliser in the middle of itself.
    """

    _counts: dict[str, dict[Move, int]] = attrs.field(init=False, factory=dict)

    def hear(self, name: str, step: BreakerStep) -> None:
        """Count a step if it is a move."""
        if step.verdict == "moved":
            counts = self._counts.setdefault(name, {})
            move = step.source.value, step.target.value, step.trigger
            counts[move] = counts.get(move, 0) + 1

    def forget(self, name: str) -> None:
        """Let go of a breaker that is told of no more."""
        self._counts.pop(name, None)

    def of(self, name: str) -> dict[Move, int]:
        """How often a breaker made each move."""
        counts = self._counts.get(name)
        return {} if counts is None else counts.copy()  # a copy is atomic, iterating is not


class Sources:
    """The chains, breakers and registries that an exporter reads; it keeps them alive.

    Args:
        owner: The exporter, in errors.
    """

    def __init__(self, owner: str) -> None:
        self.moves = Moves()
        self.chains: tuple[ChainSource, ...] = ()
        self._owner = owner
        self._breakers: tuple[BreakerSource, ...] = ()
        self._registries: tuple[RegistrySource, ...] = ()
        # Under which names each is listened to: nobody can be told to stop, so each begins once.
        self._names: weakref.WeakKeyDictionary[BreakerSource, dict[str, object]] = (
            weakref.WeakKeyDictionary()
        )

    def add(self, *sources: Source) -> None:
        """Read these as well.

        Raises:
            ConfigurationError: Naming every one that is no such thing or has a name that is taken;
                none was added.
        """
        chains, breakers, registries = self._sorted(sources)
        all_chains = (*self.chains, *chains)
        all_breakers = (*self._breakers, *breakers)
        all_registries = (*self._registries, *registries)
        named = _named(all_chains, all_breakers, all_registries)
        problems = [
            *self._problems("chains", (each.name for each in all_chains)),
            *self._problems("breakers", (name for name, _ in named)),
        ]
        if problems:
            raise ConfigurationError(problems)
        self.chains, self._breakers = all_chains, all_breakers
        self._registries = all_registries
        for registry in registries:
            registry.add_listener(self._hear_of_registry)
            registry.on_removed(self._forget)
        self.breakers()

    def breakers(self) -> dict[str, BreakerSource]:
        """All breakers there are now, by the names they are told under; each is listened to.

        One that came under a name that was taken is left out.
        """
        found: dict[str, BreakerSource] = {}
        for name, breaker in _named(self.chains, self._breakers, ()):
            if found.setdefault(name, breaker) is breaker:
                self._listen(name, breaker)
        for name, breaker in _named((), (), self._registries):
            found.setdefault(name, breaker)
        return found

    def _listen(self, name: str, breaker: BreakerSource) -> None:
        mine = object()
        first = self._names.setdefault(breaker, {}).setdefault(name, mine)  # one of two at once
        if first is mine:
            breaker.add_listener(functools.partial(self.moves.hear, name))

    def _sorted(
        self, sources: Iterable[Source]
    ) -> tuple[list[ChainSource], list[BreakerSource], list[RegistrySource]]:
        chains: list[ChainSource] = []
        breakers: list[BreakerSource] = []
        registries: list[RegistrySource] = []
        problems: list[str] = []
        for each in sources:
            if _has(each, "name", "breakers", "metrics", "requests"):
                chains.append(cast("ChainSource", each))
            elif _has(each, "name", "snapshot", "add_listener"):
                breakers.append(cast("BreakerSource", each))
            elif _has(each, "values", "add_listener", "on_removed"):
                registries.append(cast("RegistrySource", each))
            else:
                problems.append(
                    f"{self._owner} got {shown(each)}; give a FallbackProvider, a CircuitBreaker "
                    "or a CircuitBreakers"
                )
        if problems:
            raise ConfigurationError(problems)
        return chains, breakers, registries

    def _problems(self, what: str, names: Iterable[str]) -> Iterable[str]:
        for name, count in Counter(names).items():
            if count > 1:
                yield (
                    f"{self._owner} got {count} {what} named {name!r}, and nothing would tell them "
                    "apart; give each one a name of its own"
                )

    def _hear_of_registry(self, step: BreakerStep) -> None:
        self.moves.hear(step.breaker, step)

    def _forget(self, breaker: BreakerSource) -> None:
        self.moves.forget(breaker.name)


def _named(
    chains: Iterable[ChainSource],
    breakers: Iterable[BreakerSource],
    registries: Iterable[RegistrySource],
) -> Iterator[tuple[str, BreakerSource]]:
    """Breakers by the names they are told under; those of a chain as its audit log has them."""
    for chain in chains:
        for name, breaker in chain.breakers().items():
            yield f"{chain.name}/{name}", breaker
    for breaker in breakers:
        yield breaker.name, breaker
    for registry in registries:
        for breaker in registry.values():
            yield breaker.name, breaker


def _has(source: object, *names: str) -> bool:
    return not isinstance(source, type) and all(hasattr(source, name) for name in names)
