"""The soak: a great many calls with faults, cancellations and late results, and nothing left over.

Plain calls in threads, awaited ones in the tasks of asyncio and of trio, streams of both kinds,
chains within chains, accounts, retries, waits; and a share through a real SDK over loopback HTTP.
It runs in ten rounds that share their chains. At the end every lease is back, every call has ended
once, no task, thread or file descriptor is left, and memory stands where it stood after two rounds.

    python benchmarks/soak.py --calls 1000000
"""

# ruff: noqa: S311, SLF001  # no secrets here; what is left over is looked for inside

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import itertools
import logging
import os
import random
import sys
import threading
import time
import warnings
from collections import Counter
from contextlib import aclosing, closing, suppress
from itertools import islice
from typing import Any, Final

import anyio
import openai
import trio
from flaky import Flaky, Plain, Sdk, clients_of, responder

from fsm_fallback import (
    AuditLog,
    BreakerConfig,
    ChainFailed,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    RetryConfig,
    StreamConfig,
)
from fsm_fallback.core.chain_rows import FINAL, ChainState
from fsm_fallback.core.events import AttemptStep, ChainStep, StreamStep
from fsm_fallback.testing import (
    Emulator,
)

ROUNDS: Final = 10
THREADS: Final = 4
TASKS: Final = 50
HTTP_TASKS: Final = 8
SHARES: Final = {"plain": 0.55, "asyncio": 0.29, "trio": 0.15, "http": 0.01}
GROWTH: Final = 24 * 1024 * 1024
PATIENCE: Final = 10.0
BREAKER: Final = BreakerConfig(
    window=CountWindow(50),
    minimum_calls=20,
    failure_ratio=0.4,
    open_duration=0.01,
    max_open_duration=0.05,
    max_hold=0.05,
    probe_timeout=0.1,
)
RETRY: Final = RetryConfig(attempts=2, backoff=0.001, max_retry_after=0.01)


class Counting(AuditLog):
    """A flight recorder that counts how calls end."""

    def append(self, step) -> None:
        # Appended to by many threads at once: each counter is one atomic step.
        if isinstance(step, tuple):
            if isinstance(step, (AttemptStep, StreamStep, ChainStep)):
                row = step.row
                if row.target in FINAL:
                    next(self.ends[row.target])
            elif type(step[0]).__name__ == "Answered":
                next(self.ends[ChainState.SUCCEEDED])
        AuditLog.append(self, step)


def counting() -> Counting:
    log = Counting(capacity=256)
    object.__setattr__(log, "ends", {state: itertools.count() for state in FINAL})
    return log


def count_of(counter) -> int:
    """How often a counter was taken from; that is the end of it."""
    return next(counter)


