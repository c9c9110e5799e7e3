"""What a file may not say: each slip with its path, all of them at once, and never a key."""

import functools

import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.config.drafting import draft

KEY = "sk-proj-abcdefghijklmnop0123456789"
OPENAI = {"name": "a", "kind": "openai", "model": "m"}
CODE = {"name": "a", "kind": "code"}


def problems(**tables):
    """The problems of a file that has, beside these tables, one provider."""
    return list(draft({"providers": [CODE], **tables}).problems)


def provider_problems(**more):
    """The problems of an entry."""
    return problems(providers=[{**OPENAI, **more}])


BAD_TABLES = [
    ({"nme": "x"}, "nme is unknown; did you mean 'name'"),
    ({"name": ""}, "name is ''; give a non-empty string"),
    ({"name": 3}, "name is 3; give a non-empty string"),
    ({"deadline": "60"}, "deadline is '60'; give finite seconds > 0, or leave it out"),
    ({"deadline": True}, "deadline is True; give finite seconds > 0, or leave it out"),
    ({"deadline": float("nan")}, "deadline is nan; give finite seconds > 0, or leave it out"),
    ({"deadline": -1}, "deadline is -1; give finite seconds > 0, or leave it out"),
    ({"when_all_open": "hope"}, "when_all_open is 'hope'; give one of fail, wait"),
    (
        {"when_all_open": "wait"},
        (
            "when_all_open is 'wait' and deadline None, so that a call might wait for ever; "
            "give a deadline"
        ),
    ),
    ({"audit": True}, "audit is True; give one of moves, full, off"),
    ({"breaker": 3}, "breaker is 3; give a table"),
    ({"breaker": {"jiter": 0}}, "breaker.jiter is unknown; did you mean 'jitter'"),
    ({"breaker": {"failure_ratio": 2}}, "breaker.failure_ratio is 2; give a ratio in (0, 1]"),
    ({"breaker": {"trip_on_success": 1}}, "breaker.trip_on_success is 1; give True or False"),
    (
        {"breaker": {"minimum_calls": 10.0}},
        "breaker.minimum_calls is 10.0; give a whole number >= 1",
    ),
    (
        {"breaker": {"window": {"kind": "count", "size": "9"}}},
        "breaker.window.size is '9'; give a whole number >= 1",
    ),
    (
        {"breaker": {"window": {"kind": "count", "seconds": 9}}},
        "breaker.window.seconds is unknown; give one of size",
    ),
    (
        {"breaker": {"window": {"size": 9}}},
        "breaker.window.kind is missing; give one of count, time",
    ),
    (
        {"breaker": {"window": 100}},
        "breaker.window is 100; give a table whose kind is one of count, time",
    ),
    (
        {"breaker": {"initial_state": "ajar"}},
        (
            "breaker.initial_state is 'ajar'; give one of closed, open, half_open, forced_open, "
            "disabled, observing"
        ),
    ),
    ({"retry": {"attempts": 0}}, "retry.attempts is 0; give a whole number >= 1"),
    ({"stream": {"policy": "drop"}}, "stream.policy is 'drop'; give one of raise, restart, buffer"),
    (
        {"strategy": {"kind": "capability_based", "prefer": "vision"}},
        "strategy.prefer is 'vision'; give a list of non-empty strings",
    ),
    (
        {"strategy": {"kind": "capability_based", "prefer": ["vision", 3]}},
        "strategy.prefer[1] is 3; give a non-empty string",
    ),
    ({"providers": []}, "providers is empty; give at least one, [[providers]]"),
    ({"providers": {}}, "providers is a dict; give a list of tables, [[providers]]"),
    ({"models": []}, "models is a list; give a table of models by name"),
    (
        {"models": {"gpt-4.1": {"contxt_window": 1}}},
        "models.\"gpt-4.1\".contxt_window is unknown; did you mean 'context_window'",
    ),
    (
        {"models": {"m": {"price": {"input_mtok": "1", "output_mtok": 1}}}},
        "models.m.price.input_mtok is '1'; give US dollars in [0, 1e9]",
    ),
    (
        {"models": {"m": {"aliases": ["n"]}, "n": {}}},
        "models: 'n' is an alias of 'm' and a name of 'n'; give each name once",
    ),
]


