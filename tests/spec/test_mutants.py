"""Mutants: what there is of them, and that each is wrong in one thing."""

import attrs
import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER, S
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.spec.bite import (
    Catch,
    breaker_prey,
    chain_prey,
    control,
    hunt,
    hunt_in_processes,
    read_equivalent,
    tell_apart,
)
from fsm_fallback.spec.mutants import Mutant, mutants_of, mutated
from fsm_fallback.spec.scopes import CHAIN_SCOPES

MUTANTS = tuple(mutants_of(BREAKER, Breaker))
BY_ID = {mutant.id: mutant for mutant in MUTANTS}
KILLED = "release in half_open: without free_probe"
EQUAL = "succeed in half_open [healed]: after [relapsed]"


def small(prey):
    """The same prey with one scope to prove equality in."""
    return attrs.evolve(prey, whole=prey.whole[:1])


def test_ids_are_unique_and_name_the_row_not_its_number():
    """A renumbering of the table leaves them as they are."""
    assert len(BY_ID) == len(MUTANTS)
    assert "admit in open [cooled_down]: dropped" in BY_ID


@pytest.mark.parametrize(
    "mutant",
    [
        "admit in open: dropped",
        "fail in closed [tripped]: leads to half_open",
        "fail in closed [tripped]: stays",
        "release in half_open: leads to open",
        "admit in open [cooled_down]: always",
        "admit in open [cooled_down]: guard negated",
        "admit in half_open [probe_overdue]: after [probe_free]",
        "admit in open [cooled_down]: without begin_round",
        "admit in open [cooled_down]: actions in reverse",
        "guard cooled_down: self.facts['now'] >= self.facts['open_until'], but >",
        "guard _too_slow: facts['slow_call_ratio'] >= facts['slow_threshold'], but >",
        "action free_probe: does nothing",
        "_take_back: without lease.generation != self.current.number",
        "_settle: without not lease.claim()",
        "reset in closed: stays",
    ],
)
def test_there_is_a_mutant_for_everything_that_can_go_wrong(mutant):
    """Rows, guards, actions, boundaries, and what is checked beside the table."""
    assert mutant in BY_ID


def test_a_row_that_stays_is_not_sent_where_it_is():
    """That would be no mutant."""
    assert "release in half_open: leads to half_open" not in BY_ID
    assert "reset in closed: leads to closed" not in BY_ID


def test_each_is_wrong_in_one_thing():
    """One row differs, or the order of two, or one method."""
    for mutant in MUTANTS:
        changed = set(mutant.table.rows) ^ set(BREAKER.rows)
        if mutant.table.rows == BREAKER.rows:
            assert len(mutant.methods) == 1
        elif changed:
            assert len({row.cell for row in changed}) == 1
        else:
            moved = [
                row
                for row, other in zip(mutant.table.rows, BREAKER.rows, strict=True)
                if row != other
            ]
            assert (len(moved), len({row.cell for row in moved})) == (2, 1)


def test_the_model_is_left_as_it_was():
    """Mutants are subclasses: the class they are made of does not change."""
    assert mutated(Breaker, {}) is Breaker
    broken = mutated(Breaker, BY_ID["action free_probe: does nothing"].methods)
    assert issubclass(broken, Breaker)
    assert broken.free_probe is not Breaker.free_probe


def test_an_off_by_one_guard_differs_at_the_boundary_alone():
    """`>=` for `>`: wrong at the very instant."""
    mutant = BY_ID["guard cooled_down: self.facts['now'] >= self.facts['open_until'], but >"]
    model = mutated(Breaker, mutant.methods)("a")
    model.facts = {"now": 4.0, "open_until": 4.0}
    assert (model.cooled_down(), Breaker.cooled_down(model)) == (False, True)
    model.facts = {"now": 4.5, "open_until": 4.0}
    assert model.cooled_down()


def test_a_killed_mutant_names_its_killer():
    """And whether the audit would have refused the table, too."""
    (fated,) = hunt(breaker_prey(), [BY_ID[KILLED]])
    assert (fated.fate, fated.by, fated.is_audited) == (
        "killed",
        "neutral-leaves-no-evidence",
        False,
    )
    (fated,) = hunt(breaker_prey(), [BY_ID["admit in open: dropped"]])
    assert (fated.fate, fated.by, fated.is_audited) == ("killed", "no-deadlock", True)


