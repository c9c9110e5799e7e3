"""The scopes in which tables are explored, and mutants hunted.

Each is as small as it can be and still hold what its name says; together every row fires and every
guard answers both ways. The whole ones take seconds.
"""

from __future__ import annotations

from typing import Final

import attrs

from fsm_fallback.core.breaker_rows import BreakerState, S
from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.core.parameters import STREAM_POLICIES, RetryConfig, StreamConfig
from fsm_fallback.core.windows import CountWindow
from fsm_fallback.spec.scope import SMALL, Scope

K: Final = FaultKind

TINY: Final = attrs.evolve(
    SMALL,
    window=CountWindow(1),
    minimum_calls=1,
    backoff_factor=1.0,
    max_open_duration=4.0,
    max_hold=4.0,
)
"""One failure opens a breaker: what chains are explored over."""

BREAKER_SCOPES: Final[dict[str, Scope]] = {
    "operators": Scope(callers=2, operators=True, again=True, births=tuple(BreakerState), depth=3),
    "rounds": Scope(
        callers=2,
        config=attrs.evolve(SMALL, probe_calls=2),
        births=(S.CLOSED, S.OPEN, S.HALF_OPEN),
        depth=6,
    ),
    "crowded rounds": Scope(
        callers=2,
        config=attrs.evolve(
            SMALL, failure_ratio=0.75, probe_calls=2, probe_concurrency=2, early_verdict=False
        ),
        births=(S.HALF_OPEN,),
        depth=8,
    ),
    "slow calls": Scope(
        callers=2,
        config=attrs.evolve(SMALL, slow_call_duration=1.0, failure_ratio=0.75, probe_calls=2),
        births=(S.CLOSED, S.HALF_OPEN),
        depth=8,
    ),
    "rarely slow": Scope(
        callers=2,
        config=attrs.evolve(
            SMALL,
            window=CountWindow(3),
            minimum_calls=1,
            slow_call_duration=1.0,
            slow_call_ratio=0.75,
            failure_ratio=0.6,
        ),
        again=True,
        depth=6,
    ),
    "long holds": Scope(
        callers=2,
        config=attrs.evolve(SMALL, max_hold=4.0),
        births=(S.CLOSED, S.HALF_OPEN),
        depth=7,
    ),
    "runs": Scope(
        callers=2,
        config=attrs.evolve(
            SMALL,
            window=CountWindow(4),
            minimum_calls=4,
            consecutive_failures=2,
            trip_on_success=True,
        ),
        depth=8,
    ),
}

_SLOW_TO_TRIP: Final = attrs.evolve(TINY, window=CountWindow(3), minimum_calls=3)
_RETRY: Final = RetryConfig(
    attempts=3, backoff=1.0, factor=2.0, max_backoff=3.0, jitter="none", max_retry_after=6.0
)

