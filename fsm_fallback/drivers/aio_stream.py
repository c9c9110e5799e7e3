"""The driver of streams that are awaited: the loop of `drivers.sync_stream`, with timers.

A timer is set around one step upstream, never around what the consumer does: it may take its time,
within the deadline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fsm_fallback.drivers.aio import is_of_timer, pause, timer
from fsm_fallback.drivers.aupstream import AsyncUpstream, OwnKind
from fsm_fallback.drivers.delivery import Delivery
from fsm_fallback.drivers.soon import callers_cancellation


async def stream(  # noqa: C901, PLR0912, PLR0915  # a case for each command
    delivery: Delivery, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, None]:
    """One call, item by item."""
    clock = delivery.walk.clock
    command = delivery.begin(args, kwargs)
    upstream: AsyncUpstream = OwnKind("")
    try:
        while True:
            match command.do:
                case "admit":
                    if await upstream.close(delivery.closing_seconds()):
                        command = delivery.again()
                    else:
                        command = delivery.admit(command)
                case "open":
                    link, lease = delivery.attempt(command)
                    upstream = link.aupstream(lease)
                    scope = timer(clock, delivery.timer(command))
                    try:
                        with scope:
                            delivery.asked = link.ask(
                                lease, args, kwargs, command.timeout, delivery.limits(command)
                            )
                            flaw = await upstream.open(delivery.asked)
                    except Exception as error:
                        if (left := callers_cancellation(error)) is not None:
                            raise left from error
                        command = delivery.failed(error, is_cut=is_of_timer(scope, error))
                    else:
                        if scope.cancelled_caught:
                            command = delivery.timed_out()
                        else:
                            command = delivery.opened(flaw)
                case "pull":
                    scope = timer(clock, delivery.timer(command))
                    try:
                        with scope:
                            item = await upstream.pull()
                    except Exception as error:
                        if (left := callers_cancellation(error)) is not None:
                            raise left from error
                        command = delivery.failed(error, is_cut=is_of_timer(scope, error))
                    else:
                        if scope.cancelled_caught:
                            command = delivery.timed_out()
                        else:
                            command = delivery.arrived(item)
                            del item
                case "emit":
                    for given in delivery.handed(command):
                        yield given
                    command = delivery.next()
                case "wait":
                    if await upstream.close(delivery.closing_seconds()):
                        command = delivery.again()
                    else:
                        await pause(clock, command.seconds)
                        command = delivery.waited()
                case "return":
                    await upstream.close(delivery.closing_seconds())
                    for given in delivery.handed(command):
                        yield given
                    return
                case "raise":
                    await upstream.close(delivery.closing_seconds())
                    raise delivery.error(command)
    finally:
        delivery.leave()
        await upstream.close(delivery.closing_seconds())
        # Errors keep this frame in their tracebacks: no cycle, so no prompt lives on in one.
        del delivery, command, upstream
