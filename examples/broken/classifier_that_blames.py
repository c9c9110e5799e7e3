"""A classifier that is wrong on purpose: it counts a cancellation as a failure of the provider.

`fsm-fallback spec check examples.broken.classifier_that_blames:classify` says so.
"""

from fsm_fallback import Fault, FaultKind


def classify(error: BaseException) -> Fault:
    """Should tell a caller who left from a provider that failed."""
    if isinstance(error, TimeoutError):
        return Fault(FaultKind.TIMEOUT)
    return Fault(FaultKind.TRANSIENT)
