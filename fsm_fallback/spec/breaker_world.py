"""A breaker and its callers: what may happen next, and what comes of it.

The breaker is the real one of the core, driven through its own methods. Beside it a bystander's
notebook is kept, for the properties. Time moves to the instants where a guard could answer
otherwise, and to one tick before them: between two such instants nothing can change.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Hashable, Iterator, Sequence
from types import MemberDescriptorType
from typing import Final, NamedTuple

import attrs

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.acts import (
    BreakerAct,
    BreakerStanding,
    LeaseStanding,
    Outcome,
    lease_standing,
    standing_of,
)
from fsm_fallback.spec.breaker_moves import BY_OPERATORS
from fsm_fallback.spec.scope import Scope

TICK: Final = 2.0**-10
"""The shortest time there is; a binary fraction, so that sums are exact."""

HOLD: Final = 3.0
"""For how long a provider wants no calls, and an operator neither."""

NAMES: Final = ("a", "b", "c")
"""What providers are called here."""

_AGAIN: Final = -1
_OPERATOR: Final = -2
"""In place of a caller: whose lease came back last, and who speaks by hand."""

WORDS: Final = ("force_open", "disable", "observe", "reset")


class Move(NamedTuple):
    """What happens next: to whom, and what. `who` is a caller, `what` a trigger or a time."""

    what: str
    who: int = 0
    until: float = 0.0


@attrs.define(eq=False)
class Notebook:
    """What a bystander of one breaker knows, of its present generation."""

    since: float = 0.0
    outcomes: list[Outcome] = attrs.field(factory=list)
    out: dict[int, float | None] = attrs.field(factory=dict)
    """Leases of this generation that are out: since when, or None if they gave output."""
    deadlines: dict[int, float] = attrs.field(factory=dict)
    """When the probes among them are overdue."""
    last_fault: Fault | None = None

    def turn(self, now: float) -> None:
        """A new generation began."""
        self.since = now
        self.outcomes = []
        self.out = {}
        self.deadlines = {}
        self.last_fault = None


@attrs.define(eq=False)
class Watched:
    """A breaker with its notebook: does what it is told, and tells what was done.

    Args:
        breaker: The real one.
        series: How many openings, or holds, in a row are told apart by `key`.
    """

    breaker: Breaker
    series: int = 3
    notes: Notebook = attrs.field(factory=Notebook)
    records: list[BreakerStep] = attrs.field(factory=list)
    outputs: dict[int, float] = attrs.field(factory=dict)
    """How long each call took up to its first output, of all generations."""

    def __attrs_post_init__(self) -> None:
        self.breaker.record_stays = True
        self.breaker.find_ways()
        self.notes.since = self.breaker.now

    def admit(self, now: float) -> tuple[Lease | None, BreakerAct]:
        """A caller asks."""
        breaker = self.breaker
        begin = self._begin(now)
        foreseen = breaker.would_admit(now)
        lease = breaker.admit(now)
        act = self._end("admit", now, begin, None, None, granted=lease, foreseen=foreseen)
        if lease is not None and breaker.state is not S.DISABLED:
            self.notes.out[lease.number] = lease.admitted_at
            if lease.deadline is not None:
                self.notes.deadlines[lease.number] = lease.deadline
        return lease, act

    def settle(self, trigger: str, lease: Lease, now: float, fault: Fault | None) -> BreakerAct:
        """A call came back."""
        begin = self._begin(now)
        was = lease_standing(lease)
        named = None
        breaker = self.breaker
        if trigger == "succeed":
            breaker.succeed(lease, now)
        elif trigger == "fail":
            breaker.fail(lease, now, fault)
        elif trigger == "release":
            breaker.release(lease, now)
        else:
            named = now + (HOLD if fault is None else fault.hold_duration)
            breaker.hold(named, now, lease, fault)
        return self._end(trigger, now, begin, lease, was, named=named, fault=fault)

    def begin_output(self, lease: Lease, now: float) -> BreakerAct:
        """A stream gave its first output."""
        begin = self._begin(now)
        was = lease_standing(lease)
        self.breaker.begin_output(lease, now)
        act = self._end("begin_output", now, begin, lease, was)
        if lease.number in self.outputs or was.settled:  # only the first one counts
            return act
        self.outputs[lease.number] = now - lease.admitted_at
        if lease.number in self.notes.out:
            self.notes.out[lease.number] = None
        if lease.number in self.notes.deadlines:
            self.notes.deadlines[lease.number] = now + self.breaker.config.stream_timeout
        return act

    def operate(self, word: str, now: float) -> BreakerAct:
        """An operator speaks."""
        begin = self._begin(now)
        named = None
        if word == "hold":
            named = now + HOLD
            self.breaker.hold(named, now)
        else:
            getattr(self.breaker, word)(now)
        return self._end(word, now, begin, None, None, named=named, by_hand=True)

    def boundaries(self) -> Iterator[float]:
        """The instants to come at which a guard could answer otherwise."""
        breaker, notes = self.breaker, self.notes
        if breaker.open_until is not None:
            yield breaker.open_until
        for deadline in notes.deadlines.values():
            yield deadline + TICK
        slow = breaker.config.slow_call_duration
        if slow is not None:
            for since in notes.out.values():
                if since is not None:
                    yield since + slow
        if breaker.state is S.CLOSED:
            for rests in range(1, min(breaker.step, self.series) + 1):
                yield notes.since + rests * breaker.config.open_duration

    def key(self, now: float) -> tuple[Hashable, ...]:
        """What makes a difference to anything that may happen, times aside."""
        breaker, notes, config = self.breaker, self.notes, self.breaker.config
        current = breaker.current
        rests = 0.0
        if breaker.state is S.CLOSED:
            rests = min((now - notes.since) // config.open_duration, breaker.step, self.series)
        return (
            breaker.state.value,
            breaker.open_until is None,
            min(breaker.step, self.series),
            min(breaker.holds, self.series),
            None if breaker.cause is None else breaker.cause.kind.value,
            breaker.last_fault is not None,
            rests,
            tuple(notes.outcomes[-_kept(config) :]),
            current.tally(now),
            min(current.failures_in_a_row, _kept(config)),
            current.stalled(now),
            breaker.round.calls,
            breaker.round.failures,
            breaker.round.slow_calls,
            len(breaker.probes),
            min(breaker.not_permitted, 1),
            of_its_own(breaker, Breaker),
        )

    def key_of_lease(self, lease: Lease, now: float) -> tuple[Hashable, ...]:
        """What makes a difference of a lease that is out, times aside."""
        if lease.generation != self.breaker.generation:
            return ("late", lease.duration is None)
        limit = self.breaker.config.slow_call_duration
        if limit is None:
            return ("out", lease.deadline is None, lease.duration is None)
        took = now - lease.admitted_at if lease.duration is None else lease.duration
        return ("out", lease.deadline is None, lease.duration is None, took >= limit)

    def times(self, now: float) -> list[float]:
        """The times left of all that falls due by itself, leases aside; each kind in its place."""
        breaker = self.breaker
        left = [math.inf if breaker.open_until is None else breaker.open_until - now]
        if breaker.state is S.CLOSED and breaker.step:
            rest = breaker.config.open_duration
            left.append(rest - (now - self.notes.since) % rest)
        return left

    def times_of_lease(self, lease: Lease, now: float) -> list[float]:
        """The times left until a lease is slow, and until it is overdue."""
        if lease.generation != self.breaker.generation:
            return []
        since, limit = self.notes.out.get(lease.number), self.breaker.config.slow_call_duration
        deadline = self.notes.deadlines.get(lease.number)
        return [
            math.inf if since is None or limit is None else since + limit - now,
            math.inf if deadline is None else deadline + TICK - now,
        ]

    def _begin(self, now: float) -> BreakerStanding:
        self.records.clear()
        self.breaker.record = self.records.append
        return standing_of(self.breaker, now)

    def _end(
        self,
        trigger: str,
        now: float,
        before: BreakerStanding,
        lease: Lease | None,
        was: LeaseStanding | None,
        *,
        granted: Lease | None = None,
        foreseen: bool | None = None,
        named: float | None = None,
        fault: Fault | None = None,
        by_hand: bool = False,
    ) -> BreakerAct:
        breaker, notes = self.breaker, self.notes
        after = standing_of(breaker, now)
        limit = breaker.config.slow_call_duration
        hanging = 0
        if limit is not None:
            own = None if lease is None else lease.number
            hanging = sum(
                1
                for number, since in notes.out.items()
                if number != own and since is not None and now - since >= limit
            )
        act = BreakerAct(
            breaker.name,
            trigger,
            now,
            breaker.config,
            before,
            after,
            was,
            None if lease is None else lease_standing(lease),
            None if granted is None else lease_standing(granted),
            breaker.refusal if trigger == "admit" and granted is None else None,
            foreseen,
            named,
            fault,
            by_hand,
            tuple(notes.outcomes),
            hanging,
            tuple(notes.deadlines.values()),
            notes.since,
            0.0 if lease is None else self.outputs.get(lease.number, now - lease.admitted_at),
            notes.last_fault,
            tuple(self.records),
        )
        self.records.clear()
        self.breaker.record = None
        if act.moved:
            notes.turn(now)
        elif lease is not None and trigger != "begin_output":
            notes.out.pop(lease.number, None)
            notes.deadlines.pop(lease.number, None)
            if trigger in ("succeed", "fail") and act.in_time and before.state is not S.DISABLED:
                notes.outcomes.append(act.outcome)
                if trigger == "fail":
                    notes.last_fault = fault
        if lease is not None and trigger != "begin_output":
            self.outputs.pop(lease.number, None)
        return act


def fault_of(trigger: str, lease: Lease) -> Fault | None:
    """Why a call failed, different for each call."""
    message = f"call {lease.number}"
    match trigger:
        case "fail":
            return Fault(FaultKind.TRANSIENT, message=message)
        case "hold":
            return Fault(FaultKind.RATE_LIMIT, retry_after=HOLD, message=message)
    return None


def of_its_own(thing: object, base: type) -> tuple[tuple[str, str], ...]:
    """What a user's subclass keeps beside what its base does, for it may make a difference."""
    cls: type = type(thing)
    slots, known = _beside(cls, base)
    kept = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    attributes = getattr(thing, "__dict__", None)
    if attributes:
        kept |= {name: value for name, value in attributes.items() if name not in known}
    return tuple(sorted((name, repr(value)) for name, value in kept.items())) if kept else ()


