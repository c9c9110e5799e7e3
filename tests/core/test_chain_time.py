"""A call and its time: what an attempt gets, and what a deadline ends."""

import math

import pytest

from fsm_fallback import DeadlineExceeded, Fault, FaultKind, Outcome, RequestRejected, Skip
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import ChainState
from fsm_fallback.core.commands import Admit, Raise, Return

K = FaultKind
DOWN = Fault(K.TRANSIENT)


@pytest.fixture
def begin(named):
    """Begin a call at second 0 over candidates, given by name or as skips."""

    def begun(*candidates, **parameters):
        ready = tuple(c if not isinstance(c, str) else named(c)[0] for c in candidates)
        chain = Chain("fallback", 1, ready, **parameters)
        chain.next(0.0)
        return chain

    return begun


@pytest.fixture
def admit(grant):
    """Grant the candidate a lease at an instant; the command that follows."""
    return lambda chain, now=0.0: chain.admission(grant(now), now)


class TestTimeouts:
    """Seconds given to an attempt."""

    @pytest.mark.parametrize(
        ("parameters", "now", "timeouts"),
        [
            ({}, 1.0, (None, None)),
            ({"attempt_timeout": 3.0}, 1.0, (3.0, 3.0)),
            ({"deadline": 10.0}, 1.0, (9.0, 9.0)),
            ({"deadline": 10.0, "attempt_timeout": 3.0}, 1.0, (3.0, 9.0)),
            ({"deadline": 10.0, "attempt_timeout": 3.0}, 8.0, (2.0, 2.0)),
            ({"deadline": 10.0}, 9.5, (0.5, 0.5)),
            ({"deadline": 10.0, "attempt_timeout": 30.0}, 1.0, (9.0, 9.0)),
        ],
    )
    def test_an_attempt_gets_its_limit_and_the_last_one_what_is_left(
        self, begin, admit, parameters, now, timeouts
    ):
        """The first of two, and the second after it failed at once."""
        chain = begin("a", "b", **parameters)
        first = admit(chain, now).timeout
        chain.fault(DOWN, RuntimeError(), now)
        assert (first, admit(chain, now).timeout) == timeouts

    def test_the_only_candidate_is_the_last(self, begin, admit):
        """It gets the whole deadline."""
        chain = begin("a", deadline=10.0, attempt_timeout=3.0)
        assert admit(chain).timeout == 10.0

    def test_a_candidate_followed_only_by_one_ruled_out_is_the_last(self, begin, admit):
        """Nobody else will be asked, so nothing need be saved for anybody."""
        chain = begin("a", Skip("b", "tools"), deadline=10.0, attempt_timeout=3.0)
        assert admit(chain).timeout == 10.0

    def test_an_attempt_that_ran_into_its_limit_is_a_time_out(self, begin, admit):
        """The next candidate is asked; the error says how long it was given."""
        chain = begin("a", "b", attempt_timeout=3.0)
        admit(chain)
        fault, command = chain.time_out(3.0)
        assert fault.kind is K.TIMEOUT
        assert isinstance(command, Admit)
        (attempt,) = chain.trail
        assert (attempt.fault, attempt.duration) == (fault, 3.0)
        assert isinstance(attempt.error, TimeoutError)
        assert (
            str(attempt.error) == fault.message == "'a' did not answer within 3 s (attempt_timeout)"
        )

    @pytest.mark.parametrize(("rang", "words"), [(103.0, "3 s"), (100.5, "0.5 s"), (99.0, "0 s")])
    def test_a_time_out_says_how_long_the_attempt_was_given(self, begin, admit, rang, words):
        """From its own beginning on, and never less than nothing."""
        chain = begin("a", "b", attempt_timeout=3.0)
        admit(chain, 100.0)
        fault, _ = chain.time_out(rang)
        assert fault.message == f"'a' did not answer within {words} (attempt_timeout)"


