"""The manual clock: when timers fire, what the clock reads meanwhile, what it refuses."""

import math
import subprocess
import sys
import threading

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_fallback.testing import ManualClock

SECONDS = st.floats(0, 100)


def test_a_new_clock_reads_zero():
    """It starts at 0.0."""
    assert ManualClock()() == 0.0


def test_advancing_moves_the_clock():
    """Steps add up."""
    clock = ManualClock()
    clock.advance(1.5)
    clock.advance(2)
    assert clock() == 3.5


def test_a_clock_may_jump_back():
    """A negative step moves it back, even below its start."""
    clock = ManualClock()
    clock.advance(-2)
    assert clock() == -2


def test_jumping_back_fires_nothing():
    """A timer that was already due waits for the next move forward."""
    clock, fired = ManualClock(), []
    clock.advance(5)
    clock.call_at(4, lambda: fired.append(clock()))
    clock.advance(-0.5)
    assert fired == []
    clock.advance(0)
    assert fired == [4.5]


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_is_refused(seconds):
    """The message names the value, and the clock stands."""
    clock = ManualClock()
    with pytest.raises(ValueError, match=f"seconds is {seconds!r}"):
        clock.advance(seconds)
    assert clock() == 0.0


def test_a_finite_step_to_infinity_is_refused():
    """Two huge steps that overflow are no time."""
    clock = ManualClock()
    clock.advance(1e308)
    with pytest.raises(ValueError, match="finite time"):
        clock.advance(1e308)
    assert clock() == 1e308


@pytest.mark.parametrize("instant", [math.nan, math.inf])
def test_an_instant_that_is_not_finite_is_refused(instant):
    """Neither a timer nor a move can have it."""
    clock = ManualClock()
    with pytest.raises(ValueError, match="when is"):
        clock.call_at(instant, print)
    with pytest.raises(ValueError, match="instant is"):
        clock.advance_to(instant)
    assert clock.next_timer_at is None


def test_advancing_to_an_instant_hits_it_exactly():
    """No rounding of a difference comes between."""
    clock = ManualClock()
    clock.advance(0.1)
    clock.advance_to(0.3)
    assert clock() == 0.3


def test_advancing_to_the_past_stands_still():
    """It never moves the clock back."""
    clock = ManualClock()
    clock.advance(3)
    clock.advance_to(1)
    assert clock() == 3


def test_a_timer_sees_its_own_due_time():
    """The clock reads the due time while it fires, and the end afterwards."""
    clock, seen = ManualClock(), []
    clock.call_at(2, lambda: seen.append(clock()))
    clock.advance(5)
    assert (seen, clock()) == ([2], 5)


def test_a_timer_fires_once():
    """Further moves find it gone."""
    clock, fired = ManualClock(), []
    clock.call_at(1, lambda: fired.append(1))
    clock.advance(2)
    clock.advance(2)
    assert fired == [1]


def test_a_timer_is_not_fired_before_its_time():
    """One tick before, it waits; at exactly its time, it fires."""
    clock, fired = ManualClock(), []
    clock.call_at(1, lambda: fired.append(clock()))
    clock.advance_to(math.nextafter(1, 0))
    assert fired == []
    clock.advance_to(1)
    assert fired == [1]


@given(st.lists(SECONDS, max_size=20), st.lists(SECONDS, min_size=1, max_size=5))
def test_timers_fire_in_order_at_their_times(dues, steps):
    """Whatever the steps: by due time, then by age, each at its own time, none too early."""
    clock, fired = ManualClock(), []
    for number, due in enumerate(dues):
        clock.call_at(due, lambda due=due, number=number: fired.append((clock(), due, number)))
    for step in steps:
        clock.advance(step)
    expected = sorted((due, number) for number, due in enumerate(dues) if due <= clock())
    assert fired == [(due, due, number) for due, number in expected]


