"""The callers: several at once, each asking question after question, and noting what came of it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable

import anyio
import attrs
from anthropic.types import Message
from openai.types.responses import Response

from fsm_fallback.cli.demo.outage import CALLERS
from fsm_fallback.cli.demo.sdks import text_of
from fsm_fallback.core.trail import Attempt, Trail
from fsm_fallback.errors import ChainFailed
from fsm_fallback.fallback import FallbackProvider

Llm = FallbackProvider[[str, int], Message | Response]


@attrs.frozen(kw_only=True)
class Call:
    """One call as its caller saw it.

    Attributes:
        number: Its number, from 1.
        question: What was asked.
        trail: Every attempt and skip.
        answered_by: The provider that answered; None if none did.
        text: What it said; None if nobody answered.
        error: What was raised instead of an answer.
    """

    number: int
    question: str
    trail: Trail
    answered_by: str | None = None
    text: str | None = None
    error: Exception | None = None


@attrs.define
class Ledger:
    """Every call of a run: how many began, and how each ended."""

    started: int = 0
    calls: list[Call] = attrs.field(factory=list)

    @property
    def under_way(self) -> int:
        """How many calls have not ended yet."""
        return self.started - len(self.calls)


@attrs.define(kw_only=True)
class Tally:
    """How calls ended: the numbers of the screen and of the summary, counted from trails.

    `fallbacks` counts, by the provider passed over and the one asked instead, attempts after a
    failure; `detours` those around a breaker that refused.
    """

    calls: int = 0
    failed: int = 0
    refused: int = 0
    answers: Counter[str] = attrs.field(factory=Counter)
    faults: Counter[str] = attrs.field(factory=Counter)
    skips: Counter[str] = attrs.field(factory=Counter)
    fallbacks: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    detours: Counter[tuple[str, str]] = attrs.field(factory=Counter)

    @classmethod
    def of(cls, calls: Iterable[Call]) -> Tally:
        """Count these calls."""
        tally = cls()
        for call in calls:
            tally.add(call)
        return tally

    def add(self, call: Call) -> None:
        """Count one call more."""
        self.calls += 1
        if call.answered_by is not None:
            self.answers[call.answered_by] += 1
        else:
            self.failed += 1
            self.refused += not any(isinstance(item, Attempt) for item in call.trail)
        self._follow(call.trail)

    def _follow(self, trail: Trail) -> None:
        for item in trail:
            if not isinstance(item, Attempt):
                self.skips[item.provider] += 1
            elif item.fault is not None:
                self.faults[item.provider] += 1
        for passed_over, asked in itertools.pairwise(trail):
            if isinstance(asked, Attempt):
                kind = self.fallbacks if isinstance(passed_over, Attempt) else self.detours
                kind[passed_over.provider, asked.provider] += 1


async def ask_until(
    is_over: Callable[[], bool],
    llm: Llm,
    ledger: Ledger,
    pauses: tuple[float, float],
    seed: int,
) -> None:
    """Have `CALLERS` callers ask until it is over; return after the last answer.

    Args:
        is_over: Asked before each call.
        llm: The chain they ask.
        ledger: Where they note how it went.
        pauses: The shortest and the longest pause of a caller between two calls, in seconds.
        seed: The same seed draws the same pauses.
    """
    async with anyio.create_task_group() as group:
        for caller in range(CALLERS):
            drawn = random.Random(f"{seed} {caller}")  # noqa: S311  # pauses, no secrets
            group.start_soon(_ask_on, is_over, llm, ledger, pauses, drawn)


async def _ask_on(
    is_over: Callable[[], bool],
    llm: Llm,
    ledger: Ledger,
    pauses: tuple[float, float],
    drawn: random.Random,
) -> None:
    await anyio.sleep(drawn.uniform(0.0, pauses[1]))  # not all at once
    while not is_over():
        await _ask(llm, ledger)
        await anyio.sleep(drawn.uniform(*pauses))


async def _ask(llm: Llm, ledger: Ledger) -> None:
    ledger.started += 1
    number = ledger.started
    question = f"Question {number}: what does a circuit breaker do?"
    try:
        answer = await llm.adetailed(question, number)
    except ChainFailed as error:
        call = Call(number=number, question=question, trail=error.trail, error=error)
    except Exception as error:  # noqa: BLE001  # the accounting names it
        call = Call(number=number, question=question, trail=(), error=error)
    else:
        call = Call(
            number=number,
            question=question,
            trail=answer.trail,
            answered_by=answer.provider,
            text=text_of(answer.value),
        )
    ledger.calls.append(call)
