"""What a call gives that tells how it came about: an answer, or a stream of one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import attrs

from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.trail import Attempt, StreamReset, Trail, total_cost
from fsm_fallback.drivers.delivery import Delivery
from fsm_fallback.providers.usage import Usage, model_of

if TYPE_CHECKING:
    from decimal import Decimal

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Answer(Generic[T_co]):
    """An answer and how it came about.

    Attributes:
        value: What the provider answered, untouched.
        provider: The name of the provider that answered.
        trail: Every attempt and skip of the call, in order; the last attempt is the answer's.
    """

    value: T_co
    provider: str
    trail: Trail

    @property
    def usage(self) -> Usage | None:
        """The tokens the answer took, where it says so."""
        last = self.trail[-1]
        usage: Usage | None = last.usage if isinstance(last, Attempt) else None
        return usage

    @property
    def cost(self) -> Decimal | None:
        """US dollars of all attempts whose tokens and price are known; None if that is none."""
        return total_cost(self.trail)

    @property
    def model(self) -> str | None:
        """The model that the answer itself names."""
        return model_of(self.value)


class _Told:
    """How a stream came about, as far as it has come."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    @property
    def provider(self) -> str | None:
        """Whose output is being handed over; None before there is any."""
        if not self._delivery.has_begun:
            return None
        chain = self._delivery.chain
        # One that was held back whole is handed over once it has ended.
        return chain.candidate.name if chain.state is S.SUCCEEDED else chain.seen_of

    @property
    def trail(self) -> Trail:
        """Every attempt and skip so far, in order; with the answer's own once it has ended."""
        return self._delivery.chain.trail if self._delivery.has_begun else ()

    @property
    def usage(self) -> Usage | None:
        """The tokens the stream told of; None while it told none."""
        if not self._delivery.has_begun:
            return None
        usage: Usage | None = self._delivery.chain.usage
        return usage

    @property
    def cost(self) -> Decimal | None:
        """US dollars of the attempts so far, as of an `Answer`."""
        return total_cost(self.trail)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is missing any more: its terminal item has come."""
        return self.is_whole or (self._delivery.has_begun and self._delivery.is_whole)

    @property
    def is_whole(self) -> bool:
        """Whether it ended as it should."""
        return self._delivery.has_begun and self._delivery.chain.state is S.SUCCEEDED


class AnswerStream(_Told, Generic[T_co]):
    """The items of an answer as they come, and how they came about. Iterate over it once.

    Under the policy `"restart"` a `StreamReset` stands where the stream begins anew. Leaving early
    closes the provider's stream and books nothing: use it in a `with` block, or `close` it.
    """

    def __init__(
        self,
        delivery: Delivery,
        items: Generator[Any, None, None],
    ) -> None:
        super().__init__(delivery)
        self._items = items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co | StreamReset:
        items = self._items
        del self  # errors lead back to this frame, and the trail keeps them: no cycle
        item: T_co | StreamReset = next(items)
        return item

    def close(self) -> None:
        """Leave, if it has not ended. Idempotent."""
        items = self._items
        del self  # as above
        items.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        items = self._items
        del self  # as above
        items.close()


class AsyncAnswerStream(_Told, Generic[T_co]):
    """As `AnswerStream`, awaited: `async with`, `async for`, `aclose`."""

    def __init__(self, delivery: Delivery, items: AsyncGenerator[Any, None]) -> None:
        super().__init__(delivery)
        self._items = items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co | StreamReset:
        items = self._items
        del self  # as above
        item: T_co | StreamReset = await anext(items)
        return item

    async def aclose(self) -> None:
        """Leave, if it has not ended. Idempotent."""
        items = self._items
        del self  # as above
        await items.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        items = self._items
        del self  # as above
        await items.aclose()
