"""What the classifier makes of plain HTTP responses, in the dialects of the providers in use."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.core.outcome import KINDS, Fault, FaultKind, Outcome, Scope
from fsm_fallback.providers.fault_table import SIGNALS
from fsm_fallback.providers.faults import classify, classify_response

K = FaultKind


def openai(message, *, type="invalid_request_error", code=None, param=None):  # noqa: A002
    """Write an error in the dialect most services speak."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def anthropic(message, *, type="invalid_request_error"):  # noqa: A002
    """Write an error as Anthropic does."""
    return {"type": "error", "error": {"type": type, "message": message}}


def gemini(code, status, message, *details):
    """Write a google.rpc.Status."""
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": error}


def detail(name, **fields):
    """Write one of its details."""
    return {"@type": f"type.googleapis.com/google.rpc.{name}", **fields}


def azure(code, message):
    """Write an error as Azure does."""
    return {"error": {"code": code, "message": message}}


def mistral(message, *, type="invalid_request_error", code=None):  # noqa: A002
    """Write an error as Mistral does."""
    return {"object": "error", "message": message, "type": type, "param": None, "code": code}


def openrouter(code, message, **metadata):
    """Write an error as OpenRouter does, with what the upstream said in its metadata."""
    return {"error": {"code": code, "message": message, "metadata": metadata}}


