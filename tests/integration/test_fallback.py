"""What was asked for, scenario by scenario, over the real SDKs.

The primary fails and the secondary answers; all fail and the right error comes back; the breaker
opens and closes; the health metrics say what happened. Strategies have a file of their own. What
was asked is read off the emulator's journal, never off the chain.
"""

import itertools
import math
import random
from collections import Counter

import anthropic
import openai
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    Attempt,
    BreakerState,
    FaultKind,
    Price,
    Skip,
)
from fsm_fallback.core.metrics import BUCKETS
from fsm_fallback.testing import Overloaded, QuotaSpent, RateLimited, Reply, Status
from tests.integration.conftest import FAILURES, KEY

S = BreakerState
K = FaultKind


def slow(house, name, *seconds):
    """Have a provider take so long for its coming answers, on the manual clock."""
    coming = iter(seconds)
    getattr(house, name).respond(lambda _: house.clock.advance(next(coming)))


def trail_of(house, chain, prompt="why"):
    """The trail of one call, whatever became of it."""
    try:
        return house.ask(chain, prompt).trail
    except ExceptionGroup as failure:
        return failure.trail


class TestThePrimaryFails:
    """Somebody else answers."""

    def test_the_secondary_answers(self, house):
        """With the answer of its own SDK; each was asked once, and the first error is kept."""
        house.openai.script(Status(500))
        answer = house.ask(house.both(), "Why is the sky blue?")
        assert isinstance(answer.value, anthropic.types.Message)
        assert answer.value.content[0].text == "[emulated anthropic] Why is the sky blue?"
        failed, answered = answer.trail
        assert isinstance(failed.error, openai.InternalServerError)
        assert (answered.provider, answered.fault) == ("anthropic", None)
        assert [(entry.provider, entry.status) for entry in house.journal] == [
            ("openai", 500),
            ("anthropic", 200),
        ]

    def test_the_next_call_asks_the_primary_first_again(self, house):
        """One failure is no outage."""
        house.openai.script(Status(500))
        chain = house.both()
        assert [house.ask(chain).provider for _ in range(2)] == ["anthropic", "openai"]


class TestAllFail:
    """Nobody answers, and the error says all there is to say."""

    def test_every_original_error_is_in_it_in_the_order_of_the_calls(self, house):
        """The SDKs' own objects, with their responses; each was asked once."""
        house.openai.script(Status(503))
        house.anthropic.script(Overloaded())
        failure = house.fail(house.both())
        assert type(failure) is AllProvidersFailed
        assert [type(each).__module__.partition(".")[0] for each in failure.exceptions] == [
            "openai",
            "anthropic",
        ]
        assert [each.status_code for each in failure.exceptions] == [503, 529]
        assert all(
            attempt.error is error
            for attempt, error in zip(failure.trail, failure.exceptions, strict=True)
        )
        assert house.requests() == (1, 1)

    @pytest.mark.parametrize("first", [True, False], ids=["asked first", "asked second"])
    @pytest.mark.parametrize(
        ("step", "words"),
        [
            (Status(401), "auth (check its key and permissions)"),
            (QuotaSpent(), "quota (check its credit and billing)"),
        ],
        ids=["key", "credit"],
    )
    def test_its_message_leads_with_what_a_person_can_act_on(self, house, step, words, first):
        """A key or an empty account before an outage, whoever was asked first."""
        ill, down = ("openai", "anthropic") if first else ("anthropic", "openai")
        getattr(house, ill).script(step)
        getattr(house, down).script(Status(503))
        failure = house.fail(house.both())
        lead = failure.message.partition(";")[0]
        assert lead == f"all 2 providers failed: {ill!r} {words}"
        assert f"{down!r} transient (wait)" in failure.message
        assert KEY not in failure.message

    def test_where_all_breakers_are_open_it_says_until_when(self, house, clock):
        """Nobody is called, and the fault behind each refusal is named."""
        house.openai.always(Status(503))
        house.anthropic.always(Status(503))
        chain = house.both()
        for _ in range(FAILURES):
            house.fail(chain)
        clock.advance(10.0)
        failure = house.fail(chain)
        assert [(type(item), item.reason, item.cause.kind) for item in failure.trail] == [
            (Skip, "open", K.TRANSIENT)
        ] * 2
        assert failure.retry_after == 20.0
        assert house.requests() == (FAILURES, FAILURES)


