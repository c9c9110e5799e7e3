"""Providers of a `ChainSpec`: the default one, and the bystander who stands before each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.outcome import Fault
from fsm_fallback.spec.pausing import pause
from fsm_fallback.spec.stateful.machine import refuse_made


class Puppet:
    """A provider that does what the spec says, when it says so.

    Args:
        name: Its name in the chain.
        context_window: Tokens it takes at most; None for unknown.
        classify: Turns an exception of it into a `Fault`; None for the fault table.
    """

    def __init__(
        self,
        name: str,
        *,
        context_window: int | None = None,
        classify: Callable[[BaseException], Fault] | None = None,
    ) -> None:
        self.name = name
        self.info = ModelInfo(context_window=context_window)
        self.classify = classify

    async def acall(self) -> object:
        """Wait until the spec says how this call ends."""
        return await pause()


def refuse_providers(spec: object, providers: object) -> None:
    """Refuse what `make_providers` made, if those are no providers.

    Raises:
        ConfigurationError: Naming the method, what it returned and what it should.
    """
    if not isinstance(providers, (list, tuple)) or not providers:
        refuse_made(spec, "make_providers", providers, "a tuple of providers, at least one")
    for each in providers:
        has_call = any(callable(getattr(each, way, None)) for way in ("acall", "call"))
        if not isinstance(getattr(each, "name", None), str) or not has_call:
            wanted = "providers only: a name, an info, and an acall or a call"
            refuse_made(spec, "make_providers", each, wanted)


class Bystander(Protocol):
    """Whoever notes what is called and how that ends; a `ChainSpec` does."""

    def note_called(self, provider: str) -> str:
        """A provider is being called; the name of the call."""
        ...

    def note_answer(self, call: str, provider: str, answer: object) -> None:
        """It answered."""

    def note_error(self, call: str, provider: str, error: BaseException) -> None:
        """It raised."""

    def plain_ending(self) -> object:
        """How the next plain call ends: an exception to raise, or an answer."""


@attrs.define(eq=False)
class Overheard:
    """A provider with a bystander who notes each call; plain calls end as that one says."""

    provider: Any
    bystander: Bystander

    @property
    def name(self) -> str:
        """As of the provider."""
        name: str = self.provider.name
        return name

    @property
    def info(self) -> ModelInfo:
        """As of the provider."""
        info: ModelInfo = self.provider.info
        return info

    @property
    def classify(self) -> Callable[[BaseException], Fault] | None:
        """As of the provider."""
        classify: Callable[[BaseException], Fault] | None = getattr(self.provider, "classify", None)
        return classify

    async def acall(self, *args: Any, **kwargs: Any) -> object:
        """Let the provider be called; one with a plain call only takes its time before."""
        call = self.bystander.note_called(self.name)
        try:
            awaited: Any = getattr(self.provider, "acall", None)
            if awaited is not None:
                answer = await awaited(*args, **kwargs)
            else:
                await pause()
                answer = self.provider.call(*args, **kwargs)
        except BaseException as error:
            self.bystander.note_error(call, self.name, error)
            raise
        self.bystander.note_answer(call, self.name, answer)
        return answer

    def call(self) -> object:
        """End at once, as the bystander says."""
        call = self.bystander.note_called(self.name)
        ending = self.bystander.plain_ending()
        if isinstance(ending, BaseException):
            self.bystander.note_error(call, self.name, ending)
            raise ending
        self.bystander.note_answer(call, self.name, ending)
        return ending
