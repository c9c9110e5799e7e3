"""Every error of this library, by who can do something about it.

    FallbackError
    +-- ConfigurationError (ValueError)   the programmer: parameters, wiring, missing extras
    +-- BreakerOpen                       nobody: come back after `retry_after`
    +-- NotEligible                       the caller: the provider lacks what the call needs
    +-- AnswerRejected                    the caller's own `accept` said no
    +-- StreamTruncated                   a stream ended without its terminal event
    +-- StreamEmpty                       a stream ended without any output
    +-- StreamFailed                      a stream said of itself that it failed
    +-- StoreUnavailable                  operations: the shared store does not answer
    +-- UnpicklableError                  stands for an error that could not cross a process
    +-- ChainFailed (ExceptionGroup)      never raised itself, always as one of
        +-- AllProvidersFailed            every candidate failed, was skipped or refused
        +-- RequestRejected               the caller: no other provider would help
        +-- DeadlineExceeded              time ran out
        +-- StreamInterrupted             after output had been handed over

Errors carry data, not prose: messages name providers and kinds of fault, never prompts, answers,
keys or the words of a provider. Those are in the original exceptions, which a `ChainFailed` holds
as objects, in call order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import attrs

if TYPE_CHECKING:
    from fsm_fallback.core.outcome import Fault
    from fsm_fallback.core.trail import Attempt, Skip


class FallbackError(Exception):
    """Anything this library raises on its own account."""


class ConfigurationError(FallbackError, ValueError):
    """Parameters or wiring that cannot work. Nothing has been started.

    Args:
        problems: Every problem found, each naming field, value and remedy.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class BreakerOpen(FallbackError):
    """A breaker refused the call; the provider was not called.

    Args:
        provider: Name of the breaker, in a chain also of its provider.
        state: The state that refused: `"open"`, `"half_open"`, `"forced_open"`.
        retry_after: Seconds until the next call may be admitted; None if nobody knows.
        cause: The fault that opened it; None where an operator did.
    """

    def __init__(
        self,
        provider: str,
        state: str,
        retry_after: float | None = None,
        cause: Fault | None = None,
    ) -> None:
        # Built when read: callers that are refused seldom look.
        self.provider = provider
        self.state = state
        self.retry_after = retry_after
        self.cause = cause

    def __str__(self) -> str:
        because = f" ({self.cause.kind.value})" if self.cause is not None else ""
        when = f"; retry after {self.retry_after:g} s" if self.retry_after is not None else ""
        return f"breaker {self.provider!r} is {self.state}{because}{when}"

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, float | None, Fault | None]]:
        return type(self), (self.provider, self.state, self.retry_after, self.cause)


