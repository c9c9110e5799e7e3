"""What a provider is: functions put into slots, and classes written by hand."""

import functools
import math

import pytest

from fsm_fallback import ConfigurationError, FallbackProvider, Fault, FaultKind, ModelInfo, provider
from fsm_fallback.core.bounds import shown
from fsm_fallback.core.prices import Price

SLOTS = ("call", "acall", "stream", "astream")


def plain(prompt):
    """Answer."""
    return f"plain {prompt}"


async def awaited(prompt):
    """Answer when awaited."""
    return f"awaited {prompt}"


def pieces(prompt):
    """Answer piece by piece."""
    yield prompt


async def awaited_pieces(prompt):
    """Answer piece by piece when awaited."""
    yield prompt


class Asked:
    """An object that can be called."""

    def __call__(self, prompt):
        """Answer."""
        return f"object {prompt}"


class AskedAndAwaited:
    """An object whose call is to be awaited."""

    async def __call__(self, prompt):
        """Answer when awaited."""
        return f"object {prompt}"


class Client:
    """An object with methods to ask."""

    def ask(self, prompt):
        """Answer."""
        return f"method {prompt}"

    async def aask(self, prompt):
        """Answer when awaited."""
        return f"method {prompt}"


class TestSlots:
    """`@provider` puts a function where its kind is called from."""

    @pytest.mark.parametrize(
        ("function", "slot"),
        [
            (plain, "call"),
            (awaited, "acall"),
            (pieces, "stream"),
            (awaited_pieces, "astream"),
            (lambda prompt: prompt, "call"),
            (functools.partial(plain), "call"),
            (functools.partial(awaited), "acall"),
            (Client().ask, "call"),
            (Client().aask, "acall"),
            (Asked(), "call"),
            (AskedAndAwaited(), "acall"),
            (str.upper, "call"),
        ],
    )
    def test_a_function_is_in_the_slot_of_its_kind_only(self, function, slot):
        """The others are not there at all."""
        made = provider("any")(function)
        assert [name for name in SLOTS if hasattr(made, name)] == [slot]
        assert repr(made) == f"<provider 'any': {slot}>"

    def test_an_object_whose_call_is_a_coroutine_answers_when_awaited(self, loop):
        """What comes back is the answer, not a coroutine nobody awaits."""
        chain = FallbackProvider(provider("any")(AskedAndAwaited()))
        assert loop.run(chain.acall, "why") == "object why"


class TestTheDecorator:
    """What is known of the model, and the function itself."""

    def test_it_names_the_provider_and_says_what_is_known(self):
        """Everything else is unknown, or empty."""
        made = provider("any")(plain)
        assert made.name == "any"
        assert made.info == ModelInfo()
        assert (made.classify, made.timeout_arg) == (None, None)

    def test_it_keeps_what_it_was_told(self):
        """Capabilities of any kind of collection become a set."""

        def classify(_):
            return Fault(FaultKind.UNKNOWN)

        def ask(prompt, *, seconds=None):
            return prompt, seconds

        made = provider(
            "any",
            model="m",
            account="a",
            capabilities=("tools", "vision", "tools"),
            context_window=8,
            price=Price(input_mtok="0.5", output_mtok=1),
            classify=classify,
            timeout_arg="seconds",
        )(ask)
        assert made.info == ModelInfo(
            model="m",
            account="a",
            capabilities=frozenset({"tools", "vision"}),
            context_window=8,
            price=Price(input_mtok="0.5", output_mtok=1),
        )
        assert made.classify is classify
        assert made.timeout_arg == "seconds"

    def test_the_function_can_still_be_called(self):
        """Past every breaker; its words and itself are there, too."""
        made = provider("any")(plain)
        assert made("why") == "plain why"
        assert made.__doc__ == "Answer."
        assert made.__wrapped__ is plain

    def test_one_function_may_be_two_providers(self):
        """Under two names."""
        first, second = provider("a")(plain), provider("b")(plain)
        assert FallbackProvider(first, second).detailed("why").provider == "a"


