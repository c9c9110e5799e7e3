"""The budget of retries: how many a chain affords, so that they do not multiply an outage."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final

from fsm_fallback.core.parameters import RetryConfig

_WINDOW: Final = 100
"""So many of the latest calls are looked at."""


class RetryBudget:
    """At most a share of the latest calls, or a few at once; safe in threads.

    A place is taken before the wait of a retry and given back when its attempt has ended. It is
    Envoy's retry budget, but that the share is one of the calls begun: healthy calls are not
    counted in and out.

    Args:
        config: The share, and how many may be out at once whatever it says.
    """

    def __init__(self, config: RetryConfig) -> None:
        self._share = config.budget
        self._floor = config.budget_floor
        self._out = 0
        self._returned: deque[None] = deque()
        self._granted: deque[int] = deque()
        self._latest = 0
        self._lock = Lock()

    @property
    def out(self) -> int:
        """How many retries wait or are being made."""
        return self._out - len(self._returned)

    def take(self, call: int) -> bool:
        """Take a place for a retry of call number `call`; False where there is none."""
        with self._lock:
            self._latest = max(self._latest, call)
            since = self._latest - _WINDOW
            while self._granted and self._granted[0] <= since:
                self._granted.popleft()
            while self._returned:
                self._returned.pop()
                self._out -= 1
            calls = min(self._latest, _WINDOW)
            if self._out >= self._floor and len(self._granted) + 1 > self._share * calls:
                return False
            self._out += 1
            self._granted.append(self._latest)
            return True

    def give_back(self) -> None:
        """Give a place back; takes no lock, for the collector may do it within `take`."""
        self._returned.append(None)
