"""What in a sound file does not do what its author may think: to be told, not refused.

Only what follows from the file alone is told, never what depends on the traffic. `environment`
tells what this machine lacks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Final

from fsm_fallback.config.drafting import strategies_in
from fsm_fallback.config.parts import ChatConfig, CodeConfig, FileConfig, NestedConfig, Path
from fsm_fallback.config.parts import ProviderConfig as Provider
from fsm_fallback.config.wording import dotted
from fsm_fallback.core.strategies import CapabilityBased
from fsm_fallback.core.windows import CountWindow

_LEAST_SHARE: Final = {"none": 1.0, "equal": 0.5, "full": 0.0}
"""How much of a wait is waited at least, by jitter."""


def advice(config: FileConfig) -> Iterator[str]:
    """Everything worth a second look, each with its path."""
    for look in _LOOKS:
        yield from look(config)


def _of_company(config: FileConfig) -> Iterator[str]:
    """Who takes over when a provider, or an account, fails."""
    leaves = config.leaves
    if len(leaves) == 1:
        yield f"providers has {leaves[0].name!r} alone, so nobody takes over; add another provider"
    accounts = {each.account if isinstance(each, ChatConfig) else None for each in leaves}
    if len(leaves) > 1 and len(accounts) == 1 and None not in accounts:
        (account,) = accounts
        yield (
            f"providers[*].account is {account!r} for all, so a spent quota or a refused key stops "
            "every provider at once; add one of another account"
        )


def _of_time(config: FileConfig) -> Iterator[str]:
    """Whether a hang leaves time for the next provider."""
    chain, several = config.chain, len(config.asked) > 1
    deadline, attempt = chain.deadline, chain.attempt_timeout
    if deadline is None and attempt is None:
        yield (
            "deadline and attempt_timeout are none, so a provider that hangs is waited for as long "
            "as its SDK does; set attempt_timeout"
        )
    elif deadline is None or not several:
        pass
    elif attempt is None:
        yield (
            f"deadline is {deadline!r} and attempt_timeout none, so the first provider that hangs "
            f"uses all of it; set attempt_timeout to {deadline / len(config.asked):g} or less"
        )
    elif attempt <= deadline < 2 * attempt:
        yield (
            f"deadline is {deadline!r}, less than two attempts of {attempt!r}: after a hang the "
            f"next provider has {deadline - attempt:g} s; raise it, or lower attempt_timeout"
        )
    if deadline is not None and attempt is not None and deadline < attempt:
        yield (
            f"deadline is {deadline!r}, shorter than attempt_timeout {attempt!r}, which is never "
            "reached; raise it, or lower attempt_timeout"
        )


def _of_waits(config: FileConfig) -> Iterator[str]:
    """What the deadline leaves no time for."""
    chain, stream = config.chain, config.chain.stream
    deadline = chain.deadline
    if deadline is None:
        return
    limits = {
        "stream.first_output_timeout": stream.first_output_timeout,
        "stream.idle_timeout": stream.idle_timeout,
        "breaker.slow_call_duration": chain.breaker.slow_call_duration,
    }
    for path, limit in limits.items():
        if limit is not None and limit > deadline:
            yield f"{path} is {limit!r}, above deadline {deadline!r}, so never reached; lower it"
    opening = chain.breaker.opening(1, 0.0)
    if chain.when_all_open == "wait" and opening >= deadline:
        yield (
            f"when_all_open is 'wait', and a breaker that has just opened stays so for {opening:g} "
            f"s at least, beyond deadline {deadline!r}; raise deadline, or lower "
            "breaker.open_duration"
        )


def _of_retries(config: FileConfig) -> Iterator[str]:
    """Tries that are never made."""
    retry, deadline = config.chain.retry, config.chain.deadline
    if retry.attempts == 1:
        return
    if retry.budget == 0 and retry.budget_floor == 0:
        yield (
            f"retry.attempts is {retry.attempts!r}, and budget and budget_floor are 0, so nothing "
            "is tried again; raise one of them"
        )
    waited, tries = 0.0, 1
    share = _LEAST_SHARE[retry.jitter]
    while deadline is not None and tries < min(retry.attempts, _MANY):
        waited += share * min(retry.backoff * retry.factor ** (tries - 1), retry.max_backoff)
        if waited >= deadline:
            yield (
                f"retry.attempts is {retry.attempts!r}, and deadline {deadline!r} leaves time for "
                f"{tries}; lower it, or raise deadline"
            )
            return
        tries += 1


_MANY: Final = 100  # tries; factor ** 100 is finite, and nobody waits for more


def _of_evidence(config: FileConfig) -> Iterator[str]:
    """Numbers of the breaker that another number makes idle."""
    breaker = config.chain.breaker
    row, window = breaker.consecutive_failures, breaker.window
    if row is None or not isinstance(window, CountWindow) or row < breaker.minimum_calls:
        return
    if min(row, window.size) >= math.ceil(breaker.failure_ratio * window.size):
        yield (
            f"breaker.consecutive_failures is {row!r}, and by then failure_ratio "
            f"{breaker.failure_ratio!r} of a window of {window.size!r} has tripped; lower it, or "
            "take it out"
        )


def _of_strategies(config: FileConfig) -> Iterator[str]:
    """Preferences that nobody meets, and prices that nobody knows."""
    for path, strategy, asked in config.chains():
        for each, where in strategies_in(strategy, path):
            if isinstance(each, CapabilityBased):
                yield from _unmet(config, each, where, asked)
            elif type(each).__name__ == "CostOptimized":
                yield from _unpriced(config, where, asked)


def _unmet(
    config: FileConfig, strategy: CapabilityBased, path: Path, asked: tuple[Provider, ...]
) -> Iterator[str]:
    leaves = tuple(_leaves(config, asked))
    if any(isinstance(each, CodeConfig) for each in leaves):
        return  # only the program knows
    able = {
        word
        for each in leaves
        if isinstance(each, ChatConfig)
        for word in each.capabilities or config.known(each).capabilities
    }
    for word in strategy.prefer:
        if word not in able:
            has = f"; they have {', '.join(map(repr, sorted(able)))}" if able else ""
            yield f"{dotted((*path, 'prefer'))} has {word!r}, which no provider has{has}"


def _unpriced(config: FileConfig, path: Path, asked: tuple[Provider, ...]) -> Iterator[str]:
    for each in _leaves(config, asked):
        if isinstance(each, ChatConfig) and each.price is None:
            if config.known(each).price is None:
                yield (
                    f"{dotted(path)} is 'cost_optimized', and {each.name!r} has no price, so it "
                    "comes last; give it one, or its model in [models]"
                )


def _of_models(config: FileConfig) -> Iterator[str]:
    """Entries of `[models]` for models that nobody has."""
    if any(isinstance(each, CodeConfig) for each in config.leaves):
        return  # only the program knows
    asked = {each.model for each in config.leaves if isinstance(each, ChatConfig)}
    for name, entry in config.models.items():
        names = (name, *entry.aliases)
        if asked.isdisjoint(names):
            near = [word for each in names for word in get_close_matches(each, asked, n=1)]
            remedy = f"did you mean {near[0]!r}" if near else "take it out"
            yield f"{dotted(('models', name))} is the model of no provider; {remedy}"


def _leaves(config: FileConfig, asked: tuple[Provider, ...]) -> Iterator[Provider]:
    for each in asked:
        if isinstance(each, NestedConfig):
            inner = tuple(one for one in config.providers if one.name in each.providers)
            yield from _leaves(config, inner)
        else:
            yield each


_LOOKS: Final[tuple[Callable[[FileConfig], Iterator[str]], ...]] = (
    _of_company,
    _of_time,
    _of_waits,
    _of_retries,
    _of_evidence,
    _of_strategies,
    _of_models,
)
