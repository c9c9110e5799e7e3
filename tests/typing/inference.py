"""What type checkers infer: read by mypy and pyright, never run.

A provider passes its function's parameters and answer through, so a chain over the SDKs has their
types, and a wrong argument is found before the first call.

`FallbackProvider[[str], T]` is what a chain over `(prompt: str, /)` is; one over `(prompt: str)` is
more, for its parameter has a name, and that type cannot be written down: it can be assigned.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import assert_type

from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message, MessageParam
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response

from fsm_fallback import (
    Answer,
    Attempt,
    CircuitBreaker,
    FallbackProvider,
    Fault,
    FaultKind,
    Lease,
    ModelInfo,
    ModelProvider,
    Skip,
    classify,
    counting,
    ignoring,
    provider,
)
from fsm_fallback.core.prices import Price

gpt, claude = OpenAI(max_retries=0), Anthropic(max_retries=0)
async_gpt, async_claude = AsyncOpenAI(max_retries=0), AsyncAnthropic(max_retries=0)


def said(prompt: str) -> list[MessageParam]:
    """A conversation of one message."""
    return [{"role": "user", "content": prompt}]


# Plain functions over the SDKs ------------------------------------------------------------------


@provider("openai", model="gpt-4.1-mini")
def ask_gpt(prompt: str, /) -> Response:
    """Ask OpenAI."""
    return gpt.responses.create(model="gpt-4.1-mini", input=prompt)


@provider("anthropic", model="claude-sonnet-4-5")
def ask_claude(prompt: str, /) -> Message:
    """Ask Anthropic."""
    return claude.messages.create(model="claude-sonnet-4-5", max_tokens=512, messages=said(prompt))


llm = FallbackProvider(ask_gpt, ask_claude)
assert_type(llm, FallbackProvider[[str], Response | Message])
assert_type(llm.call("why"), Response | Message)
assert_type(llm.detailed("why"), Answer[Response | Message])
assert_type(llm.detailed("why").value, Response | Message)
assert_type(llm.detailed("why").provider, str)
assert_type(llm.detailed("why").trail, tuple[Attempt | Skip, ...])
assert_type(llm.options(deadline=5.0), FallbackProvider[[str], Response | Message])
assert_type(llm.options(deadline=None).call("why"), Response | Message)
assert_type(llm.breaker("openai"), CircuitBreaker)
assert_type(ask_gpt("why"), Response)
assert_type(ask_gpt.call("why"), Response)
assert_type(ask_gpt.name, str)
assert_type(ask_gpt.info, ModelInfo)

with llm as entered:
    assert_type(entered, FallbackProvider[[str], Response | Message])


# Coroutine functions ----------------------------------------------------------------------------


@provider("openai")
async def aask_gpt(prompt: str, /) -> Response:
    """Ask OpenAI."""
    return await async_gpt.responses.create(model="gpt-4.1-mini", input=prompt)


@provider("anthropic")
async def aask_claude(prompt: str, /) -> Message:
    """Ask Anthropic."""
    return await async_claude.messages.create(
        model="claude-sonnet-4-5", max_tokens=512, messages=said(prompt)
    )


async_llm = FallbackProvider(aask_gpt, aask_claude)
mixed_llm = FallbackProvider(ask_gpt, aask_claude)
assert_type(async_llm, FallbackProvider[[str], Response | Message])
assert_type(mixed_llm, FallbackProvider[[str], Response | Message])


async def awaiting() -> None:
    """What an awaited call gives, over plain functions, coroutine functions, and both."""
    assert_type(await llm.acall("why"), Response | Message)
    assert_type(await async_llm.acall("why"), Response | Message)
    assert_type(await mixed_llm.acall("why"), Response | Message)
    assert_type((await llm.adetailed("why")).value, Response | Message)
    assert_type(await aask_gpt("why"), Response)
    assert_type(await aask_gpt.acall("why"), Response)
    async with async_llm as entered:
        assert_type(entered, FallbackProvider[[str], Response | Message])


# Parameters of every kind -----------------------------------------------------------------------


@provider("named")
def named(prompt: str) -> Response:
    """Ask with a parameter that has a name."""
    return gpt.responses.create(model="gpt-4.1-mini", input=prompt)


@provider("named too")
async def anamed(prompt: str) -> Message:
    """Ask with a parameter of the same name."""
    return await async_claude.messages.create(
        model="claude-sonnet-4-5", max_tokens=512, messages=said(prompt)
    )


by_name = FallbackProvider(named, anamed)
assert_type(by_name.call(prompt="why"), Response | Message)
assert_type(by_name.call("why"), Response | Message)
assert_type(by_name.detailed(prompt="why").value, Response | Message)
without_name: FallbackProvider[[str], Response | Message] = by_name
written: FallbackProvider[[str], Response | Message] = FallbackProvider(named, anamed)


PRICE = Price(input_mtok=0.5, output_mtok="1")


@provider("a", timeout_arg="timeout", capabilities={"tools"}, context_window=8_000, price=PRICE)
def with_options(
    prompt: str, /, *parts: bytes, temperature: float = 0.0, timeout: float | None = None
) -> str:
    """Ask with options."""
    return f"{prompt}{parts!r}{temperature}{timeout}"


optional = FallbackProvider(with_options)
assert_type(optional.call("why"), str)
assert_type(optional.call("why", b"part", temperature=0.5, timeout=3.0), str)


@provider("b")
def without_parameters() -> None:
    """Ask nothing."""


assert_type(FallbackProvider(without_parameters), FallbackProvider[[], None])


# Numbers of providers ---------------------------------------------------------------------------


@provider("one")
def one(prompt: str, /) -> int:
    """Answer with a number."""
    return len(prompt)


@provider("two")
def two(prompt: str, /) -> str:
    """Answer with a text."""
    return prompt


@provider("three")
async def three(prompt: str, /) -> bytes:
    """Answer with bytes."""
    return prompt.encode()


@provider("four")
def four(prompt: str, /) -> float:
    """Answer with a fraction."""
    return float(prompt)


@provider("five")
def five(prompt: str, /) -> int:
    """Answer with a number."""
    return len(prompt)


@provider("six")
def six(prompt: str, /) -> int:
    """Answer with a number."""
    return len(prompt)


assert_type(FallbackProvider(one), FallbackProvider[[str], int])
assert_type(FallbackProvider(one, two, three), FallbackProvider[[str], int | str | bytes])
assert_type(
    FallbackProvider(one, two, three, four), FallbackProvider[[str], int | str | bytes | float]
)
assert_type(FallbackProvider(one, five, six, one, five), FallbackProvider[[str], int])
assert_type(FallbackProvider(one, five, six, one, five, six).call("why"), int)
many: list[ModelProvider[[str], int]] = [one, five, six]
assert_type(FallbackProvider(*many), FallbackProvider[[str], int])
assert_type(FallbackProvider(*many, name="many").call("why"), int)


# Chains of chains -------------------------------------------------------------------------------

nested = FallbackProvider(FallbackProvider(ask_gpt, ask_claude, name="paid"), two)
assert_type(nested, FallbackProvider[[str], Response | Message | str])
assert_type(nested.call("why"), Response | Message | str)


# Classes written by hand ------------------------------------------------------------------------


class Plain:
    """A provider with a plain call."""

    name = "plain"
    info = ModelInfo()

    def call(self, prompt: str, /) -> str:
        """Answer."""
        return prompt


class Awaited:
    """A provider with an awaited call, whose name is read-only."""

    def __init__(self) -> None:
        self.info = ModelInfo(model="m", capabilities=frozenset({"vision"}))

    @property
    def name(self) -> str:
        """Its name."""
        return "awaited"

    async def acall(self, prompt: str, /) -> bytes:
        """Answer when awaited."""
        return prompt.encode()


class Both:
    """A provider with both, a classifier and a time-out."""

    name = "both"
    info = ModelInfo()
    timeout_arg = "timeout"

    def classify(self, error: BaseException) -> Fault:
        """Read an error."""
        return Fault(FaultKind.QUOTA) if isinstance(error, LookupError) else classify(error)

    def call(self, prompt: str) -> int:
        """Answer."""
        return len(prompt)

    async def acall(self, prompt: str) -> int:
        """Answer when awaited."""
        return len(prompt)


assert_type(FallbackProvider(Plain()), FallbackProvider[[str], str])
assert_type(FallbackProvider(Plain(), Awaited()), FallbackProvider[[str], str | bytes])
assert_type(FallbackProvider(Plain(), ask_gpt), FallbackProvider[[str], str | Response])
assert_type(FallbackProvider(Both()).call("why"), int)
as_provider: ModelProvider[[str], str] = Plain()
as_chain: ModelProvider[[str], Response | Message] = llm


# Streams: the slots are there, the calls come later ---------------------------------------------


@provider("pieces")
def pieces(prompt: str) -> Generator[str]:
    """Answer piece by piece."""
    yield prompt


@provider("awaited pieces")
async def awaited_pieces(prompt: str) -> AsyncGenerator[str]:
    """Answer piece by piece when awaited."""
    yield prompt


for piece in pieces.stream("why"):
    assert_type(piece, str)


async def streaming() -> None:
    """What comes out of an awaited stream."""
    async for piece in awaited_pieces.astream("why"):
        assert_type(piece, str)


# Functions about providers ------------------------------------------------------------------------


def first_of(function: Callable[[str], int]) -> ModelProvider[[str], int]:
    """A provider made at run time."""
    return provider("made")(function)


def awaited_of(function: Callable[[str], Awaitable[int]]) -> Callable[[str], Awaitable[int]]:
    """A chain's call is a function like any other."""
    del function
    return FallbackProvider(one).acall


