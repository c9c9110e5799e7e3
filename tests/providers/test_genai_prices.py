"""Quotes of genai-prices: the same as its own calculation, once per model, or none at all."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices import __version__ as version
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)
from genai_prices.types import ModelInfo as Listed
from genai_prices.types import Tier as ListedTier

from fsm_fallback.core.info import ModelFacts, ModelInfo, known
from fsm_fallback.core.prices import Price, Tier
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.genai_prices import GenaiPrices

NOON = datetime(2026, 8, 21, 12, tzinfo=UTC)

TOKENS = [
    (1_000, 500, 0),
    (100_000, 10, 100_000),
    (199_999, 100, 99),
    (200_000, 7, 1),
    (200_001, 7, 1),
    (272_001, 50, 0),
    (1_000_000, 1_000, 12),
]


def dollars(text):
    """A listed price, such as `"1.25"`, or `"1.25 200000:2.5"` with tiers."""
    base, *tiers = text.split()
    if not tiers:
        return Decimal(base)
    steps = [each.split(":") for each in tiers]
    return TieredPrices(Decimal(base), [ListedTier(int(s), Decimal(p)) for s, p in steps])


def listed(**prices):
    """A list of prices as the package has it."""
    return ModelPrice(**{key: dollars(text) for key, text in prices.items()})


@pytest.fixture
def list_of():
    """Makes the package's list one of a single model, `"m"` of `"acme"`."""

    def replace(prices, *, updated=False, window=None):
        model = Listed("m", ClauseEquals("m"), prices=prices, context_window=window)
        acme = Provider("acme", "Acme", "acme", model_match=ClauseEquals("m"), models=[model])
        at = datetime(2026, 8, 21, 23, tzinfo=UTC)
        set_custom_snapshot(DataSnapshot([acme], from_auto_update=updated, timestamp=at))

    yield replace
    set_custom_snapshot(None)


def quoted(at=NOON):
    """What the single model is quoted at."""
    return GenaiPrices("acme", at=at).price(ModelInfo(model="m"))


def calculated(tokens, model, provider, at):
    """What the package itself says a call costs."""
    ins, outs, cached = tokens
    usage = Usage(input_tokens=ins, output_tokens=outs, cache_read_tokens=cached)
    return calc_price(usage, model, provider_id=provider, genai_request_timestamp=at).total_price


def prices_of(model):
    """All lists of prices a listed model has."""
    if isinstance(model.prices, ModelPrice):
        return [model.prices]
    return [each.prices for each in model.prices]


class TestWholeList:
    """All models of the list that came with the package."""

    @pytest.mark.parametrize("hour", [2, 20])
    def test_a_quote_is_what_the_package_calculates(self, hour):
        """To the last digit; where that changes by the hour, never less."""
        at = NOON.replace(hour=hour)
        compared = 0
        for provider in get_snapshot().providers:
            source = GenaiPrices(provider.id, at=at)
            for model in provider.models:
                price = source.price(ModelInfo(model=model.id))
                if price is None:
                    continue
                by_hour = "TimeOfDateConstraint" in repr(model.prices)
                for tokens in TOKENS:
                    ours = price.cost(*tokens)
                    theirs = calculated(tokens, model.id, provider.id, at)
                    assert ours >= theirs if by_hour else ours == theirs, (model.id, tokens)
                compared += 1
        assert compared > 1_500

    def test_only_what_a_price_cannot_say_is_unknown(self):
        """No price at all, or one by other measures than those of text."""
        unknown = Counter()
        for provider in get_snapshot().providers:
            source = GenaiPrices(provider.id, at=NOON)
            for model in provider.models:
                if source.price(ModelInfo(model=model.id)) is not None:
                    continue
                if not model.is_match(model.id):  # its calls go by other names
                    continue
                keys = {key for prices in prices_of(model) for key in vars(prices)}
                strange = {
                    key
                    for key in keys
                    if key.startswith("output_") or key.endswith(("_hours", "_kpages", "_mchars"))
                } - {"output_mtok"}
                assert not keys or strange or "input_mtok" not in keys, (model.id, keys)
                unknown[bool(keys)] += 1
        assert unknown[False] > 0  # such as those that an account may call for free
        assert unknown[True] > 0

    @pytest.mark.parametrize(
        ("model", "provider"),
        [
            ("gpt-4o-realtime-preview", "openai"),
            ("gemini-2.5-flash-image", "google"),
            ("whisper-1", "openai"),
            ("sonar-deep-research", "perplexity"),
        ],
    )
    def test_a_model_that_answers_with_more_than_text_is_unknown(self, model, provider):
        """Its usage does not tell apart what is priced apart."""
        assert GenaiPrices(provider, at=NOON).price(ModelInfo(model=model)) is None

    def test_the_provider_may_be_concluded_from_the_name(self):
        """By the package's rules; an alias with a date is known, too."""
        source = GenaiPrices(at=NOON)
        price = source.price(ModelInfo(model="gpt-4.1-mini"))
        assert (price.input_mtok, price.output_mtok) == (Decimal("0.4"), Decimal("1.6"))
        assert source.price(ModelInfo(model="gpt-4.1-mini-2025-04-14")) == price
        assert (
            GenaiPrices("litellm", at=NOON).price(ModelInfo(model="openai/gpt-4.1-mini")) == price
        )

    def test_a_window_is_told_with_who_says_so(self):
        """Of capabilities the list knows nothing."""
        facts = GenaiPrices("openai").capabilities(ModelInfo(model="gpt-4o"))
        assert facts == ModelFacts(context_window=128_000, source=f"genai-prices {version}")

    @pytest.mark.parametrize("model", [None, "", "nobody-has-this"])
    def test_a_model_nobody_lists_is_unknown(self, model):
        """Not free."""
        source = GenaiPrices()
        info = ModelInfo(model=model)
        assert source.price(info) is None
        assert source.capabilities(info) is None
        assert known(info, [source], [source]) == info


