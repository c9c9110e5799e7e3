"""One call over two real SDKs: who is asked, who answers, and what is told."""

import pickle
import threading
import time

import anthropic
import attrs
import openai
import pytest

from fsm_fallback import (
    AllProvidersFailed,
    DeadlineExceeded,
    FaultKind,
    RequestRejected,
    UnpicklableError,
)
from fsm_fallback.testing import (
    Cut,
    Empty,
    ErrorIn200,
    Hang,
    Malformed,
    Overloaded,
    QuotaSpent,
    Reset,
    Status,
)

K = FaultKind
LIMIT = 0.25
AMPLE = 30.0  # the last candidate gets what is left: no busy machine can cut it


def told(trail):
    """Provider and kind of each attempt; None for the answer."""
    return [(item.provider, item.fault and item.fault.kind) for item in trail]


class TestAnswers:
    """Somebody answers."""

    def test_a_healthy_primary_is_the_only_one_asked(self, house):
        """One request, and the SDK's own object comes back."""
        answer = house.ask(house.chain())
        assert isinstance(answer.value, openai.types.responses.Response)
        assert "why" in answer.value.output_text
        assert house.requests() == (1, 0)

    def test_a_503_leads_to_the_secondary(self, house):
        """The trail shows both; the failed one was one request."""
        house.openai.script(Status(503))
        answer = house.ask(house.chain())
        assert isinstance(answer.value, anthropic.types.Message)
        assert (answer.provider, told(answer.trail)) == (
            "anthropic",
            [("openai", K.TRANSIENT), ("anthropic", None)],
        )
        assert isinstance(answer.trail[0].error, openai.InternalServerError)
        assert answer.trail[0].error.status_code == 503
        assert house.requests() == (1, 1)

    @pytest.mark.parametrize(
        ("step", "kind"),
        [
            (Status(500), K.TRANSIENT),
            (Status(502, "<html>Bad gateway"), K.TRANSIENT),
            (Status(529), K.TRANSIENT),
            (Overloaded(), K.TRANSIENT),
            (Status(408), K.TIMEOUT),
            (Status(429), K.RATE_LIMIT),
            (QuotaSpent(), K.QUOTA),
            (Status(401), K.AUTH),
            (Status(403), K.AUTH),
            (Status(404), K.MODEL),
            (Reset(), K.CONNECT),
        ],
        ids=str,
    )
    def test_whatever_is_wrong_with_the_primary_is_one_request(self, house, step, kind):
        """Nothing is tried twice behind our back, and the secondary answers."""
        house.openai.script(step)
        answer = house.ask(house.chain())
        assert told(answer.trail) == [("openai", kind), ("anthropic", None)]
        assert house.requests() == (1, 1)

    def test_a_refused_connection_leads_to_the_secondary(self, house):
        """Nobody listens there: no request, and the SDK's own error."""
        house.openai.refuse()
        answer = house.ask(house.chain())
        assert told(answer.trail) == [("openai", K.CONNECT), ("anthropic", None)]
        assert isinstance(answer.trail[0].error, openai.APIConnectionError)
        assert house.requests() == (0, 1)

    @pytest.mark.parametrize(
        "step",
        [
            ErrorIn200(500),
            Malformed(),
            Malformed('{"id": "x", "object": "response", "output": null}'),
            Malformed("[]"),
            Empty(),
            Empty(204),
            Cut(),
            Status(200, {"unexpected": True}),
        ],
        ids=str,
    )
    def test_an_answer_that_is_none_leads_to_the_secondary(self, reading_house, step):
        """Under a status of success; the user's function finds out when it reads it."""
        house = reading_house
        house.openai.script(step)
        chain = house.chain()
        answer = house.ask(chain)
        assert (answer.provider, answer.value) == ("anthropic", "[emulated anthropic] why")
        assert answer.trail[0].error is not None
        assert chain.breaker("openai").snapshot().failures == 1
        assert house.requests() == (1, 1)

    def test_the_secondary_may_have_an_answer_that_is_none_too(self, reading_house):
        """Both errors are kept."""
        house = reading_house
        house.openai.script(ErrorIn200(500))
        house.anthropic.script(ErrorIn200(529))
        failure = house.fail(house.chain())
        assert len(failure.exceptions) == 2
        assert {item.fault.outcome.value for item in failure.trail} == {"failure"}


