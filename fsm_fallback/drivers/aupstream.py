"""A provider's stream while it is awaited: of its own kind, or a plain one read in threads."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

import anyio

from fsm_fallback.core.lease import Lease
from fsm_fallback.drivers.judging import Flaw
from fsm_fallback.drivers.link import Link
from fsm_fallback.drivers.upstream import END, Upstream, closing_of, log_failed_closing, wrong_kind
from fsm_fallback.drivers.worker import in_thread

CLOSING_SECONDS: Final = 1.0
"""So long it may take to be closed, in real time; then it is left to itself."""


class AsyncUpstream(Protocol):
    """What the awaited driver of streams reads."""

    async def open(self, asked: Any) -> Flaw | None:
        """Take what the provider gave, awaited or not; what is wrong with it."""
        ...

    async def pull(self) -> Any:
        """The next item, or `END`."""
        ...

    async def close(self) -> None:
        """Close it, the first time; a caller who leaves waits for that, but not for long."""
        ...


class OwnKind:
    """An async iterator, an async iterable, or an async context manager of either."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._items: AsyncIterator[Any] | None = None
        self._close: Callable[[], Any] | None = None

    async def open(self, asked: Any) -> Flaw | None:
        """Take what the provider gave; what is wrong with it, None if it can be read."""
        source = await asked if inspect.isawaitable(asked) else asked
        if hasattr(source, "__aenter__") and not hasattr(source, "__aiter__"):
            manager = source
            source = await manager.__aenter__()
            self._close = lambda: manager.__aexit__(None, None, None)
        if not hasattr(source, "__aiter__") and not hasattr(source, "__anext__"):
            return wrong_kind(self.name, source, "an async iterator")
        self._items = source if hasattr(source, "__anext__") else aiter(source)
        if self._close is None:
            self._close = (
                closing_of(source, "aclose")
                or closing_of(source, "close")
                or closing_of(self._items, "aclose")
            )
        return None

    async def pull(self) -> Any:
        """The next item, or `END`."""
        if self._items is None:
            return END
        try:
            return await self._items.__anext__()
        except StopAsyncIteration:
            return END

    async def close(self) -> None:
        """Close it, the first time."""
        close, self._close, self._items = self._close, None, None
        if close is not None:
            await _closed(self.name, close)


class InThreads:
    """A plain stream, each step of it in a worker thread.

    A step that is left behind runs on; when it comes back, the stream is closed where it is. A
    plain function may as well give what is read in the event loop: the SDKs' asynchronous helpers
    return a context manager, and are not awaited.
    """

    def __init__(self, link: Link, lease: Lease) -> None:
        self._link = link
        self._lease = lease
        self._upstream = Upstream(link.name)
        self._own_kind: OwnKind | None = None
        self._is_away = False

    async def open(self, asked: Any) -> Flaw | None:
        """Make the call that was bound, and take what it gives."""

        def opened() -> tuple[Any, Flaw | None]:
            source = asked()
            if _is_awaited(source):
                return source, None
            return None, self._upstream.open(source)

        source, flaw = await self._step(opened)
        if source is not None:
            self._own_kind = OwnKind(self._link.name)
            return await self._own_kind.open(source)
        outcome: Flaw | None = flaw
        return outcome

    async def pull(self) -> Any:
        """The next item, or `END`."""
        if self._own_kind is not None:
            return await self._own_kind.pull()
        return await self._step(self._upstream.pull)

    async def close(self) -> None:
        """Close it, the first time, unless a step is away with it."""
        if self._own_kind is not None:
            await self._own_kind.close()
        elif not self._is_away:
            await _closed(self._link.name, lambda: in_thread(self._upstream.close, (), {}))

    async def _step(self, step: Callable[[], Any]) -> Any:
        def taken() -> Any:
            try:
                return step()
            except Exception:
                raise
            except BaseException:  # exit in a thread: no late result is told of it
                self._upstream.close()
                raise

        self._is_away = True
        try:
            came = await in_thread(taken, (), {}, self._came_late)
        except Exception:
            self._is_away = False
            raise
        self._is_away = False
        return came

    def _came_late(self, value: Any, error: Exception | None) -> None:
        del value
        self._upstream.close()
        self._link.came_late(self._lease, error)


def _is_awaited(source: object) -> bool:
    """Whether only an event loop can read it, or get at it."""
    if inspect.isawaitable(source):
        return True
    kinds = (("__aiter__", "__anext__", "__aenter__"), ("__iter__", "__next__", "__enter__"))
    awaited, plain = (any(hasattr(source, name) for name in names) for names in kinds)
    return awaited and not plain


async def _closed(name: str, close: Callable[[], Any]) -> None:
    """Close a stream whatever is cancelled, for so long as that may take."""
    with anyio.move_on_after(CLOSING_SECONDS, shield=True):
        try:
            came = close()
            if inspect.isawaitable(came):
                await came
        except Exception as raised:  # noqa: BLE001  # foreign code, and no call's business
            log_failed_closing(name, raised)
