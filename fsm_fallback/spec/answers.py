"""What properties of parts look at: what a part was asked, and what it came to.

A part is a strategy, a classifier or a store. Parts have no states, so that their acts stand
between two standings without one; beside the answer an act carries what a bystander knows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, ClassVar, Final, NamedTuple

import attrs

from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.outcome import Fault
from fsm_fallback.core.strategies import CallOptions
from fsm_fallback.core.trail import Candidate, Skip
from fsm_fallback.spec.errors_bag import is_cancellation
from fsm_fallback.spec.patience import Patience, Reply

_SPARE: Final = 8  # items an answer may have beside the candidates before it is taken for endless


_LONGEST: Final = 200


class Stateless(NamedTuple):
    """How a part stands: it does not."""

    state: None = None


@attrs.frozen
class StandIn:
    """A candidate for strategies to order: a name, a window, and what is known of the model."""

    name: str
    context_window: int | None = None
    info: ModelInfo = attrs.field(factory=ModelInfo, repr=False)

    takes: float | None = attrs.field(default=None, repr=False)
    in_flight: int = attrs.field(default=0, repr=False)
    answers: float | None = attrs.field(default=None, repr=False)
    recovered_at: float | None = attrs.field(default=None, repr=False)

    def opens_at(self, now: float) -> float:
        """When its breaker may admit: its breaker is closed."""
        return now

    def latency(self, now: float) -> float | None:  # noqa: ARG002  # the protocol's
        """What it takes."""
        return self.takes

    def success_ratio(self, now: float) -> float | None:  # noqa: ARG002  # as above
        """How much of it is answered."""
        return self.answers


class Order(NamedTuple):
    """What a strategy answered.

    Attributes:
        items: The items of the answer, as far as they were taken.
        kind: The type of the answer.
        error: What was raised, by `order` or by going through its answer; None if nothing.
        ended: Whether both came to an end.
    """

    items: tuple[Any, ...] = ()
    kind: str = "tuple"
    error: BaseException | None = None
    ended: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether there is an answer to look at."""
        return self.ended and self.error is None

    def named(self) -> tuple[str, ...]:
        """The items, as names and skips."""
        return tuple(_name_of(item) for item in self.items)

    def __str__(self) -> str:
        if not self.ended:
            beginning = ", ".join(self.named()[:3])
            return f"no end, after {beginning}, ..." if beginning else "no end"
        if self.error is not None:
            return f"raised {shown_error(self.error)}"
        brackets = "()" if self.kind == "tuple" else "[]" if self.kind == "list" else "<>"
        inside = ", ".join(self.named())
        kind = "" if brackets != "<>" else f"{self.kind} "
        return f"{kind}{brackets[0]}{inside}{brackets[1]}"


