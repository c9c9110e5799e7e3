"""Single failures and outages: who is asked instead, how often, and when the first comes back."""

import itertools

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    BreakerConfig,
    BreakerState,
    FaultKind,
    RetryConfig,
    Skip,
)
from fsm_fallback.testing import Reset, Slow, Status
from tests.scenarios.stage import aread, told

K = FaultKind
S = BreakerState
RETRY = RetryConfig(attempts=2, jitter="none", backoff=0.5)
BREAKER = BreakerConfig(minimum_calls=5, failure_ratio=0.5, open_duration=30.0, jitter=0.0)


class TestOneFailure:
    """Scenario 5."""

    def test_a_500_leads_to_the_next_and_is_asked_once(self, stage):
        """The SDK's own retries are off, and so are ours."""
        stage.first.script(Status(500))
        answer = stage.ask(stage.chain())
        assert told(answer.trail) == [("first", K.TRANSIENT), ("second", None)]
        assert answer.trail[0].error.status_code == 500
        assert stage.requests() == (1, 1)

    def test_a_500_before_a_stream_leads_to_the_next(self, streaming):
        """All of the other, nothing of the first."""
        stage = streaming
        stage.first.script(Status(500))
        seen = stage.read(stage.chain(streams=True))
        assert told(seen.trail) == [("first", K.TRANSIENT), ("second", None)]
        assert seen.text == "five six seven eight nine ten"
        assert stage.ends() + stage.ends("second") == [("sent", 0), ("sent", 6)]

    def test_with_retries_the_same_one_is_asked_once_more(self, stage):
        """After the wait, and answers."""
        stage.first.script(Status(500))
        chain = stage.chain(retry=RETRY)
        answer = stage.ask(chain)
        assert told(answer.trail) == [("first", K.TRANSIENT), ("first", None)]
        assert (stage.instants(), stage.requests()) == ([0.0, 0.5], (2, 0))
        snapshot = chain.breaker("first").snapshot()
        assert (snapshot.calls, snapshot.failures) == (2, 1)

    def test_with_retries_a_stream_is_asked_for_once_more(self, streaming):
        """Before it gave output."""
        stage = streaming
        stage.first.script(Status(500))
        seen = stage.read(stage.chain(streams=True, retry=RETRY))
        assert told(seen.trail) == [("first", K.TRANSIENT), ("first", None)]
        assert seen.text == "one two three four"
        assert (stage.instants(), stage.requests()) == ([0.0, 0.5], (2, 0))

    def test_there_is_no_wait_after_the_last_try(self, stage):
        """The next one is asked at the time the last try failed."""
        stage.first.script(Status(500), Status(500))
        answer = stage.ask(stage.chain(retry=RETRY))
        assert told(answer.trail) == [
            ("first", K.TRANSIENT),
            ("first", K.TRANSIENT),
            ("second", None),
        ]
        assert stage.instants() + stage.instants("second") == [0.0, 0.5, 0.5]

    def test_a_reset_connection_is_tried_again_once_only(self, stage):
        """However many tries there are."""
        stage.first.always(Reset())
        answer = stage.ask(stage.chain(retry=RetryConfig(attempts=5, jitter="none")))
        assert told(answer.trail) == [("first", K.CONNECT)] * 2 + [("second", None)]
        assert stage.requests() == (2, 1)


class TestAnOpenBreaker:
    """Scenario 6."""

    def test_503s_open_it_and_it_is_asked_no_more(self, stage):
        """Five requests of fifteen calls; one probe after the open time, and it is back."""
        stage.first.always(Status(503))
        chain = stage.chain(breaker=BREAKER)
        trails = [stage.ask(chain).trail for _ in range(15)]
        assert stage.requests() == (5, 15)
        assert {told(trail)[0][1] for trail in trails[5:]} == {"open"}
        stage.first.recover()
        stage.clock.advance_to(29.9)
        assert stage.ask(chain).provider == "second"
        stage.clock.advance_to(30.0)
        assert stage.ask(chain).provider == "first"
        assert chain.breaker("first").state is S.CLOSED
        assert stage.instants() == [0.0] * 5 + [30.0]

    def test_a_probe_that_fails_costs_one_request(self, stage):
        """And the next is twice as far away."""
        stage.first.always(Status(503))
        chain = stage.chain(breaker=BREAKER)
        for instant in (0, 0, 0, 0, 0, 0, 30, 31, 60, 89, 90, 91):
            stage.clock.advance_to(float(instant))
            stage.ask(chain)
        assert stage.instants() == [0.0] * 5 + [30.0, 90.0]

    def test_streams_open_and_close_it_alike(self, streaming):
        """A probe is a stream that ends as it should."""
        stage = streaming
        stage.first.always(Status(503))
        chain = stage.chain(streams=True, breaker=BREAKER)
        for _ in range(8):
            assert stage.read(chain).text == "five six seven eight nine ten"
        assert stage.requests() == (5, 8)
        stage.first.recover()
        stage.clock.advance_to(30.0)
        assert stage.read(chain).text == "one two three four"
        assert chain.breaker("first").state is S.CLOSED
        assert stage.instants() == [0.0] * 5 + [30.0]

    def test_retries_stop_where_it_opens(self, stage):
        """The sixth try of a call finds it open, and does not wait for it."""
        stage.first.always(Status(503))
        retry = RetryConfig(attempts=9, jitter="none", backoff=0.01, budget_floor=99)
        answer = stage.ask(stage.chain(breaker=BREAKER, retry=retry))
        assert told(answer.trail) == [("first", K.TRANSIENT)] * 5 + [("second", None)]
        assert stage.requests() == (5, 1)


