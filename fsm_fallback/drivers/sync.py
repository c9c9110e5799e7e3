"""The driver for plain calls: do what the chain asks, report what came of it. No policy in here.

A time-out is passed on to providers that take one, and enforced by nobody else: a thread cannot be
cut.
"""

from __future__ import annotations

from typing import Any, Final

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.commands import Command
from fsm_fallback.core.lease import Refusal
from fsm_fallback.drivers.judging import flaw_of
from fsm_fallback.drivers.walk import Walk
from fsm_fallback.providers.usage import usage_of

_NONE: Final[tuple[Refusal, ...]] = ()


def call(walk: Walk, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One call: straight as long as it can be, walked from there."""
    now = walk.clock()
    line, link, refusals = walk.line, walk.first, _NONE
    generation = None if link is None else link.core.straight
    call_number = next(walk.calls)
    if link is None or generation is None:
        line, link, generation, refusals = walk.past_shut(now, call_number, args, kwargs)
        if link is None or generation is None:
            # Not kept here: errors lead back to this frame.
            return drive(
                walk,
                *walk.begun(line, now, call_number, refusals),
                now,
                args,
                kwargs,
            )
    number = next(generation.admissions)
    try:
        value = link.call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  # the fault table's to judge
        lease = link.circuit.lease_of(generation, number, now)
        chain = walk.chain_at(line, now, call_number, refusals, lease)
        now = walk.clock()
        command = link.take_error(chain, lease, error, now)
    except BaseException:
        lease = link.circuit.lease_of(generation, number, now)
        chain = walk.chain_at(line, now, call_number, refusals, lease)
        link.abandon(chain, lease, walk.clock())
        raise
    else:
        ended = walk.clock()
        place = next(generation.places)
        if link.core.straight is not generation:
            link.circuit.end_straight(generation, number, place, ended)
        told = (link.answered[len(refusals)], call_number, now, ended, generation.number, number)
        pending = link.pending
        pending.append(told)
        if walk.record is not None:
            walk.record(told)
        if refusals or len(pending) >= link.most_pending:
            walk.tell(line, link, refusals, value)
        return value
    try:
        return drive(walk, chain, command, now, args, kwargs)
    finally:
        # The error keeps this frame in its traceback, and the chain keeps the error: no cycle.
        del chain, command


def drive(  # noqa: C901, PLR0912  # a case for each command
    walk: Walk,
    chain: Chain,
    command: Command,
    now: float,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Walk a chain to its end, from this command on; the answer, or the chain's error."""
    value: Any = None
    accept = walk.accept
    try:
        while True:
            match command.do:
                case "admit":
                    granted = command.candidate.circuit.admission(now)
                    command = chain.admission(granted, now)
                case "call":
                    link, lease = command.candidate, command.lease
                    limits = link.limits(chain, command.timeout) if link.is_chain else None
                    flaw = None
                    try:
                        value = link.ask(lease, args, kwargs, command.timeout, limits)
                        now = walk.clock()
                        if link.is_chain:
                            value = link.received(chain, value)
                        if accept is not None:
                            flaw = flaw_of(accept, value, link.name)
                    except Exception as error:  # noqa: BLE001  # the fault table's to judge
                        now = walk.clock()
                        command = link.take_error(chain, lease, error, now)
                    except BaseException:
                        link.abandon(chain, lease, walk.clock())
                        raise
                    else:
                        if flaw is None:
                            if link.is_priced:
                                chain.usage = usage_of(value)
                            link.circuit.settle_success(lease, now)
                            command = chain.answer(now)
                        else:
                            answered, now = now, walk.clock()
                            command = link.take_flaw(chain, lease, flaw, value, now, answered)
                case "wait":
                    try:
                        walk.pause(command.seconds)
                    except BaseException:
                        chain.abandon(walk.clock())
                        raise
                    now = walk.clock()
                    command = chain.elapse(now)
                case "return":
                    return value
                case "raise":
                    raise command.error
    finally:
        # Errors keep this frame in their tracebacks: no cycle, so no prompt lives on in one.
        del chain, command
