"""The real machines of the core over another table: a user's, or a mutant of ours.

Guards, actions and everything else are the core's own code; only the rows are others.
"""

from __future__ import annotations

from typing import Any

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.compiled import CompiledEvent
from fsm_fallback.core.table import Table, audit, unaudited_machine_of


def breaker_class(
    table: Table, model: type[Breaker] = Breaker, *, sound: bool = True
) -> type[Breaker]:
    """A class of breakers that runs a table.

    Args:
        table: Rows over `BreakerState`, with the triggers of `BREAKER`.
        model: Whose guards and actions they name.
        sound: Whether to refuse a table that does not pass its audit.

    Raises:
        ConfigurationError: If `sound` and it does not; naming every problem.
    """
    if sound:
        audit(table, model)

    class Tabled(model):  # type: ignore[misc, valid-type]  # a class given at run time
        __slots__ = ()

        def _fire(self, event: CompiledEvent, *words: Any, **how: Any) -> None:
            super()._fire(self.machine.events[event.name], *words, **how)

    Tabled.table = table
    Tabled.__name__ = Tabled.__qualname__ = model.__name__
    Tabled.machine = unaudited_machine_of(table, Tabled)
    return Tabled


def chain_class(table: Table, model: type[Chain] = Chain, *, sound: bool = True) -> type[Chain]:
    """A class of chains that runs a table; arguments and errors as of `breaker_class`."""
    if sound:
        audit(table, model)

    class Tabled(model):  # type: ignore[misc, valid-type]  # a class given at run time
        def _offer(self) -> None:
            self.machine.events["offer"].fire(self)

        def _fire(self, event: CompiledEvent, *words: Any, **how: Any) -> None:
            super()._fire(self.machine.events[event.name], *words, **how)

        def _end_attempt(self, event: CompiledEvent) -> None:
            super()._end_attempt(self.machine.events[event.name])

    Tabled.table = table
    Tabled.__name__ = Tabled.__qualname__ = model.__name__
    Tabled.machine = unaudited_machine_of(table, Tabled)
    return Tabled
