"""Two emulated providers behind a chain, asked through the SDKs as a user would ask them.

Everything is real but the servers: HTTP over loopback, the SDKs' clients, their exceptions, their
streams. The providers are called "first" and "second" whatever SDK asks them. Time is a
`ManualClock`, on which waits take no time, unless a test asks for `real` time.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any

import anthropic
import attrs
import openai
import pytest

from fsm_fallback import Attempt, FallbackConfig, FallbackProvider, StreamReset, provider
from fsm_fallback.testing import EmulatedProvider, Emulator, ManualClock

LIMIT = 5.0
TEXTS = {"first": "one two three four", "second": "five six seven eight nine ten"}
MODELS = {"first": "model-of-first", "second": "model-of-second", "third": "model-of-third"}
RESET = "<reset>"


def request_of(endpoint, name, prompt):
    """The arguments of a user's request."""
    if endpoint == "responses":
        return {"model": MODELS[name], "input": prompt}
    messages = [{"role": "user", "content": prompt}]
    if endpoint == "chat":
        return {"model": MODELS[name], "messages": messages}
    return {"model": MODELS[name], "max_tokens": 99, "messages": messages}


def method_of(client, endpoint):
    """What of a client makes a request."""
    if endpoint == "chat":
        return client.chat.completions.create
    return getattr(client, endpoint).create


def text_of(answer):
    """What the model said in a plain answer."""
    match answer:
        case anthropic.types.Message():
            return "".join(block.text for block in answer.content)
        case openai.types.responses.Response():
            return answer.output_text
        case _:
            return answer.choices[0].message.content


def piece_of(item):
    """What an item of a stream adds to the text; of a reset, its mark."""
    match item:
        case StreamReset():
            return RESET
        case openai.types.chat.ChatCompletionChunk():
            return (item.choices[0].delta.content or "") if item.choices else ""
        case anthropic.types.RawContentBlockDeltaEvent():
            return item.delta.text
        case openai.types.responses.ResponseTextDeltaEvent():
            return item.delta
        case _:
            return ""


def pieces_of(items):
    """The pieces of the text in items, with the mark of each reset."""
    return [piece for piece in map(piece_of, items) if piece]


def told(trail):
    """Of each attempt the provider and the kind of its fault, of each skip the reason."""
    return [
        (item.provider, item.fault and item.fault.kind)
        if isinstance(item, Attempt)
        else (item.provider, item.reason)
        for item in trail
    ]


@attrs.frozen(eq=False)
class Seen:
    """What came of one stream: its items, itself, and the error that ended it if one did."""

    items: list
    stream: Any
    error: ExceptionGroup | None = None

    @property
    def pieces(self):
        """The pieces of text handed over, and the marks of resets."""
        return pieces_of(self.items)

    @property
    def text(self):
        """All that was handed over."""
        return "".join(self.pieces)

    @property
    def trail(self):
        """Of the stream, or of its error."""
        return self.stream.trail if self.error is None else self.error.trail


