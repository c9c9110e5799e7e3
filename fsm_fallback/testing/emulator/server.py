"""A loop in a thread, and ports that open and close.

It decides nothing about answers, and leaves each connection to `connection.py`. What it holds is
the promise about ports: a closed one refuses connections for real and stays ours, and `stop` leaves
no thread and no socket behind.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from fsm_fallback.testing.emulator.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fsm_fallback.testing.emulator.connection import Exchange

_T = TypeVar("_T")

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 128
_TICKS_TO_CLOSE: Final = 4  # of the loop, for transports made a moment ago


class LoopThread:
    """An event loop that runs in a thread of its own between `start` and `stop`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, for what runs in it."""
        return self._loop

    @property
    def is_running(self) -> bool:
        """Whether `stop` has not ended it."""
        return not self._loop.is_closed()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self, work: Coroutine[object, object, _T]) -> _T:
        """Run a coroutine in the loop and return its result; called from other threads.

        Raises:
            RuntimeError: If the loop was stopped; nothing was run.
        """
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("the emulator has stopped; use its providers while it runs")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        """Let the tasks that are left end, end the thread and close the loop."""
        self.run(_settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _settle() -> None:
    """Return when every other task of the loop has ended and closed its transport."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(_TICKS_TO_CLOSE):
        await asyncio.sleep(0)


class Listener:
    """A port on loopback that is open or refuses connections; used in the loop's thread.

    While it refuses, a bound socket that does not listen keeps the port from everyone else.
    """

    def __init__(self, exchange: Exchange, max_body_bytes: int) -> None:
        self.exchange: Final = exchange
        self.max_body_bytes: Final = max_body_bytes
        self.connections: Final[set[Connection]] = set()
        self._server: asyncio.Server | None = None
        self._socket = _bind(0)
        self.port: Final[int] = self._socket.getsockname()[1]

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return self._server is not None

    async def open(self) -> None:
        """Accept connections; does nothing if it does already."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Connection(self), sock=self._socket, backlog=_BACKLOG
            )

    async def refuse(self) -> None:
        """Refuse connections and close the idle ones; requests under way are still answered."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._socket = _bind(self.port)
        for connection in tuple(self.connections):
            connection.close_when_idle()

    async def close(self) -> None:
        """Close the port and every connection, whatever it is doing."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.close()
        for connection in tuple(self.connections):
            connection.abort("stopped")
        # Their transports close in the next turns of the loop, for which `LoopThread.stop` waits.


def _bind(port: int) -> socket.socket:
    # With its protocol named, asyncio sends small writes at once; else each event of a stream may
    # wait 40 ms for the client to acknowledge the one before.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, port))
        bound.setblocking(False)  # noqa: FBT003  # its only form
    except BaseException:
        bound.close()
        raise
    return bound
