"""What calls of one chain promise that overlap: to their callers, to the providers, to breakers.

Judged from outside, through the public face, by who was called, what was raised there and what
came back. The walk of one call is `chain_properties`; this is what must hold whatever order many
of them go on in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import attrs

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.trail import Attempt
from fsm_fallback.errors import ChainFailed
from fsm_fallback.spec.answers import Stateless, shown_error
from fsm_fallback.spec.properties import Promises

promise: Final = Promises("driver")

_SHUT: Final = (BreakerState.OPEN, BreakerState.FORCED_OPEN)


@attrs.frozen(kw_only=True)
class CallAct:
    """Something that happened to one of many calls.

    Attributes:
        call: Its name.
        trigger: `"called"`: a provider is being called; `"ended"`: the call is over; `"stepped"`:
            some call went on.
        provider: Who is being called.
        stands: How the breaker of that one stands.
        called: The notebook: whom the call had called before, in order.
        raised: The notebook: what those raised, in order.
        answers: The notebook: what those answered.
        value: What the call returned.
        error: What the call raised; None if nothing.
        out: The notebook: how many calls each provider has out.
        in_flight: How many each breaker says it has.
        probes: How many probes each breaker has out.
        probe_concurrency: How many it may.
        evidence: What each breaker holds.
        evidence_before: What it held before; None where that may have changed.
    """

    call: str
    trigger: Literal["called", "ended", "stepped"]
    provider: str | None = None
    stands: BreakerState | None = None
    called: tuple[str, ...] = ()
    raised: tuple[BaseException, ...] = ()
    answers: tuple[object, ...] = ()
    value: object = None
    error: BaseException | None = None
    out: Mapping[str, int] = attrs.field(factory=dict)
    in_flight: Mapping[str, int] = attrs.field(factory=dict)
    probes: Mapping[str, int] = attrs.field(factory=dict)
    probe_concurrency: int = 1
    evidence: Mapping[str, object] = attrs.field(factory=dict)
    evidence_before: Mapping[str, object] | None = None

    of: ClassVar[str] = "driver"
    before: ClassVar[Stateless] = Stateless()

    def __str__(self) -> str:
        before = " then ".join(self.called) or "nobody"
        errors = ", ".join(map(shown_error, self.raised)) or "nothing"
        story = f"{self.call} called {before}, which raised {errors}"
        match self.trigger:
            case "called":
                stands = "" if self.stands is None else f", whose breaker is {self.stands.value}"
                return f"{story}; now it calls {self.provider}{stands}"
            case "ended":
                ending = repr(self.value) if self.error is None else shown_error(self.error)
                return f"{story}; it came to {ending}"
            case _:
                flying = "; ".join(
                    f"{name} has {self.out.get(name, 0)} calls out, its breaker {count} leases and "
                    f"{self.probes.get(name, 0)} probes"
                    for name, count in self.in_flight.items()
                )
                return f"{story}; {flying}"


@promise.obliges(
    "open-breaker-not-called",
    on="called",
    guarantee=1,
)
def open_breaker_not_called(act: CallAct) -> bool:
    """No provider is called while its breaker is open.

    Whatever other calls did to the breaker meanwhile.
    """
    return act.stands not in _SHUT


@promise.obliges(
    "nothing-after-the-end",
    on="called",
    guarantee=7,
)
def nothing_after_the_end(act: CallAct) -> bool:
    """No provider is called twice by one call, and none after an answer or a cancellation.

    One answer is enough.
    """
    left = any(isinstance(error, asyncio.CancelledError) for error in act.raised)
    return act.provider not in act.called and not act.answers and not left


@promise.obliges(
    "answer-handed-over",
    on="ended",
    when=lambda act: bool(act.answers),
    guarantee=7,
)
def answer_handed_over(act: CallAct) -> bool:
    """What a provider answered is returned, the very object.

    Untouched, and no error beside it.
    """
    return act.error is None and act.value is act.answers[-1]


@promise.obliges(
    "errors-preserved-in-order",
    on="ended",
    when=lambda act: isinstance(act.error, ChainFailed) and bool(act.raised),
    guarantee=2,
)
def errors_preserved_in_order(act: CallAct) -> bool:
    """A call that fails raises a group of every error, the very objects, in the order they came.

    And its trail names who raised them, in that order.
    """
    failed = act.error
    if not isinstance(failed, ChainFailed) or len(failed.exceptions) != len(act.raised):
        return False
    attempted = tuple(item.provider for item in failed.trail if isinstance(item, Attempt))
    same = all(a is b for a, b in zip(failed.exceptions, act.raised, strict=True))
    return same and attempted == act.called


@promise.obliges(
    "failure-is-told",
    on="ended",
    when=lambda act: not act.answers,
    guarantee=7,
)
def failure_is_told(act: CallAct) -> bool:
    """A call ends with an answer, with a failure of its chain, or as its caller left; no other way.

    A cancellation passes through untouched; anything else is a `ChainFailed`.
    """
    if act.raised and isinstance(act.raised[-1], asyncio.CancelledError):
        return act.error is act.raised[-1]
    return isinstance(act.error, ChainFailed)


@promise.obliges(
    "every-lease-comes-back",
    on="stepped",
    guarantee=3,
)
def every_lease_comes_back(act: CallAct) -> bool:
    """A breaker has as many leases out as its provider has calls, and none when all have ended.

    Cancelled ones, too.
    """
    return all(count == act.out.get(name, 0) for name, count in act.in_flight.items())


@promise.obliges(
    "overlapping-probe-budget",
    on="stepped",
    guarantee=4,
)
def overlapping_probe_budget(act: CallAct) -> bool:
    """However many calls overlap, no breaker has more probes out than it may.

    `probe_concurrency` of its parameters.
    """
    return all(count <= act.probe_concurrency for count in act.probes.values())


@promise.obliges(
    "leaving-leaves-no-evidence",
    on="stepped",
    when=lambda act: act.evidence_before is not None,
    guarantee=8,
)
def leaving_leaves_no_evidence(act: CallAct) -> bool:
    """A caller who leaves changes nothing that a breaker holds for or against its provider.

    State and evidence are as they were.
    """
    return act.evidence == act.evidence_before


CALL_PROPERTIES: Final = tuple(promise.all.values())
