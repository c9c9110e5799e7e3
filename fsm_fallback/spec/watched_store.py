"""A shared store with a bystander beside it, and the check that tries every short history of both.

`StoreUnderTest` is what DESIGN asks of a store and no more; an adapter of three lines a method
should do for a real one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, runtime_checkable

import attrs

from fsm_fallback.core.bounds import is_count, refuse_problems, shown
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.parts import Docket
from fsm_fallback.spec.store_properties import STORE_PROPERTIES, Counts, StoreAct
from fsm_fallback.spec.verdict import Verdict

LEASE_SECONDS: Final = 8.0
TICK: Final = 2.0**-10
_MOST_DEPTH: Final = 6


@runtime_checkable
class StoreUnderTest(Protocol):
    """One breaker of a fleet, as a store keeps it, and a hand on the store itself.

    Every method but the last three raises `StoreUnavailable` while the store is lost.
    """

    def merge(self, version: int, batch: str, counts: Counts) -> Counts | None:
        """Add a batch to the counts of a version; the totals, or None if the version is over.

        A batch that is merged twice, because the first answer was lost, counts once.
        """
        ...

    def move(self, version: int) -> bool:
        """End a version and begin the next, with empty counts; False if it is over already.

        The first version is 0, each following one is one more.
        """
        ...

    def take_probe(self, limit: int, seconds: float) -> str | None:
        """A lease of a probe for `seconds`, by a name of its own; None if `limit` are out."""
        ...

    def give_back(self, lease: str) -> None:
        """Give a lease back; one that has expired or was given back changes nothing."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on; a real one's goes on by waiting."""
        ...

    def lose(self) -> None:
        """Make the store unreachable."""
        ...

    def find_again(self) -> None:
        """Make it reachable; it has kept what it had."""
        ...


def refuse_store(where: str, store: object) -> StoreUnderTest:
    """The store, if it is one.

    Raises:
        ConfigurationError: Naming the factory, and every method the store lacks.
    """
    if isinstance(store, StoreUnderTest) and not isinstance(store, type):
        return store
    wanted = [name for name in vars(StoreUnderTest) if not name.startswith("_")]
    missing = [name for name in wanted if not callable(getattr(store, name, None))]
    lacks = f", which has no {', '.join(missing)}" if missing else ""
    raise ConfigurationError(f"{where} returned {shown(store)}{lacks}; return a StoreUnderTest")


@attrs.define(eq=False)
class WatchedStore:
    """A store with a bystander's notebook: does what it is told, and tells what was done."""

    store: StoreUnderTest
    limit: int = 1
    version: int = 0
    counted: Counts = attrs.field(factory=Counts)
    batches: list[str] = attrs.field(factory=list)
    leases: dict[str, float] = attrs.field(factory=dict)
    now: float = 0.0
    is_lost: bool = False
    expired: int = 0

    def merge(self, version: int, batch: str, counts: Counts) -> StoreAct:
        """A process sends a batch, for the first time or again."""
        is_current = version == self.version
        is_new = is_current and batch not in self.batches
        if is_new and not self.is_lost:
            self.batches.append(batch)
            self.counted = self.counted.plus(counts)
        return self._asked("merge", version, batch, counts, is_current=is_current)

    def move(self, version: int) -> StoreAct:
        """A process moves the breaker."""
        is_current = version == self.version
        act = self._asked("move", version, is_current=is_current)
        if is_current and not self.is_lost:
            self.version += 1
            self.counted = Counts()
            self.batches.clear()
        return act

    def take_probe(self) -> StoreAct:
        """A process would probe."""
        act = self._asked("take_probe", self.limit, LEASE_SECONDS, is_current=True)
        if isinstance(act.value, str):
            self.leases[act.value] = self.now + LEASE_SECONDS
        return act

    def give_back(self, lease: str) -> StoreAct:
        """A probe is over, perhaps after its time."""
        act = self._asked("give_back", lease, is_current=True)
        if not self.is_lost:
            self.leases.pop(lease, None)
        return act

    def pass_time(self, seconds: float) -> None:
        """Time goes on, for the store and for its bystander."""
        self.store.pass_time(seconds)
        self.now += seconds
        for lease, until in tuple(self.leases.items()):
            if self.now >= until:
                del self.leases[lease]
                self.expired += 1

    def lose(self) -> None:
        """The store is lost."""
        self.store.lose()
        self.is_lost = True

    def find_again(self) -> None:
        """The store is back."""
        self.store.find_again()
        self.is_lost = False

    def _asked(self, trigger: str, *arguments: Any, is_current: bool) -> StoreAct:
        value, error = None, None
        try:
            value = getattr(self.store, trigger)(*arguments)
        except Exception as raised:  # noqa: BLE001  # the properties' to judge
            error = raised
        words = ", ".join(map(_worded, arguments))
        ends = (value, error, self.is_lost, is_current, self.counted)
        slots = (len(self.leases), self.limit, self.expired > 0)
        return StoreAct(type(self.store).__qualname__, trigger, words, *ends, *slots)


