"""Waits: for a breaker where all refuse, and what happens at the end of any wait."""

import math

import pytest
from transitions import MachineError

from fsm_fallback import (
    AllProvidersFailed,
    DeadlineExceeded,
    Fault,
    FaultKind,
    Skip,
    StreamInterrupted,
)
from fsm_fallback.core.chain import POLL
from fsm_fallback.core.chain_rows import CHAIN, S
from fsm_fallback.core.commands import Admit, Call, Open, Raise, Wait
from fsm_fallback.core.events import ChainStep

K = FaultKind


def after(instant):
    """One tick after an instant."""
    return math.nextafter(instant, math.inf)


@pytest.fixture
def refused(start):
    """A call at second 100 that waits for breakers, each of which refused until its time."""

    def begun(*untils, state="open", deadline=150.0, **parameters):
        names = "abcdef"[: len(untils)]
        call = start(*names, at=100.0, **{"waits": True, "deadline": deadline, **parameters})
        for until in untils:
            call.refuse(state, until)
        return call

    return begun


class TestWaitingForABreaker:
    """All candidates that could be asked are refused."""

    def test_by_default_a_call_fails_at_once(self, refused):
        """And says when to come back."""
        call = refused(105.0, waits=False)
        assert type(call.error) is AllProvidersFailed
        assert call.error.retry_after == 5.0
        assert call.fired == ("exhaust", None, S.FAILED)
        assert call.step.because == {"waits": False, "handed_over": False}

    def test_one_that_waits_waits_for_the_first_that_opens(self, refused):
        """Wherever it stands."""
        call = refused(109.0, 105.0, 107.0)
        assert isinstance(call.command, Wait)
        assert call.command.seconds == 5.0
        assert call.fired == ("exhaust", "may_wait", S.WAITING)
        assert call.step.because == {
            "waits": True,
            "reopens": 105.0,
            "deadline": 150.0,
            "handed_over": False,
        }
        assert call.places.taken == []

    def test_one_whose_window_is_too_small_is_not_waited_for(self, start, candidate):
        """It would be passed over when its breaker had opened."""
        line = (candidate("a", 8), candidate("b", 16), candidate("c", 32))
        call = start(*line, at=100.0, waits=True, deadline=150.0)
        call.refuse("open", 105.0)
        call.admit()
        call.fail(Fault(K.CONTEXT))
        call.admit()
        call.fail()
        assert type(call.error) is AllProvidersFailed
        assert [item.provider for item in call.chain.trail] == ["a", "b", "c"]

    def test_what_is_left_of_a_wait_is_waited(self, refused):
        """However often the driver asks."""
        call = refused(105.0)
        assert call.next(103.0).seconds == 2.0
        assert call.next(106.0).seconds == 0.0

    @pytest.mark.parametrize(("until", "waited"), [(149.5, True), (150.0, False), (151.0, False)])
    def test_one_that_opens_at_the_deadline_opens_too_late(self, refused, until, waited):
        """There would be no time to ask it."""
        call = refused(until)
        assert isinstance(call.command, Wait if waited else Raise)

    def test_one_tick_before_the_deadline_is_waited_for(self, refused):
        """There is time, if little."""
        assert isinstance(refused(150.0, deadline=after(150.0)).command, Wait)

    def test_a_call_without_a_deadline_waits_as_long_as_it_takes(self, refused):
        """If somebody knows a time."""
        call = refused(1e9, deadline=None)
        assert call.command.seconds == 1e9 - 100.0
        assert call.step.because["deadline"] == math.inf

    @pytest.mark.parametrize("state", ["forced_open", "open"])
    def test_nobody_waits_for_a_breaker_that_names_no_time(self, refused, state):
        """An operator keeps it open."""
        call = refused(None, state=state, deadline=None)
        assert type(call.error) is AllProvidersFailed
        assert call.fired == ("exhaust", None, S.FAILED)
        assert call.step.because["reopens"] == math.inf

    def test_a_breaker_that_is_probing_is_asked_again_soon(self, refused):
        """It names no time, but it may be well in a moment."""
        call = refused(None, state="half_open")
        assert call.command.seconds == POLL == 0.5

    def test_a_probing_breaker_that_names_a_time_is_asked_then(self, refused):
        """It knows better."""
        assert refused(103.0, state="half_open").command.seconds == 3.0

    def test_a_time_that_has_passed_is_now(self, refused):
        """It is not counted backwards."""
        call = refused(99.0)
        assert call.command.seconds == 0.0
        assert call.step.because["reopens"] == 100.0

    def test_nobody_waits_who_has_nobody_to_wait_for(self, start):
        """All were asked."""
        call = start("a", waits=True, deadline=50.0)
        call.admit()
        call.fail(Fault(K.RATE_LIMIT, retry_after=5.0))
        assert type(call.error) is AllProvidersFailed
        assert call.step.because == {
            "waits": True,
            "reopens": math.inf,
            "deadline": 50.0,
            "handed_over": False,
        }

    def test_nobody_waits_for_one_that_was_ruled_out(self, start):
        """It lacks something, and will lack it then."""
        call = start(Skip("a", "tools", until=5.0), "b", waits=True, deadline=50.0)
        call.admit()
        assert isinstance(call.fail(), Raise)

    def test_nor_for_one_whose_window_is_too_small(self, start, candidate):
        """Which is known once it was passed over."""
        ready = (candidate("a", 8), candidate("b", 4), candidate("c", 16))
        call = start(*ready, waits=True, deadline=50.0)
        call.admit()
        call.fail(Fault(K.CONTEXT))
        call.refuse("open", 5.0)
        call.elapse()
        assert [each.name for each in call.candidates] == ["c"]


