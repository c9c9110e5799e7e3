"""What an exception or a response shows: one `Evidence`, measured once, before a row is chosen.

Exceptions are read by duck typing: class names along the MRO and the attributes that SDKs share.
No SDK is imported, for two incompatible `httpx` generations are in use. Nothing is downloaded to
learn more: the content of a response is used only if it has been read already. Attributes may
raise, texts may be huge, causes may be circular; none of it reaches the caller.
"""

# Without `from __future__ import annotations`: a named tuple compiles each annotation that is text.

import errno
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from fsm_fallback.providers.bodies import Said, is_empty, note_code, read_body, read_loose_text
from fsm_fallback.providers.patterns import when_needed
from fsm_fallback.providers.signals import Fact, squashed
from fsm_fallback.providers.waits import named_wait
from fsm_fallback.providers.wording import for_people, in_words, split_camel_case

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

_LONGEST_TEXT: Final = 4_096
_MOST_LINKS: Final = 32
_MOST_FRAMES: Final = 200
_MOST_HEADERS: Final = 256
_SHOWN_TEXTS: Final = 3
_SUCCESS: Final = range(200, 300)
_ERRORS: Final = range(400, 600)
_BARE_STATUSES: Final = frozenset({400, 415, 422})
_QUOTING_STATUSES: Final = frozenset({400, 422})
_NOT_FOUND: Final = 404
_MODEL_PARAMS: Final = frozenset({"model", "engine", "deployment"})

_CODE_ATTRIBUTES: Final = (
    "status_code",
    "http_status",
    "status",
    "code",
    "type",
    "error_code",
    "error_type",
)
GROUPS: Final = frozenset({"ExceptionGroup", "BaseExceptionGroup"})
"""Classes whose members are what went wrong."""

_OURS: Final = "fsm_fallback"
# What stands between our call and the callable it calls: worker threads, partials, contexts.
_MACHINERY: Final = frozenset(
    {
        "anyio",
        "asyncio",
        "concurrent",
        "contextlib",
        "contextvars",
        "functools",
        "outcome",  # in which trio brings back what a thread came to
        "threading",
        "trio",
    }
)
_NO_MEANING: Final = frozenset({"object", "BaseException", "Exception"})
# Names that mean the caller left only on a BaseException: google.api_core has a `Cancelled` of its
# own, and an ExceptionGroup is a BaseExceptionGroup.
_CONTROL_FLOW_ONLY: Final = frozenset({"Cancelled", "BaseExceptionGroup"})
# Their texts quote code, not providers: "unsupported operand" is not an unsupported feature.
_PROGRAMMING_ERRORS: Final = frozenset(
    {TypeError, AttributeError, KeyError, IndexError, NameError, UnboundLocalError, AssertionError}
)

_STATUS_LINE: Final = when_needed(
    r"(?:error code: |http error )?[45]\d\d\W{0,8}(?:bad request|none)?$|(?:client|server) error '|"
    r"[45]\d\d (?:client|server) error:|bad request$",
    re.IGNORECASE,
)
_LIMITS_NAMED: Final = when_needed(
    r"\blimit:? (\d[\d,]{0,15})\b[^.]{0,80}?\brequested:? ~?(\d[\d,]{0,15})", re.IGNORECASE
)


class Evidence(NamedTuple):
    """Everything a row of the fault table may ask for.

    Args:
        names: Exception class names, the raised class first.
        codes: Squashed error types and codes.
        words: The text in lower-case words between single spaces, sentences ended by a dot.
        status: The error's HTTP status; 200 for a success that names no error; None if unknown.
        facts: What was measured from several parts at once.
        message: The provider's own words for people, redacted and cut.
        wait: Seconds the provider named.
    """

    names: tuple[str, ...] = ()
    codes: frozenset[str] = frozenset()
    words: str = " "
    status: int | None = None
    facts: frozenset[Fact] = frozenset()
    message: str = ""
    wait: float | None = None


def has_origins(error: BaseException) -> bool:
    """Tell whether an error may have come from another one; quicker than `origins`."""
    try:
        if error.__cause__ is not None:
            return True
        if error.__context__ is not None and not error.__suppress_context__:
            return True
    except Exception:  # noqa: BLE001  # as in `attribute`
        return True
    return type(error).__name__ in GROUPS


def origins(error: BaseException) -> Iterator[BaseException]:
    """Walk to what an error came from: causes, contexts, members of a plain group.

    Nearest first, each once. A context hidden by `raise … from None` stays hidden.
    """
    waiting = deque(_behind(error))
    seen = {id(error)}
    while waiting and len(seen) < _MOST_LINKS:
        origin = waiting.popleft()
        if id(origin) not in seen:
            seen.add(id(origin))
            yield origin
            waiting.extend(_behind(origin))


