"""One generation: numbers drawn without a lock, calls that are out, and when calls may go straight.

Threads draw while others look; here a look is made to meet a draw.
"""

import inspect
import math

import pytest

from fsm_fallback import BreakerConfig, CountWindow, TimeWindow
from fsm_fallback.core.generation import Generation, drawn, numbers

SLOW = 5.0
TEN = CountWindow(10)


@pytest.fixture
def make():
    """Make a generation that watches slow calls, over a window of ten."""

    def made(*, slow_after=SLOW, window=TEN, now=0.0):
        generation = Generation(0, now, window.ledger(), numbers(1), slow_after)
        generation.watch(now)
        return generation

    return made


class Crowded(dict):
    """Calls out, of which one begins or ends each time somebody begins to look."""

    def __init__(self, calls, *, times=1):
        super().__init__(calls)
        self.times = times

    def _disturb(self):
        if self.times:
            self.times -= 1
            raise RuntimeError("dictionary changed size during iteration")

    def values(self):
        """Look at the times."""
        self._disturb()
        return super().values()

    def items(self):
        """Look at numbers and times."""
        self._disturb()
        return super().items()


class Vanishing(dict):
    """Calls out, of which the oldest ends between a look at it and the next step."""

    def pop(self, number, *default):
        """Take out what somebody else has just taken out."""
        super().pop(number, None)
        return super().pop(number, *default)


class TestNumbers:
    """Drawn with `next`, counted without drawing."""

    @pytest.mark.parametrize("first", [0, 1])
    def test_they_follow_each_other(self, first):
        """From the first one on."""
        made = numbers(first)
        assert [next(made) for _ in range(3)] == [first, first + 1, first + 2]

    def test_how_many_were_drawn_is_known(self):
        """Asking draws none."""
        made = numbers(1)
        assert [drawn(made), next(made), drawn(made), drawn(made)] == [0, 1, 1, 1]


class TestEnteringAndLeaving:
    """Where time is watched a call goes straight while no guard could hold."""

    def test_a_call_draws_a_number_and_a_place(self, make):
        """And is counted by that."""
        generation = make()
        assert generation.enter(1.0) == 1
        assert generation.leave(1, 2.0) == 0
        assert generation.tally(2.0).calls == 1

    def test_a_call_may_enter_and_leave_at_one_instant(self, make):
        """Clocks tick slower than calls."""
        generation = make()
        assert [generation.enter(1.0), generation.enter(1.0)] == [1, 2]
        assert [generation.leave(1, 1.0), generation.leave(2, 1.0)] == [0, 1]

    def test_how_long_a_call_took_is_counted_from_its_beginning(self, make):
        """Not from the beginning of the clock."""
        generation = make()
        assert generation.leave(generation.enter(3.0), 4.0) == 0

    def test_none_enters_by_a_clock_that_is_behind_the_last_to_leave(self, make):
        """The table clamps it."""
        generation = make()
        generation.leave(generation.enter(1.0), 2.0)
        assert generation.latest == 2.0
        assert generation.enter(1.5) == 0

    def test_none_enters_or_leaves_when_a_call_may_hang(self, make):
        """From the time on at which the oldest one is slow."""
        generation = make()
        assert generation.enter(1.0) == 1
        generation.watch(1.0)
        assert generation.enter(math.nextafter(1.0 + SLOW, 0.0)) == 2
        assert generation.enter(1.0 + SLOW) == 0
        assert generation.leave(2, 1.0 + SLOW) == -1

    def test_the_oldest_call_says_until_when_none_may_hang(self, make):
        """Not the one that looks; without any, one that would begin now."""
        generation = make()
        generation.enter(1.0)
        generation.enter(2.0)
        generation.watch(3.0)
        assert generation.check_at == 1.0 + SLOW
        generation.take_in(1)
        generation.take_in(2)
        generation.watch(3.0)
        assert generation.check_at == 3.0 + SLOW

    def test_none_enters_or_leaves_by_a_clock_that_went_back(self, make):
        """The table clamps it."""
        generation = make()
        assert generation.enter(3.0) == 1
        assert generation.enter(2.0) == 0
        assert generation.leave(1, 2.0) == -1

    def test_none_enters_while_a_call_hangs(self, make):
        """Every caller asks the table then."""
        generation = make()
        generation.let_out(1, 0.0)
        generation.note_stalled(SLOW)
        generation.watch(SLOW)
        assert generation.enter(SLOW) == 0
        generation.take_in(1)
        generation.watch(SLOW)
        assert generation.enter(SLOW) > 0

    def test_none_enters_after_the_end_of_a_bucket(self, make):
        """The ledger has to be told of the next one."""
        generation = make(window=TimeWindow(10.0, 5), slow_after=None)
        assert generation.enter(0.0) == 0
        generation.book(0.0, failed=False, slow=False)
        generation.watch(0.0)
        assert generation.enter(math.nextafter(2.0, 0.0)) == 1
        assert generation.enter(2.0) == 0

    def test_one_that_is_not_out_leaves_through_the_table(self, make):
        """Another thread has noted that it hangs."""
        generation = make()
        number = generation.enter(0.0)
        generation.take_in(number)
        assert generation.leave(number, 1.0) == -1
        assert generation.tally(1.0).calls == 0

    def test_one_that_was_slow_leaves_through_the_table(self, make):
        """Another thread has just moved the time to check."""
        generation = make()
        number = generation.enter(0.0)
        generation.check_at = math.inf
        assert generation.leave(number, SLOW) == -1
        assert generation.tally(SLOW).calls == 0

    def test_what_takes_a_place_after_the_end_is_told_by_its_place(self, make):
        """It is late."""
        generation = make()
        number = generation.enter(0.0)
        generation.end()
        assert generation.leave(number, 1.0) > generation.ended


