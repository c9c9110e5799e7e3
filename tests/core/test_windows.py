"""Windows: which outcomes are evidence, and what a window refuses to be.

Outcomes are letters: "F" failed, "S" was slow, "B" was both, "." was neither.
"""

import math

import pytest

from fsm_fallback import ConfigurationError, CountWindow, TimeWindow
from fsm_fallback.core.windows import Pending, Tally

TICK = 1e-9
NO_COUNTS = [0, -1, 1.0, 2.5, True, "3", None, math.nan, math.inf]
NO_SECONDS = [0, 0.0, -1, True, "60", None, math.nan, math.inf, -math.inf]


def book(ledger, outcomes, now=0.0, first=0):
    """Book a row of outcomes at one time; the places follow each other."""
    for place, outcome in enumerate(outcomes, start=first):
        ledger.book(place, now, failed=outcome in "FB", slow=outcome in "SB")
    return ledger


class TestCountWindow:
    """The last so many outcomes."""

    def test_a_new_window_is_empty(self):
        """Nothing has been called yet."""
        assert CountWindow(3).ledger().tally(0, 0.0) == Tally(0, 0, 0)

    def test_the_default_window_holds_a_hundred(self):
        """The hundred and first outcome pushes the first one out."""
        ledger = book(CountWindow().ledger(), "F" + "." * 100)
        assert ledger.tally(101, 0.0) == Tally(100, 0, 0)

    def test_a_full_window_forgets_the_oldest_outcome(self):
        """The last three of five outcomes count."""
        ledger = book(CountWindow(3).ledger(), "FF.F.")
        assert ledger.tally(5, 0.0) == Tally(3, 1, 0)

    def test_a_success_pushes_a_failure_out(self):
        """A window that held nothing but failures is healed one success at a time."""
        ledger = book(CountWindow(2).ledger(), "FF")
        assert [ledger.tally(places, 0.0).failures for places in (2, 3, 4, 5)] == [2, 1, 0, 0]

    def test_a_window_of_one_knows_the_last_outcome_only(self):
        """The smallest window there is."""
        ledger = CountWindow(1).ledger()
        seen = [book(ledger, each, first=place).tally(place + 1, 0.0) for place, each in
                enumerate("F.SB")]  # fmt: skip
        assert seen == [Tally(1, 1, 0), Tally(1, 0, 0), Tally(1, 0, 1), Tally(1, 1, 1)]

    def test_a_slow_failure_counts_as_both(self):
        """As one call, one failure and one slow call."""
        assert book(CountWindow(5).ledger(), "B.").tally(2, 0.0) == Tally(2, 1, 1)

    def test_a_place_nobody_told_of_was_a_success(self):
        """Most calls write nothing: they only take their place."""
        ledger = CountWindow(5).ledger()
        ledger.book(1, 0.0, failed=True, slow=False)
        assert ledger.tally(4, 0.0) == Tally(4, 1, 0)
        assert ledger.tally(6, 0.0) == Tally(5, 1, 0)
        assert ledger.tally(7, 0.0) == Tally(5, 0, 0)

    def test_a_failure_of_long_ago_costs_nothing(self):
        """However many successes came after it: what has left the window is not shifted on."""
        ledger = book(CountWindow(5).ledger(), "F")
        assert ledger.tally(10**18, 0.0) == Tally(5, 0, 0)

    def test_time_takes_nothing_out_of_it(self):
        """A year later the last outcomes are still the last ones."""
        assert book(CountWindow(5).ledger(), "FF").tally(2, 3e7) == Tally(2, 2, 0)

    def test_asking_what_an_outcome_would_make_books_nothing(self):
        """The breaker decides on the pending outcome before it is evidence."""
        ledger = book(CountWindow(3).ledger(), "F..")
        assert ledger.tally(3, 0.0, Pending(outcomes=1, failed=1)) == Tally(3, 1, 0)
        assert ledger.tally(3, 0.0, Pending(outcomes=1, slow=1)) == Tally(3, 0, 1)
        assert ledger.tally(3, 0.0) == Tally(3, 1, 0)

    def test_calls_that_hang_take_the_places_of_older_outcomes(self):
        """They are the newest slow ones; the pending outcome comes after them."""
        ledger = book(CountWindow(4).ledger(), "FSFS")
        assert ledger.tally(4, 0.0, Pending(stalled=2)) == Tally(4, 1, 3)
        assert ledger.tally(4, 0.0, Pending(1, failed=1, stalled=2)) == Tally(4, 1, 3)

    def test_more_calls_that_hang_than_the_window_holds_fill_it(self):
        """It holds no more than its size, whatever is out."""
        ledger = book(CountWindow(3).ledger(), "FFF")
        assert ledger.tally(3, 0.0, Pending(stalled=50)) == Tally(3, 0, 3)
        assert ledger.tally(3, 0.0, Pending(1, failed=1, stalled=50)) == Tally(3, 1, 2)

    def test_ledgers_of_two_breakers_are_apart(self):
        """A window is a parameter; each `ledger()` is one of its own."""
        window = CountWindow(3)
        book(window.ledger(), "FFF")
        assert window.ledger().tally(0, 0.0) == Tally(0, 0, 0)

    def test_a_large_window_counts_every_failure(self):
        """Fifteen thousand outcomes, every third a failure, ten thousand of them in it."""
        ledger = book(CountWindow(10_000).ledger(), "F.." * 5_000)
        assert ledger.tally(15_000, 0.0) == Tally(10_000, 3_333, 0)

    @pytest.mark.parametrize("size", NO_COUNTS)
    def test_a_size_that_is_no_count_is_refused(self, size):
        """The message names field, value and remedy."""
        with pytest.raises(ConfigurationError) as caught:
            CountWindow(size)
        assert caught.value.problems == (f"CountWindow.size is {size!r}; give a whole number >= 1",)


