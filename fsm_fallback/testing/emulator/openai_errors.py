"""The words of OpenAI's errors, from its error-code page and from recorded answers.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm_fallback.testing.emulator.dialect import ErrorWords

if TYPE_CHECKING:
    from fsm_fallback.testing.emulator.dialect import Json

INVALID_REQUEST: Final = "invalid_request_error"
SERVER_ERROR: Final = "server_error"

OVERLOADED: Final = ErrorWords(
    status=503,
    type=SERVER_ERROR,
    message="The engine is currently overloaded, please try again later",
)

QUOTA_SPENT: Final = ErrorWords(
    status=429,
    type="insufficient_quota",
    code="insufficient_quota",
    message="You exceeded your current quota, please check your plan and billing details.",
)

ERRORS: Final = {
    words.status: words
    for words in (
        ErrorWords(
            status=400,
            type=INVALID_REQUEST,
            message="Invalid value in the request.",
            code="invalid_value",
        ),
        ErrorWords(
            status=401,
            type=INVALID_REQUEST,
            message="Incorrect API key provided.",
            code="invalid_api_key",
        ),
        ErrorWords(
            status=403,
            type=INVALID_REQUEST,
            message="You have insufficient permissions for this operation.",
        ),
        ErrorWords(
            status=404,
            type=INVALID_REQUEST,
            message="The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
        ),
        ErrorWords(
            status=500,
            type=SERVER_ERROR,
            message="The server had an error while processing your request. Sorry about that!",
        ),
        OVERLOADED,
    )
}


def rate_limited(wait: float | None) -> ErrorWords:
    """Return the words of a rate limit; they name the wait if there is one."""
    hint = "" if wait is None else f" Please try again in {wait:g}s."
    return ErrorWords(
        status=429,
        type="requests",
        code="rate_limit_exceeded",
        message="Rate limit reached for {model} on requests per min (RPM): "
        f"Limit 500, Used 500, Requested 1.{hint}",
    )


def error_body(words: ErrorWords, _request_id: str) -> Json:
    """Return the JSON of an error; the request's id is in a header only."""
    return {
        "error": {
            "message": words.message,
            "type": words.type,
            "param": words.param,
            "code": words.code,
        }
    }


def missing(param: str) -> ErrorWords:
    """Return the words for a parameter that has to be there."""
    return ErrorWords(
        status=400,
        type=INVALID_REQUEST,
        message=f"Missing required parameter: '{param}'.",
        param=param,
        code="missing_required_parameter",
    )
