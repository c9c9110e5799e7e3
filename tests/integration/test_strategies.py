"""Each strategy does what it is for, over the real SDKs: the journal says who was asked."""

import math
import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import anyio
import openai
import pytest

from fsm_fallback import (
    Attempt,
    CapabilityBased,
    CostOptimized,
    FaultKind,
    LoadBalanced,
    Price,
    RequestRejected,
    Sequential,
    Skip,
    provider,
)
from fsm_fallback.testing import Hang, Reply, Status
from tests.integration.conftest import FAILURES, MODEL, options_of

K = FaultKind
TOO_LONG = Status(
    400,
    {
        "error": {
            "message": "too long",
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
        }
    },
)


class TestSequential:
    """The configured order, always."""

    def test_the_first_is_asked_first_however_slow_and_dear_it_is(self, house):
        """Nothing but a failure leads to the second."""
        dear, cheap = (Price(input_mtok=each, output_mtok=each) for each in (100, 1))
        house.openai.respond(lambda _: house.clock.advance(8.0))
        chain = house.both(gpt={"price": dear}, claude={"price": cheap}, strategy=Sequential())
        assert {house.ask(chain).provider for _ in range(3)} == {"openai"}
        assert house.requests() == (3, 0)


class TestLoadBalanced:
    """The calls are shared out."""

    CALLS = 300

    def test_by_weight_each_gets_its_share(self, sync_house):
        """Three quarters and one quarter, within five standard deviations of 300 draws."""
        house = sync_house
        draw = random.Random(11).random  # noqa: S311  # no secret
        weights = LoadBalanced(weights={"openai": 3.0, "anthropic": 1.0})
        chain = house.both(strategy=weights, sample=draw)
        for _ in range(self.CALLS):
            chain.call("why")
        first, second = house.requests()
        assert first + second == self.CALLS
        assert abs(first - self.CALLS * 0.75) < 5 * math.sqrt(self.CALLS * 0.75 * 0.25)

    def test_whoever_is_not_first_is_there_to_fall_back_on(self, house):
        """Every call is answered, wherever it began."""
        house.openai.always(Status(503))
        draw = random.Random(5).random  # noqa: S311  # no secret
        chain = house.both(strategy=LoadBalanced(), sample=draw)
        assert {house.ask(chain).provider for _ in range(20)} == {"anthropic"}
        assert house.requests() == (FAILURES, 20)

    def test_by_latency_the_slow_one_is_avoided(self, house):
        """Once it is known to be slow; and asked again when that is long ago."""
        house.openai.respond(lambda _: house.clock.advance(4.0))
        house.anthropic.respond(lambda _: house.clock.advance(0.125))
        draw = random.Random(5).random  # noqa: S311  # no secret
        chain = house.both(strategy=LoadBalanced(by="latency"), sample=draw)
        house.ask(chain)
        house.ask(chain)
        before = house.requests()
        for _ in range(20):
            house.ask(chain)
        assert before[0] <= house.journal.count("openai") <= before[0] + 1
        assert house.journal.count("anthropic") >= 20
        house.clock.advance(3_600.0)
        house.journal.clear()
        for _ in range(30):
            house.ask(chain)
        assert house.journal.count("openai") >= 1

    def test_by_calls_in_flight_the_idler_one_is_asked(self, sync_house):
        """Ten calls that are all out at once are five each; answers make room again."""
        house = sync_house
        house.openai.always(Hang())
        house.anthropic.always(Hang())
        chain = house.both(strategy=LoadBalanced(by="in_flight"))
        with ThreadPoolExecutor(10) as pool:
            calls = []
            for number in range(10):
                calls.append(pool.submit(chain.detailed, "why"))
                house.journal.wait_for(number + 1)
            assert house.requests() == (5, 5)
            assert [each.in_flight for each in chain.health().values()] == [5, 5]
            house.openai.release()
            house.anthropic.release()
            answers = [each.result() for each in calls]
        assert sorted(each.provider for each in answers) == ["anthropic"] * 5 + ["openai"] * 5
        assert [each.in_flight for each in chain.health().values()] == [0, 0]

    def test_by_calls_in_flight_awaited(self, async_house):
        """The same for tasks: while one holds the first, all others go to the second."""
        house = async_house
        house.openai.script(Hang())
        chain = house.both(strategy=LoadBalanced(by="in_flight"), sample=lambda: 0.0)

        async def main():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chain.acall, "why")
                await house.journal.await_for(1)
                for _ in range(4):
                    await chain.acall("why")
                held = house.requests()
                await anyio.to_thread.run_sync(house.openai.release)
            return held

        assert house.loop.run(main) == (1, 4)


