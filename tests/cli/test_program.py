"""The command line: help, version, and what it says when it cannot begin."""

import subprocess
import sys
from importlib.metadata import version

import pytest


def test_help_names_every_command(run):
    """`--help` prints the commands on stdout and ends with 0."""
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("demo", "diagram"):
        assert f"\n  {command} " in done.stdout


def test_version_is_that_of_the_package(run):
    """`--version` prints name and version."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"fsm-fallback {version('fsm-fallback')}\n")


def test_unknown_command_is_refused(run):
    """A command that does not exist ends with 2 and names it."""
    done = run("dance")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'dance'" in done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "remedy"),
    [
        ("click", ("--help",), "pip install 'fsm-fallback[cli]'"),
        ("rich", ("diagram", "chain"), "pip install 'fsm-fallback[cli]'"),
        ("openai", ("demo",), "pip install 'fsm-fallback[cli,openai]'"),
        ("anthropic", ("demo",), "pip install 'fsm-fallback[cli,anthropic]'"),
    ],
)
def test_missing_extra_is_one_line_with_its_remedy(run, tmp_path, missing, arguments, remedy):
    """Without what it needs, it ends with 2, one line on stderr, and no file."""
    done = run(*arguments, without=(missing,))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert missing in done.stderr
    assert remedy in done.stderr
    assert not list(tmp_path.iterdir())


def test_import_of_the_package_leaves_the_command_line_alone():
    """`import fsm_fallback` imports neither click nor rich nor the commands."""
    question = (
        "import sys, fsm_fallback; "
        "print([name for name in ('click', 'rich', 'fsm_fallback.cli') if name in sys.modules])"
    )
    told = subprocess.run(  # noqa: S603  # our own words
        (sys.executable, "-c", question), capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"