def _behind(error: BaseException) -> Iterator[BaseException]:
    if type(error).__name__ in GROUPS:
        yield from islice(_exceptions(attribute(error, "exceptions")), _MOST_LINKS)
    cause = attribute(error, "__cause__")
    if cause is None and not attribute(error, "__suppress_context__"):
        cause = attribute(error, "__context__")
    if isinstance(cause, BaseException):
        yield cause


def evidence_of_error(error: BaseException, *, now: "datetime | None" = None) -> Evidence:
    """Measure one exception, without its causes."""
    kind: type = type(error)
    names = class_names(kind)
    text = _text_of(error)
    if kind.__module__ == "builtins" and not attribute(error, "__dict__"):
        return _evidence_of_builtin(error, names, text, now)
    response = _first_attribute(error, "response", "raw_response", "http_response")
    body = _body_of(error, response)
    said = read_body(body)
    said.param = _text(attribute(error, "param")) or said.param
    statuses = _note_attributes(error, response, said, names)
    headers = _lower(_first_present(attribute(error, "headers"), attribute(response, "headers")))
    unsaid = is_empty(body) and (not text or _STATUS_LINE().match(text) is not None)
    if not said.texts and not said.shown and not unsaid:
        said.texts.append(text)
        read_loose_text(text, said)
    if (wait := attribute(error, "retry_after")) is not None:  # this library's own, nested
        said.fields.insert(0, ("retry_after", wait))
    return _weighed(said, statuses, headers, names=names, unsaid=unsaid, text=text, now=now)


def evidence_of_response(
    *,
    status: int | None,
    headers: object,
    body: object,
    provider: str | None,
    now: "datetime | None" = None,
) -> Evidence:
    """Measure a response that no SDK turned into an exception."""
    said = read_body(body)
    if provider is not None:  # numbers mean something only in a provider's own dialect
        said.codes.extend([f"{provider}:{code}" for code in said.codes if code.isdigit()])
    statuses = [status] if isinstance(status, int) else []
    return _weighed(said, statuses, _lower(headers), unsaid=is_empty(body), now=now)


def attribute(thing: object, name: str) -> object:
    """Read an attribute; None if there is none or it raises."""
    try:
        value: object = getattr(thing, name, None)
    except Exception:  # noqa: BLE001  # a property of a foreign class may raise anything
        return None
    return value


@lru_cache(maxsize=1024)
def class_names(kind: type) -> tuple[str, ...]:
    """List the names along the MRO that can mean something, the nearest first."""
    ignored = _NO_MEANING | _CONTROL_FLOW_ONLY if issubclass(kind, Exception) else _NO_MEANING
    return tuple(c.__name__ for c in kind.__mro__ if c.__name__ not in ignored)


def raised_at_the_call(error: BaseException) -> bool:
    """Tell whether an exception was raised by our call itself, before any user code ran.

    So it is when the traceback reaches a frame of this package, and every frame below it is ours
    or call machinery (a worker thread, a partial). Wrong arguments are found by the interpreter in
    the calling frame: the callee has none yet. Frames above our first one are the caller's.
    """
    below: list[str] = []
    traceback: TracebackType | None = error.__traceback__
    for _ in range(_MOST_FRAMES):
        if traceback is None:
            break
        module = traceback.tb_frame.f_globals.get("__name__")
        package = module.partition(".")[0] if isinstance(module, str) else ""
        if below or package == _OURS:
            below.append(package)
        traceback = traceback.tb_next
    return bool(below) and traceback is None and {_OURS, *_MACHINERY}.issuperset(below)


def _evidence_of_builtin(
    error: BaseException, names: tuple[str, ...], text: str, now: "datetime | None"
) -> Evidence:
    """Measure an exception of Python itself: its class, its text and its errno are all it has."""
    facts: set[Fact] = set()
    if type(error) is TypeError:
        if "resolve authentication method" in text:  # the Anthropic SDK, without a key
            facts.add(Fact.NO_CREDENTIALS)
        elif raised_at_the_call(error):
            facts.add(Fact.CALL_BOUNDARY)
    said = Said()
    if type(error) not in _PROGRAMMING_ERRORS and text:
        said.texts.append(text)
        read_loose_text(text, said)
    _note_errno(error, said)
    return _weighed(said, (), {}, names=names, unsaid=not text, text=text, facts=facts, now=now)


