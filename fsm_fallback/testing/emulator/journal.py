"""What reached the emulated providers: one frozen record per request, in the order of arrival.

It decides what of a request is kept: everything but the values of headers that carry secrets. It
knows nothing of sockets, scripts or dialects.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DialectName: TypeAlias = Literal["openai", "anthropic"]

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


class Journal:
    """The requests of one emulator. Safe to read while requests arrive.

    A request is entered when it arrives, before anything is sent back. A refused connection is no
    request and leaves no entry.
    """

    def __init__(self) -> None:
        self._entries: list[JournalEntry] = []
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
            return tuple(self._entries)

    def of(self, provider: str) -> tuple[JournalEntry, ...]:
        """Return the entries of one provider; none for a name that received nothing."""
        return tuple(entry for entry in self.entries if entry.provider == provider)

    def count(self, provider: str | None = None) -> int:
        """Return how many requests arrived, at one provider or at all."""
        return len(self if provider is None else self.of(provider))

    def clear(self) -> None:
        """Forget all entries."""
        with self._changed:
            self._entries.clear()

    def wait_for(
        self, requests: int, *, provider: str | None = None, give_up_after: float = 5.0
    ) -> None:
        """Block until that many requests have arrived, for tests with threads.

        Args:
            requests: How many entries there have to be, counted as by `count`.
            provider: Count only the entries of this provider.
            give_up_after: Seconds of real time to wait at most.

        Raises:
            TimeoutError: If fewer have arrived by then.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.count(provider) >= requests, give_up_after):
                raise self._too_few(requests, provider, give_up_after)

    async def await_for(
        self, requests: int, *, provider: str | None = None, give_up_after: float = 5.0
    ) -> None:
        """Wait as `wait_for` does, without blocking the event loop (asyncio or trio)."""
        from anyio import sleep  # noqa: PLC0415  # synchronous tests need no event loop

        give_up_at = time.monotonic() + give_up_after
        while self.count(provider) < requests:
            if time.monotonic() >= give_up_at:
                raise self._too_few(requests, provider, give_up_after)
            await sleep(_POLL_INTERVAL)

    def add(self, request: EmulatedRequest, outcome: str, status: int | None) -> None:
        """Enter a request and what is served for it; called by the emulator."""
        fields = attrs.asdict(request, recurse=False)
        with self._changed:
            self._entries.append(JournalEntry(**fields, outcome=outcome, status=status))
            self._changed.notify_all()

    def _too_few(self, requests: int, provider: str | None, waited: float) -> TimeoutError:
        where = "the emulator" if provider is None else f"provider {provider!r}"
        return TimeoutError(
            f"{self.count(provider)} of {requests} requests reached {where} in {waited!r} s"
        )


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with the values of those that carry keys or cookies left out."""
    return {name: REDACTED if _is_secret(name.lower()) else headers[name] for name in headers}


def _is_secret(header: str) -> bool:
    return header not in _NO_SECRETS and any(word in header for word in _SECRET_WORDS)
