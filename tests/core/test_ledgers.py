"""Ledgers against a naive recount: a list of everything that happened, counted each time.

The ledgers keep bits and buckets; the recounts here keep the whole history and share nothing with
them but the definition of what is in the window.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import CountWindow, TimeWindow
from fsm_fallback.core.windows import Pending, Tally

OUTCOMES = st.tuples(st.booleans(), st.booleans())  # failed, slow
PENDING = st.one_of(
    st.integers(0, 15).map(lambda stalled: Pending(stalled=stalled)),
    st.builds(
        Pending,
        outcomes=st.just(1),
        failed=st.integers(0, 1),
        slow=st.integers(0, 1),
        stalled=st.integers(0, 15),
    ),
)
WIDTHS = st.sampled_from([0.25, 0.5, 1.0, 2.0, 8.0])  # their multiples are exact


def with_pending(outcomes, pending):
    """Everything that is out comes back: what hangs first, then the one that settles now."""
    stalled = [(False, True)] * pending.stalled
    last = [(bool(pending.failed), bool(pending.slow))] * pending.outcomes
    return [*outcomes, *stalled, *last]


def counted(outcomes):
    """A naive tally."""
    return Tally(
        len(outcomes),
        sum(failed for failed, _ in outcomes),
        sum(slow for _, slow in outcomes),
    )


@given(
    size=st.integers(1, 12),
    outcomes=st.lists(st.tuples(OUTCOMES, st.booleans()), max_size=60),
    pending=PENDING,
)
def test_a_count_ledger_holds_the_tail_of_the_history(size, outcomes, pending):
    """Whatever happens, whether a success was told or only took its place, and whatever is out."""
    ledger = CountWindow(size).ledger()
    history = []
    for place, (outcome, told) in enumerate(outcomes):
        if told or outcome != (False, False):
            ledger.book(place, 0.0, failed=outcome[0], slow=outcome[1])
        history.append(outcome)
        assert ledger.tally(place + 1, 0.0) == counted(history[-size:])
        expected = counted(with_pending(history, pending)[-size:])
        assert ledger.tally(place + 1, 0.0, pending) == expected


def in_window(history, width, seconds, now):
    """The outcomes whose bucket counts: it began less than `seconds` ago."""
    return [
        outcome
        for settled_at, outcome in history
        if now - math.floor(settled_at / width) * width < seconds
    ]


@given(
    width=WIDTHS,
    buckets=st.integers(1, 6),
    began_at=st.sampled_from([0.0, -7.75, 1_000.125]),
    outcomes=st.lists(
        st.tuples(st.integers(0, 40).map(lambda eighths: eighths / 8), OUTCOMES), max_size=40
    ),
    pending=PENDING,
    looked_after=st.integers(0, 160).map(lambda eighths: eighths / 8),
)
def test_a_time_ledger_holds_what_settled_in_buckets_that_count(
    width, buckets, began_at, outcomes, pending, looked_after
):
    """At every step, seen at once and seen later, with whatever is pending."""
    seconds = width * buckets
    ledger = TimeWindow(seconds, buckets).ledger()
    history, now = [], began_at
    for place, (passed, (failed, slow)) in enumerate(outcomes):
        now += passed * width
        if failed or slow or now >= ledger.booked_until:
            ledger.book(place, now, failed=failed, slow=slow)
        history.append((now, (failed, slow)))
        for seen_at in (now, now + looked_after * width):
            there = in_window(history, width, seconds, seen_at)
            assert ledger.tally(place + 1, seen_at) == counted(there)
            expected = counted(with_pending(there, pending))
            assert ledger.tally(place + 1, seen_at, pending) == expected


@given(
    seconds=st.floats(0.01, 1e4),
    buckets=st.integers(1, 100),
    steps=st.lists(st.floats(0.0, 1e4), min_size=1, max_size=40),
)
def test_a_time_ledger_of_any_width_loses_nothing_early_and_keeps_nothing_long(
    seconds, buckets, steps
):
    """A failure counts for at least the window less a bucket, and at most the window."""
    ledger = TimeWindow(seconds, buckets).ledger()
    width, slack = seconds / buckets, 1e-6
    settled, now = [], 0.0
    for place, step in enumerate(steps):
        now += step
        ledger.book(place, now, failed=True, slow=False)
        settled.append(now)
        found = ledger.tally(place + 1, now).failures
        assert found >= sum(now - at < seconds - width - slack for at in settled)
        assert found <= sum(now - at < seconds + slack for at in settled)


@pytest.mark.parametrize("window", [CountWindow(4), TimeWindow(8.0, 4)])
@given(outcomes=st.lists(OUTCOMES, max_size=8), pending=st.lists(PENDING, max_size=4))
def test_looking_changes_nothing(window, outcomes, pending):
    """A ledger that was asked in between tells the same as one that was not."""
    asked, unasked = window.ledger(), window.ledger()
    for place, (failed, slow) in enumerate(outcomes):
        for each in (asked, unasked):
            each.book(place, float(place), failed=failed, slow=slow)
        for each in pending:
            asked.tally(place + 1, 1e6, each)
    assert asked.tally(len(outcomes), 8.0) == unasked.tally(len(outcomes), 8.0)
