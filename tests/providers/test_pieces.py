"""What an item of a stream is: output, the end, a failure, or none of them."""

import subprocess
import sys
import typing
from collections import OrderedDict, UserDict, deque
from types import MappingProxyType, SimpleNamespace
from unittest.mock import MagicMock, Mock, NonCallableMock

import anthropic.types
import anthropic.types.beta
import openai.types.chat
import openai.types.responses
import pytest
from anthropic.lib.streaming import _beta_types, _types
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState

from fsm_fallback.core.outcome import FaultKind
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

K = FaultKind
OUTPUT, SILENT, END, OUTPUT_AND_END = "output", "silent", "end", "output, end"


def told(piece):
    """Write a piece in words: what it is, or the kind of its fault."""
    if piece.fault is not None:
        assert not piece.output
        assert not piece.ends
        return piece.fault.kind
    return ", ".join(
        w for w, is_so in (("output", piece.output), ("end", piece.ends)) if is_so
    ) or (SILENT)


TOOL_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f"}}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
CITED = {
    "type": "char_location",
    "cited_text": "x",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 1,
    "file_id": None,
}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "", "id": "fc"}
SPOKEN = {"type": "message", "id": "m", "role": "assistant", "status": "in_progress", "content": []}
THOUGHT = {"type": "reasoning", "id": "r", "summary": []}
TEXT = {"type": "output_text", "annotations": []}
URL = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}

