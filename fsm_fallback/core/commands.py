"""Commands: what the chain asks of its driver. Each is done, then reported back to the chain.

    Admit   ask the candidate's breaker for a lease; report its word as `admission`
    Call    call the candidate, for at most `timeout` seconds; report `answer`, `fault`, `time_out`
            or `abandon`, and settle the lease
    Return  end the call with the answer
    Raise   end the call with `error`

A driver matches on the word `do`: a class pattern costs three times as much, and each call has
three commands.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs

from fsm_fallback.core.lease import Lease


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
class Return:
    """The call is answered: return what the candidate answered. The chain never sees it."""

    do: ClassVar[Literal["return"]] = "return"


@attrs.define(eq=False)
class Raise:
    """The call is not answered."""

    do: ClassVar[Literal["raise"]] = "raise"
    error: Exception


Command = Admit | Call | Return | Raise
