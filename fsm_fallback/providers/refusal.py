"""Whether an item of a stream says that the provider's content filter ended it."""

from __future__ import annotations

from fsm_fallback.providers.shapes import fields_of


def is_filtered(item: object) -> bool:
    """Whether it does: OpenAI's finish or incompleteness reason, Anthropic's stop reason.

    False for whatever cannot be read.
    """
    try:
        fields = fields_of(item)
        choices = fields.get("choices")
        if isinstance(choices, list) and choices:
            return fields_of(choices[0]).get("finish_reason") == "content_filter"
        if fields.get("finish") == "content_filter":  # a piece of the chat profile
            return True
        if (delta := fields.get("delta")) is not None:
            return fields_of(delta).get("stop_reason") == "refusal"
        details = fields_of(fields.get("response")).get("incomplete_details")
        return details is not None and fields_of(details).get("reason") == "content_filter"
    except Exception:  # noqa: BLE001  # a hostile item says nothing
        return False
