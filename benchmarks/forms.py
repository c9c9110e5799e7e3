"""Ways to call through a breaker: plain or awaited, and the forms that have to be written out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import attrs
from contenders import AWAITED, PLAIN, PURGATORY, THEIRS, Down, Library, Wanted
from harness import Call

from fsm_fallback import CircuitBreaker

PROMPT = "are you there?"
ANSWER = "yes"
ONE_ANSWER_IN = 64
"""What fails answers now and then, so that a window of a hundred is never all failures."""


# What is guarded -----------------------------------------------------------------------------


def answer(_prompt):
    return ANSWER


async def aanswer(_prompt):
    return ANSWER


def failing():
    tick = itertools.count().__next__

    def fail(_prompt):
        if tick() % ONE_ANSWER_IN:
            raise Down("overloaded")
        return ANSWER

    return fail


def afailing():
    tick = itertools.count().__next__

    async def fail(_prompt):
        if tick() % ONE_ANSWER_IN:
            raise Down("overloaded")
        return ANSWER

    return fail


def down(_prompt):
    raise Down("overloaded")


async def adown(_prompt):
    raise Down("overloaded")


def catching(call: Call, error: type[Exception]) -> Call:
    """The same, where a caller expects the error."""

    def caught():
        try:  # noqa: SIM105  # suppress costs as much as a breaker
            call()
        except error:
            pass

    return caught


def acatching(call: Call, error: type[Exception]) -> Call:
    async def caught():
        try:  # noqa: SIM105  # as above
            await call()
        except error:
            pass

    return caught


@attrs.frozen
class Way:
    """Plain calls, or awaited ones; the rest is how either is spelt."""

    name: str
    answer: Callable[..., Any]
    failing: Callable[[], Callable[..., Any]]
    down: Callable[..., Any]
    catching: Callable[[Call, type[Exception]], Call]
    call: str
    with_block: Callable[[CircuitBreaker], Call]
    by_lease: Callable[[CircuitBreaker], Call]
    kept_purgatory: Callable[[], Call]

    @property
    def theirs(self) -> tuple[Library, ...]:
        return tuple(library for library in THEIRS if self.name in library.ways)


# Forms that are written out --------------------------------------------------------------------


def with_block(breaker):
    def call():
        with breaker:
            return answer(PROMPT)

    return call


def awith_block(breaker):
    async def call():
        async with breaker:
            return await aanswer(PROMPT)

    return call


def by_lease(breaker):
    acquire = breaker.acquire

    def call():
        lease = acquire()
        try:
            value = answer(PROMPT)
        except Exception:
            lease.fail()
            raise
        except BaseException:
            lease.release()
            raise
        lease.succeed()
        return value

    return call


def aby_lease(breaker):
    acquire = breaker.acquire

    async def call():
        lease = acquire()
        try:
            value = await aanswer(PROMPT)
        except Exception:
            lease.fail()
            raise
        except BaseException:
            lease.release()
            raise
        lease.succeed()
        return value

    return call


def failing_by_lease(breaker):
    """A failure booked by hand: without reading the exception."""
    acquire = breaker.acquire
    tick = itertools.count().__next__

    def call():
        lease = acquire()
        if tick() % ONE_ANSWER_IN:
            lease.fail()
        else:
            lease.succeed()

    return call


def kept_purgatory():
    """Its breaker kept, which the decorator looks up by name at every call."""
    breaker = PURGATORY.named("search")

    def call():
        with breaker:
            return answer(PROMPT)

    return call


def akept_purgatory():
    factory = PURGATORY.breaker(Wanted()).awaited
    breaker = asyncio.run(factory.get_breaker("search"))

    async def call():
        async with breaker:
            return await aanswer(PROMPT)

    return call


class Refused(Exception):
    pass


def bare_raise():
    try:
        raise Refused("search is open")  # noqa: TRY301  # the reference: no call in it
    except Refused:
        pass


PLAIN_WAY = Way(
    PLAIN, answer, failing, down, catching, "call", with_block, by_lease, kept_purgatory
)
AWAITED_WAY = Way(
    AWAITED, aanswer, afailing, adown, acatching, "acall", awith_block, aby_lease, akept_purgatory
)
