"""A guarded call in all its forms: plain, awaited, a generator, an async generator.

Each asks its circuit for leave, makes the call, and settles what came of it, once, however it ends:
an answer is a success unless `accept` says no, an `Exception` is what the classifier says, and what
is no `Exception` (cancelled, interrupted, closed early) leaves no evidence. The exception of a call
is always its own. What is booked is for the table to decide.

Calls that go straight (`core.straight`) draw their numbers; all others have a lease.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.generation import Generation
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.straight import watches_time
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.classifying import Classifier, fault_of, log_fault_of_user
from fsm_fallback.providers.faults import classify
from fsm_fallback.providers.protocol import slot_of

if TYPE_CHECKING:
    from fsm_fallback.circuit.breaker import CircuitBreaker

_REFUSED = Fault(FaultKind.BAD_RESPONSE, message="accept said no")


class Guard:
    """How the calls behind a circuit are made and read.

    Args:
        circuit: Whom to ask.
        classify: Reads exceptions; None for the fault table.
        accept: Judges results; None accepts all.
    """

    __slots__ = ("_accept", "_circuit", "_classify", "_core")

    def __init__(
        self,
        circuit: CircuitBreaker,
        classify: Classifier | None = None,
        accept: Callable[[Any], bool] | None = None,
    ) -> None:
        self._circuit = circuit
        self._core = circuit.core
        self._classify = classify
        self._accept = accept

    def with_judges(
        self, classify: Classifier | None, accept: Callable[[Any], bool] | None
    ) -> Guard:
        """The same, but what is not None judges instead."""
        return Guard(
            self._circuit,
            self._classify if classify is None else classify,
            self._accept if accept is None else accept,
        )

    # Forms ------------------------------------------------------------------------------------

    def guarded(self, function: Any) -> Any:
        """A function that asks first, of the same kind as the one given.

        Raises:
            ConfigurationError: If it is none, or a generator where results are to be judged.
        """
        name = self._circuit.name
        if not callable(function) or isinstance(function, (classmethod, staticmethod)):
            raise ConfigurationError(
                f"breaker {name!r} decorates {shown(function)}; give it a function"
            )
        kind = slot_of(function)
        if self._accept is not None and kind in ("stream", "astream"):
            raise ConfigurationError(
                f"breaker {name!r} has accept=, which cannot judge a stream; leave it out, or "
                "decorate a function that returns one answer"
            )
        return _FORMS[kind](self, function)

    def call(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """One plain call."""
        generation = self._core.straight
        if generation is None or self._accept is not None:
            return self._call_watched(function, args, kwargs)
        number = next(generation.admissions)
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            self.settle_error(self._circuit.lease_of(generation, number), error)
            raise
        place = next(generation.places)
        if self._core.straight is not generation:
            self._circuit.end_straight(generation, number, place)
        return value

    async def acall(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """One awaited call."""
        generation = self._core.straight
        if generation is None or self._accept is not None:
            return await self._acall_watched(function, args, kwargs)
        number = next(generation.admissions)
        try:
            value = await function(*args, **kwargs)
        except BaseException as error:
            self.settle_error(self._circuit.lease_of(generation, number), error)
            raise
        place = next(generation.places)
        if self._core.straight is not generation:
            self._circuit.end_straight(generation, number, place)
        return value

    def _call_watched(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """One plain call where time matters, or by a lease."""
        began = self._circuit.clock()
        generation = self._core.timed
        number = 0 if generation is None or self._accept is not None else generation.enter(began)
        if generation is None or not number:
            return self._call_by_lease(function, args, kwargs)
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            self.settle_error(self._circuit.lease_of(generation, number, began), error)
            raise
        self._leave(generation, number, began)
        return value

    async def _acall_watched(
        self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """One awaited call where time matters, or by a lease."""
        began = self._circuit.clock()
        generation = self._core.timed
        number = 0 if generation is None or self._accept is not None else generation.enter(began)
        if generation is None or not number:
            return await self._acall_by_lease(function, args, kwargs)
        try:
            value = await function(*args, **kwargs)
        except BaseException as error:
            self.settle_error(self._circuit.lease_of(generation, number, began), error)
            raise
        self._leave(generation, number, began)
        return value

    def _leave(self, generation: Generation, number: int, began: float) -> None:
        """Settle a success where time matters."""
        try:
            ended = self._circuit.clock()
        except BaseException:
            self._circuit.lease_of(generation, number, began)  # dropped, and so released
            raise
        place = generation.leave(number, ended)
        if place < 0:
            lease = self._circuit.lease_of(generation, number, began)
            self._circuit.settle_success(lease, ended)
        elif self._core.timed is not generation:
            self._circuit.end_straight(generation, number, place, ended)

    def _call_by_lease(
        self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        lease = self._circuit.acquire()
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            self.settle_error(lease, error)
            raise
        self.settle_answer(lease, value)
        return value

    async def _acall_by_lease(
        self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        lease = self._circuit.acquire()
        try:
            value = await function(*args, **kwargs)
        except BaseException as error:
            self.settle_error(lease, error)
            raise
        self.settle_answer(lease, value)
        return value

    # Settling ---------------------------------------------------------------------------------

    def settle_error(self, lease: Lease, error: BaseException) -> None:
        """Settle as the classifier reads an exception; no evidence if it is no `Exception`."""
        if not isinstance(error, Exception):
            self._circuit.settle_release(lease)
            return
        try:
            if self._classify is None:
                fault = classify(error)
            else:
                fault = fault_of(error, self._classify, f"breaker {self._circuit.name!r}")
        except BaseException:  # Ctrl-C in a classifier
            self._circuit.settle_release(lease)
            raise
        self._circuit.settle_fault(lease, fault)

    def settle_answer(self, lease: Lease, value: object) -> None:
        """Settle as `accept` judges the result of a call."""
        accepted = True
        if self._accept is not None:
            try:
                accepted = bool(self._accept(value))
            except Exception as raised:  # noqa: BLE001  # the user's code, and no call's business
                log_fault_of_user("accept of breaker %r raised %s", self._circuit.name, raised)
                self._circuit.settle_release(lease)
                return
            except BaseException:  # Ctrl-C in it
                self._circuit.settle_release(lease)
                raise
        if accepted:
            self._circuit.settle_success(lease)
        else:
            self._circuit.settle_failure(lease, _REFUSED)

    # Functions --------------------------------------------------------------------------------

    def plain_function(self, function: Callable[..., Any]) -> Any:
        """A plain function, guarded."""
        guarded_call = self._call_watched if watches_time(self._core.config) else self.call

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return guarded_call(function, args, kwargs)

        return call

    def coroutine_function(self, function: Callable[..., Any]) -> Any:
        """A coroutine function, guarded."""
        guarded_call = self._acall_watched if watches_time(self._core.config) else self.acall

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await guarded_call(function, args, kwargs)

        return call

    def generator_function(self, function: Callable[..., Any]) -> Any:
        """A generator function, guarded until its stream ends."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            lease = self._circuit.acquire()
            try:
                result = yield from _relayed(function(*args, **kwargs), lease)
            except BaseException as error:
                self.settle_error(lease, error)
                raise
            lease.succeed()
            return result

        return call

    def async_generator_function(self, function: Callable[..., Any]) -> Any:
        """An async generator function, guarded until its stream ends."""

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            lease = self._circuit.acquire()
            try:
                stream: AsyncGenerator[Any, Any] = function(*args, **kwargs)
                step: Callable[[], Any] = stream.__anext__
                while True:
                    try:
                        item = await step()
                    except StopAsyncIteration:
                        break
                    finally:
                        del step  # it may hold what was thrown, whose traceback holds this frame
                    if lease.duration is None:
                        lease.begin_output()
                    try:
                        sent = yield item
                    except GeneratorExit:
                        await stream.aclose()
                        raise
                    except BaseException as thrown:  # noqa: BLE001  # as `yield from` does
                        step = partial(stream.athrow, thrown)
                    else:
                        step = partial(stream.asend, sent)
            except BaseException as error:
                self.settle_error(lease, error)
                raise
            lease.succeed()

        return call


_FORMS: Final[Mapping[str, Callable[[Guard, Callable[..., Any]], Any]]] = {
    "call": Guard.plain_function,
    "acall": Guard.coroutine_function,
    "stream": Guard.generator_function,
    "astream": Guard.async_generator_function,
}


def _relayed(stream: Generator[Any, Any, Any], lease: Lease) -> Generator[Any, Any, Any]:
    """As `yield from stream`, but the lease hears of the first item (PEP 380 spells it out)."""
    step: Callable[[], Any] = stream.__next__
    while True:
        try:
            item = step()
        except StopIteration as end:
            return end.value
        finally:
            del step  # it may hold what was thrown, whose traceback holds this frame
        if lease.duration is None:
            lease.begin_output()
        try:
            sent = yield item
        except GeneratorExit:
            stream.close()
            raise
        except BaseException as thrown:  # noqa: BLE001  # as `yield from` does
            step = partial(stream.throw, thrown)
        else:
            step = stream.__next__ if sent is None else partial(stream.send, sent)
