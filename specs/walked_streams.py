"""What a caller sees of a stream: a model of items by numbers, that shares nothing with the core.

Beside the candidates and the rules that `spec_chain` draws from.
"""

from __future__ import annotations

from typing import Final

import attrs
from hypothesis import strategies as st

from fsm_fallback import Fault, ModelInfo, RetryConfig, StreamConfig, StreamReset
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.commands import Emit

BUFFER_ITEMS: Final = 3
BUFFER_BYTES: Final = 5

RETRIES: Final = st.sampled_from(
    [
        RetryConfig(),
        RetryConfig(attempts=2, backoff=1.0, jitter="none"),
        RetryConfig(attempts=3, backoff=2.0, long_wait=2.0, bad_responses=True),
    ]
)
SAMPLES: Final = st.sampled_from([lambda: 0.0, lambda: 0.5, lambda: 0.99])


def _streams(*policies: str) -> st.SearchStrategy[StreamConfig]:
    return st.builds(
        StreamConfig,
        policy=st.sampled_from(policies),
        first_output_timeout=st.sampled_from([None, 3.0]),
        idle_timeout=st.sampled_from([None, 1.0]),
        buffer_items=st.just(BUFFER_ITEMS),
        buffer_bytes=st.just(BUFFER_BYTES),
    )


SHOWN: Final = _streams("restart", "restart", "raise")
STREAMS: Final = st.one_of(st.none(), _streams("restart", "raise", "buffer"))


@attrs.frozen(eq=False)
class Candidate:
    """A name, a window, and a breaker."""

    name: str
    context_window: int | None
    breaker: Breaker
    info: ModelInfo = attrs.field(factory=ModelInfo, repr=False, eq=False)

    def opens_at(self, now: float) -> float:
        """When its breaker may admit."""
        return self.breaker.opens_at(now)


@attrs.define
class Places:
    """A budget of so many places for all calls together."""

    most: int
    out: int = 0


@attrs.define
class Place:
    """The places of one call."""

    budget: Places
    out: int = 0

    def take(self, call: int) -> bool:  # noqa: ARG002  # the protocol's
        """A place, if there is one."""
        if self.budget.out >= self.budget.most:
            return False
        self.budget.out += 1
        self.out += 1
        return True

    def give_back(self) -> None:
        """One place less is taken."""
        self.budget.out -= 1
        self.out -= 1


@attrs.define(eq=False)
class Seen:
    """The items of one call: what came, what is held back, what the caller has.

    Each item is a number that no other has.
    """

    config: StreamConfig | None
    came: list[int] = attrs.field(factory=list)  # of the attempt that is out
    held: list[tuple[int, int]] = attrs.field(factory=list)  # number and size
    given: list[int] = attrs.field(factory=list)
    since: int = 0  # where in `given` the stream begins that counts
    output: bool = False  # whether the attempt gave any
    shows: bool = False  # whether the attempt has been handed over
    of: str | None = None  # whose stream the caller has seen last
    broke: Fault | None = None

    def begin(self) -> None:
        """An attempt begins."""
        self.came, self.held = [], []
        self.output = self.shows = False

    def wants(self, *, output: bool) -> bool:
        """Whether all that is held back has to be handed over, the latest item included."""
        if self.config is None or self.config.policy == "buffer":
            return False
        full = len(self.held) >= BUFFER_ITEMS or sum(size for _, size in self.held) >= BUFFER_BYTES
        return self.shows or output or full

    def hold(self, number: int, size: int, *, output: bool) -> None:
        """An item came."""
        self.came.append(number)
        self.held.append((number, size))
        self.output = self.output or output

    def take(self, emit: Emit, provider: str) -> None:
        """What is held back is handed over."""
        anew = self.of is not None and not self.shows
        assert emit.reset == (StreamReset(provider, self.of or "", self.broke) if anew else None)
        if anew:
            self.since = len(self.given)
        self.shows, self.of = True, provider
        self.finish()

    def finish(self) -> None:
        """All that came of the attempt is the caller's: in order, nothing twice, nothing lost."""
        self.given += [number for number, _ in self.held]
        self.held = []
        assert self.given[self.since :] == self.came
        assert len({*self.given}) == len(self.given)

    def fail(self, fault: Fault) -> None:
        """The attempt failed: what is held back of it is nobody's."""
        if self.shows:
            self.broke = fault
        self.begin()

    def is_bounded(self) -> bool:
        """Whether no more is held back than may be."""
        if self.config is None or self.config.policy == "buffer":
            return True
        within = sum(size for _, size in self.held) < BUFFER_BYTES
        return len(self.held) < BUFFER_ITEMS and within and not (self.output and self.held)
