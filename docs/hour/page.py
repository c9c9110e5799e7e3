"""The tables of `strategies-hour.md`: what each strategy came to, as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from docs.hour.play import WRITTEN, Call
from docs.hour.recount import hops, recount
from docs.hour.scene import KINDS, MODELS, SPELLS
from fsm_fallback import Attempt, FaultKind, Skip
from fsm_fallback.core.strategies import CONTEXT_WINDOW
from fsm_fallback.core.trail import Trail
from fsm_fallback.providers.chat import VISION

Played = Mapping[str, Sequence[Call]]
"""The calls of the hour under each strategy, by the name of its chain."""

NEEDS: Final = frozenset({VISION, CONTEXT_WINDOW})
"""Reasons of a skip that speak of the request, not of a breaker."""

_IN_VAIN: Final = frozenset({FaultKind.UNSUPPORTED, FaultKind.CONTEXT})


def tables(played: Played) -> dict[str, str]:
    """The generated parts of the page, by the names of their markers."""
    return {
        "hour, models": _models(),
        "hour, spells": _spells(),
        "hour, strategies": _strategies(played),
        "hour, kinds": _kinds(played),
        "hour, providers": _providers(played),
    }


def cost_of(calls: Iterable[Call]) -> Decimal:
    """US dollars of all attempts."""
    return sum((booked.cost for booked in recount(calls).values()), Decimal(0))


def quantile(seconds: Iterable[float], share: float) -> float:
    """The smallest that is not below that share of them."""
    ordered = sorted(seconds)
    return ordered[math.ceil(share * len(ordered)) - 1]


def waits(calls: Iterable[Call]) -> list[float]:
    """How long those waited who got an answer."""
    return [call.duration for call in calls if call.answered_by is not None]


def _models() -> str:
    heads = ("provider", "SDK", "USD per million tokens, in / out", "images", "window", "begins")
    rows = [
        (
            f"`{each.name}`",
            f"`{each.dialect}`",
            f"{each.price.input_mtok} / {each.price.output_mtok}",
            "yes" if VISION in each.capabilities else "no",
            f"{each.context_window:,}",
            f"after {each.first_token:g} s, then {each.tokens_per_second:g} tokens a second",
        )
        for each in MODELS
    ]
    return _table(heads, rows)


def _spells() -> str:
    rows = [
        (f"{each.begins:g} to {each.ends:g}", f"`{each.provider}`", each.words) for each in SPELLS
    ]
    return _table(("minutes", "provider", "what is wrong"), rows)


def _strategies(played: Played) -> str:
    heads = (
        *("strategy", "requests", "answered", "failed", "USD", "p50, s", "p95, s"),
        *("fallbacks", "past a breaker", "past a need", "in vain"),
    )
    rows = []
    for name, calls in played.items():
        seconds, trails = waits(calls), [call.trail for call in calls]
        rows.append(
            (
                f"`{WRITTEN[name]}`",
                len(calls),
                len(seconds),
                len(calls) - len(seconds),
                f"{cost_of(calls):.2f}",
                f"{quantile(seconds, 0.5):.1f}",
                f"{quantile(seconds, 0.95):.1f}",
                *_detours(trails),
            )
        )
    return _table(heads, rows)


def _detours(trails: Sequence[Trail]) -> tuple[int, int, int, int]:
    """Fallbacks after a fault, skips by a breaker and for a need, attempts that could not work."""
    items = [item for trail in trails for item in trail]
    faults = {kind.value for kind in FaultKind}
    reasons = [item.reason for item in items if isinstance(item, Skip)]
    kinds = [item.fault.kind for item in items if isinstance(item, Attempt) and item.fault]
    return (
        sum(why in faults for trail in trails for _, _, why in hops(trail)),
        sum(reason not in NEEDS for reason in reasons),
        sum(reason in NEEDS for reason in reasons),
        sum(kind in _IN_VAIN for kind in kinds),
    )


def _kinds(played: Played) -> str:
    heads = ("strategy", *(f"{each.name}s" for each in KINDS))
    rows = []
    for name, calls in played.items():
        served = Counter((call.ask.kind.name, call.answered_by) for call in calls)
        cells = [_served(kind.name, served) for kind in KINDS]
        rows.append((f"`{WRITTEN[name]}`", *cells))
    return _table(heads, rows)


def _served(kind: str, served: Counter[tuple[str, str | None]]) -> str:
    names = [(model.name, model.name) for model in MODELS]
    told = [
        f"{words} {served[kind, name]}"
        for words, name in (*names, ("nobody", None))
        if served[kind, name]
    ]
    return ", ".join(told)


def _providers(played: Played) -> str:
    heads = ("strategy", *(f"`{each.name}`" for each in MODELS))
    rows = [
        (f"`{WRITTEN[name]}`", *(_share(calls, model.name) for model in MODELS))
        for name, calls in played.items()
    ]
    return _table(heads, rows)


def _share(calls: Sequence[Call], name: str) -> str:
    own = list(_answers(calls, name))
    if not own:
        return "none"
    share = len(own) / len(calls)
    cost = recount(calls)[name].cost
    return f"{share:.0%}, {cost:.2f} USD, {quantile([each.duration for each in own], 0.5):.1f} s"


def _answers(calls: Iterable[Call], name: str) -> Iterator[Attempt]:
    for call in calls:
        for item in call.trail:
            if isinstance(item, Attempt) and item.provider == name and item.fault is None:
                yield item


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
