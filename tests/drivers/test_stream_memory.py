"""A prompt is gone when its stream is, however that ended; the collector is off."""

import contextlib
import itertools
import threading

import anyio
import pytest

from fsm_fallback import BreakerConfig, FallbackConfig, FallbackProvider, StreamConfig, provider

BREAKER = BreakerConfig(minimum_calls=1)


def consume(loop, llm, prompt, most=None):
    """Read so many items, and leave; whatever is raised is dropped.

    The errors of a trail keep the frames they went through, and those their callers' frames: one
    of them that keeps the stream, and so the trail, is a cycle that nobody but its owner can break.
    """
    if loop is None:
        stream = llm.stream_detailed(prompt, more=prompt)
        with contextlib.suppress(ExceptionGroup), stream:
            for _ in itertools.islice(stream, most):
                pass
        del stream
        return

    async def main():
        stream = llm.astream_detailed(prompt, more=prompt)
        with contextlib.suppress(ExceptionGroup):
            async with stream:
                count = itertools.count(1)
                async for _ in stream:
                    if next(count) == most:
                        break
        del stream

    loop.run(main)


def streaming(name, *items):
    """A provider that gives these, or raises them, with the prompt in its frame; both forms."""

    class Both:
        def __init__(self):
            self.name = name

        def stream(self, prompt, **keywords):
            kept = [prompt, keywords]
            for item in items:
                if isinstance(item, type):
                    raise item(str(len(kept)))
                yield item

        async def astream(self, prompt, **keywords):
            kept = [prompt, keywords]
            for item in items:
                if isinstance(item, type):
                    raise item(str(len(kept)))
                if item is Ellipsis:
                    await anyio.sleep_forever()
                yield item

    return Both()


def in_threads(made):
    """The plain form only."""
    made.astream = None
    return made


ENDINGS = {
    "whole": lambda: [streaming("a", "", "one", "two")],
    "failed over": lambda: [streaming("a", "", ValueError), streaming("b", "one")],
    "failed": lambda: [streaming("a", ValueError), streaming("b", "", ConnectionError)],
    "broken": lambda: [streaming("a", "one", "two", ValueError), streaming("b", "uno")],
    "empty": lambda: [streaming("a", "", "")],
}


@pytest.mark.parametrize("policy", ["raise", "restart", "buffer"])
@pytest.mark.parametrize("most", [None, 1], ids=["read", "left"])
@pytest.mark.parametrize("make", ENDINGS.values(), ids=ENDINGS)
def test_a_stream_keeps_no_prompt(watched, plain_or_loop, make, most, policy):
    """Read to its end or left after the first item."""
    llm = FallbackProvider(
        *make(), config=FallbackConfig(breaker=BREAKER, stream=StreamConfig(policy=policy))
    )
    assert watched(lambda prompt: consume(plain_or_loop, llm, prompt, most))
    assert llm.audit.records()


@pytest.mark.parametrize("make", ENDINGS.values(), ids=ENDINGS)
def test_a_stream_through_worker_threads_keeps_no_prompt(watched, loop, make):
    """Each step of it in one."""
    llm = FallbackProvider(*map(in_threads, make()), config=FallbackConfig(breaker=BREAKER))

    def use(prompt):
        consume(loop, llm, prompt)
        for thread in threading.enumerate():  # they end soon after their loop
            if "AnyIO worker" in thread.name:
                thread.join(10.0)

    assert watched(use)


def test_a_cancelled_stream_keeps_no_prompt(watched, loop):
    """Nor its task, its scope, its timer."""
    llm = FallbackProvider(streaming("a", "one", ...)).options(deadline=600.0)

    async def read(prompt):
        async for _ in llm.astream(prompt):
            pass

    def use(prompt):
        async def main():
            async with loop.cancelling(read, prompt):
                await anyio.wait_all_tasks_blocked()

        loop.run(main)

    assert watched(use)


def test_a_stream_cut_by_its_limit_keeps_no_prompt(watched, loop):
    """The trail has a `TimeoutError`, and that no frames."""
    llm = FallbackProvider(
        streaming("a", ...), streaming("b", "one"), config=FallbackConfig(attempt_timeout=0.01)
    )
    assert watched(lambda prompt: consume(loop, llm, prompt))


def test_an_interrupted_stream_keeps_no_prompt(watched):
    """Ctrl-C in a provider."""
    llm = FallbackProvider(streaming("a", "one", KeyboardInterrupt))

    def use(prompt):
        with contextlib.suppress(KeyboardInterrupt):
            list(llm.stream(prompt))

    assert watched(use)


@pytest.mark.parametrize("begun", [False, True])
def test_a_dropped_stream_keeps_no_prompt(watched, begun):
    """Begun or not."""
    llm = FallbackProvider(streaming("a", "one", "two"))

    def use(prompt):
        stream = llm.stream(prompt)
        if begun:
            next(stream)

    assert watched(use)


def test_a_stream_through_two_levels_keeps_no_prompt(watched, plain_or_loop):
    """A chain in a chain, broken in the midst."""
    inner = FallbackProvider(streaming("a", "one", ValueError), name="inner")
    llm = FallbackProvider(inner, streaming("b", "uno"), config=FallbackConfig(breaker=BREAKER))
    assert watched(lambda prompt: consume(plain_or_loop, llm, prompt))


def test_a_stream_of_no_kind_keeps_no_prompt(watched, plain_or_loop):
    """Its error has what was given; the call is over."""

    @provider("a", streams=True)
    def ask(prompt):
        return len([prompt])

    @provider("a", streams=True)
    async def aask(prompt):
        return len([prompt])

    llm = FallbackProvider(aask if plain_or_loop else ask)
    assert watched(lambda prompt: consume(plain_or_loop, llm, prompt))
