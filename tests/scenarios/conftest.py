"""The stages of the scenarios: who is asked first, by which SDK, in which way."""

import pytest

from tests.scenarios.stage import a_stage

PLAIN_PAIRS = [("responses", "messages"), ("messages", "chat")]
STREAM_PAIRS = [("chat", "messages"), ("responses", "messages"), ("messages", "chat")]


@pytest.fixture(params=PLAIN_PAIRS, ids="-".join)
def stage(request, emulator, manual_clock, plain_or_loop):
    """For plain answers: each SDK first, synchronous and asynchronous in each loop."""
    with a_stage(emulator, manual_clock, plain_or_loop, request.param) as built:
        yield built


@pytest.fixture(params=STREAM_PAIRS, ids="-".join)
def streaming(request, emulator, manual_clock, plain_or_loop):
    """For streams: each endpoint first, synchronous and asynchronous in each loop."""
    with a_stage(emulator, manual_clock, plain_or_loop, request.param) as built:
        yield built


@pytest.fixture(params=STREAM_PAIRS, ids="-".join)
def awaited(request, emulator, manual_clock, loop):
    """For streams, asynchronous only, in each loop."""
    with a_stage(emulator, manual_clock, loop, request.param) as built:
        yield built
