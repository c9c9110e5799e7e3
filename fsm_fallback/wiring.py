"""What the calls of a chain go through: providers, breakers, meters and rules, wired together.

All that one configuration decides is in one `Wiring`. A reload makes another and puts it in place
of the first, so that a call goes through the one or the other, whole.
"""

from __future__ import annotations

import itertools
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Final

import attrs

from fsm_fallback.circuit import CircuitBreaker
from fsm_fallback.circuit.gates import ACCOUNT, Gates, can_be_cut, gates_of
from fsm_fallback.core.bounds import shown
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.health import ProviderHealth
from fsm_fallback.core.info import CapabilitySource, ModelInfo, PriceSource, known
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.core.rules import PLAIN, Rules
from fsm_fallback.core.strategies import CallOptions, Strategy, strategies_in
from fsm_fallback.drivers.budget import RetryBudget
from fsm_fallback.drivers.judging import Accept
from fsm_fallback.drivers.link import Way
from fsm_fallback.drivers.linking import info_of, largest_window, links_of, ways_of
from fsm_fallback.drivers.meters import Meters
from fsm_fallback.drivers.walk import Describe, Walk
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.classifying import log_fault_of_user
from fsm_fallback.telemetry import AuditLog

if TYPE_CHECKING:
    from fsm_fallback.core.chain import Chain
    from fsm_fallback.telemetry.spans import Spans


@attrs.frozen(eq=False, kw_only=True)
class Wiring:
    """Everything one configuration decides for the calls of a chain.

    Attributes:
        name: The chain's name.
        providers: As configured.
        infos: What is known of their models, by name.
        strategy: Orders them.
        config: The parameters.
        clock: Monotonic seconds.
        sample: Draws from [0, 1).
        describe: Tells from the arguments of a call what it says of itself; None for nothing.
        meters: Count what the calls do.
        circuits: The breakers, by name.
        gates: What is asked for leave to call, by provider.
        budget: Of retries.
        ways: The ways all providers can be called in.
        can_be_cut: Whether every attempt ends with its limit.
        context_window: The tokens the largest of the models takes.
    """

    name: str
    providers: tuple[Any, ...]
    infos: dict[str, ModelInfo]
    strategy: Strategy
    config: FallbackConfig
    clock: Callable[[], float]
    sample: Callable[[], float]
    describe: Describe | None
    meters: Meters
    circuits: dict[str, CircuitBreaker]
    gates: Gates
    budget: RetryBudget
    ways: frozenset[Way]
    can_be_cut: bool
    context_window: int | None

    def walk(
        self,
        way: Way,
        options: CallOptions,
        accept: Accept | None,
        calls: Iterator[int],
        audit: AuditLog | None,
        spans: Spans | None = None,
    ) -> Walk:
        """What the calls have in common that are made in this way, with these options.

        Raises:
            ConfigurationError: Naming every provider that cannot be called this way.
        """
        return Walk(
            name=self.name,
            links=links_of(self.providers, self.infos, self.gates, self.meters, way),
            strategy=self.strategy,
            options=options,
            attempt_timeout=self.config.attempt_timeout,
            clock=self.clock,
            sample=self._draw,
            record=None if audit is None else audit.append,
            calls=calls,
            rules=self._rules(streams=way in ("stream", "astream")),
            accept=accept,
            describe=self.describe,
            watch=self.meters.take,
            trace=None if spans is None else _tracing(spans, way),
        )

    def breaker(self, name: str) -> CircuitBreaker:
        """The breaker of a provider, or of an account.

        Raises:
            KeyError: If there is none of that name.
        """
        if name not in self.circuits:
            known = ", ".join(repr(each) for each in self.circuits)
            raise KeyError(f"no provider {name!r} in chain {self.name!r}; there are {known}")
        return self.circuits[name]

    def health(self) -> dict[str, ProviderHealth]:
        """How each provider does, by name."""
        stands = {each.name: self.circuits[each.name].snapshot() for each in self.providers}
        return {name: self.meters.health(name, each) for name, each in stands.items()}

    def looking(self, way: Way, options: CallOptions) -> Walk:
        """A walk to ask for its order, that counts, records and draws nothing."""
        quiet = attrs.evolve(self, describe=None, sample=_middle)
        return quiet.walk(way, options, None, itertools.count(1), None)

    def _rules(self, *, streams: bool) -> Rules:
        config = self.config
        waits = config.when_all_open == "wait"
        if not streams and not waits and config.retry.attempts == 1:
            return PLAIN
        return Rules(
            retry=config.retry,
            waits=waits,
            stream=config.stream if streams else None,
            budget=self.budget,
            sample=self._draw,
        )

    def _draw(self) -> float:
        """A draw from [0, 1); one in the middle where the user's raises, or is none."""
        try:
            drawn = self.sample()
            if 0 <= drawn < 1:
                return drawn
            raise ValueError  # noqa: TRY301  # told as what it raises itself
        except Exception as error:  # noqa: BLE001  # the user's code
            log_fault_of_user("sample of chain %r raised %s", self.name, error)
            return 0.5


