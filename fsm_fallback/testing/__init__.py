"""For tests of code that uses this library: a clock, a scripted provider, a provider emulator.

`fsm_fallback.testing.plugin` has them as fixtures for pytest.

Names are imported when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsm_fallback.testing.clock import ManualClock, Timer
    from fsm_fallback.testing.emulator import (
        Cut,
        Empty,
        EmptyStream,
        EmulatedProvider,
        EmulatedRequest,
        Emulator,
        ErrorIn200,
        Filtered,
        Journal,
        JournalEntry,
        Malformed,
        MalformedChunk,
        NoDone,
        NoEnd,
        Overloaded,
        QuotaSpent,
        RateLimited,
        Reply,
        Reset,
        Responder,
        Slow,
        Stall,
        Status,
        Step,
        StreamCut,
        StreamError,
    )
    from fsm_fallback.testing.fixtures import BeginOutage, MakeScriptedProvider
    from fsm_fallback.testing.outage import Outage
    from fsm_fallback.testing.records import AuditRecords
    from fsm_fallback.testing.scripted import ScriptedCall, ScriptedProvider
    from fsm_fallback.testing.scripted_stream import ScriptedStream
    from fsm_fallback.testing.steps import Delay, Hang, Stream, Value
else:
    from importlib import import_module

    _HOMES = {
        **dict.fromkeys(("ManualClock", "Timer"), "clock"),
        **dict.fromkeys(("BeginOutage", "MakeScriptedProvider"), "fixtures"),
        "AuditRecords": "records",
        "Outage": "outage",
        **dict.fromkeys(("ScriptedCall", "ScriptedProvider"), "scripted"),
        "ScriptedStream": "scripted_stream",
        **dict.fromkeys(("Delay", "Hang", "Stream", "Value"), "steps"),
    }

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"{__name__}.{_HOMES.get(name, 'emulator')}")
        return globals().setdefault(name, getattr(home, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "AuditRecords",
    "BeginOutage",
    "Cut",
    "Delay",
    "Empty",
    "EmptyStream",
    "EmulatedProvider",
    "EmulatedRequest",
    "Emulator",
    "ErrorIn200",
    "Filtered",
    "Hang",
    "Journal",
    "JournalEntry",
    "MakeScriptedProvider",
    "Malformed",
    "MalformedChunk",
    "ManualClock",
    "NoDone",
    "NoEnd",
    "Outage",
    "Overloaded",
    "QuotaSpent",
    "RateLimited",
    "Reply",
    "Reset",
    "Responder",
    "ScriptedCall",
    "ScriptedProvider",
    "ScriptedStream",
    "Slow",
    "Stall",
    "Status",
    "Step",
    "Stream",
    "StreamCut",
    "StreamError",
    "Timer",
    "Value",
]
