"""Exception or response to `Fault`: the measured evidence is held against the fault table.

`classify` and `classify_response` never raise and import no SDK. What speaks for a kind is data in
`fsm_fallback.providers.fault_table`; what is measured of an error is in
`fsm_fallback.providers.evidence`. Here is only how the two are compared: columns from left to
right, rows from top to bottom, and which cause may correct its wrapper.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final

import attrs

from fsm_fallback.core.outcome import KINDS, Fault, FaultKind, Scope
from fsm_fallback.providers.evidence import (
    Evidence,
    evidence_of_error,
    evidence_of_response,
    links,
)
from fsm_fallback.providers.fault_table import SIGNALS
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

_REMEMBERED: Final[dict[tuple[object, ...], Fault]] = {}
_MOST_REMEMBERED: Final = 256
_LONGEST_KEY: Final = 16
_LONGEST_KEY_TEXT: Final = 256

_WAITABLE: Final = frozenset({Scope.MODEL, Scope.ACCOUNT})
"""Scopes a wait can help. A request too large for a limit stays so, whatever its text promises."""


@attrs.frozen
class FaultTableRow:
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
        return _classified(error, now)
    except Exception:  # noqa: BLE001  # an exception with hostile attributes is not understood
        return Fault(_K.UNKNOWN)


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


def _classified(error: BaseException, now: datetime | None) -> Fault:
    fault: Fault | None = None
    for link in links(error):
        found = _classified_alone(link, now)
        if fault is None or found.kind in _CORRECTED_BY[fault.kind]:
            fault = found
        if fault.kind not in _CORRECTED_BY:
            break
    return Fault(_K.UNKNOWN) if fault is None else fault


def _classified_alone(error: BaseException, now: datetime | None) -> Fault:
    """Classify without causes; a plain exception that was seen before is remembered.

    An outage raises the same few exceptions thousands of times, and failing over must stay cheap.
    """
    key = _key_of_plain(error)
    if key is not None and (fault := _REMEMBERED.get(key)) is not None:
        return fault
    evidence = evidence_of_error(error, now=now)
    fault = _fault(judge(evidence), evidence)
    if key is not None:
        if len(_REMEMBERED) >= _MOST_REMEMBERED:
            _REMEMBERED.clear()
        _REMEMBERED[key] = fault
    return fault


def _key_of_plain(error: BaseException) -> tuple[object, ...] | None:
    """Name all that evidence of a plain exception can come from; None if it is not plain.

    Plain is what holds only short texts and integers, all of them in sight: a TypeError also
    speaks by its traceback, and slots are not in `vars`.
    """
    kind: type = type(error)
    args = error.args
    number = getattr(error, "errno", None)
    key = (kind, number, len(args), *args, *chain.from_iterable(vars(error).items()))
    if len(key) > _LONGEST_KEY or not _in_sight(kind):
        return None
    for part in key[1:]:
        if type(part) is str:
            if len(part) > _LONGEST_KEY_TEXT:
                return None
        elif part is not None and type(part) is not int:
            return None
    return key


@lru_cache(maxsize=1024)
def _in_sight(kind: type) -> bool:
    return kind is not TypeError and not any("__slots__" in vars(c) for c in kind.__mro__)


def _fault(kind: FaultKind, evidence: Evidence) -> Fault:
    wait = evidence.wait if KINDS[kind].scope in _WAITABLE else None
    return Fault(kind, retry_after=wait, message=evidence.message)


def _index(words_of: Callable[[Signals], Iterable[str]]) -> dict[str, int]:
    """Turn a column into a look-up; a word may stand in one row only."""
    rows: dict[str, int] = {}
    for number, row in enumerate(SIGNALS):
        for word in words_of(row):
            if rows.setdefault(word, number) != number:
                raise ValueError(f"fault table names {word!r} in two rows; keep one")
    return rows


def _phrases_by_anchor() -> dict[str, tuple[tuple[int, Phrase], ...]]:
    found: dict[str, list[tuple[int, Phrase]]] = {}
    for number, row in enumerate(SIGNALS):
        for phrase in row.phrases:
            for anchor in phrase.anchors:
                found.setdefault(anchor, []).append((number, phrase))
    return {anchor: tuple(phrases) for anchor, phrases in found.items()}


_NAMED: Final = _index(lambda row: (*row.names, *row.status_names))
_STRONG_NAMES: Final = frozenset(name for row in SIGNALS for name in row.names)
_CODED: Final = _index(lambda row: {squashed(code) for code in row.codes})
_STATUS_CODED: Final = _index(lambda row: {squashed(code) for code in row.status_codes})
_WITH_STATUS: Final = {status: row for row, s in enumerate(SIGNALS) for status in s.statuses}
_PHRASES: Final = _phrases_by_anchor()


def _heard(codes: dict[str, int], evidence: Evidence) -> list[int]:
    """Look codes up, in rows that are not deaf at this status."""
    rows = (codes[code] for code in evidence.codes if code in codes)
    return [row for row in rows if evidence.status not in SIGNALS[row].deaf_at]


def _nearest_name(evidence: Evidence) -> str | None:
    """Pick the name nearest to the raised class: a pool timeout is no mere timeout."""
    return next((name for name in evidence.names if name in _NAMED), None)


def _by_facts(evidence: Evidence) -> list[int]:
    if not evidence.facts:
        return []
    return [n for n, row in enumerate(SIGNALS) if not row.facts.isdisjoint(evidence.facts)]


def _by_names_and_codes(evidence: Evidence) -> list[int]:
    rows = _heard(_CODED, evidence)
    name = _nearest_name(evidence)
    if name in _STRONG_NAMES:
        rows.append(_NAMED[name])
    return rows


def _by_phrases(evidence: Evidence) -> list[int]:
    anchors = _PHRASES.keys() & evidence.words.split()
    found = {entry for anchor in anchors for entry in _PHRASES[anchor]}
    for number, phrase in sorted(found, key=lambda entry: entry[0]):
        row = SIGNALS[number]
        if (
            evidence.status not in row.deaf_at
            and evidence.facts.isdisjoint(row.silenced_by)
            and (phrase.at is None or evidence.status in phrase.at)
            and phrase.pattern.search(evidence.words)
            and not any(taken.pattern.search(evidence.words) for taken in row.unless)
        ):
            return [number]
    return []


def _by_status(evidence: Evidence) -> list[int]:
    rows = _heard(_STATUS_CODED, evidence)
    name = _nearest_name(evidence)
    if name is not None:
        rows.append(_NAMED[name])
    if evidence.status in _WITH_STATUS:
        rows.append(_WITH_STATUS[evidence.status])
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