# fmt: off
# ruff: noqa: E501
RESPONSES = [
    ("openai", 429, openai("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota"), K.QUOTA),
    ("openai", 429, openai("Limit 200, Used 200, Requested 1 on requests per day (RPD). Please try again in 7m12s.", type="requests", code="rate_limit_exceeded"), K.RATE_LIMIT),
    ("openai", 429, "Rate limit reached on requests per day (RPD). Please try again in 7m12s.", K.RATE_LIMIT),
    ("openai", 429, openai("Request too large on tokens per min (TPM): Limit 10000, Requested 12000.", type="tokens", code="rate_limit_exceeded"), K.TOO_LARGE),
    ("openai", 429, openai("Limit 10000, Requested 10000.", code="rate_limit_exceeded"), K.RATE_LIMIT),
    ("openai", 429, openai("The engine is currently overloaded", type="server_error"), K.TRANSIENT),
    ("openai", 503, openai("You send too fast", type="server_error", code="slow_down"), K.RATE_LIMIT),
    ("openai", 500, openai("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota"), K.TRANSIENT),
    ("openai", 400, openai("maximum context length is 8192 tokens", code="context_length_exceeded"), K.CONTEXT),
    ("openai", 400, openai("max_tokens is too large: 100000", code="invalid_value", param="max_tokens"), K.CONTEXT),
    ("openai", 400, openai("'max_tokens' is not supported with this model", code="unsupported_parameter"), K.UNSUPPORTED),
    ("openai", 400, openai("Invalid value: 'x'. Supported values are: 'user'", code="invalid_value"), K.UNSUPPORTED),
    ("openai", 400, openai("Your prompt was flagged", code="invalid_prompt"), K.CONTENT),
    ("openai", 400, openai("Missing required parameter: 'messages'.", code="missing_required_parameter"), K.CALLER),
    ("openai", 400, openai("Invalid schema for function 'check_api_key'. Missing 'api_key'.", param="tools[0]"), K.CALLER),
    ("openai", 400, openai("Invalid name 'insufficient_credits'", param="tools[0]"), K.CALLER),
    ("openai", 400, openai("model 'x' does not exist", param="model"), K.MODEL),
    ("openai", 404, openai("No such File object", param="file"), K.CALLER),
    ("openai", 404, openai("The model `gpt-9` does not exist", param="model"), K.MODEL),
    ("openai", 403, openai("Project does not have access to model `gpt-9`"), K.MODEL),
    ("openai", 403, openai("Country not supported", code="unsupported_country_region_territory"), K.REGION),
    ("openai", 401, openai("Incorrect API key provided", code="invalid_api_key"), K.AUTH),
    ("openai", 401, openai("slow down", code="rate_limit_exceeded"), K.AUTH),
    ("openai", 403, openai("slow down", code="rate_limit_exceeded"), K.AUTH),
    ("openai", None, {"type": "error", "code": "rate_limit_exceeded", "message": "tokens"}, K.RATE_LIMIT),
    ("openai", 200, 'data: {"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}\n\n', K.TRANSIENT),
    ("openai", 200, {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, K.CONTENT),
    ("anthropic", 400, anthropic("Your credit balance is too low to access the API"), K.QUOTA),
    ("anthropic", 400, anthropic("You have reached your specified API usage limits"), K.QUOTA),
    ("anthropic", 400, anthropic("prompt is too long: 205000 tokens > 200000 maximum"), K.CONTEXT),
    ("anthropic", 400, anthropic("input length and `max_tokens` exceed context limit: 19 + 2 > 20"), K.CONTEXT),
    ("anthropic", 400, anthropic("image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes"), K.TOO_LARGE),
    ("anthropic", 400, anthropic("Output blocked by content filtering policy"), K.CONTENT),
    ("anthropic", 400, anthropic("messages: roles must alternate"), K.CALLER),
    ("anthropic", 400, anthropic("tools.0: set_rate_limit.monthly_credit_limit exceeded 9 characters"), K.CALLER),
    ("anthropic", 400, anthropic("`temperature` is deprecated for this model."), K.UNSUPPORTED),
    ("anthropic", 400, anthropic("This organization has been disabled."), K.AUTH),
    ("anthropic", 402, anthropic("pay", type="billing_error"), K.QUOTA),
    ("anthropic", 403, anthropic("Request not allowed", type="forbidden"), K.AUTH),
    ("anthropic", 413, anthropic("Request exceeds the maximum size", type="request_too_large"), K.TOO_LARGE),
    ("anthropic", 429, anthropic("limit", type="rate_limit_error"), K.RATE_LIMIT),
    ("anthropic", 504, anthropic("Request timed out", type="timeout_error"), K.TIMEOUT),
    ("anthropic", 529, None, K.TRANSIENT),
    ("anthropic", 200, 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"O"}}\n\n', K.TRANSIENT),
    ("anthropic", 200, 'event: error\ndata: {"type":"error","error":{"type":"never_seen","message":"O"}}\n\n', K.UNKNOWN),
    ("anthropic", 200, 'event: message_start\ndata: {"type":"message_start"}\n\n', K.STREAM),
    ("azure", 400, {"error": {"code": "content_filter", "message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, K.CONTENT),
    ("azure", 401, azure("401", "Access denied due to invalid subscription key"), K.AUTH),
    ("azure", 404, azure("404", "Resource not found"), K.MODEL),
    ("azure", 404, azure("DeploymentNotFound", "The deployment does not exist"), K.MODEL),
    ("azure", 429, azure("NoCapacity", "The system is experiencing high demand"), K.TRANSIENT),
    ("azure", 429, azure("429", "exceeded token rate limit. Please retry after 33 seconds."), K.RATE_LIMIT),
    ("azure", 400, azure("OperationNotSupported", "does not work with the specified model"), K.UNSUPPORTED),
    ("azure", 408, azure("Timeout", "The operation was timeout."), K.TIMEOUT),
    ("gemini", 400, gemini(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), K.REGION),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "API key not valid."), K.AUTH),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "contents is not specified"), K.CALLER),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "properties[api_key] of get_country: missing field, overloaded"), K.CALLER),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), K.AUTH),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "Function calling is not enabled for models/x"), K.UNSUPPORTED),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."), K.CONTEXT),
    ("gemini", 404, gemini(404, "NOT_FOUND", "models/x is not found for API version v1beta, or is not supported for y"), K.MODEL),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."), K.RATE_LIMIT),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"), K.QUOTA),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", detail("RetryInfo", retryDelay="9s")), K.RATE_LIMIT),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", detail("QuotaFailure", violations=[{"quotaId": "RequestsPerMinute-Free"}])), K.RATE_LIMIT),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "quota", detail("QuotaFailure", violations=[{"quotaId": "RequestsPerDay-Free"}]), detail("RetryInfo", retryDelay="9s")), K.QUOTA),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "x", detail("ErrorInfo", reason="MODEL_CAPACITY_EXHAUSTED")), K.TRANSIENT),
    ("gemini", 503, gemini(503, "UNAVAILABLE", "The model is overloaded."), K.TRANSIENT),
    ("gemini", 503, gemini(503, "UNAVAILABLE", "Deadline expired before operation could complete."), K.TIMEOUT),
    ("gemini", 200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, K.CONTENT),
    ("gemini", 200, [gemini(503, "UNAVAILABLE", "busy")], K.TRANSIENT),
    ("bedrock", 403, {"Message": "User: x is not authorized to perform: bedrock:InvokeModel"}, K.AUTH),
    ("bedrock", 403, {"message": "You don't have access to the model with the specified model ID."}, K.MODEL),
    ("bedrock", 400, {"message": "Invocation of model ID x with on-demand throughput isn\u2019t supported."}, K.MODEL),
    ("bedrock", 400, {"message": "Input is too long for requested model."}, K.CONTEXT),
    ("bedrock", 424, {"message": "m", "originalStatusCode": 500}, K.TRANSIENT),
    ("bedrock", 429, {"message": "Too many tokens, please wait before trying again."}, K.RATE_LIMIT),
    ("bedrock", 429, {"message": "Too many tokens per day, please wait before trying again."}, K.QUOTA),
    ("bedrock", 200, "throttlingException: Too many requests", K.RATE_LIMIT),
    ("bedrock", 200, "modelStreamErrorException: x", K.STREAM),
    ("mistral", 401, {"detail": "Invalid API Key"}, K.AUTH),
    ("mistral", 422, {"detail": [{"loc": ["body"], "msg": "Field required", "type": "missing", "input": {"error": "rate limit"}}]}, K.CALLER),
    ("mistral", 400, mistral("Invalid model: x", type="invalid_model", code="1500"), K.MODEL),
    ("mistral", 429, mistral("Service tier capacity exceeded for this model."), K.TRANSIENT),
    ("mistral", 429, mistral("later", code="3505"), K.TRANSIENT),
    ("mistral", None, mistral("later", code="1300"), K.RATE_LIMIT),
    ("groq", 413, openai("on tokens per minute (TPM): Limit 6000, Requested 6294", type="tokens", code="rate_limit_exceeded"), K.TOO_LARGE),
    ("groq", 413, openai("on tokens per minute (TPM): Limit 6000, Used 5000, Requested 2000", type="tokens", code="rate_limit_exceeded"), K.RATE_LIMIT),
    ("groq", 413, "on tokens per minute (TPM): Limit 6000, Used 5000, Requested 2000", K.RATE_LIMIT),
    ("groq", 400, openai("Failed to generate JSON", code="json_validate_failed"), K.BAD_RESPONSE),
    ("groq", 400, openai("The model `x` has been decommissioned", code="model_decommissioned"), K.MODEL),
    ("groq", 498, openai("Flex tier capacity exceeded"), K.TRANSIENT),
    ("cohere", 429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}, K.QUOTA),
    ("cohere", 429, {"message": "You are using a Trial key, which is limited to 10 API calls / minute."}, K.RATE_LIMIT),
    ("cerebras", 429, {"message": "too many tokens processed", "code": "token_quota"}, K.RATE_LIMIT),
    ("cerebras", 404, {"message": "x is currently unavailable to you"}, K.MODEL),
    ("cohere", 404, {"message": "model 'x' was removed on September 15"}, K.MODEL),
    ("cohere", 400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"}, K.CONTEXT),
    ("cohere", 401, {"message": "no api key supplied"}, K.AUTH),
    ("deepseek", 402, openai("Insufficient Balance"), K.QUOTA),
    ("deepseek", 400, openai("Model Not Exist"), K.MODEL),
    ("deepseek", 400, openai("Content Exists Risk"), K.CONTENT),
    ("deepseek", 400, openai("x does not support Function Calling"), K.UNSUPPORTED),
    ("deepseek", 200, "", K.BAD_RESPONSE),
    ("openrouter", 402, openrouter(402, "This request requires more credits, or fewer max_tokens."), K.QUOTA),
    ("openrouter", 429, openrouter(429, "Rate limit exceeded: free-models-per-day."), K.QUOTA),
    ("openrouter", 429, openrouter(429, "Rate limit exceeded: free-models-per-min."), K.RATE_LIMIT),
    ("openrouter", 404, openrouter(404, "No endpoints found for a/b."), K.MODEL),
    ("openrouter", 404, openrouter(404, "No endpoints found that support tool use."), K.UNSUPPORTED),
    ("openrouter", 403, openrouter(403, "a/b requires moderation. Your input was flagged.", reasons=["hate"]), K.UNSUPPORTED),
    ("openrouter", 403, openrouter(403, "Key limit exceeded (total limit)."), K.QUOTA),
    ("openrouter", 400, openrouter(400, "Provider returned error", raw='{"error":{"message":"x is not supported with this model"}}'), K.UNSUPPORTED),
    ("openrouter", 200, {"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "x"}}]}, K.TRANSIENT),
    ("openrouter", 200, openrouter(429, "Provider returned error", raw="error code: 1015"), K.RATE_LIMIT),
    ("ollama", 404, {"error": 'model "x" not found, try pulling it first'}, K.MODEL),
    ("ollama", 400, {"error": "x does not support tools"}, K.UNSUPPORTED),
    ("ollama", 503, {"error": "server busy, please try again"}, K.TRANSIENT),
    ("ollama", 200, '{"response": "rate limit", "done":false}\n{"error": "internal server error"}\n', K.TRANSIENT),
    ("ollama", 200, '{"response": "rate limit", "done":false}\n{"response": "s", "done":false}\n', K.STREAM),
    ("ollama", -1, {"error": "unexpected EOF"}, K.UNKNOWN),
    ("xai", 403, {"code": "The caller does not have permission", "error": "Content violates usage guidelines."}, K.UNSUPPORTED),
    ("xai", 429, {"code": "exhausted", "error": "Your team used all available credits"}, K.QUOTA),
    ("huggingface", 503, {"error": "Model x is currently loading", "estimated_time": 20.0}, K.TRANSIENT),
    ("edge", 502, "<html><head><title>502 Bad Gateway</title></head></html>", K.TRANSIENT),
    ("edge", 403, "<!DOCTYPE html><title>Attention</title> rate limit, quota, timed out", K.AUTH),
    ("edge", 400, "<html><title>400 Bad Request</title></html>", K.UNSUPPORTED),
    ("edge", 413, "<html><title>413 Request Entity Too Large</title></html>", K.TOO_LARGE),
    ("edge", 503, "<html><title>Rate limit exceeded?</title></html>", K.TRANSIENT),
    ("edge", 504, "upstream request timeout", K.TRANSIENT),
    ("edge", 200, "<html>Log in to the hotel's network</html>", K.BAD_RESPONSE),
    ("edge", 407, None, K.LOCAL),
    ("edge", 451, None, K.REGION),
    ("edge", 405, {"detail": "Method Not Allowed"}, K.UNSUPPORTED),
    ("edge", 404, "404 page not found", K.MODEL),
    ("edge", 404, {"error": {"type": "api_error", "code": "overloaded"}}, K.MODEL),
    ("edge", 410, None, K.MODEL),
    ("edge", 418, None, K.UNKNOWN),
    ("edge", 302, None, K.UNKNOWN),
    ("edge", None, None, K.UNKNOWN),
    ("edge", 400, None, K.UNSUPPORTED),
    ("edge", 422, b"  ", K.UNSUPPORTED),
    ("edge", 415, {}, K.UNSUPPORTED),
    ("edge", 400, {"never": "seen"}, K.CALLER),
    ("edge", 200, "{}", K.BAD_RESPONSE),
    ("edge", 200, {"answer": "rate limit"}, K.BAD_RESPONSE),
    ("edge", 200, {"choices": [{"message": {"content": "The rate limit is an API limit"}}]}, K.BAD_RESPONSE),
    ("edge", 200, '{"choices": [{"message": {"content": "The rate limit is', K.BAD_RESPONSE),
]
# fmt: on


@pytest.mark.parametrize(("provider", "status", "body", "kind"), RESPONSES)
def test_responses_of_the_providers_people_use(provider, status, body, kind):
    """Each dialect is understood by type and code first, words next, status last."""
    assert classify_response(status=status, headers={}, body=body, provider=provider).kind is kind


@pytest.mark.parametrize(("provider", "status", "body", "kind"), RESPONSES[:12])
def test_a_body_may_come_parsed_as_text_or_as_bytes(provider, status, body, kind):
    """JSON text and its bytes say what the parsed object says."""
    text = body if isinstance(body, str) else json.dumps(body)
    for form in (text, text.encode(), bytearray(text.encode())):
        fault = classify_response(status=status, headers=None, body=form, provider=provider)
        assert fault.kind is kind


@pytest.mark.parametrize("status", [*range(500, 600)])
def test_every_server_status_without_words_is_the_servers_fault(status):
    """Every 5xx counts as transient, but two that refuse the request's form."""
    fault = classify_response(status=status, headers=None, body=None)
    assert fault.kind is (K.UNSUPPORTED if status in {501, 505} else K.TRANSIENT)


def test_numbers_of_a_dialect_count_for_their_provider_only():
    """Mistral's 1300 means nothing at another provider, nor without one."""
    body = mistral("later", code=1300)
    for provider, kind in (("mistral", K.RATE_LIMIT), ("other", K.CALLER), (None, K.CALLER)):
        fault = classify_response(status=None, headers=None, body=body, provider=provider)
        assert fault.kind is kind


def test_amazon_puts_the_error_type_in_a_header():
    """The class of the error is in x-amzn-errortype, before a colon and a URL."""
    headers = {"X-Amzn-ErrorType": "ThrottlingException:http://internal.example/coral/"}
    fault = classify_response(status=400, headers=headers, body={"message": "m"})
    assert fault.kind is K.RATE_LIMIT


def test_a_wait_is_kept_only_where_waiting_can_help():
    """A request above a fixed limit stays too large, whatever its text promises."""
    text = "Limit 7000, Used 0, Requested ~12903. Please try again in 50s."
    fault = classify_response(status=429, headers={"retry-after": "50"}, body=openai(text))
    assert (fault.kind, fault.retry_after) == (K.TOO_LARGE, None)
    fault = classify_response(status=503, headers={"retry-after": "50"}, body=None)
    assert (fault.kind, fault.retry_after) == (K.TRANSIENT, 50.0)


def test_waits_come_from_headers_bodies_and_texts():
    """Gemini's RetryInfo, OpenRouter's quoted headers, Hugging Face's loading time, and words."""
    now = "Mon, 04 May 2026 12:00:00 GMT"
    quoted = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1777896009000"}
    for status, headers, body, seconds in (
        (429, {}, gemini(429, "R", "m", detail("RetryInfo", retryDelay="26s")), 26.0),
        (429, {"Date": now}, openrouter(429, "slow", headers=quoted), 9.0),
        (429, {}, openrouter(429, "slow", retry_after_seconds=4), 4.0),
        (503, {}, {"error": "Model is currently loading", "estimated_time": 20.0}, 20.0),
        (429, {}, openai("Please try again in 6ms."), 0.006),
        (529, {"RETRY-AFTER": "5"}, None, 5.0),
        (200, {"retry-after": "25"}, "", None),
    ):
        fault = classify_response(status=status, headers=headers, body=body)
        assert fault.retry_after == pytest.approx(seconds)


def nested(depth):
    """Bury a message."""
    body = {"message": "rate limit"}
    for _ in range(depth):
        body = {"error": [body]}
    return body


@pytest.mark.parametrize(
    "text",
    [
        "a" * 3_000_000,
        "model " * 300_000,
        "model not " * 100_000,
        "data: {" * 200_000,
        "data: {}\n" * 200_000,
        "<" * 1_000_000,
        '{"error": ' * 100_000,
        '"code": "' * 100_000,
        "1" * 1_000_000,
        "limit: 1, " * 100_000,
        "try again in " * 100_000,
        "key=" * 300_000,
        "[" * 100_000,
        '{"code": ' + "9" * 200_000 + "}",
    ],
)
def test_huge_texts_are_read_in_part(text):
    """Scans are capped and linear: this test would hang otherwise."""
    headers = {"retry-after": text}
    assert isinstance(classify_response(status=400, headers=headers, body=text), Fault)
    assert isinstance(classify(RuntimeError(text)), Fault)


def test_bodies_nested_deep_harm_nobody():
    """A body is walked without recursion."""
    for body in (nested(100_000), "[" * 100_000, '{"error":' * 20_000):
        assert classify_response(status=503, headers=None, body=body).kind is K.TRANSIENT


def test_a_deep_body_is_read_as_far_as_errors_reach():
    """Real nesting is a few levels; the words of a body below hundreds are not looked for."""
    assert classify_response(status=None, headers=None, body=nested(20)).kind is K.RATE_LIMIT
    assert classify_response(status=None, headers=None, body=nested(1000)).kind is K.UNKNOWN


def test_what_a_body_echoes_of_the_request_is_not_read():
    """A prompt about rate limits is no rate limit."""
    body = {"error": {"message": "bad"}, "input": {"error": {"message": "rate limit exceeded"}}}
    assert classify_response(status=400, headers=None, body=body).kind is K.CALLER


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "status", "detail", "details"])
            | st.sampled_from(["metadata", "raw", "headers", "retryDelay", "param", "choices"])
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
TEXT = st.text() | st.lists(
    st.sampled_from(sorted({p.text for row in SIGNALS for p in row.phrases})), max_size=3
).map(" ".join)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "Retry-After-Ms", "x-ratelimit-reset", "x-amzn-errortype"])
    | st.text(max_size=10),
    st.text(max_size=30) | st.floats().map(str),
    max_size=4,
)