@attrs.frozen
class StrategyAct:
    """One question to a strategy, asked twice: `order` is the first answer, `again` the second."""

    strategy: str
    candidates: tuple[Candidate, ...]
    request: CallOptions
    now: float
    sample: float
    order: Order
    again: Order

    of: ClassVar[str] = "strategy"
    trigger: ClassVar[str] = "order"
    before: ClassVar[Stateless] = Stateless()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the candidates, as configured."""
        return tuple(each.name for each in self.candidates)

    def __str__(self) -> str:
        asked = ", ".join(_name_of(each) for each in self.candidates)
        said = "".join(f", {words}" for words in _words_of(self.request))
        twice = "" if same_order(self.order, self.again) else f"; asked again: {self.again}"
        return (
            f"order(({asked}), now={self.now:g}, sample={self.sample:g}{said}) -> "
            f"{self.order}{twice}"
        )


def _words_of(request: CallOptions) -> Iterator[str]:
    """What a call says of itself, as far as it says anything."""
    for field in attrs.fields(CallOptions):
        value = getattr(request, field.name)
        if isinstance(value, frozenset) and value:
            yield f"{field.name}={'+'.join(sorted(value))}"
        elif isinstance(value, (int, float)):
            yield f"{field.name}={value:g}"


@attrs.frozen
class ClassifierAct:
    """One exception given to a classifier, twice.

    `reply` is the first answer, `again` the second; `is_untouched` says whether the exception still
    is as it was. `is_cancelled` is whether it means that the caller left.
    """

    classifier: str
    error: BaseException
    is_cancelled: bool
    reply: Reply
    again: Reply
    is_untouched: bool

    of: ClassVar[str] = "classifier"
    trigger: ClassVar[str] = "classify"
    before: ClassVar[Stateless] = Stateless()

    @property
    def fault(self) -> Fault | None:
        """The fault it answered; None if it answered none."""
        value = self.reply.value
        return value if isinstance(value, Fault) else None

    def __str__(self) -> str:
        again = "" if same_fault(self.reply, self.again) else f"; again: {_told(self.again)}"
        return f"classify({shown_error(self.error)}) -> {_told(self.reply)}{again}"


def ask_order(
    patience: Patience,
    strategy: Any,
    candidates: tuple[Candidate, ...],
    request: CallOptions,
    now: float,
    sample: float,
) -> Order:
    """Ask a strategy, and go through its answer, as far as that has an end."""
    limit = 2 * len(candidates) + _SPARE
    reply = patience.ask(_ordered, strategy.order, (candidates, request, now, sample), limit)
    if not reply.ended:
        return Order(ended=False)
    if reply.error is not None:
        return Order(error=reply.error)
    items, kind, ended = reply.value
    return Order(items, kind, None, ended)


def ask_classifier(
    patience: Patience,
    name: str,
    classifier: Callable[[BaseException], Any],
    error: BaseException,
) -> ClassifierAct:
    """Give an exception to a classifier, twice."""
    was = _standing_of(error)
    reply = _closed(patience.ask(classifier, error))
    again = _closed(patience.ask(classifier, error)) if reply.ended else reply
    is_untouched = all(new is old for new, old in zip(_standing_of(error), was, strict=True))
    return ClassifierAct(name, error, is_cancellation(error), reply, again, is_untouched)


def same_order(one: Order, other: Order) -> bool:
    """Whether two answers order alike; a skip is as good as an equal one."""
    if one.is_whole != other.is_whole or len(one.items) != len(other.items):
        return False
    return all(
        new is old or (isinstance(new, Skip) and new == old)
        for new, old in zip(one.items, other.items, strict=True)
    )


def same_fault(one: Reply, other: Reply) -> bool:
    """Whether two answers mean the same; times that count from the clock may differ."""
    if isinstance(one.value, Fault) and isinstance(other.value, Fault):
        return (one.value.kind, one.value.scope, one.value.retry_after is None) == (
            other.value.kind,
            other.value.scope,
            other.value.retry_after is None,
        )
    return (one.ended, type(one.error), type(one.value)) == (
        other.ended,
        type(other.error),
        type(other.value),
    )


def shown_error(error: BaseException) -> str:
    """An exception for a history, whatever its own words do."""
    kind = type(error)
    try:
        words = repr(error)
    except Exception:  # noqa: BLE001  # it may raise anything: that is why it is in the bag
        words = f"{kind.__name__}(<its repr raises>)"
    if len(words) > _LONGEST:
        words = f"{words[:_LONGEST]}..."
    whose = kind.__module__.partition(".")[0]
    is_plain = whose == "builtins" or not words.startswith(kind.__name__)
    return words if is_plain else f"{whose}.{words}"


def _closed(reply: Reply) -> Reply:
    """The same, with a coroutine closed that nobody will await."""
    if isinstance(reply.value, Coroutine):
        reply.value.close()
    return reply


def _ordered(
    order: Any, arguments: tuple[Any, ...], limit: int
) -> tuple[tuple[Any, ...], str, bool]:
    answer: Any = order(*arguments)
    if isinstance(answer, Coroutine):
        answer.close()  # nobody will await it
    if not isinstance(answer, Iterable):
        return (), type(answer).__name__, True
    items: list[Any] = []
    left: Iterator[Any] = iter(answer)
    for item in left:
        if len(items) == limit:
            return tuple(items), type(answer).__name__, False
        items.append(item)
    return tuple(items), type(answer).__name__, True


def _standing_of(error: BaseException) -> tuple[object, ...]:
    """What must stay; read past whatever the class of the exception makes of reading."""
    notes = object.__getattribute__(error, "__dict__").get("__notes__")
    read = (vars(BaseException)[name] for name in ("args", "__cause__", "__context__"))
    return (*(each.__get__(error) for each in read), 0 if notes is None else len(notes))


def _name_of(item: object) -> str:
    if isinstance(item, Skip):
        return f"Skip({item.provider!r}, {item.reason!r})"
    name = getattr(item, "name", None)
    if not isinstance(name, str):
        return repr(item)
    window = getattr(item, "context_window", None)
    return name if window is None else f"{name}[{window}]"


def _told(reply: Reply) -> str:
    if not reply.ended:
        return "no end"
    if reply.error is not None:
        return f"raised {shown_error(reply.error)}"
    value = reply.value
    if not isinstance(value, Fault):
        return f"a {type(value).__name__}, no Fault"
    return f"{value.kind.value} ({value.outcome.value})"
