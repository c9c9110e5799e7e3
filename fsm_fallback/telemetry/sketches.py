"""Latency over long horizons: mergeable sketches of how long attempts took.

The percentiles in `ProviderHealth` are exact over the latest answers, and histograms have the
buckets they have. A sketch keeps every quantile of everything it has seen, to a relative accuracy,
in a few kilobytes; and two of them make one, of two processes or of two days. The sketch is
DDSketch: C. Masson, J. Rim, H. Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from fsm_fallback.core.bounds import Bound, is_number, shown
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:
    from ddsketch import DDSketch

DurationListener = Callable[[str, str, tuple[float, ...]], object]
"""Told of a provider, an outcome, and the seconds that attempts of those took."""

_Batch = tuple[str, str, tuple[float, ...]]
_ACCURACY: Final = Bound(lambda v: is_number(v) and 0 < v < 1, "a ratio in (0, 1)")
_SUCCESS: Final = "success"


class TimedChain(Protocol):
    """A `FallbackProvider`."""

    def metrics(self) -> Mapping[str, Any]:
        """What its providers did; everything pending is counted by that."""
        ...

    def on_durations(self, listener: DurationListener) -> None:
        """Tell a listener how long attempts took, when they are counted."""


class LatencySketches:
    """A sketch for each provider and outcome; needs the extra `sketches`.

        sketches = LatencySketches(llm)
        sketches.quantile("openai", 0.99)

    It hears of attempts that are counted from now on: a few hundred at a time, and all by the time
    somebody reads. Whichever call finds that many pending puts them in, which takes it a few
    milliseconds. Providers of one name in several chains share a sketch.

    Safe in threads. It may be pickled; what comes back has all that was seen, and hears no chain.
    A chain does not keep it, nor it a chain: hold it for as long as it is to hear, and `close` it,
    or leave its block, when it has heard enough.

    Args:
        chains: Whom to hear.
        relative_accuracy: A quantile is off by this part of itself at most, in (0, 1).

    Raises:
        ConfigurationError: If an argument cannot work, or `ddsketch` is not installed.
    """

    def __init__(self, *chains: TimedChain, relative_accuracy: float = 0.01) -> None:
        try:
            from ddsketch import DDSketch  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigurationError(
                "LatencySketches needs ddsketch, which is not installed; "
                "pip install 'fsm-fallback[sketches]'"
            ) from error
        if not _ACCURACY.accepts(relative_accuracy):
            raise ConfigurationError(
                f"LatencySketches.relative_accuracy is {shown(relative_accuracy)}; give "
                f"{_ACCURACY.wanted}"
            )
        strange = [each for each in chains if not callable(getattr(each, "on_durations", None))]
        if strange:
            raise ConfigurationError(
                f"LatencySketches got {shown(each)}; give a FallbackProvider" for each in strange
            )
        self.relative_accuracy = relative_accuracy
        self._new: Callable[[float], DDSketch] = DDSketch
        self._sketches: dict[tuple[str, str], DDSketch] = {}
        # Appended to from calls, which wait for nobody; emptied by whoever has the lock.
        self._heard: list[_Batch] = []
        self._lock = Lock()
        self._chains = tuple(map(weakref.ref, chains))
        _ALL.add(self)
        self._ears = tuple(_Ear(self, chain) for chain in chains)

    def close(self) -> None:
        """Take in what is pending and hear no more; what was seen may be read. Idempotent."""
        self._catch_up()
        ears, self._ears, self._chains = self._ears, (), ()
        for ear in ears:
            ear.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hear(self, provider: str, outcome: str, durations: tuple[float, ...]) -> None:
        """Take in durations, in seconds; what a chain does, and others may. Waits for nobody."""
        self._heard.append((provider, outcome, durations))
        if self._lock.acquire(blocking=False):
            try:
                self._take_in_locked()
            finally:
                self._lock.release()

    def quantile(self, provider: str, q: float, *, outcome: str = _SUCCESS) -> float | None:
        """The seconds that such a part of the attempts took at most; None if there were none.

        Args:
            provider: Its name.
            q: The part, in [0, 1]: 0.99 for the 99th percentile.
            outcome: `"success"`, `"failure"`, `"neutral"` or `"hold"`.

        Raises:
            ValueError: If `q` is no such part.
        """
        if not is_number(q) or not 0 <= q <= 1:
            raise ValueError(f"quantile of {provider!r} is {shown(q)}; give a number in [0, 1]")
        self._catch_up()
        with self._lock:
            self._take_in_locked()
            sketch = self._sketches.get((provider, outcome))
            value = None if sketch is None else sketch.get_quantile_value(q)
        return None if value is None else float(value)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many attempts have been seen, by provider and outcome."""
        self._catch_up()
        with self._lock:
            self._take_in_locked()
            return {key: int(sketch.count) for key, sketch in self._sketches.items()}

    def merge(self, other: LatencySketches) -> None:
        """Take in all that another has seen, which keeps it.

        Raises:
            ConfigurationError: If it has another relative accuracy; nothing was taken in.
        """
        if not isinstance(other, LatencySketches):
            raise ConfigurationError(f"merge got {shown(other)}; give a LatencySketches")
        if other.relative_accuracy != self.relative_accuracy:
            raise ConfigurationError(
                f"merge got sketches of relative_accuracy {other.relative_accuracy!r}, not "
                f"{self.relative_accuracy!r}; make both with the same"
            )
        taken = other._copies()  # of this class; before our lock, it may be self
        with self._lock:
            self._put_in_locked(taken)

    def __getstate__(self) -> dict[str, Any]:
        return {"relative_accuracy": self.relative_accuracy, "sketches": self._copies()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(relative_accuracy=state["relative_accuracy"])  # type: ignore[misc]  # what unpickling made is empty
        with self._lock:
            self._put_in_locked(state["sketches"])

    def after_fork(self) -> None:
        """In a forked child: the lock that a thread of the parent held is held by nobody."""
        self._lock = Lock()

    def _catch_up(self) -> None:
        for reference in self._chains:
            chain = reference()
            if chain is not None:
                chain.metrics()

    def _take_in_locked(self) -> None:
        heard = self._heard
        while heard:
            provider, outcome, durations = heard.pop(0)
            sketch = self._sketch_locked((provider, outcome))
            for duration in durations:
                sketch.add(duration)

    def _sketch_locked(self, key: tuple[str, str]) -> DDSketch:
        sketch = self._sketches.get(key)
        if sketch is None:
            sketch = self._sketches[key] = self._new(self.relative_accuracy)
        return sketch

    def _copies(self) -> dict[tuple[str, str], DDSketch]:
        self._catch_up()
        copies = {}
        with self._lock:
            self._take_in_locked()
            for key, sketch in self._sketches.items():
                copies[key] = self._new(self.relative_accuracy)
                copies[key].merge(sketch)
        return copies

    def _put_in_locked(self, taken: Mapping[tuple[str, str], DDSketch]) -> None:
        self._take_in_locked()
        for key, sketch in taken.items():
            self._sketch_locked(key).merge(sketch)


class _Ear:
    """Hears a chain for sketches, which it does not keep alive; it leaves when they are gone."""

    __slots__ = ("_chain", "_sketches")

    def __init__(self, sketches: LatencySketches, chain: TimedChain) -> None:
        self._sketches = weakref.ref(sketches)
        self._chain = weakref.ref(chain)
        chain.on_durations(self)

    def __call__(self, provider: str, outcome: str, durations: tuple[float, ...]) -> None:
        sketches = self._sketches()
        if sketches is None:
            self.close()
        else:
            sketches.hear(provider, outcome, durations)

    def close(self) -> None:
        """Be told no more."""
        chain: Any = self._chain()
        if chain is not None:
            chain.off_durations(self)


_ALL: Final[weakref.WeakSet[LatencySketches]] = weakref.WeakSet()


def _free_all() -> None:
    for sketches in tuple(_ALL):
        sketches.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_free_all)