# A breaker alone ----------------------------------------------------------------------------------

breaker = CircuitBreaker("alone")
assert_type(breaker.acquire(), Lease)
assert_type(breaker.try_acquire(), Lease | None)
assert_type(breaker.would_admit(), bool)
assert_type(breaker.snapshot().failure_ratio, float | None)
assert_type(breaker.explain(), str)


@breaker
def found(query: str, /, *, limit: int = 10) -> list[int]:
    """A function keeps its signature."""
    return [len(query)][:limit]


@breaker
async def found_later(query: str) -> bytes:
    """A coroutine function, too."""
    return query.encode()


@breaker
def found_singly(query: str) -> Generator[str, int, float]:
    """A generator function, with what it takes and what it returns."""
    yield query
    return 0.5


@breaker
async def found_singly_later(query: str) -> AsyncGenerator[str, int]:
    """An async generator function, too."""
    yield query


@breaker(accept=bool)
def judged(query: str) -> list[int]:
    """With a judge of its own a function keeps its signature as well."""
    return [len(query)]


@breaker(classify=counting(OSError, FaultKind.TIMEOUT), accept=lambda answer: answer is not None)
async def judged_later(query: str) -> bytes | None:
    """As does a coroutine function."""
    return query.encode()


class Searches:
    """Methods keep theirs, however they are bound."""

    @breaker
    def plain(self, query: str) -> int:
        """Of an instance."""
        return len(query)

    @breaker()
    async def awaited(self, query: str) -> int:
        """Of an instance, awaited."""
        return len(query)

    @staticmethod
    @breaker
    def alone(query: str) -> int:
        """Of nobody."""
        return len(query)

    @classmethod
    @breaker
    def made(cls, query: str) -> Searches:
        """Of the class."""
        del query
        return cls()


