"""`core.metrics`: what is counted, and what a count says."""

from collections import deque
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import Fault, FaultKind, Price
from fsm_fallback.core.metrics import (
    BUCKETS,
    NO_DURATIONS,
    Durations,
    DurationTallies,
    DurationTally,
    ProviderTally,
    cost_of,
    meaning_of,
    measured,
    took,
)
from fsm_fallback.core.outcome import Outcome
from fsm_fallback.providers.usage import Usage

K = FaultKind
SECONDS = st.sampled_from([*BUCKETS, 0.0, 0.005, 0.3, 100.0]) | st.floats(0.0, 200.0)
PRICE = Price(input_mtok=2, output_mtok=10, cached_mtok=1)


def counted(seconds):
    """Durations, counted one by one."""
    return tuple(sum(each <= bound for each in seconds) for bound in BUCKETS)


def view_of(*batches):
    """What a tally says of batches of durations."""
    tally = DurationTally()
    for each in batches:
        tally.add(measured(each))
    return tally.view()


class TestDurations:
    """How long things took, in buckets."""

    def test_bounds_ascend(self):
        """A bucket holds what those before it hold."""
        assert list(BUCKETS) == sorted(set(BUCKETS))

    @pytest.mark.parametrize("bound", BUCKETS)
    def test_a_bound_is_in_its_bucket(self, bound):
        """That long at most: the very bound counts, the next number does not."""
        place = BUCKETS.index(bound)
        assert view_of([bound]).buckets == (0,) * place + (1,) * (len(BUCKETS) - place)
        assert view_of([bound * (1 + 1e-15)]).buckets[place] == 0

    def test_what_took_longer_than_the_last_bound_is_in_none(self):
        """It is counted, and its seconds are in the sum."""
        view = view_of([100.0])
        assert (view.count, view.total, set(view.buckets)) == (1, 100.0, {0})

    @given(st.lists(st.lists(SECONDS, min_size=1, max_size=20), min_size=1, max_size=6))
    def test_batches_count_as_their_members_one_by_one(self, batches):
        """Whether all fall into one bucket or not."""
        view, seconds = view_of(*batches), [each for batch in batches for each in batch]
        assert (view.count, view.buckets) == (len(seconds), counted(seconds))
        assert view.total == pytest.approx(sum(seconds))

    @given(
        st.lists(SECONDS, min_size=1, max_size=20),
        st.lists(SECONDS, min_size=1, max_size=20),
    )
    def test_they_add_up(self, first, second):
        """Two sums are the sum of both."""
        both, apart = view_of(first, second), view_of(first) + view_of(second)
        assert (apart.count, apart.buckets) == (both.count, both.buckets)
        assert apart.total == pytest.approx(both.total)

    def test_to_add_none_changes_nothing(self):
        """So that a sum may begin with it."""
        view = view_of([0.5, 3.0])
        assert view + NO_DURATIONS == view
        assert Durations(0, 0.0, (0,) * len(BUCKETS)) == NO_DURATIONS

    def test_sorts_are_apart(self):
        """Each has its own, and a view does not move on."""
        tallies = DurationTallies()
        tallies.add("success", measured([1.0]))
        view = tallies.view()
        tallies.add("success", measured([1.0]))
        tallies.add("failure", measured([2.0, 3.0]))
        assert view == {"success": view_of([1.0])}
        assert {sort: each.count for sort, each in tallies.view().items()} == {
            "success": 2,
            "failure": 2,
        }

    def test_a_clock_that_went_back_took_no_time(self):
        """Nobody knows how long it was; it was not less than nothing."""
        told = [(None, 0, 5.0, 5.5, 0, 0), (None, 0, 9.0, 2.0, 0, 0)]
        assert took(told) == [0.5, 0.0]


@pytest.fixture
def tally():
    """One that has counted nothing."""
    return ProviderTally("a")


def fail(tally, fault):
    """Count an attempt that ended so."""
    meant = meaning_of(fault)
    tally.failed(meant.kind, is_setback=meant.is_setback)


DOWN, HELD, REJECTED = Fault(K.TRANSIENT), Fault(K.RATE_LIMIT), Fault(K.CALLER)