class TestTheBreaker:
    """It opens, and it closes, each when it should."""

    @pytest.fixture
    def opened(self, house):
        """A chain whose primary has failed four times, and is down still."""
        house.openai.always(Status(503))
        chain = house.both()
        for number in range(FAILURES):
            assert chain.breaker("openai").state is S.CLOSED, number
            house.ask(chain)
        return chain

    def test_after_the_configured_failures_the_provider_is_not_called_any_more(self, house, opened):
        """Of ten more calls none goes there; the secondary answers them all."""
        assert opened.breaker("openai").state is S.OPEN
        assert {house.ask(opened).provider for _ in range(10)} == {"anthropic"}
        assert house.requests() == (FAILURES, FAILURES + 10)

    def test_one_failure_fewer_leaves_it_closed(self, house):
        """The number is a number."""
        house.openai.script(*[Status(503)] * (FAILURES - 1))
        chain = house.both()
        for _ in range(FAILURES - 1):
            house.ask(chain)
        assert chain.breaker("openai").state is S.CLOSED
        assert house.ask(chain).provider == "openai"

    def test_nobody_is_let_through_before_the_open_time_is_over(self, house, clock, opened):
        """Not a moment earlier."""
        house.openai.recover()
        clock.advance_to(math.nextafter(30.0, 0.0))
        assert house.ask(opened).provider == "anthropic"
        assert house.journal.count("openai") == FAILURES

    def test_a_probe_that_is_answered_closes_it(self, house, clock, opened):
        """After the open time the first call is the probe; from then on all go there again."""
        house.openai.recover()
        clock.advance_to(30.0)
        assert [house.ask(opened).provider for _ in range(3)] == ["openai"] * 3
        stands = opened.breaker("openai").snapshot()
        assert (stands.state, stands.failures) == (S.CLOSED, 0)
        assert [entry.at for entry in house.openai.requests[FAILURES:]] == [30.0] * 3

    def test_a_probe_that_fails_opens_it_again_for_longer(self, house, clock, opened):
        """One request, and twice the time; its caller is answered by the secondary."""
        clock.advance_to(30.0)
        assert [house.ask(opened).provider for _ in range(3)] == ["anthropic"] * 3
        assert house.journal.count("openai") == FAILURES + 1
        assert opened.breaker("openai").snapshot().open_until == 90.0

    def test_one_that_has_closed_forgets_what_opened_it(self, house, clock, opened):
        """It takes as many failures as the first time."""
        house.openai.recover()
        clock.advance_to(30.0)
        house.ask(opened)
        house.openai.always(Status(503))
        for _ in range(FAILURES - 1):
            house.ask(opened)
        assert opened.breaker("openai").state is S.CLOSED
        for _ in range(FAILURES):
            house.ask(opened)
        assert opened.breaker("openai").state is S.OPEN