class TestTimeWindow:
    """The outcomes of the last seconds."""

    def test_a_new_window_is_empty(self):
        """At any time."""
        assert TimeWindow().ledger().tally(0, 1e9) == Tally(0, 0, 0)

    def test_the_default_window_is_a_minute_of_seconds(self):
        """The first second counts while the sixtieth lasts."""
        ledger = book(TimeWindow().ledger(), "F", now=0.5)
        assert ledger.tally(1, math.nextafter(60.0, 0.0)) == Tally(1, 1, 0)
        assert ledger.tally(1, 60.0) == Tally(0, 0, 0)

    @pytest.mark.parametrize(
        ("settled_at", "start"),
        [(7.0, 6.0), (8.0, 8.0), (math.nextafter(8.0, 0.0), 6.0), (-0.5, -2.0), (100.0, 100.0)],
    )
    def test_a_bucket_begins_at_a_multiple_of_its_width(self, settled_at, start):
        """Of the clock's seconds, not of the first outcome's."""
        ledger = book(TimeWindow(seconds=10.0, buckets=5).ledger(), "F", now=settled_at)
        assert ledger.tally(1, start + 10.0 - TICK) == Tally(1, 1, 0)
        assert ledger.tally(1, start + 10.0) == Tally(0, 0, 0)

    @pytest.mark.parametrize("number", range(1, 30))
    def test_a_multiple_that_floats_cannot_tell_begins_its_bucket_too(self, number):
        """1.0 // 0.1 is 9.0, and all the same the tenth of those buckets begins there."""
        ledger = TimeWindow(seconds=1.0, buckets=10).ledger()
        start = number * 0.1
        book(ledger, "F", now=start)
        assert ledger.booked_until > start
        assert ledger.tally(1, start + 1.0 - TICK) == Tally(1, 1, 0)
        assert ledger.tally(1, start + 1.0 + TICK) == Tally(0, 0, 0)

    def test_a_bucket_goes_as_a_whole(self):
        """Outcomes of one bucket count equally long, wherever in it they settled."""
        ledger = TimeWindow(seconds=10.0, buckets=5).ledger()
        book(ledger, "F", now=6.0)
        book(ledger, "FS", now=7.9, first=1)
        book(ledger, "F", now=8.0, first=3)
        assert ledger.tally(4, 15.9) == Tally(4, 3, 1)
        assert ledger.tally(4, 16.0) == Tally(1, 1, 0)
        assert ledger.tally(4, 18.0) == Tally(0, 0, 0)

    def test_a_window_of_one_bucket_starts_over_with_each(self):
        """It tumbles instead of sliding."""
        ledger = TimeWindow(seconds=10.0, buckets=1).ledger()
        book(ledger, "FF", now=9.0)
        assert ledger.tally(2, 9.9) == Tally(2, 2, 0)
        book(ledger, "F", now=10.0, first=2)
        assert ledger.tally(3, 10.0) == Tally(1, 1, 0)

    def test_a_quiet_time_between_leaves_no_bucket(self):
        """Only the outcomes after it count."""
        ledger = book(TimeWindow(seconds=10.0, buckets=5).ledger(), "FFF", now=1.0)
        book(ledger, ".F", now=1_000.0, first=3)
        assert ledger.tally(5, 1_000.0) == Tally(2, 1, 0)

    def test_places_nobody_told_of_count_in_the_bucket_they_were_taken_in(self):
        """Successes that only took a place go with the outcomes they came among."""
        ledger = TimeWindow(seconds=10.0, buckets=5).ledger()
        book(ledger, "F", now=0.0)  # places 1 and 2 are taken in this bucket
        book(ledger, ".", now=2.0, first=3)  # as are 4, 5 and 6 in this one
        assert ledger.tally(7, 9.9) == Tally(7, 1, 0)
        assert ledger.tally(7, 10.0) == Tally(4, 0, 0)
        assert ledger.tally(7, 12.0) == Tally(0, 0, 0)

    def test_a_success_is_booked_by_its_place_until_the_bucket_is_over(self):
        """Before the first outcome, and after the bucket, the ledger has to be told."""
        ledger = TimeWindow(seconds=10.0, buckets=5).ledger()
        assert ledger.booked_until == -math.inf
        book(ledger, ".", now=7.0)
        assert ledger.booked_until == 8.0
        assert CountWindow(3).ledger().booked_until == math.inf

    def test_a_slow_failure_counts_as_both(self):
        """As one call, one failure and one slow call."""
        assert book(TimeWindow().ledger(), "B.").tally(2, 0.0) == Tally(2, 1, 1)

    def test_asking_what_an_outcome_would_make_books_nothing(self):
        """It and the calls that hang count as settled now, in whatever bucket that is."""
        ledger = book(TimeWindow(seconds=10.0, buckets=5).ledger(), "F.", now=1.0)
        pending = Pending(1, failed=1, slow=1, stalled=2)
        assert ledger.tally(2, 9.0, pending) == Tally(5, 2, 3)
        assert ledger.tally(2, 10.0, pending) == Tally(3, 1, 3)
        assert ledger.tally(2, 9.0) == Tally(2, 1, 0)

    def test_buckets_that_do_not_count_are_not_kept(self):
        """However long a breaker lives, it remembers no more than the window and a bucket."""
        ledger = TimeWindow(seconds=10.0, buckets=5).ledger()
        for place in range(1_000):
            book(ledger, "F", now=2.0 * place, first=place)
        assert len(ledger._buckets) == 5

    @pytest.mark.parametrize("seconds", NO_SECONDS)
    def test_seconds_that_are_none_are_refused(self, seconds):
        """The message names field, value and remedy."""
        with pytest.raises(ConfigurationError) as caught:
            TimeWindow(seconds)
        assert caught.value.problems == (
            f"TimeWindow.seconds is {seconds!r}; give finite seconds > 0",
        )

    @pytest.mark.parametrize("buckets", NO_COUNTS)
    def test_a_number_of_buckets_that_is_no_count_is_refused(self, buckets):
        """The message names field, value and remedy."""
        with pytest.raises(ConfigurationError) as caught:
            TimeWindow(60.0, buckets)
        assert caught.value.problems == (
            f"TimeWindow.buckets is {buckets!r}; give a whole number >= 1",
        )

    def test_every_problem_is_named_at_once(self):
        """Both parameters, in one error."""
        with pytest.raises(ConfigurationError) as caught:
            TimeWindow(0.0, 0)
        assert [problem.split()[0] for problem in caught.value.problems] == [
            "TimeWindow.seconds",
            "TimeWindow.buckets",
        ]

    def test_buckets_without_a_width_are_refused(self):
        """More of them than the smallest float can tell apart."""
        with pytest.raises(ConfigurationError, match=r"TimeWindow\.buckets is 10, too many for "):
            TimeWindow(5e-324, 10)


@pytest.mark.parametrize("window", [CountWindow(3), TimeWindow(60.0, 6)])
def test_a_window_cannot_be_changed(window):
    """Parameters are frozen: a breaker that runs keeps its numbers."""
    with pytest.raises(AttributeError):
        window.size = 4
    with pytest.raises(AttributeError):
        window.seconds = 4.0
