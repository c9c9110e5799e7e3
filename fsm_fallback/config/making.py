"""From the parts of a file to providers: what is there already is kept, what changed is made anew.

Everything that stands against it is found before anything is made: variables that are not set,
extras that are not installed, objects that nobody gave.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

import attrs

from fsm_fallback.config.drafting import Draft, draft
from fsm_fallback.config.parts import (
    URL,
    ChatConfig,
    CodeConfig,
    FileConfig,
    NestedConfig,
    ProviderConfig,
)
from fsm_fallback.config.reading import read
from fsm_fallback.config.wording import hidden
from fsm_fallback.core.bounds import shown
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.fallback import FallbackProvider
from fsm_fallback.providers.chat import describe_chat
from fsm_fallback.providers.models import ModelTable


@attrs.frozen
class Adapter:
    """Where the class for a kind of provider is, and the package it needs, named as the extra."""

    module: str
    name: str
    package: str


ADAPTERS: Final[Mapping[str, Adapter]] = MappingProxyType(
    {
        "openai": Adapter("fsm_fallback.providers.openai", "OpenAIChat", "openai"),
        "anthropic": Adapter("fsm_fallback.providers.anthropic", "AnthropicChat", "anthropic"),
    }
)


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@attrs.frozen(eq=False)
class Piece:
    """A provider that was made, and all that it was made of: where that is the same, it is kept."""

    recipe: tuple[object, ...]
    provider: Any


@attrs.frozen(kw_only=True, eq=False)
class Made:
    """What a configuration came to.

    Attributes:
        name: The chain's name.
        config: Its parameters.
        providers: Its providers, in order.
        file: The parts of the file; None if there was none.
        pieces: Every provider made for the file, by name, those of nested chains among them.
        given: The objects that the program gave, by name.
    """

    name: str
    config: FallbackConfig
    providers: tuple[Any, ...]
    file: FileConfig | None
    pieces: Mapping[str, Piece]
    given: Mapping[str, Any]

    @property
    def owned(self) -> tuple[Any, ...]:
        """The providers that nobody gave, which are the chain's to close."""
        return tuple(each.provider for name, each in self.pieces.items() if name not in self.given)


@attrs.frozen(kw_only=True)
class Means:
    """What the program gave a chain beside its configuration.

    Attributes:
        clock: Shared with nested chains.
        sample: As above.
        has_audit: Whether it said itself what is recorded, so that the configuration does not.
    """

    clock: Callable[[], float] = time.monotonic
    sample: Callable[[], float] | None = None
    has_audit: bool = False

    def shared(self) -> dict[str, Any]:
        """What nested chains have of it, as arguments of a `FallbackProvider`."""
        shared = {"clock": self.clock, "sample": self.sample}
        return {key: each for key, each in shared.items() if each is not None}


def make(
    config: object,
    providers: object = None,
    earlier: Made | None = None,
    means: Means | None = None,
) -> Made:
    """Make what a configuration says.

    Args:
        config: A path, a mapping or a `FallbackConfig`.
        providers: The objects the program gives: a mapping by name, or a sequence of them; None for
            those it gave earlier.
        earlier: What this chain is made of now; equal parts of it are kept.
        means: What the program gave beside; of it nested chains share clock and sample.

    Raises:
        ConfigurationError: With every problem; nothing has been started.
    """
    problems: list[str] = []
    given = _given(problems, providers, earlier)
    if isinstance(config, FallbackConfig):
        return _made_in_code(problems, config, given, earlier)
    drafted = draft(read(config))
    problems[:0] = drafted.problems
    if providers is None:  # kept from before: what the file has no more is let go
        names = {each.name for each in drafted.entries}
        given = {name: each for name, each in given.items() if name in names}
    problems += stranger_problems(drafted, given)
    problems += environment_problems(drafted, given)
    problems += _lasting_problems(drafted.config, earlier, means or Means())
    if problems:
        raise ConfigurationError(problems)
    file = drafted.config
    maker = _Maker(file, given, earlier, means or Means())
    made = tuple(maker.piece(each) for each in file.asked)
    if maker.problems:
        raise ConfigurationError(maker.problems)
    return Made(
        name=file.name,
        config=file.chain,
        providers=tuple(each.provider for each in made),
        file=file,
        pieces=maker.pieces,
        given=given,
    )


