"""`fsm-fallback demo` from end to end: real SDKs, loopback HTTP, real time."""

import json
import signal
from collections import Counter

import pytest

from fsm_fallback.telemetry import FIELDS


def refuse(constant):
    """JSON in the strict sense has no NaN and no infinity."""
    raise ValueError(constant)


NOWHERE = "http://127.0.0.1:9"
SURROUNDINGS = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), NOWHERE),
    **dict.fromkeys(("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"), NOWHERE),
    **dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY"), "a-real-secret"),
}


def test_demo_accounts_for_every_call(run, environment, tmp_path):
    """It ends with 0, marks every line, and leaves the three files of its own run.

    Proxies, addresses and keys of the environment are none of its business.
    """
    environment.update(SURROUNDINGS)
    (tmp_path / "audit.jsonl").write_text('{"id": "demo#1", "of": "an earlier run"}\n')
    done = run("demo", "--duration", "6")

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all(line.startswith("simulated") for line in lines)
    assert "\x1b" not in done.stdout
    assert not [line for line in lines if "MISSING" in line]
    assert lines[-1].endswith("every call was answered, or its failure is fully accounted for")
    assert [line for line in lines if "phase 8 of 8" in line]

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "audit.jsonl",
        "breaker.mmd",
        "chain.mmd",
    ]
    text = (tmp_path / "audit.jsonl").read_text()
    records = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert len(records) >= 200
    assert all(tuple(record) == FIELDS for record in records)
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    openings = Counter(record["id"] for record in records if record["to"] == "open")
    assert openings["demo/anthropic"] >= 2
    assert openings["demo/openai"] >= 1

    for path in tmp_path.iterdir():
        written = path.read_text()
        assert "made-up-for-the-emulator" not in written
        assert "a-real-secret" not in written
        assert "circuit breaker do" not in written
    for machine in ("breaker", "chain"):
        assert "stateDiagram-v2" in (tmp_path / f"{machine}.mmd").read_text()


def test_ctrl_c_ends_it_cleanly(start_demo, tmp_path):
    """It ends with 130, says so, and what had happened is in the audit file."""
    process = start_demo()
    for line in process.stdout:
        if "calls" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert out.splitlines()[-1].startswith("simulated  stopped before the end")
    records = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in records] == list(range(1, len(records) + 1))
    assert records


def test_closed_pipe_ends_it_quietly(start_demo):
    """Where nobody reads on, as in `demo | head`, it ends without a traceback."""
    process = start_demo()
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")


def no_folder(tmp_path):
    """A directory that is not there."""
    return "missing"


def a_file(tmp_path):
    """A file in place of the directory."""
    (tmp_path / "file").touch()
    return "file"


def a_directory_in_the_way(tmp_path):
    """A directory in place of a file."""
    (tmp_path / "out" / "chain.mmd").mkdir(parents=True)
    return "out"


def test_audit_log_of_something_else_is_left_alone(run, tmp_path):
    """A service may keep its own audit.jsonl where the demo is tried."""
    (tmp_path / "audit.jsonl").write_text('{"id": "checkout#1"}\n')
    done = run("demo", "--duration", "6")

    assert (done.returncode, done.stdout) == (2, "")
    assert "is no log of a demo" in done.stderr
    assert (tmp_path / "audit.jsonl").read_text() == '{"id": "checkout#1"}\n'


@pytest.mark.parametrize("prepare", [no_folder, a_file, a_directory_in_the_way])
def test_out_that_cannot_be_written_starts_nothing(run, tmp_path, prepare):
    """It ends with 2, names the path and `--out`, and leaves everything as it was."""
    out = prepare(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run("demo", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert out in done.stderr
    assert "--out" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("wrong", [("--duration", "1"), ("--duration", "nan"), ("--seed", "x")])
def test_option_out_of_bounds_is_refused(run, tmp_path, wrong):
    """It ends with 2 and names the option."""
    done = run("demo", *wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert wrong[0] in done.stderr
    assert not list(tmp_path.iterdir())
