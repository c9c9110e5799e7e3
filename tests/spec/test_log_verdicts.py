"""The verdict on a log: what breakers did, held against the same properties."""

import copy
import random
from functools import partial

import pytest

from fsm_fallback import (
    AuditLog,
    BreakerConfig,
    CircuitBreaker,
    ConfigurationError,
    CountWindow,
    FallbackConfig,
    FallbackProvider,
    TimeWindow,
    provider,
)
from fsm_fallback.spec.log import IN_LOGS, UNKNOWN, judge_log
from fsm_fallback.testing import ManualClock

CONFIG = BreakerConfig(
    window=CountWindow(5), minimum_calls=3, open_duration=4.0, probe_calls=2, jitter=0.0
)


class Overloaded(Exception):
    """As an SDK raises it for a 503."""

    status_code = 503


def records_of(mode="full", config=CONFIG, calls=600):
    """What a chain with a weak provider, stray leases and restless operators records."""
    chance, clock = random.Random(4), ManualClock()  # noqa: S311  # a script, not a secret
    log = AuditLog(mode=mode, clock=clock)

    @provider("weak")
    def weak():
        if chance.random() < 0.5:
            raise Overloaded
        return 1

    @provider("strong")
    def strong():
        return 2

    chain = FallbackProvider(
        weak, strong, config=FallbackConfig(breaker=config, audit=mode), audit=log, clock=clock
    )
    breaker = chain.breaker("weak")
    out = []
    for _ in range(calls):
        chain.call()
        clock.advance(chance.choice([0, 0, 1, 5]))
        if chance.random() < 0.1 and (lease := breaker.try_acquire()) is not None:
            out.append(lease)
        if chance.random() < 0.1 and out:
            lease = chance.choice(out)
            ends = (lease.succeed, lease.fail, lease.release, partial(lease.hold, 3.0))
            chance.choice(ends)()
        if chance.random() < 0.02:
            words = (breaker.reset, breaker.force_open, breaker.disable, breaker.observe)
            chance.choice(words)(actor="ops")
    return log.records()


RECORDS = records_of()


def broken(records, config=CONFIG):
    """The properties that a log breaks, with their histories."""
    return {each.promise.id: each.history for each in judge_log(records, config) if not each.kept}


def changed(trigger, source, verdict, **changes):
    """The records with the first of a kind changed."""
    records = copy.deepcopy(RECORDS)
    record = next(
        each
        for each in records
        if (each["trigger"], each["from"], each["verdict"]) == (trigger, source, verdict)
        and "settled_before" not in each["because"]
    )
    for field, value in changes.items():
        if field == "facts":
            record["facts"].update(value)
        else:
            record[{"target": "to"}.get(field, field)] = value
    return records


def test_what_really_happened_is_as_promised():
    """Every property that a log tells applied, and none is broken."""
    verdicts = judge_log(RECORDS, CONFIG)
    assert {each.promise.id for each in verdicts} == IN_LOGS
    assert all(each.kept and each.cases for each in verdicts)


@pytest.mark.parametrize(
    ("records", "promise"),
    [
        (changed("admit", "open", "refused", target="half_open"), "open-never-called"),
        (changed("fail", "closed", "moved", target="closed"), "too-much-evidence-trips"),
        (changed("fail", "closed", "stayed", facts={"failures": 9}), "counters-equal-a-recount"),
        (changed("fail", "closed", "moved", facts={"step": 7}), "opening-grows"),
        (changed("fail", "closed", "moved", facts={"open_until": None}), "open-until-when-open"),
        (changed("admit", "open", "moved", facts={"generation": 0}), "generation-never-reused"),
        (changed("fail", "open", "late", facts={"calls": 4}), "late-outcome-changes-nothing"),
    ],
)
def test_a_log_that_tells_of_a_broken_promise_is_told_apart(records, promise):
    """One field of one record is enough; the history is that record and the one before."""
    try:
        found = broken(records)
    except ConfigurationError as error:
        pytest.fail(f"refused: {error}")
    assert promise in found
    assert ", then record " in found[promise]


def test_the_history_names_the_records():
    """By their number in the stream, with machine, trigger, states and row."""
    found = broken(changed("fail", "closed", "moved", target="closed"))
    told = found["too-much-evidence-trips"]
    assert "'fallback/weak' fail [closed -> closed, T18] at " in told


