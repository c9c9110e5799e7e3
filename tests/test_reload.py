"""`FallbackProvider.reload`: other parameters in force, while calls go on."""

import threading

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerConfig,
    ConfigurationError,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    LoadBalanced,
    provider,
)
from fsm_fallback.testing import ManualClock, ScriptedProvider

TOUCHY = BreakerConfig(window=CountWindow(4), minimum_calls=1, jitter=0.0)


@pytest.fixture
def clock():
    """A clock at 0."""
    return ManualClock()


@pytest.fixture
def scripted(clock):
    """Make providers that always do the same."""

    def made(name, step="hello"):
        return ScriptedProvider(name, [step], clock=clock, exhausted="repeat")

    return made


def chain(clock, *providers, config=FallbackConfig(breaker=TOUCHY), **more):  # noqa: B008  # frozen
    """A chain on that clock."""
    return FallbackProvider(*providers, config=config, clock=clock, sample=lambda: 0.5, **more)


class TestWhatIsKept:
    """What did not change goes on."""

    def test_an_unchanged_breaker_keeps_its_state(self, clock, scripted):
        """An open one stays open, and its records go on under the same name."""
        llm = chain(clock, scripted("a", ConnectionError()), scripted("b"))
        assert llm.call("why") == "hello"
        before = llm.breaker("a")
        llm.reload(FallbackConfig(breaker=TOUCHY, attempt_timeout=None, deadline=60.0))
        assert llm.breaker("a") is before
        assert llm.breaker("a").state.value == "open"
        assert llm.detailed("why").trail[0].reason == "open"
        breaker_records = [r for r in llm.audit.records() if r["machine"] == "breaker"]
        assert {record["id"] for record in breaker_records} == {"fallback/a"}

    def test_a_breaker_with_other_parameters_stands_where_it_stood(self, clock, scripted, caplog):
        """It is another machine in the log, with its own declaration, and with empty evidence."""
        llm = chain(clock, scripted("a", ConnectionError()), scripted("b"))
        llm.call("why")
        before = llm.breaker("a")
        opens = before.snapshot().open_until
        assert before.state.value == "open"
        clock.advance(4.0)
        llm.reload(FallbackConfig(breaker=BreakerConfig(minimum_calls=2, window=CountWindow(8))))
        after = llm.breaker("a").snapshot()
        assert llm.breaker("a") is not before
        assert (after.state.value, after.open_until, after.step) == ("open", opens, 1)
        assert after.cause.kind.value == "connect"
        assert not caplog.records
        records = [each for each in llm.audit.records() if each["machine"] == "breaker"]
        assert [each["id"] for each in records] == ["fallback/a", "fallback/a#2"]
        assert [each["trigger"] for each in records] == ["fail", "restore"]
        assert len({each["digest"] for each in records}) == 2

    def test_the_word_of_an_operator_stands_through_it(self, clock, scripted):
        """With whose it was, and why."""
        llm = chain(clock, scripted("a"), scripted("b"))
        llm.breaker("a").force_open(actor="ada", reason="INC-42")
        llm.reload(FallbackConfig())
        assert llm.breaker("a").state.value == "forced_open"
        assert "by ada: INC-42" in llm.explain()
        assert llm.call("why") == "hello"
        assert llm.metrics()["a"].skips == {"forced_open": 1}

    def test_another_provider_of_the_name_begins_anew(self, clock, scripted):
        """What was wrong was the former one's, its key say."""
        llm = chain(clock, scripted("a", ConnectionError()), scripted("b"))
        llm.call("why")
        llm.reload(llm.config, providers=[scripted("a"), scripted("b")])
        assert llm.breaker("a").state.value == "closed"

    def test_metrics_go_on(self, clock, scripted):
        """Those of a provider that is gone are still there to be read."""
        llm = chain(clock, scripted("a"), scripted("b"))
        llm.call("why")
        llm.reload(llm.config, providers=[scripted("c")])
        llm.call("why")
        assert {name: each.attempts for name, each in llm.metrics().items()} == {
            "a": 1,
            "b": 0,
            "c": 1,
        }
        assert set(llm.health()) == {"c"}

    def test_what_an_argument_said_still_wins(self, clock, scripted):
        """Over the strategy of the new configuration."""
        llm = chain(clock, scripted("a"), scripted("b"), strategy=LoadBalanced(weights={"a": 0}))
        llm.reload(FallbackConfig(breaker=TOUCHY))
        assert llm.detailed("why").provider == "b"


