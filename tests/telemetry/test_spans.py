"""`Spans`: what a call did, as spans of the user's SDK."""

from __future__ import annotations

import gc
import threading
import weakref

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from fsm_fallback import (
    AllProvidersFailed,
    AuditLog,
    ConfigurationError,
    FallbackConfig,
    FallbackProvider,
    RequestRejected,
    RetryConfig,
    StreamInterrupted,
    provider,
)
from fsm_fallback.telemetry.spans import Spans
from fsm_fallback.testing import Delay, ScriptedProvider, Stream
from tests.telemetry.traffic import PROMPT, SECRET, Invalid, Overloaded, Traffic, answer


class Traced:
    """A user's SDK, and what it has exported."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("user")

    def trace(self, chain, **options):
        """The chain, traced."""
        chain.trace(Spans(self.provider, **options))
        return chain

    @property
    def spans(self):
        """Those that have ended, in the order they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda each: each.start_time)

    def tree(self):
        """Names as they lie in each other: what has no parent first."""
        spans = self.spans
        inside = {}
        for each in spans:
            key = None if each.parent is None else each.parent.span_id
            inside.setdefault(key, []).append(each)

        def told(key):
            return [(each.name, told(each.context.span_id)) for each in inside.get(key, ())]

        return told(None)

    def named(self, name):
        """The spans of a name."""
        return [each for each in self.spans if each.name == name]


@pytest.fixture
def sdk():
    """A user's SDK."""
    made = Traced()
    yield made
    made.provider.shutdown()


def attributes_of(span):
    """Ours, without their prefix."""
    prefix = "fsm_fallback."
    return {
        key.removeprefix(prefix): value
        for key, value in span.attributes.items()
        if key.startswith(prefix)
    }


def asking(sdk, name, outcome="an answer", *, kind="call", **options):
    """A provider inside which an instrumented SDK makes a span, as plain code or awaited."""

    def ask(prompt):
        with sdk.tracer.start_as_current_span(f"HTTP {name}"):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    async def aask(prompt):
        await anyio.lowlevel.checkpoint()
        return ask(prompt)

    return provider(name, **options)(ask if kind == "call" else aask)


# Calls ----------------------------------------------------------------------------------------


def test_a_call_is_a_span_with_one_inside_for_each_attempt(sdk):
    """And spans of instrumented SDKs lie inside of those."""
    chain = FallbackProvider(asking(sdk, "a", Overloaded()), asking(sdk, "b"), name="chat")
    sdk.trace(chain).call(PROMPT)

    assert sdk.tree() == [
        (
            "fallback chat",
            [("attempt a", [("HTTP a", [])]), ("attempt b", [("HTTP b", [])])],
        )
    ]


def test_spans_say_what_came_of_it(sdk):
    """By names and kinds, with a status: what failed is an error, a call that was answered none."""
    chain = FallbackProvider(asking(sdk, "a", Overloaded()), asking(sdk, "b"), name="chat")
    sdk.trace(chain).call(PROMPT)
    call, first, _, second, _ = sdk.spans

    assert attributes_of(call) == {
        "chain": "chat",
        "call": 1,
        "outcome": "succeeded",
        "provider": "b",
        "attempts": 2,
    }
    assert attributes_of(first) == {
        "chain": "chat",
        "provider": "a",
        "attempt": 1,
        "outcome": "failure",
        "fault": "transient",
    }
    assert attributes_of(second) == {
        "chain": "chat",
        "provider": "b",
        "attempt": 2,
        "outcome": "success",
    }
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "transient")
    assert first.attributes["error.type"] == "transient"
    assert call.status.status_code is second.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("fault", "error", "outcome"),
    [(Overloaded(), AllProvidersFailed, "failed"), (Invalid(), RequestRejected, "rejected")],
    ids=["failed", "rejected"],
)
def test_a_call_that_nobody_answered_is_an_error(sdk, fault, error, outcome):
    """By its end; whose fault it was, its attempts say."""
    chain = sdk.trace(FallbackProvider(asking(sdk, "a", fault), name="chat"))
    with pytest.raises(error):
        chain.call(PROMPT)
    (call,) = sdk.named("fallback chat")

    assert attributes_of(call)["outcome"] == outcome
    assert (call.status.status_code, call.status.description) == (StatusCode.ERROR, outcome)
    assert "fsm_fallback.provider" not in call.attributes


