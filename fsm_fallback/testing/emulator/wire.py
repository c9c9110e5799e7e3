"""HTTP/1.1 as bytes: the head of a request read, a response written.

Only what an SDK sends to a loopback server: no chunked requests, no upgrades, no trailers. Pure
functions of bytes, so that the server is left with sockets and time.

Source: RFC 9112, https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import attrs

from fsm_fallback.testing.emulator.dialect import phrase

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD_BYTES: Final = 64 * 1024
LAST_CHUNK: Final = b"0\r\n\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_HTTP_1_1: Final = "HTTP/1.1"
_REQUEST_LINE_PARTS: Final = 3
_MAX_LENGTH_DIGITS: Final = 18
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class BadRequestError(Exception):
    """The bytes are no request this server reads; `status` is the answer, the text says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@attrs.frozen(kw_only=True)
class Head:
    """The head of a request.

    `headers` are by lower-case name, a repeated one joined by commas; `path` is without its query;
    `size` counts the bytes of the head itself, `body_size` those announced after it;
    `reads_chunks` says whether the client knows chunked bodies, as HTTP/1.1 has them.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    size: int
    body_size: int
    keep_alive: bool
    reads_chunks: bool


def read_head(received: bytes | bytearray) -> Head | None:
    """Return the head of the request that `received` begins with; None if more has to come.

    Raises:
        BadRequestError: If it is no HTTP/1 request, too large, or has a body without a length.
    """
    end = received.find(_END_OF_HEAD, 0, MAX_HEAD_BYTES)
    if end < 0:
        if len(received) >= MAX_HEAD_BYTES:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise BadRequestError(status, f"the head is larger than {MAX_HEAD_BYTES} bytes")
        return None
    request_line, *lines = bytes(received[:end]).decode("latin-1").split("\r\n")
    parts = request_line.split(" ")
    if len(parts) != _REQUEST_LINE_PARTS or not parts[2].startswith("HTTP/1."):
        raise BadRequestError(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
    method, target, version = parts
    headers = _read_headers(lines)
    return Head(
        method=method,
        path=target.partition("?")[0],
        headers=headers,
        size=end + len(_END_OF_HEAD),
        body_size=_body_size(headers),
        keep_alive=_keeps_alive(version, headers.get("connection", "")),
        reads_chunks=version == _HTTP_1_1,
    )


def write_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keep_alive: bool,
    cut_after: int | None = None,
) -> bytes:
    """Return the bytes of a response.

    Args:
        status: The status code.
        headers: All but the length and the connection.
        body: Its length is announced; 204 and 304 go without.
        keep_alive: Whether the connection stays open afterwards.
        cut_after: How many bytes of the body to return; None for all. Of a response without a
            body, the head is cut instead, so that it never looks complete.
    """
    if status in _BODILESS:
        body, framing = b"", {}
    else:
        framing = {"content-length": str(len(body))}
    head = _write_head(status, headers, framing, keep_alive=keep_alive)
    if cut_after is None:
        return head + _END_OF_HEAD + body
    return head + _END_OF_HEAD + body[:cut_after] if body else head


def write_chunked_head(
    status: int, headers: Mapping[str, str], *, keep_alive: bool, in_chunks: bool
) -> bytes:
    """Return the head of a response whose length is not known.

    Args:
        status: The status code.
        headers: All but the framing and the connection.
        keep_alive: Whether the connection stays open afterwards.
        in_chunks: Whether the body is sent in chunks; if not, it lasts until the connection closes.
    """
    framing = {"transfer-encoding": "chunked"} if in_chunks else {}
    return _write_head(status, headers, framing, keep_alive=keep_alive) + _END_OF_HEAD


def write_chunk(content: bytes) -> bytes:
    """Return a chunk of a body; an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def _write_head(
    status: int, headers: Mapping[str, str], framing: Mapping[str, str], *, keep_alive: bool
) -> bytes:
    lines = [f"HTTP/1.1 {status} {phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in (*headers.items(), *framing.items())]
    lines.append(f"connection: {'keep-alive' if keep_alive else 'close'}")
    return "\r\n".join(lines).encode("latin-1")


def _read_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if not colon or not name or name != name.strip():
            raise BadRequestError(HTTPStatus.BAD_REQUEST, "a header line is malformed")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _body_size(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        reason = "chunked requests are not read; send a content-length"
        raise BadRequestError(HTTPStatus.LENGTH_REQUIRED, reason)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS):
        raise BadRequestError(HTTPStatus.BAD_REQUEST, "the content-length is no number")
    return int(length)


def _keeps_alive(version: str, connection: str) -> bool:
    options = {option.strip().lower() for option in connection.split(",")}
    return version == _HTTP_1_1 and "close" not in options
