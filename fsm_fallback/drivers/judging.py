"""What the caller thinks of an answer: `accept`, which takes it or does not."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fsm_fallback.core.outcome import Fault, FaultKind, Scope
from fsm_fallback.errors import AnswerRejected, ConfigurationError

Verdict = bool | Fault
Accept = Callable[[Any], Verdict | Awaitable[Verdict]]
Flaw = tuple[Fault, Exception]

NOT_ACCEPTED: Final = Fault(
    FaultKind.BAD_RESPONSE, scope=Scope.REQUEST, message="accept did not take the answer"
)
"""What a rejected answer means: another provider may do better, and the breaker is not told."""


def flaw_of(accept: Accept, value: object, provider: str) -> Flaw | None:
    """What is wrong with an answer; None if it is taken. An exception of `accept` means no."""
    try:
        verdict = accept(value)
    except Exception as raised:  # noqa: BLE001  # the user's code: a schema that does not fit raises
        return _rejected(provider, value, raised)
    if inspect.isawaitable(verdict):
        getattr(verdict, "close", lambda: None)()
        words = "accept has to be awaited, and this was a plain call; use acall or a plain function"
        return _rejected(provider, value, ConfigurationError(words))
    return _flaw(verdict, provider, value)


async def aflaw_of(accept: Accept, value: object, provider: str) -> Flaw | None:
    """As `flaw_of`; a verdict that has to be awaited is."""
    try:
        verdict = accept(value)
        if inspect.isawaitable(verdict):
            verdict = await verdict
    except Exception as raised:  # noqa: BLE001  # as above
        return _rejected(provider, value, raised)
    except BaseException as raised:
        from fsm_fallback.drivers.soon import callers_cancellation  # noqa: PLC0415  # anyio

        if type(raised).__name__ != "CancelledError" or callers_cancellation(raised) is not None:
            raise
        return _rejected(provider, value, raised)  # of a task of its own
    return _flaw(verdict, provider, value)


def not_judged(value: object, provider: str) -> Flaw:
    """What it means that the call ended before its answer was judged."""
    return NOT_ACCEPTED, AnswerRejected(provider, value, "accept had not judged it in time")


def _flaw(verdict: object, provider: str, value: object) -> Flaw | None:
    if isinstance(verdict, Fault):
        return verdict, AnswerRejected(provider, value)
    if verdict is None:
        return NOT_ACCEPTED, AnswerRejected(provider, value, "accept returned None, not True")
    try:
        taken = bool(verdict)
    except Exception as raised:  # noqa: BLE001  # as above
        return _rejected(provider, value, raised)
    return None if taken else (NOT_ACCEPTED, AnswerRejected(provider, value))


def _rejected(provider: str, value: object, raised: BaseException) -> Flaw:
    error = AnswerRejected(provider, value, f"accept raised {type(raised).__name__}")
    error.__cause__ = raised
    return NOT_ACCEPTED, error
