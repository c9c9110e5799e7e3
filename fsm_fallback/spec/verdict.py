"""Whether one promise is kept, by what, in how many cases."""

from __future__ import annotations

import attrs

from fsm_fallback.spec.properties import Property


@attrs.frozen
class Verdict:
    """Whether a part keeps one promise, in the scope that was tried.

    Attributes:
        promise: What was promised.
        subject: What was held against it.
        cases: To how many cases it applied; with 0 nothing is proved.
        history: The smallest case that breaks it: input, output; None if it is kept.
    """

    promise: Property
    subject: str
    cases: int
    history: str | None = None

    @property
    def kept(self) -> bool:
        """Whether no case breaks it."""
        return self.history is None

    def __str__(self) -> str:
        if self.history is None:
            return f"{self.subject} keeps {self.promise.id!r} in {self.cases} cases"
        return (
            f"{self.subject} breaks {self.promise.id!r}: {self.promise.sentence}\n"
            f"    {self.history}"
        )
