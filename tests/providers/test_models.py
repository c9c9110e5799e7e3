"""Tables of models: what they know, and which slips they find."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.core.info import ModelFacts, ModelInfo, known
from fsm_fallback.core.prices import Price, Tier
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.models import ModelEntry, ModelTable

GPT = Price(input_mtok="0.40", output_mtok="1.60", cached_mtok="0.10")
TABLE = ModelTable(
    {
        "gpt-4.1-mini": ModelEntry(
            price=GPT,
            capabilities={"tools", "vision"},
            context_window=1_047_576,
            aliases=["gpt-4.1-mini-2025-04-14"],
        ),
        "bare": ModelEntry(),
    },
    source="our list",
    date=dt.date(2026, 8, 21),
)

TOML = """
date = 2026-08-21

[models."gpt-4.1-mini"]
aliases = ["gpt-4.1-mini-2025-04-14"]
capabilities = ["tools", "vision"]
context_window = 1_047_576
price = { input_mtok = 0.40, output_mtok = "1.60", cached_mtok = 0.10 }

[models.long.price]
input_mtok = 1.25
output_mtok = 10
per_request = 0.005
source = "their list"
date = 2026-08-01

[[models.long.price.tiers]]
start = 200_000
input_mtok = 2.5
output_mtok = 15
"""


def of(model):
    """What is known of a model by its name alone."""
    return ModelInfo(model=model)


def slips(mapping, **options):
    """The problems a mapping has."""
    with pytest.raises(ConfigurationError) as caught:
        ModelTable.from_mapping(mapping, **options)
    return caught.value.problems


class TestLookup:
    """Which name finds what."""

    @pytest.mark.parametrize("name", ["gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"])
    def test_a_model_is_found_by_its_name_and_its_aliases(self, name):
        """Either says the same."""
        assert TABLE.price(of(name)) is GPT
        assert TABLE.capabilities(of(name)) == ModelFacts(
            capabilities=frozenset({"tools", "vision"}),
            context_window=1_047_576,
            source="our list",
            date=dt.date(2026, 8, 21),
        )

    @pytest.mark.parametrize("name", ["gpt-4.1", "GPT-4.1-mini", "gpt-4.1-mini-2", "", None])
    def test_a_name_that_looks_alike_finds_nothing(self, name):
        """It may be of a model that costs ten times as much."""
        assert TABLE.price(of(name)) is None
        assert TABLE.capabilities(of(name)) is None

    def test_a_model_without_a_price_has_none(self):
        """That is unknown, not free."""
        assert TABLE.price(of("bare")) is None

    def test_a_table_completes_what_the_user_said(self):
        """As a source of both kinds."""
        info = known(of("gpt-4.1-mini"), [TABLE], [TABLE])
        assert (info.price, info.context_window) == (GPT, 1_047_576)

    def test_a_table_does_not_change_with_what_it_was_made_of(self):
        """It has a copy."""
        models = {"a": ModelEntry(price=GPT)}
        table = ModelTable(models)
        models.clear()
        assert table.price(of("a")) is GPT
        assert repr(table) == "<ModelTable: 1 names from 'configured'>"


class TestToml:
    """`ModelTable.from_toml`."""

    def test_a_file_says_what_code_would(self, tmp_path):
        """Its own name and day stand for prices that do not name theirs."""
        (tmp_path / "list.toml").write_text(TOML, encoding="utf-8")
        table = ModelTable.from_toml(tmp_path / "list.toml")
        assert table.price(of("gpt-4.1-mini-2025-04-14")) == Price(
            input_mtok=Decimal("0.4"),
            output_mtok=Decimal("1.6"),
            cached_mtok=Decimal("0.1"),
            source="list.toml",
            date=dt.date(2026, 8, 21),
        )
        assert table.price(of("long")) == Price(
            input_mtok="1.25",
            output_mtok=10,
            tiers=(Tier(start=200_000, input_mtok="2.5", output_mtok=15),),
            per_request="0.005",
            source="their list",
            date=dt.date(2026, 8, 1),
        )
        assert table.capabilities(of("gpt-4.1-mini")).source == "list.toml"

    @pytest.mark.parametrize("text", ["", "source = 'x'", "[models]"])
    def test_a_file_may_say_nothing(self, tmp_path, text):
        """An empty list knows no model."""
        (tmp_path / "list.toml").write_text(text, encoding="utf-8")
        assert ModelTable.from_toml(str(tmp_path / "list.toml")).price(of("a")) is None

    def test_every_slip_of_a_file_is_told_with_its_name(self, tmp_path):
        """Keys at the top, too."""
        text = "sources = 'x'\ndate = 'today'\nmodels = 3"
        (tmp_path / "list.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            ModelTable.from_toml(tmp_path / "list.toml")
        assert caught.value.problems == (
            "list.toml: date is 'today'; give a datetime.date, or None",
            "list.toml: sources is unknown; did you mean 'source'",
            "list.toml: models is 3; give a table",
        )

    @pytest.mark.parametrize(
        ("content", "told"),
        [(b"a = ", "is no TOML: Invalid value"), (b"\xff", "is no TOML: "), (None, "FileNotFound")],
    )
    def test_what_is_no_toml_is_refused(self, tmp_path, content, told):
        """So is what is not there."""
        if content is not None:
            (tmp_path / "list.toml").write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            ModelTable.from_toml(tmp_path / "list.toml")
        assert str(caught.value).startswith(f"list.toml: {told}")
        assert str(caught.value).endswith("; give the path of a TOML file")


class TestMapping:
    """`ModelTable.from_mapping`."""

    def test_the_prices_are_of_whoever_gave_the_mapping(self):
        """Unless they name their own source."""
        rates = {"input_mtok": 1, "output_mtok": 1}
        table = ModelTable.from_mapping(
            {"a": {"price": rates}, "b": {"price": rates | {"source": "b's"}}},
            source="prod.toml",
            date=dt.date(2026, 1, 1),
        )
        assert table.price(of("a")).source == "prod.toml"
        assert table.price(of("a")).date == dt.date(2026, 1, 1)
        assert table.price(of("b")).source == "b's"

    def test_every_slip_is_told_by_its_path(self):
        """Unknown keys with the nearest known one, wrong values with the remedy."""
        mapping = {
            "a.b": {
                "context_windw": 1,
                "context_window": 8.0,
                "capabilities": "tools",
                "aliases": [1],
                "price": {
                    "input_mtk": 1,
                    "output_mtok": -1,
                    "cached_mtok": float("nan"),
                    "tiers": [{"start": -1, "input_mtok": 1}, 3],
                },
            },
            "c": {"price": 0.5},
            "d": 3,
            "e": {"zzz": 1},
            "f": {"price": {"input_mtok": 1, "output_mtok": 1, "tiers": 1}},
        }
        amount = "an amount of USD in [0, 1e9]"
        assert slips(mapping, where="models") == (
            "models.a.b.context_windw is unknown; did you mean 'context_window'",
            "models.a.b.capabilities is 'tools'; give a list of non-empty strings",
            "models.a.b.aliases is a list; give a list of non-empty strings",
            "models.a.b.price.input_mtk is unknown; did you mean 'input_mtok'",
            f"models.a.b.price.input_mtok is missing; give {amount}",
            f"models.a.b.price.tiers[0].output_mtok is missing; give {amount}",
            "models.a.b.price.tiers[0].start is -1; give a whole number >= 0",
            "models.a.b.price.tiers[1] is 3; give a table",
            f"models.a.b.price.output_mtok is -1; give {amount}",
            f"models.a.b.price.cached_mtok is nan; give {amount}, or None",
            "models.a.b.context_window is 8.0; give a whole number >= 1, or None",
            "models.c.price is 0.5; give a table",
            "models.d is 3; give a table",
            "models.e.zzz is unknown; give one of price, capabilities, context_window, aliases",
            "models.f.price.tiers is 1; give a tuple of Tier, no two with the same start",
        )

    def test_what_is_missing_is_told(self):
        """A tier without a start, a price without anything."""
        tier = {"input_mtok": 1, "output_mtok": 1}
        problems = slips({"a": {"price": {"tiers": [tier]}}}, where="x")
        assert [problem.partition(" is missing;")[0] for problem in problems] == [
            "x.a.price.input_mtok",
            "x.a.price.output_mtok",
            "x.a.price.tiers[0].start",
        ]

    def test_names_are_texts_and_belong_to_one_model(self):
        """Who is asked for by a name must be certain."""
        mapping = {"a": {"aliases": ["b", "c"]}, "b": {"aliases": ["c"]}, 3: {}, "": {}}
        assert slips(mapping) == (
            "models has the name 3; give a non-empty string",
            "models has the name ''; give a non-empty string",
            "models: 'b' is an alias of 'a' and a name of 'b'; give each name once",
            "models: 'c' is an alias of 'b' and a name of 'a'; give each name once",
        )

    def test_a_source_that_is_none_is_told_once(self):
        """Not once for each price."""
        mapping = {"a": {"price": {"input_mtok": 1, "output_mtok": 1}}}
        assert slips(mapping, source="", date=3) == (
            "ModelTable.source is ''; give a non-empty string",
            "ModelTable.date is 3; give a datetime.date, or None",
        )


class TestCode:
    """Tables and entries made in code."""

    def test_an_entry_tells_every_problem_at_once(self):
        """By field; one text is no collection of them."""
        with pytest.raises(ConfigurationError) as caught:
            ModelEntry(price=0.5, capabilities="tools", context_window=0, aliases="b")
        assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
            "ModelEntry.price",
            "ModelEntry.capabilities",
            "ModelEntry.context_window",
            "ModelEntry.aliases",
        ]

    @pytest.mark.parametrize("wrong", [3, [1], ["a", ""], [["a"]], None])
    def test_capabilities_are_texts(self, wrong):
        """Whatever holds them."""
        with pytest.raises(ConfigurationError, match=r"^ModelEntry\.capabilities is "):
            ModelEntry(capabilities=wrong)

    def test_a_table_tells_every_problem_at_once(self):
        """Names, entries, source and day."""
        with pytest.raises(ConfigurationError) as caught:
            ModelTable({"a": GPT, 3: ModelEntry(aliases=("3",))}, source=None, date="x")
        assert caught.value.problems == (
            "ModelTable.source is None; give a non-empty string",
            "ModelTable.date is 'x'; give a datetime.date, or None",
            "ModelTable.models['a'] is a Price; give a ModelEntry",
            "ModelTable.models has the name 3; give a non-empty string",
        )

    def test_a_table_is_made_of_a_mapping(self):
        """Nothing else has names."""
        with pytest.raises(ConfigurationError, match=r"^ModelTable\.models is a list; give a map"):
            ModelTable([GPT])


amounts = st.decimals(0, 1000, places=4)
tiers = st.lists(
    st.builds(
        Tier,
        start=st.integers(0, 10**6),
        input_mtok=amounts,
        output_mtok=amounts,
        cached_mtok=st.none() | amounts,
    ),
    max_size=3,
    unique_by=lambda tier: tier.start,
)
prices = st.builds(
    Price,
    input_mtok=amounts,
    output_mtok=amounts,
    cached_mtok=st.none() | amounts,
    tiers=tiers,
    per_request=amounts,
    source=st.text(min_size=1),
    date=st.none() | st.dates(),
)
entries = st.builds(
    ModelEntry,
    price=st.none() | prices,
    capabilities=st.sets(st.text(min_size=1), max_size=3),
    context_window=st.none() | st.integers(1, 10**7),
)


def written(record, amount):
    """A record as the mapping that says the same."""
    said = {name: getattr(record, name) for name in record.__slots__ if name[0] != "_"}
    return {
        name: amount(value)
        if isinstance(value, Decimal)
        else [written(each, amount) for each in value]
        if name == "tiers"
        else value
        for name, value in said.items()
        if value is not None
    }


@pytest.mark.parametrize("amount", [str, float, Decimal])
@given(models=st.dictionaries(st.text(min_size=1), entries, max_size=4))
def test_a_table_that_is_written_down_reads_as_it_was(amount, models):
    """Whether its amounts are written as text, as floats or as decimal numbers."""
    mapping = {
        name: {
            "capabilities": sorted(entry.capabilities),
            "context_window": entry.context_window,
        }
        | ({} if entry.price is None else {"price": written(entry.price, amount)})
        for name, entry in models.items()
    }
    table, again = ModelTable(models), ModelTable.from_mapping(mapping)
    for name in models:
        assert again.price(of(name)) == table.price(of(name))
        assert again.capabilities(of(name)) == table.capabilities(of(name))
