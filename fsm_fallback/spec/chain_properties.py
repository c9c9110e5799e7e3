"""What the walk along a chain promises: the specification of `CHAIN`, report by report.

As in `breaker_properties`, a bystander's notebook is held against what the chain says of itself.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.chain import S
from fsm_fallback.core.commands import Admit, Call, Raise, Return
from fsm_fallback.core.events import AttemptStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import FailOver, FaultKind
from fsm_fallback.core.trail import Attempt, Candidate, Skip, Trail
from fsm_fallback.errors import (
    AllProvidersFailed,
    ChainFailed,
    DeadlineExceeded,
    RequestRejected,
)
from fsm_fallback.spec.chain_acts import ChainAct, ChainStanding
from fsm_fallback.spec.properties import Promises

REPORTS: Final = {
    "begin": ("skip", "exhaust", "expire"),
    "admission": ("offer", "skip", "exhaust", "expire"),
    "answer": ("answer",),
    "fault": ("fault", "skip", "exhaust", "expire"),
    "time_out": ("fault", "skip", "exhaust", "expire"),
    "abandon": ("abandon",),
}
"""The reports a driver makes, and the triggers each may fire."""

promise: Final = Promises("chain", REPORTS)

FAILING: Final = "fault time_out"

# What a bystander would reckon ----------------------------------------------------------------


def walk(act: ChainAct) -> tuple[Trail, Candidate | type[ChainFailed]]:
    """Whom a chain that goes on has to ask next, and the skips on the way; or how it ends."""
    trail = act.trail
    noted = {item.provider for item in trail}
    needed = act.needs_larger_than
    for each in act.candidates:
        name = each.provider if isinstance(each, Skip) else each.name
        if name in noted:
            continue
        if act.is_late:
            return trail, DeadlineExceeded
        if isinstance(each, Skip):
            trail = (*trail, each)
        elif needed is not None and (each.context_window or 0) <= needed:
            trail = (*trail, Skip(name, "context_window"))
        else:
            return trail, each
    return trail, AllProvidersFailed


def is_request_fault(act: ChainAct) -> bool:
    """Whether no other provider would help."""
    fault, candidate = act.fault, act.candidate
    if fault is None or candidate is None:
        return False
    if fault.fail_over is not FailOver.LARGER_WINDOW:
        return fault.fail_over is FailOver.NO
    present = candidate.context_window
    later = act.candidates[act.candidates.index(candidate) + 1 :]
    return present is None or not any(
        not isinstance(other, Skip) and (other.context_window or 0) > present for other in later
    )


def is_cut(act: ChainAct) -> bool:
    """Whether the attempt was cut by the end of the call."""
    timed_out = act.trigger == "time_out" or (
        act.fault is not None and act.fault.kind is FaultKind.TIMEOUT
    )
    return timed_out and act.is_late


def had_its_time(act: ChainAct) -> bool:
    """Whether an attempt that was cut had a fair time: the attempt's, or half of the deadline."""
    if act.lease is None or act.deadline is None:
        return True
    fair = (act.deadline - act.started_at) / 2
    if act.attempt_timeout is not None:
        fair = min(fair, act.attempt_timeout)
    return act.now - act.lease.admitted_at >= fair


def time_of_attempt(act: ChainAct) -> float | None:
    """How long the attempt that is due may take; the last candidate gets what is left."""
    if act.deadline is None:
        return act.attempt_timeout
    left = max(0.0, act.deadline - act.now)
    noted = {item.provider for item in act.trail}
    others = [
        each
        for each in act.candidates
        if not isinstance(each, Skip) and each is not act.candidate and each.name not in noted
    ]
    if not others or act.attempt_timeout is None:
        return left
    return min(act.attempt_timeout, left)


