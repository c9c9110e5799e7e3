"""`FallbackProvider.explain`: what a person on call reads, and that reading it changes nothing."""

import contextlib
import logging
import textwrap
import threading

import pytest

from fsm_fallback import (
    BreakerConfig,
    CallOptions,
    CapabilityBased,
    ChainFailed,
    CostOptimized,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    LoadBalanced,
    Price,
    provider,
)
from fsm_fallback.testing import Delay, ScriptedProvider

MARKER = "sk-MARKER"


class Overloaded(Exception):
    """A server that is down, and says more than a log may hold."""

    status_code = 503

    def __init__(self):
        super().__init__(f"{MARKER} is too much for us")


class BadKey(Overloaded):
    """A key that is refused."""

    status_code = 401


class RateLimited(Overloaded):
    """A provider that names a time."""

    status_code = 429


BREAKER = BreakerConfig(window=CountWindow(10), minimum_calls=1, jitter=0.0)


@pytest.fixture
def clock(manual_clock):
    """The clock of the test."""
    return manual_clock


@pytest.fixture
def scripted(clock):
    """A provider that plays a script, its last step for ever."""

    def made(name, *script, **known):
        steps = script or ("hello",)
        return ScriptedProvider(name, steps, clock=clock, exhausted="repeat", **known)

    return made


@pytest.fixture
def make(clock):
    """Make a chain of providers, whose breakers open on the first failure."""

    def made(*providers, breaker=BREAKER, when_all_open="fail", deadline=None, **more):
        config = FallbackConfig(breaker=breaker, when_all_open=when_all_open, deadline=deadline)
        return FallbackProvider(*providers, config=config, clock=clock, name="chat", **more)

    return made


def ask(llm, times=1):
    """Calls, whatever becomes of them."""
    for _ in range(times):
        with contextlib.suppress(ChainFailed):
            llm.call("why")


def head(llm):
    """What is said of the chain as a whole: the lines before the first provider."""
    return llm.explain().split("\n\n")[0].splitlines()


def order(llm):
    """What is said of whom a call would ask."""
    return [line.strip() for line in head(llm)[2:]]


def section(llm, name):
    """What is said of one provider, or of one account."""
    return next(
        part.splitlines() for part in llm.explain().split("\n\n")[1:] if repr(name) in part[:40]
    )


class TestTheWhole:
    """All of it, as it is printed."""

    def test_a_chain_that_was_never_asked(self, make, scripted):
        """Everybody is there to be asked."""
        llm = make(scripted("openai", model="some-model"), scripted("anthropic"))
        assert llm.explain() == textwrap.dedent(
            """\
            chain 'chat', strategy Sequential
            a call would ask now, in this order:
              1. 'openai': admitted
              2. 'anthropic': admitted

            provider 'openai' (model some-model): not asked yet
            breaker 'chat/openai' is closed, for 0.0 s
              0 calls in flight, 0 refused so far
              0 of 0 calls in the window failed; opens at 0.5 of 1 or more
              next: every call is let through

            provider 'anthropic': not asked yet
            breaker 'chat/anthropic' is closed, for 0.0 s
              0 calls in flight, 0 refused so far
              0 of 0 calls in the window failed; opens at 0.5 of 1 or more
              next: every call is let through"""
        )

    def test_a_chain_whose_first_provider_is_down(self, make, scripted, clock):
        """Why, since when, until when, and who is asked in its place."""
        llm = make(
            scripted("openai", Overloaded()),
            scripted("anthropic", Delay(0.5, "hello")),
        )
        ask(llm, 3)
        clock.advance(10.5)
        assert llm.explain() == textwrap.dedent(
            """\
            chain 'chat', strategy Sequential
            a call would ask now, in this order:
              - 'openai': refused for 18.0 s more, its breaker is open (transient)
              1. 'anthropic': admitted

            provider 'openai': 0% of its latest attempts were answered, last fault transient, \
12.0 s ago, 1 failure in a row
            breaker 'chat/openai' is open, for 12.0 s
              because of: transient
              0 calls in flight, 2 refused so far
              next: after 18.0 s the first caller is a probe; 1 decide

            provider 'anthropic': 100% of its latest attempts were answered, half within \
0.5 s, 95 of 100 within 0.5 s
            breaker 'chat/anthropic' is closed, for 12.0 s
              0 calls in flight, 0 refused so far
              0 of 3 calls in the window failed; opens at 0.5 of 1 or more
              next: every call is let through"""
        )