class TestLists:
    """How one list of prices reads."""

    def test_a_tier_takes_what_does_not_change_from_below(self, list_of):
        """Each rate may have its own starts."""
        list_of(listed(input_mtok="1 100:2 300:3", output_mtok="4 200:5", cache_read_mtok="0.5"))
        assert quoted().tiers == (
            Tier(start=100, input_mtok=2, output_mtok=4, cached_mtok="0.5"),
            Tier(start=200, input_mtok=2, output_mtok=5, cached_mtok="0.5"),
            Tier(start=300, input_mtok=3, output_mtok=5, cached_mtok="0.5"),
        )
        for tokens in (100, 101, 200, 201, 300, 301):
            counts = (tokens, 10, 7)
            assert quoted().cost(*counts) == calculated(counts, "m", "acme", NOON)

    def test_requests_are_priced_by_the_thousand(self, list_of):
        """One costs a thousandth."""
        list_of(listed(input_mtok="1", output_mtok="1", requests_kcount="5"))
        assert quoted().per_request == Decimal("0.005")
        assert quoted().cost(10, 10) == calculated((10, 10, 0), "m", "acme", NOON)

    def test_input_alone_may_be_priced(self, list_of):
        """A model for embeddings answers for nothing."""
        list_of(listed(input_mtok="0.02"))
        assert quoted().output_mtok == 0
        assert quoted().cached_mtok == quoted().input_mtok == Decimal("0.02")

    @pytest.mark.parametrize(
        "prices",
        [
            {},
            {"output_mtok": "1"},
            {"input_mtok": "1", "output_mtok": "1", "output_audio_mtok": "9"},
            {"input_mtok": "1", "output_mtok": "1", "audio_hours": "9"},
            {"input_mtok": "1", "output_mtok": "1", "requests_kcount": "5 100:6"},
            {"input_mtok": "1", "output_mtok": "1", "a_key_of_next_year": "9"},
        ],
    )
    def test_what_a_price_cannot_say_is_unknown(self, list_of, prices):
        """Rather than wrong."""
        list_of(listed(**prices))
        assert quoted() is None

    @pytest.mark.parametrize("key", ["cache_write_mtok", "input_audio_mtok", "web_searches_kcount"])
    def test_what_only_some_calls_use_is_left_out(self, list_of, key):
        """The price is right for text without tools."""
        list_of(listed(input_mtok="1", output_mtok="2", **{key: "9"}))
        assert quoted().cost(1_000_000, 1_000_000) == 3