@functools.cache
def _beside(cls: type, base: type) -> tuple[tuple[str, ...], frozenset[str]]:
    """The slots a subclass has beside those of its base, and the attributes that the base knows."""
    slots = [
        name
        for each in cls.__mro__[: cls.__mro__.index(base)]
        for name, slot in vars(each).items()
        if isinstance(slot, MemberDescriptorType)
    ]
    return tuple(slots), frozenset({*dir(base), *inspect.signature(base).parameters})


def by_order(left: Sequence[float]) -> tuple[float, ...]:
    """Times left, told apart by whether they are over, a tick away, or the first, second, ... then.

    How long a wait is makes no difference to what can happen after it, only its place among others.
    """
    later = sorted({time for time in left if time > TICK and time != math.inf})
    ranks = {time: rank for rank, time in enumerate(later, 2)}
    return tuple(
        0 if time <= 0 else 1 if time <= TICK else ranks.get(time, math.inf) for time in left
    )


def _kept(config: BreakerConfig) -> int:
    """How many of the latest outcomes make a difference."""
    size: int = getattr(config.window, "size", 0)
    return max(size, config.probe_calls, config.consecutive_failures or 0)


@attrs.define(eq=False)
class BreakerWorld:
    """One breaker, some callers, operators and the clock."""

    scope: Scope
    watched: Watched
    now: float = 0.0
    leases: list[Lease] = attrs.field(factory=list)  # out, in the order they were granted
    spent: Lease | None = None  # the last that came back

    def moves(self) -> Iterator[Move]:
        """What may happen next. Callers are alike, so that the first idle one asks."""
        if len(self.leases) < self.scope.callers:
            yield Move("admit")
        for who, lease in enumerate(self.leases):
            for trigger in ("succeed", "fail", "release", "hold"):
                yield Move(trigger, who)
            limit = self.watched.breaker.config.slow_call_duration
            if limit is not None or lease.deadline is not None:
                if self.scope.again or lease.number not in self.watched.outputs:
                    yield Move("begin_output", who)
        if self.scope.again and self.spent is not None:
            for trigger in ("succeed", "fail", "release", "hold"):
                yield Move(trigger, _AGAIN)
        if self.scope.operators:
            for word in (*WORDS, "hold"):
                yield Move(word, _OPERATOR)
        yield from self._times()

    def make(self, move: Move) -> tuple[BreakerAct, ...]:
        """Let something happen; what was done to the breaker."""
        what, who, until = move
        watched = self.watched
        if what == "wait":
            self.now = until
            return ()
        if what == "admit":
            lease, act = watched.admit(self.now)
            if lease is not None:
                self.leases.append(lease)
            return (act,)
        if who == _OPERATOR:
            return (watched.operate(what, self.now),)
        if what == "begin_output":
            return (watched.begin_output(self.leases[who], self.now),)
        if who == _AGAIN and self.spent is not None:
            lease, self.spent = self.spent, None
        else:
            lease = self.leases.pop(who)
            self.spent = lease if self.scope.again else None
        return (watched.settle(what, lease, self.now, fault_of(what, lease)),)

    def untouched(self, move: Move) -> tuple[object, ...]:
        """While time passes nothing changes."""
        return (self.watched, self.leases, self.spent) if move.what == "wait" else ()

    def key(self) -> Hashable:
        """Two worlds with one key have one future, but for how long its waits are."""
        watched, now = self.watched, self.now
        out = sorted(
            (
                (watched.key_of_lease(lease, now), watched.times_of_lease(lease, now))
                for lease in self.leases
            ),
            key=repr,
        )
        left = watched.times(now)
        for _, times in out:
            left += times
        spent = None if self.spent is None else watched.key_of_lease(self.spent, now)
        return (watched.key(now), tuple(key for key, _ in out), by_order(left), spent)

    def standings(self) -> tuple[tuple[str, BreakerStanding], ...]:
        """How the breaker stands."""
        return (("breaker", standing_of(self.watched.breaker, self.now)),)

    def is_way(self, move: Move) -> bool:
        """An operator is asked to help only where one spoke."""
        return move.who != _OPERATOR or self.watched.breaker.state in BY_OPERATORS

    def _times(self) -> Iterator[Move]:
        soonest = min((t for t in self.watched.boundaries() if t > self.now), default=None)
        if soonest is not None:
            if soonest - TICK > self.now:
                yield Move("wait", 0, soonest - TICK)
            yield Move("wait", 0, soonest)


def made(model: type[Breaker], name: str, config: BreakerConfig) -> Breaker:
    """A breaker of a class.

    Raises:
        ConfigurationError: If the class wants other arguments.
    """
    try:
        return model(name, config)
    except TypeError as error:
        raise ConfigurationError(
            f"{model.__name__}(name, config) cannot be made: {error}; give every further argument "
            "a default"
        ) from error


def breaker_worlds(scope: Scope, model: type[Breaker] = Breaker) -> list[BreakerWorld]:
    """A world for each state a breaker may be born in, within a scope."""
    worlds = []
    for birth in scope.births:
        config = attrs.evolve(scope.config, initial_state=birth)
        worlds.append(BreakerWorld(scope, Watched(made(model, NAMES[0], config), scope.series)))
    return worlds
