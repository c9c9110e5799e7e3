"""Breakers over real SDKs: holds, outages, probes, recovery. The journal says who was called."""

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import openai
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerConfig,
    BreakerOpen,
    BreakerState,
    FaultKind,
    Skip,
)
from fsm_fallback.testing import Hang, QuotaSpent, RateLimited, Status

S = BreakerState
K = FaultKind
CALLERS = 20


def at_once(house, chain, release):
    """Twenty calls at once; when all but the probe have been answered, that one is released."""
    house.journal.clear()
    others = CALLERS - 1
    if house.is_async:

        async def ask():
            answers.append(await chain.adetailed("why"))

        async def main():
            async with anyio.create_task_group() as tasks:
                for _ in range(CALLERS):
                    tasks.start_soon(ask)
                await house.journal.await_for(others, provider="anthropic")
                await anyio.to_thread.run_sync(release)

        answers = []
        house.loop.run(main)
        return answers
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(chain.detailed, "why") for _ in range(CALLERS)]
        house.journal.wait_for(others, provider="anthropic")
        release()
        return [future.result() for future in futures]


def leads_with(failure, name, remedy):
    """Whether the first thing a message tells is this."""
    first, _, _ = failure.message.partition(";")
    said = ("all 2 providers failed", "no provider could be asked")
    return first.startswith(tuple(f"{what}: {name} " for what in said)) and first.endswith(remedy)


class TestRateLimits:
    """A 429 with a time: the provider is left alone until then."""

    def test_the_primary_is_held_for_exactly_the_named_time(self, house, clock):
        """Not a tick less: no request reaches it, and the trail says until when."""
        house.openai.script(RateLimited(retry_after=7))
        chain = house.chain()
        assert house.ask(chain).provider == "anthropic"
        snapshot = chain.breaker("openai").snapshot()
        assert (snapshot.state, snapshot.open_until) == (S.OPEN, 7.0)
        for instant in (0.0, 3.5, 6.999999):
            clock.advance_to(instant)
            skip, attempt = house.ask(chain).trail
            assert (skip.reason, skip.until, skip.cause.kind) == ("open", 7.0, K.RATE_LIMIT)
            assert attempt.provider == "anthropic"
        assert house.requests() == (1, 4)

    def test_at_exactly_that_time_one_request_reaches_it(self, house, clock):
        """It answers, and all is well."""
        house.openai.script(RateLimited(retry_after=7))
        chain = house.chain()
        house.ask(chain)
        clock.advance_to(7.0)
        assert house.ask(chain).provider == "openai"
        assert chain.breaker("openai").state is S.CLOSED
        assert [entry.at for entry in house.openai.requests] == [0.0, 7.0]

    def test_of_twenty_callers_exactly_one_is_the_probe(self, house, clock):
        """The others are answered by the secondary while it is out."""
        house.openai.script(RateLimited(retry_after=7), Hang())
        chain = house.chain()
        house.ask(chain)
        clock.advance_to(7.0)
        answers = at_once(house, chain, house.openai.release)
        assert house.requests() == (1, CALLERS - 1)
        assert sorted(answer.provider for answer in answers) == (
            ["anthropic"] * (CALLERS - 1) + ["openai"]
        )
        skips = [answer.trail[0] for answer in answers if answer.provider == "anthropic"]
        assert {skip.reason for skip in skips} == {"half_open"}
        snapshot = chain.breaker("openai").snapshot()
        assert (snapshot.state, snapshot.in_flight) == (S.CLOSED, 0)

    def test_calls_on_their_way_that_are_limited_too_lengthen_the_hold(self, async_house, clock):
        """The longest of the named times counts, whichever came first."""
        house = async_house
        house.openai.script(*(RateLimited(retry_after=seconds) for seconds in (3, 7, 5)))
        chain = house.chain()

        async def main():
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(chain.acall, "why")

        house.loop.run(main)
        assert house.requests() == (3, 3)
        assert chain.breaker("openai").snapshot().open_until == 7.0

    def test_one_held_again_raises_with_the_time_its_breaker_holds_it(self, house, clock):
        """Without a success in between the hold grows: the named 7 s are 14 the second time."""
        house.openai.script(RateLimited(retry_after=7), RateLimited(retry_after=7))
        house.anthropic.script(RateLimited(retry_after=60))
        chain = house.chain()
        assert house.fail(chain).retry_after == 7.0
        clock.advance_to(7.0)
        failure = house.fail(chain)
        assert [item.provider for item in failure.trail] == ["openai", "anthropic"]
        assert failure.trail[0].held_until == chain.breaker("openai").snapshot().open_until == 21.0
        assert failure.retry_after == 14.0

    def test_both_held_raises_with_the_earlier_time(self, house, clock):
        """And calls nobody until then."""
        house.openai.script(RateLimited(retry_after=7))
        house.anthropic.script(RateLimited(retry_after=5))
        chain = house.chain()
        assert house.fail(chain).retry_after == 5.0
        clock.advance_to(4.0)
        failure = house.fail(chain)
        assert [type(member) for member in failure.exceptions] == [BreakerOpen] * 2
        assert failure.retry_after == 1.0
        assert house.requests() == (1, 1)
        clock.advance_to(5.0)
        assert house.ask(chain).provider == "anthropic"
        assert house.requests() == (1, 2)


