"""The steps of a script: what one call of a `ScriptedProvider` comes to, and when."""

from __future__ import annotations

import math

import attrs

from fsm_fallback.testing.durations import check_duration


@attrs.frozen
class Value:
    """A step that returns `value` as it is, even if it is an exception, a class or a step."""

    value: object


@attrs.frozen
class Delay:
    """A step that takes time before another step follows.

    Args:
        seconds: How long, finite and >= 0.
        then: The step that follows: an answer, an exception, another `Delay`, a `Hang`.
    """

    seconds: float = attrs.field(validator=check_duration)
    then: object = None


@attrs.frozen
class Hang:
    """A step that never ends by itself: a time-out or a cancellation has to end it."""


@attrs.frozen(init=False)
class Stream:
    """A step for `stream` and `astream`: items, one after the other.

    Args:
        items: An exception (instance or class) is raised in its place, a `Delay` takes time before
            its `then`, a `Hang` never ends, `Value(...)` gives what it holds; anything else is an
            item as it is.
    """

    items: tuple[object, ...]

    def __init__(self, *items: object) -> None:
        object.__setattr__(self, "items", items)


def unfold(step: object) -> tuple[float, object]:
    """Return how many seconds a step takes (infinite for a hang) and what it then comes to."""
    seconds = 0.0
    while isinstance(step, Delay):
        seconds += step.seconds
        step = step.then
    return (math.inf, None) if isinstance(step, Hang) else (seconds, step)


def is_failing(step: object) -> bool:
    """Whether a step raises."""
    is_type = isinstance(step, type) and issubclass(step, BaseException)
    return is_type or isinstance(step, BaseException)


def deliver(result: object) -> object:
    """Return what a step came to, or raise it."""
    match result:
        case Value(value):
            return value
        case BaseException():
            raise result.with_traceback(None)  # a repeated step collects no old frames
        case type() if issubclass(result, BaseException):
            raise result
        case _:
            return result
