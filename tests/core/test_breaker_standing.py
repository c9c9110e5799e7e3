"""How a breaker begins: at birth, and from the snapshot of another."""

import inspect

import attrs
import pytest

from fsm_fallback import BreakerConfig, BreakerState, ConfigurationError, CountWindow, TimeWindow
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.lease import Refusal
from fsm_fallback.core.snapshot import digest_of

S = BreakerState
OTHER_PARAMETERS = [
    {"window": CountWindow(11)},
    {"window": TimeWindow(60.0, 60)},
    {"failure_ratio": 0.75},
    {"minimum_calls": 2},
    {"consecutive_failures": 3},
    {"slow_call_duration": 2.0},
    {"slow_call_ratio": 0.75},
    {"trip_on_success": True},
    {"open_duration": 31.0},
    {"backoff_factor": 3.0},
    {"max_open_duration": 301.0},
    {"jitter": 0.2},
    {"probe_calls": 2},
    {"probe_calls": 2, "probe_concurrency": 2},
    {"probe_timeout": 5.0},
    {"probe_stream_timeout": 60.0},
    {"early_verdict": False},
    {"max_hold": 60.0},
]


def led_to(breaker, state):
    """Lead a breaker from CLOSED into a state."""
    match state:
        case S.OPEN:
            breaker.trip()
        case S.HALF_OPEN:
            breaker.trip()
            breaker.probe()
        case S.FORCED_OPEN:
            breaker.force_open(breaker.now, "ops", "drill")
        case S.DISABLED:
            breaker.disable(breaker.now, "ops", "drill")
        case S.OBSERVING:
            breaker.observe(breaker.now, "ops", "drill")
    assert breaker.state is state
    return breaker


class TestBirth:
    """`initial_state`: a breaker may begin anywhere."""

    @pytest.mark.parametrize("state", [S.CLOSED, S.DISABLED, S.OBSERVING])
    def test_it_grants_from_the_first_call_on(self, make, state):
        """And stands where it was told to."""
        breaker = make(initial_state=state)
        assert (breaker.state, breaker.generation, breaker.open_until) == (state, 0, None)
        assert breaker.admit() is not None

    def test_forced_open_it_grants_to_nobody(self, make):
        """Until an operator says otherwise; nobody knows when."""
        breaker = make(initial_state=S.FORCED_OPEN)
        breaker.now = 1e9
        assert breaker.admit() is None
        assert breaker.refusal == Refusal("forced_open", None, None)
        breaker.reset(breaker.now)
        assert breaker.admit() is not None

    def test_open_it_stays_so_for_the_open_duration(self, make):
        """Counted from its birth; then the first caller is a probe."""
        breaker = make(initial_state=S.OPEN, open_duration=30.0, at=100.0)
        assert (breaker.state, breaker.open_until, breaker.step) == (S.OPEN, 130.0, 0)
        breaker.now = 130.0 - 1e-9
        assert breaker.admit() is None
        breaker.now = 130.0
        assert breaker.admit() is not None
        assert breaker.state is S.HALF_OPEN

    def test_half_open_its_first_caller_is_a_probe(self, make):
        """It stands OPEN with the open time over, for a round is begun by a caller."""
        breaker = make(initial_state=S.HALF_OPEN, at=100.0)
        assert (breaker.state, breaker.open_until) == (S.OPEN, 100.0)
        assert breaker.admit().deadline is not None
        assert breaker.state is S.HALF_OPEN
        assert breaker.admit() is None

    @pytest.mark.parametrize("state", [S.OPEN, S.HALF_OPEN])
    def test_its_first_failed_round_is_a_first_opening(self, make, state):
        """How it began is no outage."""
        breaker = make(initial_state=state)
        breaker.cool_down()
        breaker.play("F")
        assert (breaker.step, breaker.opened_for) == (1, 30.0)

    @pytest.mark.parametrize("state", S)
    def test_where_it_began_does_not_matter_after_a_reset(self, make, state):
        """It is closed then, like any other."""
        breaker = make(initial_state=state)
        breaker.reset(0.0)
        breaker.play("F")
        assert (breaker.state, breaker.opened_for) == (S.OPEN, 30.0)

    def test_it_is_told_no_more_than_these(self):
        """How it stands is nobody's to give; what was not given is plain."""
        given = ["name", "config", "now", "owner", "record", "record_stays", "sample"]
        assert list(inspect.signature(Breaker).parameters) == given
        breaker = Breaker("openai")
        assert [getattr(breaker, name) for name in given] == [
            "openai",
            BreakerConfig(),
            0.0,
            None,
            None,
            False,
            0.5,
        ]

    def test_a_birth_is_no_news(self, make):
        """Nothing has happened, so nothing is recorded."""
        steps = []
        make(initial_state=S.OPEN, record=steps.append, stays=True)
        assert steps == []