class NotEligible(FallbackError):
    """A provider lacks what the call needs; it was not called.

    Args:
        provider: Its name.
        reason: The missing need.
    """

    def __init__(self, provider: str, reason: str) -> None:
        self.provider = provider
        self.reason = reason
        super().__init__(f"provider {provider!r} is not eligible: {reason}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.provider, self.reason)


class StreamTruncated(FallbackError):
    """A stream ended without the provider's terminal event."""


class StreamEmpty(FallbackError):
    """A stream ended without any output."""


class StreamFailed(FallbackError):
    """A stream said of itself, in an item, that it failed.

    Args:
        message: Whose stream it was.
        item: The item, as the provider sent it; lost when pickled.
    """

    def __init__(self, message: str, item: object = None) -> None:
        self.item = item
        super().__init__(message)

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (str(self),)


class AnswerRejected(FallbackError):
    """An answer that `accept` did not take.

    Args:
        provider: Who gave it.
        answer: The answer, as the provider gave it; lost when pickled. What `accept` raised, if it
            did, is the `__cause__`.
        why: Why not, where `accept` did not simply say no.
    """

    def __init__(self, provider: str, answer: object = None, why: str = "") -> None:
        self.provider = provider
        self.answer = answer
        self.why = why
        because = f": {why}" if why else ""
        super().__init__(f"the answer of {provider!r} was not accepted{because}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, None, str]]:
        return type(self), (self.provider, None, self.why)


class StoreUnavailable(FallbackError):
    """The shared store does not answer; breakers go on locally."""


class UnpicklableError(FallbackError):
    """Stands in a pickled `ChainFailed` for an error that pickle cannot carry.

    Args:
        type_name: Qualified name of the original's type.
        status: Its HTTP status, where it had one.
        message: Its text.
    """

    def __init__(self, type_name: str, status: int | None, message: str) -> None:
        self.type_name = type_name
        self.status_code = status
        self.message = message
        super().__init__(f"{type_name}: {message}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, int | None, str]]:
        return type(self), (self.type_name, self.status_code, self.message)


class ChainFailed(FallbackError, ExceptionGroup[Exception]):
    """A call that no provider answered; raised only as one of its subclasses.

    Args:
        message: What happened, led by the cause a person can act on.
        exceptions: The original exceptions of all attempts, in call order; when nothing was
            attempted, one fresh exception per skip, or one `TimeoutError`.
        trail: All attempts and skips, in order.
        retry_after: Seconds until the earliest time that was named for a provider, by itself or by
            its breaker; None if none was. One that failed without naming a time may answer sooner.
    """

    trail: tuple[Attempt | Skip, ...]
    retry_after: float | None

    def __new__(  # noqa: D102  # the class says it
        cls,
        message: str,
        exceptions: Sequence[Exception],
        trail: Iterable[Attempt | Skip] = (),
        retry_after: float | None = None,
    ) -> Self:
        self = super().__new__(cls, message, exceptions)
        self.trail = tuple(trail)
        self.retry_after = retry_after
        return self

    def __init__(
        self,
        message: str,
        exceptions: Sequence[Exception],
        trail: Iterable[Attempt | Skip] = (),
        retry_after: float | None = None,
    ) -> None:
        del trail, retry_after  # kept by __new__
        super().__init__(message, exceptions)

    def derive(self, excs: Sequence[Exception], /) -> Self:  # type: ignore[override]  # narrower
        """A part of this group for `except*` and `split`; trail and retry_after stay whole."""
        return type(self)(self.message, excs, self.trail, self.retry_after)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        carried: dict[int, Exception] = {}

        def carry(error: Exception) -> Exception:
            return carried.setdefault(id(error), _picklable(error))

        def told(item: Attempt | Skip) -> Attempt | Skip:
            error = getattr(item, "error", None)
            return item if error is None else _with_error(item, carry(error))

        members = [carry(error) for error in self.exceptions]
        trail = tuple(told(item) for item in self.trail)
        return type(self), (self.message, members, trail, self.retry_after)


class AllProvidersFailed(ChainFailed):
    """Every candidate failed, was refused by its breaker, or was not eligible."""


class RequestRejected(ChainFailed):
    """The request itself is at fault: no other provider would help, and none was asked."""


class DeadlineExceeded(ChainFailed):
    """The deadline of the whole call passed."""


class StreamInterrupted(ChainFailed):
    """A stream broke after output had been handed over.

    Attributes:
        partial: The items of it that had been handed over, in order; lost when pickled, for they
            are answers.
    """

    partial: tuple[Any, ...] = ()

    def derive(self, excs: Sequence[Exception], /) -> Self:  # type: ignore[override]  # narrower
        """As in `ChainFailed`; what had arrived stays with each part."""
        part = super().derive(excs)
        part.partial = self.partial
        return part


def _with_error(attempt: Any, error: Exception) -> Any:
    return attrs.evolve(attempt, error=error)


def _picklable(error: Exception) -> Exception:
    """The error itself if it survives a round trip through pickle, else a stand-in.

    An error of an HTTP client stays behind as well: its request holds the key and the prompt.
    """
    import pickle  # noqa: PLC0415  # not imported with the package

    try:
        carried = getattr(error, "request", None) or getattr(error, "response", None)
        if carried is None:
            pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes, read back at once
            return error
    except Exception:  # noqa: BLE001, S110  # whatever a foreign error raises means: cannot
        pass
    kind = type(error)
    status = getattr(error, "status_code", None)
    return UnpicklableError(
        f"{kind.__module__}.{kind.__qualname__}",
        status if isinstance(status, int) else None,
        str(error),
    )
