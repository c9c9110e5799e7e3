"""The files of a run: where they are, and whether they can be written before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs

from fsm_fallback.cli.demo.outage import CHAIN_NAME
from fsm_fallback.cli.endings import CannotBegin
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.diagrams import diagram


@attrs.frozen
class Files:
    """What a run writes: the audit log, and a diagram of each machine."""

    audit: Path
    breaker: Path
    chain: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """The files in a folder, each known to be writable; old ones stay as they are.

        Raises:
            CannotBegin: If the folder or a file in it cannot be written; nothing was left behind.
        """
        if not folder.is_dir():
            raise CannotBegin(
                f"--out {str(folder)!r} is no directory; make it first, or give another"
            )
        files = cls(folder / "audit.jsonl", folder / "breaker.mmd", folder / "chain.mmd")
        if not files.may_be_emptied():
            raise CannotBegin(
                f"{str(files.audit)!r} is no log of a demo, and would be replaced; move it away, "
                "or give another directory with --out"
            )
        made: list[Path] = []
        for path in files.paths:
            existed = path.exists()
            try:
                path.open("ab").close()
            except OSError as error:
                for each in made:
                    each.unlink()
                raise CannotBegin(
                    f"{str(path)!r} cannot be written ({error.strerror}); change its permissions, "
                    "or give another directory with --out"
                ) from error
            if not existed:
                made.append(path)
        return files

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.audit, self.breaker, self.chain)

    def may_be_emptied(self) -> bool:
        """Whether the audit log is a demo's, or empty, or not there."""
        try:
            with self.audit.open(encoding="utf-8") as lines:
                first = lines.readline()
        except FileNotFoundError:
            return True
        except (OSError, UnicodeDecodeError):
            return False
        return not first or f'"{CHAIN_NAME}' in first

    def empty_audit(self) -> None:
        """Forget the records of an earlier run."""
        self.audit.write_bytes(b"")

    def write_diagrams(self, breaker: str) -> None:
        """Write the diagrams, the breaker's as it is drawn with the numbers in force."""
        self.breaker.write_text(breaker, encoding="utf-8")
        self.chain.write_text(diagram(CHAIN), encoding="utf-8")

    def read_diagrams(self) -> dict[str, str]:
        """The diagrams as they stand in the files, by their machines."""
        return {path.stem: path.read_text(encoding="utf-8") for path in (self.breaker, self.chain)}