def _weighed(
    said: Said,
    statuses: Sequence[int],
    headers: dict[str, str],
    *,
    names: tuple[str, ...] = (),
    unsaid: bool,
    text: str = "",
    facts: Iterable[Fact] = (),
    now: "datetime | None",
) -> Evidence:
    """Put together what was said and under which status, and measure the facts.

    `text` is shown to people where the body has nothing to show.
    """
    if (error_type := headers.get("x-amzn-errortype")) is not None:
        note_code(error_type, said)
    answered = statuses[0] if statuses else None
    status = _error_status(statuses, said)
    spoken = " . ".join(said.texts)[:_LONGEST_TEXT]
    wait = None
    if headers or said.headers or said.fields or spoken:
        quoted = {**_lower(said.headers), **headers} if said.headers else headers
        wait = named_wait(status=answered, headers=quoted, fields=said.fields, text=spoken, now=now)
    # A page is written by an edge, in marketing words: only its status counts.
    heard = [] if said.is_page else [spoken]
    heard.extend(map(split_camel_case, said.codes))
    return Evidence(
        names=(*names, *said.names),
        codes=frozenset(map(squashed, said.codes)),
        words=in_words(" . ".join(heard)),
        status=status,
        facts=frozenset((*facts, *_facts(said, status, spoken, unsaid=unsaid))),
        message=for_people("; ".join(said.texts[:_SHOWN_TEXTS]) or said.shown or text),
        wait=wait,
    )


def _error_status(statuses: Sequence[int], said: Said) -> int | None:
    """Find the status of the error; a success that carries an error has none."""
    for number in (*statuses, *said.numbers):
        if number in _ERRORS:
            return number
    return 200 if statuses and statuses[0] in _SUCCESS and not said.is_error else None


def _facts(said: Said, status: int | None, text: str, *, unsaid: bool) -> Iterator[Fact]:
    if status in _BARE_STATUSES and (unsaid or said.is_page):
        yield Fact.NOTHING_SAID
    if said.param and said.param.lower() not in _MODEL_PARAMS:
        if status == _NOT_FOUND:
            yield Fact.PARAM_ELSEWHERE
        if status in _QUOTING_STATUSES:
            yield Fact.PARAM_NAMED
    if said.is_cut and status in {None, 200}:
        yield Fact.CUT_STREAM
    if "requested" in text.lower():  # a look is cheaper than the search
        named = _LIMITS_NAMED().findall(text)
        if any(_value(limit) < _value(asked) for limit, asked in named):
            yield Fact.OVER_FIXED_LIMIT


def _note_attributes(
    error: BaseException, response: object, said: Said, names: tuple[str, ...]
) -> list[int]:
    """Note the codes an exception carries, and return the statuses it carries, the best first."""
    noted = Said()
    for name in _CODE_ATTRIBUTES:
        value = attribute(error, name)
        if callable(value) and "RpcError" in names:  # grpc: code() -> StatusCode
            value = value()
        note_code(value, noted)
    note_code(attribute(response, "status_code"), noted)
    note_code(attribute(response, "status"), noted)
    _note_errno(error, noted)
    said.codes.extend(noted.codes)
    return noted.numbers


def _note_errno(error: BaseException, said: Said) -> None:
    number = attribute(error, "errno")
    if isinstance(number, int) and number in errno.errorcode:
        said.codes.append(errno.errorcode[number])


def _body_of(error: BaseException, response: object) -> object:
    """Find the error body an exception carries; only what is in memory already."""
    candidates = (
        attribute(error, "body"),
        response if isinstance(response, Mapping) else None,
        # Where httpx, httpx2 and requests keep what was read; asking `.content` may read more.
        attribute(response, "_content"),
        _collection(attribute(error, "details")),
        attribute(error, "http_body"),
        _collection(attribute(error, "error")),
    )
    return next((body for body in candidates if not is_empty(body) and body is not False), None)


def _collection(value: object) -> object:
    return value if isinstance(value, (Mapping, list)) else None


def _first_attribute(thing: object, *names: str) -> object:
    return _first_present(*(attribute(thing, name) for name in names))


def _first_present(*values: object) -> object:
    return next((value for value in values if value is not None), None)


def _lower(headers: object) -> dict[str, str]:
    """Copy headers under lower-case names; anything with `items()` will do."""
    items = attribute(headers, "items")
    if not callable(items):
        return {}
    try:
        pairs = cast("Iterable[tuple[object, object]]", items())
        return {str(k).lower(): str(v) for k, v in islice(pairs, _MOST_HEADERS)}
    except Exception:  # noqa: BLE001  # a foreign mapping may raise anything
        return {}


def _exceptions(values: object) -> Iterator[BaseException]:
    if isinstance(values, (tuple, list)):
        yield from (value for value in values if isinstance(value, BaseException))


def _text(value: object) -> str:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _text_of(error: BaseException) -> str:
    if text := _text(attribute(error, "message")):
        return text
    try:
        return str(error)[:_LONGEST_TEXT]
    except Exception:  # noqa: BLE001  # a foreign __str__ may raise anything
        return ""


def _value(number: str) -> int:
    return int(number.replace(",", ""))