assert_type(found("why", limit=3), list[int])
assert_type(found_singly("why"), Generator[str, int, float])
assert_type(found_singly_later("why"), AsyncGenerator[str, int])
assert_type(judged("why"), list[int])
assert_type(Searches().plain("why"), int)
assert_type(Searches.alone("why"), int)
assert_type(Searches.made("why"), Searches)
same_signature: Callable[[str], list[int]] = found
assert_type(breaker.call(found, "why", limit=3), list[int])
assert_type(breaker.call(len, "why"), int)
assert_type(breaker.call(lambda: 0.5), float)
assert_type(counting(OSError), Callable[[BaseException], Fault])
assert_type(ignoring(LookupError, lambda error: not error.args), Callable[[BaseException], Fault])
assert_type(CircuitBreaker("read", classify=classify, accept=bool), CircuitBreaker)

with breaker as lease:
    assert_type(lease, Lease)
    assert_type(lease.succeed(0.5), None)


async def guarded() -> None:
    """The same, awaited."""
    assert_type(await found_later("why"), bytes)
    assert_type(await judged_later("why"), bytes | None)
    assert_type(await Searches().awaited("why"), int)
    assert_type(await breaker.acall(found_later, "why"), bytes)
    assert_type(await breaker.acall(found_later, query="why"), bytes)
    async with breaker as lease:
        assert_type(lease, Lease)
    async for each in found_singly_later("why"):
        assert_type(each, str)
