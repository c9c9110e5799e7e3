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

    def stream(self, base_url):
        """Return the items of a streamed answer."""

        async def astream():
            async with self._client(base_url, 5.0) as client:
                return [item async for item in await self._create(client, "Why?", extra)]

        extra = {"stream": True}
        if self.backend:
            return anyio.run(astream, backend=self.backend)
        with self._client(base_url, 5.0) as client:
            return list(self._create(client, "Why?", extra))

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
