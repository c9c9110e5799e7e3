"""Configurations: every default, and everything that cannot work, said in one go."""

import math

import attrs
import pytest

from fsm_fallback import (
    BreakerConfig,
    BreakerState,
    ConfigurationError,
    CountWindow,
    FallbackConfig,
    RetryConfig,
    Sequential,
    StreamConfig,
    TimeWindow,
)
from fsm_fallback.core.bounds import COUNT, bound_problems, bounded, shown

RATIOS = [0, 0.0, -0.1, 1.01, 2]
SECONDS = [0, -1, -0.5]
COUNTS = [0, -1, 1.0, 2.5]
NO_NUMBERS = [True, False, "1", b"1", None, math.nan, math.inf, -math.inf, [1], {}]

BAD_BREAKERS = {
    "window": [100, None, "100", (100,), {}],
    "failure_ratio": RATIOS + NO_NUMBERS,
    "minimum_calls": COUNTS + NO_NUMBERS,
    "consecutive_failures": COUNTS + [value for value in NO_NUMBERS if value is not None],
    "slow_call_duration": SECONDS + [value for value in NO_NUMBERS if value is not None],
    "slow_call_ratio": RATIOS + NO_NUMBERS,
    "trip_on_success": [0, 1, "no", None],
    "open_duration": SECONDS + NO_NUMBERS,
    "backoff_factor": [0, 0.99, -2, 1001, *NO_NUMBERS],
    "max_open_duration": SECONDS + NO_NUMBERS,
    "jitter": [-0.1, 1, 1.0, 1.5, *NO_NUMBERS],
    "probe_calls": COUNTS + NO_NUMBERS,
    "probe_concurrency": COUNTS + NO_NUMBERS,
    "probe_timeout": SECONDS + NO_NUMBERS,
    "probe_stream_timeout": SECONDS + [value for value in NO_NUMBERS if value is not None],
    "early_verdict": [0, 1, "yes", None],
    "max_hold": SECONDS + NO_NUMBERS,
    "initial_state": ["closed", None, BreakerState, 0],
}
BAD_CHAINS = {
    "breaker": [None, {}, "default", BreakerConfig],
    "deadline": SECONDS + [value for value in NO_NUMBERS if value is not None],
    "attempt_timeout": SECONDS + [value for value in NO_NUMBERS if value is not None],
    "retry": [None, {}, 3, RetryConfig],
    "when_all_open": ["call", "", None, True],
    "stream": [None, {}, "raise", StreamConfig],
    "strategy": [None, "sequential", Sequential],
    "audit": ["loud", "", "MOVES", None, True, ["moves"]],
}
BAD_RETRIES = {
    "attempts": COUNTS + NO_NUMBERS,
    "backoff": SECONDS + NO_NUMBERS,
    "factor": [0, 0.99, -2, 1001, *NO_NUMBERS],
    "max_backoff": SECONDS + NO_NUMBERS,
    "jitter": ["half", "", "FULL", None, True, 0.1, ["full"]],
    "max_retry_after": [-1, -5e-324, *NO_NUMBERS],
    "long_wait": [-1, -5e-324, *NO_NUMBERS],
    "bad_responses": [0, 1, "yes", None],
    "budget": [-0.1, 1.01, 2, *NO_NUMBERS],
    "budget_floor": [-1, 1.0, 2.5, *NO_NUMBERS],
}
BAD_STREAMS = {
    "policy": ["drop", "", "RAISE", None, True, ["raise"]],
    "first_output_timeout": SECONDS + [value for value in NO_NUMBERS if value is not None],
    "idle_timeout": SECONDS + [value for value in NO_NUMBERS if value is not None],
    "buffer_items": COUNTS + NO_NUMBERS,
    "buffer_bytes": COUNTS + NO_NUMBERS,
}
GOOD_RETRIES = {
    "attempts": [1, 10_000],
    "backoff": [5e-324, 1, 1e300],
    "factor": [1, 1.0, 1000],
    "max_backoff": [5e-324, 1e300],
    "jitter": ["full", "equal", "none"],
    "max_retry_after": [0, 0.0, 1e300],
    "long_wait": [0, 0.0, 1e300],
    "bad_responses": [True, False],
    "budget": [0, 0.0, 5e-324, 1, 1.0],
    "budget_floor": [0, 1, 10_000],
}
GOOD_STREAMS = {
    "policy": ["raise", "restart", "buffer"],
    "first_output_timeout": [None, 5e-324, 1e300],
    "idle_timeout": [None, 5e-324, 1e300],
    "buffer_items": [1, 10_000],
    "buffer_bytes": [1, 1 << 40],
}
GOOD_BREAKERS = {
    "window": [CountWindow(10), TimeWindow(5e-324, 1), TimeWindow(1e300, 1_000)],
    "failure_ratio": [1, 1.0, 5e-324],
    "minimum_calls": [1, 100],
    "consecutive_failures": [None, 1, 10_000],
    "slow_call_duration": [None, 5e-324, 1e300],
    "slow_call_ratio": [1, 1.0, 5e-324],
    "trip_on_success": [True, False],
    "open_duration": [5e-324, 300, 1],
    "backoff_factor": [1, 1.0, 1000],
    "max_open_duration": [30, 1e300],
    "jitter": [0, 0.0, 0.999],
    "probe_calls": [1, 10_000],
    "probe_timeout": [5e-324, 1e300],
    "probe_stream_timeout": [None, 5e-324, 1e300],
    "early_verdict": [True, False],
    "max_hold": [5e-324, 1e300],
    "initial_state": [*BreakerState],
}


