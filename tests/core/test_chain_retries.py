"""Retries: which faults are worth another try, and how long it is waited for.

What they cost is in `test_chain_budget`; what a wait does, in `test_chain_waits`.
"""

import math

import pytest

from fsm_fallback import AllProvidersFailed, Fault, FaultKind, RetryConfig, Skip
from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.commands import Admit, Call, Open, Raise, Wait
from fsm_fallback.core.outcome import KINDS, Retry

K = FaultKind
DOWN = Fault(K.TRANSIENT)
LIMITED = Fault(K.RATE_LIMIT)
NEVER = [kind for kind in K if KINDS[kind].retry is Retry.NO]


def asked(retry=None, **more):
    """A provider that may be asked three times, after a second."""
    return {"attempts": 3, "backoff": 1.0, "factor": 1.0, **(retry or {}), **more}


def before(instant):
    """One tick before an instant."""
    return math.nextafter(instant, -math.inf)


def tries(call, fault, most=10):
    """How often the first candidate is called that fails like this each time."""
    count = 0
    while isinstance(call.command, Admit) and call.command.candidate.name == "a":
        call.admit()
        call.fail(fault)
        count += 1
        assert count < most
        if isinstance(call.command, Wait):
            call.at(call.now + call.command.seconds).elapse()
    return count


@pytest.fixture
def failed(start):
    """A call whose first candidate has failed once; what became of it."""

    def begun(*candidates, fault=DOWN, at=0.0, **parameters):
        call = start(*(candidates or ("a",)), at=at, **{"retry": asked(), **parameters})
        call.admit()
        call.fail(fault)
        return call

    return begun


class TestWhatIsTriedAgain:
    """Kinds of fault."""

    def test_a_fault_that_may_pass_waits_for_the_same_candidate(self, failed):
        """The attempt is on the trail; nobody else is asked."""
        call = failed("a")
        assert isinstance(call.command, Wait)
        assert call.command.seconds == 1.0
        assert call.fired == ("fault", "retryable", S.WAITING)
        assert [item.fault for item in call.trail] == [DOWN]
        assert call.steps[0].left == 1

    def test_the_second_try_is_an_attempt_of_its_own(self, failed):
        """Numbered, on a lease of its own, and an answer like any other."""
        call = failed("a", "b")
        command = call.at(1.0).elapse()
        assert isinstance(command, Admit)
        assert command.candidate.name == "a"
        assert isinstance(call.admit(), Call)
        call.at(2.0).answer()
        assert [(item.provider, item.number, item.started_at) for item in call.trail] == [
            ("a", 1, 0.0),
            ("a", 2, 1.0),
        ]

    def test_without_retries_nobody_is_asked_twice(self, start):
        """By default."""
        call = start("a")
        assert tries(call, DOWN) == 1
        assert call.steps[0].because["tries_left"] == 0
        assert isinstance(call.command, Raise)

    @pytest.mark.parametrize("attempts", [1, 2, 3, 5])
    def test_as_many_tries_as_there_may_be(self, start, attempts):
        """The first included; after the last one nothing is waited for."""
        call = start("a", retry=asked(attempts=attempts))
        assert tries(call, DOWN) == attempts
        assert type(call.error) is AllProvidersFailed
        assert [item.number for item in call.trail] == [*range(1, attempts + 1)]
        assert call.places.out == 0

    @pytest.mark.parametrize("kind", NEVER)
    def test_a_fault_that_does_not_pass_is_not_tried_again(self, start, kind):
        """As the fault table says."""
        call = start("a", retry=asked(bad_responses=True))
        assert tries(call, Fault(kind)) == 1
        assert call.steps[0].because["tries_left"] == 0
        assert call.places.taken == []

    @pytest.mark.parametrize("kind", [k for k in K if KINDS[k].retry is Retry.YES])
    def test_a_fault_that_may_pass_is_tried_as_often_as_may_be(self, start, kind):
        """As the fault table says."""
        assert tries(start("a", retry=asked()), Fault(kind)) == 3

    @pytest.mark.parametrize(("attempts", "count"), [(1, 1), (2, 2), (3, 2)])
    def test_nobody_there_is_tried_once_more(self, start, attempts, count):
        """And never a third time."""
        assert tries(start("a", retry=asked(attempts=attempts)), Fault(K.CONNECT)) == count

    @pytest.mark.parametrize(("bad_responses", "count"), [(False, 1), (True, 3)])
    def test_an_answer_nobody_can_use_is_tried_again_where_that_is_wanted(
        self, start, bad_responses, count
    ):
        """By default it is not."""
        call = start("a", retry=asked(bad_responses=bad_responses))
        assert tries(call, Fault(K.BAD_RESPONSE)) == count

    def test_a_rate_limit_is_tried_again(self, start):
        """If its wait fits."""
        assert tries(start("a", retry=asked()), LIMITED) == 3

    def test_tries_are_counted_by_candidate(self, start):
        """Whatever was asked before."""
        call = start("x", "a", retry=asked(attempts=2))
        call.admit()
        call.fail(Fault(K.AUTH))
        assert tries(call, DOWN) == 2

    def test_all_failures_of_one_candidate_count(self, failed):
        """Of any kind: three failed once each, and that is all."""
        call = failed("a")
        call.elapse()
        call.admit()
        call.fail(LIMITED)
        assert call.steps[-1].because["tries_left"] == 1
        call.elapse()
        call.admit()
        assert isinstance(call.fail(), Raise)

    def test_the_next_candidate_has_all_its_tries(self, start):
        """Those of the first are its own."""
        call = start("x", "a", retry=asked(attempts=2))
        for _ in range(2):
            call.admit()
            call.fail()
            if isinstance(call.command, Wait):
                call.elapse()
        assert tries(call, DOWN) == 2
        assert [item.provider for item in call.trail] == ["x", "x", "a", "a"]

    def test_a_stream_that_failed_before_output_is_tried_again(self, start):
        """Nothing was seen of it, so it is opened anew."""
        call = start("a", stream={}, retry=asked())
        call.open()
        call.noise()
        assert isinstance(call.fail(), Wait)
        call.elapse()
        assert isinstance(call.admit(), Open)
        assert call.held == 0

    def test_so_is_the_stream_that_follows_one_that_broke(self, start):
        """The caller still takes it."""
        call = start("a", "b", stream={"policy": "restart"}, retry=asked())
        call.open()
        call.output()
        call.fail()
        call.open()
        assert isinstance(call.fail(), Wait)
        assert call.step.because["handed_over"] is True
        assert call.fired == ("fault", "retryable", S.WAITING)


