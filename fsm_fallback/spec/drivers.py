"""Drivers: loops that do what a chain asks, held against every script of a small scope.

A driver is `drive(walk, chain, command, now, args, kwargs)`, plain or a coroutine function, as
`fsm_fallback.drivers.sync.drive` and `aio.drive` are. It decides nothing, so it can only forget: to
settle a lease, to tell the chain, to hand an error over as it is. Breakers, chains and providers
are real; each provider answers, fails, blames the request, or is interrupted.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, NamedTuple

import attrs

from fsm_fallback.circuit import CircuitBreaker
from fsm_fallback.core.bounds import is_count, refuse_problems, shown
from fsm_fallback.core.breaker_rows import BreakerState, S
from fsm_fallback.core.chain_rows import FINAL, ChainState
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.strategies import CallOptions, Sequential
from fsm_fallback.core.windows import CountWindow
from fsm_fallback.drivers.link import Link
from fsm_fallback.drivers.walk import Walk
from fsm_fallback.errors import AllProvidersFailed, ChainFailed, ConfigurationError, RequestRejected
from fsm_fallback.spec.parts import Docket, name_of
from fsm_fallback.spec.patience import SECONDS_OF_PATIENCE, Patience
from fsm_fallback.spec.properties import Promises
from fsm_fallback.spec.verdict import Verdict

Drive = Callable[..., Any]

NAMES: Final = ("a", "b", "c")
BIRTHS: Final = (BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN)
ENDINGS: Final = ("answers", "fails", "blames the request", "is interrupted")
_ARGUMENTS: Final = 6
_QUESTION: Final = object()
_CONFIG: Final = BreakerConfig(window=CountWindow(2), minimum_calls=2, jitter=0.0)


class Script(NamedTuple):
    """One provider of a case: how its breaker begins, and how its call ends."""

    name: str
    birth: BreakerState
    ending: str


class Counted(NamedTuple):
    """What a breaker came to."""

    state: BreakerState
    calls: int
    failures: int
    in_flight: int


class DriverAct(NamedTuple):
    """One call that a driver drove to its end.

    Attributes:
        scripts: The providers, in order.
        called: Whom it called, in order.
        value: What it returned.
        error: What it raised; None if nothing.
        answer: The object that the provider which answers gave.
        raised: The exceptions that providers raised, in order.
        ended: Whether it came to an end.
        state: Where the chain stands.
        counted: What each breaker came to.
    """

    scripts: tuple[Script, ...]
    called: tuple[str, ...]
    value: object
    error: BaseException | None
    answer: object
    raised: tuple[BaseException, ...]
    ended: bool
    state: ChainState
    counted: tuple[Counted, ...]

    @property
    def trigger(self) -> str:
        """Drivers have one."""
        return "drive"

    @property
    def expected(self) -> tuple[Script, ...]:
        """Whom a bystander would expect to be called, in order."""
        expected: list[Script] = []
        for script in self.scripts:
            if script.birth is not BreakerState.OPEN:
                expected.append(script)
                if script.ending != "fails":
                    break
        return tuple(expected)

    def __str__(self) -> str:
        scene = "; ".join(
            f"{script.name!r} is {script.birth.value} and {script.ending}"
            for script in self.scripts
        )
        came = repr(self.value) if self.error is None else type(self.error).__name__
        came = came if self.ended else "no end"
        left = [
            f"{script.name!r} has {counted.in_flight} lease(s) out"
            for script, counted in zip(self.scripts, self.counted, strict=True)
            if counted.in_flight
        ]
        told = ", ".join(self.called) or "nobody"
        parts = [f"called {told}", f"came to {came}", f"the chain is {self.state.value}", *left]
        return f"{scene} -> {'; '.join(parts)}"


promise: Final = Promises("driver")


@promise.obliges("driver-settles-every-lease", guarantee=3)
def driver_settles_every_lease(act: DriverAct) -> bool:
    """Whatever is raised, every lease that was granted comes back."""
    return not any(counted.in_flight for counted in act.counted)


@promise.obliges("driver-calls-as-told", guarantee=1)
def driver_calls_as_told(act: DriverAct) -> bool:
    """Providers are called in order, on a lease, with the caller's own arguments, none later."""
    return act.called == tuple(script.name for script in act.expected)