CHAIN_SCOPES: Final[dict[str, Scope]] = {
    "faults": Scope(
        callers=1,
        providers=2,
        config=TINY,
        series=1,
        windows=(8, 32),
        faults=(K.TRANSIENT, K.RATE_LIMIT, K.CALLER, K.CONTEXT),
        depth=7,
    ),
    "deadlines": Scope(
        callers=1,
        providers=2,
        config=TINY,
        series=1,
        faults=(K.TRANSIENT, K.TIMEOUT),
        deadline=8.0,
        attempt_timeout=3.0,
        depth=9,
    ),
    "patient attempts": Scope(
        callers=1,
        providers=2,
        config=TINY,
        series=1,
        faults=(K.TIMEOUT,),
        deadline=6.0,
        attempt_timeout=5.0,
        depth=8,
    ),
    "a deadline alone": Scope(
        callers=1, providers=3, config=TINY, series=1, deadline=6.0, rules_out=True, depth=8
    ),
    **{
        f"windows {', '.join(map(str, windows))}{', one ruled out' * rules_out}": Scope(
            callers=1,
            providers=3,
            config=TINY,
            series=1,
            windows=windows,
            faults=(K.TRANSIENT, K.CONTEXT),
            rules_out=rules_out,
            depth=8,
        )
        for windows, rules_out in (
            ((8, None, 32), False),
            ((32, 8, 8), False),
            ((8, 16, 32), False),
            ((8, 32, 8), False),
            ((8, 32, 8), True),
        )
    },
    "retries": Scope(
        callers=1,
        providers=2,
        config=_SLOW_TO_TRIP,
        series=1,
        retry=_RETRY,
        faults=(K.TRANSIENT, K.CONNECT, K.CALLER),
        depth=12,
    ),
    "retries of a rate limit": Scope(
        callers=1,
        providers=1,
        config=TINY,
        series=1,
        retry=_RETRY,
        faults=(K.RATE_LIMIT, K.TRANSIENT, K.BAD_RESPONSE),
        deadline=9.0,
        depth=10,
    ),
    "retries beside another": Scope(
        callers=2,
        providers=2,
        config=_SLOW_TO_TRIP,
        series=1,
        retry=attrs.evolve(_RETRY, long_wait=1.0, bad_responses=True),
        windows=(8, 32),
        faults=(K.BAD_RESPONSE, K.CONTEXT),
        depth=8,
    ),
    "waits": Scope(
        callers=1,
        providers=2,
        config=TINY,
        series=1,
        births=(S.CLOSED, S.OPEN, S.FORCED_OPEN),
        faults=(K.TRANSIENT, K.CALLER),
        waits=True,
        deadline=6.0,
        depth=10,
    ),
    "waits for a probe": Scope(
        callers=2,
        providers=1,
        config=TINY,
        series=1,
        births=(S.HALF_OPEN,),
        waits=True,
        deadline=2.0,
        depth=9,
    ),
    **{
        f"streams, {policy}": Scope(
            callers=1,
            providers=2,
            config=TINY,
            series=1,
            stream=StreamConfig(
                policy=policy, buffer_items=2, first_output_timeout=2.0, idle_timeout=1.0
            ),
            faults=(K.TRANSIENT, K.CALLER),
            depth=9,
        )
        for policy in STREAM_POLICIES
    },
    "streams with a deadline": Scope(
        callers=1,
        providers=2,
        config=TINY,
        series=1,
        stream=StreamConfig(policy="restart", buffer_items=2, idle_timeout=3.0),
        faults=(K.TIMEOUT, K.TRANSIENT),
        deadline=8.0,
        attempt_timeout=3.0,
        depth=9,
    ),
    "streams begun anew, and late": Scope(
        callers=1,
        providers=2,
        config=_SLOW_TO_TRIP,
        series=1,
        stream=StreamConfig(policy="restart"),
        items=("output",),
        leaves=False,
        retry=attrs.evolve(_RETRY, attempts=2),
        deadline=2.0,
        depth=13,
    ),
    "streams that wait": Scope(
        callers=1,
        providers=2,
        config=TINY,
        series=1,
        births=(S.CLOSED, S.OPEN),
        stream=StreamConfig(policy="restart"),
        waits=True,
        retry=attrs.evolve(_RETRY, attempts=2),
        faults=(K.TRANSIENT, K.CONTEXT),
        deadline=6.0,
        depth=9,
    ),
}

WHOLE_BREAKER: Final[dict[str, Scope]] = {
    "whole": Scope(callers=2, series=1, births=(S.CLOSED, S.OPEN, S.HALF_OPEN)),
    "whole, crowded rounds": Scope(
        callers=2, series=1, config=attrs.evolve(SMALL, probe_calls=2, probe_concurrency=2)
    ),
    "whole, operators": Scope(callers=1, series=1, config=TINY, operators=True, again=True),
    "slow calls, deeper": Scope(
        callers=2,
        series=1,
        config=attrs.evolve(SMALL, slow_call_duration=1.0, probe_calls=2),
        depth=12,
    ),
}
"""Every history there is; of slow calls, which have too many, the first twelve steps."""

WHOLE_CHAIN: Final[dict[str, Scope]] = {
    "whole": Scope(callers=2, providers=2, config=TINY, series=1),
    "three providers": Scope(callers=2, providers=3, config=TINY, series=1, depth=16),
}
"""Every history of two calls over two providers, and the first sixteen steps over three."""

DEEP_BREAKER: Final[dict[str, Scope]] = {
    "three callers": Scope(callers=3, births=(S.CLOSED, S.OPEN, S.HALF_OPEN)),
    "three callers, operators": Scope(callers=3, config=TINY, operators=True, again=True),
    "slow calls, whole": Scope(
        callers=2, config=attrs.evolve(SMALL, slow_call_duration=1.0, probe_calls=2)
    ),
}

DEEP_CHAIN: Final[dict[str, Scope]] = {
    "three providers, deeper": Scope(
        callers=2, providers=3, config=TINY, series=1, depth=24, states=400_000
    ),
    "every fault": Scope(callers=1, providers=3, config=TINY, series=1, faults=tuple(K), depth=10),
    "three callers": Scope(callers=3, providers=2, config=TINY, series=1, states=400_000),
}
"""For a night."""
