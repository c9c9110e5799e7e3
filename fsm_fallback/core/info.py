"""What is known of the model behind a provider, and who may say it; strategies read it.

Decides who is believed: the user before any source, and an earlier source before a later one,
field by field. It refuses to know how a source knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import attrs

from fsm_fallback.core.bounds import (
    COUNT,
    Bound,
    bound_problems,
    bounded,
    instance_of,
    refuse_problems,
    shown,
)
from fsm_fallback.core.prices import DATE, PRICE, SOURCE, Price
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    import datetime as dt  # a millisecond to import, and only a type here


@attrs.frozen(kw_only=True)
class ModelInfo:
    """What is known of the model behind a provider; all of it optional.

    Args:
        model: The model's name.
        account: Whose credit and keys it uses.
        capabilities: What it can do: `"tools"`, `"vision"`, `"json_schema"`, any string. None at
            all means that nobody has said.
        context_window: Tokens it takes at most.
        price: What it costs; None if nobody has said, which is not the same as free.

    Raises:
        ConfigurationError: If the price is no `Price`.
    """

    model: str | None = None
    account: str | None = None
    capabilities: frozenset[str] = frozenset()
    context_window: int | None = None
    price: Price | None = bounded(PRICE.or_none(), None)

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))


def is_names(value: object) -> bool:
    """Whether a value is a frozenset of non-empty strings."""
    return isinstance(value, frozenset) and all(isinstance(each, str) and each for each in value)


@attrs.frozen(kw_only=True)
class ModelFacts:
    """What a source knows a model can do.

    Args:
        capabilities: What it can do, as in `ModelInfo`; none at all if the source does not say.
        context_window: Tokens it takes at most, whole number >= 1; None if the source does not say.
        source: Who says so.
        date: The day of which that is said; None if not known.

    Raises:
        ConfigurationError: Naming every argument that is no such thing.
    """

    capabilities: frozenset[str] = bounded(
        Bound(is_names, "a frozenset of non-empty strings"), frozenset()
    )
    context_window: int | None = bounded(COUNT.or_none(), None)
    source: str = bounded(SOURCE, "configured")
    date: dt.date | None = bounded(DATE, None)

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))


class PriceSource(Protocol):
    """Who knows what models cost; write your own by writing this method."""

    def price(self, info: ModelInfo) -> Price | None:
        """What a model costs; None if this source does not know, which is not the same as free.

        Asked for each provider when a chain is made; a strategy that has this source may ask once
        more.
        """
        ...


class CapabilitySource(Protocol):
    """Who knows what models can do; write your own by writing this method."""

    def capabilities(self, info: ModelInfo) -> ModelFacts | None:
        """What a model can do; None if this source does not know it.

        Asked once for each provider, when a chain is made; never during a call.
        """
        ...


_FACTS: Final = instance_of(ModelFacts, "a ModelFacts")
T = TypeVar("T")


def known(
    info: ModelInfo,
    prices: Iterable[PriceSource] = (),
    capabilities: Iterable[CapabilitySource] = (),
) -> ModelInfo:
    """Complete what is known of a model from sources.

    What `info` says already wins, field by field, and no source is asked for it; then the first
    source that knows. A source that raises breaks the wiring, not a call.

    Args:
        info: What the user said.
        prices: Who is asked for its price, in this order.
        capabilities: Who is asked for its capabilities and its context window, in this order.

    Returns:
        The same, with what the sources knew.

    Raises:
        ConfigurationError: Naming model and source of every source that raised, or answered what
            is no answer.
    """
    asked = _Asked(info)
    price, able, window = info.price, info.capabilities, info.context_window
    for each in prices:
        if price is None:
            price = asked.answer(each, "price", PRICE, lambda source: source.price(info))
    for teller in capabilities:
        if not able or window is None:
            facts = asked.answer(
                teller, "capabilities", _FACTS, lambda source: source.capabilities(info)
            )
            if facts is not None:
                able = able or facts.capabilities
                window = facts.context_window if window is None else window
    asked.refuse()
    return attrs.evolve(info, price=price, capabilities=able, context_window=window)


S = TypeVar("S")


class _Asked:
    """The sources asked about one model, and what is wrong with their answers."""

    def __init__(self, info: ModelInfo) -> None:
        self._model = info.model
        self._problems: list[str] = []
        self._first: Exception | None = None

    def answer(self, source: S, what: str, wanted: Bound, ask: Callable[[S], T | None]) -> T | None:
        """What a source says; None if it does not know, or if its answer is none."""
        where = f"{type(source).__name__}: {what} of model {self._model!r}"
        try:
            answer = ask(source)
        except Exception as error:  # noqa: BLE001  # a source may raise anything
            self._first = error if self._first is None else self._first
            self._problems.append(
                f"{where} raised {type(error).__name__}; mend the source, or leave it out"
            )
            return None
        if wanted.or_none().accepts(answer):
            return answer
        self._problems.append(f"{where} is {shown(answer)}; answer {wanted.or_none().wanted}")
        return None

    def refuse(self) -> None:
        """Raise what was found, from the first exception there was."""
        if self._problems:
            raise ConfigurationError(self._problems) from self._first
