"""What a duration in a script may be: finite seconds, not below 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_fallback.core.bounds import is_number
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    import attrs


def check_duration(record: object, field: attrs.Attribute[float], value: float) -> None:
    """Refuse what is no duration; for use as an attrs validator.

    Raises:
        ConfigurationError: If `value` is not finite or below 0.
    """
    if not (is_number(value) and value >= 0):
        name = f"{type(record).__name__}.{field.name}"
        raise ConfigurationError(f"{name} is {value!r}; give finite seconds >= 0, or use Hang()")