class TestKeysAndCredit:
    """What no waiting mends is held for long, and named every time."""

    def test_a_refused_key_is_named_by_every_later_error(self, house):
        """The second and the tenth lead with it, and the key is tried once."""
        house.openai.always(Status(401))
        house.anthropic.always(Status(503))
        chain = house.chain()
        for number in range(1, 12):
            failure = house.fail(chain)
            assert type(failure) is AllProvidersFailed
            assert leads_with(failure, "'openai'", "auth (check its key and permissions)")
            if number > 1:
                skip = failure.trail[0]
                assert isinstance(skip, Skip)
                assert (skip.until, skip.cause.kind) == (900.0, K.AUTH)
        assert house.journal.count("openai") == 1

    def test_a_refused_key_leads_though_it_was_asked_second(self, house):
        """Order is no urgency."""
        house.openai.always(Status(503))
        house.anthropic.always(Status(401))
        chain = house.chain()
        for _ in range(3):
            failure = house.fail(chain)
            assert leads_with(failure, "'anthropic'", "auth (check its key and permissions)")

    def test_a_key_that_was_mended_is_found_after_the_hold(self, house, clock):
        """A quarter of an hour later, by itself."""
        house.openai.script(Status(401))
        chain = house.chain()
        house.ask(chain)
        clock.advance_to(899.0)
        assert house.ask(chain).provider == "anthropic"
        clock.advance_to(900.0)
        assert house.ask(chain).provider == "openai"
        assert chain.breaker("openai").state is S.CLOSED

    def test_an_operator_need_not_wait_for_it(self, house):
        """After a reset the next call asks."""
        house.openai.script(Status(401))
        chain = house.chain()
        house.ask(chain)
        chain.breaker("openai").reset(actor="ops", reason="new key")
        assert house.ask(chain).provider == "openai"

    def test_spent_credit_is_held_for_longer_each_time(self, house, clock):
        """900 s, and 1800 s after a probe that found it spent still."""
        house.openai.always(QuotaSpent())
        chain = house.chain()
        house.ask(chain)
        clock.advance_to(900.0)
        house.ask(chain)
        snapshot = chain.breaker("openai").snapshot()
        assert (snapshot.open_until, snapshot.holds, snapshot.cause.kind) == (2_700.0, 2, K.QUOTA)
        assert house.journal.count("openai") == 2


