"""Sinks: the private chain of the file, and what a mirror hears."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from fsm_fallback.core.lease import Refusal
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.telemetry import AuditLog
from fsm_fallback.telemetry.records import Stream
from fsm_fallback.telemetry.sinks import JsonLines

OUTAGE = Fault(FaultKind.TRANSIENT)
RECORD = Stream("run", 0.0, 0.0).dropped(1, 0.0)


class _Disk:
    """A file that takes `room` bytes a write until it is full."""

    def __init__(self, *rooms):
        self.rooms = list(rooms)
        self.bytes = b""

    def write(self, data):
        room = self.rooms.pop(0) if self.rooms else len(data)
        if room is None:
            raise OSError(28, "No space left on device")
        self.bytes += data[:room]
        return min(room, len(data))

    def close(self):
        pass


class TestJsonLines:
    """The file, and the chain that leads there."""

    def test_users_levels_and_processors_do_not_reach_it(self, tmp_path, walk):
        """A filter at CRITICAL and a processor that drops everything lose no record."""

        def drop(*_):
            raise structlog.DropEvent

        path = tmp_path / "audit.jsonl"
        logging.disable(logging.CRITICAL)
        structlog.configure(
            processors=[drop],
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
            cache_logger_on_first_use=True,
        )
        try:
            with AuditLog(path) as log:
                structlog.contextvars.bind_contextvars(request="secret")
                walk(log.append, ("openai", "hello"))
        finally:
            structlog.contextvars.clear_contextvars()
            structlog.reset_defaults()
            logging.disable(logging.NOTSET)

        lines = path.read_text().splitlines()
        assert [json.loads(line)["trigger"] for line in lines] == ["offer", "answer"]
        assert "secret" not in path.read_text()

    def test_a_write_cut_short_is_carried_on(self):
        """A line is whole, however many writes it takes."""
        disk = _Disk(10, 20, 1)
        JsonLines(disk).write(RECORD)

        assert json.loads(disk.bytes) == RECORD
        assert disk.bytes.endswith(b"}\n")

    def test_a_line_torn_by_a_full_disk_spoils_no_other(self):
        """The next line begins on a line of its own."""
        disk = _Disk(10, None)
        lines = JsonLines(disk)
        with pytest.raises(OSError, match="No space left"):
            lines.write(RECORD)
        lines.write(RECORD)

        torn, whole = disk.bytes.splitlines()
        assert len(torn) == 10
        assert json.loads(whole) == RECORD

    def test_a_disk_full_from_the_first_byte_leaves_no_trace(self):
        """No empty line before the next record."""
        disk = _Disk(None)
        lines = JsonLines(disk)
        with pytest.raises(OSError, match="No space left"):
            lines.write(RECORD)
        lines.write(RECORD)

        assert json.loads(disk.bytes) == RECORD
        assert disk.bytes.count(b"\n") == 1

    def test_a_file_that_takes_nothing_is_an_error_not_a_loop(self):
        """Zero bytes written is no progress."""
        with pytest.raises(OSError, match="Input/output error"):
            JsonLines(_Disk(0)).write(RECORD)


class TestMirror:
    """The user's own logger."""

    def test_it_hears_the_event_and_the_fields_that_are_not_null(self, heard, walk):
        """The name is the machine's and the trigger's: `event` is a key of structlog's own."""
        with AuditLog(mirror=heard) as log:
            walk(log.append, ("openai", "hello"))

        level, event, fields = heard.told[1]
        assert (level, event) == ("info", "chain.answer")
        assert fields["provider"] == "openai"
        assert "fault" not in fields
        assert None not in fields.values()

    def test_openings_and_failed_calls_are_warnings(self, heard, walk, breaker):
        """All else, operators' acts included, is INFO."""
        with AuditLog(mirror=heard, mode="full") as log:
            it = breaker(log.append, full=True)
            for lease in [it.admit(101.0), it.admit(101.0)]:
                it.fail(lease, 101.0, OUTAGE)
            it.admit(102.0)
            it.force_open(103.0)
            walk(log.append, ("openai", Refusal("open", None, None)), ("anthropic", "hello"))
            walk(log.append, ("openai", OUTAGE), call=2)

        assert [(level, event) for level, event, _ in heard.told] == [
            ("info", "breaker.admit"),
            ("info", "breaker.admit"),
            ("info", "breaker.fail"),
            ("warning", "breaker.fail"),
            ("info", "breaker.admit"),
            ("info", "breaker.force_open"),
            ("info", "chain.skip"),
            ("info", "chain.offer"),
            ("info", "chain.answer"),
            ("info", "chain.offer"),
            ("info", "chain.fault"),
            ("warning", "chain.exhaust"),
        ]

    def test_structlogs_own_loggers_serve(self, walk):
        """Its default, too, which is a lazy proxy."""
        with (
            structlog.testing.capture_logs() as captured,
            AuditLog(mirror=structlog.get_logger()) as log,
        ):
            walk(log.append, ("openai", "hello"))

        assert [(each["event"], each["log_level"]) for each in captured] == [
            ("chain.offer", "info"),
            ("chain.answer", "info"),
        ]
        assert captured[0]["from"] == "selecting"

    @pytest.mark.parametrize("adapt", [False, True])
    def test_loggers_of_the_standard_library_serve(self, caplog, walk, adapt):
        """Fields as text for people, and as attributes for formatters."""
        logger = logging.getLogger("app.audit")
        mirror = logging.LoggerAdapter(logger) if adapt else logger
        with caplog.at_level(logging.INFO, "app.audit"), AuditLog(mirror=mirror) as log:
            walk(log.append, ("openai", OUTAGE))

        said = caplog.records[1]
        assert said.getMessage().startswith("chain.fault v=1 ")
        assert " from=calling to=selecting " in said.getMessage()
        assert adapt or said.fault == "transient"
        assert [each.levelname for each in caplog.records] == ["INFO", "INFO", "WARNING"]