@pytest.mark.parametrize(("tables", "problem"), BAD_TABLES, ids=lambda each: str(each)[:60])
def test_a_bad_value_is_told_with_its_path(tables, problem):
    """Subject, fact and remedy; nothing is coerced."""
    assert problems(**tables) == [problem]


@pytest.mark.parametrize("strategy", ["cheap", 5, {"kind": "cheap"}, {"prefer": ["vision"]}])
def test_an_unknown_strategy_is_told_with_those_there_are(strategy):
    """By its kind alone, or as a table."""
    (problem,) = problems(strategy=strategy)
    assert problem.startswith("strategy")
    assert "give one of sequential, " in problem


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            {"strategy": "cost_optimised"},
            "strategy is 'cost_optimised'; did you mean 'cost_optimized'",
        ),
        (
            {"strategy": {"kind": "capabilty"}},
            "strategy.kind is 'capabilty'; did you mean 'capability_based'",
        ),
        (
            {"providers": [{**OPENAI, "kind": "Anthropic"}]},
            "providers[0].kind is 'Anthropic'; did you mean 'anthropic'",
        ),
        ({"audit": "of"}, "audit is 'of'; did you mean 'off'"),
        (
            {"breaker": {"initial_state": "opened"}},
            "breaker.initial_state is 'opened'; did you mean 'open'",
        ),
    ],
)
def test_a_word_that_is_nearly_right_is_answered_with_the_right_one(tables, problem):
    """As a key is."""
    assert problems(**tables) == [problem]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("gpt-4.1-mini", {"gpt-4": {"1-mini": {"context_window": 9}}}),
        ("gemini-2.5.1", {"gemini-2": {"5": {"1": {"price": {}}}}}),
    ],
)
def test_a_name_of_a_model_without_quotes_is_told_how_to_write_it(name, key):
    """To TOML its dots are tables in tables."""
    assert problems(models=key) == [f'models.{name} is unknown; quote the name, [models."{name}"]']


def test_a_slip_in_a_key_of_a_model_is_no_name():
    """It is answered with the nearest key."""
    assert problems(models={"m": {"prise": {"input_mtok": 1}}}) == [
        "models.m.prise is unknown; did you mean 'price'"
    ]


@pytest.mark.parametrize("key", ["name", "deadline", "attempt_timeout", "strategy", "audit"])
def test_a_key_of_the_file_below_a_table_is_sent_to_its_top(key):
    """To TOML it is a key of that table."""
    assert problems(retry={key: 1}) == [
        f"retry.{key} is unknown; it belongs to the whole file, above its first table"
    ]


@pytest.mark.parametrize("url", ["localhost:8000", f"user:{KEY}@example.org/v1"])
def test_an_address_without_a_scheme_is_told_what_it_lacks(url):
    """It is not shown: it may hold a password."""
    assert provider_problems(base_url=url) == [
        "providers[0].base_url begins with neither http:// nor https://; put one of them before it"
    ]


BAD_ENTRIES = [
    ({"name": None}, "name is None; give a non-empty string"),
    ({"model": ["m"]}, "model is a list; give a non-empty string"),
    ({"context_window": "8k"}, "context_window is '8k'; give a whole number >= 1, or leave it out"),
    ({"capabilities": "tools"}, "capabilities is 'tools'; give a list of non-empty strings"),
    ({"price": 3}, "price is 3; give a table"),
    ({"price": {"input_mtok": 1}}, "price.output_mtok is missing; give US dollars in [0, 1e9]"),
    (
        {"price": {"input_mtok": -1, "output_mtok": 0}},
        "price.input_mtok is -1; give US dollars in [0, 1e9]",
    ),
    (
        {"price": {"input_mtok": 1, "output_mtok": 0, "tiers": [{"start": "0"}]}},
        "price.tiers[0].input_mtok is missing; give US dollars in [0, 1e9]",
    ),
    ({"providers": ["b"]}, "providers is unknown; give one of "),
    ({"needs_key": "no"}, "needs_key is 'no'; give True or False"),
]


