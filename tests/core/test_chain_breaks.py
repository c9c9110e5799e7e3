"""A stream that breaks: what becomes of the call, what the caller is told, what is recorded."""

import math

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    DeadlineExceeded,
    Fault,
    FaultKind,
    RequestRejected,
    Skip,
    StreamInterrupted,
    StreamReset,
)
from fsm_fallback.core.chain_rows import CHAIN, S
from fsm_fallback.core.commands import Admit, Emit, Raise
from fsm_fallback.core.events import AttemptStep, StreamStep

K = FaultKind
BROKEN = Fault(K.STREAM)
TOO_LONG = Fault(K.CONTEXT)
RESTART = {"policy": "restart"}
PLAIN_FACTS = {"fault": "stream", "fail_over": "yes", "larger_left": 0, "tries_left": 0}


@pytest.fixture
def streaming(start):
    """A call whose first candidate has been handed over."""

    def begun(*candidates, stream=None, **parameters):
        call = start(*candidates, stream={} if stream is None else stream, **parameters)
        call.open()
        call.output()
        return call

    return begun


@pytest.fixture
def going_on(streaming):
    """A call that goes on after the stream of its first candidate broke; the second is called."""

    def begun(*candidates, **parameters):
        call = streaming(*candidates, stream=RESTART, **parameters)
        call.fail(BROKEN)
        call.open()
        return call

    return begun


class TestPolicies:
    """What becomes of a stream that breaks after output."""

    def test_by_default_the_call_is_interrupted(self, streaming):
        """Nobody else is asked, though somebody is left."""
        call, error = streaming("a", "b"), RuntimeError()
        assert isinstance(call.fail(BROKEN, error), Raise)
        assert type(call.error) is StreamInterrupted
        assert call.error.exceptions == (error,)
        assert call.error.trail == call.trail
        assert call.fired == ("cut", None, S.INTERRUPTED)
        assert call.step.because == {**PLAIN_FACTS, "handed_over": True, "policy": "raise"}

    def test_where_the_caller_takes_a_fresh_stream_the_next_candidate_is_asked(self, streaming):
        """The attempt that broke is on the trail."""
        call = streaming("a", "b", stream=RESTART)
        command = call.fail(BROKEN)
        assert isinstance(command, Admit)
        assert command.candidate.name == "b"
        assert call.fired == ("cut", "restartable", S.SELECTING)
        assert call.step.because == {**PLAIN_FACTS, "handed_over": True, "policy": "restart"}
        assert [item.fault for item in call.trail] == [BROKEN]

    @pytest.mark.parametrize("kind", [K.CALLER, K.CONTENT, TOO_LONG.kind])
    def test_a_fault_of_the_request_begins_nothing_anew(self, streaming, kind):
        """No other provider would help."""
        call = streaming("a", "b", stream=RESTART)
        assert type(call.fail(Fault(kind)).error) is StreamInterrupted
        assert call.fired == ("cut", None, S.INTERRUPTED)

    def test_a_stream_too_long_begins_anew_where_the_window_is_larger(self, streaming, candidate):
        """Whoever has a smaller one is passed over."""
        ready = (candidate("a", 8), candidate("b", 8), candidate("c", 16))
        call = streaming(*ready, stream=RESTART)
        assert call.fail(TOO_LONG).candidate.name == "c"
        assert call.steps[1].because == {
            "fault": "context",
            "fail_over": "larger_window",
            "larger_left": 1,
            "tries_left": 0,
            "handed_over": True,
            "policy": "restart",
        }

    def test_a_stream_held_whole_breaks_unseen(self, start):
        """The next candidate is asked, and the caller hears nothing of it."""
        call = start("a", "b", stream={"policy": "buffer"})
        call.open()
        call.output()
        assert isinstance(call.fail(BROKEN), Admit)
        assert call.fired == ("fault", None, S.SELECTING)
        assert call.step.because == {**PLAIN_FACTS, "handed_over": False}
        call.open()
        call.output()
        call.finish()
        assert call.seen_of is None

    def test_a_stream_that_was_handed_over_is_never_tried_again(self, streaming):
        """The same provider would begin from the start."""
        call = streaming("a", stream=RESTART, retry={"attempts": 3})
        call.fail(BROKEN)
        assert call.steps[1].because["tries_left"] == 0
        assert call.places.taken == []
        assert call.state is S.INTERRUPTED


