"""`AuditRecords`: which records a question finds, and which questions it refuses."""

import re

import pytest

from fsm_fallback import AuditLog, BreakerConfig, FallbackConfig, FallbackProvider
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing import AuditRecords, ScriptedProvider

AT_ONCE = FallbackConfig(breaker=BreakerConfig(minimum_calls=1, jitter=0.0))


@pytest.fixture
def outage(manual_clock, audit_records):
    """Two calls: in the first `a` fails and its breaker opens, in the second it is skipped."""
    a = ScriptedProvider("a", [ConnectionError("down")])
    b = ScriptedProvider("b", ["hello", "hello"])
    llm = FallbackProvider(a, b, config=AT_ONCE, clock=manual_clock, audit=audit_records.log)
    llm.call()
    llm.call()
    return llm


def told(records):
    """What came in, to whom."""
    return [(record["id"], record["trigger"]) for record in records]


def test_without_a_filter_all_records_come(outage, audit_records):
    """Those of the log, oldest first."""
    assert audit_records() == audit_records.log.records()
    assert [record["seq"] for record in audit_records()] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"machine": "breaker"}, [("fallback/a", "fail")]),
        ({"trigger": "skip"}, [("fallback#2", "skip")]),
        (
            {"provider": "a"},
            [
                ("fallback/a", "fail"),
                ("fallback#1", "offer"),
                ("fallback#1", "fault"),
                ("fallback#2", "skip"),
            ],
        ),
        ({"provider": "a", "machine": "breaker"}, [("fallback/a", "fail")]),
        (
            {"machine": "chain", "trigger": "answer"},
            [("fallback#1", "answer"), ("fallback#2", "answer")],
        ),
        ({"verdict": "stayed"}, [("fallback#2", "skip")]),
        ({"provider": "nobody"}, []),
        ({"machine": "audit"}, []),
    ],
)
def test_each_filter_leaves_what_it_describes(outage, audit_records, filters, expected):
    """All of them have to fit; a provider's breaker is about the provider, too."""
    assert sorted(told(audit_records(**filters))) == sorted(expected)


def test_the_breaker_of_a_name_with_a_slash_is_found(manual_clock, audit_records):
    """As routers of providers name their models."""
    a = ScriptedProvider("openai/gpt", [ConnectionError("down")])
    b = ScriptedProvider("gpt", ["hello"])
    FallbackProvider(a, b, config=AT_ONCE, clock=manual_clock, audit=audit_records.log).call()
    (opening,) = audit_records(provider="openai/gpt", machine="breaker")
    assert opening["to"] == "open"


def test_every_trigger_that_is_recorded_can_be_asked_for(outage, audit_records):
    """Those in no table, too."""
    breaker = outage.breaker("a")
    breaker.restore(breaker.snapshot())
    breaker.reset(actor="ada", reason="test")
    assert {"restore", "reset", "offer", "skip"} <= {each["trigger"] for each in audit_records()}
    for record in audit_records():
        assert record in audit_records(trigger=record["trigger"], verdict=record["verdict"])
    assert audit_records(trigger="dropped") == []


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"trigger": "opne"}, "audit_records.trigger is 'opne'; give one of "),
        ({"machine": "chian"}, "audit_records.machine is 'chian'; give one of breaker, chain, "),
        ({"verdict": "open"}, "audit_records.verdict is 'open'; give one of moved, stayed, "),
        ({"provider": ""}, "audit_records.provider is ''; give a provider's name"),
        ({"provider": 7}, "audit_records.provider is 7; give a provider's name"),
    ],
)
def test_a_question_no_record_can_answer_is_refused(audit_records, filters, words):
    """It would find nothing, and a test that expects nothing would pass."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        audit_records(**filters)


def test_any_log_in_memory_will_do(manual_clock):
    """One that records every firing, say."""
    log = AuditLog(mode="full", clock=manual_clock)
    records = AuditRecords(log)
    provider = ScriptedProvider("a", ["hello"])
    FallbackProvider(provider, clock=manual_clock, audit=log).call()
    assert told(records(machine="breaker")) == [("fallback/a", "admit"), ("fallback/a", "succeed")]
    assert repr(records) == f"AuditRecords({log!r})"


def test_a_log_that_writes_is_refused(tmp_path):
    """What it has written is no longer in memory."""
    wanted = pytest.raises(ConfigurationError, match="which writes; give one without path")
    with AuditLog(tmp_path / "audit.jsonl") as log, wanted:
        AuditRecords(log)
    with pytest.raises(ConfigurationError, match="log is 'moves'; give an AuditLog"):
        AuditRecords("moves")
