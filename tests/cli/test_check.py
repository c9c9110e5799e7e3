"""`fsm-fallback check`: what a file puts in force, what is odd about it, what is wrong with it."""

import json
import tomllib
from pathlib import Path

import pytest

from fsm_fallback import BreakerConfig, CountWindow, FallbackConfig
from fsm_fallback.config.schema import schema
from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.diagrams import diagram

EXAMPLE = Path(__file__).parents[2] / "examples" / "fallback.toml"
SOUND = """
deadline = 30
attempt_timeout = 10
breaker.window = { kind = "count", size = 50 }
[[providers]]
name = "a"
kind = "openai"
model = "m"
api_key_env = "NOT_SET_ANYWHERE"
[[providers]]
name = "b"
kind = "code"
"""
BAD = """
deadlin = 30
[[providers]]
name = "a"
kind = "openai"
model = 3
"""


@pytest.fixture
def check(run, tmp_path):
    """Check a file with this text."""

    def check(text, *options, **more):
        (tmp_path / "chain.toml").write_text(text, encoding="utf-8")
        return run("check", "chain.toml", *options, **more)

    return check


def test_all_that_is_in_force_is_printed(check):
    """As TOML, what the file says marked; then, in comments, the breaker with its numbers."""
    done = check(SOUND)
    lines = done.stdout.splitlines()
    printed = tomllib.loads(done.stdout)
    assert done.returncode == 0
    assert (printed["deadline"], printed["breaker"]["open_duration"]) == (30, 30.0)
    assert [line.split()[0] for line in lines if line.endswith("# set")][:2] == [
        "deadline",
        "attempt_timeout",
    ]
    config = FallbackConfig(
        deadline=30, attempt_timeout=10, breaker=BreakerConfig(window=CountWindow(50))
    )
    drawn = [line.removeprefix("#|")[1:] for line in lines if line.startswith("#|")]
    whole = diagram(BREAKER, "mermaid", config.breaker_in_chain.in_force)
    assert drawn == [line.rstrip() for line in whole.splitlines()]


def test_what_is_printed_is_a_file_of_the_same_chain(check):
    """It is checked in its turn, and says the same."""
    first = check(SOUND)
    again = check(first.stdout)
    assert (again.returncode, again.stderr) == (0, first.stderr)
    assert tomllib.loads(again.stdout) == tomllib.loads(first.stdout)


def test_what_the_machine_lacks_is_a_note(check):
    """It counts for nothing, even with `--strict`."""
    done = check(SOUND, "--strict", without=("openai",))
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        (
            "Note: providers[0].kind is 'openai', which needs the package openai; "
            "pip install 'fsm-fallback[openai]'"
        ),
        "Note: providers[0].api_key_env is 'NOT_SET_ANYWHERE', which is not set; set that variable",
        "Note: providers[1].kind is 'code', and nobody gave 'b'; give it with providers={'b': ...}",
    ]


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_what_is_odd_is_a_warning(check, options, code):
    """With `--strict` it ends with 1."""
    done = check(SOUND.replace("30", "15"), *options)
    assert done.returncode == code
    assert "Warning: deadline is 15, less than two attempts of 10" in done.stderr


def test_every_problem_is_told(check):
    """It ends with 2, and prints nothing that might be taken for a configuration."""
    done = check(BAD)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "Error: deadlin is unknown; did you mean 'deadline'",
        "Error: providers[0].model is 3; give a non-empty string",
    ]


def test_a_file_that_is_no_toml_is_told_with_the_line(check):
    """It ends with 2."""
    done = check("a = 1\nb =\n")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: 'chain.toml' is no TOML at line 2, column 4 ")


def test_a_file_that_is_not_there_is_told(run):
    """It ends with 2, without a traceback."""
    done = run("check", "nowhere.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: 'nowhere.toml' cannot be read")


def test_without_a_file_it_is_wrong_use(run):
    """Unless the schema is asked for."""
    done = run("check")
    assert done.returncode == 2
    assert "CONFIG is missing" in done.stderr


def test_the_schema_is_printed(run):
    """As JSON."""
    done = run("check", "--schema")
    assert (done.returncode, json.loads(done.stdout)) == (0, schema())


def test_the_example_has_no_warning(run):
    """Whoever copies it begins well."""
    done = run("check", str(EXAMPLE), "--strict")
    assert done.returncode == 0
    assert "Warning" not in done.stderr
