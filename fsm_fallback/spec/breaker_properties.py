"""What a circuit breaker promises: the specification of `BREAKER`, in the order of its life."""

from __future__ import annotations

from typing import Final

from fsm_fallback.spec.breaker_calls import promise as of_calls
from fsm_fallback.spec.breaker_moves import promise as of_moves

BREAKER_PROPERTIES: Final = (*of_calls.all.values(), *of_moves.all.values())
