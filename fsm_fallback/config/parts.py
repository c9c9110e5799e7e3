"""The parts of a configuration file: what it may say, with default and bound.

The chain, its breakers, retries and streams are the classes of `core.parameters`, and the
strategies those of `core.strategies`: a file has their fields, and their bounds hold. What is
declared here is what only a file has: its providers, by kind. A key is never in a file; the NAME of
an environment variable is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from fsm_fallback.core.bounds import (
    COUNT,
    FLAG,
    SECONDS,
    Bound,
    bound_problems,
    bounded,
    one_of,
    refuse_problems,
)
from fsm_fallback.core.cost_optimized import CostOptimized
from fsm_fallback.core.load_balanced import LoadBalanced
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.core.prices import Price
from fsm_fallback.core.strategies import CapabilityBased, Sequential, Strategy, is_strategy
from fsm_fallback.core.windows import CountWindow, TimeWindow
from fsm_fallback.providers.model_entries import ModelEntry

VARIABLE_PATTERN: Final = r"^[A-Z_][A-Z0-9_]*$"
URL_PATTERN: Final = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"

_CHATS: Final = ("openai", "anthropic")
_IS_VARIABLE: Final = re.compile(VARIABLE_PATTERN)
_IS_URL: Final = re.compile(URL_PATTERN)
_NEVER_A_KEY: Final = "is no NAME of an environment variable; give its NAME, never the key itself"
_NO_URL: Final = (
    "is no URL to show; give one that begins with http:// or https://, without credentials, query "
    "or fragment"
)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_text, value))


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or not _IS_URL.fullmatch(value):
        return False
    try:
        return urlsplit(value).port != 0  # raises above 65535
    except ValueError:
        return False


TEXT: Final = Bound(_is_text, "a non-empty string")
TEXTS: Final = Bound(_are_texts, "a list of non-empty strings")
MEMBERS: Final = Bound(
    lambda value: _are_texts(value) and value != (), "a list of names of other providers"
)
VARIABLE: Final = Bound(
    lambda value: isinstance(value, str) and bool(_IS_VARIABLE.fullmatch(value)),
    "the NAME of an environment variable in capitals",
)
URL: Final = Bound(_is_url, "a URL that begins with http:// or https://")

GIVEN_IN_CODE: Final = frozenset({"prices"})
"""Fields of strategies that take an object: no file has them, for a file has `[models]`."""

_HIDDEN: Final = {
    "api_key_env": _NEVER_A_KEY,
    "base_url_env": _NEVER_A_KEY,
    "base_url": _NO_URL,
}
"""What may hold a key where it is wrong: said without its value."""

_NO_SCHEME: Final = "begins with neither http:// nor https://; put one of them before it"


def _own_key(self: ChatConfig) -> str | None:
    return f"{self.kind.upper()}_API_KEY" if self.kind in _CHATS else None


@attrs.frozen(kw_only=True)
class ChatConfig:
    """A provider that is one of the chat adapters.

    Args:
        name: Unique in the file; the name in trails, logs and metrics.
        kind: Whose API it speaks: `"openai"` or `"anthropic"`.
        model: The model's name.
        base_url: Where its API is, http or https; None for the SDK's own.
        base_url_env: The environment variable that, where it is set, says so instead.
        api_key_env: The environment variable that holds the key, never the key itself; by default
            that of the SDK.
        needs_key: Whether it has one at all; a server of your own may not.
        account: Whose credit and keys it uses; providers of one account share its breaker.
        capabilities: What the model can do: `"tools"`, `"vision"`, any string.
        context_window: Tokens the model takes at most.
        price: What the model costs, in US dollars.
        max_output_tokens: Tokens an answer may have at most; None for the adapter's own.

    Raises:
        ConfigurationError: Naming every field out of bounds; a key, or what may be one, is not
            shown.
    """

    name: str = bounded(TEXT, None)
    kind: str = bounded(one_of(*_CHATS), None)
    model: str = bounded(TEXT, None)
    base_url: str | None = bounded(URL.or_none(), None)
    base_url_env: str | None = bounded(VARIABLE.or_none(), None)
    api_key_env: str = bounded(VARIABLE, attrs.Factory(_own_key, takes_self=True))
    needs_key: bool = bounded(FLAG, default=True)
    account: str | None = bounded(TEXT.or_none(), None)
    capabilities: tuple[str, ...] = bounded(TEXTS, ())
    context_window: int | None = bounded(COUNT.or_none(), None)
    price: Price | None = None
    max_output_tokens: int | None = bounded(COUNT.or_none(), None)

    def __attrs_post_init__(self) -> None:
        refuse_problems(_hiding(self))


@attrs.frozen(kw_only=True)
class NestedConfig:
    """A provider that is a chain of others of the file.

    They are asked there and nowhere else. Breaker, stream and audit are as the file says, retries
    and deadline those of the chain around it.

    Args:
        name: Unique in the file; the name in trails, logs and metrics.
        providers: The names of its providers, in order.
        strategy: The order in which they are asked.
        attempt_timeout: How long one attempt at one of them may take, in seconds; None for no limit
            but that of the chain around it.

    Raises:
        ConfigurationError: Naming every field out of bounds.
    """

    name: str = bounded(TEXT, None)
    providers: tuple[str, ...] = bounded(MEMBERS, None)
    strategy: Strategy = bounded(
        Bound(is_strategy, "a strategy: an object with order()"), Sequential()
    )
    attempt_timeout: float | None = bounded(SECONDS.or_none(), None)

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))


@attrs.frozen(kw_only=True)
class CodeConfig:
    """A provider that the program gives: `create_fallback_provider(..., providers=)`.

    Args:
        name: The name of the object that is given.

    Raises:
        ConfigurationError: If it is no name.
    """

    name: str = bounded(TEXT, None)

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))


ProviderConfig = ChatConfig | NestedConfig | CodeConfig
"""An entry of `[[providers]]`."""

Path = tuple[str | int, ...]
"""Where something stands in a file: keys and places."""

Kinds = Mapping[str, type[Any]]
"""The classes a table may be, by its `kind`."""

PROVIDERS: Final[Kinds] = MappingProxyType(
    {**dict.fromkeys(_CHATS, ChatConfig), "chain": NestedConfig, "code": CodeConfig}
)
WINDOWS: Final[Kinds] = MappingProxyType({"count": CountWindow, "time": TimeWindow})
STRATEGIES: Final[Kinds] = MappingProxyType(
    {
        "sequential": Sequential,
        "load_balanced": LoadBalanced,
        "capability_based": CapabilityBased,
        "cost_optimized": CostOptimized,
    }
)


@attrs.frozen(kw_only=True)
class FileConfig:
    """All that a file says, with the defaults for what it does not.

    Args:
        name: The chain's name in records.
        chain: Its parameters; in the file they stand beside `name`.
        providers: All entries, those of nested chains among them, in order.
        models: What is known of models, by name: prices and capabilities.
    """

    name: str = bounded(TEXT, "fallback")
    chain: FallbackConfig = attrs.field(factory=FallbackConfig)
    providers: tuple[ProviderConfig, ...] = ()
    models: Mapping[str, ModelEntry] = attrs.field(factory=dict)

    @property
    def asked(self) -> tuple[ProviderConfig, ...]:
        """The providers of the chain itself, in order: those that no other chain has."""
        inside = {name for each in self.nested for name in each.providers}
        return tuple(each for each in self.providers if each.name not in inside)

    @property
    def nested(self) -> tuple[NestedConfig, ...]:
        """The chains within."""
        return tuple(each for each in self.providers if isinstance(each, NestedConfig))

    def chains(self) -> Iterator[tuple[Path, Strategy, tuple[ProviderConfig, ...]]]:
        """The chain and those within: where its strategy stands, the strategy, its providers."""
        yield ("strategy",), self.chain.strategy, self.asked
        for place, each in enumerate(self.providers):
            if isinstance(each, NestedConfig):
                members = tuple(one for one in self.providers if one.name in each.providers)
                yield ("providers", place, "strategy"), each.strategy, members

    @property
    def leaves(self) -> tuple[ChatConfig | CodeConfig, ...]:
        """The providers that are no chains."""
        return tuple(each for each in self.providers if not isinstance(each, NestedConfig))

    def known(self, provider: ChatConfig) -> ModelEntry:
        """What `[models]` says of a provider's model; an empty entry if nothing."""
        for name, entry in self.models.items():
            if provider.model in (name, *entry.aliases):
                return entry
        return ModelEntry()


def _hiding(part: ChatConfig) -> Iterator[str]:
    """What is out of bounds, without the value where that may be a key."""
    for problem in bound_problems(part):
        subject = problem.partition(" is ")[0]
        field = subject.rpartition(".")[2]
        words = _HIDDEN.get(field)
        if field == "base_url" and isinstance(part.base_url, str) and "://" not in part.base_url:
            words = _NO_SCHEME
        yield problem if words is None else f"{subject} {words}"