class TestRefusals:
    """Who would not be asked, until when, and by whose word."""

    def test_one_whose_open_time_is_over_is_asked_as_a_probe(self, make, scripted, clock):
        """Its place in the order is its own again."""
        llm = make(scripted("a", Overloaded()), scripted("b"))
        ask(llm)
        clock.advance(30.0)
        assert order(llm) == ["1. 'a': as a probe", "2. 'b': admitted"]

    def test_one_whose_probe_is_out_names_no_time(self, make, scripted, clock):
        """The probe decides, whenever it is back."""
        llm = make(scripted("a", Overloaded()), scripted("b"))
        ask(llm)
        clock.advance(30.0)
        probe = llm.breaker("a").acquire()
        assert order(llm)[0] == (
            "- 'a': refused until its probes are back, its breaker is half_open (transient)"
        )
        probe.release()

    def test_one_that_is_forced_open_names_who_did_it_and_why(self, make, scripted):
        """Only a person ends that."""
        llm = make(scripted("a"), scripted("b"))
        llm.breaker("a").force_open(actor="ana", reason="drill")
        assert order(llm)[0] == (
            "- 'a': refused until somebody says reset(), its breaker is forced_open (by ana: drill)"
        )
        assert "  by ana: drill" in section(llm, "a")

    def test_one_that_was_forced_open_without_a_word_says_no_more(self, make, scripted):
        """Nobody has left a name."""
        llm = make(scripted("a"), scripted("b"))
        llm.breaker("a").force_open()
        assert order(llm)[0].endswith("its breaker is forced_open")

    def test_a_hold_names_what_the_provider_said(self, make, scripted, clock):
        """The kind of the fault, and the time that is left of the one it named."""
        llm = make(scripted("a", RateLimited()), scripted("b"))
        ask(llm)
        until = llm.breaker("a").snapshot().open_until
        clock.advance(1.0)
        assert order(llm)[0] == (
            f"- 'a': refused for {until - 1.0:.1f} s more, its breaker is open (rate_limit)"
        )

    def test_an_account_that_is_held_refuses_all_that_it_pays_for(self, make, scripted):
        """The breaker is named that refuses, and it has a section of its own."""
        llm = make(
            scripted("a", BadKey(), account="acme"),
            scripted("b", account="acme"),
            scripted("c"),
        )
        ask(llm)
        refused = "refused for 900.0 s more, the breaker of 'account:acme' is open (auth)"
        assert order(llm) == [f"- 'a': {refused}", f"- 'b': {refused}", "1. 'c': admitted"]
        assert section(llm, "a")[0].startswith("provider 'a' (account acme): 0% of its latest ")
        assert section(llm, "account:acme")[:3] == [
            "account 'account:acme', before 'a', 'b'",
            "breaker 'chat/account:acme' is open, for 0.0 s",
            "  because of: auth",
        ]

    def test_two_breakers_that_refuse_are_both_told(self, make, scripted):
        """The account's first, which is asked first; the longer time counts."""
        llm = make(scripted("a", account="acme"), scripted("b"))
        llm.breaker("account:acme").hold(5.0, reason="billing")
        llm.breaker("a").hold(60.0, actor="ana")
        assert order(llm)[0] == (
            "- 'a': refused for 60.0 s more, "
            "the breaker of 'account:acme' is open (by an operator: billing) "
            "and its breaker is open (by ana: no reason given)"
        )

    def test_a_provider_that_two_chains_share_is_no_account(self, make, scripted):
        """Its breaker bears the name of the first chain, and is its own in both."""
        shared = scripted("a")
        make(shared, scripted("b"))
        llm = make(shared, scripted("c"))
        llm.breaker("a").hold(5.0)
        assert order(llm)[0] == "- 'a': refused for 5.0 s more, its breaker is open"