def test_whom_a_call_passed_over_is_an_event(sdk):
    """With the reason, and no span: nobody was called."""
    chain = sdk.trace(FallbackProvider(asking(sdk, "a"), asking(sdk, "b"), name="chat"))
    chain.breaker("a").force_open()
    chain.call(PROMPT)
    (call,) = sdk.named("fallback chat")

    assert [(each.name, dict(each.attributes)) for each in call.events] == [
        (
            "fsm_fallback.skip",
            {"fsm_fallback.provider": "a", "fsm_fallback.reason": "forced_open"},
        )
    ]
    assert sdk.named("attempt a") == []


def test_each_try_of_a_retry_is_a_span(sdk, manual_clock):
    """Numbered, as they are in the trail."""
    scripted = ScriptedProvider("a", [Overloaded(), "an answer"], clock=manual_clock)
    chain = FallbackProvider(
        scripted,
        name="chat",
        clock=manual_clock,
        config=FallbackConfig(retry=RetryConfig(attempts=2)),
    )
    sdk.trace(chain).call(PROMPT)

    assert [attributes_of(each)["attempt"] for each in sdk.named("attempt a")] == [1, 2]
    assert [attributes_of(each)["outcome"] for each in sdk.named("attempt a")] == [
        "failure",
        "success",
    ]


def test_a_call_lies_in_the_span_of_its_caller(sdk):
    """And that is current again after it, whatever became of the call."""
    chain = sdk.trace(FallbackProvider(asking(sdk, "a", Overloaded()), name="chat"))
    with sdk.tracer.start_as_current_span("request") as request:
        with pytest.raises(AllProvidersFailed):
            chain.call(PROMPT)
        assert trace.get_current_span() is request
        with pytest.raises(AllProvidersFailed):
            chain.detailed(PROMPT)
        assert trace.get_current_span() is request
    inner = ("fallback chat", [("attempt a", [("HTTP a", [])])])

    assert sdk.tree() == [("request", [inner, inner])]


def test_a_chain_inside_lies_in_the_attempt_of_the_one_around_it(sdk):
    """Where it is traced as well; else its providers' own spans do."""
    inner = FallbackProvider(asking(sdk, "a", Overloaded()), asking(sdk, "b"), name="inner")
    outer = sdk.trace(FallbackProvider(inner, name="outer"))
    outer.call(PROMPT)
    plain = sdk.tree()
    sdk.exporter.clear()
    sdk.trace(inner)
    outer.call(PROMPT)

    assert plain == [("fallback outer", [("attempt inner", [("HTTP a", []), ("HTTP b", [])])])]
    attempts = [("attempt a", [("HTTP a", [])]), ("attempt b", [("HTTP b", [])])]
    assert sdk.tree() == [("fallback outer", [("attempt inner", [("fallback inner", attempts)])])]


def test_a_copy_with_other_options_is_traced(sdk):
    """Made before or after."""
    chain = FallbackProvider(asking(sdk, "a"), name="chat")
    before = chain.options(deadline=10.0)
    sdk.trace(chain)
    before.call(PROMPT)
    chain.options(deadline=20.0).call(PROMPT)

    assert len(sdk.named("fallback chat")) == 2


def test_a_chain_that_is_traced_no_more_makes_no_spans(sdk):
    """Its calls go straight again."""
    chain = sdk.trace(FallbackProvider(asking(sdk, "a"), name="chat"))
    chain.trace(None)
    chain.call(PROMPT)

    assert sdk.tree() == [("HTTP a", [])]


