"""What all calls of a chain have in common: whom to ask, by which order, on which clock.

Most calls are answered by the first candidate whose breaker is not open. Such a call fires three
rows of the chain's table, `skip`, `offer` and `answer`, and none has a guard: nothing is decided.
So a driver takes these calls straight and makes no chain for them; their records are made of the
same rows. When anything else happens, `Walk.chain_at` puts a chain where it would stand by now, by
walking it there.
`specs/spec_drivers.py` proves that nobody can tell the difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import CHAIN, ChainState
from fsm_fallback.core.commands import Command
from fsm_fallback.core.events import Answered, ChainStep, PutOff, Step
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.rules import PLAIN, Rules
from fsm_fallback.core.strategies import CallOptions, Strategy, said_problems
from fsm_fallback.core.table import Row
from fsm_fallback.core.trail import Candidate, Skip
from fsm_fallback.drivers.judging import Accept
from fsm_fallback.drivers.link import NO_LIMIT, Link, Within
from fsm_fallback.drivers.meters import MANY
from fsm_fallback.drivers.told import Fell, Passed, Used
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.classifying import log_fault_of_user
from fsm_fallback.providers.usage import usage_of

# One row each, or this module does not import: a second row would mean a decision.
(_OFFER,) = CHAIN.cell(ChainState.SELECTING, "offer")
(_SKIP,) = CHAIN.cell(ChainState.SELECTING, "skip")
(_ANSWER,) = CHAIN.cell(ChainState.CALLING, "answer")
_new = tuple.__new__
_NO_KEYWORDS: Final[Mapping[str, Any]] = {}

Line = tuple[Candidate | Skip, ...]
"""The candidates of a call, in the order in which they are asked."""

Describe = Callable[..., CallOptions]
"""Tells from the arguments of a call what it says of itself."""


@attrs.define(eq=False)
class Walk:
    """Everything a call begins with, for one way of calling a chain.

    Attributes:
        name: The chain's name in records.
        links: The providers, as configured.
        strategy: Orders them.
        options: What the calls say of themselves.
        attempt_timeout: Seconds one attempt may take; None for no limit.
        clock: Monotonic seconds.
        sample: Draws from [0, 1).
        record: Gets a record of every firing; None for nobody.
        calls: Numbers the calls.
        rules: What the chains decide by.
        accept: Takes an answer or does not; None takes all.
        describe: Tells from the arguments of a call what it says of itself; None for nothing.
        watch: Is told each row that a walked call fires, offers aside; None for nobody.
        trace: Begins the spans of a call; where there is one, every call is walked.
        is_fixed: Whether all calls have one order.
        line: That order; where there is none, the configured one.
        goes_straight: Whether there is nothing to a call but its order and its breakers.
        first: The first candidate of every call that may go straight; None if none may.
        named: The links by name.
        all_links: The links.
    """

    name: str
    links: tuple[Link, ...]
    strategy: Strategy
    options: CallOptions
    attempt_timeout: float | None
    clock: Callable[[], float]
    sample: Callable[[], float]
    record: Callable[[Step | PutOff], None] | None
    calls: Iterator[int]
    rules: Rules = PLAIN
    accept: Accept | None = None
    describe: Describe | None = None
    watch: Callable[[Chain, Row], None] | None = None
    trace: Callable[[Chain], None] | None = None
    is_fixed: bool = attrs.field(init=False, default=False)
    line: Line = attrs.field(init=False)
    goes_straight: bool = attrs.field(init=False)
    first: Link | None = attrs.field(init=False, default=None)
    named: dict[str, Link] = attrs.field(init=False)
    all_links: frozenset[Link] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.all_links = frozenset(self.links)
        self.named = {link.name: link for link in self.links}
        count = len(self.links)
        for link in self.links:
            link.answered = tuple(
                Answered(self.name, link.name, _ANSWER, left=count - position, before=position)
                for position in range(count)
            )
        self.line = self.links
        if self.describe is None and getattr(self.strategy, "is_fixed", False) is True:
            self.line = self.order(self.clock())
            self.is_fixed = True
        untimed = self.options.deadline is None and self.attempt_timeout is None
        one_answer = self.rules.stream is None and self.accept is None and self.trace is None
        self.goes_straight = untimed and one_answer and all(map(_is_plain, self.links))
        if self.goes_straight and self.is_fixed and isinstance(self.line[0], Link):
            self.first = self.line[0]  # nothing has to be asked but its breaker

    def order(
        self, now: float, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = _NO_KEYWORDS
    ) -> Line:
        """The candidates of one call with these arguments.

        Raises:
            ConfigurationError: If the strategy invents, repeats or loses one.
        """
        if self.is_fixed:
            return self.line
        options = self.options
        if self.describe is not None:
            options = self._described(self.describe, args, kwargs)
        candidates = self.strategy.order(self.links, options, now, self.sample())
        if type(candidates) is tuple and self._are_all(candidates):
            return candidates
        left = dict(self.named)
        for each in candidates or ():
            if isinstance(each, Skip):
                is_one = left.pop(each.provider, None) is not None
            else:
                is_one = left.pop(getattr(each, "name", ""), None) is each
            if not is_one:
                raise self._wrong_order(candidates)
        if left:
            raise self._wrong_order(candidates)
        return candidates

    def _are_all(self, candidates: tuple[object, ...]) -> bool:
        """Whether they are the links, all of them: of as many, none is there twice then."""
        try:
            return len(candidates) == len(self.links) and self.all_links.issubset(candidates)
        except TypeError:  # something that has no hash is among them
            return False

    def _described(
        self, describe: Describe, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> CallOptions:
        """What a call says of itself: by its options, and what they leave open by its arguments."""
        said = self.options
        try:
            seen = describe(*args, **kwargs)
            if any(said_problems(seen)):
                raise ValueError  # noqa: TRY301  # told as what it raises itself
            return attrs.evolve(
                said,
                needs=said.needs | seen.needs,
                tags=said.tags | seen.tags,
                input_tokens=_first(said.input_tokens, seen.input_tokens),
                output_tokens=_first(said.output_tokens, seen.output_tokens),
            )
        except Exception as error:  # noqa: BLE001  # the user's code
            log_fault_of_user("describe of chain %r raised %s", self.name, error)
            return said

    def _wrong_order(self, candidates: object) -> ConfigurationError:
        told = shown(candidates)
        if isinstance(candidates, (tuple, list)):
            told = f"[{', '.join(map(self._named, candidates))}]"
        return ConfigurationError(
            f"{type(self.strategy).__name__}.order of chain {self.name!r} is {told}; give each "
            f"candidate once, or a Skip in its place: {', '.join(self.named)}"
        )

    @staticmethod
    def _named(item: object) -> str:
        """An item of an order as a message may show it: what has no name may be anything."""
        name = item.provider if isinstance(item, Skip) else getattr(item, "name", None)
        return repr(name) if isinstance(name, str) else f"a {type(item).__name__}"

    def chain(
        self,
        candidates: Line,
        now: float,
        call: int | None = None,
        within: Within = NO_LIMIT,
    ) -> Chain:
        """A new chain, for a call that begins now, and has a chain around it with those limits."""
        own = deadline = self.options.deadline
        if within is not NO_LIMIT:
            deadline = shortest(own, within.output, within.end)
        chain = Chain(
            self.name,
            next(self.calls) if call is None else call,
            candidates,
            None if deadline is None else now + deadline,
            self.attempt_timeout,
            now,
            self.record,
            self.rules,
        )
        chain.watch = self.watch
        if self.trace is not None:
            self.trace(chain)
        if within is not NO_LIMIT and deadline != own:
            chain.fair = within.fair
        return chain

    def begun(
        self,
        candidates: Line,
        now: float,
        call: int | None = None,
        refusals: tuple[Refusal, ...] = (),
        within: Within = NO_LIMIT,
    ) -> tuple[Chain, Command]:
        """The chain of a call that begins now, and the command that is due.

        `refusals`: of the first candidates, told already. `within`: as of `chain`.
        """
        chain = self.chain(candidates, now, call, within)
        self._tell_again(chain, now, refusals)
        return chain, chain.next(now)

    def pause(self, seconds: float) -> None:
        """Wait, on the clock given if it keeps time itself, as `ManualClock` does."""
        spend = getattr(self.clock, "spend", time.sleep)
        spend(seconds)

    def past_shut(
        self, now: float, call: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Line, Link | None, Generation | None, tuple[Refusal, ...]]:
        """The order of a call, and whom it may go to straight, with the generation of its breaker.

        A breaker that is shut refuses, and the skip is told. Before one that has to be asked, or
        behind the last that may be asked, it ends: with no generation, and the refusals so far.
        """
        line = self.order(now, args, kwargs)
        refusals: tuple[Refusal, ...] = ()
        if not self.goes_straight:
            return line, None, None, refusals
        for position, link in enumerate(line):
            if not isinstance(link, Link):
                break
            core = link.core
            if core.straight is not None:
                return line, link, core.straight, refusals
            shut = core.shut
            if shut is None or now >= shut.until or not isinstance(_next(line, position), Link):
                break
            core.pass_time(now)
            next(shut.refusals)
            refusal = shut.refusal
            refusals = (*refusals, refusal)
            link.meter.tell(_new(Passed, (refusal.state,)))
            if self.record is not None:
                because = {"until": refusal.until}
                left = len(line) - position - 1
                what = (refusal.cause, refusal.state, because, left, position)
                self.record(_new(ChainStep, (self.name, call, now, _SKIP, link.name, *what)))
        return line, None, None, refusals

    def tell(self, line: Line, link: Link, refusals: tuple[Refusal, ...], value: object) -> None:
        """Tell the meters what more there is to a straight call than its times."""
        if refusals:
            before: Any = line[len(refusals) - 1]
            before.meter.tell(Fell(link.name, refusals[-1].state))
        if link.is_priced:
            usage = usage_of(value)
            if usage is not None:
                link.meter.tell(Used(usage))
        if len(link.pending) >= MANY:
            link.meter.count()

    def chain_at(
        self, line: Line, began: float, call: int, refusals: tuple[Refusal, ...], lease: Lease
    ) -> Chain:
        """The chain of a straight call that began then, where its candidate is called."""
        chain = self.chain(line, began, call)
        self._tell_again(chain, began, refusals)
        chain.offered(lease, began)
        return chain

    def _tell_again(self, chain: Chain, now: float, refusals: tuple[Refusal, ...]) -> None:
        """Walk a chain past candidates whose skips are recorded already."""
        if refusals:
            chain.record, chain.watch, chain.told = None, None, len(refusals)
            for refusal in refusals:
                chain.admission(refusal, now)
            chain.record, chain.watch = self.record, self.watch


def _next(line: Line, position: int) -> Candidate | Skip | None:
    return line[position + 1] if position + 1 < len(line) else None


def _first(said: int | None, seen: int | None) -> int | None:
    return seen if said is None else said


def shortest(*limits: float | None) -> float | None:
    """The first limit that comes; None if there is none."""
    return min((each for each in limits if each is not None), default=None)


def _is_plain(link: Link) -> bool:
    """Whether a link is one callable behind one breaker: all there is to know of its call."""
    return type(link) is Link and not link.circuit.is_joint
