"""The JSON Schema: fresh, valid, and of one mind with the classes."""

import json
import math
import tomllib
from pathlib import Path

import attrs
import pytest
from jsonschema import Draft202012Validator

from fsm_fallback import BreakerConfig, FallbackConfig, RetryConfig, StreamConfig
from fsm_fallback.config.drafting import draft
from fsm_fallback.config.parts import ChatConfig, CodeConfig, NestedConfig
from fsm_fallback.config.schema import bound_schema, schema

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(schema())
CODE = {"name": "a", "kind": "code"}
CHAT = {"name": "a", "kind": "openai", "model": "m"}
VALUES = [
    *(None, True, False, 0, 1, -1, 2, 999, 1000, 1001, 0.5, 1.5, -0.1, 1000.5),
    *("", "a", "full", "moves", "A_KEY", "a key", "sk-1", "http://a", "http://a:b@c", "ftp://a"),
    *([], {}),
]


def test_the_committed_schema_is_fresh():
    """`fsm-fallback check --schema > docs/fallback.schema.json` writes it anew."""
    assert json.loads((ROOT / "docs" / "fallback.schema.json").read_text()) == schema()


def test_the_schema_is_one():
    """By the meta-schema."""
    Draft202012Validator.check_schema(schema())


def test_the_example_is_valid():
    """And names the schema for editors."""
    text = (ROOT / "examples" / "fallback.toml").read_text()
    VALIDATOR.validate(tomllib.loads(text))
    (hint,) = [line for line in text.splitlines() if line.startswith("#:schema ")]
    assert (ROOT / "examples" / hint.split()[1]).resolve() == ROOT / "docs" / "fallback.schema.json"


PLAIN = [
    (part, field.name)
    for part in (
        BreakerConfig,
        RetryConfig,
        StreamConfig,
        FallbackConfig,
        ChatConfig,
        NestedConfig,
        CodeConfig,
    )
    for field in attrs.fields(part)
    if not any(word in str(field.type) for word in ("Config", "Window", "State", "Strategy"))
    and field.name not in ("price", "capabilities", "providers")
]


@pytest.mark.parametrize(("part", "name"), PLAIN, ids=lambda each: getattr(each, "__name__", each))
def test_bound_and_schema_are_of_one_mind(part, name):
    """Of every plain field, about every kind of value."""
    bound = attrs.fields_dict(part)[name].metadata["bound"]
    judge = Draft202012Validator(bound_schema(bound))
    assert {repr(v) for v in VALUES if bound.accepts(v)} == {
        repr(v) for v in VALUES if judge.is_valid(v)
    }


def test_a_bound_that_the_schema_does_not_know_is_told():
    """Whoever adds one adds its schema."""
    from fsm_fallback.core.bounds import Bound  # noqa: PLC0415  # for this one

    with pytest.raises(KeyError):
        bound_schema(Bound(lambda _: True, "something new"))


FILES = [
    {"providers": [CODE]},
    {"providers": [CODE], "deadline": 1, "strategy": "sequential"},
    {"providers": [CODE], "strategy": {"kind": "capability_based", "then": "sequential"}},
    {"providers": [CODE], "strategy": {"kind": "capability_based", "then": "cheap"}},
    {"providers": [CODE], "strategy": {"kind": "capability_based", "prefer": [""]}},
    {"providers": [CODE], "strategy": "cheap"},
    {"providers": [CODE], "breaker": {"window": {"kind": "time", "seconds": 1}}},
    {"providers": [CODE], "breaker": {"window": {"kind": "time", "size": 1}}},
    {"providers": [CODE], "breaker": {"window": {"size": 100}}},
    {"providers": [CODE], "breaker": {"initial_state": "ajar"}},
    {"providers": [CODE], "breaker": {"foo": 1}},
    {"providers": [CODE], "deadline": "1"},
    {"providers": [CODE], "foo": 1},
    {"providers": [CODE], "models": {"m": {"context_window": 0}}},
    {"providers": [CODE], "models": {"m": {"context_window": 1, "price": {"input_mtok": 1}}}},
    {"providers": [CODE], "models": {"m": {"price": {"input_mtok": 1, "output_mtok": 1}}}},
    {"providers": [CODE], "models": {"m": {"price": {"input_mtok": -1, "output_mtok": 1}}}},
    {"providers": [{**CODE, "model": "m"}]},
    {"providers": [{"kind": "code"}]},
    {"providers": [CHAT]},
    {"providers": [{**CHAT, "kind": "opnai"}]},
    {"providers": [{**CHAT, "kind": "anthropic", "capabilities": ["tools"], "price": None}]},
    {"providers": [{**CHAT, "capabilities": "tools"}]},
    {"providers": [{**CHAT, "api_key": "x"}]},
    {"providers": [{**CHAT, "api_key_env": "sk-abc"}]},
    {"providers": [{**CHAT, "base_url": "https://a/v1"}]},
    {"providers": [{**CHAT, "base_url": "https://a/v1?key=b"}]},
    {"providers": [CODE, {"name": "c", "kind": "chain", "providers": ["a"]}]},
    {"providers": [CODE, {"name": "c", "kind": "chain", "providers": []}]},
    {"providers": [CODE, {"name": "c", "kind": "chain"}]},
    {"providers": [CODE], "when_all_open": "wait"},
    {"providers": [CODE], "when_all_open": "wait", "deadline": None},
    {"providers": [CODE], "when_all_open": "wait", "deadline": 5},
    {"providers": [CODE], "when_all_open": "fail"},
    {"providers": [CODE], "models": {"": {}}},
    *(
        {"providers": [CODE], "strategy": {"kind": "load_balanced", "weights": weights}}
        for weights in (None, {}, {"a": 1}, {"a": 1e-9}, {"a": 1e-10}, {"a": 1e10}, {"a": -1})
    ),
    {"providers": [CODE], "strategy": {"kind": "load_balanced", "weights": {"": 1}}},
    {"providers": []},
    {},
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file)[:70])
def test_schema_and_check_agree_on_a_file(file):
    """Where JSON Schema can say it."""
    assert VALIDATOR.is_valid(file) == (draft(file).problems == ())


@pytest.mark.parametrize(
    "file",
    [
        {"providers": [CODE, CODE]},
        {"providers": [{"name": "c", "kind": "chain", "providers": ["zz"]}]},
        {"providers": [{**CODE, "name": "account:a"}]},
        {"providers": [CODE], "strategy": {"kind": "load_balanced", "weights": {"a": 0}}},
        {"providers": [CODE], "breaker": {"minimum_calls": 101}},
        {"providers": [CODE], "breaker": {"minimum_calls": 1.0}},
        {"providers": [CODE], "deadline": math.inf},
    ],
)
def test_what_the_schema_cannot_say_is_for_check(file):
    """Names, pairs, and what JSON has no word for."""
    assert VALIDATOR.is_valid(file)
    assert draft(file).problems != ()
