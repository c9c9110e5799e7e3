"""What a person on call reads of a chain: how each provider stands, and whom a call would ask."""

from __future__ import annotations

from collections.abc import Iterator

from fsm_fallback.core.health import ProviderHealth
from fsm_fallback.core.strategies import CallOptions
from fsm_fallback.core.trail import Candidate, Skip
from fsm_fallback.drivers.linking import ways_of
from fsm_fallback.wiring import Wiring


def explained(wiring: Wiring, options: CallOptions) -> str:
    """How a chain stands, in plain words; asking changes nothing."""
    now = wiring.clock()
    lines = [f"chain {wiring.name!r}, strategy {type(wiring.strategy).__name__}"]
    lines += _order(wiring, options, now)
    for each in wiring.providers:
        lines += ["", *_provider(wiring, each.name)]
    for name, circuit in wiring.circuits.items():
        if name not in wiring.infos:
            lines += ["", circuit.explain()]
    return "\n".join(lines)


def _order(wiring: Wiring, options: CallOptions, now: float) -> Iterator[str]:
    """Whom a call would ask now, in which order, and why."""
    way = min(ways_of(wiring.providers), default=None)
    if way is None:
        yield "a call would ask nobody: its providers have no way to be called in common"
        return
    walk = wiring.looking(way, options)
    said = _said(options)
    yield f"a call{said} would ask now, in this order:"
    for place, each in enumerate(walk.order(now), 1):
        yield f"  {place}. {_turn(each, now)}"
    if wiring.config.when_all_open == "wait":
        yield "  and where all are open it waits, within its deadline"


def _said(options: CallOptions) -> str:
    parts = [f"needs {'+'.join(sorted(options.needs))}"] if options.needs else []
    if options.tokens:
        parts.append(f"{options.tokens} tokens")
    if options.max_cost is not None:
        parts.append(f"at most {options.max_cost:f} USD")
    if options.deadline is not None:
        parts.append(f"deadline {options.deadline:g} s")
    return f" ({', '.join(parts)})" if parts else ""


def _turn(each: Candidate | Skip, now: float) -> str:
    if isinstance(each, Skip):
        return f"{each.provider!r}: skipped, it lacks {each.reason!r}"
    opens_at = each.opens_at(now)
    if opens_at <= now:
        return f"{each.name!r}: its breaker admits"
    if opens_at == float("inf"):
        return f"{each.name!r}: skipped, its breaker refuses, and nobody knows until when"
    return f"{each.name!r}: skipped for {opens_at - now:.1f} s more, its breaker refuses until then"


def _provider(wiring: Wiring, name: str) -> Iterator[str]:
    circuit = wiring.circuits[name]
    health = wiring.meters.health(name, circuit.snapshot())
    yield f"provider {name!r}: {_pace(health)}"
    yield circuit.explain()


def _pace(health: ProviderHealth) -> str:
    if health.success_ratio is None:
        return "not asked yet"
    parts = [f"{health.success_ratio:.0%} of its latest attempts were answered"]
    if health.latency is not None:
        parts.append(f"lately in {health.latency:.3g} s")
    if health.last_fault is not None and health.last_fault_age is not None:
        parts.append(f"last fault {health.last_fault}, {health.last_fault_age:.1f} s ago")
    if health.consecutive_failures:
        parts.append(f"{health.consecutive_failures} failures in a row")
    return ", ".join(parts)