@pytest.mark.parametrize(("more", "problem"), BAD_ENTRIES, ids=lambda each: str(each)[:60])
def test_a_bad_value_of_a_provider_is_told_with_its_place(more, problem):
    """The path begins with the place of the entry."""
    assert any(each.startswith(f"providers[0].{problem}") for each in provider_problems(**more))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"name": "a"}, "providers[0].kind is missing; give one of openai, anthropic, chain, code"),
        (
            {"name": "a", "kind": "gemini"},
            "providers[0].kind is 'gemini'; give one of openai, anthropic, chain, code",
        ),
        ({"kind": "code"}, "providers[0].name is missing; give a non-empty string"),
        ({"name": "a", "kind": "openai"}, "providers[0].model is missing; give a non-empty string"),
        (
            {"name": "a", "kind": "chain"},
            "providers[0].providers is missing; give a list of names of other providers",
        ),
        (5, "providers[0] is 5; give a table whose kind is one of openai, anthropic, chain, code"),
        (
            {"name": "account:a", "kind": "code"},
            "providers[0].name is 'account:a'; give it one that does not begin with 'account:'",
        ),
    ],
)
def test_an_entry_without_what_it_needs_is_told(entry, problem):
    """What is missing is called missing."""
    assert problems(providers=[entry]) == [problem]


def test_every_problem_is_told_at_once():
    """What is wrong in one table, or of one value, hides nothing that is wrong elsewhere."""
    found = problems(
        deadlin=1,
        retry={"attempts": 0, "factr": 2},
        breaker={"window": "x", "minimum_calls": 0, "failure_ratio": "a"},
        providers=[{**OPENAI, "context_window": "8k"}, {**CODE}, 3],
    )
    assert [each.partition(" ")[0] for each in found] == [
        "deadlin",
        "breaker.window",
        "breaker.failure_ratio",
        "breaker.minimum_calls",
        "retry.factr",
        "retry.attempts",
        "providers[0].context_window",
        "providers[2]",
        "providers[1].name",
    ]


def test_a_pair_that_cannot_work_is_told_beside_an_unknown_key():
    """The class is asked of what is sound in itself, too."""
    found = problems(breaker={"minimum_calls": 200, "foo": 1})
    assert [each.partition(";")[0] for each in found] == [
        "breaker.foo is unknown",
        "breaker.minimum_calls is 200, above the window of 100, so never reached",
    ]


SLIPS = [
    {"api_key": KEY},
    {"apikey": KEY},
    {"token": KEY},
    {"api_key_env": KEY},
    {"api_key_env": "AIzaSyD-abcdefghijklmnopqrstuv"},
    {"api_key_env": [KEY]},
    {"base_url_env": KEY},
    {"base_url": f"https://user:{KEY}@example.org/v1"},
    {"base_url": f"https://example.org/v1?key={KEY}"},
    {"context_window": KEY},
    {KEY: 1},
]


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: next(iter(slip))[:14])
def test_a_key_in_the_file_is_refused_and_never_shown(slip):
    """Wherever it stands by mistake."""
    found = "\n".join(provider_problems(**slip))
    assert "providers[0]." in found
    for secret in (KEY[3:], "AIzaSyD"):
        assert secret not in found


@pytest.mark.parametrize(
    "value",
    [
        "Bearer abcdef0123456789",
        "5f2b8c1e3c7a4f0e9b571a2b3c4d5e6f",
        "5f2b8c1e-3c7a-4f0e-9b57-1a2b3c4d5e6f",
        "correct horse battery",
        "p4ssw0rd!",
        "12345",
        "AKIAIOSFODNN7EXAMPLE",
        "it\"s quoted's; give ",
    ],
)
@pytest.mark.parametrize("field", ["needs_key", "context_window", "kind"])
def test_a_string_where_none_should_be_is_not_shown(field, value):
    """Unless it is short and looks like a word: it may be a password."""
    (found,) = provider_problems(**{field: value})
    assert found.startswith(f"providers[0].{field} is a string (may be a key, not shown); give ")


@pytest.mark.parametrize("value", ["", "8k", "60", "0.5", "capability_based", "yes", "größer"])
def test_a_word_where_it_should_not_be_is_shown(value):
    """It is what somebody looks for."""
    (found,) = provider_problems(context_window=value)
    assert found.startswith(f"providers[0].context_window is {value!r}; give ")


