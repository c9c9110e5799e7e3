"""Every fault of a stream, as the real SDKs report it."""

import json
import math
import time

import openai
import pytest

from fsm_fallback.errors import ConfigurationError
from fsm_fallback.testing import (
    Cut,
    EmptyStream,
    Emulator,
    ErrorIn200,
    Filtered,
    MalformedChunk,
    NoDone,
    NoEnd,
    Reply,
    Slow,
    Stall,
    StreamCut,
    StreamError,
)

TEXT = "one two three four"
PIECES = ["one", " two", " three", " four"]
STALL_LIMIT = 0.15


def read(api, provider, step, limit=5.0):
    """Serve a step to a stream; return what came of it."""
    provider.script(step)
    return api.read(provider.base_url, limit=limit)


def assert_ended(provider, emulator, outcome, pieces, ended):
    """What the journal says about the only request."""
    emulator.journal.wait_for(1, ended=True, give_up_after=1.0)
    (entry,) = provider.requests
    assert (entry.outcome, entry.status) == (outcome, 200)
    assert (entry.pieces, entry.ended) == (pieces, ended)


def assert_broken_off(api, error):
    """OpenAI's SDK wraps the error of its HTTP client, Anthropic's lets it through."""
    name = type(error).__name__
    if api.dialect == "openai":
        assert name == "APIConnectionError"
        name = type(error.__cause__).__name__
    assert name == "RemoteProtocolError"


def finish_of(api, items):
    """Return the reason that a stream gives for its end; None without one."""
    match api.endpoint:
        case "chat":
            reasons = [item.choices[0].finish_reason for item in items if item.choices]
            return reasons[-1]
        case "responses":
            return items[-1].type.removeprefix("response.")
        case _:
            reasons = [item.delta.stop_reason for item in items if item.type == "message_delta"]
            return reasons[-1] if reasons else None


