"""Tables and classes held against the spec: what is said of a wrong one, and how it is told."""

import json
import subprocess
import sys
from enum import Enum

import attrs
import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER, S
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import CHAIN, ChainState
from fsm_fallback.core.table import Row, Table
from fsm_fallback.spec import Scope, check_breaker, check_chain, replay
from fsm_fallback.spec.breaker_world import Move
from fsm_fallback.spec.scope import SMALL
from fsm_fallback.spec.scopes import BREAKER_SCOPES, CHAIN_SCOPES, TINY

SCOPES = {"small": Scope(callers=2, config=SMALL, births=(S.CLOSED, S.HALF_OPEN), depth=5)}
CHAINS = {"small": Scope(callers=1, providers=2, config=TINY, series=1, depth=6)}


def instead(table, cell, asked, **changes):
    """The table with one row changed."""
    rows = tuple(
        attrs.evolve(row, **changes) if (row.cell, row.guard) == (cell, asked) else row
        for row in table.rows
    )
    return attrs.evolve(table, name="theirs", rows=rows)


IMPATIENT = instead(BREAKER, (S.OPEN, "admit"), "cooled_down", guard=None)
"""An open breaker is called at once."""

STUBBORN = instead(BREAKER, (S.HALF_OPEN, "succeed"), "healed", target=S.OPEN)
"""A round that went well opens again."""


def ids(report):
    """The properties that are not kept."""
    return {each.promise.id for each in report.verdicts if not each.kept}


def test_our_own_machines_keep_everything_and_reach_every_row():
    """The control, in the scopes a user gets by default."""
    for report, table in ((check_breaker(), BREAKER), (check_chain(), CHAIN)):
        assert (report.kept, report.problems, report.counterexamples) == (True, (), ())
        reached = {each.promise.id: each.cases for each in report.verdicts}
        assert reached["every-row-fires"] == len(table.rows)
        assert all(each.cases for each in report.verdicts)


def test_a_row_that_no_scope_reaches_is_named():
    """Small scopes prove little, and the verdict says about which rows."""
    report = check_breaker(scopes={"one step": Scope(callers=1, depth=1)})
    verdicts = {each.promise.id: each for each in report.verdicts}
    assert "T1 (admit in closed) never fired" in verdicts["every-row-fires"].history
    assert "guard 'longer' was never true" in verdicts["every-guard-both-ways"].history
    assert not report.kept


def test_an_unsound_table_is_audited_and_explored_all_the_same():
    """The audit names the cell, the explorer a history."""
    report = check_breaker(IMPATIENT, SCOPES)
    (problem,) = report.problems
    assert problem.startswith("theirs: cell ('open', 'admit') has rows after an unguarded one")
    assert (report.subject, report.kept) == ("theirs", False)


def test_a_sound_table_can_be_wrong():
    """Where the audit has nothing to say, a property does."""
    report = check_breaker(STUBBORN, SCOPES)
    assert report.problems == ()
    assert {"healed-round-closes", "open-until-when-open"} <= ids(report)


def test_a_chains_table_can_be_wrong():
    """The chain's machine is explored over real breakers."""
    report = check_chain(
        instead(CHAIN, (ChainState.CALLING, "fault"), "rejected", target=ChainState.FAILED),
        {"faults": CHAIN_SCOPES["faults"]},
    )
    assert "request-fault-rejects" in ids(report)


class Elsewhere(Enum):
    """States the explorer does not know."""

    A = "a"


@pytest.mark.parametrize(
    ("check", "thing", "named"),
    [
        (
            check_breaker,
            Table("lamp", (Row("push", Elsewhere.A, None, None, "", "x"),), Elsewhere.A),
            "table 'lamp' is over Elsewhere: the explorer runs a breaker's table over BreakerState",
        ),
        (check_breaker, CHAIN, "table 'chain' is over ChainState"),
        (check_chain, BREAKER, "table 'breaker' is over BreakerState"),
        (check_breaker, Chain, "is no table and no subclass of Breaker"),
        (check_chain, "chain", "'chain' is no table and no subclass of Chain"),
        (
            check_breaker,
            instead(BREAKER, (S.CLOSED, "admit"), None, action="grant sing"),
            "action 'sing' is not a method of Breaker",
        ),
    ],
)
def test_what_cannot_be_explored_is_refused_by_name(check, thing, named):
    """The object, what is wrong with it, and what to give."""
    with pytest.raises(ConfigurationError) as refusal:
        check(thing)
    assert any(named in problem for problem in refusal.value.problems)


@pytest.fixture(scope="module")
def counterexample():
    """How a good round that opens again is told."""
    report = check_breaker(STUBBORN, SCOPES, named="theirs:TABLE")
    return next(
        each for each in report.counterexamples if each.broken.promise.id == "healed-round-closes"
    )


def test_a_story_tells_steps_rows_and_the_promise(counterexample):
    """A line for each step: what happened, where the machine went, by which row."""
    assert counterexample.story() == (
        "  0. every breaker begins open, its time over\n"
        "  1. breaker 'a' grants lease 1 [open -> half_open, T3]\n"
        "  2. lease 1 of breaker 'a' comes back: succeed [half_open -> open, T13]\n"
        "  => healed-round-closes: A round that does well enough closes the breaker, as soon as "
        "that is certain.\n"
    )


