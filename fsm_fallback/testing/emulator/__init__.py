"""Model providers on loopback: real HTTP, scripted faults, a journal of every request.

    with Emulator() as emulator:
        openai = emulator.provider("openai", dialect="openai")
        openai.script(Status(503), RateLimited(retry_after=7))
        client = OpenAI(base_url=openai.base_url, api_key="test", max_retries=0)

Everything is simulated; nothing leaves the machine.
"""

from __future__ import annotations

from fsm_fallback.testing.emulator.emulator import Emulator
from fsm_fallback.testing.emulator.faults import (
    Cut,
    Empty,
    ErrorIn200,
    Malformed,
    Overloaded,
    QuotaSpent,
    RateLimited,
    Reply,
    Reset,
    Slow,
    Status,
    Step,
)
from fsm_fallback.testing.emulator.journal import (
    DialectName,
    EmulatedRequest,
    Ended,
    Journal,
    JournalEntry,
)
from fsm_fallback.testing.emulator.provider import EmulatedProvider
from fsm_fallback.testing.emulator.script import Responder
from fsm_fallback.testing.emulator.stream_faults import (
    EmptyStream,
    Filtered,
    MalformedChunk,
    NoDone,
    NoEnd,
    Stall,
    StreamCut,
    StreamError,
)
from fsm_fallback.testing.steps import Hang

__all__ = [
    "Cut",
    "DialectName",
    "Empty",
    "EmptyStream",
    "EmulatedProvider",
    "EmulatedRequest",
    "Emulator",
    "Ended",
    "ErrorIn200",
    "Filtered",
    "Hang",
    "Journal",
    "JournalEntry",
    "Malformed",
    "MalformedChunk",
    "NoDone",
    "NoEnd",
    "Overloaded",
    "QuotaSpent",
    "RateLimited",
    "Reply",
    "Reset",
    "Responder",
    "Slow",
    "Stall",
    "Status",
    "Step",
    "StreamCut",
    "StreamError",
]
