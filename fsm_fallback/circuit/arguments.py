"""What is wrong with the arguments of a `CircuitBreaker`: all of it, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.providers.protocol import slot_of


def argument_problems(
    name: object,
    config: object,
    clock: object,
    sample: object,
    classify: object,
    accept: object,
) -> Iterator[str]:
    """What is wrong with the arguments of a `CircuitBreaker`."""
    if not isinstance(name, str) or not name:
        yield f"CircuitBreaker.name is {shown(name)}; give a non-empty string"
    if not isinstance(config, BreakerConfig):
        yield f"CircuitBreaker.config is {shown(config)}; give a BreakerConfig"
    if not callable(clock):
        yield f"CircuitBreaker.clock is {shown(clock)}; give a function that returns seconds"
    if not callable(sample):
        yield f"CircuitBreaker.sample is {shown(sample)}; give a function that draws from [0, 1)"
    yield from judge_problems(classify, accept)


def judge_problems(classify: object, accept: object) -> Iterator[str]:
    """What is wrong with who judges the calls of a function."""
    if classify is not None and not callable(classify):
        yield (
            f"CircuitBreaker.classify is {shown(classify)}; give a function of an exception that "
            "returns a Fault, or None"
        )
    if accept is not None and not (callable(accept) and slot_of(accept) == "call"):
        yield (
            f"CircuitBreaker.accept is {shown(accept)}; give a plain function of a result, or None"
        )
