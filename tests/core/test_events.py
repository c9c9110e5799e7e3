"""Events: a step that was put off is the step that would have been made at once."""

import pytest

from fsm_fallback import BreakerState
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.events import Answered, AttemptStep, BreakerStep, ChainStep, made

S = BreakerState
SKIP, ANSWER = CHAIN.rows[1], CHAIN.rows[3]
ATTEMPT = AttemptStep(
    chain="fallback",
    call=7,
    offered_at=1.5,
    at=2.5,
    row=ANSWER,
    attempt=1,
    provider="a",
    generation=3,
    lease=9,
    fault=None,
    because={},
    left=2,
    before=4,
)
SKIPPED = ChainStep("fallback", 7, 2.5, SKIP, "a", None, "open", {}, 2, 4)
LATE = BreakerStep("a", 2.5, "fail", None, S.OPEN, S.OPEN, "late", {}, {}, 3, 9, None)


def test_an_answer_put_off_becomes_the_step_of_a_first_attempt():
    """What the calls share comes from `Answered`, the rest from the call."""
    answered = Answered(chain="fallback", provider="a", row=ANSWER, left=2, before=4)
    assert made((answered, 7, 1.5, 2.5, 3, 9)) == ATTEMPT


@pytest.mark.parametrize("step", [ATTEMPT, SKIPPED, LATE], ids=lambda step: type(step).__name__)
def test_a_step_that_was_made_is_handed_on(step):
    """The very object."""
    assert made(step) is step
