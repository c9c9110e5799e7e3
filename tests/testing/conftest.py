"""The real SDKs, synchronous and asynchronous, as one way to ask an emulated provider."""

import http.client
import json
from contextlib import closing
from types import ModuleType

import anthropic
import anyio
import attrs
import openai
import pytest

MODEL = "some-model"


@attrs.frozen
class Api:
    """One endpoint through one kind of client; calling it asks a provider a question.

    `backend` runs the event loop of the asynchronous client; there is none for the other.
    """

    endpoint: str
    backend: str | None = None

    @property
    def sdk(self) -> ModuleType:
        """The SDK, for its exception types."""
        return anthropic if self.endpoint == "messages" else openai

    @property
    def dialect(self) -> str:
        """The dialect that the endpoint belongs to."""
        return self.sdk.__name__

    def ask(self, base_url, prompt="Why?", limit=5.0, **extra):
        """Return the SDK's answer; `limit` is the client's time-out in seconds."""

        async def aask():
            async with self._client(base_url, limit) as client:
                return await self._create(client, prompt, extra)

        if self.backend:
            return anyio.run(aask, backend=self.backend)
        with self._client(base_url, limit) as client:
            return self._create(client, prompt, extra)

    def stream(self, base_url, **extra):
        """Return the items of a streamed answer."""
        streamed = self.read(base_url, **extra)
        if streamed.error is not None:
            raise streamed.error
        return streamed.items

    def read(self, base_url, *, take=None, limit=5.0, **extra):
        """Read a streamed answer, and leave it after `take` pieces of its text."""
        items = []
        arguments = (base_url, limit, items, take, {"stream": True} | extra)
        try:
            if self.backend:
                anyio.run(self._aread, *arguments, backend=self.backend)
            else:
                self._read(*arguments)
        except Exception as error:  # noqa: BLE001  # the test looks at it
            return Streamed(self, items, error)
        return Streamed(self, items)

    def _read(self, base_url, limit, items, take, extra):
        with (
            self._client(base_url, limit) as client,
            self._create(client, "Why?", extra) as stream,
        ):
            for item in stream:
                items.append(item)
                if len(Streamed(self, items).pieces) == take:
                    return

    async def _aread(self, base_url, limit, items, take, extra):
        async with (
            self._client(base_url, limit) as client,
            await self._create(client, "Why?", extra) as stream,
        ):
            async for item in stream:
                items.append(item)
                if len(Streamed(self, items).pieces) == take:
                    return

    def _client(self, base_url, limit):
        sdk, kind = self.sdk, "Async" if self.backend else ""
        client = getattr(sdk, kind + {"openai": "OpenAI", "anthropic": "Anthropic"}[self.dialect])
        transport = getattr(sdk, f"Default{kind}HttpxClient")
        return client(
            base_url=base_url,
            api_key="s3cret",
            max_retries=0,
            timeout=limit,
            http_client=transport(verify=False),  # reading the certificates takes most of the time
        )

    def _create(self, client, prompt, extra):
        if self.endpoint == "responses":
            return client.responses.create(model=MODEL, input=prompt, **extra)
        messages = [{"role": "user", "content": prompt}]
        if self.endpoint == "chat":
            return client.chat.completions.create(model=MODEL, messages=messages, **extra)
        return client.messages.create(model=MODEL, max_tokens=99, messages=messages, **extra)

    def text(self, answer) -> str:
        """Return what the model said."""
        match self.endpoint:
            case "chat":
                return answer.choices[0].message.content
            case "responses":
                return answer.output_text
            case _:
                return answer.content[0].text

    def piece(self, item) -> str:
        """Return what an item of a stream adds to the text."""
        match self.endpoint:
            case "chat":
                return (item.choices[0].delta.content or "") if item.choices else ""
            case "responses":
                return item.delta if item.type == "response.output_text.delta" else ""
            case _:
                return item.delta.text if item.type == "content_block_delta" else ""


@attrs.frozen
class Streamed:
    """What came of a stream: its items, and the error that ended it if one did."""

    api: Api
    items: list
    error: Exception | None = None

    @property
    def pieces(self):
        """The pieces of the text."""
        return [piece for piece in map(self.api.piece, self.items) if piece]

    @property
    def text(self):
        """All of the text."""
        return "".join(self.pieces)


KINDS = {"sync": None, "asyncio": "asyncio", "trio": "trio"}
APIS = {
    f"{endpoint}-{kind}": Api(endpoint, backend)
    for endpoint in ("chat", "responses", "messages")
    for kind, backend in KINDS.items()
}


@pytest.fixture(params=APIS.values(), ids=APIS)
def api(request):
    """Each endpoint through each kind of client."""
    return request.param


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def chat_api(request):
    """Chat completions through each kind of client."""
    return Api("chat", request.param)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def responses_api(request):
    """Responses through each kind of client."""
    return Api("responses", request.param)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def messages_api(request):
    """Messages through each kind of client."""
    return Api("messages", request.param)


@pytest.fixture
def provider(emulator, api):
    """An emulated provider that speaks the dialect of `api`."""
    return emulator.provider("primary", dialect=api.dialect)


@pytest.fixture
def openai_provider(emulator):
    """An emulated provider that speaks OpenAI's dialect."""
    return emulator.provider("openai", dialect="openai")


@pytest.fixture
def anthropic_provider(emulator):
    """An emulated provider that speaks Anthropic's dialect."""
    return emulator.provider("anthropic", dialect="anthropic")


@pytest.fixture
def post():
    """Send a body without an SDK; return status and JSON of the response."""

    def send(provider, path, body, *, method="POST", headers=None, limit=5.0):
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=limit)
        with closing(connection):
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    return send