def _middle() -> float:
    return 0.5


def _tracing(spans: Spans, way: Way) -> Callable[[Chain], None]:
    from fsm_fallback.drivers.tracing import tracing  # noqa: PLC0415  # only where somebody traces

    return tracing(spans, way)


@attrs.frozen(eq=False, kw_only=True)
class Plan:
    """What a chain is made of, as given; see `FallbackProvider`."""

    name: str
    providers: tuple[Any, ...]
    config: FallbackConfig
    strategy: Strategy | None
    clock: Callable[[], float]
    sample: Callable[[], float]
    describe: Describe | None
    prices: PriceSource | Sequence[PriceSource] | None
    capabilities: CapabilitySource | Sequence[CapabilitySource] | None

    reread: Reread | None = None
    owned: tuple[Any, ...] = ()

    def after(self, config: Any, providers: tuple[Any, ...] | None) -> Plan:
        """The plan of a reload.

        Raises:
            ConfigurationError: If nobody can read such a configuration.
        """
        if isinstance(config, FallbackConfig):
            if config.audit != self.config.audit:
                raise ConfigurationError(
                    f"FallbackConfig.audit is {config.audit!r}, and was {self.config.audit!r}; "
                    "what a log records stays: make a new chain for that"
                )
            kept = self.providers if providers is None else providers
            return attrs.evolve(self, config=config, providers=kept)
        if self.reread is None:
            raise ConfigurationError(
                f"reload of chain {self.name!r} got {shown(config)}; give a FallbackConfig, for it "
                "was not made from a file"
            )
        return self.reread(self, config, providers)

    @property
    def strategy_in_force(self) -> Strategy:
        """The argument wins over the configuration."""
        return self.config.strategy if self.strategy is None else self.strategy

    def infos(self) -> dict[str, ModelInfo]:
        """What is known of the models: what their providers say, then what sources know.

        Raises:
            ConfigurationError: Naming each source that raised, or answered what is no answer.
        """
        own = [getattr(each, "prices", None) for each in strategies_in(self.strategy_in_force)]
        prices = [*several(self.prices), *(each for each in own if each is not None)]
        capabilities = several(self.capabilities)
        return {each.name: known(info_of(each), prices, capabilities) for each in self.providers}

    def wired(self, meters: Meters, instead_of: Iterable[CircuitBreaker] = ()) -> Wiring:
        """The wiring, with the meters of the chain, which may have counted already.

        `instead_of`: the breakers of the wiring whose place it takes.
        """
        infos = self.infos()
        circuits, gates = gates_of(
            self.providers, self.config, self.clock, self.sample, instead_of=instead_of
        )
        return Wiring(
            name=self.name,
            providers=self.providers,
            infos=infos,
            strategy=self.strategy_in_force,
            config=self.config,
            clock=self.clock,
            sample=self.sample,
            describe=self.describe,
            meters=meters,
            circuits=circuits,
            gates=gates,
            budget=RetryBudget(self.config.retry),
            ways=ways_of(self.providers),
            can_be_cut=all(map(can_be_cut, self.providers)),
            context_window=largest_window(infos.values()),
        )


_RECORDED_STEPS: Final = 4096  # kept in memory where no log is given; about a megabyte


def several(given: Any) -> tuple[Any, ...]:
    """What was given, one or several of it, or None."""
    if isinstance(given, (list, tuple)):
        return tuple(given)
    return () if given is None else (given,)


def options_of(config: FallbackConfig, given: Mapping[str, Any]) -> CallOptions:
    """What calls say of themselves, with what the configuration says where they do not."""
    return CallOptions(**{"deadline": config.deadline, **given})


Reread = Callable[[Plan, Any, tuple[Any, ...] | None], Plan]
"""Makes the plan of a reload: of the one there is, and of what a file says."""