class TestRestoring:
    """A breaker takes over how another stood."""

    def test_an_opening_comes_back_with_the_time_that_was_left(self, make):
        """On a clock of its own, with step, holds and cause."""
        old = make(open_duration=30.0)
        old.trip()
        old.now = 10.0
        new = make(at=5_000.0)
        new.restore(old.snapshot(old.now), new.now)
        assert (new.state, new.opened_for, new.step) == (S.OPEN, 20.0, 1)
        assert new.cause is old.cause

    def test_an_opening_that_was_over_is_over(self, make):
        """The next caller is a probe; no time is owed."""
        old = make(open_duration=30.0)
        old.trip()
        new = make(at=5_000.0)
        new.restore(old.snapshot(100.0), new.now)
        assert new.open_until == 5_000.0
        assert new.admit() is not None

    def test_half_open_comes_back_open_and_cooled_down(self, make):
        """The probes of the old one are nobody's here."""
        old = led_to(make(), S.HALF_OPEN)
        new = make(at=5_000.0)
        new.restore(old.snapshot(old.now), new.now)
        assert (new.state, new.open_until) == (S.OPEN, 5_000.0)
        assert new.admit() is not None
        assert new.state is S.HALF_OPEN

    @pytest.mark.parametrize("state", [S.CLOSED, S.FORCED_OPEN, S.DISABLED, S.OBSERVING])
    def test_the_other_states_come_back_as_they_were(self, make, state):
        """With empty evidence and no open time."""
        old = led_to(make(minimum_calls=9), state)
        if old.state is not S.FORCED_OPEN:
            old.play("F")
        new = make(minimum_calls=9, at=5_000.0)
        new.restore(old.snapshot(0.0), new.now)
        assert (new.state, new.open_until, new.tally.calls) == (state, None, 0)

    def test_the_count_of_holds_comes_back(self, make):
        """A restart makes no first hold of a second one."""
        old = make()
        old.hold(900.0, old.admit())
        new = make(at=5_000.0)
        new.restore(old.snapshot(0.0), new.now)
        new.hold(900.0, new.probe())
        assert new.opened_for == 1_800.0

    def test_what_was_out_before_is_late(self, make):
        """A lease of the breaker that was overwritten is none of the new one's."""
        breaker = make()
        lease = breaker.admit()
        breaker.restore(make().snapshot(0.0), 0.0)
        breaker.settle(lease, "F")
        assert breaker.state is S.CLOSED

    def test_a_restored_breaker_says_so(self, make):
        """One record, without a row: no table declares it."""
        steps, old = [], make()
        old.trip()
        new = make(record=steps.append)
        new.restore(old.snapshot(0.0), 0.0)
        (step,) = steps
        assert (step.trigger, step.row, step.verdict) == ("restore", None, "moved")
        assert (step.source, step.target) == (S.CLOSED, S.OPEN)
        assert step.fault is old.cause is not None

    @pytest.mark.parametrize("state", S)
    def test_a_snapshot_goes_from_one_to_the_next_and_on(self, make, state):
        """What a restored breaker tells can be restored again."""
        old = led_to(make(), state)
        new = make(at=5_000.0)
        new.restore(old.snapshot(old.now), new.now)
        last = make(at=9_000.0)
        last.restore(new.stands, last.now)
        assert last.state is new.state
        assert last.step == new.step

    def test_who_spoke_before_is_forgotten(self, make):
        """The breaker stands by the snapshot now, and by nobody's word."""
        new = led_to(make(), S.FORCED_OPEN)
        new.restore(make().stands, 0.0)
        assert (new.actor, new.reason) == (None, None)

    def test_where_a_breaker_began_is_no_other_parameter(self, make):
        """It decides alike, so its snapshot is good."""
        old, new = make(initial_state=S.OPEN), make()
        new.restore(old.stands, 0.0)
        assert (new.state, new.open_until) == (S.OPEN, 30.0)


class TestForeignSnapshots:
    """One of a breaker that decides by other parameters is refused."""

    @pytest.mark.parametrize("parameters", OTHER_PARAMETERS)
    def test_other_parameters_are_refused_and_nothing_changes(self, make, parameters):
        """Whichever they are; the message names both digests and the remedy."""
        old = make(**parameters)
        old.force_open(0.0)
        new = make()
        new.play("." * 3)
        lease = new.admit()
        before = new.stands
        with pytest.raises(ConfigurationError) as caught:
            new.restore(old.stands, 0.0)
        assert str(caught.value) == (
            "restore of 'openai' got a snapshot of other parameters (digest "
            f"{old.stands.digest[:12]!r}, not {before.digest[:12]!r}); give one of a breaker with "
            "the same BreakerConfig"
        )
        assert new.stands == before
        new.settle(lease, ".")
        assert new.tally.calls == 4

    def test_every_parameter_is_tried(self):
        """A new one needs its line here."""
        tried = {name for parameters in OTHER_PARAMETERS for name in parameters}
        assert tried == {field.name for field in attrs.fields(BreakerConfig)} - {"initial_state"}

    def test_a_digest_is_of_the_table_and_the_parameters_in_force(self):
        """As the table makes it, though it is made once."""
        config = BreakerConfig(jitter=0.2)
        assert digest_of(config) == BREAKER.digest(config.in_force)
        assert digest_of(config) != BREAKER.digest()

    def test_equal_parameters_have_one_digest(self):
        """Whoever made the configuration, and whether it was written out."""
        written_out = BreakerConfig(window=CountWindow(100), open_duration=30.0)
        assert digest_of(written_out) == digest_of(BreakerConfig())
        assert BREAKER.digest(written_out.in_force) == BREAKER.digest(BreakerConfig().in_force)
