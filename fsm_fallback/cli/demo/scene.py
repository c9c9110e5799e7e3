"""What has happened so far: what the screens read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol

import attrs

from fsm_fallback.cli.demo.outage import PROVIDERS, Outage, Phase
from fsm_fallback.cli.demo.summary import Summary
from fsm_fallback.cli.demo.traffic import Ledger, Llm, Tally
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.events import BreakerStep

_ROW_IDS: Final = {row: row_id for row_id, row in BREAKER.numbered()}


@attrs.frozen
class Move:
    """A breaker went from one state to another."""

    provider: str
    step: BreakerStep

    @property
    def why(self) -> str:
        """In the words of its record: row, trigger, fault, and for how long it opens."""
        step = self.step
        words = [] if step.row is None else [_ROW_IDS[step.row]]
        words.append(step.trigger)
        if step.fault is not None:
            words.append(step.fault.kind.value)
        open_until = step.facts.get("open_until")
        if step.target is BreakerState.OPEN and isinstance(open_until, float):
            words.append(f"for {open_until - step.at:.1f} s")
        return " ".join(words)


@attrs.define(eq=False)
class Scene:
    """A run on its way; read by screens, changed by what it shows.

    Attributes:
        outage: What is played.
        llm: The chain that is asked.
        ledger: Its calls.
        begun_at: When the first phase began, in the clock's seconds.
        clock: The clock of the chain.
        moves: Every move of a breaker, in order.
    """

    outage: Outage
    llm: Llm
    ledger: Ledger
    begun_at: float
    clock: Callable[[], float]
    moves: list[Move] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        for name in PROVIDERS:
            self.llm.breaker(name).add_listener(functools.partial(self._note, name))

    @property
    def elapsed(self) -> float:
        """Seconds since the first phase began."""
        return self.clock() - self.begun_at

    @property
    def phase(self) -> tuple[int, Phase]:
        """The number of the phase that is on, from 1, and the phase."""
        index = self.outage.phase_at(self.elapsed)
        return index + 1, self.outage.phases[index]

    def is_over(self) -> bool:
        """Whether the last phase has ended."""
        return self.elapsed >= self.outage.duration

    def tally(self) -> Tally:
        """How the calls ended so far."""
        return Tally.of(self.ledger.calls)

    def _note(self, provider: str, step: BreakerStep) -> None:
        if step.verdict == "moved":
            self.moves.append(Move(provider, step))


class Screen(Protocol):
    """What shows a run; a context manager, so that a terminal is left as it was."""

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def draw(self, scene: Scene) -> None:
        """Show how it stands now; called several times a second."""
        ...

    def sum_up(self, summary: Summary) -> None:
        """Show what it came to; called at the end, outside of the context."""
        ...