@pytest.mark.parametrize("after", [0, 2, 9])
@pytest.mark.parametrize("status", [429, 500, 529])
def test_an_error_comes_in_a_stream(api, provider, emulator, after, status):
    """Two SDKs raise it without its status, responses hands it over as an item."""
    streamed = read(api, provider, StreamError(after, status, text=TEXT))
    assert streamed.pieces == PIECES[:after]
    match api.endpoint:
        case "chat":
            assert type(streamed.error) is openai.APIError
            kinds = {429: "requests", 500: "server_error", 529: "server_error"}
            assert streamed.error.type == kinds[status]
        case "responses":
            assert streamed.error is None
            codes = {429: "rate_limit_exceeded", 500: "server_error", 529: "server_error"}
            assert (streamed.items[-1].type, streamed.items[-1].code) == ("error", codes[status])
            assert streamed.items[-1].sequence_number == len(streamed.items) - 1
        case _:
            assert type(streamed.error) is api.sdk.APIStatusError
            assert streamed.error.status_code == 200
            kinds = {429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
            assert streamed.error.body["error"]["type"] == kinds[status]
    assert_ended(provider, emulator, "stream_error", min(after, 4), "sent")


def test_a_response_can_fail(responses_api, openai_provider):
    """The event holds the response, with its error."""
    streamed = read(responses_api, openai_provider, StreamError(1, 429, failed=True, text=TEXT))
    last = streamed.items[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert last.response.error.code == "rate_limit_exceeded"
    assert (streamed.pieces, streamed.error) == (["one"], None)


def test_only_responses_can_fail(api, provider):
    """The others send the one error event they have."""
    streamed = read(api, provider, StreamError(failed=True))
    if api.endpoint != "responses":
        assert isinstance(streamed.error, api.sdk.APIError)


@pytest.mark.parametrize("after", [0, 2, 9])
def test_a_stream_breaks_off(api, provider, emulator, after):
    """The SDK raises after the pieces that came, even after the last one."""
    streamed = read(api, provider, StreamCut(after, text=TEXT))
    assert streamed.pieces == PIECES[:after]
    assert_broken_off(api, streamed.error)
    assert_ended(provider, emulator, "stream_cut", min(after, 4), "cut")


@pytest.mark.parametrize("after", [0, 2])
def test_a_stream_stalls(api, provider, emulator, after):
    """Until the client's own time-out, which Anthropic's SDK does not wrap within a stream."""
    streamed = read(api, provider, Stall(after, text=TEXT), limit=STALL_LIMIT)
    assert streamed.pieces == PIECES[:after]
    is_openai = api.dialect == "openai"
    assert type(streamed.error).__name__ == ("APITimeoutError" if is_openai else "ReadTimeout")
    assert_ended(provider, emulator, "stall", after, "left")


def test_a_stalled_stream_goes_on(api, provider, emulator):
    """After its time, with the rest."""
    began_at = time.monotonic()
    streamed = read(api, provider, Stall(0, 0.05, text=TEXT))
    assert time.monotonic() - began_at >= 0.05
    assert (streamed.pieces, streamed.error) == (PIECES, None)
    assert_ended(provider, emulator, "stall", 4, "sent")


def test_a_stalled_stream_opens_at_once(emulator, openai_provider):
    """A slow first token: head and first events are there before any output."""
    openai_provider.script(Stall(0, text=TEXT))
    with openai.OpenAI(base_url=openai_provider.base_url, api_key="test", max_retries=0) as client:
        stream = client.responses.create(model="m", input="x", stream=True)
        assert [next(stream).type for _ in range(4)][-1] == "response.content_part.added"
        assert openai_provider.requests[0].ended is None
        openai_provider.release()
        assert next(stream).delta == "one"
        stream.close()


def test_an_outage_that_stalls_releases_its_streams(emulator, openai_provider):
    """When it ends, as one that hangs does."""
    with openai.OpenAI(base_url=openai_provider.base_url, api_key="test", max_retries=0) as client:
        with openai_provider.outage(Slow(0, then=Stall(1, text=TEXT))):
            stream = client.responses.create(model="m", input="x", stream=True)
        assert list(stream)[-1].response.output_text == TEXT


@pytest.mark.parametrize("after", [0, 2, 9])
def test_a_chunk_cannot_be_read(api, provider, emulator, after):
    """The SDKs let the parser's error through."""
    streamed = read(api, provider, MalformedChunk(after, text=TEXT))
    assert streamed.pieces == PIECES[:after]
    assert isinstance(streamed.error, json.JSONDecodeError)
    assert_ended(provider, emulator, "malformed_chunk", min(after, 4), "sent")


@pytest.mark.parametrize("after", [0, 2, 4, 9, None])
def test_a_stream_has_no_end(api, provider, emulator, after):
    """No SDK says so: it looks like one that is complete, but no reason was given."""
    streamed = read(api, provider, NoEnd(after, text=TEXT))
    assert (streamed.pieces, streamed.error) == (PIECES[:after], None)
    assert finish_of(api, streamed.items) not in {"stop", "completed", "end_turn"}
    pieces = 4 if after is None else min(after, 4)
    assert_ended(provider, emulator, "no_end", pieces, "sent")


def test_done_can_be_missing(api, provider, emulator):
    """No SDK minds."""
    streamed = read(api, provider, NoDone(text=TEXT))
    assert (streamed.pieces, streamed.error) == (PIECES, None)
    assert finish_of(api, streamed.items) in {"stop", "completed", "end_turn"}
    assert_ended(provider, emulator, "no_done", 4, "sent")


def test_a_stream_can_be_empty(api, provider, emulator):
    """It begins and ends as any other."""
    streamed = read(api, provider, EmptyStream())
    assert (streamed.pieces, streamed.error) == ([], None)
    assert finish_of(api, streamed.items) in {"stop", "completed", "end_turn"}
    if api.endpoint == "responses":
        assert streamed.items[-1].response.output == []
    assert_ended(provider, emulator, "empty_stream", 0, "sent")


def test_a_stream_can_have_no_event(api, provider, emulator):
    """The SDKs give no item and no error."""
    streamed = read(api, provider, EmptyStream(lifecycle=False))
    assert (streamed.items, streamed.error) == ([], None)
    assert_ended(provider, emulator, "empty_stream", 0, "sent")


FILTERED = {"chat": "content_filter", "responses": "incomplete", "messages": "refusal"}


@pytest.mark.parametrize("after", [0, 2, 9])
def test_a_filter_ends_a_stream(api, provider, emulator, after):
    """With the reason of the dialect, and the text up to there."""
    streamed = read(api, provider, Filtered(after, text=TEXT))
    assert (streamed.pieces, streamed.error) == (PIECES[:after], None)
    assert finish_of(api, streamed.items) == FILTERED[api.endpoint]
    if api.endpoint == "responses":
        response = streamed.items[-1].response
        assert response.incomplete_details.reason == "content_filter"
        assert response.output_text == "".join(PIECES[:after])
    assert_ended(provider, emulator, "filtered", min(after, 4), "sent")


def test_a_filter_ends_a_plain_answer(api, provider):
    """The only fault of streams that is served without one."""
    provider.script(Filtered(2, text=TEXT))
    answer = api.ask(provider.base_url)
    assert api.text(answer) == "one two"
    match api.endpoint:
        case "chat":
            assert answer.choices[0].finish_reason == "content_filter"
        case "responses":
            assert (answer.status, answer.incomplete_details.reason) == (
                "incomplete",
                "content_filter",
            )
        case _:
            assert answer.stop_reason == "refusal"


@pytest.mark.parametrize(
    ("step", "outcome", "pieces"),
    [(Slow(0.02, then=StreamCut(2, text=TEXT)), "slow", 2), (Cut(of=Reply(TEXT)), "cut", None)],
    ids=["slow", "cut"],
)
def test_other_steps_meet_streams(api, provider, emulator, step, outcome, pieces):
    """A delay before a fault, and a body that breaks off within an event."""
    streamed = read(api, provider, step)
    assert_broken_off(api, streamed.error)
    if pieces is None:
        pieces = len(streamed.pieces)
        assert 0 < pieces < 4
    assert_ended(provider, emulator, outcome, pieces, "cut")


@pytest.mark.parametrize("after_bytes", [0, 1, 10**9])
def test_a_stream_cut_by_bytes_is_never_complete(api, provider, after_bytes):
    """Even if it is cut after more bytes than it has."""
    provider.script(Cut(after_bytes, of=Reply(TEXT)))
    streamed = api.read(provider.base_url)
    if api.endpoint == "chat" and after_bytes == 10**9:
        assert streamed.text == TEXT  # what is missing is a line end after [DONE]
    else:
        assert_broken_off(api, streamed.error)


def test_an_error_in_a_200_needs_no_opening(api, provider, emulator):
    """It is the first event of the stream, and the only one."""
    streamed = read(api, provider, ErrorIn200())
    assert streamed.pieces == []
    assert_ended(provider, emulator, "error_in_200", 0, "sent")


@pytest.mark.parametrize(
    ("step", "remedy"),
    [
        (StreamError(), r"ErrorIn200\(\)"),
        (StreamCut(), r"Cut\(\)"),
        (Stall(), r"Hang\(\) or Slow\(\)"),
        (MalformedChunk(), r"Malformed\(\)"),
        (NoEnd(), r"Cut\(\)"),
        (NoDone(), r"Reply\(\)"),
        (EmptyStream(), r"Empty\(\)"),
        (Slow(0, then=NoEnd()), r"Cut\(\)"),
    ],
)
def test_a_fault_of_streams_does_not_fit_a_plain_request(api, step, remedy):
    """The client gets a 500, and the emulator names the remedy when it stops."""
    emulator = Emulator().start()
    provider = emulator.provider("p", dialect=api.dialect)
    provider.script(step)
    with pytest.raises(api.sdk.InternalServerError):
        api.ask(provider.base_url)
    with pytest.raises(ConfigurationError, match=f"asked for no stream; .* script {remedy}$"):
        emulator.stop()
    (entry,) = provider.requests
    assert (entry.outcome, entry.status, entry.ended) == ("failed", 500, "sent")


@pytest.mark.parametrize("step", [StreamError(), EmptyStream(), NoDone()])
def test_a_stream_that_is_wrong_is_rejected_before_its_fault(emulator, post, step):
    """The model would never have begun."""
    provider = emulator.provider("p", dialect="openai")
    provider.script(step)
    assert post(provider, "/v1/responses", {"model": "m", "stream": True})[0] == 400
    assert provider.requests[0].outcome == "rejected"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StreamError(-1), "StreamError.after is -1"),
        (lambda: StreamError(True), "StreamError.after is True"),  # noqa: FBT003
        (lambda: StreamError(1, 200), "StreamError.error is 200"),
        (lambda: StreamError(text=3), "StreamError.text is 3"),
        (lambda: StreamCut(1.5), "StreamCut.after is 1.5"),
        (lambda: StreamCut(None), "StreamCut.after is None"),
        (lambda: Stall(-1), "Stall.after is -1"),
        (lambda: Stall(1, -1), "Stall.seconds is -1"),
        (lambda: Stall(1, math.inf), "Stall.seconds is inf"),
        (lambda: MalformedChunk("1"), "MalformedChunk.after is '1'"),
        (lambda: NoEnd(-1), "NoEnd.after is -1; .* None for all"),
        (lambda: Filtered(-1), "Filtered.after is -1"),
        (lambda: Cut(of=StreamCut()), "Cut.of is StreamCut"),
    ],
)
def test_a_fault_that_cannot_work_is_refused(make, words):
    """The error names the field and its value."""
    with pytest.raises(ConfigurationError, match=words):
        make()
