"""`core.health`: an average that peaks and decays, and percentiles that are exact."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.core.health import DECAY, FORGOTTEN, WINDOW, Pace, PeakEwma

SECONDS = st.floats(0.0, 1e6)
RANKS = st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0])


def nearest_rank(seconds, rank):
    """The least of them that a share of them does not exceed, found by trying each."""
    least = rank * len(seconds)
    return min(each for each in seconds if sum(other <= each for other in seconds) >= least)


@pytest.fixture
def average():
    """One that has seen nothing."""
    return PeakEwma()


@pytest.fixture
def pace():
    """One that has noted nothing."""
    return Pace()


class TestPeakEwma:
    """What it takes lately."""

    def test_before_the_first_nobody_knows(self, average):
        """Neither what it was nor what it is worth by now."""
        assert (average.value, average.at(5.0)) == (None, None)

    def test_the_first_is_taken_as_it_is(self, average):
        """There is nothing to average it with."""
        average.see(2.0, 100.0)
        assert (average.value, average.at(100.0)) == (2.0, 2.0)

    def test_a_slower_one_counts_at_once(self, average):
        """A peak is no matter of time."""
        average.see(2.0, 100.0)
        average.see(7.0, 100.0)
        assert average.value == 7.0

    @pytest.mark.parametrize("gap", [0.0, 1.0, DECAY, 50.0])
    def test_a_faster_one_takes_the_weight_that_time_has_left_it(self, average, gap):
        """After the time constant all but 1/e."""
        average.see(8.0, 100.0)
        average.see(2.0, 100.0 + gap)
        left = math.exp(-gap / DECAY)
        assert average.value == pytest.approx(8.0 * left + 2.0 * (1 - left))

    def test_unseen_it_decays(self, average):
        """So that one that was slow is asked again some time; more slowly than it is corrected."""
        average.see(8.0, 100.0)
        assert average.at(100.0 + FORGOTTEN) == pytest.approx(8.0 / math.e)
        assert average.at(1e9) == 0.0

    def test_asking_for_it_changes_nothing(self, average):
        """What is seen next is averaged with what it was."""
        average.see(8.0, 100.0)
        average.at(500.0)
        assert (average.value, average.seen_at) == (8.0, 100.0)

    def test_a_clock_that_goes_back_gives_no_weight_and_takes_none(self, average):
        """Nothing grows, and the instant stays the latest there was."""
        average.see(8.0, 100.0)
        average.see(2.0, 40.0)
        assert (average.value, average.seen_at) == (8.0, 100.0)
        assert average.at(40.0) == 8.0

    @given(st.lists(st.tuples(SECONDS, st.floats(0.0, 100.0)), min_size=1))
    def test_it_lies_between_the_least_and_the_most_it_saw(self, seen):
        """It invents no latency; and what it is worth later is no more than it was."""
        average, now = PeakEwma(), 0.0
        for seconds, gap in seen:
            now += gap
            average.see(seconds, now)
            assert average.value >= seconds * (1 - 1e-9)
        told = [seconds for seconds, _ in seen]
        assert min(told) * (1 - 1e-9) <= average.value <= max(told) * (1 + 1e-9)
        assert average.at(now + 1.0) <= average.value


class TestPercentiles:
    """Of the latest thousand answers."""

    def test_without_answers_there_are_none(self, pace):
        """As many as were asked for."""
        assert pace.percentiles(0.5, 0.95, 0.99) == (None, None, None)

    def test_of_one_answer_they_all_are_that(self, pace):
        """It is the slowest and the fastest."""
        pace.answered(0.0, 3.0)
        assert pace.percentiles(0.01, 0.5, 1.0) == (3.0, 3.0, 3.0)

    def test_of_a_hundred_they_are_the_ranks(self, pace):
        """No interpolation: each is a time that was measured."""
        for number in range(100, 0, -1):
            pace.answered(0.0, float(number))
        assert pace.percentiles(0.5, 0.95, 0.99, 1.0) == (50.0, 95.0, 99.0, 100.0)

    @given(st.lists(SECONDS, min_size=1, max_size=300), RANKS)
    def test_they_are_what_a_naive_count_says(self, seconds, rank):
        """The least that such a share did not exceed."""
        pace = Pace()
        for each in seconds:
            pace.answered(0.0, each)
        assert pace.percentiles(rank) == (nearest_rank(seconds, rank),)

    def test_older_answers_are_forgotten(self, pace):
        """All the same, however they were noted."""
        told = [(None, 0, 0.0, 1.0, 0, 0)] * WINDOW
        pace.answered(0.0, 500.0)
        pace.answered_straight(told, [1.0] * WINDOW)
        assert (len(pace.answers), pace.percentiles(1.0)) == (WINDOW, (1.0,))

    def test_failures_are_not_among_them(self, pace):
        """They answer nothing."""
        pace.failed(0.0, 9.0)
        assert pace.percentiles(0.5) == (None,)


class TestPace:
    """What answers and failures make of the average."""

    def test_a_failure_makes_it_twice_as_slow(self, pace):
        """To a caller who wants an answer it is at least that."""
        pace.answered(0.0, 3.0)
        pace.failed(0.0, 0.001)
        assert pace.average().value == 6.0
        pace.failed(0.0, 0.001)
        assert pace.average().value == 12.0

    def test_a_failure_that_took_longer_counts_as_long_as_it_took(self, pace):
        """A time-out is that slow."""
        pace.answered(0.0, 0.5)
        pace.failed(0.0, 30.0)
        assert pace.average().value == 30.0

    def test_failures_alone_make_it_no_slower_than_a_minute(self, pace):
        """So that it comes back."""
        pace.answered(0.0, 0.5)
        for _ in range(20):
            pace.failed(0.0, 0.001)
        assert pace.average().value == 60.0

    def test_one_that_took_more_than_a_minute_is_that_slow_all_the_same(self, pace):
        """The bound is on what is made up, not on what was measured."""
        pace.answered(0.0, 90.0)
        pace.failed(0.0, 100.0)
        pace.failed(0.0, 1.0)
        assert pace.average().value == 100.0

    @pytest.mark.parametrize(("seconds", "counted"), [(0.25, 1.0), (4.0, 4.0)])
    def test_a_first_failure_counts_a_second_at_least(self, pace, seconds, counted):
        """There is nothing to double, and to fail fast is no merit."""
        pace.failed(0.0, seconds)
        assert pace.average().value == counted

    def test_who_is_left_waiting_is_no_faster_than_was_known(self, pace):
        """A caller who left after a moment has not seen an answer."""
        pace.answered(0.0, 8.0)
        pace.waited(0.0, 0.5)
        assert pace.average().value == 8.0
        pace.waited(0.0, 20.0)
        assert pace.average().value == 20.0

    def test_straight_calls_are_averaged_when_somebody_asks(self, pace):
        """Each at its own time, as walked ones would have been."""
        ends = [(1.0, 0.5), (2.0, 3.0), (4.0, 0.25)]
        pace.answered_straight(
            [(None, 0, end - took, end, 0, 0) for end, took in ends], [took for _, took in ends]
        )
        expected = PeakEwma()
        for end, took in ends:
            expected.see(took, end)
        assert pace.average().value == expected.value
        assert pace.average().value == expected.value  # once

    @pytest.mark.parametrize(("many", "average"), [(100, 0.5), (1, 40.0)])
    def test_of_large_batches_only_the_latest_is_averaged(self, pace, many, average):
        """What came before it has lost its weight, or was made in the same moment; a few do not."""
        for end, took in ((1.0, 40.0), (1.0, 0.5)):
            pace.answered_straight([(None, 0, end - took, end, 0, 0)] * many, [took] * many)
        assert pace.average().value == average
        assert list(pace.answers) == [40.0] * many + [0.5] * many

    def test_a_walked_answer_comes_after_the_straight_ones(self, pace):
        """Which are averaged first."""
        pace.answered_straight([(None, 0, 0.0, 8.0, 0, 0)], [8.0])
        pace.answered(8.0 + DECAY, 1.0)
        assert pace.average().value == pytest.approx(1.0 + 7.0 / math.e)
