"""The types of the fixtures that are functions, for tests that are type-checked.

The fixtures themselves are in `plugin`, which pytest imports; these can be imported by anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fsm_fallback.core.outcome import Fault
    from fsm_fallback.core.prices import Price
    from fsm_fallback.testing.emulator import EmulatedProvider, Step
    from fsm_fallback.testing.outage import Outage
    from fsm_fallback.testing.scripted import Exhausted, Failing, ScriptedProvider


class ScriptedOptions(TypedDict, total=False):
    """The keyword arguments of `ScriptedProvider`, all but its clock."""

    exhausted: Exhausted
    model: str | None
    account: str | None
    capabilities: Iterable[str]
    context_window: int | None
    price: Price | None
    classify: Callable[[BaseException], Fault] | None


class MakeScriptedProvider(Protocol):
    """The fixture `scripted_provider`."""

    def __call__(
        self,
        name: str,
        script: Iterable[object] = (),
        *,
        strict: bool = False,
        **options: Unpack[ScriptedOptions],
    ) -> ScriptedProvider:
        """Make a `ScriptedProvider` on the clock of the test.

        Args:
            name: Its name in the chain.
            script: One step per call.
            strict: Whether the test fails if it ends before every step was played.
            **options: Those of `ScriptedProvider`.

        Raises:
            ConfigurationError: Naming what cannot work; nothing was made.
        """
        ...


class BeginOutage(Protocol):
    """The fixture `fallback_outage`."""

    @overload
    def __call__(
        self,
        provider: ScriptedProvider,
        step: Failing | None = None,
        *,
        duration: float | None = None,
    ) -> Outage: ...
    @overload
    def __call__(
        self,
        provider: EmulatedProvider,
        step: Step | None = None,
        *,
        duration: float | None = None,
    ) -> Outage: ...
    def __call__(
        self,
        provider: ScriptedProvider | EmulatedProvider,
        step: object = None,
        *,
        duration: float | None = None,
    ) -> Outage:
        """Begin an outage.

        Args:
            provider: Who fails, from now on.
            step: What every call gets meanwhile, see the `outage` of the provider; None for a
                `ConnectionError` of a scripted provider, a status 503 of an emulated one.
            duration: Seconds on `manual_clock` after which it ends, finite and > 0; None for none.

        Returns:
            The outage; it ends with a `with` block around it, its `end`, or the test.

        Raises:
            ConfigurationError: Naming what cannot work; no outage has begun.
        """
        ...
