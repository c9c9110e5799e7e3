"""One stream on its way to the caller: what both drivers of streams share.

It does what a command asks that needs no waiting, and reports it: asks the breaker, reads what an
item is, holds items back, settles the lease. Items are handed over in order, once, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import FINAL, S
from fsm_fallback.core.commands import Admit, Command, Emit, Open, Pull, Raise
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.trail import StreamReset
from fsm_fallback.drivers.judging import Flaw
from fsm_fallback.drivers.link import Link, Within
from fsm_fallback.drivers.upstream import (
    CLOSING_AT_THE_END,
    CLOSING_SECONDS,
    END,
    log_failed_closing,
)
from fsm_fallback.drivers.walk import Walk, shortest
from fsm_fallback.errors import StreamEmpty, StreamFailed, StreamInterrupted
from fsm_fallback.providers.reading import Reading, size_of


class Delivery:
    """The stream of one call.

    Args:
        walk: What all calls of the chain have in common.
        within: How long it may take at most, beside what the chain says.
        keeps: Whoever must live as long as the stream: the chain, whose log its breakers tell.
    """

    chain: Chain
    now: float
    link: Link
    lease: Lease
    reading: Reading
    asked: Any = None

    def __init__(self, walk: Walk, within: Within, keeps: object) -> None:
        self.walk = walk
        self.within = within
        self.keeps = keeps
        self.held: list[Any] = []
        self.given: list[Any] = []
        self.has_begun = self.has_asked = False

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Command:
        """Begin the call, with these arguments."""
        walk = self.walk
        self.now = now = walk.clock()
        # Until there is output, the call of a chain inside ends with the time it has for that.
        self.chain, command = walk.begun(walk.order(now, args, kwargs), now, within=self.within)
        self.has_begun = True
        ends = shortest(walk.options.deadline, self.within.end)
        self._end_at = None if ends is None else now + ends
        stream = self.chain.rules.stream
        if stream is not None and self.within.idle is not None:
            idle = shortest(stream.idle_timeout, self.within.idle)
            stream = attrs.evolve(stream, idle_timeout=idle)
            self.chain.rules = attrs.evolve(self.chain.rules, stream=stream)
        return command

    def admit(self, command: Admit) -> Command:
        """Ask the candidate's breaker."""
        granted = command.candidate.circuit.admission(self.now)
        return self.chain.admission(granted, self.now)

    def attempt(self, command: Open) -> tuple[Link, Lease]:
        """Begin an attempt; the driver asks, for errors lead back to whoever does."""
        self.link, self.lease = command.candidate, command.lease
        self.has_asked = True
        self.reading = self.link.reader.begin()
        self.held.clear()
        self.asked = None
        return self.link, self.lease

    def limits(self, command: Open) -> Within | None:
        """What a chain inside has to keep."""
        if not self.link.is_chain:
            return None
        end = None if self._end_at is None else max(0.0, self._end_at - self.now)
        stream = self.chain.rules.stream
        idle = None if stream is None else stream.idle_timeout
        return Within(command.timeout, end, idle, self.chain.fair_share)

    def timer(self, command: Open | Pull) -> float | None:
        """Seconds after which the step is cut; a chain keeps its time itself."""
        return None if self.link.is_chain else command.timeout

    def opened(self, flaw: Flaw | None) -> Command:
        """The stream is there, or something that is none."""
        self.now = self.walk.clock()
        return self._in_time(self.chain.opened(self.now)) if flaw is None else self._fail(flaw)

    def arrived(self, item: Any) -> Command:
        """An item came, or the end."""
        self.now = now = self.walk.clock()
        if item is END:
            return self._end(now)
        reading = self.reading
        if self.link.is_chain and isinstance(item, StreamReset):
            return self._begun_anew(item)
        piece = reading.read(item)
        if reading.usage is not None:
            self.chain.usage = reading.usage
        if piece.fault is not None:
            words = f"the stream of {self.link.name!r} said that it failed"
            return self._fail((piece.fault, StreamFailed(words, item)))
        if piece.output and self.lease.duration is None:
            self.link.circuit.begin_output(self.lease)
        self.held.append(item)
        size = size_of(item) if self.chain.state is S.CALLING else 0
        return self._in_time(self._told_item(size, output=piece.output))

    def failed(self, error: Exception, *, is_cut: bool = False) -> Command:
        """The stream raised; one that had given its terminal item was whole.

        `is_cut`: its timer had rung, and it made an error of that.
        """
        self.now = self.walk.clock()
        if self.is_whole:
            log_failed_closing(self.link.name, error)
            return self._end(self.now)
        self._tell()
        if is_cut:
            return self.link.take_time_out(self.chain, self.lease, self.now, error)
        midway = self.reading.has_begun
        return self.link.take_error(self.chain, self.lease, error, self.now, midway=midway)

    def timed_out(self) -> Command:
        """The timer rang; as `failed`."""
        self.now = self.walk.clock()
        if self.is_whole:
            return self._end(self.now)
        self._tell()
        return self.link.take_time_out(self.chain, self.lease, self.now)

    def again(self) -> Command:
        """What is due now: to close a stream has taken time."""
        self.now = self.walk.clock()
        return self.chain.next(self.now)

    def closing_seconds(self) -> float:
        """How long a stream may take to be closed; not beyond the end of the call."""
        if not self.has_begun or self.chain.deadline is None:
            return CLOSING_SECONDS
        left = self.chain.deadline - self.walk.clock()
        return min(CLOSING_SECONDS, max(CLOSING_AT_THE_END, left))

    def waited(self) -> Command:
        """A wait is over."""
        self.now = self.walk.clock()
        return self.chain.elapse(self.now)

    def handed(self, command: Command) -> Iterator[Any]:
        """What is handed over now."""
        if isinstance(command, Emit) and command.reset is not None:
            self.given.clear()
            yield command.reset
        held, self.held = self.held, []
        for item in held:
            if isinstance(item, StreamReset):  # of a chain inside
                self.given.clear()
            else:
                self.given.append(item)
            yield item

    def next(self) -> Command:
        """What was held back has been handed over.

        The stream is quiet from now on: what the consumer took speaks against nobody.
        """
        self.now = self.walk.clock()
        self.chain.consumed(self.now)
        return self._in_time(self.chain.next(self.now))

    def error(self, command: Raise) -> Exception:
        """The error of the call, with what had arrived."""
        if isinstance(command.error, StreamInterrupted):
            command.error.partial = tuple(self.given)
        return command.error

    def leave(self) -> None:
        """End the call where it stands, unless it is over."""
        if self.has_begun and self.chain.state not in FINAL:
            self.now = self.walk.clock()
            if self.chain.state in (S.CALLING, S.STREAMING):
                self._tell()
                self.link.abandon(self.chain, self.lease, self.now)
            else:
                self.chain.abandon(self.now)
        self.asked = None

    def __del__(self) -> None:
        # Of a generator that nobody closed: its event loop is gone. The lease sees to itself.
        if self.has_begun and self.chain.budgeted:
            self.chain.lose()

    @property
    def is_whole(self) -> bool:
        """Whether nothing of its attempt is missing, though its end has not been seen."""
        if not self.has_asked or self.chain.output_at is None:
            return False
        if self.link.is_chain:
            return self.asked is not None and self.asked.has_ended
        return self.reading.has_ended

    def _told_item(self, size: int, *, output: bool) -> Command:
        chain = self.chain
        command = chain.item(self.now, size, output=output)
        if chain.state is S.STREAMING:
            chain.deadline = self._end_at
        return command

    def _begun_anew(self, reset: StreamReset) -> Command:
        """The stream of a chain inside begins anew: nothing of what it gave is of worth."""
        if self.chain.state is S.CALLING:
            self.held.clear()
            return self._in_time(self.chain.next(self.now))
        if self.walk.rules.stream is not None and self.walk.rules.stream.policy == "restart":
            self.held.append(reset)
            return self._in_time(self._told_item(0, output=False))
        words = f"the stream of {self.link.name!r} began anew after output had been handed over"
        self._tell()
        return self._fail((Fault(FaultKind.STREAM, message=words), StreamFailed(words, reset)))

    def _in_time(self, command: Command) -> Command:
        """A command; where no time is left to pull, what it means that time is over.

        A timer rings while something is awaited, and an item that is there awaits nothing.
        """
        is_over = isinstance(command, Pull) and command.timeout == 0
        return self.timed_out() if is_over else command

    def _end(self, now: float) -> Command:
        self._tell()
        flaw = self.chain.flaw_of_end(complete=self.reading.is_complete)
        if flaw is not None and self.reading.is_filtered and self.chain.output_at is None:
            words = f"the stream of {self.link.name!r} was filtered before any output"
            flaw = Fault(FaultKind.CONTENT, message=words), StreamEmpty(words)
        if flaw is not None:
            return self._fail(flaw)
        self.link.circuit.settle_success(self.lease, now)
        return self.chain.finish(now)

    def _fail(self, flaw: Flaw) -> Command:
        return self.link.take_fault(self.chain, self.lease, *flaw, self.now)

    def _tell(self) -> None:
        self.link.tell(self.chain, self.asked)
