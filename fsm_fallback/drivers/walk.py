"""What all calls of a chain have in common: whom to ask, by which order, on which clock.

Most calls are answered by the first candidate. Such a call fires two rows of the chain's table,
`offer` and `answer`, and neither has a guard: nothing is decided. So a driver takes these calls
straight and makes no chain for them; `Walk.answered` records the two rows. When anything else
happens, `Walk.chain_at` puts a chain where it would stand by now, by walking it there.
`specs/spec_drivers.py` proves that nobody can tell the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from fsm_fallback.core.chain import CHAIN, Chain, ChainState
from fsm_fallback.core.commands import Command
from fsm_fallback.core.events import AttemptStep, ChainStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.strategies import CallOptions, Strategy
from fsm_fallback.core.trail import Candidate, Skip
from fsm_fallback.drivers.link import Link
from fsm_fallback.errors import ConfigurationError

# One row each, or this module does not import: a second row would mean a decision.
(_OFFER,) = CHAIN.cell(ChainState.SELECTING, "offer")
(_ANSWER,) = CHAIN.cell(ChainState.CALLING, "answer")
_NOTHING: Final[dict[str, float]] = {}
_new = tuple.__new__  # a third of the time of AttemptStep(...), and every call makes one


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
    """

    name: str
    links: tuple[Link, ...]
    strategy: Strategy
    options: CallOptions
    attempt_timeout: float | None
    clock: Callable[[], float]
    sample: Callable[[], float]
    record: Callable[[AttemptStep | ChainStep], None] | None
    calls: Iterator[int]
    straight: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.straight = self.options.deadline is None and self.attempt_timeout is None

    def order(self, now: float) -> tuple[Candidate | Skip, ...]:
        """The candidates of one call.

        Raises:
            ConfigurationError: If the strategy names none.
        """
        candidates = self.strategy.order(self.links, self.options, now, self.sample())
        if not candidates:
            raise ConfigurationError(
                f"{type(self.strategy).__name__}.order of chain {self.name!r} is "
                f"{candidates!r}; give each candidate, or a Skip in its place"
            )
        return candidates

    def chain(
        self, candidates: tuple[Candidate | Skip, ...], now: float, call: int | None = None
    ) -> Chain:
        """A new chain, for a call that begins now."""
        deadline = self.options.deadline
        return Chain(
            self.name,
            next(self.calls) if call is None else call,
            candidates,
            None if deadline is None else now + deadline,
            self.attempt_timeout,
            now,
            self.record,
        )

    def begun(self, candidates: tuple[Candidate | Skip, ...], now: float) -> tuple[Chain, Command]:
        """The chain of a call that begins now, and its first command."""
        chain = self.chain(candidates, now)
        return chain, chain.next(now)

    def chain_at(
        self,
        candidates: tuple[Candidate | Skip, ...],
        now: float,
        call: int,
        granted: Lease | Refusal,
    ) -> tuple[Chain, Command]:
        """The chain of a call that began `now`, after its first candidate's breaker has spoken."""
        chain = self.chain(candidates, now, call)
        return chain, chain.admission(granted, now)

    def answered(
        self,
        candidates: tuple[Candidate | Skip, ...],
        call: int,
        link: Link,
        lease: Lease,
        now: float,
    ) -> None:
        """Record the two rows of a call that the first candidate answered."""
        if self.record is not None:
            step = _new(
                AttemptStep,
                (
                    self.name,
                    call,
                    lease.admitted_at,
                    now,
                    _ANSWER,
                    1,
                    link.name,
                    lease.generation,
                    lease.number,
                    None,
                    _NOTHING,
                    len(candidates),
                ),
            )
            self.record(step)
