"""What an answer tells of itself: its tokens and its model."""

from unittest.mock import MagicMock, Mock

import anthropic.types
import openai.types
import openai.types.chat
import openai.types.responses
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.providers.usage import Usage, model_of, usage_of
from tests.providers.stream_items import (
    anthropic_delta,
    as_namespace,
    as_sdk_object,
    as_slots,
    chat,
    in_item,
    message,
    message_ends,
    response,
    responses,
)

OF_CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
OF_RESPONSES = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 120,
}
OF_ANTHROPIC = {
    "input_tokens": 30,
    "cache_read_input_tokens": 64,
    "cache_creation_input_tokens": 6,
    "output_tokens": 20,
}
OF_BEDROCK = {
    "inputTokens": 30,
    "cacheReadInputTokens": 64,
    "cacheWriteInputTokens": 6,
    "outputTokens": 20,
    "totalTokens": 120,
}
TOLD = Usage(100, 20, cached_tokens=64)

# fmt: off
# ruff: noqa: E501
ANSWERS = [
    ("chat completion",      TOLD, {"object": "chat.completion", "choices": [], "usage": OF_CHAT}),
    ("chat, no details",     Usage(100, 20), {"usage": {"prompt_tokens": 100, "completion_tokens": 20}}),
    ("embeddings",           Usage(100, None), {"data": [], "usage": {"prompt_tokens": 100, "total_tokens": 100}}),
    ("response",             TOLD, response("completed", usage=OF_RESPONSES)),
    ("message",              TOLD, message(usage=OF_ANTHROPIC)),
    ("message, no cache",    Usage(12, 1), message()),
    ("Gemini",               TOLD, {"usage_metadata": {"prompt_token_count": 100, "candidates_token_count": 15, "thoughts_token_count": 5, "cached_content_token_count": 64}}),
    ("Gemini, REST",         TOLD, {"usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 15, "thoughtsTokenCount": 5, "cachedContentTokenCount": 64}}),
    ("Ollama",               Usage(100, 20), {"model": "m", "done": True, "prompt_eval_count": 100, "eval_count": 20, "message": {"content": "Hi"}}),
    ("Bedrock",              TOLD, {"usage": OF_BEDROCK, "output": {}}),
]
ITEMS = [
    ("chunk",                None, chat({"content": "Hi"})),
    ("chunk of usage",       TOLD, chat(choices=[], usage=OF_CHAT)),
    ("chunk, not yet",       None, chat({"content": "Hi"}, usage=None)),
    ("chunk in data",        TOLD, {"data": chat(choices=[], usage=OF_CHAT)}),
    ("chunk of a helper",    TOLD, {"type": "chunk", "chunk": chat(choices=[], usage=OF_CHAT), "snapshot": {}}),
    ("response completed",   TOLD, responses("response.completed", response=response("completed", usage=OF_RESPONSES))),
    ("response incomplete",  TOLD, responses("response.incomplete", response=response("incomplete", usage=OF_RESPONSES))),
    ("response created",     None, responses("response.created", response=response("in_progress", usage=None))),
    ("response text",        None, in_item("response.output_text.delta", delta="Hi", logprobs=[])),
    ("message begins",       Usage(12, 1), {"type": "message_start", "message": message()}),
    ("message goes on",      None, anthropic_delta("text_delta", text="Hi")),
    ("message ends",         Usage(None, 15), message_ends()),
    ("message of a helper",  Usage(12, 15), {"type": "message_stop", "message": message(usage={"input_tokens": 12, "output_tokens": 15})}),
    ("Ollama goes on",       None, {"model": "m", "done": False, "response": "Hi"}),
    ("Bedrock's last",       TOLD, {"metadata": {"usage": OF_BEDROCK, "metrics": {"latencyMs": 1}}}),
]
# fmt: on


@pytest.mark.parametrize(
    ("answer", "usage"), [pytest.param(a, u, id=name) for name, u, a in ANSWERS + ITEMS]
)
def test_usage_is_told_in_one_measure(answer, usage):
    """Input holds the cached, output the reasoning, whoever counts."""
    for form in (answer, as_namespace(answer), as_slots(answer)):
        assert usage_of(form) == usage


@pytest.mark.parametrize(
    ("answer", "usage", "model"),
    [
        pytest.param(
            openai.types.chat.ChatCompletion.model_validate(
                {
                    "id": "c",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "gpt-4.1",
                    "choices": [],
                    "usage": OF_CHAT,
                }
            ),
            *(TOLD, "gpt-4.1"),
            id="chat completion",
        ),
        pytest.param(
            openai.types.responses.Response.model_validate(
                response("completed", usage=OF_RESPONSES)
            ),
            *(TOLD, "gpt-4.1-mini-2025-04-14"),
            id="response",
        ),
        pytest.param(
            anthropic.types.Message.model_validate(message(usage=OF_ANTHROPIC)),
            *(TOLD, "claude-sonnet-4-5-20250929"),
            id="message",
        ),
        pytest.param(
            openai.types.CreateEmbeddingResponse.model_validate(
                {
                    "object": "list",
                    "data": [],
                    "model": "text-embedding-3-small",
                    "usage": {"prompt_tokens": 8, "total_tokens": 8},
                }
            ),
            *(Usage(8, None), "text-embedding-3-small"),
            id="embeddings",
        ),
        pytest.param(
            as_sdk_object(chat(choices=[], usage=OF_CHAT), "openai.chat"),
            *(TOLD, "gpt-4.1-mini"),
            id="chunk",
        ),
        pytest.param(
            as_sdk_object(
                responses("response.completed", response=response("completed", usage=OF_RESPONSES)),
                "openai.responses",
            ),
            *(TOLD, "gpt-4.1-mini-2025-04-14"),
            id="response.completed",
        ),
        pytest.param(
            as_sdk_object({"type": "message_start", "message": message()}, "anthropic"),
            *(Usage(12, 1), "claude-sonnet-4-5-20250929"),
            id="message_start",
        ),
        pytest.param(as_sdk_object(message_ends(), "anthropic"), Usage(None, 15), None, id="delta"),
    ],
)
def test_sdk_objects_tell_usage_and_model(answer, usage, model):
    """As the installed SDKs make them."""
    assert usage_of(answer) == usage
    assert model_of(answer) == model


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        ({"model": "m"}, "m"),
        ({"modelVersion": "gemini-2.5-flash"}, "gemini-2.5-flash"),
        ({"model_version": "gemini-2.5-flash"}, "gemini-2.5-flash"),
        ({"data": {"model": "mistral-small"}}, "mistral-small"),
        ({"type": "chunk", "chunk": {"model": "m"}}, "m"),
        ({"model": ""}, None),
        ({"model": None}, None),
        ({"model": 4}, None),
        ({"message": "model"}, None),
    ],
)
def test_the_model_is_the_one_the_answer_names(answer, model):
    """At the top, or in what it wraps."""
    for form in (answer, as_namespace(answer), as_slots(answer)):
        assert model_of(form) == model