def _worded(argument: object) -> str:
    if isinstance(argument, Counts):
        return f"{argument.calls} calls, {argument.failures} failed"
    return repr(argument)


def check_store(make_store: Callable[[], StoreUnderTest], depth: int = 4) -> list[Verdict]:
    """Hold a store against every history of a few steps: merges, moves, probes, losses, time.

    Args:
        make_store: Makes a new, empty store for each history.
        depth: How many steps a history has at most, 1 to 6.

    Returns:
        A verdict for each of `STORE_PROPERTIES`, with the shortest history that breaks it.

    Raises:
        ConfigurationError: If `depth` is out of bounds or `make_store` makes no store.
    """
    refuse_problems(_check_problems(make_store, depth))
    name = type(refuse_store("check_store.make_store", make_store())).__qualname__
    docket = Docket(name, STORE_PROPERTIES)
    for length in range(1, depth + 1):
        for history in itertools.product(_STEPS, repeat=length):
            _play(docket, WatchedStore(make_store()), history)
    return docket.verdicts()


def _play(docket: Docket, watched: WatchedStore, history: tuple[str, ...]) -> None:
    """Play one history, and judge its last step: what led there was judged as a shorter one."""
    told: list[str] = []
    given: list[str] = []
    for number, step in enumerate(history, 1):
        act = _STEPS[step](watched, given)
        told.append(step if act is None else str(act))
        if act is not None:
            if act.trigger == "take_probe" and isinstance(act.value, str):
                given.append(act.value)
            if number == len(history):
                docket.hear(act, "; ".join(told))


def _silently(do: Callable[[WatchedStore], None]) -> Callable[[WatchedStore, list[str]], None]:
    return lambda watched, _: do(watched)


_STEPS: Final[dict[str, Callable[[WatchedStore, list[str]], StoreAct | None]]] = {
    "merge": lambda watched, _: watched.merge(watched.version, "a", Counts(3, 1)),
    "merge another": lambda watched, _: watched.merge(watched.version, "b", Counts(1, 0)),
    "merge a late one": lambda watched, _: watched.merge(watched.version - 1, "c", Counts(5, 5)),
    "move": lambda watched, _: watched.move(watched.version),
    "move late": lambda watched, _: watched.move(watched.version - 1),
    "take a probe": lambda watched, _: watched.take_probe(),
    "give back": lambda watched, given: watched.give_back(given[0] if given else "nobody's"),
    "a lease's time passes": _silently(lambda watched: watched.pass_time(LEASE_SECONDS)),
    "all of it but a tick": _silently(lambda watched: watched.pass_time(LEASE_SECONDS - TICK)),
    "the store is lost": _silently(WatchedStore.lose),
    "the store is found again": _silently(WatchedStore.find_again),
}


def _check_problems(make_store: object, depth: object) -> Iterator[str]:
    if not callable(make_store):
        yield f"check_store.make_store is {shown(make_store)}; give a function that makes a store"
    if not is_count(depth, 1) or not isinstance(depth, int) or depth > _MOST_DEPTH:
        yield f"check_store.depth is {shown(depth)}; give 1 to {_MOST_DEPTH}"
