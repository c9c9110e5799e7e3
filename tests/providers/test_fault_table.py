"""The fault table as data: one row per kind, in the precedence of the design, printable."""

import pytest

from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.providers import faults
from fsm_fallback.providers.fault_table import SIGNALS
from fsm_fallback.providers.faults import fault_table_rows
from fsm_fallback.providers.signals import Phrase

K = FaultKind


def test_the_table_has_one_row_per_kind_and_prints():
    """The printed table is the table that runs."""
    rows = fault_table_rows()
    assert [row.kind for row in rows] == [row.kind for row in SIGNALS]
    assert {row.kind for row in rows} == set(FaultKind)
    signals = {row.kind: row.signals for row in rows}
    assert "insufficient_quota" in signals[K.QUOTA]
    assert "codes and words never at 500-599" in signals[K.QUOTA]
    assert "status 401, 403" in signals[K.AUTH]
    assert "words never with 400 or 422 with a `param`" in signals[K.AUTH]
    assert '"event loop is closed"' in signals[K.CALLER]
    assert signals[K.UNKNOWN] == ""


def test_the_precedence_is_the_one_of_the_design():
    """Cancellation, transport, quota, rate, transient, region, key, model, request, the rest."""
    order = [row.kind for row in SIGNALS]
    assert order[:5] == [K.CANCELLED, K.LOCAL, K.TIMEOUT, K.CONNECT, K.STREAM]
    assert order[5:11] == [K.QUOTA, K.RATE_LIMIT, K.TRANSIENT, K.REGION, K.AUTH, K.MODEL]
    assert order[11:15] == [K.CONTEXT, K.CONTENT, K.TOO_LARGE, K.UNSUPPORTED]
    assert order[15:] == [K.BAD_RESPONSE, K.CALLER, K.UNKNOWN]


def test_no_name_and_no_code_stands_in_two_rows():
    """A typing error in the table fails here: the look-ups are made with the first error."""
    assert faults._named().keys() >= {"TimeoutError", "RateLimitError"}
    assert faults._coded().keys() >= {"insufficientquota", "etimedout"}
    assert faults._status_coded().keys() >= {"resourceexhausted"}
    assert faults._phrases_by_rarest_word().keys() >= {"overloaded"}
    with pytest.raises(ValueError, match="'same' in two rows"):
        faults._column(lambda _: ("same",))


def test_every_phrase_finds_itself():
    """Each alternative of a phrase, read as a sentence, is found by it and by its look-up words."""
    for row in SIGNALS:
        for phrase in (*row.phrases, *row.unless):
            words = [
                part.removesuffix("?").split("|")[-1].replace("*", "x").replace("#", "12")
                for part in phrase.text.replace("...", "some words between")
                .replace("..", "two words")
                .split()
            ]
            assert phrase.pattern.search(f" {' '.join(words)} "), phrase.text
            assert phrase.is_in(f" {' '.join(words)} ", frozenset(words)), phrase.text
            assert not set(words).isdisjoint(phrase.rarest), phrase.text


@pytest.mark.parametrize("text", ["a|", "A b", "a.b", "#", "a?", "... b*", "", "model (x"])
def test_a_phrase_that_is_not_words_is_refused(text):
    """With the test above, a typing error in the table fails here, not at night."""
    phrase = Phrase(text)
    with pytest.raises(ValueError, match="phrase"):
        _ = phrase.pattern, phrase.rarest
