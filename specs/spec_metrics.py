"""Guarantee 13: what the metrics count equals a naive recount of the history.

The history is the audit log, which is made of other records by other code; what it says of each
call is counted again, call by call and record by record.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback import (
    AuditLog,
    BreakerConfig,
    ChainFailed,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    RetryConfig,
)
from fsm_fallback.core.metrics import BUCKETS, Durations
from fsm_fallback.providers.faults import classify
from fsm_fallback.testing import Delay, ManualClock, ScriptedProvider, Stream

NAMES = "abc"


class Overloaded(Exception):
    """A server that is down."""

    status_code = 503


class RateLimited(Exception):
    """A provider that names a time."""

    status_code = 429


class TooLong(Exception):
    """A request that is at fault."""

    status_code = 400
    code = "context_length_exceeded"


STEPS = st.one_of(
    st.just("answer"),
    st.sampled_from([Overloaded(), RateLimited(), TooLong()]),
    st.builds(
        Delay, st.sampled_from([0.005, 0.5, 3.0, 90.0]), st.sampled_from(["late", Overloaded()])
    ),
)
STREAM_STEPS = st.one_of(
    st.sampled_from([Overloaded(), RateLimited()]),
    st.sampled_from([Stream("one", "two"), Stream("one", Overloaded()), Stream(Overloaded())]),
)
PAUSES = st.sampled_from([0.0, 0.0, 1.0, 40.0])


def cases(steps: Any, *ways: str) -> Any:
    """Scripts for the providers, and calls in some of the ways."""
    script = st.lists(steps, min_size=1, max_size=6)
    scripts = st.fixed_dictionaries(dict.fromkeys(NAMES, script))
    calls = st.lists(st.tuples(st.sampled_from(ways), PAUSES), min_size=1, max_size=14)
    return st.tuples(scripts, calls)


CASES = cases(STEPS, "call", "detailed", "acall") | cases(STREAM_STEPS, "stream")


def recount(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the audit log says of each provider, counted one by one."""
    found: dict[str, dict[str, Any]] = {
        name: {
            "attempts": 0,
            "successes": 0,
            "abandoned": 0,
            "faults": Counter(),
            "skips": Counter(),
            "fallbacks": Counter(),
            "durations": defaultdict(list),
        }
        for name in NAMES
    }
    before: dict[str, tuple[str, str]] = {}
    offered: dict[str, float] = {}
    for record in records:
        if record["machine"] != "chain":
            continue
        call, name = record["call_id"], record["provider"]
        trigger = record["trigger"]
        if trigger == "skip":
            found[name]["skips"][record["reason"]] += 1
            before[call] = name, record["reason"]
        elif trigger == "offer":
            offered[call] = record["mono"]
        elif record["from"] in ("calling", "streaming") and trigger != "commit":
            mine = found[name]
            mine["attempts"] += 1
            if call in before and before[call][0] != name:
                former, reason = before[call]
                found[former]["fallbacks"][name, reason] += 1
            before[call] = name, record["fault"] or ""
            if trigger == "abandon":
                mine["abandoned"] += 1
                continue
            took = record["mono"] - offered[call]
            if record["fault"] is None:
                mine["successes"] += 1
                mine["durations"]["success"].append(took)
            else:
                mine["faults"][record["fault"]] += 1
                mine["durations"][OUTCOMES[record["fault"]]].append(took)
    return found


OUTCOMES = {
    classify(error).kind.value: classify(error).outcome.value
    for error in (Overloaded(), RateLimited(), TooLong())
}


def counted(durations: list[float]) -> Durations:
    """Durations, counted one by one."""
    return Durations(
        len(durations),
        pytest.approx(sum(durations)),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # as good as
        tuple(sum(each <= bound for each in durations) for bound in BUCKETS),
    )


def assert_recounted(llm: FallbackProvider[..., Any], log: AuditLog) -> None:
    """The metrics are what the log says."""
    expected = recount(log.records())  # type: ignore[arg-type]  # a record is a dict
    metrics = llm.metrics()
    for name, mine in expected.items():
        seen = metrics[name]
        for field in ("attempts", "successes", "abandoned", "faults", "skips", "fallbacks"):
            assert getattr(seen, field) == mine[field], (name, field)
        assert dict(seen.durations) == {k: counted(v) for k, v in mine["durations"].items()}


def made(scripts: Any, retries: int) -> tuple[Any, Any, Any]:
    """A chain of scripted providers, its log and its clock."""
    clock = ManualClock()
    log = AuditLog(clock=clock, capacity=100_000)
    providers = [
        ScriptedProvider(name, scripts[name], clock=clock, exhausted="repeat") for name in NAMES
    ]
    config = FallbackConfig(
        breaker=BreakerConfig(window=CountWindow(4), minimum_calls=2, jitter=0.0),
        retry=RetryConfig(attempts=retries),
    )
    llm = FallbackProvider(*providers, config=config, clock=clock, sample=lambda: 0.5, audit=log)
    return llm, log, clock


def ask(llm: Any, way: str) -> None:
    """One call, whatever becomes of it."""
    try:
        if way == "acall":
            asyncio.run(llm.acall("why"))
        elif way == "stream":
            list(llm.stream("why"))
        else:
            getattr(llm, way)("why")
    except ChainFailed:
        pass


@given(case=CASES, retries=st.sampled_from([1, 2]))
def test_counters_equal_a_recount(case: Any, retries: int) -> None:
    """Whatever providers do, however they are called, straight or walked."""
    scripts, calls = case
    llm, log, clock = made(scripts, retries)
    for way, pause in calls:
        clock.advance(pause)
        ask(llm, way)
        if pause:
            llm.metrics()  # reading in between changes nothing
    assert_recounted(llm, log)
    ends = Counter(
        (record["to"], record["provider"] if record["to"] == "succeeded" else None)
        for record in log.records()
        if record["machine"] == "chain" and record["to"] in ("succeeded", "failed", "rejected")
    )
    requests = llm.requests()
    assert {key: each.count for key, each in requests.items() if key[0] != "interrupted"} == ends


def test_counters_are_right_while_threads_call_and_read() -> None:
    """Eight threads call, another reads; afterwards nothing is missing or counted twice."""
    llm, log, _ = made({"a": ["hello"], "b": ["spare"], "c": ["no"]}, 1)
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(llm.metrics()["a"].attempts)
            llm.health()

    def call() -> None:
        for number in range(600):
            if number == 300:
                llm.breaker("a").force_open()
            llm.call("why")

    readers = [threading.Thread(target=read)]
    callers = [threading.Thread(target=call) for _ in range(8)]
    for each in (*readers, *callers):
        each.start()
    for each in callers:
        each.join()
    stop.set()
    readers[0].join()
    assert_recounted(llm, log)
    assert sum(each.attempts for each in llm.metrics().values()) == 8 * 600
    assert seen == sorted(seen)
