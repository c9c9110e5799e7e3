"""What it means that a chain failed which a provider had asked: that is for its trail to say."""

from __future__ import annotations

from fsm_fallback.core.outcome import FailOver, Fault, FaultKind, Outcome
from fsm_fallback.core.trail import Attempt
from fsm_fallback.errors import AllProvidersFailed, ChainFailed, RequestRejected, StreamInterrupted


def fault_of_chain(error: ChainFailed) -> Fault | None:
    """The fault; None where its name says all there is.

    A chain whose breakers refused everything asked nobody, which is no evidence against it. One
    that blames the request, or whose providers all do, means what they mean.
    """
    if isinstance(error, StreamInterrupted):
        return _of_interruption(error)
    faults = [item.fault for item in error.trail if isinstance(item, Attempt) and item.fault]
    if isinstance(error, RequestRejected) and faults:
        return faults[-1]
    if not isinstance(error, AllProvidersFailed) or not error.trail:
        return None
    if not faults:
        return Fault(FaultKind.LOCAL, retry_after=error.retry_after)
    neutral = all(fault.outcome is Outcome.NEUTRAL for fault in faults)
    return faults[-1] if neutral else None


def _of_interruption(error: StreamInterrupted) -> Fault | None:
    """A stream that was cut for its time is late; one that blames the request means that."""
    last = next((item.fault for item in reversed(error.trail) if isinstance(item, Attempt)), None)
    if last is None:
        return None
    if last.kind in (FaultKind.TIMEOUT, FaultKind.CANCELLED):
        return Fault(FaultKind.TIMEOUT)
    return last if last.fail_over is FailOver.NO and last.outcome is Outcome.NEUTRAL else None
