"""What an HTTP status in a script may be; for use as attrs validators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm_fallback.core.bounds import is_count
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    import attrs

FIRST_ERROR: Final = 400
_STATUSES: Final = range(200, 600)


def check_status(record: object, field: attrs.Attribute[int], value: int) -> None:
    """Refuse what is no final status.

    Raises:
        ConfigurationError: If `value` is not a whole number from 200 to 599.
    """
    if not _is_status(value):
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(f"{name} is {value!r}; give an HTTP status from 200 to 599")


def check_error_status(record: object, field: attrs.Attribute[int], value: int) -> None:
    """Refuse what is no error status.

    Raises:
        ConfigurationError: If `value` is not a whole number from 400 to 599.
    """
    if not _is_status(value) or value < FIRST_ERROR:
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(f"{name} is {value!r}; give an HTTP error status from 400 to 599")


def _is_status(value: object) -> bool:
    return is_count(value, 0) and value in _STATUSES
