"""One emulated provider as the tests see it: its URL, its script, its port.

A facade without decisions: what a request gets is in `script`, what goes over the wire in `plan`,
the sockets in `server`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fsm_fallback.testing.emulator.faults import Slow, Status
from fsm_fallback.testing.emulator.script import check_step
from fsm_fallback.testing.emulator.server import LOOPBACK, Listener
from fsm_fallback.testing.emulator.stream_faults import Stall
from fsm_fallback.testing.steps import Hang

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from fsm_fallback.testing.emulator.exchange import ProviderExchange, Setting
    from fsm_fallback.testing.emulator.faults import Step
    from fsm_fallback.testing.emulator.journal import DialectName, JournalEntry
    from fsm_fallback.testing.emulator.script import Responder
    from fsm_fallback.testing.emulator.server import LoopThread
    from fsm_fallback.testing.outage import Outage

_DOWN: Final = Status(503)


class EmulatedProvider:
    """A provider on a loopback port of its own; made by `Emulator.provider`.

    Without a script it answers every request. Every method may be called from any thread, while
    requests are under way.
    """

    def __init__(
        self, setting: Setting, exchange: ProviderExchange, listener: Listener, thread: LoopThread
    ) -> None:
        self.name: Final = setting.name
        self.dialect: Final[DialectName] = setting.dialect.name
        self.port: Final = listener.port
        self.base_url: Final = f"http://{LOOPBACK}:{listener.port}{setting.dialect.base_path}"
        self._script = setting.script
        self._journal = setting.journal
        self._exchange = exchange
        self._listener = listener
        self._thread = thread

    def __repr__(self) -> str:
        return f"EmulatedProvider({self.name!r}, dialect={self.dialect!r}, port={self.port})"

    @property
    def requests(self) -> tuple[JournalEntry, ...]:
        """Its entries in the journal, in the order of arrival."""
        return self._journal.of(self.name)

    @property
    def pending(self) -> int:
        """How many steps of the script are still to be served."""
        return self._script.pending

    def script(self, *steps: Step) -> None:
        """Serve these steps to the coming requests, one each, after those scripted before.

        A request that the emulator turns down by itself (an unknown path, a body that is too large)
        takes no step.

        Raises:
            ConfigurationError: If one of them is no step; none was added.
        """
        self._script.add(steps)

    def always(self, step: Step) -> None:
        """Serve this step to every request that finds no script, until `recover`.

        Raises:
            ConfigurationError: If it is no step.
        """
        self._script.always(step)

    def respond(self, responder: Responder | None) -> None:
        """Let a function decide, for every request that finds no script and no `always`.

        Args:
            responder: Takes the `EmulatedRequest`; returns the text of the answer, a step, or None
                for the default answer. It runs in a thread of its own and may block. What it raises
                is served as status 500, and raised when the emulator stops. None takes the
                responder away.

        Raises:
            ConfigurationError: If it is no function.
        """
        self._script.respond(responder)

    def outage(self, step: Step = _DOWN) -> Outage:
        """Begin an outage: until it ends every request gets one step, and all else waits.

        Requests under way are not affected. Outages may overlap: the latest that is on counts. The
        end of one that hangs releases what hangs. For a port that is closed use `refusing`.

        Args:
            step: What to serve; a status 503 by default.

        Returns:
            The outage, for a `with` block or for its `end`.

        Raises:
            ConfigurationError: If it is no step; no outage has begun.
        """
        check_step("outage.step", step)
        outages = self._script.outages
        if not _hangs(step):
            return outages.begin(step)
        return outages.begin(step, then=self._release_if_running)

    def recover(self) -> None:
        """Answer again: forget the script and `always`, open the port, release what hangs.

        Outages end.

        The responder stays.
        """
        self._script.clear()
        self._run(self._listener.open())
        self._run(self._exchange.release())

    def refuse(self) -> None:
        """Close the port: every connection from now on is refused by the operating system.

        Idle connections are closed; a request under way is still answered. Scripted steps wait.
        """
        self._run(self._listener.refuse())

    def accept(self) -> None:
        """Open the same port again."""
        self._run(self._listener.open())

    @contextmanager
    def refusing(self) -> Generator[None]:
        """Refuse connections within a `with` block."""
        self.refuse()
        try:
            yield
        finally:
            self.accept()

    def release(self) -> None:
        """Answer the requests that hang now, or would later: all that have arrived."""
        self._run(self._exchange.release())

    def _release_if_running(self) -> None:
        if self._thread.is_running:  # an outage may end after its emulator
            self.release()

    def _run(self, work: Coroutine[object, object, None]) -> None:
        self._thread.run(work)


def _hangs(step: Step) -> bool:
    while isinstance(step, Slow):
        step = step.then
    return isinstance(step, Hang) or (isinstance(step, Stall) and step.seconds is None)