class TestBadInput:
    """Whatever cannot work is refused before anything is called, and said in one go."""

    @pytest.mark.parametrize("name", ["", None, 3, b"any"])
    def test_a_name_that_is_none(self, name):
        """It is the name in trails, logs and metrics."""
        with pytest.raises(ConfigurationError) as caught:
            provider(name)
        assert caught.value.problems == (
            f"provider.name is {shown(name)}; give a non-empty string",
        )

    @pytest.mark.parametrize("window", [0, -8, 8.0, True, "8", math.inf])
    def test_a_context_window_that_is_no_count(self, window):
        """The message names value and remedy."""
        with pytest.raises(ConfigurationError, match=r"provider\.context_window is") as caught:
            provider("any", context_window=window)
        assert repr(window) in str(caught.value)
        assert "give a whole number >= 1, or None" in str(caught.value)

    @pytest.mark.parametrize("price", [0, 0.5, "0.5", {"input_mtok": 1}, Price])
    def test_a_price_that_is_none(self, price):
        """A bare number does not say what it is for."""
        with pytest.raises(
            ConfigurationError, match=r"^provider\.price is .*; give a Price, or None$"
        ):
            provider("any", price=price)

    @pytest.mark.parametrize("capabilities", ["tools", {1}, ("tools", None), 5, None])
    def test_capabilities_that_are_no_strings(self, capabilities):
        """One string is a collection of letters, and no capability."""
        with pytest.raises(ConfigurationError, match=r"provider\.capabilities is"):
            provider("any", capabilities=capabilities)

    @pytest.mark.parametrize("field", ["model", "account"])
    @pytest.mark.parametrize("value", [5, b"m", ["m"]])
    def test_a_model_or_account_that_is_no_string(self, field, value):
        """They are names, too."""
        with pytest.raises(ConfigurationError, match=rf"provider\.{field} is"):
            provider("any", **{field: value})

    def test_a_classifier_that_cannot_be_called(self):
        """A table is no function."""
        with pytest.raises(ConfigurationError, match=r"provider\.classify is a dict; give"):
            provider("any", classify={})

    @pytest.mark.parametrize("timeout_arg", [5, b"timeout", True])
    def test_a_timeout_argument_that_is_no_name(self, timeout_arg):
        """It is a keyword."""
        with pytest.raises(ConfigurationError, match=r"provider\.timeout_arg is"):
            provider("any", timeout_arg=timeout_arg)

    def test_a_timeout_argument_without_a_default(self):
        """It is not given where there is no limit, and the call would fail."""

        def ask(prompt, seconds):
            return prompt, seconds

        with pytest.raises(ConfigurationError, match="'seconds', which has no default; give it"):
            provider("any", timeout_arg="seconds")(ask)

    def test_a_timeout_argument_the_function_does_not_take(self):
        """Found when decorated, not when called."""
        with pytest.raises(ConfigurationError, match=r"'any': timeout_arg is 'seconds'"):
            provider("any", timeout_arg="seconds")(plain)

    def test_a_timeout_argument_that_goes_through_keywords_is_taken(self):
        """The function passes them on; so does one that has no signature to read."""
        provider("any", timeout_arg="seconds")(lambda prompt, **more: (prompt, more))
        provider("any", timeout_arg="seconds")(dict)

    @pytest.mark.parametrize("function", [None, 5, "ask", {}])
    def test_what_is_no_function(self, function):
        """Nothing can be called."""
        with pytest.raises(ConfigurationError, match="give it a function"):
            provider("any")(function)

    def test_every_problem_is_named_at_once(self):
        """A file is mended in one go."""
        with pytest.raises(ConfigurationError) as caught:
            provider("", capabilities="x", context_window=0, classify=1, timeout_arg=2)
        assert [problem.split()[0] for problem in caught.value.problems] == [
            "provider.name",
            "provider.capabilities",
            "provider.context_window",
            "provider.classify",
            "provider.timeout_arg",
        ]


class TestClassesByHand:
    """Any object with a name and a call is a provider."""

    def test_name_and_call_are_enough_to_be_asked(self):
        """What is not known of its model is unknown."""

        class Mine:
            name = "mine"
            info = ModelInfo()

            def call(self, prompt):
                return f"mine {prompt}"

        assert FallbackProvider(Mine()).call("why") == "mine why"

    def test_it_may_have_a_classifier_and_a_timeout_argument(self):
        """They mean what they mean in `@provider`."""
        given = []

        class Mine:
            name = "mine"
            info = ModelInfo()
            timeout_arg = "seconds"

            def classify(self, error):
                assert isinstance(error, ZeroDivisionError)
                return Fault(FaultKind.QUOTA)

            def call(self, prompt, *, seconds):
                given.append((prompt, seconds))
                raise ZeroDivisionError

        chain = FallbackProvider(Mine()).options(deadline=60.0)
        with pytest.raises(ExceptionGroup) as caught:
            chain.call("why")
        assert caught.value.trail[0].fault.kind is FaultKind.QUOTA
        ((prompt, seconds),) = given
        assert prompt == "why"
        assert 0 < seconds <= 60.0

    @pytest.mark.parametrize(("field", "value"), [("classify", 5), ("timeout_arg", 7)])
    def test_what_cannot_work_in_it_is_refused(self, field, value):
        """As in `@provider`, before the first call and not in the middle of an outage."""

        class Mine:
            name = "mine"
            info = ModelInfo()

            def call(self, prompt):
                return prompt

        setattr(Mine, field, value)
        with pytest.raises(ConfigurationError, match=field):
            FallbackProvider(Mine())
