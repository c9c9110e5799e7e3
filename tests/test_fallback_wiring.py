"""`FallbackProvider`: ways of calling, what it refuses, what it records, what it never tells."""

import json
import logging
import threading
from contextvars import ContextVar
from types import SimpleNamespace

import pytest

from fsm_fallback import (
    AuditLog,
    BreakerConfig,
    ConfigurationError,
    FallbackConfig,
    FallbackProvider,
    ModelInfo,
    Sequential,
    Skip,
    provider,
)
from fsm_fallback.testing import ScriptedProvider

COLOUR = ContextVar("colour", default="none")


@pytest.fixture
def failure(plain_or_loop):
    """The error of a call, in both ways of calling."""

    def called(chain, *args, **kwargs):
        if plain_or_loop is None:
            return chain.call(*args, **kwargs)
        return plain_or_loop.run(chain.acall, *args, **kwargs)

    def failed(chain, *args, **kwargs):
        with pytest.raises(ExceptionGroup) as caught:
            called(chain, *args, **kwargs)
        return caught.value

    return failed


class TestWaysOfCalling:
    """Plain and awaited calls over providers that know only one of them."""

    def test_an_awaited_call_runs_a_plain_provider_in_a_thread(self, loop):
        """The event loop goes on, and context variables come along."""

        @provider("a")
        def ask(prompt):
            return threading.get_ident(), COLOUR.get(), prompt

        async def main():
            COLOUR.set("blue")
            return await FallbackProvider(ask).acall("why")

        thread, colour, prompt = loop.run(main)
        assert thread != threading.get_ident()
        assert (colour, prompt) == ("blue", "why")

    def test_an_awaited_call_takes_the_awaited_form_where_there_is_one(self, loop):
        """The other one is for plain calls."""

        class Both:
            name = "both"
            info = ModelInfo()

            def call(self):
                return "plain"

            async def acall(self):
                return "awaited"

        llm = FallbackProvider(Both())
        assert loop.run(llm.acall) == "awaited"
        assert llm.call() == "plain"

    def test_a_plain_call_names_every_provider_that_has_none(self):
        """Nobody is called, those that could be included."""

        async def ask(prompt):
            return prompt

        plain = ScriptedProvider("b", ["hello"])
        llm = FallbackProvider(provider("a")(ask), plain, provider("c")(ask))
        with pytest.raises(ConfigurationError) as caught:
            llm.call("why")
        assert caught.value.problems == (
            "provider 'a' cannot be called with call(); use acall, or give it a plain call",
            "provider 'c' cannot be called with call(); use acall, or give it a plain call",
        )
        assert plain.calls == []

    @pytest.mark.parametrize("method", ["call", "detailed"])
    def test_a_provider_that_only_streams_cannot_be_called(self, loop, method):
        """The remedy is in the message."""

        @provider("a")
        def ask(prompt):
            yield prompt

        llm = FallbackProvider(ask)
        with pytest.raises(ConfigurationError, match=r"'a' cannot be called with call"):
            getattr(llm, method)("why")
        with pytest.raises(ConfigurationError, match=r"'a' cannot be called with acall"):
            loop.run(getattr(llm, f"a{method}"), "why")


