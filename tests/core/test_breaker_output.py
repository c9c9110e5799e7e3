"""The first output of a stream: it ends the wait, not the call."""

from fsm_fallback import BreakerState

S = BreakerState
SLOW = 5.0
TICK = 1e-9


def test_slowness_is_judged_by_the_first_output(watched):
    """A stream that begins in time may go on for an hour."""
    breaker = watched()
    lease = breaker.admit()
    breaker.begin_output(lease, SLOW - TICK)
    breaker.now = 3_600.0
    assert breaker.stands.slow_calls == 0
    breaker.settle(lease, ".")
    assert breaker.tally == (1, 0, 0)


def test_a_first_output_that_came_late_makes_a_slow_call(watched):
    """At exactly the limit."""
    breaker = watched()
    lease = breaker.admit()
    breaker.begin_output(lease, SLOW)
    breaker.settle(lease, ".")
    assert breaker.tally == (1, 0, 1)


def test_it_comes_so_many_seconds_after_the_admission(watched):
    """Whenever that was."""
    breaker = watched(at=100.0)
    for _ in range(2):
        lease = breaker.admit()
        breaker.begin_output(lease, breaker.now + 3.0)
        assert lease.duration == 3.0
        breaker.now = 200.0
        breaker.reset(200.0)


def test_only_the_first_output_counts(watched):
    """The second one comes when it comes."""
    breaker = watched()
    lease = breaker.admit()
    breaker.begin_output(lease, 1.0)
    breaker.begin_output(lease, 100.0)
    assert lease.duration == 1.0
    breaker.settle(lease, ".")
    assert breaker.tally == (1, 0, 0)


def test_a_given_duration_outranks_the_first_output(watched):
    """Whoever names one knows better."""
    breaker = watched()
    lease = breaker.admit()
    breaker.begin_output(lease, 0.0)
    breaker.succeed(lease, 0.0, SLOW)
    assert breaker.tally == (1, 0, 1)


def test_a_failure_after_the_first_output_is_a_failure(watched):
    """Fast to begin, cut midway."""
    breaker = watched()
    lease = breaker.admit()
    breaker.begin_output(lease, 0.0)
    breaker.now = 100.0
    breaker.settle(lease, "F")
    assert breaker.tally == (1, 1, 0)


def test_it_gives_a_probe_its_time_out_anew(watched):
    """Who has begun to answer does not hang."""
    breaker = watched(minimum_calls=1, probe_timeout=60.0)
    breaker.play("F")
    lease = breaker.probe()
    breaker.begin_output(lease, 89.0)
    assert lease.deadline == 149.0
    breaker.now = 149.0
    assert breaker.admit() is None
    assert breaker.state is S.HALF_OPEN
    breaker.now = 149.0 + TICK
    assert breaker.admit() is None
    assert breaker.state is S.OPEN


def test_only_the_first_output_moves_the_deadline(watched):
    """Else a stream that drips for ever would keep the round for ever."""
    breaker = watched(minimum_calls=1, probe_timeout=60.0)
    breaker.play("F")
    lease = breaker.probe()
    breaker.begin_output(lease, 40.0)
    breaker.begin_output(lease, 80.0)
    assert lease.deadline == 100.0


def test_that_of_a_settled_lease_changes_nothing(watched):
    """Its call is over."""
    breaker = watched()
    lease = breaker.admit()
    breaker.settle(lease, "-")
    before = breaker.snapshot(100.0)
    breaker.begin_output(lease, 100.0)
    assert lease.duration is None
    assert breaker.snapshot(100.0) == before


def test_that_of_an_older_generation_changes_nothing(watched):
    """It belongs to nobody here: no slot, no deadline; only that it was told is known."""
    breaker = watched(minimum_calls=1)
    old = breaker.admit()
    breaker.play("F")
    breaker.probe()
    before = breaker.snapshot(100.0)
    breaker.begin_output(old, 100.0)
    assert (old.duration, old.deadline) == (100.0, None)
    assert breaker.snapshot(100.0) == before
