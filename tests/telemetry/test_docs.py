"""`docs/audit.md` says what is so."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fsm_fallback.core import chain, chain_measures
from fsm_fallback.telemetry import FIELDS

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_lists_every_field_in_order():
    """One line of the table each."""
    table = PAGE.split("## Fields")[1].split("## What `because` says of a call")[0]

    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == FIELDS


@pytest.mark.parametrize("module", [chain, chain_measures], ids=lambda module: module.__name__)
def test_the_page_lists_what_a_chain_measures(module):
    """Whatever its guards compare, in the dictionaries the module makes."""
    table = PAGE.split("## What `because` says of a call")[1].split("## Questions")[0]
    listed = set(re.findall(r"`(\w+)`", table))
    dictionaries = [
        each for each in ast.walk(ast.parse(inspect.getsource(module))) if type(each) is ast.Dict
    ]
    measured = {
        key.value for each in dictionaries for key in each.keys if type(key) is ast.Constant
    }

    assert measured
    assert measured <= listed


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_every_question_of_the_page_has_an_answer(tmp_path, monkeypatch):
    """Each line for jq runs on the log that the page's own program writes."""
    monkeypatch.chdir(tmp_path)
    exec("\n".join(_blocks("python")), {"__name__": "page"})  # noqa: S102  # the page's program

    for line in _blocks("sh"):
        said = subprocess.run(  # noqa: S602  # the page's line
            f"set -e; {line}", shell=True, capture_output=True, text=True, check=True
        )
        assert said.stdout, line
        assert not said.stderr, line
