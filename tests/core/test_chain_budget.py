"""A place in the budget for each retry: taken before its wait, given back once, whatever comes."""

import pytest

from fsm_fallback import Fault, FaultKind, RetryConfig
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import S
from fsm_fallback.core.commands import Admit, Wait
from fsm_fallback.core.rules import PLAIN, Rules, Unlimited

K = FaultKind


@pytest.fixture
def failed(start):
    """A call that tries thrice, and whose first candidate has failed once."""

    def begun(*candidates, **parameters):
        call = start(*candidates, retry={"attempts": 3, "backoff": 1.0}, **parameters)
        call.admit()
        call.fail()
        return call

    return begun


class TestTheBudget:
    """A place for each retry, taken before its wait and given back once."""

    def test_without_a_place_nothing_is_tried_again(self, failed):
        """The next candidate is asked."""
        call = failed("a", "b", places=0)
        assert call.command.candidate.name == "b"
        assert call.fired == ("fault", None, S.SELECTING)
        assert call.step.because["budget"] is False
        assert call.places.given_back == 0

    def test_it_is_asked_by_the_number_of_the_call(self, failed):
        """Once for each retry."""
        assert failed("a").places.taken == [7]

    def test_it_is_kept_while_the_retry_is_out(self, failed):
        """From the wait to the end of the attempt."""
        call = failed("a")
        assert call.places.out == 1
        call.elapse()
        call.admit()
        assert call.places.out == 1

    @pytest.mark.parametrize(
        ("reports", "state"),
        [
            (("elapse", "admit", "answer"), S.SUCCEEDED),
            (("elapse", "open", "output", "finish"), S.SUCCEEDED),
            (("elapse", "open", "output", "fail"), S.INTERRUPTED),
            (("elapse", "admit", "auth"), S.FAILED),
            (("elapse", "admit", "caller"), S.REJECTED),
            (("elapse", "refuse"), S.FAILED),
            (("leave",), S.ABANDONED),
            (("elapse", "leave"), S.ABANDONED),
            (("elapse", "admit", "leave"), S.ABANDONED),
            (("elapse", "open", "output", "leave"), S.ABANDONED),
            (("late", "elapse"), S.FAILED),
            (("elapse", "late", "refuse"), S.FAILED),
            (("elapse", "admit", "late", "ring"), S.FAILED),
            (("elapse", "open", "output", "late", "ring"), S.INTERRUPTED),
        ],
    )
    def test_it_is_given_back_once_on_every_way_out(self, failed, reports, state):
        """An answer, a fault, a refusal, a caller that leaves, the end of the time."""
        stream = {} if "open" in reports else None
        call = failed("a", deadline=50.0, stream=stream)
        words = {
            "leave": lambda: call.chain.abandon(call.now),
            "late": lambda: call.at(50.0),
            "auth": lambda: call.fail(Fault(K.AUTH)),
            "caller": lambda: call.fail(Fault(K.CALLER)),
        }
        for report in reports:
            assert call.places.out == 1
            words.get(report, getattr(call, report, None))()
        assert call.state is state
        assert (call.places.taken, call.places.given_back) == ([7], 1)
        assert call.budgeted is False

    def test_a_refusal_after_the_wait_gives_it_back_before_the_next_is_asked(self, failed):
        """The call goes on without it."""
        call = failed("a", "b")
        call.elapse()
        assert isinstance(call.refuse(), Admit)
        assert (call.places.out, call.budgeted) == (0, False)

    def test_a_second_retry_takes_a_place_of_its_own(self, failed):
        """The first has been given back by then."""
        call = failed("a", places=1)
        call.elapse()
        call.admit()
        assert isinstance(call.fail(), Wait)
        assert (call.places.taken, call.places.given_back) == ([7, 7], 1)

    def test_a_chain_that_is_walked_alone_has_a_budget_without_bounds(self):
        """And draws the middle."""
        budget = Unlimited()
        assert all(budget.take(each) for each in range(1_000))
        budget.give_back()
        assert isinstance(PLAIN.budget, Unlimited)
        assert PLAIN.sample() == 0.5

    def test_rules_are_the_plain_ones_unless_given(self):
        """One try each, no waits, one answer."""
        assert Chain("fallback", 1, ()).rules is PLAIN
        rules = Rules(waits=True)
        assert Chain("fallback", 1, (), rules=rules).rules is rules
        assert (PLAIN.retry, PLAIN.waits, PLAIN.stream) == (RetryConfig(), False, None)
