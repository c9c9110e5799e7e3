"""What can speak for a fault kind: facts, names, codes, phrases, statuses. The vocabulary.

`fsm_fallback.providers.fault_table` writes the one table in these terms,
`fsm_fallback.providers.evidence` measures an error in them, and `fsm_fallback.providers.faults`
compares the two. Nothing here knows an SDK, an exception or a response.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final

import attrs

from fsm_fallback.core.outcome import FaultKind

_GAPS: Final = {"..": "(?:[a-z0-9]+ ){0,3}?", "...": "(?:[a-z0-9]+ ){0,12}?"}
_ALTERNATIVE: Final = re.compile(r"[a-z0-9]+\*?|#")


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


@attrs.frozen
class Phrase:
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
    pattern: re.Pattern[str] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda self: _compiled(self.text), takes_self=True),
    )
    anchors: frozenset[str] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda self: _rarest_words(self.text), takes_self=True),
    )


def _words(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text.split()) if isinstance(text, str) else text


@attrs.frozen(kw_only=True)
class Signals:
    """One row of the fault table: what speaks for a kind. Names and codes are one text each.

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
    names: tuple[str, ...] = attrs.field(default=(), converter=_words)
    codes: tuple[str, ...] = attrs.field(default=(), converter=_words)
    phrases: tuple[Phrase, ...] = ()
    unless: tuple[Phrase, ...] = ()
    silenced_by: frozenset[Fact] = frozenset()
    status_names: tuple[str, ...] = attrs.field(default=(), converter=_words)
    status_codes: tuple[str, ...] = attrs.field(default=(), converter=_words)
    statuses: frozenset[int] = frozenset()
    deaf_at: frozenset[int] = frozenset()


@lru_cache(maxsize=2048)
def squashed(code: str) -> str:
    """Strip a code of case and punctuation: `RateLimitReached` equals `rate_limit_reached`."""
    return "".join(filter(str.isalnum, code)).lower()


def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(" " + "".join(map(_part_pattern, text.split())))


def _rarest_words(text: str) -> frozenset[str]:
    """Pick the words of which one must occur: long words are rare ones."""
    plain = [part.split("|") for part in text.split() if not set(part) & set(".?*#")]
    if not plain:
        raise ValueError(f"phrase {text!r} has no whole word; give it one to look up")
    return frozenset(max(plain, key=lambda words: min(map(len, words))))


def _part_pattern(part: str) -> str:
    if part in _GAPS:
        return _GAPS[part]
    alternatives = part.removesuffix("?").split("|")
    if not all(map(_ALTERNATIVE.fullmatch, alternatives)):
        raise ValueError(f"phrase part {part!r} is not words; use a-z, 0-9, |, ?, * and #")
    words = "|".join(
        "[0-9][a-z0-9]*" if word == "#" else word.replace("*", "[a-z0-9]*") for word in alternatives
    )
    return f"(?:(?:{words}) )?" if part.endswith("?") else f"(?:{words}) "


def phrases(texts: str, at: frozenset[int | None] | None = None) -> tuple[Phrase, ...]:
    """Write several phrases that count at the same statuses, with `;` between them."""
    return tuple(Phrase(text.strip(), at) for text in texts.split(";"))
