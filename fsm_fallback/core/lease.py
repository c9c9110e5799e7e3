"""The lease: leave to make one call, settled once.

A lease does not know how to settle itself. In the pure core it is settled on its breaker, with
`now`; in `fsm_fallback.circuit` through its owner, which has a lock and a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from fsm_fallback.core.outcome import Fault

if TYPE_CHECKING:
    from fsm_fallback.core.breaker_model import BreakerModel


class LeaseOwner(Protocol):
    """What settles a lease for its holder: only the owner has a lock and a clock."""

    def settle_success(self, lease: Lease, *, duration: float | None = None) -> None:
        """Book a success."""

    def settle_failure(
        self, lease: Lease, fault: Fault | None = None, *, duration: float | None = None
    ) -> None:
        """Book a failure."""

    def settle_release(self, lease: Lease) -> None:
        """Take the lease back without evidence."""

    def settle_hold(self, lease: Lease, seconds: float, fault: Fault | None = None) -> None:
        """Open for a time the provider named."""

    def settle_fault(self, lease: Lease, fault: Fault) -> None:
        """Settle as the fault table says."""

    def begin_output(self, lease: Lease) -> None:
        """Note the first output of a stream."""

    def lose(self, lease: Lease) -> None:
        """Note, without locking or firing, that a lease was dropped unsettled."""


class Lease:
    """Leave to make one call. Settle it once; a second settling is recorded and does nothing.

    Attributes:
        breaker: The breaker that granted it; on no other can it be settled.
        generation: The breaker's generation that granted it; in a later one its outcome is late.
        number: The breaker's admission number, from 1.
        admitted_at: When it was granted, in the clock's seconds.
        deadline: When it ends the round of probes it belongs to; None for no probe.
        duration: What slowness is judged by, in seconds, where the first output of a stream fixed
            it; None until then.

    A lease dropped unsettled is released by the breaker's next operation.
    """

    __slots__ = (
        "_unsettled",
        "admitted_at",
        "breaker",
        "deadline",
        "duration",
        "generation",
        "number",
    )

    def __init__(
        self,
        breaker: BreakerModel,
        generation: int,
        number: int,
        admitted_at: float,
        deadline: float | None = None,
    ) -> None:
        self.breaker = breaker
        self.generation = generation
        self.number = number
        self.admitted_at = admitted_at
        self.deadline = deadline
        self.duration: float | None = None
        self._unsettled = [True]

    @property
    def settled(self) -> bool:
        """Whether it has been settled."""
        return not self._unsettled

    def claim(self) -> bool:
        """Take the right to settle it: True once, however many threads ask at once."""
        try:
            return self._unsettled.pop()
        except IndexError:
            return False

    def succeed(self, duration: float | None = None) -> None:
        """The provider answered.

        Args:
            duration: Seconds the call took; by default the clock says.

        Raises:
            ValueError: If `duration` is negative or not finite; the lease stays unsettled.
        """
        self._owner.settle_success(self, duration=duration)

    def fail(self, fault: Fault | None = None, duration: float | None = None) -> None:
        """The provider failed.

        Args:
            fault: Why; what opens the breaker is kept as its cause.
            duration: Seconds the call took; by default the clock says.

        Raises:
            ValueError: If `duration` is negative or not finite; the lease stays unsettled.
        """
        self._owner.settle_failure(self, fault, duration=duration)

    def release(self) -> None:
        """Nothing is known of the provider: cancelled, abandoned, the caller's own fault."""
        self._owner.settle_release(self)

    def hold(self, seconds: float, fault: Fault | None = None) -> None:
        """The provider wants no calls for `seconds`.

        Raises:
            ValueError: If `seconds` is negative or not finite; the lease stays unsettled.
        """
        self._owner.settle_hold(self, seconds, fault)

    def settle(self, fault: Fault) -> None:
        """The fault table decides: a failure, a hold, or nothing booked at all."""
        self._owner.settle_fault(self, fault)

    def begin_output(self) -> None:
        """A stream gave its first output.

        By now its slowness is judged, not by when it ends; and a probe is given its time-out anew.
        Only the first time counts.
        """
        self._owner.begin_output(self)

    @property
    def _owner(self) -> LeaseOwner:
        owner = self.breaker.owner
        if owner is None:
            raise TypeError("a lease of the pure core has no owner; settle it on its Breaker")
        return owner

    def __repr__(self) -> str:
        how = "settled" if self.settled else "out"
        return f"<Lease {self.number} of breaker {self.breaker.name!r}: {how}>"

    def __del__(self) -> None:
        if self._unsettled and self.breaker.owner is not None:
            self.breaker.owner.lose(self)


class Refusal(NamedTuple):
    """Why a breaker grants no lease.

    Attributes:
        state: The state that refused.
        until: When it may admit again, in the clock's seconds; None if nobody knows.
        cause: The fault that opened it; None where none did.
        breaker: Its name, where it is not the provider's own but its account's.
    """

    state: str
    until: float | None
    cause: Fault | None
    breaker: str | None = None
