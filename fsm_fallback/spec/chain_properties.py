"""What the walk along a chain promises: the specification of `CHAIN`, report by report.

As in `breaker_properties`, a bystander's notebook (`chain_reckoning`) is held against what the
chain says of itself.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.commands import Admit, Call, Emit, Open, Pull, Raise, Return, Wait
from fsm_fallback.core.events import StreamStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.core.trail import Attempt, Skip
from fsm_fallback.errors import (
    AllProvidersFailed,
    ChainFailed,
    DeadlineExceeded,
    RequestRejected,
    StreamInterrupted,
)
from fsm_fallback.spec.chain_acts import ChainAct, ChainStanding
from fsm_fallback.spec.chain_reckoning import (
    ending,
    ends_with,
    goes_on,
    had_its_time,
    is_cut,
    is_over_now,
    is_request_fault,
    retry_wait,
    time_of_attempt,
    time_of_pull,
    waits,
)
from fsm_fallback.spec.properties import Promises

REPORTS: Final = {
    "begin": ("skip", "exhaust", "expire"),
    "admission": ("offer", "skip", "exhaust", "expire"),
    "answer": ("answer",),
    "opened": (),
    "item": ("commit",),
    "finish": ("finish", "answer"),
    "next": (),
    "fault": ("fault", "cut", "skip", "exhaust", "expire"),
    "time_out": ("fault", "cut", "skip", "exhaust", "expire"),
    "elapse": ("elapse", "skip", "exhaust", "expire"),
    "abandon": ("abandon",),
}
"""The reports a driver makes, and the triggers each may fire."""

promise: Final = Promises("chain", REPORTS)

FAILING: Final = "fault time_out"


def was_streaming(act: ChainAct) -> bool:
    """Whether the caller saw the stream that the report speaks of."""
    return act.before.state is S.STREAMING


def fails_before_output(act: ChainAct) -> bool:
    """Whether an attempt failed of which the caller has seen nothing, in time."""
    return act.before.state is S.CALLING and not is_cut(act)


def restarts(act: ChainAct) -> bool:
    """Whether a stream that broke is begun anew elsewhere."""
    policy = None if act.rules.stream is None else act.rules.stream.policy
    return policy == "restart" and not is_request_fault(act)


def is_handed_over(act: ChainAct) -> bool:
    """Whether an item that was held back until now, and all before it, is handed over."""
    config = act.rules.stream
    if config is None or config.policy == "buffer":
        return False
    return bool(act.output) or act.stream.held >= config.buffer_items


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
    before = act.before
    wanted = Call if act.rules.stream is None else Open
    return (
        isinstance(act.command, (Call, Open))
        and isinstance(act.command, wanted)
        and act.command.lease is act.granted
        and act.command.candidate is act.candidate
        and act.command.timeout == time_of_attempt(act)
        and act.after == before._replace(state=S.CALLING, attempts=before.attempts + 1)
    )


@promise.obliges(
    "fault-fails-over",
    on=FAILING,
    when=lambda act: (
        fails_before_output(act) and not is_request_fault(act) and retry_wait(act) is None
    ),
)
def fault_fails_over(act: ChainAct) -> bool:
    """A fault that another provider may not have leads to the next one that can serve."""
    return goes_on(act)


@promise.obliges(
    "request-fault-rejects",
    on=FAILING,
    when=lambda act: fails_before_output(act) and is_request_fault(act),
)
def request_fault_rejects(act: ChainAct) -> bool:
    """A fault that every provider would have ends the call, and nobody else is asked."""
    kind = ending(act, RequestRejected)
    final = S.REJECTED if kind is RequestRejected else S.INTERRUPTED
    return act.after.state is final and ends_with(act, kind) and act.after.trail == act.trail


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


# Retries and waits ----------------------------------------------------------------------------


@promise.obliges(
    "retry-waits", on=FAILING, when=lambda act: retry_wait(act) is not None, guarantee=9
)
def retry_waits(act: ChainAct) -> bool:
    """A fault that may pass has the same provider asked again, after a wait that ends in time."""
    wait = retry_wait(act)
    return (
        wait is not None
        and waits(act, wait)
        and act.after.trail == act.trail
        and act.after.budgeted
    )


@promise.obliges("wait-comes-back", on="elapse")
def wait_comes_back(act: ChainAct) -> bool:
    """After a wait, whom it was for is asked again, and nobody else before; or time is over."""
    return goes_on(act) and act.after.attempts == act.before.attempts


@promise.obliges("no-wait-past-the-deadline", guarantee=9)
def no_wait_past_the_deadline(act: ChainAct) -> bool:
    """No wait takes all the time there is, for there would be none to ask in."""
    if not isinstance(act.command, Wait) or act.deadline is None:
        return True
    return act.now + act.command.seconds < act.deadline


@promise.obliges("place-taken-and-given-back", guarantee=3)
def place_taken_and_given_back(act: ChainAct) -> bool:
    """A retry has one place in the budget, from its wait to its end, and nothing else has one."""
    moved = act.after.budgeted - act.before.budgeted
    return act.places == moved and not (act.after.is_final and act.after.budgeted)


# Streams --------------------------------------------------------------------------------------


@promise.obliges("opened-stream-is-read", on="opened next")
def opened_stream_is_read(act: ChainAct) -> bool:
    """A stream that is there is read on, for as long as the next item may take."""
    return (
        isinstance(act.command, Pull)
        and act.command.lease is act.lease
        and act.command.candidate is act.candidate
        and act.command.timeout == time_of_pull(act)
        and act.after == act.before
    )


@promise.obliges(
    "nothing-leaks-before-output",
    on="item",
    when=lambda act: not was_streaming(act) and not is_handed_over(act),
)
def nothing_leaks_before_output(act: ChainAct) -> bool:
    """What carries no output is held back, as long as there is room; of a buffer, all is."""
    return (
        isinstance(act.command, Pull)
        and act.command.timeout == time_of_pull(act)
        and act.after == act.before
    )


@promise.obliges(
    "output-is-handed-over",
    on="item",
    when=lambda act: not was_streaming(act) and is_handed_over(act),
)
def output_is_handed_over(act: ChainAct) -> bool:
    """The first output, or the last item there is room for, hands over all that was held back."""
    return isinstance(act.command, Emit) and act.after == act.before._replace(state=S.STREAMING)


@promise.obliges("reset-tells-of-another-stream", on="item")
def reset_tells_of_another_stream(act: ChainAct) -> bool:
    """Where another stream was handed over before, the caller is told so, and why it broke."""
    if not isinstance(act.command, Emit):
        return True
    if was_streaming(act) or act.seen_of is None:
        return act.command.reset is None
    reset, candidate = act.command.reset, act.candidate
    broken = [
        item.fault
        for item in act.trail
        if isinstance(item, Attempt) and item.provider == act.seen_of
    ]
    return (
        reset is not None
        and candidate is not None
        and (reset.provider, reset.after) == (candidate.name, act.seen_of)
        and reset.fault is broken[-1]
    )


@promise.obliges("stream-is-handed-over-as-it-comes", on="item", when=was_streaming)
def stream_is_handed_over_as_it_comes(act: ChainAct) -> bool:
    """From there on each item is handed over at once."""
    return isinstance(act.command, Emit) and act.after == act.before


@promise.obliges("whole-stream-ends-the-call", on="finish", guarantee=7)
def whole_stream_ends_the_call(act: ChainAct) -> bool:
    """A stream that ended as it should, with output, is the answer."""
    return (
        isinstance(act.command, Return)
        and act.after.state is S.SUCCEEDED
        and act.after.trail == act.trail
        and act.output is True
        and act.stream.output_at is not None
    )


@promise.obliges("flawed-end-is-a-failure", on="fault", when=lambda act: act.output is not None)
def flawed_end_is_a_failure(act: ChainAct) -> bool:
    """An end without its terminal event is a truncated stream, one without output no answer."""
    wanted = FaultKind.BAD_RESPONSE if act.output else FaultKind.STREAM
    empty = act.stream.output_at is None
    return act.fault is not None and act.fault.kind is wanted and (empty or not act.output)


@promise.obliges(
    "broken-stream-is-told",
    on=FAILING,
    when=lambda act: was_streaming(act) and not is_cut(act) and not restarts(act),
    guarantee=2,
)
def broken_stream_is_told(act: ChainAct) -> bool:
    """A stream that breaks after output ends the call, and nobody goes on in its place."""
    return (
        act.after.state is S.INTERRUPTED
        and ends_with(act, StreamInterrupted)
        and act.after.trail == act.trail
    )


@promise.obliges(
    "broken-stream-begins-anew",
    on=FAILING,
    when=lambda act: was_streaming(act) and not is_cut(act) and restarts(act),
)
def broken_stream_begins_anew(act: ChainAct) -> bool:
    """Where the caller takes a fresh stream, the next provider that can serve is asked for one."""
    return goes_on(act)


@promise.obliges("output-is-never-denied", when=is_over_now, guarantee=2)
def output_is_never_denied(act: ChainAct) -> bool:
    """After output was handed over, no error says that nobody answered."""
    unseen = (S.FAILED, S.REJECTED)
    return act.seen_of is None or act.after.state not in unseen


# Time -----------------------------------------------------------------------------------------


@promise.obliges("deadline-kept", on=FAILING, when=is_cut, guarantee=9)
def deadline_kept(act: ChainAct) -> bool:
    """An attempt that is out at the deadline is the last, and the call ends by it."""
    kind = ending(act, DeadlineExceeded)
    final = S.FAILED if kind is DeadlineExceeded else S.INTERRUPTED
    return (
        act.after.state is final
        and ends_with(act, kind)
        and act.after.trail == act.trail
        and len(act.records) == 1
    )


@promise.obliges("nobody-asked-after-the-deadline", when=lambda act: act.is_late, guarantee=9)
def nobody_asked_after_the_deadline(act: ChainAct) -> bool:
    """When the deadline is over, no candidate is asked, waited for, or given more time."""
    if isinstance(act.command, (Call, Open, Pull)):
        return act.command.timeout == 0.0
    return not isinstance(act.command, (Admit, Wait))


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
    """A call that failed tells of every candidate, in order; one that ended early, of the first."""
    told = tuple(dict.fromkeys(item.provider for item in act.after.trail))
    names = tuple(each.provider if isinstance(each, Skip) else each.name for each in act.candidates)
    if ends_with(act, AllProvidersFailed):
        return told == names
    return told == names[: len(told)]


@promise.obliges("nobody-called-twice", when=is_over_now, guarantee=14)
def nobody_called_twice(act: ChainAct) -> bool:
    """No provider is called more often than retries allow; without them, once."""
    called = [item.provider for item in act.after.trail if isinstance(item, Attempt)]
    most = act.rules.retry.attempts
    return all(called.count(name) <= most for name in called)


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
        if row.source is not state or step.call != act.call:
            return False
        if isinstance(step, StreamStep) is not (state is S.STREAMING):
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
