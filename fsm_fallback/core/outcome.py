"""What the end of a call means: outcome, fault kind, scope.

`KINDS` decides what follows from a fault: whether the same provider is worth another try, whether
another provider is, and what the breaker books. It knows nothing of exceptions, status codes or
SDKs: `fsm_fallback.providers.faults` turns those into a `Fault`.

The rules are the project's own, argued kind by kind in the column `why`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs

from fsm_fallback.core.bounds import is_number


class Outcome(Enum):
    """What a breaker books for a call."""

    __hash__ = object.__hash__

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    HOLD = "hold"


class Scope(Enum):
    """How far a fault reaches: one request, one model, a whole account, or nothing at all."""

    __hash__ = object.__hash__

    REQUEST = "request"
    MODEL = "model"
    ACCOUNT = "account"
    NONE = "none"


class Retry(Enum):
    """Whether the same provider is worth another try."""

    __hash__ = object.__hash__

    NO = "no"
    ONCE = "once"
    YES = "yes"
    IF_WAIT_FITS = "if_wait_fits"
    OPTIONAL = "optional"


class FailOver(Enum):
    """Whether another provider is worth a try."""

    __hash__ = object.__hash__

    YES = "yes"
    NO = "no"
    LARGER_WINDOW = "larger_window"


class FaultKind(Enum):
    """Why a call failed. The meaning of each kind is its row in `KINDS`."""

    __hash__ = object.__hash__

    TRANSIENT = "transient"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    AUTH = "auth"
    MODEL = "model"
    REGION = "region"
    CONTEXT = "context"
    CONTENT = "content"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    CALLER = "caller"
    STREAM = "stream"
    BAD_RESPONSE = "bad_response"
    CANCELLED = "cancelled"
    LOCAL = "local"
    UNKNOWN = "unknown"


@attrs.frozen
class KindRow:
    """One line of `KINDS`: what follows from a fault of this kind.

    `hold_duration` (seconds) is how long a hold lasts when the provider names no time,
    `max_hold_duration` what a named time is cut to; both are None for kinds that do not hold.
    """

    kind: FaultKind
    retry: Retry
    fail_over: FailOver
    outcome: Outcome
    scope: Scope
    hold_duration: float | None
    max_hold_duration: float | None
    why: str


_K, _R, _F, _O, _S = FaultKind, Retry, FailOver, Outcome, Scope

# fmt: off
# ruff: noqa: E501
KIND_ROWS: Final[tuple[KindRow, ...]] = (
    #       kind             retry same        fail over         breaker     scope        hold   cap
    KindRow(_K.TRANSIENT,    _R.YES,           _F.YES,           _O.FAILURE, _S.MODEL,    None,  None,   "the server says it is unwell"),
    KindRow(_K.CONNECT,      _R.ONCE,          _F.YES,           _O.FAILURE, _S.MODEL,    None,  None,   "nobody answered, so nothing was done twice"),
    KindRow(_K.TIMEOUT,      _R.NO,            _F.YES,           _O.FAILURE, _S.MODEL,    None,  None,   "time is spent; elsewhere it may not be"),
    KindRow(_K.RATE_LIMIT,   _R.IF_WAIT_FITS,  _F.YES,           _O.HOLD,    _S.MODEL,    10.0,  300.0,  "the provider named a time; it is not broken"),
    KindRow(_K.QUOTA,        _R.NO,            _F.YES,           _O.HOLD,    _S.ACCOUNT,  900.0, 3600.0, "credit does not come back in seconds"),
    KindRow(_K.AUTH,         _R.NO,            _F.YES,           _O.HOLD,    _S.ACCOUNT,  900.0, 3600.0, "a bad key stays bad until a person acts"),
    KindRow(_K.MODEL,        _R.NO,            _F.YES,           _O.HOLD,    _S.MODEL,    900.0, 3600.0, "a model that is gone stays gone"),
    KindRow(_K.REGION,       _R.NO,            _F.YES,           _O.HOLD,    _S.ACCOUNT,  900.0, 3600.0, "the account is in the wrong place"),
    KindRow(_K.CONTEXT,      _R.NO,            _F.LARGER_WINDOW, _O.NEUTRAL, _S.REQUEST,  None,  None,   "only a larger window can take this request"),
    KindRow(_K.CONTENT,      _R.NO,            _F.NO,            _O.NEUTRAL, _S.REQUEST,  None,  None,   "a refusal is an answer; shopping around is the caller's choice"),
    KindRow(_K.UNSUPPORTED,  _R.NO,            _F.YES,           _O.NEUTRAL, _S.REQUEST,  None,  None,   "this model lacks it, another may not"),
    KindRow(_K.TOO_LARGE,    _R.NO,            _F.YES,           _O.NEUTRAL, _S.REQUEST,  None,  None,   "above this provider's fixed limit, not above every one's"),
    KindRow(_K.CALLER,       _R.NO,            _F.NO,            _O.NEUTRAL, _S.REQUEST,  None,  None,   "wrong here is wrong everywhere"),
    KindRow(_K.STREAM,       _R.YES,           _F.YES,           _O.FAILURE, _S.MODEL,    None,  None,   "cut, stalled or truncated; before the commit nothing was shown"),
    KindRow(_K.BAD_RESPONSE, _R.OPTIONAL,      _F.YES,           _O.FAILURE, _S.MODEL,    None,  None,   "an answer nobody can use"),
    KindRow(_K.CANCELLED,    _R.NO,            _F.NO,            _O.NEUTRAL, _S.NONE,     None,  None,   "the caller left; that says nothing of the provider"),
    KindRow(_K.LOCAL,        _R.NO,            _F.YES,           _O.NEUTRAL, _S.NONE,     None,  None,   "our own side failed, the provider never saw the call"),
    KindRow(_K.UNKNOWN,      _R.NO,            _F.YES,           _O.FAILURE, _S.MODEL,    None,  None,   "not understood is not success"),
)
# fmt: on

KINDS: Final[dict[FaultKind, KindRow]] = {row.kind: row for row in KIND_ROWS}


_OF_ONE_CALL: Final = (Scope.REQUEST, Scope.NONE)


def _scope_of(kind: object) -> Scope:
    if not isinstance(kind, FaultKind):
        raise ValueError(f"Fault.kind is {kind!r}; give a FaultKind")  # noqa: TRY004  # as the rest
    return KINDS[kind].scope


def _check_wait(_: Fault, field: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None and not (is_number(value) and value >= 0.0):
        raise ValueError(f"Fault.{field.name} is {value!r}; give finite seconds >= 0, or None")


@attrs.frozen
class Fault:
    """Why a call failed, in the words of the fault table.

    Args:
        kind: The row of `KINDS` that decides what follows.
        scope: How far it reaches; by default the scope of its kind. One of the request alone, or of
            nothing, is never booked.
        retry_after: Seconds until the provider wants to be asked again; None if it named none.
            Finite and never negative.
        message: The provider's own words, for people. May quote the request: never logged.
    """

    kind: FaultKind
    scope: Scope = attrs.field(
        default=attrs.Factory(lambda self: _scope_of(self.kind), takes_self=True)
    )
    retry_after: float | None = attrs.field(default=None, validator=_check_wait)
    message: str = attrs.field(default="", repr=False)

    @property
    def outcome(self) -> Outcome:
        """What the breaker books; nothing where the fault reaches no further than the request."""
        if self.scope in _OF_ONE_CALL:
            return Outcome.NEUTRAL
        return KINDS[self.kind].outcome

    @property
    def fail_over(self) -> FailOver:
        """Whether another provider is worth a try."""
        return KINDS[self.kind].fail_over

    @property
    def retry(self) -> Retry:
        """Whether the same provider is worth another try."""
        return KINDS[self.kind].retry

    @property
    def hold_duration(self) -> float:
        """Seconds to hold the breaker: the named time within the cap, else the kind's default.

        A long hold (`QUOTA`, `AUTH`, `MODEL`, `REGION`) is not cut short by a short hint: providers
        send a few seconds with a daily quota, too.

        Raises:
            ValueError: If this kind does not hold.
        """
        row = KINDS[self.kind]
        if row.hold_duration is None or row.max_hold_duration is None:
            raise ValueError(f"a {self.kind.value!r} fault holds nothing; ask its outcome first")
        if self.retry_after is None:
            return row.hold_duration
        wanted = self.retry_after
        if self.kind is not FaultKind.RATE_LIMIT:
            wanted = max(wanted, row.hold_duration)
        return min(wanted, row.max_hold_duration)