class TestSecrets:
    """Nothing of a prompt or a key is told."""

    @pytest.fixture
    def loud(self):
        """Make a provider that repeats all it was given in its errors."""

        class AuthenticationError(Exception):
            status_code = 401

        def made(name, kind=AuthenticationError, **more):
            @provider(name, **more)
            def ask(prompt, *, api_key):
                raise kind(f"Incorrect API key provided: {api_key} for {prompt}")

            return ask

        return made

    GIVEN = ("MARKER-PROMPT",)
    KEY = "sk-MARKER-KEY"
    MARKERS = (*GIVEN, KEY)

    def test_neither_error_nor_records_tell_them(self, failure, loud):
        """Message, skips of later calls, and every record of the audit."""
        llm = FallbackProvider(loud("a"), loud("b", ConnectionError), audit="full")
        failures = [failure(llm, *self.GIVEN, api_key=self.KEY) for _ in range(3)]
        told = [each.message for each in failures]
        told += [repr(item) for item in failures[-1].trail if isinstance(item, Skip)]
        told += [json.dumps(llm.audit.records()), repr(llm), repr(llm.breaker("a").snapshot())]
        assert not [text for text in told if any(marker in text for marker in self.MARKERS)]

    @pytest.mark.parametrize("where", ["provider", "config", "strategy"])
    def test_a_table_in_the_wrong_place_is_refused_without_showing_it(self, where):
        """Who writes one where an object belongs has written a key into it."""
        table = {"api_key": self.KEY}
        providers = [table] if where == "provider" else [ScriptedProvider("a")]
        more = {} if where == "provider" else {where: table}
        with pytest.raises(ConfigurationError) as caught:
            FallbackProvider(*providers, **more)
        assert self.KEY not in str(caught.value)

    def test_a_classifier_that_raises_is_logged_without_them(self, failure, loud, caplog):
        """Neither with the error it was given, nor with its own words about it."""

        def broken(error):
            raise RuntimeError(f"cannot read {error}")

        llm = FallbackProvider(loud("a", classify=broken))
        with caplog.at_level(logging.DEBUG):
            failure(llm, *self.GIVEN, api_key=self.KEY)
        assert "classifier of provider 'a'" in caplog.text
        assert not [marker for marker in self.MARKERS if marker in caplog.text]

    def test_a_listener_that_raises_is_logged_without_them(self, failure, loud, caplog):
        """It runs while the provider's error is being handled, and is not about it."""

        def broken(_):
            raise RuntimeError("broken")

        llm = FallbackProvider(loud("a"))
        llm.breaker("a").add_listener(broken)
        with caplog.at_level(logging.DEBUG):
            failure(llm, *self.GIVEN, api_key=self.KEY)
        assert "of breaker 'fallback/a' raised" in caplog.text
        assert not [marker for marker in self.MARKERS if marker in caplog.text]


class TestAudit:
    """What a chain records."""

    def test_records_tell_the_walk(self):
        """The failed attempt, the breaker that opened, the answer."""
        llm = FallbackProvider(
            ScriptedProvider("a", [ConnectionError()]),
            ScriptedProvider("b", ["hello"]),
            config=FallbackConfig(breaker=BreakerConfig(minimum_calls=1)),
        )
        llm.call("why")
        steps = [(r["machine"], r["trigger"], r["provider"]) for r in llm.audit.records()]
        assert sorted(steps, key=str) == sorted(
            [
                ("chain", "offer", "a"),
                ("chain", "fault", "a"),
                ("breaker", "fail", None),
                ("chain", "offer", "b"),
                ("chain", "answer", "b"),
            ],
            key=str,
        )

    def test_off_means_off(self):
        """The log that is there is empty."""
        llm = FallbackProvider(ScriptedProvider("a", ["hello"]), audit="off")
        assert llm.call("why") == "hello"
        assert llm.audit.records() == []
        llm.close()

    def test_an_argument_wins_over_the_configuration(self):
        """A log of one's own is used as it is."""
        log = AuditLog()
        llm = FallbackProvider(
            ScriptedProvider("a", ["hello"]), config=FallbackConfig(audit="off"), audit=log
        )
        llm.call("why")
        assert llm.audit is log
        assert [record["trigger"] for record in log.records()] == ["offer", "answer"]

    def test_a_chain_that_was_closed_goes_on(self):
        """Closing writes what is left, any number of times."""
        llm = FallbackProvider(ScriptedProvider("a", ["one", "two"]))
        with llm as same:
            assert same is llm
            llm.call("why")
        llm.close()
        assert llm.call("why") == "two"

    def test_an_asynchronous_context_closes_too(self, loop):
        """With the same effect."""

        async def main():
            async with FallbackProvider(ScriptedProvider("a", ["one"])) as llm:
                return await llm.acall("why")

        assert loop.run(main) == "one"


