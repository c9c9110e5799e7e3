"""Streams through a chain, over random scripts of faults: guarantees 3, 7, 9 and 10.

What is handed over is the streams of the providers that were committed, each in order, each item
once, with a marker where another begins. Every lease is settled once, every stream closed once, and
the call is over by its deadline. The plain and the awaited driver tell the same story.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import anyio
import anyio.lowlevel
import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_fallback import (
    Attempt,
    AuditLog,
    BreakerConfig,
    ChainFailed,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    RetryConfig,
    Skip,
    StreamConfig,
    StreamInterrupted,
    StreamReset,
)
from fsm_fallback.core.chain_rows import CHAIN, FINAL, S
from fsm_fallback.spec.floors import CoverageFloor
from fsm_fallback.testing import ManualClock
from specs.scripted_streams import FOREVER, Gives, Pause, ScriptedStreams

NAMES = "abc"
MUTE = "-"
DEADLINE = 3.0
SOON = 0.05
WITHIN = 0.05
LEAST = 3
EXAMPLES = max(400, settings().max_examples)
SETTLING = frozenset({"succeed", "fail", "hold", "release"})


class ServiceUnavailableError(Exception):
    """As an SDK raises it for a 503."""

    status_code = 503


class BadRequestError(Exception):
    """As an SDK raises it for a 400 it explains."""

    status_code = 400
    body = {"error": {"type": "invalid_request_error", "message": "wrong", "param": "n"}}  # noqa: RUF012  # as SDKs have it


WORDS = st.sampled_from(["out", "out", "mute"])
PAUSES = st.sampled_from([0.25, 0.5, 2.0])
ENDS = st.sampled_from(["error", "end", "reject", "end", "truncated", "hang", "reject", "end"])
OPENINGS = st.sampled_from(["stream"] * 12 + ["raises", "none", "number"])


@attrs.frozen
class Script:
    """What a provider does, call after call.

    Attributes:
        opening: Whether it gives a stream, raises, or gives something else.
        steps: Items, with and without output, and pauses.
        ending: How its stream ends.
        closing: Whether closing it raises.
    """

    opening: str
    steps: tuple[Any, ...]
    ending: str
    closing: bool

    def provider(self, name: str, clock: ManualClock | None) -> ScriptedStreams:
        """The provider; the n-th item of `a` is `a0`, `a1`, and ends with `-` if it is mute."""
        steps: list[Any] = []
        for number, step in enumerate(self.steps):
            word = f"{name}{number}" + (MUTE if step == "mute" else "")
            steps.append(Pause(step) if isinstance(step, float) else word)
        ends: dict[str, Callable[[], list[Any]]] = {
            "end": lambda: [f"{name}."],
            "error": lambda: [ServiceUnavailableError()],
            "reject": lambda: [BadRequestError()],
            "hang": lambda: [Pause(FOREVER)],
            "truncated": list,
        }
        openings: dict[str, Any] = {
            "stream": (*steps, *ends[self.ending]()),
            "raises": ServiceUnavailableError(),
            "none": Gives(lambda: None),
            "number": Gives(lambda: 7),
        }
        return ScriptedStreams(
            name,
            openings[self.opening],
            clock=clock,
            closing=LookupError() if self.closing else None,
            is_output=lambda item: item[-1] not in (MUTE, "."),
            terminal=lambda item: item.endswith("."),
        )


def scripts(ends: st.SearchStrategy[str] = ENDS) -> st.SearchStrategy[list[Script]]:
    """One to three providers."""
    script = st.builds(
        Script,
        opening=OPENINGS,
        steps=st.lists(st.one_of(WORDS, WORDS, PAUSES), min_size=1, max_size=6).map(tuple),
        ending=ends,
        closing=st.sampled_from([False, False, True]),
    )
    return st.integers(1, 3).flatmap(lambda count: st.lists(script, min_size=count, max_size=count))


def configs(*, timed: bool) -> st.SearchStrategy[FallbackConfig]:
    """Every policy; `timed` with limits."""
    limit = st.sampled_from([None, 1.0]) if timed else st.none()
    return st.builds(
        FallbackConfig,
        breaker=st.just(BreakerConfig(window=CountWindow(4), minimum_calls=2, open_duration=4.0)),
        deadline=st.sampled_from([None, DEADLINE]) if timed else st.none(),
        attempt_timeout=limit,
        retry=st.sampled_from([RetryConfig(), RetryConfig(attempts=2, backoff=0.5)]),
        stream=st.builds(
            StreamConfig,
            policy=st.sampled_from(["raise", "restart", "buffer", "buffer"]),
            idle_timeout=limit,
            buffer_items=st.sampled_from([2, 64]),
        ),
    )


CONSUMERS = st.one_of(
    st.just(("reads all", 0)),
    st.just(("reads all", 0)),
    st.tuples(st.just("leaves"), st.integers(0, 4)),
    st.tuples(st.just("drops"), st.integers(0, 4)),
    st.tuples(st.just("is cancelled"), st.sampled_from([0.25, 0.4, 1.0, 2.2])),
)
Consumer = tuple[str, float]
SEEN: Counter[tuple[str, str]] = Counter()
FLOOR = CoverageFloor(CHAIN)
# What scripts of faults come to, the deadline after output and leaving a wait aside.
OFTEN = [
    row_id
    for row_id, row in CHAIN.numbered()
    if row.trigger in {"offer", "answer", "commit", "finish", "cut", "elapse"}
    or (row.trigger, row.guard) in {("exhaust", None), ("exhaust", "handed_over")}
    or (row.trigger == "fault" and row.guard != "spoilt")
    or (row.trigger, row.source) in {("abandon", S.CALLING), ("abandon", S.STREAMING)}
]


@attrs.frozen
class Run:
    """What came of one stream."""

    items: list[Any]
    error: ChainFailed | None
    took: float
    trail: list[Any]
    records: list[dict[str, Any]]
    sources: list[tuple[str, int, list[Any]]]
    times: list[float]


class Scene:
    """A chain over scripts, and what becomes of one stream of it."""

    def __init__(
        self, cast: Sequence[Script], config: FallbackConfig, *, real: bool = False
    ) -> None:
        self.clock = ManualClock()
        clock = None if real else self.clock
        self.config = config
        self.providers = [
            script.provider(name, clock) for name, script in zip(NAMES, cast, strict=False)
        ]
        self.log = AuditLog(mode="full", clock=self.clock, wall=lambda: 0.0)
        self.chain: FallbackProvider[..., Any] = FallbackProvider(
            *self.providers,
            config=config,
            clock=time.monotonic if real else self.clock,
            sample=lambda: 0.5,
            audit=self.log,
        )
        self.items: list[Any] = []
        self.error: ChainFailed | None = None
        self.trail: Any = ()

    def plain(self, consumer: Consumer) -> Run:
        """Read it with plain calls."""
        does, most = consumer
        stream = self.chain.stream_detailed("why")
        try:
            for item in islice(stream, None if does == "reads all" else int(most)):
                self.items.append(item)
        except ChainFailed as error:
            self.error = error
        if does == "leaves":
            stream.close()
        self.trail = stream.trail
        del stream
        return self._run()

    def awaited(self, consumer: Consumer) -> Run:
        """Read it in an event loop."""
        anyio.run(self._read, consumer)
        return self._run()

    async def _read(self, consumer: Consumer) -> None:
        does, much = consumer
        stream = self.chain.astream_detailed("why")
        with anyio.CancelScope() as scope:
            timer = None
            if does == "is cancelled":
                timer = self.clock.call_at(self.clock() + much, scope.cancel)
            try:
                while does not in ("leaves", "drops") or len(self.items) < much:
                    self.items.append(await anext(stream))
            except StopAsyncIteration:
                pass
            except ChainFailed as error:
                self.error = error
            if timer is not None:
                timer.cancel()
        self.trail = stream.trail
        if does != "drops":
            await stream.aclose()
            return
        del stream
        gc.collect(0)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()

    def _run(self) -> Run:
        return Run(
            self.items,
            self.error,
            self.clock(),
            [told(item) for item in self.trail],
            [{**record, "stream": ""} for record in self.log.records()],
            [
                (each.name, source.closed, source.given)
                for each in self.providers
                for source in each.sources
            ],
            [self.chain.breaker(each.name).snapshot().in_flight for each in self.providers],
        )


def told(item: Attempt | Skip) -> Attempt | Skip:
    """An item of a trail without its words: what was wanted for a stream differs by driver."""
    if isinstance(item, Skip):
        return item
    fault = None if item.fault is None else attrs.evolve(item.fault, message="")
    return attrs.evolve(item, error=None, fault=fault)


def segments(items: Sequence[Any]) -> list[list[Any]]:
    """The items between markers."""
    parts: list[list[Any]] = [[]]
    for item in items:
        if isinstance(item, StreamReset):
            parts.append([])
        else:
            parts[-1].append(item)
    return [part for part in parts if part]


def is_output(item: str) -> bool:
    """Whether an item of a script carries output."""
    return item[-1] not in (MUTE, ".")


def check_items(scene: Scene, run: Run) -> None:
    """Each part is the beginning of one stream, all of it where that broke or was whole."""
    parts = segments(run.items)
    resets = [item for item in run.items if isinstance(item, StreamReset)]
    left_there = bool(run.items) and isinstance(run.items[-1], StreamReset)
    assert len(resets) == max(0, len(parts) - 1) + left_there
    assert not resets or scene.config.stream.policy == "restart"
    owners = [part[0][0] for part in parts]
    assert owners == sorted(set(owners))
    for reset, before, after in zip(resets, owners, owners[1:], strict=False):
        assert (reset.after, reset.provider) == (before, after)
    ended = stands(run)
    for position, part in enumerate(parts):
        sources = [given for name, _, given in run.sources if name == part[0][0]]
        assert any(part == given[: len(part)] for given in sources)
        is_last = position == len(parts) - 1
        # What was held back whole is an answer, whoever leaves before he has taken all of it.
        left = ended == "succeeded" and run.error is None and part != sources[-1]
        if not is_last or ended in ("succeeded", "interrupted"):
            assert part == sources[-1] or (left and scene.config.stream.policy == "buffer")
        if ended != "abandoned" and not left:
            assert any(map(is_output, part)) or len(part) >= scene.config.stream.buffer_items
    if isinstance(run.error, StreamInterrupted):
        assert [*run.error.partial] == parts[-1]
    elif run.error is not None:
        assert run.items == []


def stands(run: Run) -> str:
    """How the call ended; empty if it was never begun."""
    chain = [record for record in run.records if record["machine"] == "chain"]
    ends = [record for record in chain if record["to"] in {state.value for state in FINAL}]
    assert len(ends) == bool(chain)
    assert not chain or chain[-1] is ends[0]
    return ends[0]["to"] if ends else ""


def check_settled(run: Run) -> None:
    """Each lease was settled once, and each stream closed once."""
    assert run.times == [0] * len(run.times)
    leases = Counter(
        (record["id"], record["lease"])
        for record in run.records
        if record["machine"] == "breaker" and record["trigger"] in SETTLING
    )
    admitted = {
        (record["id"], record["lease"])
        for record in run.records
        if record["machine"] == "breaker" and record["trigger"] == "admit" and record["lease"]
    }
    assert set(leases.values()) <= {1}
    assert set(leases) == admitted
    assert [closed for _, closed, _ in run.sources] == [1] * len(run.sources)


def judge(scene: Scene, run: Run, consumer: Consumer) -> None:
    """All that holds of every run."""
    check_items(scene, run)
    check_settled(run)
    ended = stands(run)
    if consumer[0] == "reads all":
        assert ended in ("succeeded", "failed", "rejected", "interrupted")
        assert (run.error is None) == (ended == "succeeded")
    if scene.config.deadline is not None:
        assert run.took <= scene.config.deadline
    FLOOR.see_ids(record["row"] for record in run.records if record["machine"] == "chain")
    SEEN.update(
        [("policy", scene.config.stream.policy), ("ending", ended), ("consumer", consumer[0])]
    )


def can_hang(cast: Sequence[Script], config: FallbackConfig) -> bool:
    """Whether a stream may hang for ever, or be waited for past every limit."""
    return config.deadline is None and any(script.ending == "hang" for script in cast)


@settings(max_examples=EXAMPLES)
@given(cast=scripts(), config=configs(timed=True), consumer=CONSUMERS)
def awaited_streams(cast: list[Script], config: FallbackConfig, consumer: Consumer) -> None:
    """Every kind of script, limit and consumer."""
    if can_hang(cast, config):
        config = attrs.evolve(config, deadline=DEADLINE)
    scene = Scene(cast, config)
    judge(scene, scene.awaited(consumer), consumer)


def test_every_awaited_stream_ends_as_it_should() -> None:
    """And every policy, ending and consumer was drawn."""
    SEEN.clear()
    awaited_streams()
    assert all(FLOOR.rows[row] >= LEAST for row in OFTEN), FLOOR.rows
    for what, words in {
        "policy": ("raise", "restart", "buffer"),
        "ending": ("succeeded", "failed", "rejected", "interrupted", "abandoned"),
        "consumer": ("reads all", "leaves", "drops", "is cancelled"),
    }.items():
        for word in words:
            assert SEEN[what, word] >= LEAST, (what, word, SEEN)


LIVELY = ENDS.filter(lambda ending: ending != "hang")
HERE = CONSUMERS.filter(lambda consumer: consumer[0] != "is cancelled")


@given(cast=scripts(LIVELY), config=configs(timed=False), consumer=HERE)
def test_both_drivers_of_streams_tell_the_same_story(
    cast: list[Script], config: FallbackConfig, consumer: Consumer
) -> None:
    """Items, trail, records, times, and what became of the streams."""
    plain, awaited = Scene(cast, config), Scene(cast, config)
    told, heard = plain.plain(consumer), awaited.awaited(consumer)
    judge(plain, told, consumer)
    assert attrs.evolve(told, error=None) == attrs.evolve(heard, error=None)
    assert str(told.error) == str(heard.error)


@settings(max_examples=15)
@given(cast=scripts(), policy=st.sampled_from(["raise", "restart", "buffer"]))
def test_the_deadline_is_kept_in_real_time(cast: list[Script], policy: str) -> None:
    """Within 50 milliseconds, at the best of three; a loaded machine may take longer once."""
    config = FallbackConfig(deadline=SOON, stream=StreamConfig(policy=policy))
    took = []
    for _ in range(3):
        scene = Scene(cast, config, real=True)
        began = time.monotonic()
        anyio.run(scene._read, ("reads all", 0))
        took.append(time.monotonic() - began)
        assert all(source.closed == 1 for each in scene.providers for source in each.sources)
        if took[-1] < SOON + WITHIN:
            break
    assert min(took) < SOON + WITHIN
