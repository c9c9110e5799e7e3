"""The accounting: it holds for a run that is whole, and each claim can fail."""

import json

import attrs
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    AuditLog,
    BreakerConfig,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    provider,
)
from fsm_fallback.cli.demo.accounting import CLAIMS
from fsm_fallback.cli.demo.evidence import Evidence, Request, spans
from fsm_fallback.cli.demo.sdks import Raised
from fsm_fallback.cli.demo.summary import summarise
from fsm_fallback.cli.demo.traffic import Call, Tally
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.diagrams import diagram
from fsm_fallback.testing import ManualClock


class OverloadedError(Exception):
    """As an SDK raises it for status 529."""

    status_code = 529


class RateLimitedError(Exception):
    """As an SDK raises it for status 429."""

    status_code = 429


ANTHROPIC_FAULTS = {2: OverloadedError, 3: OverloadedError, 6: TimeoutError}
OPENAI_FAULTS = {3: RateLimitedError}
STATUSES = {OverloadedError: 529, RateLimitedError: 429, TimeoutError: None}


def play():
    """A small run: answers, a fallback, a failure, skips, a refusal by both, a hang that is cut."""
    clock = ManualClock()
    raised, requests, calls = [], [], []

    def asked(name, faults, question, call):
        error = faults[call]("words") if call in faults else None
        requests.append(Request(call, name, 200 if error is None else STATUSES[type(error)]))
        if error is None:
            return f"[emulated {name}] {question}"
        if not isinstance(error, TimeoutError):
            raised.append(Raised(call, name, error))
        raise error

    @provider("anthropic")
    def ask_anthropic(question, call):
        return asked("anthropic", ANTHROPIC_FAULTS, question, call)

    @provider("openai")
    def ask_openai(question, call):
        return asked("openai", OPENAI_FAULTS, question, call)

    log = AuditLog(clock=clock)
    llm = FallbackProvider(
        ask_anthropic,
        ask_openai,
        config=FallbackConfig(
            breaker=BreakerConfig(
                window=CountWindow(4), minimum_calls=3, open_duration=20.0, jitter=0.0
            )
        ),
        clock=clock,
        audit=log,
        name="demo",
    )
    # Call 3 opens both breakers, openai's for 10 s; 4 finds both open, 5 one; 6 and 7 are probes.
    for number, wait in enumerate((0, 1, 1, 1, 10, 10, 45), start=1):
        clock.advance(wait)
        question = f"Question {number}?"
        try:
            answer = llm.detailed(question, number)
        except AllProvidersFailed as error:
            call = Call(number=number, question=question, trail=error.trail, error=error)
        else:
            call = Call(
                number=number,
                question=question,
                trail=answer.trail,
                answered_by=answer.provider,
                text=answer.value,
            )
        calls.append(call)
    clock.advance(5)
    return Evidence(
        started=len(calls),
        calls=tuple(calls),
        raised=tuple(raised),
        requests=tuple(requests),
        audit=tuple(map(json.dumps, log.records())),
        lost=0,
        diagrams={"breaker": llm.diagram(), "chain": diagram(CHAIN)},
        ended_at=clock(),
    )


@pytest.fixture
def whole():
    """The evidence of a run from which nothing is missing."""
    return play()


def missing(evidence):
    """All that is missing, by the claim."""
    found = {claim.missing.__name__: list(claim.missing(evidence)) for claim in CLAIMS}
    return {name: problems for name, problems in found.items() if problems}


def with_call(evidence, number, **changes):
    """The evidence with one call told otherwise."""
    calls = tuple(
        attrs.evolve(call, **changes) if call.number == number else call for call in evidence.calls
    )
    return attrs.evolve(evidence, calls=calls)


def with_record(evidence, position, **changes):
    """The evidence with one audit record told otherwise."""
    audit = list(evidence.audit)
    audit[position] = json.dumps(json.loads(audit[position]) | changes)
    return attrs.evolve(evidence, audit=tuple(audit))


