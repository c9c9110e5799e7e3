"""The circuit breaker's table: every state, every trigger, every cell.

Read it as the specification. Guards and actions are methods of `core.breaker.Breaker`; rows are tried
from top to bottom within a cell, and `T1` is the first row. States follow resilience4j and Polly.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from fsm_fallback.core.table import STAY, Row, Table


class BreakerState(Enum):
    """Where a breaker stands. The values are the words in logs, metrics and stores."""

    __hash__ = object.__hash__

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    OBSERVING = "observing"


S: Final = BreakerState

# fmt: off
# ruff: noqa: E501
BREAKER: Final = Table("breaker", initial=S.CLOSED, rows=(
    # A caller asks to call the provider.
    Row("admit",      S.CLOSED,      "stalled",            S.OPEN,        "arm refuse",              "calls that hang speak before they end"),
    Row("admit",      S.CLOSED,      None,                 STAY,          "grant",                   "a closed breaker lets everyone through"),
    Row("admit",      S.OPEN,        "cooled_down",        S.HALF_OPEN,   "begin_round grant_probe", "the open time is over: this caller is the first probe"),
    Row("admit",      S.OPEN,        None,                 STAY,          "refuse",                  "an open breaker is never called"),
    Row("admit",      S.HALF_OPEN,   "probe_overdue",      S.OPEN,        "rearm refuse",            "a probe that hangs is a probe that failed"),
    Row("admit",      S.HALF_OPEN,   "probe_free",         STAY,          "grant_probe",             "the round still wants probes and has a slot"),
    Row("admit",      S.HALF_OPEN,   None,                 STAY,          "refuse",                  "enough probes are out; wait for their verdict"),
    Row("admit",      S.FORCED_OPEN, None,                 STAY,          "refuse",                  "the operator said no"),
    Row("admit",      S.DISABLED,    None,                 STAY,          "grant",                   "the operator said let all through"),
    Row("admit",      S.OBSERVING,   None,                 STAY,          "grant",                   "shadow roll-out never refuses"),
    # A call came back with an answer.
    Row("succeed",    S.CLOSED,      "tripped_by_success", S.OPEN,        "count arm",               "it was slow, or others are, or a success may trip"),
    Row("succeed",    S.CLOSED,      None,                 STAY,          "count",                   "a success in time speaks for the provider"),
    Row("succeed",    S.HALF_OPEN,   "healed",             S.CLOSED,      "count_probe close",       "the round says the provider is well"),
    Row("succeed",    S.HALF_OPEN,   "relapsed",           S.OPEN,        "count_probe rearm",       "the last of a round that failed too often, or a slow one"),
    Row("succeed",    S.HALF_OPEN,   None,                 STAY,          "count_probe",             "the round is not decided yet"),
    Row("succeed",    S.DISABLED,    None,                 STAY,          "",                        "a disabled breaker counts nothing"),
    Row("succeed",    S.OBSERVING,   None,                 STAY,          "count",                   "counted, but it never trips"),
    # A call came back with a fault that speaks against the provider.
    Row("fail",       S.CLOSED,      "tripped",            S.OPEN,        "count arm",               "too many of the last calls failed"),
    Row("fail",       S.CLOSED,      None,                 STAY,          "count",                   "not enough evidence, or not bad enough"),
    Row("fail",       S.HALF_OPEN,   "healed",             S.CLOSED,      "count_probe close",       "the last of a round that did well enough, one of four, say"),
    Row("fail",       S.HALF_OPEN,   "relapsed",           S.OPEN,        "count_probe rearm",       "the round says the provider is still unwell"),
    Row("fail",       S.HALF_OPEN,   None,                 STAY,          "count_probe",             "the round is not decided yet"),
    Row("fail",       S.DISABLED,    None,                 STAY,          "",                        "a disabled breaker counts nothing"),
    Row("fail",       S.OBSERVING,   None,                 STAY,          "count",                   "counted, but it never trips"),
    # A lease comes back without evidence: cancelled, abandoned, the caller's own fault.
    Row("release",    S.CLOSED,      None,                 STAY,          "",                        "a closed breaker has no slots to free"),
    Row("release",    S.HALF_OPEN,   None,                 STAY,          "free_probe",              "no verdict: the slot goes to the next caller"),
    Row("release",    S.DISABLED,    None,                 STAY,          "",                        "no slots here"),
    Row("release",    S.OBSERVING,   None,                 STAY,          "",                        "no slots here"),
    # The provider named a time before which it wants no calls.
    Row("hold",       S.CLOSED,      None,                 S.OPEN,        "arm_until",               "asked to stay away, so we do"),
    Row("hold",       S.OPEN,        "longer",             STAY,          "extend",                  "a later time replaces an earlier one"),
    Row("hold",       S.OPEN,        None,                 STAY,          "",                        "a hold never shortens"),
    Row("hold",       S.HALF_OPEN,   None,                 S.OPEN,        "arm_until",               "the probe was told to stay away"),
    Row("hold",       S.FORCED_OPEN, None,                 STAY,          "",                        "the operator's word stands"),
    Row("hold",       S.DISABLED,    None,                 STAY,          "",                        "the operator's word stands"),
    Row("hold",       S.OBSERVING,   None,                 STAY,          "",                        "shadow roll-out never opens"),
    # Operators.
    Row("force_open", S.CLOSED,      None,                 S.FORCED_OPEN, "clear",                   "by hand"),
    Row("force_open", S.OPEN,        None,                 S.FORCED_OPEN, "clear",                   "by hand"),
    Row("force_open", S.HALF_OPEN,   None,                 S.FORCED_OPEN, "clear",                   "by hand"),
    Row("force_open", S.FORCED_OPEN, None,                 STAY,          "",                        "already so"),
    Row("force_open", S.DISABLED,    None,                 S.FORCED_OPEN, "clear",                   "by hand"),
    Row("force_open", S.OBSERVING,   None,                 S.FORCED_OPEN, "clear",                   "by hand"),
    Row("disable",    S.CLOSED,      None,                 S.DISABLED,    "clear",                   "by hand"),
    Row("disable",    S.OPEN,        None,                 S.DISABLED,    "clear",                   "by hand"),
    Row("disable",    S.HALF_OPEN,   None,                 S.DISABLED,    "clear",                   "by hand"),
    Row("disable",    S.FORCED_OPEN, None,                 S.DISABLED,    "clear",                   "by hand"),
    Row("disable",    S.DISABLED,    None,                 STAY,          "",                        "already so"),
    Row("disable",    S.OBSERVING,   None,                 S.DISABLED,    "clear",                   "by hand"),
    Row("observe",    S.CLOSED,      None,                 S.OBSERVING,   "clear",                   "by hand"),
    Row("observe",    S.OPEN,        None,                 S.OBSERVING,   "clear",                   "by hand"),
    Row("observe",    S.HALF_OPEN,   None,                 S.OBSERVING,   "clear",                   "by hand"),
    Row("observe",    S.FORCED_OPEN, None,                 S.OBSERVING,   "clear",                   "by hand"),
    Row("observe",    S.DISABLED,    None,                 S.OBSERVING,   "clear",                   "by hand"),
    Row("observe",    S.OBSERVING,   None,                 STAY,          "",                        "already so"),
    Row("reset",      S.CLOSED,      None,                 S.CLOSED,      "clear",                   "forgets the evidence, outdates the leases"),
    Row("reset",      S.OPEN,        None,                 S.CLOSED,      "clear",                   "by hand"),
    Row("reset",      S.HALF_OPEN,   None,                 S.CLOSED,      "clear",                   "by hand"),
    Row("reset",      S.FORCED_OPEN, None,                 S.CLOSED,      "clear",                   "the way back from an operator state"),
    Row("reset",      S.DISABLED,    None,                 S.CLOSED,      "clear",                   "the way back from an operator state"),
    Row("reset",      S.OBSERVING,   None,                 S.CLOSED,      "clear",                   "the way back from an operator state"),
), illegal=frozenset({
    # These states grant no lease and each begins a generation, so no lease of theirs exists to
    # settle: an older one is late and never gets here.
    (S.OPEN, "succeed"), (S.FORCED_OPEN, "succeed"),
    (S.OPEN, "fail"),    (S.FORCED_OPEN, "fail"),
    (S.OPEN, "release"), (S.FORCED_OPEN, "release"),
}), words={
    "stalled":       "calls are out for >= {slow_call_duration:g} s, and with them the slow ratio is >= {slow_call_ratio:g}",
    "cooled_down":   "the open time is over",
    "probe_overdue": "a probe is out for more than {probe_timeout:g} s",
    "probe_free":    "probes out < {probe_concurrency}, and done + out < {probe_calls}",
    "tripped":       "failure ratio >= {failure_ratio:g} over >= {minimum_calls} calls, or slow ratio >= {slow_call_ratio:g} (slow: {slow_call_duration:g}), or failures in a row ({consecutive_failures:g})",
    "tripped_by_success": "as the row of fail, if it took >= {slow_call_duration:g} s, others are out that long, or trip_on_success ({trip_on_success})",
    "healed":        "round decided, failure ratio < {failure_ratio:g}, slow ratio < {slow_call_ratio:g}",
    "relapsed":      "round decided, failure ratio >= {failure_ratio:g} or slow ratio >= {slow_call_ratio:g}",
    "longer":        "the named time is later than the present one",
})
# fmt: on
