"""`CircuitBreakers`: circuit breakers by name, each made when it is first asked for.

Decides who is in: the first made under a name, until it is evicted or removed. Refuses to know what
a breaker decides. Getting and listening follow resilience4j's registry, a word that reaches those
made later Polly's manual control. No lock is held while users' code runs, and all of that does:
making a breaker, speaking to it, reading it, telling listeners.
"""

from __future__ import annotations

import os
import random
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from threading import Lock, RLock
from typing import Any, Final, Literal

import attrs

from fsm_fallback.circuit.breaker import CircuitBreaker
from fsm_fallback.core.bounds import COUNT, Bound, instance_of, is_number, refuse_problems, shown
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.providers.classifying import Classifier

_Word = Callable[[CircuitBreaker], object]
_News = Literal["added", "removed", "event"]

_DEFAULTS: Final = BreakerConfig()
_NO_OVERRIDES: Final[Mapping[str, BreakerConfig]] = {}
_REGISTRIES: Final[weakref.WeakSet[CircuitBreakers]] = weakref.WeakSet()
_NAME: Final = Bound(lambda v: isinstance(v, str) and v != "", "a non-empty string")
_BOUNDS: Final = {
    "config": instance_of(BreakerConfig, "a BreakerConfig"),
    "capacity": COUNT.or_none(),
    "clock": Bound(callable, "a function that returns seconds"),
    "sample": Bound(callable, "a function that draws from [0, 1)"),
    "classify": Bound(callable, "a function that returns a Fault").or_none(),
    "accept": Bound(callable, "a function that returns a bool").or_none(),
}


def _no_word(_: CircuitBreaker) -> None:
    """What stands while no operator has spoken."""


@attrs.define(eq=False)
class _Entry:
    """A breaker and what is known of it here; its listener holds this, so both live as long."""

    breaker: CircuitBreaker
    standing: _Word  # said before it came in
    asked: int  # the latest ticket
    came_in: bool | None = None  # None until decided
    word: _Word = _no_word  # the latest since it came in


