"""What is odd in a sound file: each oddity is told, and a file without one is left in peace."""

import tomllib
from pathlib import Path

import pytest

from fsm_fallback.config.advice import advice
from fsm_fallback.config.drafting import draft

EXAMPLE = Path(__file__).parents[2] / "examples" / "fallback.toml"
PRICE = {"input_mtok": 1, "output_mtok": 1}


def chat(name, **more):
    """An entry for an adapter."""
    return {"name": name, "kind": "openai", "model": name, **more}


SOUND = {"attempt_timeout": 10, "deadline": 30, "providers": [chat("a"), chat("b")]}


def told(**more):
    """What is odd in a sound file with these tables."""
    drafted = draft({**SOUND, **more})
    assert drafted.problems == ()
    return list(advice(drafted.config))


@pytest.mark.parametrize("tables", [SOUND, tomllib.loads(EXAMPLE.read_text())])
def test_a_file_without_oddities_is_left_in_peace(tables):
    """The example is one."""
    assert list(advice(draft(tables).config)) == []


ODD = [
    ({"providers": [chat("a")]}, "providers has 'a' alone"),
    (
        {"providers": [chat("a", account="x"), chat("b", account="x")]},
        "providers[*].account is 'x' for all",
    ),
    ({"deadline": None, "attempt_timeout": None}, "deadline and attempt_timeout are none"),
    ({"attempt_timeout": None}, "deadline is 30 and attempt_timeout none"),
    ({"deadline": 15}, "deadline is 15, less than two attempts of 10: after a hang the next"),
    ({"deadline": 5}, "deadline is 5, shorter than attempt_timeout 10, which is never reached"),
    ({"stream": {"first_output_timeout": 31}}, "stream.first_output_timeout is 31, above deadline"),
    ({"stream": {"idle_timeout": 31}}, "stream.idle_timeout is 31, above deadline 30"),
    ({"breaker": {"slow_call_duration": 31}}, "breaker.slow_call_duration is 31, above deadline"),
    (
        {"when_all_open": "wait", "breaker": {"open_duration": 40}},
        "when_all_open is 'wait', and a breaker that has just opened stays so for 36 s at least",
    ),
    (
        {"retry": {"attempts": 9, "jitter": "none", "backoff": 8}},
        "retry.attempts is 9, and deadline 30 leaves time for 4",
    ),
    (
        {"retry": {"attempts": 2, "budget": 0, "budget_floor": 0}},
        "retry.attempts is 2, and budget and budget_floor are 0",
    ),
    (
        {"breaker": {"consecutive_failures": 50}},
        "breaker.consecutive_failures is 50, and by then failure_ratio 0.5 of a window of 100",
    ),
    (
        {
            "strategy": {"kind": "capability_based", "prefer": ["vision"]},
            "providers": [chat("a", capabilities=["tools"]), chat("b")],
        },
        "strategy.prefer has 'vision', which no provider has; they have 'tools'",
    ),
    (
        {"models": {"gpt-4.1-mni": {}}, "providers": [chat("gpt-4.1-mini"), chat("b")]},
        "models.\"gpt-4.1-mni\" is the model of no provider; did you mean 'gpt-4.1-mini'",
    ),
    ({"models": {"zzz": {}}}, "models.zzz is the model of no provider; take it out"),
]


@pytest.mark.parametrize(("more", "begins"), ODD, ids=lambda each: str(each)[:60])
def test_an_oddity_is_told(more, begins):
    """Alone, where it is alone."""
    (found,) = told(**more)
    assert found.startswith(begins)


EVEN = [
    {"models": {"zzz": {}}, "providers": [chat("a"), {"name": "c", "kind": "code"}]},
    {"providers": [chat("a", account="x"), chat("b")]},
    {"deadline": 20},
    {"deadline": None},
    {"retry": {"attempts": 1000, "jitter": "full"}},
    {"retry": {"attempts": 4, "jitter": "none", "backoff": 8}},
    {"breaker": {"consecutive_failures": 49}},
    {"breaker": {"consecutive_failures": 50, "window": {"kind": "time"}}},
    {"when_all_open": "wait", "breaker": {"open_duration": 20}},
    {
        "strategy": {"kind": "capability_based", "prefer": ["vision"]},
        "providers": [chat("a"), {"name": "c", "kind": "code"}],
    },
    {
        "strategy": {"kind": "capability_based", "prefer": ["vision"]},
        "models": {"other": {"aliases": ["b"], "capabilities": ["vision"]}},
    },
]


@pytest.mark.parametrize("more", EVEN, ids=lambda each: str(each)[:60])
def test_what_only_looks_odd_is_left_in_peace(more):
    """On the edge, or where only the program knows."""
    assert told(**more) == []
