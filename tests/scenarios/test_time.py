"""Silence, on a clock that runs: cut where there is a limit, and borne where nobody else is left.

Asynchronous clients are cut by the chain. Of synchronous ones the SDK's own time-out does it, which
the chain sets through `timeout_arg` where an attempt begins.
"""

import time

import pytest

from fsm_fallback import DeadlineExceeded, FaultKind, StreamConfig, StreamInterrupted
from fsm_fallback.testing import Hang, Slow, Stall
from tests.scenarios.stage import RESET, TEXTS, told

K = FaultKind
LIMIT = 0.25  # a busy machine takes a tenth to make a first connection
LONG = 0.4  # above the limit
AMPLE = 30.0  # no busy machine comes near


class TestSilence:
    """Scenario 7."""

    def test_it_is_cut_and_the_next_one_answers(self, stage):
        """Not before the limit, and long before the SDK would have given up."""
        stage.first.script(Hang())
        chain = stage.chain(real=True, patience=AMPLE, attempt_timeout=LIMIT)
        answer = stage.ask(chain)
        assert told(answer.trail) == [("first", K.TIMEOUT), ("second", None)]
        assert LIMIT <= answer.trail[0].duration < 5.0
        assert stage.ends() == [("left", 0)]
        snapshot = chain.breaker("first").snapshot()
        assert (snapshot.failures, snapshot.in_flight) == (1, 0)

    def test_before_a_stream_it_is_cut_as_well(self, streaming):
        """Where not even the head of the response comes."""
        stage = streaming
        stage.first.script(Hang())
        chain = stage.chain(streams=True, real=True, patience=AMPLE, attempt_timeout=LIMIT)
        seen = stage.read(chain)
        assert told(seen.trail) == [("first", K.TIMEOUT), ("second", None)]
        assert seen.text == TEXTS["second"]
        assert LIMIT <= seen.trail[0].duration < 5.0
        assert stage.ends() == [("left", 0)]

    def test_a_deadline_ends_the_call_whoever_is_silent(self, stage):
        """Both are asked, and both are cut."""
        stage.first.script(Hang())
        stage.second.script(Hang())
        chain = stage.chain(real=True, patience=AMPLE, attempt_timeout=LIMIT, deadline=4 * LIMIT)
        began = time.monotonic()
        failure = stage.fail(chain)
        assert type(failure) is DeadlineExceeded
        assert 4 * LIMIT <= time.monotonic() - began < 5.0
        assert told(failure.trail) == [("first", K.TIMEOUT), ("second", K.TIMEOUT)]
        assert stage.ends() + stage.ends("second") == [("left", 0)] * 2


class TestASlowFirstToken:
    """Scenario 8: the head and the opening events come, and then nothing."""

    @pytest.mark.parametrize("policy", ["raise", "restart", "buffer"])
    def test_the_next_one_streams_and_nothing_leaks(self, streaming, policy):
        """The events that opened the first are never seen."""
        stage = streaming
        stage.first.script(Stall(0))
        config = StreamConfig(policy=policy, first_output_timeout=LIMIT)
        seen = stage.read(stage.chain(streams=True, real=True, patience=AMPLE, stream=config))
        assert told(seen.trail) == [("first", K.TIMEOUT), ("second", None)]
        assert (seen.error, seen.text) == (None, TEXTS["second"])
        assert RESET not in seen.pieces
        assert seen.trail[0].first_output is None
        assert LIMIT <= seen.trail[0].duration < 5.0
        assert stage.ends() + stage.ends("second") == [("left", 0), ("sent", 6)]

    def test_the_last_one_is_not_cut_by_it(self, streaming):
        """There is nobody else to ask."""
        stage = streaming
        stage.first.script(Stall(0))
        stage.second.script(Stall(0, LONG))
        config = StreamConfig(first_output_timeout=LIMIT)
        seen = stage.read(stage.chain(streams=True, real=True, patience=AMPLE, stream=config))
        assert (seen.error, seen.text) == (None, TEXTS["second"])
        assert seen.trail[1].first_output >= LONG
        assert stage.ends("second") == [("sent", 6)]

    def test_the_only_one_is_the_last(self, streaming):
        """As above."""
        stage = streaming
        stage.first.script(Slow(LONG))
        config = StreamConfig(first_output_timeout=LIMIT)
        chain = stage.chain("first", streams=True, real=True, patience=AMPLE, stream=config)
        seen = stage.read(chain)
        assert (seen.error, seen.text) == (None, TEXTS["first"])
        assert stage.ends() == [("sent", 4)]

    def test_a_deadline_cuts_the_last_one_too(self, streaming):
        """Nothing was handed over, so it is the deadline's error."""
        stage = streaming
        stage.first.script(Stall(0))
        stage.second.script(Stall(0))
        chain = stage.chain(
            streams=True,
            real=True,
            patience=AMPLE,
            deadline=4 * LIMIT,
            stream=StreamConfig(first_output_timeout=LIMIT),
        )
        seen = stage.read(chain)
        assert type(seen.error) is DeadlineExceeded
        assert told(seen.trail) == [("first", K.TIMEOUT), ("second", K.TIMEOUT)]
        assert (seen.items, stage.ends("second")) == ([], [("left", 0)])

    def test_a_stream_that_began_in_time_may_go_on_for_longer(self, awaited):
        """The limit is one of the first output only; a synchronous SDK's is of every read."""
        stage = awaited
        stage.first.script(Stall(2, LONG))
        config = StreamConfig(first_output_timeout=LIMIT)
        seen = stage.read(stage.chain(streams=True, real=True, stream=config))
        assert (seen.error, seen.text) == (None, TEXTS["first"])
        assert stage.requests() == (1, 0)