class TestSuccessRatio:
    """Answers among the latest hundred attempts that say something."""

    def test_before_the_first_there_is_none(self, tally):
        """0 would say that it always fails, 1 that all is well."""
        assert tally.success_ratio is None

    def test_neutral_faults_are_left_out(self, tally):
        """A request that is at fault, and a caller who left, say nothing of a provider."""
        fail(tally, REJECTED)
        tally.left()
        assert (tally.success_ratio, tally.attempts) == (None, 2)
        tally.answered()
        fail(tally, REJECTED)
        assert tally.success_ratio == 1.0

    @pytest.mark.parametrize("fault", [DOWN, HELD], ids=["failure", "hold"])
    def test_failures_and_holds_count_against_it(self, tally, fault):
        """In both it did not serve."""
        tally.answered(3)
        fail(tally, fault)
        assert tally.success_ratio == 0.75

    def test_it_forgets_what_is_older_than_a_hundred(self, tally):
        """A failure is in it while a hundred attempts, itself among them, are the latest."""
        fail(tally, DOWN)
        tally.answered(99)
        assert tally.success_ratio == 0.99
        tally.answered()
        assert tally.success_ratio == 1.0
        assert tally.never_failed_lately

    @given(st.lists(st.sampled_from(["answer", "answers", "failure", "neutral"]), max_size=260))
    def test_it_is_what_a_naive_count_says(self, facts):
        """Of the latest hundred, kept one by one."""
        tally, latest = ProviderTally("a"), deque(maxlen=100)
        for fact in facts:
            if fact == "failure":
                fail(tally, DOWN)
                latest.append(0)
            elif fact == "neutral":
                fail(tally, REJECTED)
            else:
                many = 30 if fact == "answers" else 1
                tally.answered(many)
                latest.extend([1] * many)
            expected = sum(latest) / len(latest) if latest else None
            assert tally.success_ratio == (None if expected is None else pytest.approx(expected))


class TestTally:
    """What a provider did."""

    def test_failures_in_a_row_end_with_an_answer(self, tally):
        """A neutral fault neither adds one nor ends them."""
        for fault in (DOWN, HELD, REJECTED, DOWN):
            fail(tally, fault)
        tally.left()
        assert tally.run == 3
        tally.answered()
        assert tally.run == 0

    def test_attempts_are_told_apart_by_how_they_ended(self, tally):
        """An answer, a kind of fault, or a caller who left."""
        tally.answered(2)
        for fault in (DOWN, HELD, REJECTED):
            fail(tally, fault)
        tally.left()
        view = tally.view()
        assert (view.attempts, view.successes, view.abandoned) == (6, 2, 1)
        assert view.faults == {"transient": 1, "rate_limit": 1, "caller": 1}

    def test_a_view_stands_still(self, tally):
        """It cannot be written to, and what is counted later is not in it."""
        fail(tally, DOWN)
        tally.durations.add("failure", measured([0.5]))
        view = tally.view()
        fail(tally, DOWN)
        tally.durations.add("failure", measured([0.5]))
        assert (view.faults, view.durations["failure"].count) == ({"transient": 1}, 1)
        with pytest.raises(TypeError):
            view.faults["transient"] = 0

    @pytest.mark.parametrize("kind", K)
    def test_a_setback_is_a_failure_or_a_hold(self, kind):
        """Every kind says which it is."""
        fault = Fault(kind)
        meant = meaning_of(fault)
        assert (meant.kind, meant.outcome) == (kind.value, fault.outcome.value)
        assert meant.is_setback == (fault.outcome in {Outcome.FAILURE, Outcome.HOLD})
        assert not (meant.is_no_use and kind in {K.LOCAL, K.CANCELLED, K.CALLER})


class TestCosts:
    """What tokens cost."""

    def test_a_cost_is_that_of_all_its_tokens(self):
        """What came from a cache at its own rate."""
        usage = Usage(1_000_000, 100_000, cached_tokens=500_000)
        assert cost_of(PRICE, usage) == Decimal("2.5")

    @pytest.mark.parametrize(
        ("price", "usage"),
        [
            (None, Usage(1, 1)),
            (PRICE, None),
            (PRICE, Usage(None, 1)),
            (PRICE, Usage(1, None)),
        ],
        ids=["no price", "no usage", "no input", "no output"],
    )
    def test_it_is_not_known_where_something_is_missing(self, price, usage):
        """Half a cost would be taken for a whole one."""
        assert cost_of(price, usage) is None

    def test_cached_tokens_nobody_told_are_none(self):
        """All are priced as read anew."""
        assert cost_of(PRICE, Usage(1_000_000, 0)) == Decimal(2)

    def test_tokens_are_counted_where_the_cost_is_not_known(self, tally):
        """As far as they were told; and the sum stays what is known of it."""
        tally.used(Usage(None, 7), PRICE)
        assert (tally.view().output_tokens, tally.view().cost) == (7, None)
        tally.used(Usage(1_000_000, 0, cached_tokens=1_000_000), PRICE)
        tally.used(Usage(3, None), PRICE)
        view = tally.view()
        assert (view.input_tokens, view.output_tokens, view.cached_tokens) == (
            1_000_003,
            7,
            1_000_000,
        )
        assert view.cost == Decimal(1)

    def test_a_price_of_0_is_a_cost_of_0(self, tally):
        """Free is known, and not unknown."""
        tally.used(Usage(10, 10), Price(input_mtok=0, output_mtok=0))
        assert tally.view().cost == Decimal(0)