def goes_on(act: ChainAct) -> bool:
    """Whether the chain stands where, and asks for what, a bystander expects next."""
    trail, due = walk(act)
    if act.after.trail != trail:
        return False
    if isinstance(due, type):
        return ends_with(act, due) and act.after.state is S.FAILED
    return (
        act.after.state is S.SELECTING
        and isinstance(act.command, Admit)
        and act.command.candidate is due
    )


def ends_with(act: ChainAct, kind: type[ChainFailed]) -> bool:
    """Whether the call ends with an error of a kind."""
    return isinstance(act.command, Raise) and type(act.command.error) is kind


def is_over_now(act: ChainAct) -> bool:
    """Whether this report ended the call."""
    return act.after.is_final and not act.before.is_final


# The walk -------------------------------------------------------------------------------------


@promise.obliges("walk-begins-with-the-first", on="begin")
def walk_begins_with_the_first(act: ChainAct) -> bool:
    """A call asks the first candidate that can serve it."""
    return goes_on(act)


@promise.obliges(
    "skip-goes-on", on="admission", when=lambda act: isinstance(act.granted, Refusal), guarantee=1
)
def skip_goes_on(act: ChainAct) -> bool:
    """A candidate whose breaker refuses is not called, and the next one is asked."""
    return goes_on(act) and act.after.attempts == act.before.attempts


@promise.obliges(
    "only-on-a-lease", on="admission", when=lambda act: isinstance(act.granted, Lease), guarantee=1
)
def only_on_a_lease(act: ChainAct) -> bool:
    """A candidate is called on the lease its breaker gave, once, and for no longer than it may."""
    return (
        isinstance(act.command, Call)
        and act.command.lease is act.granted
        and act.command.candidate is act.candidate
        and act.command.timeout == time_of_attempt(act)
        and act.after == ChainStanding(S.CALLING, act.before.attempts + 1, act.before.trail)
    )


@promise.obliges(
    "fault-fails-over", on=FAILING, when=lambda act: not is_cut(act) and not is_request_fault(act)
)
def fault_fails_over(act: ChainAct) -> bool:
    """A fault that another provider may not have leads to the next one that can serve."""
    return goes_on(act)


@promise.obliges(
    "request-fault-rejects", on=FAILING, when=lambda act: not is_cut(act) and is_request_fault(act)
)
def request_fault_rejects(act: ChainAct) -> bool:
    """A fault that every provider would have ends the call, and nobody else is asked."""
    return (
        act.after.state is S.REJECTED
        and ends_with(act, RequestRejected)
        and act.after.trail == act.trail
    )


@promise.obliges("answer-ends-the-call", on="answer", guarantee=7)
def answer_ends_the_call(act: ChainAct) -> bool:
    """One answer is enough."""
    return (
        isinstance(act.command, Return)
        and act.after.state is S.SUCCEEDED
        and act.after.trail == act.trail
    )


@promise.obliges("caller-may-leave", on="abandon", guarantee=7)
def caller_may_leave(act: ChainAct) -> bool:
    """Whoever leaves is let go at any time, and nobody is asked for them any more."""
    return act.after == ChainStanding(S.ABANDONED, act.before.attempts, act.before.trail)


# Time -----------------------------------------------------------------------------------------


@promise.obliges("deadline-kept", on=FAILING, when=is_cut, guarantee=9)
def deadline_kept(act: ChainAct) -> bool:
    """An attempt that is out at the deadline is the last, and the call ends by it."""
    return (
        act.after.state is S.FAILED
        and ends_with(act, DeadlineExceeded)
        and act.after.trail == act.trail
        and len(act.records) == 1
    )


@promise.obliges("nobody-asked-after-the-deadline", when=lambda act: act.is_late, guarantee=9)
def nobody_asked_after_the_deadline(act: ChainAct) -> bool:
    """When the deadline is over, no candidate is asked or called."""
    if isinstance(act.command, Call):
        return act.command.timeout == 0.0
    return not isinstance(act.command, Admit)


