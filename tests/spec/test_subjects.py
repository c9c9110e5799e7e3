"""What can be held against the spec, and how it is found."""

import attrs
import pytest
from hypothesis import settings

from fsm_fallback import ConfigurationError, Sequential
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.drivers import aio, sync
from fsm_fallback.spec.stateful import StrategySpec
from fsm_fallback.spec.subjects import check_library, check_thing, kind_of, load


def reads_an_error(error):
    """A classifier, by its shape; nobody calls it."""


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


@pytest.mark.parametrize("thing", [3, divmod, "strategy"])
def test_what_is_nothing_of_these_is_refused(thing):
    """With all there is to give."""
    with pytest.raises(ConfigurationError, match="is nothing the spec can check; give a table"):
        kind_of(thing)


def test_a_class_is_refused_where_an_object_is_wanted():
    """Nobody has made a strategy of it."""
    with pytest.raises(ConfigurationError, match="Sequential is a class; give an object of it"):
        kind_of(Sequential)


def test_what_is_taken_for_a_stateful_spec_has_to_be_one():
    """Before it is run."""
    with pytest.raises(ConfigurationError, match="Sequential is no stateful spec"):
        list(check_thing(Sequential(), kind="spec"))


class Wrong:
    """A strategy that forgets everybody."""

    def order(self, candidates, request, now, sample):
        """Nobody."""
        return ()


def a_spec(strategy):
    """A stateful spec over a strategy, with few examples."""

    class Spec(StrategySpec):
        def make_strategy(self):
            return strategy

    Spec.TestCase.settings = settings(max_examples=5, database=None)
    return Spec


def test_a_stateful_spec_is_run():
    """Good or bad, with what was drawn and what broke."""
    (good,) = check_thing(a_spec(Sequential()))
    assert good.kept
    assert {each.promise.id: each.cases for each in good.verdicts}["never-drops"] > 0
    (bad,) = check_thing(a_spec(Wrong()))
    assert not bad.kept
    assert "breaks 'never-drops'" in bad.problems[0]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("nothing", "'nothing' is no module:NAME"),
        (":NAME", "':NAME' is no module:NAME"),
        ("module:", "'module:' is no module:NAME"),
        ("./strategy.py:NAME", "'./strategy.py' in './strategy.py:NAME' is no name of a module"),
        ("no.such.module:NAME", "module 'no.such.module' cannot be imported: No module named"),
        ("fsm_fallback:NOBODY", "module 'fsm_fallback' has no 'NOBODY'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path, named):
    """Module or name, whichever is missing."""
    with pytest.raises(ConfigurationError, match=named):
        load(path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1 / 0", "module 'theirs_raising' raised ZeroDivisionError at theirs_raising.py:1"),
        ("NAME = None.id", "module 'theirs_raising' raised AttributeError at theirs_raising.py:1"),
        ("raise SystemExit(3)", "module 'theirs_raising' raised SystemExit at"),
    ],
)
def test_a_module_that_raises_is_told_with_its_line(tmp_path, monkeypatch, text, named):
    """The error of the module is not taken for a missing name."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "theirs_raising.py").write_text(text)
    with pytest.raises(ConfigurationError, match=named):
        load("theirs_raising:NAME")


def test_a_module_of_the_working_directory_is_found(tmp_path, monkeypatch):
    """As users write them beside their code; a name may have dots."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("nowhere")
    (tmp_path / "theirs_in_a_folder.py").write_text("class Box:\n    THING = 3\n")
    assert load("theirs_in_a_folder:Box.THING") == 3


def test_the_library_keeps_its_own_spec():
    """Both machines, both drivers, the strategies, and chains ordered by them."""
    sections = {section.title: section for section in check_library(providers=2)}
    assert list(sections) == [
        "the breaker",
        "the chain",
        "the driver of plain calls",
        "the driver of awaited calls",
        "Sequential",
        "a chain ordered by Sequential",
        "CapabilityBased",
        "a chain ordered by CapabilityBased",
        "LoadBalanced",
        "CostOptimized",
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
