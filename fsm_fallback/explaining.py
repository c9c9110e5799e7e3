"""What a person on call reads of a chain: whom a call would ask, and how each provider stands.

Asking changes nothing: it draws no sample, asks no breaker for leave, records and counts nothing,
and calls no function of the user's but the strategy. No text of a provider is told; of a fault the
kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from fsm_fallback.circuit import CircuitBreaker
from fsm_fallback.circuit.joint import JointCircuit
from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.cost_optimized import CostOptimized
from fsm_fallback.core.health import ProviderHealth
from fsm_fallback.core.load_balanced import LoadBalanced
from fsm_fallback.core.strategies import (
    CONTEXT_WINDOW,
    INPUT_TOKENS,
    MAX_COST,
    OUTPUT_TOKENS,
    CallOptions,
    CapabilityBased,
    Sequential,
    Strategy,
    sizes,
    strategies_in,
)
from fsm_fallback.core.trail import Candidate, Skip
from fsm_fallback.drivers.link import WAYS, Way
from fsm_fallback.wiring import Wiring


def explained(wiring: Wiring, options: CallOptions) -> str:
    """How a chain stands, in plain words; asking changes nothing."""
    now = wiring.clock()
    lines = [f"chain {wiring.name!r}, strategy {_strategies(wiring.strategy)}"]
    lines += _order(wiring, options, now)
    for each in wiring.providers:
        lines += ["", *_provider(wiring, each)]
    for name, circuit in wiring.circuits.items():
        if name not in wiring.infos:
            before = [each for each, gate in wiring.gates.items() if circuit in _parts(gate)]
            lines += ["", f"account {name!r}, before {_listed(before)}", circuit.explain()]
    return "\n".join(lines)


# Whom a call would ask ----------------------------------------------------------------------


def _order(wiring: Wiring, options: CallOptions, now: float) -> Iterator[str]:
    """Whom a call would ask now, in which order, and why."""
    possible = wiring.ways
    way: Way | None = next((each for each in WAYS if each in possible), None)
    said = _said(options)
    if way is None:
        yield f"a call{said} would ask nobody: its providers have no way to be called in common"
        return
    try:
        order = wiring.looking(way, options).order(now)
    except Exception as error:  # noqa: BLE001  # the user's strategy, and the rest is worth reading
        yield f"a call{said} would raise {type(error).__name__}: the strategy gives no order"
        return
    yield f"a call{said} would ask now, in this order:"
    place, refused = 0, list[str]()
    for each in order:
        if isinstance(each, Skip):
            yield f"  - {each.provider!r}: skipped, {_lacking(wiring, each, options)}"
            continue
        if each.opens_at(now) > now:
            refused.append(each.name)
            yield f"  - {each.name!r}: refused {_refusal(wiring, each.name, now)}"
        else:
            place += 1
            yield f"  {place}. {each.name!r}: {'; '.join(_why(wiring, each, options, now))}"
    if not place:
        yield f"  {_nobody(wiring, options, now, refused)}"
    yield from _remarks(wiring)


def _said(options: CallOptions) -> str:
    parts = [f"needs {'+'.join(sorted(options.needs))}"] if options.needs else []
    if options.tokens:
        parts.append(f"{options.tokens} tokens")
    if options.max_cost is not None:
        parts.append(f"at most {options.max_cost:f} USD")
    if options.deadline is not None:
        parts.append(f"deadline {options.deadline:g} s")
    return _aside(parts)


def _aside(words: list[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


def _lacking(wiring: Wiring, skip: Skip, options: CallOptions) -> str:
    """What a strategy's skip means."""
    info = wiring.infos[skip.provider]
    if skip.reason == CONTEXT_WINDOW:
        return f"its context window of {info.context_window} is too small for {options.tokens}"
    if skip.reason == MAX_COST and info.price is not None and options.max_cost is not None:
        cost = info.price.cost(*sizes(options, (INPUT_TOKENS, OUTPUT_TOKENS)))
        return f"it would cost {_usd(cost)}, and may cost {_usd(options.max_cost)}"
    return f"it lacks {skip.reason!r}"


def _parts(gate: CircuitBreaker | JointCircuit) -> tuple[CircuitBreaker, ...]:
    """The breakers a provider is behind, in the order in which they are asked."""
    return (gate.account, gate.model) if isinstance(gate, JointCircuit) else (gate,)


