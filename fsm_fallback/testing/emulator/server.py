"""Sockets: a loop in a thread, ports that open and close, connections that carry out plans.

It decides nothing about answers: `Exchange` is asked for the plan of each request. What it holds is
the promise about sockets: a closed port refuses connections for real and stays ours, a connection
whose client leaves gives up its request, and `stop` leaves no thread and no socket behind.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import attrs

from fsm_fallback.testing.emulator.wire import (
    MAX_HEAD_BYTES,
    BadRequestError,
    Head,
    read_head,
    write_response,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from fsm_fallback.testing.emulator.plan import Plan

_T = TypeVar("_T")

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 128
_TICKS_TO_CLOSE: Final = 4  # of the loop, for transports made a moment ago
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # closing sends RST, see socket(7)


class Exchange(Protocol):
    """What a listener asks about each request; runs in the loop's thread."""

    async def plan(self, head: Head, body: bytes | None) -> Plan:
        """Return the plan of a request; `body` is None if it was larger than allowed."""
        ...

    async def wait_for_release(self) -> None:
        """Return when requests that hang now may go on."""
        ...


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
        self.connections: Final[set[_Connection]] = set()
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
                lambda: _Connection(self), sock=self._socket, backlog=_BACKLOG
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
            connection.abort()
        # Their transports close in the next turns of the loop, for which `LoopThread.stop` waits.


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, port))
        bound.setblocking(False)  # noqa: FBT003  # its only form
    except BaseException:
        bound.close()
        raise
    return bound


@attrs.define
class _Body:
    """The body of a request while it arrives; one that is too large is counted and dropped."""

    head: Head
    is_kept: bool
    missing: int
    received: bytearray = attrs.field(factory=bytearray)

    def take(self, buffer: bytearray) -> None:
        """Move what belongs to the body out of the buffer."""
        part = buffer[: self.missing]
        del buffer[: self.missing]
        self.missing -= len(part)
        if self.is_kept:
            self.received += part

    def content(self) -> bytes | None:
        """Return the body once it is complete; None if it was dropped."""
        return bytes(self.received) if self.is_kept else None


class _Connection(asyncio.Protocol):
    """One client: reads a request, carries out its plan, reads the next."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._body: _Body | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what create_server makes
        self._transport = transport
        self._listener.connections.add(self)
        if not self._listener.is_open:  # closed between the accepting and this call
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._read()
        if len(self._buffer) > self._listener.max_body_bytes + MAX_HEAD_BYTES:
            self.abort()  # sends on and on without waiting for its answer

    def eof_received(self) -> bool:
        return False  # a client that stops sending has left: close, and give up its request

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        self._listener.connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def close_when_idle(self) -> None:
        """Close now if no request is being answered, else after the answer."""
        self._is_last = True
        if self._task is None:
            self._transport.close()

    def abort(self) -> None:
        """Close without sending what is left."""
        self._transport.abort()

    def _read(self) -> None:
        if self._task is not None or self._transport.is_closing():
            return
        try:
            body = self._read_request()
        except BadRequestError as error:
            headers = {"content-type": "text/plain"}
            self._write(error.status, headers, str(error).encode(), keep_alive=False)
            return
        if body is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(body))

    def _read_request(self) -> _Body | None:
        if self._body is None:
            head = read_head(self._buffer)
            if head is None:
                return None
            del self._buffer[: head.size]
            is_kept = head.body_size <= self._listener.max_body_bytes
            self._body = _Body(head, is_kept, head.body_size)
            if head.headers.get("expect", "").lower() == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._body.take(self._buffer)
        if self._body.missing > 0:
            return None
        body, self._body = self._body, None
        return body

    async def _serve(self, body: _Body) -> None:
        exchange = self._listener.exchange
        plan = await exchange.plan(body.head, body.content())
        if plan.delay > 0:
            await asyncio.sleep(plan.delay)
        if plan.hangs:
            await exchange.wait_for_release()
        self._task = None
        if plan.response is None:
            self._reset()
            return
        self._write(
            plan.response.status,
            plan.response.headers,
            plan.response.body,
            keep_alive=body.head.keep_alive and not self._is_last and plan.cut_after is None,
            cut_after=plan.cut_after,
        )
        self._read()

    def _write(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        keep_alive: bool,
        cut_after: int | None = None,
    ) -> None:
        self._transport.write(
            write_response(status, headers, body, keep_alive=keep_alive, cut_after=cut_after)
        )
        if not keep_alive:
            self._transport.close()

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()