def test_a_story_tells_time_and_operators():
    """Waits, words of operators, leases that come back twice."""

    class Deaf(Breaker):
        def _operate(self, event, now, actor, reason):
            pass

    report = check_breaker(Deaf, {"operators": BREAKER_SCOPES["operators"]})
    (found,) = [
        each for each in report.counterexamples if each.broken.promise.id == "operator-is-obeyed"
    ]
    assert "  1. an operator tells breaker 'a': force_open [closed]\n" in found.story()
    assert "operator->>a: force_open" in found.mermaid()

    class Sleepless(Breaker):
        def cooled_down(self) -> bool:
            return False

    report = check_breaker(Sleepless, {"small": Scope(callers=1, depth=6)})
    found = next(
        each for each in report.counterexamples if each.broken.promise.id == "open-cools-down"
    )
    assert "s pass\n" in found.story()
    assert "Note over a: " in found.mermaid()


def test_a_log_is_the_audit_log_of_the_history(counterexample):
    """One JSON line a firing, with the ids of the table that ran and its digest."""
    records = [json.loads(line) for line in counterexample.log().splitlines()]
    assert [(r["row"], r["trigger"], r["from"], r["to"]) for r in records] == [
        ("T3", "admit", "open", "half_open"),
        ("T13", "succeed", "half_open", "open"),
    ]
    assert {record["digest"] for record in records} == {STUBBORN.digest(SMALL.in_force)}
    assert [record["seq"] for record in records] == [1, 2]


def test_a_mermaid_sequence_shows_who_said_what(counterexample):
    """Participants, leases, transitions, and the promise that was broken."""
    text = counterexample.mermaid()
    assert text.startswith("sequenceDiagram\n    participant caller\n    participant a\n")
    assert "    a-->>caller: lease 1\n" in text
    assert "    Note over a: half_open to open, T13\n" in text
    assert text.splitlines()[-1].startswith(
        "    Note over caller,a: broken: A round that does well"
    )


def test_a_chains_history_is_told_with_its_calls():
    """Commands, faults, refusals and the end of each call."""

    class Forgetful(Chain):
        def note_attempt(self):
            pass

    report = check_chain(Forgetful, CHAINS)
    found = next(
        each for each in report.counterexamples if each.broken.promise.id == "fault-fails-over"
    )
    assert "call 1 hears of the breaker and calls 'a' [calling]" in found.story()
    assert "call1->>a: fail lease 1 (transient)" in found.mermaid()
    triggers = [record["trigger"] for record in found.records()]
    assert triggers == ["admit", "fail", "offer", "fault"]


def run_pytest(folder, text, table):
    """Run a generated test beside a module `theirs` with a table in it."""
    (folder / "theirs.py").write_text(table)
    (folder / "test_it.py").write_text(text)
    return subprocess.run(  # our own test
        (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


WRONG = """
import attrs
from fsm_fallback.core.breaker_rows import BREAKER, S

TABLE = attrs.evolve(BREAKER, rows=tuple(
    attrs.evolve(row, target=S.OPEN) if row.source is S.HALF_OPEN and row.guard == "healed" else row
    for row in BREAKER.rows
))
"""
RIGHT = "from fsm_fallback.core.breaker_rows import BREAKER as TABLE\n"


def test_the_pytest_test_fails_until_the_table_is_mended(counterexample, tmp_path):
    """As it is printed it runs: red on the wrong table, green on the right one."""
    text = counterexample.pytest()
    red = run_pytest(tmp_path, text, WRONG)
    assert red.returncode == 1
    assert "healed-round-closes: A round that does well enough" in red.stdout
    green = run_pytest(tmp_path, text, RIGHT)
    assert (green.returncode, green.stderr) == (0, "")


def test_a_trap_is_replayed_too():
    """A way home is looked for from where the moves end."""
    dead_end = attrs.evolve(
        BREAKER,
        rows=tuple(
            attrs.evolve(row, target=None) if row.source is S.HALF_OPEN else row
            for row in BREAKER.rows
        ),
    )
    scope = Scope(births=(S.HALF_OPEN,), depth=4)
    moves = [Move("admit"), Move("fail")]
    with pytest.raises(AssertionError, match="can-always-close"):
        replay("breaker", scope, moves, subject=dead_end, promise="can-always-close")
    replay("breaker", scope, moves)


def test_a_replay_of_what_raises_says_so():
    """The error is the reason, in the words of the story."""

    class Raises(Breaker):
        def grant(self):
            raise RuntimeError("no pencil")

    with pytest.raises(AssertionError, match="RuntimeError: no pencil"):
        replay("breaker", Scope(), [Move("admit")], subject=Raises)


def test_a_chains_moves_are_replayed():
    """Chains as well as breakers."""
    moves = [Move("call"), Move("ask"), Move("transient"), Move("ask"), Move("answer")]
    replay("chain", CHAINS["small"], moves)

    class Deaf(Chain):
        def go_on(self):
            pass

    with pytest.raises(AssertionError, match="fault-fails-over"):
        replay("chain", CHAINS["small"], moves, subject=Deaf)
