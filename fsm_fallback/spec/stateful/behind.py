"""A breaker that is told an earlier time than it has seen: a clock that jumped back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from fsm_fallback.core.breaker import OPERATORS, Breaker

_TIME_COMES_SECOND: Final = frozenset({"succeed", "fail", "release", "hold", "begin_output"})
_TIME_COMES_FIRST: Final = OPERATORS | {"admit", "would_admit"}


class BehindTheClock:
    """A breaker in all but this: within `by` every trigger is told a time that is long past.

    The breaker has seen the present one before, so by its rule that time does not go back it must
    do as if it were told that; and so it is judged.
    """

    def __init__(self, breaker: Breaker) -> None:
        object.__setattr__(self, "_breaker", breaker)
        object.__setattr__(self, "_back", 0.0)

    @property
    def as_breaker(self) -> Breaker:
        """This, typed as what it stands for."""
        return cast("Breaker", self)

    @contextmanager
    def by(self, seconds: float, now: float) -> Iterator[None]:
        """Let the clock be that far behind the present."""
        if seconds:
            self._breaker.pass_time(now)
        object.__setattr__(self, "_back", seconds)
        try:
            yield
        finally:
            object.__setattr__(self, "_back", 0.0)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._breaker, name)
        back: float = self._back
        if back and name in _TIME_COMES_FIRST:
            return lambda now, *more: found(now - back, *more)
        if back and name in _TIME_COMES_SECOND:
            return lambda first, now, *more: found(first, now - back, *more)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._breaker, name, value)
