"""What an item of a stream is: output, the end, a failure, or none of them."""

import subprocess
import sys
import typing
from collections import OrderedDict, UserDict
from types import MappingProxyType, SimpleNamespace

import anthropic.types
import anthropic.types.beta
import openai.types.chat
import openai.types.responses
import pytest
from anthropic.lib.streaming import _beta_types, _types
from openai.lib.streaming.chat import ChatCompletionStreamState

from fsm_fallback.providers.pieces import Piece, piece_of
from tests.providers.stream_items import (
    anthropic_block,
    anthropic_delta,
    as_class_defaults,
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
from tests.providers.stream_rows import (
    ANTHROPIC,
    ANTHROPIC_BETA,
    BEDROCK,
    CHAT,
    CHAT_LOOSE,
    END,
    GEMINI,
    OF_NOBODY,
    OLLAMA,
    OUTPUT,
    RESPONSES,
    SILENT,
    SPOKEN,
    TEXT,
    TOOL_CALL,
    USAGE,
    K,
    told,
)


def rows(table):
    """Name the rows of a table."""
    return [pytest.param(item, expected, id=name) for name, expected, item in table]


class TestEachEvent:
    """Every form of an item says the same."""

    @pytest.mark.parametrize(("item", "expected"), rows(CHAT + CHAT_LOOSE))
    def test_of_a_chat_completion(self, item, expected):
        """Chunks speak by their deltas and end by a finish reason."""
        for form in (item, as_namespace(item), as_slots(item), as_class_defaults(item)):
            piece = piece_of(form)
            assert (told(piece), piece.dialect) == (expected, "openai.chat")

    @pytest.mark.parametrize(("item", "expected"), rows(RESPONSES))
    def test_of_the_responses_api(self, item, expected):
        """Deltas and calls are output; three events end a response, one of them badly."""
        sdk = as_sdk_object(item, "openai.responses")
        for form in (item, sdk, as_namespace(item), as_slots(item), as_class_defaults(item)):
            piece = piece_of(form)
            assert (told(piece), piece.dialect) == (expected, "openai.responses")

    @pytest.mark.parametrize(("item", "expected"), rows(ANTHROPIC))
    def test_of_anthropic(self, item, expected):
        """Deltas and tool uses are output; `message_stop` is the end."""
        sdk, beta = as_sdk_object(item, "anthropic"), as_sdk_object(item, "anthropic beta")
        for form in (item, sdk, beta, as_namespace(item), as_slots(item), as_class_defaults(item)):
            piece = piece_of(form)
            assert (told(piece), piece.dialect) == (expected, "anthropic")

    @pytest.mark.parametrize(("item", "expected"), rows(ANTHROPIC_BETA))
    def test_of_anthropic_beta(self, item, expected):
        """The beta endpoint has a few events more."""
        for form in (item, as_sdk_object(item, "anthropic beta"), as_namespace(item)):
            piece = piece_of(form)
            assert (told(piece), piece.dialect) == (expected, "anthropic")

    @pytest.mark.parametrize(("item", "expected"), rows(CHAT))
    def test_of_the_openai_sdk(self, item, expected):
        """The SDK's chunks say what the wire says, also in what they do not declare."""
        piece = piece_of(as_sdk_object(item, "openai.chat"))
        assert (told(piece), piece.dialect) == (expected, "openai.chat")

    def test_of_vllms_error_that_the_openai_sdk_hands_on(self):
        """The SDK raises for what has an `error`; vLLM's is one."""
        item = {"object": "error", "message": "Engine died", "type": "server_error", "code": 500}
        piece = piece_of(openai.types.chat.ChatCompletionChunk.construct(**item))
        assert (told(piece), piece.dialect) == (K.TRANSIENT, "openai.chat")
        assert piece.fault.message == "Engine died"

    @pytest.mark.parametrize(
        ("dialect", "item", "expected"),
        [
            pytest.param(dialect, item, expected, id=f"{dialect}: {name}")
            for dialect, table in (("gemini", GEMINI), ("ollama", OLLAMA))
            for name, expected, item in table
        ],
    )
    def test_of_gemini_and_ollama(self, dialect, item, expected):
        """They have no event types: the field that holds the answer tells whose they are."""
        for form in (item, as_namespace(item), as_slots(item)):
            piece = piece_of(form)
            assert (told(piece), piece.dialect) == (expected, dialect)

    @pytest.mark.parametrize(("item", "expected"), rows(BEDROCK))
    def test_of_bedrock(self, item, expected):
        """Events are mappings with one key."""
        piece = piece_of(item)
        assert (told(piece), piece.dialect) == (expected, "bedrock")

    @pytest.mark.parametrize(("item", "expected"), rows(OF_NOBODY))
    def test_of_nobody(self, item, expected):
        """Items that others could have written as well let no end be expected."""
        piece = piece_of(item)
        assert (told(piece), piece.dialect) == (expected, None)

    def test_of_anthropics_error(self):
        """The SDK raises it; who parses the stream alone meets it as an item."""
        item = {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "Overloaded"},
            "request_id": "req_1",
        }
        for form in (item, as_namespace(item)):
            piece = piece_of(form)
            assert (told(piece), piece.dialect) == (K.TRANSIENT, "anthropic")
            assert piece.fault.message == "Overloaded"

    def test_of_a_websockets_error(self):
        """OpenAI's has a status and headers, of which the wait is read."""
        piece = piece_of(
            {
                "type": "error",
                "status": 429,
                "sequence_number": 3,
                "error": {
                    "type": "tokens",
                    "code": "rate_limit_exceeded",
                    "message": "slow down",
                    "headers": {"retry-after": "7"},
                },
            }
        )
        assert (told(piece), piece.dialect) == (K.RATE_LIMIT, "openai.responses")
        assert piece.fault.retry_after == 7.0


