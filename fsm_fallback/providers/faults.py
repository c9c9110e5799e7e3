"""Exception or response to `Fault`: the measured evidence is held against the fault table.

`classify` and `classify_response` never raise and import no SDK. What speaks for a kind is data in
`fsm_fallback.providers.fault_table`; what is measured of an error is in
`fsm_fallback.providers.evidence`. Here is only how the two are compared: columns from left to
right, rows from top to bottom, and which cause may correct its wrapper.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_fallback.core.outcome import KINDS, Fault, FaultKind, Scope
from fsm_fallback.errors import ChainFailed
from fsm_fallback.providers.evidence import (
    GROUPS,
    Evidence,
    evidence_of_error,
    evidence_of_response,
    has_origins,
    origins,
)
from fsm_fallback.providers.fault_table import SIGNALS
from fsm_fallback.providers.own import fault_of_chain
from fsm_fallback.providers.signals import Phrase, Signals, squashed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

_K = FaultKind

_CORRECTED_BY: Final[dict[FaultKind, frozenset[FaultKind]]] = {
    # An SDK says "connection error" of a full pool, a closed client and a cut stream alike.
    _K.CONNECT: frozenset({_K.LOCAL, _K.TIMEOUT, _K.STREAM, _K.CALLER}),
    _K.TIMEOUT: frozenset({_K.LOCAL}),
    # A timeout is raised from a cancellation; only an error raised as such is one.
    _K.UNKNOWN: frozenset(FaultKind) - {_K.UNKNOWN, _K.CANCELLED},
}
"""Which verdicts on a cause outrank the verdict on the exception that wraps it."""

_Key = tuple[object, ...]
_REMEMBERED: Final[dict[_Key | None, Fault]] = {}  # never under None
_MOST_REMEMBERED: Final = 256
_MOST_PARTS: Final = 16
_LONGEST_TEXT: Final = 256
_PLAIN: Final = frozenset({str, int, type(None)})
_ERRNO_AND_TEXT: Final = 2
_SEEN: Final = (BaseException, OSError, object)
_UNSEEN: Final = frozenset(
    {
        *("__slots__", "__getattr__", "__getattribute__"),
        *("args", "__cause__", "__context__", "errno", "strerror", "filename"),
    }
)

_WAITABLE: Final = frozenset({Scope.MODEL, Scope.ACCOUNT})
"""Scopes a wait can help. A request too large for a limit stays so, whatever its text promises."""


class FaultTableRow(NamedTuple):
    """One printable row of the fault table; what follows from the kind is its row in `KINDS`."""

    kind: FaultKind
    signals: str


def classify(error: BaseException, *, now: datetime | None = None) -> Fault:
    """Say why a call failed, from the exception it raised.

    Args:
        error: Any exception; it and its causes are read by class name and attribute.
        now: What an absolute retry date counts from when the response has no `date` header; None
            for the wall clock.

    Returns:
        The fault; `UNKNOWN` for what nothing speaks for. Never raises. Thread-safe.
    """
    try:
        if isinstance(error, ChainFailed) and (own := fault_of_chain(error)) is not None:
            return own
        fault = _classified_alone(error, now)
        if fault.kind in _CORRECTED_BY and has_origins(error):
            fault = _corrected(fault, error, now)
    except Exception:  # noqa: BLE001  # an exception with hostile attributes is not understood
        return Fault(_K.UNKNOWN)
    return fault


def classify_response(
    *,
    status: int | None,
    headers: Mapping[str, str] | None,
    body: object,
    provider: str | None = None,
    now: datetime | None = None,
) -> Fault:
    """Say why a call failed, from a plain HTTP response.

    Args:
        status: HTTP status; None if there was none.
        headers: Response headers, names in any case.
        body: Parsed JSON, text (JSON, an event stream, HTML or plain), bytes or None.
        provider: Whose dialect numeric error codes are in, such as "mistral"; None for unknown.
        now: As in `classify`.

    Returns:
        The fault; `UNKNOWN` for what nothing speaks for. Never raises. Thread-safe.
    """
    try:
        evidence = evidence_of_response(
            status=status, headers=headers, body=body, provider=provider, now=now
        )
        return _fault(judge(evidence), evidence)
    except Exception:  # noqa: BLE001  # a hostile mapping is not understood
        return Fault(_K.UNKNOWN)


def judge(evidence: Evidence) -> FaultKind:
    """Compare evidence with the fault table; the first column with a row that speaks decides."""
    for column in _COLUMNS:
        row = min(column(evidence), default=None)
        if row is not None:
            return SIGNALS[row].kind
    return _K.UNKNOWN


def fault_table_rows() -> tuple[FaultTableRow, ...]:
    """Print the fault table: one row per kind, in order of precedence, signals in words."""
    return tuple(FaultTableRow(row.kind, "; ".join(_described(row))) for row in SIGNALS)


def _corrected(fault: Fault, error: BaseException, now: datetime | None) -> Fault:
    """Ask what an error came from, until something speaks that nothing corrects."""
    for origin in origins(error):
        found = _classified_alone(origin, now)
        if found.kind in _CORRECTED_BY[fault.kind]:
            fault = found
        if fault.kind not in _CORRECTED_BY:
            break
    return fault


def _classified_alone(error: BaseException, now: datetime | None) -> Fault:
    """Classify without causes; a plain exception that was seen before is remembered.

    An outage raises the same few exceptions thousands of times, and failing over must stay cheap.
    """
    key = _key_of(error)
    if (fault := _REMEMBERED.get(key)) is not None:
        return fault
    kind: type = type(error)
    evidence = evidence_of_error(error, now=now)
    fault = _fault(judge(evidence), evidence)
    if key is not None and _in_sight(kind) and _is_short(error):
        if len(_REMEMBERED) >= _MOST_REMEMBERED:
            _REMEMBERED.clear()
        _REMEMBERED[key] = fault
    return fault


def _key_of(error: BaseException) -> _Key | None:
    """Name all that a plain exception of a class that is in sight says; None if it is not plain.

    Plain is what holds texts and whole numbers only.
    """
    args, held = error.args, error.__dict__
    for part in args:
        if type(part) is not str and type(part) is not int and part is not None:
            return None
    if isinstance(error, OSError):
        # It is what its `args` say, unless a file is named or somebody wrote to it.
        number, text = args if len(args) == _ERRNO_AND_TEXT else (None, None)
        if error.errno is not number or error.strerror is not text or error.filename is not None:
            return None
    if not held:
        return type(error), args
    if not _PLAIN.issuperset(map(type, held.values())):
        return None
    return type(error), args, *held.items()


def _is_short(error: BaseException) -> bool:
    parts = (*error.args, *error.__dict__.values())
    return len(parts) <= _MOST_PARTS and all(
        len(part) <= _LONGEST_TEXT for part in parts if isinstance(part, str)
    )


@lru_cache(maxsize=1024)
def _in_sight(kind: type) -> bool:
    """Tell whether exceptions of a class speak by their class, `args` and `vars` only.

    A TypeError also speaks by its traceback, a group by its members, slots are not in `vars`, and
    an attribute that is made when it is asked for may come from anywhere.
    """
    return (
        kind is not TypeError
        and kind.__name__ not in GROUPS
        and all(_UNSEEN.isdisjoint(vars(each)) for each in kind.__mro__ if each not in _SEEN)
    )


def _fault(kind: FaultKind, evidence: Evidence) -> Fault:
    wait = evidence.wait if KINDS[kind].scope in _WAITABLE else None
    return Fault(kind, retry_after=wait, message=evidence.message)


# Made when the first error is judged, not at import.


@cache
def _named() -> dict[str, int]:
    return _column(lambda row: (*row.names, *row.status_names))


@cache
def _strong_names() -> frozenset[str]:
    return frozenset(name for row in SIGNALS for name in row.names)


@cache
def _coded() -> dict[str, int]:
    return _column(lambda row: map(squashed, row.codes))


@cache
def _status_coded() -> dict[str, int]:
    return _column(lambda row: map(squashed, row.status_codes))


@cache
def _with_status() -> dict[int, int]:
    return {status: number for number, row in enumerate(SIGNALS) for status in row.statuses}


@cache
def _phrases_by_rarest_word() -> dict[str, tuple[tuple[int, Phrase], ...]]:
    found: dict[str, list[tuple[int, Phrase]]] = {}
    for number, row in enumerate(SIGNALS):
        for phrase in row.phrases:
            for word in phrase.rarest:
                found.setdefault(word, []).append((number, phrase))
    return {word: tuple(phrases) for word, phrases in found.items()}


def _column(words_of: Callable[[Signals], Iterable[str]]) -> dict[str, int]:
    """Turn a column into a look-up; a word may stand in one row only."""
    rows: dict[str, int] = {}
    for number, row in enumerate(SIGNALS):
        for word in words_of(row):
            if rows.setdefault(word, number) != number:
                raise ValueError(f"fault table names {word!r} in two rows; keep one")
    return rows


def _heard(codes: dict[str, int], evidence: Evidence) -> list[int]:
    """Look codes up, in rows that are not deaf at this status."""
    rows = (codes[code] for code in evidence.codes if code in codes)
    return [row for row in rows if evidence.status not in SIGNALS[row].deaf_at]


def _nearest_name(evidence: Evidence) -> str | None:
    """Pick the name nearest to the raised class: a pool timeout is no mere timeout."""
    named = _named()
    return next((name for name in evidence.names if name in named), None)


def _by_facts(evidence: Evidence) -> list[int]:
    if not evidence.facts:
        return []
    return [n for n, row in enumerate(SIGNALS) if not row.facts.isdisjoint(evidence.facts)]


def _by_names_and_codes(evidence: Evidence) -> list[int]:
    rows = _heard(_coded(), evidence)
    name = _nearest_name(evidence)
    if name in _strong_names():
        rows.append(_named()[name])
    return rows


def _by_phrases(evidence: Evidence) -> list[int]:
    words = frozenset(evidence.words.split())
    if not words:
        return []
    index = _phrases_by_rarest_word()
    found = {entry for word in index.keys() & words for entry in index[word]}
    for number, phrase in sorted(found, key=lambda entry: entry[0]):
        row = SIGNALS[number]
        if (
            evidence.status not in row.deaf_at
            and evidence.facts.isdisjoint(row.silenced_by)
            and (phrase.at is None or evidence.status in phrase.at)
            and phrase.is_in(evidence.words, words)
            and not any(taken.is_in(evidence.words, words) for taken in row.unless)
        ):
            return [number]
    return []


def _by_status(evidence: Evidence) -> list[int]:
    rows = _heard(_status_coded(), evidence)
    name = _nearest_name(evidence)
    if name is not None:
        rows.append(_named()[name])
    if evidence.status in _with_status():
        rows.append(_with_status()[evidence.status])
    return rows


_COLUMNS: Final = (_by_facts, _by_names_and_codes, _by_phrases, _by_status)


def _described(row: Signals) -> Iterable[str]:
    yield from sorted(fact.value for fact in row.facts)
    names = (*row.names, *row.status_names)
    codes = (*row.codes, *row.status_codes)
    if names:
        yield "exceptions " + ", ".join(names)
    if codes:
        yield "codes " + ", ".join(codes)
    if row.phrases:
        yield "words " + ", ".join(f'"{phrase.text}"' for phrase in row.phrases)
    if row.statuses:
        yield "status " + _spans(row.statuses)
    if row.silenced_by:
        yield "words never with " + ", ".join(fact.value for fact in row.silenced_by)
    if row.deaf_at:
        yield "codes and words never at " + _spans(row.deaf_at)


def _spans(statuses: frozenset[int]) -> str:
    """Write statuses with runs drawn together: `409, 500-508`."""
    spans: list[list[int]] = []
    for status in sorted(statuses):
        if spans and spans[-1][-1] == status - 1:
            spans[-1][1:] = [status]
        else:
            spans.append([status])
    return ", ".join("-".join(map(str, span)) for span in spans)