class TestOutages:
    """Repeated failures open the breaker; it comes back by itself."""

    BREAKER = BreakerConfig(minimum_calls=5, failure_ratio=0.5, jitter=0.0)

    def test_no_request_reaches_an_open_breaker(self, house):
        """Five failures open it; of twenty more calls none goes there."""
        house.openai.always(Status(503))
        chain = house.chain(breaker=self.BREAKER)
        for _ in range(25):
            assert house.ask(chain).provider == "anthropic"
        assert house.requests() == (5, 25)
        assert chain.breaker("openai").snapshot().not_permitted == 20

    def test_it_comes_back_by_itself(self, house, clock):
        """One probe finds it well, and the next call goes there at once."""
        house.openai.always(Status(503))
        chain = house.chain(breaker=self.BREAKER)
        for _ in range(5):
            house.ask(chain)
        house.openai.recover()
        clock.advance_to(29.999)
        assert house.ask(chain).provider == "anthropic"
        clock.advance_to(30.0)
        assert [house.ask(chain).provider for _ in range(3)] == ["openai"] * 3
        assert chain.breaker("openai").state is S.CLOSED
        assert [entry.at for entry in house.openai.requests[5:]] == [30.0] * 3

    def test_a_provider_that_stays_down_is_probed_ever_less(self, house, clock):
        """After 30 s, then 60 s, then 120 s, one request each."""
        house.openai.always(Status(503))
        chain = house.chain(breaker=self.BREAKER)
        for _ in range(5):
            house.ask(chain)
        for instant in range(1, 212):
            clock.advance_to(float(instant))
            if instant % 10 < 2:
                house.ask(chain)
        assert [entry.at for entry in house.openai.requests[5:]] == [30.0, 90.0, 210.0]

    def test_of_twenty_callers_one_probes_and_its_failure_reopens(self, house, clock):
        """Nobody else finds out: every call is answered by the secondary."""
        released = threading.Event()

        def fail(_):
            assert released.wait(10.0)
            return Status(503)

        house.openai.script(*[Status(503)] * 5)
        house.openai.respond(fail)
        chain = house.chain(breaker=self.BREAKER)
        for _ in range(5):
            house.ask(chain)
        clock.advance_to(30.0)
        answers = at_once(house, chain, released.set)
        assert house.requests() == (1, CALLERS)
        assert {answer.provider for answer in answers} == {"anthropic"}
        snapshot = chain.breaker("openai").snapshot()
        assert (snapshot.state, snapshot.open_until, snapshot.step) == (S.OPEN, 90.0, 2)

    def test_a_refused_connection_counts_as_an_outage(self, house):
        """Without a request there is still evidence."""
        house.openai.refuse()
        chain = house.chain(breaker=self.BREAKER)
        for _ in range(6):
            house.ask(chain)
        assert chain.breaker("openai").state is S.OPEN
        assert chain.breaker("openai").snapshot().cause.kind is K.CONNECT

    def test_requests_that_are_at_fault_open_nothing(self, house):
        """Fifty bad requests leave the provider as well as it was."""
        house.openai.always(Status(400))
        chain = house.chain(breaker=self.BREAKER)
        for _ in range(10):
            house.fail(chain)
        assert chain.breaker("openai").state is S.CLOSED
        house.openai.recover()
        assert house.ask(chain).provider == "openai"

    def test_a_forced_open_primary_gets_no_request(self, house):
        """Nor does a chain whose every breaker is forced open."""
        chain = house.chain()
        chain.breaker("openai").force_open(reason="drill")
        assert house.ask(chain).provider == "anthropic"
        chain.breaker("anthropic").force_open()
        failure = house.fail(chain)
        assert [member.state for member in failure.exceptions] == ["forced_open"] * 2
        assert failure.retry_after is None
        assert house.requests() == (0, 1)

    def test_the_audit_tells_the_outage(self, house, clock):
        """Opened, probed, closed, and no offer to an open breaker between."""
        house.openai.always(Status(503))
        chain = house.chain(breaker=self.BREAKER)
        for _ in range(7):
            house.ask(chain)
        house.openai.recover()
        clock.advance_to(30.0)
        house.ask(chain)
        moves = [
            (record["from"], record["to"], record["fault"])
            for record in chain.audit.records()
            if record["machine"] == "breaker" and record["verdict"] == "moved"
        ]
        assert moves == [
            ("closed", "open", "transient"),
            ("open", "half_open", None),
            ("half_open", "closed", None),
        ]
        offers = [
            record["mono"]
            for record in chain.audit.records()
            if (record["trigger"], record["provider"]) == ("offer", "openai")
        ]
        assert offers == [0.0] * 5 + [30.0]


@pytest.mark.parametrize("step", [Status(503), Status(429), Status(401)], ids=str)
def test_sdk_errors_leave_the_cause_of_an_opening_without_prompts(house, step):
    """A breaker remembers a fault, and shows its kind only."""
    house.openai.script(step)
    chain = house.chain(breaker=BreakerConfig(minimum_calls=1))
    house.ask(chain, "MARKER")
    assert "MARKER" not in repr(chain.breaker("openai").snapshot())
    assert openai.__name__ in repr(chain)
