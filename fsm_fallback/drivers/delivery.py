"""One stream on its way to the caller: what both drivers of streams share.

It does what a command asks that needs no waiting, and reports it: asks the breaker, reads what an
item is, holds items back, settles the lease. Items are handed over in order, once, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import FINAL, S
from fsm_fallback.core.commands import Admit, Command, Emit, Open, Pull, Raise
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.drivers.judging import Flaw
from fsm_fallback.drivers.link import Link
from fsm_fallback.drivers.nested import ChainLink
from fsm_fallback.drivers.upstream import END
from fsm_fallback.drivers.walk import Walk
from fsm_fallback.errors import StreamEmpty, StreamFailed, StreamInterrupted
from fsm_fallback.providers.reading import Reading, size_of


class Delivery:
    """The stream of one call.

    Args:
        walk: What all calls of the chain have in common.
        within: Seconds it may take at most; None for what the chain says.
    """

    chain: Chain
    now: float
    link: Link
    lease: Lease
    reading: Reading
    asked: Any = None

    def __init__(self, walk: Walk, within: float | None = None) -> None:
        self.walk = walk
        self.within = within
        self.held: list[Any] = []
        self.given: list[Any] = []
        self.has_begun = False

    def begin(self) -> Command:
        """Begin the call."""
        walk = self.walk
        self.now = now = walk.clock()
        self.chain, command = walk.begun(walk.order(now), now, within=self.within)
        self.has_begun = True
        return command

    def admit(self, command: Admit) -> Command:
        """Ask the candidate's breaker."""
        granted = command.candidate.circuit.admission(self.now)
        return self.chain.admission(granted, self.now)

    def attempt(self, command: Open) -> tuple[Link, Lease]:
        """Begin an attempt; the driver asks, for errors lead back to whoever does."""
        self.link, self.lease = command.candidate, command.lease
        self.reading = self.link.reader.begin()
        self.held.clear()
        self.asked = None
        return self.link, self.lease

    def time_for(self, command: Open) -> float | None:
        """Seconds a candidate is told it has; a chain, which keeps them to its end, all there are.

        What limits the attempt to its first output would cut the stream of a chain inside.
        """
        if not isinstance(command.candidate, ChainLink):
            return command.timeout
        deadline = self.chain.deadline
        return None if deadline is None else max(0.0, deadline - self.now)

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
        return self._in_time(self.chain.item(now, size, output=piece.output))

    def failed(self, error: Exception) -> Command:
        """The stream raised."""
        self.now = self.walk.clock()
        self._tell()
        midway = self.reading.has_begun
        return self.link.take_error(self.chain, self.lease, error, self.now, midway=midway)

    def timed_out(self) -> Command:
        """The timer rang."""
        self.now = self.walk.clock()
        self._tell()
        return self.link.take_time_out(self.chain, self.lease, self.now)

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
            self.given.append(item)
            yield item

    def next(self) -> Command:
        """What was held back has been handed over.

        The stream is quiet from now on: what the consumer took speaks against nobody.
        """
        self.now = self.chain.spoke_at = self.walk.clock()
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