class TestNobody:
    """What becomes of a call that nobody can take."""

    @pytest.fixture
    def closed(self, make, scripted):
        """A chain whose two breakers are held for 60 s and for 20 s."""

        def made(**config):
            llm = make(scripted("a"), scripted("b"), **config)
            llm.breaker("a").hold(60.0)
            llm.breaker("b").hold(20.0)
            return llm

        return made

    def test_it_fails_and_the_first_to_come_back_is_told(self, closed):
        """With the seconds until then."""
        assert order(closed())[-1] == (
            "nobody: a call would fail at once; 'b' is the first to come back, in 20.0 s"
        )

    def test_a_chain_that_waits_says_so(self, closed):
        """By `when_all_open`, for as long as the deadline lets it."""
        assert order(closed(when_all_open="wait", deadline=20.5))[-1] == (
            "nobody yet: a call would wait, within its deadline; "
            "'b' is the first to come back, in 20.0 s"
        )

    def test_a_chain_that_could_not_wait_long_enough_says_so(self, closed):
        """It would not wait at all."""
        llm = closed(when_all_open="wait", deadline=20.0)
        told = order(llm)[-1]
        assert told == (
            "nobody: a call would fail at once, for nobody comes back by its deadline; "
            "'b' is the first to come back, in 20.0 s"
        )
        with pytest.raises(ChainFailed):
            llm.call("why")

    def test_a_chain_waits_for_probes_that_are_out(self, make, scripted, clock):
        """They may be back at any time, and nobody knows when."""
        llm = make(scripted("a", Overloaded()), when_all_open="wait", deadline=50.0)
        ask(llm)
        clock.advance(llm.breaker("a").snapshot().open_until - clock())
        probe = llm.breaker("a").acquire()
        assert order(llm)[-1] == "nobody yet: a call would wait, within its deadline"
        probe.release()

    def test_nobody_waits_for_an_operator(self, make, scripted):
        """Forced open names no time, and is no probe."""
        llm = make(scripted("a"), when_all_open="wait", deadline=50.0)
        llm.breaker("a").force_open()
        assert order(llm)[-1] == (
            "nobody: a call would fail at once, for nobody comes back by its deadline"
        )

    def test_a_call_that_nobody_can_serve_says_so(self, make, scripted):
        """No breaker has to do with it."""
        llm = make(scripted("a", capabilities={"vision"}), strategy=CapabilityBased())
        assert order(llm.options(needs={"tools"})) == [
            "- 'a': skipped, it lacks 'tools'",
            "nobody: a call would fail, for no provider can serve it",
        ]

    def test_providers_without_a_way_in_common_say_so(self, make):
        """One is plain, one has to be awaited and gives streams."""

        @provider("a")
        def ask_a(prompt):
            return prompt

        @provider("b")
        async def ask_b(prompt):
            yield prompt

        assert head(make(ask_a, ask_b))[1] == (
            "a call would ask nobody: its providers have no way to be called in common"
        )


