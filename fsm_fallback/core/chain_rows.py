"""`CHAIN`: the table of the walk along a chain of providers.

A call selects a candidate, calls it, perhaps hands its stream over, perhaps waits, and ends in one
of five ways. Once output of a stream has been handed over, a call that is not answered ends
INTERRUPTED, whatever went wrong: what the caller has seen is not undone by an error that says
nobody answered.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from fsm_fallback.core.table import STAY, Row, Table


class ChainState(Enum):
    """Where a call stands."""

    __hash__ = object.__hash__

    SELECTING = "selecting"
    CALLING = "calling"
    STREAMING = "streaming"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    INTERRUPTED = "interrupted"
    ABANDONED = "abandoned"


S: Final = ChainState
FINAL: Final = frozenset({S.SUCCEEDED, S.FAILED, S.REJECTED, S.INTERRUPTED, S.ABANDONED})

# fmt: off
# ruff: noqa: E501  # rows are lines
CHAIN: Final = Table("chain", initial=S.SELECTING, final=FINAL, rows=(
    # A candidate's breaker granted a lease, or did not.
    Row("offer",   S.SELECTING, None,           S.CALLING,     "begin_attempt",           "only a lease lets us call"),
    Row("skip",    S.SELECTING, None,           STAY,          "note_skip",               "not called: the next candidate may be"),
    Row("exhaust", S.SELECTING, "may_wait",     S.WAITING,     "plan_reopening",          "a breaker opens its way in time"),
    Row("exhaust", S.SELECTING, "handed_over",  S.INTERRUPTED, "interrupt",               "nobody goes on with what was begun"),
    Row("exhaust", S.SELECTING, None,           S.FAILED,      "give_up",                 "nobody is left to ask"),
    # The candidate came back.
    Row("answer",  S.CALLING,   None,           S.SUCCEEDED,   "",                        "one answer is enough; the driver holds it"),
    Row("fault",   S.CALLING,   "spoilt",       S.INTERRUPTED, "note_attempt interrupt",  "no other provider would go on with it"),
    Row("fault",   S.CALLING,   "rejected",     S.REJECTED,    "note_attempt reject",     "no other provider would help"),
    Row("fault",   S.CALLING,   "retryable",    S.WAITING,     "note_attempt plan_retry", "the same provider is worth another try"),
    Row("fault",   S.CALLING,   None,           S.SELECTING,   "note_attempt go_on",      "another provider may"),
    # Its stream gives output, and ends, or breaks.
    Row("commit",  S.CALLING,   None,           S.STREAMING,   "hand_over",               "what has been handed over cannot be taken back"),
    Row("finish",  S.STREAMING, None,           S.SUCCEEDED,   "",                        "it ended as it should"),
    Row("cut",     S.STREAMING, "restartable",  S.SELECTING,   "note_attempt go_on",      "the caller takes a fresh stream"),
    Row("cut",     S.STREAMING, None,           S.INTERRUPTED, "note_attempt interrupt",  "nobody can go on where it broke"),
    # The wait is over.
    Row("elapse",  S.WAITING,   None,           S.SELECTING,   "",                        "whom we waited for is asked again"),
    # Time ran out.
    Row("expire",  S.SELECTING, "handed_over",  S.INTERRUPTED, "interrupt",               "no time to go on with what was begun"),
    Row("expire",  S.SELECTING, None,           S.FAILED,      "run_out",                 "no time to ask anyone"),
    Row("expire",  S.WAITING,   "handed_over",  S.INTERRUPTED, "interrupt",               "no time to go on with what was begun"),
    Row("expire",  S.WAITING,   None,           S.FAILED,      "run_out",                 "the wait took all the time there was"),
    Row("expire",  S.CALLING,   "handed_over",  S.INTERRUPTED, "note_attempt interrupt",  "the attempt is cut, and told"),
    Row("expire",  S.CALLING,   None,           S.FAILED,      "note_attempt run_out",    "the attempt is cut, and told"),
    Row("expire",  S.STREAMING, None,           S.INTERRUPTED, "note_attempt interrupt",  "the stream is cut, and told"),
    # The caller left: cancelled, interrupted, or had enough of a stream.
    Row("abandon", S.SELECTING, None,           S.ABANDONED,   "",                        "nobody waits for an answer"),
    Row("abandon", S.CALLING,   None,           S.ABANDONED,   "",                        "nobody waits for an answer"),
    Row("abandon", S.STREAMING, None,           S.ABANDONED,   "",                        "nobody reads on"),
    Row("abandon", S.WAITING,   None,           S.ABANDONED,   "",                        "nobody waits for an answer"),
), illegal=frozenset({
    # Nothing is out to come back, to be handed over, or to be waited for.
    *((S.SELECTING, trigger) for trigger in ("answer", "fault", "commit", "finish", "cut", "elapse")),
    *((S.WAITING, trigger) for trigger in ("answer", "fault", "commit", "finish", "cut")),
    # Whom to ask is not the question.
    *((state, trigger) for state in (S.CALLING, S.STREAMING, S.WAITING) for trigger in ("offer", "skip", "exhaust")),
    # A stream is committed once, and has a whole and a broken end of its own.
    *((S.CALLING, trigger) for trigger in ("finish", "cut", "elapse")),
    *((S.STREAMING, trigger) for trigger in ("answer", "fault", "commit", "elapse")),
    # A final state is final.
    *((state, trigger) for state in FINAL for trigger in (
        "offer", "skip", "exhaust", "answer", "fault", "commit", "finish", "cut", "elapse", "expire", "abandon",
    )),
}), words={
    "may_wait": "all candidates left are refused, the chain waits, and a breaker may admit before the deadline",
    "handed_over": "output of a stream that broke has been handed over",
    "spoilt": "output of a stream that broke has been handed over, and no other provider would help",
    "rejected": "the fault is the request's, or it needs a larger context window and none is left",
    "retryable": "the fault allows another try, one is left, its wait is worth it and fits, and the budget has a place",
    "restartable": "a stream that broke is begun anew elsewhere, and the fault is not the request's",
})
# fmt: on
