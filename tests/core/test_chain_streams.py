"""A call for a stream: what is held back, how long anything may take, how it ends as it should.

How a stream breaks is in `test_chain_breaks`.
"""

import math

import pytest
from transitions import MachineError

from fsm_fallback import (
    AllProvidersFailed,
    Attempt,
    FaultKind,
    Skip,
    StreamEmpty,
    StreamTruncated,
)
from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.commands import Admit, Emit, Open, Pull, Raise, Return

K = FaultKind
POLICIES = ("raise", "restart", "buffer")
SHOWING = ("raise", "restart")


def before(instant):
    """One tick before an instant."""
    return math.nextafter(instant, -math.inf)


class TestOpening:
    """An attempt at a stream."""

    def test_a_candidate_is_asked_for_its_stream_on_its_lease(self, start):
        """And then for its items, on the same lease."""
        call = start("a", "b", stream={})
        opening = call.admit()
        assert isinstance(opening, Open)
        assert (opening.candidate.name, opening.lease) == ("a", call.lease)
        pull = call.done(call.opened(0.0))
        assert isinstance(pull, Pull)
        assert (pull.candidate.name, pull.lease) == ("a", opening.lease)
        assert call.state is S.CALLING

    def test_a_driver_that_asks_again_is_told_the_same(self, start):
        """To open what is not open, and to pull what is."""
        call = start("a", stream={})
        call.admit()
        assert isinstance(call.next(0.0), Open)
        call.opened(0.0)
        assert isinstance(call.next(0.0), Pull)

    def test_a_stream_that_cannot_be_opened_leads_to_the_next_candidate(self, start):
        """As any failure does."""
        call = start("a", "b", stream={})
        call.admit()
        assert isinstance(call.fail(), Admit)
        assert isinstance(call.open(), Pull)
        assert call.command.candidate.name == "b"

    def test_a_call_for_one_answer_has_no_stream(self, start):
        """A driver that says otherwise has made a mistake."""
        call = start("a")
        call.admit()
        with pytest.raises(TypeError, match=r"^a chain without Rules\.stream has no stream$"):
            call.item(0.0, 1, output=True)