class TestFailures:
    """Nobody answers."""

    def test_both_original_exceptions_are_members_in_order(self, house):
        """The SDKs' own objects, each with its response, as the trail has them."""
        house.openai.script(Status(503))
        house.anthropic.script(Status(529))
        failure = house.fail(house.chain())
        assert type(failure) is AllProvidersFailed
        first, second = failure.exceptions
        assert type(first) is openai.InternalServerError
        assert type(second).__module__.startswith("anthropic")
        assert (first.status_code, second.status_code) == (503, 529)
        assert first is failure.trail[0].error
        assert second is failure.trail[1].error
        assert first.response.status_code == 503
        assert first.__traceback__ is not None
        assert house.requests() == (1, 1)

    def test_except_star_sorts_them_by_sdk(self, house):
        """Each clause gets its part, with the whole trail."""
        house.openai.script(Status(503))
        house.anthropic.script(Status(503))
        caught = []
        try:
            house.ask(house.chain())
        except* openai.APIStatusError as group:
            caught.append(group)
        except* anthropic.APIStatusError as group:
            caught.append(group)
        assert [type(group) for group in caught] == [AllProvidersFailed] * 2
        assert [len(group.exceptions) for group in caught] == [1, 1]
        assert all(len(group.trail) == 2 for group in caught)

    def test_it_says_when_to_come_back(self, house):
        """The earlier of the two times."""
        house.openai.script(Overloaded(retry_after=20))
        house.anthropic.script(Status(429, headers={"retry-after": "8"}))
        assert house.fail(house.chain()).retry_after == 8.0

    def test_without_a_named_time_it_does_not(self, house):
        """Nobody knows."""
        house.openai.script(Status(503))
        house.anthropic.script(Status(503))
        assert house.fail(house.chain()).retry_after is None

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_rejected_request_is_not_asked_again(self, house, status):
        """The secondary gets no request, and no breaker counts anything."""
        house.openai.script(Status(status))
        chain = house.chain()
        failure = house.fail(chain)
        assert type(failure) is RequestRejected
        (member,) = failure.exceptions
        assert isinstance(member, openai.APIStatusError)
        assert member.status_code == status
        assert house.requests() == (1, 0)
        assert chain.breaker("openai").snapshot().calls == 0

    def test_a_request_the_secondary_rejects_keeps_the_first_error(self, house):
        """Both members, in order."""
        house.openai.script(Status(503))
        house.anthropic.script(Status(400))
        failure = house.fail(house.chain())
        assert type(failure) is RequestRejected
        assert [member.status_code for member in failure.exceptions] == [503, 400]

    def test_the_message_quotes_neither_prompt_nor_key(self, house):
        """Nor do the records of the audit; the members are the SDKs' own."""
        house.openai.script(Status(401, {"error": {"message": "bad key MARKER for: MARKER"}}))
        house.anthropic.script(Status(503, "MARKER is too much for us"))
        chain = house.chain(audit="full")
        failure = house.fail(chain, "MARKER")
        assert "MARKER" in str(failure.exceptions[0])
        assert "MARKER" not in failure.message
        assert "MARKER" not in str(chain.audit.records())


class TestPickling:
    """The group goes to another process."""

    def test_sdk_errors_arrive_or_have_a_stand_in(self, house):
        """OpenAI's cannot be pickled; count and order stay, and the trail shares its errors."""
        house.openai.script(Status(503))
        house.anthropic.script(Status(429, headers={"retry-after": "7"}))
        failure = house.fail(house.chain())
        back = pickle.loads(pickle.dumps(failure))  # noqa: S301  # our own bytes
        assert type(back) is AllProvidersFailed
        assert (back.message, back.retry_after) == (failure.message, 7.0)
        first, second = back.exceptions
        assert isinstance(first, UnpicklableError)
        assert first.type_name == "openai.InternalServerError"
        assert first.message == str(failure.exceptions[0])
        assert isinstance(second, (UnpicklableError, anthropic.RateLimitError))
        assert (first.status_code, second.status_code) == (503, 429)
        assert told(back.trail) == told(failure.trail)
        for item, member in zip(back.trail, back.exceptions, strict=True):
            assert item.error is member

    @pytest.mark.parametrize("secret", [b"KEY-MARKER", b"PROMPT-MARKER"])
    def test_what_is_sent_holds_neither_key_nor_prompt(self, house, secret):
        """An SDK's error holds its request, whose headers are the key; a stand-in does not."""
        house.openai.script(Status(503))
        house.anthropic.script(Status(503))
        failure = house.fail(house.chain(), "PROMPT-MARKER")
        assert secret not in pickle.dumps(failure)

    def test_a_group_of_skips_comes_back_as_it_was(self, house):
        """With the cause of each."""
        house.openai.always(Status(401))
        house.anthropic.always(Status(401))
        chain = house.chain()
        house.fail(chain)
        failure = house.fail(chain)
        back = pickle.loads(pickle.dumps(failure))  # noqa: S301  # our own bytes
        assert back.trail == failure.trail
        assert [str(member) for member in back.exceptions] == [
            str(member) for member in failure.exceptions
        ]
        assert {member.cause.kind for member in back.exceptions} == {K.AUTH}


