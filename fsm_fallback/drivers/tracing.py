"""Calls that are traced: a span for each, and one for each attempt, current while that is made.

A chain that is traced walks every call, and each walks past links of its own that begin the span of
an attempt where the provider is asked. What ends it is the row that ends the attempt. Where no
chain is traced, nothing of this is imported.

A tracer is foreign code: one that raises is logged, and costs what its spans tell, never a call.
What was begun is ended all the same, and what was current before is so again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_model import passed_over
from fsm_fallback.core.chain_rows import FINAL, S
from fsm_fallback.core.events import AttemptStep, StreamStep, Traced
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.table import Row
from fsm_fallback.core.trail import Skip
from fsm_fallback.drivers.link import Link, Way, Within
from fsm_fallback.providers.classifying import log_fault_of_user
from fsm_fallback.telemetry.spans import Spans, context

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from fsm_fallback.drivers.aupstream import AsyncUpstream
    from fsm_fallback.drivers.judging import Flaw
    from fsm_fallback.drivers.upstream import Upstream

_CALLED: Final = frozenset({S.CALLING, S.STREAMING})
_ENDS: Final = frozenset({"answer", "fault", "finish", "cut", "expire", "abandon"})


def tracing(spans: Spans, way: Way) -> Callable[[Chain], None]:
    """What traces a chain, called in this way, from its beginning."""
    return functools.partial(_begin, spans, AwaitedLink if way == "acall" else TracedLink)


def _begin(spans: Spans, kind: type[TracedLink], chain: Chain) -> None:
    call = CallSpans(spans, chain)
    candidates: Any = tuple(
        each if isinstance(each, Skip) else kind(each, call) for each in chain.candidates
    )
    chain.candidates = candidates


class CallSpans:
    """The spans of one call. It does not know the chain: errors lead back to it, and it to errors.

    Args:
        spans: Makes them.
        chain: The call, which tells it of every row.
    """

    __slots__ = ("_append", "_attempt", "_call", "_chain_name", "_number", "_spans", "_watch")

    def __init__(self, spans: Spans, chain: Chain) -> None:
        self._spans = spans
        self._attempt: Span | None = None
        self._number = 0
        self._chain_name = chain.name
        self._watch, self._append = chain.watch, chain.record
        self._call: Span | None = self._made(spans.begin_call, chain.name, chain.call)
        chain.watch = self.take
        if self._append is not None:
            chain.record = self.record

    # What the chain tells -------------------------------------------------------------------

    def record(self, step: Any) -> None:
        """Hand on what is recorded, with the ids of the span that was open then."""
        append: Any = self._append
        attempt = self._attempt if isinstance(step, (AttemptStep, StreamStep)) else None
        span = self._call if attempt is None else attempt
        ids = None if span is None else self._made(self._spans.ids, span)
        append(step if ids is None else Traced(step, *ids))

    def take(self, chain: Chain, row: Row) -> None:
        """Take a row of the call."""
        if self._watch is not None:
            self._watch(chain, row)
        self._number = chain.attempts
        if row.trigger == "skip" and self._call is not None:
            self._made(self._spans.tell_skip, self._call, *passed_over(chain.notes[-1]))
        elif row.source in _CALLED and row.trigger in _ENDS:
            self._end_attempt(chain, row)
        if row.target in FINAL and self._call is not None:
            answered = chain.candidate.name if row.target is S.SUCCEEDED else chain.seen_of
            outcome: str = row.target.value
            self._end(self._spans.end_call, self._call, outcome, answered, chain.attempts)

    def _end_attempt(self, chain: Chain, row: Row) -> None:
        span, self._attempt = self._attempt, None
        if span is None:
            return
        outcome, fault, usage = "abandoned", None, chain.usage
        if row.target is S.SUCCEEDED:
            outcome = "success"
        elif row.target is not S.ABANDONED:
            note: Any = chain.notes[-1]
            outcome, fault, usage = note[2].outcome.value, note[2].kind.value, note[7]
        self._end(self._spans.end_attempt, span, outcome, fault, usage)

    # What the links tell --------------------------------------------------------------------

    @property
    def wants_usage(self) -> bool:
        """Whether the tokens of answers are told."""
        return self._spans.genai

    def begin_attempt(self, link: Link) -> Span | None:
        """Begin the span of an attempt: its provider is asked next."""
        if self._call is not None:
            of = (self._chain_name, link.name, self._number + 1, link.info.model)
            self._attempt = self._made(self._spans.begin_attempt, self._call, *of)
        return self._attempt

    @property
    def attempt(self) -> Span | None:
        """The span of the attempt that is out."""
        return self._attempt

    @contextmanager
    def inside(self, span: Span | None) -> Iterator[None]:
        """A block in which a span is the current one, whatever becomes of the block."""
        token = None if span is None else self._made(self._spans.attach, span)
        try:
            yield
        finally:
            if token is not None and not self._does(self._spans.detach, span, token):
                self._made(context().detach, token)

    def _end(self, end: Callable[..., None], span: Span, *told: Any) -> None:
        if not self._does(end, span, *told) and self._made(span.is_recording):
            self._made(span.end)

    def _does(self, act: Callable[..., None], *args: Any) -> bool:
        """Whether an act of the tracer came to its end."""

        def done() -> bool:
            act(*args)
            return True

        return self._made(done) is not None

    def _made(self, make: Callable[..., Any], *args: Any) -> Any:
        try:
            return make(*args)
        except Exception as error:  # noqa: BLE001  # foreign code, and no call's business
            log_fault_of_user("the tracer of chain %r raised %s", self._chain_name, error)
            return None


class TracedLink:
    """A link in one call, whose attempts have spans; all else is the link's own.

    Args:
        link: The link.
        call: The spans of the call.
    """

    __slots__ = ("_call", "_link")

    def __init__(self, link: Any, call: CallSpans) -> None:
        self._link = link
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    @property
    def is_priced(self) -> bool:
        """Whether the tokens of its answers are read."""
        return bool(self._link.is_priced) or self._call.wants_usage

    def ask(
        self,
        lease: Lease,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        within: Within | None = None,
    ) -> Any:
        """As the link, inside a span."""
        with self._call.inside(self._call.begin_attempt(self._link)):
            return self._link.ask(lease, args, kwargs, timeout, within)

    def upstream(self) -> TracedUpstream:
        """As the link, each step inside the span."""
        return TracedUpstream(self._link.upstream(), self._call)

    def aupstream(self, lease: Lease) -> TracedAsyncUpstream:
        """As the link, each step inside the span."""
        return TracedAsyncUpstream(self._link.aupstream(lease), self._call)


class AwaitedLink(TracedLink):
    """As above, of answers that are awaited."""

    __slots__ = ()

    def ask(
        self,
        lease: Lease,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        within: Within | None = None,
    ) -> Any:
        """As the link, awaited inside a span."""
        return self._asked(lease, args, kwargs, timeout, within)

    async def _asked(self, *asked: Any) -> Any:
        with self._call.inside(self._call.begin_attempt(self._link)):
            return await self._link.ask(*asked)


class TracedUpstream:
    """A stream, each step of it inside the span of its attempt; never what its consumer does."""

    __slots__ = ("_call", "_span", "_upstream")

    def __init__(self, upstream: Upstream, call: CallSpans) -> None:
        self._upstream = upstream
        self._call = call
        self._span: Span | None = None

    def open(self, source: Any) -> Flaw | None:
        """As the stream."""
        self._span = self._call.attempt
        with self._call.inside(self._span):
            return self._upstream.open(source)

    def pull(self) -> Any:
        """As the stream."""
        with self._call.inside(self._span):
            return self._upstream.pull()

    def close(self) -> bool:
        """As the stream."""
        with self._call.inside(self._span):
            return self._upstream.close()


class TracedAsyncUpstream:
    """As above, of a stream that is awaited."""

    __slots__ = ("_call", "_span", "_upstream")

    def __init__(self, upstream: AsyncUpstream, call: CallSpans) -> None:
        self._upstream = upstream
        self._call = call
        self._span: Span | None = None

    async def open(self, asked: Any) -> Flaw | None:
        """As the stream."""
        self._span = self._call.attempt
        with self._call.inside(self._span):
            return await self._upstream.open(asked)

    async def pull(self) -> Any:
        """As the stream."""
        with self._call.inside(self._span):
            return await self._upstream.pull()

    async def close(self, *within: float) -> bool:
        """As the stream."""
        with self._call.inside(self._span):
            return await self._upstream.close(*within)
