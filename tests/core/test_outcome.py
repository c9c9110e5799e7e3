"""Faults: what follows from a kind, how long one holds, and what is no fault."""

import math

import pytest

from fsm_fallback import Fault, FaultKind
from fsm_fallback.core.outcome import KINDS, Outcome, Scope

K = FaultKind
HOLDING = [kind for kind in K if KINDS[kind].outcome is Outcome.HOLD]
LONG = [kind for kind in HOLDING if kind is not K.RATE_LIMIT]


def test_every_kind_has_one_row():
    """In the order of the kinds."""
    assert list(KINDS) == list(K)


@pytest.mark.parametrize("kind", K)
def test_what_follows_from_a_fault_is_the_row_of_its_kind(kind):
    """And its scope, unless it has one of its own."""
    fault, row = Fault(kind), KINDS[kind]
    assert (fault.outcome, fault.retry, fault.fail_over) == (row.outcome, row.retry, row.fail_over)
    assert fault.scope is row.scope
    assert Fault(kind, scope=Scope.ACCOUNT).scope is Scope.ACCOUNT


@pytest.mark.parametrize("kind", HOLDING)
def test_without_a_named_time_a_hold_lasts_as_its_kind_says(kind):
    """Seconds for a rate limit, a quarter of an hour for what a person has to mend."""
    assert Fault(kind).hold_duration == KINDS[kind].hold_duration


@pytest.mark.parametrize("kind", HOLDING)
def test_a_named_time_is_cut_to_the_cap_of_its_kind(kind):
    """A provider that names a week is asked again before."""
    assert Fault(kind, retry_after=604_800.0).hold_duration == KINDS[kind].max_hold_duration


def test_a_rate_limit_lasts_as_long_as_was_named():
    """However short."""
    assert Fault(K.RATE_LIMIT, retry_after=0.0).hold_duration == 0.0
    assert Fault(K.RATE_LIMIT, retry_after=7.0).hold_duration == 7.0


@pytest.mark.parametrize("kind", LONG)
def test_a_long_hold_is_not_cut_short_by_a_short_hint(kind):
    """Providers send a few seconds with a daily quota, too."""
    assert Fault(kind, retry_after=3.0).hold_duration == 900.0
    assert Fault(kind, retry_after=1_200.0).hold_duration == 1_200.0


@pytest.mark.parametrize("kind", [kind for kind in K if kind not in HOLDING])
def test_a_kind_that_does_not_hold_has_no_such_time(kind):
    """Whoever asks has forgotten to ask for the outcome."""
    with pytest.raises(ValueError, match=f"a '{kind.value}' fault holds nothing"):
        _ = Fault(kind).hold_duration


@pytest.mark.parametrize("kind", [None, "timeout", Outcome.FAILURE])
def test_a_kind_that_is_none_is_refused(kind):
    """By name and value."""
    with pytest.raises(ValueError, match=r"Fault\.kind is .*; give a FaultKind"):
        Fault(kind)


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, -math.inf])
def test_a_wait_that_is_none_is_refused(seconds):
    """Finite, and never negative."""
    with pytest.raises(ValueError, match=r"Fault\.retry_after is .*; give finite seconds >= 0"):
        Fault(K.RATE_LIMIT, retry_after=seconds)


def test_the_words_of_a_provider_are_not_shown():
    """They may quote the request."""
    assert "MARKER" not in repr(Fault(K.UNKNOWN, message="MARKER"))
