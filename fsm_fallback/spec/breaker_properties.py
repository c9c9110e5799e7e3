"""What a circuit breaker promises: the specification of `BREAKER`, trigger by trigger.

Each sentence is written from the design, not from the table, and judged with a bystander's
notebook (`BreakerAct.outcomes` and its like). States and words follow resilience4j and Polly,
generations sony/gobreaker.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.parameters import MAX_EXPONENT
from fsm_fallback.spec.acts import BreakerAct, BreakerStanding
from fsm_fallback.spec.breaker_reckoning import (
    has_free_probe,
    hold_ends,
    hung_calls_trip,
    is_overdue,
    opening_step,
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
WORDS: Final = {
    "force_open": S.FORCED_OPEN,
    "disable": S.DISABLED,
    "observe": S.OBSERVING,
    "reset": S.CLOSED,
}
OPERATORS: Final = " ".join(WORDS)
BY_OPERATORS: Final = (S.FORCED_OPEN, S.DISABLED, S.OBSERVING)


def _but(standing: BreakerStanding, **changes: object) -> BreakerStanding:
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
    return act.granted is None and act.after == _but(
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
        and act.after == _but(act.before, in_flight=act.before.in_flight + 1)
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
        refused = _but(before, not_permitted=before.not_permitted + 1)
        return act.granted is None and act.after == refused
    return (
        act.granted is not None
        and act.granted.deadline == act.now + act.config.probe_timeout
        and act.granted.generation == before.generation
        and act.after == _but(before, probes=before.probes + 1, in_flight=before.in_flight + 1)
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


# A lease comes back ---------------------------------------------------------------------------


@promise.obliges(
    "lease-settled-exactly-once", on=SETTLING, when=lambda act: act.lease is not None, guarantee=3
)
def lease_settled_exactly_once(act: BreakerAct) -> bool:
    """A lease that comes back is settled, and settling it again changes nothing at all."""
    if act.lease is not None and act.lease.settled:
        return act.settled and act.after == act.before
    return act.settled and act.after.in_flight == act.before.in_flight - 1


@promise.obliges(
    "late-outcome-changes-nothing",
    on="succeed fail release",
    when=lambda act: act.late,
    guarantee=5,
)
def late_outcome_changes_nothing(act: BreakerAct) -> bool:
    """An outcome of an older generation adds no evidence, frees no slot, closes nothing."""
    return act.after == _but(act.before, in_flight=act.before.in_flight - 1)


@promise.obliges(
    "neutral-leaves-no-evidence", on="release", when=lambda act: act.in_time, guarantee=8
)
def neutral_leaves_no_evidence(act: BreakerAct) -> bool:
    """A lease released leaves evidence and state as they were; a probe gives its slot back."""
    freed = act.before.state is S.HALF_OPEN
    return act.after == _but(
        act.before, in_flight=act.before.in_flight - 1, probes=act.before.probes - freed
    )


@promise.obliges(
    "disabled-counts-nothing", on=OUTCOMES, sources=(S.DISABLED,), when=lambda act: act.in_time
)
def disabled_counts_nothing(act: BreakerAct) -> bool:
    """A disabled breaker counts no outcome."""
    return act.after == _but(act.before, in_flight=act.before.in_flight - 1)


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
    return act.after == _but(
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
    return act.after == _but(
        before,
        in_flight=before.in_flight - 1,
        probes=before.probes - 1,
        round_calls=before.round_calls + 1,
        round_failures=before.round_failures + outcome.failed,
        round_slow_calls=before.round_slow_calls + outcome.slow,
        holds=before.holds if outcome.failed else 0,
    )


# It opens, it closes --------------------------------------------------------------------------


@promise.obliges("generation-never-reused", guarantee=5)
def generation_never_reused(act: BreakerAct) -> bool:
    """Every transition begins a new generation, and nothing else does."""
    return act.after.generation == act.before.generation + act.moved


@promise.obliges("evidence-starts-empty", when=lambda act: act.moved)
def evidence_starts_empty(act: BreakerAct) -> bool:
    """A new generation begins without evidence, and only HALF_OPEN with a probe."""
    after = act.after
    return (
        (after.calls, after.failures, after.slow_calls, after.failures_in_a_row) == (0, 0, 0, 0)
        and (after.round_calls, after.round_failures, after.round_slow_calls) == (0, 0, 0)
        and after.probes == (after.state is S.HALF_OPEN)
    )


@promise.obliges(
    "opening-grows",
    on="admit succeed fail",
    when=lambda act: act.moved and act.after.state is S.OPEN,
)
def opening_grows(act: BreakerAct) -> bool:
    """Each opening of a series lasts longer, up to a limit, and time spent closed wears it off."""
    step = opening_step(act)
    config = act.config
    lasts = config.open_duration * config.backoff_factor ** min(step - 1, MAX_EXPONENT)
    until = act.now + min(lasts, config.max_open_duration)
    return act.after.step == step and act.after.open_until == until


@promise.obliges(
    "hold-respected",
    on="hold",
    sources=(S.CLOSED, S.OPEN, S.HALF_OPEN),
    when=lambda act: act.lease is None or not act.lease.settled,
)
def hold_respected(act: BreakerAct) -> bool:
    """A breaker stays away until the time that was named; a later time replaces an earlier one."""
    before, after, until = act.before, act.after, hold_ends(act)
    returned = act.lease is not None
    if before.state is S.OPEN:
        stays = _but(before, in_flight=before.in_flight - returned)
        if until <= opens_at(before):
            return after == stays
        return after == _but(stays, open_until=until, cause=act.fault)
    return (
        after.state is S.OPEN
        and after.open_until == until
        and after.step == before.step
        and after.holds == before.holds + returned
    )


@promise.obliges(
    "hold-yields-to-operators",
    on="hold",
    sources=BY_OPERATORS,
    when=lambda act: act.lease is None or not act.lease.settled,
)
def hold_yields_to_operators(act: BreakerAct) -> bool:
    """What an operator said stands, whatever time a provider names."""
    returned = act.lease is not None
    return act.after == _but(act.before, in_flight=act.before.in_flight - returned)


@promise.obliges(
    "success-ends-a-series",
    on=OUTCOMES,
    sources=(S.CLOSED, S.HALF_OPEN, S.OBSERVING),
    when=lambda act: act.in_time,
)
def success_ends_a_series(act: BreakerAct) -> bool:
    """A success in time ends a series of holds, a failure does not."""
    return act.after.holds == (act.before.holds if act.outcome.failed else 0)


@promise.obliges(
    "cause-is-kept",
    on="fail hold",
    when=lambda act: act.fault is not None and act.moved and act.after.state is S.OPEN,
)
def cause_is_kept(act: BreakerAct) -> bool:
    """An open breaker names the fault that opened it; closing forgets it."""
    return act.after.cause is act.fault


@promise.obliges(
    "hang-is-the-cause", on="admit", when=lambda act: act.moved and act.after.state is S.OPEN
)
def hang_is_the_cause(act: BreakerAct) -> bool:
    """Where a hang opened a breaker, the cause is a time-out."""
    cause = act.after.cause
    return cause is not None and cause.kind.value == "timeout"


# Operators ------------------------------------------------------------------------------------


@promise.obliges("operator-is-obeyed", on=OPERATORS)
def operator_is_obeyed(act: BreakerAct) -> bool:
    """An operator's word is done at once, from every state."""
    return act.after.state is WORDS[act.trigger]


