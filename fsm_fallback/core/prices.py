"""What a model costs: rates per million tokens, tiers of long requests, a fixed sum per request.

Decides what a call costs, exactly, and about what it will cost, fast. It refuses to know where
prices come from, and prices what a call's usage tells apart: input, of it what was read from a
cache, and output. Writing to a cache is priced as input, sound and images as text.

A tier is a cliff, as providers bill it: a request with more input tokens than `start` pays the
tier's rates for all of its tokens, not only for those above.
https://ai.google.dev/gemini-api/docs/pricing
"""

# `decimal` and `datetime` take a millisecond each to import, which whoever has no prices need not
# pay: the first price imports them.

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, cast

import attrs

from fsm_fallback.core.bounds import (
    WHOLE,
    Bound,
    bound_problems,
    instance_of,
    refuse_problems,
)

if TYPE_CHECKING:
    import datetime as dt
    from decimal import Context, Decimal

    Amount: TypeAlias = Decimal | int | str | float
    """A sum of money as it is given; a float is the decimal number that it prints as."""

_DEAREST: Final = 1_000_000_000
_PLACES: Final = 30  # with the bound above, sums stay short whatever is added
_MEGA: Final = 1_000_000


def to_decimal(value: Amount) -> Decimal:
    """An amount as `Decimal`; what is none, as it came, or as text for a message to show."""
    from decimal import Decimal, InvalidOperation  # noqa: PLC0415  # see above

    given: Any = value  # whatever it is: its bound refuses it
    if isinstance(given, Decimal):
        return given if _is_amount(given) else cast("Decimal", str(given))
    if isinstance(given, bool) or not isinstance(given, (int, str, float)):
        return cast("Decimal", given)
    try:
        amount = Decimal(float.__repr__(given) if isinstance(given, float) else given)
    except InvalidOperation:
        amount = Decimal("NaN")
    return amount if _is_amount(amount) else cast("Decimal", given)


def _is_amount(value: object) -> bool:
    from decimal import Decimal  # noqa: PLC0415  # see above

    if not isinstance(value, Decimal) or not value.is_finite() or value.is_signed():
        return False
    exponent = value.as_tuple().exponent
    return value <= _DEAREST and isinstance(exponent, int) and -_PLACES <= exponent <= _PLACES


def _is_date(value: object) -> bool:
    import datetime as dt  # noqa: PLC0415  # see above

    return isinstance(value, dt.date) and not isinstance(value, dt.datetime)


AMOUNT: Final = Bound(_is_amount, "an amount of USD in [0, 1e9]")
SOURCE: Final = Bound(lambda v: isinstance(v, str) and bool(v), "a non-empty string")
DATE: Final = Bound(lambda v: v is None or _is_date(v), "a datetime.date, or None")


def _none_or_decimal(value: Amount | None) -> Decimal | None:
    return None if value is None else to_decimal(value)


def _zero() -> Decimal:
    return to_decimal(0)


@attrs.frozen(kw_only=True)
class Tier:
    """The rates of a long request, all of it.

    Args:
        start: The tier holds for requests with more input tokens than this, whole number >= 0.
        input_mtok: USD per million tokens of input.
        output_mtok: USD per million tokens of output.
        cached_mtok: USD per million tokens of input read from a cache; None for `input_mtok`.

    Raises:
        ConfigurationError: Naming every argument that is no such amount or number.
    """

    start: int = attrs.field(metadata={"bound": WHOLE})
    input_mtok: Decimal = attrs.field(converter=to_decimal, metadata={"bound": AMOUNT})
    output_mtok: Decimal = attrs.field(converter=to_decimal, metadata={"bound": AMOUNT})
    cached_mtok: Decimal | None = attrs.field(
        default=None, converter=_none_or_decimal, metadata={"bound": AMOUNT.or_none()}
    )

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))


def _to_tiers(value: list[Tier] | tuple[Tier, ...]) -> tuple[Tier, ...]:
    """Tiers by their start; what holds anything else, as it came."""
    given: Any = value
    if not isinstance(given, (tuple, list)) or not all(isinstance(each, Tier) for each in given):
        return cast("tuple[Tier, ...]", given)
    return tuple(sorted(given, key=lambda tier: tier.start))


def _are_tiers(value: object) -> bool:
    if not isinstance(value, tuple) or not all(isinstance(each, Tier) for each in value):
        return False
    return len({tier.start for tier in value}) == len(value)


_TIERS: Final = Bound(_are_tiers, "a tuple of Tier, no two with the same start")


