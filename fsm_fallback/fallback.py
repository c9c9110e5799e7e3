"""`FallbackProvider`: providers, breakers, a strategy and an audit log, wired together.

Wiring only: the strategy orders, `core.chain` walks, `core.breaker` admits, the drivers call.
"""

from __future__ import annotations

import copy
import itertools
import random
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from enum import Enum
from threading import Lock
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

import attrs

from fsm_fallback.answers import Answer, AnswerStream, AsyncAnswerStream
from fsm_fallback.arguments import (
    argument_problems,
    as_words,
    option_problems,
    provider_problems,
    walk_problems,
)
from fsm_fallback.circuit import CircuitBreaker
from fsm_fallback.circuit.gates import can_be_cut, gates_of
from fsm_fallback.core.bounds import refuse_problems
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.core.rules import PLAIN, Rules
from fsm_fallback.core.strategies import CallOptions, Strategy
from fsm_fallback.drivers import sync
from fsm_fallback.drivers.budget import RetryBudget
from fsm_fallback.drivers.delivery import Delivery
from fsm_fallback.drivers.judging import Accept
from fsm_fallback.drivers.link import NO_LIMIT, Way, Within
from fsm_fallback.drivers.linking import largest_window, links_of, ways_of
from fsm_fallback.drivers.sync_stream import stream as plain_stream
from fsm_fallback.drivers.walk import Walk
from fsm_fallback.providers.classifying import log_fault_of_user
from fsm_fallback.providers.protocol import ModelProvider
from fsm_fallback.providers.usage import usage_of
from fsm_fallback.telemetry import AuditLog

P = ParamSpec("P")
Q = ParamSpec("Q")
T_co = TypeVar("T_co", covariant=True)
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")


class _Same(Enum):
    """Stands for an option that was not given."""

    SAME = "as it is"


_SAME: Final = _Same.SAME
_CONFIG: Final = FallbackConfig()
_ENTERING: Final = Lock()
_RECORDED_STEPS: Final = 4096  # kept in memory where no log is given; about a megabyte


class _Parameters(TypedDict, total=False):
    """The keyword arguments of `FallbackProvider`, as its overloads share them."""

    strategy: Strategy | None
    config: FallbackConfig
    clock: Callable[[], float]
    sample: Callable[[], float]
    audit: str | AuditLog | None
    accept: Accept | None
    name: str


