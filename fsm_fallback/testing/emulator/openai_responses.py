"""OpenAI responses: `POST /v1/responses`.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from fsm_fallback.testing.emulator.dialect import Endpoint, texts_of
from fsm_fallback.testing.emulator.openai_errors import missing, no_streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm_fallback.testing.emulator.dialect import AnswerFacts, ErrorWords, Json


def _check(body: Json) -> ErrorWords | None:
    if not isinstance(body.get("model"), str) or not body["model"]:
        return missing("model")
    if not isinstance(body.get("input"), str | list) or not body["input"]:
        return missing("input")
    return no_streams() if body.get("stream") is True else None


def _texts(body: Json) -> Iterator[str]:
    yield from texts_of(body.get("instructions"))
    yield from texts_of(body.get("input"))


def _answer(facts: AnswerFacts) -> Json:
    now = int(time.time())
    return {
        "id": f"resp_emulated{facts.number:040d}",
        "object": "response",
        "created_at": now,
        "completed_at": now,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": facts.model,
        "output": [
            {
                "id": f"msg_emulated{facts.number:040d}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": facts.text,
                        "annotations": [],
                        "logprobs": [],
                    }
                ],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": facts.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": facts.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": facts.input_tokens + facts.output_tokens,
        },
    }


def _error_events(error: Json) -> str:
    words = error["error"]
    event = {
        "type": "error",
        "code": words["code"] or words["type"],
        "message": words["message"],
        "param": words["param"],
        "sequence_number": 0,
    }
    return f"event: error\ndata: {json.dumps(event)}\n\n"


RESPONSES: Final = Endpoint(
    path="/v1/responses",
    check=_check,
    texts=_texts,
    answer=_answer,
    error_events=_error_events,
)