class TestHoldingBack:
    """Nothing is handed over before output, or before there is no more room."""

    @pytest.mark.parametrize("policy", POLICIES)
    def test_an_item_without_output_is_held_back(self, start, policy):
        """The next one is asked for, and nothing is recorded."""
        call = start("a", stream={"policy": policy})
        call.open()
        assert isinstance(call.noise(), Pull)
        assert (call.state, call.held, call.steps) == (S.CALLING, 1, [])

    @pytest.mark.parametrize("policy", SHOWING)
    def test_the_first_output_hands_over_all_that_was_held_back(self, start, policy):
        """Of no other stream, so there is nothing to be reset."""
        call = start("a", stream={"policy": policy})
        call.open()
        call.noise()
        command = call.output()
        assert isinstance(command, Emit)
        assert command.reset is None
        assert (call.state, call.seen_of) == (S.STREAMING, "a")

    def test_after_the_hand_over_the_next_item_is_asked_for(self, start):
        """On the same lease."""
        call = start("a", stream={})
        call.open()
        call.output()
        command = call.next(0.0)
        assert isinstance(command, Pull)
        assert command.lease is call.lease

    @pytest.mark.parametrize("kind", ["output", "noise"])
    def test_from_there_on_each_item_is_handed_over_at_once(self, start, kind):
        """It counts for no bound any more, and is no record."""
        call = start("a", stream={"buffer_items": 2, "buffer_bytes": 2})
        call.open()
        call.output()
        for _ in range(3):
            assert isinstance(getattr(call, kind)(), Emit)
        assert (call.state, call.held, len(call.steps)) == (S.STREAMING, 1, 1)

    @pytest.mark.parametrize(("items", "state"), [(2, S.CALLING), (3, S.STREAMING)])
    def test_as_many_items_as_there_is_room_for_are_handed_over(self, start, items, state):
        """Exactly at the bound, output or not; one less is held back."""
        call = start("a", stream={"buffer_items": 3})
        call.open()
        for _ in range(items):
            call.noise()
        assert (call.state, call.held) == (state, items)
        assert isinstance(call.command, Emit if state is S.STREAMING else Pull)

    @pytest.mark.parametrize(("size", "state"), [(3, S.CALLING), (4, S.STREAMING)])
    def test_as_many_bytes_as_there_is_room_for_are_handed_over(self, start, size, state):
        """Exactly at the bound; one byte less is held back."""
        call = start("a", stream={"buffer_bytes": 10})
        call.open()
        call.noise(6)
        assert call.state is S.CALLING
        call.noise(size)
        assert (call.state, call.held_bytes) == (state, 6 + size)

    def test_room_for_one_item_holds_nothing_back(self, start):
        """The first one is the last there is room for."""
        call = start("a", stream={"buffer_items": 1})
        call.open()
        assert isinstance(call.noise(0), Emit)

    def test_a_stream_held_whole_knows_no_bound(self, start):
        """Its items are held back until it has ended."""
        call = start("a", stream={"policy": "buffer", "buffer_items": 1, "buffer_bytes": 1})
        call.open()
        for _ in range(3):
            assert isinstance(call.noise(9), Pull)
            assert isinstance(call.output(9), Pull)
        assert (call.state, call.seen_of) == (S.CALLING, None)

    @pytest.mark.parametrize("bound", [{"buffer_items": 2}, {"buffer_bytes": 2}])
    def test_each_attempt_has_all_the_room(self, start, bound):
        """What was held back of the one that failed is gone."""
        call = start("a", "b", stream=bound)
        call.open()
        call.noise()
        call.fail()
        call.open()
        assert isinstance(call.noise(), Pull)
        assert isinstance(call.noise(), Emit)

    def test_nothing_of_a_stream_that_failed_before_output_is_seen(self, start):
        """The next stream begins without a reset."""
        call = start("a", "b", stream={"policy": "restart"})
        call.open()
        call.noise()
        assert isinstance(call.fail(), Admit)
        call.open()
        assert call.output().reset is None

    def test_a_stream_that_failed_before_output_may_be_the_last(self, start):
        """Nothing was seen, so it is a failure as any other."""
        call = start("a", stream={})
        call.open()
        call.noise()
        assert type(call.fail().error) is AllProvidersFailed


class TestEnding:
    """A stream that comes to its end."""

    def test_a_stream_that_was_handed_over_is_the_answer(self, start):
        """What is still held back, nothing, is returned."""
        call = start("a", stream={})
        call.open()
        call.output()
        assert isinstance(call.finish(), Return)
        assert call.fired == ("finish", None, S.SUCCEEDED)
        assert isinstance(call.next(0.0), Return)

    def test_a_stream_that_was_held_back_whole_is_the_answer(self, start):
        """As an answer in one piece: it was never streaming."""
        call = start("a", stream={"policy": "buffer"})
        call.open()
        call.output()
        assert isinstance(call.finish(), Return)
        assert call.fired == ("answer", None, S.SUCCEEDED)

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("items", [("output",), ("noise", "output", "noise")])
    def test_a_complete_stream_with_output_has_no_flaw(self, start, policy, items):
        """Whatever else came."""
        call = start("a", stream={"policy": policy})
        call.open()
        for item in items:
            getattr(call, item)()
        assert call.flaw_of_end(complete=True) is None

    @pytest.mark.parametrize("items", [(), ("noise",), ("output",)])
    def test_an_end_without_its_terminal_event_is_a_truncated_stream(self, start, items):
        """Whether it gave output or not."""
        call = start("a", stream={})
        call.open()
        for item in items:
            getattr(call, item)()
        fault, error = call.flaw_of_end(complete=False)
        assert fault.kind is K.STREAM
        assert type(error) is StreamTruncated
        assert str(error) == fault.message
        assert fault.message.startswith("the stream of 'a' ended without its terminal event; ")

    @pytest.mark.parametrize("items", [(), ("noise",)])
    def test_an_end_without_any_output_is_no_answer(self, start, items):
        """Its terminal event says nothing."""
        call = start("a", stream={})
        call.open()
        for item in items:
            getattr(call, item)()
        fault, error = call.flaw_of_end(complete=True)
        assert fault.kind is K.BAD_RESPONSE
        assert type(error) is StreamEmpty
        assert str(error) == fault.message == "the stream of 'a' ended without any output"

    def test_the_output_of_one_attempt_is_none_of_the_next(self, start):
        """An empty stream after one that broke is empty."""
        call = start("a", "b", stream={"policy": "restart"})
        call.open()
        call.output()
        call.fail()
        call.open()
        assert call.flaw_of_end(complete=True)[0].kind is K.BAD_RESPONSE

    @pytest.mark.parametrize("reports", [("answer",), ("open",), ("elapse",)])
    def test_a_report_that_is_none_of_a_stream_is_an_error(self, start, reports):
        """A stream that was handed over has an end of its own."""
        call = start("a", stream={})
        call.open()
        call.output()
        for report in reports:
            with pytest.raises(MachineError):
                getattr(call, report)()
        assert call.state is S.STREAMING


