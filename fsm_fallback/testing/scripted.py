"""A provider that plays a script: answers, exceptions, delays and hangs, in virtual time.

It decides what the n-th call gets and how long that takes on a `ManualClock`. It knows nothing of
chains, breakers or drivers; it never sleeps.

Synchronous and asynchronous calls take the same virtual time and end the same way. A synchronous
call is given its time-out and stops there; an asynchronous one moves the clock from timer to timer,
so that whoever set a timer cancels it at exactly that instant. An answer that is due at the very
instant of the time-out wins in both.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import attrs

from fsm_fallback.core.bounds import refuse_problems, shown
from fsm_fallback.testing.outage import Outages
from fsm_fallback.testing.scripted_stream import AwaitedStream, PlainStream, ScriptedStream, wait
from fsm_fallback.testing.steps import Delay, Hang, Stream, deliver, is_failing, unfold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fsm_fallback.core.info import ModelInfo
    from fsm_fallback.core.outcome import Fault
    from fsm_fallback.core.prices import Price
    from fsm_fallback.testing.clock import ManualClock
    from fsm_fallback.testing.outage import Outage


@attrs.frozen
class ScriptedCall:
    """One call that a `ScriptedProvider` received.

    `at` is the time on its clock, None without one; `timeout` the seconds it was given, None if
    none.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    at: float | None
    timeout: float | None


S = TypeVar("S", bound=ScriptedStream)
Exhausted: TypeAlias = Literal["fail", "repeat"]
Failing: TypeAlias = BaseException | type[BaseException] | Delay | Hang
_EXHAUSTED: Final = ("fail", "repeat")


