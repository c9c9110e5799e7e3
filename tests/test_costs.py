"""What calls cost, and what they say of themselves: in the trail, the metrics and the order."""

from decimal import Decimal

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    CallOptions,
    CapabilityBased,
    ConfigurationError,
    CostOptimized,
    FallbackProvider,
    ModelFacts,
    Price,
    Usage,
    provider,
)

CHEAP = Price(input_mtok=1, output_mtok=2)
DEAR = Price(input_mtok=10, output_mtok=20)


class Reply:
    """An answer that tells its tokens."""

    def __init__(self, into=1000, out=500, cached=0):
        self.usage = {
            "prompt_tokens": into,
            "completion_tokens": out,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


def answering(name, price=None, reply=None, **known):
    """A provider that answers."""
    reply = Reply() if reply is None else reply
    return provider(name, price=price, **known)(lambda *_args, **_more: reply)


def failing(name, **known):
    """A provider that does not."""

    @provider(name, **known)
    def fail(*_args, **_more):
        raise ConnectionError

    return fail


class TestTheTrail:
    """The cost of each attempt."""

    def test_an_answer_costs_its_tokens(self):
        """Exactly, in US dollars."""
        answer = FallbackProvider(answering("a", CHEAP)).detailed("why")
        assert answer.trail[0].cost == answer.cost == Decimal("0.002")

    def test_a_rejected_answer_costs_as_well(self):
        """The call costs both."""
        llm = FallbackProvider(
            answering("a", DEAR),
            answering("b", CHEAP, "good"),
            accept=lambda value: value == "good",
        )
        answer = llm.detailed("why")
        assert [each.cost for each in answer.trail] == [Decimal("0.02"), None]
        assert answer.cost == Decimal("0.02")

    @pytest.mark.parametrize(
        "told",
        [
            answering("a"),
            answering("a", CHEAP, "no tokens told"),
            answering("a", CHEAP, {"usage": {"prompt_tokens": 7}}),
        ],
    )
    def test_where_price_or_tokens_are_not_known_neither_is_the_cost(self, told):
        """None is not 0."""
        assert FallbackProvider(told).detailed("why").cost is None

    def test_a_chain_inside_costs_what_its_attempts_cost(self):
        """They are in its trail."""
        inner = FallbackProvider(failing("a"), answering("b", CHEAP), name="inner")
        answer = FallbackProvider(inner).detailed("why")
        assert answer.trail[0].cost == Decimal("0.002")
        assert [each.cost for each in answer.trail[0].trail] == [None, Decimal("0.002")]

    def test_a_stream_costs_what_it_told(self):
        """Once it has told it."""

        @provider("a", price=CHEAP)
        def pieces(prompt):
            yield {"choices": [{"delta": {"content": "hello"}, "finish_reason": None}]}
            yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
            yield {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 500}}

        llm = FallbackProvider(pieces)
        with llm.stream_detailed("why") as items:
            assert items.cost is None
            list(items)
        assert items.cost == Decimal("0.002")
        assert llm.metrics()["a"].cost == Decimal("0.002")


class TestTheMetrics:
    """Tokens and costs, summed up."""

    @pytest.mark.parametrize("way", ["call", "detailed"])
    def test_they_sum_up_however_a_call_is_made(self, way):
        """Straight, walked, and behind one that failed."""
        llm = FallbackProvider(
            failing("a", price=DEAR), answering("b", CHEAP, Reply(1000, 500, 400))
        )
        for _ in range(3):
            getattr(llm, way)("why")
        seen = llm.metrics()["b"]
        assert (seen.input_tokens, seen.output_tokens, seen.cached_tokens) == (3000, 1500, 1200)
        assert seen.cost == Decimal("0.006")
        assert llm.metrics()["a"].cost is None

    def test_tokens_without_a_price_are_not_counted(self):
        """To read them takes longer than all the rest of a call."""
        llm = FallbackProvider(answering("a"))
        llm.call("why")
        assert llm.metrics()["a"].input_tokens is None


