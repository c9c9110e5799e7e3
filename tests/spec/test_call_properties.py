"""Overlapping calls: each promise, broken by the smallest act."""

import asyncio

import pytest

from fsm_fallback import AllProvidersFailed, Attempt, BreakerState, Fault, FaultKind
from fsm_fallback.spec.call_properties import CALL_PROPERTIES, CallAct

PROMISES = {each.id: each for each in CALL_PROPERTIES}
ERRORS = (ValueError("one"), KeyError("two"))


def failed(*errors):
    """A chain that failed, by the errors of providers a and b."""
    trail = tuple(
        Attempt(name, number, Fault(FaultKind.UNKNOWN), error, 0.0, 0.0)
        for number, (name, error) in enumerate(zip("ab", errors, strict=False), 1)
    )
    return AllProvidersFailed("failed", errors, trail, None)


def judged(promise, **what):
    """Whether an act keeps a promise; None where that does not apply."""
    act = CallAct(call="call 1", **what)
    each = PROMISES[promise]
    assert act.trigger in (each.triggers or (act.trigger,))
    return each.then(act) if each.when(act) else None


@pytest.mark.parametrize(
    ("promise", "kept", "broken"),
    [
        (
            "open-breaker-not-called",
            {"trigger": "called", "stands": BreakerState.HALF_OPEN},
            {"trigger": "called", "stands": BreakerState.OPEN},
        ),
        (
            "nothing-after-the-end",
            {"trigger": "called", "provider": "b", "called": ("a",), "raised": ERRORS[:1]},
            {"trigger": "called", "provider": "a", "called": ("a",), "raised": ERRORS[:1]},
        ),
        (
            "nothing-after-the-end",
            {"trigger": "called", "provider": "a"},
            {"trigger": "called", "provider": "b", "called": ("a",), "answers": (1,)},
        ),
        (
            "nothing-after-the-end",
            {"trigger": "called", "provider": "a"},
            {"trigger": "called", "provider": "b", "raised": (asyncio.CancelledError(),)},
        ),
        (
            "answer-handed-over",
            {"trigger": "ended", "answers": (ERRORS,), "value": ERRORS},
            {"trigger": "ended", "answers": (ERRORS,), "value": None},
        ),
        (
            "errors-preserved-in-order",
            {"trigger": "ended", "called": ("a", "b"), "raised": ERRORS, "error": failed(*ERRORS)},
            {
                "trigger": "ended",
                "called": ("a", "b"),
                "raised": ERRORS,
                "error": failed(*reversed(ERRORS)),
            },
        ),
        (
            "errors-preserved-in-order",
            {
                "trigger": "ended",
                "called": ("a",),
                "raised": ERRORS[:1],
                "error": failed(ERRORS[0]),
            },
            {
                "trigger": "ended",
                "called": ("a", "b"),
                "raised": ERRORS,
                "error": failed(ERRORS[0]),
            },
        ),
        (
            "failure-is-told",
            {"trigger": "ended", "raised": ERRORS[:1], "error": failed(ERRORS[0])},
            {"trigger": "ended", "raised": ERRORS[:1], "error": ERRORS[0]},
        ),
        (
            "every-lease-comes-back",
            {"trigger": "stepped", "in_flight": {"a": 1}, "out": {"a": 1}},
            {"trigger": "stepped", "in_flight": {"a": 1}, "out": {}},
        ),
        (
            "overlapping-probe-budget",
            {"trigger": "stepped", "probes": {"a": 1}},
            {"trigger": "stepped", "probes": {"a": 2}},
        ),
        (
            "leaving-leaves-no-evidence",
            {"trigger": "stepped", "evidence": {"a": 1}, "evidence_before": {"a": 1}},
            {"trigger": "stepped", "evidence": {"a": 2}, "evidence_before": {"a": 1}},
        ),
    ],
)
def test_a_promise_is_kept_by_one_act_and_broken_by_the_other(promise, kept, broken):
    """And applies to both."""
    assert judged(promise, **kept) is True
    assert judged(promise, **broken) is False


def test_a_cancellation_must_pass_through_untouched():
    """The very object."""
    left = asyncio.CancelledError()
    assert judged("failure-is-told", trigger="ended", raised=(left,), error=left)
    other = asyncio.CancelledError()
    assert not judged("failure-is-told", trigger="ended", raised=(left,), error=other)


def test_an_act_is_told_by_what_happened():
    """Each trigger in its own words."""
    called = CallAct(
        call="call 1",
        trigger="called",
        provider="b",
        stands=BreakerState.OPEN,
        called=("a",),
        raised=ERRORS[:1],
    )
    assert str(called) == (
        "call 1 called a, which raised ValueError('one'); now it calls b, whose breaker is open"
    )
    ended = CallAct(call="call 1", trigger="ended", value=1)
    assert str(ended) == "call 1 called nobody, which raised nothing; it came to 1"
    stepped = CallAct(call="call 1", trigger="stepped", in_flight={"a": 2}, out={"a": 1})
    assert str(stepped).endswith("; a has 1 calls out, its breaker 2 leases and 0 probes")
