"""Files on disk, and emulated providers to which the variables of a file lead."""

import gc

import pytest

from fsm_fallback.config import create_fallback_provider

VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """No variable of an SDK is set, unless a test sets it."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def emulated(emulator, monkeypatch):
    """Two emulated providers, their addresses and keys in the environment."""
    made = {}
    for name in ("openai", "anthropic"):
        made[name] = emulator.provider(name, dialect=name)
        monkeypatch.setenv(f"{name.upper()}_BASE_URL", made[name].base_url)
        monkeypatch.setenv(f"{name.upper()}_API_KEY", "test")
    return made


@pytest.fixture
def create(manual_clock):
    """Make chains on the clock of the test; the clients of their adapters are closed at its end."""
    chains = []

    def create(config, **more):
        chain = create_fallback_provider(config, clock=manual_clock, sample=lambda: 0.5, **more)
        chains.append(chain)
        return chain

    yield create
    for chain in chains:
        chain.close()
    chains.clear()
    gc.collect()
