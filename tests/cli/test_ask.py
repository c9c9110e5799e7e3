"""`fsm-fallback ask`: the answer on stdout, all else on stderr; the real SDKs over loopback."""

from pathlib import Path

import pytest

from fsm_fallback.testing import Status, StreamCut

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "fallback.toml")
KEY = "test-KEY-MARKER"
PROMPT = "why-PROMPT-MARKER"


@pytest.fixture
def emulated(emulator, environment):
    """Two emulated providers, to which the example's variables lead."""
    made = {}
    for name in ("openai", "anthropic"):
        made[name] = emulator.provider(name, dialect=name)
        environment[f"{name.upper()}_BASE_URL"] = made[name].base_url
        environment[f"{name.upper()}_API_KEY"] = KEY
    return made


@pytest.mark.parametrize("options", [(), ("--stream",)])
def test_the_answer_is_on_stdout_and_nothing_else(run, emulated, options):
    """Whole or as it comes, it is the same text."""
    done = run("ask", EXAMPLE, PROMPT, *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"[emulated openai] {PROMPT}\n", "")


@pytest.mark.parametrize("options", [(), ("--stream",)])
def test_who_answered_after_whom_is_told_on_stderr(run, emulated, options):
    """With `-v`, in the order of the trail."""
    emulated["openai"].script(Status(503))
    done = run("ask", EXAMPLE, PROMPT, "-v", *options)
    assert (done.returncode, done.stdout) == (0, f"[emulated anthropic] {PROMPT}\n")
    failed, answered, last = done.stderr.splitlines()
    assert failed.startswith("'openai' transient in ")
    assert answered.startswith("'anthropic' answered in ")
    assert "tokens" in answered
    assert last == "answered by 'anthropic'"


@pytest.mark.parametrize("options", [(), ("--stream",)])
def test_when_nobody_answers_it_ends_with_1(run, emulated, options):
    """The message says who failed and why, without traceback, prompt or key."""
    for each in emulated.values():
        each.script(Status(503), Status(503))
    done = run("ask", EXAMPLE, PROMPT, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "'openai' transient" in done.stderr
    assert "'anthropic' transient" in done.stderr
    for hidden in ("Traceback", KEY, PROMPT):
        assert hidden not in done.stderr


def test_what_failed_is_told_by_class_and_status(run, emulated):
    """With `-v`; never by its text, and of a page that is no answer the class, too."""
    emulated["openai"].script(Status(400, "text-MARKER"))
    emulated["anthropic"].script(Status(503))
    done = run("ask", EXAMPLE, PROMPT, "-v")
    told = done.stderr.splitlines()
    assert told[0].endswith(" s, BadRequestError 400")
    assert "MARKER" not in done.stderr


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"])
def test_where_a_model_is_not_found_the_address_is_told(run, emulated, environment, variable):
    """What answers 404 may be no provider at all."""
    for name in ("openai", "anthropic"):
        emulated[name].script(Status(404), Status(404))
    done = run("ask", EXAMPLE, PROMPT)
    (name,) = [each for each in emulated if each.upper() in variable]
    assert (
        f"Hint: {name!r} was asked at {environment[variable]}; check base_url, too: it may lead "
        "elsewhere"
    ) in done.stderr.splitlines()


def test_where_nobody_can_be_reached_the_address_is_to_be_checked(run, environment):
    """Waiting mends no address that is wrong."""
    for name in ("OPENAI", "ANTHROPIC"):
        environment[f"{name}_BASE_URL"] = "http://127.0.0.1:9"
        environment[f"{name}_API_KEY"] = KEY
    done = run("ask", EXAMPLE, PROMPT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Hint: no provider could be reached; check base_url and the network"
    )


def test_a_provider_that_fails_otherwise_needs_no_hint(run, emulated):
    """Its address is right: it has answered."""
    for each in emulated.values():
        each.script(Status(503), Status(503))
    assert "Hint" not in run("ask", EXAMPLE, PROMPT).stderr


def test_a_stream_that_breaks_ends_with_1(run, emulated):
    """What had come is printed, and the line ended."""
    emulated["openai"].script(StreamCut(after=2))
    done = run("ask", EXAMPLE, "one two three four", "--stream")
    assert done.returncode == 1
    assert done.stdout.startswith("[emulated")
    assert done.stdout.endswith("\n")
    assert "Error: " in done.stderr


def test_a_missing_key_ends_with_2(run, environment):
    """Its name is told, and nothing is asked."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        environment.pop(name, None)
    done = run("ask", EXAMPLE, PROMPT)
    assert (done.returncode, done.stdout) == (2, "")
    assert "providers[0].api_key_env is 'OPENAI_API_KEY', which is not set" in done.stderr


@pytest.mark.parametrize("prompt", ["", "  ", "-"])
def test_an_empty_prompt_is_wrong_use(run, emulated, prompt):
    """One from an empty stdin, too."""
    done = run("ask", EXAMPLE, prompt)
    assert done.returncode == 2
    assert "PROMPT is empty" in done.stderr
