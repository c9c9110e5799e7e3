"""What calls tell their meters: plain values, which wait until somebody counts them.

No words of a provider or a caller are among them. A straight answer is told as the bare tuple that
its record is made of (`core.metrics.Told`).
"""

# Without `from __future__ import annotations`: a named tuple compiles each annotation that is text.

from typing import Any, NamedTuple

from fsm_fallback.core.metrics import Meaning


class Ended(NamedTuple):
    """How an attempt of a walked call ended, and whom the call had passed over just before.

    `fault` is None for an answer, `left` for one whose caller left.
    """

    left: bool
    fault: Meaning | None
    now: float
    duration: float
    first_output: float | None
    usage: Any
    former: str
    reason: str


class Passed(NamedTuple):
    """That it was passed over, and why."""

    reason: str


class Fell(NamedTuple):
    """That a straight call which had passed it over was answered by another."""

    name: str
    reason: str


class Used(NamedTuple):
    """The tokens that the answer of a straight call told."""

    usage: Any