# fmt: off
# ruff: noqa: E501
CHAT = [
    ("role only",             SILENT, chat({"role": "assistant", "content": ""})),
    ("text",                  OUTPUT, chat({"content": "Hi"})),
    ("white space",           OUTPUT, chat({"content": "\n"})),
    ("empty text",            SILENT, chat({"content": ""})),
    ("tool call begins",      OUTPUT, chat({"tool_calls": [TOOL_CALL]})),
    ("no tool calls",         SILENT, chat({"tool_calls": []})),
    ("arguments",             OUTPUT, chat({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]})),
    ("function call",         OUTPUT, chat({"function_call": {"name": "f", "arguments": ""}})),
    ("refusal",               OUTPUT, chat({"refusal": "I can't"})),
    ("audio",                 OUTPUT, chat({"audio": {"id": "a", "data": "UklGRg=="}})),
    ("transcript",            OUTPUT, chat({"audio": {"id": "a", "transcript": "Hi"}})),
    ("audio expires",         SILENT, chat({"audio": {"expires_at": 1}})),
    ("reasoning, DeepSeek",   OUTPUT, chat({"content": None, "reasoning_content": "Hm"})),
    ("reasoning, vLLM",       OUTPUT, chat({"content": "", "reasoning": "Hm"})),
    ("end",                   END,    chat({}, finish="stop")),
    ("cut by length",         END,    chat({}, finish="length")),
    ("filtered",              END,    chat({}, finish="content_filter")),
    ("end with text",         OUTPUT_AND_END, chat({"content": "."}, finish="stop")),
    ("usage",                 SILENT, chat(choices=[], usage=USAGE)),
    ("second choice speaks",  OUTPUT, chat(choices=[{"index": 0, "delta": {}}, {"index": 1, "delta": {"content": "Hi"}}])),
    ("first choice speaks",   OUTPUT, chat(choices=[{"index": 0, "delta": {"content": "Hi"}}, {"index": 1, "delta": {}}])),
    ("one of two ends",       OUTPUT_AND_END, chat(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}, {"index": 1, "delta": {"content": "Hi"}}])),
]
# What only some servers write; the SDK's strict types would not take it.
CHAT_LOOSE = [
    ("not ended: ''",         OUTPUT, chat({"content": "Hi"}, finish="")),
    ("filter result, Azure",  SILENT, chat(choices=[{"index": 0, "content_filter_results": {}}], object="")),
    ("null choices",          SILENT, chat(choices=None) | {"choices": None}),
    ("old completion",        OUTPUT, {"object": "text_completion", "choices": [{"text": "Hi", "index": 0, "finish_reason": None}]}),
    ("old completion ends",   END,    {"object": "text_completion", "choices": [{"text": "", "index": 0, "finish_reason": "stop"}]}),
    ("a whole completion",    OUTPUT_AND_END, {"object": "chat.completion", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}),
    ("thinking, Mistral",     OUTPUT, chat({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]})),
    ("in data, Mistral",      OUTPUT, {"data": chat({"content": "Hi"})}),
    ("in data, end",          END,    {"data": chat({"content": ""}, finish="stop")}),
    ("error, OpenRouter",     K.TRANSIENT, chat({"content": ""}, finish="error", error={"code": 502, "message": "Provider disconnected"})),
    ("finished by an error",  K.UNKNOWN, chat({"content": ""}, finish="error")),
    ("error, vLLM",           K.TRANSIENT, {"object": "error", "message": "Engine died", "type": "InternalServerError", "code": 500}),
]
RESPONSES = [
    ("created",               SILENT, responses("response.created", response=response("in_progress"))),
    ("queued",                SILENT, responses("response.queued", response=response("queued"))),
    ("in progress",           SILENT, responses("response.in_progress", response=response("in_progress"))),
    ("message begins",        SILENT, responses("response.output_item.added", output_index=0, item=SPOKEN)),
    ("reasoning begins",      SILENT, responses("response.output_item.added", output_index=0, item=THOUGHT)),
    ("call begins",           OUTPUT, responses("response.output_item.added", output_index=0, item=CALL)),
    ("search begins",         OUTPUT, responses("response.output_item.added", output_index=0, item={"type": "web_search_call", "id": "w", "status": "in_progress", "action": {"type": "search", "query": "q"}})),
    ("tools are listed",      SILENT, responses("response.output_item.added", output_index=0, item={"type": "mcp_list_tools", "id": "l", "server_label": "s", "tools": []})),
    ("item done",             SILENT, responses("response.output_item.done", output_index=0, item=CALL)),
    ("part begins",           SILENT, in_item("response.content_part.added", part={**TEXT, "text": ""})),
    ("part begins with text", OUTPUT, in_item("response.content_part.added", part={**TEXT, "text": "Hi"})),
    ("part done",             SILENT, in_item("response.content_part.done", part={**TEXT, "text": "Hi"})),
    ("text",                  OUTPUT, in_item("response.output_text.delta", delta="Hi", logprobs=[])),
    ("empty text",            SILENT, in_item("response.output_text.delta", delta="", logprobs=[])),
    ("text done",             SILENT, in_item("response.output_text.done", text="Hi", logprobs=[])),
    ("citation",              OUTPUT, in_item("response.output_text.annotation.added", annotation_index=0, annotation=URL)),
    ("refusal",               OUTPUT, in_item("response.refusal.delta", delta="No")),
    ("refusal done",          SILENT, in_item("response.refusal.done", refusal="No")),
    ("arguments",             OUTPUT, in_item("response.function_call_arguments.delta", delta="{")),
    ("arguments done",        SILENT, in_item("response.function_call_arguments.done", arguments="{}", name="f")),
    ("custom tool input",     OUTPUT, in_item("response.custom_tool_call_input.delta", delta="x")),
    ("MCP arguments",         OUTPUT, in_item("response.mcp_call_arguments.delta", delta="{")),
    ("MCP call completed",    SILENT, in_item("response.mcp_call.completed")),
    ("MCP call failed",       SILENT, in_item("response.mcp_call.failed")),
    ("code",                  OUTPUT, in_item("response.code_interpreter_call_code.delta", delta="1")),
    ("code interpreted",      SILENT, in_item("response.code_interpreter_call.interpreting")),
    ("search goes on",        SILENT, in_item("response.web_search_call.searching")),
    ("command begins empty",  SILENT, responses("response.shell_call_command.added", output_index=0, command_index=0, command="")),
    ("command",               OUTPUT, responses("response.shell_call_command.delta", output_index=0, command_index=0, delta="ls")),
    ("command's output",      OUTPUT, in_item("response.shell_call_output_content.delta", command_index=0, delta={"stdout": "a"})),
    ("command says nothing",  SILENT, in_item("response.shell_call_output_content.delta", command_index=0, delta={"stdout": "", "stderr": None})),
    ("reasoning",             OUTPUT, in_item("response.reasoning_text.delta", delta="Hm")),
    ("reasoning done",        SILENT, in_item("response.reasoning_text.done", text="Hm")),
    ("summary begins",        SILENT, in_item("response.reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""})),
    ("summary",               OUTPUT, in_item("response.reasoning_summary_text.delta", summary_index=0, delta="Hm")),
    ("audio",                 OUTPUT, responses("response.audio.delta", delta="UklGRg==")),
    ("transcript",            OUTPUT, responses("response.audio.transcript.delta", delta="Hi")),
    ("image",                 OUTPUT, in_item("response.image_generation_call.partial_image", partial_image_b64="iVBO", partial_image_index=0)),
    ("image goes on",         SILENT, in_item("response.image_generation_call.generating")),
    ("completed",             END,    responses("response.completed", response=response("completed"))),
    ("incomplete",            END,    responses("response.incomplete", response=response("incomplete", incomplete_details={"reason": "max_output_tokens"}))),
    ("failed",                K.TRANSIENT,  responses("response.failed", response=response("failed", error={"code": "server_error", "message": "Oops"}))),
    ("failed: too fast",      K.RATE_LIMIT, responses("response.failed", response=response("failed", error={"code": "rate_limit_exceeded", "message": "Rate limit reached, try again in 2s"}))),
    ("failed: unsaid",        K.UNKNOWN,    responses("response.failed", response=response("failed", error=None))),
    ("error",                 K.TRANSIENT,  responses("error", code="server_error", message="Oops", param=None)),
    ("error: credit",         K.QUOTA,      responses("error", code="insufficient_quota", message="Check your plan", param=None)),
]
ANTHROPIC = [
    ("message begins",        SILENT, {"type": "message_start", "message": message()}),
    ("text begins",           SILENT, anthropic_block("text", text="", citations=None)),
    ("text begins with text", OUTPUT, anthropic_block("text", text="Hi", citations=None)),
    ("thinking begins",       SILENT, anthropic_block("thinking", thinking="", signature="")),
    ("hidden thinking",       SILENT, anthropic_block("redacted_thinking", data="EqQB")),
    ("tool use begins",       OUTPUT, anthropic_block("tool_use", id="toolu_1", name="f", input={})),
    ("server tool begins",    OUTPUT, anthropic_block("server_tool_use", id="srvtoolu_1", name="web_search", input={})),
    ("server tool's result",  OUTPUT, anthropic_block("web_search_tool_result", tool_use_id="srvtoolu_1", content=[])),
    ("text",                  OUTPUT, anthropic_delta("text_delta", text="Hi")),
    ("empty text",            SILENT, anthropic_delta("text_delta", text="")),
    ("tool's input",          OUTPUT, anthropic_delta("input_json_delta", partial_json="{")),
    ("tool's input begins",   SILENT, anthropic_delta("input_json_delta", partial_json="")),
    ("thinking",              OUTPUT, anthropic_delta("thinking_delta", thinking="Hm", estimated_tokens=None)),
    ("signature",             SILENT, anthropic_delta("signature_delta", signature="EqQB")),
    ("citation",              OUTPUT, anthropic_delta("citations_delta", citation=CITED)),
    ("block ends",            SILENT, {"type": "content_block_stop", "index": 0}),
    ("message ends",          SILENT, message_ends()),
    ("message refused",       SILENT, message_ends("refusal")),
    ("last",                  END,    {"type": "message_stop"}),
]
ANTHROPIC_BETA = [
    ("compaction begins",     SILENT, anthropic_block("compaction", content=None)),
    ("compaction",            OUTPUT, anthropic_delta("compaction_delta", content="So far")),
    ("another model goes on", SILENT, anthropic_block("fallback", **{"from": {"model": "a"}, "to": {"model": "b"}, "trigger": {"type": "refusal", "category": None}})),
]
GEMINI = [
    ("text",                  OUTPUT, {"candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}}]}),
    ("empty text",            SILENT, {"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}}]}),
    ("thought",               OUTPUT, {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}]}}]}),
    ("signature",             SILENT, {"candidates": [{"content": {"parts": [{"thought_signature": "CpQB"}]}}]}),
    ("function call",         OUTPUT, {"candidates": [{"content": {"parts": [{"function_call": {"name": "f"}}]}}]}),
    ("function call, REST",   OUTPUT, {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]}),
    ("last",                  OUTPUT_AND_END, {"candidates": [{"content": {"parts": [{"text": "."}]}, "finishReason": "STOP"}]}),
    ("last without content",  END,    {"candidates": [{"finish_reason": "MAX_TOKENS", "content": None}]}),
    ("prompt blocked",        K.CONTENT, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
]
OLLAMA = [
    ("chat",                  OUTPUT, {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": False}),
    ("chat thinks",           OUTPUT, {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "Hm"}, "done": False}),
    ("chat ends",             END,    {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}),
    ("generate",              OUTPUT, {"model": "m", "response": "Hi", "done": False}),
    ("generate ends",         END,    {"model": "m", "response": "", "done": True}),
]
BEDROCK = [
    ("message begins",        SILENT, {"messageStart": {"role": "assistant"}}),
    ("tool use begins",       OUTPUT, {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "t", "name": "f"}}, "contentBlockIndex": 0}}),
    ("text",                  OUTPUT, {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}}),
    ("tool's input",          OUTPUT, {"contentBlockDelta": {"delta": {"toolUse": {"input": "{"}}, "contentBlockIndex": 0}}),
    ("reasoning",             OUTPUT, {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "Hm"}}}}),
    ("signature",             SILENT, {"contentBlockDelta": {"delta": {"reasoningContent": {"signature": "s"}}}}),
    ("block ends",            SILENT, {"contentBlockStop": {"contentBlockIndex": 0}}),
    ("message ends",          END,    {"messageStop": {"stopReason": "end_turn"}}),
    ("usage",                 SILENT, {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2}}}),
    ("throttled",             K.RATE_LIMIT, {"throttlingException": {"message": "Too many requests"}}),
    ("broken",                K.STREAM, {"modelStreamErrorException": {"message": "unexpected"}}),
]
# Beside the provider's own, or words that anybody may use: no end is to be expected after them.
OF_NOBODY = [
    ("ping",                  SILENT, {"type": "ping"}),
    ("text",                  OUTPUT, {"type": "text", "text": "Hi", "snapshot": "Hi"}),
    ("empty text",            SILENT, {"type": "text", "text": "", "snapshot": "Hi"}),
    ("another's text",        OUTPUT, {"type": "text", "value": ""}),
    ("tool's input",          OUTPUT, {"type": "input_json", "partial_json": "{", "snapshot": {}}),
    ("thinking",              OUTPUT, {"type": "thinking", "thinking": "Hm", "snapshot": "Hm"}),
    ("citation",              OUTPUT, {"type": "citation", "citation": CITED, "snapshot": []}),
    ("signature",             SILENT, {"type": "signature", "signature": "EqQB"}),
    ("another's signature",   OUTPUT, {"type": "signature"}),
    ("another's chunk",       OUTPUT, {"type": "chunk", "text": "Hi"}),
    ("content",               OUTPUT, {"type": "content.delta", "delta": "Hi", "snapshot": "Hi"}),
    ("content done",          SILENT, {"type": "content.done", "content": "Hi", "parsed": None}),
    ("tool call begins",      OUTPUT, {"type": "tool_calls.function.arguments.delta", "arguments_delta": ""}),
    ("tool call done",        SILENT, {"type": "tool_calls.function.arguments.done", "arguments": ""}),
    ("probabilities",         SILENT, {"type": "logprobs.content.delta", "content": [], "snapshot": []}),
    ("an unknown type",       OUTPUT, {"type": "delta", "text": ""}),
    ("an unknown shape",      OUTPUT, {"text": ""}),
    ("an uncounted event",    OUTPUT, {"type": "response.invented", "text": ""}),
    ("an error alone",        K.TRANSIENT, {"error": {"message": "Overloaded", "type": "overloaded_error"}}),
    ("an error alone, text",  K.TRANSIENT, {"error": "server busy, please try again later"}),
    ("no error",              OUTPUT, {"error": None, "text": "Hi"}),
    ("one's own `error`",     OUTPUT, {"error": 0.25, "epoch": 3}),
    ("an error of no shape",  K.UNKNOWN, {"type": "error"}),
]
# fmt: on


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


