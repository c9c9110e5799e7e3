"""Spans for OpenTelemetry: one for each call of a chain, and in it one for each attempt.

Decides what they are called and what they say. It refuses to know when a call begins or ends;
`drivers.tracing` does. Only the API is needed. Of a fault the kind is told, of an exception
nothing: its words may be anybody's secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fsm_fallback.core.bounds import FLAG, shown
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.telemetry import fields as f

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

_OPERATION: Final = "chat"
_TOKENS: Final = (
    ("input_tokens", f.GENAI_INPUT_TOKENS),
    ("output_tokens", f.GENAI_OUTPUT_TOKENS),
    ("cached_tokens", f.GENAI_CACHED_TOKENS),
)


class Spans:
    """Makes the spans of calls; needs the extra `opentelemetry`.

        llm.trace(Spans())

    A call is one span, and in it each attempt another, from where its provider is asked until the
    call knows what came of it: of a stream, to its end. It is the current span wherever the
    provider's code runs, worker threads too, so that spans of instrumented SDKs lie inside, and
    `traceparent` headers name it. Whom a call passed over is an event of the call's span. Audit
    records of calls carry the ids of the spans they were recorded in.

    Calls that are traced take longer: each is walked row by row. Safe in threads.

    Args:
        tracer_provider: Whose tracer makes them; None for the global one, also if that is set
            later.
        genai: Whether attempts carry the names of the semantic conventions for generative AI as
            well. Instrumented SDKs tell the same in spans of their own, inside of these.
            `gen_ai.provider.name` is the provider's name in the chain, so name providers as the
            conventions do, `"openai"` or `"anthropic"`, where dashboards look for those.

    Raises:
        ConfigurationError: If an argument cannot work, or `opentelemetry-api` is not installed.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, *, genai: bool = False
    ) -> None:
        try:
            from opentelemetry import context, trace  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigurationError(
                "Spans needs opentelemetry-api, which is not installed; "
                "pip install 'fsm-fallback[opentelemetry]'"
            ) from error
        provider = trace.get_tracer_provider() if tracer_provider is None else tracer_provider
        if not callable(getattr(provider, "get_tracer", None)):
            raise ConfigurationError(
                f"Spans.tracer_provider is {shown(provider)}; give a TracerProvider"
            )
        if not FLAG.accepts(genai):
            raise ConfigurationError(f"Spans.genai is {shown(genai)}; give {FLAG.wanted}")
        self.genai = genai
        self._api, self._context = trace, context
        self._tracer = provider.get_tracer(f.NAMESPACE)

    # Calls ----------------------------------------------------------------------------------

    def begin_call(self, chain: str, call: int) -> Span:
        """The span of a call, in what is current."""
        return self._tracer.start_span(
            f"{f.CALL_SPAN} {chain}", attributes={f.SPAN_CHAIN: chain, f.SPAN_CALL: call}
        )

    def tell_skip(self, span: Span, provider: str, reason: str) -> None:
        """Tell a call's span that somebody was passed over."""
        span.add_event(f.SKIP_EVENT, {f.SPAN_PROVIDER: provider, f.SPAN_REASON: reason})

    def end_call(self, span: Span, outcome: str, provider: str | None, attempts: int) -> None:
        """End a call's span; a caller who left is no error."""
        span.set_attributes(_known({f.SPAN_OUTCOME: outcome, f.SPAN_ATTEMPTS: attempts}))
        if provider is not None:
            span.set_attribute(f.SPAN_PROVIDER, provider)
        if outcome not in ("succeeded", "abandoned"):
            self._fail(span, outcome)
        span.end()

    # Attempts -------------------------------------------------------------------------------

    def begin_attempt(
        self, parent: Span, chain: str, provider: str, number: int, model: str | None
    ) -> Span:
        """The span of an attempt, in that of its call."""
        attributes: dict[str, Any] = {
            f.SPAN_CHAIN: chain,
            f.SPAN_PROVIDER: provider,
            f.SPAN_ATTEMPT: number,
        }
        kind = self._api.SpanKind.INTERNAL
        if self.genai:
            kind = self._api.SpanKind.CLIENT
            told = {f.GENAI_PROVIDER: provider, f.GENAI_REQUEST_MODEL: model}
            attributes |= _known({f.GENAI_OPERATION: _OPERATION, **told})
        return self._tracer.start_span(
            f"{f.ATTEMPT_SPAN} {provider}",
            context=self._api.set_span_in_context(parent),
            kind=kind,
            attributes=attributes,
        )

    def end_attempt(self, span: Span, outcome: str, fault: str | None, usage: Any) -> None:
        """End an attempt's span.

        Args:
            span: Which.
            outcome: What its breaker books; `"abandoned"` where the caller left.
            fault: The kind of its fault; None for none.
            usage: The tokens it took; None if nobody knows.
        """
        span.set_attribute(f.SPAN_OUTCOME, outcome)
        if self.genai and usage is not None:
            span.set_attributes(_known({key: getattr(usage, name) for name, key in _TOKENS}))
        if fault is not None:
            span.set_attribute(f.SPAN_FAULT, fault)
            self._fail(span, fault)
        span.end()

    # Context --------------------------------------------------------------------------------

    def attach(self, span: Span) -> Token[Context]:
        """Make a span the current one, here and in whatever is called or started from here."""
        return self._context.attach(self._api.set_span_in_context(span))

    def detach(self, span: Span, token: Token[Context]) -> None:
        """Make current what was before.

        A coroutine that nobody awaits any more ends in another context, where the span is not.
        """
        if self._api.get_current_span() is span:
            self._context.detach(token)

    def ids(self, span: Span) -> tuple[str, str] | None:
        """The ids of trace and span as W3C's `traceparent` has them; None where nobody traces."""
        context = span.get_span_context()
        if not context.is_valid:
            return None
        return self._api.format_trace_id(context.trace_id), self._api.format_span_id(
            context.span_id
        )

    def _fail(self, span: Span, kind: str) -> None:
        span.set_attribute(f.ERROR_TYPE, kind)
        span.set_status(self._api.Status(self._api.StatusCode.ERROR, kind))


def context() -> Any:
    """Where OpenTelemetry keeps what is current; it is installed, for there is a span."""
    from opentelemetry import context as api  # noqa: PLC0415  # an extra

    return api


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
