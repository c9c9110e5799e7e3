"""The probes of one stay in HALF_OPEN, and what came of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import attrs


@attrs.define(eq=False)
class Round:
    """A round of probes.

    Attributes:
        probes: Admission number and deadline of each that is out.
        calls: How many came back with an outcome.
        failures: Failures among them.
        slow_calls: Slow ones among them.
    """

    probes: dict[int, float] = attrs.field(factory=dict)
    calls: int = 0
    failures: int = 0
    slow_calls: int = 0


NO_ROUND: Final = Round(probes=MappingProxyType({}))  # type: ignore[arg-type]  # refuses writing
"""Stands in every other state, empty: nothing can be put into it, for all breakers share it."""
