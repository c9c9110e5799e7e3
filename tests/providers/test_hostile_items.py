"""Items of streams that cannot be read: nothing they do is felt."""

import sys
from collections import deque
from types import SimpleNamespace
from unittest.mock import MagicMock, Mock, NonCallableMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_fallback.providers.pieces import Piece, piece_of
from tests.providers.stream_items import (
    as_namespace,
    as_slots,
    chat,
)
from tests.providers.stream_rows import (
    ANTHROPIC,
    END,
    OF_NOBODY,
    RESPONSES,
    SILENT,
    K,
    told,
)

FIELDS = (
    *("type", "delta", "content_block", "choices", "item", "part", "response", "error", "message"),
    *("chunk", "annotation", "text", "command", "data", "candidates", "done", "sequence_number"),
    *("finish_reason", "content", "code"),
)


class _Raises:
    type = property(lambda _: 1 / 0)
    choices = property(lambda _: 1 / 0)


class _HasEverything:
    def __getattr__(self, name):
        return "message_stop"


class _HidesItself:
    def __getattribute__(self, name):
        raise RuntimeError(name)


class _LiesOfItsClass:
    @property
    def __class__(self):
        raise RuntimeError


class _Endless(dict):
    def get(self, name, default=None):
        return self


class _Untrue:
    def __bool__(self):
        raise ValueError


class _Recursive(dict):
    def get(self, name, default=None):
        # In words: Python 3.13.0 sets no limit to a mapping whose `get` calls itself.
        raise RecursionError("maximum recursion depth exceeded")


class TestHostileItems:
    """What cannot be read is output of nobody, and never the end."""

    @pytest.mark.parametrize(
        "make",
        [
            *(Mock, MagicMock, NonCallableMock, _Raises, _HasEverything, _HidesItself),
            *(_LiesOfItsClass, _Endless, _Recursive, _Untrue, ValueError, deque),
        ],
    )
    def test_are_output_of_nobody(self, make):
        """Whatever they do."""
        assert piece_of(make()) == Piece(output=True, ends=False, dialect=None, fault=None)

    @pytest.mark.parametrize(
        "item",
        [
            *(int, sys, iter([]), Ellipsis, {"type": 1}, {"type": ["message_stop"]}, {1: 2}),
            *({"choices": "x"}, {"choices": 3}, {"done": True}, {"done": "yes", "message": {}}),
            {"choices": [{"delta": {"content": _Untrue()}}]},
            {"type": "content_block_delta"},
            {"type": "content_block_delta", "delta": None},
            {"type": "content_block_delta", "delta": {"type": _Untrue()}},
            {"type": "content_block_start", "content_block": 7},
            {"type": "chunk", "chunk": {"type": "chunk"}},
            {"messageStop": {}, "more": 1},
            {"candidates": 1},
        ],
    )
    def test_that_are_malformed_are_output_of_nobody(self, item):
        """The name of an event alone does not make one."""
        assert piece_of(item) == Piece(output=True, ends=False, dialect=None, fault=None)

    def test_may_be_huge(self):
        """Only the first of many choices are looked at."""
        many = chat(choices=[{"delta": {}}] * 1_000_000)
        assert told(piece_of(many)) == SILENT

    def test_may_be_circular(self):
        """Errors are read without following a circle."""
        error = SimpleNamespace(type="error", message="Overloaded")
        error.error = error
        assert told(piece_of(error)) is K.TRANSIENT
        item = {"type": "error"}
        item["error"] = item
        assert told(piece_of(item)) is K.UNKNOWN

    def test_with_a_mocked_field_are_read_as_far_as_they_go(self):
        """What was set on a mock is its own."""
        assert told(piece_of(Mock(type="message_stop"))) == END

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_of_any_shape_are_read(self, item):
        """Never raises, and knows no end in noise."""
        piece = piece_of(item)
        assert not piece.ends
        assert piece.fault is None or isinstance(item, dict)

    @given(
        kind=st.sampled_from(
            [item["type"] for _, _, item in RESPONSES + ANTHROPIC + OF_NOBODY if "type" in item]
        ),
        fields=st.dictionaries(
            st.sampled_from(FIELDS),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(FIELDS),
                        inner,
                    )
                ),
                max_leaves=8,
            ),
        ),
        form=st.sampled_from([dict, as_namespace, as_slots]),
    )
    def test_of_known_types_and_odd_fields_are_read(self, kind, fields, form):
        """A fault is neither output nor the end."""
        piece = piece_of(form({**fields, "type": kind}))
        told(piece)

    def test_are_no_longer_referred_to(self):
        """Reading keeps nothing of an item."""
        item = chat({"content": "Hi"})
        before = sys.getrefcount(item)
        piece_of(item)
        assert sys.getrefcount(item) == before
