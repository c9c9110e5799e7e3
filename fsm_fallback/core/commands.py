"""Commands: what the chain asks of its driver. Each is done, then reported back to the chain.

    Admit   ask the candidate's breaker for a lease; report its word as `admission`
    Call    call the candidate, for at most `timeout` seconds; settle the lease and report `answer`,
            `fault`, `time_out` or `abandon`
    Open    as `Call`, for the candidate's stream; report `opened` when it is there
    Pull    get the stream's next item within `timeout` seconds; report `item`, or its end by
            `finish` or `fault`
    Emit    hand over what is held back, the latest item last, after `reset` if there is one; then
            ask for the `next` command
    Wait    wait for so many seconds; report `elapse`
    Return  end the call with the answer, or with what is still held back
    Raise   end the call with `error`

A driver matches on the word `do`: a class pattern costs three times as much, and each call has
three commands.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs

from fsm_fallback.core.lease import Lease
from fsm_fallback.core.trail import StreamReset


@attrs.define(eq=False)
class Admit:
    """Ask this candidate's breaker for a lease."""

    do: ClassVar[Literal["admit"]] = "admit"
    candidate: Any


@attrs.define(eq=False)
class Call:
    """Call this candidate on this lease; `timeout` in seconds, None for no limit."""

    do: ClassVar[Literal["call"]] = "call"
    candidate: Any
    lease: Lease
    timeout: float | None


@attrs.define(eq=False)
class Open:
    """Open this candidate's stream on this lease; `timeout` as in `Call`."""

    do: ClassVar[Literal["open"]] = "open"
    candidate: Any
    lease: Lease
    timeout: float | None


@attrs.define(eq=False)
class Pull:
    """Get the next item of the stream; `timeout` in seconds, None for no limit."""

    do: ClassVar[Literal["pull"]] = "pull"
    candidate: Any
    lease: Lease
    timeout: float | None


@attrs.define(eq=False)
class Emit:
    """Hand over what is held back; first `reset`, where another stream had been handed over."""

    do: ClassVar[Literal["emit"]] = "emit"
    reset: StreamReset | None = None


@attrs.define(eq=False)
class Wait:
    """Wait for so many seconds."""

    do: ClassVar[Literal["wait"]] = "wait"
    seconds: float


@attrs.define(eq=False)
class Return:
    """The call is answered: return what the candidate answered. The chain never sees it."""

    do: ClassVar[Literal["return"]] = "return"


@attrs.define(eq=False)
class Raise:
    """The call is not answered."""

    do: ClassVar[Literal["raise"]] = "raise"
    error: Exception


Command = Admit | Call | Open | Pull | Emit | Wait | Return | Raise
