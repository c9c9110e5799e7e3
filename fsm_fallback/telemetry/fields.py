"""Every name that leaves this library in a log, a metric or a span: each once.

Every audit record has every field, in this order; one that does not apply is null (`guards` is then
empty, as are `because` and `facts`). What each means to a reader of the log is in `docs/audit.md`,
what the metrics and spans mean in `docs/metrics.md`.
"""

from __future__ import annotations

from typing import Final, TypedDict

SCHEMA_VERSION: Final = 1
"""Goes up when a field is added, renamed, or changes its meaning."""

Value = float | str | bool | None
"""A measured value; infinite and undefined ones are null, which JSON knows."""

Record = TypedDict(
    "Record",
    {
        # Which record this is.
        "v": int,
        "stream": str,
        "seq": int,
        "ts": str | None,
        "mono": float | None,
        # Which machine, as declared where.
        "machine": str,
        "digest": str | None,
        "id": str,
        "id_seq": int,
        # Which row fired, and why that one.
        "row": str | None,
        "trigger": str,
        "from": str | None,
        "to": str | None,
        "verdict": str | None,
        "guards": list[list[str | bool]],
        "because": dict[str, Value],
        "facts": dict[str, Value],
        # Whose call it was.
        "generation": int | None,
        "lease": int | None,
        "call_id": str | None,
        "attempt": int | None,
        "provider": str | None,
        "fault": str | None,
        "actor": str | None,
        "reason": str | None,
        # What it hangs together with.
        "trace_id": str | None,
        "span_id": str | None,
        "prev": str | None,
    },
)

FIELDS: Final = tuple(Record.__annotations__)

BREAKER_MACHINE: Final = "breaker"
CHAIN_MACHINE: Final = "chain"
AUDIT_MACHINE: Final = "audit"
"""Values of `machine`; the last is the log, speaking of itself."""

DROPPED: Final = "dropped"
"""Trigger of the record that stands for those a full log could not take; `facts.count` of them."""

# Metrics. Prometheus spells a name `fsm_fallback_breaker_state`, with its unit and `_total` behind.

NAMESPACE: Final = "fsm_fallback"

BREAKER_STATE: Final = "breaker.state"
BREAKER_TRANSITIONS: Final = "breaker.transitions"
BREAKER_CALL_DURATION: Final = "breaker.call.duration"
BREAKER_NOT_PERMITTED: Final = "breaker.not_permitted"
BREAKER_FAILURE_RATIO: Final = "breaker.failure_ratio"
BREAKER_SLOW_CALL_RATIO: Final = "breaker.slow_call_ratio"
BREAKER_IN_FLIGHT: Final = "breaker.in_flight"
REQUEST_DURATION: Final = "request.duration"
FALLBACKS: Final = "fallbacks"
FAULTS: Final = "faults"
SKIPS: Final = "skips"
TOKENS: Final = "tokens"
COST: Final = "cost"

BREAKER: Final = "breaker"
STATE: Final = "state"
FROM_STATE: Final = "from_state"
TO_STATE: Final = "to_state"
TRIGGER: Final = "trigger"
CHAIN: Final = "chain"
PROVIDER: Final = "provider"
FROM_PROVIDER: Final = "from_provider"
TO_PROVIDER: Final = "to_provider"
OUTCOME: Final = "outcome"
FAULT: Final = "fault"
REASON: Final = "reason"
DIRECTION: Final = "direction"
"""Labels."""

# Spans. Those of the semantic conventions of OpenTelemetry are told only where somebody asks.

CALL_SPAN: Final = "fallback"
ATTEMPT_SPAN: Final = "attempt"
"""What the names of spans begin with; behind it stands the chain, or the provider."""

SPAN_CHAIN: Final = "fsm_fallback.chain"
SPAN_CALL: Final = "fsm_fallback.call"
SPAN_PROVIDER: Final = "fsm_fallback.provider"
SPAN_ATTEMPT: Final = "fsm_fallback.attempt"
SPAN_ATTEMPTS: Final = "fsm_fallback.attempts"
SPAN_OUTCOME: Final = "fsm_fallback.outcome"
SPAN_FAULT: Final = "fsm_fallback.fault"
SPAN_REASON: Final = "fsm_fallback.reason"
SKIP_EVENT: Final = "fsm_fallback.skip"

ERROR_TYPE: Final = "error.type"
GENAI_OPERATION: Final = "gen_ai.operation.name"
GENAI_PROVIDER: Final = "gen_ai.provider.name"
GENAI_REQUEST_MODEL: Final = "gen_ai.request.model"
GENAI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GENAI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GENAI_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
"""https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/"""
