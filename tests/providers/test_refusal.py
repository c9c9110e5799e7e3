"""What a stream says when a content filter ends it."""

from types import SimpleNamespace

import pytest

from fsm_fallback.providers.refusal import is_filtered


@pytest.mark.parametrize(
    ("item", "filtered"),
    [
        ({"choices": [{"delta": {}, "finish_reason": "content_filter"}]}, True),
        ({"choices": [{"delta": {}, "finish_reason": "stop"}]}, False),
        ({"choices": []}, False),
        (
            {
                "type": "response.incomplete",
                "response": {"incomplete_details": {"reason": "content_filter"}},
            },
            True,
        ),
        (
            {
                "type": "response.incomplete",
                "response": {"incomplete_details": {"reason": "max_output_tokens"}},
            },
            False,
        ),
        ({"type": "message_delta", "delta": {"stop_reason": "refusal"}}, True),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, False),
        (SimpleNamespace(choices=[SimpleNamespace(finish_reason="content_filter")]), True),
        (None, False),
        ("content_filter", False),
    ],
)
def test_a_filter_that_ends_a_stream_is_known(item, filtered):
    """By the reason each API gives."""
    assert is_filtered(item) is filtered