class TestWhyThisOrder:
    """Each strategy tells what put a candidate in its place."""

    def test_what_a_call_says_of_itself_is_in_the_question(self, make, scripted):
        """The answer holds for such a call."""
        llm = make(scripted("a"), strategy=CapabilityBased())
        asking = llm.options(
            needs={"vision", "tools"}, input_tokens=900, max_cost="0.5", deadline=9
        )
        assert head(asking)[1] == (
            "a call (needs tools+vision, 900 tokens, at most 0.5 USD, deadline 9 s) "
            "would ask now, in this order:"
        )

    def test_capabilities(self, make, scripted):
        """Missing needs, small windows, prices too high; what is preferred, what nobody knows."""
        able = {"capabilities": {"tools", "vision"}, "context_window": 9_000}
        cheap, dear = (Price(input_mtok=each, output_mtok=0) for each in (1, 100))
        llm = make(
            scripted("silent"),
            scripted("deaf", capabilities={"vision"}),
            scripted("small", capabilities={"tools"}, context_window=500),
            scripted("dear", price=dear, **able),
            scripted("plain", capabilities={"tools"}, context_window=9_000, price=cheap),
            scripted("best", price=cheap, **able),
            strategy=CapabilityBased(prefer=("vision",)),
        )
        assert head(llm)[0] == "chain 'chat', strategy CapabilityBased, preferring 'vision'"
        assert order(llm.options(needs={"tools"}, input_tokens=1000, max_cost="0.01")) == [
            "1. 'best': admitted; preferred for 'vision'",
            "2. 'plain': admitted; has nothing that is preferred",
            (
                "3. 'silent': admitted; nobody says whether it has 'tools', so asked late; "
                "its context window is unknown, so asked late; its price is unknown, so asked "
                "late; has nothing that is preferred"
            ),
            "- 'deaf': skipped, it lacks 'tools'",
            "- 'small': skipped, its context window of 500 is too small for 1000",
            "- 'dear': skipped, it would cost 0.1 USD, and may cost 0.01 USD",
        ]

    def test_costs(self, make, scripted):
        """What the call would cost each, at its price, and what its failures make of that."""
        llm = make(
            scripted("unknown"),
            scripted("dear", price=Price(input_mtok=3, output_mtok=15)),
            scripted("cheap", "hello", Overloaded(), price=Price(input_mtok=1, output_mtok=1)),
            breaker=BreakerConfig(),
            strategy=CostOptimized(),
        )
        ask(llm, 2)
        assert order(llm) == [
            (
                "1. 'cheap': admitted; 0.00125 USD for 1000 tokens in, 250 out; "
                "divided by the 50% that are answered"
            ),
            "2. 'dear': admitted; 0.00675 USD for 1000 tokens in, 250 out",
            (
                "3. 'unknown': admitted; its price is unknown, so asked after those whose price "
                "is known"
            ),
        ]
        assert order(llm.options(input_tokens=2, output_tokens=1))[0].startswith(
            "1. 'cheap': admitted; 0.000003 USD for 2 tokens in, 1 out"
        )

    def test_weights(self, make, scripted):
        """And that a draw is only a draw."""
        llm = make(scripted("a"), scripted("b"), strategy=LoadBalanced(weights={"a": 3, "b": 0}))
        assert head(llm)[0] == "chain 'chat', strategy LoadBalanced by weight"
        assert order(llm) == [
            "1. 'a': admitted; weight 3",
            "2. 'b': admitted; weight 0, so asked last",
            "each call is drawn anew; this is the order of a draw in the middle",
        ]

    def test_latencies_and_calls_in_flight(self, make, scripted, clock):
        """As they are weighed."""
        llm = make(
            scripted("a", Delay(0.25, "hello")), scripted("b"), strategy=LoadBalanced(by="latency")
        )
        llm.breaker("b").hold(5.0)
        ask(llm)
        clock.advance(5.0)
        llm.breaker("b").call(lambda: "well again")  # a probe
        lease = llm.breaker("b").acquire()
        told = set(order(llm)[:2])
        assert {each[3:] for each in told} == {
            "'a': admitted; weight 1; weighed at 0.23 s, its failures in it; 0 in flight",
            (
                "'b': admitted; weight 1; not measured yet; 1 in flight; "
                "its breaker closed 0.0 s ago, and its share grows for 30 s"
            ),
        }
        lease.release()

    def test_strategies_in_strategies(self, make, scripted):
        """Each tells its part."""
        llm = make(
            scripted("a", capabilities={"tools"}, price=Price(input_mtok=1, output_mtok=0)),
            strategy=CapabilityBased(
                prefer=("tools",), then=CostOptimized(then=LoadBalanced(by="in_flight"))
            ),
        )
        assert head(llm)[0].endswith(
            "strategy CapabilityBased, preferring 'tools', then CostOptimized, "
            "then LoadBalanced by in_flight"
        )
        assert order(llm)[0] == (
            "1. 'a': admitted; preferred for 'tools'; 0.001 USD for 1000 tokens in, 250 out; "
            "weight 1; 0 in flight"
        )

    def test_a_strategy_of_the_users_own(self, make, scripted):
        """Its name is all there is to say."""

        class Backwards:
            def order(self, candidates, request, now, sample):
                return candidates[::-1]

        llm = make(scripted("a"), scripted("b"), strategy=Backwards())
        assert head(llm) == [
            "chain 'chat', strategy Backwards",
            "a call would ask now, in this order:",
            "  1. 'b': admitted",
            "  2. 'a': admitted",
        ]

    def test_a_strategy_that_raises_hides_nothing_else(self, make, scripted):
        """Its class is named and not its text; the providers are told as ever."""

        class Broken:
            def order(self, candidates, request, now, sample):
                raise LookupError(MARKER)

        llm = make(scripted("a"), strategy=Broken())
        assert head(llm)[1] == "a call would raise LookupError: the strategy gives no order"
        assert section(llm, "a")[0] == "provider 'a': not asked yet"
        assert MARKER not in llm.explain()

    def test_what_describe_would_add_is_not_known(self, make, scripted, caplog):
        """It is not called, for there are no arguments, and nothing is logged."""
        asked = []
        llm = make(
            scripted("a"),
            strategy=CapabilityBased(),
            describe=lambda prompt: asked.append(prompt) or CallOptions(),
        )
        with caplog.at_level(logging.DEBUG):
            told = order(llm)
        assert told[-1] == "what describe= tells of a call by its arguments comes on top"
        assert (asked, caplog.records) == ([], [])


