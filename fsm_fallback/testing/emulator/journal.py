"""What reached the emulated providers: one frozen record per request, in the order of arrival.

It decides what of a request is kept: everything but the values of headers that carry secrets. It
knows nothing of sockets, scripts or dialects.
"""

from __future__ import annotations

import itertools
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DialectName: TypeAlias = Literal["openai", "anthropic"]
Ended: TypeAlias = Literal["sent", "cut", "left", "stopped"]
Report: TypeAlias = "Callable[[int, Ended | None], None]"
"""Takes how many pieces of a stream were sent so far, and how the response ended if it is over."""

REDACTED: Final = "[redacted]"
_SECRET_WORDS: Final = ("auth", "cookie", "key", "secret", "token")
_NO_SECRETS: Final = frozenset({"idempotency-key"})
_POLL_INTERVAL: Final = 0.002


@attrs.frozen(kw_only=True)
class EmulatedRequest:
    """One request as an emulated provider saw it.

    Args:
        provider: The name of the emulated provider.
        dialect: The API it speaks.
        at: When it arrived, in seconds of the emulator's clock.
        method: The HTTP method.
        path: The path without its query.
        model: The model asked for; None if the body names none.
        stream: Whether a stream was asked for.
        headers: By lower-case name; `[redacted]` stands for the values of keys and cookies.
        body: The JSON object sent; None if the body was none.
        prompt: The text of the last message; empty if there is none.
    """

    provider: str
    dialect: DialectName
    at: float
    method: str
    path: str
    model: str | None
    stream: bool
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: Mapping[str, Any] | None = attrs.field(repr=False)
    prompt: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class JournalEntry:
    """One request and what was served for it; the other fields are those of `EmulatedRequest`.

    Args:
        outcome: "answer", "rejected" (by the emulator itself: unknown path, bad body), or the name
            of the scripted fault: "status", "rate_limited", "hang" and so on.
        status: The HTTP status served; None if no response was begun.
        pieces: How many pieces of the model's output a stream has sent so far; 0 for any other.
        ended: How the response ended; None while it is under way. "sent": to its end, all that was
            to be served. "cut": the emulator broke the connection off. "left": the client closed
            it before all was sent. "stopped": the emulator was stopped before.
    """

    provider: str
    dialect: DialectName
    at: float
    method: str
    path: str
    model: str | None
    stream: bool
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: Mapping[str, Any] | None = attrs.field(repr=False)
    prompt: str = attrs.field(repr=False)
    outcome: str
    status: int | None
    pieces: int = 0
    ended: Ended | None = None


class Journal:
    """The requests of one emulator. Safe to read while requests arrive.

    A request is entered when it arrives, before anything is sent back; its entry is replaced as the
    response goes on. A refused connection is no request and leaves no entry.
    """

    def __init__(self) -> None:
        self._entries: dict[int, JournalEntry] = {}
        self._keys = itertools.count()
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"Journal({len(self)} entries)"

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """All entries so far, in the order of arrival."""
        with self._changed:
            return tuple(self._entries.values())

    def of(self, provider: str) -> tuple[JournalEntry, ...]:
        """Return the entries of one provider; none for a name that received nothing."""
        return tuple(entry for entry in self.entries if entry.provider == provider)

    def count(self, provider: str | None = None, *, ended: bool = False) -> int:
        """Return how many requests arrived, at one provider or at all; how many ended, if so."""
        entries = self.entries if provider is None else self.of(provider)
        return sum(entry.ended is not None for entry in entries) if ended else len(entries)

    def clear(self) -> None:
        """Forget all entries."""
        with self._changed:
            self._entries.clear()

    def wait_for(
        self,
        requests: int,
        *,
        provider: str | None = None,
        ended: bool = False,
        give_up_after: float = 5.0,
    ) -> None:
        """Block until that many requests have arrived, for tests with threads.

        Args:
            requests: How many entries there have to be, counted as by `count`.
            provider: Count only the entries of this provider.
            ended: Count only those whose response is over, however it ended.
            give_up_after: Seconds of real time to wait at most.

        Raises:
            TimeoutError: If fewer have arrived by then.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: self.count(provider, ended=ended) >= requests, give_up_after
            ):
                raise self._too_few(requests, provider, give_up_after, ended=ended)

    async def await_for(
        self,
        requests: int,
        *,
        provider: str | None = None,
        ended: bool = False,
        give_up_after: float = 5.0,
    ) -> None:
        """Wait as `wait_for` does, without blocking the event loop (asyncio or trio)."""
        from anyio import sleep  # noqa: PLC0415  # synchronous tests need no event loop

        give_up_at = time.monotonic() + give_up_after
        while self.count(provider, ended=ended) < requests:
            if time.monotonic() >= give_up_at:
                raise self._too_few(requests, provider, give_up_after, ended=ended)
            await sleep(_POLL_INTERVAL)

    def add(self, request: EmulatedRequest, outcome: str, status: int | None) -> Report:
        """Enter a request and what is served for it; called by the emulator.

        Returns:
            What to call as the response goes on.
        """
        fields = attrs.asdict(request, recurse=False)
        entry = JournalEntry(**fields, outcome=outcome, status=status)
        with self._changed:
            key = next(self._keys)
            self._entries[key] = entry
            self._changed.notify_all()
        return partial(self._report, key)

    def _report(self, key: int, pieces: int, ended: Ended | None) -> None:
        with self._changed:
            if key in self._entries:  # else it was forgotten meanwhile
                entry = self._entries[key]
                self._entries[key] = attrs.evolve(entry, pieces=pieces, ended=ended)
                self._changed.notify_all()

    def _too_few(
        self, requests: int, provider: str | None, waited: float, *, ended: bool
    ) -> TimeoutError:
        count = self.count(provider, ended=ended)
        where = "the emulator" if provider is None else f"provider {provider!r}"
        what = f"requests at {where} ended" if ended else f"requests reached {where}"
        return TimeoutError(f"{count} of {requests} {what} in {waited!r} s")


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with the values of those that carry keys or cookies left out."""
    return {name: REDACTED if _is_secret(name.lower()) else headers[name] for name in headers}


def _is_secret(header: str) -> bool:
    return header not in _NO_SECRETS and any(word in header for word in _SECRET_WORDS)
