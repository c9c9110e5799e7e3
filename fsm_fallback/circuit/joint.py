"""Two breakers before one call: the provider's, and the account's that pays for it.

A call needs both leases, or gets none. What is wrong with the account (credit, key, region) is
booked there, and so known to every provider on that account; all else is the provider's own. An
answer speaks for both.
"""

from __future__ import annotations

from typing import ClassVar

from fsm_fallback.circuit.breaker import CircuitBreaker
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.outcome import Fault, Scope


class JointLease(Lease):
    """The lease of the provider, with the account's."""

    __slots__ = ("account", "model")

    def __init__(self, model: Lease, account: Lease) -> None:
        self.model = model
        self.account = account
        super().__init__(
            model.breaker, model.generation, model.number, model.admitted_at, model.deadline
        )
        self.claim()  # it is settled through the two

    def __repr__(self) -> str:
        return f"<JointLease {self.model!r} {self.account!r}>"


class JointCircuit:
    """What a driver asks in place of a `CircuitBreaker`, for a provider on an account.

    Args:
        model: The provider's breaker.
        account: The account's.
    """

    is_joint: ClassVar[bool] = True

    def __init__(self, model: CircuitBreaker, account: CircuitBreaker) -> None:
        self.model = model
        self.account = account
        self.core = model.core

    def admission(self, now: float) -> Lease | Refusal:
        """Both leases, or why there is none."""
        account = self.account.admission(now)
        if isinstance(account, Refusal):
            return account._replace(breaker=self.account.name)
        try:
            model = self.model.admission(now)
        except BaseException:
            self.account.settle_release(account, now)
            raise
        if isinstance(model, Refusal):
            self.account.settle_release(account, now)
            return model
        return JointLease(model, account)

    def opens_at(self, now: float) -> float:
        """When both may admit."""
        return max(self.model.opens_at(now), self.account.opens_at(now))

    def settle_success(self, lease: Lease, now: float) -> None:
        """Book a success with both."""
        for circuit, each in self._parts(lease):
            circuit.settle_success(each, now)

    def settle_fault(self, lease: Lease, fault: Fault, now: float) -> None:
        """Book a fault with the one it belongs to, and nothing with the other."""
        at_fault = self.account if fault.scope is Scope.ACCOUNT else self.model
        for circuit, each in self._parts(lease):
            if circuit is at_fault:
                circuit.settle_fault(each, fault, now)
            else:
                circuit.settle_release(each, now)

    def settle_release(self, lease: Lease, now: float) -> None:
        """Book nothing with either."""
        for circuit, each in self._parts(lease):
            circuit.settle_release(each, now)

    def begin_output(self, lease: Lease) -> None:
        """Note output of a stream with both."""
        for circuit, each in self._parts(lease):
            circuit.begin_output(each)
        if isinstance(lease, JointLease):
            lease.duration, lease.deadline = lease.model.duration, lease.model.deadline

    def note_late(self, lease: Lease, fault: Fault | None) -> None:
        """Record with the provider's that a call came back after its caller had left."""
        if isinstance(lease, JointLease):
            self.model.note_late(lease.model, fault)

    def lease_of(
        self,
        generation: Generation,  # noqa: ARG002  # no call goes straight past two breakers
        number: int,
        admitted_at: float,  # noqa: ARG002  # as above
    ) -> Lease:
        """Never asked for: no call goes straight past two breakers."""
        raise TypeError(
            f"call {number} of {self.model.name!r}, which has an account, went straight"
        )

    def end_straight(
        self,
        generation: Generation,  # noqa: ARG002  # as above
        number: int,
        place: int,  # noqa: ARG002  # as above
        now: float,  # noqa: ARG002  # as above
    ) -> None:
        """As `lease_of`."""
        raise TypeError(
            f"call {number} of {self.model.name!r}, which has an account, went straight"
        )

    def _parts(self, lease: Lease) -> tuple[tuple[CircuitBreaker, Lease], ...]:
        if not isinstance(lease, JointLease):
            raise TypeError(f"{lease!r} is of one breaker; {self.model.name!r} has two")
        return (self.model, lease.model), (self.account, lease.account)
