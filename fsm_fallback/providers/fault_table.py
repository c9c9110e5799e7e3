"""The fault table: what an error must be, be called or say to be of a kind.

`SIGNALS` has one row per `FaultKind`, in order of precedence. It is read column by column, from
what is most specific to what is least:

1. facts, measured from more than one part of the error,
2. exception class names, error types and codes,
3. phrases in the message,
4. what only restates a status: class names, codes, and last the status itself. Status codes lie:
   an error inside a stream of Anthropic has status 200, of OpenAI none, of Ollama -1.

Within a column the first row that speaks wins. The rules are the project's own, read off the
providers' public error pages and recorded answers; the reasons stand at the rows.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.providers.signals import Fact, Signals, phrases, words

_K = FaultKind
_QUIET: Final[frozenset[int | None]] = frozenset({None, 200})
_SERVER: Final = frozenset(range(500, 600))
# A 400 quotes the request: a function named set_rate_limit or a field named monthly_limit is no
# reason to hold a provider. Words of load and credit count where the status is not about the
# request, or where there is none.
_LOAD: Final = _QUIET | _SERVER | {402, 408, 409, 413, 424, 425, 429, 498}
_CREDIT: Final = _QUIET | {401, 402, 403, 412, 429}
_ABOUT_THE_REQUEST: Final = frozenset({Fact.PARAM_NAMED})

SIGNALS: Final[tuple[Signals, ...]] = (
    Signals(
        kind=_K.CANCELLED,
        names=words(
            "CancelledError Cancelled GeneratorExit KeyboardInterrupt SystemExit BaseExceptionGroup"
        ),
    ),
    # The provider never saw the call. A certificate is judged by our clock and our roots.
    Signals(
        kind=_K.LOCAL,
        names=words(
            "PoolTimeout EmptyPoolError ClosedPoolError LocalProtocolError "
            "SSLCertVerificationError ClientConnectorCertificateError ProxyError "
            "ClientProxyConnectionError ClientHttpProxyError ProxyConnectionError "
            "InvalidURL UnsupportedProtocol MissingSchema InvalidSchema MemoryError "
            "StoreUnavailable"
        ),
        codes=words("EMFILE ENFILE ENOBUFS EADDRNOTAVAIL ENETUNREACH ENETDOWN"),
        phrases=phrases(
            "too many open files; no file descriptors; certificate verify failed; "
            "suitable tls ca certificate bundle; network is unreachable; "
            "timeout waiting for connection from pool",
            at=_QUIET,
        ),
        statuses=frozenset({407}),
    ),
    # 504, 522 and 524 are a gateway's own statement (TRANSIENT); only a body that names a deadline
    # says more than they do. "Timed out" beside another status may be a download of an image.
    Signals(
        kind=_K.TIMEOUT,
        names=words(
            "TimeoutError Timeout TimeoutException APITimeoutError ReadTimeout "
            "ConnectTimeout WriteTimeout ReadTimeoutError ConnectTimeoutError "
            "ServerTimeoutError ConnectionTimeoutError SocketTimeoutError "
            "ServiceResponseTimeoutError ServiceRequestTimeoutError DeadlineExceeded "
            "TooSlowError"
        ),
        codes=words(
            "timeout timeout_error request_timeout request_body_timeout deadline_exceeded "
            "ModelTimeoutException vector_store_timeout ETIMEDOUT"
        ),
        phrases=phrases("deadline ... expired|exceeded; operation was timeout")
        + phrases(
            "timed out; read|connect|connection|request|operation|write|socket timeout",
            at=_QUIET | {408},
        ),
        status_names=words("RequestTimeoutError"),
        statuses=frozenset({408}),
    ),
    Signals(
        kind=_K.CONNECT,
        names=words("gaierror herror NameResolutionError ClientConnectorDNSError"),
        codes=words("ECONNREFUSED ECONNRESET ECONNABORTED EPIPE EHOSTUNREACH EHOSTDOWN"),
        phrases=phrases(
            "connection refused|reset|aborted; name or service not known; "
            "nodename nor servname; failure in name resolution; "
            "server disconnected without sending; "
            "remote end closed connection without response; failed to connect to; "
            "all connection attempts failed; connection error|lost|closed; socket hang up; "
            "broken pipe; econnreset|econnrefused",
            at=_QUIET,
        ),
        # Wrappers: every one of these also stands for a cut stream, a full pool or a closed client,
        # which its words or its cause tell.
        status_names=words(
            "ConnectionError ConnectionRefusedError ConnectionResetError "
            "ConnectionAbortedError BrokenPipeError ConnectError APIConnectionError "
            "ReadError WriteError CloseError NetworkError TransportError "
            "RemoteProtocolError RemoteDisconnected ClientConnectionError ClientOSError "
            "ServerDisconnectedError ServerConnectionError ClientConnectorError "
            "EndpointConnectionError ConnectionClosedError NewConnectionError MaxRetryError "
            "ProtocolError ServiceRequestError ServiceResponseError SSLError EndOfStream "
            "BrokenResourceError URLError"
        ),
    ),
    Signals(
        kind=_K.STREAM,
        facts=frozenset({Fact.CUT_STREAM}),
        names=words(
            "StreamTruncated StreamInterrupted IncompleteRead IncompleteReadError "
            "ChunkedEncodingError ClientPayloadError"
        ),
        codes=words("ModelStreamErrorException stream_error"),
        phrases=phrases(
            "incomplete chunked read; without sending complete message body; incompleteread; "
            "response ended prematurely; response payload is not completed; "
            "stream ... ended|closed|terminated|interrupted before|prematurely|unexpectedly",
            at=_QUIET,
        ),
        status_names=words("EventStreamError"),
    ),
    # A 5xx with quota words is a server in trouble. A named minute or wait is a rate, whatever else
    # the text says: Gemini writes "check your plan and billing" over a limit of the minute.
    Signals(
        kind=_K.QUOTA,
        names=words("BudgetExceededError"),
        codes=words(
            "insufficient_quota billing_error billing_hard_limit_reached Arrearage "
            "billing_not_active insufficient_credits insufficient_balance payment_required "
            "exceeded_current_quota_error quota_exhausted ServiceQuotaExceededException "
            "enforced_spend_limit_reached contract_spend_limit_reached per_day per_month "
            "linked_organization_spend_limit_reached "
            "linked_organization_billing_unavailable user_profile_not_billable "
            "user_profile_billing_not_authorized"
        ),
        phrases=phrases(
            "insufficient account? balance|quota|credit|credits|funds; "
            "credit balance is too low; exceeded your current quota; specified api usage limits; "
            "regain access on"
        )
        + phrases(
            "not enough credit|credits|balance|funds; requires more credits; "
            "credit|credits ... too low|exhausted|depleted|exceeded; "
            "out of credit|credits|quota; used all ... credit|credits; "
            "check your plan and billing; billing ... limit|inactive|disabled|overdue; "
            "billing ... not active|enabled; spend|spending|budget limit|cap; usage limit|limits; "
            "key limit exceeded; monthly included? ... limit|quota|credits|usage; "
            "daily ... limit|quota|allowance; requests|tokens|calls|models per? day|month; "
            "payment required; top up; in arrears",
            at=_CREDIT,
        ),
        unless=phrases("try again|retry in #; retry info; per minute|min|second|sec"),
        silenced_by=_ABOUT_THE_REQUEST,
        status_names=words("PaymentRequiredError"),
        statuses=frozenset({402}),
        deaf_at=_SERVER,
    ),
    # At 401 and 403 a key is refused; calling the refusal a rate limit would retry it for ever.
    Signals(
        kind=_K.RATE_LIMIT,
        codes=words(
            "rate_limit_exceeded rate_limit_error rate_limited rate_limit requests "
            "rate_limit_reached rate_limit_reached_error too_many_requests tokens "
            "Throttling ThrottlingException ThrottledException TooManyRequestsException "
            "ProvisionedThroughputExceededException RequestLimitExceeded slow_down "
            "ramp_limit_exceeded limit_requests per_minute per_second per_hour "
            "Throttling.RateQuota mistral:1300"
        ),
        phrases=phrases(
            "rate limit|limits|limited|limiting|limiter; ratelimit|ratelimited; "
            "too many requests; requests|tokens per? minute|min|second|sec|hour; "
            "throttle|throttled|throttling; slow down; please wait before trying; "
            "request limit exceeded|reached; concurrency|concurrent ... limit|exceeded; "
            "error code 1015",  # Cloudflare: "you are being rate limited"
            at=_LOAD,
        ),
        silenced_by=_ABOUT_THE_REQUEST,
        status_names=words("RateLimitError TooManyRequestsError TooManyRequests ResourceExhausted"),
        status_codes=words("resource_exhausted"),
        statuses=frozenset({429}),
        deaf_at=frozenset({401, 403}),
    ),
    # 409 and 425: both SDKs retry them, a lock was not had in time.
    Signals(
        kind=_K.TRANSIENT,
        names=words("BreakerOpen AllProvidersFailed"),
        codes=words(
            "overloaded_error overloaded model_overloaded engine_overloaded_error "
            "engine_overloaded server_overloaded server_is_overloaded queue_exceeded "
            "MODEL_CAPACITY_EXHAUSTED NoCapacity capacity_exceeded ModelNotReadyException "
            "service_tier_capacity_exceeded mistral:3505"
        ),
        phrases=phrases(
            "overloaded; no|over|at|insufficient capacity; "
            "capacity ... exceeded|exhausted|available|constraints; high demand|load|traffic; "
            "temporarily|currently unavailable|overloaded; service ... unavailable; "
            "server|servers ... busy; too busy; internal server|service error; internal error; "
            "server had|experienced|encountered an error; "
            "system encountered an unexpected error; bad gateway; upstream connect error; "
            "model ... loading",
            at=_LOAD,
        )
        + phrases("try again later", at=_QUIET),
        status_names=words(
            "InternalServerError ServiceUnavailableError OverloadedError ServiceUnavailable "
            "BadGatewayError ServerError"
        ),
        status_codes=words(
            "server_error api_error internal_server_error internal_error internal "
            "unavailable service_unavailable service_unavailable_error aborted bad_gateway "
            "gateway_timeout upstream_error InternalServerException InternalFailure "
            "ServiceUnavailableException ModelErrorException"
        ),
        statuses=_SERVER - {501, 505} | {409, 424, 425, 498},
        deaf_at=frozenset({401, 403, 404, 410}),
    ),
    Signals(
        kind=_K.REGION,
        codes=words("unsupported_country_region_territory unsupported_country unsupported_region"),
        phrases=phrases(
            "country|region|territory|location is? not supported|available|allowed; "
            "not ... supported|available|allowed in your country|region|location; "
            "unsupported country|countries|region|regions|location|territory"
        ),
        silenced_by=_ABOUT_THE_REQUEST,
        statuses=frozenset({451}),
        deaf_at=_SERVER | {429},
    ),
    Signals(
        kind=_K.AUTH,
        facts=frozenset({Fact.NO_CREDENTIALS}),
        names=words(
            "NoCredentialsError PartialCredentialsError CredentialRetrievalError "
            "DefaultCredentialsError RefreshError CredentialsError TokenRetrievalError "
            "UnauthorizedSSOTokenError SSOTokenLoadError"
        ),
        codes=words(
            "authentication_error invalid_api_key API_KEY_INVALID invalid_auth "
            "ExpiredTokenException ExpiredToken UnrecognizedClientException "
            "InvalidSignatureException SignatureDoesNotMatch InvalidClientTokenId "
            "MissingAuthenticationToken MissingAuthenticationTokenException "
            "organization_on_hold account_deactivated missing_scope API_KEY_SERVICE_BLOCKED "
            "mismatched_organization CREDENTIALS_MISSING ACCESS_TOKEN_EXPIRED"
        ),
        phrases=phrases(
            "invalid|incorrect|wrong|missing|expired|revoked|no x? api key|keys; "
            "api key is|was|has? been? invalid|incorrect|expired|disabled|revoked|deleted|leaked; "
            "api key is|was? missing|required|suspended; reported as leaked; "
            "api key is|was? not valid|found|provided|set|active; "
            "not provide|provided|find an? api key; api key client? option must be set; "
            "unauthorized|unauthenticated; missing credentials; "
            "authentication fails|failed|failure|error|required|header; "
            "invalid|missing|no|bad authentication|authorization|auth|credentials|credential; "
            "not validate credentials; unable to locate credentials; signature expired; "
            "credentials is|are|were|have? been? invalid|expired|rejected; "
            "security token ... expired|invalid; "
            "access|auth|session token is|was|has? expired|invalid|missing; "
            "invalid|incorrect|wrong subscription key; "
            "account|organization|project|team .. disabled|deactivated|restricted|terminated; "
            "account|organization|project|team .. suspended; member of an organization"
        ),
        silenced_by=_ABOUT_THE_REQUEST,
        status_names=words(
            "AuthenticationError PermissionDeniedError PermissionDenied Unauthenticated "
            "Unauthorized Forbidden ClientAuthenticationError UnauthorizedError "
            "ForbiddenError OAuthError"
        ),
        status_codes=words(
            "unauthenticated permission_denied permission_error unauthorized access_denied "
            "AccessDeniedException forbidden authentication_failed"
        ),
        statuses=frozenset({401, 403}),
        deaf_at=_SERVER | {429},
    ),
    # A 404 that names nothing is a wrong deployment or base URL: as gone as a model.
    Signals(
        kind=_K.MODEL,
        names=words("ModelNotFoundError"),
        codes=words(
            "model_not_found DeploymentNotFound invalid_model unknown_model "
            "model_not_available model_not_supported unavailable_model model_deprecated "
            "model_decommissioned model_retired deployment_not_found unsupported_model "
            "model_permission_blocked_org model_permission_blocked_project model_terms_required"
        ),
        phrases=phrases(
            "model|models|deployment ... not found|exist|exists|available|accessible|deployed; "
            "model|deployment|version does not exist; "
            "model ... deprecated|decommissioned|retired|discontinued|removed|sunset; "
            "model ... no longer; model ... end of its? life; "
            "model name|id|identifier ... invalid|unknown|incorrect; "
            "invalid|unknown model name|id|identifier; unknown|no such model; "
            "not a valid model; permitted models; no endpoints found for; "
            "access to the|this|that|requested model|models|deployment; "
            "not ... access to model; "
            "unable|failed|not to? access|find|load|resolve the? foundation? model; "
            "model ... blocked at; on demand throughput; model ... not supported by|when; "
            "model is marked by provider as legacy; model ... not servable; "
            "unexpected model name; must be verified to use the|this model; "
            "model requires a? terms|subscription|pro|verification; "
            "only accessible|available to billed|paid|verified"
        ),
        silenced_by=_ABOUT_THE_REQUEST,
        status_names=words("NotFoundError NotFound ResourceNotFoundError"),
        status_codes=words("not_found not_found_error ResourceNotFoundException"),
        statuses=frozenset({404, 410}),
        deaf_at=_SERVER | {429},
    ),
    # The output limit counts as window, too: a model with more room can finish the answer.
    Signals(
        kind=_K.CONTEXT,
        names=words("ContextWindowExceededError LengthFinishReasonError"),
        codes=words(
            "context_length_exceeded context_window_exceeded max_tokens_exceeded "
            "TOO_MANY_TOKENS model_max_prompt_tokens_exceeded input_too_long "
            "prompt_too_long exceed_context_size_error"
        ),
        phrases=phrases(
            "context length|window|size ... exceed|exceeds|exceeded|maximum|limit|less|longer; "
            "exceed|exceeds|exceeded|exceeding|maximum ... context length|window|size|limit; "
            "prompt|input|inputs|messages|conversation is|are|was|were too long; "
            "maximum prompt|input|sequence length; "
            "number of input? tokens exceeds|exceed|exceeded; "
            "exceeds|exceed|exceeded ... number of tokens; input tokens exceeded; "
            "input token count ... exceeds; too many input|total|prompt? tokens; "
            "token|tokens limit reached|exceeded; tokens must be # or? less|fewer|smaller?; "
            "inputs tokens ... must be; reduce the length of; range of input length; "
            "tokens ... exceed|exceeds|exceeded the? model|maximum|limit|context; "
            "reduce your prompt|input|message|messages; max tokens ... limit was reached; "
            "max output|completion|new? tokens ... too|exceed|exceeds|exceeded|larger|above; "
            "max output|completion|new? tokens ... maximum|most; "
            "maximum allowed number of output tokens; invalid max output? tokens; "
            "at most # completion|output|new tokens"
        ),
        deaf_at=frozenset({429}),
    ),
    Signals(
        kind=_K.CONTENT,
        names=words(
            "ContentPolicyViolationError ContentFilterFinishReasonError "
            "BlockedPromptException StopCandidateException"
        ),
        codes=words(
            "content_filter content_policy_violation ResponsibleAIPolicyViolation "
            "invalid_prompt moderation_blocked image_content_policy_violation SAFETY "
            "PROHIBITED_CONTENT refusal BLOCKLIST RECITATION data_inspection_failed"
        ),
        phrases=phrases(
            "content management|filter|filters|filtering|policy|moderation; responsible ai; "
            "flagged; "
            "violate|violates|violated|violating|violation ... policy|policies|guidelines|terms; "
            "safety system|filter|filters|settings|reasons|policy|checks; "
            "blocked by|due ... safety|guardrail|guardrails|policy|filter|moderation|content; "
            "inappropriate|prohibited|sensitive|unsafe content; content exists risk"
        ),
        deaf_at=_SERVER | {403, 429},
    ),
    Signals(
        kind=_K.TOO_LARGE,
        facts=frozenset({Fact.OVER_FIXED_LIMIT}),
        codes=words(
            "request_too_large payload_too_large request_entity_too_large "
            "string_above_max_length array_above_max_length image_too_large "
            "image_file_too_large file_too_large image_dimensions_too_large "
            "request_body_too_large_after_decoding available_tools_limit_exceeded "
            "tokens_limit_reached"
        ),
        phrases=phrases(
            "request|payload|body|entity|image|file|document|pdf|audio|video ... too large|big; "
            "image|images|file|files|document|pdf|audio|video ... exceed|exceeds|exceeded|larger; "
            "too many images|files|documents|pages|tools|messages; "
            "maximum of # pdf? pages|images|files|documents|tools; "
            "exceeds the? maximum|max allowed? request|file|image|payload|body|upload? size"
        ),
        status_names=words("ContentTooLargeError RequestTooLargeError"),
        statuses=frozenset({413, 414, 431}),
        deaf_at=_SERVER | {429},
    ),
    # Fails over and counts nothing. So does a bare 400, of which nobody knows whose fault it is,
    # and a 403 for moderation: an intermediary's gate on THIS model, another has none (OpenRouter).
    Signals(
        kind=_K.UNSUPPORTED,
        facts=frozenset({Fact.NOTHING_SAID}),
        names=words("UnsupportedParamsError NotImplementedError"),
        codes=words(
            "unsupported_parameter unsupported_value unsupported_file unsupported "
            "unsupported_content_type unsupported_image_media_type OperationNotSupported "
            "unsupported_api_version unsupported_api_for_model not_implemented"
        ),
        phrases=phrases(
            "not currently? yet? support|supported; unsupported; "
            "not enabled|available|allowed|compatible|permitted for|with this|the model; "
            "not enabled for; deprecated for this model; only supported|available; "
            "must be verified to; not match any of the expected tags; "
            "model returned the following errors malformed; "  # Bedrock: the model's own schema
            "expected to be either; supported values are; no endpoints found that; "
            "not work with the specified model; unavailable now; "
            "model only works|supports|accepts; supported only; only supports|accepts; "
            "can not be combined; not a multimodal model; "
            "at most 0; model that you are using requires; "
            "not currently? yet? available for this subscription|account|organization|tier"
        )
        + phrases(
            "moderation; flagged; content ... violates|violate|violation; "
            "violates|violate|violation ... policy|guidelines|terms",
            at=frozenset({403}),
        ),
        status_codes=words("unimplemented"),
        statuses=frozenset({405, 406, 501, 505}),
        deaf_at=(_SERVER - {501, 505}) | {401, 402, 429},
    ),
    Signals(
        kind=_K.BAD_RESPONSE,
        codes=words(
            "tool_use_failed json_validate_failed output_parse_failed MALFORMED_FUNCTION_CALL "
            "UNEXPECTED_TOOL_CALL"
        ),
        phrases=phrases(
            "failed to generate json; failed to call a function; tool call validation failed; "
            "model did not call a tool; model called a tool; model produced invalid; "
            "generated output ... not be parsed; model output ... invalid|malformed"
        ),
        names=words(
            "OutputParserException UnexpectedModelBehavior StreamEmpty StreamFailed AnswerRejected"
        ),
        status_names=words(
            "JSONDecodeError APIResponseValidationError ResponseValidationError "
            "DecodingError ContentDecodingError ValidationError ContentTypeError"
        ),
        statuses=frozenset(range(200, 300)),
    ),
    Signals(
        kind=_K.CALLER,
        facts=frozenset({Fact.PARAM_ELSEWHERE, Fact.CALL_BOUNDARY}),
        names=words("RequestRejected ConfigurationError ParamValidationError"),
        # What these complain of quotes the request.
        codes=words(
            "invalid_function_parameters invalid_json_schema missing_required_parameter "
            "unknown_parameter invalid_type"
        ),
        phrases=phrases(
            "event loop is closed; different event? loop; client has been closed; "
            "session is closed; no running event loop",
            at=_QUIET,
        )
        + phrases(
            "file|thread|assistant|response|item|batch|container|store ... not found; "
            "conversation|content ... not found",
            at=frozenset({404}),
        ),
        status_names=words(
            "BadRequestError UnprocessableEntityError InvalidArgument BadRequest "
            "InvalidRequestError FailedPrecondition HTTPValidationError"
        ),
        status_codes=words(
            "invalid_request_error invalid_argument bad_request failed_precondition "
            "out_of_range ValidationException validation_error"
        ),
        statuses=frozenset({400, 411, 412, 415, 416, 417, 422, 428}),
    ),
    Signals(kind=_K.UNKNOWN),
)
