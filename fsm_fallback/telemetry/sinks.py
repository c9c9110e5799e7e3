"""Where audit records go: a file of JSON lines, and the user's own logger.

Decides how a record is written and how loud it is. A sink may raise; what then, is the log's to
say. The file is written through a structlog chain of its own: nothing a user configures in
structlog or logging, such as a level, reaches it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol

from fsm_fallback.errors import ConfigurationError
from fsm_fallback.telemetry.fields import AUDIT_MACHINE, BREAKER_MACHINE, CHAIN_MACHINE, Record

_ALARMING: Final = frozenset({(BREAKER_MACHINE, "open"), (CHAIN_MACHINE, "failed")})


class Mirror(Protocol):
    """A logger of structlog's kind, `info(event, **fields)`, or of the standard library's."""

    @property
    def info(self) -> Callable[..., object]:
        """Log at INFO."""
        ...

    @property
    def warning(self) -> Callable[..., object]:
        """Log at WARNING."""
        ...


class Sink(Protocol):
    """What takes records, in order, one at a time."""

    def write(self, record: Record) -> None:
        """Take one record."""

    def close(self) -> None:
        """Let go of whatever is held."""


class RawFile(Protocol):
    """An unbuffered binary file, open for appending."""

    def write(self, data: bytes, /) -> int | None:
        """Write some of `data`, and say how many bytes."""
        ...

    def close(self) -> None:
        """Close the file."""


class JsonLines:
    """Records as JSON lines, each in one write.

    Unbuffered, so that nothing waits in this process: a fork has nothing to write twice, and lines
    of several processes that append to one local file do not mix.
    """

    def __init__(self, file: RawFile) -> None:
        import structlog  # noqa: PLC0415  # imported with the first log that writes

        self._file = file
        self._torn = False
        self._logger = structlog.wrap_logger(
            self,
            processors=[_line],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
            cache_logger_on_first_use=False,
        ).bind()

    def write(self, record: Record) -> None:
        """Send a record down the chain, which ends in `info`."""
        self._logger.info(**record)

    def info(self, line: bytes) -> None:
        """Write a whole line. One cut short by a full disk is ended before the next begins."""
        rest = b"\n" + line if self._torn else line
        while rest:
            written = self._file.write(rest)
            if not written:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            rest = rest[written:]
            self._torn = bool(rest)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StructlogMirror:
    """Tells a structlog-style logger: the event's name, and the fields that are not null."""

    def __init__(self, logger: Mirror) -> None:
        self._logger = logger

    def write(self, record: Record) -> None:
        """Tell the logger of a record."""
        tell = self._logger.warning if is_alarming(record) else self._logger.info
        tell(event_of(record), **told(record))

    def close(self) -> None:
        """The logger is the user's; nothing to let go of."""


class LoggingMirror:
    """Tells a logger of the standard library: the fields as text for people, and as `extra`."""

    def __init__(self, logger: Mirror) -> None:
        self._logger = logger

    def write(self, record: Record) -> None:
        """Tell the logger of a record."""
        fields = told(record)
        text = " ".join(f"{name}={value}" for name, value in fields.items())
        tell = self._logger.warning if is_alarming(record) else self._logger.info
        tell("%s %s", event_of(record), text, extra=fields)

    def close(self) -> None:
        """The logger is the user's; nothing to let go of."""


def file_sink(path: str | os.PathLike[str]) -> JsonLines:
    """A sink that appends to a file, which is made if it is not there.

    Raises:
        ConfigurationError: If the file cannot be opened.
    """
    try:
        file = open(path, "ab", buffering=0)  # noqa: SIM115, PTH123  # kept open; a PathLike may be no Path
    except OSError as error:
        raise ConfigurationError(
            f"AuditLog.path is {os.fspath(path)!r}, which cannot be opened for appending "
            f"({error.strerror}); make its directory, or give another file"
        ) from error
    return JsonLines(file)


def mirror_sink(mirror: Mirror) -> Sink:
    """A sink that tells the user's logger."""
    import logging  # noqa: PLC0415  # not imported with the package

    if isinstance(mirror, (logging.Logger, logging.LoggerAdapter)):
        return LoggingMirror(mirror)
    return StructlogMirror(mirror)


def event_of(record: Record) -> str:
    """The name a record goes by in other logs: `breaker.fail`, `chain.skip`."""
    return f"{record['machine']}.{record['trigger']}"


def told(record: Record) -> dict[str, object]:
    """The fields that say something."""
    fields: Mapping[str, object] = record
    return {name: value for name, value in fields.items() if value is not None}


def is_alarming(record: Record) -> bool:
    """Whether somebody should look: a breaker opened, a call failed, records were lost."""
    if record["verdict"] == "moved":
        return (record["machine"], record["to"]) in _ALARMING
    return record["machine"] == AUDIT_MACHINE


def _stand_in(value: object) -> str:
    """For a value JSON does not know: its type. What it says may be anybody's secret."""
    return f"<{type(value).__name__}>"


# ASCII, so that a line survives any reader; infinite numbers raise, for no record holds one.
_encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_stand_in).encode


def _line(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> bytes:
    return _encode(fields).encode() + b"\n"
