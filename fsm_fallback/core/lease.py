"""The lease: leave to make one call, settled once.

A lease does not know how to settle itself. In the pure core it is settled on its breaker, with
`now`; in `fsm_fallback.circuit` through its owner, which has a lock and a clock.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import attrs

from fsm_fallback.core.outcome import Fault


class LeaseOwner(Protocol):
    """What settles a lease for its holder: only the owner has a lock and a clock."""

    def settle_success(self, lease: Lease) -> None:
        """Book a success."""

    def settle_failure(self, lease: Lease, fault: Fault | None) -> None:
        """Book a failure."""

    def settle_release(self, lease: Lease) -> None:
        """Take the lease back without evidence."""

    def settle_hold(self, lease: Lease, seconds: float, fault: Fault | None) -> None:
        """Open for a time the provider named."""

    def settle_fault(self, lease: Lease, fault: Fault) -> None:
        """Settle as the fault table says."""

    def lose(self, lease: Lease) -> None:
        """Note, without locking or firing, that a lease was dropped unsettled."""


@attrs.define(eq=False)
class Lease:
    """Leave to make one call. Settle it once; a second settling does nothing.

    Attributes:
        generation: The breaker's generation that granted it; in a later one its outcome is late.
        number: The breaker's admission number, from 1.
        admitted_at: When it was granted, in the clock's seconds.
        deadline: When it ends the round of probes it belongs to; None for no probe.
        settled: Whether it has been settled.

    A lease dropped unsettled is released by the breaker's next operation.
    """

    generation: int
    number: int
    admitted_at: float
    deadline: float | None
    _owner: LeaseOwner | None
    settled: bool = False

    def succeed(self) -> None:
        """The provider answered."""
        self._settler.settle_success(self)

    def fail(self, fault: Fault | None = None) -> None:
        """The provider failed."""
        self._settler.settle_failure(self, fault)

    def release(self) -> None:
        """Nothing is known of the provider: cancelled, abandoned, the caller's own fault."""
        self._settler.settle_release(self)

    def hold(self, seconds: float, fault: Fault | None = None) -> None:
        """The provider wants no calls for `seconds`.

        Raises:
            ValueError: If `seconds` is negative or not finite; the lease stays unsettled.
        """
        self._settler.settle_hold(self, seconds, fault)

    def settle(self, fault: Fault) -> None:
        """The fault table decides: a failure, a hold, or nothing booked at all."""
        self._settler.settle_fault(self, fault)

    @property
    def _settler(self) -> LeaseOwner:
        if self._owner is None:
            raise TypeError("a lease of the pure core has no owner; settle it on its Breaker")
        return self._owner

    def __del__(self) -> None:
        if not self.settled and self._owner is not None:
            self._owner.lose(self)


class Refusal(NamedTuple):
    """Why a breaker grants no lease.

    Attributes:
        state: The state that refused.
        until: When it may admit again, in the clock's seconds; None if nobody knows.
        cause: The fault that opened it; None where none did.
    """

    state: str
    until: float | None
    cause: Fault | None