class TestWhatChanges:
    """Everything the new configuration says."""

    def test_copies_with_other_options_follow(self, clock, scripted):
        """With what they were given themselves still in force."""
        llm = chain(clock, scripted("a"), scripted("b"))
        hurried, plain = llm.options(deadline=2.0), llm.options(needs={"tools"})
        llm.reload(FallbackConfig(breaker=TOUCHY, deadline=30.0), providers=[scripted("b")])
        assert [each.detailed("why").provider for each in (llm, hurried, plain)] == ["b"] * 3
        assert hurried._options.deadline == 2.0
        assert plain._options.deadline == 30.0

    def test_a_call_that_is_out_ends_as_it_began(self, clock):
        """It books with the breakers it was admitted by, and is counted."""
        inside, release = threading.Event(), threading.Event()

        @provider("slow")
        def slow(prompt):
            inside.set()
            assert release.wait(10.0)
            raise ConnectionError(prompt)

        @provider("spare")
        def spare(prompt):
            return "spare"

        llm = chain(clock, slow, spare)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(llm.call("why")))
        thread.start()
        assert inside.wait(10.0)
        llm.reload(llm.config, providers=[ScriptedProvider("new", ["new"], exhausted="repeat")])
        assert llm.call("why") == "new"
        release.set()
        thread.join()
        assert answers == ["spare"]
        metrics = llm.metrics()
        assert metrics["slow"].faults == {"connect": 1}
        assert metrics["slow"].fallbacks == {("spare", "connect"): 1}

    def test_threads_call_through_reloads(self, clock, scripted):
        """Each call is answered by one of the two wirings, and none is lost."""
        a, b = scripted("a", "a"), scripted("b", "b")
        llm = chain(clock, a, b)
        answers, errors = [], []

        def ask():
            try:
                answers.extend(llm.call("why") for _ in range(300))
            except Exception as error:  # noqa: BLE001  # it is looked at
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for each in threads:
            each.start()
        for turn in range(50):
            llm.reload(llm.config, providers=[b, a] if turn % 2 else [a, b])
        for each in threads:
            each.join()
        assert not errors
        assert len(answers) == 1200
        assert set(answers) <= {"a", "b"}
        assert sum(each.attempts for each in llm.metrics().values()) == 1200


class TestBadReloads:
    """The chain goes on as it was."""

    @pytest.mark.parametrize(
        ("config", "providers", "words"),
        [
            ({"deadline": 3}, None, "reload of chain 'fallback' got a dict; give a FallbackConfig"),
            (FallbackConfig(audit="full"), None, "FallbackConfig.audit is 'full', and was 'moves'"),
            (FallbackConfig(), [], "FallbackProvider.providers is empty"),
            (FallbackConfig(), ["a"], r"providers\[0\] is 'a'"),
            (
                FallbackConfig(strategy=LoadBalanced(weights={"nobody": 2})),
                None,
                "LoadBalanced.weights names 'nobody', which is no provider of the chain; there are",
            ),
        ],
    )
    def test_it_is_refused_with_every_problem(self, clock, scripted, config, providers, words):
        """And nothing has changed."""
        llm = chain(clock, scripted("a", ConnectionError()))
        with pytest.raises(AllProvidersFailed):
            llm.call("why")
        before = (llm.config, llm.breaker("a"), repr(llm))
        with pytest.raises(ConfigurationError, match=words):
            llm.reload(config, providers=providers)
        assert (llm.config, llm.breaker("a"), repr(llm)) == before
        with pytest.raises(AllProvidersFailed, match="'a' skipped, open"):
            llm.call("why")

    def test_a_copy_that_would_wait_for_ever_stands_against_it(self, clock, scripted):
        """Its own options say that it has no deadline."""
        llm = chain(clock, scripted("a"))
        patient = llm.options(deadline=None)
        with pytest.raises(ConfigurationError, match=r"options\.deadline is None"):
            llm.reload(FallbackConfig(deadline=3.0, when_all_open="wait"))
        assert llm.config.deadline is None
        assert patient.call("why") == "hello"


class TestAccounts:
    """The breaker of an account goes with the providers that are on it."""

    @staticmethod
    def on_account(name, answer):
        """A provider on an account."""

        @provider(name, account="acme")
        def ask(prompt):
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    def test_a_key_that_was_mended_for_all_of_them_is_tried_at_once(self, clock):
        """Its account was held for the key that is gone."""
        refused = PermissionError("401")
        refused.status_code = 401
        llm = chain(clock, self.on_account("a", refused), self.on_account("b", refused))
        with pytest.raises(AllProvidersFailed):
            llm.call("why")
        assert llm.breaker("account:acme").state.value == "open"
        mended = [self.on_account(name, "hello") for name in "ab"]
        llm.reload(FallbackConfig(breaker=TOUCHY), providers=mended)
        assert llm.breaker("account:acme").state.value == "closed"
        assert llm.call("why") == "hello"

    def test_one_that_keeps_a_provider_stands_where_it_stood(self, clock):
        """Whatever its numbers are by then."""
        a, b = self.on_account("a", "hello"), self.on_account("b", "hello")
        llm = chain(clock, a, b)
        llm.breaker("account:acme").hold(60.0)
        llm.reload(FallbackConfig(), providers=[a, self.on_account("b", "hello")])
        assert llm.breaker("account:acme").state.value == "open"
