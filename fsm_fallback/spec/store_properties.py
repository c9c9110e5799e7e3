"""What a shared store promises: counts, one order of moves, a fleet-wide probe limit.

Used when stores come: the library has none yet. What is here is what the fleet needs of one, with
the smallest protocol that says it (`fsm_fallback.spec.watched_store`): counts are merged in
batches, a version fences the moves of a breaker, probes are leased for a time by the store's own
clock. Where a store cannot be reached it says so, and nothing else; what its loss costs is that
counts come late and that nobody can probe.
"""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple

import attrs

from fsm_fallback.errors import StoreUnavailable
from fsm_fallback.spec.answers import Stateless, shown_error
from fsm_fallback.spec.properties import Promises

promise: Final = Promises("store")


class Counts(NamedTuple):
    """Outcomes of one batch, or of a whole version."""

    calls: int = 0
    failures: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(self.calls + other.calls, self.failures + other.failures)


@attrs.frozen
class StoreAct:
    """One thing asked of a store, with what a bystander of the whole fleet knows.

    Attributes:
        store: Its class.
        trigger: `"merge"`, `"move"`, `"take_probe"` or `"give_back"`.
        asked: The arguments, in words.
        value: What it returned.
        error: What it raised; None if nothing.
        is_lost: Whether the store could not be reached.
        is_current: Whether the version that was named is the fleet's.
        counted: What was merged in this version, each batch once, this one included.
        probes: How many leases of probes are out, not given back and not expired, before this.
        limit: How many may be out.
        is_after_expiry: Whether some lease has expired.
    """

    store: str
    trigger: str
    asked: str
    value: object
    error: BaseException | None
    is_lost: bool
    is_current: bool
    counted: Counts
    probes: int
    limit: int
    is_after_expiry: bool

    of: ClassVar[str] = "store"
    before: ClassVar[Stateless] = Stateless()

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.trigger}({self.asked}) raised {shown_error(self.error)}"
        return f"{self.trigger}({self.asked}) -> {self.value!r}"


def _is_reached(act: StoreAct) -> bool:
    return not act.is_lost and act.error is None


@promise.obliges(
    "store-answers",
    when=lambda act: not act.is_lost,
)
def store_answers(act: StoreAct) -> bool:
    """A store that can be reached raises nothing.

    Stale versions and unknown leases are answers, not errors.
    """
    return act.error is None


@promise.obliges(
    "lost-store-says-so",
    when=lambda act: act.is_lost,
    guarantee=15,
)
def lost_store_says_so(act: StoreAct) -> bool:
    """A store that cannot be reached raises StoreUnavailable, and nothing else.

    A breaker goes on alone then; it cannot if it is told something untrue.
    """
    return isinstance(act.error, StoreUnavailable)


@promise.obliges(
    "merged-counts-equal-the-sum",
    on="merge",
    when=lambda act: _is_reached(act) and act.is_current,
    guarantee=15,
)
def merged_counts_equal_the_sum(act: StoreAct) -> bool:
    """What a store counts is the sum of all that was added, each batch once.

    Nothing is lost with the store, and nothing counts twice that was sent twice.
    """
    return isinstance(act.value, tuple) and tuple(act.value) == tuple(act.counted)


@promise.obliges(
    "late-merge-adds-nothing",
    on="merge",
    when=lambda act: _is_reached(act) and not act.is_current,
    guarantee=5,
)
def late_merge_adds_nothing(act: StoreAct) -> bool:
    """Counts of an older version are refused: a move has begun with empty evidence.

    None says so; what the present version holds then is judged by the next merge.
    """
    return act.value is None


@promise.obliges(
    "one-wins-a-race",
    on="move",
    when=_is_reached,
    guarantee=15,
)
def one_wins_a_race(act: StoreAct) -> bool:
    """Of two who would move a breaker from one version, one does.

    The version is the fence: who names it while it is the fleet's wins, and takes it away.
    """
    return act.value is act.is_current


@promise.obliges(
    "fleet-probe-budget",
    on="take_probe",
    when=lambda act: _is_reached(act) and act.probes >= act.limit,
    guarantee=15,
)
def fleet_probe_budget(act: StoreAct) -> bool:
    """The fleet never has more probes out than its limit.

    However many processes ask.
    """
    return act.value is None


@promise.obliges(
    "free-slot-is-given",
    on="take_probe",
    when=lambda act: _is_reached(act) and act.probes < act.limit,
    guarantee=6,
)
def free_slot_is_given(act: StoreAct) -> bool:
    """A slot that is free is given to whoever asks, whether it was given back or has expired.

    Else a process that dies with its lease would keep a provider away for ever.
    """
    return isinstance(act.value, str) and bool(act.value)


@promise.obliges(
    "leases-expire",
    on="take_probe",
    when=lambda act: _is_reached(act) and act.is_after_expiry and act.probes < act.limit,
    guarantee=15,
)
def leases_expire(act: StoreAct) -> bool:
    """A lease that is not given back is free again when its time is over, to the instant.

    By the store's clock; a process that is gone gives nothing back.
    """
    return act.value is not None


STORE_PROPERTIES: Final = tuple(promise.all.values())