@given(st.lists(SECONDS, min_size=1, max_size=20), st.data())
def test_cancelled_timers_never_fire(dues, data):
    """Any subset can be cancelled, twice too; the others fire."""
    clock, fired = ManualClock(), []
    timers = [
        clock.call_at(due, lambda number=number: fired.append(number))
        for number, due in enumerate(dues)
    ]
    cancelled = data.draw(st.sets(st.integers(0, len(dues) - 1)))
    for number in cancelled:
        timers[number].cancel()
        timers[number].cancel()
    clock.advance(100)
    assert set(fired) == set(range(len(dues))) - cancelled


def test_the_next_timer_is_known():
    """It is the earliest that was not cancelled, None without one."""
    clock = ManualClock()
    assert clock.next_timer_at is None
    clock.call_at(3, print)
    first = clock.call_at(2, print)
    assert clock.next_timer_at == first.when == 2
    first.cancel()
    assert clock.next_timer_at == 3


def test_a_timer_may_add_a_timer():
    """One that comes due within the same move fires within it."""
    clock, fired = ManualClock(), []
    clock.call_at(1, lambda: clock.call_at(2, lambda: fired.append(clock())))
    clock.advance(3)
    assert fired == [2]


def test_a_timer_may_cancel_a_timer():
    """The other does not fire, though both were due."""
    clock, fired = ManualClock(), []
    clock.call_at(1, lambda: second.cancel())  # noqa: PLW0108  # it is made below
    second = clock.call_at(1, lambda: fired.append(1))
    clock.advance(3)
    assert fired == []


def test_a_timer_may_cancel_itself():
    """Its own time has passed, so nothing happens."""
    clock = ManualClock()
    timer = clock.call_at(1, lambda: timer.cancel())  # noqa: PLW0108  # it is being made
    clock.advance(3)
    assert clock.next_timer_at is None


def test_a_timer_may_advance_the_clock():
    """The move that fired it never takes the clock back."""
    clock, fired = ManualClock(), []
    clock.call_at(1, lambda: clock.advance(9))
    clock.call_at(5, lambda: fired.append(clock()))
    clock.advance(2)
    assert (fired, clock()) == ([5], 10)


def test_the_others_fire_when_a_timer_raises():
    """Its error comes out of the move, once the clock has arrived."""
    clock, fired = ManualClock(), []
    boom = RuntimeError("boom")

    def fail():
        raise boom

    clock.call_at(1, fail)
    clock.call_at(2, lambda: fired.append(clock()))
    with pytest.raises(RuntimeError) as caught:
        clock.advance(3)
    assert (caught.value, fired, clock()) == (boom, [2], 3)


def test_several_errors_come_as_a_group():
    """All of them, in the order of firing."""
    clock = ManualClock()
    errors = [RuntimeError("first"), KeyError("second")]

    def fail(error):
        raise error

    for error in errors:
        clock.call_at(1, lambda error=error: fail(error))
    with pytest.raises(ExceptionGroup) as caught:
        clock.advance(1)
    assert list(caught.value.exceptions) == errors


def test_reading_takes_no_lock():
    """Another thread reads the due time while a timer fires."""
    clock, seen = ManualClock(), []

    def read_elsewhere():
        thread = threading.Thread(target=lambda: seen.append((clock(), clock.next_timer_at)))
        thread.start()
        thread.join(5)

    clock.call_at(2, read_elsewhere)
    clock.call_at(3, print)
    clock.advance(2.5)
    assert seen == [(2, 3)]


