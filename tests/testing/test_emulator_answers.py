"""What an emulated provider answers, read by the real SDKs."""

import json

import pytest

from fsm_fallback.testing import Reply, Slow, Status


def test_an_answer_says_that_it_is_emulated(api, provider):
    """By default it names the provider and echoes the prompt."""
    answer = api.ask(provider.base_url, "Why is the sky blue?")
    assert api.text(answer) == "[emulated primary] Why is the sky blue?"


def test_an_answer_echoes_the_model(api, provider):
    """The model that was asked for."""
    assert api.ask(provider.base_url).model == "some-model"


def test_the_text_of_answers_can_be_set(api, emulator):
    """Once for the provider."""
    provider = emulator.provider("p", dialect=api.dialect, text="Because.")
    assert api.text(api.ask(provider.base_url)) == "Because."


def test_the_text_of_one_answer_can_be_scripted(api, provider):
    """The next one is the default again."""
    provider.script(Reply("Once."))
    texts = [api.text(api.ask(provider.base_url)) for _ in range(2)]
    assert texts[0] == "Once."
    assert texts[1].startswith("[emulated")


def test_usage_is_a_quarter_of_the_characters(api, provider):
    """Four characters to a token, rounded up, for the prompt and for the answer."""
    provider.script(Reply("x" * 9))
    usage = api.ask(provider.base_url, "y" * 40).usage
    if api.endpoint == "chat":
        counted = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    elif api.endpoint == "responses":
        counted = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    else:
        counted = (usage.input_tokens, usage.output_tokens, 13)
    assert counted == (10, 3, 13)


def test_ids_differ(api, provider):
    """Of answers and of requests."""
    answers = [api.ask(provider.base_url) for _ in range(2)]
    assert len({answer.id for answer in answers}) == 2
    assert len({answer._request_id for answer in answers}) == 2


def test_an_answer_is_valid_by_the_types_of_the_sdk(api, provider):
    """Every field that the SDK's own model declares has a value of its type."""
    answer = api.ask(provider.base_url)
    type(answer).model_validate_json(answer.model_dump_json(warnings="error"))


def test_a_function_can_answer(api, provider):
    """It sees the request; a text is the answer."""
    provider.respond(lambda request: f"{request.model} was asked: {request.prompt}")
    assert api.text(api.ask(provider.base_url, "Why?")) == "some-model was asked: Why?"


def test_a_function_can_serve_a_fault(api, provider):
    """It returns any step."""
    provider.respond(lambda request: Status(503) if request.prompt == "no" else None)
    assert api.text(api.ask(provider.base_url, "yes")).endswith("yes")
    with pytest.raises(api.sdk.InternalServerError):
        api.ask(provider.base_url, "no")


def test_a_function_can_be_taken_away(api, provider):
    """The default answer is back."""
    provider.respond(lambda _: "mine")
    provider.respond(None)
    assert api.text(api.ask(provider.base_url)).startswith("[emulated")


def test_a_slow_answer_arrives(api, provider):
    """It takes its time and is complete."""
    provider.script(Slow(0.02))
    assert api.text(api.ask(provider.base_url)).startswith("[emulated")


def test_a_body_of_ones_own_is_sent_as_it_is(api, provider):
    """With the fields of an answer that the test is about."""
    provider.script(Status(200, {"model": "other"}))
    assert api.ask(provider.base_url).model == "other"


def test_a_fault_is_served_to_a_stream(api, provider):
    """As to any other request."""
    provider.script(Status(503))
    with pytest.raises(api.sdk.InternalServerError):
        api.stream(provider.base_url)


def test_a_stream_can_be_scripted_as_text(chat_api, openai_provider):
    """A body with the content type of server-sent events."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    chunk["choices"] = [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]
    text = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    openai_provider.script(Status(200, text, headers={"Content-Type": "text/event-stream"}))
    (item,) = chat_api.stream(openai_provider.base_url)
    assert item.choices[0].delta.content == "hi"
