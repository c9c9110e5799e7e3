"""What can be held against the spec, and how it is found."""

import attrs
import pytest

from fsm_fallback import ConfigurationError, Sequential
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain import CHAIN, Chain
from fsm_fallback.drivers import aio, sync
from fsm_fallback.spec.subjects import check_library, check_thing, kind_of, load


def reads_an_error(error):
    """A classifier, by its shape."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (BREAKER, "breaker"),
        (CHAIN, "chain"),
        (Breaker, "breaker"),
        (Chain, "chain"),
        (Sequential(), "strategy"),
        (sync.drive, "driver"),
        (aio.drive, "driver"),
        (reads_an_error, "classifier"),
    ],
)
def test_a_thing_is_known_by_its_shape(thing, kind):
    """Nobody has to say what it is."""
    assert kind_of(thing) == kind


@pytest.mark.parametrize("thing", [Sequential, 3, divmod, "strategy"])
def test_what_is_nothing_of_these_is_refused(thing):
    """With all there is to give."""
    with pytest.raises(ConfigurationError, match="is nothing the spec can check; give a table"):
        kind_of(thing)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("nothing", "'nothing' is no module:NAME"),
        (":NAME", "':NAME' is no module:NAME"),
        ("module:", "'module:' is no module:NAME"),
        ("no.such.module:NAME", "module 'no.such.module' cannot be imported: No module named"),
        ("fsm_fallback:NOBODY", "module 'fsm_fallback' has no 'NOBODY'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path, named):
    """Module or name, whichever is missing."""
    with pytest.raises(ConfigurationError, match=named):
        load(path)


def test_a_module_of_the_working_directory_is_found(tmp_path, monkeypatch):
    """As users write them beside their code; a name may have dots."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("nowhere")
    (tmp_path / "theirs_in_a_folder.py").write_text("class Box:\n    THING = 3\n")
    assert load("theirs_in_a_folder:Box.THING") == 3


def test_the_library_keeps_its_own_spec():
    """Both machines, both drivers, the strategy, and a chain ordered by it."""
    sections = {section.title: section for section in check_library(providers=2)}
    assert list(sections) == [
        "the breaker",
        "the chain",
        "the driver of plain calls",
        "the driver of awaited calls",
        "Sequential",
        "a chain ordered by Sequential",
        "classify",
    ]
    assert all(section.kept for title, section in sections.items() if title != "the chain")


def test_callers_and_providers_resize_every_scope():
    """What is tried is what was asked for."""
    (section,) = check_thing(Breaker, callers=1)
    assert all("1 caller," in scope for scope in section.scopes)


def test_a_subclass_of_the_chain_is_explored():
    """Classes as well as tables."""

    class Silent(Chain):
        def note_skip(self):
            self.position += 1

    (section,) = check_thing(Silent)
    assert not section.kept
    assert section.counterexamples[0].broken.promise.of == "chain"


def test_a_table_of_the_users_is_titled_by_its_path():
    """And its problems stand beside the verdicts."""
    rows = tuple(
        attrs.evolve(row, guard=None) if row.guard == "cooled_down" else row for row in BREAKER.rows
    )
    table = attrs.evolve(BREAKER, rows=rows)
    (section,) = check_thing(table, named="theirs:TABLE")
    assert section.title == "theirs:TABLE"
    assert "has rows after an unguarded one" in section.problems[0]


def test_a_broken_strategy_orders_no_chain():
    """A chain ordered by one would prove nothing."""

    class Empty:
        def order(self, candidates, request, now, sample):
            return ()

    titles = [section.title for section in check_thing(Empty())]
    assert titles == ["Empty"]
