"""The SDK clients behind a chat adapter: whose they are, when they are made, when they are closed.

A client for plain calls, and one for each event loop: connections of an asynchronous client belong
to the loop they were made in. Clients that were handed in are used as they are and never closed. A
key is known by the name of its environment variable; it is read when a client is made, and not
kept here.
"""

from __future__ import annotations

import inspect
import os
import re
import threading
import warnings
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs

from fsm_fallback.core.bounds import COUNT, Bound, is_count, shown
from fsm_fallback.errors import ConfigurationError

_KEY_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_NO_KEY: Final = "none"  # the SDKs want one; servers that need none do not look
_TEXT: Final = Bound(lambda v: isinstance(v, str) and bool(v), "a non-empty string")
_TEXTS: Final = Bound(
    lambda v: isinstance(v, (frozenset, set, tuple, list)) and all(map(_TEXT.accepts, v)),
    "a set of strings",
)
_BOUNDS: Final = {
    "name": _TEXT,
    "model": _TEXT,
    "base_url": _TEXT.or_none(),
    "account": _TEXT.or_none(),
    "capabilities": _TEXTS,
    "context_window": COUNT.or_none(),
    "max_output_tokens": COUNT.or_none(),
}
_warned: Final[WeakKeyDictionary[Any, None]] = WeakKeyDictionary()


@attrs.frozen(kw_only=True)
class Sdk:
    """Where the clients of an SDK are.

    Args:
        module: What to import; also the extra of this package that installs it.
        plain: The class for plain calls.
        awaited: The class for calls that are awaited.
    """

    module: str
    plain: str
    awaited: str


class _Lent:
    """A client, and how many calls have it; one that goes is closed behind the last of them."""

    __slots__ = ("client", "goes", "users")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.users = 0
        self.goes = False


def _freed(lent: _Lent | None) -> Any:
    """Have a client go; itself, if nobody has it."""
    if lent is None:
        return None
    lent.goes = True
    return None if lent.users else lent.client


class Clients:
    """The clients of one provider. Thread-safe.

    Args:
        owner: Class and name of the provider, for messages.
        sdk: Whose clients they are.
        base_url: Where they go; None for the SDK's own choice.
        api_key_env: The name of the environment variable with the key; None for no key.
        client: One that was handed in.
        async_client: As above.

    Raises:
        ConfigurationError: If the SDK or the variable is missing, and no client was handed in.
    """

    def __init__(
        self,
        owner: str,
        sdk: Sdk,
        *,
        base_url: str | None,
        api_key_env: str | None,
        client: Any,
        async_client: Any,
    ) -> None:
        self._owner = owner
        self._sdk = sdk
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._given = (client, async_client)
        self._lock = threading.Lock()
        self._plain: _Lent | None = None
        self._awaited: WeakKeyDictionary[Any, _Lent] = WeakKeyDictionary()
        if client is None and async_client is None:
            _imported(owner, sdk)
            self._key()

    @property
    def is_plain_only(self) -> bool:
        """Whether only a client for plain calls was handed in."""
        return self._given[0] is not None and self._given[1] is None

    @property
    def is_awaited_only(self) -> bool:
        """Whether only an asynchronous client was handed in."""
        return self._given[0] is None and self._given[1] is not None

    def plain(self) -> Any:
        """The client for plain calls."""
        if self._given[0] is not None:
            return self._given[0]
        with self._lock:
            return self._plain_locked().client

    def awaited(self) -> Any:
        """The client of the running event loop."""
        if self._given[1] is not None:
            return self._given[1]
        with self._lock:
            return self._awaited_locked(_running_loop()).client

    @contextmanager
    def lent(self) -> Generator[Any, None, None]:
        """Lend the client for plain calls; one that is closed meanwhile closes behind the last."""
        if self._given[0] is not None:
            yield self._given[0]
            return
        with self._lock:
            lent = self._plain_locked()
            lent.users += 1
        try:
            yield lent.client
        finally:
            if self._comes_back(lent):
                lent.client.close()

    @asynccontextmanager
    async def alent(self) -> AsyncGenerator[Any, None]:
        """As `lent`, the client of the running event loop."""
        if self._given[1] is not None:
            yield self._given[1]
            return
        with self._lock:
            lent = self._awaited_locked(_running_loop())
            lent.users += 1
        try:
            yield lent.client
        finally:
            if self._comes_back(lent):
                await lent.client.close()

    def _plain_locked(self) -> _Lent:
        if self._plain is None:
            self._plain = _Lent(self._made(self._sdk.plain))
        return self._plain

    def _awaited_locked(self, loop: Any) -> _Lent:
        lent = self._awaited.get(loop)
        if lent is None:
            self._forget_closed_loops()
            lent = self._awaited[loop] = _Lent(self._made(self._sdk.awaited))
        return lent

    def close(self) -> None:
        """Close the client for plain calls, if it was made here; a later call makes another.

        Calls that are out have it to their end.
        """
        with self._lock:
            lent, self._plain = self._plain, None
            free = _freed(lent)
        if free is not None:
            free.close()

    async def aclose(self) -> None:
        """Close that, and the client of the running event loop, if they were made here."""
        with self._lock:
            lent = self._awaited.pop(_running_loop(), None)
            free = _freed(lent)
        self.close()
        if free is not None:
            await free.close()

    def _comes_back(self, lent: _Lent) -> bool:
        """Note that a call has ended; whether the client is to be closed now."""
        with self._lock:
            lent.users -= 1
            return lent.goes and not lent.users

    def _made(self, kind: str) -> Any:
        options: dict[str, Any] = {"api_key": self._key(), "max_retries": 0}
        if self._base_url is not None:
            options["base_url"] = self._base_url
        return getattr(_imported(self._owner, self._sdk), kind)(**options)

    def _key(self) -> str:
        if self._api_key_env is None:
            return _NO_KEY
        key = os.environ.get(self._api_key_env)
        if not key:
            raise ConfigurationError(
                f"{self._owner}: environment variable {self._api_key_env!r} is not set; set it "
                "to the key, name another one with api_key_env, or give a client"
            )
        return key

    def _forget_closed_loops(self) -> None:
        """A client keeps its loop alive, so that a weak reference to that is not enough."""
        for loop in list(self._awaited):
            if getattr(loop, "is_closed", bool)():
                del self._awaited[loop]


