"""The script of the outage: one table, at any length."""

import pytest

from fsm_fallback.cli.demo.outage import EXPECTED, PROVIDERS, HalfEach, outage
from fsm_fallback.testing import Hang, Overloaded, RateLimited, Slow, Status


def faults_of(name, played):
    """What a provider does wrong, phase by phase."""
    steps = [phase.steps[name] for phase in played.phases]
    return [type(step.then if isinstance(step, Slow) else step) for step in steps]


def test_script_has_what_the_demo_promises():
    """A storm of 529 and a hang at one provider, a 429 and a 503 at the other, all well at last."""
    played = outage()
    assert (played.duration, played.phases[0].starts_at) == (20.0, 0.0)
    assert {Overloaded, Hang} <= set(faults_of("anthropic", played))
    assert {RateLimited, Status} <= set(faults_of("openai", played))
    assert played.phases[0].steps == played.phases[-1].steps


@pytest.mark.parametrize("duration", [5.0, 20.0, 600.0])
def test_every_duration_keeps_its_share(duration):
    """Phases, hold, cut, pauses and the breakers' open time grow and shrink alike."""
    scale = duration / 20.0
    full, scaled = outage(), outage(duration)
    for one, other in zip(full.phases, scaled.phases, strict=True):
        assert other.starts_at == pytest.approx(one.starts_at * scale)
    assert scaled.pauses == pytest.approx([pause * scale for pause in full.pauses])
    assert scaled.config.attempt_timeout == pytest.approx(scale)
    assert scaled.config.breaker.open_duration == pytest.approx(1.5 * scale)
    (limit,) = [
        step.then
        for phase in scaled.phases
        for step in phase.steps.values()
        if isinstance(step, Slow) and isinstance(step.then, RateLimited)
    ]
    assert limit.retry_after == pytest.approx(2.0 * scale)
    assert f"{2.0 * scale:g} s" in next(p.words for p in scaled.phases if "429" in p.words)


def test_phase_at_an_instant_is_the_last_that_began():
    """A phase is on from its very start to the start of the next."""
    played = outage()
    second = played.phases[1].starts_at
    assert played.phase_at(second - 0.001) == 0
    assert played.phase_at(second) == 1
    assert played.phase_at(1000.0) == len(played.phases) - 1


def test_words_of_a_phase_fit_into_a_terminal():
    """The headline of the live screen has 80 columns, 24 of them for other things."""
    assert all(len(phase.words) <= 80 - 24 for phase in outage(12.345).phases)


def test_strategy_asks_each_first_by_half():
    """It keeps every candidate, and turns the order round for half of the samples."""
    assert HalfEach().order(PROVIDERS, None, 0.0, 0.49) == PROVIDERS
    assert HalfEach().order(PROVIDERS, None, 0.0, 0.5) == PROVIDERS[::-1]


def test_every_status_of_the_script_is_expected():
    """What the emulator can serve in the script is in the table of expected faults."""
    assert {200, 429, 503, 529, None} == set(EXPECTED)