class TestDeadlines:
    """The end of the whole call."""

    def test_a_deadline_that_passed_before_anybody_was_asked(self, grant, named):
        """One `TimeoutError` stands for it, and the trail is empty."""
        chain = Chain("fallback", 1, named("a"), 5.0)
        command = chain.next(5.0)
        assert isinstance(command, Raise)
        assert isinstance(command.error, DeadlineExceeded)
        (member,) = command.error.exceptions
        assert isinstance(member, TimeoutError)
        assert command.error.trail == ()

    def test_the_words_say_how_long_the_call_took(self, named):
        """From its own beginning on."""
        chain = Chain("fallback", 1, named("a"), 105.0, started_at=100.0)
        error = chain.next(105.0).error
        words = "no provider answered within the deadline (5 s)"
        assert (error.message, str(error.exceptions[0])) == (words, words)

    def test_a_deadline_that_passes_while_breakers_refuse(self, begin, refusal):
        """The skip is on the trail; nobody was called."""
        chain = begin("a", "b", deadline=5.0)
        command = chain.admission(refusal("open", 9.0), 5.0)
        assert isinstance(command.error, DeadlineExceeded)
        assert command.error.retry_after == 4.0
        assert [item.provider for item in command.error.trail] == ["a"]

    def test_a_failure_at_the_deadline_ends_the_call(self, begin, admit):
        """The error is the provider's own; nobody else is asked."""
        chain, error = begin("a", "b", deadline=5.0), RuntimeError()
        admit(chain)
        fault, command = chain.fault(DOWN, error, 5.0)
        assert fault is DOWN
        assert isinstance(command.error, DeadlineExceeded)
        assert command.error.exceptions == (error,)
        assert chain.state is ChainState.FAILED

    def test_a_failure_one_tick_before_the_deadline_does_not(self, begin, admit):
        """There is time left, if little."""
        chain = begin("a", "b", deadline=5.0)
        admit(chain)
        _, command = chain.fault(DOWN, RuntimeError(), math.nextafter(5.0, 0.0))
        assert isinstance(command, Admit)

    def test_a_rejection_at_the_deadline_is_a_rejection(self, begin, admit):
        """More time would not have helped."""
        chain = begin("a", "b", deadline=5.0)
        admit(chain)
        _, command = chain.fault(Fault(K.CALLER), RuntimeError(), 5.0)
        assert isinstance(command.error, RequestRejected)

    def test_an_answer_after_the_deadline_is_an_answer(self, begin, admit):
        """It is there, and paid for."""
        chain = begin("a", deadline=5.0)
        admit(chain)
        assert isinstance(chain.answer(6.0), Return)

    def test_both_attempts_are_members_in_order(self, begin, admit):
        """The failure of the first, and the time-out of the one that was cut."""
        chain, error = begin("a", "b", deadline=5.0), RuntimeError()
        admit(chain)
        chain.fault(DOWN, error, 1.0)
        admit(chain, 1.0)
        _, command = chain.time_out(5.0)
        first, second = command.error.exceptions
        assert first is error
        assert isinstance(second, TimeoutError)
        assert command.error.message.startswith("no provider answered within the deadline (5 s)")

    @pytest.mark.parametrize(
        ("started", "attempt_timeout", "kind"),
        [
            (0.0, None, K.TIMEOUT),
            (5.0, None, K.TIMEOUT),
            (5.5, None, K.CANCELLED),
            (7.0, 3.0, K.TIMEOUT),
            (7.5, 3.0, K.CANCELLED),
            (5.0, 8.0, K.TIMEOUT),
            (5.5, 8.0, K.CANCELLED),
        ],
    )
    @pytest.mark.parametrize("own", [False, True], ids=["our timer", "its own time-out"])
    def test_an_attempt_cut_by_the_deadline_fails_only_if_it_had_its_time(
        self, begin, admit, started, attempt_timeout, kind, own
    ):
        """The attempt time-out, or half of the deadline; with less it is neutral."""
        chain = begin("a", "b", deadline=10.0, attempt_timeout=attempt_timeout)
        admit(chain)
        chain.fault(DOWN, RuntimeError(), started)
        admit(chain, started)
        if own:
            fault, command = chain.fault(Fault(K.TIMEOUT), TimeoutError(), 10.0)
        else:
            fault, command = chain.time_out(10.0)
            assert fault.message.startswith("'b' did not answer within ")
        assert fault.kind is kind
        assert (fault.outcome is Outcome.NEUTRAL) == (kind is K.CANCELLED)
        assert isinstance(command.error, DeadlineExceeded)
        assert command.error.trail[-1].fault is fault


