"""The list of properties: ids that stay, sentences, rows, and the page of guarantees."""

import re
from pathlib import Path

import pytest

from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.spec import Promises, all_properties
from fsm_fallback.spec.listing import rows_covered

ROOT = Path(__file__).parent.parent.parent
PROPERTIES = all_properties()
GUARANTEE = re.compile(r"^\| (\d+) \| .* \| (.*) \| .* \|$", re.MULTILINE)


def test_ids_are_unique_for_each_kind_of_subject():
    """A verdict names its property by subject and id."""
    named = [(each.of, each.id) for each in PROPERTIES]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize(
    "promised",
    [
        "open-never-called",
        "all-errors-preserved-in-order",
        "lease-settled-exactly-once",
        "probe-budget",
        "late-outcome-changes-nothing",
        "failed-probe-reopens",
        "hold-respected",
        "generation-never-reused",
        "chain-terminates",
        "neutral-leaves-no-evidence",
        "deadline-kept",
        "can-always-close",
        "every-row-fires",
        "every-guard-both-ways",
    ],
)
def test_an_id_never_changes(promised):
    """Pages, logs and verdicts of other people name it."""
    assert promised in {each.id for each in PROPERTIES}


@pytest.mark.parametrize("promise", PROPERTIES, ids=lambda each: f"{each.of}-{each.id}")
def test_a_property_reads_as_a_sentence(promise):
    """A capital letter, one paragraph, a full stop; an id in lower case."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", promise.id)
    assert re.fullmatch(r"[A-Z][^\n]*\.", promise.sentence)


def test_every_row_has_a_promise_of_its_own():
    """Beside those of all rows, something is promised of each."""
    for table in (BREAKER, CHAIN):
        own = [
            each
            for each in PROPERTIES
            if each.of == table.name and len(each.rows(table)) < len(table.rows)
        ]
        bare = [
            number for number, row in table.numbered() if all(row not in p.rows(table) for p in own)
        ]
        assert bare == []


def test_rows_are_told_in_short():
    """Runs of rows as one; parts have none."""
    told = {(each.of, each.id): rows_covered(each) for each in PROPERTIES}
    assert told["breaker", "open-never-called"] == "T3-T4, T8"
    assert told["breaker", "probe-budget"] == "all"
    assert told["chain", "answer-ends-the-call"] == "T6"
    assert told["strategy", "never-drops"] == ""


def test_the_page_of_guarantees_names_each_property_where_it_belongs():
    """The number of a property is the row of the page it stands in, and there is no other."""
    page = (ROOT / "specs" / "README.md").read_text(encoding="utf-8")
    told = {
        (int(number), name)
        for number, names in GUARANTEE.findall(page)
        for name in re.findall(r"`([a-z-]+)`", names)
        if name != "store"
    }
    known = {
        (each.guarantee, each.id)
        for each in PROPERTIES
        if each.guarantee is not None and (each.of != "store" or each.guarantee != 15)
    }
    assert told == known


def test_an_id_twice_is_refused():
    """A second property of one name would hide the first."""
    promise = Promises("breaker")

    @promise.obliges("kept")
    def kept(act):
        """It is kept."""
        return True

    with pytest.raises(ValueError, match="property 'kept' is there already"):
        promise.obliges("kept")(kept.then)


def test_a_property_without_a_sentence_is_refused():
    """What is promised has to be said."""
    promise = Promises("breaker")

    def mute(act):
        return True

    with pytest.raises(ValueError, match="mute has no docstring; write the promise there"):
        promise.never("mute")(mute)