@attrs.frozen(eq=False)
class Stage:
    """Two emulated providers, and the functions of a user who asks them.

    Attributes:
        emulator: Where they are.
        clock: The clock of the journal, and of chains unless they are `real`.
        loop: Runs asynchronous clients; None for the others.
        endpoints: Through which endpoint each is asked, by name.
        clients: Those that are open, by name.
    """

    emulator: Emulator
    clock: ManualClock
    loop: Any
    endpoints: dict[str, str] = attrs.field(factory=dict)
    clients: dict[str, Any] = attrs.field(factory=dict)

    def add(self, name, endpoint) -> EmulatedProvider:
        """Another provider."""
        self.endpoints[name] = endpoint
        dialect = "anthropic" if endpoint == "messages" else "openai"
        return self.emulator.provider(name, dialect=dialect, text=TEXTS.get(name))

    @property
    def first(self):
        """The first provider, to be scripted."""
        return self.emulator.providers["first"]

    @property
    def second(self):
        """The other one."""
        return self.emulator.providers["second"]

    @property
    def journal(self):
        """Every request that arrived."""
        return self.emulator.journal

    @property
    def is_async(self):
        """Which clients there are, and how chains are called."""
        return self.loop is not None

    def requests(self):
        """How many requests arrived at each of the two."""
        return self.journal.count("first"), self.journal.count("second")

    def instants(self, name="first"):
        """When they arrived."""
        return [entry.at for entry in self.journal.of(name)]

    def ends(self, name="first"):
        """How the responses of a provider ended, each with the pieces that were sent."""
        self.journal.wait_for(self.journal.count(name), provider=name, ended=True)
        return [(entry.ended, entry.pieces) for entry in self.journal.of(name)]

    # Building -------------------------------------------------------------------------------

    def client(self, name):
        """The client that asks a provider; there is one, and it keeps its connections."""
        if name not in self.clients:
            sdk, kind = (openai, "OpenAI")
            if self.endpoints[name] == "messages":
                sdk, kind = (anthropic, "Anthropic")
            prefix = "Async" if self.is_async else ""
            # Reading certificates takes most of the time of making a client.
            transport = getattr(sdk, f"Default{prefix}HttpxClient")(verify=False)
            self.clients[name] = getattr(sdk, prefix + kind)(
                base_url=self.emulator.providers[name].base_url,
                api_key="test-key",
                max_retries=0,
                http_client=transport,
            )
        return self.clients[name]

    def warm_up(self):
        """Make the clients now, so that no call's limit is spent on it."""
        for name, endpoint in self.endpoints.items():
            method_of(self.client(name), endpoint)

    def asking(self, name, *, streams=False, patience=LIMIT, **more):
        """The function of a user that asks a provider; `patience` is the SDK's own time-out."""
        endpoint = self.endpoints[name]
        extra = {"stream": True} if streams else {}
        if streams and endpoint == "chat":
            extra["stream_options"] = {"include_usage": True}

        def request(prompt, limit):
            arguments = request_of(endpoint, name, prompt)
            create = method_of(self.client(name), endpoint)
            return create(**arguments, **extra, timeout=limit)

        decorate = provider(name, streams=streams, model=MODELS[name], **more)
        if self.is_async:

            @decorate
            async def aask(prompt, *, limit=patience):
                return await request(prompt, limit)

            return aask

        @decorate
        def ask(prompt, *, limit=patience):
            return request(prompt, limit)

        return ask

    def chain(self, *names, streams=False, real=False, accept=None, info=None, **options):
        """The chain over providers, both by default.

        Args:
            names: Whom it asks.
            streams: Whether they stream.
            real: Whether time is real; limits go to the SDKs where nobody else can cut them.
            accept: That of the chain.
            info: By name, what else there is to say of a provider.
            options: `patience` of the SDKs, and the fields of the configuration.
        """
        how = {"streams": streams}
        if "patience" in options:
            how["patience"] = options.pop("patience")
        if real and not self.is_async:
            how["timeout_arg"] = "limit"
        return FallbackProvider(
            *(
                self.asking(name, **how, **(info or {}).get(name, {}))
                for name in names or ("first", "second")
            ),
            clock=time.monotonic if real else self.clock,
            sample=lambda: 0.5,
            accept=accept,
            config=FallbackConfig(**options),
        )

    # Calling --------------------------------------------------------------------------------

    def run(self, function, *args):
        """Await a function; its clients are closed in their loop."""
        return self.loop.run(self._to_its_end, function, *args)

    async def _to_its_end(self, function, *args):
        self.warm_up()
        try:
            return await function(*args)
        finally:
            while self.clients:
                _, client = self.clients.popitem()
                await client.close()

    def ask(self, chain, prompt="why"):
        """One call, with its details."""
        return self.run(chain.adetailed, prompt) if self.is_async else chain.detailed(prompt)

    def fail(self, chain, prompt="why"):
        """The error of one call."""
        with pytest.raises(ExceptionGroup) as caught:
            self.ask(chain, prompt)
        return caught.value

    def read(self, chain, *, take=None, prompt="why"):
        """Read one stream, and leave it after `take` pieces of its text."""
        if self.is_async:
            return self.run(aread, chain, prompt, take)
        items, stream = [], chain.stream_detailed(prompt)
        try:
            with stream:
                for item in stream:
                    items.append(item)
                    if len(pieces_of(items)) == take:
                        break
        except ExceptionGroup as error:
            return Seen(items, stream, error)
        return Seen(items, stream)


async def aread(chain, prompt="why", take=None):
    """As `Stage.read`, in a loop."""
    items, stream = [], chain.astream_detailed(prompt)
    try:
        async with stream:
            async for item in stream:
                items.append(item)
                if len(pieces_of(items)) == take:
                    break
    except ExceptionGroup as error:
        return Seen(items, stream, error)
    return Seen(items, stream)


@contextmanager
def a_stage(emulator, clock, loop, pair):
    """A stage with both providers on it; what it opened is closed."""
    stage = Stage(emulator, clock, loop)
    for name, endpoint in zip(("first", "second"), pair, strict=True):
        stage.add(name, endpoint)
    if not stage.is_async:
        stage.warm_up()
    yield stage
    for client in stage.clients.values():
        client.close()
