"""What a chain records beside its rows: the numbers that were compared, and no others."""

from fsm_fallback import BreakerConfig
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.lease import Refusal


class Candidate:
    """A name."""

    context_window = None

    def __init__(self, name):
        self.name = name


def test_an_answer_after_a_skip_compares_nothing():
    """The skip's time belongs to the skip."""
    steps = []
    chain = Chain("c", 1, (Candidate("a"), Candidate("b")), record=steps.append)
    chain.next(0.0)
    chain.admission(Refusal("open", 9.0, None), 0.0)
    lease = Breaker("b", BreakerConfig()).admit(0.0)
    chain.admission(lease, 0.0)
    chain.answer(1.0)
    skip, answer = steps
    assert (skip.because, answer.because) == ({"until": 9.0}, {})