class TestAfterOutput:
    """Once output was handed over no error says that nobody answered."""

    def test_nobody_left_is_an_interruption(self, streaming):
        """The message names whose stream it was."""
        call, error = streaming("a", stream=RESTART), RuntimeError()
        call.fail(BROKEN, error)
        assert type(call.error) is StreamInterrupted
        assert call.error.exceptions == (error,)
        assert call.error.message == (
            "the stream of 'a' broke after output had been handed over: 'a' stream (wait)"
        )
        assert call.fired == ("exhaust", "handed_over", S.INTERRUPTED)
        assert call.step.because == {"waits": False, "handed_over": True}

    def test_without_output_it_is_a_failure(self, start):
        """The same walk, unseen."""
        call = start("a", stream=RESTART)
        call.open()
        call.fail(BROKEN)
        assert type(call.error) is AllProvidersFailed
        assert call.fired == ("exhaust", None, S.FAILED)
        assert call.step.because == {"waits": False, "handed_over": False}

    def test_all_errors_are_members_in_order(self, going_on, refusal):
        """The first broke, the second failed before output, the third was refused."""
        call, error = going_on("a", "b", "c"), RuntimeError("b")
        call.fail(Fault(K.TRANSIENT), error)
        call.refuse()
        assert type(call.error) is StreamInterrupted
        assert call.error.exceptions == (call.trail[0].error, error)
        assert [item.provider for item in call.error.trail] == ["a", "b", "c"]

    def test_a_fault_of_the_request_is_an_interruption(self, going_on):
        """Though the second stream had given nothing."""
        call = going_on("a", "b", "c")
        assert type(call.fail(Fault(K.CALLER)).error) is StreamInterrupted
        assert call.fired == ("fault", "spoilt", S.INTERRUPTED)
        assert call.step.because == {
            "fault": "caller",
            "fail_over": "no",
            "larger_left": 0,
            "handed_over": True,
            "tries_left": 0,
        }

    def test_unseen_it_is_a_rejection(self, start):
        """The same fault at the same place."""
        call = start("a", "b", stream=RESTART)
        call.open()
        assert type(call.fail(Fault(K.CALLER)).error) is RequestRejected
        assert call.fired == ("fault", "rejected", S.REJECTED)
        assert call.step.because["handed_over"] is False

    def test_another_failure_asks_the_next(self, going_on):
        """It may be well there."""
        call = going_on("a", "b", "c")
        assert call.fail(BROKEN).candidate.name == "c"
        assert call.step.because == {**PLAIN_FACTS, "handed_over": True}

    def test_the_message_names_whose_stream_was_seen_last(self, going_on):
        """Two broke."""
        call = going_on("a", "b")
        call.output()
        call.fail(BROKEN)
        assert call.error.message.startswith("the stream of 'b' broke after output")


class TestResets:
    """What stands in a stream where it begins anew."""

    def test_it_names_both_streams_and_why_one_broke(self, going_on):
        """The fault is the one on the trail."""
        call = going_on("a", "b")
        call.noise()
        command = call.output()
        assert isinstance(command, Emit)
        assert command.reset == StreamReset(provider="b", after="a", fault=BROKEN)
        assert command.reset.fault is call.trail[0].fault

    def test_it_comes_once(self, going_on):
        """With the first item of the fresh stream, and with no other."""
        call = going_on("a", "b")
        assert call.output().reset is not None
        assert call.output().reset is None

    def test_it_names_the_one_that_was_seen_last(self, going_on):
        """And why that broke, not who failed unseen since."""
        call, late = going_on("a", "b", "c", "d"), Fault(K.TIMEOUT)
        call.output()
        call.fail(late)
        call.open()
        call.fail(Fault(K.TRANSIENT))
        call.open()
        assert call.output().reset == StreamReset("d", after="b", fault=late)

    def test_a_candidate_ruled_out_between_two_streams_does_not_hide_the_first(self, streaming):
        """Nor does one that was refused."""
        call = streaming("a", Skip("b", "tools"), "c", "d", stream=RESTART)
        call.fail(BROKEN)
        call.refuse()
        call.open()
        assert call.output().reset == StreamReset("d", after="a", fault=BROKEN)

    def test_a_candidate_with_too_small_a_window_does_not_hide_it_either(
        self, streaming, candidate
    ):
        """It was passed over in the same way."""
        call = streaming(candidate("a", 8), candidate("b", 8), candidate("c", 9), stream=RESTART)
        call.fail(TOO_LONG)
        call.open()
        assert call.output().reset == StreamReset("c", after="a", fault=TOO_LONG)

    def test_the_latest_attempt_of_a_provider_says_why_it_broke(self, start):
        """Not an earlier one, that was tried again."""
        call = start("a", "b", stream=RESTART, retry={"attempts": 2})
        call.open()
        call.fail(Fault(K.TRANSIENT))
        call.elapse()
        call.open()
        call.output()
        call.fail(BROKEN)
        call.open()
        assert call.output().reset == StreamReset("b", after="a", fault=BROKEN)