# Awaited calls --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["awaited", "call"])
def test_an_awaited_call_has_the_same_spans(sdk, loop, kind):
    """Whether its providers are awaited, or run in worker threads."""
    chain = FallbackProvider(
        asking(sdk, "a", Overloaded(), kind=kind), asking(sdk, "b", kind=kind), name="chat"
    )
    sdk.trace(chain)

    async def request():
        with sdk.tracer.start_as_current_span("request") as span:
            await chain.acall(PROMPT)
            assert trace.get_current_span() is span

    loop.run(request)
    attempts = [("attempt a", [("HTTP a", [])]), ("attempt b", [("HTTP b", [])])]

    assert sdk.tree() == [("request", [("fallback chat", attempts)])]


def test_calls_at_once_keep_their_spans_apart(sdk, loop):
    """Each attempt in its own call."""
    chain = sdk.trace(
        FallbackProvider(
            asking(sdk, "a", Overloaded(), kind="awaited"),
            asking(sdk, "b", kind="awaited"),
            name="chat",
        )
    )

    async def crowd():
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(chain.acall, PROMPT)

    loop.run(crowd)
    attempts = [("attempt a", [("HTTP a", [])]), ("attempt b", [("HTTP b", [])])]

    assert sdk.tree() == [("fallback chat", attempts)] * 5


def test_a_cancelled_call_ends_its_spans(sdk, loop):
    """Abandoned, which is no error."""
    begun = {}

    @provider("a")
    async def ask(prompt):
        begun["a"].set()
        await anyio.sleep_forever()

    chain = sdk.trace(FallbackProvider(ask, name="chat"))

    async def leaving():
        begun["a"] = anyio.Event()
        async with loop.cancelling(chain.acall, PROMPT):
            await begun["a"].wait()

    loop.run(leaving)
    call, attempt = sdk.spans

    assert attributes_of(call)["outcome"] == attributes_of(attempt)["outcome"] == "abandoned"
    assert call.status.status_code is attempt.status.status_code is StatusCode.UNSET


def test_a_plain_call_that_is_interrupted_ends_its_spans(sdk):
    """By Ctrl-C, or an exit."""

    @provider("a")
    def ask(prompt):
        raise KeyboardInterrupt

    chain = sdk.trace(FallbackProvider(ask, name="chat"))
    with pytest.raises(KeyboardInterrupt):
        chain.call(PROMPT)

    assert [attributes_of(each)["outcome"] for each in sdk.spans] == ["abandoned"] * 2


def test_a_time_out_is_the_fault_of_its_attempt(sdk, loop, manual_clock):
    """The span ends with it."""
    chain = FallbackProvider(
        ScriptedProvider("a", [Delay(9.0, "late")], clock=manual_clock),
        ScriptedProvider("b", ["an answer"], clock=manual_clock),
        name="chat",
        clock=manual_clock,
        config=FallbackConfig(attempt_timeout=1.0),
    )
    loop.run(sdk.trace(chain).acall, PROMPT)
    (attempt,) = sdk.named("attempt a")

    assert attributes_of(attempt)["fault"] == "timeout"


# Streams --------------------------------------------------------------------------------------


def streaming(sdk, name, *items):
    """A provider that gives a stream, and makes a span at each step of it."""

    @provider(name)
    def ask(prompt):
        for item in items:
            with sdk.tracer.start_as_current_span(f"chunk {name}"):
                if isinstance(item, Exception):
                    raise item
            yield item

    return ask


def astreaming(sdk, name, *items):
    """As above, awaited."""
    plain = streaming(sdk, name, *items)

    @provider(name)
    async def ask(prompt):
        for item in plain.stream(prompt):
            await anyio.lowlevel.checkpoint()
            yield item

    return ask


def test_a_stream_is_inside_its_attempt_to_its_end(sdk):
    """Its steps are; what its consumer does in between is not."""
    chain = sdk.trace(
        FallbackProvider(
            streaming(sdk, "a", Overloaded()), streaming(sdk, "b", "one", "two"), name="chat"
        )
    )
    with sdk.tracer.start_as_current_span("request") as request:
        for item in chain.stream(PROMPT):
            assert trace.get_current_span() is request
            with sdk.tracer.start_as_current_span(f"consumed {item}"):
                pass
    attempts = [
        ("attempt a", [("chunk a", [])]),
        ("attempt b", [("chunk b", []), ("chunk b", [])]),
    ]

    assert sdk.tree() == [
        ("request", [("fallback chat", attempts), ("consumed one", []), ("consumed two", [])])
    ]
    assert attributes_of(sdk.named("fallback chat")[0])["outcome"] == "succeeded"


