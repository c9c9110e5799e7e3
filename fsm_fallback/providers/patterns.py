"""Regular expressions that are compiled when they are first needed.

Compiling one takes as long as classifying some thirty errors, and most processes meet a few kinds
of error, or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial

LazyPattern = Callable[[], re.Pattern[str]]
"""Answers a compiled pattern, the same one each time."""


def when_needed(pattern: str, flags: int = 0) -> LazyPattern:
    """Compile a pattern at the first call of what is returned."""
    return cache(partial(re.compile, pattern, flags))
