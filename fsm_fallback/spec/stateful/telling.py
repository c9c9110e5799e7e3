"""What a bystander of a breaker can judge, and how an act of it is told."""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.windows import CountWindow
from fsm_fallback.spec.acts import BreakerAct
from fsm_fallback.spec.properties import Property

NEEDS_COUNT_WINDOW: Final = frozenset(
    {
        "closed-lets-through",
        "counters-equal-a-recount",
        "hung-calls-trip",
        "success-leaves-a-cause",
        "too-much-evidence-trips",
    }
)
"""Left out where a window is one of time: the bystander's notebook forgets by count."""

NEEDS_NO_JITTER: Final = frozenset({"opening-grows"})
"""Left out where openings are jittered: the bystander does not know the sample."""


def tellable(properties: tuple[Property, ...], config: BreakerConfig) -> list[Property]:
    """The properties a bystander can judge with these parameters."""
    left_out: frozenset[str] = frozenset()
    if not isinstance(config.window, CountWindow):
        left_out |= NEEDS_COUNT_WINDOW
    if config.jitter:
        left_out |= NEEDS_NO_JITTER
    return [each for each in properties if each.id not in left_out]


def told(act: BreakerAct) -> str:
    """An act, by what it changed."""
    changed = (
        f"{name} {_word(old)} -> {_word(new)}"
        for name, old, new in zip(act.before._fields, act.before, act.after, strict=True)
        if old != new
    )
    granted = "" if act.trigger != "admit" else ", refused" if act.granted is None else ", granted"
    changes = "; ".join(changed) or f"nothing changed in {act.before.state.value}"
    return f"{act.trigger} at {act.now:g}{granted}: {changes}"


def _word(value: object) -> object:
    return value.value if isinstance(value, BreakerState) else value