def test_usage_of_an_anthropic_stream_is_put_together():
    """Input comes first, output last; what is told again is told better."""
    begun = usage_of({"type": "message_start", "message": message(usage=OF_ANTHROPIC)})
    assert begun.merged(usage_of(message_ends())) == Usage(100, 15, cached_tokens=64)
    again = usage_of(message_ends(input_tokens=40, cache_read_input_tokens=70))
    assert begun.merged(again) == Usage(110, 15, cached_tokens=70)


def test_a_told_zero_wins_over_what_was_told_before():
    """Zero is a number."""
    assert Usage(3, 4, cached_tokens=5).merged(Usage(0, 0, cached_tokens=0)) == Usage(
        0, 0, cached_tokens=0
    )


@pytest.mark.parametrize("number", [None, -1, True, 1.5, "7", float("nan"), [1]])
def test_what_is_no_count_is_not_told(number):
    """Only whole numbers from zero count."""
    assert usage_of({"usage": {"prompt_tokens": number, "completion_tokens": number}}) is None
    assert usage_of({"usage": {"prompt_tokens": number, "completion_tokens": 2}}) == Usage(None, 2)


FIELDS = (
    *("usage", "model", "message", "response", "data", "input_tokens", "output_tokens"),
    *("prompt_tokens", "prompt_tokens_details", "cached_tokens", "usageMetadata", "done"),
    *("eval_count", "cache_read_input_tokens"),
)


class _Raises:
    usage = property(lambda _: 1 / 0)
    model = property(lambda _: 1 / 0)


class _HasEverything:
    def __getattr__(self, name):
        return 7


class _HidesItself:
    def __getattribute__(self, name):
        raise RuntimeError(name)


@pytest.mark.parametrize(
    "make", [Mock, MagicMock, _Raises, _HasEverything, _HidesItself, dict, list, object, str, bytes]
)
def test_what_tells_nothing_has_neither(make):
    """Whatever it does."""
    assert usage_of(make()) is None
    assert model_of(make()) is None


def test_none_and_text_tell_nothing():
    """Text may hold anything."""
    for answer in (None, "usage", b"model", 3, int):
        assert usage_of(answer) is None
        assert model_of(answer) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(FIELDS),
                inner,
            )
        ),
    )
)
def test_answers_of_any_shape_are_read(answer):
    """Never raises, and never tells less than nothing."""
    model_of(answer)
    usage = usage_of(answer)
    if usage is not None:
        told = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        assert all(number is None or number >= 0 for number in told)
        assert told[:2] != (None, None)