@promise.obliges("driver-books-what-happened", guarantee=8)
def driver_books_what_happened(act: DriverAct) -> bool:
    """An answer is booked as a success, a fault as a failure, and all else as nothing."""
    called = {script.name for script in act.expected}
    return all(
        (counted.state, counted.calls, counted.failures)
        == _booked(script, called=script.name in called)
        for script, counted in zip(act.scripts, act.counted, strict=True)
    )


@promise.obliges("driver-hands-over", guarantee=2)
def driver_hands_over(act: DriverAct) -> bool:
    """An answer is returned, a failure raised whole, an interruption passed on as it is."""
    last = act.expected[-1].ending if act.expected else "fails"
    match last:
        case "answers":
            return act.error is None and act.value is act.answer
        case "is interrupted":
            return bool(act.raised) and act.error is act.raised[-1]
        case "blames the request":
            return isinstance(act.error, RequestRejected) and _holds_all(act)
        case _:
            return isinstance(act.error, AllProvidersFailed) and _holds_all(act)


@promise.obliges("driver-ends", guarantee=9)
def driver_ends(act: DriverAct) -> bool:
    """A driver comes to an end when its providers do."""
    return act.ended


@promise.obliges("driver-ends-the-chain", guarantee=7)
def driver_ends_the_chain(act: DriverAct) -> bool:
    """However a call ends, its chain hears of it."""
    return act.state in FINAL


DRIVER_PROPERTIES: Final = tuple(promise.all.values())


def check_driver(
    drive: Drive, providers: int = 2, *, patience: float = SECONDS_OF_PATIENCE
) -> list[Verdict]:
    """Hold a driver against every script of a few providers.

    Args:
        drive: `drive(walk, chain, command, now, args, kwargs)`, plain or a coroutine function.
        providers: How many providers there are at most, 1 to 3.
        patience: Seconds one call may take.

    Returns:
        A verdict for each of `DRIVER_PROPERTIES`. Where it does not end the check does, there.

    Raises:
        ConfigurationError: Naming every argument that cannot work.
    """
    refuse_problems(_problems(drive, providers))
    docket = Docket(name_of(drive), DRIVER_PROPERTIES)
    with Patience(patience) as patient:
        for scripts in _scripts(providers):
            act = _driven(drive, scripts, patient)
            docket.hear(act)
            if not act.ended:
                break  # each further call could take as long
    return docket.verdicts()


def _scripts(providers: int) -> Iterator[tuple[Script, ...]]:
    """Every script of the scope, those of few providers first."""
    for count in range(1, providers + 1):
        parts = [
            [Script(name, *rest) for rest in itertools.product(BIRTHS, ENDINGS)]
            for name in NAMES[:count]
        ]
        yield from itertools.product(*parts)


def _driven(drive: Drive, scripts: tuple[Script, ...], patient: Patience) -> DriverAct:
    """One call, from the first command to whatever it comes to."""
    heard: list[str] = []
    raised: list[BaseException] = []
    answers: dict[str, object] = {}
    called: object = getattr(drive, "__call__", None)  # noqa: B004  # an object's may be async
    awaited = inspect.iscoroutinefunction(drive) or inspect.iscoroutinefunction(called)
    links = []
    for script in scripts:
        config = attrs.evolve(_CONFIG, initial_state=script.birth)
        circuit = CircuitBreaker(script.name, config, clock=float, sample=lambda: 0.5)
        answers[script.name] = object()
        play = _play(script, answers[script.name], heard, raised, awaited=awaited)
        links.append(Link(script.name, None, circuit, play, _classify))
    walk = Walk(
        "chain",
        tuple(links),
        Sequential(),
        CallOptions(),
        None,
        float,
        lambda: 0.5,
        None,
        itertools.count(1),
    )
    chain, command = walk.begun(walk.order(0.0), 0.0)
    reply = patient.ask(
        _run, drive, (walk, chain, command, 0.0, (_QUESTION,), {"topic": _QUESTION})
    )
    counted = []
    for link in links:
        snapshot = link.core.snapshot(0.0)
        counted.append(
            Counted(snapshot.state, snapshot.calls, snapshot.failures, snapshot.in_flight)
        )
    answer = answers.get(heard[-1]) if heard else None
    return DriverAct(
        scripts,
        tuple(heard),
        reply.value,
        _refused(reply.error),
        answer,
        tuple(raised),
        reply.ended,
        chain.state,
        tuple(counted),
    )


