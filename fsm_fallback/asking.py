"""How a call is asked for an answer with its trail, by a caller or by a chain around this one."""

from __future__ import annotations

from typing import Any

from fsm_fallback.answers import Answer, AnswerStream, AsyncAnswerStream
from fsm_fallback.drivers import sync
from fsm_fallback.drivers.delivery import Delivery
from fsm_fallback.drivers.link import Within
from fsm_fallback.drivers.sync_stream import stream as plain_stream
from fsm_fallback.drivers.walk import Walk
from fsm_fallback.providers.usage import usage_of


def answer(walk: Walk, within: Within, args: Any, kwargs: dict[str, Any]) -> Answer[Any]:
    """The answer of a plain call."""
    now = walk.clock()
    chain, command = walk.begun(walk.order(now, args, kwargs), now, within=within)
    try:
        value = sync.drive(walk, chain, command, now, args, kwargs)
        chain.usage = usage_of(value)
        return Answer(value, chain.candidate.name, chain.trail)
    finally:
        del chain, command  # as in the drivers: errors lead back to this frame


async def aanswer(walk: Walk, within: Within, args: Any, kwargs: dict[str, Any]) -> Answer[Any]:
    """The answer of an awaited call."""
    from fsm_fallback.drivers import aio  # noqa: PLC0415  # anyio only where somebody awaits

    now = walk.clock()
    chain, command = walk.begun(walk.order(now, args, kwargs), now, within=within)
    try:
        value = await aio.drive(walk, chain, command, now, args, kwargs)
        chain.usage = usage_of(value)
        return Answer(value, chain.candidate.name, chain.trail)
    finally:
        del chain, command  # as above


def answer_stream(delivery: Delivery, args: Any, kwargs: dict[str, Any]) -> AnswerStream[Any]:
    """The items of a plain stream."""
    return AnswerStream(delivery, plain_stream(delivery, args, kwargs))


def aanswer_stream(delivery: Delivery, args: Any, kwargs: dict[str, Any]) -> AsyncAnswerStream[Any]:
    """The items of an awaited stream."""
    from fsm_fallback.drivers.aio_stream import stream  # noqa: PLC0415  # as above

    return AsyncAnswerStream(delivery, stream(delivery, args, kwargs))
