"""What a provider is, and `@provider`, which makes one out of a function.

A provider passes calls through: this library never touches request or answer, so no feature of an
SDK is lost, and type checkers see the parameters and the answer of the function itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Final, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from fsm_fallback.core.bounds import COUNT, instance_of, shown
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.prices import PRICE, Price
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.reading import AUTO, Terminal

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Named(Protocol):
    """What every provider has beside a way to call it."""

    @property
    def name(self) -> str:
        """Unique in its chain; the name in trails, logs and metrics."""
        ...

    @property
    def info(self) -> ModelInfo:
        """What is known of its model."""
        ...


class SyncProvider(Named, Protocol[P, T_co]):
    """A provider with a plain call."""

    def call(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Call the model."""
        ...


class AsyncProvider(Named, Protocol[P, T_co]):
    """A provider with a call to await."""

    def acall(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T_co]:
        """Call the model."""
        ...


class StreamProvider(Named, Protocol[P, T_co]):
    """A provider that answers piece by piece."""

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[T_co]:
        """Call the model."""
        ...


class AsyncStreamProvider(Named, Protocol[P, T_co]):
    """A provider that answers piece by piece, asynchronously."""

    def astream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T_co]:
        """Call the model."""
        ...


ModelProvider = (
    SyncProvider[P, T] | AsyncProvider[P, T] | StreamProvider[P, T] | AsyncStreamProvider[P, T]
)
"""A provider: `name`, `info`, and at least one of `call`, `acall`, `stream`, `astream`, all with
the same parameters `P`. It may have `classify`, `timeout_arg`, `is_output` and `terminal`, which
mean what they mean in `@provider`."""

CALLS = ("call", "acall", "stream", "astream")
"""The ways to call a provider."""


class FunctionProvider(Generic[P, T]):
    """A provider made of a function by `@provider`; still callable as the function it was."""

    call: Callable[P, T]
    acall: Callable[P, Awaitable[T]]
    stream: Callable[P, Iterator[T]]
    astream: Callable[P, AsyncIterator[T]]

    def __init__(
        self,
        function: Callable[P, Any],
        name: str,
        info: ModelInfo,
        classify: Callable[[BaseException], Fault] | None,
        timeout_arg: str | None,
        is_output: Callable[[Any], bool] | None,
        terminal: Terminal,
        *,
        streams: bool,
    ) -> None:
        self.name = name
        self.info = info
        self.classify = classify
        self.timeout_arg = timeout_arg
        self.is_output = is_output
        self.terminal = terminal
        self._function = function
        self._slot = _STREAM_SLOTS[slot_of(function)] if streams else slot_of(function)
        setattr(self, self._slot, function)
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function itself, past every breaker."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<provider {self.name!r}: {self._slot}>"


_STREAM_SLOTS: Final = {
    "call": "stream",
    "acall": "astream",
    "stream": "stream",
    "astream": "astream",
}


def slot_of(function: Callable[..., Any]) -> str:
    """Which way to call a provider a function is."""
    # An object is of the kind of its `__call__`, a partial of the kind of its function.
    asked = function.func if isinstance(function, functools.partial) else function
    kinds = (asked, getattr(asked, "__call__", None))  # noqa: B004  # not whether, but which
    for recognised, slot in (
        (inspect.isasyncgenfunction, "astream"),
        (inspect.iscoroutinefunction, "acall"),
        (inspect.isgeneratorfunction, "stream"),
    ):
        if any(recognised(kind) for kind in kinds):
            return slot
    return "call"


