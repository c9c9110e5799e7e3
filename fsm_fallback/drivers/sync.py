"""The driver for plain calls: do what the chain asks, report what came of it. No policy in here.

A time-out is passed on to providers that take one, and enforced by nobody else: a thread cannot be
cut.
"""

from __future__ import annotations

from typing import Any

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.commands import Command
from fsm_fallback.core.lease import Lease
from fsm_fallback.drivers.link import Link
from fsm_fallback.drivers.walk import Walk


def call(walk: Walk, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One call: straight as long as it can be, walked from there."""
    now = walk.clock()
    candidates = walk.order(now)
    link = candidates[0]
    if not walk.straight or not isinstance(link, Link):
        return drive(walk, *walk.begun(candidates, now), now, args, kwargs)
    number = next(walk.calls)
    granted = link.circuit.admission(now)
    if not isinstance(granted, Lease):
        return drive(walk, *walk.chain_at(candidates, now, number, granted), now, args, kwargs)
    try:
        value = link.call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  # the fault table's to judge
        chain, _ = walk.chain_at(candidates, now, number, granted)
        now = walk.clock()
        command = link.take_error(chain, granted, error, now)
    except BaseException:
        chain, _ = walk.chain_at(candidates, now, number, granted)
        link.abandon(chain, granted, walk.clock())
        raise
    else:
        now = walk.clock()
        link.circuit.settle_success(granted, now)
        walk.answered(candidates, number, link, granted, now)
        return value
    try:
        return drive(walk, chain, command, now, args, kwargs)
    finally:
        # The error keeps this frame in its traceback, and the chain keeps the error: no cycle.
        del chain, command


def drive(
    walk: Walk,
    chain: Chain,
    command: Command,
    now: float,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Walk a chain to its end, from this command on; the answer, or the chain's error."""
    value: Any = None
    try:
        while True:
            match command.do:
                case "admit":
                    granted = command.candidate.circuit.admission(now)
                    command = chain.admission(granted, now)
                case "call":
                    link, lease = command.candidate, command.lease
                    try:
                        value = link.call(*args, **link.keywords(kwargs, command.timeout))
                    except Exception as error:  # noqa: BLE001  # the fault table's to judge
                        now = walk.clock()
                        command = link.take_error(chain, lease, error, now)
                    except BaseException:
                        link.abandon(chain, lease, walk.clock())
                        raise
                    else:
                        now = walk.clock()
                        link.circuit.settle_success(lease, now)
                        command = chain.answer(now)
                case "return":
                    return value
                case "raise":
                    raise command.error
    finally:
        # Errors keep this frame in their tracebacks: no cycle, so no prompt lives on in one.
        del chain, command
