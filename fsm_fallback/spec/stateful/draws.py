"""What the stateful specs draw from by default: small parameters, and the errors of providers."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.parameters import BreakerConfig, FallbackConfig
from fsm_fallback.core.windows import CountWindow, TimeWindow
from fsm_fallback.spec.errors_bag import StatusError

TIMEOUTS: Final = st.builds(TimeoutError, st.just("too slow"))
"""What a provider raises that gave up."""


def chain_errors() -> st.SearchStrategy[Exception]:
    """What providers raise: the unwell, the busy, and those that blame the request."""
    return st.one_of(
        st.builds(StatusError, st.sampled_from([503, 503, 500, 429, 401, 400])),
        st.builds(ConnectionError, st.just("refused")),
        TIMEOUTS,
        st.builds(ValueError, st.just("wrong")),
        st.builds(
            StatusError,
            st.just(400),
            st.none(),
            st.just({"error": {"code": "context_length_exceeded"}}),
        ),
    )


@st.composite
def breaker_configs(draw: st.DrawFn) -> BreakerConfig:
    """Parameters of breakers: small windows and rounds, so that a few steps see everything."""
    window = draw(
        st.builds(CountWindow, st.integers(1, 6))
        | st.builds(CountWindow, st.integers(1, 4))
        | st.builds(TimeWindow, st.sampled_from([2.0, 8.0]), st.sampled_from([1, 2, 4]))
    )
    fullest = window.size if isinstance(window, CountWindow) else 4
    probes = draw(st.sampled_from([1, 2, 3, 4, 4]))
    return BreakerConfig(
        window=window,
        minimum_calls=draw(st.integers(1, fullest)),
        failure_ratio=draw(st.sampled_from([0.25, 0.5, 0.75, 1.0])),
        consecutive_failures=draw(st.sampled_from([None, None, 1, 2, 3])),
        slow_call_duration=draw(st.sampled_from([None, 1.0, 1.0, 3.0])),
        slow_call_ratio=draw(st.sampled_from([0.25, 0.5, 1.0])),
        trip_on_success=draw(st.booleans()),
        open_duration=4.0,
        backoff_factor=draw(st.sampled_from([1.0, 2.0])),
        max_open_duration=draw(st.sampled_from([4.0, 16.0])),
        jitter=draw(st.sampled_from([0.0, 0.0, 0.5])),
        probe_calls=probes,
        probe_concurrency=draw(st.integers(1, probes)),
        probe_timeout=8.0,
        probe_stream_timeout=draw(st.sampled_from([None, 16.0])),
        early_verdict=draw(st.sampled_from([True, False, False])),
        max_hold=draw(st.sampled_from([32.0, 1024.0])),
        initial_state=draw(st.sampled_from([BreakerState.CLOSED] * 9 + list(BreakerState))),
    )


@st.composite
def chain_configs(draw: st.DrawFn) -> FallbackConfig:
    """Parameters of chains whose breakers open after a failure or two."""
    breaker = BreakerConfig(
        window=CountWindow(draw(st.integers(1, 4))),
        minimum_calls=1,
        consecutive_failures=draw(st.sampled_from([None, 2])),
        open_duration=4.0,
        max_open_duration=8.0,
        jitter=0.0,
        probe_timeout=8.0,
        probe_calls=2,
        probe_concurrency=draw(st.integers(1, 2)),
    )
    return FallbackConfig(breaker=breaker)
