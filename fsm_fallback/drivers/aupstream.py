"""A provider's stream while it is awaited: of its own kind, or a plain one read in threads."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import anyio

from fsm_fallback.core.lease import Lease
from fsm_fallback.drivers.judging import Flaw
from fsm_fallback.drivers.link import Link
from fsm_fallback.drivers.soon import is_being_cancelled
from fsm_fallback.drivers.upstream import (
    CLOSING_SECONDS,
    END,
    Upstream,
    closing_of,
    is_iterated,
    is_manager,
    log_failed_closing,
    wrong_kind,
)
from fsm_fallback.drivers.worker import in_thread


class AsyncUpstream(Protocol):
    """What the awaited driver of streams reads."""

    async def open(self, asked: Any) -> Flaw | None:
        """Take what the provider gave, awaited or not; what is wrong with it."""
        ...

    async def pull(self) -> Any:
        """The next item, or `END`."""
        ...

    async def close(self, within: float = CLOSING_SECONDS) -> bool:
        """Close it, the first time; whether there was anything to close.

        A caller who leaves waits for that, but not for long.
        """
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
        self._close = closing_of(source, "aclose") or closing_of(source, "close")
        if is_manager(source, "__aenter__", "aclose") and self._close is None:
            manager = source
            source = await manager.__aenter__()
            self._close = lambda: manager.__aexit__(None, None, None)
        if not is_iterated(source, "__aiter__", "__anext__"):
            return wrong_kind(self.name, source, "an async iterator")
        self._items = source if hasattr(source, "__anext__") else aiter(source)
        if self._close is None:
            self._close = closing_of(self._items, "aclose")
        return None

    async def pull(self) -> Any:
        """The next item, or `END`."""
        if self._items is None:
            return END
        try:
            return await self._items.__anext__()
        except StopAsyncIteration:
            return END

    async def close(self, within: float = CLOSING_SECONDS) -> bool:
        """Close it, the first time."""
        close, self._close, self._items = self._close, None, None
        if close is None:
            return False
        await _closed(self.name, close, within)
        return True


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

    async def close(self, within: float = CLOSING_SECONDS) -> bool:
        """Close it, the first time, unless a step is away with it."""
        if self._own_kind is not None:
            return await self._own_kind.close(within)
        if self._is_away or not self._upstream.is_open:
            return False
        # In a thread to spare: those of the loop may all be busy with streams that wait.
        await _closed(self._link.name, self._close, within)
        return True

    def _close(self) -> Awaitable[Any]:
        def elsewhere() -> None:  # cancelled again, before it had begun
            threading.Thread(target=self._upstream.close, daemon=True).start()

        return in_thread(self._upstream.close, (), {}, never_began=elsewhere, spare=True)

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
            came = await in_thread(taken, (), {}, self._came_late, self._never_began)
        except Exception:
            self._is_away = False
            raise
        self._is_away = False
        return came

    def _never_began(self) -> None:
        """The step was cut before it had a thread: the stream is where it was."""
        self._is_away = False
        self._link.never_began(self._lease)

    def _came_late(self, value: Any, error: Exception | None) -> None:
        if isinstance(value, tuple) and inspect.iscoroutine(value[0]):
            value[0].close()  # what would give a stream was never awaited
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


async def _closed(name: str, close: Callable[[], Any], within: float) -> None:
    """Close a stream for so long as that may take; scopes that are cancelled do not cut it.

    A clean-up may cancel a task of its own, and be cancelled with that: no business of the call's.
    """
    try:
        timed = anyio.move_on_after(within, shield=True)
    except RuntimeError as raised:  # its event loop is gone, and the collector ends the stream
        log_failed_closing(name, raised)
        return
    with timed as scope:
        try:
            came = close()
            if inspect.isawaitable(came):
                await came
        except Exception as raised:  # noqa: BLE001  # foreign code, and no call's business
            log_failed_closing(name, raised)
        except anyio.get_cancelled_exc_class() as raised:
            if scope.cancel_called or is_being_cancelled():
                raise
            log_failed_closing(name, raised)
