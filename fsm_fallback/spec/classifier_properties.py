"""What a classifier promises, whatever it makes of the exceptions of its user's own code.

What an ordinary exception means is the user's to say: `counting` and `ignoring` turn kinds around,
and a gateway's 400 may be another one's outage. So nothing here speaks of status codes. Universal
is that there is always an answer, always the same one, that reading leaves an exception as it was,
and that a caller who leaves says nothing of a provider.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.outcome import Outcome
from fsm_fallback.spec.answers import ClassifierAct, same_fault
from fsm_fallback.spec.properties import Promises

promise: Final = Promises("classifier")


@promise.obliges(
    "classifier-ends",
)
def classifier_ends(act: ClassifierAct) -> bool:
    """A classifier comes to an end; a call waits for it.

    No loop over a cause that is its own cause, no waiting.
    """
    return act.reply.ended


@promise.obliges(
    "classifier-answers-a-fault",
    when=lambda act: act.reply.ended,
)
def classifier_answers_a_fault(act: ClassifierAct) -> bool:
    """A classifier answers a Fault for every exception, and raises nothing.

    Not None, not a kind alone, and not an exception on top of the one it was given.
    """
    return act.reply.error is None and act.fault is not None


@promise.obliges(
    "classifier-is-deterministic",
    when=lambda act: act.reply.ended,
)
def classifier_is_deterministic(act: ClassifierAct) -> bool:
    """One exception read twice means the same.

    Kind and scope; the seconds to wait may be counted from the clock.
    """
    return act.again.ended and same_fault(act.reply, act.again)


@promise.obliges(
    "cancellation-is-neutral",
    when=lambda act: act.is_cancelled and act.fault is not None,
    guarantee=8,
)
def cancellation_is_neutral(act: ClassifierAct) -> bool:
    """A caller who leaves is no evidence: a cancellation is neither a failure nor a hold.

    Else a client that hangs up often enough would open a breaker for everybody.
    """
    return act.fault is not None and act.fault.outcome is Outcome.NEUTRAL


@promise.obliges(
    "reading-changes-nothing",
    guarantee=2,
)
def reading_changes_nothing(act: ClassifierAct) -> bool:
    """An exception that was read is as it was: its arguments, its causes, its notes.

    Whoever catches the group in the end gets the errors as the providers raised them.
    """
    return act.is_untouched


CLASSIFIER_PROPERTIES: Final = tuple(promise.all.values())