class TestWhatIsCompared:
    """The facts of a failure that may be tried again."""

    def test_everything_that_was_weighed_is_told(self, failed):
        """In the order it was measured."""
        call = failed("a", "b", at=100.0, deadline=110.0)
        assert dict(call.step.because) == {
            "fault": "transient",
            "fail_over": "yes",
            "larger_left": 0,
            "handed_over": False,
            "tries_left": 2,
            "wait": 1.0,
            "another": True,
            "longest": 1.0,
            "left": 10.0,
            "budget": True,
        }

    def test_a_call_without_a_deadline_has_all_the_time(self, failed):
        """Whatever the wait."""
        assert failed("a").step.because["left"] == math.inf

    def test_a_fault_that_is_not_tried_again_weighs_nothing(self, failed):
        """Only that there are no tries."""
        call = failed("a", fault=Fault(K.TIMEOUT))
        assert call.steps[0].because == {
            "fault": "timeout",
            "fail_over": "yes",
            "larger_left": 0,
            "handed_over": False,
            "tries_left": 0,
        }


class TestTheWait:
    """How long it is waited."""

    @pytest.mark.parametrize(
        ("jitter", "sample", "seconds"),
        [
            ("full", 0.0, 0.0),
            ("full", 0.25, 1.0),
            ("full", before(1.0), before(4.0)),
            ("equal", 0.0, 2.0),
            ("equal", 0.5, 3.0),
            ("equal", before(1.0), 4.0),
            ("none", 0.0, 4.0),
            ("none", before(1.0), 4.0),
        ],
    )
    def test_it_is_drawn_as_the_jitter_says(self, failed, jitter, sample, seconds):
        """Between nothing and all, between half and all, or all."""
        retry = asked(backoff=4.0, jitter=jitter)
        assert failed("a", retry=retry, sample=sample).command.seconds == seconds

    @pytest.mark.parametrize(
        ("factor", "seconds"), [(1.0, [1, 1, 1, 1]), (2.0, [1, 2, 4, 5]), (3.0, [1, 3, 5, 5])]
    )
    def test_each_is_that_many_times_the_one_before_up_to_a_cap(self, failed, factor, seconds):
        """By the tries of that candidate."""
        call = failed("a", retry=asked(attempts=5, factor=factor, max_backoff=5.0))
        waits = []
        while isinstance(call.command, Wait):
            waits.append(call.command.seconds)
            call.elapse()
            call.admit()
            call.fail()
        assert waits == seconds

    @pytest.mark.parametrize("tries", [64, 65, 66, 10_000])
    def test_it_stays_finite_however_often_it_is_tried(self, tries):
        """The power is bounded before the cap."""
        config = RetryConfig(factor=1000, backoff=1e-9, max_backoff=1e300, jitter="none")
        assert config.wait(tries, 0.5) == pytest.approx(1e-9 * 1000.0 ** min(tries - 1, 64))

    @pytest.mark.parametrize(("hint", "seconds"), [(0.5, 1.0), (1.0, 1.0), (3.0, 3.0)])
    def test_a_time_the_provider_named_is_a_lower_bound(self, failed, hint, seconds):
        """Our own wait may be longer."""
        call = failed("a", fault=Fault(K.TRANSIENT, retry_after=hint))
        assert call.command.seconds == seconds

    @pytest.mark.parametrize(("opens", "seconds"), [(100.5, 1.0), (102.0, 2.0), (50.0, 1.0)])
    def test_so_is_the_time_of_its_breaker(self, failed, candidate, opens, seconds):
        """Before it nobody would be admitted."""
        call = failed(candidate("a", opens=opens), at=100.0)
        assert call.command.seconds == seconds

    def test_it_is_counted_from_the_failure(self, failed):
        """What is left of it when the driver asks again is less."""
        call = failed("a", at=100.0)
        assert call.next(100.25).seconds == 0.75
        assert call.next(101.0).seconds == 0.0
        assert call.next(102.0).seconds == 0.0