class Soak:
    """The chains, what is asked of them, and what came of it."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.said = {word: itertools.count() for word in ("answered", "failed", "left", "unbegun")}
        self.errors: list[BaseException] = []
        self.chains: dict[str, FallbackProvider[..., Any]] = {}
        self.providers: list[Flaky] = []
        make = self._chain
        config = {"breaker": BREAKER, "attempt_timeout": 0.02, "deadline": 0.2}
        unlimited = [self._flaky("a", 0.15), self._flaky("b", 0.05)]
        for each in unlimited:
            each.stall = 0.005
        make("two", unlimited)
        make("three", [self._flaky(name, 0.2) for name in "cde"], retry=RETRY, **config)
        make(
            "paid",
            [self._flaky("f", 0.2, "acme"), self._flaky("g", 0.2, "acme"), self._flaky("h", 0.05)],
            stream=StreamConfig(policy="restart", idle_timeout=0.02),
            **config,
        )
        make(
            "patient",
            [self._flaky("i", 0.3), self._flaky("j", 0.3)],
            when_all_open="wait",
            stream=StreamConfig(policy="buffer"),
            **config,
        )
        make("outer", [self.chains["two"], self._flaky("k", 0.05)], **config)
        make("threads", [self._flaky("l", 0.1, kind=Plain), self._flaky("m", 0.05)], **config)
        shared = self.chains["three"]._providers
        make("sharing", list(reversed(shared)), **config)
        self.names = (
            ["two"] * 6 + ["three"] * 4 + ["paid"] * 4 + ["patient", "outer", "sharing"] * 2
        )
        self.awaited = [*self.names, "threads"]

    def _flaky(self, name, failing, account=None, kind=Flaky) -> Flaky:
        made = kind(name, failing, account)
        self.providers.append(made)
        return made

    def _chain(self, name, providers, **config) -> None:
        config.setdefault("breaker", BREAKER)
        self.chains[name] = FallbackProvider(
            *providers, config=FallbackConfig(**config), name=name, audit=counting()
        )

    # What is asked --------------------------------------------------------------------------

    def say(self, word: str) -> None:
        next(self.said[word])

    def plain(self, calls: int) -> None:
        """Plain calls and streams, in a thread."""
        for _ in range(calls):
            llm = self.chains[random.choice(self.names)]
            try:
                if random.random() < 0.2:
                    self._stream(llm)
                elif random.random() < 0.3:
                    llm.detailed("why")
                    self.say("answered")
                else:
                    llm.call("why")
                    self.say("answered")
            except ChainFailed:
                self.say("failed")

    def _stream(self, llm) -> None:
        chance = random.random()
        if chance < 0.1:
            next(llm.stream("why"), None)  # dropped half read, or read whole
            self.say("left")
        elif chance < 0.15:
            llm.stream("why")
            self.say("unbegun")
        else:
            with closing(llm.stream("why")) as stream:
                most = None if chance < 0.7 else random.randrange(1, 4)
                for _ in islice(stream, most):
                    pass
            self.say("answered" if most is None else "left")

    async def awaited_call(self, llm) -> None:
        """One awaited call or stream, perhaps cut."""
        chance = random.random()
        with anyio.move_on_after(random.random() * 0.001 if chance < 0.05 else None) as scope:
            try:
                if random.random() < 0.2:
                    async with aclosing(llm.astream("why")) as stream:
                        seen, most = 0, random.choice([99, 99, 99, 1, 2])
                        async for _ in stream:
                            seen += 1
                            if seen == most:
                                break
                elif random.random() < 0.3:
                    await llm.adetailed("why")
                else:
                    await llm.acall("why")
            except ChainFailed:
                self.say("failed")
                return
        self.say("left" if scope.cancelled_caught else "answered")

    async def tasks(self, calls: int) -> None:
        """Awaited calls, in the tasks of a loop."""
        left = itertools.count()

        async def work() -> None:
            while next(left) < calls:
                await self.awaited_call(self.chains[random.choice(self.awaited)])
                if random.random() < 0.05:
                    await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for _ in range(TASKS):
                group.start_soon(work)

    async def cancelled_tasks(self, calls: int) -> None:
        """As `tasks`, and some tasks of their own that asyncio cancels."""
        extra = calls // 50
        await self.tasks(calls - extra)
        for _ in range(extra):
            llm = self.chains[random.choice(self.names)]
            task = asyncio.create_task(self._to_be_cancelled(llm))
            for _ in range(random.randrange(1, 4)):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()

    async def _to_be_cancelled(self, llm) -> None:
        try:
            await llm.acall("why")
        except ChainFailed:
            self.say("failed")
        except asyncio.CancelledError:
            self.say("left")
            raise
        else:
            self.say("answered")

    async def http(self, calls: int, urls: dict[str, str]) -> None:
        """Calls and streams through a real SDK, over real sockets."""
        clients = {
            name: openai.AsyncOpenAI(
                base_url=url,
                api_key="made-up",
                max_retries=0,
                http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
            )
            for name, url in urls.items()
        }
        llm = self.chains["http"]
        clients_of.set(clients)
        left = itertools.count()

        async def work() -> None:
            while next(left) < calls:
                await self.awaited_call(llm)

        try:
            async with anyio.create_task_group() as group:
                for _ in range(HTTP_TASKS):
                    group.start_soon(work)
        finally:
            for client in clients.values():
                await client.close()

    # Rounds ---------------------------------------------------------------------------------

    def round(self, calls: int, urls: dict[str, str]) -> None:
        """All kinds at once, each in its thread."""
        plain = int(calls * SHARES["plain"]) // THREADS
        counts = {kind: int(calls * share) for kind, share in SHARES.items()}
        counts["plain"] = plain * THREADS
        counts["asyncio"] += calls - sum(counts.values())
        works = [functools.partial(self.plain, plain) for _ in range(THREADS)]
        works.append(lambda: asyncio.run(self.cancelled_tasks(counts["asyncio"])))
        works.append(lambda: trio.run(self.tasks, counts["trio"]))
        works.append(lambda: asyncio.run(self.http(counts["http"], urls)))
        threads = [threading.Thread(target=self._work, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise ExceptionGroup("the soak failed", [e for e in self.errors if e])

    def _work(self, work) -> None:
        try:
            work()
        except Exception as error:
            self.errors.append(error)

    def check(self) -> dict[str, int]:
        """Nothing is out, and the calls are as many as their ends; numbers to print."""
        out = waiting = begun = ended = 0
        ends = Counter()
        for llm in self.chains.values():
            waiting += llm._budget.out
            out += sum(circuit.snapshot().in_flight for circuit in llm._circuits.values())
            begun += count_of(llm._calls) - 1
            for state, counter in llm.audit.ends.items():
                ends[state.value] += count_of(counter)
        ended = sum(ends.values())
        said = {word: count_of(counter) for word, counter in self.said.items()}
        opened = sum(count_of(each.opened) for each in self.providers)
        closed = sum(count_of(each.closed) for each in self.providers)
        print(f"  calls asked for   {sum(said.values()):>9,}   {said}")
        print(f"  calls begun       {begun:>9,}   (one of a chain inside is one more)")
        print(f"  calls ended       {ended:>9,}   {dict(ends)}")
        print(f"  streams opened    {opened:>9,}   closed {closed:,}")
        print(f"  leases out        {out:>9,}")
        print(f"  retries out       {waiting:>9,}")
        assert out == 0
        assert waiting == 0
        assert begun == ended
        assert opened == closed
        assert sum(said.values()) == self.calls
        return dict(ends)


def resident() -> int:
    """Bytes of memory in use."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """How many files and sockets are open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def until(reached) -> bool:
    """Whether something is so at last: threads left behind need a moment."""
    end = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def main() -> None:
    """Run it, and print what is left."""
    parser = argparse.ArgumentParser(description="The soak.")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random.seed(given.seed)
    logging.disable(logging.ERROR)
    # trio tells of generators that a cancelled task dropped.
    warnings.simplefilter("ignore", ResourceWarning)
    threads, files = threading.active_count(), descriptors()
    soak = Soak(given.calls)
    began, used = time.monotonic(), 0
    with Emulator() as emulator:
        urls = {}
        for name, failing in (("primary", 0.2), ("secondary", 0.05)):
            served = emulator.provider(name, dialect="openai")
            served.respond(responder(failing))
            urls[name] = served.base_url
        soak._chain(
            "http",
            [Sdk("primary"), Sdk("secondary")],
            attempt_timeout=0.5,
            deadline=5.0,
        )
        share = given.calls // ROUNDS
        for number in range(1, ROUNDS + 1):
            calls = share if number < ROUNDS else given.calls - share * (ROUNDS - 1)
            soak.round(calls, urls)
            took = time.monotonic() - began
            now = resident()
            used = now if number == 2 else used
            rate = (number * share) / took
            print(
                f"{number * 10:>3} %  {took:7.1f} s  {rate:8,.0f} calls/s  {now / 2**20:6.1f} MiB"
            )
            sys.stdout.flush()
            emulator.journal.clear()
    grown = resident() - used
    until(lambda: threading.active_count() <= threads)
    gc.collect()
    soak.check()
    print(f"  threads more      {threading.active_count() - threads:>9,}")
    print(f"  descriptors more  {descriptors() - files:>9,}")
    print(f"  memory more       {grown / 2**20:>9.1f} MiB since 20 %")
    assert threading.active_count() <= threads, threading.enumerate()
    assert descriptors() <= files
    assert grown < GROWTH
    print("nothing is left over")


if __name__ == "__main__":
    main()