class TestTimers:
    """How long a stream may take, to its output and between its items."""

    @pytest.mark.parametrize(
        ("stream", "parameters", "limit"),
        [
            ({}, {}, None),
            ({"first_output_timeout": 3.0}, {}, 3.0),
            ({}, {"attempt_timeout": 3.0}, 3.0),
            ({"first_output_timeout": 3.0}, {"attempt_timeout": 2.0}, 3.0),
            ({"first_output_timeout": 2.0}, {"attempt_timeout": 3.0}, 2.0),
            ({"first_output_timeout": 3.0}, {"deadline": 120.0}, 3.0),
            ({"first_output_timeout": 30.0}, {"deadline": 110.0}, 10.0),
            ({}, {"deadline": 110.0}, 10.0),
            ({"idle_timeout": 1.0}, {}, None),
        ],
    )
    def test_an_attempt_has_its_time_to_the_first_output(self, start, stream, parameters, limit):
        """Its own, else that of an attempt; never more than is left of the call."""
        call = start("a", "b", at=100.0, stream=stream, **parameters)
        assert call.admit().timeout == limit
        assert call.done(call.opened(100.0)).timeout == limit

    @pytest.mark.parametrize(
        ("now", "left"),
        [(101.0, 2.0), (before(103.0), 103.0 - before(103.0)), (103.0, 0.0), (104.0, 0.0)],
    )
    def test_what_was_spent_to_open_it_is_spent(self, start, now, left):
        """And by items without output as well; never less than nothing is left."""
        call = start("a", "b", at=100.0, stream={"first_output_timeout": 3.0})
        call.admit()
        assert call.done(call.opened(now)).timeout == left
        call.now = now
        assert call.noise().timeout == left

    @pytest.mark.parametrize("others", [(), (Skip("b", "tools"),)], ids=["only", "last"])
    @pytest.mark.parametrize(("deadline", "timeout"), [(None, None), (110.0, 9.0)])
    def test_the_last_candidate_is_not_cut_by_the_timer_of_the_first_output(
        self, start, others, deadline, timeout
    ):
        """Nobody would take over: it gets what is left of the call."""
        call = start(
            "a", *others, at=100.0, stream={"first_output_timeout": 0.5}, deadline=deadline
        )
        call.at(101.0).admit()
        assert call.command.timeout == timeout
        assert call.done(call.opened(101.0)).timeout == timeout

    @pytest.mark.parametrize(
        ("idle", "deadline", "timeout"),
        [
            (None, None, None),
            (2.0, None, 2.0),
            (None, 110.0, 5.0),
            (2.0, 110.0, 2.0),
            (8.0, 110.0, 5.0),
            (8.0, 105.0, 0.0),
            (8.0, 104.0, 0.0),
        ],
    )
    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_stream_that_has_spoken_may_be_idle_for_its_time(
        self, start, policy, idle, deadline, timeout
    ):
        """Or as long as the call has; the time to the first output is over."""
        stream = {"policy": policy, "idle_timeout": idle, "first_output_timeout": 1.0}
        call = start("a", "b", at=100.0, stream=stream, deadline=deadline)
        call.open()
        call.at(105.0).output()
        assert call.next(105.0).timeout == timeout

    def test_each_item_begins_the_idle_time_anew(self, start):
        """Output or not."""
        call = start("a", "b", stream={"idle_timeout": 2.0})
        call.open()
        call.output()
        call.at(1.5).noise()
        assert call.next(1.5).timeout == 2.0

    def test_a_stream_handed_over_without_output_is_still_waited_for_to_its_first(self, start):
        """There was no room to hold it back; what its consumer takes is his time."""
        call = start("a", "b", stream={"first_output_timeout": 3.0, "buffer_items": 1})
        call.open()
        call.at(1.0).noise()
        assert (call.state, call.next(1.0).timeout) == (S.STREAMING, 2.0)
        call.chain.consumed(1.5)
        assert call.next(1.5).timeout == 2.0
        call.at(2.0).noise()
        assert call.next(2.0).timeout == 1.5
        call.at(2.0).output()
        assert call.next(2.0).timeout is None

    def test_each_attempt_has_its_own_time(self, start):
        """From its own admission on."""
        call = start("a", "b", "c", stream={"first_output_timeout": 3.0})
        call.open()
        call.at(3.0).ring()
        call.at(5.0).admit()
        assert call.command.timeout == 3.0

    def test_a_timer_that_rings_before_output_leads_to_the_next_candidate(self, start):
        """The error says how long it was given, from its admission."""
        call = start("a", "b", stream={"first_output_timeout": 3.0})
        call.open()
        call.at(1.0).noise()
        assert isinstance(call.at(3.0).ring(), Admit)
        (attempt,) = call.trail
        assert attempt.fault.kind is K.TIMEOUT
        assert isinstance(attempt.error, TimeoutError)
        assert str(attempt.error) == "'a' did not answer within 3 s (first_output_timeout)"

    @pytest.mark.parametrize(("rang", "words"), [(7.0, "2 s"), (4.0, "0 s")])
    def test_a_timer_that_rings_after_output_says_how_long_nothing_came(self, start, rang, words):
        """From the latest item on, and never less than nothing."""
        call = start("a", stream={"idle_timeout": 2.0})
        call.open()
        call.at(1.0).output()
        call.at(5.0).noise()
        assert isinstance(call.at(rang).ring(), Raise)
        assert (
            str(call.error.exceptions[0]) == f"'a' gave nothing more within {words} (idle_timeout)"
        )


