"""Parameters of the core: what a user may set, with default, unit and bound.

Defaults follow resilience4j where the field agrees; each that does not is argued in `docs/breaker`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from fsm_fallback.core.bounds import (
    COUNT,
    FACTOR,
    FLAG,
    PART,
    RATIO,
    SECONDS,
    SHARE,
    WAIT,
    WHOLE,
    Bound,
    bound_problems,
    bounded,
    instance_of,
    is_count,
    is_number,
    one_of,
    refuse_problems,
)
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.strategies import Sequential, Strategy, is_strategy
from fsm_fallback.core.windows import CountWindow, TimeWindow, Window

MAX_EXPONENT: Final = 64  # past any cap, and the power stays finite

_WINDOW = CountWindow()
_IS_WINDOW = Bound(
    lambda value: isinstance(value, (CountWindow, TimeWindow)), "a CountWindow or a TimeWindow"
)
_IS_STATE = instance_of(BreakerState, "a BreakerState")


@attrs.frozen(kw_only=True)
class BreakerConfig:
    """Parameters of a breaker. Durations are seconds.

    Args:
        window: Which finished calls are evidence.
        failure_ratio: Trips when failures / calls in the window reach it, in (0, 1].
        minimum_calls: No ratio counts before that many calls are in the window.
        consecutive_failures: Trips on so many failures in a row, whatever the window says; None
            for never.
        slow_call_duration: A call that takes so long, or is out for so long, is slow; None watches
            nothing. Of a stream its first output counts.
        slow_call_ratio: Trips when slow calls / calls reach it, in (0, 1].
        trip_on_success: Whether a plain success may trip, too, when it is the one that fills
            `minimum_calls`.
        open_duration: How long the first opening lasts.
        backoff_factor: Each opening of a series lasts that many times the one before, >= 1.
        max_open_duration: Cap of an opening, before jitter.
        jitter: Openings vary by up to this share both ways, in [0, 1).
        probe_calls: How many probes a round in HALF_OPEN wants.
        probe_concurrency: How many of them may be out at once, <= `probe_calls`.
        probe_timeout: A probe out longer than this ends the round.
        probe_stream_timeout: As above, of a probe whose stream has given output, counted from its
            first; None for `probe_timeout`.
        early_verdict: Decide a round as soon as the missing probes cannot change the verdict.
        max_hold: Cap of a hold; a kind of fault may have a lower one, see `core.outcome.KINDS`.
        initial_state: Where it begins. OPEN lasts `open_duration`; HALF_OPEN is OPEN with the open
            time over, so that the first caller is a probe.

    Raises:
        ConfigurationError: Naming every parameter out of bounds.
    """

    window: Window = bounded(_IS_WINDOW, _WINDOW)
    failure_ratio: float = bounded(RATIO, 0.5)
    minimum_calls: int = bounded(COUNT, 10)
    consecutive_failures: int | None = bounded(COUNT.or_none(), None)
    slow_call_duration: float | None = bounded(SECONDS.or_none(), None)
    slow_call_ratio: float = bounded(RATIO, 0.5)
    trip_on_success: bool = bounded(FLAG, default=False)
    open_duration: float = bounded(SECONDS, 30.0)
    backoff_factor: float = bounded(FACTOR, 2.0)
    max_open_duration: float = bounded(SECONDS, 300.0)
    jitter: float = bounded(SHARE, 0.1)
    probe_calls: int = bounded(COUNT, 1)
    probe_concurrency: int = bounded(COUNT, 1)
    probe_timeout: float = bounded(SECONDS, 600.0)
    probe_stream_timeout: float | None = bounded(SECONDS.or_none(), None)
    early_verdict: bool = bounded(FLAG, default=True)
    max_hold: float = bounded(SECONDS, 3600.0)
    initial_state: BreakerState = bounded(_IS_STATE, BreakerState.CLOSED)

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def opening(self, step: int, sample: float) -> float:
        """Seconds that opening number `step` of a series lasts; `sample`: jitter, from [0, 1)."""
        growth = self.backoff_factor ** min(step - 1, MAX_EXPONENT)
        duration = min(self.open_duration * growth, self.max_open_duration)
        return duration * (1.0 + self.jitter * (2.0 * sample - 1.0))

    @property
    def stream_timeout(self) -> float:
        """Seconds a probe may be out from the first output of its stream on."""
        longer = self.probe_stream_timeout
        return self.probe_timeout if longer is None else longer

    @property
    def in_force(self) -> Mapping[str, object]:
        """What a breaker decides by, as plain values: all parameters but where it began."""
        return attrs.asdict(self, filter=lambda field, _: field.name != "initial_state")

    def problems(self) -> Iterator[str]:
        """Every parameter, and every pair of parameters, that cannot work."""
        yield from bound_problems(self)
        if is_count(self.minimum_calls, 1) and isinstance(self.window, CountWindow):
            if self.minimum_calls > self.window.size:
                yield (
                    f"BreakerConfig.minimum_calls is {self.minimum_calls!r}, above the window of "
                    f"{self.window.size!r}, so never reached; lower it or widen the window"
                )
        if is_count(self.probe_calls, 1) and is_count(self.probe_concurrency, 1):
            if self.probe_concurrency > self.probe_calls:
                yield (
                    f"BreakerConfig.probe_concurrency is {self.probe_concurrency!r}, above "
                    f"probe_calls {self.probe_calls!r}; lower it or raise probe_calls"
                )
        if is_number(self.open_duration) and is_number(self.max_open_duration):
            if self.max_open_duration < self.open_duration:
                yield (
                    f"BreakerConfig.max_open_duration is {self.max_open_duration!r}, below "
                    f"open_duration {self.open_duration!r}; raise it"
                )


JITTERS = ("full", "equal", "none")


@attrs.frozen(kw_only=True)
class RetryConfig:
    """When the same provider is tried again. Durations are seconds.

    Only kinds of fault that say so are tried again (`core.outcome.KINDS`), only while the wait ends
    before the deadline, and only if the provider's breaker admits then. There is no wait after the
    last try.

    Args:
        attempts: How often one call asks one provider at most, the first time included; 1 never
            tries again.
        backoff: The wait before the second try.
        factor: Each further wait is that many times the one before, >= 1.
        max_backoff: Cap of a wait that we chose.
        jitter: `"full"` draws a wait between 0 and that, `"equal"` between half of it and it,
            `"none"` takes it as it is.
        max_retry_after: Cap of a wait that the provider named; one that is longer is not waited
            for.
        long_wait: Above it no wait is worth it while another candidate takes the call at once.
        bad_responses: Whether an answer that nobody can use is worth another try.
        budget: At most this share of the chain's latest calls may be retries, so that they do not
            multiply an outage, in [0, 1].
        budget_floor: So many retries may be out at once whatever that share says.

    Raises:
        ConfigurationError: Naming every parameter out of bounds.
    """

    attempts: int = bounded(COUNT, 1)
    backoff: float = bounded(SECONDS, 0.5)
    factor: float = bounded(FACTOR, 2.0)
    max_backoff: float = bounded(SECONDS, 8.0)
    jitter: str = bounded(one_of(*JITTERS), "full")
    max_retry_after: float = bounded(WAIT, 60.0)
    long_wait: float = bounded(WAIT, 1.0)
    bad_responses: bool = bounded(FLAG, default=False)
    budget: float = bounded(PART, 0.2)
    budget_floor: int = bounded(WHOLE, 3)

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))

    def wait(self, tries: int, sample: float) -> float:
        """Seconds to wait after so many tries, of our own accord; `sample`: from [0, 1)."""
        growth = self.factor ** min(tries - 1, MAX_EXPONENT)
        longest = min(self.backoff * growth, self.max_backoff)
        match self.jitter:
            case "full":
                return longest * sample
            case "equal":
                return longest * (1.0 + sample) / 2
            case _:
                return longest


STREAM_POLICIES = ("raise", "restart", "buffer")


@attrs.frozen(kw_only=True)
class StreamConfig:
    """How streams are handed over. Durations are seconds.

    A stream is held back until its first item that carries output; until then another provider
    takes over without a trace. From there on the caller has seen part of it.

    Args:
        policy: What becomes of a stream that breaks after output was handed over: `"raise"` ends
            the call with `StreamInterrupted`; `"restart"` hands over a `StreamReset` and then the
            stream of the next provider; `"buffer"` does not let it come to that, for it hands
            nothing over before the stream has ended as it should.
        first_output_timeout: How long an attempt may take to its first output; None for the
            `attempt_timeout`. The last candidate is not cut by it.
        idle_timeout: How long a stream may say nothing once it has given output; None for no limit.
        buffer_items: So many items are held back at most; then they are handed over, output or not.
            Not under `"buffer"`, which holds all of them.
        buffer_bytes: As above, by their size.

    Raises:
        ConfigurationError: Naming every parameter out of bounds.
    """

    policy: str = bounded(one_of(*STREAM_POLICIES), "raise")
    first_output_timeout: float | None = bounded(SECONDS.or_none(), None)
    idle_timeout: float | None = bounded(SECONDS.or_none(), None)
    buffer_items: int = bounded(COUNT, 64)
    buffer_bytes: int = bounded(COUNT, 256 * 1024)

    def __attrs_post_init__(self) -> None:
        refuse_problems(bound_problems(self))


AUDIT_MODES = ("moves", "full", "off")
WHEN_ALL_OPEN = ("fail", "wait")

_BREAKER = BreakerConfig()
_RETRY = RetryConfig()
_STREAM = StreamConfig()
_SEQUENTIAL = Sequential()


@attrs.frozen(kw_only=True)
class FallbackConfig:
    """Parameters of a chain. Durations are seconds.

    Args:
        breaker: Parameters of every provider's breaker.
        deadline: How long a whole call may take; None for no limit. A call may set its own with
            `options(deadline=...)`. In `acall` it is enforced. In `call` it is passed on to
            providers with a `timeout_arg`, and keeps the next one from being asked; a plain
            function without one runs as long as it likes, for threads cannot be cut.
        attempt_timeout: How long one attempt may take; None for no limit. As `deadline`. Of a
            stream, how long it may take to its first output.
        retry: When the same provider is tried again; by default never.
        when_all_open: What becomes of a call whose candidates are all refused by their breakers:
            `"fail"` raises at once and names the earliest time to come back; `"wait"` waits for the
            first breaker that admits again, within the deadline, which it needs.
        stream: How streams are handed over.
        strategy: The order in which providers are asked.
        audit: What is recorded: `"moves"` every state change, attempt, skip and end; `"full"` every
            firing; `"off"` nothing.

    Raises:
        ConfigurationError: Naming every parameter out of bounds.
    """

    breaker: BreakerConfig = bounded(instance_of(BreakerConfig, "a BreakerConfig"), _BREAKER)
    deadline: float | None = bounded(SECONDS.or_none(), None)
    attempt_timeout: float | None = bounded(SECONDS.or_none(), None)
    retry: RetryConfig = bounded(instance_of(RetryConfig, "a RetryConfig"), _RETRY)
    when_all_open: str = bounded(one_of(*WHEN_ALL_OPEN), "fail")
    stream: StreamConfig = bounded(instance_of(StreamConfig, "a StreamConfig"), _STREAM)
    strategy: Strategy = bounded(
        Bound(is_strategy, "a strategy: an object with order()"), _SEQUENTIAL
    )
    audit: str = bounded(one_of(*AUDIT_MODES), "moves")

    def __attrs_post_init__(self) -> None:
        refuse_problems(self.problems())

    def problems(self) -> Iterator[str]:
        """Every parameter out of bounds, and every pair of them that cannot work."""
        yield from bound_problems(self)
        if self.when_all_open == "wait" and self.deadline is None:
            yield (
                "FallbackConfig.when_all_open is 'wait' and deadline None, so that a call might "
                "wait for ever; give a deadline"
            )

    @property
    def breaker_in_chain(self) -> BreakerConfig:
        """The breaker's parameters, with a probe time-out that fits the attempts.

        A probe in a chain cannot be out for longer than the attempt may take, so a round need not
        wait longer for it: the limit of an attempt plus one second. A stream that has given output
        is under no such limit, and keeps the time it had.
        """
        if self.attempt_timeout is None:
            return self.breaker
        longest = max(self.attempt_timeout, self.deadline or 0.0) + 1.0
        return attrs.evolve(
            self.breaker,
            probe_timeout=min(self.breaker.probe_timeout, longest),
            probe_stream_timeout=self.breaker.stream_timeout,
        )
