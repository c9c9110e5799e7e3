"""`FallbackProvider`: providers, breakers, a strategy and an audit log, wired together.

Wiring only: the strategy orders, `core.chain` walks, `core.breaker` admits, the drivers call.
"""

from __future__ import annotations

import copy
import itertools
import random
import time
import weakref
from collections.abc import (
    AsyncGenerator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from fsm_fallback.answers import Answer, AnswerStream, AsyncAnswerStream
from fsm_fallback.arguments import (
    SAME,
    Parameters,
    Same,
    as_amount,
    as_words,
    calling_problems,
    given,
    option_problems,
    plan_problems,
    walk_problems,
    ways_with,
)
from fsm_fallback.asking import aanswer, aanswer_stream, answer, answer_stream
from fsm_fallback.circuit import CircuitBreaker
from fsm_fallback.core.bounds import refuse_problems
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.health import ProviderHealth
from fsm_fallback.core.info import CapabilitySource, ModelInfo, PriceSource
from fsm_fallback.core.metrics import Durations, ProviderMetrics
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.core.strategies import CallOptions, Strategy
from fsm_fallback.drivers import sync
from fsm_fallback.drivers.delivery import Delivery
from fsm_fallback.drivers.judging import Accept
from fsm_fallback.drivers.link import NO_LIMIT, Way, Within
from fsm_fallback.drivers.meters import DurationListener
from fsm_fallback.drivers.sync_stream import stream as plain_stream
from fsm_fallback.drivers.walk import Describe, Walk
from fsm_fallback.providers.protocol import ModelProvider
from fsm_fallback.telemetry import AuditLog
from fsm_fallback.wiring import Made, Plan, Reread, options_of

if TYPE_CHECKING:
    from fsm_fallback.core.prices import Amount
    from fsm_fallback.telemetry.spans import Spans

P = ParamSpec("P")
Q = ParamSpec("Q")
T_co = TypeVar("T_co", covariant=True)
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")

_CONFIG: Final = FallbackConfig()


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
        describe: Tells from the arguments of a call what it needs and how large it is, as
            `CallOptions`; what `options` says of that wins. One that raises is logged, and has
            told nothing.
        prices: What models cost whose providers do not say; of several sources the first that
            knows. Where a price is known, tokens and costs are counted.
        capabilities: What models can do, and take, whose providers do not say; as above.
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
        **parameters: Unpack[Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1 | T2],
        first: ModelProvider[Q, T1],
        second: ModelProvider[Q, T2],
        /,
        **parameters: Unpack[Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1 | T2 | T3],
        first: ModelProvider[Q, T1],
        second: ModelProvider[Q, T2],
        third: ModelProvider[Q, T3],
        /,
        **parameters: Unpack[Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1 | T2 | T3 | T4],
        first: ModelProvider[Q, T1],
        second: ModelProvider[Q, T2],
        third: ModelProvider[Q, T3],
        fourth: ModelProvider[Q, T4],
        /,
        **parameters: Unpack[Parameters],
    ) -> None: ...
    @overload
    def __init__(
        self: FallbackProvider[Q, T1],
        *providers: ModelProvider[Q, T1],
        **parameters: Unpack[Parameters],
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
        describe: Describe | None = None,
        prices: PriceSource | Sequence[PriceSource] | None = None,
        capabilities: CapabilitySource | Sequence[CapabilitySource] | None = None,
        name: str = "fallback",
    ) -> None:
        plan = Plan(
            name=name,
            providers=providers,
            config=config,
            strategy=strategy,
            clock=clock,
            sample=sample,
            describe=describe,
            prices=prices,
            capabilities=capabilities,
        )
        refuse_problems(itertools.chain(plan_problems(plan), calling_problems(audit, accept)))
        self.name = name
        self._made = Made(plan, audit)
        self._given: dict[str, Any] = {}
        self._accept = accept
        self._walks: dict[Way, Walk] = {}
        self._chains = weakref.WeakSet((self,))

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
        return answer(self._walk("call"), NO_LIMIT, args, kwargs)

    async def adetailed(self, *args: P.args, **kwargs: P.kwargs) -> Answer[T_co]:
        """As `acall`, with the provider that answered and the whole trail."""
        return await aanswer(self._walk("acall"), NO_LIMIT, args, kwargs)

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
        return answer_stream(self._delivery("stream"), args, kwargs)

    def astream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T_co, None]:
        """As `stream`, awaited, with timers. Leave it with `aclose`, or `contextlib.aclosing`.

        A provider with a plain stream only is read in worker threads.
        """
        from fsm_fallback.drivers.aio_stream import stream  # noqa: PLC0415  # as in acall

        return stream(self._delivery("astream"), args, kwargs)

    def astream_detailed(self, *args: P.args, **kwargs: P.kwargs) -> AsyncAnswerStream[T_co]:
        """As `astream`, with the provider that answers and the trail, as they come."""
        return aanswer_stream(self._delivery("astream"), args, kwargs)

    def options(
        self,
        *,
        deadline: float | Same | None = SAME,
        accept: Accept | Same | None = SAME,
        needs: Iterable[str] | Same = SAME,
        input_tokens: int | Same | None = SAME,
        output_tokens: int | Same | None = SAME,
        max_cost: Amount | Same | None = SAME,
        tags: Iterable[str] | Same = SAME,
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
            max_cost: US dollars an attempt may cost by the price of its model and those tokens, or
                1,000 in and 250 out, for strategies that look at it; None for any.
            tags: Words for a strategy of one's own.

        Raises:
            ConfigurationError: If an option is out of bounds.
        """
        new = given(
            deadline=deadline,
            needs=as_words(needs),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            max_cost=as_amount(max_cost),
            tags=as_words(tags),
        )
        same = copy.copy(self)
        same._given = {**self._given, **new}  # noqa: SLF001  # a copy of self
        same._walks = {}  # noqa: SLF001  # as above
        if not isinstance(accept, Same):
            same._accept = accept  # noqa: SLF001  # as above
        with self._made.reloading:
            plan = self._made.plan
            refuse_problems(same._problems(plan))  # noqa: SLF001  # as above
            self._chains.add(same)
        return same

    # Looking --------------------------------------------------------------------------------

    @property
    def config(self) -> FallbackConfig:
        """The parameters in force."""
        return self._made.wiring.config

    @property
    def info(self) -> ModelInfo:
        """What is known of its models together: the largest window."""
        return ModelInfo(context_window=self._made.wiring.context_window)

    @property
    def audit(self) -> AuditLog:
        """The log its machines tell."""
        return self._made.audit

    @property
    def can_be_cut(self) -> bool:
        """Whether every attempt ends with its limit."""
        return self._made.wiring.can_be_cut

    @property
    def ways(self) -> frozenset[Way]:
        """The ways this chain can be called in; no streams where `accept` judges whole answers."""
        return ways_with(self._accept, self.name, self._made.wiring.ways)

    def breaker(self, name: str) -> CircuitBreaker:
        """The breaker of a provider; that of an account under `"account:..."`.

        Raises:
            KeyError: If no provider of this chain has that name.
        """
        return self._made.wiring.breaker(name)

    def breakers(self) -> dict[str, CircuitBreaker]:
        """All breakers by name, those of accounts under `"account:..."`."""
        return dict(self._made.wiring.circuits)

    def health(self) -> dict[str, ProviderHealth]:
        """How each provider does, by name. Never waits for a call; takes about 0.1 ms each."""
        return self._made.wiring.health()

    def metrics(self) -> dict[str, ProviderMetrics]:
        """What has been counted of each provider since the chain was made, by name.

        Copies with other `options` are in it, and providers that a reload took out.
        """
        return self._made.meters.metrics()

    def requests(self) -> dict[tuple[str, str | None], Durations]:
        """How many calls ended, and how long they took, by outcome and by who answered.

        Outcomes are `"succeeded"`, `"failed"`, `"rejected"`, `"interrupted"`, `"abandoned"`; who
        answered is None where nobody did.
        """
        return self._made.meters.requests()

    def on_durations(self, listener: DurationListener) -> None:
        """Call `listener(provider, outcome, durations)` with seconds of attempts, in batches."""
        self._made.meters.add_listener(listener)

    def off_durations(self, listener: DurationListener) -> None:
        """Call a listener no more; one that was not called is none."""
        self._made.meters.remove_listener(listener)

    def trace(self, spans: Spans | None) -> None:
        """Have each call and each attempt make a span from now on; None for no more."""
        with self._made.reloading:
            self._made.spans = spans
            for each in list(self._chains):
                each._walks = {}  # noqa: SLF001  # copies of self; calls that go on have theirs

    def explain(self) -> str:
        """As text: whom a call would ask now and why, how each stands. Asking changes nothing."""
        from fsm_fallback.explaining import explained  # noqa: PLC0415  # only where somebody reads

        return explained(self._made.wiring, self._options)

    def diagram(self, format: str = "mermaid") -> str:  # noqa: A002  # the word users look for
        """The breakers' machine, with the numbers in force, as text; see `diagrams.diagram`."""
        from fsm_fallback.diagrams import diagram  # noqa: PLC0415  # a tenth of the import's time

        return diagram(BREAKER, format, self.config.breaker_in_chain.in_force)

    def __repr__(self) -> str:
        return f"<FallbackProvider {self.name!r}: {', '.join(self._made.wiring.circuits)}>"

    def reload(self, config: Any, *, providers: Iterable[Any] | None = None) -> None:
        """Put other parameters, or providers, in place, while calls go on.

        A call goes by the old ones or by the new ones, whole. The breaker of a provider object that
        stays goes on; where its parameters change, another stands where it stood, open or by an
        operator's word, with empty evidence. Metrics go on. What `options` or an argument of
        `FallbackProvider` said still wins over the configuration.

        Args:
            config: A `FallbackConfig`; of a chain made from a file also what
                `create_fallback_provider` takes.
            providers: In place of those there are, in a list or by name; of a file's chain, of
                those that were given. None keeps them.

        Raises:
            ConfigurationError: Naming everything that cannot work; the chain goes on as it was.
        """
        made = self._made
        with made.reloading:
            if isinstance(providers, Mapping):
                providers = providers.values()
            plan = made.plan.after(config, None if providers is None else tuple(providers))
            chains = list(self._chains)
            refuse_problems(
                itertools.chain(plan_problems(plan), *(each._problems(plan) for each in chains))  # noqa: SLF001  # copies of self
            )
            made.renew(plan)
            for each in chains:
                each._walks = {}  # noqa: SLF001  # as above; calls that go on have theirs

    # Closing --------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what the audit log still holds, and close the clients made for a file.

        Idempotent; the chain goes on working, with new clients.
        """
        self._made.close()

    async def aclose(self) -> None:
        """As `close`, and the clients of the running event loop."""
        await self._made.aclose()

    def __enter__(self) -> Self:
        self._made.enter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._made.leave():
            self.close()

    async def __aenter__(self) -> Self:
        self._made.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._made.leave():
            await self.aclose()

    def made_from_file(self, reread: Reread, owned: tuple[Any, ...]) -> None:
        """Note how a file is read for a `reload`, and what providers are this chain's to close."""
        self._made.note_file(reread, owned)

    @property
    def _options(self) -> CallOptions:
        return options_of(self._made.wiring.config, self._given)

    def _problems(self, plan: Plan) -> Iterator[str]:
        """What is wrong with the options under another plan."""
        return option_problems(options_of(plan.config, self._given), self._accept, plan.config)

    # Wiring ---------------------------------------------------------------------------------

    def _walk(self, way: Way) -> Walk:
        # The walks before the wiring: a reload puts the new wiring in place, and then new walks.
        walks = self._walks
        walk = walks.get(way)
        if walk is None:
            refuse_problems(walk_problems(way, self._accept, self.name))
            if way in ("acall", "astream"):
                from fsm_fallback.drivers.aio import warm_up  # noqa: PLC0415  # as in acall

                warm_up()
            walk = walks[way] = self._made.walk(way, self._given, self._accept)
        return walk

    def _delivery(self, way: Way, within: Within = NO_LIMIT) -> Delivery:
        return Delivery(self._walk(way), within, self)

    def asked_by_chain(self, way: Way) -> Callable[[Within, Any, dict[str, Any]], Any]:
        """How a chain around this one asks it: with the time that is left, and its trail told.

        The walk is wired now, so that what cannot work is found when the outer chain is used first.
        """
        self._walk(way)
        return {
            "call": lambda *asked: answer(self._walk("call"), *asked),
            "acall": lambda *asked: aanswer(self._walk("acall"), *asked),
            "stream": lambda left, *asked: answer_stream(self._delivery("stream", left), *asked),
            "astream": lambda left, *asked: aanswer_stream(self._delivery("astream", left), *asked),
        }[way]
