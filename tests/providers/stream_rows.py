"""Items of streams, and what each of them is: the tables of the tests."""

from fsm_fallback.core.outcome import FaultKind
from tests.providers.stream_items import (
    anthropic_block,
    anthropic_delta,
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