class TestWholeStreams:
    """One end each, and it is told once."""

    @pytest.mark.parametrize(
        ("stream", "expected"),
        [
            pytest.param(
                [
                    chat({"role": "assistant", "content": ""}),
                    chat({"content": "Hi"}),
                    chat({"content": "."}),
                    chat({}, finish="stop"),
                    chat(choices=[], usage=USAGE),
                ],
                [SILENT, OUTPUT, OUTPUT, END, SILENT],
                id="chat: the usage follows the end",
            ),
            pytest.param(
                [
                    responses("response.created", response=response("in_progress")),
                    responses("response.output_item.added", output_index=0, item=SPOKEN),
                    in_item("response.content_part.added", part={**TEXT, "text": ""}),
                    in_item("response.output_text.delta", delta="Hi", logprobs=[]),
                    in_item("response.output_text.done", text="Hi", logprobs=[]),
                    in_item("response.content_part.done", part={**TEXT, "text": "Hi"}),
                    responses("response.output_item.done", output_index=0, item=SPOKEN),
                    responses("response.completed", response=response("completed")),
                ],
                [SILENT, SILENT, SILENT, OUTPUT, SILENT, SILENT, SILENT, END],
                id="responses",
            ),
            pytest.param(
                [
                    {"type": "message_start", "message": message()},
                    {"type": "ping"},
                    anthropic_block("thinking", thinking="", signature=""),
                    anthropic_delta("thinking_delta", thinking="Hm"),
                    anthropic_delta("signature_delta", signature="EqQB"),
                    {"type": "content_block_stop", "index": 0},
                    anthropic_block("tool_use", id="toolu_1", name="f", input={}),
                    anthropic_delta("input_json_delta", partial_json=""),
                    anthropic_delta("input_json_delta", partial_json="{}"),
                    {"type": "content_block_stop", "index": 1},
                    message_ends("tool_use"),
                    {"type": "message_stop"},
                ],
                [
                    *(SILENT, SILENT, SILENT, OUTPUT, SILENT, SILENT),
                    *(OUTPUT, SILENT, OUTPUT, SILENT, SILENT, END),
                ],
                id="anthropic",
            ),
        ],
    )
    def test_are_told_item_by_item(self, stream, expected):
        """As they come over the wire."""
        assert [told(piece_of(item)) for item in stream] == expected

    def test_of_openais_helper_speak_twice_and_end_once(self):
        """`chat.completions.stream()` yields each chunk, and then what was in it."""
        state = ChatCompletionStreamState()
        stream = [
            chat({"role": "assistant", "content": ""}),
            chat({"content": "Hi"}),
            chat({"tool_calls": [{**TOOL_CALL, "function": {"name": "f", "arguments": ""}}]}),
            chat({}, finish="tool_calls"),
        ]
        told_of = [
            (event.type, told(piece_of(event)), piece_of(event).dialect)
            for item in stream
            for event in state.handle_chunk(as_sdk_object(item, "openai.chat"))
        ]
        assert told_of == [
            ("chunk", SILENT, "openai.chat"),
            ("content.delta", SILENT, None),
            ("chunk", OUTPUT, "openai.chat"),
            ("content.delta", OUTPUT, None),
            ("chunk", OUTPUT, "openai.chat"),
            ("tool_calls.function.arguments.delta", OUTPUT, None),
            ("content.done", SILENT, None),
            ("chunk", END, "openai.chat"),
            ("tool_calls.function.arguments.done", SILENT, None),
        ]