def with_item(evidence, number, position, **changes):
    """The evidence with one item of a trail told otherwise."""
    trail = list(evidence.calls[number - 1].trail)
    trail[position] = attrs.evolve(trail[position], **changes)
    return with_call(evidence, number, trail=tuple(trail))


def test_run_that_is_whole_misses_nothing(whole):
    """Every claim holds, and the run has met what the claims are about."""
    assert missing(whole) == {}
    tally = Tally.of(whole.calls)
    assert (tally.calls, tally.failed, tally.refused) == (7, 2, 1)
    assert tally.answers == {"anthropic": 2, "openai": 3}
    assert tally.faults == {"anthropic": 3, "openai": 1}
    assert tally.skips == {"anthropic": 2, "openai": 1}
    assert tally.fallbacks == {("anthropic", "openai"): 3}
    assert tally.detours == {("anthropic", "openai"): 1}


# fmt: off
WRONG = [
    ("a call without an end", "every_call_ended",
     lambda e: attrs.evolve(e, calls=e.calls[1:])),
    ("a call with two ends", "every_call_ended",
     lambda e: attrs.evolve(e, calls=(*e.calls, e.calls[0]))),
    ("a call that never began", "every_call_ended",
     lambda e: attrs.evolve(e, started=e.started - 1)),
    ("an error that is no chain's", "every_call_ended",
     lambda e: with_call(e, 4, error=KeyError("bug"))),
    ("an answer to another question", "every_answer_fits",
     lambda e: with_call(e, 1, text=e.calls[1].text)),
    ("an answer without its attempt", "every_answer_fits",
     lambda e: with_call(e, 2, trail=e.calls[1].trail[:1])),
    ("an error that holds one member less", "every_failure_is_told",
     lambda e: with_call(e, 3, error=e.calls[2].error.derive(e.calls[2].error.exceptions[:1]))),
    ("an error that holds an equal object", "every_failure_is_told",
     lambda e: with_item(e, 3, 0, error=OverloadedError("words"))),
    ("a refusal that tells one skip only", "every_failure_is_told",
     lambda e: with_call(e, 4, error=e.calls[3].error.derive(e.calls[3].error.exceptions[:1]))),
    ("an attempt without its fault", "every_fault_is_known",
     lambda e: with_item(e, 2, 0, fault=None)),
    ("a fault that is not what was served", "every_fault_is_known",
     lambda e: with_item(e, 2, 0, fault=e.calls[2].trail[1].fault)),
    ("a status the script has not", "every_fault_is_known",
     lambda e: attrs.evolve(e, requests=(Request(1, "anthropic", 404), *e.requests[1:]))),
    ("a skip without its cause", "every_fault_is_known",
     lambda e: with_item(e, 4, 0, cause=None)),
    ("an exception that is in no trail", "every_error_is_kept",
     lambda e: attrs.evolve(e, raised=(*e.raised, Raised(1, "openai", OverloadedError())))),
    ("an exception in another call's trail", "every_error_is_kept",
     lambda e: attrs.evolve(e, raised=(attrs.evolve(e.raised[0], call=1), *e.raised[1:]))),
    ("an error that no SDK raised", "every_error_is_kept",
     lambda e: attrs.evolve(e, raised=e.raised[1:])),
    ("a failure that was two requests", "every_attempt_is_one_request",
     lambda e: attrs.evolve(e, requests=(*e.requests, e.requests[1]))),
    ("an attempt that reached nobody", "every_attempt_is_one_request",
     lambda e: attrs.evolve(e, requests=e.requests[1:])),
    ("a request of no call", "every_attempt_is_one_request",
     lambda e: attrs.evolve(e, requests=(*e.requests, Request(None, "openai", 200)))),
    ("a call of an open breaker", "no_open_breaker_was_asked",
     lambda e: with_item(e, 1, 0, started_at=e.calls[3].trail[0].until - 1.0)),
    ("a line that is no JSON", "the_audit_is_whole",
     lambda e: attrs.evolve(e, audit=(*e.audit, '{"seq"'))),
    ("a number JSON does not know", "the_audit_is_whole",
     lambda e: attrs.evolve(e, audit=(*e.audit[:-1], e.audit[-1].replace('"v": 1', '"v": NaN')))),
    ("a gap in the numbers", "the_audit_is_whole",
     lambda e: attrs.evolve(e, audit=(*e.audit[:3], *e.audit[4:]))),
    ("two streams", "the_audit_is_whole",
     lambda e: with_record(e, 0, stream="another")),
    ("lost records", "the_audit_is_whole",
     lambda e: attrs.evolve(e, lost=1)),
    ("an empty file", "the_audit_is_whole",
     lambda e: attrs.evolve(e, audit=())),
    ("a record that names another fault", "the_audit_tells_the_trails",
     lambda e: with_record(e, 3, fault="quota")),
    ("a call the file does not know", "the_audit_tells_the_trails",
     lambda e: attrs.evolve(e, audit=e.audit[2:])),
    ("a diagram of other numbers", "the_diagrams_are_those_that_ran",
     lambda e: attrs.evolve(e, diagrams=e.diagrams | {"breaker": "breaker 012345678901"})),
    ("a machine without a record", "the_diagrams_are_those_that_ran",
     lambda e: attrs.evolve(e, diagrams=e.diagrams | {"engine": "engine"})),
]
# fmt: on