class TestTime:
    """Prices that change."""

    def test_a_price_of_a_day_is_the_one_in_force(self, list_of):
        """The last one that has begun, in UTC."""
        list_of(
            [
                ConditionalPrice(prices=listed(input_mtok="1")),
                ConditionalPrice(
                    StartDateConstraint(date(2026, 9, 1)), prices=listed(input_mtok="2")
                ),
            ]
        )
        eve = datetime(2026, 8, 31, 23, 59)  # noqa: DTZ001  # without a zone it is UTC
        assert quoted(eve).input_mtok == 1
        assert quoted(eve + timedelta(minutes=1)).input_mtok == 2

    @pytest.mark.parametrize("hour", [0, 3, 12, 23])
    def test_of_a_price_of_an_hour_each_rate_is_the_dearest_of_the_day(self, list_of, hour):
        """Whenever it is asked for: the chain may live for days."""
        night = TimeOfDateConstraint(time(1, tzinfo=UTC), time(4, tzinfo=UTC))
        list_of(
            [
                ConditionalPrice(prices=listed(input_mtok="9")),  # no longer in force
                ConditionalPrice(
                    StartDateConstraint(date(2026, 1, 1)), prices=listed(input_mtok="3")
                ),
                ConditionalPrice(night, prices=listed(input_mtok="2 100:5", output_mtok="7")),
            ]
        )
        price = quoted(NOON.replace(hour=hour))
        assert (price.input_mtok, price.output_mtok) == (3, 7)
        assert price.tiers == (Tier(start=100, input_mtok=5, output_mtok=7, cached_mtok=5),)

    def test_the_hours_that_nothing_else_covers_are_at_the_first_price(self, list_of):
        """As the package has it."""
        night = TimeOfDateConstraint(time(1, tzinfo=UTC), time(4, tzinfo=UTC))
        later = StartDateConstraint(date(2027, 1, 1))
        list_of(
            [
                ConditionalPrice(later, prices=listed(input_mtok="9")),
                ConditionalPrice(night, prices=listed(input_mtok="2")),
            ]
        )
        assert quoted().input_mtok == 9 == calculated((10**6, 0, 0), "m", "acme", NOON)

    def test_one_hour_that_cannot_be_said_makes_the_price_unknown(self, list_of):
        """For nobody knows whether it is the dearest."""
        night = TimeOfDateConstraint(time(1, tzinfo=UTC), time(4, tzinfo=UTC))
        list_of(
            [
                ConditionalPrice(prices=listed(input_mtok="1")),
                ConditionalPrice(night, prices=listed(audio_hours="1")),
            ]
        )
        assert quoted() is None

    def test_a_quote_is_kept(self, list_of):
        """A list that is replaced later on changes nothing that was wired before."""
        list_of(listed(input_mtok="1"))
        source = GenaiPrices("acme")
        first = source.price(ModelInfo(model="m"))
        list_of(listed(input_mtok="2"))
        assert source.price(ModelInfo(model="m")) is first
        assert GenaiPrices("acme").price(ModelInfo(model="m")).input_mtok == 2


class TestOrigin:
    """Who says so, and when."""

    def test_the_list_of_the_package_is_named_by_its_version(self, list_of):
        """Of which day it is, it does not say."""
        list_of(listed(input_mtok="1"), window=8)
        assert quoted() == Price(
            input_mtok=1, output_mtok=0, cached_mtok=1, source=f"genai-prices {version}"
        )

    def test_a_list_that_was_updated_is_of_that_day(self, list_of):
        """By the package, at the user's wish: never by a quote."""
        list_of(listed(input_mtok="1"), updated=True, window=8)
        facts = GenaiPrices("acme").capabilities(ModelInfo(model="m"))
        assert quoted().date == facts.date == date(2026, 8, 21)


class TestWiring:
    """How a source is made."""

    def test_a_provider_nobody_knows_is_refused(self):
        """The message says which there are."""
        with pytest.raises(ConfigurationError, match=r"^GenaiPrices\.provider is 'acme', which ge"):
            GenaiPrices("acme")

    def test_every_argument_that_is_none_is_told(self):
        """At once."""
        with pytest.raises(ConfigurationError) as caught:
            GenaiPrices("", at="noon")
        assert caught.value.problems == (
            "GenaiPrices.provider is ''; give the id of a provider of genai-prices, or None",
            "GenaiPrices.at is 'noon'; give a datetime, or None",
        )

    def test_it_is_shown_by_its_provider(self):
        """In messages."""
        assert repr(GenaiPrices("openai")) == "GenaiPrices('openai')"


def in_a_fresh_interpreter(code):
    """What a program prints as JSON."""
    ran = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


def test_quoting_opens_no_connection_and_starts_no_thread():
    """The module imports nothing of the package, the first source does, and no more happens."""
    code = """
import json, socket, sys, threading
connections = []
def noting(event, _):
    if event.startswith("socket."):
        connections.append(event)
sys.addaudithook(noting)
from fsm_fallback import ModelInfo
from fsm_fallback.providers.genai_prices import GenaiPrices
early = "genai_prices" in sys.modules
price = GenaiPrices("openai").price(ModelInfo(model="gpt-4.1-mini"))
print(json.dumps([early, price is not None, connections, threading.active_count()]))
"""
    assert in_a_fresh_interpreter(code) == [False, True, [], 1]


def test_without_the_package_the_message_names_the_extra():
    """It is told when the source is made, not when a call is."""
    code = """
import json, sys
sys.modules["genai_prices"] = None
from fsm_fallback import ConfigurationError
from fsm_fallback.providers.genai_prices import GenaiPrices
try:
    GenaiPrices()
except ConfigurationError as error:
    print(json.dumps(error.problems))
"""
    assert in_a_fresh_interpreter(code) == [
        "GenaiPrices needs the package genai-prices; install fsm-fallback[prices]"
    ]