def _run(drive: Drive, arguments: tuple[Any, ...]) -> object:
    """Let a driver drive, and an awaited one without an event loop."""
    came = drive(*arguments)
    if not isinstance(came, Coroutine):
        return came
    try:
        came.send(None)
    except StopIteration as end:
        return end.value
    came.close()
    raise ConfigurationError(
        f"driver {name_of(drive)} awaits something beside its providers; give one that awaits "
        "nothing else, so that it runs without an event loop"
    )


def _refused(error: BaseException | None) -> BaseException | None:
    """What a driver raised; raises what was refused instead of driven."""
    if isinstance(error, ConfigurationError):
        raise error
    return error


def _play(
    script: Script, answer: object, heard: list[str], raised: list[BaseException], *, awaited: bool
) -> Callable[[], Any]:
    def call(*args: object, **kwargs: object) -> object:
        asked = (args, kwargs) == ((_QUESTION,), {"topic": _QUESTION})
        heard.append(script.name if asked else f"{script.name} with other arguments")
        if script.ending == "answers":
            return answer
        interruption = asyncio.CancelledError if awaited else KeyboardInterrupt
        kinds = {"is interrupted": interruption, "blames the request": ValueError}
        raised.append(kinds.get(script.ending, RuntimeError)(script.ending))
        raise raised[-1]

    async def acall(*args: object, **kwargs: object) -> object:
        return call(*args, **kwargs)

    return acall if awaited else call


def _classify(error: BaseException) -> Fault:
    return Fault(FaultKind.CALLER if isinstance(error, ValueError) else FaultKind.TRANSIENT)


def _booked(script: Script, *, called: bool) -> tuple[BreakerState, int, int]:
    """What a breaker comes to: its state, and the outcomes it counts."""
    if not called:
        return script.birth if script.birth is not S.HALF_OPEN else S.OPEN, 0, 0
    if script.ending in ("is interrupted", "blames the request"):
        return script.birth, 0, 0
    failed = script.ending == "fails"
    if script.birth is S.HALF_OPEN:  # one probe decides
        return (S.OPEN if failed else S.CLOSED), 0, 0
    return S.CLOSED, 1, int(failed)


def _holds_all(act: DriverAct) -> bool:
    """Whether the error holds what providers raised, as objects and in order."""
    if not isinstance(act.error, ChainFailed):
        return False
    if not act.raised:
        return len(act.error.exceptions) == len(act.scripts)
    return len(act.error.exceptions) == len(act.raised) and all(
        found is raised for found, raised in zip(act.error.exceptions, act.raised, strict=True)
    )


def _takes_all(drive: Callable[..., Any]) -> bool:
    try:
        inspect.signature(drive).bind(*range(_ARGUMENTS))
    except (TypeError, ValueError):
        return False
    return True


def _signature(drive: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(drive))
    except ValueError:  # written in C, and tells nothing of itself
        return "(...)"


def _problems(drive: object, providers: object) -> Iterator[str]:
    if not callable(drive) or isinstance(drive, type):
        yield (
            f"check_driver.drive is {shown(drive)}; give drive(walk, chain, command, now, args, "
            "kwargs)"
        )
    elif not _takes_all(drive):
        yield (
            f"check_driver.drive is {name_of(drive)}{_signature(drive)}; give "
            "drive(walk, chain, command, now, args, kwargs)"
        )
    if not is_count(providers, 1) or not isinstance(providers, int) or providers > len(NAMES):
        yield f"check_driver.providers is {shown(providers)}; give 1 to {len(NAMES)}"
