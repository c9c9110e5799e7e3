"""The driver of streams for plain calls: the loop of `drivers.sync`, and what is handed over.

A generator: it begins when its first item is asked for, and a consumer who leaves ends the call
where it stands.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from fsm_fallback.drivers.delivery import Delivery
from fsm_fallback.drivers.upstream import Upstream


def stream(  # noqa: C901, PLR0912  # a case for each command
    delivery: Delivery, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[Any, None, None]:
    """One call, item by item."""
    command = delivery.begin(args, kwargs)
    upstream = Upstream("")
    try:
        while True:
            match command.do:
                case "admit":
                    command = delivery.again() if upstream.close() else delivery.admit(command)
                case "open":
                    link, lease = delivery.attempt(command)
                    upstream = link.upstream()
                    try:
                        delivery.asked = link.ask(
                            lease, args, kwargs, command.timeout, delivery.limits(command)
                        )
                        flaw = upstream.open(delivery.asked)
                    except Exception as error:  # noqa: BLE001  # the fault table's to judge
                        command = delivery.failed(error)
                    else:
                        command = delivery.opened(flaw)
                case "pull":
                    try:
                        item = upstream.pull()
                    except Exception as error:  # noqa: BLE001  # as above
                        command = delivery.failed(error)
                    else:
                        command = delivery.arrived(item)
                        del item
                case "emit":
                    for given in delivery.handed(command):
                        yield given
                    command = delivery.next()
                case "wait":
                    if upstream.close():
                        command = delivery.again()
                    else:
                        delivery.walk.pause(command.seconds)
                        command = delivery.waited()
                case "return":
                    upstream.close()
                    for given in delivery.handed(command):
                        yield given
                    return
                case "raise":
                    upstream.close()
                    raise delivery.error(command)
    finally:
        delivery.leave()
        upstream.close()
        # Errors keep this frame in their tracebacks: no cycle, so no prompt lives on in one.
        del delivery, command, upstream
