"""What is wrong with a part of a file, in words: its path, its value, the remedy.

cattrs gathers what went wrong into a tree; the leaves are told here, each with its path. What looks
like a key is never shown, wherever it stands, and of a string where none should be nothing is, if
it does not look like a word: it may be a password.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import attrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from fsm_fallback.config.parts import GIVEN_IN_CODE, Path
from fsm_fallback.core.bounds import shown
from fsm_fallback.core.parameters import FallbackConfig
from fsm_fallback.errors import ConfigurationError

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_MAY_BE_KEY: Final = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|r8|ghp|pplx|AKIA|AIza|ya29|eyJ)[-_.]?[\w.-]{8,}"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])[A-Za-z0-9]{32,}(?![A-Za-z0-9])"
    r"|(?<=Bearer )\S{4,}(?=')|(?<=Basic )\S{4,}(?=')"
)
_STRING: Final = re.compile(r"""(?<= is )('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?=; give )""")
_WORD: Final = re.compile(r"""(['"])(?:(?!(?:[^\d]*\d){5})[\w.:+-]{0,20}|\d{4}-\d\d-\d\d)\1""")
_CHOICE: Final = re.compile(r" is '([\w.:+-]+)'; (give one of (\w+(?:, (?!or )\w+)*))(?=$|, or )")
_OR_NONE: Final = ", or None"
_NOT_SHOWN: Final = "(may be a key, not shown)"
_KEY_WORDS: Final = ("key", "token", "secret", "password")


PLAIN_KEYS: Final = (
    "name",
    *(each.name for each in attrs.fields(FallbackConfig) if not attrs.has(type(each.default))),
    "strategy",
)
"""The keys of a file that are no tables, or may be none: they stand above the first table."""


class RefusedError(Exception):
    """A value that is none of the wanted; `at` is its path below the part that was read."""

    def __init__(self, value: object, wanted: str, at: Path = ()) -> None:
        self.fact = f"is {shown(value)}"
        self.wanted = wanted
        self.at = at
        super().__init__(wanted)


class MissingError(RefusedError):
    """A value that has to be given and is not."""

    def __init__(self, wanted: str, at: Path = ()) -> None:
        super().__init__(None, wanted, at)
        self.fact = "is missing"


def told(error: Exception, path: Path = ()) -> Iterator[str]:
    """Every problem in a tree of errors, each with its path.

    Args:
        error: What structuring raised.
        path: Where the structured part stands in the file.
    """
    match error:
        case RefusedError():
            yield _worded(f"{dotted((*path, *error.at))} {error.fact}; give {error.wanted}")
        case ConfigurationError():
            for problem in error.problems:
                yield _worded(_moved(problem, path))
        case ForbiddenExtraKeysError():
            yield from unknown_keys(error.extra_fields, keys_of(error.cl), path)
        case BaseValidationError():
            for each in error.exceptions:
                yield from told(each, (*path, *_step(each)))
        case _:
            raise error


def unknown_keys(unknown: Iterable[object], known: Collection[str], path: Path) -> Iterator[str]:
    """A problem for each key that nobody knows, with the nearest one that is known."""
    for key in sorted(map(str, unknown)):
        if "api_key_env" in known and any(word in key.lower() for word in _KEY_WORDS):
            remedy = "give api_key_env, the NAME of an environment variable; no key in a file"
        elif path and key in PLAIN_KEYS:
            remedy = "it belongs to the whole file, above its first table"
        elif near := difflib.get_close_matches(key, known, n=1):
            remedy = f"did you mean {near[0]!r}"
        else:
            remedy = f"give one of {', '.join(known)}"
        yield hidden(f"{dotted((*path, key))} is unknown; {remedy}")


def keys_of(part: type[Any]) -> tuple[str, ...]:
    """The keys a part may have in a file, in order."""
    return tuple(
        each.name for each in attrs.fields(part) if each.init and each.name not in GIVEN_IN_CODE
    )


def dotted(path: Path) -> str:
    """A path as it is written: `providers[1].price`, `models."gpt-4.1"`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE.fullmatch(step) else f'"{step}"'
            text += f".{key}" if text else key
    return text or "the file"


def hidden(problem: str) -> str:
    """A problem without anything that looks like a key."""
    return _MAY_BE_KEY.sub(_NOT_SHOWN, problem)


def _worded(problem: str) -> str:
    """A problem with the string that was found only if that looks like a word.

    That is one of 20 characters at most, letters, digits and `_.:+-`, of which 4 are digits at
    most; or a date.
    """
    if problem.endswith(_OR_NONE):  # which TOML has not
        problem = f"{problem.removesuffix(_OR_NONE)}, or leave it out"
    found = _STRING.search(problem)
    if found is None or (_WORD.fullmatch(found[0]) and hidden(found[0]) == found[0]):
        return hidden(_CHOICE.sub(_meant, problem))
    return hidden(f"{problem[: found.start()]}a string {_NOT_SHOWN}{problem[found.end() :]}")


def _meant(choice: re.Match[str]) -> str:
    """A word that is none of a few, with the one that is meant."""
    word, remedy, words = choice.groups()
    near = difflib.get_close_matches(word.lower(), words.split(", "), n=1)
    return f" is {word!r}; did you mean {near[0]!r}" if near else f" is {word!r}; {remedy}"


def _moved(problem: str, path: Path) -> str:
    """A problem of a class, told of the place where it stands in the file."""
    owner, dot, rest = problem.partition(".")
    if not dot or not owner.isidentifier() or not owner[0].isupper():
        return problem
    return f"{dotted(path)}.{rest}" if path else rest


def _step(error: Exception) -> Path:
    """The step that cattrs noted on an error."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return (note.name,)
        if isinstance(note, IterableValidationNote):
            return (note.index,)
    return ()
