"""The fields of an audit record: each name once, in the order they are written.

Every record has every field; one that does not apply is null (`guards` is then empty, as are
`because` and `facts`). What each means to a reader of the log is in `docs/audit.md`.
"""

from __future__ import annotations

from typing import Final, TypedDict

SCHEMA_VERSION: Final = 1
"""Goes up when a field is added, renamed, or changes its meaning."""

Value = float | str | bool | None
"""A measured value; infinite and undefined ones are null, which JSON knows."""

Record = TypedDict(
    "Record",
    {
        # Which record this is.
        "v": int,
        "stream": str,
        "seq": int,
        "ts": str | None,
        "mono": float | None,
        # Which machine, as declared where.
        "machine": str,
        "digest": str | None,
        "id": str,
        "id_seq": int,
        # Which row fired, and why that one.
        "row": str | None,
        "trigger": str,
        "from": str | None,
        "to": str | None,
        "verdict": str | None,
        "guards": list[list[str | bool]],
        "because": dict[str, Value],
        "facts": dict[str, Value],
        # Whose call it was.
        "generation": int | None,
        "lease": int | None,
        "call_id": str | None,
        "attempt": int | None,
        "provider": str | None,
        "fault": str | None,
        "actor": str | None,
        "reason": str | None,
        # What it hangs together with.
        "trace_id": str | None,
        "span_id": str | None,
        "prev": str | None,
    },
)

FIELDS: Final = tuple(Record.__annotations__)

BREAKER_MACHINE: Final = "breaker"
CHAIN_MACHINE: Final = "chain"
AUDIT_MACHINE: Final = "audit"
"""Values of `machine`; the last is the log, speaking of itself."""

DROPPED: Final = "dropped"
"""Trigger of the record that stands for those a full log could not take; `facts.count` of them."""
