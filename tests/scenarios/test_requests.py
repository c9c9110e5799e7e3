"""What the request is to blame for, and answers the caller does not take."""

import pytest

from fsm_fallback import AnswerRejected, FaultKind, RequestRejected, RetryConfig, Usage
from fsm_fallback.testing import Filtered, Reply, Status
from tests.scenarios.stage import TEXTS, text_of, told

K = FaultKind
SMALL, LARGE = {"context_window": 8_000}, {"context_window": 200_000}
TOO_LONG = {
    "openai": {
        "message": "This model's maximum context length is 8000 tokens. However, your messages "
        "resulted in 9001 tokens. Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    },
    "anthropic": {
        "type": "invalid_request_error",
        "message": "prompt is too long: 9001 tokens > 8000 maximum",
    },
}
BLOCKED = {
    "openai": {
        "message": "The response was filtered due to the prompt triggering the content management "
        "policy. Please modify your prompt and retry.",
        "type": "invalid_request_error",
        "param": "prompt",
        "code": "content_filter",
    },
    "anthropic": {
        "type": "invalid_request_error",
        "message": "Output blocked by content filtering policy",
    },
}


def refused(provider, errors):
    """A 400 in the words of the provider."""
    error = errors[provider.dialect]
    return Status(400, {"type": "error", "error": error})


class TestAnOverflowOfContext:
    """Scenario 15."""

    def test_a_larger_window_answers(self, stage):
        """No breaker counts what the request was to blame for."""
        stage.first.script(refused(stage.first, TOO_LONG))
        chain = stage.chain(info={"first": SMALL, "second": LARGE})
        answer = stage.ask(chain)
        assert told(answer.trail) == [("first", K.CONTEXT), ("second", None)]
        assert stage.requests() == (1, 1)
        assert chain.breaker("first").snapshot().calls == 0

    @pytest.mark.parametrize("window", [SMALL, {"context_window": 4_000}, {}], ids=str)
    def test_without_a_larger_one_it_is_one_request(self, stage, window):
        """The caller is told; one that tells no window is taken for none."""
        stage.first.script(refused(stage.first, TOO_LONG))
        chain = stage.chain(info={"first": SMALL, "second": window})
        failure = stage.fail(chain)
        assert type(failure) is RequestRejected
        assert told(failure.trail) == [("first", K.CONTEXT)]
        assert stage.requests() == (1, 0)

    def test_those_no_larger_are_skipped_on_the_way(self, stage):
        """The trail says why."""
        third = stage.add("third", "chat")
        stage.first.script(refused(stage.first, TOO_LONG))
        windows = {"first": SMALL, "second": SMALL, "third": LARGE}
        answer = stage.ask(stage.chain("first", "second", "third", info=windows))
        assert told(answer.trail) == [
            ("first", K.CONTEXT),
            ("second", "context_window"),
            ("third", None),
        ]
        assert stage.requests() == (1, 0)
        assert len(third.requests) == 1

    def test_streams_do_alike(self, streaming):
        """To the larger one, and to nobody."""
        stage = streaming
        stage.first.script(refused(stage.first, TOO_LONG), refused(stage.first, TOO_LONG))
        larger = stage.chain(streams=True, info={"first": SMALL, "second": LARGE})
        assert stage.read(larger).text == TEXTS["second"]
        seen = stage.read(stage.chain(streams=True, info={"first": SMALL, "second": SMALL}))
        assert type(seen.error) is RequestRejected
        assert (seen.items, stage.requests()) == ([], (2, 1))

    def test_it_is_not_tried_again(self, stage):
        """However many retries there are."""
        stage.first.script(refused(stage.first, TOO_LONG))
        retry = RetryConfig(attempts=5)
        stage.ask(stage.chain(retry=retry, info={"first": SMALL, "second": LARGE}))
        assert (stage.requests(), stage.clock()) == ((1, 1), 0.0)


class TestAContentFilter:
    """Scenario 16."""

    def test_a_refusal_by_policy_is_not_shopped_around(self, stage):
        """One request, whatever else there is, and no breaker counts it."""
        stage.first.script(refused(stage.first, BLOCKED))
        chain = stage.chain(retry=RetryConfig(attempts=5))
        failure = stage.fail(chain)
        assert type(failure) is RequestRejected
        assert told(failure.trail) == [("first", K.CONTENT)]
        assert failure.exceptions[0].status_code == 400
        assert stage.requests() == (1, 0)
        assert chain.breaker("first").snapshot().calls == 0

    def test_nor_is_one_before_a_stream(self, streaming):
        """As above."""
        stage = streaming
        stage.first.script(refused(stage.first, BLOCKED))
        seen = stage.read(stage.chain(streams=True))
        assert type(seen.error) is RequestRejected
        assert told(seen.trail) == [("first", K.CONTENT)]
        assert (seen.items, stage.requests()) == ([], (1, 0))

    def test_a_stream_that_a_filter_ends_is_whole(self, streaming):
        """What came is the answer, and the last items say why there is no more of it."""
        stage = streaming
        stage.first.script(Filtered(2))
        chain = stage.chain(streams=True)
        seen = stage.read(chain)
        assert (seen.error, seen.pieces) == (None, ["one", " two"])
        assert seen.stream.is_whole
        assert {"content_filter", "refusal"} & {
            word for item in seen.items for word in _reasons(item)
        }
        assert (stage.requests(), stage.ends()) == ((1, 0), [("sent", 2)])
        assert chain.breaker("first").snapshot().failures == 0

    def test_a_stream_that_a_filter_ends_before_any_output_is_a_refusal(self, streaming):
        """Not shopped around, and no breaker counts it."""
        stage = streaming
        stage.first.script(Filtered(0))
        chain = stage.chain(streams=True)
        seen = stage.read(chain)
        assert type(seen.error) is RequestRejected
        assert told(seen.trail) == [("first", K.CONTENT)]
        assert (seen.items, stage.requests()) == ([], (1, 0))
        assert chain.breaker("first").snapshot().calls == 0

    def test_a_plain_answer_that_a_filter_ended_is_an_answer(self, stage):
        """The caller looks at it, or lets `accept` do so."""
        stage.first.script(Filtered(2))
        answer = stage.ask(stage.chain())
        assert (answer.provider, text_of(answer.value)) == ("first", "one two")
        assert stage.requests() == (1, 0)


def _reasons(item):
    """Whatever an item says of how the answer ended."""
    told = item.to_dict()
    for choice in told.get("choices", ()):
        yield choice.get("finish_reason")
    details = (told.get("response") or {}).get("incomplete_details") or {}
    yield details.get("reason")
    delta = told.get("delta")
    yield delta.get("stop_reason") if isinstance(delta, dict) else None


class TestAnAnswerNotAccepted:
    """Scenario 21."""

    def accept(self, answer):
        """Wants digits."""
        return text_of(answer).isdigit()

    def test_the_next_one_is_asked(self, stage):
        """The answer is kept with its usage, and no breaker counts it."""
        stage.first.script(Reply("no digits"))
        stage.second.script(Reply("42"))
        chain = stage.chain(accept=self.accept)
        answer = stage.ask(chain)
        assert (answer.provider, text_of(answer.value)) == ("second", "42")
        assert told(answer.trail) == [("first", K.BAD_RESPONSE), ("second", None)]
        rejected = answer.trail[0]
        assert type(rejected.error) is AnswerRejected
        assert text_of(rejected.error.answer) == "no digits"
        assert rejected.usage == Usage(1, 3, cached_tokens=0)
        assert answer.usage == Usage(1, 1, cached_tokens=0)
        assert stage.requests() == (1, 1)
        snapshot = chain.breaker("first").snapshot()
        assert (snapshot.calls, snapshot.failures, snapshot.in_flight) == (0, 0, 0)

    def test_it_opens_no_breaker(self, stage):
        """However often."""
        stage.first.always(Reply("no digits"))
        stage.second.always(Reply("42"))
        chain = stage.chain(accept=self.accept)
        assert {stage.ask(chain).provider for _ in range(12)} == {"second"}
        assert stage.requests() == (12, 12)

    def test_nobodys_being_accepted_is_told_with_every_answer(self, stage):
        """Both are members of the error."""
        failure = stage.fail(stage.chain(accept=self.accept))
        assert [text_of(member.answer) for member in failure.exceptions] == [
            TEXTS["first"],
            TEXTS["second"],
        ]
        assert [item.usage.output_tokens for item in failure.trail] == [5, 8]

    def test_an_accept_that_raises_does_not_take_it(self, stage):
        """Its exception is the cause."""

        def accept(answer):
            if text_of(answer) == TEXTS["first"]:
                raise ValueError("no schema fits")
            return True

        answer = stage.ask(stage.chain(accept=accept))
        assert told(answer.trail) == [("first", K.BAD_RESPONSE), ("second", None)]
        assert type(answer.trail[0].error.__cause__) is ValueError

    def test_one_that_is_accepted_is_asked_for_once(self, stage):
        """Nobody else is asked."""
        stage.first.script(Reply("42"))
        assert stage.ask(stage.chain(accept=self.accept)).provider == "first"
        assert stage.requests() == (1, 0)
