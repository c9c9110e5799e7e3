"""A prompt is gone when its call is: no cycle, no record, no thread keeps it.

The collector is off in these tests: what dies, dies because nothing refers to it any more.
"""

import contextlib
import threading
import weakref

import anyio
import anyio.lowlevel
import pytest

from fsm_fallback import BreakerConfig, FallbackConfig, FallbackProvider, Fault, FaultKind, provider

BREAKER = BreakerConfig(minimum_calls=1)
QUICK = FallbackConfig(breaker=BREAKER, deadline=30.0, attempt_timeout=10.0)
SLOW = FallbackConfig(breaker=BREAKER)


def failing(name, error=ConnectionError, **more):
    """A plain provider that fails with the prompt in its frame."""

    @provider(name, **more)
    def ask(prompt, **keywords):
        kept = [prompt, keywords]
        raise error(str(len(kept)))

    return ask


def answering(name):
    """A plain provider that answers."""

    @provider(name)
    def ask(prompt, **keywords):
        return "hello"

    return ask


def awaited(made):
    """The same provider as a coroutine function."""
    function = made.__wrapped__

    @provider(made.name, classify=made.classify)
    async def ask(prompt, **keywords):
        await anyio.lowlevel.checkpoint()
        return function(prompt, **keywords)

    return ask


CHAINS = {
    "answered": (answering("a"),),
    "failed over": (failing("a"), answering("b")),
    "failed": (failing("a"), failing("b", ValueError)),
    "rejected": (failing("a", classify=lambda _: Fault(FaultKind.CALLER)),),
}
METHODS = ["call", "detailed"]


@pytest.mark.parametrize("config", [QUICK, SLOW], ids=["with limits", "without"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("providers", CHAINS.values(), ids=CHAINS)
def test_a_plain_call_keeps_no_prompt(watched, providers, method, config):
    """Whether it was answered at once, after a failure, or not at all."""
    llm = FallbackProvider(*providers, config=config)

    def use(prompt):
        with contextlib.suppress(ExceptionGroup):
            getattr(llm, method)(prompt, more=prompt)

    assert watched(use)


@pytest.mark.parametrize("config", [QUICK, SLOW], ids=["with limits", "without"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("providers", CHAINS.values(), ids=CHAINS)
def test_an_awaited_call_keeps_no_prompt(watched, loop, providers, method, config):
    """Over coroutine functions."""
    llm = FallbackProvider(*map(awaited, providers), config=config)

    def use(prompt):
        async def main():
            with contextlib.suppress(ExceptionGroup):
                await getattr(llm, f"a{method}")(prompt, more=prompt)

        loop.run(main)

    assert watched(use)


@pytest.mark.parametrize("providers", CHAINS.values(), ids=CHAINS)
def test_a_call_through_worker_threads_keeps_no_prompt(watched, loop, providers):
    """Over plain functions, awaited."""
    llm = FallbackProvider(*providers, config=QUICK)

    def use(prompt):
        async def main():
            with contextlib.suppress(ExceptionGroup):
                await llm.acall(prompt, more=prompt)

        loop.run(main)
        for thread in threading.enumerate():  # they end soon after their loop
            if "AnyIO worker" in thread.name:
                thread.join(10.0)

    assert watched(use)


def test_a_refused_call_keeps_no_prompt(watched):
    """Breakers keep faults, and faults keep no requests."""
    llm = FallbackProvider(failing("a"), config=SLOW)

    def use(prompt):
        for _ in range(3):
            with contextlib.suppress(ExceptionGroup):
                llm.call(prompt)

    assert watched(use)


def test_an_interrupted_call_keeps_no_prompt(watched):
    """Whoever left left nothing behind."""
    llm = FallbackProvider(failing("a", KeyboardInterrupt))

    def use(prompt):
        with contextlib.suppress(KeyboardInterrupt):
            llm.call(prompt)

    assert watched(use)


@pytest.mark.parametrize("config", [QUICK, SLOW], ids=["with limits", "without"])
def test_a_cancelled_call_keeps_no_prompt(watched, loop, config):
    """Nor its task, its scope, its timer."""

    @provider("a")
    async def stuck(prompt):
        await anyio.sleep_forever()

    llm = FallbackProvider(stuck, config=config)

    def use(prompt):
        async def main():
            async with loop.cancelling(llm.acall, prompt):
                await anyio.wait_all_tasks_blocked()

        loop.run(main)

    assert watched(use)


def test_an_attempt_cut_by_its_limit_keeps_no_prompt(watched, loop):
    """The trail has a `TimeoutError`, and that no frames."""

    @provider("a")
    async def stuck(prompt):
        await anyio.sleep_forever()

    llm = FallbackProvider(
        stuck, awaited(answering("b")), config=FallbackConfig(attempt_timeout=0.01)
    )

    def use(prompt):
        assert loop.run(llm.acall, prompt) == "hello"

    assert watched(use)


def test_an_error_that_is_kept_keeps_its_prompt_until_it_is_dropped(watched):
    """A traceback leads to frames; without the error it is gone."""
    llm = FallbackProvider(failing("a"))
    kept = []

    def use(prompt):
        try:
            llm.call(prompt)
        except ExceptionGroup as error:
            kept.append(error)

    assert not watched(use)

    def use_and_drop(prompt):
        use(prompt)
        kept.clear()

    assert watched(use_and_drop)


def test_records_in_memory_keep_no_prompt(watched):
    """The audit log reads tables, not requests."""
    llm = FallbackProvider(failing("a"), answering("b"), audit="full")
    assert watched(lambda prompt: llm.call(prompt, more=prompt))
    assert llm.audit.records()


def test_a_call_left_behind_in_its_thread_keeps_no_prompt_once_it_ends(watched, loop):
    """Nobody takes what it came to, and its error keeps the frames it went through."""
    gone, release = threading.Event(), threading.Event()

    @provider("a")
    def stuck(prompt):
        kept = [prompt]
        release.wait(10.0)
        raise ConnectionError(str(len(kept)))

    llm = FallbackProvider(
        stuck, awaited(answering("b")), config=FallbackConfig(attempt_timeout=0.1)
    )

    def use(prompt):
        weakref.finalize(prompt, gone.set)
        assert loop.run(llm.acall, prompt) == "hello"

    try:
        # Its thread is not waited for, and has it still.
        assert not watched(use)
    finally:
        release.set()
    assert gone.wait(10.0)
