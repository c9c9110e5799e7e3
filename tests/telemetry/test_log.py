"""The log: what it keeps, what it counts, when it writes, and that it never breaks a call."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fsm_fallback.core.breaker_rows import BREAKER
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.events import AttemptStep
from fsm_fallback.core.lease import Refusal
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.telemetry import AuditLog

ANSWER = next(row for row in CHAIN.rows if row.trigger == "answer")


def _attempt(call, chain="fallback"):
    return AttemptStep(chain, call, 1.0, 2.0, ANSWER, 1, "openai", 0, call, None, {}, 1, 0)


def _read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    """A file that is not there yet."""
    return tmp_path / "audit.jsonl"


class TestRecorder:
    """A log with nowhere to write keeps the latest."""

    def test_the_latest_stay_and_seq_goes_on(self):
        """The oldest leave silently: that is a flight recorder's job."""
        log = AuditLog(capacity=3)
        for call in range(1, 1001):
            log.append(_attempt(call))

        records = log.records()

        assert [record["seq"] for record in records] == [1995, 1996, 1997, 1998, 1999, 2000]
        assert [record["id_seq"] for record in records] == [1, 2] * 3
        assert log.dropped == 0

    @pytest.mark.parametrize("capacity", [1, 2, 63, 64, 65, 66, 200])
    def test_numbers_are_those_of_a_log_that_kept_everything(self, walk, breaker, capacity):
        """What left was counted: machine by machine, calls half gone included."""
        kept, everything = AuditLog(capacity=capacity), AuditLog()

        def record(step):
            kept.append(step)
            everything.append(step)

        it = breaker(record)
        for call in range(1, 80):
            it.disable(100.0 + call)
            it.reset(100.0 + call)
            refused = ("openai", Refusal("open", None, None))
            walk(record, refused, ("anthropic", "hello"), call=call)

        def numbers(log):
            return [(each["seq"], each["id"], each["id_seq"]) for each in log.records()]

        assert numbers(kept) == numbers(everything)[-len(numbers(kept)) :]
        assert capacity <= len(kept.records()) <= 2 * capacity

    def test_no_more_than_capacity_and_a_batch_is_held(self):
        """Memory is bounded, whoever reads or not."""
        log = AuditLog(capacity=10)
        most = 0
        for call in range(10_000):
            log.append(_attempt(call))
            most = max(most, len(log._ring))

        assert most <= 10 + 64 + 1

    def test_eight_threads_lose_no_number(self):
        """The order is the ring's; every step is numbered once."""
        log = AuditLog(capacity=100)
        _in_threads(8, lambda who: [log.append(_attempt(n, str(who))) for n in range(2000)])

        assert log.records()[-1]["seq"] == 8 * 2000 * 2

    def test_a_finaliser_may_append_while_the_recorder_is_read(self):
        """The lock is held by the very thread that appends: it must not be waited for."""
        log = AuditLog(capacity=1)

        class Dropped:
            def __del__(self):
                for call in range(200):
                    log.append(_attempt(call))

        with log._lock:
            Dropped()
            gc.collect()

        assert log.records()[-1]["seq"] == 400

    def test_it_starts_no_thread_and_closes_nothing(self):
        """There is nothing to write."""
        log = AuditLog()
        before = threading.active_count()
        log.start()
        log.flush()
        log.close()
        log.append(_attempt(1))

        assert threading.active_count() == before
        assert len(log.records()) == 2


class TestFile:
    """A log with a path writes lines."""

    def test_flush_writes_what_was_appended_before(self, path, walk, breaker):
        """One line each, in the order of the ring."""
        with AuditLog(path) as log:
            breaker(log.append).disable(101.0)
            walk(log.append, ("openai", "hello"))
            pending = log.records()

            log.flush()

            assert _read(path) == pending
            assert [line["seq"] for line in _read(path)] == [1, 2, 3]
            assert log.records() == []

    def test_close_writes_the_rest_and_may_come_twice(self, path):
        """What is appended later is counted, and not kept."""
        log = AuditLog(path)
        log.start()
        log.append(_attempt(1))

        log.close()
        log.close()
        log.append(_attempt(2))
        log.flush()

        assert len(_read(path)) == 2
        assert (log.dropped, log.errors) == (1, 0)

    def test_a_second_run_appends_under_its_own_name(self, path):
        """A file holds many streams; each counts from 1."""
        for _ in range(2):
            with AuditLog(path) as log:
                log.append(_attempt(1))

        lines = _read(path)
        assert [line["seq"] for line in lines] == [1, 2, 1, 2]
        assert len({line["stream"] for line in lines}) == 2

    def test_its_thread_writes_without_being_asked(self, heard):
        """Nobody has to flush."""
        wrote = threading.Event()
        heard.info = lambda *_, **__: wrote.set()
        with AuditLog(mirror=heard) as log:
            log.start()
            log.start()
            log.append(_attempt(1))

            assert wrote.wait(10)

    def test_nothing_is_started_by_construction_or_append(self, path):
        """A thread is not started where `append` runs."""
        before = threading.active_count()
        with AuditLog(path) as log:
            log.append(_attempt(1))

            assert threading.active_count() == before

    def test_several_chains_share_one_order(self, path, walk):
        """One log, one sequence, over the machines of all."""
        with AuditLog(path) as log:
            walk(log.append, ("openai", "hello"), name="chat")
            walk(log.append, ("openai", "hello"), name="search")

        assert [(line["seq"], line["id"]) for line in _read(path)] == [
            (1, "chat#1"),
            (2, "chat#1"),
            (3, "search#1"),
            (4, "search#1"),
        ]