def _types_in(union):
    members = typing.get_args(union)
    if members and typing.get_origin(union) is typing.Annotated:
        members = typing.get_args(members[0])
    return members


class TestTheSdks:
    """Their own lists of events hold nothing unknown."""

    @pytest.mark.parametrize("event", _types_in(openai.types.responses.ResponseStreamEvent))
    def test_openais_responses_are_known(self, event):
        """New ones are read by the ending of their name."""
        (kind,) = typing.get_args(event.model_fields["type"].annotation)
        item = event.model_construct(type=kind, sequence_number=1)
        piece = piece_of(item)
        assert piece.dialect == "openai.responses"
        assert not piece.output

    @pytest.mark.parametrize(
        "event",
        [
            *_types_in(anthropic.types.RawMessageStreamEvent),
            *_types_in(anthropic.types.beta.BetaRawMessageStreamEvent),
        ],
    )
    def test_anthropics_are_known(self, event):
        """Blocks and deltas without a type aside."""
        (kind,) = typing.get_args(event.model_fields["type"].annotation)
        item = event.model_construct(
            type=kind, delta=SimpleNamespace(type="?"), content_block=SimpleNamespace(type="?")
        )
        assert piece_of(item).dialect == "anthropic"

    @pytest.mark.parametrize(
        "event",
        [
            *(_types.TextEvent, _types.CitationEvent, _types.ThinkingEvent),
            *(_types.InputJsonEvent, _beta_types.BetaCompactionEvent),
        ],
    )
    def test_anthropics_helper_events_are_output(self, event):
        """They stand beside the delta they were made of."""
        (kind,) = typing.get_args(event.model_fields["type"].annotation)
        filled = dict.fromkeys(event.model_fields, "x") | {"type": kind}
        assert piece_of(event.model_construct(**filled)) == Piece(
            output=True, ends=False, dialect=None, fault=None
        )

    def test_new_events_of_openai_are_read_by_their_ending(self):
        """A counted delta speaks, all else does not."""
        delta = responses("response.smell.delta", delta="roses")
        assert piece_of(delta) == Piece(
            output=True, ends=False, dialect="openai.responses", fault=None
        )
        lifecycle = responses("response.smell.completed")
        assert piece_of(lifecycle) == Piece(
            output=False, ends=False, dialect="openai.responses", fault=None
        )

    def test_new_deltas_and_blocks_of_anthropic_are_output(self):
        """Better shown too early than held back for ever."""
        assert told(piece_of(anthropic_delta("smell_delta", smell="roses"))) == OUTPUT
        assert told(piece_of(anthropic_block("smell"))) == OUTPUT


@pytest.mark.parametrize(
    ("item", "is_output"),
    [
        *(("Hi", True), (" ", True), ("\n", True), ("", False), (b"x", True), (b"", False)),
        *((bytearray(b"x"), True), (bytearray(), False), (None, False)),
        *(
            (0, True),
            (False, True),
            (0.0, True),
            ([], True),
            ({}, True),
            ((), True),
            (object(), True),
        ),
    ],
)
def test_an_item_of_no_provider_is_output_unless_it_is_nothing(item, is_output):
    """Text speaks for itself; of the rest nobody knows."""
    assert piece_of(item) == Piece(output=is_output, ends=False, dialect=None, fault=None)


@pytest.mark.parametrize("kind", [OrderedDict, UserDict, MappingProxyType])
def test_any_mapping_is_read(kind):
    """Users parse JSON into more than dicts."""
    assert told(piece_of(kind({"type": "message_stop"}))) == END


class _Delta:
    type = "text_delta"

    def __init__(self, text):
        self.text = text


def test_an_object_may_have_its_fields_in_two_places():
    """A default of its class, and what was set on itself."""
    item = {"type": "content_block_delta", "delta": _Delta("Hi")}
    assert told(piece_of(item)) == OUTPUT
    assert told(piece_of({**item, "delta": _Delta("")})) == SILENT


def test_reading_imports_no_sdk():
    """The shape of an item is enough."""
    code = (
        "import sys; from fsm_fallback.providers.pieces import piece_of;"
        "piece_of({'type': 'message_stop'});"
        "print({'openai', 'anthropic', 'pydantic', 'httpx'} & sys.modules.keys())"
    )
    run = subprocess.run(  # noqa: S603  # this interpreter, a script of ours
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"
