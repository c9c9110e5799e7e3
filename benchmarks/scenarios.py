"""What circuit breakers do where it matters: the same scenarios, run on every library.

python benchmarks/scenarios.py

Prints a Markdown table. Every cell is what was seen when the scenario ran; bold is what a caller
would not want. A scenario opens a breaker by one failure and moves a clock by hand, so nothing
waits. Calls are tasks; where a library has no asynchronous form, they are threads. What does not
come to an end is reported, not waited for.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import attrs
from contenders import AWAITED, OURS, PLAIN, THEIRS, Clock, Down, Library, Unsupported
from subjects import OPEN_DURATION, Subject, until

BOUND = 20.0
"""Seconds until a scenario counts as wedged."""


@attrs.frozen
class Seen:
    """A cell."""

    what: str
    wrong: bool = False

    def __str__(self) -> str:
        return f"**{self.what}**" if self.wrong else self.what


def wrong(what: str) -> Seen:
    return Seen(what, wrong=True)


class Predicate:
    """The user's: cannot judge once it is broken."""

    def __init__(self) -> None:
        self.broken = False

    def __call__(self) -> None:
        if self.broken:
            raise LookupError("a mistake in the predicate")


# Scenarios -----------------------------------------------------------------------------------


async def tripping_call(subject: Subject) -> Seen:
    call = await subject.trip()
    return Seen("its own error") if isinstance(call.error, Down) else wrong(f"`{call.raised}`")


async def late_success(subject: Subject) -> Seen:
    old, other = await subject.begin(), await subject.begin()
    if other.waits:
        return wrong("cannot happen: a call waits until the one before has ended")
    await other.end(Down())
    before = subject.state
    await old.end()
    if before != "open" or subject.state == before:
        return Seen(f"stays {subject.state}")
    return wrong(f"{subject.state}: the late success counts")


async def late_success_while_probing(subject: Subject) -> Seen:
    old, other = await subject.begin(), await subject.begin()
    if other.waits:
        return wrong("cannot happen, as above")
    await other.end(Down())
    subject.clock.now += OPEN_DURATION + 1
    await subject.begin()
    await old.end()
    if subject.state == "half_open":
        return Seen("stays half-open: the probe decides")
    return wrong(f"{subject.state}: the late success decides")


async def cancelled_probe(subject: Subject) -> Seen:
    probe = await subject.probe()
    await probe.cancel()
    swallowed = not isinstance(probe.error, probe.cancelled_by)
    note = f"; the caller gets `{probe.raised}`" if swallowed else ""
    if subject.state == "closed":
        return wrong(f"closes: counts as a success{note}")
    if subject.state == "open":
        return wrong(f"opens again: counts as a failure{note}")
    entry = await subject.next_entry()
    return Seen(f"next probe {entry}{note}", swallowed or entry != "at once")


async def crowd_at_half_open(subject: Subject) -> Seen:
    await subject.trip()
    subject.clock.now += OPEN_DURATION + 1
    calls = [subject.start() for _ in range(50)]
    await until(lambda: all(call.settled for call in calls))
    entered = sum(call.entered for call in calls)
    waiting = sum(call.waits for call in calls)
    refused = sum(call.over and not call.entered for call in calls)
    parts = [f"{entered} let in"]
    parts += [f"{refused} refused"] if refused else []
    parts += [f"{waiting} wait for it to end"] if waiting else []
    return Seen(", ".join(parts), wrong=entered > 1 or waiting > 0)


async def hanging_probe(subject: Subject) -> Seen:
    await subject.probe()
    match await subject.next_entry():
        case "never":
            return wrong("wedged: refuses everybody for a day")
        case "waits":
            return wrong("wedged: every later call waits for it")
        case "at once":
            return Seen("the next caller gets in at once")
        case passed:
            return Seen(f"new probe {passed}")


async def broken_predicate(subject: Subject, judge: Predicate) -> Seen:
    probe = await subject.probe()
    judge.broken = True
    await probe.end(Down())
    judge.broken = False
    own = isinstance(probe.error, Down)
    seen = "the caller gets its own error" if own else f"the caller gets the `{probe.raised}`"
    if subject.state == "closed":
        return wrong(f"{seen}; closes")
    entry = await subject.next_entry()
    if entry == "never":
        return wrong(f"{seen}; wedged: refuses everybody for a day")
    return Seen(f"{seen}; next probe {entry}", wrong=not own)


async def clock_going_back(subject: Subject) -> Seen:
    await subject.trip()
    reads = subject.clock.reads
    subject.clock.now -= 3600
    entry = await subject.next_entry()
    assert subject.clock.reads > reads, "the clock is not read"
    steps = "monotonic" not in subject.library.reads
    source = f"`{subject.library.reads}`"
    if steps and entry != f"after {OPEN_DURATION:.0f} s":
        return wrong(f"{source} steps: next probe {entry}")
    return Seen(f"{source} {'steps' if steps else 'never does; made to'}: next probe {entry}")


async def refused_often(subject: Subject) -> Seen:
    await subject.trip()
    errors = [(await subject.begin()).error for _ in range(1000)]
    depth, traceback = 0, errors[-1].__traceback__
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    if errors[0] is errors[-1]:
        return wrong(f"one object, its traceback {depth:,} entries long")
    return Seen(f"a fresh error, its traceback {depth} entries long")


# Streams: each in both forms, with a breaker of its own ---------------------------------------


def stream(*, fails: bool) -> Callable[[], Iterator[int]]:
    def work() -> Iterator[int]:
        yield 1
        if fails:
            raise Down
        yield 2

    return work