class _Decorator(Protocol):
    """Puts the function into the slot of its kind, for the type checker, too."""

    # The first that fits wins, and the special forms stand before the general one on purpose.
    @overload
    def __call__(  # type: ignore[overload-overlap]  # see above
        self,
        function: Callable[P, Coroutine[Any, Any, T]],  # pyright: ignore[reportOverlappingOverload]
        /,
    ) -> AsyncFunction[P, T]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # see above
        self, function: Callable[P, AsyncGenerator[T, Any]], /
    ) -> AsyncStreamFunction[P, T]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # see above
        self, function: Callable[P, Generator[T, Any, Any]], /
    ) -> StreamFunction[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> SyncFunction[P, T]: ...


class _StreamDecorator(Protocol):
    """As `_Decorator`, for functions that return their stream."""

    # As above, the special forms first.
    @overload
    def __call__(
        self,
        function: Callable[P, Coroutine[Any, Any, AsyncItems[T]]],
        /,
    ) -> AsyncStreamFunction[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, AsyncItems[T]], /) -> AsyncStreamFunction[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, Items[T]], /) -> StreamFunction[P, T]: ...


Items = Iterable[T] | AbstractContextManager[Iterable[T]]
"""What a plain stream may be: an iterator, an iterable, or a context manager of one."""

AsyncItems = AsyncIterable[T] | AbstractAsyncContextManager[AsyncIterable[T]]
"""As `Items`, asynchronous."""


class SyncFunction(SyncProvider[P, T_co], Protocol[P, T_co]):
    """A plain function made a provider."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Call the function itself."""
        ...


class AsyncFunction(AsyncProvider[P, T_co], Protocol[P, T_co]):
    """A coroutine function made a provider."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T_co]:
        """Call the function itself."""
        ...


class StreamFunction(StreamProvider[P, T_co], Protocol[P, T_co]):
    """A generator function made a provider."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[T_co]:
        """Call the function itself."""
        ...


