"""`fsm-fallback spec`: what is promised, whether it is kept, and whether the spec bites."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from fsm_fallback.core.table import Table
from fsm_fallback.errors import ConfigurationError

if TYPE_CHECKING:  # the explorer is not imported with the command line
    from fsm_fallback.spec.bite import Fated, Prey
    from fsm_fallback.spec.subjects import Section
    from fsm_fallback.spec.tell import Counterexample

BROKEN: Final = 1
"""Exit code: a promise is not kept, or a mutant survived."""

_KINDS: Final = ("breaker", "chain", "strategy", "classifier", "driver", "spec")
_PROFILES: Final = ("dev", "ci", "deep")
_TELL: Final = ("story", "log", "mermaid", "pytest")


@click.group()
def spec() -> None:
    """What is promised, whether it is kept, and whether the spec bites.

    THING is module:NAME of your own table, breaker or chain class, strategy, classifier, driver or
    stateful spec; without it the library is held against its own spec.
    """


@spec.command("list")
def list_() -> None:
    """List every property.

    With its id, what it is of, its kind, its guarantee, the rows it covers, and its sentence.
    """
    from fsm_fallback.spec.listing import all_properties, rows_covered  # noqa: PLC0415  # see above

    head = ("property", "of", "kind", "guarantee", "rows", "sentence")
    lines = [
        (
            each.id,
            each.of,
            each.kind,
            "" if each.guarantee is None else str(each.guarantee),
            rows_covered(each),
            each.sentence,
        )
        for each in all_properties()
    ]
    click.echo(_columns([head, *lines]), nl=False)


@spec.command()
@click.argument("thing", required=False)
@click.option("--as", "kind", type=click.Choice(_KINDS), help="What to take THING for.")
@click.option("--callers", type=click.IntRange(1, 3), help="How many callers, in every scope.")
@click.option(
    "--providers", type=click.IntRange(1, 3), help="How many providers there are at most."
)
@click.option(
    "--profile",
    type=click.Choice(_PROFILES),
    default="dev",
    show_default=True,
    help="How much to try: about a second, half a minute, a night.",
)
@click.option(
    "--tell",
    type=click.Choice(_TELL),
    default="story",
    show_default=True,
    help="How counterexamples of machines are told.",
)
def check(
    thing: str | None,
    kind: Any,
    callers: int | None,
    providers: int | None,
    profile: Any,
    tell: str,
) -> int:
    """Hold THING against its properties.

    The exit code is 1 if one of them is not kept.
    """
    from fsm_fallback.spec.subjects import check_library, check_thing, load  # noqa: PLC0415  # as above

    sections: Iterable[Section]
    if thing is None:
        if kind is not None:
            raise click.UsageError("--as says what to take THING for; give THING, too")
        sections = check_library(callers=callers, providers=providers, profile=profile)
    else:
        sections = check_thing(
            load(thing),
            named=thing,
            kind=kind,
            callers=callers,
            providers=providers,
            profile=profile,
        )
    kept = True
    for section in sections:
        kept &= section.kept
        _show(section, tell)
    return 0 if kept else BROKEN


@spec.command()
@click.argument("thing", required=False)
@click.option(
    "--equivalent",
    type=click.Path(exists=True, dir_okay=False),
    help="TOML with the equal mutants that are known, and why; any other one is a problem.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many processes hunt.",
)
def bite(thing: str | None, equivalent: str | None, jobs: int) -> int:
    """Hunt the mutants of a table: THING, or the library's own two.

    It takes a minute or two of one processor. The exit code is 1 if a mutant survives.
    """
    from fsm_fallback.spec.bite import breaker_prey, chain_prey, read_equivalent  # noqa: PLC0415  # as above
    from fsm_fallback.spec.subjects import kind_of, load  # noqa: PLC0415  # as above

    if thing is None:
        prey: dict[str, Callable[[], Prey]] = {"breaker": breaker_prey, "chain": chain_prey}
    else:
        table = load(thing)
        if not isinstance(table, Table):
            raise ConfigurationError(f"{thing} is {table!r}; give a table: its rows are mutated")
        make = breaker_prey if kind_of(table) == "breaker" else chain_prey
        prey = {thing: functools.partial(make, table)}
    known = None if equivalent is None else read_equivalent(equivalent)
    bites = [
        _hunt(name, each, None if known is None else known.get(name, {}), jobs)
        for name, each in prey.items()
    ]
    return 0 if all(bites) else BROKEN


def _hunt(name: str, make: Callable[[], Prey], known: Mapping[str, str] | None, jobs: int) -> bool:
    from fsm_fallback.spec.bite import Catch, control, hunt, hunt_in_processes  # noqa: PLC0415  # as above

    broken = control(make())
    fated: tuple[Fated, ...] = ()
    if broken is None:
        fated = tuple(hunt(make())) if jobs == 1 else hunt_in_processes(make, jobs)
    catch = Catch(name, broken, fated, known)
    audited = sum(each.is_audited for each in fated)
    if broken is None:
        click.echo(
            f"{name}: {len(fated)} mutants, {len(catch.of('killed'))} killed, "
            f"{len(catch.of('equal'))} equal, {len(catch.of('survived'))} survived "
            f"(the audit alone refuses {audited})"
        )
    for each in catch.of("equal"):
        reason = "" if known is None else f": {known.get(each.mutant.id, 'not listed')}"
        click.echo(f"  equal  {each.mutant.id}{reason}")
    problems = tuple(catch.problems())
    for problem in problems:
        click.echo(f"  BROKEN {problem}")
    return not problems


def _show(section: Section, tell: str) -> None:
    """The verdicts; told as something else than a story, counterexamples have stdout alone."""
    aside = tell != "story"
    click.echo(f"{section.title}: {'kept' if section.kept else 'BROKEN'}", err=aside)
    for scope in section.scopes:
        click.echo(f"  {scope}", err=aside)
    for problem in section.problems:
        click.echo(f"  BROKEN {problem}", err=aside)
    lines = [
        (
            "BROKEN" if not each.kept else "kept" if each.cases else "not tried",
            each.promise.id,
            each.promise.kind,
            f"{each.cases:,}",
        )
        for each in section.verdicts
    ]
    click.echo(_columns([("verdict", "property", "kind", "cases"), *lines], indent=2), err=aside)
    told = {each.broken.promise.id: each for each in section.counterexamples}
    for each in section.verdicts:
        if each.history is not None:
            click.echo(f"{each.promise.id}: {each.promise.sentence}", err=aside)
            found = told.get(each.promise.id)
            click.echo(each.history if found is None else _told(found, tell))


def _told(found: Counterexample, tell: str) -> str:
    ways = {
        "story": found.story,
        "log": found.log,
        "mermaid": found.mermaid,
        "pytest": found.pytest,
    }
    return ways[tell]()


def _columns(lines: Sequence[tuple[str, ...]], indent: int = 0) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "".join(
        " " * indent
        + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )
