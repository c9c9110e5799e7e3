"""What is wrong with the arguments of a `FallbackProvider`: all of it, before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypedDict

from fsm_fallback.circuit.gates import ACCOUNT
from fsm_fallback.core.bounds import COUNT, SECONDS, shown
from fsm_fallback.core.info import CapabilitySource, PriceSource
from fsm_fallback.core.parameters import AUDIT_MODES, FallbackConfig
from fsm_fallback.core.prices import AMOUNT, to_decimal
from fsm_fallback.core.strategies import (
    CallOptions,
    Strategy,
    is_strategy,
    said_problems,
    strategies_in,
)
from fsm_fallback.drivers.judging import Accept
from fsm_fallback.drivers.link import Way
from fsm_fallback.drivers.walk import Describe
from fsm_fallback.providers.protocol import CALLS, slot_of
from fsm_fallback.providers.protocol import calling_problems as calling_problems_of
from fsm_fallback.providers.reading import AUTO
from fsm_fallback.telemetry import AuditLog
from fsm_fallback.wiring import Plan, several


class Parameters(TypedDict, total=False):
    """The keyword arguments of `FallbackProvider`, as its overloads share them."""

    strategy: Strategy | None
    config: FallbackConfig
    clock: Callable[[], float]
    sample: Callable[[], float]
    audit: str | AuditLog | None
    accept: Accept | None
    describe: Describe | None
    prices: PriceSource | Sequence[PriceSource] | None
    capabilities: CapabilitySource | Sequence[CapabilitySource] | None
    name: str


class Same(Enum):
    """Stands for an option that was not given."""

    SAME = "as it is"


SAME: Final = Same.SAME


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not SAME}


def plan_problems(plan: Plan) -> Iterator[str]:
    """What is wrong with what a chain is to be made of."""
    yield from provider_problems(plan.providers)
    yield from argument_problems(plan)
    yield from source_problems(plan)
    yield from strategy_problems(plan)


def provider_problems(providers: tuple[Any, ...]) -> Iterator[str]:
    """What is wrong with the providers."""
    if not providers:
        yield "FallbackProvider.providers is empty; give at least one provider"
    seen: dict[str, int] = {}
    for position, each in enumerate(providers):
        where = f"FallbackProvider.providers[{position}]"
        name = getattr(each, "name", None)
        if isinstance(each, (list, tuple)):
            yield (
                f"{where} is {shown(each)}; give the providers one by one: "
                "FallbackProvider(*providers)"
            )
            continue
        if not isinstance(name, str) or not name:
            yield (
                f"{where} is {shown(each)}, whose name is {shown(name)}; give it a name, with "
                "@provider('name') for a function"
            )
        elif name in seen:
            yield f"{where}.name is {name!r}, as of providers[{seen[name]}]; give each its own"
        else:
            seen[name] = position
            if name.startswith(ACCOUNT):
                yield (
                    f"{where}.name is {name!r}; give it one that does not begin with {ACCOUNT!r}, "
                    "as the breakers of accounts do"
                )
        if isinstance(each, type):
            yield f"{where} is {shown(each)}; give an instance of it"
        elif not any(callable(getattr(each, way, None)) for way in CALLS):
            yield f"{where} is {shown(each)}, which has no {', '.join(CALLS)}; give it one of them"
        yield from calling_problems_of(
            where,
            getattr(each, "classify", None),
            getattr(each, "timeout_arg", None),
            getattr(each, "is_output", None),
            getattr(each, "terminal", AUTO),
        )
        window = getattr(getattr(each, "info", None), "context_window", None)
        if not COUNT.or_none().accepts(window):
            yield f"{where}.info.context_window is {shown(window)}; give {COUNT.or_none().wanted}"


def argument_problems(plan: Plan) -> Iterator[str]:
    """What is wrong with parameters, clock, samples and name."""
    given: Any = plan  # whatever it holds
    owner = "FallbackProvider"
    if given.strategy is not None and not is_strategy(given.strategy):
        yield f"{owner}.strategy is {shown(given.strategy)}; give an object with order()"
    if not isinstance(given.config, FallbackConfig):
        yield f"{owner}.config is {shown(given.config)}; give a FallbackConfig"
    if not callable(given.clock):
        yield f"{owner}.clock is {shown(given.clock)}; give a function that returns seconds"
    if not callable(given.sample):
        yield f"{owner}.sample is {shown(given.sample)}; give a function that draws from [0, 1)"
    if not isinstance(given.name, str) or not given.name:
        yield f"{owner}.name is {shown(given.name)}; give a non-empty string"


def calling_problems(audit: object, accept: object) -> Iterator[str]:
    """What is wrong with who hears of calls, and who judges answers."""
    if not (audit is None or isinstance(audit, AuditLog) or audit in AUDIT_MODES):
        yield (
            f"FallbackProvider.audit is {shown(audit)}; give an AuditLog or one of "
            f"{', '.join(AUDIT_MODES)}"
        )
    yield from accept_problems("FallbackProvider", accept)


def source_problems(plan: Plan) -> Iterator[str]:
    """What is wrong with what tells of calls and of models."""
    describe: object = plan.describe
    if describe is not None and not callable(describe):
        yield (
            f"FallbackProvider.describe is {shown(describe)}; give a function of a call's "
            "arguments that returns CallOptions, or None"
        )
    for name, sources, method in (
        ("prices", several(plan.prices), "price"),
        ("capabilities", several(plan.capabilities), "capabilities"),
    ):
        for source in sources:
            if not callable(getattr(source, method, None)):
                yield (
                    f"FallbackProvider.{name} is {shown(source)}; give an object with {method}(), "
                    "or several in a list"
                )


def strategy_problems(plan: Plan) -> Iterator[str]:
    """What the strategy says of providers that the chain has not."""
    config: object = plan.config
    if not isinstance(config, FallbackConfig) or not is_strategy(plan.strategy_in_force):
        return
    named = [getattr(each, "name", None) for each in plan.providers]
    names = [name for name in named if isinstance(name, str)]
    for each in strategies_in(plan.strategy_in_force):
        weights: Mapping[str, float] = getattr(each, "weights", None) or {}
        if names and all(weights.get(name, 1) == 0 for name in names):
            yield (
                f"{type(each).__name__}.weights is 0 for every provider of the chain; give at "
                "least one a number above 0"
            )
        for unknown in sorted(set(weights) - set(names)):
            yield (
                f"{type(each).__name__}.weights names {unknown!r}, which is no provider of the "
                f"chain; there are {', '.join(names)}"
            )


def accept_problems(owner: str, accept: object) -> Iterator[str]:
    """What is wrong with a judge of answers."""
    if accept is not None and not callable(accept):
        yield (
            f"{owner}.accept is {shown(accept)}; give a function of an answer that returns True, "
            "False or a Fault, or None"
        )


def option_problems(options: CallOptions, accept: object, config: FallbackConfig) -> Iterator[str]:
    """What is wrong with the options of one call."""
    if not SECONDS.or_none().accepts(options.deadline):
        yield f"options.deadline is {shown(options.deadline)}; give {SECONDS.or_none().wanted}"
    for problem in said_problems(options):
        yield f"options.{problem}"
    if not AMOUNT.or_none().accepts(options.max_cost):
        yield f"options.max_cost is {shown(options.max_cost)}; give {AMOUNT.or_none().wanted}"
    if options.deadline is None and config.when_all_open == "wait":
        yield "options.deadline is None and when_all_open 'wait'; give the wait an end"
    yield from accept_problems("options", accept)


def as_amount(amount: Any) -> Any:
    """A sum of money as `Decimal`; anything else as it is, to be refused."""
    return amount if amount is None or isinstance(amount, Enum) else to_decimal(amount)


def as_words(words: object) -> Any:
    """Strings as a set of them; anything else as it is, to be refused."""
    if isinstance(words, (set, frozenset, list, tuple)):
        try:
            return frozenset(words)
        except TypeError:  # not even hashable
            return words
    return words


def walk_problems(way: Way, accept: object, name: str) -> Iterator[str]:
    """What stands against calling a chain in this way."""
    if accept is None:
        return
    if way in ("stream", "astream"):
        yield (
            f"chain {name!r} has accept=, which judges whole answers, and {way}() has none; use "
            "call or acall, or options(accept=None)"
        )
    elif way == "call" and slot_of(accept) != "call":  # type: ignore[arg-type]  # it is callable
        yield (
            f"accept of chain {name!r} has to be awaited, and call() does not; use acall, or give "
            "a plain function"
        )


def ways_with(accept: object, name: str, possible: frozenset[Way]) -> frozenset[Way]:
    """Those of the possible ways that a chain can be called in that judges its answers so."""
    return frozenset(way for way in possible if not any(walk_problems(way, accept, name)))