@pytest.mark.parametrize("kind", [streaming, astreaming], ids=["threads", "awaited"])
def test_an_awaited_stream_has_the_same_spans(sdk, loop, kind):
    """Also one that is read in worker threads."""
    chain = sdk.trace(
        FallbackProvider(kind(sdk, "a", Overloaded()), kind(sdk, "b", "one", "two"), name="chat")
    )

    async def read():
        with sdk.tracer.start_as_current_span("request") as request:
            async for _ in chain.astream(PROMPT):
                assert trace.get_current_span() is request

    loop.run(read)
    attempts = [
        ("attempt a", [("chunk a", [])]),
        ("attempt b", [("chunk b", []), ("chunk b", [])]),
    ]

    assert sdk.tree() == [("request", [("fallback chat", attempts)])]


def test_a_stream_that_breaks_is_an_error(sdk):
    """Of the attempt and of the call; whose output was seen is told."""
    chain = sdk.trace(FallbackProvider(streaming(sdk, "a", "one", Overloaded()), name="chat"))
    with pytest.raises(StreamInterrupted):
        list(chain.stream(PROMPT))
    (call,) = sdk.named("fallback chat")
    (attempt,) = sdk.named("attempt a")

    assert attributes_of(call)["outcome"] == "interrupted"
    assert attributes_of(call)["provider"] == "a"
    assert attributes_of(attempt)["outcome"] == "failure"


def test_a_stream_that_is_left_ends_its_spans(sdk):
    """Abandoned, and its provider's stream is closed inside the span."""
    closed = []

    @provider("a")
    def ask(prompt):
        try:
            yield "one"
            yield "two"
        finally:
            closed.append(trace.get_current_span().name)

    stream = sdk.trace(FallbackProvider(ask, name="chat")).stream(PROMPT)
    next(stream)
    assert sdk.spans == []
    stream.close()

    assert closed == ["attempt a"]
    assert [attributes_of(each)["outcome"] for each in sdk.spans] == ["abandoned"] * 2


def test_an_awaited_stream_that_nobody_closes_leaves_no_span_current(sdk, loop):
    """Its generator ends in another context."""
    chain = sdk.trace(FallbackProvider(astreaming(sdk, "a", "one", "two"), name="chat"))

    async def read():
        stream = chain.astream(PROMPT)
        await anext(stream)
        await stream.aclose()
        return trace.get_current_span()

    assert loop.run(read) is trace.INVALID_SPAN
    assert attributes_of(sdk.named("fallback chat")[0])["outcome"] == "abandoned"


# What is told, and what is not ----------------------------------------------------------------


def test_nothing_of_what_was_said_is_in_a_span(sdk):
    """No prompt, no answer, no key, no word of an exception."""
    chain = FallbackProvider(
        ScriptedProvider("a", [Overloaded()]), ScriptedProvider("b", [Invalid()]), name="chat"
    )
    sdk.trace(chain, genai=True)
    with pytest.raises(RequestRejected):
        chain.call(PROMPT)
    told = "".join(each.to_json() for each in sdk.spans)

    assert "attempt a" in told
    assert SECRET not in told
    assert PROMPT not in told


def test_names_of_the_conventions_are_told_where_somebody_asks(sdk, manual_clock):
    """And the attempt is a client's span then."""
    scripted = ScriptedProvider("openai", [answer(0.1)], clock=manual_clock, model="gpt-4.1")
    chain = FallbackProvider(scripted, name="chat", clock=manual_clock)
    sdk.trace(chain, genai=True).call(PROMPT)
    (attempt,) = sdk.named("attempt openai")

    assert attempt.kind is SpanKind.CLIENT
    assert {k: v for k, v in attempt.attributes.items() if k.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
    }


