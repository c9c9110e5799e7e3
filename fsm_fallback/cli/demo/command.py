"""`fsm-fallback demo`: what it needs, what it says first, and its exit code."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fsm_fallback.cli.demo.simulated import say
from fsm_fallback.cli.endings import STOPPED, CannotBegin

if TYPE_CHECKING:
    from fsm_fallback.cli.demo.files import Files
    from fsm_fallback.cli.demo.outage import Outage
    from fsm_fallback.cli.demo.scene import Screen

_SDKS: Final = ("openai", "anthropic")


def _refuse_undefined(_context: click.Context, _option: click.Parameter, value: float) -> float:
    if math.isnan(value):  # in no range, and out of none
        raise click.BadParameter(f"{value!r} is no number of seconds.")
    return value


@click.command(short_help="Play a scripted outage, and account for every call.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Directory for audit.jsonl, breaker.mmd and chain.mmd, which are replaced. "
    "[default: the current one]",
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Draws pauses, orders and jitter; time is real, so two runs still differ a little.",
)
@click.option(
    "--duration",
    type=click.FloatRange(5, 600),
    callback=_refuse_undefined,
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="Length of the outage, 5 to 600; everything in it grows and shrinks with it.",
)
def demo(out: Path, seed: int, duration: float) -> int:
    """Play a scripted outage, simulated on loopback, and account for every call.

    The real OpenAI and Anthropic SDKs call an emulator on this machine through a storm of 529, a
    429 with Retry-After, a hang and a recovery. No provider is reached and no key is needed.

    Exits with 0 if every call was answered or its failure is fully accounted for, else with 1.
    """
    _require_sdks()
    from fsm_fallback.cli.demo.files import Files  # noqa: PLC0415  # needs the table, --help does not
    from fsm_fallback.cli.demo.outage import outage  # noqa: PLC0415  # as above

    try:
        return _play(outage(duration), seed, Files.in_folder(out))
    except KeyboardInterrupt:
        say("stopped before the end; the files hold what had happened")
        return STOPPED


def _play(outage: Outage, seed: int, files: Files) -> int:
    for line in _preamble(outage, files):
        say(line)
    import anyio  # noqa: PLC0415  # from here on with the SDKs, which take a while

    from fsm_fallback.cli.demo.play import play  # noqa: PLC0415  # as above
    from fsm_fallback.cli.demo.summary import summarise  # noqa: PLC0415  # as above

    screen = _screen()
    try:
        evidence = anyio.run(play, outage, seed, files, screen)
    except ExceptionGroup as group:
        raise _alone(group) from None
    summary = summarise(evidence, files.paths)
    screen.sum_up(summary)
    return 0 if summary.is_complete else 1


def _preamble(outage: Outage, files: Files) -> Iterator[str]:
    breaker = outage.config.breaker
    usual = type(breaker)().open_duration
    yield f"real OpenAI and Anthropic SDKs, retries off; {outage.duration:g} s of scripted outage"
    yield f"open_duration is {breaker.open_duration:g} s here, not {usual:g}, to fit into that"
    yield f"replaces {', '.join(map(str, files.paths))}"


def _alone(group: BaseException) -> BaseException:
    """The exception itself, where a task group holds a single one: a pipe that closed, mostly."""
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group


def _require_sdks() -> None:
    missing = [name for name in _SDKS if find_spec(name) is None]
    if missing:
        extras = ",".join(("cli", *missing))
        raise CannotBegin(
            f"the demo needs the real SDKs, and misses {' and '.join(missing)}; "
            f"pip install 'fsm-fallback[{extras}]'"
        )


def _screen() -> Screen:
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}:
        from rich.console import Console  # noqa: PLC0415  # only where there is a terminal

        from fsm_fallback.cli.demo.live import LiveScreen  # noqa: PLC0415  # as above

        return LiveScreen(Console(highlight=False))
    from fsm_fallback.cli.demo.plain import PlainScreen  # noqa: PLC0415  # as above

    return PlainScreen()
