"""`FallbackProvider`: providers, breakers, a strategy and an audit log, wired together.

Wiring only: the strategy orders, `core.chain` walks, `core.breaker` admits, the drivers call.
"""

from __future__ import annotations

import copy
import itertools
import random
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

import attrs

from fsm_fallback.circuit import CircuitBreaker
from fsm_fallback.core.bounds import COUNT, SECONDS, refuse_problems, shown
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain import CHAIN
from fsm_fallback.core.parameters import AUDIT_MODES, FallbackConfig
from fsm_fallback.core.strategies import CallOptions, Strategy, is_strategy
from fsm_fallback.core.trail import Trail
from fsm_fallback.drivers import sync
from fsm_fallback.drivers.link import Way, links_of, ways_of
from fsm_fallback.drivers.walk import Walk
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.protocol import CALLS, ModelInfo, ModelProvider, calling_problems
from fsm_fallback.telemetry import AuditLog

P = ParamSpec("P")
Q = ParamSpec("Q")
T_co = TypeVar("T_co", covariant=True)
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")

_CONFIG: Final = FallbackConfig()
_RECORDED_STEPS: Final = 4096  # kept in memory where no log is given; about a megabyte


@attrs.frozen
class Answer(Generic[T_co]):
    """An answer and how it came about.

    Attributes:
        value: What the provider answered, untouched.
        provider: The name of the provider that answered.
        trail: Every attempt and skip of the call, in order; the last attempt is the answer's.
    """

    value: T_co
    provider: str
    trail: Trail


