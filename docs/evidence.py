"""Run mutmut over the core and write what came of it into `evidence.md`.

Run by `make mutants`; it takes a quarter of an hour on one core. Every mutant that no test notices
needs a reason in `specs/survivors.toml`, where a person judges it; one without, or a reason that
stands for no mutant any more, is an error.

mutmut leaves out decorated functions and `__setattr__`. So what it gets is a copy of the sources in
which `@property def name` reads `name = property(_made_name)`, and the like: the same program, in
words it mutates. Caches are left out, for what they remember hides a mutant.
"""  # noqa: INP001  # a script beside the page it writes

from __future__ import annotations

import argparse
import ast
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Final

import attrs
from render import with_part

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "evidence.md"
REASONS: Final = ROOT / "specs" / "survivors.toml"
COPY: Final = ROOT / ".mutants"
CORE: Final = Path("fsm_fallback", "core")
COPIED: Final = ("fsm_fallback", "tests")
COPIED_FILES: Final = ("pyproject.toml", "conftest.py")

MADE: Final = "_made_"
"""Begins the name of a function that mutmut would leave out under its own."""

KILLED: Final = frozenset({1, 3})
TIMED_OUT: Final = frozenset({-24, 24, 36, 152, 255, -9})
"""Exit codes of a mutant's tests; with any other, no test has noticed it."""


@attrs.frozen(order=True)
class Survivor:
    """A mutant that no test notices: where it is, and what reads otherwise in it."""

    function: str
    was: str
    becomes: str


@attrs.frozen(kw_only=True)
class Score:
    """What came of the mutants of one file."""

    mutants: int
    killed: int
    timed_out: int

    @property
    def survived(self) -> int:
        """How many no test noticed."""
        return self.mutants - self.killed - self.timed_out

    @property
    def percent(self) -> str:
        """The share that was noticed."""
        if not self.mutants:
            return ""
        return f"{100 * (self.killed + self.timed_out) / self.mutants:.1f} %"


# The copy ----------------------------------------------------------------------------------------