class TestTime:
    """Hangs, limits, deadlines, on a clock that runs."""

    def test_a_hang_is_cut_by_the_attempts_limit(self, house):
        """The secondary answers; the primary's breaker counts a failure."""
        house.openai.script(Hang())
        chain = house.hurried(attempt_timeout=LIMIT, deadline=AMPLE)
        answer = house.ask(chain)
        assert told(answer.trail) == [("openai", K.TIMEOUT), ("anthropic", None)]
        assert LIMIT <= answer.trail[0].duration < 5.0
        snapshot = chain.breaker("openai").snapshot()
        assert (snapshot.failures, snapshot.in_flight) == (1, 0)
        assert house.requests() == (1, 1)

    def test_a_plain_client_raises_its_own_time_out(self, sync_house):
        """The limit goes to the SDK through `timeout_arg`."""
        sync_house.openai.script(Hang())
        answer = sync_house.ask(sync_house.hurried(attempt_timeout=LIMIT, deadline=AMPLE))
        assert isinstance(answer.trail[0].error, openai.APITimeoutError)

    def test_an_awaited_client_is_cancelled(self, async_house):
        """The limit is the chain's, and so is the error."""
        async_house.openai.script(Hang())
        answer = async_house.ask(async_house.hurried(attempt_timeout=LIMIT, deadline=AMPLE))
        assert type(answer.trail[0].error) is TimeoutError

    def test_a_deadline_ends_the_call_with_what_was_there_by_then(self, house):
        """The failure of the primary, and the time-out of the secondary that hung."""
        house.openai.script(Status(503))
        house.anthropic.script(Hang())
        failure = house.fail(house.hurried(deadline=4 * LIMIT))
        assert type(failure) is DeadlineExceeded
        first, second = failure.exceptions
        assert isinstance(first, openai.InternalServerError)
        assert isinstance(second, (TimeoutError, anthropic.APITimeoutError))
        assert [item.provider for item in failure.trail] == ["openai", "anthropic"]

    def test_a_deadline_of_one_call_ends_that_call(self, house):
        """The chain has none."""
        house.openai.script(Hang())
        chain = house.hurried()
        failure = house.fail(chain.options(deadline=2 * LIMIT))
        assert type(failure) is DeadlineExceeded
        assert len(failure.exceptions) == 1
        assert house.requests() == (1, 0)
        assert house.ask(chain).provider == "openai"

    def test_a_call_ends_soon_after_its_deadline(self, house):
        """Whoever hangs."""
        house.openai.always(Hang())
        house.anthropic.always(Hang())
        chain = house.hurried(deadline=4 * LIMIT, attempt_timeout=2 * LIMIT)
        started = time.monotonic()
        failure = house.fail(chain)
        assert time.monotonic() - started < 5.0
        assert type(failure) is DeadlineExceeded
        assert house.requests() == (1, 1)


class TestWorkerThreads:
    """Plain clients in an event loop."""

    def test_an_awaited_call_runs_plain_clients_in_threads(self, sync_house, loop):
        """With the same failover and the same trail."""
        threads = []

        def read(answer):
            threads.append(threading.current_thread())
            return answer

        house = attrs.evolve(sync_house, read=read)
        house.openai.script(Status(503))
        answer = loop.run(house.chain().adetailed, "why")
        assert told(answer.trail) == [("openai", K.TRANSIENT), ("anthropic", None)]
        assert isinstance(answer.trail[0].error, openai.InternalServerError)
        (thread,) = threads
        assert thread is not threading.current_thread()
