"""The records of the chat profile, and what is estimated of a request."""

import pickle
from types import SimpleNamespace

import pytest

import fsm_fallback
from fsm_fallback import CallOptions, ConfigurationError, FaultKind, Usage, classify
from fsm_fallback import chat as profile
from fsm_fallback.chat import (
    ChatMessage,
    ChatPiece,
    ChatReply,
    ChatRequest,
    Image,
    UnusableReply,
    describe_chat,
)
from fsm_fallback.providers.chat import request_of, unusable
from fsm_fallback.providers.pieces import piece_of
from fsm_fallback.providers.reading import Reader, size_of
from fsm_fallback.providers.usage import model_of, usage_of

PNG = Image(data="aGVsbG8=", media_type="image/png")
SECRET = "the-SECRET-text"  # noqa: S105  # no password
COUNTED = [  # with OpenAI's vocabulary o200k
    ("The board decided yesterday to review all supply chains in the coming years.", 14, 0.9, 1.4),
    ("公司董事会昨天决定在未来几年内全面调整供应链。", 15, 0.9, 1.4),
    ("取締役会は昨日、会社のサプライチェーンを見直すことを決定しました。", 24, 0.9, 1.4),
    ("Вчера правление решило полностью пересмотреть цепочки поставок.", 14, 1.8, 2.4),
    ("3.14159 2.71828 1.41421 1.73205 2.23606 1.61803 0.57721 0.69314", 39, 0.4, 0.6),
]


def reply(kind=ChatReply, **fields):
    """A reply with what a test says of it."""
    known = {"text": "hi", "usage": None, "model": "m", "provider": "p", "finish": "stop"}
    return kind(**{**known, "native": None, **fields})