class Made:
    """What a chain and its copies with other options have in common.

    Attributes:
        plan: What it is made of.
        wiring: What its calls go through.
        meters: Count what they do.
        calls: Number them.
        audit: The log.
        owns_audit: Whether the log is this chain's alone.
        is_recorded: Whether anything is told to it.
        spans: Make the spans of the calls; None where nobody traces.
    """

    spans: Spans | None = None

    def __init__(self, plan: Plan, audit: str | AuditLog | None) -> None:
        self.meters = Meters()
        self.calls: Iterator[int] = itertools.count(1)
        self.plan = plan
        self.wiring = plan.wired(self.meters)
        self.meters.know(self.wiring.infos)
        self.reloading = RLock()  # a signal handler may reload, too
        self._entered = 0
        self._entering = Lock()
        self._attached: dict[CircuitBreaker, weakref.finalize[..., Any]] = {}
        self._named: Counter[str] = Counter()
        _ALL.add(self)
        asked = plan.config.audit if audit is None else audit
        self.follows_config = audit is None
        self.owns_audit = not isinstance(asked, AuditLog)
        self.is_recorded = asked != "off"
        self.audit = asked if isinstance(asked, AuditLog) else self._recorder(asked)
        if self.is_recorded:
            self.audit.register(CHAIN, plan.name, {})  # its limits are the calls', and vary
            self._attach(self.wiring)
            self.audit.start()

    def renew(self, plan: Plan) -> None:
        """Put another wiring in place, whole; breakers that are in both go on as they are.

        Raises:
            ConfigurationError: If it cannot be made; the wiring in place stays.
        """
        wiring = plan.wired(self.meters, instead_of=self.wiring.circuits.values())
        if self.is_recorded:
            self._attach(wiring)
        self.meters.know(wiring.infos)
        self._hand_on(wiring)
        self.plan, self.wiring = plan, wiring
        kept = set(wiring.circuits.values())
        for circuit in [each for each in self._attached if each not in kept]:
            self._attached.pop(circuit)()

    def walk(self, way: Way, given: Mapping[str, Any], accept: Accept | None) -> Walk:
        """What the calls have in common that are made in this way, with the options given.

        The wiring is read once, so that all of it is of one.
        """
        wiring, log = self.wiring, self.audit if self.is_recorded else None
        options = options_of(wiring.config, given)
        return wiring.walk(way, options, accept, self.calls, log, self.spans)

    def note_file(self, reread: Reread, owned: tuple[Any, ...]) -> None:
        """Note how a file is read for a reload, and what was made for it."""
        self.plan = attrs.evolve(self.plan, reread=reread, owned=owned)

    def enter(self) -> None:
        """Note that somebody uses the chain in a `with` block."""
        with self._entering:
            self._entered += 1

    def leave(self) -> bool:
        """Note that somebody left it; whether that was the last."""
        with self._entering:
            self._entered -= 1
            return self._entered == 0

    def close(self) -> None:
        """Write what the log still holds, and close what was made for the chain.

        All of it, whatever raises; the first that does is raised at the end.
        """
        with ExitStack() as leaving:
            leaving.callback(self.audit.close if self.owns_audit else self.audit.flush)
            for each in self.plan.owned:
                leaving.callback(each.close)

    async def aclose(self) -> None:
        """As `close`, and what belongs to the running event loop."""
        async with AsyncExitStack() as leaving:
            leaving.callback(self.audit.close if self.owns_audit else self.audit.flush)
            for each in self.plan.owned:
                leaving.push_async_callback(each.aclose)

    def _hand_on(self, wiring: Wiring) -> None:
        """Have each new breaker of a provider that stays stand where its former one stood.

        So does that of an account, if a provider on it stays; else its keys may be others.
        """
        were = {id(each) for each in self.wiring.providers}
        staying = {each.name for each in wiring.providers if id(each) in were}
        accounts = {f"{ACCOUNT}{wiring.infos[name].account}" for name in staying}
        before = set(self.wiring.circuits.values())
        for name, circuit in wiring.circuits.items():
            former = self.wiring.circuits.get(name)
            if former is not None and circuit not in before and name in staying | accounts:
                circuit.take_the_place_of(former)

    def _attach(self, wiring: Wiring) -> None:
        """Have every breaker tell the log, in the critical section of each fact.

        Raises:
            ConfigurationError: If one has a name there that is taken; none has been attached.
        """
        log = self.audit
        new = [each for each in wiring.circuits.values() if each not in self._attached]
        named = {each: self._id_of(each) for each in new}
        for circuit, name in named.items():
            if not circuit.is_audited:  # else it is told under the name it has
                log.refuse_taken(BREAKER, name)
        for circuit, name in named.items():
            if circuit.audit(log.append, id=name, stays=log.mode == "full"):  # not heard of yet
                log.register(BREAKER, circuit.core.name, circuit.config.in_force)
            leaves = weakref.finalize(self, circuit.unaudit, log.append)
            leaves.atexit = False
            self._attached[circuit] = leaves
            self._named[circuit.name] += 1

    def _id_of(self, circuit: CircuitBreaker) -> str:
        """Its name in records; a breaker that begins anew is another machine, and says so."""
        name = f"{self.plan.name}/{circuit.name}"
        times = self._named[circuit.name] + 1
        return name if times == 1 else f"{name}#{times}"

    def free(self) -> None:
        """Have locks of its own, in a forked child: those of the parent may be held."""
        self.reloading, self._entering = RLock(), Lock()

    def _recorder(self, audit: str) -> AuditLog:
        mode = "moves" if audit == "off" else audit
        return AuditLog(mode=mode, capacity=_RECORDED_STEPS, clock=self.plan.clock)


_ALL: Final[weakref.WeakSet[Made]] = weakref.WeakSet()


def _free_all() -> None:
    for each in list(_ALL):
        each.free()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_free_all)