def cases(table):
    """Every field with every value."""
    return [(field, value) for field, values in table.items() for value in values]


PARTS = [(RetryConfig, BAD_RETRIES, GOOD_RETRIES), (StreamConfig, BAD_STREAMS, GOOD_STREAMS)]


def cases_of_parts(which):
    """As `cases`, of retries and streams: those to be refused, or those to be taken."""
    return [(part[0], *case) for part in PARTS for case in cases(part[which])]


def problems_of(config, **parameters):
    """What a configuration says is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        config(**parameters)
    return caught.value.problems


@pytest.mark.parametrize(("field", "value"), cases(BAD_BREAKERS))
def test_a_breakers_parameter_that_cannot_work_is_refused(field, value):
    """The message names the field, the value and the remedy, and no other field."""
    problem, *others = problems_of(BreakerConfig, **{field: value})
    assert problem.startswith(f"BreakerConfig.{field} is {shown(value)}; give ")
    assert all(other.startswith(f"BreakerConfig.{field} ") for other in others)


@pytest.mark.parametrize(("field", "value"), cases(GOOD_BREAKERS))
def test_a_breakers_parameter_at_its_bound_is_taken(field, value):
    """As it was given."""
    assert getattr(BreakerConfig(**{field: value}), field) == value


@pytest.mark.parametrize(("field", "value"), cases(BAD_CHAINS))
def test_a_chains_parameter_that_cannot_work_is_refused(field, value):
    """The message names the field, the value and the remedy, once."""
    (problem,) = problems_of(FallbackConfig, **{field: value})
    assert problem.startswith(f"FallbackConfig.{field} is {shown(value)}; give ")


@pytest.mark.parametrize(("config", "field", "value"), cases_of_parts(1))
def test_a_parameter_of_retries_or_streams_that_cannot_work_is_refused(config, field, value):
    """The message names the field, the value and the remedy, once."""
    (problem,) = problems_of(config, **{field: value})
    assert problem.startswith(f"{config.__name__}.{field} is {shown(value)}; give ")


@pytest.mark.parametrize(("config", "field", "value"), cases_of_parts(2))
def test_a_parameter_of_retries_or_streams_at_its_bound_is_taken(config, field, value):
    """As it was given."""
    assert getattr(config(**{field: value}), field) == value


@pytest.mark.parametrize(("config", "bad"), [part[:2] for part in PARTS])
def test_all_problems_of_retries_or_streams_are_named_at_once(config, bad):
    """One per field, in the order of the fields."""
    problems = problems_of(config, **{field: values[0] for field, values in bad.items()})
    assert [problem.split()[0] for problem in problems] == [
        f"{config.__name__}.{field}" for field in bad
    ]


def test_a_chain_that_waits_needs_a_deadline():
    """It might wait for ever; by default it does not wait."""
    (problem,) = problems_of(FallbackConfig, when_all_open="wait")
    assert problem == (
        "FallbackConfig.when_all_open is 'wait' and deadline None, so that a call might wait for "
        "ever; give a deadline"
    )
    assert FallbackConfig(when_all_open="wait", deadline=5.0).when_all_open == "wait"
    assert FallbackConfig(when_all_open="fail").deadline is None


def test_every_field_is_tried():
    """A new parameter needs its bound, and its line here."""
    for config, *tables in PARTS:
        names = [field.name for field in attrs.fields(config)]
        assert [list(table) for table in tables] == [names, names]
    assert list(BAD_BREAKERS) == [field.name for field in attrs.fields(BreakerConfig)]
    assert list(BAD_CHAINS) == [field.name for field in attrs.fields(FallbackConfig)]


def test_all_problems_of_a_breaker_are_named_at_once():
    """One per field, in the order of the fields."""
    bad = {field: values[0] for field, values in BAD_BREAKERS.items()}
    problems = problems_of(BreakerConfig, **bad)
    assert [problem.split()[0] for problem in problems] == [
        f"BreakerConfig.{field}" for field in bad
    ]


def test_all_problems_of_a_chain_are_named_at_once():
    """One per field, in the order of the fields."""
    bad = {field: values[0] for field, values in BAD_CHAINS.items()}
    problems = problems_of(FallbackConfig, **bad)
    assert [problem.split()[0] for problem in problems] == [
        f"FallbackConfig.{field}" for field in bad
    ]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (
            {"minimum_calls": 101},
            "minimum_calls is 101, above the window of 100, so never reached",
        ),
        (
            {"window": CountWindow(9)},
            "minimum_calls is 10, above the window of 9, so never reached",
        ),
        (
            {"probe_concurrency": 2},
            "probe_concurrency is 2, above probe_calls 1",
        ),
        (
            {"open_duration": 301.0},
            "max_open_duration is 300.0, below open_duration 301.0",
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(parameters, problem):
    """Each alone is within its bounds; the remedy follows."""
    (told,) = problems_of(BreakerConfig, **parameters)
    assert told.startswith(f"BreakerConfig.{problem}; ")


def test_parameters_equal_at_the_bound_go_together():
    """As many as fit."""
    BreakerConfig(
        window=CountWindow(10),
        minimum_calls=10,
        probe_calls=3,
        probe_concurrency=3,
        open_duration=300.0,
    )


def test_the_defaults_are_those_of_the_design():
    """Changing one changes every breaker in the field."""
    assert attrs.asdict(BreakerConfig()) == {
        "window": {"size": 100},
        "failure_ratio": 0.5,
        "minimum_calls": 10,
        "consecutive_failures": None,
        "slow_call_duration": None,
        "slow_call_ratio": 0.5,
        "trip_on_success": False,
        "open_duration": 30.0,
        "backoff_factor": 2.0,
        "max_open_duration": 300.0,
        "jitter": 0.1,
        "probe_calls": 1,
        "probe_concurrency": 1,
        "probe_timeout": 600.0,
        "probe_stream_timeout": None,
        "early_verdict": True,
        "max_hold": 3600.0,
        "initial_state": BreakerState.CLOSED,
    }
    assert attrs.asdict(TimeWindow()) == {"seconds": 60.0, "buckets": 60}
    chain = FallbackConfig()
    assert (chain.deadline, chain.attempt_timeout, chain.audit) == (None, None, "moves")
    assert (chain.breaker, chain.strategy) == (BreakerConfig(), Sequential())
    assert (chain.retry, chain.stream) == (RetryConfig(), StreamConfig())
    assert chain.when_all_open == "fail"
    assert attrs.asdict(RetryConfig()) == {
        "attempts": 1,
        "backoff": 0.5,
        "factor": 2.0,
        "max_backoff": 8.0,
        "jitter": "full",
        "max_retry_after": 60.0,
        "long_wait": 1.0,
        "bad_responses": False,
        "budget": 0.2,
        "budget_floor": 3,
    }
    assert attrs.asdict(StreamConfig()) == {
        "policy": "raise",
        "first_output_timeout": None,
        "idle_timeout": None,
        "buffer_items": 64,
        "buffer_bytes": 256 * 1024,
    }


def test_a_time_window_bounds_no_minimum_of_calls():
    """Nobody knows how many come in a time."""
    assert BreakerConfig(window=TimeWindow(1.0, 1), minimum_calls=10_000).minimum_calls == 10_000


def test_more_failures_in_a_row_than_the_window_holds_may_be_wanted():
    """A run is counted beside the window."""
    window = CountWindow(10)
    assert BreakerConfig(window=window, consecutive_failures=50).consecutive_failures == 50


def test_where_it_began_is_nothing_it_decides_by():
    """Two breakers that differ in that alone decide alike, and have one digest."""
    born_open = BreakerConfig(initial_state=BreakerState.OPEN)
    assert born_open.in_force == BreakerConfig().in_force
    assert set(born_open.in_force) == set(BAD_BREAKERS) - {"initial_state"}


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [
        ({}, 600.0),
        ({"deadline": 20.0}, 600.0),
        ({"attempt_timeout": 5.0}, 6.0),
        ({"attempt_timeout": 0.25}, 1.25),
        ({"attempt_timeout": 5.0, "deadline": 20.0}, 21.0),
        ({"attempt_timeout": 5.0, "breaker": BreakerConfig(probe_timeout=3.0)}, 3.0),
        ({"attempt_timeout": 5_000.0}, 600.0),
    ],
)
def test_a_probe_in_a_chain_is_overdue_soon_after_its_attempt(parameters, seconds):
    """The longest an attempt may take, and a second; never longer than was said of the breaker."""
    assert FallbackConfig(**parameters).breaker_in_chain.probe_timeout == seconds


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [
        ({}, 600.0),
        ({"attempt_timeout": 5.0}, 600.0),
        ({"attempt_timeout": 5.0, "breaker": BreakerConfig(probe_timeout=3.0)}, 3.0),
        ({"attempt_timeout": 5.0, "breaker": BreakerConfig(probe_stream_timeout=9.0)}, 9.0),
        ({"breaker": BreakerConfig(probe_timeout=3.0, probe_stream_timeout=9.0)}, 9.0),
    ],
)
def test_a_probe_that_streams_in_a_chain_keeps_its_time(parameters, seconds):
    """It is under no limit of an attempt once it has given output."""
    assert FallbackConfig(**parameters).breaker_in_chain.stream_timeout == seconds


def test_a_configuration_cannot_be_changed():
    """What runs keeps its numbers."""
    with pytest.raises(AttributeError):
        BreakerConfig().jitter = 0.5
    with pytest.raises(AttributeError):
        FallbackConfig().deadline = 5.0
    with pytest.raises(AttributeError):
        RetryConfig().attempts = 2
    with pytest.raises(AttributeError):
        StreamConfig().policy = "buffer"


def test_parameters_go_by_name_only():
    """Two numbers in a row say nothing."""
    with pytest.raises(TypeError):
        BreakerConfig(CountWindow(10))
    with pytest.raises(TypeError):
        FallbackConfig(BreakerConfig())
    with pytest.raises(TypeError):
        RetryConfig(3)
    with pytest.raises(TypeError):
        StreamConfig("buffer")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        ("moves", "'moves'"),
        ({"api_key": "sk-MARKER"}, "a dict"),
        (["sk-MARKER"], "a list"),
        (dict, "a dict class"),
    ],
)
def test_a_message_shows_words_and_numbers_and_of_all_else_the_type(value, words):
    """What stands in the wrong place may hold a key."""
    assert shown(value) == words


def test_a_field_without_a_bound_may_be_anything():
    """The others are still judged."""

    @attrs.frozen
    class Settings:
        note: object = None
        size: int = bounded(COUNT, 0)

    assert [*bound_problems(Settings(note=[]))] == [
        "Settings.size is 0; give a whole number >= 1",
    ]
