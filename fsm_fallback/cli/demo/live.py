"""The screen on a terminal: one panel, redrawn in place, that fits into 80 columns and 24 lines."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

import attrs
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fsm_fallback.cli.demo.outage import PROVIDERS
from fsm_fallback.cli.demo.scene import Scene
from fsm_fallback.cli.demo.simulated import SIMULATED
from fsm_fallback.cli.demo.summary import Summary, shown
from fsm_fallback.cli.demo.traffic import Tally
from fsm_fallback.core.breaker_rows import BreakerState

_LINES_BESIDE_MOVES: Final = 15
_MOVES: Final = 14  # as many lines from the beginning, so that nothing jumps
_STYLES: Final = {
    BreakerState.CLOSED: "green",
    BreakerState.OPEN: "bold red",
    BreakerState.HALF_OPEN: "yellow",
}


@attrs.define(eq=False)
class LiveScreen:
    """Redraws the panel; a context manager, so that the terminal is left as it was."""

    console: Console
    _live: Live = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._live = Live(console=self.console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.__exit__(exc_type, exc, traceback)

    def draw(self, scene: Scene) -> None:
        """Show how it stands now."""
        moves = max(1, min(_MOVES, self.console.height - _LINES_BESIDE_MOVES))
        self._live.update(panel(scene, moves), refresh=True)

    def sum_up(self, summary: Summary) -> None:
        """Print what the run came to, below the panel."""
        numbers, claims = _marked_table(), _marked_table()
        for name, value in summary.numbers:
            numbers.add_row(name, Text(value))
        for claim, missing in summary.verdicts:
            mark = Text("MISSING", style="bold red") if missing else Text("ok", style="green")
            claims.add_row(mark, Text("\n- ".join((claim, *shown(missing)))))
        self.console.print(numbers, claims)
        style = "green" if summary.is_complete else "bold red"
        self.console.print(Text(f"simulated: {summary.result}", style=style))


def _marked_table() -> Table:
    table = Table(
        title=SIMULATED,
        box=box.ROUNDED,
        show_header=False,
        border_style="dim",
        min_width=len(SIMULATED),
    )
    table.add_column(no_wrap=True)
    table.add_column()
    return table


def panel(scene: Scene, moves: int) -> RenderableType:
    """The whole picture, with the latest `moves` of the breakers."""
    tally = scene.tally()
    whole = Panel(
        Group(
            _headline(scene),
            "",
            _providers(scene, tally),
            "",
            _calls(scene, tally),
            _fallbacks(tally),
            "",
            _moves(scene, moves),
        ),
        title=SIMULATED,
        subtitle="simulated",
        box=box.ROUNDED,
        border_style="dim",
    )
    return Group(whole, "")  # the cursor rests below: what is typed, Ctrl-C for one, tears nothing


def _headline(scene: Scene) -> Text:
    number, phase = scene.phase
    elapsed = min(scene.elapsed, scene.outage.duration)
    clock = f"{elapsed:4.1f} of {scene.outage.duration:g} s"
    text = f"{clock}  {number}/{len(scene.outage.phases)} {phase.words}"
    return Text(text, style="bold", no_wrap=True, overflow="ellipsis")


def _providers(scene: Scene, tally: Tally) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    for name in ("provider", "breaker"):
        table.add_column(name, no_wrap=True, min_width=9)
    for name in ("next probe", "under way", "answered", "failed", "skipped"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("opened by", no_wrap=True, min_width=10)
    for name in PROVIDERS:
        now = scene.llm.breaker(name).snapshot()
        state = Text(now.state.value, style=_STYLES.get(now.state, ""))
        wait = "" if now.open_until is None else f"{max(0.0, now.open_until - now.taken_at):.1f} s"
        cause = "" if now.cause is None else now.cause.kind.value
        numbers = (now.in_flight, tally.answers[name], tally.faults[name], tally.skips[name])
        table.add_row(name, state, wait, *map(str, numbers), cause)
    return table


def _calls(scene: Scene, tally: Tally) -> Text:
    answered = tally.answers.total()
    return _line(
        f"calls {tally.calls}: answered {answered}, failed {tally.failed}; "
        f"under way {scene.ledger.under_way}"
    )


def _fallbacks(tally: Tally) -> Text:
    both = tally.fallbacks + tally.detours
    pairs = (
        f"{first} -> {second} {both[first, second]}"
        for first in PROVIDERS
        for second in PROVIDERS
        if first != second
    )
    return _line(f"fallbacks {both.total()}: {', '.join(pairs)}")


def _moves(scene: Scene, lines: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(justify="right", no_wrap=True)
    for _ in range(3):
        table.add_column(no_wrap=True)
    latest = scene.moves[-lines:]
    for move in latest:
        step = move.step
        path = Text(f"{step.source.value} -> ")
        path.append(str(step.target.value), style=_style_of(step.target))
        table.add_row(f"{step.at - scene.begun_at:.1f} s", move.provider, path, move.why)
    for _ in range(lines - len(latest)):
        table.add_row("", "", "", "")
    return table


def _style_of(state: object) -> str:
    return _STYLES.get(state, "") if isinstance(state, BreakerState) else ""


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