@promise.obliges("cut-speaks-only-after-a-fair-time", on=FAILING, when=is_cut, guarantee=8)
def cut_speaks_only_after_a_fair_time(act: ChainAct) -> bool:
    """An attempt cut by the deadline speaks against its provider only if it had a fair time."""
    wanted = FaultKind.TIMEOUT if had_its_time(act) else FaultKind.CANCELLED
    return act.settled_with is not None and act.settled_with.kind is wanted


@promise.obliges(
    "fault-settles-the-lease", on=FAILING, when=lambda act: not is_cut(act), guarantee=3
)
def fault_settles_the_lease(act: ChainAct) -> bool:
    """Any other fault settles its lease as it is."""
    if act.trigger == "time_out":
        return act.settled_with is not None and act.settled_with.kind is FaultKind.TIMEOUT
    return act.settled_with is act.fault


@promise.obliges("time-out-is-an-error", on="time_out", guarantee=2)
def time_out_is_an_error(act: ChainAct) -> bool:
    """An attempt whose timer rang is told with a TimeoutError, as if the provider had raised it."""
    last = act.trail[-1]
    return isinstance(last, Attempt) and isinstance(last.error, TimeoutError)


# What is preserved ----------------------------------------------------------------------------


@promise.obliges(
    "all-errors-preserved-in-order", when=lambda act: isinstance(act.command, Raise), guarantee=2
)
def all_errors_preserved_in_order(act: ChainAct) -> bool:
    """The error of a call holds every original exception object, in the order of the calls."""
    if not isinstance(act.command, Raise) or not isinstance(act.command.error, ChainFailed):
        return False
    error = act.command.error
    raised = [item.error for item in act.trail if isinstance(item, Attempt) and item.error]
    if error.trail != act.after.trail:
        return False
    if not raised:
        return len(error.exceptions) == max(1, len(act.after.trail)) or act.is_late
    return len(error.exceptions) == len(raised) and all(
        found is original for found, original in zip(error.exceptions, raised, strict=True)
    )


@promise.obliges("nobody-forgotten", when=is_over_now, guarantee=14)
def nobody_forgotten(act: ChainAct) -> bool:
    """A call that failed tells of every candidate once; one that ended early, of none twice."""
    told = [item.provider for item in act.after.trail]
    names = [each.provider if isinstance(each, Skip) else each.name for each in act.candidates]
    if ends_with(act, AllProvidersFailed):
        return told == names
    return told == names[: len(told)]


@promise.obliges("attempts-are-numbered", when=is_over_now)
def attempts_are_numbered(act: ChainAct) -> bool:
    """Attempts are numbered from 1, without a gap."""
    numbers = [item.number for item in act.after.trail if isinstance(item, Attempt)]
    return numbers == list(range(1, len(numbers) + 1))


@promise.obliges("final-is-final", when=is_over_now, guarantee=7)
def final_is_final(act: ChainAct) -> bool:
    """A call ends once: in a final state every trigger is refused, and changes nothing."""
    return act.refuses


@promise.obliges("chain-record-tells-the-firing", guarantee=12)
def chain_record_tells_the_firing(act: ChainAct) -> bool:
    """Every firing is recorded as it was, and the records of a call have no gap."""
    state = act.before.state
    for step in act.records:
        row = step.row
        source = S.CALLING if isinstance(step, AttemptStep) else state
        if row.source is not source or step.call != act.call:
            return False
        state = row.target or row.source  # type: ignore[assignment]  # a ChainState
    offered = isinstance(act.granted, Lease)  # told with the end of its attempt
    return offered or state is act.after.state


# Graphs ---------------------------------------------------------------------------------------


@promise.can_always("chain-terminates", guarantee=7)
def chain_terminates(standing: ChainStanding) -> bool:
    """From every state a way leads to the end of the call."""
    return standing.is_final


chain_goes_on = promise.no_deadlock(
    "chain-never-stuck",
    "Whatever a driver reports in a legal order is answered, and nothing raises.",
    guarantee=7,
)

CHAIN_PROPERTIES: Final = tuple(promise.all.values())