@pytest.mark.parametrize(
    ("claim", "change"), [pytest.param(claim, change, id=fact) for fact, claim, change in WRONG]
)
def test_what_is_missing_is_found(whole, claim, change):
    """Take one thing away, or tell it otherwise, and its claim says so."""
    changed = change(whole)
    assert claim in missing(changed)
    assert not summarise(changed, ()).is_complete


def test_every_claim_is_seen_to_fail():
    """No claim is there that the cases above do not break."""
    assert {claim for _, claim, _ in WRONG} == {claim.missing.__name__ for claim in CLAIMS}


def test_attempt_cut_before_it_sent_anything_is_no_request(whole):
    """A time-out may come before the request; the accounting does not call that missing."""
    sent = tuple(each for each in whole.requests if each.status is not None)
    assert len(sent) == len(whole.requests) - 1
    assert missing(attrs.evolve(whole, requests=sent)) == {}


def test_summary_says_how_long_each_breaker_was_open(whole):
    """The time is that of the moves in the audit file, to the end of the run if still open."""
    records = whole.records()
    anthropic = list(spans("open", "demo/anthropic", records, whole.ended_at))
    openai = list(spans("open", "demo/openai", records, whole.ended_at))
    assert [end - begin for begin, end in openai] == [11.0 - 0.0]
    assert anthropic[0][1] - anthropic[0][0] == 21.0
    numbers = dict(summarise(whole, ()).numbers)
    total = sum(end - begin for begin, end in anthropic)
    assert f"opened {len(anthropic)} times, {total:.1f} s open" in numbers["breaker anthropic"]
    assert "opened 1 times, 11.0 s open" in numbers["breaker openai"]


def test_summary_counts_both_sides(whole):
    """Errors and requests are counted where they were made and where they were kept."""
    numbers = dict(summarise(whole, ()).numbers)
    assert "3 raised by SDKs, 3 in trails as the same objects" in numbers["errors"]
    assert "1 more attempts cut" in numbers["errors"]
    assert "9 at the emulator, 9 attempts in trails" in numbers["requests"]
    assert numbers["calls"].startswith("7: 5 answered, 2 failed (1 of them")


def test_summary_shows_a_few_of_many(whole):
    """What is missing is told in full to programs, in part to people."""
    summary = summarise(attrs.evolve(whole, calls=(), started=1000), ())
    assert len(dict(summary.verdicts)[CLAIMS[0].words]) == 1000
    assert "claims do not hold" in summary.result