class TestPressure:
    """More steps than room."""

    def test_what_had_no_room_is_counted_where_it_was_missed(self, heard):
        """The record stands between what was kept before and after."""
        with AuditLog(mirror=heard, capacity=3) as log:
            for call in range(1, 6):
                log.append(_attempt(call))
            log.flush()
            log.append(_attempt(6))
            log.flush()

            assert [fields["id"] for _, _, fields in heard.told] == [
                *["fallback#1", "fallback#1", "fallback#2", "fallback#2"],
                *["fallback#3", "fallback#3", "audit", "fallback#6", "fallback#6"],
            ]
            level, event, fields = heard.told[6]
            assert (level, event) == ("warning", "audit.dropped")
            assert (fields["machine"], fields["trigger"]) == ("audit", "dropped")
            assert (fields["facts"], fields["seq"], fields["id_seq"]) == ({"count": 2}, 7, 1)
            assert log.dropped == 2

    def test_each_gap_is_told_once(self, heard):
        """Counts add up over the gaps."""
        with AuditLog(mirror=heard, capacity=1) as log:
            for count in (1, 2, 3):
                for call in range(1 + count):
                    log.append(_attempt(call))
                log.flush()
                log.flush()

            counts = [
                fields["facts"]["count"] for _, event, fields in heard.told if "drop" in event
            ]
            assert counts == [1, 2, 3]
            assert log.dropped == 6

    def test_eight_threads_are_counted_exactly(self, heard):
        """Kept and dropped make the whole, while a ninth thread writes."""
        with AuditLog(mirror=heard, capacity=50) as log:
            for call in range(60):
                log.append(_attempt(call, "before"))
            done = threading.Event()

            def write():
                while not done.is_set():
                    log.flush()

            writer = threading.Thread(target=write)
            writer.start()
            _in_threads(8, lambda who: [log.append(_attempt(n, str(who))) for n in range(2000)])
            done.set()
            writer.join()
            log.flush()

            kept = sum(event == "chain.answer" for event in heard.events)
            told = sum(
                fields["facts"]["count"]
                for _, event, fields in heard.told
                if event == "audit.dropped"
            )
            assert told == log.dropped >= 10
            assert kept + told == 60 + 8 * 2000
            numbers = [fields["seq"] for _, _, fields in heard.told]
            assert numbers == list(range(1, len(numbers) + 1))

    def test_the_ring_stays_bounded_under_pressure(self, heard):
        """Gaps take one place, not one each."""
        with AuditLog(mirror=heard, capacity=5) as log:
            for call in range(1000):
                log.append(_attempt(call))

            assert len(log._ring) == 6


class TestFailingSinks:
    """What goes wrong in a sink stays there."""

    def test_a_raising_mirror_costs_its_records_and_nothing_else(self, path, heard, caplog):
        """The file has them all; the failure is counted, and said once."""

        def info(event, **_):
            raise RuntimeError(f"{event}: a secret")

        heard.info = info
        with AuditLog(path, mirror=heard) as log:
            log.append(_attempt(1))
            log.append(_attempt(2))
            with caplog.at_level(logging.WARNING, "fsm_fallback"):
                log.flush()

            assert len(_read(path)) == 4
            assert log.errors == 4
        (said,) = caplog.messages
        assert "RuntimeError" in said
        assert "secret" not in said

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
    def test_a_full_disk_costs_the_lines_and_nothing_else(self, heard, caplog):
        """The mirror still hears of everything."""
        with AuditLog("/dev/full", mirror=heard) as log:
            log.append(_attempt(1))
            with caplog.at_level(logging.WARNING, "fsm_fallback"):
                log.flush()

            assert log.errors == 2
            assert heard.events == ["chain.offer", "chain.answer"]
        (said,) = caplog.messages
        assert "No space left on device" in said

    def test_a_step_nobody_can_read_costs_its_records_only(self, path, caplog):
        """A row of another table: the log goes on with the next step."""
        with AuditLog(path) as log:
            log.append(_attempt(1)._replace(row=BREAKER.rows[0]))
            log.append(_attempt(2))
            log.flush()

            assert [line["id"] for line in _read(path)] == ["fallback#2", "fallback#2"]
            assert log.errors == 1

    def test_a_file_that_cannot_be_closed_is_an_error_counted(self, path, caplog):
        """Closing is as safe as calling."""

        class Stuck:
            def write(self, record):
                pass

            def close(self):
                raise OSError(5, "Input/output error")

        log = AuditLog(path)
        log._sinks[0].close()
        log._sinks = (Stuck(),)
        log.close()

        assert log.errors == 1
        assert "Input/output error" in caplog.text

    def test_a_mirror_may_use_the_log_it_mirrors(self, heard):
        """No deadlock, and no record overtakes another."""
        heard.info = lambda event, **fields: (
            log.flush(),
            log.records(),
            heard.told.append(("info", event, fields)),
        )
        with AuditLog(mirror=heard) as log:
            log.append(_attempt(1))
            log.append(_attempt(2))
            log.flush()

        assert [fields["seq"] for _, _, fields in heard.told] == [1, 2, 3, 4]

    def test_a_mirror_may_close_the_log(self, heard):
        """Closing from inside writes no less."""
        heard.info = lambda event, **fields: (
            log.close(),
            heard.told.append(("info", event, fields)),
        )
        log = AuditLog(mirror=heard)
        log.append(_attempt(1))
        log.flush()

        assert heard.events == ["chain.offer", "chain.answer"]


