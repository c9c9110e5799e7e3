"""Synchronous, asyncio and trio: the same script gives the same trail, to the last number."""

import attrs
import pytest

from fsm_fallback import Attempt, BreakerConfig, RetryConfig, StreamConfig
from fsm_fallback.testing import (
    EmptyStream,
    Emulator,
    Filtered,
    Hang,
    MalformedChunk,
    ManualClock,
    NoDone,
    NoEnd,
    QuotaSpent,
    RateLimited,
    Reset,
    Stall,
    Status,
    StreamCut,
    StreamError,
)
from tests.conftest import LIBRARIES, Loop
from tests.scenarios.stage import a_stage

RETRY = RetryConfig(attempts=3, jitter="none", backoff=0.25)
QUICK = BreakerConfig(consecutive_failures=2, open_duration=5.0, jitter=0.0)
RESTART, BUFFER = StreamConfig(policy="restart"), StreamConfig(policy="buffer")
LIMIT = 0.1
REAL = {"real": True, "patience": 30.0}
SLOW_START = {**REAL, "stream": StreamConfig(first_output_timeout=LIMIT)}


@attrs.frozen
class Script:
    """What both providers do, and how the chain is configured; each call is `every` s later."""

    first: tuple
    second: tuple = ()
    options: dict = attrs.field(factory=dict)
    calls: int = 1
    every: float = 0.0


PLAIN = {
    "limited": Script((RateLimited(),), calls=7, every=2.0),
    "limited, waited for": Script((RateLimited(2),), (Status(503),) * 3, {"retry": RETRY}),
    "limited, another": Script((RateLimited(30),), (), {"retry": RETRY}, 3, 15.0),
    "limited beyond the deadline": Script(
        (RateLimited(30),), (RateLimited(40),), {"retry": RETRY, "deadline": 5.0}
    ),
    "failing once": Script((Status(500),)),
    "failing, tried again": Script((Status(500), Reset(), Status(500)), (), {"retry": RETRY}),
    "down": Script((Status(503),) * 5, (Status(503),), {"breaker": QUICK}, 9, 2.0),
    "wrong key": Script((Status(401),), (Status(503),) * 9, {}, 10),
    "no credit": Script((QuotaSpent(),), (), {}, 3),
    "bad request": Script((Status(400),)),
    "hanging": Script((Hang(),), (), {**REAL, "attempt_timeout": LIMIT}),
}
STREAMED = {
    "limited": Script((RateLimited(),), calls=7, every=2.0),
    "limited, waited for": Script((RateLimited(2),), (Status(503),) * 3, {"retry": RETRY}),
    "failing, tried again": Script((Status(500), StreamCut(0)), (), {"retry": RETRY}),
    "down": Script((StreamCut(0),) * 5, (NoEnd(0),), {"breaker": QUICK}, 9, 2.0),
    "cut": Script((StreamCut(2),)),
    "cut, restarted": Script((StreamCut(2),), (), {"stream": RESTART}),
    "cut, restarted, cut": Script((StreamCut(2),), (StreamCut(3),), {"stream": RESTART}),
    "cut, held back": Script((StreamCut(2),), (), {"stream": BUFFER}),
    "malformed": Script((MalformedChunk(0), MalformedChunk(2)), calls=2),
    "truncated": Script((NoEnd(), NoDone()), calls=2),
    "in error": Script((StreamError(0), StreamError(2), StreamError(2, failed=True)), calls=3),
    "in error, limited": Script((StreamError(2, 429),), calls=2),
    "empty": Script((EmptyStream(), EmptyStream(lifecycle=False)), (EmptyStream(),), calls=2),
    "filtered": Script((Filtered(2),)),
    "slow to begin": Script((Stall(0),), (), SLOW_START),
}


def shape(item):
    """What has to be the same of an attempt or a skip; times only where the clock is ours."""
    if isinstance(item, Attempt):
        kind = item.fault and item.fault.kind
        return item.provider, item.number, kind, item.usage, item.first_output is not None
    return item.provider, item.reason, item.until, item.cause and item.cause.kind


def came_of(script, loop, pair, *, streams):
    """All that can be told of a script: each call's outcome and trail, and the journal."""
    clock = ManualClock()
    with Emulator(clock=clock) as emulator, a_stage(emulator, clock, loop, pair) as stage:
        stage.first.script(*script.first)
        stage.second.script(*script.second)
        chain = stage.chain(streams=streams, **script.options)
        calls = []
        for number in range(script.calls):
            clock.advance_to(max(clock(), number * script.every))
            if streams:
                seen = stage.read(chain)
                outcome, trail, pieces = seen.error, seen.trail, seen.pieces
            else:
                try:
                    answer = stage.ask(chain)
                    outcome, trail, pieces = None, answer.trail, [answer.model]
                except ExceptionGroup as error:
                    outcome, trail, pieces = error, error.trail, []
            # Of a limit in real time the message tells how long it was.
            words = None if outcome is None or "real" in script.options else outcome.message
            calls.append((type(outcome), words, pieces, [shape(item) for item in trail]))
        journal = [
            (entry.provider, entry.outcome, entry.status, entry.at, entry.pieces)
            for entry in stage.journal
        ]
        ends = [stage.ends(name) for name in ("first", "second")]
        return calls, journal, ends, clock()


def assert_alike(script, pair, *, streams):
    """The three ways tell the same."""
    plain = came_of(script, None, pair, streams=streams)
    for library in LIBRARIES:
        assert came_of(script, Loop(library), pair, streams=streams) == plain


@pytest.mark.parametrize("script", PLAIN.values(), ids=PLAIN)
def test_plain_calls_are_alike(script):
    """Providers, kinds, numbers, reasons, usage, errors; and every request, with its time."""
    assert_alike(script, ("responses", "messages"), streams=False)


@pytest.mark.parametrize("pair", [("chat", "messages"), ("messages", "responses")], ids="-".join)
@pytest.mark.parametrize("script", STREAMED.values(), ids=STREAMED)
def test_streams_are_alike(script, pair):
    """The same, and every piece that was handed over."""
    assert_alike(script, pair, streams=True)
