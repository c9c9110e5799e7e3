"""Real machines, driven by hand, that tell what they do to `record`."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import FINAL, ChainState
from fsm_fallback.core.lease import Refusal
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.telemetry import AuditLog

MARKER = "what the prompt said"
ABANDON = "abandon"
EXPIRE = "expire"


@attrs.frozen
class _Candidate:
    """A provider without anything behind it."""

    name: str
    context_window: int | None = None


def walk(record, *script, call=1, name="fallback", at=100.0):
    """Walk a real chain; an attempt takes one second.

    Each item of the script is a provider and what becomes of it: a `Refusal`, a `Fault`, `ABANDON`,
    `EXPIRE`, or anything else for an answer.
    """
    deadline = at + len(script) if any(item == EXPIRE for _, item in script) else None
    chain = Chain(
        name, call, tuple(_Candidate(who) for who, _ in script), deadline, None, at, record
    )
    became = dict(script)
    now = at
    chain.next(now)
    while chain.state not in FINAL:
        item = became[chain.candidate.name]
        if chain.state is ChainState.SELECTING:
            granted = Breaker(chain.candidate.name).admit(now)
            chain.admission(item if isinstance(item, Refusal) else granted, now)
            continue
        now += 1.0
        if isinstance(item, Fault):
            chain.fault(item, RuntimeError(MARKER), now)
        elif item == ABANDON:
            chain.abandon(now)
        elif item == EXPIRE:
            now = max(now, chain.deadline)
            chain.time_out(now)
        else:
            chain.answer(now)
    return chain


@pytest.fixture(name="walk")
def _walk() -> Callable[..., Chain]:
    return walk


@pytest.fixture
def breaker():
    """Make a breaker that trips at the second failure of two."""

    def make(record, name="openai", *, full=False):
        config = BreakerConfig(minimum_calls=2, jitter=0.0)
        return Breaker(name, config, now=100.0, record=record, record_stays=full)

    return make


@pytest.fixture
def recorder():
    """A flight recorder whose run began at mono 100, on 1 March 2026 at noon."""
    return AuditLog(clock=lambda: 100.0, wall=lambda: 1_772_366_400.0)


@pytest.fixture
def heard():
    """A mirror that remembers what it was told."""
    return _Heard()


class _Heard:
    """A logger of structlog's kind."""

    def __init__(self):
        self.told = []

    def info(self, event, **fields):
        self.told.append(("info", event, fields))

    def warning(self, event, **fields):
        self.told.append(("warning", event, fields))

    @property
    def events(self):
        return [event for _, event, _ in self.told]
