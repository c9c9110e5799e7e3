"""How an error's text is shown to people, and how it is cut to words for the fault table.

A provider's message may quote the request, a header or a key. What looks like a key is replaced
before anybody sees it; over-redaction is the cheaper mistake.
"""

from __future__ import annotations

from typing import Final

from fsm_fallback.providers.patterns import LazyPattern, when_needed

LONGEST_MESSAGE: Final = 500
"""Characters a message for people is cut to."""

_LONGEST_TEXT: Final = 4_096
_SHORTEST_SECRET: Final = 8
_CAMEL: Final = when_needed(r"(?<=[a-z])(?=[A-Z])")
_WORD: Final = when_needed(r"[a-z0-9]+|[.!?;](?=\s|$)")

# What looks like a key, and the substrings without which it need not be looked for. The last takes
# any long unbroken run with a digit: Azure's keys, session tokens.
_SECRETS: Final[tuple[tuple[tuple[str, ...], LazyPattern, str], ...]] = (
    (("bearer", "basic"), when_needed(r"(?i)\b(bearer|basic) [\w.~+/=\-]{8,}"), r"\1 [redacted]"),
    (
        ("sk", "pk", "rk", "xai", "pplx", "hf_", "r8_", "ghp_", "nvapi", "fw_", "tgp_"),
        when_needed(r"\b(?:g?sk|csk|pk|rk|xai|pplx|hf|r8|ghp|nvapi|fw|tgp)[-_][\w\-*]{6,}"),
        "[redacted]",
    ),
    (
        ("aiza", "akia", "asia", "eyj"),
        when_needed(r"\b(?:AIza[\w\-]{10,}|A[KS]IA[A-Z0-9]{8,}|eyJ[\w\-.=]{16,})"),
        "[redacted]",
    ),
    (("@",), when_needed(r"://[^\s/@]{1,200}@"), "://[redacted]@"),
    (
        ("key", "token", "secret", "password"),
        when_needed(
            r"(?i)((?:key|token|secret|password)(?: provided| is)?[\"']? ?[=:] ?[\"']?)"
            r"[^\s\"',;&)}\]]+"
        ),
        r"\1[redacted]",
    ),
    (("",), when_needed(r"\b(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}\b"), "[redacted]"),
)


def for_people(text: str) -> str:
    """Prepare a text to be shown: one line, without what looks like a key, cut."""
    shown = " ".join(text[:_LONGEST_TEXT].split())[: 4 * LONGEST_MESSAGE]
    if len(shown) >= _SHORTEST_SECRET:
        lower = shown.lower()
        for hints, pattern, replacement in _SECRETS:
            if any(hint in lower for hint in hints):
                shown = pattern().sub(replacement, shown)
    return shown if len(shown) <= LONGEST_MESSAGE else shown[: LONGEST_MESSAGE - 1] + "…"


def in_words(text: str) -> str:
    """Write a text as lower-case words between single spaces, sentences ended by a dot."""
    text = (
        text.lower().replace("n't", " not").replace("n\u2019t", " not").replace("cannot", "can not")
    )
    words = _WORD().findall(text.replace("'s ", " "))
    return " " + " ".join("." if word in ".!?;" else word for word in words) + " "


def split_camel_case(code: str) -> str:
    """Put spaces into a code: `RateLimitReached` reads as `Rate Limit Reached`."""
    return _CAMEL().sub(" ", code)
