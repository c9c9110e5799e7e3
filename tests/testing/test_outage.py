"""Outages: who fails meanwhile, how, and what is as before when they are over."""

import math
import threading

import pytest

from fsm_fallback import FallbackProvider, FaultKind, classify
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing import (
    Delay,
    Emulator,
    Hang,
    Overloaded,
    ScriptedProvider,
    Slow,
    Status,
    Value,
)

ASK = {"model": "m", "input": "Why?"}


@pytest.fixture
def ask(post):
    """Ask an emulated provider; the status it answers with."""
    return lambda provider: post(provider, "/v1/responses", ASK)[0]


class TestScripted:
    """Outages of a `ScriptedProvider`."""

    def test_every_call_fails_while_it_is_on(self):
        """And the script goes on where it stood."""
        provider = ScriptedProvider("a", ["one", "two"])
        assert provider.call() == "one"
        with provider.outage():
            for _ in range(3):
                with pytest.raises(ConnectionError, match="provider 'a' is in an outage"):
                    provider.call()
        assert provider.call() == "two"
        assert len(provider.calls) == 5

    def test_awaited_calls_fail_too(self, loop):
        """With the same error."""
        provider = ScriptedProvider("a", ["one"])
        with provider.outage(), pytest.raises(ConnectionError):
            loop.run(provider.acall)
        assert loop.run(provider.acall) == "one"

    def test_by_default_nothing_answers_there(self):
        """A fault that counts, and after which the next provider is asked."""
        provider = ScriptedProvider("a")
        with provider.outage(), pytest.raises(ConnectionError) as caught:
            provider.call()
        assert classify(caught.value).kind is FaultKind.CONNECT

    def test_a_provider_past_its_script_can_be_in_an_outage(self):
        """The script is not asked."""
        provider = ScriptedProvider("a")
        with provider.outage(BlockingIOError), pytest.raises(BlockingIOError):
            provider.call()

    def test_the_step_may_take_time(self, manual_clock):
        """A hang, or a delay before an answer that comes late."""
        provider = ScriptedProvider("a", clock=manual_clock)
        with provider.outage(Hang()), pytest.raises(TimeoutError):
            provider.call(timeout=3)
        with provider.outage(Delay(2, then="late")):
            assert provider.call() == "late"
        assert manual_clock() == 5

    def test_pending_counts_the_steps_that_were_not_played(self):
        """An outage plays none, and a repeated last step is played once."""
        provider = ScriptedProvider("a", ["one", "two"], exhausted="repeat")
        with provider.outage(), pytest.raises(ConnectionError):
            provider.call()
        seen = [provider.pending]
        for _ in range(3):
            provider.call()
            seen.append(provider.pending)
        assert seen == [2, 1, 0, 0]

    @pytest.mark.parametrize(
        ("step", "words"),
        [
            ("an answer", "outage.step is 'an answer'; give an exception, Hang"),
            (Status(503), "outage.step is a Status; give an exception"),
            (Value(OSError()), "outage.step is a Value; give"),
            (str, "outage.step is a str class; give"),
            (Delay(1), "give clock=ManualClock"),
        ],
    )
    def test_a_step_that_cannot_work_is_refused(self, step, words):
        """An answer is no outage, and a step of the emulator would be an answer."""
        provider = ScriptedProvider("a", ["one"])
        with pytest.raises(ConfigurationError, match=words):
            provider.outage(step)
        assert provider.call() == "one"


class TestOverlapping:
    """Several outages of one provider."""

    def test_the_latest_that_is_on_counts(self):
        """Whatever the order in which they end."""
        provider = ScriptedProvider("a", ["well"])
        first, second = provider.outage(KeyError), provider.outage(IndexError)
        with provider.outage(BlockingIOError), pytest.raises(BlockingIOError):
            provider.call()
        first.end()
        with pytest.raises(IndexError):
            provider.call()
        second.end()
        assert provider.call() == "well"

    def test_an_outage_ends_once(self):
        """To end it again ends no other."""
        provider = ScriptedProvider("a")
        with provider.outage(KeyError) as outage:
            outage.end()
            with provider.outage(IndexError):
                outage.end()
                with pytest.raises(IndexError):
                    provider.call()

    def test_it_tells_whether_it_is_over(self):
        """By name and in its words."""
        with ScriptedProvider("a").outage() as outage:
            assert (outage.is_over, repr(outage)) == (False, "<Outage on>")
        assert (outage.is_over, repr(outage)) == (True, "<Outage over>")

    def test_it_ends_when_the_block_fails(self):
        """The error of the block passes."""
        provider = ScriptedProvider("a", ["well"])
        with pytest.raises(ZeroDivisionError), provider.outage():
            raise ZeroDivisionError
        assert provider.call() == "well"

    def test_threads_may_begin_and_end_them(self):
        """None is left over, none ends another."""
        provider = ScriptedProvider("a", ["well"])

        def work():
            for _ in range(200):
                with provider.outage(), pytest.raises(ConnectionError):
                    provider.call()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (provider.call(), len(provider.calls)) == ("well", 801)


