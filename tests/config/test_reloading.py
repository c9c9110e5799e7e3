"""Reloading: what is the same is kept, with its breaker; a bad file changes nothing."""

from typing import Any

import attrs
import pytest

from fsm_fallback import AuditLog, ConfigurationError, FallbackConfig, FallbackProvider
from fsm_fallback.config import create_fallback_provider
from fsm_fallback.config.making import Means, make, rereading
from fsm_fallback.testing import ScriptedProvider

OPENAI = {"name": "gpt", "kind": "openai", "model": "m"}
CLAUDE = {"name": "claude", "kind": "anthropic", "model": "m"}
INNER = {"name": "inner", "kind": "chain", "providers": ["claude"]}
FILE = {"providers": [OPENAI, INNER, CLAUDE]}


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """Both keys are set."""
    monkeypatch.setenv("OPENAI_API_KEY", "one")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "two")


def kept(before, after):
    """The names of the providers that are the same objects."""
    return {
        name
        for name, piece in after.pieces.items()
        if name in before.pieces and before.pieces[name].provider is piece.provider
    }


def test_what_says_the_same_is_kept():
    """All of it, where nothing changed."""
    before = make(FILE)
    assert kept(before, make(FILE, earlier=before)) == {"gpt", "inner", "claude"}


def test_what_changed_is_made_anew_and_the_rest_kept():
    """A chain around it, too."""
    before = make(FILE)
    after = make({"providers": [OPENAI, INNER, {**CLAUDE, "model": "n"}]}, earlier=before)
    assert kept(before, after) == {"gpt"}
    assert after.pieces["claude"].provider.info.model == "n"


def test_other_parameters_keep_the_providers():
    """Of the chain around; one within has its breakers, and is made anew."""
    before = make(FILE)
    after = make({**FILE, "deadline": 9, "retry": {"attempts": 2}}, earlier=before)
    assert kept(before, after) == {"gpt", "inner", "claude"}
    after = make({**FILE, "breaker": {"minimum_calls": 5}}, earlier=before)
    assert kept(before, after) == {"gpt", "claude"}


def test_a_key_that_was_changed_makes_the_provider_anew(monkeypatch):
    """Its client has the old one, and its breaker may be held for that."""
    before = make(FILE)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert kept(before, make(FILE, earlier=before)) == {"inner", "claude"}


def test_what_the_program_gave_stays_given():
    """Unless it gives others."""
    file = {"providers": [{"name": "a", "kind": "code"}]}
    a, other = ScriptedProvider("a"), ScriptedProvider("a")
    before = make(file, [a])
    assert make({**file, "deadline": 1}, earlier=before).providers == (a,)
    assert make(file, [other], earlier=before).providers == (other,)


def test_what_the_file_has_no_more_is_let_go():
    """An object of the program among it; one given anew has to be there."""
    entries = [{"name": "a", "kind": "code"}, {"name": "b", "kind": "code"}]
    before = make({"providers": entries}, [ScriptedProvider("a"), ScriptedProvider("b")])
    after = make({"providers": entries[:1]}, earlier=before)
    assert (list(after.given), list(after.pieces)) == (["a"], ["a"])
    with pytest.raises(ConfigurationError, match="providers= has 'b', which no entry"):
        make({"providers": entries[:1]}, [ScriptedProvider("b")], earlier=before)


@attrs.frozen
class Plan:
    """What a chain is made of, as far as a reload changes it."""

    config: Any
    providers: Any
    reread: Any
    prices: Any = "old"
    capabilities: Any = "old"
    describe: Any = "old"
    owned: Any = ()


def test_a_plan_is_made_anew_again_and_again():
    """Each from the one before."""
    made = make(FILE)
    plan = Plan(made.config, made.providers, rereading(made, Means()))
    second = plan.reread(plan, {**FILE, "deadline": 9}, None)
    third = second.reread(second, {"providers": [OPENAI]}, None)
    assert (second.providers, second.config.deadline) == (plan.providers, 9)
    assert third.providers == plan.providers[:1]
    assert third.prices is None
    with pytest.raises(ConfigurationError, match="deadline is 0"):
        third.reread(third, {**FILE, "deadline": 0}, None)


@pytest.mark.parametrize(("key", "value"), [("name", "other"), ("audit", "full")])
def test_what_a_log_knows_a_chain_by_is_not_reloaded(key, value):
    """Its name, and how much of it is recorded."""
    before = make(FILE)
    with pytest.raises(ConfigurationError, match=f"{key} is '{value}', and was "):
        make({**FILE, key: value}, earlier=before)


def test_what_is_recorded_may_change_in_a_file_that_does_not_decide_it(create):
    """A log that was given decides."""
    file = {"providers": [{"name": "a", "kind": "code"}]}
    log = AuditLog()
    llm = create(file, providers=[ScriptedProvider("a")], audit=log)
    llm.reload({**file, "audit": "full"})
    assert (llm.audit, llm.config.audit) == (log, "full")


def test_a_chain_within_is_made_anew_if_its_calls_are_described_otherwise():
    """Who gives the last adapter of a file may call it with anything."""
    file = {"providers": [CLAUDE, {**INNER, "providers": ["own"]}, {"name": "own", "kind": "code"}]}
    own = ScriptedProvider("own")
    before = make(file, [own])
    after = make(file, [own, ScriptedProvider("claude")], earlier=before)
    assert kept(before, after) == {"own"}


def test_a_configuration_in_code_keeps_the_providers_given():
    """It has none of its own."""
    a = ScriptedProvider("a")
    before = make(FallbackConfig(), [a])
    after = make(FallbackConfig(deadline=3), earlier=before)
    assert (after.providers, after.config.deadline) == ((a,), 3)


def test_an_open_breaker_stays_open_over_a_reload(create):
    """The provider is the same, so what is known of it holds."""
    a, b = ScriptedProvider("a", [OSError()]), ScriptedProvider("b", ["from b"] * 2)
    file = {
        "breaker": {"consecutive_failures": 1},
        "providers": [{"name": "a", "kind": "code"}, {"name": "b", "kind": "code"}],
    }
    llm = create(file, providers=[a, b])
    assert llm.call("why") == "from b"
    llm.reload({**file, "deadline": 9})
    assert llm.call("why") == "from b"
    assert (len(a.calls), llm.config.deadline) == (1, 9)


def test_a_bad_file_changes_nothing(create):
    """The chain goes on as it was."""
    file = {"providers": [{"name": "a", "kind": "code"}]}
    llm = create(file, providers=[ScriptedProvider("a", ["hi"])])
    with pytest.raises(ConfigurationError, match="deadline is 0"):
        llm.reload({**file, "deadline": 0})
    assert llm.config.deadline is None
    assert llm.call("why") == "hi"


def test_a_chain_made_by_hand_is_not_reloaded_from_a_file():
    """Nobody knows which entries its providers were."""
    llm = FallbackProvider(ScriptedProvider("a"))
    with pytest.raises(ConfigurationError, match="was not made from a file"):
        llm.reload({"providers": []})


def test_what_a_chain_was_made_of_is_forgotten_with_it(manual_clock):
    """Nothing holds a chain that nobody has."""
    import gc  # noqa: PLC0415  # for this one
    import weakref  # noqa: PLC0415  # as well

    llm = create_fallback_provider(
        {"providers": [{"name": "a", "kind": "code"}]},
        providers=[ScriptedProvider("a")],
        clock=manual_clock,
    )
    gone = weakref.ref(llm)
    del llm
    gc.collect()
    assert gone() is None
