"""Play the hour under every strategy, and write what came of it: `make hour`.

Exits with 1, and writes nothing, if a chain has counted anything else than its trails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from docs.hour.page import Played, tables
from docs.hour.picture import picture
from docs.hour.play import STRATEGIES, Call, stage
from docs.hour.recount import differences
from docs.hour.scene import Hour
from docs.render import with_part

DOCS: Final = Path(__file__).parents[1]
PAGE: Final = DOCS / "strategies-hour.md"
PICTURE: Final = DOCS / "hour.svg"


def play(hour: Hour) -> Played:
    """The calls of the hour under every strategy.

    Raises:
        SystemExit: If a chain has counted anything else than its trails.
    """
    played: dict[str, tuple[Call, ...]] = {}
    wrong: list[str] = []
    for name in STRATEGIES:
        with stage(name, hour) as it:
            played[name] = it.play()
            wrong += differences(played[name], it.llm)
    if wrong:
        raise SystemExit("\n".join(wrong))
    return played


def files(played: Played) -> dict[Path, str]:
    """The text of page and picture, by their paths."""
    texts = {PAGE: PAGE.read_text(encoding="utf-8")}
    for name, part in tables(played).items():
        texts = with_part(texts, name, part)
    return {**texts, PICTURE: picture(played)}


def main() -> None:
    """Play, and write."""
    played = play(Hour())
    for path, text in files(played).items():
        path.write_text(text, encoding="utf-8")
    print(tables(played)["hour, strategies"])  # noqa: T201  # what it was run for


if __name__ == "__main__":
    main()