def test_names_of_the_conventions_are_not_told_by_default(sdk, manual_clock):
    """An instrumented SDK tells them, and twice is once too often."""
    scripted = ScriptedProvider("openai", [answer(0.1)], clock=manual_clock, model="gpt-4.1")
    sdk.trace(FallbackProvider(scripted, name="chat", clock=manual_clock)).call(PROMPT)
    (attempt,) = sdk.named("attempt openai")

    assert attempt.kind is SpanKind.INTERNAL
    assert not any(key.startswith("gen_ai.") for key in attempt.attributes)


def test_the_answer_is_the_providers_own(sdk):
    """Also one that could be awaited, or iterated over."""
    value = (each for each in "abc")
    chain = sdk.trace(FallbackProvider(ScriptedProvider("a", [value] * 2), name="chat"))

    assert chain.call(PROMPT) is value
    assert chain.detailed(PROMPT).value is value


def test_audit_records_of_a_call_carry_its_spans(sdk):
    """An attempt's the attempt's; a skip's and the end's the call's; a breaker's none."""
    log = AuditLog()
    chain = FallbackProvider(
        asking(sdk, "a"), asking(sdk, "b", Overloaded()), asking(sdk, "c"), name="chat", audit=log
    )
    chain.breaker("a").force_open()
    sdk.trace(chain).call(PROMPT)
    (call,) = sdk.named("fallback chat")
    of = {each.name: format(each.context.span_id, "016x") for each in sdk.spans}
    records = log.records()

    assert {each["trace_id"] for each in records if each["machine"] == "chain"} == {
        format(call.context.trace_id, "032x")
    }
    assert [(each["trigger"], each["span_id"]) for each in records] == [
        ("force_open", None),
        ("skip", of["fallback chat"]),
        ("offer", of["attempt b"]),
        ("fault", of["attempt b"]),
        ("offer", of["attempt c"]),
        ("answer", of["attempt c"]),
    ]


def test_a_traced_chain_does_what_any_chain_does(sdk):
    """Its records are the same but for the ids, and so is what it has counted."""
    plain, traced = Traffic(), Traffic()
    sdk.trace(traced.chain)
    told = []
    for each in (plain, traced):
        each.play()
        records = [{**record, "stream": None, "ts": None} for record in each.log.records()]
        told.append([{**record, "trace_id": None, "span_id": None} for record in records])

    assert told[0] == told[1]
    assert plain.chain.metrics() == traced.chain.metrics()
    assert plain.chain.requests() == traced.chain.requests()
    assert len(sdk.named("fallback chat")) == traced.calls


def test_a_full_recorder_numbers_traced_records_without_a_gap(sdk):
    """Those it forgot are counted, whatever they carried."""
    log = AuditLog(capacity=3)
    chain = sdk.trace(FallbackProvider(asking(sdk, "a"), name="chat", audit=log))
    for _ in range(100):
        chain.call(PROMPT)

    assert [each["seq"] for each in log.records()] == [195, 196, 197, 198, 199, 200]


def test_without_a_tracer_records_carry_no_ids():
    """Though a span may be current."""
    chain = FallbackProvider(ScriptedProvider("a", ["an answer"]), name="chat")
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))):
        chain.call(PROMPT)

    assert {each["trace_id"] for each in chain.audit.records()} == {None}


# What it costs --------------------------------------------------------------------------------


class Raising(SpanProcessor):
    """A part of the user's SDK that fails."""

    def on_start(self, span, parent_context=None):
        """Raise."""
        raise RuntimeError(SECRET)

    def on_end(self, span):
        """Raise as well."""
        raise RuntimeError(SECRET)


def test_a_tracer_that_raises_costs_no_call(sdk, loop, caplog):
    """It is logged, by its type."""
    sdk.provider.add_span_processor(Raising())
    chain = sdk.trace(
        FallbackProvider(
            ScriptedProvider("a", [Overloaded()] * 2), ScriptedProvider("b", ["x", "y"])
        )
    )

    assert chain.call(PROMPT) == "x"
    assert loop.run(chain.acall, PROMPT) == "y"
    assert "tracer of chain 'fallback' raised" in caplog.text
    assert SECRET not in caplog.text


