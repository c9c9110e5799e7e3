"""The providers of the soak: they fail now and then, in every way of being called."""

# ruff: noqa: S311  # no secrets here

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from typing import Final

import anyio

from fsm_fallback import ModelInfo
from fsm_fallback.testing import (
    Overloaded,
    RateLimited,
    Reset,
    Slow,
    Status,
    StreamCut,
    StreamError,
)


class ServiceUnavailableError(Exception):
    status_code = 503


class AuthenticationError(Exception):
    status_code = 401


class BadRequestError(Exception):
    status_code = 400
    body = {"error": {"type": "invalid_request_error", "message": "wrong", "param": "n"}}  # noqa: RUF012


FAULTS: Final = (
    *[ServiceUnavailableError] * 8,
    *[ConnectionError] * 4,
    *[ValueError] * 2,
    AuthenticationError,
    BadRequestError,
)


class Flaky:
    """A provider that fails now and then, in every way of being called."""

    def __init__(self, name: str, failing: float, account: str | None = None) -> None:
        self.name = name
        self.failing = failing
        self.info = ModelInfo(account=account)
        self.stall = math.inf  # until it is cut
        self.opened, self.closed = itertools.count(), itertools.count()

    def _may_fail(self) -> None:
        if random.random() < self.failing:
            raise random.choice(FAULTS)

    def call(self, prompt):
        self._may_fail()
        return prompt

    async def acall(self, prompt):
        chance = random.random()
        if chance < 0.3:
            await anyio.lowlevel.checkpoint()
        if chance < 0.003:
            await anyio.sleep(self.stall if chance < 0.001 else 0.002)
        self._may_fail()
        return prompt

    def stream(self, prompt):
        next(self.opened)
        try:
            for number in range(random.randrange(6)):
                if random.random() < self.failing / 3:
                    raise random.choice(FAULTS)
                yield "" if number == 0 else prompt
        finally:
            next(self.closed)

    async def astream(self, prompt):
        next(self.opened)
        try:
            for number in range(random.randrange(6)):
                if random.random() < 0.2:
                    await anyio.lowlevel.checkpoint()
                if random.random() < 0.001:
                    await anyio.sleep(self.stall)
                if random.random() < self.failing / 3:
                    raise random.choice(FAULTS)
                yield "" if number == 0 else prompt
        finally:
            next(self.closed)


class Plain(Flaky):
    """A provider with plain forms only, which awaited calls make in threads; sometimes slow."""

    acall = astream = None

    def call(self, prompt):
        if random.random() < 0.01:
            time.sleep(0.03)  # longer than an attempt may take: it comes back late
        return super().call(prompt)


class _Clients(threading.local):
    """The SDK's clients of the loop that runs in this thread."""

    def set(self, clients) -> None:
        self.by_name = clients


clients_of = _Clients()


class Sdk:
    """A provider through the SDK of OpenAI."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def acall(self, prompt):
        return await self._ask(prompt, stream=False)

    async def astream(self, prompt):
        stream = await self._ask(prompt, stream=True)
        try:
            async for chunk in stream:
                yield chunk
        finally:
            await stream.close()

    async def _ask(self, prompt, *, stream):
        client = clients_of.by_name[self.name]
        return await client.chat.completions.create(
            model="emulated", messages=[{"role": "user", "content": prompt}], stream=stream
        )


def responder(failing: float):
    """What an emulated provider does: it fails now and then."""
    steps = (
        Status(503),
        Status(500),
        Overloaded(),
        RateLimited(retry_after=0.01),
        Reset(),
        Slow(0.01),
        StreamError(),
        StreamCut(),
    )

    def respond(request):
        if random.random() >= failing:
            return None
        step = random.choice(steps)
        if isinstance(step, (StreamError, StreamCut)) and not request.stream:
            return Status(503)
        return step

    return respond
