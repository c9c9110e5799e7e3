"""Many calls at once share breakers and nothing else: each has its own trail and answer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.lowlevel
import pytest

from fsm_fallback import (
    BreakerConfig,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    RetryConfig,
)

CALLS = 100
THREADS = 16
ROUNDS = 20
STEADY = BreakerConfig(minimum_calls=100_000, window=CountWindow(100_000))
CONFIG = FallbackConfig(
    breaker=STEADY,
    retry=RetryConfig(attempts=2, backoff=0.001, budget=1.0, budget_floor=10_000),
)


class ServiceUnavailableError(Exception):
    """As an SDK raises it for a 503, with the number of its call."""

    status_code = 503


class Numbered:
    """A provider that fails or answers as the number of the call says, and names it."""

    def __init__(self, name, fails):
        self.name = name
        self.fails = fails

    def call(self, number):
        """Fail or answer."""
        if self.fails(number):
            raise ServiceUnavailableError(self.name, number)
        return self.name, number

    async def acall(self, number):
        """Call it, after some turns of the loop."""
        for _ in range(number % 5):
            await anyio.lowlevel.checkpoint()
        return self.call(number)

    def stream(self, number):
        """Three parts."""
        yield ""
        for part in range(3):
            yield (*self.call(number), part)

    async def astream(self, number):
        """Three parts, after some turns of the loop each."""
        yield ""
        for part in range(3):
            for _ in range((number + part) % 3):
                await anyio.lowlevel.checkpoint()
            yield (*self.call(number), part)


@pytest.fixture
def llm():
    """The first fails every second call, the second every third."""
    return FallbackProvider(
        Numbered("a", lambda number: number % 2 == 0),
        Numbered("b", lambda number: number % 3 == 0),
        config=CONFIG,
    )


def asked(number):
    """Whom a call should have asked, and who answers; None if nobody."""
    if number % 2:
        return ["a"], "a"
    if number % 3:
        return ["a", "a", "b"], "b"
    return ["a", "a", "b", "b"], None


def is_own(number, trail):
    """Whether every error of a trail is of that call."""
    names = [attempt.provider for attempt in trail]
    errors = [attempt.error for attempt in trail if attempt.error is not None]
    return names == asked(number)[0] and all(error.args[1] == number for error in errors)


def check_call(number, outcome):
    """A call has its own trail, and its own answer or none."""
    assert is_own(number, outcome.trail)
    by = asked(number)[1]
    assert (getattr(outcome, "value", None)) == (by and (by, number))


def check_stream(number, items, stream):
    """As `check_call`, of a stream."""
    by = asked(number)[1]
    assert is_own(number, stream.trail)
    assert items == (["", *((by, number, part) for part in range(3))] if by else [])


def plain_call(llm, number):
    """The answer or the error of a plain call."""
    try:
        return llm.detailed(number)
    except ExceptionGroup as error:
        return error


def test_a_hundred_awaited_calls_at_once_do_not_meet(loop, llm):
    """Whoever fails over, waits or fails among them."""

    async def call(number):
        try:
            outcome = await llm.adetailed(number)
        except ExceptionGroup as error:
            outcome = error
        check_call(number, outcome)

    async def stream(number):
        items = []
        async with llm.astream_detailed(number) as stream:
            try:
                async for item in stream:
                    items.append(item)  # noqa: PERF401  # what came before an error counts
            except ExceptionGroup:
                pass
            check_stream(number, items, stream)

    async def main():
        async with anyio.create_task_group() as tasks:
            for number in range(CALLS):
                tasks.start_soon(call, number)
                tasks.start_soon(stream, number)

    loop.run(main)
    check_settled(llm, 2 * CALLS)


def test_sixteen_threads_do_not_meet(llm):
    """All of them begin at once, and stream in between."""
    gate = threading.Barrier(THREADS)

    def work(thread):
        gate.wait()
        for number in range(thread, thread + ROUNDS):
            check_call(number, plain_call(llm, number))
            items = []
            with llm.stream_detailed(number) as stream:
                try:
                    for item in stream:
                        items.append(item)  # noqa: PERF402  # as above
                except ExceptionGroup:
                    pass
                check_stream(number, items, stream)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    check_settled(llm, 2 * THREADS * ROUNDS)


def check_settled(llm, calls):
    """Every call got its own number, and nothing is out."""
    assert next(llm._made.calls) == calls + 1
    assert llm._made.wiring.budget.out == 0
    for name in "ab":
        assert llm.breaker(name).snapshot().in_flight == 0
    ends = {}
    for record in llm.audit.records():
        if record["machine"] == "chain" and record["to"] in {"succeeded", "failed"}:
            ends.setdefault(record["call_id"], []).append(record["to"])
    assert all(len(each) == 1 for each in ends.values())