def problems_of(make):
    """What a constructor complains of."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    return caught.value.problems


def test_the_names_of_the_profile_are_these():
    """Sorted, each documented by itself; the top level of the package has none of them."""
    assert profile.__all__ == [
        "AnthropicChat",
        "ChatMessage",
        "ChatPiece",
        "ChatReply",
        "ChatRequest",
        "Image",
        "OpenAIChat",
        "UnusableReply",
        "describe_chat",
    ]
    assert all(vars(profile)[name].__doc__ for name in profile.__all__)
    assert set(profile.__all__).isdisjoint(fsm_fallback.__all__)


class TestRequests:
    """What a request may be."""

    def test_text_is_one_message_of_the_user(self):
        """Wherever a request is taken, and as the messages of one."""
        expected = ChatRequest(messages=(ChatMessage("user", "Why?"),))
        assert request_of("Why?") == expected
        assert ChatRequest(messages="Why?") == expected
        assert request_of(expected) is expected

    def test_lists_are_taken_for_tuples_and_sets(self):
        """As they come out of a file."""
        request = ChatRequest(messages=[ChatMessage("user", ["a", PNG])], needs=["tools"])
        assert request.messages == (ChatMessage("user", ("a", PNG)),)
        assert request.needs == frozenset({"tools"})
        assert request.images == 1

    @pytest.mark.parametrize("value", [None, 3, {"messages": []}, b"x", ""], ids=repr)
    def test_what_is_no_request_is_refused(self, value):
        """With its type, not its content."""
        (problem,) = problems_of(lambda: request_of(value))
        assert problem.startswith("request is ")
        assert problem.endswith("; give text or a ChatRequest")

    def test_every_field_that_cannot_work_is_named_at_once(self):
        """Field, value and remedy."""
        problems = problems_of(
            lambda: ChatRequest(
                messages=(), system=3, max_output_tokens=0, needs="tools", extra={"a": 1}
            )
        )
        assert problems == (
            "ChatRequest.messages is empty; give at least one ChatMessage",
            "ChatRequest.system is 3; give text, or None",
            "ChatRequest.max_output_tokens is 0; give a whole number >= 1, or None",
            "ChatRequest.needs is 'tools'; give a set of non-empty strings",
            "ChatRequest.extra['a'] is 1; give a mapping of SDK keywords",
        )

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"messages": {}}, "messages is a dict; give at least one ChatMessage"),
            (
                {"messages": ["a", ChatMessage("user", "b")]},
                "messages[0] is <1 characters>; give a ChatMessage",
            ),
            (
                {"extra": SECRET},
                "extra is <15 characters>; give mappings of SDK keywords by provider",
            ),
            (
                {"extra": {"gpt": SECRET, "claude": {"x": SECRET}}},
                "extra['gpt'] is <15 characters>; give a mapping of SDK keywords",
            ),
            ({"extra": {3: {}}}, "extra[3] is for no name; give the name of a provider"),
            (
                {"extra": {"gpt": {3: SECRET}}},
                "extra['gpt'] has the key 3; give the keyword of the SDK, a string",
            ),
        ],
    )
    def test_what_is_wrong_in_a_field_is_named_by_its_place(self, fields, problem):
        """And never shown: it may be a prompt or a key."""
        problems = problems_of(lambda: ChatRequest(**{"messages": "x", **fields}))
        assert problems == (f"ChatRequest.{problem}",)

    @pytest.mark.parametrize(
        ("role", "content", "problem"),
        [
            ("system", "x", "ChatMessage.role is 'system'; give one of user, assistant"),
            (
                "user",
                "",
                "ChatMessage.content is empty; give text, or a tuple of texts and images",
            ),
            (
                "user",
                None,
                "ChatMessage.content is None; give text, or a tuple of texts and images",
            ),
            ("user", ("a", {}), "ChatMessage.content[1] is a dict; give text or an Image"),
            ("user", ("",), "ChatMessage.content[0] is empty; give text or an Image"),
        ],
    )
    def test_a_message_that_is_none_is_refused(self, role, content, problem):
        """Each with what to give instead."""
        assert problems_of(lambda: ChatMessage(role, content)) == (problem,)

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"url": "https://example.test/a.png", "data": "aGk=", "media_type": "image/png"},
            {"url": "data:image/png;base64,aGk="},
            {"url": "https://example.test/a.png", "media_type": "image/png"},
            {"data": "aGk="},
            {"data": b"hi", "media_type": "image/png"},
            {"data": "", "media_type": "image/png"},
            {"data": "aGk=", "media_type": "text/plain"},
        ],
        ids=str,
    )
    def test_an_image_is_an_address_or_content_with_its_type(self, fields):
        """One of them, and nothing else."""
        problems = problems_of(lambda: Image(**fields))
        assert all(each.startswith("Image") for each in problems)
        assert not any("example" in each or "aGk" in each for each in problems)

    def test_no_prompt_is_shown(self):
        """Neither by a request nor by its parts, nor by what refuses them."""
        image = Image(url=f"https://example.test/{SECRET}")
        message = ChatMessage("user", (SECRET, image))
        request = ChatRequest(messages=(message,), system=SECRET, extra={"a": {"b": SECRET}})
        for each in (image, message, request, ChatMessage("user", SECRET)):
            assert SECRET not in repr(each)
        assert SECRET not in str(problems_of(lambda: Image(url=SECRET)))
        assert repr(ChatMessage("user", SECRET)) == (
            "ChatMessage(role='user', content=<15 characters>)"
        )


class TestReplies:
    """What an answer tells the readers of answers."""

    def test_usage_and_model_are_read_as_of_any_answer(self):
        """The usage as it is, cached tokens included."""
        usage = Usage(5, 7, cached_tokens=3)
        assert usage_of(reply(usage=usage)) == usage
        assert usage_of(reply(ChatPiece, usage=usage)) == usage
        assert usage_of(reply()) is None
        assert model_of(reply(model="gpt")) == "gpt"

    def test_a_piece_is_what_its_native_item_is(self):
        """Output, end, failure and usage are read from the item of the SDK."""
        delta = {"choices": [{"index": 0, "delta": {"tool_calls": [{}]}, "finish_reason": None}]}
        failed = {"error": {"type": "overloaded_error", "message": "Overloaded"}, "type": "error"}
        counts = {"input_tokens": 4, "output_tokens": 1}
        begun = {"type": "message_start", "message": {"usage": counts}}
        assert piece_of(reply(ChatPiece, native=delta)) == piece_of(delta)
        assert piece_of(reply(ChatPiece, native=failed)).fault.kind is FaultKind.TRANSIENT
        assert piece_of(reply(ChatPiece, native={"type": "message_stop"})).ends
        assert usage_of(reply(ChatPiece, native=begun)) == Usage(4, 1)

    def test_a_piece_that_was_filtered_says_so(self):
        """As the item it was made of does."""
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}
        reading = Reader().begin()
        reading.read(reply(ChatPiece, text="", finish="content_filter", native=end))
        assert reading.is_filtered
        assert reading.has_ended

    def test_a_piece_is_as_large_as_its_native_item(self):
        """Though its own text is not shown."""
        assert size_of(reply(ChatPiece, native="x" * 1000)) > 1000

    def test_no_answer_is_shown(self):
        """Logs have its length."""
        answer = reply(text=SECRET, native=SECRET)
        assert SECRET not in repr(answer)
        assert "text=<15 characters>" in repr(answer)

    def test_an_unusable_reply_that_tells_an_error_means_that(self):
        """A rate limit under a status of success holds like any other."""
        native = SimpleNamespace(error={"code": "rate_limit_exceeded", "message": "slow"})
        error = unusable("p", native)
        assert classify(error).kind is FaultKind.RATE_LIMIT
        assert error.answer is native
        assert classify(unusable("p", object())).kind is FaultKind.BAD_RESPONSE

    def test_an_unusable_reply_survives_pickle_without_the_answer(self):
        """Who and why stay."""
        carried = pickle.dumps(unusable("p", {"error": {"message": SECRET}}))
        error = pickle.loads(carried)  # noqa: S301  # our own bytes
        assert isinstance(error, UnusableReply)
        assert (error.provider, error.answer, error.body) == ("p", None, None)
        assert SECRET not in str(error)


class TestDescriptions:
    """What a strategy is told of a request."""

    def test_all_of_a_request_is_described(self):
        """Its text, its images, its limit and its needs."""
        request = ChatRequest(
            system="x" * 40,
            messages=(ChatMessage("user", ("y" * 80, PNG)), ChatMessage("assistant", "z")),
            max_output_tokens=99,
            needs={"tools"},
        )
        assert describe_chat(request, timeout=3) == CallOptions(
            input_tokens=31 + 3 * 4 + 1600, output_tokens=99, needs=frozenset({"tools", "vision"})
        )

    def test_text_is_described_too(self):
        """As the request it stands for."""
        assert describe_chat("Why is the sky blue?") == CallOptions(input_tokens=5 + 4)

    @pytest.mark.parametrize(("text", "counted", "least", "most"), COUNTED)
    def test_the_estimate_is_as_far_off_as_the_page_says(self, text, counted, least, most):
        """Near for prose, twice too high for Cyrillic, half too low for numbers."""
        estimated = describe_chat(text).input_tokens - 4
        assert least <= estimated / counted <= most

    def test_half_a_character_has_a_size(self):
        """Text that is no valid Unicode is for the provider to refuse."""
        assert describe_chat("\ud83d").input_tokens == 1 + 4