class _Parameters(TypedDict, total=False):
    """The keyword arguments of `FallbackProvider`, as its overloads share them."""

    strategy: Strategy | None
    config: FallbackConfig
    clock: Callable[[], float]
    sample: Callable[[], float]
    audit: str | AuditLog | None
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
        name: str = "fallback",
    ) -> None:
        refuse_problems(
            itertools.chain(
                _provider_problems(providers),
                _argument_problems(strategy, config, clock, sample, audit, name),
            )
        )
        self.name = name
        self.info = ModelInfo()
        self.config = config
        self._providers = providers
        self._strategy = config.strategy if strategy is None else strategy
        self._clock = clock
        self._sample = sample
        self._options = CallOptions(deadline=config.deadline)
        self._calls = itertools.count(1)
        self._circuits = {
            each.name: CircuitBreaker(
                each.name,
                config.breaker_in_chain if _can_be_cut(each) else config.breaker,
                clock=clock,
                sample=sample,
            )
            for each in providers
        }
        self._walks: dict[Way, Walk] = {}
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
        walk = self._walk("call")
        now = walk.clock()
        chain, command = walk.begun(walk.order(now), now)
        try:
            value = sync.drive(walk, chain, command, now, args, kwargs)
            return Answer(value, chain.candidate.name, chain.trail)
        finally:
            del chain, command  # as in the drivers: errors lead back to this frame

    async def adetailed(self, *args: P.args, **kwargs: P.kwargs) -> Answer[T_co]:
        """As `acall`, with the provider that answered and the whole trail."""
        from fsm_fallback.drivers import aio  # noqa: PLC0415  # as in acall

        walk = self._walk("acall")
        now = walk.clock()
        chain, command = walk.begun(walk.order(now), now)
        try:
            value = await aio.drive(walk, chain, command, now, args, kwargs)
            return Answer(value, chain.candidate.name, chain.trail)
        finally:
            del chain, command  # as in the drivers: errors lead back to this frame

    def options(self, *, deadline: float | None) -> Self:
        """The same chain with options of its own: breakers, audit and numbers are shared.

        Args:
            deadline: Seconds the whole call may take; None for no limit. A plain call passes it on
                to providers with a `timeout_arg` and cuts nobody; see `FallbackConfig`.

        Raises:
            ConfigurationError: If an option is out of bounds.
        """
        if not SECONDS.or_none().accepts(deadline):
            raise ConfigurationError(
                f"options.deadline is {deadline!r}; give {SECONDS.or_none().wanted}"
            )
        same = copy.copy(self)
        same._options = attrs.evolve(self._options, deadline=deadline)  # noqa: SLF001  # a copy of self
        same._walks = {}  # noqa: SLF001  # as above
        return same

    # Looking --------------------------------------------------------------------------------

    def breaker(self, name: str) -> CircuitBreaker:
        """The breaker of a provider.

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
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # Wiring ---------------------------------------------------------------------------------

    def _walk(self, way: Way) -> Walk:
        walk = self._walks.get(way)
        if walk is None:
            walk = self._walks[way] = Walk(
                name=self.name,
                links=links_of(self._providers, self._circuits, way),
                strategy=self._strategy,
                options=self._options,
                attempt_timeout=self.config.attempt_timeout,
                clock=self._clock,
                sample=self._sample,
                record=self.audit.append if self._records else None,
                calls=self._calls,
            )
        return walk

    def _attach(self, audit: str | AuditLog) -> AuditLog:
        """Have every machine of this chain tell the log, in the critical section of each fact."""
        self._owns_audit = not isinstance(audit, AuditLog)
        self._records = audit != "off"
        if not self._records:
            return self._recorder("moves")
        log = audit if isinstance(audit, AuditLog) else self._recorder(audit)
        log.register(CHAIN, self.name, {})  # its limits are the calls', and vary
        for circuit in self._circuits.values():
            breaker_id = f"{self.name}/{circuit.name}"
            log.register(BREAKER, breaker_id, circuit.config.in_force)
            circuit.audit(log.append, id=breaker_id, stays=log.mode == "full")
        log.start()
        return log

    def _recorder(self, mode: str) -> AuditLog:
        return AuditLog(mode=mode, capacity=_RECORDED_STEPS, clock=self._clock)


def _can_be_cut(provider: Any) -> bool:
    """Whether an attempt ends with its limit; a plain function takes the time it takes.

    A probe that cannot be cut must not count as hung when its limit is over: a provider that is
    slower than the limit would open again with every probe, and never come back.
    """
    takes_limit = getattr(provider, "timeout_arg", None) is not None
    return takes_limit or callable(getattr(provider, "acall", None))


def _provider_problems(providers: tuple[Any, ...]) -> Iterator[str]:
    if not providers:
        yield "FallbackProvider.providers is empty; give at least one provider"
    seen: dict[str, int] = {}
    for position, each in enumerate(providers):
        where = f"FallbackProvider.providers[{position}]"
        name = getattr(each, "name", None)
        if not isinstance(name, str) or not name:
            yield (
                f"{where} is {shown(each)}, whose name is {shown(name)}; give it a name, with "
                "@provider('name') for a function"
            )
        elif name in seen:
            yield f"{where}.name is {name!r}, as of providers[{seen[name]}]; give each its own"
        else:
            seen[name] = position
        if isinstance(each, type):
            yield f"{where} is {shown(each)}; give an instance of it"
        elif not any(callable(getattr(each, way, None)) for way in CALLS):
            yield f"{where} is {shown(each)}, which has no {', '.join(CALLS)}; give it one of them"
        yield from calling_problems(
            where, getattr(each, "classify", None), getattr(each, "timeout_arg", None)
        )
        window = getattr(getattr(each, "info", None), "context_window", None)
        if not COUNT.or_none().accepts(window):
            yield f"{where}.info.context_window is {shown(window)}; give {COUNT.or_none().wanted}"


def _argument_problems(
    strategy: object, config: object, clock: object, sample: object, audit: object, name: object
) -> Iterator[str]:
    if strategy is not None and not is_strategy(strategy):
        yield f"FallbackProvider.strategy is {shown(strategy)}; give an object with order()"
    if not isinstance(config, FallbackConfig):
        yield f"FallbackProvider.config is {shown(config)}; give a FallbackConfig"
    if not callable(clock):
        yield f"FallbackProvider.clock is {shown(clock)}; give a function that returns seconds"
    if not callable(sample):
        yield f"FallbackProvider.sample is {shown(sample)}; give a function that draws from [0, 1)"
    if not (audit is None or isinstance(audit, AuditLog) or audit in AUDIT_MODES):
        yield (
            f"FallbackProvider.audit is {shown(audit)}; give an AuditLog or one of "
            f"{', '.join(AUDIT_MODES)}"
        )
    if not isinstance(name, str) or not name:
        yield f"FallbackProvider.name is {shown(name)}; give a non-empty string"
