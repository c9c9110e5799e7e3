"""The compiled trigger against a stock transitions event: one guard, a change of state each time.

python benchmarks/table.py
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import attrs
from harness import Budget, Call, race, report
from transitions import Machine

from fsm_fallback.core.table import Row, Table, machine_of


class Side(Enum):
    __hash__ = object.__hash__

    LEFT = "left"
    RIGHT = "right"


@attrs.define(eq=False)
class Coin:
    state: Side = Side.LEFT
    tosses: int = 0

    def willing(self) -> bool:
        return self.tosses >= 0

    def count(self) -> None:
        self.tosses += 1


class BoundCoin:
    """The same for a machine that binds its models: their class has a `__dict__`."""

    toss: Call  # set by the machine

    def __init__(self) -> None:
        self.tosses = 0

    willing = Coin.willing
    count = Coin.count


TABLE = Table(
    name="coin",
    initial=Side.LEFT,
    rows=(
        Row("toss", Side.LEFT, "willing", Side.RIGHT, "count", "over"),
        Row("toss", Side.LEFT, None, None, "", "unwilling"),
        Row("toss", Side.RIGHT, "willing", Side.LEFT, "count", "and back"),
        Row("toss", Side.RIGHT, None, None, "", "unwilling"),
    ),
    words={"willing": "somebody tosses"},
)
STOCK: dict[str, Any] = {
    "states": Side,
    "initial": Side.LEFT,
    "auto_transitions": False,
    "transitions": [
        {
            "trigger": row.trigger,
            "source": row.source,
            "dest": row.target,
            "conditions": row.guard,
            "before": list(row.actions),
        }
        for row in TABLE.rows
    ],
}
BUDGETS = (
    Budget("compiled trigger / stock event, one guard", "compiled trigger", "stock event", 0.05),
    Budget("compiled fire / stock event, one guard", "compiled fire", "stock event", 0.05),
)


def bound(trigger: Callable[[Coin], object]) -> Call:
    """A contender: one firing on a model of its own."""
    coin = Coin()
    return lambda: trigger(coin)


def contenders() -> dict[str, Call]:
    compiled = machine_of(TABLE, Coin).events["toss"]
    compiled.trigger(Coin())  # it is compiled now
    stock = Machine(model=None, **STOCK).events["toss"]
    bound_coin = BoundCoin()
    Machine(model=bound_coin, **STOCK)
    return {
        "compiled trigger": bound(compiled.trigger),
        "compiled fire": bound(compiled.fire),
        "stock event": bound(stock.trigger),
        "stock, bound to its model": bound_coin.toss,
        "a method that does nothing": bound(lambda _: None),
    }


if __name__ == "__main__":
    print(report(race(contenders()), "stock event", BUDGETS))
