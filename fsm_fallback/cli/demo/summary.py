"""The end of a run: its numbers, what holds, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from fsm_fallback.cli.demo.accounting import CLAIMS
from fsm_fallback.cli.demo.evidence import Evidence, is_move, spans
from fsm_fallback.cli.demo.outage import CHAIN_NAME, PROVIDERS
from fsm_fallback.cli.demo.traffic import Call, Tally

_SHOWN: Final = 5


@attrs.frozen
class Summary:
    """What a run comes to.

    Attributes:
        numbers: Rows of a name and what there is to say.
        verdicts: Each claim in words with what is missing; nothing where it holds.
    """

    numbers: tuple[tuple[str, str], ...]
    verdicts: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return not any(missing for _, missing in self.verdicts)

    @property
    def result(self) -> str:
        """The whole in one line."""
        if self.is_complete:
            return "every call was answered, or its failure is fully accounted for"
        broken = sum(bool(missing) for _, missing in self.verdicts)
        return f"{broken} of {len(self.verdicts)} claims do not hold; see what is missing"


def summarise(evidence: Evidence, files: Iterable[Path]) -> Summary:
    """Count and check what the witnesses say."""
    tally = Tally.of(evidence.calls)
    rows = (
        *_calls(tally),
        *_example(evidence.calls),
        *_breakers(evidence),
        *_errors(evidence),
        ("files", ", ".join(str(file) for file in files)),
    )
    return Summary(rows, tuple((each.words, tuple(each.missing(evidence))) for each in CLAIMS))


def shown(missing: tuple[str, ...]) -> Iterator[str]:
    """The first few of what is missing, and how many more there are."""
    yield from missing[:_SHOWN]
    if len(missing) > _SHOWN:
        yield f"and {len(missing) - _SHOWN} more"


def _calls(tally: Tally) -> Iterator[tuple[str, str]]:
    ends = f"{tally.answers.total()} answered, {tally.failed} failed"
    yield "calls", f"{tally.calls}: {ends} ({tally.refused} of them refused by every breaker)"
    yield "served by", ", ".join(f"{name} {tally.answers[name]}" for name in PROVIDERS)
    yield "fallbacks after a failure", _pairs(tally.fallbacks)
    yield "fallbacks past a breaker", _pairs(tally.detours)


def _example(calls: Iterable[Call]) -> Iterator[tuple[str, str]]:
    """What the caller of the first failure reads."""
    error = next((call.error for call in calls if call.error is not None), None)
    if error is not None:
        yield "first failure", f"{type(error).__name__}: {error}"


def _breakers(evidence: Evidence) -> Iterator[tuple[str, str]]:
    records = evidence.records()
    for name in PROVIDERS:
        machine = f"{CHAIN_NAME}/{name}"
        own = [record for record in records if record.get("id") == machine]
        opened = sum(is_move(record) and record["to"] == "open" for record in own)
        open_duration = sum(
            end - begin for begin, end in spans("open", machine, own, evidence.ended_at)
        )
        late = sum(record["verdict"] == "late" for record in own)
        yield (
            f"breaker {name}",
            f"opened {opened} times, {open_duration:.1f} s open; {late} late outcomes",
        )


def _errors(evidence: Evidence) -> Iterator[tuple[str, str]]:
    attempts = list(evidence.attempts())
    raised = {id(each.error) for each in evidence.raised}
    kept = sum(id(attempt.error) in raised for _, attempt in attempts)
    failed = sum(attempt.error is not None for _, attempt in attempts)
    same = f"{len(evidence.raised)} raised by SDKs, {kept} in trails as the same objects"
    yield "errors", f"{same}; {failed - kept} more attempts cut by the attempt time-out"
    asked = f"{len(evidence.requests)} at the emulator, {len(attempts)} attempts in trails"
    served = Counter(str(each.status or "hung") for each in evidence.requests)
    how = ", ".join(f"{status}: {count}" for status, count in sorted(served.items()))
    yield "requests", f"{asked}; by status {how}"
    records = evidence.records()
    moves = sum(is_move(record) for record in records)
    yield "audit", f"{len(records)} records, {moves} of them moves of a breaker"


def _pairs(pairs: Counter[tuple[str, str]]) -> str:
    return ", ".join(
        f"{first} -> {second} {pairs[first, second]}"
        for first in PROVIDERS
        for second in PROVIDERS
        if first != second
    )