def _refusing(wiring: Wiring, name: str, now: float) -> list[CircuitBreaker]:
    """The breakers that refuse a provider."""
    return [each for each in _parts(wiring.gates[name]) if each.opens_at(now) > now]


def _refusal(wiring: Wiring, name: str, now: float) -> str:
    """Until when a provider is refused, and by which breakers."""
    shut = _refusing(wiring, name, now)
    until = wiring.gates[name].opens_at(now)
    if any(each.state is S.FORCED_OPEN for each in shut):
        when = "until somebody says reset()"
    elif until < math.inf:
        when = f"for {until - now:.1f} s more"
    else:
        when = "until its probes are back"
    return f"{when}, {' and '.join(_shut(each, wiring) for each in shut)}"


def _shut(circuit: CircuitBreaker, wiring: Wiring) -> str:
    """How a breaker stands that refuses, and why."""
    stands, core = circuit.snapshot(), circuit.core
    own = _key(wiring, circuit) in wiring.infos
    whose = "its breaker" if own else f"the breaker of {_key(wiring, circuit)!r}"
    because = [] if stands.cause is None else [stands.cause.kind.value]
    if core.actor is not None or core.reason is not None:
        because.append(f"by {core.actor or 'an operator'}: {core.reason or 'no reason given'}")
    return f"{whose} is {stands.state.value}{_aside(because)}"


def _key(wiring: Wiring, circuit: CircuitBreaker) -> str:
    """By which name a chain has a breaker, which may have another in a chain that shares it."""
    return next(name for name, each in wiring.circuits.items() if each is circuit)


def _nobody(wiring: Wiring, options: CallOptions, now: float, refused: list[str]) -> str:
    """What becomes of a call that nobody can take at once."""
    if not refused:
        return "nobody: a call would fail, for no provider can serve it"
    at, name = min((wiring.gates[each].opens_at(now), each) for each in refused)
    soonest = "" if at == math.inf else f"; {name!r} is the first to come back, in {at - now:.1f} s"
    if wiring.config.when_all_open == "fail":
        return f"nobody: a call would fail at once{soonest}"
    end = math.inf if options.deadline is None else now + options.deadline
    asked_first = [_refusing(wiring, each, now)[:1] for each in refused]  # none: it has just closed
    probing = any(each.state is S.HALF_OPEN for shut in asked_first for each in shut)
    if at < end or probing:
        return f"nobody yet: a call would wait, within its deadline{soonest}"
    return f"nobody: a call would fail at once, for nobody comes back by its deadline{soonest}"


def _remarks(wiring: Wiring) -> Iterator[str]:
    """What else decides the order, that nobody knows before the call."""
    if any(isinstance(each, LoadBalanced) for each in strategies_in(wiring.strategy)):
        yield "  each call is drawn anew; this is the order of a draw in the middle"
    if wiring.describe is not None and type(wiring.strategy) is not Sequential:
        yield "  what describe= tells of a call by its arguments comes on top"


# Why in this place --------------------------------------------------------------------------


def _why(wiring: Wiring, each: Candidate, options: CallOptions, now: float) -> Iterator[str]:
    """Why a candidate stands where it does, by each of the strategies."""
    stands = {circuit.snapshot().state for circuit in _parts(wiring.gates[each.name])}
    yield "as a probe" if stands & {S.OPEN, S.HALF_OPEN} else "admitted"
    for strategy in strategies_in(wiring.strategy):
        reasons = _REASONS.get(type(strategy))
        if reasons is not None:
            yield from reasons(strategy, each, options, now)


def _by_capability(
    strategy: CapabilityBased,
    each: Candidate,
    options: CallOptions,
    now: float,  # noqa: ARG001  # as all reasons
) -> Iterator[str]:
    able = each.info.capabilities
    if options.needs and not able:
        yield f"nobody says whether it has {_listed(sorted(options.needs))}, so asked late"
    if options.tokens and each.context_window is None:
        yield "its context window is unknown, so asked late"
    if options.max_cost is not None and each.info.price is None:
        yield "its price is unknown, so asked late"
    if strategy.prefer:
        has = [word for word in strategy.prefer if word in able]
        yield f"preferred for {_listed(has)}" if has else "has nothing that is preferred"


_AS_GOOD_AS_ALL: Final = 0.995


