"""The four providers: emulated servers, the real SDKs before them, and the time a call takes.

The servers answer at once, over real HTTP. How long an answer takes is drawn in `scene` and spent
on the chain's clock around the call of the SDK. One that would come after the time-out is not
given: the request hangs, the SDK itself gives up after a moment of real time, and what is spent is
the time-out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import anthropic
import openai

from docs.hour.scene import (
    MODELS,
    REFUSAL_DURATION,
    Ask,
    Hour,
    Model,
    counted,
    described,
    spoken,
)
from fsm_fallback.chat import AnthropicChat, ChatReply, OpenAIChat
from fsm_fallback.providers.chat import VISION
from fsm_fallback.testing import (
    EmulatedProvider,
    EmulatedRequest,
    Emulator,
    Hang,
    ManualClock,
    Status,
    Step,
)

Adapter = OpenAIChat | AnthropicChat

_KEY: Final = "made-up-for-the-emulator"
# Anthropic's client mounts the proxies of the environment whatever `trust_env` says.
_DIRECTLY: Final[dict[str, None]] = {"all://127.0.0.1": None}
_MOMENT: Final = 0.05  # seconds of real time until an SDK gives up on a server that hangs
_NEVER: Final = 600.0


class TimedProvider:
    """A provider: a model behind its SDK, whose calls take time on a clock."""

    timeout_arg: Final = "timeout"

    def __init__(
        self,
        model: Model,
        adapter: Adapter,
        emulated: EmulatedProvider,
        hour: Hour,
        clock: ManualClock,
    ) -> None:
        self.name: Final = adapter.name
        self.info: Final = adapter.info
        self._model = model
        self._adapter = adapter
        self._emulated = emulated
        self._hour = hour
        self._clock = clock

    def call(self, ask: Ask, *, timeout: float | None = None) -> ChatReply:
        """Ask the model through its SDK.

        Raises:
            Exception: What the SDK raises, as it is; the time it took is spent.
        """
        seconds = self._seconds(ask)
        cut_after = timeout if timeout is not None and seconds > timeout else None
        try:
            if cut_after is None:
                return self._adapter.call(ask.request)
            with self._emulated.outage(Hang()):
                return self._adapter.call(ask.request, timeout=_MOMENT)
        finally:
            self._clock.spend(seconds if cut_after is None else cut_after)

    def _seconds(self, ask: Ask) -> float:
        """How long the server takes, for an answer or to say no."""
        now, told = self._clock(), described(ask)
        tokens = (told.input_tokens or 0) + (told.output_tokens or 0)
        if self._hour.refusal(self.name, now) or self._model.lacks(ask.request.images, tokens):
            return REFUSAL_DURATION
        return self._hour.seconds(self._model, ask, now)


@contextmanager
def providers(hour: Hour, clock: ManualClock) -> Generator[tuple[TimedProvider, ...]]:
    """The four of them, as configured; servers and clients end with the block."""
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(clock=clock))
        timed: list[TimedProvider] = []
        for model in MODELS:
            emulated = emulator.provider(model.name, dialect=model.dialect)
            emulated.respond(_Server(model, hour, clock).answer)
            client = stack.enter_context(_client(emulated))
            timed.append(TimedProvider(model, _adapter(model, client), emulated, hour, clock))
        yield tuple(timed)


def _client(emulated: EmulatedProvider) -> openai.OpenAI | anthropic.Anthropic:
    """The SDK of a dialect, with its retries off; nothing it is asked can leave this machine."""
    if emulated.dialect == "openai":
        return openai.OpenAI(
            base_url=emulated.base_url,
            api_key=_KEY,
            max_retries=0,
            timeout=_NEVER,
            http_client=openai.DefaultHttpxClient(trust_env=False, mounts=_DIRECTLY),
        )
    return anthropic.Anthropic(
        base_url=emulated.base_url,
        api_key=_KEY,
        max_retries=0,
        timeout=_NEVER,
        http_client=anthropic.DefaultHttpxClient(trust_env=False, mounts=_DIRECTLY),
    )


def _adapter(model: Model, client: Any) -> Adapter:
    adapter = OpenAIChat if model.dialect == "openai" else AnthropicChat
    return adapter(
        model.name,
        model=model.name,
        client=client,
        capabilities=model.capabilities,
        context_window=model.context_window,
        price=model.price,
    )


class _Server:
    """What the server of a model answers; called in threads of the emulator, one at a time."""

    def __init__(self, model: Model, hour: Hour, clock: ManualClock) -> None:
        self._model = model
        self._hour = hour
        self._clock = clock

    def answer(self, request: EmulatedRequest) -> str | Step:
        """An answer as long as it may be, or what there is in its way."""
        refusal = self._hour.refusal(self._model.name, self._clock())
        if refusal is not None:
            return refusal
        body = request.body or {}
        wanted = body["max_tokens"]
        lacks = self._model.lacks(_images(body), counted(request.prompt) + wanted)
        return spoken(wanted) if lacks is None else Status(400, self._words(lacks))

    def _words(self, lacks: str) -> dict[str, Any]:
        message, code = _REFUSALS[lacks]
        error = {"type": "invalid_request_error", "message": message}
        if self._model.dialect == "openai":
            return {"error": {**error, "param": "messages", "code": code}}
        return {"type": "error", "error": error}


_REFUSALS: Final = {
    VISION: ("image input is not supported by this model", None),
    "context_window": ("input is longer than the context window", "context_length_exceeded"),
}


def _images(body: Mapping[str, Any]) -> int:
    contents = [each["content"] for each in body["messages"] if isinstance(each["content"], list)]
    return sum(part["type"] in ("image_url", "image") for each in contents for part in each)
