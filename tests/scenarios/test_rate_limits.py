"""A provider says 429: it is left alone for as long as it says, and no call waits in vain."""

import pytest

from fsm_fallback import AllProvidersFailed, BreakerState, FaultKind, RetryConfig
from fsm_fallback.testing import Overloaded, RateLimited
from tests.scenarios.stage import told

K = FaultKind
RETRY = RetryConfig(attempts=3, jitter="none", backoff=0.25)


def read(stage, chain):
    """The trail of a stream that was read to its end."""
    seen = stage.read(chain)
    assert seen.error is None
    return seen.trail


class TestNoTimeNamed:
    """Scenario 1."""

    def test_the_next_one_answers_and_the_first_is_held_ten_seconds(self, stage):
        """Not asked again before, asked at exactly that time, and well then."""
        stage.first.script(RateLimited())
        chain = stage.chain()
        answer = stage.ask(chain)
        assert told(answer.trail) == [("first", K.RATE_LIMIT), ("second", None)]
        assert answer.trail[0].fault.retry_after is None
        for instant in (0.0, 5.0, 9.999):
            stage.clock.advance_to(instant)
            skip = stage.ask(chain).trail[0]
            assert (skip.reason, skip.until, skip.cause.kind) == ("open", 10.0, K.RATE_LIMIT)
        assert stage.requests() == (1, 4)
        stage.clock.advance_to(10.0)
        assert stage.ask(chain).provider == "first"
        assert stage.instants() == [0.0, 10.0]

    def test_the_same_holds_for_streams(self, streaming):
        """Nothing of the first is handed over."""
        stage = streaming
        stage.first.script(RateLimited())
        chain = stage.chain(streams=True)
        assert told(read(stage, chain)) == [("first", K.RATE_LIMIT), ("second", None)]
        stage.clock.advance_to(9.999)
        assert told(read(stage, chain)) == [("first", "open"), ("second", None)]
        stage.clock.advance_to(10.0)
        assert told(read(stage, chain)) == [("first", None)]
        assert stage.instants() == [0.0, 10.0]


class TestATimeNamed:
    """Scenarios 2 and 3."""

    def test_alone_it_is_waited_for_and_asked_again_not_earlier(self, stage):
        """At exactly the named time, in the same call."""
        stage.first.script(RateLimited(retry_after=2))
        answer = stage.ask(stage.chain("first", retry=RETRY))
        assert told(answer.trail) == [("first", K.RATE_LIMIT), ("first", None)]
        assert [item.number for item in answer.trail] == [1, 2]
        assert stage.instants() == [0.0, 2.0]

    def test_a_time_that_was_too_short_is_waited_for_twice(self, stage):
        """The breaker doubles the second hint of a row; after the last try nothing is waited."""
        stage.first.script(*(RateLimited(retry_after=seconds) for seconds in (2, 3, 4)))
        failure = stage.fail(stage.chain("first", retry=RETRY))
        assert told(failure.trail) == [("first", K.RATE_LIMIT)] * 3
        assert stage.instants() == [0.0, 2.0, 8.0]
        assert stage.clock() == 8.0

    def test_a_stream_waits_alike(self, streaming):
        """Before its first item."""
        stage = streaming
        stage.first.script(RateLimited(retry_after=2))
        trail = read(stage, stage.chain("first", streams=True, retry=RETRY))
        assert told(trail) == [("first", K.RATE_LIMIT), ("first", None)]
        assert stage.instants() == [0.0, 2.0]

    def test_the_other_ones_being_held_is_as_good_as_alone(self, stage):
        """Nobody takes the call at once, so the wait is worth it."""
        stage.first.script(RateLimited(retry_after=2))
        chain = stage.chain(retry=RETRY)
        chain.breaker("second").force_open()
        assert told(stage.ask(chain).trail) == [("first", K.RATE_LIMIT), ("first", None)]
        assert stage.instants() == [0.0, 2.0]

    def test_a_long_wait_is_no_use_while_another_can_answer(self, stage):
        """It is asked at once, no time passes, and the first is held for as long as it said."""
        stage.first.script(RateLimited(retry_after=30))
        chain = stage.chain(retry=RETRY)
        answer = stage.ask(chain)
        assert told(answer.trail) == [("first", K.RATE_LIMIT), ("second", None)]
        assert (stage.clock(), stage.requests()) == (0.0, (1, 1))
        assert chain.breaker("first").snapshot().open_until == 30.0

    def test_a_long_wait_is_no_use_to_a_stream_either(self, streaming):
        """As above."""
        stage = streaming
        stage.first.script(RateLimited(retry_after=30))
        trail = read(stage, stage.chain(streams=True, retry=RETRY))
        assert told(trail) == [("first", K.RATE_LIMIT), ("second", None)]
        assert (stage.clock(), stage.requests()) == (0.0, (1, 1))

    def test_a_short_wait_is_worth_it_although_another_could_answer(self, stage):
        """Below `long_wait`."""
        stage.first.script(RateLimited(retry_after=0.5))
        answer = stage.ask(stage.chain(retry=RETRY))
        assert told(answer.trail) == [("first", K.RATE_LIMIT), ("first", None)]
        assert (stage.instants(), stage.requests()) == ([0.0, 0.5], (2, 0))

    def test_an_overload_that_names_a_time_is_waited_for_too(self, stage):
        """It is a failure, not a limit, and its time counts all the same."""
        stage.first.script(Overloaded(retry_after=2))
        answer = stage.ask(stage.chain("first", retry=RETRY))
        assert told(answer.trail) == [("first", K.TRANSIENT), ("first", None)]
        assert stage.instants() == [0.0, 2.0]


class TestATimeBeyondTheDeadline:
    """Scenario 4."""

    @pytest.mark.parametrize("wait", [5, 30])
    def test_it_is_not_waited_for_at_all(self, stage, wait):
        """The call ends at once, and says when to come back."""
        stage.first.script(RateLimited(retry_after=wait))
        failure = stage.fail(stage.chain("first", retry=RETRY, deadline=5.0))
        assert type(failure) is AllProvidersFailed
        assert (failure.retry_after, stage.clock()) == (wait, 0.0)
        assert stage.requests() == (1, 0)

    def test_neither_does_a_stream_wait(self, streaming):
        """As above."""
        stage = streaming
        stage.first.script(RateLimited(retry_after=30))
        seen = stage.read(stage.chain("first", streams=True, retry=RETRY, deadline=5.0))
        assert type(seen.error) is AllProvidersFailed
        assert (seen.error.retry_after, stage.clock(), seen.items) == (30.0, 0.0, [])
        assert stage.requests() == (1, 0)

    def test_a_wait_above_the_cap_is_not_waited_for_either(self, stage):
        """`max_retry_after` says what is worth it, deadline or not."""
        stage.first.script(RateLimited(retry_after=61))
        failure = stage.fail(stage.chain("first", retry=RETRY))
        assert (failure.retry_after, stage.clock()) == (61.0, 0.0)
        assert stage.requests() == (1, 0)

    def test_a_provider_that_is_not_tried_again_waits_for_nobody(self, stage):
        """By default there are no retries."""
        stage.first.script(RateLimited(retry_after=2))
        chain = stage.chain("first")
        assert stage.fail(chain).retry_after == 2.0
        assert (stage.clock(), stage.requests()) == (0.0, (1, 0))
        assert chain.breaker("first").state is BreakerState.OPEN