class TestTheDeadline:
    """The end of a call that streams."""

    def test_a_stream_that_is_out_is_cut(self, streaming):
        """And told, whatever the policy."""
        call = streaming("a", "b", stream=RESTART, deadline=10.0)
        call.at(10.0).ring()
        assert type(call.error) is StreamInterrupted
        assert isinstance(call.error.exceptions[0], TimeoutError)
        assert call.fired == ("expire", None, S.INTERRUPTED)
        assert call.step.because == {
            "now": 10.0,
            "deadline": 10.0,
            "had": 10.0,
            "fair": 5.0,
            "handed_over": True,
        }

    def test_one_tick_before_it_is_a_stream_that_breaks(self, streaming):
        """There is time to begin anew."""
        call = streaming("a", "b", stream=RESTART, deadline=10.0)
        assert isinstance(call.at(math.nextafter(10.0, 0.0)).ring(), Admit)
        assert call.fired == ("cut", "restartable", S.SELECTING)

    def test_a_stream_that_breaks_at_the_deadline_begins_nothing_anew(self, streaming):
        """Nobody is asked for a fresh one, and it is no plain deadline."""
        call = streaming("a", "b", stream=RESTART, deadline=10.0)
        call.at(10.0).fail(BROKEN)
        assert type(call.error) is StreamInterrupted
        assert call.fired == ("expire", "handed_over", S.INTERRUPTED)
        assert call.step.because == {"now": 10.0, "deadline": 10.0, "handed_over": True}

    def test_unseen_the_same_is_a_deadline(self, start):
        """Nothing was begun."""
        call = start("a", "b", stream=RESTART, deadline=10.0)
        call.open()
        call.at(10.0).fail(BROKEN)
        assert type(call.error) is DeadlineExceeded
        assert call.fired == ("expire", None, S.FAILED)

    @pytest.mark.parametrize(("seen", "final"), [(True, S.INTERRUPTED), (False, S.FAILED)])
    def test_an_attempt_that_is_out_is_cut(self, start, seen, final):
        """What it means depends on what the caller saw of another stream."""
        call = start("a", "b", stream=RESTART, deadline=10.0)
        call.open()
        if seen:
            call.output()
        call.fail(BROKEN)
        call.open()
        call.at(10.0).ring()
        assert type(call.error) is (StreamInterrupted if seen else DeadlineExceeded)
        assert call.fired == ("expire", "handed_over" if seen else None, final)
        assert call.step.because["handed_over"] is seen

    def test_a_stream_that_ends_late_is_the_answer(self, streaming):
        """It is there, and paid for."""
        call = streaming("a", deadline=10.0)
        call.at(11.0).finish()
        assert call.state is S.SUCCEEDED


class TestRecords:
    """What is recorded of a stream."""

    def test_a_stream_is_two_steps(self, start):
        """Its attempt, when it was handed over, and its end."""
        call = start("a", "b", at=100.0, stream={})
        call.at(101.0).open()
        call.at(102.0).noise(5)
        call.at(103.0).output(6)
        call.at(104.0).finish()
        lease = call.lease
        common = {
            "chain": "fallback",
            "call": 7,
            "attempt": 1,
            "provider": "a",
            "generation": lease.generation,
            "lease": lease.number,
            "fault": None,
            "left": 2,
        }
        (commit,) = CHAIN.cell(S.CALLING, "commit")
        (finish,) = CHAIN.cell(S.STREAMING, "finish")
        because = {"output": True, "held": 2, "held_bytes": 11}
        assert call.steps == [
            AttemptStep(
                **common, offered_at=101.0, at=103.0, row=commit, because=because, before=0
            ),
            StreamStep(**common, at=104.0, row=finish, because={}, before=2),
        ]
        assert [type(step) for step in call.steps] == [AttemptStep, StreamStep]

    def test_what_was_handed_over_for_want_of_room_says_so(self, start):
        """It carried no output."""
        call = start("a", stream={"buffer_items": 2})
        call.open()
        call.noise(3)
        call.noise(4)
        assert call.step.because == {"output": False, "held": 2, "held_bytes": 7}

    def test_records_are_numbered_without_a_gap(self, going_on):
        """An attempt is two, the end of its stream one more, a skip or an end one."""
        call = going_on("a", "b", "c", "d")
        call.output()
        call.fail(BROKEN)
        call.refuse()
        call.open()
        call.fail(BROKEN)
        assert [(step.row.trigger, step.before, step.left) for step in call.steps] == [
            ("commit", 0, 4),
            ("cut", 2, 3),
            ("commit", 3, 3),
            ("cut", 5, 2),
            ("skip", 6, 1),
            ("fault", 7, 0),
            ("exhaust", 9, 0),
        ]
        assert call.told == 10

    def test_a_stream_that_was_handed_over_after_a_failure_has_no_fault(self, going_on):
        """Its own end has, if it breaks."""
        call, late = going_on("a", "b"), Fault(K.TIMEOUT)
        call.output()
        assert call.step.fault is None
        call.fail(late)
        assert [step.fault for step in call.steps if type(step) is StreamStep] == [BROKEN, late]

    def test_a_caller_that_had_enough_is_recorded_as_the_end_of_the_stream(self, streaming):
        """With nothing compared and no fault; the attempt is not told as one that failed."""
        call = streaming("a", "b")
        call.chain.abandon(3.0)
        assert isinstance(call.step, StreamStep)
        assert call.fired == ("abandon", None, S.ABANDONED)
        assert (call.step.at, call.step.because, call.step.fault) == (3.0, {}, None)
        assert call.trail == ()

    def test_nobody_need_record(self, start):
        """The walk is the same."""
        call = start("a", stream={})
        call.chain.record = None
        call.open()
        call.output()
        call.finish()
        assert (call.state, call.steps) == (S.SUCCEEDED, [])
