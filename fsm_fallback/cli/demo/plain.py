"""The screen without a terminal: a line for each thing that happens, and no control codes."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

import attrs

from fsm_fallback.cli.demo.outage import PROVIDERS
from fsm_fallback.cli.demo.scene import Scene
from fsm_fallback.cli.demo.simulated import say
from fsm_fallback.cli.demo.summary import Summary, shown

_CALLS_LINES: Final = 20  # of how the calls stand, in a run of any length


@attrs.define(eq=False)
class PlainScreen:
    """Prints what has happened since it last looked."""

    _phases_told: int = attrs.field(init=False, default=0)
    _moves_told: int = attrs.field(init=False, default=0)
    _calls_told: int = attrs.field(init=False, default=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def draw(self, scene: Scene) -> None:
        """Print the phases, the moves and, once in a while, the calls."""
        number, phase = scene.phase
        if number != self._phases_told:
            self._phases_told = number
            of = len(scene.outage.phases)
            _say_at(phase.starts_at, f"phase {number} of {of}: {phase.words}")
        for move in scene.moves[self._moves_told :]:
            step = move.step
            path = f"breaker {move.provider}: {step.source.value} -> {step.target.value}"
            _say_at(step.at - scene.begun_at, f"{path}  ({move.why})")
        self._moves_told = len(scene.moves)
        lines = int(scene.elapsed / scene.outage.duration * _CALLS_LINES)
        if lines != self._calls_told:
            self._calls_told = lines
            self._say_calls(scene)

    def sum_up(self, summary: Summary) -> None:
        """Print what the run came to."""
        say()
        for name, value in summary.numbers:
            say(f"{name}: {value}")
        say()
        for claim, missing in summary.verdicts:
            say(f"{'MISSING' if missing else 'ok':<7}  {claim}")
            for what in shown(missing):
                say(f"{'':<7}  - {what}")
        say()
        say(summary.result)

    def _say_calls(self, scene: Scene) -> None:
        tally = scene.tally()
        states = ", ".join(f"{name} {scene.llm.breaker(name).state.value}" for name in PROVIDERS)
        _say_at(
            scene.elapsed,
            f"calls {tally.calls}, answered {tally.answers.total()}, failed {tally.failed}, "
            f"under way {scene.ledger.under_way}; {states}",
        )


def _say_at(elapsed: float, text: str) -> None:
    say(f"{elapsed:6.2f} s  {text}")
