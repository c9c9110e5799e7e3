"""One run: the emulator follows the script, the callers ask, a screen shows it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Final

import anyio

from fsm_fallback.cli.demo.evidence import Evidence, Request
from fsm_fallback.cli.demo.files import Files
from fsm_fallback.cli.demo.outage import CHAIN_NAME, PROVIDERS, Outage
from fsm_fallback.cli.demo.scene import Scene, Screen
from fsm_fallback.cli.demo.sdks import Sdks, sdks
from fsm_fallback.cli.demo.traffic import Ledger, Llm, ask_until
from fsm_fallback.cli.endings import CannotBegin
from fsm_fallback.fallback import FallbackProvider
from fsm_fallback.telemetry import AuditLog
from fsm_fallback.testing import EmulatedProvider, Emulator
from fsm_fallback.testing.emulator import Journal, Step

_FRAME: Final = 1 / 8
_CLOCK: Final[Callable[[], float]] = time.monotonic


async def play(outage: Outage, seed: int, files: Files, screen: Screen) -> Evidence:
    """Play an outage to its end, and hear the witnesses.

    Raises:
        CannotBegin: If there is no port to be had on loopback.
    """
    with Emulator(clock=_CLOCK) as emulator:
        emulated = _providers(emulator)
        async with sdks(emulated) as clients:
            await _warm_up(clients, emulator.journal)
            files.empty_audit()
            with AuditLog(files.audit, clock=_CLOCK) as log:
                llm = _chain(clients, outage, seed, log)
                files.write_diagrams(llm.diagram())
                scene = Scene(outage, llm, Ledger(), _CLOCK(), _CLOCK)
                await _perform(scene, emulated, seed, screen)
                ended_at = _CLOCK()
    return Evidence(
        started=scene.ledger.started,
        calls=tuple(scene.ledger.calls),
        raised=tuple(clients.raised),
        requests=tuple(map(Request.of, emulator.journal)),
        audit=tuple(files.audit.read_text(encoding="utf-8").splitlines()),
        lost=log.errors + log.dropped,
        diagrams=files.read_diagrams(),
        ended_at=ended_at,
    )


def _providers(emulator: Emulator) -> dict[str, EmulatedProvider]:
    try:
        return {
            "anthropic": emulator.provider("anthropic", dialect="anthropic"),
            "openai": emulator.provider("openai", dialect="openai"),
        }
    except OSError as error:
        raise CannotBegin(
            f"the emulator cannot listen on loopback ({error.strerror}); allow it to bind 127.0.0.1"
        ) from error


async def _warm_up(clients: Sdks, journal: Journal) -> None:
    """Have the SDKs import what they import on their first request, before anything is timed."""
    await clients.anthropic("Are you there?", 0)
    await clients.openai("Are you there?", 0)
    journal.clear()


def _chain(clients: Sdks, outage: Outage, seed: int, log: AuditLog) -> Llm:
    return FallbackProvider(
        clients.anthropic,
        clients.openai,
        config=outage.config,
        clock=_CLOCK,
        sample=random.Random(seed).random,  # noqa: S311  # jitter and order, no secrets
        audit=log,
        name=CHAIN_NAME,
    )


async def _perform(
    scene: Scene, emulated: Mapping[str, EmulatedProvider], seed: int, screen: Screen
) -> None:
    with screen:
        async with anyio.create_task_group() as group:
            group.start_soon(_follow_script, scene, emulated)
            group.start_soon(_show, scene, screen)
            await ask_until(scene.is_over, scene.llm, scene.ledger, scene.outage.pauses, seed)
            group.cancel_scope.cancel()
        screen.draw(scene)


async def _follow_script(scene: Scene, emulated: Mapping[str, EmulatedProvider]) -> None:
    present: dict[str, Step] = {}
    for phase in scene.outage.phases:
        await anyio.sleep(max(0.0, phase.starts_at - scene.elapsed))
        for name in PROVIDERS:
            step = phase.steps[name]
            if present.get(name) != step:
                present[name] = step
                emulated[name].always(step)
                emulated[name].release()


async def _show(scene: Scene, screen: Screen) -> None:
    while True:
        screen.draw(scene)
        await anyio.sleep(_FRAME)
