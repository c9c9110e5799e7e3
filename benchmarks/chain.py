"""A chain over two providers, against the loop people write and against Haystack's fallback.

python benchmarks/chain.py

Three calls, plain and awaited: the first provider answers; it raises and the second answers; its
breaker is open and the second answers. The contenders do not do the same work: the loop counts
failures in a row and keeps errors in a list; Haystack has no breaker, and its warning of each
failure is switched off but where the name says otherwise. Providers answer, or raise, at once and
without I/O, so what is measured is what a chain adds to a call, never what a model takes.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from circuitbreaker import circuit
from harness import Budget, Call, Race, race, report

from fsm_fallback import (
    AuditLog,
    BreakerConfig,
    BreakerState,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
)
from fsm_fallback import provider as as_provider

# Read when Haystack is imported: no telemetry, and the log its users have where structlog, which is
# here for our sake, is not installed.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"
os.environ["HAYSTACK_LOGGING_IGNORE_STRUCTLOG"] = "true"

from haystack import component  # after the switches
from haystack.components.generators.chat import FallbackChatGenerator
from haystack.dataclasses import ChatMessage

MESSAGES = [ChatMessage.from_user("are you there?")]
ANSWER = {"replies": [ChatMessage.from_assistant("yes")]}

ONE_ANSWER_IN = 64
"""A provider that fails answers now and then: a window is then never all failures, and with a ratio
of 1 the breaker stays closed. So one failing-over call in 64 is none."""

CONFIG = FallbackConfig(
    breaker=BreakerConfig(window=CountWindow(1000), minimum_calls=1000, failure_ratio=1.0)
)
FULL = FallbackConfig(breaker=BreakerConfig(minimum_calls=100, failure_ratio=1.0))
"""One or two failures short of tripping, all the time: each has to be judged, which in a window
with more room most need not."""

NEVER = 10**9
FAR = 3600.0

HEALTHY = (
    "direct call",
    "loop over circuitbreaker",
    "Haystack",
    "call",
    "call, audit off",
    "call, attempt_timeout",
    "detailed",
)
FAILING = (
    "failing: loop",
    "failing: Haystack",
    "failing: call",
    "failing: call, audit off",
    "failing: call, about to trip",
)
OPEN = ("open: loop", "open: call", "open: call, audit off", "call", "failing: call")
WRITTEN = ("call", "call, to a file", "failing: call", "failing: call, to a file")
BUDGETS = (
    Budget("healthy call / loop over circuitbreaker", "call", "loop over circuitbreaker", 2.5),
    Budget("  the same, the stretch", "call", "loop over circuitbreaker", 1.0),
    Budget("healthy call / Haystack", "call", "Haystack", 1 / 3),
    Budget("failing over / Haystack, silent", "failing: call", "failing: Haystack", 1 / 2),
    Budget("  the same, about to trip", "failing: call, about to trip", "failing: Haystack", 1 / 2),
    Budget(
        "open provider skipped / failed attempt, beyond a healthy call",
        "open: call",
        "failing: call",
        0.3,
        beyond="call",
    ),
)
LOUD_BUDGET = Budget(
    "failing over / Haystack, its warning formatted", "failing: call", "failing: Haystack", 1 / 2
)


# Providers -----------------------------------------------------------------------------------


def answering(_messages):
    return ANSWER


async def aanswering(_messages):
    return ANSWER


def failing():
    tick = itertools.count().__next__

    def fail(_messages):
        if tick() % ONE_ANSWER_IN:
            raise RuntimeError("overloaded")
        return ANSWER

    return fail


def afailing():
    tick = itertools.count().__next__

    async def fail(_messages):
        if tick() % ONE_ANSWER_IN:
            raise RuntimeError("overloaded")
        return ANSWER

    return fail


@component
class Answering:
    @component.output_types(replies=list[ChatMessage])
    def run(self, messages, generation_kwargs=None, tools=None, streaming_callback=None):  # noqa: ARG002  # Haystack's
        return ANSWER

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages,  # noqa: ARG002  # as above
        generation_kwargs=None,  # noqa: ARG002
        tools=None,  # noqa: ARG002
        streaming_callback=None,  # noqa: ARG002
    ):
        return ANSWER


@component
class Failing:
    def __init__(self):
        self._tick = itertools.count().__next__

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages, generation_kwargs=None, tools=None, streaming_callback=None):  # noqa: ARG002  # Haystack's
        if self._tick() % ONE_ANSWER_IN:
            raise RuntimeError("overloaded")
        return ANSWER

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages,  # noqa: ARG002  # as above
        generation_kwargs=None,  # noqa: ARG002
        tools=None,  # noqa: ARG002
        streaming_callback=None,  # noqa: ARG002
    ):
        if self._tick() % ONE_ANSWER_IN:
            raise RuntimeError("overloaded")
        return ANSWER


# Chains --------------------------------------------------------------------------------------


def loop_over(*functions):
    """What a user writes: ask each, keep the errors."""

    def ask(messages):
        errors = []
        for function in functions:
            try:
                return function(messages)
            except Exception as error:
                errors.append(error)
        raise ExceptionGroup("all providers failed", errors)

    return ask


def aloop_over(*functions):
    async def ask(messages):
        errors = []
        for function in functions:
            try:
                return await function(messages)
            except Exception as error:
                errors.append(error)
        raise ExceptionGroup("all providers failed", errors)

    return ask


def broken(function: Any, *, threshold: int = NEVER) -> Any:
    """A function behind a breaker of `circuitbreaker`."""
    return circuit(failure_threshold=threshold, recovery_timeout=FAR)(function)


@attrs.frozen
class Way:
    """Plain calls, or awaited ones; the rest is how either is spelt."""

    name: str
    answering: Callable[..., Any]
    failing: Callable[[], Callable[..., Any]]
    loop_over: Callable[..., Callable[..., Any]]
    call: str
    detailed: str
    run: str

    def loop(self, first: Callable[..., Any], *, threshold: int = NEVER) -> Call:
        guarded = broken(first, threshold=threshold), broken(self.answering)
        return partial(self.loop_over(*guarded), MESSAGES)

    def haystack(self, first: Any) -> Call:
        generator = FallbackChatGenerator([first, Answering()])
        return partial(getattr(generator, self.run), MESSAGES)

    def chain(
        self,
        first: Callable[..., Any],
        audit: str | AuditLog = "moves",
        config: FallbackConfig = CONFIG,
        name: str = "fallback",
    ) -> FallbackProvider:
        providers = as_provider("first")(first), as_provider("second")(self.answering)
        return FallbackProvider(*providers, config=config, audit=audit, name=name)

    def call_of(self, chain: FallbackProvider) -> Call:
        return partial(getattr(chain, self.call), MESSAGES)


PLAIN = Way("plain", answering, failing, loop_over, "call", "detailed", "run")
AWAITED = Way("awaited", aanswering, afailing, aloop_over, "acall", "adetailed", "run_async")


# Races ---------------------------------------------------------------------------------------


def run(way: Way, log: AuditLog) -> Race:
    """All contenders in one race, so that a ratio of any two compares the same seconds."""
    limited = attrs.evolve(CONFIG, attempt_timeout=FAR)
    chains = {
        "call": way.chain(way.answering),
        "call, audit off": way.chain(way.answering, audit="off"),
        "call, attempt_timeout": way.chain(way.answering, config=limited),
        "call, to a file": way.chain(way.answering, audit=log, name="healthy"),
        "failing: call": way.chain(way.failing()),
        "failing: call, audit off": way.chain(way.failing(), audit="off"),
        "failing: call, about to trip": way.chain(way.failing(), config=FULL),
        "failing: call, to a file": way.chain(way.failing(), audit=log, name="failing"),
        "open: call": way.chain(way.failing()),
        "open: call, audit off": way.chain(way.failing(), audit="off"),
    }
    for name, chain in chains.items():
        if name in OPEN[1:3]:
            chain.breaker("first").hold(FAR)
    contenders = {
        "direct call": partial(way.answering, MESSAGES),
        "loop over circuitbreaker": way.loop(way.answering),
        "Haystack": way.haystack(Answering()),
        "detailed": partial(getattr(way.chain(way.answering), way.detailed), MESSAGES),
        "failing: loop": way.loop(way.failing()),
        "failing: Haystack": way.haystack(Failing()),
        "open: loop": way.loop(way.failing(), threshold=1),
        **{name: way.call_of(chain) for name, chain in chains.items()},
    }
    result = race(contenders, finish={name: log.flush for name in chains if "file" in name})
    for name, chain in chains.items():
        stands = BreakerState.OPEN if name.startswith("open") else BreakerState.CLOSED
        assert chain.breaker("first").state is stands, f"{name}: the breaker moved"
    assert (log.dropped, log.errors) == (0, 0)
    return result


def run_loud(way: Way) -> Race:
    """Failing over, with Haystack's warning formatted as it is by default, and thrown away."""
    contenders = {
        "failing: call": way.call_of(way.chain(way.failing())),
        "failing: Haystack": way.haystack(Failing()),
    }
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        handler = logging.StreamHandler(nowhere)
        logger = logging.getLogger("haystack")
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
        try:
            return race(contenders)
        finally:
            logger.setLevel(logging.ERROR)
            logger.removeHandler(handler)


def tell(way: Way, result: Race, loud: Race) -> None:
    """The reports and verdicts of one way of calling."""
    for title, names, to in (
        ("the first provider answers", HEALTHY, "loop over circuitbreaker"),
        ("the first raises, the second answers", FAILING, "failing: Haystack"),
        ("the first is open, the second answers", OPEN, "open: loop"),
        ("whole process, records rendered and written to a file", WRITTEN, "call"),
    ):
        print(f"\n{way.name} calls: {title}")
        print(report(result.only(*names), to))
    print(f"\n{way.name} calls: budgets")
    for budget in BUDGETS:
        print(budget.verdict(result))
    print(LOUD_BUDGET.verdict(loud))


if __name__ == "__main__":
    logging.getLogger("haystack").setLevel(logging.ERROR)
    gc.freeze()  # what was imported is no work of any batch
    with tempfile.TemporaryDirectory() as directory:
        for way in (PLAIN, AWAITED):
            with AuditLog(Path(directory) / f"{way.name}.jsonl") as log:
                tell(way, run(way, log), run_loud(way))