@attrs.frozen(kw_only=True)
class Price:
    """What a model costs, in USD per million tokens; an explicit 0 is free.

    Amounts may be given as `Decimal`, int, text or float; a float means the decimal number it
    prints as: 0.15 is exactly 0.15. Immutable, so safe to share between threads.

    Args:
        input_mtok: USD per million tokens of input, in [0, 1e9].
        output_mtok: USD per million tokens of output, reasoning included.
        cached_mtok: USD per million tokens of input read from a cache; None for `input_mtok`.
        tiers: The rates of long requests, in any order; a request pays those of the highest `start`
            that its input tokens exceed.
        per_request: USD for each request, beside its tokens.
        source: Who says so: `"configured"`, or a price list and its version.
        date: The day of which that is said; None if not known.

    Attributes:
        currency: `"USD"`, always: nothing here converts.

    Raises:
        ConfigurationError: Naming every argument that is no such amount, text or date.
    """

    currency: ClassVar[str] = "USD"

    input_mtok: Decimal = attrs.field(converter=to_decimal, metadata={"bound": AMOUNT})
    output_mtok: Decimal = attrs.field(converter=to_decimal, metadata={"bound": AMOUNT})
    cached_mtok: Decimal | None = attrs.field(
        default=None, converter=_none_or_decimal, metadata={"bound": AMOUNT.or_none()}
    )
    tiers: tuple[Tier, ...] = attrs.field(
        default=(), converter=_to_tiers, metadata={"bound": _TIERS}
    )
    per_request: Decimal = attrs.field(
        factory=_zero, converter=to_decimal, metadata={"bound": AMOUNT}
    )
    source: str = attrs.field(default="configured", metadata={"bound": SOURCE})
    date: dt.date | None = attrs.field(default=None, metadata={"bound": DATE})

    _input: float = attrs.field(init=False, repr=False, eq=False)
    _cached: float = attrs.field(init=False, repr=False, eq=False)
    _output: float = attrs.field(init=False, repr=False, eq=False)
    _fixed: float = attrs.field(init=False, repr=False, eq=False)
    _steps: tuple[tuple[int, float, float, float], ...] = attrs.field(
        init=False, repr=False, eq=False
    )

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))
        for name, rate in zip(("_input", "_cached", "_output"), _rates(self), strict=True):
            object.__setattr__(self, name, rate)
        steps = tuple((tier.start, *_rates(tier)) for tier in reversed(self.tiers))
        object.__setattr__(self, "_fixed", float(self.per_request))
        object.__setattr__(self, "_steps", steps)

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal:
        """What a call cost, in USD, exactly: nothing is rounded.

        Args:
            input_tokens: Tokens that went in, cached ones included.
            output_tokens: Tokens that came out, reasoning included.
            cached_tokens: How many of the input were read from a cache; more than went in count as
                all of it.

        Raises:
            ValueError: If a number is negative, or not whole.
        """
        _refuse_counts(input_tokens, output_tokens, cached_tokens)
        rates = self._in_force(input_tokens)
        cached = min(cached_tokens, input_tokens)
        cached_mtok = rates.input_mtok if rates.cached_mtok is None else rates.cached_mtok
        exact = _exact()
        total = exact.multiply(rates.input_mtok, input_tokens - cached)
        total = exact.fma(cached_mtok, cached, total)
        total = exact.fma(rates.output_mtok, output_tokens, total)
        return exact.add(exact.scaleb(total, -6), self.per_request)

    def estimate(
        self, input_tokens: float, output_tokens: float, cached_tokens: float = 0
    ) -> float:
        """About what a call will cost, in USD: `cost` in floats, fast enough for a strategy.

        Args:
            input_tokens: Tokens that will go in, cached ones included; >= 0, not checked.
            output_tokens: Tokens that are expected to come out, as above; need not be whole.
            cached_tokens: How many of the input will be read from a cache, at most all of them.
        """
        if self._steps:
            for start, fresh, cached, out in self._steps:
                if input_tokens > start:
                    return (
                        self._fixed
                        + (input_tokens - cached_tokens) * fresh
                        + cached_tokens * cached
                        + output_tokens * out
                    )
        total = self._fixed + input_tokens * self._input + output_tokens * self._output
        return total + cached_tokens * (self._cached - self._input) if cached_tokens else total

    def _in_force(self, input_tokens: int) -> Price | Tier:
        for tier in reversed(self.tiers):
            if input_tokens > tier.start:
                return tier
        return self


def _rates(price: Price | Tier) -> tuple[float, float, float]:
    """USD per token of input, of cached input and of output, as floats."""
    cached = price.input_mtok if price.cached_mtok is None else price.cached_mtok
    return (
        float(price.input_mtok) / _MEGA,
        float(cached) / _MEGA,
        float(price.output_mtok) / _MEGA,
    )


@functools.cache
def _exact() -> Context:
    """A context of our own: the caller's may round, or trap. Never changed, so shared."""
    from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Inexact  # noqa: PLC0415  # see above

    return Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


def added(*costs: Decimal) -> Decimal:
    """The sum of costs, at least one, exactly: nothing is rounded."""
    first, *others = costs
    return functools.reduce(_exact().add, others, first)


def _refuse_counts(input_tokens: int, output_tokens: int, cached_tokens: int) -> None:
    """Raise a `ValueError` for the first count that is none."""
    for name, value in (
        ("input_tokens", input_tokens),
        ("output_tokens", output_tokens),
        ("cached_tokens", cached_tokens),
    ):
        if not WHOLE.accepts(value):
            raise ValueError(f"{name} is {value!r}; give {WHOLE.wanted}")


PRICE: Final = instance_of(Price, "a Price")
"""The bound of a price."""
