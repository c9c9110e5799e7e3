"""What calls cost: by hand, at the edges of tiers, and as laws."""

import datetime as dt
import decimal
import math
import pickle
import subprocess
import sys
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.core.prices import Price, Tier
from fsm_fallback.errors import ConfigurationError

GPT = Price(input_mtok="0.40", output_mtok="1.60", cached_mtok="0.10")
LONG = Price(
    input_mtok="1.25",
    output_mtok=10,
    cached_mtok="0.125",
    tiers=(Tier(start=200_000, input_mtok="2.50", output_mtok=15, cached_mtok="0.25"),),
)

amounts = st.decimals(0, 1000, places=6)
counts = st.integers(0, 5_000_000)


@st.composite
def rising(draw):
    """Prices whose tiers are never cheaper than what is below them."""
    steps = sorted(draw(st.lists(counts, max_size=3, unique=True)))
    ins, outs, cached = (
        sorted(draw(st.lists(amounts, min_size=len(steps) + 1, max_size=len(steps) + 1)))
        for _ in range(3)
    )
    return Price(
        input_mtok=ins[0],
        output_mtok=outs[0],
        cached_mtok=min(cached[0], ins[0]),
        tiers=[
            Tier(start=start, input_mtok=i, output_mtok=o, cached_mtok=min(c, i))
            for start, i, o, c in zip(steps, ins[1:], outs[1:], cached[1:], strict=True)
        ],
        per_request=draw(amounts),
    )


