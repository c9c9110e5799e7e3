"""Which step a request gets: the script of one emulated provider, shared between threads.

The step of an outage comes first, then the next step of the script, then the one that is always
served, then the responder. It knows nothing of requests: it is asked once for each.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing.emulator.faults import Reply, Step
from fsm_fallback.testing.outage import Outages

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsm_fallback.testing.emulator.journal import EmulatedRequest

Responder: TypeAlias = "Callable[[EmulatedRequest], str | Step | None]"


class Script:
    """The steps of one emulated provider. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.outages: Final[Outages[Step]] = Outages()
        self._lock = threading.Lock()
        self._coming: deque[Step] = deque()
        self._always: Step | None = None
        self._responder: Responder | None = None

    @property
    def pending(self) -> int:
        """How many steps are still to be served."""
        with self._lock:
            return len(self._coming)

    def add(self, steps: tuple[Step, ...]) -> None:
        """Append steps.

        Raises:
            ConfigurationError: If one of them is none; nothing was appended.
        """
        for number, step in enumerate(steps, start=1):
            check_step(f"step {number} of the script", step)
        with self._lock:
            self._coming.extend(steps)

    def always(self, step: Step) -> None:
        """Serve this step whenever the script is empty."""
        check_step("the step to serve always", step)
        with self._lock:
            self._always = step

    def respond(self, responder: Responder | None) -> None:
        """Ask this function whenever neither of the others says what to serve."""
        if responder is not None and not callable(responder):
            raise ConfigurationError(
                f"the responder is {responder!r}; give a function of the request"
            )
        with self._lock:
            self._responder = responder

    def clear(self) -> None:
        """Forget the steps and end every outage; the responder stays."""
        with self._lock:
            self._coming.clear()
            self._always = None
        self.outages.end_all()

    def take(self) -> Step | Responder:
        """Return what the next request gets: a step, or the function to ask for one."""
        failing = self.outages.step
        if failing is not None:
            return failing
        with self._lock:
            if self._coming:
                return self._coming.popleft()
            if self._always is not None:
                return self._always
            return Reply() if self._responder is None else self._responder


def check_step(what: str, step: object) -> Step:
    """Return the step, or refuse what is none.

    Raises:
        ConfigurationError: If it is none.
    """
    if not isinstance(step, Step):
        raise ConfigurationError(f"{what} is {step!r}; give a step, such as Status(503)")
    return step