@promise.obliges("operator-clears", on=OPERATORS)
def operator_clears(act: BreakerAct) -> bool:
    """An operator's word begins with nothing remembered; said again, it changes nothing."""
    after = act.after
    if not act.moved:
        return after == act.before
    return (after.step, after.holds, after.cause, after.open_until) == (0, 0, None, None)


# States ---------------------------------------------------------------------------------------


@promise.never("probe-budget", guarantee=4)
def probe_budget(act: BreakerAct) -> bool:
    """Never more probes than the round may have out, nor than it wants."""
    standing, config = act.after, act.config
    return (
        standing.probes <= config.probe_concurrency
        and standing.round_calls + standing.probes <= config.probe_calls
    )


@promise.never("open-until-when-open")
def open_until_when_open(act: BreakerAct) -> bool:
    """An open breaker knows until when, and no other has such a time."""
    return (act.after.state is S.OPEN) == (act.after.open_until is not None)


@promise.never("closed-has-no-cause")
def closed_has_no_cause(act: BreakerAct) -> bool:
    """Only an open or a probing breaker names a cause."""
    return act.after.cause is None or act.after.state in (S.OPEN, S.HALF_OPEN)


@promise.obliges("output-restarts-a-probe", on="begin_output")
def output_changes_nothing_else(act: BreakerAct) -> bool:
    """The first output of a stream fixes how slow it was and gives a probe its time anew."""
    return act.after == act.before


# Records --------------------------------------------------------------------------------------


@promise.obliges(
    "record-tells-the-firing", when=lambda act: act.trigger != "begin_output", guarantee=12
)
def record_tells_the_firing(act: BreakerAct) -> bool:
    """Every firing is recorded as it was: from where, where to, by which row, how it stands."""
    if len(act.records) != 1:
        return False
    (step,) = act.records
    told = step.facts
    return (
        (step.trigger, step.source, step.target) == (act.trigger, act.before.state, act.after.state)
        and (step.row is None) == (step.verdict == "late")
        and (step.verdict == "moved") == act.moved
        and (
            step.row is None
            or (
                (step.row.cell == (act.before.state, act.trigger))
                and (step.row.target or act.before.state) is act.after.state
            )
        )
        and (told["calls"], told["failures"]) == (act.after.calls, act.after.failures)
        and (told["in_flight"], told["open_until"]) == (act.after.in_flight, act.after.open_until)
        and (told["step"], told["holds"]) == (act.after.step, act.after.holds)
    )


# Graphs ---------------------------------------------------------------------------------------


@promise.can_always("can-always-close", guarantee=6)
def can_always_close(standing: BreakerStanding) -> bool:
    """From every state a way leads back to CLOSED; where an operator spoke, by the operator."""
    return standing.state is S.CLOSED


legal_history = promise.no_deadlock(
    "no-deadlock",
    "Whatever callers, operators and time do in a legal order is answered, and nothing raises.",
)

BREAKER_PROPERTIES: Final = tuple(promise.all.values())
