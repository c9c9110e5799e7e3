"""Provider fallback that can be proved.

Calls to model providers go through a chain; each provider stands behind a circuit breaker. Breaker
and chain are declared state machines: the table that runs is the table you review, the table the
property suite proves, and the table whose rows the audit log names.
"""

from fsm_fallback.answers import Answer, AnswerStream, AsyncAnswerStream
from fsm_fallback.circuit import CircuitBreaker, CircuitBreakers
from fsm_fallback.config import create_fallback_provider
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.cost_optimized import CostOptimized
from fsm_fallback.core.health import ProviderHealth
from fsm_fallback.core.info import CapabilitySource, ModelFacts, ModelInfo, PriceSource
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.load_balanced import LoadBalanced
from fsm_fallback.core.metrics import Durations, ProviderMetrics
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome, Scope
from fsm_fallback.core.parameters import BreakerConfig, FallbackConfig, RetryConfig, StreamConfig
from fsm_fallback.core.prices import Price, Tier
from fsm_fallback.core.snapshot import BreakerSnapshot
from fsm_fallback.core.strategies import CallOptions, CapabilityBased, Sequential, Strategy
from fsm_fallback.core.trail import Attempt, Candidate, Skip, StreamReset
from fsm_fallback.core.windows import CountWindow, TimeWindow
from fsm_fallback.errors import (
    AllProvidersFailed,
    AnswerRejected,
    BreakerOpen,
    ChainFailed,
    ConfigurationError,
    DeadlineExceeded,
    FallbackError,
    NotEligible,
    RequestRejected,
    StoreUnavailable,
    StreamEmpty,
    StreamFailed,
    StreamInterrupted,
    StreamTruncated,
    UnpicklableError,
)
from fsm_fallback.fallback import FallbackProvider
from fsm_fallback.providers.classifying import counting, ignoring
from fsm_fallback.providers.faults import classify, classify_response
from fsm_fallback.providers.models import ModelEntry, ModelTable
from fsm_fallback.providers.protocol import ModelProvider, provider
from fsm_fallback.providers.usage import Usage
from fsm_fallback.telemetry import AuditLog

__all__ = [
    "AllProvidersFailed",
    "Answer",
    "AnswerRejected",
    "AnswerStream",
    "AsyncAnswerStream",
    "Attempt",
    "AuditLog",
    "BreakerConfig",
    "BreakerOpen",
    "BreakerSnapshot",
    "BreakerState",
    "CallOptions",
    "Candidate",
    "CapabilityBased",
    "CapabilitySource",
    "ChainFailed",
    "CircuitBreaker",
    "CircuitBreakers",
    "ConfigurationError",
    "CostOptimized",
    "CountWindow",
    "DeadlineExceeded",
    "Durations",
    "FallbackConfig",
    "FallbackError",
    "FallbackProvider",
    "Fault",
    "FaultKind",
    "Lease",
    "LoadBalanced",
    "ModelEntry",
    "ModelFacts",
    "ModelInfo",
    "ModelProvider",
    "ModelTable",
    "NotEligible",
    "Outcome",
    "Price",
    "PriceSource",
    "ProviderHealth",
    "ProviderMetrics",
    "RequestRejected",
    "RetryConfig",
    "Scope",
    "Sequential",
    "Skip",
    "StoreUnavailable",
    "Strategy",
    "StreamConfig",
    "StreamEmpty",
    "StreamFailed",
    "StreamInterrupted",
    "StreamReset",
    "StreamTruncated",
    "Tier",
    "TimeWindow",
    "UnpicklableError",
    "Usage",
    "classify",
    "classify_response",
    "counting",
    "create_fallback_provider",
    "ignoring",
    "provider",
]