class RaisingOnce(Spans):
    """Spans that raise before the nth thing they do, and tell nothing then."""

    def __init__(self, provider, at):
        super().__init__(provider)
        self.left = at

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in SPAN_ACTS:
            return found

        def act(*args):
            self.left -= 1
            if self.left == 0:
                raise RuntimeError(SECRET)
            return found(*args)

        return act


SPAN_ACTS = {*(name for name in vars(Spans) if not name.startswith("_"))}


class Open(SpanProcessor):
    """The spans that have begun and not ended."""

    def __init__(self):
        self.names = []

    def on_start(self, span, parent_context=None):
        """Note it."""
        self.names.append(span.name)

    def on_end(self, span):
        """Forget it."""
        self.names.remove(span.name)


async def read(chain):
    """The answer of an awaited stream."""
    pieces = [each async for each in chain.astream(PROMPT)]
    assert trace.get_current_span() is trace.INVALID_SPAN
    return "".join(pieces)


ASKED = {
    "call": lambda chain, _: chain.call(PROMPT),
    "acall": lambda chain, loop: loop.run(chain.acall, PROMPT),
    "stream": lambda chain, _: "".join(chain.stream(PROMPT)),
    "astream": lambda chain, loop: loop.run(read, chain),
}


@pytest.mark.parametrize("at", range(1, 13))
@pytest.mark.parametrize("way", ASKED)
def test_a_tracer_that_raises_leaves_no_span_open_and_none_current(sdk, loop, way, at):
    """Wherever it does: what was begun is ended, and what was current before is so again."""
    opened = Open()
    sdk.provider.add_span_processor(opened)
    answered = Stream("x") if "stream" in way else "x"
    chain = FallbackProvider(
        ScriptedProvider("a", [Overloaded()]),
        ScriptedProvider("b", [answered]),
        audit=AuditLog(),
    )
    chain.trace(RaisingOnce(sdk.provider, at))

    assert ASKED[way](chain, loop) == "x"
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert opened.names == []


def test_an_error_of_a_traced_call_keeps_no_cycle(sdk):
    """It goes with the last who holds it, and the prompt with it."""

    class Prompt:
        pass

    chain = sdk.trace(FallbackProvider(ScriptedProvider("a", [Overloaded]), name="chat"))
    prompt = Prompt()
    gone = weakref.ref(prompt)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(AllProvidersFailed):
            chain.call(prompt)
        del prompt
        chain.breaker("a")
        scripted_calls(chain).clear()
        assert gone() is None
    finally:
        gc.enable()


def scripted_calls(chain):
    """What the scripted provider has noted, the prompt among it."""
    return chain._made.wiring.providers[0]._calls


def test_spans_of_threads_are_kept_apart(sdk):
    """One chain, many threads."""
    chain = sdk.trace(FallbackProvider(asking(sdk, "a"), name="chat"))
    threads = [threading.Thread(target=chain.call, args=(PROMPT,)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sdk.tree() == [("fallback chat", [("attempt a", [("HTTP a", [])])])] * 8


@pytest.mark.parametrize(
    "options", [{"tracer_provider": "x"}, {"genai": "yes"}], ids=["provider", "genai"]
)
def test_an_argument_that_cannot_work_is_refused(options):
    """Before anything is traced."""
    with pytest.raises(ConfigurationError, match=r"Spans\.\w+ is"):
        Spans(**options)


def test_the_api_alone_traces_nothing():
    """Where no SDK is set up, calls go on and records carry no ids."""
    chain = FallbackProvider(ScriptedProvider("a", ["an answer"]), name="chat")
    chain.trace(Spans())

    assert chain.call(PROMPT) == "an answer"
    assert {each["trace_id"] for each in chain.audit.records()} == {None}


def test_streams_of_scripts_are_traced(sdk, manual_clock):
    """The span is as long as the stream."""
    scripted = ScriptedProvider("a", [Stream("one", "two")], clock=manual_clock)
    chain = sdk.trace(FallbackProvider(scripted, name="chat", clock=manual_clock))

    assert list(chain.stream(PROMPT)) == ["one", "two"]
    assert [each.name for each in sdk.spans] == ["fallback chat", "attempt a"]