class TestCapabilityBased:
    """Who can serve the call."""

    def test_a_need_chooses_the_provider(self, house):
        """The one that lacks it is skipped, and the skip names the need."""
        chain = house.both(
            gpt={"capabilities": {"tools"}},
            claude={"capabilities": {"tools", "vision"}},
            strategy=CapabilityBased(),
        )
        assert house.ask(chain.options(needs={"tools"})).provider == "openai"
        answer = house.ask(chain.options(needs={"vision"}))
        assert answer.provider == "anthropic"
        assert house.requests() == (1, 1)
        house.anthropic.script(Status(503))
        failure = house.fail(chain.options(needs={"vision"}))
        assert {(type(item), item.provider) for item in failure.trail} == {
            (Attempt, "anthropic"),
            (Skip, "openai"),
        }
        assert next(item.reason for item in failure.trail if isinstance(item, Skip)) == "vision"

    def test_a_preference_ranks_those_that_can(self, house):
        """The best first, the other one to fall back on."""
        chain = house.both(
            gpt={"capabilities": {"tools"}},
            claude={"capabilities": {"tools", "vision"}},
            strategy=CapabilityBased(prefer=("vision",)),
        )
        house.anthropic.script(Status(503))
        answer = house.ask(chain.options(needs={"tools"}))
        assert [item.provider for item in answer.trail] == ["anthropic", "openai"]

    def test_a_request_that_is_too_long_for_a_window_is_not_sent_there(self, house):
        """Input and expected output together."""
        chain = house.both(
            gpt={"context_window": 8_000},
            claude={"context_window": 200_000},
            strategy=CapabilityBased(),
        )
        short = chain.options(input_tokens=7_000, output_tokens=1_000)
        long = chain.options(input_tokens=7_000, output_tokens=1_001)
        assert [house.ask(each).provider for each in (short, long)] == ["openai", "anthropic"]
        assert house.requests() == (1, 1)

    def test_one_of_whom_nothing_is_known_is_asked_last(self, house):
        """It may be able to: it is not dropped."""
        chain = house.both(claude={"capabilities": {"tools"}}, strategy=CapabilityBased())
        asking = chain.options(needs={"tools"})
        assert house.ask(asking).provider == "anthropic"
        house.anthropic.script(Status(503))
        assert [item.provider for item in house.ask(asking).trail] == ["anthropic", "openai"]

    @pytest.mark.parametrize(
        ("window", "answers"), [(200_000, True), (8_000, False), (None, False)]
    )
    def test_a_request_that_proves_too_long_goes_to_a_larger_window_only(
        self, house, window, answers
    ):
        """What was too much for one is not sent where no more fits."""
        house.openai.script(TOO_LONG)
        claude = {} if window is None else {"context_window": window}
        chain = house.both(gpt={"context_window": 8_000}, claude=claude, strategy=CapabilityBased())
        if answers:
            answer = house.ask(chain)
            assert [item.fault and item.fault.kind for item in answer.trail] == [K.CONTEXT, None]
        else:
            failure = house.fail(chain)
            assert type(failure) is RequestRejected
            assert isinstance(failure.exceptions[0], openai.BadRequestError)
        assert house.requests() == (1, int(answers))
        assert chain.breaker("openai").snapshot().calls == 0


