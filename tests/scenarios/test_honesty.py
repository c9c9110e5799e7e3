"""Scenario 18: who answered, which model, and what it took, as the provider that answered says."""

import pytest

from fsm_fallback import StreamConfig, Usage
from fsm_fallback.testing import Stall, Status, StreamCut
from tests.scenarios.stage import MODELS, TEXTS, told

OF_FIRST, OF_SECOND = Usage(1, 5, cached_tokens=0), Usage(1, 8, cached_tokens=0)


def models_of(items):
    """Which models the items of a stream name."""
    named = set()
    for item in items:
        for told_in in (item, getattr(item, "response", None), getattr(item, "message", None)):
            if isinstance(getattr(told_in, "model", None), str):
                named.add(told_in.model)
    return named


class TestPlain:
    """An answer."""

    def test_of_the_first(self, stage):
        """Its own model and tokens."""
        answer = stage.ask(stage.chain())
        assert (answer.provider, answer.model, answer.usage) == ("first", MODELS["first"], OF_FIRST)
        assert answer.trail[-1].usage == OF_FIRST

    def test_of_the_second_after_a_failure(self, stage):
        """Nothing of the first's: it never said a word."""
        stage.first.script(Status(503))
        answer = stage.ask(stage.chain())
        assert (answer.provider, answer.model) == ("second", MODELS["second"])
        assert (answer.usage, answer.trail[0].usage) == (OF_SECOND, None)

    def test_the_journal_bears_it_out(self, stage):
        """Each was asked for its own model."""
        stage.first.script(Status(503))
        stage.ask(stage.chain())
        assert [(entry.provider, entry.model) for entry in stage.journal] == list(MODELS.items())[
            :2
        ]


class TestStreamed:
    """A stream."""

    def test_of_the_first(self, streaming):
        """The usage is there when it has ended."""
        seen = streaming.read(streaming.chain(streams=True))
        assert (seen.stream.provider, seen.stream.usage) == ("first", OF_FIRST)
        assert models_of(seen.items) == {MODELS["first"]}
        assert seen.trail[-1].usage == OF_FIRST

    @pytest.mark.parametrize("step", [Status(503), StreamCut(0)], ids=str)
    def test_of_the_second_after_a_failure(self, streaming, step):
        """No item names the model of the first."""
        streaming.first.script(step)
        seen = streaming.read(streaming.chain(streams=True))
        assert (seen.stream.provider, seen.stream.usage) == ("second", OF_SECOND)
        assert models_of(seen.items) == {MODELS["second"]}

    @pytest.mark.parametrize("policy", ["restart", "buffer"])
    def test_after_a_break_each_attempt_has_its_own(self, streaming, policy):
        """Anthropic tells of tokens as it begins, OpenAI at the end: what was told is kept."""
        streaming.first.script(StreamCut(2))
        chain = streaming.chain(streams=True, stream=StreamConfig(policy=policy))
        seen = streaming.read(chain)
        early = streaming.endpoints["first"] == "messages"
        assert seen.trail[0].usage == (Usage(1, 1, cached_tokens=0) if early else None)
        assert (seen.stream.usage, seen.trail[1].usage) == (OF_SECOND, OF_SECOND)
        assert seen.stream.provider == "second"
        assert seen.text.endswith(TEXTS["second"])

    @pytest.mark.parametrize("policy", ["raise", "restart", "buffer"])
    def test_no_policy_hides_whose_it_was(self, streaming, policy):
        """Not the one that hands over nothing before the end either."""
        chain = streaming.chain(streams=True, stream=StreamConfig(policy=policy))
        seen = streaming.read(chain)
        assert (seen.stream.provider, seen.stream.usage) == ("first", OF_FIRST)
        assert seen.stream.is_whole

    def test_while_it_runs_it_says_whose_it_is(self, streaming):
        """From the first output on."""
        streaming.first.script(Stall(2))
        seen = streaming.read(streaming.chain(streams=True), take=1)
        assert (seen.stream.provider, seen.stream.is_whole) == ("first", False)
        assert told(seen.stream.trail) == []