class AsyncStreamFunction(AsyncStreamProvider[P, T_co], Protocol[P, T_co]):
    """An async generator function made a provider."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T_co]:
        """Call the function itself."""
        ...


@overload
def provider(
    name: str,
    *,
    streams: Literal[True],
    model: str | None = None,
    account: str | None = None,
    capabilities: frozenset[str] | set[str] | tuple[str, ...] = frozenset(),
    context_window: int | None = None,
    price: Price | None = None,
    classify: Callable[[BaseException], Fault] | None = None,
    is_output: Callable[[Any], bool] | None = None,
    terminal: Terminal = AUTO,
    timeout_arg: str | None = None,
) -> _StreamDecorator: ...
@overload
def provider(
    name: str,
    *,
    streams: Literal[False] = False,
    model: str | None = None,
    account: str | None = None,
    capabilities: frozenset[str] | set[str] | tuple[str, ...] = frozenset(),
    context_window: int | None = None,
    price: Price | None = None,
    classify: Callable[[BaseException], Fault] | None = None,
    is_output: Callable[[Any], bool] | None = None,
    terminal: Terminal = AUTO,
    timeout_arg: str | None = None,
) -> _Decorator: ...
def provider(
    name: str,
    *,
    streams: bool = False,
    model: str | None = None,
    account: str | None = None,
    capabilities: frozenset[str] | set[str] | tuple[str, ...] = frozenset(),
    context_window: int | None = None,
    price: Price | None = None,
    classify: Callable[[BaseException], Fault] | None = None,
    is_output: Callable[[Any], bool] | None = None,
    terminal: Terminal = AUTO,
    timeout_arg: str | None = None,
) -> Any:
    """Make a provider out of a function, coroutine function, generator or async generator.

    Args:
        name: Unique in its chain; the name in trails, logs and metrics.
        streams: Whether a function, or coroutine function, returns a stream, as the SDKs do when
            asked for one: an iterator, or a context manager of one. Of a generator it is known.
            Return the SDK's stream as it is, and it is closed as it should be.
        model: The model's name.
        account: Whose credit and keys it uses.
        capabilities: What the model can do, as strings.
        context_window: Tokens the model takes at most, whole number >= 1.
        price: What the model costs; None if nobody has said.
        classify: Turns an exception of this function into a `Fault`; by default
            `fsm_fallback.classify`. One that raises means `FaultKind.UNKNOWN` and is logged.
        is_output: Whether an item of the stream carries output; by default the items of the SDKs
            are known, and any other is output unless it is empty.
        terminal: Whether an item ends the stream as it should; a stream that ends without one is
            truncated. `"auto"` knows those of the SDKs, and wants none of other streams; None wants
            none at all: give it where a generator passes on part of an SDK's events.
        timeout_arg: The keyword through which the function takes its time-out in seconds; it is
            given when there is a limit, so the parameter needs a default. A plain function without
            one runs as long as it likes: threads cannot be cut.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """
    problems = [
        *_argument_problems(name, capabilities, context_window, price),
        *_text_problems(model=model, account=account),
        *calling_problems("provider", classify, timeout_arg, is_output, terminal),
    ]
    if problems:
        raise ConfigurationError(problems)
    info = ModelInfo(
        model=model,
        account=account,
        capabilities=frozenset(capabilities),
        context_window=context_window,
        price=price,
    )

    def decorate(function: Any) -> Any:
        if not callable(function):
            raise ConfigurationError(
                f"provider {name!r}: @provider decorates {shown(function)}; give it a function"
            )
        flaw = None if timeout_arg is None else _flaw_of_keyword(function, timeout_arg)
        if flaw is not None:
            raise ConfigurationError(f"provider {name!r}: timeout_arg is {timeout_arg!r}, {flaw}")
        return FunctionProvider(
            function, name, info, classify, timeout_arg, is_output, terminal, streams=streams
        )

    return decorate


_TEXT = instance_of(str, "a string")


def _argument_problems(
    name: object, capabilities: object, context_window: object, price: object
) -> Iterator[str]:
    if not isinstance(name, str) or not name:
        yield f"provider.name is {shown(name)}; give a non-empty string"
    if isinstance(capabilities, str) or not all(isinstance(c, str) for c in iter_of(capabilities)):
        yield f"provider.capabilities is {shown(capabilities)}; give a set of strings"
    if not COUNT.or_none().accepts(context_window):
        yield f"provider.context_window is {shown(context_window)}; give {COUNT.or_none().wanted}"
    if not PRICE.or_none().accepts(price):
        yield f"provider.price is {shown(price)}; give {PRICE.or_none().wanted}"


def _text_problems(**values: object) -> Iterator[str]:
    for field, value in values.items():
        if not _TEXT.or_none().accepts(value):
            yield f"provider.{field} is {shown(value)}; give {_TEXT.or_none().wanted}"


def calling_problems(
    where: str, classify: object, timeout_arg: object, is_output: object, terminal: object
) -> Iterator[str]:
    """What is wrong with how a provider wants to be called and read."""
    if classify is not None and not callable(classify):
        yield (
            f"{where}.classify is {shown(classify)}; give a function of an exception that "
            "returns a Fault, or None"
        )
    if is_output is not None and not callable(is_output):
        yield f"{where}.is_output is {shown(is_output)}; give a function of an item, or None"
    if terminal is not None and terminal != AUTO and not callable(terminal):
        yield f"{where}.terminal is {shown(terminal)}; give a function of an item, 'auto' or None"
    if not _TEXT.or_none().accepts(timeout_arg):
        yield f"{where}.timeout_arg is {shown(timeout_arg)}; give {_TEXT.or_none().wanted}"


def iter_of(value: object) -> Iterator[object]:
    """The elements of an iterable; of anything else, one that is no string."""
    try:
        return iter(value)  # type: ignore[call-overload, no-any-return]  # that is the question
    except TypeError:
        return iter((None,))


def _flaw_of_keyword(function: Callable[..., Any], keyword: str) -> str | None:
    """Why a function cannot be given this keyword, or left without it; None if it can."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # builtins without a signature: believe the user
        return None
    own = parameters.get(keyword)
    if own is not None and own.kind in (own.KEYWORD_ONLY, own.POSITIONAL_OR_KEYWORD):
        if own.default is own.empty:
            return "which has no default; give it one, for calls without a limit"
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return None
    return "which the function does not take; name one of its keyword parameters"
