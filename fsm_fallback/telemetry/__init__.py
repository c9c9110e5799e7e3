"""What happened, told outwards. Decides nothing, and nothing of a call waits for it.

`AuditLog` keeps or writes what breakers and chains record. structlog is imported with the first log
that writes, not with this package.
"""

from fsm_fallback.telemetry.fields import FIELDS, SCHEMA_VERSION, Record
from fsm_fallback.telemetry.log import AuditLog

__all__ = ["FIELDS", "SCHEMA_VERSION", "AuditLog", "Record"]