class TestAStall:
    """Scenario 10: silence in the middle of a stream."""

    def chain(self, stage, policy):
        """Cut by the chain, or by the SDK where the chain cannot."""
        config = StreamConfig(policy=policy, idle_timeout=LIMIT)
        patience = AMPLE if stage.is_async else LIMIT
        return stage.chain(streams=True, real=True, patience=patience, stream=config)

    def test_it_interrupts_the_stream(self, streaming):
        """With what was handed over."""
        stage = streaming
        stage.first.script(Stall(2))
        seen = stage.read(self.chain(stage, "raise"))
        assert type(seen.error) is StreamInterrupted
        assert (seen.pieces, seen.error.partial) == (["one", " two"], tuple(seen.items))
        assert told(seen.trail) == [("first", K.TIMEOUT)]
        assert seen.trail[0].duration >= LIMIT
        assert stage.ends() == [("left", 2)]
        assert stage.requests() == (1, 0)

    def test_the_other_one_starts_anew(self, streaming):
        """Behind a reset."""
        stage = streaming
        stage.first.script(Stall(2))
        seen = stage.read(self.chain(stage, "restart"))
        assert seen.error is None
        assert seen.text == "one two" + RESET + TEXTS["second"]
        assert told(seen.trail) == [("first", K.TIMEOUT), ("second", None)]
        assert stage.ends() + stage.ends("second") == [("left", 2), ("sent", 6)]

    def test_where_all_is_held_back_nobody_sees_it(self, streaming):
        """Only the other's text."""
        stage = streaming
        stage.first.script(Stall(2))
        seen = stage.read(self.chain(stage, "buffer"))
        assert (seen.error, seen.text) == (None, TEXTS["second"])
        assert stage.ends() == [("left", 2)]

    def test_a_short_pause_is_none(self, streaming):
        """Below the limit the stream goes on."""
        stage = streaming
        stage.first.script(Stall(2, 0.02))
        config = StreamConfig(idle_timeout=2.0)
        seen = stage.read(stage.chain(streams=True, real=True, stream=config))
        assert (seen.error, seen.text) == (None, TEXTS["first"])

    def test_a_consumer_may_take_its_time(self, awaited):
        """The limit is the provider's: between two items the caller may do as it likes."""
        stage = awaited
        config = StreamConfig(idle_timeout=LIMIT, first_output_timeout=LIMIT)
        chain = stage.chain(streams=True, real=True, stream=config)

        async def main():
            items = []
            async for item in chain.astream("why"):
                items.append(item)
                if len(items) == 2:
                    time.sleep(2 * LIMIT)  # noqa: ASYNC251  # the loop stands still with it
            return items

        assert stage.run(main)
        assert stage.ends() == [("sent", 4)]

    def test_a_deadline_interrupts_a_stalled_stream(self, streaming):
        """With no limit of its own."""
        stage = streaming
        stage.first.script(Stall(2))
        chain = stage.chain("first", streams=True, real=True, patience=AMPLE, deadline=4 * LIMIT)
        seen = stage.read(chain)
        assert type(seen.error) is StreamInterrupted
        assert seen.pieces == ["one", " two"]
        assert stage.ends() == [("left", 2)]