class TestTheTrail:
    """What an attempt at a stream leaves."""

    @pytest.mark.parametrize(("came", "first"), [(103.0, 2.0), (101.0, 0.0), (100.0, 0.0)])
    def test_it_says_when_the_first_output_came(self, start, came, first):
        """Seconds from its admission, and never less than none."""
        call = start("a", at=100.0, stream={})
        call.at(101.0).open()
        call.at(came).output()
        call.at(104.0).output()
        call.at(105.0).finish()
        assert call.trail == (Attempt("a", 1, None, None, 101.0, 4.0, first),)

    def test_an_attempt_without_output_has_no_first(self, start):
        """Nor has the one after it what another had."""
        call = start("a", "b", "c", stream={"policy": "buffer"})
        call.open()
        call.at(1.0).output()
        call.fail()
        call.open()
        call.at(2.0).fail()
        assert [item.first_output for item in call.trail] == [1.0, None]

    def test_it_keeps_what_the_answer_told_of_its_tokens(self, start):
        """Each attempt its own."""
        call, usage, inner = start("a", "b", "c", stream={}), object(), (Skip("x", "open"),)
        call.open()
        call.chain.usage, call.chain.inner = usage, inner
        call.fail()
        call.open()
        call.fail()
        call.open()
        call.output()
        call.chain.usage = usage
        call.finish()
        assert [item.usage for item in call.trail] == [usage, None, usage]
        assert [item.trail for item in call.trail] == [inner, (), ()]

    @pytest.mark.parametrize("left", ["usage", "inner"])
    def test_whichever_was_told_is_forgotten_with_its_attempt(self, start, left):
        """One may be told without the other."""
        call = start("a", "b", stream={})
        call.open()
        setattr(call.chain, left, (Skip("x", "open"),))
        call.fail()
        assert (call.usage, call.inner) == (None, ())
