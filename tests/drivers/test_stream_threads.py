"""A plain stream that is awaited is read in worker threads, and left behind where it must be."""

import threading
import time

import anyio
import pytest

from fsm_fallback import FallbackConfig, FallbackProvider, provider
from specs.scripted_streams import PlainStreams, ScriptedStreams

SOON = 0.02


def down():
    """An outage."""
    return ConnectionError("down")


def until(found):
    """What is found at last, by another thread's doing."""
    for _ in range(1_000):
        if what := found():
            return what
        time.sleep(0.005)
    raise AssertionError("not found in time")


def test_it_is_handed_over_and_closed_as_any_other(loop, clock, at_rest):
    """Each step in a thread."""
    seen = []

    class Noting(PlainStreams):
        def stream(self, *args, **kwargs):
            seen.append(threading.current_thread())
            return super().stream(*args, **kwargs)

    failing, plain = Noting("a", [down()], clock=clock), Noting("b", ["one", "two"], clock=clock)
    llm = FallbackProvider(failing, plain, clock=clock)

    async def main():
        return [item async for item in llm.astream("why")]

    assert loop.run(main) == ["one", "two"]
    assert (failing.closings, plain.closings) == ([1], [1])
    assert threading.current_thread() not in seen
    assert at_rest(llm)


@pytest.mark.parametrize("way", ["cut", "cancelled"])
@pytest.mark.parametrize("ends", ["item", "error"])
def test_a_step_left_behind_closes_its_stream_when_it_comes_back(loop, at_rest, way, ends):
    """In its own thread, once; it is recorded once, as late, and says why."""
    stuck, release, closed = threading.Event(), threading.Event(), threading.Event()
    closings = []

    class Stuck:
        def __iter__(self):
            return self

        def __next__(self):
            stuck.set()
            release.wait(10.0)
            if ends == "error":
                raise down()
            return "late"

        def close(self):
            closings.append(threading.current_thread())
            closed.set()

    @provider("a", streams=True)
    def ask(prompt):
        return Stuck()

    second = ScriptedStreams("b", ["hello"])
    limits = {"attempt_timeout": SOON} if way == "cut" else {}
    llm = FallbackProvider(ask, second, config=FallbackConfig(**limits))
    items = []

    async def read():
        items.extend([item async for item in llm.astream("why")])

    async def main():
        try:
            if way == "cut":
                await read()
            else:
                async with loop.cancelling(read):
                    await anyio.to_thread.run_sync(stuck.wait, 10.0)
            assert closings == []
        finally:
            release.set()

    loop.run(main)
    assert closed.wait(10.0)
    assert items == (["hello"] if way == "cut" else [])
    assert len(closings) == 1
    assert closings[0] is not threading.current_thread()
    assert at_rest(llm)
    late = until(lambda: [r for r in llm.audit.records() if r["verdict"] == "late"])
    (record,) = late
    assert record["machine"] == "breaker"
    assert record["because"]["abandoned"] is True
    snapshot = llm.breaker("a").snapshot()
    assert (snapshot.in_flight, snapshot.calls) == (0, 1 if way == "cut" else 0)


def test_an_exit_in_a_thread_passes_through_and_closes(loop, clock, at_rest, last_word):
    """It is no late result, and its stream is closed all the same."""
    plain = PlainStreams("a", ["one", SystemExit(3)], clock=clock)
    llm = FallbackProvider(plain, clock=clock)

    async def main():
        async for _ in llm.astream("why"):
            pass

    with pytest.raises(SystemExit):
        loop.run(main)
    assert plain.closings == [1]
    assert at_rest(llm)
    assert last_word(llm) == ("abandon", "abandoned")
