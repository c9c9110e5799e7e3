"""What a bystander of a call would reckon: whom to ask next, whether to wait, how it ends.

Made of the notebook alone, in other words than the core's, so that the two can be held against each
other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fsm_fallback.core.chain import POLL
from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.commands import Admit, Raise, Wait
from fsm_fallback.core.outcome import FailOver, Fault, FaultKind, Retry
from fsm_fallback.core.trail import Attempt, Candidate, Skip, Trail
from fsm_fallback.errors import (
    AllProvidersFailed,
    ChainFailed,
    DeadlineExceeded,
    StreamInterrupted,
)
from fsm_fallback.spec.chain_acts import ChainAct


class Reopening(NamedTuple):
    """The call waits until a breaker may admit."""

    at: float


Due = Candidate | Reopening | type[ChainFailed]


def walk(act: ChainAct) -> tuple[Trail, Due]:
    """Whom a chain that goes on has to ask next, and the skips on the way; or how it ends."""
    trail = act.trail
    needed = act.needs_larger_than
    for each in act.line:
        if act.is_late:
            return trail, ending(act, DeadlineExceeded)
        if isinstance(each, Skip):
            trail = (*trail, each)
        elif needed is not None and (each.context_window or 0) <= needed:
            trail = (*trail, Skip(each.name, "context_window"))
        else:
            return trail, each
    if act.rules.waits:
        at = reopening(act, trail)
        if at < (math.inf if act.deadline is None else act.deadline):
            return trail, Reopening(at)
    return trail, ending(act, AllProvidersFailed)


def ending(act: ChainAct, kind: type[ChainFailed]) -> type[ChainFailed]:
    """How a call ends that goes wrong: what the caller has seen is not denied."""
    return kind if act.seen_of is None else StreamInterrupted


def reopening(act: ChainAct, trail: Trail) -> float:
    """When the first breaker may admit of those that refused and were never called."""
    waited_for = left_after_waiting(act.candidates, trail, act.needs_larger_than)
    names = {each.name for each in waited_for}
    refusals = {item.provider: item for item in trail if isinstance(item, Skip)}
    times = [math.inf]
    for name, skip in refusals.items():
        if name not in names:
            continue
        if skip.until is not None:
            times.append(max(skip.until, act.now))
        elif skip.reason == "half_open":
            times.append(act.now + POLL)
    return min(times)


def is_refusal(item: Attempt | Skip) -> bool:
    """Whether a breaker refused, which it may not do the next time."""
    return isinstance(item, Skip) and item.reason in ("open", "half_open", "forced_open")


def left_after_waiting(
    candidates: tuple[Candidate | Skip, ...], trail: Trail, needed: int | None
) -> tuple[Candidate, ...]:
    """Who is asked after a wait for a breaker: refused, never called, and not too small."""
    called = {item.provider for item in trail if not is_refusal(item)}
    return tuple(
        each
        for each in candidates
        if not isinstance(each, Skip)
        and each.name not in called
        and (needed is None or (each.context_window or 0) > needed)
    )


def retry_wait(act: ChainAct) -> float | None:
    """How long to wait before the same provider is asked again; None where it is not."""
    fault, candidate = act.fault, act.candidate
    if fault is None or candidate is None or act.before.state is not S.CALLING:
        return None
    retry = act.rules.retry
    tries = sum(
        1 for item in act.trail if isinstance(item, Attempt) and item.provider == candidate.name
    )
    if tries >= most_tries(act, fault) or is_request_fault(act) or is_cut(act):
        return None
    own = min(retry.backoff * retry.factor ** (tries - 1), retry.max_backoff)
    wait = max(own, fault.retry_after or 0.0, act.opens[candidate.name] - act.now)
    named = fault.kind is FaultKind.RATE_LIMIT or fault.retry_after is not None
    longest = retry.max_retry_after if named else retry.max_backoff
    if any(act.opens[other.name] <= act.now for other in eligible(act)):
        longest = min(longest, retry.long_wait)
    fits = wait <= longest and (act.deadline is None or act.now + wait < act.deadline)
    return wait if fits and act.has_place else None


def most_tries(act: ChainAct, fault: Fault) -> int:
    """How often one call asks a provider that fails like this."""
    most = act.rules.retry.attempts
    if fault.retry is Retry.NO or (
        fault.retry is Retry.OPTIONAL and not act.rules.retry.bad_responses
    ):
        return 1
    return min(most, 2) if fault.retry is Retry.ONCE else most


def eligible(act: ChainAct) -> tuple[Candidate, ...]:
    """Who could take the call in place of the one that failed."""
    needed = act.needs_larger_than
    return tuple(
        each
        for each in act.line
        if not isinstance(each, Skip)
        and each is not act.candidate
        and (needed is None or (each.context_window or 0) > needed)
    )


def is_request_fault(act: ChainAct) -> bool:
    """Whether no other provider would help."""
    fault, candidate = act.fault, act.candidate
    if fault is None or candidate is None:
        return False
    if fault.fail_over is not FailOver.LARGER_WINDOW:
        return fault.fail_over is FailOver.NO
    present = candidate.context_window
    return present is None or not any(
        not isinstance(other, Skip) and (other.context_window or 0) > present for other in act.line
    )


def is_cut(act: ChainAct) -> bool:
    """Whether the attempt was cut by the end of the call."""
    timed_out = act.trigger == "time_out" or (
        act.fault is not None and act.fault.kind is FaultKind.TIMEOUT
    )
    return timed_out and act.is_late


def had_its_time(act: ChainAct) -> bool:
    """Whether an attempt that was cut had a fair time; one that has spoken, since it spoke last."""
    if act.lease is None or act.deadline is None:
        return True
    fair = (act.deadline - act.started_at) / 2
    limit, since = act.attempt_timeout, act.lease.admitted_at
    config = act.rules.stream
    if config is not None and act.stream.output_at is not None:
        limit, since = config.idle_timeout, act.stream.spoke_at
    elif config is not None and config.first_output_timeout is not None:
        limit = config.first_output_timeout
    if limit is not None:
        fair = min(fair, limit)
    return act.now - since >= fair


def is_last(act: ChainAct) -> bool:
    """Whether nobody comes after the candidate whose turn it is."""
    return not any(not isinstance(each, Skip) for each in act.line if each is not act.candidate)


def time_of_attempt(act: ChainAct) -> float | None:
    """How long the attempt that is due may take; the last candidate gets what is left."""
    left = None if act.deadline is None else max(0.0, act.deadline - act.now)
    if act.rules.stream is not None:
        return time_to_output(act)
    if left is None:
        return act.attempt_timeout
    if is_last(act) or act.attempt_timeout is None:
        return left
    return min(act.attempt_timeout, left)


def time_to_output(act: ChainAct) -> float | None:
    """How long a stream may take to its first output: the last candidate as long as there is."""
    left = None if act.deadline is None else max(0.0, act.deadline - act.now)
    config, lease = act.rules.stream, act.lease or act.granted
    limit = None if config is None else config.first_output_timeout
    limit = act.attempt_timeout if limit is None else limit
    if is_last(act) or limit is None or lease is None:
        return left
    limit = max(0.0, getattr(lease, "admitted_at", act.now) + limit - act.now)
    return limit if left is None else min(limit, left)


def time_of_pull(act: ChainAct) -> float | None:
    """How long a stream may take to its next item."""
    if act.stream.output_at is None:
        return time_to_output(act)
    left = None if act.deadline is None else max(0.0, act.deadline - act.now)
    idle = None if act.rules.stream is None else act.rules.stream.idle_timeout
    if left is None or idle is None:
        return idle if left is None else left
    return min(left, idle)


def goes_on(act: ChainAct) -> bool:
    """Whether the chain stands where, and asks for what, a bystander expects next."""
    trail, due = walk(act)
    if act.after.trail != trail:
        return False
    if isinstance(due, Reopening):
        return waits(act, due.at - act.now)
    if isinstance(due, type):
        final = S.INTERRUPTED if due is StreamInterrupted else S.FAILED
        return ends_with(act, due) and act.after.state is final
    return (
        act.after.state is S.SELECTING
        and isinstance(act.command, Admit)
        and act.command.candidate is due
    )


def waits(act: ChainAct, seconds: float) -> bool:
    """Whether the chain waits so long."""
    return (
        act.after.state is S.WAITING
        and isinstance(act.command, Wait)
        and math.isclose(act.command.seconds, seconds, abs_tol=1e-9)
    )


def ends_with(act: ChainAct, kind: type[ChainFailed]) -> bool:
    """Whether the call ends with an error of a kind."""
    return isinstance(act.command, Raise) and type(act.command.error) is kind


def is_over_now(act: ChainAct) -> bool:
    """Whether this report ended the call."""
    return act.after.is_final and not act.before.is_final
