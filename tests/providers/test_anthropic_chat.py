"""The chat profile in the words of Anthropic's messages."""

import json

import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.chat import AnthropicChat, ChatMessage, ChatRequest, Image
from fsm_fallback.testing import Status
from tests.providers.chat_stage import text_of

PNG = Image(data="aGVsbG8=", media_type="image/png")
WEB = Image(url="https://example.test/a.png")


def message(*content, stop="end_turn", **fields):
    """An answer of the API."""
    body = {"id": "x", "type": "message", "role": "assistant", "model": "m", **fields}
    return Status(200, {**body, "content": list(content), "stop_reason": stop})


def text(words):
    """A block of text."""
    return {"type": "text", "text": words}


def test_the_system_has_a_place_of_its_own(anthropic_chat):
    """It is no message."""
    anthropic_chat.adapter().call(ChatRequest(system="Be brief.", messages="Why?"))
    body = anthropic_chat.body()
    assert body["system"] == "Be brief."
    assert body["messages"] == [{"role": "user", "content": "Why?"}]


def test_no_system_is_sent_where_there_is_none(anthropic_chat):
    """An empty one would be refused."""
    anthropic_chat.adapter().call("Why?")
    assert "system" not in anthropic_chat.body()


def test_images_are_sources(anthropic_chat):
    """In the order of the parts."""
    content = ("What is it?", PNG, WEB)
    anthropic_chat.adapter().call(ChatRequest(messages=[ChatMessage("user", content)]))
    base64 = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}
    assert anthropic_chat.body()["messages"][0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "source": base64},
        {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}},
    ]


def test_a_limit_is_always_sent(anthropic_chat):
    """This API wants one: that of extra, of the request, of the adapter."""
    adapter = anthropic_chat.adapter()
    adapter.call("Why?")
    assert anthropic_chat.body()["max_tokens"] == 1024
    adapter.call(ChatRequest(messages="Why?", max_output_tokens=7))
    assert anthropic_chat.body()["max_tokens"] == 7
    extra = {"first": {"max_tokens": 9}}
    adapter.call(ChatRequest(messages="Why?", max_output_tokens=7, extra=extra))
    assert anthropic_chat.body()["max_tokens"] == 9


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
        (None, "other"),
        (["end_turn"], "other"),
    ],
)
def test_the_finish_is_in_neutral_words(anthropic_chat, told, finish):
    """What has no word is other."""
    anthropic_chat.emulated.script(message(text("hi"), stop=told))
    assert anthropic_chat.adapter().call("Why?").finish == finish


def test_the_text_of_all_blocks_is_read(anthropic_chat):
    """And nothing of what was thought."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    anthropic_chat.emulated.script(message(thought, text("one "), text("two")))
    assert anthropic_chat.adapter().call("Why?").text == "one two"


def test_a_call_of_a_tool_is_an_answer_without_text(anthropic_chat):
    """It is in the native answer."""
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    anthropic_chat.emulated.script(message(call, stop="tool_use"))
    reply = anthropic_chat.adapter().call("Why?")
    assert (reply.text, reply.finish) == ("", "tool_calls")
    assert reply.native.content[0].name == "f"


def test_a_thought_alone_is_no_answer(anthropic_chat):
    """Another provider is asked."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    anthropic_chat.emulated.script(message(thought))
    assert anthropic_chat.chain().call("Why?").provider == "second"


def test_what_is_thought_in_a_stream_is_no_text(anthropic_chat):
    """But output: somebody may show it."""
    counts = {"input_tokens": 4, "output_tokens": 1}
    begun = {"id": "x", "type": "message", "role": "assistant", "model": "m", "content": []}
    block = {"type": "thinking", "thinking": "", "signature": ""}
    delta = {"type": "thinking_delta", "thinking": "hm"}
    stop = {"stop_reason": "max_tokens", "stop_sequence": None}
    events = (
        {"type": "message_start", "message": {**begun, "usage": counts}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )
    body = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
    headers = {"content-type": "text/event-stream"}
    anthropic_chat.emulated.script(Status(200, body, headers=headers))
    pieces, stream, error = anthropic_chat.read(anthropic_chat.chain(), "Why?")
    assert (error, stream.provider, text_of(pieces)) == (None, "first", "")
    assert (pieces[-1].finish, pieces[-1].usage.input_tokens) == ("length", 4)
    assert stream.usage == pieces[-1].usage


def test_no_bound_for_answers_is_refused(monkeypatch):
    """The API wants one; what goes without fails on every call."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test")
    with pytest.raises(ConfigurationError, match="max_output_tokens is None; give a whole number"):
        AnthropicChat("claude", model="m", max_output_tokens=None)
