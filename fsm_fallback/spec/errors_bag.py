"""A bag of exceptions, for classifiers to read: whatever may be raised, the simple ones first.

Builtin exceptions, exceptions as HTTP clients raise them for every status from 400 to 599, groups,
cancellations, and exceptions whose every attribute is a trap. All are made anew by each call.
"""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

STATUSES: Final = range(400, 600)

_ARGUMENTS: Final[dict[type[BaseException], tuple[Any, ...]]] = {
    UnicodeDecodeError: ("utf-8", b"\xff", 0, 1, "invalid start byte"),
    UnicodeEncodeError: ("ascii", "\xe4", 0, 1, "ordinal not in range"),
    UnicodeTranslateError: ("\xe4", 0, 1, "no mapping"),
}


_CANCELLATIONS: Final = (
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
)


class StatusError(Exception):
    """As an HTTP client raises it; `headers` of its response may be none."""

    def __init__(self, status: object, headers: object = None, body: object = None) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.body = body
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


class UnprintableError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class TrappedError(Exception):
    """An exception whose every attribute that is not there raises something else."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


class LyingError(Exception):
    """An exception whose attributes are of no type anybody expects."""

    status_code: Any = "five hundred"
    status: Any = float("nan")
    code: Any = object()
    type: Any = 7
    body: Any = b"\xff\xfe"
    param: Any = ("x",)
    response: Any = SimpleNamespace(headers=None, status_code=10**30)


class NeverEqualError(Exception):
    """An exception that can neither be compared nor hashed."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = None  # type: ignore[assignment]  # that is what it is here for


def cancellations() -> Iterator[BaseException]:
    """What is raised where a caller leaves; trio's, too, where trio is installed."""
    yield asyncio.CancelledError()
    yield concurrent.futures.CancelledError()
    yield GeneratorExit()
    yield KeyboardInterrupt()
    yield BaseExceptionGroup("cancelled", [asyncio.CancelledError(), asyncio.CancelledError()])
    yield from _of_trio()


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception means that a caller left; a group does where all its members do."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_cancellation, error.exceptions))
    of_trio = type(error).__name__ == "Cancelled" and not isinstance(error, Exception)
    return of_trio or isinstance(error, _CANCELLATIONS)


def ordinary_errors() -> Iterator[BaseException]:
    """All others: errors, and what ends a program."""
    yield from _builtin_errors()
    for status in STATUSES:
        yield StatusError(status)
    yield from _limited_errors()
    yield from _groups_and_causes()
    yield UnprintableError()
    yield TrappedError("trapped")
    yield LyingError("lying")
    yield NeverEqualError("never equal")
    yield Exception(UnprintableError())
    yield Exception("x" * 100_000)


def _of_trio() -> Iterator[BaseException]:
    try:
        cancelled: Any = importlib.import_module("trio").Cancelled
    except ImportError:
        return
    try:
        yield cancelled._create(source="explicit")  # noqa: SLF001  # trio makes them in no other way
    except TypeError:  # an older one, which knows no sources
        yield cancelled._create()  # noqa: SLF001  # as above


def _builtin_errors() -> Iterator[BaseException]:
    kinds = sorted(
        (each for each in vars(builtins).values() if isinstance(each, type)),
        key=lambda kind: (len(kind.__mro__), kind.__name__),
    )
    for kind in dict.fromkeys(kinds):
        if issubclass(kind, (KeyboardInterrupt, GeneratorExit)):
            continue
        if issubclass(kind, BaseException) and not issubclass(kind, BaseExceptionGroup):
            yield kind(*_ARGUMENTS.get(kind, ("words",)))
            if kind not in _ARGUMENTS:
                yield kind()


def _limited_errors() -> Iterator[BaseException]:
    for wait in ("0", "7", "-1", "nan", "inf", "1e400", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"):
        yield StatusError(429, {"retry-after": wait})
    body: dict[str, object] = {"error": {"type": "rate_limit_error", "code": 429}}
    yield StatusError(429, None, body)
    body["error"] = body
    yield StatusError(500, None, body)


def _groups_and_causes() -> Iterator[BaseException]:
    yield ExceptionGroup("several", [ValueError("a"), StatusError(503)])
    yield ExceptionGroup("nested", [ExceptionGroup("inner", [OSError(28, "no space")])])
    yield BaseExceptionGroup("mixed", [SystemExit(1), ValueError("a")])
    caused = RuntimeError("wrapped")
    caused.__cause__ = StatusError(503)
    yield caused
    circle = RuntimeError("its own cause")
    other = RuntimeError("in a circle")
    circle.__cause__, other.__cause__ = other, circle
    yield circle