def lay_out() -> None:
    """Copy what mutmut needs, the sources in words it mutates."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir()
    for folder in COPIED:
        shutil.copytree(ROOT / folder, COPY / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in COPIED_FILES:
        shutil.copy(ROOT / file, COPY / file)
    for path in (COPY / CORE).glob("*.py"):
        path.write_text(undecorated(path.read_text(encoding="utf-8")), encoding="utf-8")


def undecorated(source: str) -> str:
    """The same program without decorated functions, and none named `__setattr__`."""
    lines = source.splitlines(keepends=True)
    functions = list(_left_out(ast.parse(source)))
    for function in sorted(functions, key=lambda each: each.lineno, reverse=True):
        name, indent = function.name, " " * function.col_offset
        value = MADE + name
        for decorator in reversed(function.decorator_list):
            lines[decorator.lineno - 1] = "\n"
            if "cache" not in (words := ast.unparse(decorator)):
                value = f"{words}({value})"
        head = function.lineno - 1
        lines[head] = lines[head].replace(f"def {name}(", f"def {MADE}{name}(")
        lines.insert(function.end_lineno or 0, f"\n{indent}{name} = {value}\n")
    return "".join(lines)


def _left_out(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in module.body:
        within = node.body if isinstance(node, ast.ClassDef) else [node]
        for function in within:
            if isinstance(function, ast.FunctionDef):
                if function.decorator_list or function.name == "__setattr__":
                    yield function


# The run -----------------------------------------------------------------------------------------


def run(jobs: int) -> None:
    """Make every mutant, and run the tests that reach it."""
    mutmut = [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs)]
    # The same examples every time, for every mutant.
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "ci"}
    subprocess.run(mutmut, cwd=COPY, env=environment, check=True)  # noqa: S603  # no outside words


def outcomes(path: Path) -> dict[str, int | None]:
    """The exit code of the tests, by the name of the mutant."""
    meta = COPY / "mutants" / CORE / f"{path.name}.meta"
    codes: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    if None in codes.values():
        raise SystemExit(f"{path.name} has mutants that were not run; run `make mutants` again")
    return codes


def score(codes: Iterable[int | None]) -> Score:
    """What came of mutants with these exit codes."""
    found = Counter("killed" if c in KILLED else "late" if c in TIMED_OUT else "" for c in codes)
    return Score(mutants=found.total(), killed=found["killed"], timed_out=found["late"])


def survivors(path: Path) -> Iterator[Survivor]:
    """The mutants of one file that no test noticed."""
    names = [name for name, code in outcomes(path).items() if code not in KILLED | TIMED_OUT]
    if not names:
        return
    mutated = (COPY / "mutants" / CORE / path.name).read_text(encoding="utf-8")
    functions = dict(_functions(ast.parse(mutated), mutated))
    for name in names:
        mangled = name.rpartition(".")[2]
        whole, _, _ = mangled.rpartition("__mutmut_")
        was, becomes = _changed(functions[f"{whole}__mutmut_orig"], functions[mangled])
        function = whole.removeprefix("x").removeprefix("_" if whole[1] == "_" else "ǁ")
        words = function.replace("ǁ", ".").replace(MADE, "")
        yield Survivor(f"{path.stem}.{words}", was, becomes)


def _functions(module: ast.Module, source: str) -> Iterator[tuple[str, list[str]]]:
    lines = source.splitlines()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name:
            yield node.name, lines[node.lineno : node.end_lineno]


def _changed(was: list[str], becomes: list[str]) -> tuple[str, str]:
    """The lines that differ, and what stands for them."""
    while was and becomes and was[0] == becomes[0]:
        was, becomes = was[1:], becomes[1:]
    while was and becomes and was[-1] == becomes[-1]:
        was, becomes = was[:-1], becomes[:-1]
    return _one_line(was), _one_line(becomes)


def _one_line(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


# The page ----------------------------------------------------------------------------------------


def reasons() -> dict[Survivor, str]:
    """Why each survivor may survive, as a person has judged."""
    told = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return {
        Survivor(each["function"], each["was"], becomes): each["reason"]
        for each in told["survivor"]
        for becomes in each["becomes"]
    }


def scores(by_file: dict[Path, Score]) -> str:
    """The score, as a Markdown table."""
    rows = ["| file | mutants | killed | timed out | survived | score |", "|" + " --- |" * 6]
    whole = Score(
        mutants=sum(each.mutants for each in by_file.values()),
        killed=sum(each.killed for each in by_file.values()),
        timed_out=sum(each.timed_out for each in by_file.values()),
    )
    named = [(f"`core/{path.name}`", each) for path, each in by_file.items() if each.mutants]
    for name, each in [*named, ("all", whole)]:
        counts = (each.mutants, each.killed, each.timed_out, each.survived, each.percent)
        rows.append(f"| {name} | " + " | ".join(map(str, counts)) + " |")
    ended_at = (COPY / "mutants" / "mutmut-stats.json").stat().st_mtime
    day = dt.datetime.fromtimestamp(ended_at, tz=dt.UTC).date()
    tools = f"mutmut {version('mutmut')}, Python {platform.python_version()}"
    return f"Measured on {day} with {tools}.\n\n" + "\n".join(rows) + "\n"


def judged(found: dict[Survivor, str]) -> str:
    """Every survivor and its reason, as Markdown."""
    told: list[str] = []
    by_reason = groupby(sorted(found), key=lambda each: (each.function, found[each], each.was))
    for (function, reason, was), alike in by_reason:
        told += [f"`{function}`: {reason}", "", "```diff", f"- {was}"]
        told += [*(f"+ {each.becomes}" for each in alike), "```", ""]
    return "\n".join(told).rstrip() + "\n" if told else "None.\n"


def complaints(found: Iterable[Survivor], known: Iterable[Survivor]) -> Iterator[str]:
    """Survivors without a reason, ready to be given one, and reasons without a survivor."""
    for survivor in sorted(set(found) - set(known)):
        was, becomes = json.dumps(survivor.was), json.dumps([survivor.becomes])
        yield (
            f'[[survivor]]\nfunction = "{survivor.function}"\nwas = {was}\n'
            f'becomes = {becomes}\nreason = ""'
        )
    for survivor in sorted(set(known) - set(found)):
        yield f"# a reason for no survivor: {survivor.function}: {survivor.becomes}"


def main() -> None:
    """Run, judge, and write the page; exit 1 if something is not judged."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=1, help="mutants tested at once")
    parser.add_argument("--judge", action="store_true", help="judge the last run, run nothing")
    asked = parser.parse_args()
    if not asked.judge:
        lay_out()
        run(asked.jobs)
    files = sorted((ROOT / CORE).glob("*.py"))
    by_file = {path: score(outcomes(path).values()) for path in files}
    known, found = reasons(), {each for path in files for each in survivors(path)}
    page = {PAGE: PAGE.read_text(encoding="utf-8")}
    page = with_part(page, "mutants", scores(by_file))
    page = with_part(page, "survivors", judged({each: known.get(each, "") for each in found}))
    PAGE.write_text(page[PAGE], encoding="utf-8")
    print(scores(by_file))  # noqa: T201  # what it was run for
    if wrong := list(complaints(found, known)):
        raise SystemExit("\n\n".join([*wrong, f"{len(wrong)} to mend in {REASONS}"]))


if __name__ == "__main__":
    main()
