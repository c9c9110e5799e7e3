"""The schedule: interleavings drawn from a seed, and found again."""

import asyncio
import contextvars

import anyio
import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.spec import schedule as module
from fsm_fallback.spec.pausing import needs_a_loop, pause
from fsm_fallback.spec.schedule import Schedule


class Account:
    """A check-then-act race: between looking and taking, another may take."""

    def __init__(self):
        self.money = 1

    async def take(self):
        """Take what is there, if it is there."""
        if self.money > 0:
            await pause()
            self.money -= 1


def race(schedule):
    """Two who take at once; what is left."""
    account = Account()
    schedule.spawn("a", account.take())
    schedule.spawn("b", account.take())
    schedule.run()
    return account.money


def test_a_race_is_found_within_a_few_seeds_and_found_again():
    """By its seed, and by the choices that were made, as often as one likes."""
    found = [seed for seed in range(10) if race(Schedule(seed)) < 0]
    assert found
    first = Schedule(found[0])
    assert race(first) == -1
    assert race(Schedule(found[0])) == -1
    for _ in range(3):
        again = Schedule(choices=first.choices)
        assert race(again) == -1
        assert again.choices == first.choices


def test_not_every_seed_finds_it():
    """So that it is the interleaving that is found, not the code."""
    assert {race(Schedule(seed)) for seed in range(10)} == {0, -1}


def test_a_failure_says_how_to_find_it_again():
    """The note is a schedule of the very same choices."""

    async def fail():
        await pause()
        raise ValueError("found")

    schedule = Schedule(1)
    schedule.spawn("a", fail())
    with pytest.raises(ValueError, match="found") as failed:
        schedule.run()
    assert failed.value.__notes__ == ["find it again with Schedule(choices=('a', 'a'))"]


def test_several_failures_are_a_group():
    """Each is told."""

    async def fail():
        raise ValueError("found")

    schedule = Schedule(1)
    schedule.spawn("a", fail())
    schedule.spawn("b", fail())
    with pytest.raises(ExceptionGroup, match="several tasks failed") as failed:
        schedule.run()
    assert len(failed.value.exceptions) == 2


def test_what_tasks_return_is_told_by_name():
    """All of them, in the order they were spawned."""

    async def double(number):
        await pause()
        return 2 * number

    schedule = Schedule(3)
    schedule.spawn("a", double(1))
    schedule.spawn("b", double(2))
    assert schedule.waiting == ("a", "b")
    assert schedule.run() == {"a": 2, "b": 4}
    assert schedule.waiting == ()


def test_each_task_runs_in_a_context_of_its_own():
    """As tasks of event loops do."""
    variable = contextvars.ContextVar("variable", default="outside")

    async def keep(value):
        variable.set(value)
        await pause()
        return variable.get()

    schedule = Schedule(2)
    schedule.spawn("a", keep("of a"))
    schedule.spawn("b", keep("of b"))
    assert schedule.run() == {"a": "of a", "b": "of b"}
    assert variable.get() == "outside"


def test_cancellation_comes_at_a_pause_and_is_no_failure():
    """It is drawn and recorded like any choice, and made again."""

    async def work():
        for _ in range(20):
            await pause()
        return "done"

    schedule = Schedule(4, cancel_ratio=0.5)
    schedule.spawn("a", work())
    assert schedule.run() == {"a": None}
    assert schedule.choices[-1] == "cancel a"
    again = Schedule(choices=schedule.choices)
    again.spawn("a", work())
    assert again.run() == {"a": None}
    assert again.tasks["a"].was_cancelled


def test_a_cancelled_task_may_go_on():
    """What it does then is its own."""

    async def stubborn():
        try:
            await pause()
        except asyncio.CancelledError:
            await pause()
        return "still here"

    schedule = Schedule(choices=["a", "cancel a", "a"])
    schedule.spawn("a", stubborn())
    assert schedule.run() == {"a": "still here"}


def test_a_cancellation_nobody_asked_for_is_a_failure():
    """A task that raises it by itself."""

    async def odd():
        raise asyncio.CancelledError

    schedule = Schedule(1)
    schedule.spawn("a", odd())
    with pytest.raises(asyncio.CancelledError):
        schedule.run()


def test_choices_can_be_made_by_hand():
    """A pause returns what was given, or raises it."""
    heard = []

    async def listen():
        heard.append(await pause())
        try:
            await pause()
        except ValueError as error:
            heard.append(error)

    schedule = Schedule(choices=())
    schedule.spawn("a", listen())
    schedule.go_on("a")
    schedule.go_on("a", "word")
    assert schedule.waiting == ("a",)
    error = ValueError("no")
    schedule.fail("a", error)
    assert heard == ["word", error]
    assert schedule.choices == ("a", "a", "a")


