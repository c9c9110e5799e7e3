"""A table of models written by hand: what each costs and can do, in code, TOML or configuration.

Decides what such a table may say, and refuses the rest with all its problems at once. A model is
found by its name or one of its aliases, letter by letter: a name that merely looks alike may cost
ten times as much, so nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from fsm_fallback.core.bounds import refuse_problems, shown
from fsm_fallback.core.info import ModelFacts, ModelInfo
from fsm_fallback.core.prices import Price
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.model_entries import (
    ModelEntry,
    Reading,
    double_names,
    origin_problems,
    read_entries,
)

if TYPE_CHECKING:
    import datetime as dt  # a millisecond to import, and only a type here
    from os import PathLike

__all__ = ["ModelEntry", "ModelTable"]


class ModelTable:
    """Models by their names: a `PriceSource` and a `CapabilitySource`.

    Args:
        models: What is known of each model, by its name.
        source: Who says what the models can do; the prices name their own sources.
        date: The day of which that is said; None if not known.

    Raises:
        ConfigurationError: If something is no entry, or two models share a name.

    Never changes, so safe to share between threads.
    """

    def __init__(
        self,
        models: Mapping[str, ModelEntry],
        *,
        source: str = "configured",
        date: dt.date | None = None,
    ) -> None:
        refuse_problems(_table_problems(models, source, date))
        self._source: Final = source
        self._date: Final = date
        self._entries: Final = {
            name: entry for model, entry in models.items() for name in (model, *entry.aliases)
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._entries)} names from {self._source!r}>"

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Self:
        """Read a table from a TOML file.

        Such as this:

            date = 2026-08-21

            [models."gpt-4.1-mini"]
            aliases = ["gpt-4.1-mini-2025-04-14"]
            capabilities = ["tools", "vision"]
            context_window = 1_047_576
            price = { input_mtok = 0.40, output_mtok = 1.60, cached_mtok = 0.10 }

        Beside `models` stand `source`, by default the file's name, and `date`; a price may have its
        own, and an array `tiers` of the fields of `Tier`.

        Args:
            path: The file.

        Raises:
            ConfigurationError: If the file cannot be read as TOML, or naming every key that is
                unknown and every value that cannot work, each by its path in the file.
        """
        import tomllib  # noqa: PLC0415  # only those with a file need it
        from pathlib import Path  # noqa: PLC0415  # as above

        file = Path(path)
        try:
            with file.open("rb") as stream:
                content = tomllib.load(stream)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{file.name}: {_unread(error)}; give the path of a TOML file"
            ) from error
        found = Reading(content.get("source", file.name), content.get("date"), "")
        found.refuse_unknown(content, ("models", "source", "date"), "")
        entries = read_entries(found, content.get("models", {}), "models")
        found.refuse(f"{file.name}: ")
        return cls(entries, source=found.source, date=found.date)

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        where: str = "models",
        *,
        source: str = "configured",
        date: dt.date | None = None,
    ) -> Self:
        """Read a table from plain mappings: the `models` of a configuration file.

        Args:
            mapping: By the models' names, mappings of the fields of `ModelEntry`; a price is a
                mapping of the fields of `Price`, its `tiers` a list of mappings of those of `Tier`.
            where: The path of the mapping in its file, with which every problem begins.
            source: Who says so, where a price does not name its own source.
            date: The day of which that is said, where a price does not name its own; None if not
                known.

        Raises:
            ConfigurationError: Naming every key that is unknown and every value that cannot work.
        """
        found = Reading(source, date, "ModelTable.")
        entries = read_entries(found, mapping, where)
        found.refuse()
        return cls(entries, source=found.source, date=found.date)

    def price(self, info: ModelInfo) -> Price | None:
        """What the table says a model costs; None if it does not say."""
        entry = self._entry(info)
        return None if entry is None else entry.price

    def capabilities(self, info: ModelInfo) -> ModelFacts | None:
        """What the table says a model can do; None if it does not have the model."""
        entry = self._entry(info)
        if entry is None:
            return None
        return ModelFacts(
            capabilities=entry.capabilities,
            context_window=entry.context_window,
            source=self._source,
            date=self._date,
        )

    def _entry(self, info: ModelInfo) -> ModelEntry | None:
        return None if info.model is None else self._entries.get(info.model)


def _unread(error: Exception) -> str:
    """Why a file is no TOML: its words tell the line, those of a system only what it is."""
    return f"is no TOML: {error}" if isinstance(error, ValueError) else type(error).__name__


def _table_problems(models: object, source: object, date: object) -> Iterator[str]:
    yield from origin_problems(source, date, "ModelTable.")
    if not isinstance(models, Mapping):
        yield f"ModelTable.models is {shown(models)}; give a mapping of names to ModelEntry"
        return
    for name, entry in models.items():
        if not isinstance(name, str) or not name:
            yield f"ModelTable.models has the name {shown(name)}; give a non-empty string"
        if not isinstance(entry, ModelEntry):
            yield f"ModelTable.models[{name!r}] is {shown(entry)}; give a ModelEntry"
    entries = {name: each for name, each in models.items() if isinstance(each, ModelEntry)}
    yield from double_names("ModelTable.models", entries)
