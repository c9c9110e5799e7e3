"""What type checkers infer of the pytest fixtures: read by mypy and pyright, never run.

Each `type: ignore` names a mistake that is found; both checkers complain of one that is not needed.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import assert_type

from fsm_fallback import FallbackProvider
from fsm_fallback.telemetry import Record
from fsm_fallback.testing import (
    AuditRecords,
    BeginOutage,
    EmulatedProvider,
    Emulator,
    Hang,
    MakeScriptedProvider,
    ManualClock,
    Outage,
    Overloaded,
    ScriptedProvider,
)


def answers_in_an_outage(
    manual_clock: ManualClock,
    scripted_provider: MakeScriptedProvider,
    emulator: Emulator,
    audit_records: AuditRecords,
    fallback_outage: BeginOutage,
) -> None:
    """A test as users annotate it."""
    first = assert_type(scripted_provider("a", ["x"], exhausted="repeat"), ScriptedProvider)
    second = scripted_provider("b", strict=True, model="m")
    FallbackProvider(first, second, clock=manual_clock, audit=audit_records.log)
    emulated = assert_type(emulator.provider("c", dialect="openai"), EmulatedProvider)

    with fallback_outage(first, TimeoutError, duration=60) as outage:
        assert_type(outage, Outage)
    fallback_outage(first, Hang()).end()
    fallback_outage(emulated, Overloaded())

    assert_type(audit_records(machine="chain", trigger="skip"), list[Record])


def mistakes(
    scripted_provider: MakeScriptedProvider,
    fallback_outage: BeginOutage,
    audit_records: AuditRecords,
    emulated: EmulatedProvider,
) -> None:
    """Each is found before the test runs."""
    fallback_outage(scripted_provider("a"), Overloaded())  # type: ignore[call-overload]
    fallback_outage(emulated, TimeoutError)  # type: ignore[call-overload]
    audit_records(machine="chian")  # type: ignore[arg-type]
