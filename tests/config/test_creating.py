"""`create_fallback_provider`: from a file to a chain that answers, or to what is against it."""

import subprocess
import sys
from pathlib import Path

import pytest

from fsm_fallback import AllProvidersFailed, ConfigurationError, FallbackConfig, RetryConfig
from fsm_fallback.config import create_fallback_provider
from fsm_fallback.testing import ScriptedProvider, Status

EXAMPLE = Path(__file__).parents[2] / "examples" / "fallback.toml"
OPENAI = {"name": "gpt", "kind": "openai", "model": "m"}


def code(*names):
    """Entries that the program gives."""
    return [{"name": name, "kind": "code"} for name in names]


def chain(name, *members, **more):
    """A nested chain."""
    return {"name": name, "kind": "chain", "providers": list(members), **more}


def refused(config, **more):
    """The problems that keep a chain from being made."""
    with pytest.raises(ConfigurationError) as caught:
        create_fallback_provider(config, **more)
    return list(caught.value.problems)


def test_the_example_answers(emulated, create):
    """The real SDKs, the addresses from the variables that it names."""
    llm = create(EXAMPLE)
    answer = llm.detailed("why")
    assert answer.provider == "openai"
    assert answer.value.text == "[emulated openai] why"
    assert llm.config.deadline == 60
    assert llm.name == "chat"


def test_the_next_provider_of_the_example_takes_over(emulated, create):
    """One answers with 503, the other answers."""
    emulated["openai"].script(Status(503))
    answer = create(EXAMPLE).detailed("why")
    assert answer.provider == "anthropic"
    assert [each.provider for each in answer.trail] == ["openai", "anthropic"]


def test_the_example_streams(emulated, create):
    """Piece by piece, in the neutral form."""
    assert "".join(piece.text for piece in create(EXAMPLE).stream("why")) == "[emulated openai] why"


def test_objects_of_the_program_stand_for_entries_of_their_names(create):
    """In a mapping or a list, in the order of the file."""
    for given in (
        [ScriptedProvider("b", ["from b"]), ScriptedProvider("a", [OSError()])],
        {"b": ScriptedProvider("b", ["from b"]), "a": ScriptedProvider("a", [OSError()])},
    ):
        answer = create({"providers": code("a", "b")}, providers=given).detailed("why")
        assert (answer.value, answer.provider) == ("from b", "b")


def test_an_object_stands_for_an_adapter_and_needs_no_key(create):
    """What is given is not made."""
    given = [ScriptedProvider("gpt", ["given"])]
    assert create({"providers": [OPENAI]}, providers=given).call("why") == "given"


def test_a_nested_chain_is_asked_in_its_place(create):
    """Those in it are asked there and nowhere else."""
    given = [
        ScriptedProvider("a", [OSError()]),
        ScriptedProvider("b", [OSError()]),
        ScriptedProvider("c", ["from c"]),
    ]
    entries = [*code("a"), chain("inner", "b"), *code("b", "c")]
    answer = create({"providers": entries}, providers=given).detailed("why")
    assert [each.provider for each in answer.trail] == ["a", "inner", "c"]
    assert [each.provider for each in answer.trail[1].trail] == ["b"]


def test_a_chain_within_chains_has_the_breakers_of_the_file(create):
    """And those of one provider in two chains are one."""
    given = [ScriptedProvider("a", [OSError()] * 9), ScriptedProvider("b", ["from b"] * 9)]
    llm = create(
        {
            "breaker": {"consecutive_failures": 1},
            "providers": [chain("x", "a"), chain("y", "a"), *code("a", "b")],
        },
        providers=given,
    )
    assert llm.call("why") == "from b"
    assert len(given[0].calls) == 1


def test_a_configuration_in_code_has_its_providers_given(create):
    """In their order."""
    llm = create(
        FallbackConfig(retry=RetryConfig(attempts=2)), providers=[ScriptedProvider("a", ["hi"])]
    )
    assert llm.call("why") == "hi"
    assert llm.config.retry.attempts == 2


@pytest.mark.parametrize("providers", [None, [], {}])
def test_a_configuration_in_code_without_providers_is_refused(providers):
    """It has none of its own."""
    assert refused(FallbackConfig(), providers=providers) == [
        "providers= is missing, and a FallbackConfig has none; give the providers"
    ]


def test_a_key_that_is_not_set_is_told_by_its_name():
    """Of every provider that needs it."""
    entries = [OPENAI, {"name": "c", "kind": "anthropic", "model": "m", "api_key_env": "MY_KEY"}]
    assert refused({"providers": entries}) == [
        "providers[0].api_key_env is 'OPENAI_API_KEY', which is not set; set that variable",
        "providers[1].api_key_env is 'MY_KEY', which is not set; set that variable",
    ]


