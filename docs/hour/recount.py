"""What the trails of an hour add up to, and whether the chain has counted the same.

A naive recount: it shares no code with what counts in a chain.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import attrs

from docs.hour.play import Call, Llm
from docs.hour.scene import MODELS
from fsm_fallback import Attempt, ProviderMetrics, RequestRejected, Skip


@attrs.frozen(kw_only=True)
class Booked:
    """What one provider did; the fields are those of `ProviderMetrics`."""

    attempts: int
    successes: int
    faults: dict[str, int]
    skips: dict[str, int]
    fallbacks: dict[tuple[str, str], int]
    input_tokens: int
    output_tokens: int
    cost: Decimal

    @classmethod
    def of(cls, told: ProviderMetrics) -> Booked:
        """As a chain has counted it; what it knows nothing of came to 0 here."""
        fields = {field.name: getattr(told, field.name) for field in attrs.fields(cls)}
        for name in ("faults", "skips", "fallbacks"):
            fields[name] = dict(fields[name])
        unknown = dict.fromkeys(("input_tokens", "output_tokens", "cost"), 0)
        known = {name: value for name, value in fields.items() if value is not None}
        return cls(**{**unknown, **known})


def recount(calls: Iterable[Call]) -> dict[str, Booked]:
    """What each provider did, by the trails."""
    trails = [call.trail for call in calls]
    return {model.name: _booked(model.name, trails) for model in MODELS}


def _booked(name: str, trails: Sequence[tuple[Attempt | Skip, ...]]) -> Booked:
    own = [item for trail in trails for item in trail if item.provider == name]
    attempts = [item for item in own if isinstance(item, Attempt)]
    usages = [each.usage for each in attempts if each.usage is not None]
    return Booked(
        attempts=len(attempts),
        successes=sum(each.fault is None for each in attempts),
        faults=dict(Counter(each.fault.kind.value for each in attempts if each.fault)),
        skips=dict(Counter(item.reason for item in own if isinstance(item, Skip))),
        fallbacks=dict(
            Counter((to, why) for trail in trails for was, to, why in hops(trail) if was == name)
        ),
        input_tokens=sum(each.input_tokens for each in usages),
        output_tokens=sum(each.output_tokens for each in usages),
        cost=sum((each.cost for each in attempts if each.cost is not None), Decimal(0)),
    )


def hops(trail: Sequence[Attempt | Skip]) -> Iterator[tuple[str, str, str]]:
    """Who was passed over or failed, who was asked instead, and why."""
    for former, asked in itertools.pairwise(trail):
        if isinstance(asked, Attempt):
            if isinstance(former, Skip):
                yield former.provider, asked.provider, former.reason
            elif former.fault is not None:
                yield former.provider, asked.provider, former.fault.kind.value


def ends(calls: Iterable[Call]) -> dict[tuple[str, str | None], list[float]]:
    """The seconds of the calls by how they ended, and by who answered."""
    seconds: dict[tuple[str, str | None], list[float]] = {}
    for call in calls:
        outcome = "succeeded" if call.error is None else "failed"
        if isinstance(call.error, RequestRejected):
            outcome = "rejected"
        seconds.setdefault((outcome, call.answered_by), []).append(call.duration)
    return seconds


def differences(calls: Sequence[Call], llm: Llm) -> Iterator[str]:
    """Where the trails and what the chain counted do not agree."""
    counted = {name: Booked.of(each) for name, each in llm.metrics().items()}
    for name, booked in recount(calls).items():
        if booked != counted[name]:
            yield f"{llm.name}: the trails have {booked} for {name!r}, metrics() {counted[name]}"
    told, requests = ends(calls), llm.requests()
    if told.keys() != requests.keys():
        yield f"{llm.name}: the calls ended as {set(told)}, requests() has {set(requests)}"
    for end in told.keys() & requests.keys():
        count, total = len(told[end]), math.fsum(told[end])
        if count != requests[end].count or not math.isclose(total, requests[end].total):
            yield f"{llm.name}: {count} calls ended as {end}, requests() has {requests[end]}"
