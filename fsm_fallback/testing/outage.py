"""Outages: times during which a provider fails, whatever its script says.

It decides which step is in force where outages overlap: that of the latest which has not ended. It
knows nothing of what a step does, of HTTP or of pytest.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from fsm_fallback.core.bounds import SECONDS, shown
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from fsm_fallback.testing.clock import ManualClock, Timer

S = TypeVar("S")


class Outage:
    """A time during which a provider fails; it has begun when you get it.

    Made by the `outage` of a provider. It ends with `end`, with the `with` block it is used in, or
    on a clock after `end_after`, whichever comes first. Safe in threads.
    """

    def __init__(self, remove: Callable[[Outage], bool], then: Callable[[], object]) -> None:
        self._remove = remove
        self._then = then
        self._is_over = False
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Outage {'over' if self._is_over else 'on'}>"

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._is_over

    def end(self) -> None:
        """End it: the provider does again what it did before. Idempotent."""
        if not self._remove(self):
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._then()

    def end_after(self, duration: float, clock: ManualClock) -> Self:
        """End it when so much time has passed on a clock, if it is not over by then.

        Args:
            duration: Seconds from now on, finite and > 0.
            clock: The clock of the test.

        Returns:
            The outage itself.

        Raises:
            ConfigurationError: If `duration` is no such number; the outage goes on.
        """
        refuse_duration("end_after.duration", duration)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = clock.call_at(clock() + duration, self.end)
        if self._is_over:
            self._timer.cancel()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


class Outages(Generic[S]):
    """The outages of one provider that are on, each with the step it serves. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on: tuple[tuple[Outage, S], ...] = ()  # replaced, never changed: read without a lock

    @property
    def step(self) -> S | None:
        """The step in force: that of the latest outage; None if none is on."""
        on = self._on
        return on[-1][1] if on else None

    def begin(self, step: S, then: Callable[[], object] = lambda: None) -> Outage:
        """Begin an outage that serves `step`; `then` is called once, when it has ended."""
        outage = Outage(self._remove, then)
        with self._lock:
            self._on += ((outage, step),)
        return outage

    def end_all(self) -> None:
        """End every outage that is on."""
        for outage, _ in self._on:
            outage.end()

    def _remove(self, outage: Outage) -> bool:
        with self._lock:
            left = tuple(pair for pair in self._on if pair[0] is not outage)
            was_on = len(left) < len(self._on)
            self._on = left
        return was_on


def refuse_duration(name: str, duration: object) -> None:
    """Refuse what is no time an outage can last.

    Raises:
        ConfigurationError: If it is not finite and > 0.
    """
    if not SECONDS.accepts(duration):
        raise ConfigurationError(f"{name} is {shown(duration)}; give {SECONDS.wanted}")