class FallbackProvider(Generic[P, T_co]):
    """Providers tried in the order of a strategy, each behind its breaker. Itself a provider.

    Safe in threads and event loops at once. Calls take and return what the providers do.

    Args:
        providers: At least one, each under its own name; see `ModelProvider` and `@provider`.
        strategy: The order in which they are asked; by default the configuration's.
        config: Parameters of the chain and its breakers.
        clock: Monotonic seconds; timers follow a clock that keeps them, as `ManualClock` does.
        sample: Draws from [0, 1): the only randomness there is.
        audit: `"moves"`, `"full"`, `"off"`, or an `AuditLog`, perhaps shared between chains; by
            default the configuration's. Without a log of one's own the latest records are kept in
            memory, for `audit.records()`.
        accept: Takes an answer of `call` or `acall`, or does not: it returns True or False, or a
            `Fault` that says why not, and may have to be awaited. One that raises does not take it.
            Another provider is asked then, and the answer is kept in the trail with its usage.
            Nothing is booked, unless the `Fault` says otherwise.
        name: The chain's name in records; its breakers are `name/provider` there.

    Raises:
        ConfigurationError: Naming every argument that cannot work; nothing has been started.
    """

    # One overload per number of providers: a checker joins the answers of a plain `*providers` to
    # `object`, and the point is that it knows `Response | Message`.
    @overload
    def __init__(
        self: FallbackProvider[Q, T1],
        first: ModelProvider[Q, T1],
        /,
        **parameters: Unpack[_Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1 | T2],
        first: ModelProvider[Q, T1],
        second: ModelProvider[Q, T2],
        /,
        **parameters: Unpack[_Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1 | T2 | T3],
        first: ModelProvider[Q, T1],
        second: ModelProvider[Q, T2],
        third: ModelProvider[Q, T3],
        /,
        **parameters: Unpack[_Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1 | T2 | T3 | T4],
        first: ModelProvider[Q, T1],
        second: ModelProvider[Q, T2],
        third: ModelProvider[Q, T3],
        fourth: ModelProvider[Q, T4],
        /,
        **parameters: Unpack[_Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1],
        *providers: ModelProvider[Q, T1],
        **parameters: Unpack[_Parameters],
    ) -> None: ...
    def __init__(
        self,
        *providers: Any,
        strategy: Strategy | None = None,
        config: FallbackConfig = _CONFIG,
        clock: Callable[[], float] = time.monotonic,
        sample: Callable[[], float] = random.random,
        audit: str | AuditLog | None = None,
        accept: Accept | None = None,
        name: str = "fallback",
    ) -> None:
        refuse_problems(
            itertools.chain(
                provider_problems(providers),
                argument_problems(strategy, config, clock, sample, audit, accept, name),
            )
        )
        self.name = name
        self.info = ModelInfo(context_window=largest_window(providers))
        self.config = config
        self._providers = providers
        self._strategy = config.strategy if strategy is None else strategy
        self._clock = clock
        self._sample = sample
        self._options = CallOptions(deadline=config.deadline)
        self._calls = itertools.count(1)
        self._accept = accept
        self._budget = RetryBudget(config.retry)
        self._entered = 0
        self.can_be_cut = all(map(can_be_cut, providers))
        self._circuits, self._gates = gates_of(providers, config, clock, sample)
        self._walks: dict[Way, Walk] = {}
        self._origin: object = None  # kept: its breakers leave the log with it
        self.audit = self._attach(config.audit if audit is None else audit)

    # Calling --------------------------------------------------------------------------------

    def call(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Ask the providers, one after the other, until one answers.

        Returns:
            What the provider answered, untouched.

        Raises:
            AllProvidersFailed: Every provider failed or was refused by its breaker.
            RequestRejected: The request is at fault; no other provider was asked.
            DeadlineExceeded: Time ran out.
            ConfigurationError: A provider has no plain call; nothing was called.
        """
        answer: T_co = sync.call(self._walks.get("call") or self._walk("call"), args, kwargs)
        return answer

    async def acall(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """As `call`, awaited. A provider with a plain call only runs in a worker thread.

        Cancellation passes through: the lease is given back and nothing is counted.
        """
        from fsm_fallback.drivers import aio  # noqa: PLC0415  # anyio only where somebody awaits

        walk = self._walks.get("acall") or self._walk("acall")
        answer: T_co = await aio.call(walk, args, kwargs)
        return answer

    def detailed(self, *args: P.args, **kwargs: P.kwargs) -> Answer[T_co]:
        """As `call`, with the provider that answered and the whole trail."""
        return self._answer(NO_LIMIT, args, kwargs)

    async def adetailed(self, *args: P.args, **kwargs: P.kwargs) -> Answer[T_co]:
        """As `acall`, with the provider that answered and the whole trail."""
        return await self._aanswer(NO_LIMIT, args, kwargs)

    # Streaming ------------------------------------------------------------------------------

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T_co, None, None]:
        """Ask the providers for a stream, one after the other, until one gives output.

        Nothing is called before the first item is asked for. What a provider gave before it failed
        is never handed over, unless that was output already: what happens then is for
        `FallbackConfig.stream` to say. Closing the generator early closes the provider's stream and
        books nothing.

        Returns:
            The items of the provider that answered, untouched, in order, each once; and where the
            policy is `"restart"`, a `StreamReset` wherever the stream begins anew.

        Raises:
            ConfigurationError: A provider has no plain stream, or `accept` is to judge answers;
                nothing was called.
            StreamInterrupted: While iterating: the stream broke after output was handed over.
            ChainFailed: While iterating, and nothing was handed over: as `call`.
        """
        return plain_stream(self._delivery("stream"), args, kwargs)

    def stream_detailed(self, *args: P.args, **kwargs: P.kwargs) -> AnswerStream[T_co]:
        """As `stream`, with the provider that answers and the trail, as they come."""
        return self._answer_stream(NO_LIMIT, args, kwargs)

    def astream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T_co, None]:
        """As `stream`, awaited, with timers. Leave it with `aclose`, or `contextlib.aclosing`.

        A provider with a plain stream only is read in worker threads.
        """
        from fsm_fallback.drivers.aio_stream import stream  # noqa: PLC0415  # as in acall

        return stream(self._delivery("astream"), args, kwargs)

    def astream_detailed(self, *args: P.args, **kwargs: P.kwargs) -> AsyncAnswerStream[T_co]:
        """As `astream`, with the provider that answers and the trail, as they come."""
        return self._aanswer_stream(NO_LIMIT, args, kwargs)

    def options(
        self,
        *,
        deadline: float | _Same | None = _SAME,
        accept: Accept | _Same | None = _SAME,
        needs: Iterable[str] | _Same = _SAME,
        input_tokens: int | _Same | None = _SAME,
        output_tokens: int | _Same | None = _SAME,
        tags: Iterable[str] | _Same = _SAME,
    ) -> Self:
        """The same chain with options of its own: breakers, audit and numbers are shared.

        What is left out stays as it is.

        Args:
            deadline: Seconds the whole call may take; None for no limit. A plain call passes it on
                to providers with a `timeout_arg` and cuts nobody; see `FallbackConfig`.
            accept: Takes the answers, or does not; None takes all.
            needs: What a model must be able to do, for strategies that look at it.
            input_tokens: About how many tokens the request has; None if nobody counted.
            output_tokens: About how many the answer may have; None as above.
            tags: Words for a strategy of one's own.

        Raises:
            ConfigurationError: If an option is out of bounds.
        """
        given = {
            "deadline": deadline,
            "needs": as_words(needs),
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "tags": as_words(tags),
        }
        new: dict[str, Any] = {k: v for k, v in given.items() if not isinstance(v, _Same)}
        same = copy.copy(self)
        same._options = attrs.evolve(self._options, **new)  # noqa: SLF001  # a copy of self
        if not isinstance(accept, _Same):
            same._accept = accept  # noqa: SLF001  # as above
        refuse_problems(option_problems(same._options, same._accept, self.config))  # noqa: SLF001  # as above
        same._walks = {}  # noqa: SLF001  # as above
        same._origin = self  # noqa: SLF001  # as above
        return same

    # Looking --------------------------------------------------------------------------------

    def breaker(self, name: str) -> CircuitBreaker:
        """The breaker of a provider; that of an account under `"account:..."`.

        Raises:
            KeyError: If no provider of this chain has that name.
        """
        if name not in self._circuits:
            known = ", ".join(repr(each) for each in self._circuits)
            raise KeyError(f"no provider {name!r} in chain {self.name!r}; there are {known}")
        return self._circuits[name]

    @property
    def ways(self) -> frozenset[Way]:
        """The ways this chain can be called in: `"call"` unless a provider must be awaited."""
        return ways_of(self._providers)

    def diagram(self, format: str = "mermaid") -> str:  # noqa: A002  # the word users look for
        """The breakers' machine, with the numbers in force, as text; see `diagrams.diagram`."""
        from fsm_fallback.diagrams import diagram  # noqa: PLC0415  # a tenth of the import's time

        return diagram(BREAKER, format, self.config.breaker_in_chain.in_force)

    def __repr__(self) -> str:
        return f"<FallbackProvider {self.name!r}: {', '.join(self._circuits)}>"

    # Closing --------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what the audit log still holds. Idempotent; the chain goes on working."""
        if self._owns_audit:
            self.audit.close()
        else:
            self.audit.flush()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    # Wiring ---------------------------------------------------------------------------------

    def _enter(self) -> None:
        with _ENTERING:
            self._entered += 1

    def _leave(self) -> None:
        """Close behind the last who leaves."""
        with _ENTERING:
            self._entered -= 1
            is_last = self._entered == 0
        if is_last:
            self.close()

    def _walk(self, way: Way) -> Walk:
        walk = self._walks.get(way)
        if walk is None:
            streams = way in ("stream", "astream")
            refuse_problems(walk_problems(way, self._accept, self.name))
            if way in ("acall", "astream"):
                from fsm_fallback.drivers.aio import warm_up  # noqa: PLC0415  # as in acall

                warm_up()
            walk = self._walks[way] = Walk(
                name=self.name,
                links=links_of(self._providers, self._gates, way),
                strategy=self._strategy,
                options=self._options,
                attempt_timeout=self.config.attempt_timeout,
                clock=self._clock,
                sample=self._sample,
                record=self.audit.append if self._records else None,
                calls=self._calls,
                rules=self._rules(streams=streams),
                accept=self._accept,
            )
        return walk

    def _rules(self, *, streams: bool) -> Rules:
        config = self.config
        waits = config.when_all_open == "wait"
        if not streams and not waits and config.retry.attempts == 1:
            return PLAIN
        return Rules(
            retry=config.retry,
            waits=waits,
            stream=config.stream if streams else None,
            budget=self._budget,
            sample=self._draw,
        )

    def _draw(self) -> float:
        """A draw for the jitter of a retry; one in the middle where the user's raises."""
        try:
            return self._sample()
        except Exception as error:  # noqa: BLE001  # the user's code
            log_fault_of_user("sample of chain %r raised %s", self.name, error)
            return 0.5

    def _delivery(self, way: Way, within: Within = NO_LIMIT) -> Delivery:
        return Delivery(self._walk(way), within, self)

    def _answer(self, within: Within, args: Any, kwargs: dict[str, Any]) -> Answer[Any]:
        walk = self._walk("call")
        now = walk.clock()
        chain, command = walk.begun(walk.order(now), now, within=within)
        try:
            value = sync.drive(walk, chain, command, now, args, kwargs)
            chain.usage = usage_of(value)
            return Answer(value, chain.candidate.name, chain.trail)
        finally:
            del chain, command  # as in the drivers: errors lead back to this frame

    async def _aanswer(self, within: Within, args: Any, kwargs: dict[str, Any]) -> Answer[Any]:
        from fsm_fallback.drivers import aio  # noqa: PLC0415  # as in acall

        walk = self._walk("acall")
        now = walk.clock()
        chain, command = walk.begun(walk.order(now), now, within=within)
        try:
            value = await aio.drive(walk, chain, command, now, args, kwargs)
            chain.usage = usage_of(value)
            return Answer(value, chain.candidate.name, chain.trail)
        finally:
            del chain, command  # as in the drivers: errors lead back to this frame

    def _answer_stream(
        self, within: Within, args: Any, kwargs: dict[str, Any]
    ) -> AnswerStream[Any]:
        delivery = self._delivery("stream", within)
        return AnswerStream(delivery, plain_stream(delivery, args, kwargs))

    def _aanswer_stream(
        self, within: Within, args: Any, kwargs: dict[str, Any]
    ) -> AsyncAnswerStream[Any]:
        from fsm_fallback.drivers.aio_stream import stream  # noqa: PLC0415  # as in acall

        delivery = self._delivery("astream", within)
        return AsyncAnswerStream(delivery, stream(delivery, args, kwargs))

    def asked_by_chain(self, way: Way) -> Callable[[Within, Any, dict[str, Any]], Any]:
        """How a chain around this one asks it: with the time that is left, and its trail told.

        The walk is wired now, so that what cannot work is found when the outer chain is used first.
        """
        self._walk(way)
        return {
            "call": self._answer,
            "acall": self._aanswer,
            "stream": self._answer_stream,
            "astream": self._aanswer_stream,
        }[way]

    def _attach(self, audit: str | AuditLog) -> AuditLog:
        """Have every machine of this chain tell the log, in the critical section of each fact."""
        self._owns_audit = not isinstance(audit, AuditLog)
        self._records = audit != "off"
        if not self._records:
            return self._recorder("moves")
        log = audit if isinstance(audit, AuditLog) else self._recorder(audit)
        log.register(CHAIN, self.name, {})  # its limits are the calls', and vary
        for circuit in self._circuits.values():
            named, is_full = f"{self.name}/{circuit.name}", log.mode == "full"
            if circuit.audit(log.append, id=named, stays=is_full):  # not heard of yet
                log.register(BREAKER, circuit.core.name, circuit.config.in_force)
            weakref.finalize(self, circuit.unaudit, log.append).atexit = False
        log.start()
        return log

    def _recorder(self, mode: str) -> AuditLog:
        return AuditLog(mode=mode, capacity=_RECORDED_STEPS, clock=self._clock)
