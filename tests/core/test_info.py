"""What is known of a model, and who is believed."""

import datetime as dt

import attrs
import pytest

from fsm_fallback.core.info import ModelFacts, ModelInfo, known
from fsm_fallback.core.prices import Price
from fsm_fallback.errors import ConfigurationError

CHEAP = Price(input_mtok=1, output_mtok=2)
DEAR = Price(input_mtok=10, output_mtok=20)
FREE = Price(input_mtok=0, output_mtok=0)


class Source:
    """A source of both kinds that says what it is told to, or raises it, and counts."""

    def __init__(self, price=None, facts=None):
        self.says = (price, facts)
        self.asked = []

    def price(self, info):
        """The price it was given."""
        return self._say(0, info)

    def capabilities(self, info):
        """The facts it was given."""
        return self._say(1, info)

    def _say(self, which, info):
        self.asked.append(info)
        if isinstance(self.says[which], Exception):
            raise self.says[which]
        return self.says[which]


def facts(*capabilities, window=None):
    """Facts of these capabilities."""
    return ModelFacts(capabilities=frozenset(capabilities), context_window=window)


class TestPrices:
    """Which price is believed."""

    def test_a_source_says_what_the_user_did_not(self):
        """Of that very model; the rest stays."""
        source = Source(CHEAP)
        info = ModelInfo(model="m", account="a", capabilities=frozenset({"tools"}))
        assert known(info, [source]) == attrs.evolve(info, price=CHEAP)
        assert source.asked == [info]

    @pytest.mark.parametrize("price", [DEAR, FREE])
    def test_the_user_is_believed_before_any_source(self, price):
        """Free is a price as any other: no source is even asked."""
        source = Source(CHEAP)
        assert known(ModelInfo(model="m", price=price), [source]).price is price
        assert source.asked == []

    def test_the_first_source_that_knows_is_believed(self):
        """None is no answer, free is one; whoever comes after it is not asked."""
        unknowing, first, second = Source(None), Source(FREE), Source(DEAR)
        assert known(ModelInfo(model="m"), (unknowing, first, second)).price is FREE
        assert (len(unknowing.asked), len(first.asked), len(second.asked)) == (1, 1, 0)

    def test_what_nobody_knows_stays_unknown(self):
        """It is not free."""
        info = ModelInfo(model="m")
        assert known(info, [Source()], [Source()]) == info
        assert known(info) == info
        assert known(info).price is None


class TestCapabilities:
    """Which capabilities, and which window, are believed."""

    def test_a_source_says_what_the_user_did_not_field_by_field(self):
        """What he can do from him, its window from the source."""
        source = Source(facts=facts("vision", window=8))
        said = ModelInfo(model="m", capabilities=frozenset({"tools"}))
        assert known(said, (), [source]) == attrs.evolve(said, context_window=8)
        said = ModelInfo(model="m", context_window=4)
        assert known(said, (), [source]) == attrs.evolve(said, capabilities=frozenset({"vision"}))

    def test_two_sources_may_know_one_half_each(self):
        """The first that knows a field says it."""
        sources = [Source(), Source(facts=facts(window=8)), Source(facts=facts("tools", window=9))]
        answer = known(ModelInfo(model="m"), (), sources)
        assert (answer.capabilities, answer.context_window) == (frozenset({"tools"}), 8)

    def test_where_the_user_said_all_no_source_is_asked(self):
        """There is nothing left to say."""
        source = Source(facts=facts("vision", window=8))
        said = ModelInfo(model="m", capabilities=frozenset({"tools"}), context_window=4)
        assert known(said, (), [source]) == said
        assert source.asked == []


class TestBrokenSources:
    """Sources that raise, or answer what is no answer."""

    @pytest.mark.parametrize("rubbish", [0.5, "0.5", 0, Price, {"input_mtok": 1}])
    def test_a_price_that_is_none_is_refused(self, rubbish):
        """When the chain is wired, naming source, model and remedy."""
        with pytest.raises(ConfigurationError) as caught:
            known(ModelInfo(model="m"), [Source(rubbish)])
        (problem,) = caught.value.problems
        assert problem.startswith("Source: price of model 'm' is ")
        assert problem.endswith("; answer a Price, or None")

    def test_every_broken_source_is_named(self):
        """What they said is told by its type alone: it may hold a key."""
        error = KeyError("sk-secret")
        with pytest.raises(ConfigurationError) as caught:
            known(ModelInfo(model="m"), [Source(error), object()], [Source(facts=["tools"])])
        assert caught.value.problems == (
            "Source: price of model 'm' raised KeyError; mend the source, or leave it out",
            "object: price of model 'm' raised AttributeError; mend the source, or leave it out",
            "Source: capabilities of model 'm' is a list; answer a ModelFacts, or None",
        )
        assert caught.value.__cause__ is error

    def test_an_interruption_is_none_of_these(self):
        """It goes through."""

        class Interrupted:
            """Stopped by its user."""

            def price(self, _):
                """Nothing, ever."""
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            known(ModelInfo(model="m"), [Interrupted()])


class TestRecords:
    """What the records refuse."""

    @pytest.mark.parametrize("price", [0, 0.5, "1", {}])
    def test_a_bare_number_is_no_price(self, price):
        """It would not say what it is for."""
        with pytest.raises(ConfigurationError, match=r"^ModelInfo\.price is .*; give a Price, or"):
            ModelInfo(price=price)

    def test_facts_tell_every_problem_at_once(self):
        """By field."""
        with pytest.raises(ConfigurationError) as caught:
            ModelFacts(capabilities={"tools"}, context_window=0, source="", date="today")
        assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
            "ModelFacts.capabilities",
            "ModelFacts.context_window",
            "ModelFacts.source",
            "ModelFacts.date",
        ]

    def test_facts_say_who_says_so_and_of_which_day(self):
        """As prices do."""
        assert (facts().source, facts().date) == ("configured", None)
        assert ModelFacts(source="x", date=dt.date(2026, 8, 21)).date == dt.date(2026, 8, 21)