def test_it_is_known_who_runs():
    """Nobody does between two steps."""
    seen = []
    schedule = Schedule(0)

    async def look():
        seen.append(schedule.running)

    schedule.spawn("a", look())
    assert schedule.running is None
    schedule.run()
    assert seen == ["a"]


@pytest.mark.parametrize(
    ("wait", "what"),
    [
        (lambda: asyncio.sleep(0), "as asyncio.sleep"),
        (lambda: asyncio.sleep(1), "no running event loop"),
        (lambda: anyio.sleep(1), "NoEventLoopError"),
    ],
)
def test_what_needs_an_event_loop_is_refused_by_name(wait, what):
    """With what to await instead."""

    async def work():
        await wait()

    schedule = Schedule(1)
    schedule.spawn("a", work())
    with pytest.raises(ConfigurationError) as refused:
        schedule.run()
    assert str(refused.value).startswith("schedule: task 'a' awaits what needs an event loop (")
    assert what in str(refused.value)
    assert "await pause() where another task may go on" in str(refused.value)


def test_a_future_is_refused_by_its_type():
    """Whatever is yielded that is no pause."""

    class Odd:
        def __await__(self):
            yield 7

    async def work():
        await Odd()

    schedule = Schedule(1)
    schedule.spawn("a", work())
    with pytest.raises(ConfigurationError, match=r"event loop \(yielded a int\)"):
        schedule.run()


def test_tasks_that_go_on_for_ever_are_named(monkeypatch):
    """A loop around a pause."""
    monkeypatch.setattr(module, "MOST_STEPS", 50)

    async def spin():
        while True:
            await pause()

    schedule = Schedule(1)
    schedule.spawn("a", spin())
    with pytest.raises(ConfigurationError, match="'a' did not end within 50 steps; do not wait"):
        schedule.run()
    assert schedule.waiting == ()


def test_choices_of_another_program_are_refused():
    """Too few, or of tasks that are not there."""

    async def work():
        await pause()

    schedule = Schedule(choices=["a"])
    schedule.spawn("a", work())
    with pytest.raises(ConfigurationError, match="after all 1 choices 'a' has not ended; give"):
        schedule.run()
    schedule = Schedule(choices=["b"])
    schedule.spawn("a", work())
    with pytest.raises(
        ConfigurationError, match=r"task 'b' is none of its tasks; choose .* is 'a'"
    ):
        schedule.run()
    with pytest.raises(ConfigurationError, match=r"task 'a' has ended; choose .* which is nobody"):
        schedule.go_on("a")


def test_a_task_cannot_choose_in_the_midst_of_its_step():
    """It would run inside itself."""
    schedule = Schedule(1)

    async def choose():
        schedule.go_on("a")

    schedule.spawn("a", choose())
    with pytest.raises(ConfigurationError, match="task 'a' runs, and chooses 'a' in the midst"):
        schedule.run()


def test_a_task_that_has_not_begun_takes_no_value():
    """There is no pause yet that could return it."""

    async def work():
        await pause()

    schedule = Schedule(choices=())
    schedule.spawn("a", work())
    with pytest.raises(ConfigurationError, match="task 'a' has not begun and takes no 'word'"):
        schedule.go_on("a", "word")
    schedule.close()
    schedule.close()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "has a seed and choices, or neither"),
        ({"seed": 1, "choices": ()}, "has a seed and choices, or neither"),
        ({"seed": "one"}, "Schedule.seed is 'one'; give a whole number"),
        ({"seed": True}, "Schedule.seed is True; give a whole number"),
        ({"choices": "a"}, "Schedule.choices is 'a'; give the `choices` of another schedule"),
        ({"choices": [1]}, "Schedule.choices is a list; give the `choices` of another schedule"),
        ({"seed": 1, "cancel_ratio": 2}, r"cancel_ratio is 2; give a ratio in \[0, 1\]"),
    ],
)
def test_arguments_that_cannot_work_are_named(arguments, problem):
    """Each with its remedy."""
    with pytest.raises(ConfigurationError, match=problem):
        Schedule(**arguments)


def test_tasks_that_cannot_work_are_named():
    """Their coroutines are closed, so that nobody warns of them."""

    async def work():
        await pause()

    schedule = Schedule(choices=())
    schedule.spawn("a", work())
    with pytest.raises(ConfigurationError, match="there is a task 'a' already"):
        schedule.spawn("a", work())
    with pytest.raises(ConfigurationError, match="name is 'cancel a'; give text that does not"):
        schedule.spawn("cancel a", work())
    with pytest.raises(ConfigurationError, match="task 'b' is a function; give a coroutine"):
        schedule.spawn("b", work)
    schedule.close()


def test_an_ordinary_error_needs_no_loop():
    """Only those that say so."""
    assert not needs_a_loop(RuntimeError("something else"))
    assert needs_a_loop(RuntimeError("no running event loop"))
