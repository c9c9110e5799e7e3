"""Circuit breakers for any calls: one, the forms of a guarded call, and many by name."""

from fsm_fallback.circuit.breaker import CircuitBreaker
from fsm_fallback.circuit.registry import CircuitBreakers

__all__ = ["CircuitBreaker", "CircuitBreakers"]