class TestCost:
    """`Price.cost`."""

    @pytest.mark.parametrize(
        ("tokens", "cost"),
        [
            ((0, 0), "0"),
            ((1, 0), "0.0000004"),
            ((0, 1), "0.0000016"),
            ((1_000_000, 1_000_000), "2"),
            ((12_345, 678), "0.0060228"),  # 12345 x 0.4 = 4938; 678 x 1.6 = 1084.8
            ((12_345, 678, 10_000), "0.0030228"),  # 2345 x 0.4 + 10000 x 0.1 = 1938
            ((10, 0, 10), "0.000001"),
        ],
    )
    def test_a_call_costs_what_its_tokens_do(self, tokens, cost):
        """Cached tokens are part of the input, at a rate of their own."""
        assert GPT.cost(*tokens) == Decimal(cost)

    @pytest.mark.parametrize(
        ("tokens", "cost"),
        [
            (199_999, "0.25999875"),  # 199999 x 1.25 + 1000 x 10
            (200_000, "0.26"),
            (200_001, "0.5150025"),  # 200001 x 2.5 + 1000 x 15
        ],
    )
    def test_a_tier_prices_the_whole_request(self, tokens, cost):
        """One token above its start, not at it, all tokens pay more, those of the output too."""
        assert LONG.cost(tokens, 1_000) == Decimal(cost)
        assert LONG.estimate(tokens, 1_000) == pytest.approx(float(cost), rel=1e-12)

    def test_the_highest_tier_that_is_exceeded_holds(self):
        """In whatever order they were given."""
        price = Price(
            input_mtok=1,
            output_mtok=0,
            tiers=[
                Tier(start=200, input_mtok=3, output_mtok=0),
                Tier(start=100, input_mtok=2, output_mtok=0),
            ],
        )
        costs = [price.cost(tokens, 0) * 1_000_000 for tokens in (100, 101, 200, 201)]
        assert costs == [100, 202, 400, 603]
        assert [tier.start for tier in price.tiers] == [100, 200]

    def test_cached_tokens_are_priced_by_their_tier(self):
        """By its own rate for them, or by its rate for input."""
        assert LONG.cost(300_000, 0, 300_000) == Decimal("0.075")
        bare = attrs.evolve(LONG, tiers=(Tier(start=1, input_mtok=4, output_mtok=4),))
        assert bare.cost(1_000_000, 0, 500_000) == 4

    def test_without_a_rate_for_cached_tokens_they_cost_what_input_does(self):
        """None is not 0."""
        none = Price(input_mtok=3, output_mtok=0)
        zero = Price(input_mtok=3, output_mtok=0, cached_mtok=0)
        assert none.cost(1_000_000, 0, 1_000_000) == 3
        assert zero.cost(1_000_000, 0, 1_000_000) == 0

    def test_more_cached_tokens_than_input_are_all_of_it(self):
        """A provider that miscounts does not make a call pay back."""
        assert GPT.cost(10, 0, 999) == GPT.cost(10, 0, 10)

    def test_a_request_may_cost_a_fixed_sum(self):
        """Beside its tokens, and without any."""
        price = Price(input_mtok=1, output_mtok=1, per_request="0.005")
        assert price.cost(0, 0) == Decimal("0.005")
        assert price.cost(1_000, 0) == Decimal("0.006")

    def test_zero_is_free(self):
        """Whatever the call takes."""
        free = Price(input_mtok=0, output_mtok=0)
        assert free.cost(10**9, 10**9, 10**9) == 0
        assert free.estimate(10**9, 10**9, 10**9) == 0

    def test_the_callers_decimal_context_changes_nothing(self):
        """Neither its precision nor its traps."""
        with decimal.localcontext(prec=2) as context:
            context.traps[decimal.Inexact] = True
            assert str(GPT.cost(12_345, 678)).rstrip("0") == "0.0060228"

    @pytest.mark.parametrize("wrong", [-1, 1.5, True, None, "1"])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_count_that_is_none_is_refused(self, place, wrong):
        """The message names it."""
        tokens = [1, 1, 1]
        tokens[place] = wrong
        name = ("input_tokens", "output_tokens", "cached_tokens")[place]
        with pytest.raises(ValueError, match=rf"^{name} is .*; give a whole number >= 0$"):
            GPT.cost(*tokens)

    @given(rising(), counts, counts, st.data())
    def test_more_tokens_never_cost_less(self, price, tokens, output, drawn):
        """As long as tiers do not."""
        cached = drawn.draw(st.integers(0, tokens))
        cost = price.cost(tokens, output, cached)
        assert price.cost(tokens + 1, output, cached) >= cost
        assert price.cost(tokens, output + 1, cached) >= cost
        assert price.cost(tokens * 2, output, cached) >= cost

    @given(rising(), counts, counts, st.data())
    def test_an_estimate_is_the_cost_in_floats(self, price, tokens, output, drawn):
        """Within the error of floats."""
        cached = drawn.draw(st.integers(0, tokens))
        cost = float(price.cost(tokens, output, cached))
        assert math.isclose(
            price.estimate(tokens, output, cached), cost, rel_tol=1e-9, abs_tol=1e-12
        )

    @given(rising(), st.sampled_from([0, 1, 10**6, 10**30]), counts)
    def test_a_cost_is_exact(self, price, tokens, output):
        """It is the same as in whole numbers of the smallest fraction there is."""
        rates = next((t for t in reversed(price.tiers) if tokens > t.start), price)
        unit = 10**6
        whole = int(rates.input_mtok * unit) * tokens + int(rates.output_mtok * unit) * output
        whole += int(price.per_request * unit) * unit
        assert int(price.cost(tokens, output).scaleb(12, decimal.Context(prec=99))) == whole


