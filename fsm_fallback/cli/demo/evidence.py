"""What the four witnesses of a run say: callers, SDKs, emulator, audit file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from fsm_fallback.cli.demo.sdks import CALL_HEADER, Raised
from fsm_fallback.cli.demo.traffic import Call
from fsm_fallback.core.trail import Attempt
from fsm_fallback.testing import JournalEntry

Record = Mapping[str, Any]


@attrs.frozen
class Request:
    """A request that reached the emulator: of which call (None: it does not say), to whom."""

    call: int | None
    provider: str
    status: int | None

    @classmethod
    def of(cls, entry: JournalEntry) -> Request:
        """Read an entry of the journal."""
        number = entry.headers.get(CALL_HEADER, "")
        return cls(int(number) if number.isdecimal() else None, entry.provider, entry.status)


@attrs.frozen(kw_only=True)
class Evidence:
    """What the witnesses say.

    Attributes:
        started: How many calls began.
        calls: How each of them ended, as its caller saw it.
        raised: Every exception that left an SDK.
        requests: Every request that reached the emulator.
        audit: The lines of the audit file.
        lost: How many records the audit log could not keep or write.
        diagrams: The text of each diagram file by its machine.
        ended_at: When the last call had ended, in the clock's seconds.
    """

    started: int
    calls: tuple[Call, ...]
    raised: tuple[Raised, ...]
    requests: tuple[Request, ...]
    audit: tuple[str, ...]
    lost: int
    diagrams: Mapping[str, str]
    ended_at: float

    def attempts(self) -> Iterator[tuple[Call, Attempt]]:
        """Every attempt of every trail."""
        for call in self.calls:
            for item in call.trail:
                if isinstance(item, Attempt):
                    yield call, item

    def records(self) -> list[Record]:
        """The audit records that can be read."""
        return [record for record in map(read_record, self.audit) if record is not None]


def read_record(line: str) -> Record | None:
    """A line of the audit file; None if it is no JSON object in the strict sense."""
    try:
        record = json.loads(line, parse_constant=_refuse)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def is_move(record: Record) -> bool:
    """Whether a breaker went from one state to another."""
    return record.get("machine") == "breaker" and record.get("verdict") == "moved"


def spans(
    state: str, breaker: str, records: Iterable[Record], ended_at: float
) -> Iterator[tuple[float, float]]:
    """When a breaker came into a state and when it left, by its moves; one still in it: the end."""
    since: float | None = None
    for record in records:
        if not is_move(record) or record.get("id") != breaker:
            continue
        if since is not None:
            yield since, record["mono"]
        since = record["mono"] if record["to"] == state else None
    if since is not None:
        yield since, max(since, ended_at)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
