"""What a breaker promises when it opens and closes, by itself or by hand, and what it records.

As in `breaker_calls`. Generations follow sony/gobreaker, the backoff is the project's own.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.core.parameters import MAX_EXPONENT
from fsm_fallback.spec.acts import BreakerAct, BreakerStanding
from fsm_fallback.spec.breaker_calls import OUTCOMES, SETTLING, but
from fsm_fallback.spec.breaker_reckoning import (
    hold_ends,
    is_too_slow,
    opening_step,
    opens_at,
)
from fsm_fallback.spec.properties import Promises

promise: Final = Promises("breaker")

WORDS: Final = {
    "force_open": S.FORCED_OPEN,
    "disable": S.DISABLED,
    "observe": S.OBSERVING,
    "reset": S.CLOSED,
}
OPERATORS: Final = " ".join(WORDS)
BY_OPERATORS: Final = (S.FORCED_OPEN, S.DISABLED, S.OBSERVING)

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
        stays = but(before, in_flight=before.in_flight - returned)
        if until <= opens_at(before):
            return after == stays
        return after == but(stays, open_until=until, cause=act.fault)
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
    return act.after == but(act.before, in_flight=act.before.in_flight - returned)


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
    return cause is not None and cause.kind is FaultKind.TIMEOUT


@promise.obliges(
    "success-leaves-a-cause", on="succeed", when=lambda act: act.moved and act.after.state is S.OPEN
)
def success_leaves_a_cause(act: BreakerAct) -> bool:
    """A success that opens is slow, or the last of a bad lot: the cause says which."""
    cause = act.after.cause
    if act.before.state is S.HALF_OPEN:
        return cause is act.before.cause
    if is_too_slow(act):
        return cause is not None and cause.kind is FaultKind.TIMEOUT
    return cause is act.last_fault


@promise.obliges(
    "probing-keeps-the-cause",
    on="admit",
    sources=(S.OPEN, S.HALF_OPEN),
    when=lambda act: act.after.state is S.HALF_OPEN,
)
def probing_keeps_the_cause(act: BreakerAct) -> bool:
    """Until a round has ended, what opened the breaker stands."""
    return act.after.cause is act.before.cause


@promise.obliges(
    "backoff-outlives-a-round",
    on="admit succeed fail",
    when=lambda act: act.moved and act.after.state is not S.OPEN,
)
def backoff_outlives_a_round(act: BreakerAct) -> bool:
    """Neither probing nor closing makes the next opening shorter, or forgets a series of holds."""
    holds = 0 if act.trigger == "succeed" else act.before.holds
    return (act.after.step, act.after.holds) == (act.before.step, holds)


@promise.obliges(
    "opening-leaves-holds",
    on="admit succeed fail",
    when=lambda act: act.moved and act.after.state is S.OPEN,
)
def opening_leaves_holds(act: BreakerAct) -> bool:
    """An opening that nobody named a time for is none of a series of holds."""
    return act.after.holds == (0 if act.trigger == "succeed" else act.before.holds)


@promise.obliges("books-balance", guarantee=13)
def books_balance(act: BreakerAct) -> bool:
    """What is in flight, and what was refused, changes by what was done and by nothing else."""
    asked = act.trigger == "admit"
    granted = act.granted is not None
    settling = act.trigger in SETTLING.split()
    returned = settling and act.lease is not None and not act.lease.settled
    return (
        act.after.in_flight == act.before.in_flight + granted - returned
        and act.after.not_permitted == act.before.not_permitted + (asked and not granted)
    )


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
def output_restarts_a_probe(act: BreakerAct) -> bool:
    """The first output of a stream fixes how slow it was, and gives a probe its time anew."""
    lease, now_it_is = act.lease, act.returned
    if lease is None or now_it_is is None or act.after != act.before:
        return False
    if lease.settled or lease.duration is not None:
        return now_it_is == lease
    deadline = lease.deadline
    if deadline is not None and act.in_time:
        deadline = act.now + act.config.stream_timeout
    return now_it_is == lease._replace(duration=act.now - lease.admitted_at, deadline=deadline)


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
    lease = act.lease or act.granted
    if step.lease != (None if lease is None else lease.number):
        return False
    if act.trigger in ("fail", "hold") and step.fault is not act.fault:
        return False
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
