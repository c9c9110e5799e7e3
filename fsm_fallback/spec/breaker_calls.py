"""What a breaker promises to those who call through it: when it asks, and when a lease comes back.

Each sentence is written from the design, not from the table, and judged with a bystander's
notebook (`BreakerAct.outcomes` and its like). States and words follow resilience4j and Polly.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.lease import Refusal
from fsm_fallback.spec.acts import BreakerAct, BreakerStanding
from fsm_fallback.spec.breaker_reckoning import (
    has_free_probe,
    hung_calls_trip,
    is_overdue,
    opens_at,
    run_of_failures,
    size_of,
    trips,
    verdict,
)
from fsm_fallback.spec.properties import Promises

promise: Final = Promises("breaker")

SETTLING: Final = "succeed fail release hold"
OUTCOMES: Final = "succeed fail"


def but(standing: BreakerStanding, **changes: object) -> BreakerStanding:
    """The same standing in all else."""
    return standing._replace(**changes)  # type: ignore[arg-type]  # names of its own fields


# A caller asks --------------------------------------------------------------------------------


@promise.obliges(
    "open-never-called",
    on="admit",
    sources=(S.OPEN, S.FORCED_OPEN),
    when=lambda act: act.before.state is S.FORCED_OPEN or act.now < opens_at(act.before),
    guarantee=1,
)
def open_never_called(act: BreakerAct) -> bool:
    """An open breaker grants nothing before its open time is over, a forced-open one never."""
    return act.granted is None and act.after == but(
        act.before, not_permitted=act.before.not_permitted + 1
    )


@promise.obliges(
    "open-cools-down",
    on="admit",
    sources=(S.OPEN,),
    when=lambda act: act.now >= opens_at(act.before),
    guarantee=6,
)
def open_cools_down(act: BreakerAct) -> bool:
    """When the open time is over, to the instant, the caller who asks is the first probe."""
    return (
        act.granted is not None
        and act.granted.deadline == act.now + act.config.probe_timeout
        and act.granted.generation == act.after.generation
        and act.after.state is S.HALF_OPEN
        and act.after.probes == 1
    )


@promise.obliges(
    "closed-lets-through",
    on="admit",
    sources=(S.CLOSED, S.DISABLED, S.OBSERVING),
    when=lambda act: act.before.state is not S.CLOSED or not hung_calls_trip(act),
)
def closed_lets_through(act: BreakerAct) -> bool:
    """A closed breaker, a disabled and an observing one let every caller through."""
    return (
        act.granted is not None
        and act.granted.deadline is None
        and act.granted.generation == act.before.generation
        and act.after == but(act.before, in_flight=act.before.in_flight + 1)
    )


@promise.obliges("hung-calls-trip", on="admit", sources=(S.CLOSED,), when=hung_calls_trip)
def hung_calls_open(act: BreakerAct) -> bool:
    """Calls that hang open a closed breaker once they make too many slow ones."""
    return act.granted is None and act.after.state is S.OPEN


@promise.obliges(
    "hung-probe-reopens", on="admit", sources=(S.HALF_OPEN,), when=is_overdue, guarantee=6
)
def hung_probe_reopens(act: BreakerAct) -> bool:
    """A probe that is out for too long ends its round, and the caller who finds it is refused."""
    return act.granted is None and act.after.state is S.OPEN


@promise.obliges(
    "probe-slot-given",
    on="admit",
    sources=(S.HALF_OPEN,),
    when=lambda act: not is_overdue(act),
    guarantee=4,
)
def probe_slot_given(act: BreakerAct) -> bool:
    """A round gives a slot to whoever asks as long as it wants probes, and to nobody after that."""
    before = act.before
    if not has_free_probe(act):
        refused = but(before, not_permitted=before.not_permitted + 1)
        return act.granted is None and act.after == refused
    return (
        act.granted is not None
        and act.granted.deadline == act.now + act.config.probe_timeout
        and act.granted.generation == before.generation
        and act.after == but(before, probes=before.probes + 1, in_flight=before.in_flight + 1)
    )


@promise.obliges("admission-counted", on="admit", guarantee=13)
def admission_counted(act: BreakerAct) -> bool:
    """Every caller is either in flight or counted as not permitted."""
    granted = act.granted is not None
    return (
        act.after.in_flight == act.before.in_flight + granted
        and act.after.not_permitted == act.before.not_permitted + (not granted)
    )


@promise.obliges("would-admit-foretells", on="admit", when=lambda act: act.foreseen is not None)
def would_admit_foretells(act: BreakerAct) -> bool:
    """Asking whether a caller would be admitted tells what it will hear."""
    return act.foreseen == (act.granted is not None)


@promise.obliges("refusal-tells-why", on="admit", when=lambda act: act.refusal is not None)
def refusal_tells_why(act: BreakerAct) -> bool:
    """Who is refused hears which state refused, until when, and because of which fault."""
    after = act.after
    return act.refusal == Refusal(after.state.value, after.open_until, after.cause)


# A lease comes back ---------------------------------------------------------------------------


@promise.obliges(
    "lease-settled-exactly-once", on=SETTLING, when=lambda act: act.lease is not None, guarantee=3
)
def lease_settled_exactly_once(act: BreakerAct) -> bool:
    """A lease that comes back is settled, and settling it again changes nothing at all."""
    if act.lease is None or act.returned is None or not act.returned.settled:
        return False
    if act.lease.settled:
        return act.after == act.before
    return act.after.in_flight == act.before.in_flight - 1


@promise.obliges(
    "late-outcome-changes-nothing",
    on="succeed fail release",
    when=lambda act: act.late,
    guarantee=5,
)
def late_outcome_changes_nothing(act: BreakerAct) -> bool:
    """An outcome of an older generation adds no evidence, frees no slot, closes nothing."""
    return act.after == but(act.before, in_flight=act.before.in_flight - 1)


@promise.obliges(
    "neutral-leaves-no-evidence", on="release", when=lambda act: act.in_time, guarantee=8
)
def neutral_leaves_no_evidence(act: BreakerAct) -> bool:
    """A lease released leaves evidence and state as they were; a probe gives its slot back."""
    freed = act.before.state is S.HALF_OPEN
    return act.after == but(
        act.before, in_flight=act.before.in_flight - 1, probes=act.before.probes - freed
    )


@promise.obliges(
    "disabled-counts-nothing", on=OUTCOMES, sources=(S.DISABLED,), when=lambda act: act.in_time
)
def disabled_counts_nothing(act: BreakerAct) -> bool:
    """A disabled breaker counts no outcome."""
    return act.after == but(act.before, in_flight=act.before.in_flight - 1)


@promise.obliges(
    "too-much-evidence-trips", on=OUTCOMES, sources=(S.CLOSED,), when=lambda act: act.in_time
)
def too_much_evidence_trips(act: BreakerAct) -> bool:
    """A closed breaker opens on the outcome that is one too many, and on no other."""
    return act.after.state is (S.OPEN if trips(act) else S.CLOSED)


@promise.obliges(
    "observing-never-trips", on=OUTCOMES, sources=(S.OBSERVING,), when=lambda act: act.in_time
)
def observing_never_trips(act: BreakerAct) -> bool:
    """An observing breaker counts and stays, whatever comes back."""
    return act.after.state is S.OBSERVING


@promise.obliges(
    "counters-equal-a-recount",
    on=OUTCOMES,
    sources=(S.CLOSED, S.OBSERVING),
    when=lambda act: act.in_time and not act.moved,
    guarantee=13,
)
def counters_equal_a_recount(act: BreakerAct) -> bool:
    """What a breaker counts is what a bystander with a notebook counts."""
    outcomes = (*act.outcomes, act.outcome)
    seen = outcomes[-size_of(act.config) :]
    return act.after == but(
        act.before,
        in_flight=act.before.in_flight - 1,
        calls=len(seen),
        failures=sum(outcome.failed for outcome in seen),
        slow_calls=sum(outcome.slow for outcome in seen),
        failures_in_a_row=run_of_failures(outcomes),
        holds=act.before.holds if act.outcome.failed else 0,
    )


@promise.obliges(
    "healed-round-closes",
    on=OUTCOMES,
    sources=(S.HALF_OPEN,),
    when=lambda act: act.in_time and verdict(act) == "well",
    guarantee=6,
)
def healed_round_closes(act: BreakerAct) -> bool:
    """A round that does well enough closes the breaker, as soon as that is certain."""
    return act.after.state is S.CLOSED


@promise.obliges(
    "failed-probe-reopens",
    on=OUTCOMES,
    sources=(S.HALF_OPEN,),
    when=lambda act: act.in_time and verdict(act) == "ill",
)
def failed_probe_reopens(act: BreakerAct) -> bool:
    """A round that does too badly opens the breaker again, as soon as that is certain."""
    return act.after.state is S.OPEN


@promise.obliges(
    "undecided-round-goes-on",
    on=OUTCOMES,
    sources=(S.HALF_OPEN,),
    when=lambda act: act.in_time and not verdict(act),
)
def undecided_round_goes_on(act: BreakerAct) -> bool:
    """An outcome that decides nothing is noted, and its slot goes to the next caller."""
    before, outcome = act.before, act.outcome
    return act.after == but(
        before,
        in_flight=before.in_flight - 1,
        probes=before.probes - 1,
        round_calls=before.round_calls + 1,
        round_failures=before.round_failures + outcome.failed,
        round_slow_calls=before.round_slow_calls + outcome.slow,
        holds=before.holds if outcome.failed else 0,
    )
