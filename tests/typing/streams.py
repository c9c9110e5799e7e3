"""What type checkers infer of streams: read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import assert_type

from anthropic import Anthropic, AsyncAnthropic, AsyncStream, Stream
from anthropic.types import MessageParam, RawMessageStreamEvent
from openai import AsyncOpenAI, OpenAI
from openai import AsyncStream as AsyncOpenAIStream
from openai import Stream as OpenAIStream
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from fsm_fallback import (
    AnswerStream,
    AsyncAnswerStream,
    FallbackProvider,
    RetryConfig,
    StreamReset,
    provider,
)

gpt, claude = OpenAI(max_retries=0), Anthropic(max_retries=0)
async_gpt, async_claude = AsyncOpenAI(max_retries=0), AsyncAnthropic(max_retries=0)


def said(prompt: str) -> list[MessageParam]:
    """A conversation of one message."""
    return [{"role": "user", "content": prompt}]


# The SDKs' own streams ----------------------------------------------------------------------------


@provider("chat", streams=True)
def ask_chat(prompt: str, /) -> OpenAIStream[ChatCompletionChunk]:
    """Stream from OpenAI."""
    return gpt.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": prompt}], stream=True
    )


@provider("responses", streams=True)
def ask_responses(prompt: str, /) -> OpenAIStream[ResponseStreamEvent]:
    """Stream from OpenAI's newer API."""
    return gpt.responses.create(model="gpt-4.1-mini", input=prompt, stream=True)


@provider("anthropic", streams=True)
def ask_claude(prompt: str, /) -> Stream[RawMessageStreamEvent]:
    """Stream from Anthropic."""
    return claude.messages.create(
        model="claude-sonnet-4-5", max_tokens=512, messages=said(prompt), stream=True
    )


llm = FallbackProvider(ask_chat, ask_claude)
Item = ChatCompletionChunk | RawMessageStreamEvent
assert_type(llm.stream("why"), Generator[Item, None, None])
assert_type(llm.stream_detailed("why"), AnswerStream[Item])
assert_type(next(llm.stream_detailed("why")), Item | StreamReset)
assert_type(
    FallbackProvider(ask_responses).stream("why"), Generator[ResponseStreamEvent, None, None]
)


@provider("chat", streams=True)
async def aask_chat(prompt: str, /) -> AsyncOpenAIStream[ChatCompletionChunk]:
    """Stream from OpenAI, awaited."""
    return await async_gpt.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": prompt}], stream=True
    )


@provider("anthropic", streams=True)
async def aask_claude(prompt: str, /) -> AsyncStream[RawMessageStreamEvent]:
    """Stream from Anthropic, awaited."""
    return await async_claude.messages.create(
        model="claude-sonnet-4-5", max_tokens=512, messages=said(prompt), stream=True
    )


allm = FallbackProvider(aask_chat, aask_claude)
assert_type(allm.astream("why"), AsyncGenerator[Item, None])
assert_type(allm.astream_detailed("why"), AsyncAnswerStream[Item])


# Generators and iterators of one's own ------------------------------------------------------------


@provider("words")
def words(prompt: str, /) -> Iterator[str]:
    """A generator, by whatever name it goes."""
    yield from prompt.split()


@provider("words", streams=True)
def listed(prompt: str, /) -> list[str]:
    """An iterable is a stream, too."""
    return prompt.split()


@provider("awords")
async def awords(prompt: str, /) -> AsyncIterator[str]:
    """An async generator."""
    for word in prompt.split():
        yield word


assert_type(FallbackProvider(listed).stream("why"), Generator[str, None, None])


# Judges -------------------------------------------------------------------------------------------


def is_long(answer: object) -> bool:
    """A plain judge."""
    return len(str(answer)) > 1


async def is_long_later(answer: object) -> bool:
    """One that is awaited."""
    return is_long(answer)


FallbackProvider(ask_chat, accept=is_long).options(accept=is_long_later, deadline=3.0)
RetryConfig(attempts="3")  # type: ignore[arg-type]
