"""OpenAI's API as a dialect: chat completions, responses, and the words of its errors."""

from __future__ import annotations

from typing import Final

from fsm_fallback.testing.emulator.dialect import Dialect
from fsm_fallback.testing.emulator.openai_chat import CHAT
from fsm_fallback.testing.emulator.openai_errors import (
    ERRORS,
    INVALID_REQUEST,
    OVERLOADED,
    QUOTA_SPENT,
    SERVER_ERROR,
    error_body,
    rate_limited,
)
from fsm_fallback.testing.emulator.openai_responses import RESPONSES

OPENAI: Final = Dialect(
    name="openai",
    base_path="/v1",
    endpoints=(CHAT, RESPONSES),
    request_id_header="x-request-id",
    errors=ERRORS,
    invalid_request_type=INVALID_REQUEST,
    server_error_type=SERVER_ERROR,
    overloaded=OVERLOADED,
    quota_spent=QUOTA_SPENT,
    rate_limited=rate_limited,
    error_body=error_body,
)
