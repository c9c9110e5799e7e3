"""The walk along a chain of providers: one `Chain` per call, driven by commands.

Rules
-----
1. Everything that decides is a row of `CHAIN`. A driver does what `next` asks and reports what came
   of it; a report that the table does not know in this state raises `MachineError`: the driver has
   a bug, and hears of it.
2. A candidate is called only on a lease from its breaker, and each at most once per walk, retries
   aside. There is no way to call an open breaker.
3. Every attempt and every skip is in the trail, in order, with the original exception object.
4. One final state, and nothing is called after it.
5. Nothing of a stream is handed over before its first output, or the bound of what is held back;
   after it, nothing is taken back.

Pure: `now` and samples are arguments. It knows nothing of requests, answers, threads or event
loops; of the items of a stream it knows that they came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from fsm_fallback.core.chain_measures import ChainMeasures
from fsm_fallback.core.chain_model import NOTHING
from fsm_fallback.core.chain_rows import CHAIN, ChainState, S
from fsm_fallback.core.commands import Admit, Call, Command, Emit, Open, Pull, Raise, Return, Wait
from fsm_fallback.core.compiled import CompiledEvent
from fsm_fallback.core.events import AttemptStep, ChainStep, Facts, StreamStep
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.rules import PLAIN, Rules
from fsm_fallback.core.table import Row, Table, TableMachine, machine_of
from fsm_fallback.core.trail import Candidate, Skip, StreamReset
from fsm_fallback.errors import StreamEmpty, StreamTruncated

POLL: Final = 0.5
"""Seconds after which a breaker that is probing is asked again; it names no time itself."""

_RETURN: Final = Return()
_EMIT: Final = Emit()
_TIMEOUT: Final = FaultKind.TIMEOUT
_new = tuple.__new__

_EXHAUSTED: Final[Facts] = {"waits": False, "handed_over": False}

ChainEvent = AttemptStep | StreamStep | ChainStep


class Chain(ChainMeasures):
    """One call on its way: a model of the machine `CHAIN`.

    Every report answers the next command.

    Args:
        name: The chain's name in records.
        call: The call's number in that chain.
        candidates: Whom to ask, in order; a `Skip` stands for one the strategy ruled out.
        deadline: When the call ends, in the clock's seconds; None for never.
        attempt_timeout: Seconds one attempt may take; None for no limit. With a deadline, the last
            candidate gets what is left of it.
        started_at: The clock's seconds at the beginning.
        record: Gets a record of every firing, in order.
        rules: What all calls of the chain decide by.
    """

    table: ClassVar[Table] = CHAIN
    machine: ClassVar[TableMachine]

    told: int = 0  # records so far
    watch: Callable[[Chain, Row], None] | None = None  # is told each row that fired, offers aside

    def __init__(
        self,
        name: str,
        call: int,
        candidates: tuple[Candidate | Skip, ...],
        deadline: float | None = None,
        attempt_timeout: float | None = None,
        started_at: float = 0.0,
        record: Callable[[ChainEvent], None] | None = None,
        rules: Rules = PLAIN,
    ) -> None:
        self.name = name
        self.call = call
        self.candidates = candidates
        self.deadline = deadline
        self.attempt_timeout = attempt_timeout
        self.started_at = started_at
        self.record = record
        if rules is not PLAIN:
            self.rules = rules

    def most_for_judging(self, now: float) -> float | None:
        """Seconds it may take to judge an answer: as long as an attempt, within the deadline."""
        if self.deadline is None:
            return self.attempt_timeout
        left = max(0.0, self.deadline - now)
        return left if self.attempt_timeout is None else min(left, self.attempt_timeout)

    @property
    def fair_share(self) -> float | None:
        """A fair time for an attempt inside of one of this chain; None where nothing limits it."""
        attempt = self.attempt_timeout
        if self.rules.stream is not None:
            attempt = self.rules.stream.first_output_timeout or attempt
        halves = [] if attempt is None else [attempt / 2]
        if self.fair is not None:
            halves.append(self.fair)
        elif self.deadline is not None:
            halves.append((self.deadline - self.started_at) / 2)
        return min(halves, default=None)

    def next(self, now: float) -> Command:
        """What the driver has to do now."""
        self.now = now
        return _COMMANDS[self.state](self)

    # Reports --------------------------------------------------------------------------------

    def offered(self, lease: Lease, now: float) -> None:
        """The candidate's breaker granted a lease, and the driver has called the candidate."""
        self.now = now
        self.lease = lease
        self._offer()

    def admission(self, granted: Lease | Refusal, now: float) -> Command:
        """What the candidate's breaker said: an offer, or a skip."""
        self.now = now
        if isinstance(granted, Refusal):
            name = self.candidate.name
            self._skip = (name, granted)
            self.facts = {"until": granted.until}
            if granted.breaker is not None:
                self.facts = {"until": granted.until, "breaker": granted.breaker}
            self._fire(SKIP, name, granted.cause, granted.state)
            if self.budgeted:
                self._give_back()
            return self._select()
        self.lease = granted
        self._offer()
        return self._call()

    def answer(self, now: float) -> Command:
        """The candidate answered."""
        self.now = now
        self.facts = NOTHING
        if self._fault is not None:
            self._fault = self._error = None
        self._end_attempt(ANSWER)
        if self.budgeted:
            self._give_back()
        return _RETURN

    def opened(self, now: float) -> Command:
        """The candidate's stream is there."""
        self.now = now
        self.is_open = True
        return self._pull()

    def item(self, now: float, size: int, *, output: bool) -> Command:
        """An item of the stream came. `size`: its bytes; `output`: whether it carries output."""
        self.now = now
        if self.deadline is None or now < self.deadline:  # after it, nobody waited for it any more
            self.spoke_at = now
        if output and self.output_at is None:
            self.output_at = now
        if self.state is S.STREAMING:
            return _EMIT
        self.held += 1
        self.held_bytes += size
        config = self._stream
        if config.policy == "buffer":
            return self._pull()
        full = self.held >= config.buffer_items or self.held_bytes >= config.buffer_bytes
        if not output and not full:
            return self._pull()
        before = self.seen_of
        self._forget_fault()
        self.facts = {"output": output, "held": self.held, "held_bytes": self.held_bytes}
        self._end_attempt(COMMIT)
        return _EMIT if before is None else Emit(self._reset(before))

    def consumed(self, now: float) -> None:
        """The consumer has taken what was handed over; from now on the stream is quiet."""
        if self.output_at is None:
            self.taken += max(0.0, now - self.now)
        self.spoke_at = now

    def flaw_of_end(self, *, complete: bool) -> tuple[Fault, Exception] | None:
        """What is wrong with a stream that has ended; None where nothing is.

        `complete`: whether it gave its terminal event, or its provider has none.
        """
        name = self.candidate.name
        if not complete:
            words = (
                f"the stream of {name!r} ended without its terminal event; a provider that passes "
                "on part of them needs terminal=None"
            )
            return Fault(FaultKind.STREAM, message=words), StreamTruncated(words)
        if self.output_at is None:
            words = f"the stream of {name!r} ended without any output"
            return Fault(FaultKind.BAD_RESPONSE, message=words), StreamEmpty(words)
        return None

    def finish(self, now: float) -> Command:
        """The stream ended as it should; one that was held back whole is an answer."""
        if self.state is not S.STREAMING:
            return self.answer(now)
        self.now = now
        self.facts = NOTHING
        self._forget_fault()
        self._end_attempt(FINISH)
        if self.budgeted:
            self._give_back()
        return _RETURN

    def weighed(self, fault: Fault, now: float) -> Fault:
        """What to settle the lease with, for a fault that comes now.

        A time-out at the deadline is the end of the call; it speaks against the provider only if
        the attempt had its fair time: the attempt time-out, or half of the deadline; of a stream
        that has spoken, its idle time-out, or half of the deadline, since it spoke last.
        """
        if self.deadline is None or fault.kind is not _TIMEOUT or now < self.deadline:
            return fault
        had, fair = self._fairness(now)
        return Fault(FaultKind.CANCELLED, message=fault.message) if had < fair else fault

    def fault(self, fault: Fault, error: Exception, now: float) -> tuple[Fault, Command]:
        """The candidate failed.

        Its lease has been settled with `weighed`, so that what is read of the breakers is how they
        stand by now; a chain that tries again asks its candidates for that (`opens_at`).

        Returns the fault as `weighed`, and the next command.
        """
        self.now = now
        self._error = error
        if self.deadline is not None and fault.kind is _TIMEOUT and now >= self.deadline:
            self._fault = weighed = self.weighed(fault, now)
            had, fair = self._fairness(now)
            handed_over = self.seen_of is not None
            self.facts = {
                "now": now,
                "deadline": self.deadline,
                "had": had,
                "fair": fair,
                "handed_over": handed_over,
            }
            if self.budgeted:
                self._give_back()
            self._end_attempt(EXPIRE)
            return weighed, self.next(now)
        self._fault = fault
        if self.budgeted:
            self._give_back()
        if self.state is S.STREAMING:
            self.facts = {**self._facts_of(fault), "policy": self._stream.policy}
            self._end_attempt(CUT)
        else:
            self.facts = self._facts_of(fault)
            self._end_attempt(FAULT)
        return fault, self.next(now)

    def lateness(self, now: float) -> tuple[Fault, Exception]:
        """What it means that the timer of the attempt, or of its stream, rang."""
        since = max(0.0, now - self._quiet_since)
        what = "did not answer" if self.output_at is None else "gave nothing more"
        words = f"{self.candidate.name!r} {what} within {since:.3g} s ({self._limit_rung(now)})"
        return Fault(_TIMEOUT, message=words), TimeoutError(words)

    def time_out(self, now: float) -> tuple[Fault, Command]:
        """The timer rang; as `fault`, with a `TimeoutError` for the trail."""
        return self.fault(*self.lateness(now), now)

    def elapse(self, now: float) -> Command:
        """The wait is over."""
        self.now = now
        if self.deadline is not None and now >= self.deadline:
            return self._expire()
        self.facts = {"now": now, "wake_at": self.wake_at}
        self._fire(ELAPSE)
        return self._select()

    def abandon(self, now: float) -> None:
        """The caller left."""
        self.now = now
        self._forget_fault()
        self.facts = NOTHING
        if self.state is S.CALLING or self.state is S.STREAMING:
            self._end_attempt(ABANDON)
        else:
            self._fire(ABANDON)
        if self.budgeted:
            self._give_back()

    def lose(self) -> None:
        """The caller is gone without a word, and cannot be told anything: a place goes back."""
        if self.budgeted:
            self._give_back()

    # Mechanism ------------------------------------------------------------------------------

    def _select(self) -> Command:
        for candidate in self.candidates[self.position :]:
            if self.deadline is not None and self.now >= self.deadline:
                return self._expire()
            if isinstance(candidate, Skip):
                self._note(candidate)
            elif self.needs_larger_than is not None and not self.fits(candidate):
                self._note(Skip(candidate.name, "context_window"))
            else:
                return Admit(candidate)
        self.facts = _EXHAUSTED
        if self.rules.waits:
            self.facts = {"waits": True, "reopens": self.reopens(POLL), "deadline": self._end}
        if self.rules.waits or self.seen_of is not None:
            self.facts = {**self.facts, "handed_over": self.seen_of is not None}
        self._fire(EXHAUST)
        return self.next(self.now)

    def _expire(self) -> Command:
        handed_over = self.seen_of is not None
        self.facts = {"now": self.now, "deadline": self.deadline, "handed_over": handed_over}
        self._fire(EXPIRE)
        return self._fail()

    def _call(self) -> Command:
        lease = self.lease
        if lease is None:
            raise TypeError("a chain in CALLING has no lease")
        candidate = self.candidates[self.position]
        if self.rules.stream is not None:
            self.is_open = False
            self.held = self.held_bytes = 0
            self.output_at = None
            self.taken = 0.0
            return Open(candidate, lease, self._time_to_output())
        timeout = self.attempt_timeout
        if self.deadline is not None:
            left = max(0.0, self.deadline - self.now)
            timeout = left if self._is_last or timeout is None else min(timeout, left)
        return Call(candidate, lease, timeout)

    def _pull(self) -> Command:
        idle = self._stream.idle_timeout
        if self.output_at is None:
            timeout = self._time_to_output()
        elif self.deadline is None:
            timeout = idle
        else:
            left = max(0.0, self.deadline - self.now)
            timeout = left if idle is None else min(idle, left)
        return Pull(self.candidates[self.position], self.lease, timeout)  # type: ignore[arg-type]

    def _resume(self) -> Command:
        return self._pull() if self.is_open else self._call()

    def _wait(self) -> Command:
        return Wait(max(0.0, self.wake_at - self.now))

    def _return(self) -> Command:
        return _RETURN

    def _fail(self) -> Command:
        if self.budgeted:
            self._give_back()
        # Handed over, not kept: the error's traceback leads to frames that hold this chain.
        error, self.error = self.error, None
        if error is None:
            raise TypeError(f"a chain in {self.state.value!r} has raised its error before")
        return Raise(error)

    def _leave(self) -> Command:
        raise TypeError("the caller left; an abandoned chain asks for nothing")

    def _give_back(self) -> None:
        self.budgeted = False
        self.rules.budget.give_back()

    def _reset(self, before: str) -> StreamReset:
        """What tells the caller that another stream begins."""
        return StreamReset(self.candidate.name, before, self.latest_of(before)[2])

    # Firing ---------------------------------------------------------------------------------

    def _forget_fault(self) -> None:
        self._fault = self._error = None

    def _offer(self) -> None:
        OFFER.fire(self)  # told with the end of the attempt

    def _note(self, skip: Skip) -> None:
        self._skip = skip
        self.facts = {"until": skip.until}
        self._fire(SKIP, skip.provider, skip.cause, skip.reason)

    def _end_attempt(self, event: CompiledEvent) -> None:
        record, watch = self.record, self.watch
        if record is None:
            unrecorded: Row = event.fire(self).row
            if watch is not None:
                watch(self, unrecorded)
            return
        candidate: Any = self.candidates[self.position]
        lease: Any = self.lease
        if self.state is S.STREAMING:
            row: Row = event.fire(self).row
            of = (self.name, self.call, self.now, row, self.attempts, candidate.name)
            left = len(self.candidates) - self.position
            came = (lease.generation, lease.number, self._fault, self.facts, left, self.told)
            self.told += 1
            record(StreamStep(*of, *came))
            if watch is not None:
                watch(self, row)
            return
        row = event.fire(self).row
        # Ten times as fast as AttemptStep(...), and every call makes one.
        step = _new(
            AttemptStep,
            (
                self.name,
                self.call,
                lease.admitted_at,
                self.now,
                row,
                self.attempts,
                candidate.name,
                lease.generation,
                lease.number,
                self._fault,
                self.facts,
                len(self.candidates) - self.position,
                self.told,
            ),
        )
        self.told += 2
        record(step)
        if watch is not None:
            watch(self, row)

    def _fire(
        self,
        event: CompiledEvent,
        provider: str | None = None,
        fault: Fault | None = None,
        reason: str | None = None,
    ) -> None:
        row: Row = event.fire(self).row
        if self.record is not None:
            left = len(self.candidates) - self.position
            what = (self.now, row, provider, fault, reason, self.facts, left, self.told)
            self.told += 1
            self.record(_new(ChainStep, (self.name, self.call, *what)))
        if self.watch is not None:
            self.watch(self, row)


# ruff: noqa: SLF001  # the table of commands names private methods
_COMMANDS: Final[Mapping[ChainState, Callable[[Chain], Command]]] = {
    S.SELECTING: Chain._select,
    S.CALLING: Chain._resume,
    S.STREAMING: Chain._pull,
    S.WAITING: Chain._wait,
    S.SUCCEEDED: Chain._return,
    S.FAILED: Chain._fail,
    S.REJECTED: Chain._fail,
    S.INTERRUPTED: Chain._fail,
    S.ABANDONED: Chain._leave,
}

MACHINE: Final = machine_of(CHAIN, Chain)
Chain.machine = MACHINE
OFFER: Final = MACHINE.events["offer"]
SKIP: Final = MACHINE.events["skip"]
EXHAUST: Final = MACHINE.events["exhaust"]
ANSWER: Final = MACHINE.events["answer"]
FAULT: Final = MACHINE.events["fault"]
COMMIT: Final = MACHINE.events["commit"]
FINISH: Final = MACHINE.events["finish"]
CUT: Final = MACHINE.events["cut"]
ELAPSE: Final = MACHINE.events["elapse"]
EXPIRE: Final = MACHINE.events["expire"]
ABANDON: Final = MACHINE.events["abandon"]
