"""A breaker alone, against other libraries' breakers.

python benchmarks/breaker.py

Calls, plain and awaited: healthy ones, refused ones, failing ones that leave the breaker closed.
Then 8 threads on one breaker, 10,000 tasks on one breaker, memory and import time. The contenders
do not do the same work: `interlock-cb` and ours keep a window of a hundred calls, the others count
failures in a row; `circuitbreaker`, `purgatory`, `aiobreaker` and `hyx` take no lock; `pybreaker`
holds one for the whole call. Functions answer, or raise, at once, so what is measured is what a
breaker adds to a call. Imports are measured from bytecode (see `tell_import`). It takes about a
minute and a half.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import repeat
from typing import Any

import attrs
from contenders import AWAITED, OURS, PLAIN, PURGATORY, THEIRS, Down, Wanted
from forms import (
    ANSWER,
    AWAITED_WAY,
    PLAIN_WAY,
    PROMPT,
    Way,
    answer,
    bare_raise,
    catching,
    down,
    failing_by_lease,
)
from harness import Budget, Call, Race, race, report, verdict

from fsm_fallback import BreakerConfig, BreakerState, CircuitBreaker, CountWindow, TimeWindow

FAR = 3600.0
STAYS_CLOSED = Wanted(failures=100, failure_ratio=1.0)
OPENS_AT_ONCE = Wanted(failures=1, open_duration=FAR)
TOLERANT = BreakerConfig(window=CountWindow(100), minimum_calls=100, failure_ratio=1.0)

KEPT = "purgatory, breaker kept"
"""Its cheapest form: `with` a breaker that is kept, where its decorator looks one up at every call.
The budgets are held against it."""

THREADS = 8
TASKS = 10_000
BREAKERS = 2_000
NOT_IMPORTED = ("openai", "anthropic", "structlog", "cattrs", "redis", "asyncio")


# Calls ---------------------------------------------------------------------------------------


@attrs.frozen
class Entrants:
    """The contenders of a race, and what is checked when it is over."""

    calls: dict[str, Call]
    finish: dict[str, Callable[[], object]]
    stands: dict[str, tuple[str, Callable[[], str]]]
    """By contender, the state its breaker has to be in, and how to read it."""


def healthy(way: Way, entrants: Entrants) -> None:
    def ours(form: str, call: Callable[[CircuitBreaker], Call], **parameters: Any) -> None:
        breaker = CircuitBreaker("search", BreakerConfig(**parameters))
        entrants.calls[f"ours: {form}"] = call(breaker)
        entrants.stands[f"ours: {form}"] = "closed", lambda: OURS.state(breaker)

    def decorated(breaker: CircuitBreaker) -> Call:
        return partial(breaker(way.answer), PROMPT)

    entrants.calls["direct call"] = partial(way.answer, PROMPT)
    entrants.calls[KEPT] = way.kept_purgatory()
    for library in way.theirs:
        guarded = library.guard(library.breaker(Wanted()), way.answer)
        entrants.calls[library.name] = partial(guarded, PROMPT)
    ours("decorator", decorated)
    ours("call", lambda breaker: partial(getattr(breaker, way.call), way.answer, PROMPT))
    ours("with", way.with_block)
    ours("lease by hand", way.by_lease)
    ours("slow calls watched", decorated, slow_call_duration=60.0)
    ours("time window", decorated, window=TimeWindow(seconds=60, buckets=60))


def refused(way: Way, entrants: Entrants) -> None:
    entrants.calls["refused: bare raise"] = bare_raise
    for library in (*way.theirs, OURS):
        name = "ours: decorator" if library is OURS else library.name
        breaker = library.breaker(OPENS_AT_ONCE)
        guarded = library.guard(breaker, way.down)
        run(way.catching(partial(guarded, PROMPT), Exception))
        call = way.catching(partial(guarded, PROMPT), library.refusal)
        entrants.calls[f"refused: {name}"] = call
        entrants.stands[f"refused: {name}"] = "open", partial(library.state, breaker)
        if library is PURGATORY:
            # It raises one object again and again, whose traceback grows by every refusal: some
            # gigabytes in a race. Freeing it is left to the end of a batch, and measured with it.
            (state,) = [context._state for context in breaker.contexts()]  # noqa: SLF001
            entrants.finish[f"refused: {name}"] = partial(state.with_traceback, None)
        if library is OURS:
            entrants.calls["refused: ours: try_acquire"] = breaker.try_acquire
            entrants.calls["refused: ours: acquire"] = catching(breaker.acquire, OURS.refusal)


def failing_calls(way: Way, entrants: Entrants) -> None:
    entrants.calls["failing: direct call"] = way.catching(partial(way.failing(), PROMPT), Down)
    for library in (*way.theirs, OURS):
        name = "ours: decorator" if library is OURS else library.name
        breaker = library.breaker(STAYS_CLOSED)
        guarded = library.guard(breaker, way.failing())
        entrants.calls[f"failing: {name}"] = way.catching(partial(guarded, PROMPT), Down)
        entrants.stands[f"failing: {name}"] = "closed", partial(library.state, breaker)
    breaker = CircuitBreaker("search", TOLERANT)
    entrants.calls["failing: ours: lease by hand"] = failing_by_lease(breaker)
    entrants.stands["failing: ours: lease by hand"] = "closed", partial(OURS.state, breaker)


def run(call: Call) -> Any:
    result = call()
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


def race_of(way: Way) -> Race:
    """All contenders in one race, so that a ratio of any two compares the same seconds."""
    entrants = Entrants({}, {}, {})
    for enter in (healthy, refused, failing_calls):
        enter(way, entrants)
    result = race(entrants.calls, finish=entrants.finish)
    for name, (state, read) in entrants.stands.items():
        assert read() == state, f"{name}: the breaker moved"
    return result


def budgets_of(result: Race) -> Iterator[Budget]:
    refusals = [name for name in result.samples if name.startswith("refused: ")]
    by_exception = [name for name in refusals if "ours" not in name and "bare" not in name]
    cheapest = min(by_exception, key=result.median)
    direct, decorator = "direct call", "ours: decorator"
    watched = "ours: slow calls watched"
    yield Budget("healthy / purgatory, beyond direct", decorator, KEPT, 1.0, direct)
    yield Budget("  the same, the stretch", decorator, KEPT, 0.89, direct)
    yield Budget("  the same, purgatory decorating", decorator, "purgatory", 1.0, direct)
    yield Budget("healthy / interlock-cb, beyond direct", decorator, "interlock-cb", 1 / 15, direct)
    yield Budget("slow calls watched / purgatory, beyond direct", watched, KEPT, 1.6, direct)
    yield Budget("  the same, purgatory decorating", watched, "purgatory", 1.6, direct)
    yield Budget(
        f"try_acquire refused / cheapest refusal by exception ({cheapest.split(': ')[1]})",
        "refused: ours: try_acquire",
        cheapest,
        1 / 5,
    )
    yield Budget(
        "acquire refused / bare raise", "refused: ours: acquire", "refused: bare raise", 3.5
    )


def tell_calls(way: Way) -> None:
    result = race_of(way)
    groups = {"refused: ": "refused: bare raise", "failing: ": "failing: direct call"}
    rest = [name for name in result.samples if not name.startswith(tuple(groups))]
    print(f"\n{way.name} calls: healthy")
    print(report(result.only(*rest), "direct call"))
    print(f"\n{way.name} calls: healthy, beyond a direct call, as a ratio to {KEPT}")
    for name in sorted(set(rest) - {"direct call"}, key=result.median):
        print(f"{name:32}  {result.extra_ratio(name, KEPT, 'direct call'):6.3f}")
    for prefix, to in groups.items():
        names = [name for name in result.samples if name.startswith(prefix)]
        print(f"\n{way.name} calls: {prefix.strip(': ')}")
        print(report(result.only(*names), to))
    print(f"\n{way.name} calls: budgets")
    for budget in budgets_of(result):
        print(budget.verdict(result))


# Many at once --------------------------------------------------------------------------------


def crowd(function: Callable[..., Any], calls: int, threads: int) -> Call:
    """So many calls, shared out among so many threads that start together."""

    def work(start: threading.Barrier) -> None:
        start.wait()
        for _ in repeat(None, calls // threads):
            function(PROMPT)

    def call() -> None:
        start = threading.Barrier(threads)
        workers = [threading.Thread(target=work, args=(start,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return call


def seconds_of(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def tell_threads(rounds: int = 15, seconds: float = 0.05) -> None:
    """Wall time, for threads that wait for each other use no CPU.

    It is shared with whatever else runs; so one thread and many of them run in direct succession,
    and it is the median of their ratios that counts.
    """
    functions = {"direct call": answer}
    functions |= {
        library.name: library.guard(library.breaker(Wanted()), answer)
        for library in (*THEIRS, OURS)
        if PLAIN in library.ways
    }
    pairs = {}
    for name, function in functions.items():
        calls = int(seconds / seconds_of(crowd(function, 4_000, 1)) * 4_000)
        pairs[name] = crowd(function, calls, 1), crowd(function, calls, THREADS)
    ratios: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name in random.sample(sorted(pairs), len(pairs)):
            one, many = pairs[name]
            ratios[name].append(seconds_of(one) / seconds_of(many))
    rates = {name: statistics.median(each) for name, each in ratios.items()}
    print(f"\n{THREADS} threads on one breaker: calls per second, to its own with one thread")
    for name in sorted(rates, key=rates.__getitem__, reverse=True):
        print(f"{name:16}  {rates[name]:.2f}")
    print(verdict(f"{THREADS} threads / one", rates[OURS.name], 0.8, at_least=True))


def tell_tasks() -> None:
    async def pause(_prompt):
        await asyncio.sleep(0)
        return ANSWER

    def swarm(function: Callable[..., Any]) -> Call:
        async def call():
            await asyncio.gather(*(function(PROMPT) for _ in range(TASKS)))

        return call

    functions = {"direct awaits": pause}
    functions |= {
        library.name: library.guard(library.breaker(Wanted()), pause)
        for library in (*THEIRS, OURS)
        if AWAITED in library.ways
    }
    contenders = {name: swarm(function) for name, function in functions.items()}
    result = race(contenders, rounds=9, batch_seconds=0.001)
    rates = {name: result.ratio("direct awaits", name) for name in functions}
    print(f"\n{TASKS:,} tasks on one breaker: calls per second, to direct awaits")
    for name in sorted(rates, key=rates.__getitem__, reverse=True):
        each = result.minimum(name) / TASKS
        print(f"{name:16}  {rates[name]:.2f}  ({each:,.0f} ns each)")
    print(verdict(f"{TASKS:,} tasks / direct awaits", rates[OURS.name], 0.8, at_least=True))


# Memory and import ---------------------------------------------------------------------------


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    gc.collect()
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def bytes_each(many: Callable[[list[str]], list[Any]], count: int = BREAKERS) -> float:
    """What one of many breakers takes; its name was there before."""
    names = [f"breaker {number}" for number in range(count)]
    many(names[:1])  # what only the first one makes
    with traced() as taken:
        made = many(names)
        gc.collect()
        return (taken() - sys.getsizeof(made)) / count


def used(names: list[str], config: BreakerConfig) -> list[CircuitBreaker]:
    """Breakers that have seen more calls than their window holds, one in five failed."""
    breakers = [CircuitBreaker(name, config) for name in names]
    for breaker in breakers:
        for number in range(150):
            with suppress(Down):
                breaker.call(answer if number % 5 else down, PROMPT)
        assert breaker.state is BreakerState.CLOSED
    return breakers


def tell_memory() -> None:
    count, spans = BreakerConfig(), BreakerConfig(window=TimeWindow(seconds=60, buckets=60))
    sizes = {library.name: bytes_each(library.many) for library in (*THEIRS, OURS)}
    sizes["ours, its window full"] = bytes_each(partial(used, config=count), count=200)
    sizes["ours, time window"] = bytes_each(lambda names: [CircuitBreaker(n, spans) for n in names])
    sizes["ours, time window in use"] = bytes_each(partial(used, config=spans), count=200)
    print("\nmemory of a breaker, bytes")
    for name in sorted(sizes, key=sizes.__getitem__):
        print(f"{name:24}  {sizes[name]:7,.0f}")
    print(verdict("memory of a breaker, bytes", sizes[OURS.name], 1024))
    print(verdict("  the same, its window full", sizes["ours, its window full"], 1024))


def children_ns() -> int:
    """CPU time of the processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def tell_import() -> None:
    """As an installed package is imported: from bytecode that an earlier process left.

    The first run of a contender compiles and is not counted. Where PYTHONDONTWRITEBYTECODE is set
    none would be left, and every run would compile fifty modules from source, as no user's does.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def process(code: str) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(  # noqa: S603
            command, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    codes = ("pass", "import attrs, transitions", "import fsm_fallback")
    contenders = {code: partial(process, code) for code in codes}
    result = race(contenders, rounds=15, batch_seconds=0.001, clock=children_ns)
    print("\nimporting: CPU time of the whole process")
    print(report(result, "import attrs, transitions"))
    print(Budget("importing", codes[2], codes[1], 1.6).verdict(result))
    extra = result.extra_ratio(codes[2], codes[1], "pass")
    print(f"  the same, beyond an interpreter that imports neither: {extra:.3f}")
    found = process(
        f"import sys, fsm_fallback; print(*(n for n in {NOT_IMPORTED} if n in sys.modules))"
    ).split()
    print(f"imported with it, of {', '.join(NOT_IMPORTED)}: {', '.join(found) or 'none'}")


if __name__ == "__main__":
    logging.getLogger("fsm_fallback").addHandler(logging.NullHandler())
    gc.freeze()  # what was imported is no work of any batch
    print(", ".join(f"{library.name} {library.version}" for library in (OURS, *THEIRS)))
    for way in (PLAIN_WAY, AWAITED_WAY):
        tell_calls(way)
    tell_threads()
    tell_tasks()
    tell_memory()
    tell_import()