def test_an_equal_mutant_is_shown_to_be_equal():
    """Guards that exclude each other may change places."""
    (fated,) = hunt(small(breaker_prey()), [BY_ID[EQUAL]])
    assert (fated.fate, fated.by) == ("equal", "")


def test_a_mutant_that_no_property_sees_survives_and_is_told_apart():
    """A hole in the spec is a survivor, with the step that differs."""
    prey = attrs.evolve(small(breaker_prey()), properties=())
    (fated,) = hunt(prey, [BY_ID["fail in closed [tripped]: leads to forced_open"]])
    assert fated.fate == "survived"
    assert "after of fail is" in fated.by


def test_twins_are_told_apart_by_what_they_raise():
    """A mutant that raises differs, too."""
    prey = small(breaker_prey())
    model = prey.tabled(BY_ID["release in closed: dropped"].table, sound=False)
    told = tell_apart(prey, model)
    assert told.startswith("admit, release: MachineError: ")
    assert "Can't trigger event release from state CLOSED!" in told


def test_the_chains_twins_are_told_apart():
    """By commands, trails and records."""
    prey = attrs.evolve(chain_prey(), whole=(CHAIN_SCOPES["faults"],))
    assert tell_apart(prey, Chain) is None
    mutant = {each.id: each for each in mutants_of(CHAIN, Chain)}[
        "fault in calling [rejected]: stays"
    ]
    model = prey.tabled(mutant.table, sound=False)
    assert tell_apart(prey, model) is not None


def test_an_original_that_is_broken_proves_nothing():
    """The control: its mutants die of another disease."""
    rows = tuple(
        attrs.evolve(row, target=S.OPEN) if row.guard == "healed" else row for row in BREAKER.rows
    )
    broken = control(breaker_prey(attrs.evolve(BREAKER, rows=rows)))
    assert broken is not None
    (problem,) = Catch("theirs", broken, ()).problems()
    assert problem == f"theirs itself breaks {broken!r}, so that its mutants prove nothing"
    assert control(breaker_prey()) is None


def test_a_catch_says_what_is_not_as_listed():
    """Equal ones need a reason, and reasons an equal one."""
    fated = tuple(hunt(small(breaker_prey()), [BY_ID[KILLED], BY_ID[EQUAL]]))
    assert list(Catch("breaker", None, fated, {EQUAL: "they exclude each other"}).problems()) == []
    assert list(Catch("breaker", None, fated).problems()) == []
    problems = list(Catch("breaker", None, fated, {KILLED: "no"}).problems())
    assert problems == [
        f"{EQUAL} is equal to the original, and not listed; list it with the reason",
        f"{KILLED} is listed as equal, and is not there or is killed; strike it out",
    ]
    survivor = attrs.evolve(fated[0], fate="survived", by="admit: after of admit is 1, not 2")
    (problem,) = Catch("breaker", None, (survivor,)).problems()
    assert problem == (
        f"{KILLED} survived, and differs in a step: admit: after of admit is 1, not 2"
    )


def few():
    """A prey with few mutants, made anew in each process."""
    rows = tuple(row for row in CHAIN.rows if row.trigger != "abandon")
    return attrs.evolve(chain_prey(), table=attrs.evolve(CHAIN, rows=rows))


def test_processes_share_a_hunt_and_agree():
    """In the order of the mutants, whoever hunted which."""
    alone = [(each.mutant.id, each.fate, each.by) for each in hunt(few())]
    shared = [(each.mutant.id, each.fate, each.by) for each in hunt_in_processes(few, 2)]
    assert shared == alone


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[breaker", "cannot be read"),
        ("breaker = 1", "has 'breaker', which is no table of reasons"),
        ('[breaker]\n"a" = ""', "which is no table of reasons"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path, text, named):
    """File, fact and remedy."""
    path = tmp_path / "equivalent.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=named):
        read_equivalent(path)


def test_a_list_that_is_not_there_is_refused(tmp_path):
    """As one that cannot be read."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_equivalent(tmp_path / "none.toml")


def test_a_mutant_prints_without_its_methods():
    """Its id says what is wrong."""
    assert "methods" not in repr(Mutant("x", BREAKER, {"grant": print}))
