"""`fsm-fallback spec`: list, check and bite, on the library and on a user's own."""

import re

import pytest
from click.testing import CliRunner

from fsm_fallback.cli import spec
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.spec.mutants import mutants_of

TABLE = """
import attrs
from fsm_fallback.core.chain_rows import CHAIN

FEW = attrs.evolve(CHAIN, name="few", rows=tuple(r for r in CHAIN.rows if r.trigger != "abandon"))
LENIENT = attrs.evolve(CHAIN, name="lenient", rows=tuple(r for r in CHAIN.rows if r.guard is None))
NUMBER = 3


class Mine:
    def order(self, candidates, request, now, sample):
        return tuple(reversed(candidates))


MINE = Mine()
"""


@pytest.fixture
def theirs(tmp_path):
    """A module of a user's own in the working directory."""
    (tmp_path / "theirs.py").write_text(TABLE)


def test_list_names_every_property_with_its_rows(run):
    """One line each: id, subject, kind, guarantee, rows, sentence."""
    done = run("spec", "list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.split("  +", lines[0]) == [
        *("property", "of", "kind", "guarantee", "rows", "sentence")
    ]
    (line,) = [line for line in lines if line.startswith("open-never-called")]
    assert re.split("  +", line)[1:5] == ["breaker", "obliges", "1", "T3-T4, T8"]


def test_check_holds_the_library_against_its_spec(run):
    """Exit code 0, a verdict for each property, and the scopes they hold in."""
    done = run("spec", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the breaker: kept\n  operators: " in done.stdout
    assert "BROKEN" not in done.stdout
    assert re.search(r"kept +open-never-called +obliges +\d+", done.stdout)


def test_check_takes_a_strategy_of_the_users(run, theirs):
    """Their own part, and a chain ordered by it."""
    done = run("spec", "check", "theirs:MINE", "--callers", "1", "--providers", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "theirs:MINE: kept" in done.stdout
    assert "a chain ordered by theirs:MINE: kept" in done.stdout


@pytest.mark.parametrize(
    ("tell", "named"),
    [
        ("story", "  => "),
        ("log", '"machine": "chain"'),
        ("mermaid", "sequenceDiagram\n"),
        ("pytest", "from theirs import LENIENT\n"),
    ],
)
def test_a_counterexample_is_told_as_asked(run, theirs, tell, named):
    """A broken table: exit code 1, the verdict, the history."""
    done = run("spec", "check", "theirs:LENIENT", "--tell", tell)
    verdicts = done.stdout if tell == "story" else done.stderr
    assert done.returncode == 1
    assert "theirs:LENIENT: BROKEN\n" in verdicts
    assert "BROKEN     request-fault-rejects" in verdicts
    assert named in done.stdout
    assert ("kept" in done.stdout) == (tell == "story")


def test_bite_hunts_the_mutants_of_a_users_table(run, theirs):
    """A table that is broken itself proves nothing, and that is said."""
    done = run("spec", "bite", "theirs:FEW")
    assert (done.returncode, done.stderr) == (1, "")
    assert "theirs:FEW itself breaks " in done.stdout


def test_what_the_audit_says_stands_beside_the_verdicts(run, theirs):
    """An unsound table is explored all the same, and both layers speak."""
    done = run("spec", "check", "theirs:FEW")
    assert done.returncode == 1
    assert "  BROKEN few: " in done.stdout
    assert "chain-never-stuck: Whatever a driver reports" in done.stdout


@pytest.fixture
def bite(monkeypatch, tmp_path):
    """Run `bite` on the breaker, with the mutants named alone; `make bite` runs all there are."""

    def bite(*ids, reasons=None):
        few = [mutant for mutant in mutants_of(BREAKER, Breaker) if mutant.id in ids]
        monkeypatch.setattr("fsm_fallback.spec.bite.mutants_of", lambda *_: iter(few))
        arguments = ["fsm_fallback.core.breaker:BREAKER"]
        if reasons is not None:
            (tmp_path / "equal.toml").write_text(f'["{arguments[0]}"]\n{reasons}\n')
            arguments += ["--equivalent", str(tmp_path / "equal.toml")]
        done = CliRunner().invoke(spec.bite, arguments, standalone_mode=False)
        return done.return_value, done.output.splitlines()

    return bite


KILLED = "fail in closed [tripped]: leads to half_open"
EQUAL = "fail in half_open [healed]: after [relapsed]"


def test_bite_tells_what_became_of_the_mutants(bite):
    """How many there were, by their fates, and which nobody could tell."""
    code, lines = bite(KILLED, EQUAL)
    came_to = "2 mutants, 1 killed, 1 equal, 0 survived (the audit alone refuses 0)"
    assert code == 0
    assert lines == [f"fsm_fallback.core.breaker:BREAKER: {came_to}", f"  equal  {EQUAL}"]


def test_bite_wants_a_reason_for_each_that_is_equal(bite):
    """One that is listed is told with it; one that is not is a problem."""
    code, lines = bite(EQUAL, reasons=f'"{EQUAL}" = "because"')
    assert (code, lines[1:]) == (0, [f"  equal  {EQUAL}: because"])
    code, lines = bite(EQUAL, reasons="")
    assert code == 1
    assert f"BROKEN {EQUAL} is equal to the original, and not listed" in lines[-1]


def test_bite_refuses_a_reason_for_nothing(bite):
    """A list that is stale is a problem."""
    code, lines = bite(KILLED, reasons='"x" = "because"')
    assert code == 1
    assert "BROKEN x is listed as equal, and is not there or is killed" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("check", "theirs:NUMBER"), "3 is nothing the spec can check"),
        (("check", "theirs:NOBODY"), "module 'theirs' has no 'NOBODY'"),
        (("check", "nobody:NOBODY"), "module 'nobody' cannot be imported"),
        (("check", "--as", "driver"), "give THING, too"),
        (("check", "--callers", "9"), "9 is not in the range"),
        (("check", "theirs:MINE", "--as", "driver"), "give drive(walk, chain, command, now"),
        (("bite", "theirs:MINE"), "give a table: its rows are mutated"),
        (("bite", "--equivalent", "none.toml"), "none.toml"),
    ],
)
def test_what_cannot_be_checked_is_refused(run, theirs, arguments, named):
    """Exit code 2, and nothing is started."""
    done = run("spec", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
