"""Fixtures for pytest: a clock, scripted and emulated providers, an audit log, outages.

Off unless it is asked for, in the root conftest:

    pytest_plugins = ["fsm_fallback.testing.plugin"]

or with `-p fsm_fallback.testing.plugin`. There is no entry point, for pytest would then import this
library in every project that has it installed, before anybody measures coverage. For the same
reason nothing is imported here but pytest; each fixture imports what it gives when it is used.

One test has one clock: all fixtures here are on its `manual_clock`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Unpack

    from fsm_fallback.testing.clock import ManualClock
    from fsm_fallback.testing.emulator import Emulator
    from fsm_fallback.testing.fixtures import BeginOutage, MakeScriptedProvider, ScriptedOptions
    from fsm_fallback.testing.outage import Outage
    from fsm_fallback.testing.records import AuditRecords
    from fsm_fallback.testing.scripted import ScriptedProvider


@pytest.fixture
def manual_clock() -> ManualClock:
    """The clock of the test: a `ManualClock` at 0.0. Give it to chains and breakers as `clock=`."""
    from fsm_fallback.testing.clock import ManualClock  # noqa: PLC0415  # see above

    return ManualClock()


@pytest.fixture
def scripted_provider(manual_clock: ManualClock) -> Generator[MakeScriptedProvider]:
    """Make a `ScriptedProvider`: `scripted_provider(name, script, strict=False, **options)`.

    It is on `manual_clock`; the options are those of the class. Steps that were not played are no
    error: a breaker that opens keeps calls away, and that is what many of these tests are about.
    With `strict=True` they are, and the test fails at its end; as it does where a provider was
    called past its script, for a chain takes the error of that for one of the provider's.
    """
    from fsm_fallback.core.bounds import FLAG, shown  # noqa: PLC0415  # see above
    from fsm_fallback.errors import ConfigurationError  # noqa: PLC0415  # as well
    from fsm_fallback.testing.scripted import ScriptedProvider  # noqa: PLC0415  # as well

    strict_ones: list[ScriptedProvider] = []
    all_of_them: list[ScriptedProvider] = []

    def make(
        name: str,
        script: Any = (),
        *,
        strict: bool = False,
        **options: Unpack[ScriptedOptions],
    ) -> ScriptedProvider:
        if not FLAG.accepts(strict):
            raise ConfigurationError(
                f"scripted_provider.strict is {shown(strict)}; give {FLAG.wanted}"
            )
        given: dict[str, object] = {**options}
        if "clock" in given:
            raise ConfigurationError(
                f"scripted_provider.clock is {shown(given['clock'])}; leave it out for "
                "manual_clock, or make a ScriptedProvider yourself"
            )
        made = ScriptedProvider(name, script, clock=manual_clock, **options)
        all_of_them.append(made)
        if strict:
            strict_ones.append(made)
        return made

    yield make

    beyond = [f"{each!r} by {each.beyond}" for each in all_of_them if each.beyond]
    if beyond:
        pytest.fail(
            f"calls went past scripts: {', '.join(beyond)}; add steps or pass exhausted='repeat'",
            pytrace=False,
        )
    unplayed = [f"{each.pending} of {each!r}" for each in strict_ones if each.pending]
    if unplayed:
        pytest.fail(
            f"steps were not played: {', '.join(unplayed)}; call more often, or leave out "
            "strict=True",
            pytrace=False,
        )


@pytest.fixture
def emulator(manual_clock: ManualClock) -> Generator[Emulator]:
    """A running `Emulator`, stopped at the end of the test.

    What a responder raised fails the test then. The times in its journal are those of
    `manual_clock`; the seconds of `Slow` are real ones.
    """
    from fsm_fallback.testing.emulator import Emulator  # noqa: PLC0415  # see above

    with Emulator(clock=manual_clock) as running:
        yield running


@pytest.fixture
def audit_records(manual_clock: ManualClock) -> AuditRecords:
    """An audit log in memory, as `audit_records.log`, and its records: `audit_records()`.

    Give the log to chains as `audit=`. The call returns a list of dictionaries, filtered by any of
    `trigger=`, `machine=`, `provider=` and `verdict=`. The log is in mode "moves" and on
    `manual_clock`; `AuditRecords(AuditLog(...))` reads another.
    """
    from fsm_fallback.telemetry.log import AuditLog  # noqa: PLC0415  # see above
    from fsm_fallback.testing.records import AuditRecords  # noqa: PLC0415  # as well

    return AuditRecords(AuditLog(clock=manual_clock))


@pytest.fixture
def fallback_outage(manual_clock: ManualClock) -> Generator[BeginOutage]:
    """Begin an outage of a provider: `fallback_outage(provider, step=None, duration=None)`.

    From that call on every call of the provider, scripted or emulated, gets `step`: a
    `ConnectionError` or a status 503 unless given. It ends with a `with` block around it, its
    `end()`, after `duration` seconds on `manual_clock`, or with the test, whichever comes first.
    Scripts wait meanwhile. Of outages that overlap the latest counts.
    """
    from fsm_fallback.core.bounds import shown  # noqa: PLC0415  # see above
    from fsm_fallback.errors import ConfigurationError  # noqa: PLC0415  # as well
    from fsm_fallback.testing.outage import refuse_duration  # noqa: PLC0415  # as well

    def begin(provider: Any, step: Any = None, *, duration: float | None = None) -> Outage:
        # By the method: importing the emulator to ask for its class is dear.
        if not callable(getattr(provider, "outage", None)) or isinstance(provider, type):
            raise ConfigurationError(
                f"fallback_outage.provider is {shown(provider)}; give a ScriptedProvider or an "
                "EmulatedProvider"
            )
        if duration is not None:
            refuse_duration("fallback_outage.duration", duration)
        outage: Outage = provider.outage() if step is None else provider.outage(step)
        endings.callback(outage.end)
        return outage if duration is None else outage.end_after(duration, manual_clock)

    with ExitStack() as endings:
        yield begin
