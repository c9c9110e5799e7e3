"""What a choice costs: each strategy beside `Sequential`, with three candidates and with twenty.

python benchmarks/strategies.py

Healthy providers that answer at once, priced and not. The chain of three is called; of the twenty
only the order is asked for, the check that it loses and repeats nobody included.
"""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

from harness import Budget, Call, race, report, verdict

from fsm_fallback import (
    CapabilityBased,
    CostOptimized,
    FallbackProvider,
    LoadBalanced,
    Price,
    Sequential,
    provider,
)

STRATEGIES: dict[str, Any] = {
    "Sequential": Sequential(),
    "CapabilityBased": CapabilityBased(),
    "CapabilityBased, prefer=": CapabilityBased(prefer=("vision",)),
    "CostOptimized": CostOptimized(),
    "LoadBalanced, by weight": LoadBalanced(),
    "LoadBalanced, three weights": LoadBalanced(weights={"p0": 1, "p1": 2, "p2": 3}),
    "LoadBalanced, by latency": LoadBalanced(by="latency"),
    "LoadBalanced, by calls in flight": LoadBalanced(by="in_flight"),
    "CapabilityBased(then=CostOptimized)": CapabilityBased(then=CostOptimized()),
}
BUDGETS = tuple(
    Budget(f"{name} / Sequential", name, "Sequential", 1 + more)
    for name, more in (
        ("CapabilityBased", 0.3),
        ("CostOptimized", 0.3),
        ("LoadBalanced, by weight", 1.0),
        ("LoadBalanced, by latency", 1.0),
        ("LoadBalanced, by calls in flight", 1.0),
    )
)
MOST_MICROSECONDS = 20.0


def chain(count: int, strategy: Any, *, priced: bool = False) -> FallbackProvider:
    """A chain of so many providers."""

    def made(number: int) -> Any:
        price = Price(input_mtok=number, output_mtok=2) if priced else None
        able = {"tools", "vision"} if number % 2 else {"tools"}
        known = {"capabilities": able, "context_window": 100_000, "price": price}
        return provider(f"p{number}", **known)(lambda prompt: prompt)

    llm = FallbackProvider(*map(made, range(count)), strategy=strategy)
    for _ in range(200):
        llm.call("warm")
    return llm


def order_of(strategy: Any) -> Call:
    """The order of a call over twenty, with needs and sizes."""
    llm = chain(20, strategy, priced=True)
    walk = llm.options(needs={"tools"}, input_tokens=900, output_tokens=100)._walk("call")  # noqa: SLF001  # what is measured
    walk.is_fixed = False  # ask each time
    return partial(walk.order, 0.0)


if __name__ == "__main__":
    gc.freeze()  # what was imported is no work of any batch
    calls = {name: partial(chain(3, each).call, "why") for name, each in STRATEGIES.items()}
    print("a call over three providers, the first in the order answers")
    print(report(race(calls), "Sequential", BUDGETS))
    priced = {
        name: partial(chain(3, STRATEGIES[name], priced=True).call, "why")
        for name in ("Sequential", "CostOptimized", "CapabilityBased(then=CostOptimized)")
    }
    print("\nthe same, of providers with a price, whose answers tell no tokens")
    print(report(race(priced), "Sequential"))
    orders = race({name: order_of(each) for name, each in STRATEGIES.items()})
    print("\nthe order of twenty, with needs and sizes, checked")
    print(report(orders, "Sequential"))
    for name in STRATEGIES:
        print(verdict(f"{name}, us", orders.minimum(name) / 1000, MOST_MICROSECONDS))