class TestBadInput:
    """One error that lists everything; nothing is started."""

    def test_an_empty_chain(self):
        """There is nobody to ask."""
        with pytest.raises(ConfigurationError) as caught:
            FallbackProvider()
        assert caught.value.problems == (
            "FallbackProvider.providers is empty; give at least one provider",
        )

    def test_every_problem_is_named_at_once(self):
        """Providers first, by position; then the arguments, each with its remedy."""
        twin = ScriptedProvider("a", [])
        with pytest.raises(ConfigurationError) as caught:
            FallbackProvider(
                twin,
                ScriptedProvider("a", []),
                object(),
                strategy=3,
                config={"deadline": 3},
                clock=0.0,
                sample=0.5,
                audit="loud",
                name="",
            )
        problems = caught.value.problems
        assert problems[0] == (
            "FallbackProvider.providers[1].name is 'a', as of providers[0]; give each its own"
        )
        assert [problem.split(" is ")[0] for problem in problems[1:]] == [
            "FallbackProvider.providers[2]",
            "FallbackProvider.providers[2]",
            "FallbackProvider.strategy",
            "FallbackProvider.config",
            "FallbackProvider.clock",
            "FallbackProvider.sample",
            "FallbackProvider.name",
            "FallbackProvider.audit",
        ]
        assert "give an AuditLog or one of moves, full, off" in problems[-1]

    @pytest.mark.parametrize("name", ["", None, 5])
    def test_a_provider_without_a_name(self, name):
        """The decorator is the remedy."""

        class Mine:
            info = ModelInfo()

            def call(self):
                return 1

        Mine.name = name
        with pytest.raises(ConfigurationError, match=r"@provider\('name'\) for a function"):
            FallbackProvider(Mine())

    def test_a_list_of_providers(self):
        """They are given one by one."""
        with pytest.raises(
            ConfigurationError, match=r"one by one: FallbackProvider\(\*providers\)"
        ):
            FallbackProvider([ScriptedProvider("a")])

    def test_a_name_that_an_account_may_have(self):
        """Its breaker would be the account's."""
        with pytest.raises(ConfigurationError, match="does not begin with 'account:'"):
            FallbackProvider(ScriptedProvider("account:acme"))

    def test_a_function_that_streams_is_told_to_say_so(self):
        """Nobody can tell that a function returns a stream."""
        llm = FallbackProvider(provider("a")(lambda _: iter(["one"])))
        with pytest.raises(ConfigurationError, match="streams=True"):
            llm.stream("why")

    def test_a_plain_function_is_told_to_become_a_provider(self):
        """The commonest mistake of all."""

        def ask(prompt):
            return prompt

        with pytest.raises(ConfigurationError, match=r"with @provider\('name'\) for a function"):
            FallbackProvider(ask)

    @pytest.mark.parametrize("call", [None, "call", 5])
    def test_a_provider_with_no_callable(self, call):
        """An attribute of that name is not enough."""

        class Mine:
            name = "mine"
            info = ModelInfo()

        Mine.call = call
        with pytest.raises(ConfigurationError, match="has no call, acall, stream, astream"):
            FallbackProvider(Mine())

    @pytest.mark.parametrize("window", [0, -1, 8.0, True, "8"])
    def test_a_context_window_that_is_no_count(self, window):
        """It would be compared with others."""
        with pytest.raises(ConfigurationError, match=r"\[0\]\.info\.context_window is"):
            FallbackProvider(ScriptedProvider("a", [], context_window=window))

    def test_a_strategy_that_was_not_made(self):
        """The class is no strategy; its instance is."""
        with pytest.raises(ConfigurationError, match=r"FallbackProvider\.strategy"):
            FallbackProvider(ScriptedProvider("a", []), strategy=Sequential)

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            (lambda pair: (*pair, pair[0]), r"\['a', 'b', 'a'\]"),
            (lambda pair: pair[1:], r"\['b'\]"),
            (lambda pair: (*pair, Skip("b", "taste")), r"\['a', 'b', 'b'\]"),
            (lambda pair: (*pair, Skip("c", "taste")), r"\['a', 'b', 'c'\]"),
            (lambda pair: (pair[0], SimpleNamespace(name="b")), r"\['a', 'b'\]"),
            (lambda pair: (pair[0], "b"), r"\['a', a str\]"),
            (lambda _: None, "None"),
        ],
        ids=["twice", "lost", "asked and skipped", "invented", "a stand-in", "a name", "nothing"],
    )
    def test_a_strategy_that_invents_repeats_or_loses_a_candidate(self, wrong, told):
        """Nobody is called; a call would ask somebody twice, or forget one without a word."""

        class Wrong:
            def order(self, candidates, request, now, sample):
                return wrong(candidates)

        a, b = ScriptedProvider("a"), ScriptedProvider("b")
        llm = FallbackProvider(a, b, strategy=Wrong())
        words = rf"Wrong\.order of chain 'fallback' is {told}; give each candidate once, .*: a, b"
        with pytest.raises(ConfigurationError, match=words):
            llm.call("why")
        assert (a.calls, b.calls) == ([], [])

    def test_a_strategy_that_names_nobody(self, loop):
        """Straight, walked and awaited alike; it would drop every provider without a word."""

        class Nobody:
            def order(self, candidates, request, now, sample):
                return ()

        llm = FallbackProvider(ScriptedProvider("a", []), strategy=Nobody())
        with pytest.raises(ConfigurationError, match=r"Nobody\.order .* give each candidate"):
            llm.call()
        with pytest.raises(ConfigurationError, match=r"Nobody\.order"):
            llm.detailed()
        with pytest.raises(ConfigurationError, match=r"Nobody\.order"):
            loop.run(llm.acall)

    @pytest.mark.parametrize("deadline", [0, -1.0, True, "5", float("nan"), float("inf")])
    def test_a_deadline_of_one_call_that_is_none(self, deadline):
        """The chain itself is left as it was."""
        llm = FallbackProvider(ScriptedProvider("a", ["hello"]))
        with pytest.raises(ConfigurationError) as caught:
            llm.options(deadline=deadline)
        assert caught.value.problems == (
            f"options.deadline is {deadline!r}; give finite seconds > 0, or None",
        )
        assert llm.call("why") == "hello"

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"needs": "tools"}, "options.needs is 'tools'; give non-empty strings, in a set"),
            ({"needs": [""]}, "options.needs is "),
            ({"needs": [["tools"]]}, "options.needs is "),
            ({"tags": {1}}, "options.tags is "),
            ({"input_tokens": -1}, "options.input_tokens is -1; give a whole number >= 0, or None"),
            ({"output_tokens": 1.5}, "options.output_tokens is 1.5; "),
            ({"output_tokens": True}, "options.output_tokens is True; "),
        ],
    )
    def test_what_one_call_says_of_itself(self, options, named):
        """Each option that cannot be, by name."""
        with pytest.raises(ConfigurationError) as caught:
            FallbackProvider(ScriptedProvider("a")).options(**options)
        assert named in str(caught.value)

    def test_two_chains_of_one_name_in_one_log(self):
        """Their records could not be told apart; the first goes on."""
        log = AuditLog()
        first = FallbackProvider(ScriptedProvider("a", ["hello"]), audit=log)
        with pytest.raises(ConfigurationError, match="another name"):
            FallbackProvider(ScriptedProvider("b", []), audit=log)
        assert first.call("why") == "hello"

    def test_bad_arguments_start_no_thread(self, tmp_path):
        """Nothing is written, and nothing runs."""
        before = threading.active_count()
        with AuditLog(tmp_path / "audit.jsonl") as log, pytest.raises(ConfigurationError):
            FallbackProvider(ScriptedProvider("a", []), audit=log, clock=None)
        assert threading.active_count() == before
        assert (tmp_path / "audit.jsonl").read_text() == ""


def test_a_chain_shows_its_diagram_and_a_short_text_of_itself():
    """The breakers' machine, and the names in order."""
    llm = FallbackProvider(ScriptedProvider("a"), ScriptedProvider("b"))
    assert "stateDiagram-v2" in llm.diagram()
    assert repr(llm) == "<FallbackProvider 'fallback': a, b>"