def test_a_generation_begins_with_nothing():
    """It is told its number, its beginning, its ledger, the numbers to draw, and what is slow."""
    given = ["number", "since", "ledger", "admissions", "slow_after"]
    assert list(inspect.signature(Generation).parameters) == given
    generation = Generation(3, 7.0, TEN.ledger(), numbers(1), None)
    assert (generation.number, generation.since, generation.ended) == (3, 7.0, None)
    assert (generation.allowed_failures, generation.failures_in_a_row) == (0, 0)
    assert (generation.straight_outcomes, generation.tally(7.0)) == (0, (0, 0, 0))


class TestAllowedFailures:
    """How many failures need not be judged."""

    @pytest.mark.parametrize(
        ("ratio", "minimum", "calls", "failures", "allowed"),
        [
            (0.5, 10, 4, 1, 3),
            (0.5, 10, 20, 5, 4),
            (0.5, 10, 10, 2, 2),
            (0.5, 10, 10, 3, 1),
            (0.5, 10, 10, 4, 0),
            (0.35, 10, 10, 1, 2),
            (1.0, 1, 0, 0, 0),
            (0.25, 1, 100, 20, 4),
        ],
    )
    def test_all_but_the_one_that_may_trip(self, make, ratio, minimum, calls, failures, allowed):
        """Counted from what is in the window, were it as full as it must be to trip."""
        config = BreakerConfig(failure_ratio=ratio, minimum_calls=minimum)
        generation = make()
        generation.allow_failures(config, calls, failures)
        assert generation.allowed_failures == allowed

    def test_none_where_a_run_may_trip(self, make):
        """Each failure makes it longer."""
        generation = make()
        generation.allow_failures(BreakerConfig(consecutive_failures=9), 10, 0)
        assert generation.allowed_failures == 0


class TestLookingWhileCallsComeAndGo:
    """A look at the calls that are out begins anew when one of them begins or ends."""

    def test_counting_those_that_hang(self, make):
        """Until a look was undisturbed."""
        generation = make()
        generation._out = Crowded({1: 0.0, 2: 1.0, 3: 4.0}, times=3)
        assert generation.stalled(6.0) == 2

    def test_finding_the_oldest(self, make):
        """As before."""
        generation = make()
        generation._out = Crowded({1: 0.0, 2: 4.0}, times=3)
        generation.note_stalled(SLOW)
        assert generation.stalled(SLOW) == 1
        generation._out.times = 3
        generation.watch(SLOW)
        assert generation.check_at == -math.inf

    def test_one_that_ends_as_it_is_noted_does_not_hang(self, make):
        """It has its outcome, and is judged by that."""
        generation = make()
        generation._out = Vanishing({1: 0.0})
        generation.note_stalled(SLOW)
        assert generation.stalled(SLOW) == 0

    def test_where_slow_calls_are_not_watched_none_is_out(self, make):
        """Nobody hangs, however long."""
        generation = make(slow_after=None)
        generation.let_out(1, 0.0)
        generation.note_stalled(1e9)
        assert generation.stalled(1e9) == 0
        generation.take_in(1)