class TestStreams:
    """A stream cut by the deadline speaks against its provider only if it had a fair time."""

    @pytest.mark.parametrize(
        ("stream", "attempt_timeout", "since", "kind"),
        [
            ({}, None, 5.0, K.TIMEOUT),
            ({}, None, 5.5, K.CANCELLED),
            ({"first_output_timeout": 2.0}, 4.0, 8.0, K.TIMEOUT),
            ({"first_output_timeout": 2.0}, 4.0, 8.5, K.CANCELLED),
            ({}, 4.0, 6.0, K.TIMEOUT),
            ({}, 4.0, 6.5, K.CANCELLED),
            ({"first_output_timeout": 8.0}, 4.0, 5.0, K.TIMEOUT),
            ({"first_output_timeout": 8.0}, 4.0, 5.5, K.CANCELLED),
            ({"idle_timeout": 1.0}, None, 5.5, K.CANCELLED),
        ],
    )
    def test_before_output_it_is_that_to_the_first(
        self, start, stream, attempt_timeout, since, kind
    ):
        """Or half of the deadline, from its admission on; noise is no output."""
        call = start("a", stream=stream, deadline=10.0, attempt_timeout=attempt_timeout)
        call.at(since).open()
        call.at(9.9).noise()
        call.at(10.0).ring()
        assert call.trail[0].fault.kind is kind
        assert (call.trail[0].fault.outcome is Outcome.NEUTRAL) == (kind is K.CANCELLED)

    @pytest.mark.parametrize(
        ("idle", "spoke", "kind"),
        [
            (None, 5.0, K.TIMEOUT),
            (None, 5.5, K.CANCELLED),
            (2.0, 8.0, K.TIMEOUT),
            (2.0, 8.5, K.CANCELLED),
            (8.0, 5.0, K.TIMEOUT),
            (8.0, 5.5, K.CANCELLED),
        ],
    )
    @pytest.mark.parametrize("policy", ["raise", "buffer"])
    def test_of_a_stream_that_has_spoken_it_is_its_idle_time_since_it_spoke_last(
        self, start, policy, idle, spoke, kind
    ):
        """Or half of the deadline; the time to the first output counts no more."""
        stream = {"policy": policy, "idle_timeout": idle, "first_output_timeout": 0.5}
        call = start("a", stream=stream, deadline=10.0, attempt_timeout=0.5)
        call.open()
        call.output()
        call.at(spoke).noise()
        fault, _ = call.lateness(10.0)
        assert call.weighed(fault, 10.0).kind is kind
        call.at(10.0).ring()
        assert call.trail[0].fault.kind is kind

    def test_an_item_that_comes_after_the_deadline_is_no_word(self, start):
        """Nobody waited for it any more; a plain stream can be cut only then."""
        call = start("a", stream={"idle_timeout": 2.0}, deadline=10.0)
        call.open()
        call.at(1.0).output()
        call.at(12.0).noise()
        fault, _ = call.lateness(12.0)
        assert call.weighed(fault, 12.0).kind is K.TIMEOUT
        assert fault.message == "'a' gave nothing more within 11 s (deadline)"

    def test_one_tick_before_the_deadline_every_time_out_counts(self, start):
        """It is the attempt's own."""
        call = start("a", stream={}, deadline=10.0)
        call.at(9.0).open()
        late = Fault(K.TIMEOUT)
        assert call.weighed(late, math.nextafter(10.0, 0.0)) is late
        assert call.weighed(late, 10.0).kind is K.CANCELLED

    def test_any_other_fault_counts_as_it_is(self, start):
        """It was not the deadline that ended it."""
        call = start("a", stream={}, deadline=10.0)
        call.at(9.5).open()
        assert call.weighed(DOWN, 10.0) is DOWN