class CircuitBreakers:
    """Circuit breakers by name, safe in threads and event loops at once.

        breakers = CircuitBreakers(overrides={"search": BreakerConfig(minimum_calls=50)})
        lease = breakers["search"].acquire()

    Asking for a name makes its breaker; all who ask get the same object, and where there is one no
    lock is taken. `in`, `len`, iteration (over names), `values` and `items` show who is in at that
    instant; they make nothing and do not count as asking.

    With a `capacity`, one more than that evicts the breaker asked for longest ago among those that
    are CLOSED with no lease out. Others stay: while none can go the bound is exceeded, until the
    next comes in. An evicted breaker that somebody holds gets no twin: asking for its name brings
    it back, and so does a call that opens it, or a word to it by name.

    Errors of `clock` and `sample` pass through; what was done by then stays done.

    Args:
        config: Parameters of every breaker.
        overrides: Parameters instead of those, by name; read here only.
        capacity: How many breakers to keep, >= 1; None for no bound.
        clock: Monotonic seconds.
        sample: Draws from [0, 1) for the jitter of openings.
        classify: As of `CircuitBreaker`.
        accept: As of `CircuitBreaker`.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """

    def __init__(
        self,
        config: BreakerConfig = _DEFAULTS,
        *,
        overrides: Mapping[str, BreakerConfig] = _NO_OVERRIDES,
        capacity: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sample: Callable[[], float] = random.random,
        classify: Classifier | None = None,
        accept: Callable[[Any], bool] | None = None,
    ) -> None:
        self._breaker = partial(
            CircuitBreaker, clock=clock, sample=sample, classify=classify, accept=accept
        )
        given = {"config": config, "capacity": capacity, **self._breaker.keywords}
        refuse_problems(_argument_problems(given, overrides))
        self._config = config
        self._overrides = dict(overrides)
        self._capacity = float("inf") if capacity is None else capacity
        self._lock = RLock()  # reentrant: a signal handler or a finaliser may come in the middle
        self._entries: dict[str, _Entry] = {}
        self._evicted: weakref.WeakValueDictionary[str, _Entry] = weakref.WeakValueDictionary()
        self._tickets = count()  # one per asking: they order without a lock on the way
        self._standing: _Word = _no_word
        self._listeners: dict[_News, tuple[Callable[[Any], object], ...]] = {}
        self._news: deque[tuple[_News, CircuitBreaker]] = deque()
        self._telling = Lock()
        _REGISTRIES.add(self)

    def get(self, name: str) -> CircuitBreaker:
        """The breaker of a name, made if there is none; `breakers[name]` is the same.

        Raises:
            ConfigurationError: If `name` is no non-empty string; nothing was made.
        """
        entry = self._entries.get(name)
        if entry is None:
            entry = self._make(name)
        entry.asked = next(self._tickets)
        return entry.breaker

    __getitem__ = get

    def find(self, name: str) -> CircuitBreaker | None:
        """The breaker of a name if it is in, else None; does not count as asking."""
        entry = self._entries.get(name)
        return None if entry is None else entry.breaker

    def remove(self, name: str) -> CircuitBreaker | None:
        """Take a breaker out whatever its state; returns it, or None if the name is not in.

        Who holds it goes on with it, and its listeners hear it, but words to all do not reach it.
        Asking for the name makes a new one, even where one that was evicted before is held.
        """
        with self._lock:
            self._evicted.pop(name, None)
            entry = self._entries.pop(name, None)
            if entry is not None:
                self._news.append(("removed", entry.breaker))
        self._deliver()
        return None if entry is None else entry.breaker

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries.copy())  # copying a dict is atomic, iterating over it is not

    def values(self) -> tuple[CircuitBreaker, ...]:
        """The breakers that are in."""
        return tuple(entry.breaker for entry in self._entries.copy().values())

    def items(self) -> tuple[tuple[str, CircuitBreaker], ...]:
        """The names and breakers that are in."""
        return tuple((name, entry.breaker) for name, entry in self._entries.copy().items())

    def snapshots(self) -> dict[str, BreakerSnapshot]:
        """How each breaker that is in stands, by name, each read at its own instant."""
        return {name: breaker.snapshot() for name, breaker in self.items()}

    def on_added(self, listener: Callable[[CircuitBreaker], object]) -> None:
        """Call `listener(breaker)` for each that comes in from now on, also back from eviction.

        In order, off the lock, before the method that did it returns; but what happens while a
        listener runs, in this thread or another, is told after it. It may use the registry; one
        that raises is logged, and nothing else comes of it.
        """
        self._listen("added", listener)

    def on_removed(self, listener: Callable[[CircuitBreaker], object]) -> None:
        """Call `listener(breaker)` for each removed or evicted from now on; as `on_added`."""
        self._listen("removed", listener)

    def add_listener(self, listener: Callable[[BreakerStep], object]) -> None:
        """Add a listener to every breaker made here, by now or later.

        It is told as one of `CircuitBreaker.add_listener`, and may use the registry.
        """
        self._listen("event", listener)

    def force_open(self, *names: str, reason: str | None = None, actor: str | None = None) -> None:
        """Have these breakers refuse every call until `reset`; without names, all of them.

        All: those that are in, evicted ones that are held, and those made later, which hear the
        word, with its reason and actor, before anybody has them; until the next word without names.
        Where words cross, each breaker ends as the last one says.

        Raises:
            KeyError: If a name is unknown; nothing was done to any.
        """
        word = partial(CircuitBreaker.force_open, reason=reason, actor=actor)
        self._say(word, names, later=word)

    def disable(self, *names: str, reason: str | None = None, actor: str | None = None) -> None:
        """Have these admit every call and count nothing until `reset`; else as `force_open`."""
        word = partial(CircuitBreaker.disable, reason=reason, actor=actor)
        self._say(word, names, later=word)

    def observe(self, *names: str, reason: str | None = None, actor: str | None = None) -> None:
        """Have these count but never trip until `reset`; else as `force_open`."""
        word = partial(CircuitBreaker.observe, reason=reason, actor=actor)
        self._say(word, names, later=word)

    def reset(self, *names: str, reason: str | None = None, actor: str | None = None) -> None:
        """Close these with empty evidence; without names all, and no word stands any more.

        Raises:
            KeyError: As `force_open`.
        """
        self._say(partial(CircuitBreaker.reset, reason=reason, actor=actor), names, later=_no_word)

    def hold(
        self, seconds: float, *names: str, reason: str | None = None, actor: str | None = None
    ) -> None:
        """Have these stay away for `seconds`; without names all there are, but none made later.

        Raises:
            ValueError: If `seconds` is negative or not finite; nothing was done to any.
            KeyError: As `force_open`.
        """
        if not is_number(seconds) or seconds < 0:
            raise ValueError(f"hold of breakers is {shown(seconds)}; give finite seconds >= 0")
        word = partial(CircuitBreaker.hold, seconds=seconds, reason=reason, actor=actor)
        self._say(word, names, later=None)

    def after_fork(self) -> None:
        """In a forked child: locks that threads of the parent held are held by nobody."""
        self._lock = RLock()
        self._telling = Lock()

    def _make(self, name: str) -> _Entry:
        entry = self._enter(name)
        while entry is None:
            breaker = self._breaker(name, self._overrides.get(name, self._config))
            made = _Entry(breaker, self._standing, next(self._tickets))
            breaker.add_listener(partial(self._hear, made))
            made.standing(breaker)
            entry = self._enter(name, made)
        self._deliver()
        return entry

    def _enter(self, name: str, made: _Entry | None = None) -> _Entry | None:
        """Who is in under a name, perhaps from now on: one that was evicted and lives, or was made.

        Who was made is judged once: it comes in as the first that has heard what stands.
        """
        with self._lock:
            entry = self._evicted.get(name)
            # No call from here until it is in, so no signal handler or finaliser in between.
            if made is not None and made.came_in is None:
                first = entry is None and name not in self._entries
                made.came_in = first and made.standing is self._standing
                entry = made if made.came_in else entry
            if entry is not None:
                self._entries[name] = entry
                self._evicted.pop(name, None)
                self._news.append(("added", entry.breaker))
                self._make_room_locked(entry)
            return self._entries.get(name)

    def _hear(self, entry: _Entry, event: BreakerStep) -> None:
        """Tell what a breaker tells.

        A standing word is the first event of who is made under it, and lets it in: from here the
        word holds, and the breaker delivers nothing else before this returns.
        """
        name = entry.breaker.name
        if entry.came_in is None:
            self._enter(name, entry)
        if not entry.came_in:
            return  # nobody gets this one
        # A word to all brings nobody back: most of the evicted only wait for the collector.
        by_call = event.lease is not None or event.trigger == "admit"
        if by_call and event.target is not BreakerState.CLOSED:
            with self._lock:  # if it is just being evicted, it is out by now or will stay
                if self._evicted.get(name) is entry:
                    self._enter(name)
        self._deliver()
        self._tell("event", event, name)

    def _make_room_locked(self, newest: _Entry) -> None:
        if len(self._entries) <= self._capacity:
            return
        for name, entry in sorted(self._entries.items(), key=lambda each: each[1].asked):
            core = entry.breaker.core  # a snapshot would read the clock, which is users' code
            if core.state is BreakerState.CLOSED and core.in_flight == 0 and entry is not newest:
                self._evicted[name] = entry
                self._entries.pop(name, None)
                self._news.append(("removed", entry.breaker))
                if len(self._entries) <= self._capacity:
                    return

    def _say(self, word: _Word, names: tuple[str, ...], *, later: _Word | None) -> None:
        """Say a word to the named, or to all; `later` to those made later, None for as before."""
        with self._lock:
            if later is not None and not names:
                self._standing = later
            known = self._entries | dict(self._evicted.items())
            unknown = [name for name in names if name not in known]
            if unknown:
                raise KeyError(f"no breakers {unknown!r} in the registry; there are {[*known]!r}")
            meant = [known[name] for name in dict.fromkeys(names or known)]
            for entry in meant:
                entry.word = word
        for entry in meant:
            said = None
            while said is not entry.word:  # again, if another thread gave a later one meanwhile
                said = entry.word
                said(entry.breaker)
        for name in names:
            self._enter(name)
        self._deliver()

    def _listen(self, news: _News, listener: Callable[[Any], object]) -> None:
        with self._lock:
            self._listeners[news] = (*self._listeners.get(news, ()), listener)

    def _deliver(self) -> None:
        telling = self._telling  # a listener may fork
        while self._news and telling.acquire(blocking=False):
            try:
                while self._news:
                    news, breaker = self._news.popleft()
                    self._tell(news, breaker, breaker.name)
            finally:
                telling.release()

    def _tell(self, news: _News, subject: object, name: str) -> None:
        for listener in self._listeners.get(news, ()):
            try:
                listener(subject)
            except Exception as error:  # noqa: BLE001  # the user's code, and no call's business
                import logging  # noqa: PLC0415  # not imported with the package

                # Its type only: a message may quote whatever the listener had in hand.
                logging.getLogger("fsm_fallback").error(  # noqa: TRY400  # as above
                    "listener %r of breaker %r raised %s", listener, name, type(error).__name__
                )


def _argument_problems(given: Mapping[str, object], overrides: object) -> Iterator[str]:
    checks = [(name, value, _BOUNDS[name]) for name, value in given.items()]
    if isinstance(overrides, Mapping):
        checks += [(f"overrides[{shown(k)}]", v, _BOUNDS["config"]) for k, v in overrides.items()]
        checks += [("overrides key", key, _NAME) for key in overrides]
    else:
        yield f"CircuitBreakers.overrides is {shown(overrides)}; give BreakerConfigs by name"
    for name, value, bound in checks:
        if not bound.accepts(value):
            yield f"CircuitBreakers.{name} is {shown(value)}; give {bound.wanted}"


def _free_all() -> None:
    for registry in tuple(_REGISTRIES):
        registry.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_free_all)