class TestAnOutageOfAMinute:
    """Scenario 17: a call every two seconds, and the first is down from second 10 to 70."""

    BREAKER = BreakerConfig(
        consecutive_failures=3, open_duration=5.0, max_open_duration=20.0, jitter=0.0
    )
    INSTANTS = tuple(float(second) for second in range(0, 122, 2))

    def check(self, stage, texts):
        """Every call answered; the outage cost three requests and the probes; traffic is back."""
        assert len(texts) == len(self.INSTANTS)
        assert set(texts) <= {"first", "second"}
        asked = [at for at in stage.instants() if 10.0 <= at < 70.0]
        assert asked[:3] == [10.0, 12.0, 14.0]
        probes = [b - a for a, b in itertools.pairwise(asked[2:])]
        assert probes == [6.0, 10.0, 20.0]  # 5, 10, 20 s open, at the next call each
        back = self.INSTANTS[texts.index("first", texts.index("second"))]
        assert 70.0 <= back <= 70.0 + 20.0
        assert set(texts[self.INSTANTS.index(back) :]) == {"first"}
        assert stage.requests()[1] == texts.count("second")

    def test_every_call_is_answered_and_the_outage_costs_its_probes(self, stage, fallback_outage):
        """Plain calls."""
        chain = stage.chain(breaker=self.BREAKER)
        stage.clock.call_at(10.0, lambda: fallback_outage(stage.first, duration=60.0))
        asked = []

        async def main():
            for instant in self.INSTANTS:
                stage.clock.advance_to(instant)
                asked.append((await chain.adetailed("why")).provider)

        if stage.is_async:
            stage.run(main)
        else:
            for instant in self.INSTANTS:
                stage.clock.advance_to(instant)
                asked.append(chain.detailed("why").provider)
        self.check(stage, asked)

    def test_every_stream_is_whole_and_the_outage_costs_its_probes(
        self, streaming, fallback_outage
    ):
        """Streams."""
        stage = streaming
        chain = stage.chain(streams=True, breaker=self.BREAKER)
        stage.clock.call_at(10.0, lambda: fallback_outage(stage.first, duration=60.0))
        seen = []

        async def main():
            for instant in self.INSTANTS:
                stage.clock.advance_to(instant)
                seen.append(await aread(chain))

        if stage.is_async:
            stage.run(main)
        else:
            for instant in self.INSTANTS:
                stage.clock.advance_to(instant)
                seen.append(stage.read(chain))
        assert all(each.stream.is_whole for each in seen)
        self.check(stage, [each.stream.provider for each in seen])


class TestAWrongKey:
    """Scenario 20."""

    def test_it_is_tried_once_and_the_next_answers(self, stage):
        """Held for a quarter of an hour."""
        stage.first.always(Status(401))
        chain = stage.chain()
        assert told(stage.ask(chain).trail) == [("first", K.AUTH), ("second", None)]
        for _ in range(3):
            assert told(stage.ask(chain).trail) == [("first", "open"), ("second", None)]
        assert stage.requests() == (1, 4)
        assert chain.breaker("first").snapshot().open_until == 900.0

    def test_the_tenth_error_still_names_it(self, stage):
        """First of all, though the other failed more lately."""
        stage.first.always(Status(401))
        stage.second.always(Status(503))
        chain = stage.chain()
        failures = [stage.fail(chain) for _ in range(10)]
        for failure in failures:
            assert type(failure) is AllProvidersFailed
            words, *_ = failure.message.partition(";")
            assert "'first'" in words
            assert "auth (check its key and permissions)" in words
        skip = failures[-1].trail[0]
        assert isinstance(skip, Skip)
        assert (skip.reason, skip.cause.kind) == ("open", K.AUTH)
        assert stage.requests() == (1, 10)

    def test_the_tenth_stream_still_names_it(self, streaming):
        """As above."""
        stage = streaming
        stage.first.always(Status(401))
        stage.second.always(Status(503))
        chain = stage.chain(streams=True)
        errors = [stage.read(chain).error for _ in range(10)]
        assert {type(error) for error in errors} == {AllProvidersFailed}
        assert errors[-1].trail[0].cause.kind is K.AUTH
        assert "'first' skipped, open after auth (check its key" in errors[-1].message
        assert stage.requests() == (1, 10)


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_a_late_failure_is_one_request_too(stage, status):
    """A gateway that takes its time."""
    stage.first.script(Slow(0.02, Status(status)))
    answer = stage.ask(stage.chain())
    assert told(answer.trail) == [("first", K.TRANSIENT), ("second", None)]
    assert answer.trail[0].error.status_code == status
    assert stage.requests() == (1, 1)
