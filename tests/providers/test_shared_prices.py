"""Two public price lists, each of which a table must be able to say."""

import gzip
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from fsm_fallback.core.info import ModelInfo
from fsm_fallback.providers.genai_prices import GenaiPrices
from fsm_fallback.providers.models import ModelTable

PRICES = Path(__file__).resolve().parents[3] / "shared" / "data" / "prices"
PLAIN = {"input_mtok": "input_mtok", "output_mtok": "output_mtok", "cache_read_mtok": "cached_mtok"}
TOKENS = [(1_000, 500, 0), (128_000, 10, 8), (128_001, 10, 8), (200_001, 1, 0), (600_000, 1, 9)]


def load(name):
    """Read a shared file, or say why not."""
    path = PRICES / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing; a CI run must check the shared prices")
        pytest.skip(f"{path} is missing; it is shared between projects, not part of this one")
    return json.loads(gzip.decompress(path.read_bytes()), parse_float=Decimal)


def rate(price, tokens):
    """The rate in force, read off the file as naively as can be."""
    if not isinstance(price, dict):
        return price
    return next((t["price"] for t in price["tiers"][::-1] if tokens > t["start"]), price["base"])


def as_mapping(prices):
    """A list of plain prices as a configuration would say it."""
    starts = {t["start"] for p in prices.values() if isinstance(p, dict) for t in p["tiers"]}

    def rates(tokens):
        return {ours: rate(prices[key], tokens) for key, ours in PLAIN.items() if key in prices}

    return rates(0) | {"tiers": [{"start": start} | rates(start + 1) for start in starts]}


@pytest.mark.parametrize("version", [1, 2])
def test_every_plain_price_of_genai_prices_can_be_said(version):
    """And costs what the file says by hand."""
    said = 0
    for provider in load(f"genai_prices_slim_v{version}.json.gz"):
        for model in provider["models"]:
            lists = model["prices"]
            for prices in [lists] if isinstance(lists, dict) else [p["prices"] for p in lists]:
                if not {"input_mtok", "output_mtok"} <= prices.keys() <= PLAIN.keys():
                    continue
                table = ModelTable.from_mapping({"m": {"price": as_mapping(prices)}})
                price = table.price(ModelInfo(model="m"))
                for tokens, output, cached in TOKENS:
                    fresh = rate(prices["input_mtok"], tokens)
                    cost = fresh * (tokens - cached) + rate(prices["output_mtok"], tokens) * output
                    cost += rate(prices.get("cache_read_mtok", fresh), tokens) * cached
                    assert price.cost(tokens, output, cached) == cost / Decimal(10**6)
                said += 1
    assert said > 1_000


def facts(entry):
    """What the other list says of a model, as a configuration would."""
    able = [name for name, value in entry.items() if name.startswith("supports_") and value is True]
    window = entry.get("max_input_tokens")
    said = {"capabilities": able} | ({"context_window": window} if window else {})
    per_token = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if None not in per_token:
        said["price"] = {
            key: Decimal(cost) * 10**6
            for key, cost in zip(("input_mtok", "output_mtok"), per_token, strict=True)
        }
    return said


def test_every_model_of_a_router_can_be_said():
    """3,653 of them, in one table."""
    listed = load("litellm_model_table_1.109.1.json.gz")
    del listed["sample_spec"]
    table = ModelTable.from_mapping({name: facts(entry) for name, entry in listed.items()})
    mini = ModelInfo(model="gpt-4.1-mini")
    assert table.price(mini).cost(1_000_000, 1_000_000) == 2
    assert "supports_vision" in table.capabilities(mini).capabilities
    assert table.capabilities(mini).context_window == 1_047_576
    assert repr(table).startswith("<ModelTable: 3653 names")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_two_lists_agree_on_most_models(provider):
    """Of different hands: where both know a chat model, at most one in ten differs."""
    listed = load("litellm_model_table_1.109.1.json.gz")
    source = GenaiPrices(provider)
    same, differ = 0, []
    for name, entry in listed.items():
        said = facts(entry).get("price")
        if entry["litellm_provider"] != provider or entry["mode"] != "chat" or said is None:
            continue
        price = source.price(ModelInfo(model=name))
        if price is None:
            continue
        if (price.input_mtok, price.output_mtok) == (said["input_mtok"], said["output_mtok"]):
            same += 1
        else:
            differ.append(name)
    assert same > 10
    assert len(differ) <= same / 10, differ
