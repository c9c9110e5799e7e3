"""The accounting: whether everything that happened is told, and told the same by everyone.

Four witnesses, each for itself: the callers with their trails, the SDKs with the exceptions that
left them, the emulator with its journal, and the audit file. A claim holds when what they say
agrees; one that does not says what is missing. Pure: it reads what it is given.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from fsm_fallback.cli.demo.evidence import Evidence, Record, read_record, spans
from fsm_fallback.cli.demo.outage import CHAIN_NAME, EXPECTED, PROVIDERS
from fsm_fallback.cli.demo.traffic import Call
from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.core.trail import Attempt, Skip
from fsm_fallback.errors import ChainFailed

_ENDS: Final = frozenset({"succeeded", "failed", "rejected", "abandoned"})


@attrs.frozen
class Claim:
    """What must hold, in words, and what is missing where it does not."""

    words: str
    missing: Callable[[Evidence], Iterator[str]]


def every_call_ended(evidence: Evidence) -> Iterator[str]:
    """Each call that began has one end: an answer, or the error of a chain."""
    numbers = Counter(call.number for call in evidence.calls)
    for number in range(1, evidence.started + 1):
        if numbers[number] != 1:
            yield f"call {number} ended {numbers[number]} times"
    for number in numbers:
        if not 1 <= number <= evidence.started:
            yield f"call {number} ended and never began"
    for call in evidence.calls:
        if call.answered_by is None and not isinstance(call.error, ChainFailed):
            yield f"call {call.number} ended with {call.error!r}"


def every_answer_fits(evidence: Evidence) -> Iterator[str]:
    """Each answer is to its own question, and the last of its trail is the attempt it came from."""
    for call in evidence.calls:
        if call.answered_by is None:
            continue
        if call.text != f"[emulated {call.answered_by}] {call.question}":
            yield f"call {call.number} has the answer to another question"
        last = call.trail[-1] if call.trail else None
        if not isinstance(last, Attempt) or last.provider != call.answered_by or last.error:
            yield f"the trail of call {call.number} does not end with its answer"


def every_failure_is_told(evidence: Evidence) -> Iterator[str]:
    """Each call that failed holds all errors of its trail in order, or one for each skip."""
    for call in evidence.calls:
        if not isinstance(call.error, ChainFailed):
            continue
        held = call.error.exceptions
        errors = [item.error for item in call.trail if isinstance(item, Attempt)]
        complete = (
            len(held) == len(errors) and all(map(_is_same, held, errors))
            if errors
            else 0 < len(held) == len(call.trail)
        )
        if not complete:
            yield f"the error of call {call.number} does not hold what its trail tells"


def every_fault_is_known(evidence: Evidence) -> Iterator[str]:
    """Each attempt that failed has the fault of what the emulator served it, each skip a cause."""
    served = {(each.call, each.provider): each.status for each in evidence.requests}
    for call, attempt in evidence.attempts():
        where = f"attempt {attempt.number} of call {call.number} at {attempt.provider}"
        kind = None if attempt.fault is None else attempt.fault.kind
        if (kind is None) != (attempt.error is None):
            yield f"{where} has an error without a fault, or a fault without an error"
        key = (call.number, attempt.provider)
        # On a slow machine anything may be cut, whatever was served to it.
        if kind is not FaultKind.TIMEOUT and key in served:
            if kind not in EXPECTED.get(served[key], frozenset()):
                told = "no fault" if kind is None else repr(kind.value)
                yield f"{where} was served status {served[key]} and has {told}"
    for call in evidence.calls:
        for item in call.trail:
            if isinstance(item, Skip) and item.cause is None:
                yield f"call {call.number} was refused by the breaker of {item.provider} for no cause"


def every_error_is_kept(evidence: Evidence) -> Iterator[str]:
    """Each exception that left an SDK is in the trail of its call, the same object."""
    kept = {id(attempt.error): call for call, attempt in evidence.attempts() if attempt.error}
    for each in evidence.raised:
        call = kept.pop(id(each.error), None)
        if call is None or call.number != each.call:
            name = type(each.error).__name__
            yield f"{name} of {each.provider} in call {each.call} is not in its trail"
    for call, attempt in evidence.attempts():
        is_left = attempt.error is not None and id(attempt.error) in kept
        if is_left and not isinstance(attempt.error, TimeoutError):  # ours, of an attempt cut
            yield f"the trail of call {call.number} has an error that no SDK raised"


def every_attempt_is_one_request(evidence: Evidence) -> Iterator[str]:
    """Each attempt is one request at the emulator, and each request one attempt."""
    requests = Counter((each.call, each.provider) for each in evidence.requests)
    for call, attempt in evidence.attempts():
        count = requests.pop((call.number, attempt.provider), 0)
        # An attempt may be cut before it has sent anything.
        was_cut = attempt.fault is not None and attempt.fault.kind is FaultKind.TIMEOUT
        if count != 1 and not (count == 0 and was_cut):
            yield f"call {call.number} asked {attempt.provider} once, in {count} requests"
    for (number, provider), count in requests.items():
        yield f"{count} requests of call {number} to {provider} are in no trail"


def the_audit_is_whole(evidence: Evidence) -> Iterator[str]:
    """The file is strict JSON, one stream, numbered without a gap, and nothing was lost."""
    if evidence.lost:
        yield f"{evidence.lost} records were lost"
    if not evidence.audit:
        yield "the audit file is empty"
    for number, line in enumerate(evidence.audit, start=1):
        record = read_record(line)
        if record is None:
            yield f"line {number} of the audit file is no JSON object"
        elif record.get("seq") != number:
            yield f"line {number} of the audit file has seq {record.get('seq')!r}"
    streams = {record.get("stream") for record in evidence.records()}
    if len(streams) > 1:
        yield f"the audit file holds {len(streams)} streams"


def the_audit_tells_the_trails(evidence: Evidence) -> Iterator[str]:
    """The calls of the audit file are those of the trails: attempts, faults, skips, ends."""
    told = Counter(_audited_walks(evidence.records()))
    seen = Counter(_walk(call) for call in evidence.calls)
    for walk, count in (seen - told).items():
        yield f"{count} calls are not in the audit file: {_in_words(walk)}"
    for walk, count in (told - seen).items():
        yield f"{count} calls are in the audit file alone: {_in_words(walk)}"


def the_diagrams_are_those_that_ran(evidence: Evidence) -> Iterator[str]:
    """Each diagram has the digest that is in the records of its machine."""
    digests: defaultdict[str, set[str]] = defaultdict(set)
    for record in evidence.records():
        digests[str(record.get("machine"))].add(str(record.get("digest")))
    for machine, text in evidence.diagrams.items():
        if not digests[machine]:
            yield f"no record is of the machine {machine}"
        for digest in digests[machine]:
            if f"{machine} {digest[:12]}" not in text:
                yield f"{machine}.mmd is not of the machine with digest {digest[:12]}"


def no_open_breaker_was_asked(evidence: Evidence) -> Iterator[str]:
    """No attempt of a trail began while its breaker was open, by the moves in the audit file."""
    records = evidence.records()
    times = {
        name: list(spans("open", f"{CHAIN_NAME}/{name}", records, evidence.ended_at))
        for name in PROVIDERS
    }
    for call, attempt in evidence.attempts():
        if any(begin < attempt.started_at < end for begin, end in times[attempt.provider]):
            yield f"call {call.number} asked {attempt.provider}, whose breaker was open"


# fmt: off
# ruff: noqa: E501  # rows are lines
CLAIMS: Final = (
    Claim("every call ended, with an answer or with the error of its chain", every_call_ended),
    Claim("every answer is to its own question",                             every_answer_fits),
    Claim("every failed call holds all its errors, in order",                every_failure_is_told),
    Claim("every failed attempt has its fault, every skip its cause",              every_fault_is_known),
    Claim("every exception of an SDK is in its trail, the same object",      every_error_is_kept),
    Claim("every attempt is one request, and every request one attempt",     every_attempt_is_one_request),
    Claim("no breaker was asked while it was open",                          no_open_breaker_was_asked),
    Claim("the audit file is strict JSON, without a gap",                    the_audit_is_whole),
    Claim("the audit file tells the same calls as the trails",               the_audit_tells_the_trails),
    Claim("the diagrams are those of the machines that ran",                 the_diagrams_are_those_that_ran),
)
# fmt: on


_Walk = tuple[tuple[str | None, ...], ...]


def _walk(call: Call) -> _Walk:
    """A call as its trail tells it."""
    return (
        *(
            ("attempt", item.provider, None if item.fault is None else item.fault.kind.value)
            if isinstance(item, Attempt)
            else ("skip", item.provider, item.reason)
            for item in call.trail
        ),
        ("failed" if call.answered_by is None else "answered",),
    )


def _audited_walks(records: Iterable[Record]) -> Iterator[_Walk]:
    """The calls as the audit file tells them."""
    walks: defaultdict[str, list[tuple[str | None, ...]]] = defaultdict(list)
    for record in records:
        if record.get("machine") != "chain":
            continue
        walk = walks[str(record.get("call_id"))]
        if record.get("trigger") == "skip":
            walk.append(("skip", record.get("provider"), record.get("reason")))
        elif record.get("attempt") is not None and record.get("trigger") != "offer":
            walk.append(("attempt", record.get("provider"), record.get("fault")))
        if record.get("to") in _ENDS:
            walk.append(("answered" if record.get("to") == "succeeded" else "failed",))
    return (tuple(walk) for walk in walks.values())


def _in_words(walk: _Walk) -> str:
    return ", ".join(" ".join(filter(None, part)) for part in walk)


def _is_same(one: object, other: object) -> bool:
    return one is other
