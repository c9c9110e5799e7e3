"""Calls of a real `FallbackProvider` that overlap, interleaved by a `Schedule`, one step a rule.

There is no event loop, so awaited calls have no timers here: deadlines are drawn for plain calls,
which take the time they take. Cutting an awaited call at its limit is `anyio`'s to do, and is
proved elsewhere, on a loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from fsm_fallback.core.chain_rows import CHAIN, ChainState
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.core.strategies import Sequential, Strategy, is_strategy
from fsm_fallback.core.table import Table
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.fallback import FallbackProvider
from fsm_fallback.spec.breaker_world import TICK
from fsm_fallback.spec.call_properties import CALL_PROPERTIES, CallAct
from fsm_fallback.spec.pausing import needs_a_loop
from fsm_fallback.spec.schedule import Schedule
from fsm_fallback.spec.stateful.draws import TIMEOUTS, chain_configs, chain_errors
from fsm_fallback.spec.stateful.machine import SpecMachine, drawn_by, made, refuse_made
from fsm_fallback.spec.stateful.puppet import Overheard, Puppet, refuse_providers
from fsm_fallback.telemetry import AuditLog

MOST_OUT: Final = 4
"""So many calls overlap at most."""

WORDS: Final = ("force_open", "disable", "observe", "reset", "reset")

_NEVER_LEAVES_SELECTING: Final = CHAIN.id_of(CHAIN.cell(ChainState.SELECTING, "abandon")[0])
_OF_OTHERS: Final = frozenset({"may_wait", "handed_over", "spoilt", "retryable", "restartable"})
_STATES_OF_OTHERS: Final = frozenset({ChainState.STREAMING, ChainState.WAITING})
_NO_STREAM_AND_NO_WAIT: Final = _OF_OTHERS | {
    row_id
    for row_id, row in CHAIN.numbered()
    if row.guard in _OF_OTHERS or _STATES_OF_OTHERS & {row.source, row.target}
}
"""What only streams, retries and waits reach: they need an event loop."""
_CALLS_A_WORD: Final = 4
_WHICH: Final = st.integers(0, MOST_OUT - 1)


@attrs.define(eq=False)
class _Notes:
    """What a bystander of one call knows."""

    called: list[str] = attrs.field(factory=list)
    raised: list[BaseException] = attrs.field(factory=list)
    answers: list[object] = attrs.field(factory=list)


class ChainSpec(SpecMachine):
    """Overlapping calls of a chain keep `CALL_PROPERTIES`, in whatever order they go on.

    Make your own with `make_providers`, `make_strategy`, `make_config` and, for a driver or a chain
    of your own, `make_chain`. A provider of yours may await `pause()` where it would await its
    network; how a pause ends, the spec draws. The rows of `CHAIN` are counted for the floor, but
    for the one by which a caller leaves between two attempts: no driver awaits anything there.
    """

    properties = CALL_PROPERTIES
    table: ClassVar[Table | None] = CHAIN
    most_steps: ClassVar[int | None] = 40
    out_of_reach: ClassVar[frozenset[str]] = frozenset(
        {_NEVER_LEAVES_SELECTING, *_NO_STREAM_AND_NO_WAIT}
    )

    def make_providers(self) -> Sequence[Any]:
        """New providers, at least one; `Puppet`s, or your own with awaits on `pause()` alone."""
        return (Puppet("small", context_window=8), Puppet("large", context_window=32), Puppet("c"))

    def make_strategy(self) -> Strategy:
        """The order in which they are asked."""
        return Sequential()

    def make_config(self) -> st.SearchStrategy[FallbackConfig]:
        """Where parameters are drawn from; without a deadline and an attempt time-out."""
        return chain_configs()

    def make_chain(self, *providers: Any, **parameters: Any) -> FallbackProvider[..., Any]:
        """A new chain of these providers, with the keyword arguments of `FallbackProvider`."""
        chain: FallbackProvider[..., Any] = FallbackProvider(*providers, **parameters)
        return chain

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule(choices=())  # every choice is a rule's
        self.now = 0.0
        self.begun = 0
        self.notes: dict[str, _Notes] = {}
        self.out: Counter[str] = Counter()
        self.plain: list[tuple[float, object]] = []
        self.plain_call: str | None = None
        self.misused: BaseException | None = None

    @initialize(
        config=drawn_by("make_config", "a strategy of FallbackConfig"),
        mode=st.sampled_from(["moves", "moves", "full"]),
    )
    def begin(self, config: FallbackConfig, mode: str) -> None:
        """A chain is made; straight calls have no chain where only moves are recorded."""
        made(self, "make_config", config, FallbackConfig, "a strategy of FallbackConfig")
        if config.retry.attempts > 1:
            raise ConfigurationError(
                f"{type(self).__name__}.make_config drew retry.attempts {config.retry.attempts!r}, "
                "and the wait before a retry needs an event loop; leave it 1"
            )
        if config.deadline is not None or config.attempt_timeout is not None:
            raise ConfigurationError(
                f"{type(self).__name__}.make_config drew deadline {config.deadline!r} and "
                f"attempt_timeout {config.attempt_timeout!r}, and timers need an event loop; leave "
                "both None: plain calls draw deadlines of their own"
            )
        strategy = self.make_strategy()
        if not is_strategy(strategy):
            refuse_made(self, "make_strategy", strategy, "an object with order()")
        providers = self.make_providers()
        refuse_providers(self, providers)
        self._names = [each.name for each in providers]
        self.log = AuditLog(mode=mode, clock=self._clock, wall=lambda: 0.0)
        self.chain = self.make_chain(
            *(Overheard(each, self) for each in providers),
            strategy=strategy,
            config=config,
            clock=self._clock,
            sample=lambda: 0.5,
            audit=self.log,
            name="spec",
        )
        made(self, "make_chain", self.chain, FallbackProvider, "a FallbackProvider")

    # Events -------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.schedule.waiting) < MOST_OUT)
    @rule()
    def a_call_begins(self) -> None:
        """And goes on until a provider has it, or nobody will."""
        self.begun += 1
        name = f"call {self.begun}"
        self.notes[name] = _Notes()
        self.schedule.spawn(name, self.chain.acall())
        self._step(name, lambda: self.schedule.go_on(name))

    @precondition(lambda self: bool(self.schedule.waiting))
    @rule(which=_WHICH)
    def a_provider_answers(self, which: int) -> None:
        """The one that has a certain call."""
        name = self._waiting(which)
        self._step(name, lambda: self.schedule.go_on(name, object()))

    @precondition(lambda self: bool(self.schedule.waiting))
    @rule(which=_WHICH, error=chain_errors())
    def a_provider_fails(self, which: int, error: Exception) -> None:
        """The one that has a certain call."""
        name = self._waiting(which)
        self._step(name, lambda: self.schedule.fail(name, error))

    @precondition(lambda self: bool(self.schedule.waiting))
    @rule(which=_WHICH)
    def a_caller_leaves(self, which: int) -> None:
        """Cancelled, while some provider has the call."""
        name = self._waiting(which)
        evidence = self._evidence()
        self._step(name, lambda: self.schedule.cancel(name), evidence)

    @rule(
        endings=st.lists(st.none() | TIMEOUTS | chain_errors(), min_size=3, max_size=3),
        takes=st.sampled_from([0.0, 2.5, 5.0]),
        deadline=st.sampled_from([None, 5.0, 5.0]),
    )
    def a_plain_call_is_made(
        self, endings: list[Exception | None], takes: float, deadline: float | None
    ) -> None:
        """In between, from beginning to end; each provider takes some time."""
        self.begun += 1
        name = f"plain call {self.begun}"
        self.notes[name] = _Notes()
        self.plain = [(takes, object() if each is None else each) for each in reversed(endings)]
        self.plain_call = name
        value, error = None, None
        try:
            value = self.chain.options(deadline=deadline).call()
        except BaseException as raised:  # noqa: BLE001  # the properties' to judge
            error = raised
        finally:
            self.plain_call = None
        self._see(name, "ended", value=value, error=error)
        self._see(name, "stepped")

    @rule(seconds=st.sampled_from([TICK, 1.0, 4.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        """On the clock of the chain and its breakers."""
        self.now += seconds

    @rule(short_by=st.sampled_from([0.0, 0.0, TICK]))
    def open_time_ends(self, short_by: float) -> None:
        """Of the breaker that is open for the longest time, or lacks a tick of that."""
        opens = [self.chain.breaker(name).snapshot().open_until for name in self._names]
        latest = max((until for until in opens if until is not None), default=self.now)
        self.now = max(self.now, latest - short_by)

    @precondition(lambda self: self.begun % _CALLS_A_WORD == 0)
    @rule(which=st.integers(0, 2), word=st.sampled_from(WORDS))
    def an_operator_speaks(self, which: int, word: str) -> None:
        """Now and then, to one of the breakers."""
        names = list(self._names)
        getattr(self.chain.breaker(names[which % len(names)]), word)()

    def look_back(self) -> None:
        """Whoever still waits leaves; then nothing is out."""
        if not hasattr(self, "log"):
            return
        for name in self.schedule.waiting:
            self._step(name, lambda name=name: self.schedule.cancel(name))  # type: ignore[misc]
        records = [each for each in self.log.records() if each["machine"] == CHAIN.name]
        if self._reached is not None:
            self._reached.see_ids(str(each["row"]) for each in records)

    def teardown(self) -> None:
        """As of every spec; and no coroutine is left behind."""
        try:
            super().teardown()
        finally:
            self.schedule.close()

    # The bystander ------------------------------------------------------------------------------

    def note_called(self, provider: str) -> str:
        """A provider is being called, perhaps by nobody who may."""
        call = self.plain_call or self.schedule.running or "a call that has ended"
        stands = self.chain.breaker(provider).core.state
        self._see(call, "called", provider=provider, stands=stands)
        self.notes[call].called.append(provider)
        self.out[provider] += 1
        return call

    def note_answer(self, call: str, provider: str, answer: object) -> None:
        """A provider answered."""
        self.out[provider] -= 1
        self.notes[call].answers.append(answer)

    def note_error(self, call: str, provider: str, error: BaseException) -> None:
        """A provider raised."""
        self.out[provider] -= 1
        self.notes[call].raised.append(error)
        if needs_a_loop(error):
            self.misused = error

    def plain_ending(self) -> object:
        """How the next plain call ends, after the time it takes."""
        takes, ending = self.plain.pop() if self.plain else (0.0, object())
        self.now += takes
        return ending

    # Mechanism ----------------------------------------------------------------------------------

    def _clock(self) -> float:
        return self.now

    def _waiting(self, which: int) -> str:
        waiting = self.schedule.waiting
        return waiting[which % len(waiting)]

    def _step(
        self, name: str, step: Callable[[], None], evidence: dict[str, object] | None = None
    ) -> None:
        step()
        if self.misused is not None:
            raise ConfigurationError(
                f"{type(self).__name__}: a provider awaits what needs an event loop "
                f"({self.misused!r}); await pause() of fsm_fallback.spec.pausing instead"
            ) from self.misused
        task = self.schedule.tasks[name]
        if task.has_ended:
            self._see(name, "ended", value=task.value, error=task.error)
        if evidence is None or not task.has_ended:
            self._see(name, "stepped")
        else:
            after = self._evidence()
            self._see(name, "stepped", evidence=after, evidence_before=evidence)

    def _see(self, call: str, trigger: Any, **what: Any) -> None:
        notes = self.notes.setdefault(call, _Notes())
        cores = {name: self.chain.breaker(name).core for name in self._names}
        act = CallAct(
            call=call,
            trigger=trigger,
            called=tuple(notes.called),
            raised=tuple(notes.raised),
            answers=tuple(notes.answers),
            out=dict(self.out),
            in_flight={name: each.in_flight for name, each in cores.items()},
            probes={name: len(each.probes) for name, each in cores.items()},
            probe_concurrency=self.chain.config.breaker.probe_concurrency,
            **what,
        )
        self.judge(act, type(self.chain).__name__)

    def _evidence(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for name in self._names:
            stands = self.chain.breaker(name).snapshot()
            found[name] = (stands.state, stands.generation, stands.calls, stands.failures)
        return found