class TestHealthMetrics:
    """What is told of a provider is what happened to it."""

    def test_counters_are_what_the_journal_and_the_trails_say(self, house, clock):
        """Attempts, answers, faults by kind, skips by reason, fallbacks by whom and why."""
        house.openai.script(
            *[Status(500), Status(429, headers={"retry-after": "7"})],
            *[Status(503)] * 2,
        )
        house.anthropic.script(*[Reply()] * 5, Status(401))
        chain = house.both()
        trails = []
        for _ in range(12):
            trails.append(trail_of(house, chain))
            clock.advance(4.0)
        metrics = chain.metrics()
        for name in ("openai", "anthropic"):
            told, served = metrics[name], house.journal.of(name)
            items = [item for trail in trails for item in trail if item.provider == name]
            attempts = [item for item in items if isinstance(item, Attempt)]
            assert told.attempts == len(served) == len(attempts)
            assert told.successes == sum(entry.status == 200 for entry in served)
            kinds = [item.fault.kind.value for item in attempts if item.fault]
            assert told.faults == {kind: kinds.count(kind) for kind in kinds}
            reasons = [item.reason for item in items if isinstance(item, Skip)]
            assert told.skips == {reason: reasons.count(reason) for reason in reasons}
            assert sum(each.count for each in told.durations.values()) == len(attempts)
        assert metrics["openai"].faults == {"transient": 3, "rate_limit": 1}
        fallbacks = Counter(
            (before.provider, after.provider, _reason(before))
            for trail in trails
            for before, after in itertools.pairwise(trail)
            if isinstance(after, Attempt)
        )
        assert fallbacks == {
            (name, to, why): count
            for name, each in metrics.items()
            for (to, why), count in each.fallbacks.items()
        }
        assert {why for _, _, why in fallbacks} >= {"transient", "rate_limit", "open"}
        ends = [trail[-1].provider if _answered(trail) else None for trail in trails]
        assert {key[1]: each.count for key, each in chain.requests().items()} == {
            name: ends.count(name) for name in ends
        }

    def test_the_success_ratio_is_that_of_the_answers_in_the_journal(self, house):
        """And the failures in a row are those since the last answer."""
        steps = [None, None, None, Status(503), None, Status(503), Status(500), Status(502)]
        served = iter(steps)
        house.openai.respond(lambda _: next(served))
        chain = house.both()
        for _ in steps:
            house.ask(chain)
        health = chain.health()["openai"]
        answers = [entry.status == 200 for entry in house.openai.requests]
        assert health.success_ratio == sum(answers) / len(answers) == 0.5
        assert (health.state, health.consecutive_failures) == (S.OPEN, 3)
        assert chain.health()["anthropic"].success_ratio == 1.0

    def test_a_request_that_is_at_fault_says_nothing_of_the_provider(self, house):
        """It is counted, and is no failure."""
        house.openai.script(Status(400))
        chain = house.both()
        house.fail(chain)
        house.ask(chain)
        told, health = chain.metrics()["openai"], chain.health()["openai"]
        assert (told.attempts, told.faults) == (2, {"caller": 1})
        assert (health.success_ratio, health.consecutive_failures) == (1.0, 0)
        assert chain.requests().keys() == {("rejected", None), ("succeeded", "openai")}

    def test_latency_percentiles_are_exact(self, house):
        """The least time that such a share of the answers did not exceed."""
        seconds = [0.25 * number for number in range(1, 21)]
        random.Random(3).shuffle(seconds)  # noqa: S311  # no secret
        slow(house, "openai", *seconds)
        chain = house.both()
        for _ in seconds:
            house.ask(chain)
        health = chain.health()["openai"]
        assert (health.p50, health.p95, health.p99) == (2.5, 4.75, 5.0)
        durations = chain.metrics()["openai"].durations["success"]
        assert (durations.count, durations.total) == (20, sum(seconds))
        assert durations.buckets == tuple(
            sum(each <= bound for each in seconds) for bound in BUCKETS
        )

    def test_the_latest_fault_is_told_with_its_age(self, house, clock):
        """And when the next probe is let through."""
        house.openai.always(Status(503))
        chain = house.both()
        for _ in range(FAILURES):
            clock.advance(1.0)
            house.ask(chain)
        clock.advance(5.0)
        health = chain.health()["openai"]
        assert (health.last_fault, health.last_fault_age) == ("transient", 5.0)
        assert (health.open_until, health.next_probe_in) == (34.0, 25.0)
        clock.advance(60.0)
        assert chain.health()["openai"].next_probe_in == 0.0

    def test_a_hold_is_told_until_when_it_lasts(self, house):
        """What the provider said is no failure, and stands against it."""
        house.openai.script(RateLimited(retry_after=7))
        chain = house.both()
        house.ask(chain)
        health = chain.health()["openai"]
        assert (health.last_fault, health.open_until) == ("rate_limit", 7.0)
        assert (health.success_ratio, health.consecutive_failures) == (0.0, 1)

    def test_tokens_and_costs_are_those_the_answers_told(self, house):
        """Of a provider whose price is known; of the other one nobody can tell."""
        price = Price(input_mtok="0.4", output_mtok="1.6")
        chain = house.both(gpt={"price": price})
        usages = [house.ask(chain, "why " * number).value.usage for number in range(1, 4)]
        told = chain.metrics()["openai"]
        assert told.input_tokens == sum(each.input_tokens for each in usages) > 0
        assert told.output_tokens == sum(each.output_tokens for each in usages) > 0
        assert told.cost == price.cost(told.input_tokens, told.output_tokens)
        assert chain.metrics()["anthropic"].cost is None


def _reason(item):
    return item.reason if isinstance(item, Skip) else item.fault.kind.value


def _answered(trail):
    last = trail[-1]
    return isinstance(last, Attempt) and last.fault is None