def setting_problems(
    where: str, *, api_key_env: object, client: object, async_client: object, **settings: object
) -> Iterator[str]:
    """What is wrong with the arguments of a chat adapter."""
    for field, value in settings.items():
        if not _BOUNDS[field].accepts(value):
            yield f"{where}.{field} is {shown(value)}; give {_BOUNDS[field].wanted}"
    is_name = isinstance(api_key_env, str) and _KEY_NAME.fullmatch(api_key_env)
    if api_key_env is not None and not is_name:  # not shown: it may be the key
        yield (
            f"{where}.api_key_env is no name of an environment variable; give its name in capital "
            "letters, never the key itself"
        )
    for field, value, awaited in (("client", client, False), ("async_client", async_client, True)):
        close = getattr(value, "close", None)
        if value is not None and (close is None or inspect.iscoroutinefunction(close) != awaited):
            wanted = "an asynchronous client" if awaited else "a client for plain calls"
            yield f"{where}.{field} is {shown(value)}; give {wanted} of the SDK, or None"


def warn_of_retries(owner: str, *clients: Any) -> None:
    """Warn of clients that retry by themselves, once for each client."""
    for client in clients:
        retries = getattr(client, "max_retries", 0)
        if client is None or not is_count(retries, 1) or not _is_new(client):
            continue
        warnings.warn(
            f"{owner}: its client retries {retries} times by itself, so that one failure is "
            f"{retries + 1} requests; make it with max_retries=0, or give "
            "client.with_options(max_retries=0)",
            stacklevel=4,  # where the adapter is made
        )


def _is_new(client: Any) -> bool:
    try:
        is_new = client not in _warned
        _warned[client] = None
    except TypeError:  # a stand-in that cannot be remembered
        return True
    return is_new


def _imported(owner: str, sdk: Sdk) -> Any:
    try:
        return import_module(sdk.module)
    except ImportError as missing:
        raise ConfigurationError(
            f"{owner}: the package {sdk.module!r} cannot be imported; "
            f"pip install 'fsm-fallback[{sdk.module}]'"
        ) from missing


def _running_loop() -> Any:
    """What stands for the running event loop: asyncio's own, or trio's token of a run."""
    import asyncio  # noqa: PLC0415  # not imported with the package

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return import_module("trio").lowlevel.current_trio_token()