class TestTimed:
    """Outages that end on a clock."""

    def test_it_ends_when_the_time_has_passed(self, manual_clock):
        """At that very instant."""
        provider = ScriptedProvider("a", ["well"])
        outage = provider.outage().end_after(30, manual_clock)
        manual_clock.advance(29.9)
        with pytest.raises(ConnectionError):
            provider.call()
        manual_clock.advance_to(30)
        assert (outage.is_over, provider.call()) == (True, "well")

    def test_it_may_end_before(self, manual_clock):
        """Nothing of it is left on the clock."""
        with ScriptedProvider("a").outage().end_after(30, manual_clock):
            assert manual_clock.next_timer_at == 30
        assert manual_clock.next_timer_at is None

    def test_the_last_word_on_its_end_counts(self, manual_clock):
        """The first is taken off the clock."""
        outage = ScriptedProvider("a").outage().end_after(30, manual_clock)
        outage.end_after(60, manual_clock)
        manual_clock.advance(59)
        assert not outage.is_over
        manual_clock.advance(1)
        assert outage.is_over

    def test_one_that_is_over_leaves_the_clock_alone(self, manual_clock):
        """It cannot end again."""
        outage = ScriptedProvider("a").outage()
        outage.end()
        outage.end_after(1, manual_clock)
        assert manual_clock.next_timer_at is None

    @pytest.mark.parametrize("duration", [0, -1, math.inf, math.nan, "60", None])
    def test_what_is_no_duration_is_refused(self, manual_clock, duration):
        """The outage goes on."""
        outage = ScriptedProvider("a").outage()
        words = f"end_after.duration is {duration!r}; give finite seconds > 0"
        with pytest.raises(ConfigurationError, match=words):
            outage.end_after(duration, manual_clock)
        assert not outage.is_over


class TestEmulated:
    """Outages of an `EmulatedProvider`."""

    def test_every_request_fails_while_it_is_on(self, openai_provider, ask):
        """Its script waits, and so does what it always serves."""
        openai_provider.script(Status(418))
        openai_provider.always(Status(429))
        with openai_provider.outage():
            assert [ask(openai_provider) for _ in range(2)] == [503, 503]
            assert openai_provider.pending == 1
        assert [ask(openai_provider) for _ in range(2)] == [418, 429]

    def test_the_responder_is_not_asked_meanwhile(self, openai_provider, ask):
        """It answers again afterwards."""
        asked = []
        openai_provider.respond(lambda request: asked.append(request.prompt))
        with openai_provider.outage(Overloaded()):
            assert (ask(openai_provider), asked) == (503, [])
        assert (ask(openai_provider), asked) == (200, ["Why?"])

    def test_the_journal_tells_its_step(self, openai_provider, ask):
        """Like any other."""
        with openai_provider.outage(Status(500)):
            ask(openai_provider)
        assert [(e.outcome, e.status) for e in openai_provider.requests] == [("status", 500)]

    @pytest.mark.parametrize("step", [Hang(), Slow(0, Hang())])
    def test_the_end_of_one_that_hangs_releases_what_hangs(self, emulator, ask, step):
        """Those who waited get their answer."""
        provider, statuses = emulator.provider("p", dialect="openai"), []
        with provider.outage(step):
            thread = threading.Thread(target=lambda: statuses.append(ask(provider)))
            thread.start()
            emulator.journal.wait_for(1)
        thread.join()
        assert statuses == [200]

    def test_recovering_ends_every_outage(self, openai_provider, ask):
        """They know it, and their ends do nothing more."""
        with openai_provider.outage() as first, openai_provider.outage(Status(500)) as second:
            openai_provider.recover()
            assert (first.is_over, second.is_over, ask(openai_provider)) == (True, True, 200)

    def test_it_may_end_after_its_emulator(self):
        """There is nobody left to release."""
        with Emulator() as emulator:
            outage = emulator.provider("p", dialect="openai").outage(Hang())
        outage.end()
        assert outage.is_over

    def test_what_is_no_step_is_refused(self, openai_provider, ask):
        """No outage has begun."""
        with pytest.raises(ConfigurationError, match=r"outage.step is OSError\(\); give a step"):
            openai_provider.outage(OSError())
        assert ask(openai_provider) == 200


def test_a_chain_lives_through_an_outage_and_comes_back(manual_clock):
    """The other provider answers meanwhile; after the open time the first does again."""
    first = ScriptedProvider("first", ["first"], exhausted="repeat")
    second = ScriptedProvider("second", ["second"], exhausted="repeat")
    llm = FallbackProvider(first, second, clock=manual_clock, sample=lambda: 0.5)
    with first.outage():
        answers = [llm.call() for _ in range(20)]
    assert answers == ["second"] * 20
    assert len(first.calls) == 10  # then its breaker was open
    manual_clock.advance(29.9)
    assert llm.call() == "second"
    manual_clock.advance_to(30)
    assert llm.call() == "first"
