"""OpenAI chat completions: `POST /v1/chat/completions`.

Source: https://platform.openai.com/docs/api-reference/chat
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
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return missing("messages")
    return no_streams() if body.get("stream") is True else None


def _texts(body: Json) -> Iterator[str]:
    yield from texts_of(body.get("messages"))


def _answer(facts: AnswerFacts) -> Json:
    return {
        "id": f"chatcmpl-emulated{facts.number:021d}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": facts.model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": facts.text,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": facts.input_tokens,
            "completion_tokens": facts.output_tokens,
            "total_tokens": facts.input_tokens + facts.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_emulated",
    }


def _error_events(error: Json) -> str:
    return f"data: {json.dumps(error)}\n\ndata: [DONE]\n\n"


CHAT: Final = Endpoint(
    path="/v1/chat/completions",
    check=_check,
    texts=_texts,
    answer=_answer,
    error_events=_error_events,
)
