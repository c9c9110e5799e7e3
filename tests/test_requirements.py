"""`docs/requirements.md` claims nothing that is not there: every file, and every name in it."""

import ast
import re
from pathlib import Path

import pytest

from fsm_fallback.spec import all_properties

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "requirements.md"
# A link, and the names that follow it up to the next link, sentence, cell or item.
CLAIM = re.compile(r"\]\(([^)]+)\)(?:: ((?:`[\w-]+`(?:,\s+)?)+))?")
NAME = re.compile(r"`([\w-]+)`")


def claims():
    """Each file the page links to, with the names it claims to be in it."""
    for target, names in CLAIM.findall(PAGE.read_text(encoding="utf-8")):
        yield (PAGE.parent / target).resolve(), NAME.findall(names)


def defined_in(path):
    """The names a module defines, those of its classes among them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


PROMISES = {each.id for each in all_properties()}
FILES = sorted({path for path, _ in claims()})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_claimed_of_a_file_is_in_it(path):
    """It is there, and defines each name; of the page of promises, the spec has each property."""
    assert path.exists()
    claimed = {name for each, names in claims() if each == path for name in names}
    if path.suffix == ".py":
        assert claimed - defined_in(path) == set()
    elif path.name == "promises.md":
        assert claimed - PROMISES == set()
    else:
        assert claimed == set()


def test_every_name_of_a_test_stands_behind_its_file():
    """So that none of them goes unchecked."""
    text = PAGE.read_text(encoding="utf-8")
    held = {name for _, names in claims() for name in names}
    tests = {name for name in NAME.findall(text) if name.startswith(("test_", "Test"))}
    hyphenated = {name for name in NAME.findall(text) if "-" in name}
    assert (tests | hyphenated) - held == set()
    assert len(tests) > 40