class TestRegister:
    """Which declaration a name stands for."""

    def test_a_second_machine_of_one_name_is_refused(self, recorder):
        """Its records could not be told from the first one's, whatever its parameters."""
        recorder.register(BREAKER, "openai", BreakerConfig().in_force)

        with pytest.raises(ConfigurationError, match=r"'openai' is registered .* another name"):
            recorder.register(BREAKER, "openai", BreakerConfig().in_force)


class TestParameters:
    """Arguments that cannot work."""

    def test_every_problem_is_named_at_once(self):
        """Field, value, remedy."""
        with pytest.raises(ConfigurationError) as caught:
            AuditLog(3, mode="all", mirror=5, capacity=0, clock=None, wall=1.0)

        assert caught.value.problems == (
            "AuditLog.path is 3; give a file name, or None",
            "AuditLog.mode is 'all'; give one of moves, full",
            "AuditLog.mirror is 5; give a logger with info() and warning(), or None",
            "AuditLog.capacity is 0; give a whole number >= 1",
            "AuditLog.clock is None; give a function that returns seconds",
            "AuditLog.wall is 1.0; give a function that returns seconds",
        )

    def test_a_path_that_cannot_be_opened_is_said_at_once(self, tmp_path):
        """Not by the thread, hours later."""
        with pytest.raises(ConfigurationError, match=r"AuditLog\.path .* make its directory"):
            AuditLog(tmp_path / "missing" / "audit.jsonl")


class TestProcess:
    """Import, exit, fork."""

    def test_what_was_not_flushed_is_written_at_exit(self, path):
        """A program that just ends loses nothing."""
        _python(
            "log = AuditLog(sys.argv[1])",
            "log.append(step)",
            path=path,
        )

        assert [line["seq"] for line in _read(path)] == [1, 2]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_fork_writes_what_waited_once_and_goes_on_as_another_stream(self, path):
        """The parent's steps are the parent's; the child has a thread and numbers of its own."""
        _python(
            "log = AuditLog(sys.argv[1])",
            "log._lock.acquire()",  # as if the writer were at it
            "log.start()",
            "log.append(step)",
            "child = os.fork()",
            "if child == 0:",
            "    log.append(step._replace(chain='child'))",
            "    sys.exit(0 if log._thread.is_alive() else 1)",
            "log._lock.release()",
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
            path=path,
        )

        lines = _read(path)
        by_id = {line["id"]: line["stream"] for line in lines}
        assert sorted((line["id"], line["seq"]) for line in lines) == [
            ("child#1", 1),
            ("child#1", 2),
            ("fallback#1", 1),
            ("fallback#1", 2),
        ]
        assert by_id["child#1"] != by_id["fallback#1"]

    def test_importing_the_package_imports_no_structlog(self, tmp_path):
        """Only a log that writes pays for it."""
        _python(
            "AuditLog().append(step)",
            "assert 'structlog' not in sys.modules",
            "AuditLog(sys.argv[1])",
            "assert 'structlog' in sys.modules",
            path=tmp_path / "audit.jsonl",
        )


def _in_threads(count, work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _python(*lines, path):
    """Run a program in a process of its own, with a step to append."""
    program = "\n".join(
        [
            "import os, sys",
            "from fsm_fallback.core.chain_rows import CHAIN",
            "from fsm_fallback.core.events import AttemptStep",
            "from fsm_fallback.telemetry import AuditLog",
            "row = next(row for row in CHAIN.rows if row.trigger == 'answer')",
            "step = AttemptStep('fallback', 1, 1.0, 2.0, row, 1, 'openai', 0, 1, None, {}, 1, 0)",
            *lines,
        ]
    )
    subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(path)],
        check=True,
        timeout=60,
    )