def rereading(made: Made, means: Means) -> Callable[[Any, object, object], Any]:
    """How the plan of a chain is made anew, for its `reload`: of what it is made of now.

    The function takes the plan, a configuration and providers, as `make` does, and answers the plan
    to put in place, which knows how it is made anew in its turn. It changes nothing.
    """

    def reread(plan: Any, config: object, providers: object) -> Any:
        after = make(config, providers, made, means)
        wiring: dict[str, Any] = {"prices": None, "capabilities": None, "describe": None}
        return attrs.evolve(
            plan,
            config=after.config,
            providers=after.providers,
            reread=rereading(after, means),
            owned=after.owned,
            **{**wiring, **wiring_of(after.file, after.given)},
        )

    return reread


def stranger_problems(drafted: Draft, given: Mapping[str, Any]) -> Iterator[str]:
    """Objects given for providers that the file does not have."""
    names = [each.name for each in drafted.entries if each.name is not None]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            remedy = f"did you mean {near[0]!r}" if near else "give it an entry of kind 'code'"
            yield f"providers= has {name!r}, which no entry of the file has; {remedy}"


def environment_problems(drafted: Draft, given: Mapping[str, Any] = _NOTHING) -> Iterator[str]:
    """What this machine and this program lack for the file: keys, extras, objects."""
    for each in drafted.config.leaves:
        if each.name in given:
            continue
        where = drafted.place(each.name)
        if isinstance(each, CodeConfig):
            yield (
                f"{where}.kind is 'code', and nobody gave {each.name!r}; give it with "
                f"providers={{{each.name!r}: ...}}"
            )
            continue
        package = ADAPTERS[each.kind].package
        if find_spec(package) is None:
            yield (
                f"{where}.kind is {each.kind!r}, which needs the package {package}; pip install "
                f"'fsm-fallback[{package}]'"
            )
        if each.needs_key and not os.environ.get(each.api_key_env):
            yield hidden(
                f"{where}.api_key_env is {each.api_key_env!r}, which is not set; set that variable"
            )
        if not URL.or_none().accepts(url_of(each)):
            yield hidden(
                f"{where}.base_url_env is {each.base_url_env!r}, whose value is no URL to use; set "
                "it to one that begins with http:// or https://, without credentials"
            )


def _given(problems: list[str], providers: object, earlier: Made | None) -> dict[str, Any]:
    """The objects the program gives, by name."""
    if providers is None:
        return {} if earlier is None else dict(earlier.given)
    if not isinstance(providers, Mapping):
        if isinstance(providers, str) or not isinstance(providers, Sequence):
            problems.append(
                f"providers= is {shown(providers)}; give a mapping of providers by name, or a list"
            )
            return {}
        return dict(_by_name(problems, providers))
    for name, each in providers.items():
        own: object = getattr(each, "name", None)
        if own != name:
            problems.append(
                f"providers[{name!r}] is {shown(each)}, whose name is {shown(own)}; give the "
                "provider of that name"
            )
    return {str(name): each for name, each in providers.items()}


