"""Patience: what a function came to, or that it does not end."""

import contextvars
import sys
import threading

import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.spec.patience import Patience, _OutOfPatience, _Worker


def test_a_function_that_ends_is_told_by_what_it_came_to():
    """A value, or an error, whatever its kind."""
    with Patience() as patience:
        assert patience.ask(lambda one, two: one + two, 1, 2).value == 3
        reply = patience.ask(int, "x")
        assert isinstance(reply.error, ValueError)
        assert not reply.returned
        assert isinstance(patience.ask(sys.exit).error, SystemExit)


def test_a_loop_is_ended_and_the_next_question_is_answered():
    """By another worker."""

    def loop():
        while True:
            pass

    with Patience(0.2) as patience:
        assert not patience.ask(loop).ended
        assert patience.ask(lambda: "well").value == "well"


def test_a_function_that_waits_in_a_lock_is_left_behind():
    """It keeps its thread, and nobody waits for it."""
    gate = threading.Event()

    def wait():
        gate.wait()

    with Patience(0.1) as patience:
        assert not patience.ask(wait).ended
        assert patience.ask(lambda: "well").value == "well"
    gate.set()


def test_nothing_arrives_late_in_the_thread_of_the_asker():
    """A worker that waits for work is not interrupted at all, and goes when it is let go."""
    worker = _Worker()
    assert worker.ask(lambda: 1, (), 5.0).value == 1
    worker._interrupt()
    worker.jobs.put(None)
    worker._thread.join(5.0)
    assert not worker._thread.is_alive()


def test_where_threads_have_no_clocks_a_loop_is_ended_all_the_same(monkeypatch):
    """There nobody knows whether it waits."""
    monkeypatch.delattr("time.pthread_getcpuclockid")

    def loop():
        while True:
            pass

    with Patience(0.1) as patience:
        assert not patience.ask(loop).ended


def test_functions_run_in_a_copy_of_the_askers_context():
    """They read what it reads, and change nothing there."""
    variable = contextvars.ContextVar("variable")
    variable.set("of the asker")

    def change():
        seen = variable.get()
        variable.set("changed")
        return seen

    with Patience() as patience:
        assert patience.ask(change).value == "of the asker"
    assert variable.get() == "of the asker"


def test_patience_can_be_closed_twice():
    """And before it was ever asked."""
    patience = Patience()
    patience.close()
    patience.ask(int)
    patience.close()
    patience.close()


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), "long"])
def test_patience_is_some_seconds(seconds):
    """Finite ones."""
    with pytest.raises(ConfigurationError, match=r"patience is .*; give finite seconds > 0"):
        Patience(seconds)


def test_what_is_injected_is_no_exception_a_part_would_catch():
    """`except Exception` lets it through."""
    assert not issubclass(_OutOfPatience, Exception)
