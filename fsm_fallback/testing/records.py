"""What an audit log has recorded, picked out by a test.

It decides which records a question is about, and refuses questions that no record can answer: a
misspelt trigger would find nothing, and "nothing" is what many tests want to hear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from fsm_fallback.core.bounds import Bound, one_of, refuse_problems, shown
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.telemetry.fields import AUDIT_MACHINE, BREAKER_MACHINE, CHAIN_MACHINE, DROPPED
from fsm_fallback.telemetry.log import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm_fallback.telemetry.fields import Record

MachineName: TypeAlias = Literal["breaker", "chain", "audit"]
VerdictName: TypeAlias = Literal["moved", "stayed", "refused", "late"]

_NAME: Final = Bound(lambda value: isinstance(value, str) and bool(value), "a provider's name")
# In no table: a snapshot that was taken over, and what the log says of itself.
_TRIGGERS: Final = (*dict.fromkeys((*BREAKER.triggers, *CHAIN.triggers)), "restore", DROPPED)
_BOUNDS: Final = {
    "trigger": one_of(*_TRIGGERS),
    "machine": one_of(BREAKER_MACHINE, CHAIN_MACHINE, AUDIT_MACHINE),
    "provider": _NAME,
    "verdict": one_of("moved", "stayed", "refused", "late"),
}


class AuditRecords:
    """The records of an audit log in memory, for a test to look at; calling it returns them.

    Args:
        log: The log to give to chains as `audit=`. It must keep its records in memory: no path, no
            mirror.

    Raises:
        ConfigurationError: If `log` is no such log.
    """

    def __init__(self, log: AuditLog) -> None:
        refuse_problems(_log_problems(log))
        self.log: Final = log

    def __repr__(self) -> str:
        return f"AuditRecords({self.log!r})"

    def __call__(
        self,
        *,
        trigger: str | None = None,
        machine: MachineName | None = None,
        provider: str | None = None,
        verdict: VerdictName | None = None,
    ) -> list[Record]:
        """Return the records so far, oldest first, as dictionaries; see `docs/audit.md`.

        Each argument leaves only the records it describes; None, the default, leaves all.

        Args:
            trigger: What came in, such as "offer" or "fail".
            machine: "chain" for calls, "breaker", or "audit" for the log itself.
            provider: Whom an attempt or a skip was about, or whose breaker it is.
            verdict: "moved", "stayed", "refused" or "late".

        Raises:
            ConfigurationError: If no record could ever be described so.
        """
        given = {"trigger": trigger, "machine": machine, "provider": provider, "verdict": verdict}
        wanted = {name: value for name, value in given.items() if value is not None}
        refuse_problems(_filter_problems(wanted))
        return [record for record in self.log.records() if _fits(record, wanted)]


def _fits(record: Record, wanted: dict[str, str]) -> bool:
    told: dict[str, object] = {**record}
    return all(
        _is_about(record, value) if name == "provider" else told[name] == value
        for name, value in wanted.items()
    )


def _is_about(record: Record, provider: str) -> bool:
    """Whether a record is about a provider; a breaker's says so by its id, `chain/provider`."""
    if record["machine"] == BREAKER_MACHINE:
        return record["id"] == provider or record["id"].endswith(f"/{provider}")
    return record["provider"] == provider


def _log_problems(log: object) -> Iterator[str]:
    if not isinstance(log, AuditLog):
        yield f"AuditRecords.log is {shown(log)}; give an AuditLog"
    elif log.path is not None or log.mirror is not None:
        yield f"AuditRecords.log is {log!r}, which writes; give one without path and mirror"


def _filter_problems(wanted: dict[str, str]) -> Iterator[str]:
    for name, value in wanted.items():
        bound = _BOUNDS[name]
        if not bound.accepts(value):
            yield f"audit_records.{name} is {shown(value)}; give {bound.wanted}"
