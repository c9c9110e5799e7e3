"""The emulator: several providers, one journal, one thread, and their common end.

It decides when sockets and threads begin and end. What a provider does with a request is in its
own modules.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing.emulator.anthropic import ANTHROPIC
from fsm_fallback.testing.emulator.exchange import ProviderExchange, Setting
from fsm_fallback.testing.emulator.journal import Journal
from fsm_fallback.testing.emulator.openai import OPENAI
from fsm_fallback.testing.emulator.provider import EmulatedProvider
from fsm_fallback.testing.emulator.server import Listener, LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from fsm_fallback.testing.emulator.dialect import Dialect
    from fsm_fallback.testing.emulator.journal import DialectName

DIALECTS: Final[dict[DialectName, Dialect]] = {
    dialect.name: dialect for dialect in (OPENAI, ANTHROPIC)
}
_MAX_BODY_BYTES: Final = 10 * 1024 * 1024
_RESPONDERS_TIMEOUT: Final = 5.0


class Emulator:
    """Model providers on loopback HTTP, for tests of code that calls them through real clients.

    Use it as a context manager, or call `start` and `stop`. It works in tests of every kind, since
    it has an event loop in a thread of its own; several emulators may run at once.

    Args:
        clock: Gives the times in the journal, in seconds; real time by default.
        max_body_bytes: A request with a larger body gets status 413.

    Raises:
        ConfigurationError: If `max_body_bytes` is below 1.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_body_bytes: int = _MAX_BODY_BYTES,
    ) -> None:
        if max_body_bytes < 1:
            raise ConfigurationError(f"max_body_bytes is {max_body_bytes!r}; give at least 1")
        self.journal: Final = Journal()
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._thread: LoopThread | None = None
        self._is_stopped = False
        self._providers: dict[str, EmulatedProvider] = {}
        self._listeners: list[Listener] = []
        self._exchanges: list[ProviderExchange] = []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except BaseException as ours:
            if error is None:
                raise
            error.add_note(f"the emulator, too, failed: {ours!r}")

    @property
    def providers(self) -> Mapping[str, EmulatedProvider]:
        """The providers by name; a copy."""
        return dict(self._providers)

    def start(self) -> Self:
        """Start the thread that serves the providers, and return the emulator.

        Raises:
            RuntimeError: If it was started before; make a new one for every run.
        """
        if self._thread is not None or self._is_stopped:
            raise RuntimeError("the emulator was started before; make a new Emulator()")
        self._thread = LoopThread("fsm-fallback-emulator")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close every socket at once, whatever hangs, and end the thread.

        Does nothing if it was stopped before or never started.

        Raises:
            BaseException: What a responder raised, as it is, or a `ConfigurationError` of a step
                that did not fit its request; an exception group of several.
            RuntimeError: If a responder still runs 5 s after its client has left.
        """
        thread, self._thread, self._is_stopped = self._thread, None, True
        if thread is None:
            return
        errors: list[BaseException] = []
        for listener in self._listeners:
            thread.run(listener.close())
        for exchange in self._exchanges:
            try:
                exchange.join_responders(_RESPONDERS_TIMEOUT)
            except RuntimeError as error:
                errors.append(error)
        thread.stop()
        errors[:0] = [error for exchange in self._exchanges for error in exchange.errors]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("several requests to the emulator failed", errors)

    def provider(
        self, name: str, *, dialect: DialectName, text: str | None = None
    ) -> EmulatedProvider:
        """Add a provider that answers on a free port of its own.

        Args:
            name: Its name in the journal.
            dialect: "openai" (chat completions and responses) or "anthropic" (messages).
            text: What its answers say; None for its name and the beginning of the last message.

        Returns:
            The provider, with the base URL that the vendor's SDK takes.

        Raises:
            RuntimeError: If the emulator is not running.
            ConfigurationError: If the name is empty or taken, or the dialect is unknown.
        """
        if self._thread is None:
            raise RuntimeError("the emulator is not running; use it in a with statement")
        if not name or name in self._providers:
            raise ConfigurationError(f"name is {name!r}; give one that is not empty and not taken")
        if dialect not in DIALECTS:
            raise ConfigurationError(f"dialect is {dialect!r}; give one of {tuple(DIALECTS)}")
        setting = Setting(
            name=name,
            dialect=DIALECTS[dialect],
            text=text,
            clock=self._clock,
            journal=self.journal,
        )
        exchange = ProviderExchange(setting)
        listener = Listener(exchange, self._max_body_bytes)
        self._listeners.append(listener)
        self._exchanges.append(exchange)
        self._thread.run(listener.open())
        provider = EmulatedProvider(setting, exchange, listener, self._thread)
        self._providers[name] = provider
        return provider
