"""What can be held against the spec: it tells tables, classes and parts apart, and checks each.

for section in check_thing(load("my.module:STRATEGY"), named="my.module:STRATEGY"):
    print(section.title, section.kept)
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BreakerState
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.chain_rows import ChainState
from fsm_fallback.core.cost_optimized import CostOptimized
from fsm_fallback.core.load_balanced import LoadBalanced
from fsm_fallback.core.strategies import CapabilityBased, Sequential, is_strategy
from fsm_fallback.core.table import Table
from fsm_fallback.drivers import aio, sync
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.faults import classify
from fsm_fallback.spec.check import Report, check_breaker, check_chain
from fsm_fallback.spec.drivers import check_driver
from fsm_fallback.spec.parts import check_classifier, check_strategy
from fsm_fallback.spec.scope import Scope
from fsm_fallback.spec.scopes import (
    BREAKER_SCOPES,
    CHAIN_SCOPES,
    DEEP_BREAKER,
    DEEP_CHAIN,
    WHOLE_BREAKER,
    WHOLE_CHAIN,
)
from fsm_fallback.spec.tell import Counterexample
from fsm_fallback.spec.verdict import Verdict

Kind = Literal["breaker", "chain", "strategy", "classifier", "driver", "spec"]
Profile = Literal["dev", "ci", "deep"]

KINDS: Final[tuple[Kind, ...]] = ("breaker", "chain", "strategy", "classifier", "driver", "spec")
PROFILES: Final[Mapping[Profile, tuple[Mapping[str, Scope], Mapping[str, Scope]]]] = {
    "dev": (BREAKER_SCOPES, CHAIN_SCOPES),
    "ci": ({**BREAKER_SCOPES, **WHOLE_BREAKER}, {**CHAIN_SCOPES, **WHOLE_CHAIN}),
    "deep": (
        {**BREAKER_SCOPES, **WHOLE_BREAKER, **DEEP_BREAKER},
        {**CHAIN_SCOPES, **WHOLE_CHAIN, **DEEP_CHAIN},
    ),
}
"""The scopes of breakers and of chains, by profile: under a second, some seconds, minutes."""

_DRIVER_ARGUMENTS: Final = 6


@attrs.frozen(kw_only=True)
class Section:
    """The verdicts on one thing.

    Attributes:
        title: What was checked.
        verdicts: One for each property.
        scopes: What was tried, a line each; empty where a part is tried as a whole.
        problems: What the audit of a table says against it.
        counterexamples: Of a machine, what breaks each property that is not kept.
    """

    title: str
    verdicts: tuple[Verdict, ...]
    scopes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    counterexamples: tuple[Counterexample, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems and all(verdict.kept for verdict in self.verdicts)


def load(path: str) -> Any:
    """The object that `module:NAME` names; modules of the working directory are found, too.

    Raises:
        ConfigurationError: If there is no such module, or no such name in it.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ConfigurationError(f"{path!r} is no module:NAME; give one, as my.module:STRATEGY")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigurationError(
            f"{module_name!r} in {path!r} is no name of a module; give that, not its file, as "
            "my.module:STRATEGY"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = _imported(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(
                f"module {module_name!r} has no {name!r}; give a name that it has"
            )
        found = getattr(found, part)
    return found


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(f"module {name!r} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
        raise ConfigurationError(
            f"module {name!r} raised {type(error).__name__} at {where}: {error}"
        ) from error


def kind_of(thing: object) -> Kind:
    """What kind of thing it is.

    Raises:
        ConfigurationError: If it is none that the spec knows.
    """
    if isinstance(thing, Table):
        return _kind_of_table(thing)
    if isinstance(thing, type):
        found = _kind_of_class(thing)
    elif is_strategy(thing):
        return "strategy"
    else:
        found = _kind_of_function(thing) if callable(thing) else None
    if found is not None:
        return found
    if isinstance(thing, type):
        raise ConfigurationError(
            f"{_named(thing)} is a class; give an object of it, a subclass of Breaker or Chain, or "
            "a stateful spec itself, not its TestCase"
        )
    raise ConfigurationError(
        f"{_named(thing)} is nothing the spec can check; give a table, a subclass of Breaker or "
        "Chain, an object with order() (a strategy), a function of an exception (a classifier), "
        "drive(walk, chain, command, now, args, kwargs) (a driver), or a subclass of a base of "
        "fsm_fallback.spec.stateful"
    )


def check_library(**how: Any) -> Iterator[Section]:
    """The verdicts on the library's own machines and parts; arguments as of `check_thing`."""
    yield from check_thing(Breaker, title="the breaker", **how)
    yield from check_thing(Chain, title="the chain", **how)
    yield from check_thing(sync.drive, title="the driver of plain calls", **how)
    yield from check_thing(aio.drive, title="the driver of awaited calls", **how)
    yield from check_thing(Sequential(), title="Sequential", **how)
    yield from check_thing(CapabilityBased(prefer=("vision",)), title="CapabilityBased", **how)
    # To a chain one order is as good as another; one that skips is enough.
    yield next(check_thing(LoadBalanced(weights={"a": 2, "b": 0}), title="LoadBalanced", **how))
    yield next(check_thing(CostOptimized(), title="CostOptimized", **how))
    yield from check_thing(classify, title="classify", kind="classifier", **how)


def check_thing(
    thing: object,
    *,
    title: str | None = None,
    named: str | None = None,
    kind: Kind | None = None,
    callers: int | None = None,
    providers: int | None = None,
    profile: Profile = "dev",
) -> Iterator[Section]:
    """The verdicts on one thing.

    Args:
        thing: A table, a class of breakers or chains, a strategy, a classifier, a driver, or a
            stateful spec.
        title: What to call it; by default `named`, or its own name.
        named: `"module:NAME"`, for the tests that counterexamples come with.
        kind: What to take it for; by default what `kind_of` says.
        callers: How many callers, in every scope; by default what the scope says.
        providers: How many providers there are at most, where there are any.
        profile: How much to try.

    Raises:
        ConfigurationError: If it is nothing that can be checked, or a number is out of bounds.
    """
    taken = kind_of(thing) if kind is None else kind
    if taken == "spec" and not (isinstance(thing, type) and hasattr(thing, "floor")):
        raise ConfigurationError(
            f"{_named(thing)} is no stateful spec; give a subclass of a base of "
            "fsm_fallback.spec.stateful"
        )
    breaker_scopes, chain_scopes = PROFILES[profile]
    covers = callers is None and providers is None
    called = title or named or str(getattr(thing, "__name__", type(thing).__name__))
    subject: Any = thing
    match taken:
        case "breaker":
            scopes = _resized(breaker_scopes, callers, None)
            yield _of_report(called, check_breaker(subject, scopes, covers=covers, named=named))
        case "chain":
            scopes = _resized(chain_scopes, callers, providers)
            yield _of_report(called, check_chain(subject, scopes, covers=covers, named=named))
        case "strategy":
            part = _of_part(called, check_strategy(subject, providers or 3))
            yield part
            if part.kept:  # a chain ordered by one that is broken proves nothing
                scopes = _resized(chain_scopes, callers, providers)
                explored = check_chain(scopes=scopes, strategy=subject, covers=False, named=named)
                yield _of_report(f"a chain ordered by {called}", explored)
        case "classifier":
            yield _of_part(called, check_classifier(subject))
        case "driver":
            yield _of_part(called, check_driver(subject, providers or 2))
        case "spec":
            yield _of_spec(called, subject)


def _named(thing: object) -> str:
    return str(getattr(thing, "__qualname__", None) or shown(thing))


def _kind_of_table(table: Table) -> Kind:
    states = type(table.initial)
    if states is BreakerState:
        return "breaker"
    if states is ChainState:
        return "chain"
    raise ConfigurationError(
        f"table {table.name!r} is over {states.__name__}: the explorer models tables over "
        "BreakerState and ChainState; give one of these"
    )


def _kind_of_class(cls: type) -> Kind | None:
    if issubclass(cls, Breaker):
        return "breaker"
    if issubclass(cls, Chain):
        return "chain"
    return "spec" if hasattr(cls, "TestCase") and hasattr(cls, "floor") else None


def _kind_of_function(function: Callable[..., Any]) -> Kind | None:
    try:
        wanted = len(inspect.signature(function).parameters)
    except ValueError:  # written in C, and tells nothing of itself
        return None
    if wanted == _DRIVER_ARGUMENTS:
        return "driver"
    return "classifier" if wanted == 1 else None


def _resized(
    scopes: Mapping[str, Scope], callers: int | None, providers: int | None
) -> dict[str, Scope]:
    return {
        name: attrs.evolve(
            scope,
            callers=scope.callers if callers is None else callers,
            providers=scope.providers if providers is None else providers,
        )
        for name, scope in scopes.items()
    }


def _of_report(title: str, report: Report) -> Section:
    return Section(
        title=title,
        verdicts=report.verdicts,
        scopes=tuple(str(each) for each in report.scopes),
        problems=report.problems,
        counterexamples=report.counterexamples,
    )


def _of_part(title: str, verdicts: list[Verdict]) -> Section:
    return Section(title=title, verdicts=tuple(verdicts))


def _of_spec(title: str, spec: Any) -> Section:
    run: Callable[[], None] = spec.run
    problems: tuple[str, ...] = ()
    try:
        run()
    except AssertionError as error:
        problems = (str(error),)
    verdicts = tuple(Verdict(each, title, spec.applied(each.id)) for each in spec.properties)
    return Section(title=title, verdicts=verdicts, problems=problems)