def astream(*, fails: bool) -> Callable[[], AsyncIterator[int]]:
    async def work() -> AsyncIterator[int]:
        yield 1
        if fails:
            raise Down
        yield 2

    return work


async def consume(items: Any, limit: int | None = None) -> BaseException | None:
    """Take so many items, or all, and close the stream: what was raised."""
    try:
        if hasattr(items, "__aiter__"):
            taken = 0
            async for _ in items:
                taken += 1
                if taken == limit:
                    break
            await items.aclose()
        else:
            for taken, _ in enumerate(items, 1):
                if taken == limit:
                    break
            items.close()
    except BaseException as error:
        return error
    await until(lambda: False, 0.01)  # inner generators are closed by the loop, later
    return None


async def opened(subject: Subject, *, fails: bool) -> Any:
    """A guarded stream, by calling; a coroutine that gives one is awaited, to see what comes."""
    items = subject.guard((astream if subject.way == AWAITED else stream)(fails=fails))()
    return await items if inspect.isawaitable(items) else items


async def failing_stream(make: Callable[[], Subject]) -> Seen:
    subject = make()
    try:
        items = await opened(subject, fails=True)
    except TypeError:
        return wrong("the decorated function raises `TypeError`")
    error = await consume(items)
    note = "" if isinstance(error, Down) else f", the consumer gets `{type(error).__name__}`"
    if subject.state == "open":
        return Seen(f"a failure{note}", wrong=bool(note))
    return wrong(f"not seen{note}")


async def closed_stream(make: Callable[[], Subject]) -> Seen:
    closed, probing = make(), make()
    try:
        error = await consume(await opened(closed, fails=False), limit=1)
    except TypeError:
        return wrong("the decorated function raises `TypeError`")
    note = "" if error is None else f", the consumer gets `{type(error).__name__}`"
    if closed.state == "open":
        return wrong(f"a failure{note}")
    await probing.trip()
    probing.clock.now += OPEN_DURATION + 1
    await consume(await opened(probing, fails=False), limit=1)
    words = {"closed": "a success", "half_open": "no evidence", "open": "a failure, as a probe"}
    return Seen(words[probing.state] + note, wrong=probing.state == "open" or bool(note))


# Running -------------------------------------------------------------------------------------


async def on_a_breaker(scenario: Callable[..., Awaitable[Seen]], library: Library) -> str:
    """One run on one breaker; a scenario that takes a predicate gets one."""
    clock = Clock()
    judged = "judge" in inspect.signature(scenario).parameters
    judge = Predicate() if judged else None
    with library.told(clock):
        subject = Subject(library, clock, judge)
        try:
            async with asyncio.timeout(BOUND / 2):
                return str(await (scenario(subject, judge) if judged else scenario(subject)))
        finally:
            await subject.let_go()


async def on_streams(scenario: Callable[..., Awaitable[Seen]], library: Library) -> str:
    """One run per form of generator; said once where they agree."""
    cells: dict[str, str] = {}
    for way in library.ways:
        clock = Clock()
        with library.told(clock):
            async with asyncio.timeout(BOUND / 2):
                cells[way] = str(await scenario(partial(Subject, library, clock, way=way)))
    if len(cells) > 1 and len(set(cells.values())) == 1:
        return cells[PLAIN]
    return "; ".join(f"{way}: {cell}" for way, cell in cells.items())


SCENARIOS: tuple[tuple[str, Callable[..., Awaitable[str]], Callable[..., Awaitable[Seen]]], ...] = (
    ("the call that trips the breaker gets", on_a_breaker, tripping_call),
    ("late success after the trip", on_a_breaker, late_success),
    ("late success while a probe is out", on_a_breaker, late_success_while_probing),
    ("cancelled probe", on_a_breaker, cancelled_probe),
    ("50 callers at half-open", on_a_breaker, crowd_at_half_open),
    ("probe that never returns", on_a_breaker, hanging_probe),
    ("stream that fails midway is", on_streams, failing_stream),
    ("stream closed early by its consumer is", on_streams, closed_stream),
    ("predicate that raises, on a probe's failure", on_a_breaker, broken_predicate),
    ("clock going back an hour while open for 30 s", on_a_breaker, clock_going_back),
    ("refused a thousand times", on_a_breaker, refused_often),
)


def observe(
    run: Callable[..., Awaitable[str]],
    scenario: Callable[..., Awaitable[Seen]],
    library: Library,
) -> str:
    """The cell of one library, from a thread that can be left behind."""
    cells: list[str] = []

    def work() -> None:
        try:
            cells.append(asyncio.run(run(scenario, library)))
        except Unsupported as error:
            cells.append(f"n/a: {error}")
        except TimeoutError:
            cells.append("**wedged**")
        except Exception as error:
            cells.append(f"**not run: `{type(error).__name__}: {error}`**")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(BOUND)
    return cells[0] if cells else "**wedged**"


def table(libraries: tuple[Library, ...]) -> str:
    """Markdown: a row per scenario, a column per library."""
    heads = ["", *(f"`{library.name}` {library.version}" for library in libraries)]
    rows = [heads, ["---"] * len(heads)]
    for name, run, scenario in SCENARIOS:
        rows.append([name, *(observe(run, scenario, library) for library in libraries)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


if __name__ == "__main__":
    logging.getLogger("fsm_fallback").addHandler(logging.NullHandler())  # of the broken predicate
    print(table((OURS, *THEIRS)))