def check_is_a_possible_fault(fault):
    """Check what holds for every fault."""
    assert isinstance(fault, Fault)
    assert fault.scope is KINDS[fault.kind].scope
    assert len(fault.message) <= 500
    if fault.retry_after is not None:
        assert math.isfinite(fault.retry_after)
        assert fault.retry_after >= 0.0
        assert fault.scope in {Scope.MODEL, Scope.ACCOUNT}


@given(
    status=st.none() | st.integers(-1, 700),
    headers=st.none() | HEADERS,
    body=JSON | TEXT | st.binary() | JSON.map(json.dumps) | JSON.map(lambda b: f"data: {b}\n\n"),
    provider=st.none() | st.text(max_size=8),
)
def test_any_response_gives_a_fault(status, headers, body, provider):
    """Whatever comes back, `classify_response` never raises and every wait is finite."""
    fault = classify_response(status=status, headers=headers, body=body, provider=provider)
    check_is_a_possible_fault(fault)
    if status in range(200, 300):
        assert fault.retry_after is None


@given(status=st.sampled_from([400, 415, 422]), body=st.sampled_from([None, "", b"", {}, " \n"]))
def test_a_bare_refusal_fails_over_and_counts_nothing(status, body):
    """Nobody knows whose fault it is: another provider may say, and no breaker may trip."""
    fault = classify_response(status=status, headers=None, body=body)
    assert fault.kind is K.UNSUPPORTED
    assert fault.outcome is Outcome.NEUTRAL


@given(code=st.sampled_from(["rate_limit_exceeded", "RESOURCE_EXHAUSTED", "ThrottlingException"]))
def test_the_names_of_429_never_count_at_401_and_403(code):
    """A refused key called a rate limit would be retried for ever."""
    for status in (401, 403):
        body = {"error": {"code": code, "message": "rate limit, too many requests"}}
        assert classify_response(status=status, headers=None, body=body).kind is K.AUTH
