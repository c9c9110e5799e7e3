"""The streams that the SDKs' own helpers give are context managers, and taken as they are."""

import pytest

from fsm_fallback import (
    FallbackProvider,
    FaultKind,
    StreamInterrupted,
    Usage,
    provider,
)
from fsm_fallback.testing import Reply, Stall, Status, StreamCut, StreamError
from tests.scenarios.stage import TEXTS, piece_of, request_of, told

K = FaultKind


def helped(stage, name, *, plainly=False):
    """The function of a user who asks through the helper: it returns the manager as it is.

    `plainly`: it is no coroutine function, even where the client is asynchronous.
    """
    endpoint = stage.endpoints[name]

    def manager(prompt):
        client = stage.client(name)
        resource = client.chat.completions if endpoint == "chat" else getattr(client, endpoint)
        arguments = request_of(endpoint, name, prompt)
        if endpoint == "chat":
            arguments["stream_options"] = {"include_usage": True}
        return resource.stream(**arguments)

    if stage.is_async and not plainly:

        @provider(name, streams=True)
        async def aask(prompt):
            return manager(prompt)

        return aask

    @provider(name, streams=True)
    def ask(prompt):
        return manager(prompt)

    return ask


def chained(stage, **how):
    """Both, behind a chain."""
    return FallbackProvider(
        helped(stage, "first", **how), helped(stage, "second", **how), clock=stage.clock
    )


def spoken(items):
    """The text, as the provider's own events tell it: the helpers tell it twice."""
    return "".join(map(heard, items))


def heard(item):
    """What an item adds to it."""
    match item.type:
        case "chunk":
            return piece_of(item.chunk)
        case "response.output_text.delta":
            return item.delta
        case "content_block_delta":
            return item.delta.text
        case _:
            return ""


def test_a_whole_stream_is_handed_over(streaming):
    """With the helper's events beside the provider's, and the usage."""
    stage = streaming
    seen = stage.read(chained(stage))
    assert (seen.error, seen.stream.is_whole) == (None, True)
    assert spoken(seen.items) == TEXTS["first"]
    assert told(seen.trail) == [("first", None)]
    assert seen.stream.usage == Usage(1, 5, cached_tokens=0)
    assert stage.ends() == [("sent", 4)]


@pytest.mark.parametrize(
    ("step", "kind"),
    [(Status(503), K.TRANSIENT), (StreamCut(0), K.STREAM), (StreamError(0), K.TRANSIENT)],
    ids=str,
)
def test_a_failure_before_output_leads_to_the_next(streaming, step, kind):
    """Nothing of the first is handed over."""
    stage = streaming
    stage.first.script(step)
    seen = stage.read(chained(stage))
    assert told(seen.trail) == [("first", kind), ("second", None)]
    assert spoken(seen.items) == TEXTS["second"]
    assert stage.requests() == (1, 1)


def test_a_cut_after_output_is_told_with_what_came(streaming):
    """The very items."""
    stage = streaming
    stage.first.script(StreamCut(2))
    seen = stage.read(chained(stage))
    assert type(seen.error) is StreamInterrupted
    assert spoken(seen.items) == "one two"
    assert seen.error.partial == tuple(seen.items)


def test_one_that_is_left_is_closed_by_its_manager(streaming):
    """The journal calls it left."""
    stage = streaming
    stage.first.script(Stall(2))
    chain = chained(stage)

    async def main():
        async with chain.astream_detailed("why") as stream:
            async for item in stream:
                if heard(item):
                    break

    if stage.is_async:
        stage.run(main)
    else:
        with chain.stream_detailed("why") as stream:
            for item in stream:
                if heard(item):
                    break
    assert stage.ends() == [("left", 2)]
    assert chain.breaker("first").snapshot().calls == 0


@pytest.mark.parametrize("step", [Reply(), Status(503), StreamCut(0)], ids=str)
def test_a_plain_function_may_return_what_is_read_in_the_loop(awaited, step):
    """Nothing of the helper has to be awaited, so why should the function be a coroutine's."""
    stage = awaited
    stage.first.script(step)
    seen = stage.read(chained(stage, plainly=True))
    name = "first" if step == Reply() else "second"
    assert (seen.error, seen.stream.provider, spoken(seen.items)) == (None, name, TEXTS[name])
    assert stage.ends(name)[-1][0] == "sent"


def test_a_plain_function_may_return_what_has_to_be_awaited(awaited):
    """As a thin wrapper of an asynchronous function does."""
    stage = awaited
    ask = stage.asking("first", streams=True)

    @provider("first", streams=True)
    def plain(prompt):
        return ask(prompt)

    seen = stage.read(FallbackProvider(plain))
    assert (seen.error, seen.text) == (None, TEXTS["first"])


def test_what_is_read_in_the_loop_is_closed_there(awaited):
    """By whoever leaves early."""
    stage = awaited
    stage.first.script(Stall(2))
    chain = chained(stage, plainly=True)

    async def main():
        async with chain.astream_detailed("why") as stream:
            async for item in stream:
                if heard(item):
                    break

    stage.run(main)
    assert stage.ends() == [("left", 2)]
    assert chain.breaker("first").snapshot().calls == 0
