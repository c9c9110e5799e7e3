"""A lease with an owner: every word goes there, with the lease and all that was said."""

import pytest

from fsm_fallback import Fault, FaultKind
from fsm_fallback.core.breaker import Breaker

DOWN = Fault(FaultKind.TRANSIENT)


class Listener:
    """An owner that notes what it is asked to do."""

    def __init__(self):
        self.heard = []

    def __getattr__(self, word):
        """Whatever the word is."""
        return lambda *args, **kwargs: self.heard.append((word, args, kwargs))


@pytest.fixture
def listener():
    """An owner that has heard nothing yet."""
    return Listener()


@pytest.fixture
def lease(listener):
    """Its lease."""
    return Breaker("openai", owner=listener).admit(0.0)


@pytest.mark.parametrize(
    ("say", "word", "arguments", "keywords"),
    [
        (lambda lease: lease.succeed(1.5), "settle_success", (), {"duration": 1.5}),
        (lambda lease: lease.succeed(), "settle_success", (), {"duration": None}),
        (lambda lease: lease.fail(DOWN, 1.5), "settle_failure", (DOWN,), {"duration": 1.5}),
        (lambda lease: lease.fail(), "settle_failure", (None,), {"duration": None}),
        (lambda lease: lease.release(), "settle_release", (), {}),
        (lambda lease: lease.hold(7.0, DOWN), "settle_hold", (7.0, DOWN), {}),
        (lambda lease: lease.settle(DOWN), "settle_fault", (DOWN,), {}),
        (lambda lease: lease.begin_output(), "begin_output", (), {}),
    ],
)
def test_a_lease_hands_every_word_to_its_owner(lease, listener, say, word, arguments, keywords):
    """It settles nothing by itself: only the owner has a lock and a clock."""
    say(lease)
    assert listener.heard == [(word, (lease, *arguments), keywords)]
    assert not lease.settled


def test_a_lease_dropped_unsettled_tells_its_owner(listener):
    """Nobody else will ever settle it."""
    Breaker("openai", owner=listener).admit(0.0)
    ((word, (dropped,), keywords),) = listener.heard
    assert (word, dropped.number, keywords) == ("lose", 1, {})
    listener.heard.clear()
    dropped.claim()


def test_a_lease_dropped_settled_tells_nobody(listener):
    """Its call is over."""
    Breaker("openai", owner=listener).admit(0.0).claim()
    assert listener.heard == []


def test_a_lease_is_claimed_once(lease):
    """Whoever comes second has nothing to settle."""
    assert not lease.settled
    assert [lease.claim(), lease.claim()] == [True, False]
    assert lease.settled


def test_a_lease_shows_its_number_its_breaker_and_whether_it_is_out(lease):
    """And nothing of the call."""
    assert repr(lease) == "<Lease 1 of breaker 'openai': out>"
    lease.claim()
    assert repr(lease) == "<Lease 1 of breaker 'openai': settled>"


def test_a_lease_of_the_pure_core_says_where_to_settle_it():
    """It has no owner to go to."""
    lease = Breaker("openai").admit(0.0)
    with pytest.raises(
        TypeError, match=r"^a lease of the pure core has no owner; settle it on its Breaker$"
    ):
        lease.release()