class TestWhatIsNotWaitedFor:
    """A wait that is too long, and the bounds themselves."""

    @pytest.mark.parametrize(
        ("fault", "parameters", "longest"),
        [
            (DOWN, {"max_backoff": 5.0}, 5.0),
            (Fault(K.TRANSIENT, retry_after=2.0), {"max_retry_after": 20.0}, 20.0),
            (LIMITED, {"max_retry_after": 20.0}, 20.0),
            (Fault(K.RATE_LIMIT, retry_after=2.0), {"max_retry_after": 20.0}, 20.0),
        ],
    )
    @pytest.mark.parametrize("over", [False, True])
    def test_the_cap_is_that_of_who_named_the_wait(
        self, failed, candidate, fault, parameters, longest, over
    ):
        """We, or the provider; a rate limit names one by its breaker. Exactly the cap is waited."""
        opens = math.nextafter(longest, math.inf) if over else longest
        call = failed(candidate("a", opens=opens), fault=fault, retry=asked(**parameters))
        assert isinstance(call.command, Raise if over else Wait)
        assert call.steps[0].because["longest"] == longest
        assert call.places.taken == ([] if over else [7])

    def test_a_breaker_that_will_not_admit_after_the_wait_is_not_waited_for(
        self, failed, candidate
    ):
        """Nobody knows when it will, so the next candidate is asked."""
        call = failed(candidate("a", opens=math.inf), "b")
        assert call.command.candidate.name == "b"
        assert call.step.because["wait"] == math.inf

    @pytest.mark.parametrize(
        ("hint", "waited"), [(2.0, True), (math.nextafter(2.0, 3.0), False), (30.0, False)]
    )
    @pytest.mark.parametrize("kind", [K.TRANSIENT, K.RATE_LIMIT])
    def test_a_long_wait_is_not_worth_it_while_another_takes_the_call_at_once(
        self, failed, kind, hint, waited
    ):
        """Exactly the bound is not long yet."""
        fault = Fault(kind, retry_after=hint)
        call = failed("a", "b", fault=fault, retry=asked(long_wait=2.0))
        assert isinstance(call.command, Wait if waited else Admit)
        assert (call.step.because["another"], call.step.because["longest"]) == (True, 2.0)

    def test_a_cap_below_the_long_wait_holds(self, failed):
        """The shorter of the two."""
        call = failed("a", "b", retry=asked(long_wait=30.0, max_backoff=0.5))
        assert call.command.seconds == 0.5
        assert call.step.because["longest"] == 0.5

    @pytest.mark.parametrize(
        ("opens", "another"),
        [(99.0, True), (100.0, True), (math.nextafter(100.0, math.inf), False), (math.inf, False)],
    )
    def test_another_whose_breaker_is_open_takes_nothing_at_once(
        self, failed, candidate, opens, another
    ):
        """Exactly when it opens its way it does."""
        call = failed("a", candidate("b", opens=opens), at=100.0, retry=asked(long_wait=0.5))
        assert isinstance(call.command, Admit if another else Wait)
        assert call.step.because["another"] is another

    def test_one_that_was_ruled_out_takes_nothing(self, failed):
        """Nor does one that has failed before."""
        call = failed("x", "a", Skip("b", "tools"), fault=Fault(K.AUTH), retry=asked(long_wait=0))
        call.admit()
        assert isinstance(call.fail(), Wait)
        assert call.step.because["another"] is False

    @pytest.mark.parametrize(("window", "another"), [(8, False), (None, False), (16, True)])
    def test_one_whose_window_is_too_small_takes_nothing(self, failed, candidate, window, another):
        """The request is known to be too long for it."""
        ready = (candidate("a", 8), candidate("b", 12), candidate("c", window))
        call = failed(*ready, fault=Fault(K.CONTEXT), retry=asked(long_wait=0.5))
        call.admit()
        call.fail()
        assert call.steps[1].because["another"] is another

    @pytest.mark.parametrize(
        ("deadline", "waited"),
        [(101.0, False), (math.nextafter(101.0, math.inf), True), (100.5, False)],
    )
    def test_a_wait_that_takes_all_the_time_there_is_is_none(self, failed, deadline, waited):
        """There would be no time to ask in; one tick more, and there is."""
        call = failed("a", at=100.0, deadline=deadline)
        assert isinstance(call.command, Wait if waited else Raise)
        assert call.steps[0].because["budget"] is (True if waited else None)
        assert call.places.taken == ([7] if waited else [])

    def test_a_failure_at_the_deadline_is_not_tried_again(self, start):
        """Nor with no wait at all."""
        call = start("a", "b", retry=asked(jitter="full"), sample=0.0, deadline=5.0)
        call.admit()
        assert isinstance(call.at(5.0).fail(), Raise)
        assert call.steps[0].because["left"] == 0.0