def _by_name(problems: list[str], providers: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for place, each in enumerate(providers):
        name: object = getattr(each, "name", None)
        if not isinstance(name, str) or not name:
            problems.append(
                f"providers[{place}] is {shown(each)}, whose name is {shown(name)}; give it a name"
            )
        elif name in seen:
            problems.append(f"providers[{place}].name is {name!r} again; give each its own")
        else:
            seen.add(name)
            yield name, each


def _lasting_problems(file: FileConfig, earlier: Made | None, means: Means) -> Iterator[str]:
    """What no reload changes: who a chain is in its log, and what the log records."""
    if earlier is None or earlier.file is None:
        return
    lasting = {"name": (file.name, earlier.name)}
    if not means.has_audit:
        lasting["audit"] = (file.chain.audit, earlier.config.audit)
    for key, (now, before) in lasting.items():
        if now != before:
            yield hidden(f"{key} is {now!r}, and was {before!r}; leave it, or make a new chain")


def _made_in_code(
    problems: list[str], config: FallbackConfig, given: dict[str, Any], earlier: Made | None
) -> Made:
    if not given and not problems:
        problems = ["providers= is missing, and a FallbackConfig has none; give the providers"]
    if problems:
        raise ConfigurationError(problems)
    return Made(
        name="fallback" if earlier is None else earlier.name,
        config=config,
        providers=tuple(given.values()),
        file=None,
        pieces={},
        given=given,
    )


class _Maker:
    """Makes the pieces of one file."""

    def __init__(
        self, file: FileConfig, given: Mapping[str, Any], earlier: Made | None, means: Means
    ) -> None:
        self.pieces: dict[str, Piece] = {}
        self.problems: list[str] = []
        self._file = file
        self._by_name = {each.name: each for each in file.providers}
        self._given = given
        self._earlier = {} if earlier is None else earlier.pieces
        self._means = means

    def piece(self, entry: ProviderConfig) -> Piece:
        """The piece for an entry: the earlier one, or a new one."""
        name = entry.name
        if name not in self.pieces:
            recipe, maker = self._recipe(entry)
            earlier = self._earlier.get(name)
            if earlier is not None and earlier.recipe == recipe:
                self.pieces[name] = earlier
            else:
                self.pieces[name] = Piece(recipe, self._made(maker))
        return self.pieces[name]

    def _recipe(self, entry: ProviderConfig) -> tuple[tuple[object, ...], Callable[[], Any]]:
        if entry.name in self._given:
            given = self._given[entry.name]
            return (_Only(given),), lambda: given
        if isinstance(entry, NestedConfig):
            return self._nested(entry)
        if isinstance(entry, ChatConfig):
            url = url_of(entry)
            key = os.environ.get(entry.api_key_env, "") if entry.needs_key else ""
            stamp = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
            return (entry, url, stamp), lambda: _adapter(entry, url)
        raise AssertionError(f"provider {entry.name!r} was not given, and that was not noticed")

    def _nested(self, entry: NestedConfig) -> tuple[tuple[object, ...], Callable[[], Any]]:
        members = tuple(self.piece(self._by_name[name]).provider for name in entry.providers)
        chain = self._file.chain
        config = FallbackConfig(
            breaker=chain.breaker,
            stream=chain.stream,
            audit=chain.audit,
            strategy=entry.strategy,
            attempt_timeout=entry.attempt_timeout,
        )
        wiring = wiring_of(self._file, self._given)
        recipe = (
            entry,
            config,
            self._file.models,
            wiring.get("describe"),
            *map(_Only, members),
        )
        more = {**wiring, **self._means.shared()}
        return recipe, lambda: FallbackProvider(*members, config=config, name=entry.name, **more)

    def _made(self, maker: Callable[[], Any]) -> Any:
        try:
            return maker()
        except ConfigurationError as error:
            self.problems.extend(map(hidden, error.problems))
            return None


def wiring_of(file: FileConfig | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """What chains of a file are given beside providers and parameters.

    Calls are described only where a chat adapter was made: then they have its arguments. Who gave
    all providers may call them with anything.
    """
    if file is None:
        return {}
    table = ModelTable(file.models) if file.models else None
    chats = any(isinstance(each, ChatConfig) and each.name not in given for each in file.leaves)
    return {
        "prices": table,
        "capabilities": table,
        "describe": describe_chat if chats else None,
    }


@attrs.frozen(eq=False)
class _Only:
    """An object that is equal to itself alone."""

    it: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Only) and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


def url_of(entry: ChatConfig) -> str | None:
    """Where an adapter is made to go; None for the SDK's own choice."""
    named = None if entry.base_url_env is None else os.environ.get(entry.base_url_env)
    return named or entry.base_url


def _adapter(entry: ChatConfig, url: str | None) -> Any:
    adapter = ADAPTERS[entry.kind]
    most = entry.max_output_tokens
    more = {} if most is None else {"max_output_tokens": most}  # else the adapter's own
    kind = getattr(import_module(adapter.module), adapter.name)
    return kind(
        entry.name,
        model=entry.model,
        base_url=url,
        api_key_env=entry.api_key_env if entry.needs_key else None,
        account=entry.account,
        capabilities=entry.capabilities,
        context_window=entry.context_window,
        price=entry.price,
        **more,
    )