class TestSources:
    """What models cost and can do, from somebody who knows."""

    class Knows:
        """Knows one model."""

        def price(self, info):
            """What it costs."""
            return CHEAP if info.model == "m" else None

        def capabilities(self, info):
            """What it can do."""
            return ModelFacts(capabilities=frozenset({"vision"}), context_window=9)

    def test_they_fill_in_what_providers_do_not_say(self):
        """Price, capabilities and window."""
        knows = self.Knows()
        llm = FallbackProvider(
            answering("a", model="m"),
            answering("b", DEAR, model="m", capabilities={"tools"}, context_window=99),
            prices=knows,
            capabilities=knows,
            strategy=CapabilityBased(),
        )
        assert llm.options(needs={"vision"}).detailed("why").cost == Decimal("0.002")
        assert llm.options(needs={"tools"}).detailed("why").cost == Decimal("0.02")
        assert llm.options(input_tokens=50).detailed("why").provider == "b"
        assert llm.info.context_window == 99

    def test_of_several_the_first_that_knows_is_believed(self):
        """For prices and for capabilities."""

        class KnowsAll(self.Knows):
            def price(self, info):
                """What everything costs."""
                return DEAR

        sources = [self.Knows(), KnowsAll()]
        llm = FallbackProvider(
            answering("a", model="m"),
            answering("b", model="n"),
            prices=sources,
            capabilities=tuple(sources),
        )
        assert [llm._made.wiring.infos[name].price for name in "ab"] == [CHEAP, DEAR]

    def test_a_strategy_brings_its_own(self):
        """And its costs are counted, too."""
        llm = FallbackProvider(
            answering("a", DEAR),
            answering("b", model="m"),
            strategy=CapabilityBased(then=CostOptimized(prices=self.Knows())),
        )
        answer = llm.detailed("why")
        assert (answer.provider, answer.cost) == ("b", Decimal("0.002"))

    def test_one_that_raises_is_named_before_anything_starts(self):
        """With the model it was asked for."""

        class Broken:
            def price(self, info):
                raise RuntimeError

        with pytest.raises(ConfigurationError, match="Broken"):
            FallbackProvider(answering("a", model="m"), prices=Broken())

    def test_what_is_none_is_refused(self):
        """All of it at once."""
        with pytest.raises(ConfigurationError) as caught:
            FallbackProvider(answering("a"), prices={}, capabilities=3, describe="long")
        assert [each.partition(" is ")[0] for each in caught.value.problems] == [
            "FallbackProvider.describe",
            "FallbackProvider.prices",
            "FallbackProvider.capabilities",
        ]


class TestBudgets:
    """`max_cost`: a need like others."""

    LLM = FallbackProvider(
        answering("dear", DEAR), answering("cheap", CHEAP), strategy=CapabilityBased()
    )

    def test_who_would_cost_more_is_skipped(self):
        """By the price of its model and the tokens of the call."""
        asked = self.LLM.options(input_tokens=1000, output_tokens=500, max_cost="0.01")
        answer = asked.detailed("why")
        assert answer.provider == "cheap"
        with pytest.raises(AllProvidersFailed) as caught:
            asked.options(max_cost="0.001").call("why")
        assert [each.reason for each in caught.value.trail] == ["max_cost", "max_cost"]

    def test_exactly_that_much_is_not_more(self):
        """The bound is in."""
        asked = self.LLM.options(input_tokens=1000, output_tokens=500, max_cost=Decimal("0.02"))
        assert asked.detailed("why").provider == "dear"

    @pytest.mark.parametrize("amount", [-1, "much", float("nan"), True, object()])
    def test_what_is_no_amount_is_refused(self, amount):
        """With the words for one."""
        with pytest.raises(
            ConfigurationError, match=r"options\.max_cost is .*give an amount of USD"
        ):
            self.LLM.options(max_cost=amount)