class TestCostOptimized:
    """The cheaper first."""

    READER = Price(input_mtok="0.1", output_mtok=10)
    WRITER = Price(input_mtok=1, output_mtok="0.5")

    def test_the_cheaper_is_asked_first_and_the_dearer_after_it(self, house):
        """Whatever the configured order."""
        dear, cheap = (Price(input_mtok=each, output_mtok=each) for each in (5, 1))
        chain = house.both(gpt={"price": dear}, claude={"price": cheap}, strategy=CostOptimized())
        assert house.ask(chain).provider == "anthropic"
        house.anthropic.script(Status(503))
        assert [item.provider for item in house.ask(chain).trail] == ["anthropic", "openai"]

    def test_who_is_cheaper_depends_on_the_shape_of_the_request(self, house):
        """Much to read goes to the one, much to write to the other."""
        chain = house.both(
            gpt={"price": self.READER},
            claude={"price": self.WRITER},
            strategy=CostOptimized(),
        )
        reads = chain.options(input_tokens=50_000, output_tokens=100)
        writes = chain.options(input_tokens=100, output_tokens=5_000)
        assert [house.ask(each).provider for each in (reads, writes)] == ["openai", "anthropic"]
        assert house.requests() == (1, 1)

    def test_a_price_that_nobody_knows_is_not_0(self, house):
        """It comes after every price that is known."""
        dear = Price(input_mtok=100, output_mtok=100)
        chain = house.both(claude={"price": dear}, strategy=CostOptimized())
        assert house.ask(chain).provider == "anthropic"
        assert house.requests() == (0, 1)

    def test_nobody_is_asked_who_costs_more_than_a_call_may(self, house):
        """The skip says so; the estimate is of the tokens the call said."""
        dear, cheap = (Price(input_mtok=each, output_mtok=0) for each in (10, 1))
        chain = house.both(gpt={"price": dear}, claude={"price": cheap}, strategy=CostOptimized())
        house.anthropic.always(Status(503))
        failure = house.fail(chain.options(input_tokens=1_000, max_cost="0.005"))
        assert [(item.provider, getattr(item, "reason", None)) for item in failure.trail] == [
            ("anthropic", None),
            ("openai", "max_cost"),
        ]
        assert house.ask(chain.options(input_tokens=1_000, max_cost="0.01")).provider == "openai"

    def test_one_that_fails_half_of_the_time_is_taken_for_twice_as_dear(self, house):
        """Whoever asks it pays for both tries in the end."""
        gpt, claude = (Price(input_mtok=each, output_mtok=0) for each in (2, 3))
        house.openai.script(Reply(), Status(503))
        chain = house.both(gpt={"price": gpt}, claude={"price": claude}, strategy=CostOptimized())
        answered = [house.ask(chain).provider for _ in range(3)]
        assert answered == ["openai", "anthropic", "anthropic"]
        assert chain.health()["openai"].success_ratio == 0.5
        assert house.requests() == (2, 2)

    def test_what_a_call_has_cost_is_in_its_trail(self, house):
        """By the tokens of its answer, exactly."""
        chain = house.both(gpt={"price": self.READER}, strategy=CostOptimized())
        answer = house.ask(chain)
        usage = answer.value.usage
        cost = self.READER.cost(usage.input_tokens, usage.output_tokens)
        assert answer.trail[0].cost == cost > Decimal(0)


class TestStreams:
    """A stream that fails before its output is one more call that fails."""

    @pytest.mark.parametrize(
        "strategy", [Sequential(), LoadBalanced(), CapabilityBased(), CostOptimized()], ids=str
    )
    def test_whoever_is_next_by_the_strategy_streams_it_whole(self, sync_house, strategy):
        """Under every strategy nothing of the first one is handed over."""
        house = sync_house

        def streaming(emulated):
            @provider(emulated.name)
            def ask(prompt):
                with (
                    openai.OpenAI(**options_of(openai, emulated, "", 5.0)) as client,
                    client.responses.create(model=MODEL, input=prompt, stream=True) as events,
                ):
                    yield from events

            return ask

        house.openai.always(Status(503))
        spare = house.emulator.provider("spare", dialect="openai")
        providers = streaming(house.openai), streaming(spare)
        chain = house.over(*providers, strategy=strategy, sample=lambda: 0.1)
        with chain.stream_detailed("why") as stream:
            items = list(stream)
        assert items[-1].type == "response.completed"
        assert items[-1].response.output_text == "[emulated spare] why"
        assert [item.provider for item in stream.trail] == ["openai", "spare"]
        assert (house.journal.count("openai"), house.journal.count("spare")) == (1, 1)
