"""The real SDKs over the emulator, behind a chain: OpenAI first, Anthropic second.

Everything here is real but the servers: HTTP over loopback, the SDKs' own clients and exceptions,
with their retries off. Time is a `ManualClock` unless a test asks for a clock that runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anthropic
import attrs
import openai
import pytest

from fsm_fallback import (
    BreakerConfig,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    provider,
)
from fsm_fallback.testing import EmulatedProvider, Emulator, ManualClock

MODEL = "some-model"
KEY = "test-KEY-MARKER"
LIMIT = 5.0
FAILURES = 4
BREAKER = BreakerConfig(
    window=CountWindow(10),
    minimum_calls=FAILURES,
    failure_ratio=0.5,
    open_duration=30.0,
    jitter=0.0,
)


def options_of(sdk, emulated, kind, limit):
    """What every client is made with; reading certificates takes most of the time of making one."""
    transport = getattr(sdk, f"Default{kind}HttpxClient")(verify=False)
    return {
        "base_url": emulated.base_url,
        "api_key": KEY,
        "max_retries": 0,
        "timeout": limit,
        "http_client": transport,
    }


def text_of(answer):
    """What the model said: reading it fails where the answer is none."""
    if isinstance(answer, anthropic.types.Message):
        return answer.content[0].text
    return answer.output_text


@attrs.frozen
class House:
    """Two emulated providers, and the functions of a user who asks them.

    Attributes:
        loop: Runs the functions that use asynchronous clients; None for the other clients.
        read: What the functions make of an SDK's answer; as it is by default.
    """

    emulator: Emulator
    clock: ManualClock
    openai: EmulatedProvider
    anthropic: EmulatedProvider
    loop: Any
    read: Callable[[Any], Any] = lambda answer: answer

    @property
    def is_async(self):
        """Which clients the functions use, and how the chain is called."""
        return self.loop is not None

    @property
    def journal(self):
        """Every request that arrived."""
        return self.emulator.journal

    def requests(self):
        """How many requests arrived at each."""
        return self.journal.count("openai"), self.journal.count("anthropic")

    def ask_gpt(self, **more):
        """The first provider."""
        if self.is_async:

            @provider("openai", model=MODEL, **more)
            async def aask(prompt, *, limit=LIMIT):
                options = options_of(openai, self.openai, "Async", limit)
                async with openai.AsyncOpenAI(**options) as client:
                    return self.read(await client.responses.create(model=MODEL, input=prompt))

            return aask

        @provider("openai", model=MODEL, **more)
        def ask(prompt, *, limit=LIMIT):
            with openai.OpenAI(**options_of(openai, self.openai, "", limit)) as client:
                return self.read(client.responses.create(model=MODEL, input=prompt))

        return ask

    def ask_claude(self, **more):
        """The second provider."""

        def request(prompt):
            messages = [{"role": "user", "content": prompt}]
            return {"model": MODEL, "max_tokens": 99, "messages": messages}

        if self.is_async:

            @provider("anthropic", model=MODEL, **more)
            async def aask(prompt, *, limit=LIMIT):
                options = options_of(anthropic, self.anthropic, "Async", limit)
                async with anthropic.AsyncAnthropic(**options) as client:
                    return self.read(await client.messages.create(**request(prompt)))

            return aask

        @provider("anthropic", model=MODEL, **more)
        def ask(prompt, *, limit=LIMIT):
            with anthropic.Anthropic(**options_of(anthropic, self.anthropic, "", limit)) as client:
                return self.read(client.messages.create(**request(prompt)))

        return ask

    def chain(self, *, clock=None, timeout_arg=None, **config):
        """The chain over both; `clock` is the manual one unless given."""
        return FallbackProvider(
            self.ask_gpt(timeout_arg=timeout_arg),
            self.ask_claude(timeout_arg=timeout_arg),
            clock=self.clock if clock is None else clock,
            sample=lambda: 0.5,
            config=FallbackConfig(**config),
        )

    def both(self, *, gpt=None, claude=None, **more):
        """A chain over both, of whose models this is known; breakers open on four failures."""
        providers = self.ask_gpt(**(gpt or {})), self.ask_claude(**(claude or {}))
        return self.over(*providers, **more)

    def over(self, *providers, strategy=None, sample=lambda: 0.5):
        """The same over any providers."""
        return FallbackProvider(
            *providers,
            strategy=strategy,
            clock=self.clock,
            sample=sample,
            config=FallbackConfig(breaker=BREAKER),
        )

    def hurried(self, **config):
        """The chain on real time: limits go to the SDKs where nobody else can cut them."""
        return self.chain(
            clock=time.monotonic, timeout_arg=None if self.is_async else "limit", **config
        )

    def ask(self, chain, prompt="why"):
        """One call, with its details."""
        if self.is_async:
            return self.loop.run(chain.adetailed, prompt)
        return chain.detailed(prompt)

    def fail(self, chain, prompt="why"):
        """The error of one call."""
        with pytest.raises(ExceptionGroup) as caught:
            self.ask(chain, prompt)
        return caught.value


@pytest.fixture
def clock(manual_clock):
    """The clock of the test."""
    return manual_clock


@pytest.fixture
def make_house(emulator, clock):
    """Make the house for one kind of clients."""

    def made(loop, **more):
        return House(
            emulator,
            clock,
            emulator.provider("openai", dialect="openai"),
            emulator.provider("anthropic", dialect="anthropic"),
            loop,
            **more,
        )

    return made


@pytest.fixture
def house(plain_or_loop, make_house):
    """Both kinds of clients, each with its way of calling, the asynchronous ones in each loop."""
    return make_house(plain_or_loop)


@pytest.fixture
def reading_house(plain_or_loop, make_house):
    """The same for a user whose functions read the text of the answer."""
    return make_house(plain_or_loop, read=text_of)


@pytest.fixture
def async_house(loop, make_house):
    """The asynchronous clients only, in each loop."""
    return make_house(loop)


@pytest.fixture
def sync_house(make_house):
    """The synchronous clients only."""
    return make_house(None)