def test_threads_that_advance_add_up():
    """No step is lost, and every timer fires once."""
    clock, fired = ManualClock(), []
    for due in range(100):
        clock.call_at(due, lambda: fired.append(clock()))
    threads = [
        threading.Thread(target=lambda: [clock.advance(1) for _ in range(25)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (clock(), fired) == (100, list(range(100)))


def test_a_sleep_ends_when_the_clock_arrives(loop):
    """Not before, and at its own time."""

    async def main():
        clock, woken = ManualClock(), []

        async def sleeper():
            await clock.sleep(5)
            woken.append(clock())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleeper)
            await anyio.wait_all_tasks_blocked()
            clock.advance(4)
            await anyio.wait_all_tasks_blocked()
            assert woken == []
            clock.advance(1)
        assert woken == [5]

    loop.run(main)


def test_a_sleep_ends_when_another_thread_advances(loop):
    """The event loop of the sleeper is woken from outside."""

    async def main():
        clock = ManualClock()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(clock.sleep, 1)
                await anyio.wait_all_tasks_blocked()
                thread = threading.Thread(target=clock.advance, args=(1,))
                thread.start()
        thread.join()

    loop.run(main)


def test_a_cancelled_sleep_leaves_no_timer(loop):
    """The clock forgets it."""

    async def main():
        clock = ManualClock()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep, 1)
            await anyio.wait_all_tasks_blocked()
            assert clock.next_timer_at == 1
            tasks.cancel_scope.cancel()
        assert clock.next_timer_at is None

    loop.run(main)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_sleep_of_no_time_only_yields(loop, seconds):
    """It adds no timer and gives the other tasks their turn."""

    async def main():
        clock, order = ManualClock(), []

        async def other():
            order.append("other")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            await clock.sleep(seconds)
            await clock.sleep(seconds)  # in trio those whose turn it is go in any order
            order.append("sleeper")
        assert order == ["other", "sleeper"]
        assert clock.next_timer_at is None

    loop.run(main)


def test_a_sleep_without_end_is_refused(loop):
    """Infinity is no duration."""

    async def main():
        with pytest.raises(ValueError, match="seconds is inf"):
            await ManualClock().sleep(math.inf)

    loop.run(main)


def test_the_clock_imports_no_event_loop():
    """Neither asyncio nor anyio, so that synchronous tests do not pay for them."""
    code = (
        "import sys; before = set(sys.modules); import fsm_fallback.testing.clock; "
        "print([m for m in ('asyncio', 'anyio') if m in set(sys.modules) - before])"
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_passing_time_moves_the_clock(loop):
    """By exactly the time that the work takes; nothing is left on the clock."""

    async def main():
        clock = ManualClock()
        await clock.pass_time(2)
        await clock.pass_time(0)
        assert (clock(), clock.next_timer_at) == (2, None)

    loop.run(main)


@settings(deadline=None)  # each example starts an event loop
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_work_done_at_the_same_time_overlaps(loop, durations):
    """Each task ends at its own time, in whatever order they began."""

    async def main():
        clock, ends = ManualClock(), []

        async def work(seconds):
            await clock.pass_time(seconds)
            ends.append((seconds, clock()))

        async with anyio.create_task_group() as tasks:
            for seconds in durations:
                tasks.start_soon(work, seconds)
        assert ends == [(seconds, seconds) for seconds in sorted(durations)]

    loop.run(main)


def test_timers_cut_concurrent_work_on_time(loop):
    """Each at its own instant, though the others pass time beside it."""

    async def main():
        clock, cut = ManualClock(), []

        async def work(seconds, limit):
            with anyio.CancelScope() as scope:
                clock.call_at(limit, scope.cancel)
                await clock.pass_time(seconds)
            cut.append((limit, clock(), scope.cancelled_caught))

        async with anyio.create_task_group() as tasks:
            for seconds, limit in ((9, 3), (math.inf, 5), (8, 2), (4, 7)):
                tasks.start_soon(work, seconds, limit)
        assert cut == [(2, 2, True), (3, 3, True), (7, 4, False), (5, 5, True)]

    loop.run(main)


@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_work_of_no_duration_is_refused(loop, seconds):
    """Time does not pass backwards."""

    async def main():
        with pytest.raises(ValueError, match="seconds is"):
            await ManualClock().pass_time(seconds)

    loop.run(main)
