"""A driver that is wrong on purpose: when a call is interrupted, it forgets the lease.

`fsm-fallback spec check examples.broken.driver_that_forgets:drive` says so.
"""

from typing import Any

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.commands import Command
from fsm_fallback.drivers.walk import Walk


def drive(
    walk: Walk,
    chain: Chain,
    command: Command,
    now: float,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Should settle the lease of a call whatever ends it, a `KeyboardInterrupt` too."""
    value: Any = None
    while True:
        match command.do:
            case "admit":
                command = chain.admission(command.candidate.circuit.admission(now), now)
            case "call":
                link, lease = command.candidate, command.lease
                try:
                    value = link.call(*args, **kwargs)
                except Exception as error:  # noqa: BLE001  # the fault table's to judge
                    command = link.take_error(chain, lease, error, walk.clock())
                else:
                    link.circuit.settle_success(lease, walk.clock())
                    command = chain.answer(walk.clock())
            case "return":
                return value
            case "raise":
                raise command.error