class TestDescribing:
    """`describe=`: what a call says of itself, read from its arguments."""

    @staticmethod
    def described(prompt, **_more):
        """A picture needs eyes, and each letter is a token."""
        needs = frozenset({"vision"} if "picture" in prompt else ())
        return CallOptions(needs=needs, input_tokens=len(prompt))

    def chain(self, describe):
        """One that is small and blind, and one that is neither."""
        return FallbackProvider(
            answering("small", capabilities={"tools"}, context_window=20),
            answering("large", capabilities={"tools", "vision"}, context_window=2000),
            strategy=CapabilityBased(),
            describe=describe,
        )

    def test_each_call_is_ordered_by_what_it_is(self):
        """Plain, detailed and awaited alike."""
        llm = self.chain(self.described)
        assert llm.detailed("hello").provider == "small"
        assert llm.detailed("a picture").provider == "large"
        assert llm.detailed("long" * 20).provider == "large"
        llm.call("a picture")
        assert llm.metrics()["large"].attempts == 3

    def test_what_options_say_wins(self):
        """A count over the estimate; needs add up."""
        llm = self.chain(self.described)
        assert llm.options(input_tokens=5).detailed("long" * 20).provider == "small"
        assert llm.options(needs={"vision"}).detailed("hello").provider == "large"

    @pytest.mark.parametrize("describe", [lambda _: 1 / 0, lambda _: "rubbish"])
    def test_one_that_fails_has_told_nothing(self, describe, caplog):
        """It is logged without the request, and the call goes on."""
        llm = self.chain(describe)
        assert llm.detailed("a secret picture").provider == "small"
        assert "describe of chain 'fallback' raised" in caplog.text
        assert "secret" not in caplog.text

    def test_an_awaited_stream_is_described_as_well(self, loop):
        """By the same arguments."""

        @provider("small", capabilities={"tools"})
        async def small(prompt):
            yield "small"

        @provider("large", capabilities={"vision"})
        async def large(prompt):
            yield "large"

        llm = FallbackProvider(small, large, strategy=CapabilityBased(), describe=self.described)

        async def read():
            return [each async for each in llm.astream("a picture")]

        assert loop.run(read) == ["large"]


def test_usage_is_counted_where_only_part_of_it_is_told():
    """What is not told is not guessed."""
    llm = FallbackProvider(answering("a", CHEAP, {"usage": {"prompt_tokens": 7}}))
    assert llm.detailed("why").usage == Usage(7, None)
    seen = llm.metrics()["a"]
    assert (seen.input_tokens, seen.output_tokens, seen.cost) == (7, None, None)


def test_a_call_whose_candidates_are_shut_or_ruled_out_says_so():
    """Those ruled out stand behind those that their breakers refuse."""
    llm = FallbackProvider(
        answering("a", capabilities={"tools"}),
        answering("b", capabilities={"tools"}),
        answering("blind", capabilities={"json_schema"}),
        strategy=CapabilityBased(),
    ).options(needs={"tools"})
    llm.breaker("a").force_open()
    llm.breaker("b").force_open()
    for way in (llm.call, llm.detailed):
        with pytest.raises(AllProvidersFailed) as caught:
            way("why")
        assert [(each.provider, each.reason) for each in caught.value.trail] == [
            ("a", "forced_open"),
            ("b", "forced_open"),
            ("blind", "tools"),
        ]
    records = [each["provider"] for each in llm.audit.records() if each["trigger"] == "skip"]
    assert records == ["a", "b", "blind"] * 2


class TestWhatGoesWrong:
    """A price, or a source of prices, of the user's own."""

    class Broken(Price):
        """One that cannot say what an answer costs."""

        def cost(self, input_tokens, output_tokens, cached_tokens=0):
            """Nothing."""
            raise RuntimeError("no idea")

    def test_a_price_that_raises_costs_no_answer(self):
        """Nor does what is counted beside it suffer."""
        llm = FallbackProvider(answering("a", self.Broken(input_mtok=1, output_mtok=1)))
        assert llm.detailed("why").cost is None
        llm.call("why")
        seen = llm.metrics()["a"]
        assert (seen.attempts, seen.input_tokens, seen.cost) == (2, 2000, None)

    def test_a_source_that_fails_in_a_call_knows_nothing(self):
        """When the chain was made it said so in words."""

        class Away:
            asked = 0

            def price(self, info):
                """Nothing, and later not even that."""
                self.asked += 1
                if self.asked > 2:
                    raise OSError("the price list is away")

        llm = FallbackProvider(
            answering("a"), answering("b"), strategy=CostOptimized(prices=Away())
        )
        assert llm.detailed("why").provider == "a"

    def test_what_was_used_is_paid_at_the_price_it_was_used_at(self):
        """A reload that brings another one bills nothing anew."""
        table = {"m": CHEAP}

        class Changing:
            def price(self, info):
                """What it costs today."""
                return table[info.model]

        llm = FallbackProvider(answering("a", model="m"), prices=Changing())
        llm.call("why")
        table["m"] = DEAR
        llm.reload(llm.config)
        assert llm.metrics()["a"].cost == Decimal("0.002")
        llm.call("why")
        assert llm.metrics()["a"].cost == Decimal("0.022")
