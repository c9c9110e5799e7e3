"""Chains from configuration files: read strictly, made whole or not at all, reloaded alive.

A file is TOML; `docs/configuration.md` says what it may hold. Reading one needs cattrs, which is
imported then and not before.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.drivers.judging import Accept
from fsm_fallback.fallback import FallbackProvider
from fsm_fallback.providers.protocol import ModelProvider
from fsm_fallback.telemetry import AuditLog

__all__ = ["create_fallback_provider"]

Config = str | os.PathLike[str] | Mapping[str, Any] | FallbackConfig
Providers = Mapping[str, ModelProvider[..., Any]] | Sequence[ModelProvider[..., Any]]


def create_fallback_provider(
    config: Config,
    *,
    providers: Providers | None = None,
    clock: Callable[[], float] = time.monotonic,
    sample: Callable[[], float] = random.random,
    audit: str | AuditLog | None = None,
    accept: Accept | None = None,
) -> FallbackProvider[..., Any]:
    """Make a chain of what a file says.

    Args:
        config: The path of a TOML file, a mapping with the same tables, or a `FallbackConfig`.
        providers: Providers of your own, by name or in a list. Of a file they stand for the entries
            of their names: those of kind `"code"` have to be given, others may be. With a
            `FallbackConfig` they are the chain's, in order.
        clock: As in `FallbackProvider`, like the following three.
        sample: Draws from [0, 1).
        audit: What is recorded, or a log; by default what the configuration says.
        accept: Judges answers.

    Returns:
        The chain. `close` and `aclose` close the clients that were made for it; its `reload` takes
        what this function does.

    Raises:
        ConfigurationError: With every problem there is, each with its path in the file: what is out
            of bounds, unknown or twice there, and what this machine lacks for it. Nothing has been
            started. Keys are never shown.
    """
    from fsm_fallback.config.making import Means, make, rereading, wiring_of  # noqa: PLC0415  # with it comes cattrs

    means = Means(clock=clock, sample=sample, has_audit=audit is not None)
    made = make(config, providers, means=means)
    chain: FallbackProvider[..., Any] = FallbackProvider(
        *made.providers,
        config=made.config,
        name=made.name,
        clock=clock,
        sample=sample,
        audit=audit,
        accept=accept,
        **wiring_of(made.file, made.given),
    )
    chain.made_from_file(rereading(made, means), made.owned)
    return chain
