"""The chat profile in the words of OpenAI's chat completions."""

import json

import openai
import pytest

from fsm_fallback import FaultKind
from fsm_fallback.chat import ChatMessage, ChatRequest, Image, OpenAIChat
from fsm_fallback.testing import Status
from tests.providers.chat_stage import KEY, text_of

PNG = Image(data="aGVsbG8=", media_type="image/png")
WEB = Image(url="https://example.test/a.png")


def completion(message, finish="stop", **fields):
    """An answer of the API."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Status(200, {"id": "x", "object": "chat.completion", "choices": [choice], **fields})


def events(*deltas, finish="stop", index=0):
    """A stream of the API: a chunk for each delta, and one for the end."""
    chunks = [*((delta, None) for delta in deltas), ({}, finish)]
    choices = [
        {"index": index, "delta": delta, "finish_reason": reason} for delta, reason in chunks
    ]
    told = [{"id": "x", "object": "chat.completion.chunk", "choices": [each]} for each in choices]
    return stream(*map(json.dumps, told), "[DONE]")


def stream(*data):
    """An event stream as it is on the wire."""
    body = "".join(f"data: {each}\n\n" for each in data)
    return Status(200, body, headers={"content-type": "text/event-stream"})


def test_the_system_is_the_first_message(openai_chat):
    """Servers that speak this dialect know no other place for it."""
    request = ChatRequest(system="Be brief.", messages="Why?")
    openai_chat.adapter().call(request)
    assert openai_chat.body()["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
    ]


def test_images_are_addresses_or_data_urls(openai_chat):
    """In the order of the parts."""
    content = ("What is it?", PNG, WEB)
    openai_chat.adapter().call(ChatRequest(messages=[ChatMessage("user", content)]))
    assert openai_chat.body()["messages"][0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
        {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
    ]


def test_a_limit_is_sent_only_where_there_is_one(openai_chat):
    """The request's before the adapter's; the server's own needs no words."""
    openai_chat.adapter().call("Why?")
    assert "max_tokens" not in openai_chat.body()
    adapter = openai_chat.adapter(max_output_tokens=5)
    adapter.call("Why?")
    assert openai_chat.body()["max_tokens"] == 5
    adapter.call(ChatRequest(messages="Why?", max_output_tokens=7))
    assert openai_chat.body()["max_tokens"] == 7


@pytest.mark.parametrize(
    ("url", "keyword"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://acme.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://api.openai.com.example.test/v1", "max_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_the_server_knows(url, keyword, chat_keys):
    """OpenAI's newer models refuse the old one, other servers do not know the new one."""
    with OpenAIChat("a", model="m", base_url=url, max_output_tokens=5) as adapter:
        request = ChatRequest(messages="Why?")
        keywords = adapter._keywords(request, adapter._clients.plain(), None)
    assert keywords[keyword] == 5
    assert len({"max_tokens", "max_completion_tokens"} & keywords.keys()) == 1


def test_a_limit_in_extra_stands_for_ours(openai_chat):
    """By whichever name, so that two never meet."""
    extra = {"first": {"max_completion_tokens": 9}}
    openai_chat.adapter().call(ChatRequest(messages="Why?", max_output_tokens=7, extra=extra))
    body = openai_chat.body()
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


def test_a_stream_asks_for_its_usage(openai_chat):
    """It is not told unasked; extra may ask otherwise."""
    adapter = openai_chat.adapter()
    list(adapter.stream("Why?"))
    assert openai_chat.body()["stream_options"] == {"include_usage": True}
    unasked = {"first": {"stream_options": openai.omit}}
    pieces = list(adapter.stream(ChatRequest(messages="Why?", extra=unasked)))
    assert "stream_options" not in openai_chat.body()
    assert (pieces[-1].finish, pieces[-1].usage) == ("stop", None)


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos", "other"),
        (None, "other"),
        (["stop"], "other"),
    ],
)
def test_the_finish_is_in_neutral_words(openai_chat, told, finish):
    """What nobody knows is other."""
    openai_chat.emulated.script(completion({"content": "hi"}, told))
    assert openai_chat.adapter().call("Why?").finish == finish


def test_a_call_of_a_tool_is_an_answer_without_text(openai_chat):
    """It is in the native answer."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    openai_chat.emulated.script(completion({"content": None, "tool_calls": [call]}, "tool_calls"))
    reply = openai_chat.adapter().call("Why?")
    assert (reply.text, reply.finish) == ("", "tool_calls")
    assert reply.native.choices[0].message.tool_calls[0].function.name == "f"


def test_tokens_spent_without_a_word_are_an_answer_that_was_cut(openai_chat):
    """A reasoning model may think until its limit; another provider would, too."""
    openai_chat.emulated.script(completion({"content": ""}, "length"))
    reply = openai_chat.adapter().call("Why?")
    assert (reply.text, reply.finish) == ("", "length")


def test_a_refusal_is_text(openai_chat):
    """In plain answers as in streams."""
    refusal = events({"refusal": "I "}, {"refusal": "won't"})
    openai_chat.emulated.script(completion({"content": None, "refusal": "I won't"}), refusal)
    adapter = openai_chat.adapter()
    assert adapter.call("Why?").text == "I won't"
    assert text_of(adapter.stream("Why?")) == "I won't"


def test_content_in_parts_is_read(openai_chat):
    """As some servers give it."""
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "hi"}]
    openai_chat.emulated.script(completion({"content": parts}))
    assert openai_chat.adapter().call("Why?").text == "hi"


def test_of_several_answers_the_first_is_read(openai_chat):
    """The others are in the native items."""
    openai_chat.emulated.script(events({"content": "hi"}, index=1))
    pieces = list(openai_chat.adapter().stream("Why?"))
    assert (text_of(pieces), pieces[-1].finish) == ("", None)


def test_a_stream_that_calls_a_tool_has_output(openai_chat):
    """Though no text: the chain hands it over."""
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    openai_chat.emulated.script(events({"tool_calls": [call]}, finish="tool_calls"))
    pieces, given, error = openai_chat.read(openai_chat.chain(), "Why?")
    assert error is None
    assert given.provider == "first"
    assert pieces[-1].finish == "tool_calls"


def test_an_error_that_the_sdk_hands_on_is_found_by_the_chain(openai_chat):
    """A server's error without the word for it is no text."""
    openai_chat.emulated.script(stream('{"object": "error", "message": "overloaded"}'))
    pieces, given, _ = openai_chat.read(openai_chat.chain(), "Why?")
    assert given.trail[0].fault.kind is FaultKind.TRANSIENT
    assert {piece.provider for piece in pieces} == {"second"}


def test_the_key_goes_to_the_server_only(openai_chat):
    """As a bearer token, which the journal hides."""
    openai_chat.adapter().call("Why?")
    entry = openai_chat.emulator.journal.of("first")[0]
    assert entry.headers["authorization"] == "[redacted]"
    assert KEY not in repr(entry)
