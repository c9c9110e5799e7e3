"""One provider as a driver sees it: what to call, whom to ask for leave, how to read its errors.

All that can be decided once is decided at registration (`drivers.linking`), and not per call.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, Protocol

import attrs

from fsm_fallback.core.bounds import is_number
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.commands import Command
from fsm_fallback.core.events import Answered
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.info import ModelInfo
from fsm_fallback.core.lease import Lease, Refusal
from fsm_fallback.core.metrics import Told
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.drivers.judging import Flaw
from fsm_fallback.drivers.meters import MANY, Meter, Meters
from fsm_fallback.drivers.upstream import Upstream
from fsm_fallback.providers.classifying import fault_of
from fsm_fallback.providers.faults import classify
from fsm_fallback.providers.reading import PLAIN_READER, Reader
from fsm_fallback.providers.usage import usage_of

if TYPE_CHECKING:
    from fsm_fallback.drivers.aupstream import AsyncUpstream


class Within(NamedTuple):
    """How long a chain that is asked by another may take, in seconds; None for as long as it likes.

    Attributes:
        output: To its answer, or the first output of its stream.
        end: To the end of its stream.
        idle: Between items.
        fair: A fair time for an attempt that these limits cut.
    """

    output: float | None = None
    end: float | None = None
    idle: float | None = None
    fair: float | None = None


NO_LIMIT: Final = Within()

Way = Literal["call", "acall", "stream", "astream"]
"""How a chain is called; each driver knows one."""

WAYS: Final[tuple[Way, ...]] = ("call", "acall", "stream", "astream")


_UNKNOWN: Final = ModelInfo()
_SHUT: Final = frozenset({S.OPEN, S.HALF_OPEN, S.FORCED_OPEN})


class Admits(Protocol):
    """What a driver asks for leave: a `CircuitBreaker`, or a `JointCircuit` of two."""

    is_joint: ClassVar[bool]
    core: Breaker

    def lease_of(self, generation: Generation, number: int, admitted_at: float) -> Lease:
        """The lease of a call that began straight and cannot end so."""
        ...

    def end_straight(self, generation: Generation, number: int, place: int, now: float) -> None:
        """Settle a straight call whose way was closed while it was out."""

    def opens_at(self, now: float) -> float:
        """When a caller may get a lease: `now` if now, infinite if nobody knows."""
        ...

    def admission(self, now: float) -> Lease | Refusal:
        """A lease for one call, or why there is none."""
        ...

    def settle_success(self, lease: Lease, now: float) -> None:
        """Book a success."""
        ...

    def settle_fault(self, lease: Lease, fault: Fault, now: float) -> None:
        """Book what the fault table says."""
        ...

    def settle_release(self, lease: Lease, now: float) -> None:
        """Book nothing."""
        ...

    def begin_output(self, lease: Lease) -> None:
        """Note output of a stream."""

    def note_late(self, lease: Lease, fault: Fault | None) -> None:
        """Record that a call came back after its caller had left."""


class Carried(Exception):  # not an error, its wrapping
    """Carries an error out of a coroutine that cannot raise it: a `StopIteration`."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _is_settled(lease: Lease) -> bool:
    """Of two leases in one, the provider's."""
    return bool(getattr(lease, "model", lease).settled)


def _core_of(link: Link) -> Breaker:
    return link.circuit.core


def _own_meter(link: Link) -> Meter:
    meters = Meters()
    meters.know({link.name: link.info})
    return meters.by_name[link.name]


