"""What is in force, printed as TOML that reads back as the same."""

import tomllib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.config.drafting import draft
from fsm_fallback.config.effective import effective, tables_of

FILE = {
    "name": 'a "name" \\ with\tall\x7f',
    "deadline": 60,
    "strategy": {"kind": "capability_based", "prefer": ["a b"], "then": "sequential"},
    "breaker": {"window": {"kind": "time", "seconds": 5e-3}, "initial_state": "open"},
    "providers": [
        {
            "name": "gpt",
            "kind": "openai",
            "model": "m",
            "price": {
                "input_mtok": 0.15,
                "output_mtok": 1,
                "date": tomllib.loads("d = 2026-08-21")["d"],
                "tiers": [{"start": 9, "input_mtok": 1e-7, "output_mtok": 3}],
            },
        },
        {"name": "mine", "kind": "code"},
        {"name": "inner", "kind": "chain", "providers": ["mine"], "attempt_timeout": 1e300},
    ],
    "models": {"gpt-4.1": {"capabilities": ["tools"], "aliases": ["x"]}},
}


def test_what_is_printed_reads_back_as_the_same():
    """Every value is in it."""
    config = draft(FILE).config
    again = draft(tomllib.loads(effective(config, FILE)))
    assert (again.problems, again.config) == ((), config)


def test_tables_of_a_configuration_say_all_of_it():
    """None, too, which TOML has not."""
    config = draft(FILE).config
    assert draft(tables_of(config)).config == config


def test_what_the_file_says_is_marked():
    """And nothing else is."""
    lines = effective(draft(FILE).config, FILE).splitlines()
    assert [line.split()[0] for line in lines if line.endswith("# set")] == [
        "name",
        "deadline",
        "initial_state",
        "kind",
        "seconds",
        "kind",
        "prefer",
        "kind",
        "name",
        "kind",
        "model",
        "input_mtok",
        "output_mtok",
        "date",
        "start",
        "input_mtok",
        "output_mtok",
        "kind",
        "name",
        "kind",
        "name",
        "providers",
        "attempt_timeout",
        "capabilities",
        "aliases",
    ]


def test_what_is_none_stands_in_a_comment():
    """With its name."""
    assert "# attempt_timeout: none\n" in effective(draft(FILE).config, FILE)


KNOWN = {
    "attempt_timeout": 20,
    "deadline": 60,
    "providers": [
        {"name": "a", "kind": "openai", "model": "x"},
        {"name": "b", "kind": "openai", "model": "m", "capabilities": ["json"]},
    ],
    "models": {
        "m": {
            "aliases": ["x"],
            "capabilities": ["tools", "vision"],
            "context_window": 9,
            "price": {
                "input_mtok": 1,
                "output_mtok": 2.5,
                "tiers": [{"start": 9, "input_mtok": 2, "output_mtok": 3}],
            },
        }
    },
}


def test_what_is_known_of_a_model_is_printed_where_it_is_in_force():
    """In comments, and only where the provider itself says nothing."""
    printed = effective(draft(KNOWN).config, KNOWN)
    mark = "# from [models]"
    told = [line.removesuffix(mark).strip() for line in printed.splitlines() if line.endswith(mark)]
    price = (
        "# price: { input_mtok = 1, output_mtok = 2.5, tiers = "
        '[{ start = 9, input_mtok = 2, output_mtok = 3 }], per_request = 0, source = "configured" }'
    )
    able = '# capabilities: ["tools", "vision"]'
    window = "# context_window: 9"
    assert told == [able, window, price, window, price]
    assert 'capabilities = ["json"]' in printed
    assert draft(tomllib.loads(printed)).config == draft(KNOWN).config


def test_a_time_out_that_the_chain_cuts_is_printed_with_the_one_in_force():
    """It is what the diagram has."""
    lines = effective(draft(KNOWN).config, KNOWN).splitlines()
    assert [" ".join(line.split()) for line in lines if "can cut" in line] == [
        "probe_timeout = 600.0 # 61.0 where attempt_timeout can cut a call"
    ]
    assert "can cut" not in effective(draft(FILE).config, FILE)


def test_a_mark_stands_apart_from_the_value():
    """However long that is."""
    file = {**FILE, "name": "n" * 60}
    assert f'name = "{"n" * 60}" # set' in effective(draft(file).config, file)


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_name_survives_the_way_out_and_back(name):
    """Whatever characters it has."""
    file = {"providers": [{"name": name, "kind": "code"}], "models": {name: {}}}
    config = draft(file).config
    assert draft(tomllib.loads(effective(config, file))).config == config


@pytest.mark.parametrize("value", [0.1, 1e300, 5e-324, 3, 10**18])
def test_any_number_survives_the_way_out_and_back(value):
    """Exactly."""
    config = attrs.evolve(draft(FILE).config, chain=draft({**FILE, "deadline": value}).config.chain)
    assert draft(tomllib.loads(effective(config, {}))).config.chain.deadline == value
