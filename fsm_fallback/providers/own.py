"""What it means that a chain failed which a provider had asked: that is for its trail to say."""

from __future__ import annotations

from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
from fsm_fallback.core.trail import Attempt
from fsm_fallback.errors import AllProvidersFailed, ChainFailed, RequestRejected


def fault_of_chain(error: ChainFailed) -> Fault | None:
    """The fault; None where its name says all there is.

    A chain whose breakers refused everything asked nobody, which is no evidence against it. One
    that blames the request, or whose providers all do, means what they mean.
    """
    faults = [item.fault for item in error.trail if isinstance(item, Attempt) and item.fault]
    if isinstance(error, RequestRejected) and faults:
        return faults[-1]
    if not isinstance(error, AllProvidersFailed) or not error.trail:
        return None
    if not faults:
        return Fault(FaultKind.LOCAL, retry_after=error.retry_after)
    neutral = all(fault.outcome is Outcome.NEUTRAL for fault in faults)
    return faults[-1] if neutral else None