class TestProviders:
    """How each has done."""

    def test_one_that_only_got_bad_requests_was_asked(self, make, scripted):
        """They say nothing of it, so there is no ratio; the fault is told."""

        class BadRequest(Exception):
            status_code = 400
            body = {"error": {"message": MARKER}}  # noqa: RUF012  # as SDKs have it

        llm = make(scripted("a", BadRequest()))
        ask(llm)
        assert section(llm, "a")[0] == "provider 'a': last fault caller, 0.0 s ago"

    def test_what_it_has_cost_is_told_where_its_price_is_known(self, make, scripted):
        """Of all calls so far."""
        answer = {"usage": {"prompt_tokens": 2_000, "completion_tokens": 500}}
        llm = make(scripted("a", answer, price=Price(input_mtok=1, output_mtok=2)))
        ask(llm, 3)
        assert section(llm, "a")[0] == (
            "provider 'a': 100% of its latest attempts were answered, half within a millisecond, "
            "95 of 100 within a millisecond, 0.009 USD "
            "so far"
        )

    def test_a_chain_inside_is_told_as_it_tells_itself(self, make, scripted, clock):
        """Beside it, so that nobody takes its providers for those of the chain outside."""
        inner = FallbackProvider(scripted("a"), scripted("b"), clock=clock, name="inner")
        inner.breaker("a").force_open(actor="ana", reason="drill")
        told = make(inner, scripted("c")).explain().splitlines()
        assert told[2] == "  1. 'inner': admitted"
        own = [f"  | {line}".rstrip() for line in inner.explain().splitlines()]
        begin = told.index(own[0])
        assert told[begin : begin + len(own)] == own
        assert any("forced_open (by ana: drill)" in line for line in own)


class TestAskingChangesNothing:
    """However often somebody asks."""

    STRATEGIES = (
        None,
        CapabilityBased(prefer=("tools",)),
        CostOptimized(),
        *[LoadBalanced(by=by) for by in ("weight", "latency", "in_flight")],
    )

    @pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
    def test_no_record_no_number_no_permit_no_draw(self, make, scripted, clock, strategy):
        """Before and after it all is the same, with a breaker that would let a probe through."""
        draws = []
        llm = make(
            scripted("a", Overloaded()),
            scripted("b", "hello"),
            scripted("c", "hello"),
            strategy=strategy,
            audit="full",
            sample=lambda: draws.append(0.5) or 0.5,
        )
        ask(llm, 5)
        clock.advance(30.0)

        def seen():
            return (
                llm.audit.records(),
                llm.metrics(),
                llm.requests(),
                llm.health(),
                {name: each.snapshot() for name, each in llm.breakers().items()},
                len(draws),
            )

        before = seen()
        assert llm.explain() == llm.explain()
        assert seen() == before

    def test_calls_that_nobody_has_counted_are_in_it(self, make, scripted):
        """Who asks reads the whole."""
        llm = make(scripted("a", Delay(0.5, "hello")))
        ask(llm, 7)
        assert "100% of its latest attempts were answered" in section(llm, "a")[0]
        assert llm.metrics()["a"].attempts == 7

    def test_breakers_may_move_while_somebody_reads(self, make, scripted):
        """Whatever is told of them by then, it can be read."""
        llm = make(
            *[scripted(name, "hello", account="acme") for name in "ab"],
            when_all_open="wait",
            deadline=5.0,
        )
        stop = threading.Event()

        def operate():
            while not stop.is_set():
                for name in ("a", "b", "account:acme"):
                    llm.breaker(name).force_open()
                for name in ("a", "b", "account:acme"):
                    llm.breaker(name).reset()

        operator = threading.Thread(target=operate)
        operator.start()
        told = [llm.explain() for _ in range(300)]
        stop.set()
        operator.join()
        assert {each.splitlines()[0] for each in told} == {"chain 'chat', strategy Sequential"}

    def test_no_word_of_a_provider_is_told(self, make, scripted):
        """Neither of its errors nor of its answers nor of a prompt."""
        llm = make(scripted("a", Overloaded()), scripted("b", BadKey()), scripted("c", MARKER))
        llm.call(MARKER)
        assert MARKER not in llm.explain()
