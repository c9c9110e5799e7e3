"""The public names, written down, and what importing them costs."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import fsm_fallback

NAMES = [
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
NOT_IMPORTED = [
    "anthropic",
    "anyio",
    "asyncio",
    "cattrs",
    "ddsketch",
    "decimal",
    "genai_prices",
    "openai",
    "opentelemetry",
    "prometheus_client",
    "redis",
    "structlog",
    "trio",
]


def in_a_fresh_interpreter(code):
    """Run code in an interpreter of its own; what it prints, as JSON."""
    done = subprocess.run(  # noqa: S603  # our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_public_names_are_these():
    """Adding or removing one is a decision, and shows in a diff."""
    assert fsm_fallback.__all__ == NAMES


def test_the_public_names_are_sorted():
    """As `sorted` does, each once."""
    assert sorted(set(fsm_fallback.__all__)) == fsm_fallback.__all__


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_can_be_imported_and_is_documented(name):
    """By its own words, not by those of the class it inherits from."""
    thing = getattr(fsm_fallback, name)
    if name == "ModelProvider":  # a union, whose words stand beneath it
        module = sys.modules["fsm_fallback.providers.protocol"]
        source = Path(module.__file__).read_text()
        assert '\n"""A provider: ' in source.partition("ModelProvider = (")[2][:200]
        return
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert own
    assert own.strip()


@pytest.mark.parametrize("name", NAMES)
def test_every_public_method_is_documented(name):
    """By itself or by the protocol it fulfils."""
    thing = getattr(fsm_fallback, name)
    if not inspect.isclass(thing):
        return
    undocumented = [
        key
        for key, value in vars(thing).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property))
        and not inspect.getdoc(value)
    ]
    assert undocumented == []


def test_importing_the_package_imports_no_sdk_and_no_event_loop():
    """Each is imported by the first who needs it."""
    code = (
        "import json, sys, fsm_fallback; "
        f"print(json.dumps([m for m in {NOT_IMPORTED!r} if m in sys.modules]))"
    )
    assert in_a_fresh_interpreter(code) == []


def test_plain_calls_need_no_event_loop():
    """Neither a chain nor a breaker that is called without `await` imports one."""
    code = """
import json, sys
from fsm_fallback import CircuitBreaker, FallbackProvider, provider
@provider("a")
def ask(prompt): return prompt
assert FallbackProvider(ask).call("hello") == "hello"
CircuitBreaker("b").acquire().succeed()
print(json.dumps([m for m in %r if m in sys.modules]))
"""
    assert in_a_fresh_interpreter(code % (NOT_IMPORTED,)) == []


def test_nothing_of_ours_imports_logging():
    """What comes with `transitions` aside: ours is imported by the first line that is logged."""
    code = """
import builtins, json, sys
asked, importing = [], builtins.__import__
def noting(name, given=None, *rest):
    if name == "logging" and (given or {}).get("__name__", "").startswith("fsm_fallback"):
        asked.append(given["__name__"])
    return importing(name, given, *rest)
builtins.__import__ = noting
import fsm_fallback
print(json.dumps(asked))
"""
    assert in_a_fresh_interpreter(code) == []
