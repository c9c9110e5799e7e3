"""Prices and context windows of the package `genai-prices` (extra `prices`).

Decides which of its price lists a `Price` can say, and refuses the others rather than say them
wrong: a model whose answers may be sound, images or reasoning at rates of their own, or that is
billed by the hour, the page or the character, has no price here. It reads the list that came with
the package, or that you updated; it never goes to the network, and starts no thread.
https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict

from fsm_fallback.core.bounds import Bound, instance_of, refuse_problems, shown
from fsm_fallback.core.info import ModelFacts, ModelInfo
from fsm_fallback.core.prices import SOURCE, Price, Tier
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    from genai_prices import types
    from genai_prices.data_snapshot import DataSnapshot

    _Listed: TypeAlias = dict[str, Decimal | types.TieredPrices]

_ZERO: Final = Decimal(0)
_REQUESTS: Final = "requests_kcount"
_SAID: Final = frozenset({"input_mtok", "output_mtok", "cache_read_mtok", _REQUESTS})
"""The keys a `Price` says."""

_BESIDE: Final = frozenset(
    {
        # What usage does not tell apart; it is priced as plain input.
        "cache_write_mtok",
        "cache_write_1h_mtok",
        "input_audio_mtok",
        "input_image_mtok",
        "input_video_mtok",
        "cache_audio_read_mtok",
        "cache_image_read_mtok",
        # What a call pays for tools it uses, beside its tokens.
        "web_searches_kcount",
        "storage_searches_kcount",
    }
)
"""The keys a `Price` leaves out and still is right for a call with text that uses no tools."""

_ROUTER: Final = "litellm"  # no provider of the list: there, the model's name begins with one
_PROVIDER: Final = Bound(SOURCE.accepts, "the id of a provider of genai-prices").or_none()
_AT: Final = instance_of(datetime, "a datetime").or_none()


class _Rates(TypedDict):
    input_mtok: Decimal
    output_mtok: Decimal
    cached_mtok: Decimal


class GenaiPrices:
    """What `genai-prices` knows of models: a `PriceSource` and a `CapabilitySource`.

    A model is quoted once, when it is first asked for, and the quote kept: a price that is to
    change later on is the one in force then; of one that changes by the hour, each rate is the
    dearest of that day. Make a new source for the prices of another day. Prices are those of the
    standard service, never of batches, priority or any other tier of it.

    The names of models are matched by the package's rules, which know aliases and dates. What it
    knows a model can do is its context window alone.

    Args:
        provider: Whose prices, as the package names it: `"openai"`, `"azure"`; None to conclude it
            from the model's name.
        at: The instant whose prices are wanted, without a zone in UTC; None for now.

    Raises:
        ConfigurationError: If the package is missing, or has no such provider.

    Safe to share between threads.
    """

    def __init__(self, provider: str | None = None, *, at: datetime | None = None) -> None:
        refuse_problems(_argument_problems(provider, at))
        self._provider: Final = provider
        self._at: Final = at
        self._quotes: Final[dict[str, Price | None]] = {}
        self._snapshot: Final = _snapshot()
        self._source: Final = f"genai-prices {_version()}"
        self._date: Final[date | None] = (
            self._snapshot.timestamp.date() if self._snapshot.from_auto_update else None
        )
        if provider is not None and provider.lower() != _ROUTER:
            try:
                self._snapshot.find_provider(None, provider, None)
            except LookupError as error:
                raise ConfigurationError(
                    f"GenaiPrices.provider is {provider!r}, which genai-prices does not have; "
                    f"give one of {', '.join(each.id for each in self._snapshot.providers)}"
                ) from error

    def __repr__(self) -> str:
        return f"GenaiPrices({self._provider!r})"

    def price(self, info: ModelInfo) -> Price | None:
        """What a model costs; None if that is not in the list, or more than a `Price` can say."""
        if info.model is None:
            return None
        if info.model not in self._quotes:
            self._quotes[info.model] = self._quote(info.model)
        return self._quotes[info.model]

    def capabilities(self, info: ModelInfo) -> ModelFacts | None:
        """The context window of a model; None if that is not in the list."""
        model = None if info.model is None else self._found(info.model)
        if model is None or not model.context_window:
            return None
        return ModelFacts(context_window=model.context_window, source=self._source, date=self._date)

    def _found(self, name: str) -> types.ModelInfo | None:
        try:
            return self._snapshot.find_provider_model(name, None, self._provider, None)[1]
        except LookupError:
            return None

    def _quote(self, name: str) -> Price | None:
        model = self._found(name)
        if model is None:
            return None
        at = datetime.now(UTC) if self._at is None else self._at
        lists = [_listed(each) for each in _of_the_day(model, at)]
        if not lists or not all(map(_can_be_said, lists)):
            return None
        starts = {start for each in lists for start in _starts(each)}
        return Price(
            **_dearest(lists, None),
            tiers=tuple(Tier(start=start, **_dearest(lists, start)) for start in starts),
            per_request=max(_rate(each.get(_REQUESTS, _ZERO), None) for each in lists) / 1000,
            source=self._source,
            date=self._date,
        )


def _argument_problems(provider: object, at: object) -> Iterator[str]:
    for field, value, bound in (("provider", provider, _PROVIDER), ("at", at, _AT)):
        if not bound.accepts(value):
            yield f"GenaiPrices.{field} is {shown(value)}; give {bound.wanted}"


def _snapshot() -> DataSnapshot:
    try:
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigurationError(
            "GenaiPrices needs the package genai-prices; install fsm-fallback[prices]"
        ) from error
    return get_snapshot()


def _version() -> str:
    from genai_prices import __version__  # noqa: PLC0415  # an extra

    return __version__


def _of_the_day(model: types.ModelInfo, at: datetime) -> Iterable[types.ModelPrice]:
    """Every list of prices that may hold for a call on that day: the last that holds is taken."""
    from genai_prices.types import ModelPrice, TimeOfDateConstraint  # noqa: PLC0415  # an extra

    if isinstance(model.prices, ModelPrice):
        return [model.prices]
    possible: list[types.ModelPrice] = []
    for each in reversed(model.prices):
        if isinstance(each.constraint, TimeOfDateConstraint):
            possible.append(each.prices)
        elif each.constraint is None or each.constraint.active(at):
            return [*possible, each.prices]
    # None holds all day: in the hours that are left, the first does.
    return [*possible, *(each.prices for each in model.prices[:1])]


def _listed(prices: types.ModelPrice) -> _Listed:
    return {key: value for key, value in vars(prices).items() if value is not None}


def _can_be_said(listed: _Listed) -> bool:
    """Whether a `Price` says all there is to a list of prices."""
    if "input_mtok" not in listed or not listed.keys() <= _SAID | _BESIDE:
        return False
    return isinstance(listed.get(_REQUESTS, _ZERO), Decimal)


def _starts(listed: _Listed) -> Iterator[int]:
    """Where a rate of a list changes."""
    for key in _SAID & listed.keys():
        price = listed[key]
        if not isinstance(price, Decimal):
            yield from (tier.start for tier in price.tiers)


def _dearest(lists: list[_Listed], start: int | None) -> _Rates:
    """The rates from a start on, each the dearest of all lists; those of short requests for None.

    A model priced by its input alone, as those for embeddings are, answers for nothing.
    """
    return {
        "input_mtok": max(_rate(each["input_mtok"], start) for each in lists),
        "output_mtok": max(_rate(each.get("output_mtok", _ZERO), start) for each in lists),
        "cached_mtok": max(
            _rate(each.get("cache_read_mtok", each["input_mtok"]), start) for each in lists
        ),
    }


def _rate(price: Decimal | types.TieredPrices, start: int | None) -> Decimal:
    if isinstance(price, Decimal):
        return price
    rate = price.base
    for tier in price.tiers:
        if start is not None and tier.start <= start:
            rate = tier.price
    return rate