class TestAmounts:
    """What a price may be."""

    @pytest.mark.parametrize(
        "amount", [0.15, "0.15", Decimal("0.15"), " 0.15 ", "15e-2", Decimal("0.1500")]
    )
    def test_an_amount_is_the_number_it_prints_as(self, amount):
        """A float, too: not the binary fraction next to it."""
        price = Price(input_mtok=amount, output_mtok=amount, cached_mtok=amount)
        assert price.input_mtok == price.output_mtok == price.cached_mtok == Decimal("0.15")

    @pytest.mark.parametrize("amount", [0, 1_000_000_000, "1e9", 1e-30])
    def test_the_bounds_belong_to_it(self, amount):
        """Free is a price."""
        assert Price(input_mtok=amount, output_mtok=0).input_mtok == Decimal(str(amount))

    @pytest.mark.parametrize(
        ("amount", "shown"),
        [
            (-1, "-1"),
            (-0.5, "-0.5"),
            ("-1", "'-1'"),
            (Decimal(-1), "'-1'"),
            (math.nan, "nan"),
            (math.inf, "inf"),
            ("NaN", "'NaN'"),
            ("sNaN", "'sNaN'"),
            (Decimal("Infinity"), "'Infinity'"),
            ("cheap", "'cheap'"),
            ("", "''"),
            (True, "True"),
            (1_000_000_001, "1000000001"),
            ("1e-31", "'1e-31'"),
            ("1e999999999", "'1e999999999'"),
            ([1], "a list"),
            ({"usd": 1}, "a dict"),
            (Price, "a Price class"),
        ],
    )
    def test_an_amount_that_is_none_is_refused(self, amount, shown):
        """The message names field, value and remedy."""
        with pytest.raises(ConfigurationError) as caught:
            Price(input_mtok=amount, output_mtok=1)
        assert caught.value.problems == (
            f"Price.input_mtok is {shown}; give an amount of USD in [0, 1e9]",
        )

    def test_every_problem_is_told_at_once(self):
        """So that a list of prices is mended in one go."""
        with pytest.raises(ConfigurationError) as caught:
            Price(
                input_mtok=-1,
                output_mtok=None,
                cached_mtok="x",
                tiers=({"start": 1},),
                per_request=-1,
                source="",
                date="2026-08-21",
            )
        assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
            "Price.input_mtok",
            "Price.output_mtok",
            "Price.cached_mtok",
            "Price.tiers",
            "Price.per_request",
            "Price.source",
            "Price.date",
        ]

    def test_a_tier_tells_its_problems_itself(self):
        """All of them."""
        with pytest.raises(ConfigurationError) as caught:
            Tier(start=-1, input_mtok=-1, output_mtok="x", cached_mtok=True)
        assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
            "Tier.start",
            "Tier.input_mtok",
            "Tier.output_mtok",
            "Tier.cached_mtok",
        ]

    def test_two_tiers_with_one_start_are_refused(self):
        """Nobody could say which one holds."""
        tier = Tier(start=5, input_mtok=1, output_mtok=1)
        with pytest.raises(ConfigurationError, match="no two with the same start"):
            Price(input_mtok=1, output_mtok=1, tiers=(tier, tier))

    def test_a_moment_is_no_day(self):
        """Prices are of a day."""
        with pytest.raises(ConfigurationError, match=r"^Price\.date is a datetime; give a"):
            Price(input_mtok=1, output_mtok=1, date=dt.datetime(2026, 8, 21, tzinfo=dt.UTC))


class TestRecord:
    """What every price carries."""

    def test_a_price_says_who_says_so_and_of_which_day(self):
        """By default it was configured, nobody knows when; the currency is one."""
        assert (GPT.source, GPT.date, GPT.currency) == ("configured", None, "USD")
        dated = attrs.evolve(GPT, source="list 3", date=dt.date(2026, 8, 21))
        assert (dated.source, dated.date) == ("list 3", dt.date(2026, 8, 21))

    def test_equal_prices_are_equal_and_hash_alike(self):
        """Whatever they were given as."""
        same = Price(input_mtok=0.4, output_mtok="1.6", cached_mtok=Decimal("0.1"))
        assert same == GPT
        assert hash(same) == hash(GPT)

    def test_a_price_can_be_pickled_and_evolved(self):
        """What an estimate reckons with goes along."""
        again = pickle.loads(pickle.dumps(LONG))  # noqa: S301  # our own
        assert again == LONG
        assert again.estimate(300_000, 10) == LONG.estimate(300_000, 10)
        dearer = attrs.evolve(GPT, input_mtok=4)
        assert dearer.estimate(1_000_000, 0) == 4

    def test_an_estimate_may_expect_half_a_token(self):
        """An expectation need not be whole."""
        assert GPT.estimate(0, 0.5) == pytest.approx(0.0000008)


def test_who_has_no_prices_does_not_import_what_they_need():
    """`decimal` is imported by the first price, `datetime` by the first that has a day."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import fsm_fallback.core.prices\n"
        "print(sorted({'decimal', 'datetime'} & (set(sys.modules) - before)))"
    )
    ran = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
