"""Properties: what a machine promises, each with a name that stays.

A property is a sentence a program can check. It says nothing of who drives the machine: the
explorer, the Hypothesis machines and the verdict on a log judge the same objects.

Kinds
-----
`obliges`     of a step: whenever `when` holds of an act, `then` does. What bites: a machine can be
              wrong between two states that are each right.
`never`       of a state: `then` holds of every state that is reached.
`sometimes`   of a whole run: some act is as `when` says. Without it a property that never applied
              looks as good as one that was kept.
`can_always`  of a whole graph: from every state a way leads to one that is as `then` says.
`no_deadlock` of a whole graph: from every state something can be done, and doing it raises nothing.

The kinds `never`, `sometimes` and `can_always` follow https://stateright.rs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal

import attrs

from fsm_fallback.core.table import Row, Table

Kind = Literal["obliges", "never", "sometimes", "can_always", "no_deadlock"]
Subject = Literal["breaker", "chain", "strategy", "classifier", "driver", "store"]


def _always(_: Any) -> bool:
    return True


@attrs.frozen(kw_only=True)
class Property:
    """One promise.

    Args:
        id: Its name in verdicts, pages and logs; it never changes its meaning.
        kind: What it speaks of: a step, a state, a run, a graph.
        of: Which kind of machine or part promises it.
        sentence: The promise, for people.
        guarantee: The number of the guarantee in `specs/README.md` it belongs to; None for none.
        triggers: It applies to these alone; empty for all. Of a chain: reports of its driver.
        fires: The triggers of the table that those may fire.
        sources: And to acts that begin in these states alone; empty for all.
        when: Whether it applies to an act.
        then: Whether an act, or a state, is as promised.
    """

    id: str
    kind: Kind
    of: Subject
    sentence: str
    guarantee: int | None = None
    triggers: tuple[str, ...] = ()
    fires: tuple[str, ...] = ()
    sources: tuple[Enum, ...] = ()
    when: Callable[[Any], bool] = attrs.field(default=_always, eq=False)
    then: Callable[[Any], bool] = attrs.field(default=_always, eq=False)

    def rows(self, table: Table) -> tuple[Row, ...]:
        """The rows of a table that it speaks of."""
        return tuple(
            row
            for row in table.rows
            if (not self.fires or row.trigger in self.fires)
            and (not self.sources or row.source in self.sources)
        )


def _sentence(function: Callable[..., Any]) -> str:
    told = inspect.getdoc(function)
    if not told:
        raise ValueError(f"{function.__name__} has no docstring; write the promise there")
    return " ".join(told.partition("\n\n")[0].split())


class Promises:
    '''Properties in the making: a module of them reads as a list of sentences.

        promise = Promises("breaker")

        @promise.obliges("open-never-called", on="admit", sources=(S.OPEN,))
        def open_never_called(act: BreakerAct) -> bool:
            """An open breaker grants no lease."""
            return act.granted is None

    The decorated function is the property's `then`, the first paragraph of its docstring the
    sentence.

    Args:
        of: Which kind of machine or part promises.
        reports: What each report fires, where acts are reports and not triggers.
    '''

    def __init__(self, of: Subject, reports: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._of: Final = of
        self._reports: Final = reports or {}
        self.all: dict[str, Property] = {}

    def obliges(
        self,
        id: str,  # noqa: A002  # the property's
        *,
        on: str = "",
        sources: Iterable[Enum] = (),
        when: Callable[[Any], bool] = _always,
        guarantee: int | None = None,
    ) -> Callable[[Callable[[Any], bool]], Property]:
        """A property of steps; `on` names its triggers, separated by spaces."""
        return self._of_kind("obliges", id, guarantee, tuple(on.split()), tuple(sources), when)

    def never(
        self,
        id: str,  # noqa: A002  # as above
        *,
        guarantee: int | None = None,
    ) -> Callable[[Callable[[Any], bool]], Property]:
        """A property of states: the decorated function says whether one is as it must be."""
        return self._of_kind("never", id, guarantee, (), (), _always)

    def sometimes(
        self,
        id: str,  # noqa: A002  # as above
        *,
        on: str = "",
        sources: Iterable[Enum] = (),
        guarantee: int | None = None,
    ) -> Callable[[Callable[[Any], bool]], Property]:
        """A property of runs: the decorated function says whether an act is the one looked for."""
        triggers = tuple(on.split())
        return self._of_kind("sometimes", id, guarantee, triggers, tuple(sources), _always)

    def can_always(
        self,
        id: str,  # noqa: A002  # as above
        *,
        guarantee: int | None = None,
    ) -> Callable[[Callable[[Any], bool]], Property]:
        """A property of graphs: the decorated function says whether a state is the goal."""
        return self._of_kind("can_always", id, guarantee, (), (), _always)

    def no_deadlock(self, id: str, sentence: str, *, guarantee: int | None = None) -> Property:  # noqa: A002
        """A property of graphs that needs no function."""
        return self._of_kind("no_deadlock", id, guarantee, (), (), _always, sentence)(_always)

    def _of_kind(
        self,
        kind: Kind,
        id: str,  # noqa: A002  # as above
        guarantee: int | None,
        triggers: tuple[str, ...],
        sources: tuple[Enum, ...],
        when: Callable[[Any], bool],
        sentence: str | None = None,
    ) -> Callable[[Callable[[Any], bool]], Property]:
        def made(then: Callable[[Any], bool]) -> Property:
            if id in self.all:
                raise ValueError(f"property {id!r} is there already; give this one another id")
            found = self.all[id] = Property(
                id=id,
                kind=kind,
                of=self._of,
                sentence=_sentence(then) if sentence is None else sentence,
                guarantee=guarantee,
                triggers=triggers,
                fires=tuple(
                    dict.fromkeys(fired for each in triggers for fired in self._fired(each))
                ),
                sources=sources,
                when=when,
                then=then,
            )
            return found

        return made

    def _fired(self, trigger: str) -> tuple[str, ...]:
        return self._reports.get(trigger, (trigger,))
