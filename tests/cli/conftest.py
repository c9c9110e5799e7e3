"""The command line as a process of its own, without a terminal."""

import os
import signal
import subprocess
import sys

import pytest

COMMAND = (sys.executable, "-m", "fsm_fallback")


@pytest.fixture
def environment():
    """The environment of a process: nothing that changes how Python or rich print."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS", "TTY_COMPATIBLE"}
    }


@pytest.fixture
def run(tmp_path, environment):
    """Run `fsm-fallback` in an empty directory; without the modules named, if there are any."""

    def run(*arguments, without=()):
        command = COMMAND
        if without:
            hide = f"import sys; sys.modules.update(dict.fromkeys({without!r}))"
            command = (
                sys.executable,
                "-c",
                f"{hide}; from fsm_fallback.__main__ import main; sys.exit(main())",
            )
        return subprocess.run(  # noqa: S603  # our own command
            (*command, *arguments),
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def start_demo(tmp_path, environment):
    """Start a demo of 20 s, and return its process once its first phase has begun."""

    def start_demo():
        process = subprocess.Popen(  # noqa: S603  # our own command
            (*COMMAND, "demo"),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # In a background job SIGINT is ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads in the child
        )
        for line in process.stdout:
            if "phase 1 of 8" in line:
                return process
        raise AssertionError(process.communicate(timeout=60))

    return start_demo