def _by_cost(
    strategy: CostOptimized,
    each: Candidate,
    options: CallOptions,
    now: float,
) -> Iterator[str]:
    if each.info.price is None:
        yield "its price is unknown, so asked after those whose price is known"
        return
    into, out = options.input_tokens, options.output_tokens
    into = strategy.input_tokens if into is None else into
    out = strategy.output_tokens if out is None else out
    yield f"{_usd(each.info.price.estimate(into, out))} for {into} tokens in, {out} out"
    yield from _by_ratio(each, now)


def _by_ratio(each: Candidate, now: float) -> Iterator[str]:
    """What a candidate's failures make of it."""
    ratio = each.success_ratio(now)
    if ratio is not None and ratio < _AS_GOOD_AS_ALL:
        yield f"divided by the {ratio:.0%} that are answered"


def _by_balance(
    strategy: LoadBalanced,
    each: Candidate,
    options: CallOptions,  # noqa: ARG001  # as above
    now: float,
) -> Iterator[str]:
    weight = 1.0 if strategy.weights is None else strategy.weights.get(each.name, 1.0)
    yield f"weight {weight:g}" if weight else "weight 0, so asked last"
    if strategy.by == "latency":
        latency = each.latency(now)
        yield (
            "not measured yet"
            if latency is None
            else f"weighed at {_seconds(latency)}, its failures in it"
        )
        yield from _by_ratio(each, now)
    if strategy.by != "weight":
        yield f"{each.in_flight} in flight"
    since = each.recovered_at
    if since is not None and now >= since > now - strategy.slow_start:
        ago, grows = now - since, strategy.slow_start
        yield f"its breaker closed {ago:.1f} s ago, and its share grows for {grows:g} s"


_Reasons = Callable[[Any, Candidate, CallOptions, float], Iterator[str]]
_REASONS: Final[dict[type[Any], _Reasons]] = {
    CapabilityBased: _by_capability,
    CostOptimized: _by_cost,
    LoadBalanced: _by_balance,
}


def _strategies(strategy: Strategy) -> str:
    """A strategy, and what it leaves ties to; that they keep their order goes without saying."""
    first, *others = strategies_in(strategy)
    told = [first, *[each for each in others if type(each) is not Sequential]]
    return ", then ".join(map(_named, told))


def _named(strategy: Strategy) -> str:
    name = type(strategy).__name__
    if isinstance(strategy, LoadBalanced):
        return f"{name} by {strategy.by}"
    if isinstance(strategy, CapabilityBased) and strategy.prefer:
        return f"{name}, preferring {_listed(strategy.prefer)}"
    return name


def _usd(amount: Any) -> str:
    """An amount of money, to three digits, without an exponent."""
    from decimal import Decimal  # noqa: PLC0415  # a millisecond that few need to pay

    return f"{Decimal(f'{amount:.3g}').normalize():f} USD"


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))


# How a provider stands ----------------------------------------------------------------------


def _provider(wiring: Wiring, each: Any) -> Iterator[str]:
    """How a provider did, how its breaker stands, and of a chain, how that one does."""
    info, circuit = wiring.infos[each.name], wiring.circuits[each.name]
    known = [f"model {info.model}"] if info.model else []
    known += [f"account {info.account}"] if info.account else []
    health = wiring.meters.health(each.name, circuit.snapshot())
    cost = wiring.meters.by_name[each.name].tally.cost
    pace = [_pace(health)] + ([f"{_usd(cost)} so far"] if cost is not None else [])
    yield f"provider {each.name!r}{_aside(known)}: {', '.join(pace)}"
    yield circuit.explain()
    if isinstance(getattr(each, "ways", None), frozenset):  # a chain
        yield from (f"  | {line}".rstrip() for line in each.explain().splitlines())


_A_MOMENT = 0.001


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= _A_MOMENT else "a millisecond"


def _pace(health: ProviderHealth) -> str:
    if health.success_ratio is None and health.last_fault is None:
        return "not asked yet"
    parts = []
    if health.success_ratio is not None:
        parts.append(f"{health.success_ratio:.0%} of its latest attempts were answered")
    if health.p50 is not None and health.p95 is not None:
        parts.append(f"half within {_seconds(health.p50)}, 95 of 100 within {_seconds(health.p95)}")
    if health.last_fault is not None and health.last_fault_age is not None:
        parts.append(f"last fault {health.last_fault}, {health.last_fault_age:.1f} s ago")
    if health.consecutive_failures:
        run = health.consecutive_failures
        parts.append(f"{run} failure{'s' if run > 1 else ''} in a row")
    return ", ".join(parts)
