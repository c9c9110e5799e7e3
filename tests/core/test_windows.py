"""The count window: which outcomes are evidence, and what it refuses to be."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import ConfigurationError, CountWindow


def book(evidence, outcomes):
    """Book a row of outcomes, "F" for a failure and anything else for a success."""
    for outcome in outcomes:
        if outcome == "F":
            evidence.book_failure()
        else:
            evidence.book_success()
    return evidence


def test_a_new_window_is_empty():
    """Nothing has been called yet."""
    evidence = CountWindow(3).evidence()
    assert (evidence.calls, evidence.failures) == (0, 0)


def test_the_default_window_holds_a_hundred():
    """The hundred and first outcome pushes the first one out."""
    evidence = book(CountWindow().evidence(), "F" + "." * 100)
    assert (evidence.calls, evidence.failures) == (100, 0)


def test_a_full_window_forgets_the_oldest_outcome():
    """The last three of five outcomes count."""
    evidence = book(CountWindow(3).evidence(), "FF.F.")
    assert (evidence.calls, evidence.failures) == (3, 1)


def test_a_success_pushes_a_failure_out():
    """A window that held nothing but failures is healed one success at a time."""
    evidence = book(CountWindow(2).evidence(), "FF")
    seen = [evidence.failures]
    for _ in range(3):
        evidence.book_success()
        seen.append(evidence.failures)
    assert seen == [2, 1, 0, 0]


def test_a_window_of_one_knows_the_last_outcome_only():
    """The smallest window there is."""
    evidence = book(CountWindow(1).evidence(), "F.F")
    assert (evidence.calls, evidence.failures) == (1, 1)


def test_asking_what_a_failure_would_make_books_nothing():
    """The breaker decides on the pending outcome before it is evidence."""
    evidence = book(CountWindow(3).evidence(), "F..")
    assert evidence.with_failure() == (3, 1)
    assert (evidence.calls, evidence.failures) == (3, 1)


def test_a_cleared_window_is_as_new():
    """Neither calls nor failures stay behind."""
    evidence = book(CountWindow(3).evidence(), "FFF")
    evidence.clear()
    assert (evidence.calls, evidence.failures) == (0, 0)
    assert evidence.with_failure() == (1, 1)


def test_windows_of_two_breakers_are_apart():
    """A window is a parameter; each `evidence()` is a ledger of its own."""
    window = CountWindow(3)
    book(window.evidence(), "FFF")
    assert window.evidence().calls == 0


def test_a_large_window_counts_every_failure():
    """Ten thousand outcomes, every third a failure."""
    evidence = book(CountWindow(10_000).evidence(), "F.." * 5_000)
    assert (evidence.calls, evidence.failures) == (10_000, 3_333)


@given(size=st.integers(1, 12), outcomes=st.lists(st.booleans(), max_size=60))
def test_counts_equal_those_of_the_last_outcomes(size, outcomes):
    """Whatever happens, the window is the tail of the history."""
    evidence = CountWindow(size).evidence()
    for number, failed in enumerate(outcomes, start=1):
        tail = [*outcomes[: number - 1], True][-size:]
        assert evidence.with_failure() == (len(tail), sum(tail))
        book(evidence, "F" if failed else ".")
        tail = outcomes[:number][-size:]
        assert (evidence.calls, evidence.failures) == (len(tail), sum(tail))


@pytest.mark.parametrize("size", [0, -1, 1.0, 2.5, True, "3", None, math.nan, math.inf])
def test_a_size_that_is_no_count_is_refused(size):
    """The message names field, value and remedy."""
    with pytest.raises(ConfigurationError) as caught:
        CountWindow(size)
    assert caught.value.problems == (f"CountWindow.size is {size!r}; give a whole number >= 1",)


def test_a_window_cannot_be_changed():
    """Parameters are frozen: a breaker that runs keeps its numbers."""
    with pytest.raises(AttributeError):
        CountWindow(3).size = 4
