"""What can speak for a fault kind: facts, names, codes, phrases, statuses. The vocabulary.

`fsm_fallback.providers.fault_table` writes the one table in these terms,
`fsm_fallback.providers.evidence` measures an error in them, and `fsm_fallback.providers.faults`
compares the two. Nothing here knows an SDK, an exception or a response.

Writing the table down is all that importing it costs. Most processes meet a few kinds of error, or
none: what a phrase or a pattern compiles to is worked out when it is first looked for.
"""

# Without `from __future__ import annotations`: a named tuple compiles each annotation that is text.

import re
from enum import Enum
from functools import cache, lru_cache
from typing import Final, NamedTuple

from fsm_fallback.core.outcome import FaultKind

_GAPS: Final = {"..": "(?:[a-z0-9]+ ){0,3}?", "...": "(?:[a-z0-9]+ ){0,12}?"}
_ANY_NUMBER: Final = "[0-9][a-z0-9]*"
_ANY_ENDING: Final = "[a-z0-9]*"


class Fact(Enum):
    """What is measured from an error before a row is chosen; the values are for people."""

    __hash__ = object.__hash__

    CUT_STREAM = "an event stream of status 200 without error and without its last event"
    OVER_FIXED_LIMIT = "a limit named below what was requested: no wait can help"
    NOTHING_SAID = "400, 415 or 422 without a body"
    PARAM_NAMED = "400 or 422 with a `param` that is not the model"
    PARAM_ELSEWHERE = "404 with a `param` that is not the model"
    CALL_BOUNDARY = "TypeError raised by the call itself, no user frame below ours"
    NO_CREDENTIALS = "an SDK's TypeError that no authentication method was given"


class Phrase(NamedTuple):
    """Words looked for in a message, in a notation that people can read.

    Words follow each other; `a|b` is either word, `word?` may be missing, `word*` any ending, `#`
    a number; `..` stands for up to three words of the same sentence, `...` for up to twelve. Case,
    punctuation and underscores do not matter: "rate limit" finds `Rate-limit` and `rate_limit`.
    Every quantifier is bounded, so a search takes time linear in the text.

    Args:
        text: The phrase.
        at: The statuses it counts at (None: no status, 200: a success); None for all.
    """

    text: str
    at: frozenset[int | None] | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds it in a text that `in_words` wrote.

        Raises:
            ValueError: If a part of the phrase is not in the notation.
        """
        return _compiled(self.text)

    @property
    def needs(self) -> tuple[frozenset[str], ...]:
        """Sets of words, of each of which one must occur."""
        return _needs(self.text)

    @property
    def rarest(self) -> list[str]:
        """Words of which one must occur; long words are rare ones.

        Raises:
            ValueError: If the phrase has no whole word.
        """
        plain = _plain_parts(self.text)
        if not plain:
            raise ValueError(f"phrase {self.text!r} has no whole word; give it one to look up")
        return max(plain, key=_shortest).split("|")

    def is_in(self, text: str, words: frozenset[str]) -> bool:
        """Whether a text that `in_words` wrote says it; `words` are the words of the text."""
        return not any(map(words.isdisjoint, self.needs)) and self.pattern.search(text) is not None


class Signals(NamedTuple):
    """One row of the fault table: what speaks for a kind.

    Args:
        kind: The kind spoken for.
        facts: Facts that decide by themselves.
        names: Exception class names, anywhere in the MRO.
        codes: Error types and codes; case and punctuation do not matter.
        phrases: Words of the message.
        unless: Phrases that take the row's phrases back.
        silenced_by: Facts that take the row's phrases back.
        status_names: Class names that only restate a status, or that many causes share.
        status_codes: Error types and codes that only restate a status.
        statuses: HTTP statuses.
        deaf_at: Statuses at which codes and phrases of this row mean nothing.
    """

    kind: FaultKind
    facts: frozenset[Fact] = frozenset()
    names: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    unless: tuple[Phrase, ...] = ()
    silenced_by: frozenset[Fact] = frozenset()
    status_names: tuple[str, ...] = ()
    status_codes: tuple[str, ...] = ()
    statuses: frozenset[int] = frozenset()
    deaf_at: frozenset[int] = frozenset()


def words(text: str) -> tuple[str, ...]:
    """Write several names or codes as one text."""
    return tuple(text.split())


def phrases(texts: str, at: frozenset[int | None] | None = None) -> tuple[Phrase, ...]:
    """Write several phrases that count at the same statuses, with `;` between them."""
    return tuple(Phrase(text.strip(), at) for text in texts.split(";"))


@lru_cache(maxsize=2048)
def squashed(code: str) -> str:
    """Strip a code of case and punctuation: `RateLimitReached` equals `rate_limit_reached`."""
    code = code.replace("_", "")
    return code.lower() if code.isalnum() else "".join(filter(str.isalnum, code)).lower()


@cache
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(" " + "".join(map(_part_pattern, text.split())))


@cache
def _needs(text: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(part.split("|")) for part in _plain_parts(text))


def _plain_parts(text: str) -> list[str]:
    """List the parts that stand for a whole word."""
    return [
        part
        for part in text.split()
        if not ("?" in part or "." in part or "*" in part or "#" in part)
    ]


def _shortest(part: str) -> int:
    return min(map(len, part.split("|"))) if "|" in part else len(part)


def _part_pattern(part: str) -> str:
    if part in _GAPS:
        return _GAPS[part]
    alternatives = part.removesuffix("?").split("|")
    if not all(map(_is_alternative, alternatives)):
        raise ValueError(f"phrase part {part!r} is not words; use a-z, 0-9, |, ?, * and #")
    words = "|".join(
        _ANY_NUMBER if word == "#" else word.replace("*", _ANY_ENDING) for word in alternatives
    )
    return f"(?:(?:{words}) )?" if part.endswith("?") else f"(?:{words}) "


def _is_alternative(word: str) -> bool:
    stem = word.removesuffix("*")
    return word == "#" or (stem.isascii() and stem.isalnum() and stem == stem.lower())