FIELDS = (
    *("type", "delta", "content_block", "choices", "item", "part", "response", "error", "message"),
    *("chunk", "annotation", "text", "command", "data", "candidates", "done", "sequence_number"),
    *("finish_reason", "content", "code"),
)


class _Raises:
    type = property(lambda _: 1 / 0)
    choices = property(lambda _: 1 / 0)


class _HasEverything:
    def __getattr__(self, name):
        return "message_stop"


class _HidesItself:
    def __getattribute__(self, name):
        raise RuntimeError(name)


class _LiesOfItsClass:
    @property
    def __class__(self):
        raise RuntimeError


class _Endless(dict):
    def get(self, name, default=None):
        return self


class _Untrue:
    def __bool__(self):
        raise ValueError


class _Recursive(dict):
    def get(self, name, default=None):
        return self.get(name)


class _Delta:
    type = "text_delta"

    def __init__(self, text):
        self.text = text


def test_an_object_may_have_its_fields_in_two_places():
    """A default of its class, and what was set on itself."""
    item = {"type": "content_block_delta", "delta": _Delta("Hi")}
    assert told(piece_of(item)) == OUTPUT
    assert told(piece_of({**item, "delta": _Delta("")})) == SILENT


class TestHostileItems:
    """What cannot be read is output of nobody, and never the end."""

    @pytest.mark.parametrize(
        "make",
        [
            *(Mock, MagicMock, NonCallableMock, _Raises, _HasEverything, _HidesItself),
            *(_LiesOfItsClass, _Endless, _Recursive, _Untrue, ValueError, deque),
        ],
    )
    def test_are_output_of_nobody(self, make):
        """Whatever they do."""
        assert piece_of(make()) == Piece(output=True, ends=False, dialect=None, fault=None)

    @pytest.mark.parametrize(
        "item",
        [
            *(int, sys, iter([]), Ellipsis, {"type": 1}, {"type": ["message_stop"]}, {1: 2}),
            *({"choices": "x"}, {"choices": 3}, {"done": True}, {"done": "yes", "message": {}}),
            {"choices": [{"delta": {"content": _Untrue()}}]},
            {"type": "content_block_delta"},
            {"type": "content_block_delta", "delta": None},
            {"type": "content_block_delta", "delta": {"type": _Untrue()}},
            {"type": "content_block_start", "content_block": 7},
            {"type": "chunk", "chunk": {"type": "chunk"}},
            {"messageStop": {}, "more": 1},
            {"candidates": 1},
        ],
    )
    def test_that_are_malformed_are_output_of_nobody(self, item):
        """The name of an event alone does not make one."""
        assert piece_of(item) == Piece(output=True, ends=False, dialect=None, fault=None)

    def test_may_be_huge(self):
        """Only the first of many choices are looked at."""
        many = chat(choices=[{"delta": {}}] * 1_000_000)
        assert told(piece_of(many)) == SILENT

    def test_may_be_circular(self):
        """Errors are read without following a circle."""
        error = SimpleNamespace(type="error", message="Overloaded")
        error.error = error
        assert told(piece_of(error)) is K.TRANSIENT
        item = {"type": "error"}
        item["error"] = item
        assert told(piece_of(item)) is K.UNKNOWN

    def test_with_a_mocked_field_are_read_as_far_as_they_go(self):
        """What was set on a mock is its own."""
        assert told(piece_of(Mock(type="message_stop"))) == END

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_of_any_shape_are_read(self, item):
        """Never raises, and knows no end in noise."""
        piece = piece_of(item)
        assert not piece.ends
        assert piece.fault is None or isinstance(item, dict)

    @given(
        kind=st.sampled_from(
            [item["type"] for _, _, item in RESPONSES + ANTHROPIC + OF_NOBODY if "type" in item]
        ),
        fields=st.dictionaries(
            st.sampled_from(FIELDS),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(FIELDS),
                        inner,
                    )
                ),
                max_leaves=8,
            ),
        ),
        form=st.sampled_from([dict, as_namespace, as_slots]),
    )
    def test_of_known_types_and_odd_fields_are_read(self, kind, fields, form):
        """A fault is neither output nor the end."""
        piece = piece_of(form({**fields, "type": kind}))
        told(piece)

    def test_are_no_longer_referred_to(self):
        """Reading keeps nothing of an item."""
        item = chat({"content": "Hi"})
        before = sys.getrefcount(item)
        piece_of(item)
        assert sys.getrefcount(item) == before


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
