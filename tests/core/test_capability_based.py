"""`CapabilityBased`: who can serve, the best of them first, and those of whom nobody knows last."""

import attrs
import pytest

from fsm_fallback import (
    CallOptions,
    CapabilityBased,
    ConfigurationError,
    ModelInfo,
    Sequential,
    Skip,
)


@attrs.frozen
class Able:
    """A candidate of which something is known."""

    name: str
    context_window: int | None
    info: ModelInfo

    def opens_at(self, now):
        """When its breaker may admit: now."""
        return now


def able(name, *capabilities, window=None):
    """A candidate that can do this."""
    return Able(name, window, ModelInfo(capabilities=frozenset(capabilities)))


def ordered(strategy, candidates, **options):
    """The order of a call, a skip as its provider and reason."""
    request = CallOptions(**{k: frozenset(v) if k == "needs" else v for k, v in options.items()})
    order = strategy.order(tuple(candidates), request, 0.0, 0.5)
    assert type(order) is tuple
    return [
        f"{each.provider}: {each.reason}" if isinstance(each, Skip) else each.name for each in order
    ]


ALL = (
    able("plain"),
    able("tools", "tools"),
    able("both", "tools", "vision"),
    able("eyes", "vision"),
)


class TestNeeds:
    """What a call cannot do without."""

    def test_without_needs_all_are_equal(self):
        """In the configured order."""
        assert ordered(CapabilityBased(), ALL) == ["plain", "tools", "both", "eyes"]

    def test_one_that_is_known_to_lack_a_need_is_skipped(self):
        """And the skip names it; one that has said nothing comes after those that can."""
        assert ordered(CapabilityBased(), ALL, needs=["tools"]) == [
            *("tools", "both", "plain"),
            "eyes: tools",
        ]

    def test_of_many_missing_needs_the_first_by_name_is_told(self):
        """The same one every time."""
        needs = ["vision", "json_schema", "tools"]
        assert ordered(CapabilityBased(), [able("a", "vision")], needs=needs) == ["a: json_schema"]

    def test_a_need_of_the_users_own_is_one(self):
        """Any string."""
        candidates = [able("a", "tools"), able("b", "speaks Frisian")]
        assert ordered(CapabilityBased(), candidates, needs=["speaks Frisian"]) == [
            "b",
            "a: speaks Frisian",
        ]


class TestSizes:
    """What a window must hold."""

    CANDIDATES = (able("unknown"), able("small", window=8), able("large", window=32))

    @pytest.mark.parametrize(
        ("given", "taken", "expected"),
        [
            (None, None, ["unknown", "small", "large"]),
            (0, 0, ["unknown", "small", "large"]),
            (8, None, ["small", "large", "unknown"]),
            (7, 1, ["small", "large", "unknown"]),
            (8, 1, ["large", "unknown", "small: context_window"]),
            (None, 33, ["unknown", "small: context_window", "large: context_window"]),
        ],
    )
    def test_a_window_that_is_too_small_is_a_missing_need(self, given, taken, expected):
        """Input and output together; an unknown window may do, and is tried last."""
        sizes = {"input_tokens": given, "output_tokens": taken}
        assert ordered(CapabilityBased(), self.CANDIDATES, **sizes) == expected


class TestPreferences:
    """What a call would like."""

    def test_the_first_preference_counts_most(self):
        """Whoever has it is before whoever has all the others."""
        candidates = [able("a", "y", "z"), able("b", "x"), able("c", "x", "z"), able("d")]
        strategy = CapabilityBased(prefer=("x", "y", "z"))
        assert ordered(strategy, candidates) == ["c", "b", "a", "d"]

    def test_a_preference_skips_nobody(self):
        """It is no need."""
        assert ordered(CapabilityBased(prefer=("vision",)), ALL) == [
            "both",
            "eyes",
            "plain",
            "tools",
        ]

    def test_who_is_known_to_serve_is_before_who_is_preferred(self):
        """One that has said nothing has no preference either."""
        candidates = [able("unknown"), able("known", "tools")]
        strategy = CapabilityBased(prefer=("vision",))
        assert ordered(strategy, candidates, needs=["tools"]) == ["known", "unknown"]

    def test_those_that_are_equal_are_ordered_by_the_next_strategy(self):
        """Which hears what the call says of itself, the time and the sample."""
        heard = []

        class Reversed:
            def order(self, candidates, request, now, sample):
                heard.append(([each.name for each in candidates], request, now, sample))
                return tuple(reversed(candidates))

        strategy = CapabilityBased(prefer=("vision",), then=Reversed())
        request = CallOptions(tags=frozenset({"nightly"}))
        order = strategy.order(ALL, request, 7.0, 0.25)
        assert [each.name for each in order] == ["eyes", "both", "tools", "plain"]
        assert heard == [
            (["both", "eyes"], request, 7.0, 0.25),
            (["plain", "tools"], request, 7.0, 0.25),
        ]

    def test_a_skip_of_the_next_strategy_stays_one(self):
        """It knows something more."""

        class Picky:
            def order(self, candidates, request, now, sample):
                return tuple(Skip(each.name, "taste") for each in candidates)

        assert ordered(CapabilityBased(then=Picky()), [able("a")]) == ["a: taste"]


class TestArguments:
    """What it cannot work with."""

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"prefer": "vision"}, "prefer is 'vision'; give a tuple of non-empty strings"),
            ({"prefer": ("",)}, "give a tuple of non-empty strings"),
            ({"then": Sequential}, "give an object with order()"),
            ({"then": None}, "then is None; give an object with order()"),
        ],
    )
    def test_are_refused(self, arguments, named):
        """Name, value, remedy."""
        with pytest.raises(ConfigurationError) as caught:
            CapabilityBased(**arguments)
        assert named in str(caught.value)