def test_a_key_that_looks_like_the_name_of_a_variable_is_not_shown():
    """It has none but capitals and digits."""
    with pytest.raises(ConfigurationError, match=r"may be a key, not shown.*which is not set"):
        create_fallback_provider({"providers": [{**OPENAI, "api_key_env": "AKIAIOSFODNN7EXAMPLE"}]})


def test_a_server_without_keys_needs_none(emulated, create, monkeypatch):
    """`needs_key = false` says so."""
    monkeypatch.delenv("OPENAI_API_KEY")
    entry = {**OPENAI, "base_url": emulated["openai"].base_url, "needs_key": False}
    assert create({"providers": [entry]}).call("why").text == "[emulated openai] why"


def test_an_address_of_the_environment_that_is_none_is_not_shown(emulated, monkeypatch):
    """It may hold credentials."""
    monkeypatch.setenv("MY_URL", "https://user:hush@example.org")
    (problem,) = refused({"providers": [{**OPENAI, "base_url_env": "MY_URL"}]})
    assert problem.startswith("providers[0].base_url_env is 'MY_URL', whose value is no URL")
    assert "hush" not in problem


def test_a_variable_for_the_address_that_is_not_set_leaves_the_other(emulated, create):
    """`base_url` holds then."""
    entry = {**OPENAI, "base_url_env": "NOT_SET", "base_url": emulated["openai"].base_url}
    assert create({"providers": [entry]}).call("why").text == "[emulated openai] why"


def test_a_missing_extra_is_told_with_its_remedy():
    """Before anything is made, beside all other problems."""
    code = """
import sys
sys.modules["openai"] = None
from fsm_fallback import ConfigurationError
from fsm_fallback.config import create_fallback_provider
try:
    create_fallback_provider({"providers": [{"name": "a", "kind": "openai", "model": "m"}]})
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run(  # noqa: S603  # our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (
        "providers[0].kind is 'openai', which needs the package openai; "
        "pip install 'fsm-fallback[openai]'\n"
    ) in done.stdout
    assert "OPENAI_API_KEY" in done.stdout


@pytest.mark.parametrize(
    ("providers", "problem"),
    [
        (None, "providers[0].kind is 'code', and nobody gave 'mine'; give it with "),
        ([ScriptedProvider("mien")], "providers= has 'mien', which no entry of the file has; did"),
        ({"mine": ScriptedProvider("x")}, "providers['mine'] is a ScriptedProvider, whose name is"),
        ([object()], "providers[0] is a object, whose name is None; give it a name"),
        ([ScriptedProvider("mine")] * 2, "providers[1].name is 'mine' again; give each its own"),
        ("mine", "providers= is 'mine'; give a mapping of providers by name, or a list"),
    ],
)
def test_objects_that_do_not_fit_the_file_are_told(providers, problem):
    """Unknown, unnamed, twice or missing."""
    found = refused({"providers": code("mine")}, providers=providers)
    assert any(each.startswith(problem) for each in found)


def test_problems_of_file_and_machine_are_told_together():
    """In one go."""
    found = refused({"deadline": 0, "providers": [OPENAI, *code("a")]}, providers={"zz": None})
    assert [each.partition(" ")[0] for each in found] == [
        "deadline",
        "providers['zz']",
        "providers=",
        "providers[0].api_key_env",
        "providers[1].kind",
    ]


def test_reading_files_is_not_imported_with_the_package():
    """Neither cattrs nor the TOML reader: they are for those who have a file."""
    code = (
        "import sys, fsm_fallback.config; "
        "print([name for name in ('cattrs', 'tomllib', 'openai') if name in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_all_failing_raises_as_any_chain_does(emulated, create):
    """The file changes nothing about errors."""
    emulated["openai"].script(*[Status(503)] * 2)
    emulated["anthropic"].script(Status(503))
    with pytest.raises(AllProvidersFailed):
        create(EXAMPLE).call("why")


def test_a_chat_provider_has_the_bound_of_its_adapter_where_the_file_says_none(create, emulated):
    """Anthropic's API wants one."""
    entry = {"name": "c", "kind": "anthropic", "model": "m", "base_url_env": "ANTHROPIC_BASE_URL"}
    assert create({"providers": [entry]}).call("Why?").text
    (request,) = emulated["anthropic"].requests
    assert request.body["max_tokens"] == 1024
