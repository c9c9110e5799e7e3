"""The two providers: the real SDKs, pointed at the emulator.

SDK retries are off, so that one failure is one request. Keys are made up, and neither the proxies
nor the addresses of the environment are used: nothing can leave this machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anthropic
import attrs
import openai
from anthropic.types import Message
from openai.types.responses import Response

from fsm_fallback.cli.demo.outage import ANTHROPIC, OPENAI
from fsm_fallback.providers.protocol import AsyncFunction, provider
from fsm_fallback.testing import EmulatedProvider

CALL_HEADER: Final = "x-demo-call"
"""Says in the emulator's journal which call a request belongs to."""

_KEY: Final = "made-up-for-the-emulator"
# Made up, too: an SDK that knows a model warns when its end is near.
_MODELS: Final = {ANTHROPIC: "claude-emulated", OPENAI: "gpt-emulated"}
_MAX_TOKENS: Final = 64
# Anthropic's client mounts the proxies of the environment whatever `trust_env` says.
_DIRECTLY: Final[dict[str, None]] = {"all://127.0.0.1": None}
_NEVER: Final = 600.0  # the attempt time-out of the chain is the one that cuts


@attrs.frozen
class Raised:
    """An exception that an SDK raised in an attempt, caught where it left the SDK."""

    call: int
    provider: str
    error: Exception


@attrs.frozen
class Sdks:
    """The two providers, and every exception that left one of the SDKs."""

    anthropic: AsyncFunction[[str, int], Message]
    openai: AsyncFunction[[str, int], Response]
    raised: list[Raised]


@asynccontextmanager
async def sdks(emulated: Mapping[str, EmulatedProvider]) -> AsyncIterator[Sdks]:
    """Clients of both SDKs, closed at the end."""
    raised: list[Raised] = []
    claude = anthropic.AsyncAnthropic(
        base_url=emulated[ANTHROPIC].base_url,
        api_key=_KEY,
        max_retries=0,
        timeout=_NEVER,
        http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False, mounts=_DIRECTLY),
    )
    gpt = openai.AsyncOpenAI(
        base_url=emulated[OPENAI].base_url,
        api_key=_KEY,
        max_retries=0,
        timeout=_NEVER,
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False, mounts=_DIRECTLY),
    )

    @provider(ANTHROPIC, model=_MODELS[ANTHROPIC])
    async def ask_anthropic(question: str, call: int) -> Message:
        with _noting(raised, call, ANTHROPIC):
            return await claude.messages.create(
                model=_MODELS[ANTHROPIC],
                max_tokens=_MAX_TOKENS,
                messages=[{"role": "user", "content": question}],
                extra_headers={CALL_HEADER: str(call)},
            )

    @provider(OPENAI, model=_MODELS[OPENAI])
    async def ask_openai(question: str, call: int) -> Response:
        with _noting(raised, call, OPENAI):
            return await gpt.responses.create(
                model=_MODELS[OPENAI], input=question, extra_headers={CALL_HEADER: str(call)}
            )

    async with claude, gpt:
        yield Sdks(ask_anthropic, ask_openai, raised)


def text_of(answer: Message | Response) -> str:
    """What the model said."""
    if isinstance(answer, Response):
        return answer.output_text
    return "".join(block.text for block in answer.content if block.type == "text")


@contextmanager
def _noting(raised: list[Raised], call: int, name: str) -> Generator[None]:
    try:
        yield
    except Exception as error:
        raised.append(Raised(call, name, error))
        raise
