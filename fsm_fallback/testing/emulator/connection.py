"""One connection: reads a request, carries out its plan, reads the next.

It decides nothing about answers: `Exchange` is asked for the plan of each request, and told how it
went. What it holds is the promise about clients: one that leaves gives up its request, which is
noticed at once, and one that does not read is not written to without bound.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol, assert_never

import attrs

from fsm_fallback.testing.emulator.parts import (
    Begin,
    Break,
    Chunk,
    Drop,
    End,
    Hold,
    Part,
    Pause,
    Plan,
    Whole,
)
from fsm_fallback.testing.emulator.wire import (
    LAST_CHUNK,
    MAX_HEAD_BYTES,
    BadRequestError,
    Head,
    read_head,
    write_chunk,
    write_chunked_head,
    write_response,
)

if TYPE_CHECKING:
    from fsm_fallback.testing.emulator.journal import Ended, Report

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # closing sends RST, see socket(7)


class Exchange(Protocol):
    """What is asked about each request; runs in the loop's thread."""

    async def plan(self, head: Head, body: bytes | None) -> tuple[Plan, Report]:
        """Return the plan of a request, and what to tell how it goes.

        `body` is None if it was larger than allowed.
        """
        ...

    @property
    def released(self) -> asyncio.Event:
        """Set when the requests that have arrived by now may go on, wherever they hang."""
        ...


class Port(Protocol):
    """The port that a connection came through."""

    @property
    def exchange(self) -> Exchange:
        """Who knows the plans."""
        ...

    @property
    def max_body_bytes(self) -> int:
        """How large the body of a request may be."""
        ...

    @property
    def connections(self) -> set[Connection]:
        """The connections that are there; each adds and removes itself."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        ...


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


class Connection(asyncio.Protocol):
    """One client of a port; used in the loop's thread."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._body: _Body | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_last = False
        self._lost: Ended = "left"  # how a request ends whose connection is lost
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part; called by asyncio, as the next ones are."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what create_server makes
        self._transport = transport
        self._port.connections.add(self)
        if not self._port.is_open:  # closed between the accepting and this call
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        self._buffer += data
        self._read()
        if len(self._buffer) > self._port.max_body_bytes + MAX_HEAD_BYTES:
            self.abort("cut")  # sends on and on without waiting for its answer

    def eof_received(self) -> bool:
        """Close: a client that stops sending has left; its request is given up."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        """Give up the request that is under way."""
        self._port.connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Wait with the next chunk: the client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self._writable.set()

    def close_when_idle(self) -> None:
        """Close now if no request is being answered, else after the answer."""
        self._is_last = True
        if self._task is None:
            self._transport.close()

    def abort(self, ended: Ended) -> None:
        """Close without sending what is left; a request under way ends like this."""
        self._lost = ended
        self._transport.abort()

    def _read(self) -> None:
        if self._task is not None or self._transport.is_closing():
            return
        try:
            body = self._read_request()
        except BadRequestError as error:
            headers = {"content-type": "text/plain"}
            content = str(error).encode()
            self._transport.write(write_response(error.status, headers, content, keep_alive=False))
            self._transport.close()
            return
        if body is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(body))

    def _read_request(self) -> _Body | None:
        if self._body is None:
            head = read_head(self._buffer)
            if head is None:
                return None
            del self._buffer[: head.size]
            is_kept = head.body_size <= self._port.max_body_bytes
            self._body = _Body(head, is_kept, head.body_size)
            if head.headers.get("expect", "").lower() == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._body.take(self._buffer)
        if self._body.missing > 0:
            return None
        body, self._body = self._body, None
        return body

    async def _serve(self, body: _Body) -> None:
        plan, report = await self._port.exchange.plan(body.head, body.content())
        released = self._port.exchange.released
        pieces = 0
        try:
            for part in plan.parts:
                await self._carry_out(part, body.head, released)
                if isinstance(part, Chunk) and part.is_piece:
                    pieces += 1
                    report(pieces, None)
        except asyncio.CancelledError:
            report(pieces, self._lost)
            raise
        self._task = None
        is_cut = _is_cut(plan)
        has_left = self._transport.is_closing() and not is_cut
        report(pieces, "cut" if is_cut else "left" if has_left else "sent")
        if is_cut or not self._keeps_alive(body.head):
            self._transport.close()
        self._read()

    async def _carry_out(self, part: Part, head: Head, released: asyncio.Event) -> None:
        match part:
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Hold():
                await released.wait()
            case Whole():
                self._write_whole(part, head)
            case Begin():
                self._write_begin(part, head)
            case Chunk(content):
                await asyncio.sleep(0)  # so that a client that left is noticed
                await self._writable.wait()
                self._transport.write(write_chunk(content) if head.reads_chunks else content)
            case End():  # comes with the last event: a client that leaves after it has read all
                self._transport.write(LAST_CHUNK if head.reads_chunks else b"")
            case Break():
                self._transport.close()
            case Drop():
                self._reset()
            case _:
                assert_never(part)

    def _write_whole(self, part: Whole, head: Head) -> None:
        response, cut_after = part.response, part.cut_after
        self._transport.write(
            write_response(
                response.status,
                response.headers,
                response.body,
                keep_alive=self._keeps_alive(head) and cut_after is None,
                cut_after=cut_after,
            )
        )

    def _write_begin(self, part: Begin, head: Head) -> None:
        self._transport.write(
            write_chunked_head(
                part.status,
                part.headers,
                keep_alive=self._keeps_alive(head),
                in_chunks=head.reads_chunks,
            )
        )

    def _keeps_alive(self, head: Head) -> bool:
        return head.keep_alive and not self._is_last

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()


def _is_cut(plan: Plan) -> bool:
    match plan.parts[-1]:
        case Break() | Drop():
            return True
        case Whole(cut_after=cut_after):
            return cut_after is not None
        case _:
            return False