@attrs.define(eq=False, repr=False)
class Link:
    """A candidate of the core, with everything a driver needs to call it.

    Attributes:
        name: The provider's name.
        context_window: Tokens its model takes; None if unknown.
        circuit: Its breaker.
        core: The machine of that.
        call: The callable of this driver's kind: plain, or returning an awaitable; of a stream,
            what opens it.
        classify: Its own reading of exceptions; None for the fault table.
        timeout_arg: The keyword that takes its time-out; None where it has none.
        reader: Reads the items of its streams.
        info: What is known of its model.
        meter: Counts what it does.
        pending: Where a straight call leaves what it has to tell the meter.
        is_priced: Whether its tokens are counted.
        most_pending: How much may be left there before the call has to see to it.
        answered: By its place in the order of a straight call, makes the record of that when it is
            read.
    """

    is_chain: ClassVar[bool] = False

    name: str
    context_window: int | None
    circuit: Admits
    call: Callable[..., Any]
    classify: Callable[[BaseException], Fault] | None = None
    timeout_arg: str | None = None
    reader: Reader = PLAIN_READER
    info: ModelInfo = _UNKNOWN
    meter: Meter = attrs.field(default=attrs.Factory(_own_meter, takes_self=True))
    pending: deque[Told] = attrs.field(init=False)
    is_priced: bool = attrs.field(init=False)
    most_pending: int = attrs.field(init=False)
    answered: tuple[Answered, ...] = attrs.field(init=False, default=())
    core: Breaker = attrs.field(init=False, default=attrs.Factory(_core_of, takes_self=True))

    def ask(
        self,
        lease: Lease,  # noqa: ARG002  # for links that settle late
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        within: Within | None = None,  # noqa: ARG002  # for a chain
    ) -> Any:
        """Call it: its answer, or what is awaited for that; of a stream, the stream.

        The chain is no argument: errors lead back to this frame, and the chain keeps them.

        Args:
            lease: What it is called on.
            args: The caller's.
            kwargs: As above.
            timeout: Seconds to its answer, or the first output of its stream.
            within: The limits of the call, for a chain.
        """
        return self.call(*args, **self.keywords(kwargs, timeout))

    def limits(self, chain: Chain, timeout: float | None) -> Within | None:  # noqa: ARG002  # for a chain
        """What a chain has to keep; None for any other."""
        return None

    def __attrs_post_init__(self) -> None:
        self.pending = self.meter.pending
        self.is_priced = self.info.price is not None
        self.most_pending = 0 if self.is_priced else MANY

    def __repr__(self) -> str:
        return f"<candidate {self.name!r}>"

    def opens_at(self, now: float) -> float:
        """When its breaker may admit."""
        if self.core.straight is not None and not self.circuit.is_joint:
            return now
        return self.circuit.opens_at(now)

    def latency(self, now: float) -> float | None:
        """Seconds an answer takes lately."""
        return self.meter.latency(now)

    @property
    def in_flight(self) -> int:
        """Calls that are out."""
        return self.core.in_flight

    def success_ratio(self, now: float) -> float | None:
        """Answers among its latest attempts, what failed forgiven with time."""
        return self.meter.success_ratio(now)

    @property
    def recovered_at(self) -> float | None:
        """When a round of probes closed its breaker; None where none did, infinite while open."""
        core = self.core
        if core.state is S.CLOSED:
            return core.healed_at
        return math.inf if core.state in _SHUT else None

    def upstream(self) -> Upstream:
        """Where the stream of an attempt is read from."""
        return Upstream(self.name)

    def aupstream(self, lease: Lease) -> AsyncUpstream:  # noqa: ARG002  # for links that settle late
        """As `upstream`, awaited."""
        from fsm_fallback.drivers.aupstream import OwnKind  # noqa: PLC0415  # anyio where awaited

        return OwnKind(self.name)

    def keywords(self, kwargs: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        """The keywords of the call, with its time-out if it takes one; the caller's stay as is.

        A shorter time-out that the caller gave stands.
        """
        if timeout is None or self.timeout_arg is None:
            return kwargs
        given = kwargs.get(self.timeout_arg)
        if is_number(given) and given <= timeout:
            return kwargs
        return {**kwargs, self.timeout_arg: timeout}

    # What came of it ------------------------------------------------------------------------

    def take_error(
        self, chain: Chain, lease: Lease, error: Exception, now: float, *, midway: bool = False
    ) -> Command:
        """Tell breaker and chain of an exception, in the words of the fault table.

        `midway`: in a stream that had given an item; a connection lost then is a stream cut.
        """
        try:
            meant = self.fault_of(error)
        except BaseException:  # Ctrl-C in a classifier
            self.abandon(chain, lease, now)
            raise
        if midway and meant.kind is FaultKind.CONNECT:
            meant = Fault(FaultKind.STREAM, message=meant.message)
        return self.take_fault(chain, lease, meant, error, now)

    def tell(self, chain: Chain, asked: Any) -> None:
        """Tell the chain what is known of a stream that ends; `asked`: what `ask` gave."""

    def take_fault(
        self,
        chain: Chain,
        lease: Lease,
        fault: Fault,
        error: Exception,
        now: float,
        answered: float | None = None,
    ) -> Command:
        """Tell breaker and chain of a fault; the breaker first: the chain asks how it stands.

        `answered`: when the provider came back, if not now.
        """
        weighed = fault if chain.deadline is None else chain.weighed(fault, now)
        self.circuit.settle_fault(lease, weighed, now if answered is None else answered)
        return chain.fault(fault, error, now)[1]

    def take_time_out(
        self, chain: Chain, lease: Lease, now: float, cause: Exception | None = None
    ) -> Command:
        """Tell breaker and chain that the timer rang. `cause`: what the provider made of that."""
        fault, error = chain.lateness(now)
        error.__cause__ = cause
        return self.take_fault(chain, lease, fault, error, now)

    def take_flaw(
        self,
        chain: Chain,
        lease: Lease,
        flaw: Flaw,
        answer: object,
        now: float,
        answered: float,
    ) -> Command:
        """Tell breaker and chain of an answer that was not accepted, with the tokens it took.

        `answered`: when it came; since then time has gone by that is not the provider's.
        """
        chain.usage = usage_of(answer)
        return self.take_fault(chain, lease, *flaw, now, answered)

    def abandon(self, chain: Chain, lease: Lease, now: float) -> None:
        """Tell breaker and chain that the caller left."""
        self.circuit.settle_release(lease, now)
        chain.abandon(now)

    def fault_of(self, error: Exception) -> Fault:
        """What an exception of this provider means; a classifier that raises means UNKNOWN."""
        if self.classify is None:
            return classify(error)
        return fault_of(error, self.classify, f"provider {self.name!r}")

    def came_late(self, lease: Lease, error: Exception | None) -> None:
        """Record that a call came back whose caller had left."""
        self.circuit.note_late(lease, None if error is None else self.fault_of(error))

    def never_began(self, lease: Lease) -> None:
        """Note that a call was cut before there was a thread for it."""


@attrs.define(eq=False, repr=False)
class ThreadLink(Link):
    """A provider with plain calls only, in a chain that is awaited."""

    waiting: list[Lease] = attrs.field(init=False, factory=list)
    """Leases whose calls were cut while they waited for a thread, and that are out."""

    def ask(
        self,
        lease: Lease,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        within: Within | None = None,  # noqa: ARG002  # as in Link
    ) -> Any:
        """The call, in a worker thread."""
        from fsm_fallback.drivers.worker import in_thread  # noqa: PLC0415  # anyio where awaited

        def came_late(value: Any, error: Exception | None) -> None:
            del value
            self.came_late(lease, error)

        async def asked() -> Any:
            never_began = functools.partial(self.never_began, lease)
            keywords = self.keywords(kwargs, timeout)
            value = await in_thread(self.call, args, keywords, came_late, never_began)
            # A plain function around an awaited call of an SDK.
            return await value if inspect.isawaitable(value) else value

        return asked()

    def take_error(
        self, chain: Chain, lease: Lease, error: Exception, now: float, *, midway: bool = False
    ) -> Command:
        """As in `Link`."""
        if self._waited(lease):
            return self._take_want_of_thread(chain, lease, error, now)
        if isinstance(error, Carried):
            error = error.error
        return super().take_error(chain, lease, error, now, midway=midway)

    def never_began(self, lease: Lease) -> None:
        """Note that a call was cut before there was a thread for it."""
        self.waiting = [each for each in self.waiting if not _is_settled(each)] + [lease]

    def take_time_out(
        self, chain: Chain, lease: Lease, now: float, cause: Exception | None = None
    ) -> Command:
        """As in `Link`; a provider that was not asked for want of a thread is not to blame."""
        if self._waited(lease):
            return self._take_want_of_thread(chain, lease, None, now)
        return super().take_time_out(chain, lease, now, cause)

    def _waited(self, lease: Lease) -> bool:
        return any(each is lease for each in self.waiting)

    def _take_want_of_thread(
        self, chain: Chain, lease: Lease, error: Exception | None, now: float
    ) -> Command:
        words = f"no worker thread was free for {self.name!r} within its time"
        fault = Fault(FaultKind.LOCAL, message=words)
        return self.take_fault(chain, lease, fault, error or TimeoutError(words), now)


@attrs.define(eq=False, repr=False)
class ThreadStreamLink(ThreadLink):
    """As `ThreadLink`, of streams."""

    def ask(
        self,
        lease: Lease,  # noqa: ARG002  # as in Link
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        within: Within | None = None,  # noqa: ARG002  # as in Link
    ) -> Any:
        """The call, bound, for the thread that opens the stream."""
        return functools.partial(self.call, *args, **self.keywords(kwargs, timeout))

    def aupstream(self, lease: Lease) -> AsyncUpstream:
        """As in `Link`, each step in a worker thread."""
        from fsm_fallback.drivers.aupstream import InThreads  # noqa: PLC0415  # as above

        return InThreads(self, lease)
