"""A scheduler for async interleavings that draws from a seed, and runs them again from its record.

There is no event loop and no time: a task runs until it awaits `pause()`, and which task goes on
from there, or is cancelled there, is drawn. So a race that was found once is found again, by the
seed or by the choices that were made; and whoever likes makes the choices himself, one by one, as
the stateful specs do. The idea is that of trio's and FoundationDB's deterministic schedulers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from fsm_fallback.core.bounds import is_number, shown
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.pausing import Task, needs_a_loop, pauses

MOST_STEPS: Final = 100_000
"""After how many choices a run is taken to go on for ever."""

_CANCEL: Final = "cancel "


class Schedule:
    """Tasks whose interleaving is drawn, and can be run again.

        schedule = Schedule(seed)
        schedule.spawn("a", take(account))
        schedule.spawn("b", take(account))
        schedule.run()

    Args:
        seed: Draws the choices; two runs of one program with one seed are the same.
        choices: The choices to make, as another schedule recorded them; given instead of a seed.
        cancel_ratio: How often a task is cancelled where it could go on, in [0, 1]. It is drawn,
            so it has no meaning where `choices` are given.

    Raises:
        ConfigurationError: Naming every argument that cannot work.

    `choices` is the record: `"a"` where task a went on, `"cancel a"` where it was cancelled.
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        choices: Iterable[str] | None = None,
        cancel_ratio: float = 0.0,
    ) -> None:
        again = None if choices is None or isinstance(choices, str) else tuple(choices)
        problems = list(_problems(seed, choices, again, cancel_ratio))
        if problems:
            raise ConfigurationError(problems)
        self.seed: Final = seed
        self._chance: Final = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
        self._again: Final = again
        self._cancel_ratio: Final = cancel_ratio
        self._tasks: dict[str, Task] = {}
        self._choices: list[str] = []
        self._running: Task | None = None

    # Looking --------------------------------------------------------------------------------

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices so far; `Schedule(choices=...)` makes them again."""
        return tuple(self._choices)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """All tasks by name, in the order they were spawned; not to be changed."""
        return MappingProxyType(self._tasks)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The names of the tasks that may go on, in the order they were spawned."""
        return tuple(name for name, task in self._tasks.items() if not task.has_ended)

    @property
    def running(self) -> str | None:
        """The name of the task that runs at this moment; None between two steps."""
        return None if self._running is None else self._running.name

    # Running --------------------------------------------------------------------------------

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Add a task; it begins when it is first chosen, in a copy of the present context.

        Raises:
            ConfigurationError: If the name is taken or no name, or this is no coroutine.
        """
        problems = list(_task_problems(name, coroutine, self._tasks))
        if problems:
            if isinstance(coroutine, Coroutine):
                coroutine.close()
            raise ConfigurationError(problems)
        self._tasks[name] = Task(name, coroutine)

    def go_on(self, name: str, value: Any = None) -> None:
        """Let a task go on until its next pause or its end; its pause returns `value`.

        Raises:
            ConfigurationError: If no such task waits, it has not begun and cannot take the value,
                or it awaits what needs an event loop.
        """
        task = self._chosen(name)
        if value is not None and not task.has_begun:
            raise ConfigurationError(
                f"schedule: task {name!r} has not begun and takes no {shown(value)}; let it go on "
                "to its first pause before"
            )
        self._choices.append(name)
        self._step(task, task.coroutine.send, value)

    def fail(self, name: str, error: BaseException) -> None:
        """Let the pause of a task raise `error`; recorded as any other going on.

        Raises:
            ConfigurationError: As `go_on`.
        """
        task = self._chosen(name)
        self._choices.append(name)
        self._step(task, task.coroutine.throw, error)

    def cancel(self, name: str) -> None:
        """Cancel a task, as asyncio does: `CancelledError` is raised at its pause.

        Raises:
            ConfigurationError: As `go_on`.
        """
        task = self._chosen(name)
        task.was_cancelled = True
        self._choices.append(_CANCEL + name)
        self._step(task, task.coroutine.throw, asyncio.CancelledError())

    def run(self) -> dict[str, Any]:
        """Choose until every task has ended.

        Returns:
            What the tasks returned, by name; a task that ended cancelled has None.

        Raises:
            BaseException: What a task raised, with a note that says how to find it again; a group
                if several did. The `CancelledError` of a task that was cancelled is no error.
            ConfigurationError: If the choices given do not fit these tasks, a task awaits what
                needs an event loop, or they go on for ever.
        """
        try:
            for number, choice in enumerate(self._drawn()):
                if number >= MOST_STEPS:
                    raise ConfigurationError(
                        f"schedule: {_named(self.waiting)} did not end within {MOST_STEPS} steps; "
                        "do not wait in a loop around pause()"
                    )
                if choice.startswith(_CANCEL):
                    self.cancel(choice.removeprefix(_CANCEL))
                else:
                    self.go_on(choice)
        finally:
            self.close()
        self._raise_errors()
        return {name: task.value for name, task in self._tasks.items()}

    def close(self) -> None:
        """Close every task that has not ended, without a choice. Idempotent."""
        for task in self._tasks.values():
            if not task.has_ended:
                task.has_ended = True
                task.coroutine.close()

    # Mechanism ------------------------------------------------------------------------------

    def _drawn(self) -> Iterator[str]:
        if self._again is not None:
            yield from self._again
            if self.waiting:
                raise ConfigurationError(
                    f"schedule: after all {len(self._again)} choices {_named(self.waiting)} has "
                    "not ended; give the choices of a run of this very program"
                )
            return
        while waiting := self.waiting:
            name = self._chance.choice(waiting)
            is_cancelled = self._cancel_ratio > 0 and self._chance.random() < self._cancel_ratio
            yield _CANCEL + name if is_cancelled else name

    def _chosen(self, name: str) -> Task:
        if self._running is not None:
            raise ConfigurationError(
                f"schedule: task {self._running.name!r} runs, and chooses {shown(name)} in the "
                "midst of its step; await pause() there, and choose outside"
            )
        task = self._tasks.get(name)
        if task is None or task.has_ended:
            what = "is none of its tasks" if task is None else "has ended"
            there = _named(self.waiting) if self.waiting else "nobody"
            raise ConfigurationError(
                f"schedule: task {shown(name)} {what}; choose one that waits, which is {there}"
            )
        return task

    def _step(self, task: Task, act: Callable[..., Any], what: Any) -> None:
        self._running = task
        try:
            awaited = task.step(act, what)
        finally:
            self._running = None
        if task.has_ended:
            if task.error is not None and needs_a_loop(task.error):
                raise ConfigurationError(
                    _refusal(task.name, f"raised {task.error!r}")
                ) from task.error
        elif not pauses(awaited):
            task.has_ended = True
            task.coroutine.close()
            what = "as asyncio.sleep(0) does" if awaited is None else f"a {type(awaited).__name__}"
            raise ConfigurationError(_refusal(task.name, f"yielded {what}"))

    def _raise_errors(self) -> None:
        errors = [
            task.error
            for task in self._tasks.values()
            if task.error is not None
            and not (task.was_cancelled and isinstance(task.error, asyncio.CancelledError))
        ]
        if not errors:
            return
        error = (
            errors[0] if len(errors) == 1 else BaseExceptionGroup("several tasks failed", errors)
        )
        error.add_note(f"find it again with Schedule(choices={self.choices!r})")
        raise error


def _refusal(name: str, what: str) -> str:
    return (
        f"schedule: task {name!r} awaits what needs an event loop ({what}); await pause() where "
        "another task may go on, and use no asyncio, anyio or trio in it"
    )


def _named(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))


def _problems(
    seed: object, choices: object, again: tuple[object, ...] | None, cancel_ratio: object
) -> Iterator[str]:
    if (seed is None) == (choices is None):
        yield "Schedule has a seed and choices, or neither; give one of the two"
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        yield f"Schedule.seed is {shown(seed)}; give a whole number"
    if choices is not None and (again is None or not all(isinstance(c, str) for c in again)):
        yield f"Schedule.choices is {shown(choices)}; give the `choices` of another schedule"
    if not is_number(cancel_ratio) or not 0 <= cancel_ratio <= 1:
        yield f"Schedule.cancel_ratio is {shown(cancel_ratio)}; give a ratio in [0, 1]"


def _task_problems(name: object, task: object, tasks: Mapping[str, Task]) -> Iterator[str]:
    if not isinstance(name, str) or not name or name.startswith(_CANCEL):
        yield f"schedule: name is {shown(name)}; give text that does not begin with 'cancel '"
    elif name in tasks:
        yield f"schedule: there is a task {name!r} already; give this one another name"
    if not isinstance(task, Coroutine):
        yield f"schedule: task {shown(name)} is {shown(task)}; give a coroutine, as `f()` is one"
