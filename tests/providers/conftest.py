"""The stages of the chat adapters."""

import pytest

from tests.providers.chat_stage import ADAPTERS, KEY, ChatStage


@pytest.fixture
def chat_keys(monkeypatch):
    """Both keys are in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def staged(dialect, emulator, loop):
    """A stage; what is left of it is closed."""
    stage = ChatStage(dialect, emulator, loop)
    yield stage
    for each in stage.made:
        each.close()


@pytest.fixture(params=ADAPTERS)
def chat(request, emulator, plain_or_loop, chat_keys):
    """Every adapter, in every way."""
    yield from staged(request.param, emulator, plain_or_loop)


@pytest.fixture(params=ADAPTERS)
def plain_chat(request, emulator, chat_keys):
    """Every adapter, in plain calls."""
    yield from staged(request.param, emulator, None)


@pytest.fixture(params=ADAPTERS)
def awaited_chat(request, emulator, loop, chat_keys):
    """Every adapter, awaited."""
    yield from staged(request.param, emulator, loop)


@pytest.fixture
def openai_chat(emulator, chat_keys):
    """OpenAI's, in plain calls."""
    yield from staged("openai", emulator, None)


@pytest.fixture
def anthropic_chat(emulator, chat_keys):
    """Anthropic's, in plain calls."""
    yield from staged("anthropic", emulator, None)
