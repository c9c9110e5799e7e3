"""The page of the scenarios names tests that are there, and every file of them."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
ROWS = re.compile(r"^\| .* \| `(test_\w+\.py)((?:::\w+)*)` \|$", re.MULTILINE)
NAMED = ROWS.findall((HERE / "README.md").read_text(encoding="utf-8"))


def defined(path, names):
    """Whether a file defines a class or a function within another, by name."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        if not found:
            return False
        body = found[0].body
    return True


def test_every_test_on_the_page_is_there():
    """No row promises what nobody shows."""
    missing = [
        name + inside for name, inside in NAMED if not defined(HERE / name, inside.split("::")[1:])
    ]
    assert missing == []


def test_every_file_of_tests_is_on_the_page():
    """This one is no scenario."""
    files = {path.name for path in HERE.glob("test_*.py")}
    assert files - {name for name, _ in NAMED} == {Path(__file__).name}