class TestAfterTheWait:
    """Who is asked then."""

    def test_only_those_that_were_refused_are_asked(self, start):
        """In their order; whoever was called is not asked again."""
        call = start("a", "b", Skip("c", "tools"), "d", waits=True, deadline=50.0)
        call.refuse("open", 9.0)
        call.admit()
        call.fail()
        call.refuse("open", 5.0)
        assert call.command.seconds == 5.0
        assert call.at(5.0).elapse().candidate.name == "a"
        assert call.fired == ("elapse", None, S.SELECTING)
        assert call.step.because == {"now": 5.0, "wake_at": 5.0}
        call.refuse("open", 9.0)
        assert call.command.candidate.name == "d"
        assert isinstance(call.admit(), Call)

    def test_a_call_may_wait_more_than_once(self, refused):
        """Each refusal is on the trail."""
        call = refused(105.0)
        for until in (110.0, 120.0):
            call.at(call.now + call.command.seconds).elapse()
            call.refuse("open", until)
            assert call.now + call.command.seconds == until
        call.at(120.0).elapse()
        call.admit()
        call.answer()
        assert [type(item).__name__ for item in call.trail] == ["Skip"] * 3 + ["Attempt"]

    def test_the_latest_word_of_a_breaker_counts(self, refused):
        """It named another time then."""
        call = refused(105.0, 108.0)
        call.at(105.0).elapse()
        call.refuse("open", 130.0)
        call.refuse("open", 108.0)
        assert call.command.seconds == 3.0

    def test_whoever_fails_after_the_wait_is_not_waited_for(self, refused):
        """The others are."""
        call = refused(105.0, 108.0)
        call.at(105.0).elapse()
        call.admit()
        call.fail()
        call.refuse("open", 108.0)
        call.at(108.0).elapse()
        assert [each.name for each in call.candidates] == ["b"]
        call.admit()
        assert type(call.fail().error) is AllProvidersFailed
        assert [item.provider for item in call.error.trail] == ["a", "b", "a", "b", "b"]

    def test_what_is_left_is_whom_we_wait_for(self, start):
        """Those that were refused, while the call waits and when it is over."""
        call = start("a", "b", "c", waits=True, deadline=50.0)
        call.admit()
        call.fail()
        call.refuse("open", 5.0)
        call.refuse("open", 7.0)
        call.elapse()
        told = [(step.row.trigger, step.before, step.left) for step in call.steps]
        assert told == [
            ("fault", 0, 2),
            ("skip", 2, 1),
            ("skip", 3, 0),
            ("exhaust", 4, 2),
            ("elapse", 5, 2),
        ]

    def test_a_candidate_may_be_tried_again_after_the_wait(self, refused):
        """A wait of its own, for the same one."""
        call = refused(105.0, 106.0, retry={"attempts": 2, "backoff": 1.0})
        call.at(105.0).elapse()
        call.refuse("open", 120.0)
        call.admit()
        assert isinstance(call.fail(), Wait)
        assert call.at(106.0).elapse().candidate.name == "b"

    def test_a_wait_for_a_breaker_begins_with_the_first_though_another_was_tried_again(self, start):
        """Where it came back to then is forgotten."""
        call = start("a", "b", waits=True, deadline=50.0, retry={"attempts": 2, "backoff": 1.0})
        call.refuse("open", 20.0)
        call.admit()
        call.fail()
        call.at(1.0).elapse()
        call.admit()
        call.fail()
        assert call.command.seconds == 19.0
        assert call.at(20.0).elapse().candidate.name == "a"

    def test_a_stream_is_waited_for_as_well(self, refused):
        """And opened on a lease."""
        call = refused(105.0, stream={})
        call.at(105.0).elapse()
        assert isinstance(call.admit(), Open)

    def test_output_that_was_handed_over_does_not_keep_a_call_from_waiting(self, start):
        """The caller takes a fresh stream; and if none comes, it was interrupted."""
        call = start("a", "b", stream={"policy": "restart"}, waits=True, deadline=50.0)
        call.open()
        call.output()
        call.fail()
        call.refuse("open", 5.0)
        assert isinstance(call.command, Wait)
        assert call.step.because["handed_over"] is True
        call.at(5.0).elapse()
        call.refuse("open", 60.0)
        assert type(call.error) is StreamInterrupted
        assert call.fired == ("exhaust", "handed_over", S.INTERRUPTED)