def holding_itself():
    """A mapping that is its own `then`."""
    table = {"kind": "capability_based"}
    table["then"] = table
    return table


def nested(depth):
    """A strategy that hands on to another, and so on."""
    table = "sequential"
    for _ in range(depth):
        table = {"kind": "capability_based", "then": table}
    return table


DOUBLED = functools.reduce(lambda inner, _: [inner, inner], range(60), 1)
DEEP = "nested deeper than 32; take tables or lists out"
LONG = "a whole number of more than 64 bits; give a smaller one"


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"strategy": holding_itself()}, f"strategy is {DEEP}"),
        ({"strategy": nested(400)}, f"strategy is {DEEP}"),
        ({"name": DOUBLED}, f"name is {DEEP}"),
        ({"deadline": 10**5000}, f"deadline is {LONG}"),
        ({"breaker": {"window": {"size": -(2**64)}}}, f"breaker.window.size is {LONG}"),
    ],
    ids=["holds itself", "then", "doubled", "deadline", "size"],
)
def test_what_no_reader_gets_through_is_refused_before_it_is_read(tables, problem):
    """With its path and a remedy."""
    with pytest.raises(ConfigurationError) as caught:
        problems(**tables)
    assert caught.value.problems == (problem,)


def test_weights_that_are_all_0_are_refused():
    """Of the chain and of a chain within, as those who make them do."""
    balanced = {"kind": "load_balanced", "weights": {"a": 0}}
    words = "weights is 0 for every provider of the chain; give at least one a number above 0"
    assert problems(strategy=balanced) == [f"strategy.{words}"]
    entries = [CODE, {**chain("c", "a"), "strategy": balanced}]
    assert problems(providers=entries) == [f"providers[1].strategy.{words}"]
    assert problems(strategy=balanced, providers=[CODE, {**CODE, "name": "b"}]) == []


def test_a_wrong_weight_is_told_by_its_name():
    """And nothing of the others."""
    balanced = {"kind": "load_balanced", "weights": {"a": -1}}
    assert problems(strategy=balanced) == [
        "strategy.weights['a'] is -1; give 0 or a number in [1e-9, 1e9]"
    ]


def test_the_deepest_strategies_are_read():
    """Nobody nests so deep."""
    assert problems(strategy=nested(30)) == []


def test_a_key_under_its_own_name_is_answered_with_the_right_one():
    """The remedy is the NAME of a variable."""
    assert provider_problems(api_key=KEY) == [
        (
            "providers[0].api_key is unknown; give api_key_env, the NAME of an environment "
            "variable; no key in a file"
        )
    ]


def chain(name, *members):
    """A nested chain."""
    return {"name": name, "kind": "chain", "providers": list(members)}


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (
            [CODE, {**CODE}],
            ["providers[1].name is 'a', as of providers[0]; give each its own"],
        ),
        (
            [CODE, chain("c", "a", "aa")],
            ["providers[1].providers[1] is 'aa', and no provider has that name; did you mean 'a'"],
        ),
        (
            [CODE, chain("c", "a", "a")],
            ["providers[1].providers[1] is 'a', as providers[1].providers[0]; name each once"],
        ),
        (
            [chain("c", "c")],
            ["providers[0].providers leads back to itself, 'c' -> 'c'; take one of them out"],
        ),
        (
            [CODE, chain("c", "a", "d"), chain("d", "e"), chain("e", "c")],
            [
                (
                    "providers[1].providers leads back to itself, 'c' -> 'd' -> 'e' -> 'c'; "
                    "take one of them out"
                )
            ],
        ),
        (
            [chain("c", "c"), chain("d", "d")],
            [
                "providers[0].providers leads back to itself, 'c' -> 'c'; take one of them out",
                "providers[1].providers leads back to itself, 'd' -> 'd'; take one of them out",
            ],
        ),
        ([CODE, chain("c", "a"), chain("d", "a")], []),
    ],
)
def test_names_and_nesting_have_to_add_up(entries, found):
    """Doubles, names of nobody and circles, each told once; two chains may share a provider."""
    assert problems(providers=entries) == found
