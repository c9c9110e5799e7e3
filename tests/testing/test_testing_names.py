"""The names of `fsm_fallback.testing`, and what importing it costs."""

import subprocess
import sys

import pytest

import fsm_fallback.testing


def test_every_name_can_be_imported():
    """Whatever is listed is there, once it is asked for."""
    for name in fsm_fallback.testing.__all__:
        assert getattr(fsm_fallback.testing, name) is not None
    assert set(fsm_fallback.testing.__all__) <= set(dir(fsm_fallback.testing))


def test_a_name_that_is_not_there_is_an_error():
    """Of the usual kind."""
    with pytest.raises(AttributeError, match="has no attribute 'Fault'"):
        fsm_fallback.testing.Fault  # noqa: B018  # reading it is the test


def test_importing_the_package_imports_none_of_its_rooms():
    """Neither the emulator nor an event loop comes with it."""
    code = (
        "import sys, fsm_fallback; before = set(sys.modules); import fsm_fallback.testing; "
        "heavy = ('fsm_fallback.testing.', 'anyio', 'asyncio', 'http', 'json', 'socket'); "
        "print([m for m in set(sys.modules) - before if m.startswith(heavy)])"
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
