"""The budget of retries: a share of the latest calls, a few at once, and threads that ask."""

import asyncio
import gc
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from fsm_fallback import FallbackConfig, FallbackProvider, RetryConfig, provider
from fsm_fallback.drivers.budget import RetryBudget


@pytest.fixture
def budget():
    """Make a budget of a share and a floor."""
    return lambda share, floor: RetryBudget(RetryConfig(budget=share, budget_floor=floor))


def takes(budget, calls):
    """How many of those calls get a place."""
    return sum(budget.take(call) for call in calls)


class TestTheFloor:
    """So many may be out at once, whatever the share says."""

    @pytest.mark.parametrize("floor", [0, 1, 3])
    def test_so_many_get_a_place_and_no_more(self, budget, floor):
        """With no share at all."""
        places = budget(0.0, floor)
        assert [places.take(1) for _ in range(5)] == [True] * floor + [False] * (5 - floor)
        assert places.out == floor

    def test_a_place_that_was_given_back_may_be_taken_again(self, budget):
        """As often as it comes back."""
        places = budget(0.0, 1)
        for call in range(1, 201):
            assert places.take(call)
            assert not places.take(call)
            places.give_back()
        assert places.out == 0

    def test_a_refusal_takes_nothing(self, budget):
        """What is out is what was granted."""
        places = budget(0.0, 1)
        takes(places, [1] * 10)
        places.give_back()
        assert places.out == 0
        assert places.take(2)


class TestTheShare:
    """At most so many of the latest calls may be retries."""

    @pytest.mark.parametrize(
        ("share", "call", "granted"),
        [
            (0.0, 100, 0),
            (0.2, 4, 0),
            (0.2, 5, 1),
            (0.2, 9, 1),
            (0.2, 10, 2),
            (0.2, 100, 20),
            (0.2, 1_000, 20),
            (1.0, 100, 100),
            (1.0, 7, 7),
        ],
    )
    def test_it_is_one_of_the_calls_begun_up_to_a_hundred(self, budget, share, call, granted):
        """Exactly the share is granted, and not one more, whether they are out or back."""
        places = budget(share, 0)
        for _ in range(granted):
            assert places.take(call)
            places.give_back()
        assert not places.take(call)

    def test_what_was_granted_counts_for_a_hundred_calls(self, budget):
        """The hundredth after it may, the one before may not."""
        places = budget(0.01, 0)
        assert places.take(100)
        places.give_back()
        assert not places.take(199)
        assert places.take(200)

    def test_calls_count_by_the_latest_whatever_their_order(self, budget):
        """An early one that asks late is granted as of now, and counts from now."""
        places = budget(0.02, 0)
        assert places.take(200)
        assert places.take(1)
        assert not places.take(299)
        assert takes(places, [300, 300, 300]) == 2

    def test_what_the_floor_granted_counts_as_well(self, budget):
        """It was a retry like any other."""
        places = budget(0.02, 2)
        assert takes(places, [100] * 5) == 2
        places.give_back()
        places.give_back()
        assert takes(places, [100] * 5) == 2

    def test_above_the_floor_the_share_decides(self, budget):
        """As many may be out as it grants."""
        places = budget(0.2, 3)
        assert takes(places, [100] * 50) == 20
        assert places.out == 20


class TestThreads:
    """Eight at once."""

    THREADS = 8

    def together(self, work):
        """What each thread brings."""
        start = Barrier(self.THREADS)

        def begun(number):
            start.wait()
            return work(number)

        with ThreadPoolExecutor(self.THREADS) as pool:
            return [*pool.map(begun, range(self.THREADS))]

    def test_they_never_get_more_than_there_is(self, budget):
        """Nobody gives anything back."""
        places = budget(0.2, 3)
        granted = self.together(lambda _: takes(places, [100] * 200))
        assert sum(granted) == places.out == 20

    def test_never_more_are_out_than_the_floor_where_there_is_no_share(self, budget):
        """Though each gives its place back at once."""
        places, most = budget(0.0, 3), []

        def work(number):
            granted = 0
            for call in range(500):
                if places.take(call):
                    granted += 1
                    most.append(places.out)
                    places.give_back()
            return granted

        granted = self.together(work)
        assert sum(granted) == len(most) > 0
        assert max(most) <= 3
        assert places.out == 0


def test_a_place_may_come_back_while_one_is_taken():
    """The collector ends a stream that was dropped, in the middle of anything in any thread."""

    class Collecting(deque):
        """Stands for a collection after a call."""

        def append(self, item):
            super().append(item)
            places.give_back()

    places = RetryBudget(RetryConfig(budget=0.0, budget_floor=3))
    places._granted = Collecting()
    assert places.take(1)
    assert places.out == 0


def test_a_stream_that_nobody_closes_gives_its_place_back():
    """Its event loop is gone, and with it what closes generators."""
    tries = iter(range(10))

    @provider("a")
    async def ask(_):
        if next(tries) % 2 == 0:
            raise ConnectionResetError
        yield "one"
        yield "two"

    retry = RetryConfig(attempts=2, backoff=0.001, budget=0.0)
    llm = FallbackProvider(ask, config=FallbackConfig(retry=retry))
    for _ in range(3):
        loop = asyncio.new_event_loop()
        stream = llm.astream("why")
        assert loop.run_until_complete(anext(stream)) == "one"
        loop.close()
        del stream
        gc.collect()
        assert llm._made.wiring.budget.out == 0
        assert llm.breaker("a").snapshot().in_flight == 0