class ScriptedProvider:
    """A `ModelProvider` for tests whose n-th call plays the n-th step of a script.

    Args:
        name: Its name in the chain.
        script: One step per call: an exception (instance or class) is raised, `Delay` and `Hang`
            take time, `Value(...)` returns what it holds, `Stream(...)` is for `stream` and
            `astream`, and anything else is returned as it is.
        clock: The clock whose time delays take. Needed by `Delay`; give the chain the same one.
        exhausted: After the last step, "fail" raises an `AssertionError` that names provider and
            call; "repeat" plays the last step again.
        model: As in `ModelInfo`, like the following four.
        account: Whose credit and keys it uses.
        capabilities: What it can do, such as "tools".
        context_window: Tokens it takes at most.
        price: What it costs.
        classify: As for `@provider`: turns an exception of it into a `Fault`.

    Raises:
        ConfigurationError: If the name is empty, a `Delay` has no clock, the script is empty though
            it is to be repeated, or `exhausted` or `capabilities` is no such thing.

    Safe to call from many threads and tasks: each call gets its own step.
    """

    timeout_arg: Final = "timeout"

    def __init__(
        self,
        name: str,
        script: Iterable[object] = (),
        *,
        clock: ManualClock | None = None,
        exhausted: Exhausted = "fail",
        model: str | None = None,
        account: str | None = None,
        capabilities: Iterable[str] = (),
        context_window: int | None = None,
        price: Price | None = None,
        classify: Callable[[BaseException], Fault] | None = None,
    ) -> None:
        from fsm_fallback.core.info import ModelInfo  # noqa: PLC0415  # the clock and the emulator do without providers

        steps = tuple(script)
        refuse_problems(_problems(name, steps, clock, exhausted, capabilities))
        self.name: Final = name
        self.info: Final[ModelInfo] = ModelInfo(
            model=model,
            account=account,
            capabilities=frozenset(capabilities),
            context_window=context_window,
            price=price,
        )
        self.classify: Final = classify
        self._steps: Final = steps
        self._clock: Final = clock
        self._exhausted: Final = exhausted
        self._calls: list[ScriptedCall] = []
        self._streams: list[ScriptedStream] = []
        self._played = 0
        self._outages: Outages[Failing] = Outages()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"ScriptedProvider({self.name!r}, {len(self._steps)} steps)"

    @property
    def calls(self) -> list[ScriptedCall]:
        """The calls received so far, in order; a copy."""
        with self._lock:
            return list(self._calls)

    @property
    def pending(self) -> int:
        """How many steps of the script are still to be played."""
        with self._lock:
            return max(0, len(self._steps) - self._played)

    def outage(self, step: Failing | None = None) -> Outage:
        """Begin an outage: until it ends every call gets one step, and the script waits.

        Calls under way are not affected. Outages may overlap: the latest that is on counts.

        Args:
            step: An exception (instance or class), a `Hang`, or a `Delay` before either or before
                an answer that comes late; None for a `ConnectionError`.

        Returns:
            The outage, for a `with` block or for its `end`.

        Raises:
            ConfigurationError: If the step is an answer, or a `Delay` has no clock; no outage has
                begun.
        """
        if step is None:
            step = ConnectionError(f"provider {self.name!r} is in an outage")
        refuse_problems(_outage_problems(step, self._clock))
        return self._outages.begin(step)

    def call(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Play the next step.

        Args:
            *args: Recorded, not read, like `kwargs`.
            timeout: Seconds after which to give up; None waits without end.
            **kwargs: See `args`.

        Raises:
            TimeoutError: If the step takes longer than `timeout`. The clock, if any, has then
                moved by exactly `timeout`.
            AssertionError: If the script is exhausted, or a hang has no time-out to end it.
        """
        started_at, step = self._take(args, kwargs, timeout)
        seconds, result = unfold(step)
        self._refuse_stream(result)
        # Instants are compared, as timers are: a sum may round two durations to one instant.
        if timeout is not None and started_at + timeout < started_at + seconds:
            self._spend(started_at, timeout)
            raise TimeoutError(f"provider {self.name!r} did not answer in {timeout!r} s")
        if math.isinf(seconds):
            raise AssertionError(
                f"provider {self.name!r} hangs in a synchronous call without a timeout, "
                "which would never end; pass one, such as an attempt timeout"
            )
        self._spend(started_at, seconds)
        return deliver(result)

    async def acall(
        self,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109  # the keyword of `call`, recorded alike
        **kwargs: Any,
    ) -> Any:
        """Play the next step; whoever awaits it ends it early by cancelling.

        Args:
            *args: Recorded, not read, like `kwargs`.
            timeout: Recorded only: who sets a limit on awaited work cancels it.
            **kwargs: See `args`.

        Raises:
            AssertionError: If the script is exhausted.
        """
        _, step = self._take(args, kwargs, timeout)
        seconds, result = unfold(step)
        self._refuse_stream(result)
        if seconds > 0:
            await wait(self._clock, seconds)
        return deliver(result)

    def stream(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> PlainStream:
        """Begin the stream of the next step, a `Stream`; any other step but an exception is wrong.

        Args:
            *args: Recorded, not read, like `kwargs`.
            timeout: Seconds to its first item, after which to give up; None waits without end.
            **kwargs: See `args`.

        Raises:
            AssertionError: If the script is exhausted, or its step is no stream.
        """
        began, items = self._take_stream(args, kwargs, timeout)
        return self._note(PlainStream(self.name, items, self._clock, began, timeout))

    def astream(
        self,
        *args: Any,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> AwaitedStream:
        """As `stream`; whoever awaits it ends it early by cancelling, and `timeout` is recorded."""
        _, items = self._take_stream(args, kwargs, timeout)
        return self._note(AwaitedStream(self.name, items, self._clock))

    @property
    def beyond(self) -> int:
        """How many calls were past the script, and got an `AssertionError`."""
        with self._lock:
            past = max(0, self._played - len(self._steps))
        return past if self._exhausted == "fail" else 0

    @property
    def streams(self) -> list[ScriptedStream]:
        """The streams begun so far, in order: what each gave, and how often it was closed."""
        with self._lock:
            return list(self._streams)

    def _note(self, stream: S) -> S:
        with self._lock:
            self._streams.append(stream)
        return stream

    def _take_stream(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> tuple[float, tuple[object, ...]]:
        began, step = self._take(args, kwargs, timeout)
        seconds, result = unfold(step)
        if isinstance(result, Stream):
            first = [Delay(seconds, then=item) for item in result.items[:1]]
            return began, (*first, *result.items[1:]) if seconds else result.items
        if isinstance(step, (Delay, Hang)) or is_failing(result):
            return began, (step,)  # the stream begins with it
        raise AssertionError(
            f"provider {self.name!r} is asked for a stream, and its step is {shown(step)}; "
            "script a Stream"
        )

    def _take(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> tuple[float, object]:
        at = None if self._clock is None else self._clock()
        started_at = 0.0 if at is None else at
        with self._lock:
            self._calls.append(ScriptedCall(args, kwargs, at, timeout))
            number = len(self._calls)
            failing = self._outages.step
            if failing is not None:
                return started_at, failing
            self._played += 1
            position = self._played
        if position <= len(self._steps):
            return started_at, self._steps[position - 1]
        if self._exhausted == "repeat":
            return started_at, self._steps[-1]
        raise AssertionError(
            f"call {number} of provider {self.name!r} is past its script of {len(self._steps)} "
            "steps; add steps or pass exhausted='repeat'"
        )

    def _refuse_stream(self, step: object) -> None:
        if isinstance(step, Stream):
            raise AssertionError(  # noqa: TRY004  # the test is wrong, not a type
                f"provider {self.name!r} is asked for an answer, and its step is a Stream; ask it "
                "with stream or astream, or script an answer"
            )

    def _spend(self, started_at: float, seconds: float) -> None:
        if self._clock is not None and seconds > 0:
            self._clock.advance_to(started_at + seconds)


def _problems(
    name: object,
    steps: tuple[object, ...],
    clock: ManualClock | None,
    exhausted: str,
    capabilities: Iterable[str],
) -> Iterator[str]:
    if not isinstance(name, str) or not name:
        yield f"name is {name!r}; give a non-empty string"
    if exhausted not in _EXHAUSTED:
        yield f"exhausted is {exhausted!r}; give one of {', '.join(_EXHAUSTED)}"
    if not steps and exhausted == "repeat":
        yield "script is empty, so there is no step to repeat; add one"
    inner = [item for step in steps if isinstance(step, Stream) for item in step.items]
    if clock is None and any(isinstance(step, Delay) for step in (*steps, *inner)):
        yield "script has a Delay, which takes the time of a clock; give clock=ManualClock()"
    if isinstance(capabilities, str):
        yield f"capabilities is {capabilities!r}; give a set of strings"


def _outage_problems(step: object, clock: ManualClock | None) -> Iterator[str]:
    if not isinstance(step, (Delay, Hang)) and not is_failing(step):
        yield f"outage.step is {shown(step)}; give an exception, Hang() or a Delay"
    if clock is None and isinstance(step, Delay):
        yield "outage.step is a Delay, which takes the time of a clock; give clock=ManualClock()"