def test_a_log_that_begins_in_the_middle_is_judged_from_there():
    """Its first record tells no act: nobody knows what was before."""
    assert broken(RECORDS[len(RECORDS) // 2 :]) == {}


@pytest.mark.parametrize(
    "records",
    [[], [each for each in RECORDS if each["machine"] == "chain"]],
    ids=["none", "chains"],
)
def test_a_log_without_breakers_is_refused(records):
    """Nothing was looked at, and a verdict would say that all is well."""
    with pytest.raises(ConfigurationError, match="the log has no record of a breaker"):
        judge_log(records, CONFIG)


@pytest.mark.parametrize(
    ("records", "config", "named"),
    [
        (["a line"], CONFIG, "judge_log.records has 'a line', which is no audit record"),
        ([{"machine": "breaker"}], CONFIG, "judge_log.records has a dict, which is no audit"),
        (RECORDS, FallbackConfig(), "judge_log.config for 'fallback/weak' is a FallbackConfig"),
        (RECORDS, {}, "judge_log.config for 'fallback/weak' is None; give a BreakerConfig"),
    ],
)
def test_what_is_no_log_is_refused(records, config, named):
    """Argument, value and remedy."""
    with pytest.raises(ConfigurationError, match=named):
        judge_log(records, config)


def test_a_file_of_two_runs_is_two_logs():
    """Each stream is followed by itself; a file is appended to."""
    again = [{**each, "stream": "another run"} for each in RECORDS]
    assert broken([*RECORDS, *again]) == {}


def test_each_breaker_may_have_parameters_of_its_own():
    """By the id in the records."""
    configs = {each["id"]: CONFIG for each in RECORDS if each["machine"] == "breaker"}
    assert broken(RECORDS, configs) == {}


@pytest.mark.parametrize("start", [0, 50])
def test_a_log_with_moves_alone_is_refused(start):
    """Between two of its records something is missing."""
    with pytest.raises(ConfigurationError, match=r"does not tell how lease \d+ of 'fallback/weak'"):
        judge_log(records_of("moves")[start:], CONFIG)


def test_a_log_with_a_gap_is_refused():
    """As one that lost records has."""
    rest = [each for each in RECORDS if each["id"] != "fallback/weak" or each["id_seq"] != 7]
    with pytest.raises(ConfigurationError, match="has no record 7 of 'fallback/weak', but 8"):
        judge_log(rest, CONFIG)


def test_a_log_of_other_parameters_is_refused():
    """Its digest says so."""
    with pytest.raises(ConfigurationError, match="is of other parameters or another table"):
        judge_log(RECORDS, BreakerConfig())


@pytest.mark.parametrize(
    "config",
    [
        BreakerConfig(window=TimeWindow(60.0), minimum_calls=3),
        BreakerConfig(window=CountWindow(5), minimum_calls=3, slow_call_duration=1.0),
    ],
)
def test_what_a_log_does_not_tell_is_not_judged(config):
    """Windows of time, slowness and jitter leave the rest to be judged."""
    verdicts = judge_log(records_of(config=config, calls=300), config)
    ids = {each.promise.id for each in verdicts}
    assert "too-much-evidence-trips" not in ids
    assert "opening-grows" not in ids
    assert "open-never-called" in ids
    assert all(each.kept for each in verdicts)


def test_a_call_that_hangs_is_no_false_alarm():
    """A closed breaker refuses because of it, and the log does not tell of it before."""
    config = BreakerConfig(window=CountWindow(2), minimum_calls=1, slow_call_duration=1.0)
    clock = ManualClock()
    log = AuditLog(mode="full", clock=clock)
    breaker = CircuitBreaker("a", config, clock=clock)
    breaker.audit(log.append, id="a", stays=True)
    lease = breaker.try_acquire()
    clock.advance(2)
    assert breaker.try_acquire() is None
    assert broken(log.records(), config) == {}
    lease.release()


def test_a_restored_breaker_is_followed_from_there():
    """What no row declares is no act."""
    log, clock = AuditLog(mode="full"), ManualClock()
    breaker = CircuitBreaker("a", CONFIG, clock=clock)
    breaker.audit(log.append, id="a", stays=True)
    breaker.force_open()
    breaker.restore(breaker.snapshot())
    breaker.reset()
    assert broken(log.records()) == {}


def test_unknown_equals_anything_and_stays_unknown():
    """So that a sum with it is no finding."""
    assert UNKNOWN == 3
    assert [UNKNOWN] == [3]
    assert (UNKNOWN + 1) - 2 is UNKNOWN
    assert repr(UNKNOWN) == "UNKNOWN"
    with pytest.raises(TypeError, match="unhashable"):
        hash(UNKNOWN)
