"""What was asked of an emulated provider, as far as an answer depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from fsm_fallback.testing.emulator.dialect import AnswerFacts, estimate_tokens

if TYPE_CHECKING:
    from fsm_fallback.testing.emulator.dialect import Dialect, Endpoint, ErrorWords, Json


@attrs.frozen(kw_only=True)
class Asked:
    """What a plan is made for.

    Args:
        dialect: The API that was called.
        endpoint: Its path.
        number: Counts the requests of the provider from 1.
        created: The date in answers, in seconds since 1970.
        model: The model asked for; empty if none.
        stream: Whether a stream was asked for.
        body: The JSON object sent; None if it was none.
        text: What the model says if a step does not.
    """

    dialect: Dialect
    endpoint: Endpoint
    number: int
    created: int
    model: str
    stream: bool
    body: Json | None
    text: str

    @property
    def request_id(self) -> str:
        """The id of this request in headers and error bodies."""
        return request_id(self.number)

    @property
    def problem(self) -> ErrorWords | None:
        """What a healthy provider would find wrong with the request; None if nothing."""
        if self.body is None:
            return self.dialect.invalid("We could not parse the JSON body of your request.")
        return self.endpoint.check(self.body)

    def facts(
        self, text: str, *, is_filtered: bool = False, has_output: bool = True
    ) -> AnswerFacts:
        """Return what an answer with this text is made of."""
        body = self.body or {}
        return AnswerFacts(
            number=self.number,
            created=self.created,
            model=self.model,
            text=text,
            is_filtered=is_filtered,
            has_output=has_output,
            input_tokens=estimate_tokens(self.endpoint.texts(body)),
            output_tokens=estimate_tokens(iter((text,))),
            body=body,
        )


def request_id(number: int) -> str:
    """Return the id of a provider's request by its number, counted from 1."""
    return f"req_emulated{number:020d}"


def signature(dialect: Dialect, request_id: str) -> dict[str, str]:
    """Return the headers that every response has."""
    return {"server": "fsm-fallback-emulator", dialect.request_id_header: request_id}