class TestTheEndOfAWait:
    """Whatever it was for."""

    @pytest.mark.parametrize("now", [150.0, 151.0])
    def test_at_the_deadline_it_took_all_the_time_there_was(self, refused, now):
        """The driver slept too long; nobody is asked."""
        call = refused(105.0)
        call.at(now).elapse()
        assert type(call.error) is DeadlineExceeded
        assert call.fired == ("expire", None, S.FAILED)
        assert call.step.because == {"now": now, "deadline": 150.0, "handed_over": False}

    def test_one_tick_before_it_somebody_is_asked(self, refused):
        """There is time, if little."""
        call = refused(105.0)
        assert isinstance(call.at(math.nextafter(150.0, 0.0)).elapse(), Admit)

    def test_without_a_deadline_there_is_always_time(self, refused):
        """However late."""
        call = refused(105.0, deadline=None)
        assert isinstance(call.at(1e9).elapse(), Admit)

    def test_at_the_deadline_a_stream_that_broke_is_an_interruption(self, start):
        """What the caller saw is not denied."""
        call = start("a", "b", stream={"policy": "restart"}, waits=True, deadline=50.0)
        call.open()
        call.output()
        call.fail()
        call.refuse("open", 5.0)
        call.at(50.0).elapse()
        assert type(call.error) is StreamInterrupted
        assert call.fired == ("expire", "handed_over", S.INTERRUPTED)
        assert call.step.because == {"now": 50.0, "deadline": 50.0, "handed_over": True}

    def test_the_wait_of_a_retry_ends_so_too(self, start):
        """With the failure that was waited for on the trail."""
        call = start("a", retry={"attempts": 2, "backoff": 1.0}, deadline=50.0)
        call.admit()
        call.fail(error=(error := RuntimeError()))
        call.at(50.0).elapse()
        assert type(call.error) is DeadlineExceeded
        assert call.error.exceptions == (error,)

    def test_a_caller_may_leave_while_it_waits(self, refused):
        """It is recorded, with nothing compared."""
        call = refused(105.0)
        call.chain.abandon(103.0)
        (row,) = CHAIN.cell(S.WAITING, "abandon")
        assert call.step == ChainStep(
            chain="fallback",
            call=7,
            at=103.0,
            row=row,
            provider=None,
            fault=None,
            reason=None,
            because={},
            left=1,
            before=2,
        )
        assert call.state is S.ABANDONED

    @pytest.mark.parametrize("report", ["answer", "fail", "finish", "admit"])
    def test_any_other_report_while_it_waits_is_an_error(self, refused, report):
        """Nothing is out."""
        call = refused(105.0)
        reports = {"finish": lambda: call.chain.finish(100.0)}
        with pytest.raises(MachineError):
            reports.get(report, getattr(call, report))()
        assert call.state is S.WAITING

    def test_no_wait_is_over_that_was_not_begun(self, start):
        """A driver that says so has made a mistake."""
        call = start("a")
        with pytest.raises(MachineError):
            call.elapse()
        assert call.state is S.SELECTING
