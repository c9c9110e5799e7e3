"""What an error body says: codes, numbers, words and delays out of JSON, event streams or text.

It knows the keys under which providers put these, not what they mean: a key is looked up in a
table of roles, whatever dialect the body is written in. It refuses to read everything: nodes,
text and events are capped, and a body is walked without recursion, so that a hostile one costs
microseconds. Only keys known to hold errors are descended into, for bodies echo requests.
"""

from __future__ import annotations

import re
import reprlib
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import Final

from fsm_fallback.providers.patterns import when_needed
from fsm_fallback.providers.signals import squashed

_MOST_NODES: Final = 200
_MOST_ITEMS: Final = 64
_LONGEST_JSON: Final = 262_144
_LONGEST_TEXT: Final = 4_096
_LONGEST_CODE: Final = 64
_LONGEST_STREAM: Final = 65_536
_HTTP_STATUSES: Final = range(100, 600)
_DIALECT_CODES: Final = range(1_000, 10_000_000)


class _Role(Enum):
    """What is read from the value of a key: its own meaning, and whether to look inside."""

    __hash__ = object.__hash__

    CODE = "code"
    STATUS = "status"
    TEXT = "text"
    INSIDE = "inside"
    DELAY = "delay"
    HEADERS = "headers"
    PARAM = "param"


# fmt: off
_ROLES: Final[dict[_Role, str]] = {
    _Role.CODE: "code type status errortype errorcode reason quotaid limitsource blockreason "
                "finishreason stopreason",
    _Role.STATUS: "statuscode rawstatuscode httpstatuscode httpstatus",
    _Role.TEXT: "message msg errormessage errordescription title raw",
    # Text when they hold text, else a place to look into.
    _Role.INSIDE: "error errors detail details innererror metadata response body violations fault "
                  "exception choices candidates promptfeedback lasterror incompletedetails cause "
                  "responsemetadata",
    _Role.DELAY: "retrydelay retryafter retryafterms retryafterseconds estimatedtime",
    _Role.HEADERS: "headers httpheaders",
    _Role.PARAM: "param",
}
# fmt: on
_ROLE_OF: Final = {key: role for role, keys in _ROLES.items() for key in keys.split()}

_QUOTA_WINDOW: Final = when_needed(r"Per(Second|Minute|Hour|Day|Month)")
_CODE_IN_TEXT: Final = when_needed(
    r"""["'](?:code|type|status|reason)["'] ?: ?["']([A-Za-z][\w.\-]{1,63})["']"""
)
_STATUS_IN_TEXT: Final = when_needed(
    r"(?:^(?=... [A-Z]|...:|...$)|[Ee]rror code:? |HTTP(?:/\d(?:\.\d)?)? |"
    r"[Ss]tatus(?:[ _][Cc]ode)?[:=]? ?)([45]\d\d)\b"
)
_NAME_IN_TEXT: Final = when_needed(r"(?:^|[(.])([A-Za-z]{3,60}(?:Exception|Error|Timeout))\b")
_STREAM_LINE: Final = when_needed(r"^(?:data|event|id|retry)?:", re.MULTILINE)
_LAST_EVENTS: Final = (
    "[DONE]",
    "message_stop",
    "response.completed",
    "response.incomplete",
    '"done":true',
)
_PAGE: Final = when_needed(r"<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
_PAGE_TITLE: Final = when_needed(r"<title[^<>]{0,200}>([^<]{0,300})", re.IGNORECASE)
_TAG: Final = when_needed(r"<[^<>]{0,500}>")


class Said:
    """What was found in a body.

    Attributes:
        codes: Error types and codes, as written.
        names: Exception names that open a text.
        numbers: Numbers that are HTTP statuses.
        texts: The error's own words, the outermost first.
        shown: What people see where there are no such words. Not judged: it may quote the answer.
        fields: Delay fields by name.
        headers: Headers that a body quotes.
        param: The parameter the error is about.
        is_error: Whether the body itself claims to be an error.
        is_page: Whether it is an HTML page: an edge speaks, not the API.
        is_cut: Whether it is an event stream without error and without its last event.
    """

    __slots__ = (
        "codes",
        "fields",
        "headers",
        "is_cut",
        "is_error",
        "is_page",
        "names",
        "numbers",
        "param",
        "shown",
        "texts",
    )

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.names: list[str] = []
        self.numbers: list[int] = []
        self.texts: list[str] = []
        self.shown = ""
        self.fields: list[tuple[str, object]] = []
        self.headers: dict[str, str] = {}
        self.param: str | None = None
        self.is_error = False
        self.is_page = False
        self.is_cut = False


def read_body(body: object) -> Said:
    """Read an error body of any shape: a mapping, a list, text, bytes or None.

    JSON text is opened, also inside messages; of an event stream the events are read that can hold
    an error. What is longer than the caps is read in part.
    """
    said = Said()
    if isinstance(body, (bytes, bytearray)):
        body = bytes(body[:_LONGEST_JSON]).decode("utf-8", "replace")
    if isinstance(body, str):
        _read_text_body(body, said)
    elif isinstance(body, (Mapping, list, tuple)):
        _read_parsed(body, said)
    return said


def is_empty(body: object) -> bool:
    """Tell whether a body says nothing at all."""
    if isinstance(body, (str, bytes, bytearray)):
        return not body[:_LONGEST_TEXT].strip()
    return body is None or (isinstance(body, (Mapping, list, tuple)) and not body)


def note_code(value: object, said: Said) -> None:
    """Note an error code: text, a number that may be an HTTP status, or an enum of either."""
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, (str, int)) else value.name
    if isinstance(value, str):
        _note_code_text(value, said)
    elif isinstance(value, int) and not isinstance(value, bool):
        if value in _HTTP_STATUSES:
            said.numbers.append(int(value))
        elif value in _DIALECT_CODES:
            said.codes.append(str(int(value)))


def _note_code_text(code: str, said: Said) -> None:
    if len(code) > _LONGEST_CODE or " " in code:  # xAI puts a sentence there
        said.texts.append(code[:_LONGEST_TEXT])
        return
    # Google puts a URL before the name, Amazon a namespace and "#", or ":" and a URL after it.
    code = code.split(":", 1)[0].rsplit("#", 1)[-1].rsplit("/", 1)[-1].removeprefix("google.rpc.")
    if code.isascii() and code.isdigit() and int(code) in _HTTP_STATUSES:
        said.numbers.append(int(code))
    elif code == "error":
        said.is_error = True
    else:
        said.codes.append(code)


def _walk(root: object, said: Said) -> None:
    """Visit what can hold an error, breadth first: the outermost message comes first."""
    queue: deque[object] = deque([root])
    for _ in range(_MOST_NODES):
        if not queue:
            return
        node = queue.popleft()
        if isinstance(node, Mapping):
            for key, value in islice(node.items(), _MOST_ITEMS):
                if isinstance(key, str) and value is not None:
                    _read_value(squashed(key[:_LONGEST_CODE]), value, said, queue)
        elif isinstance(node, (list, tuple)):
            queue.extend(islice(node, _MOST_ITEMS))
        elif isinstance(node, str):
            _read_text(node, said, queue)


def _read_value(key: str, value: object, said: Said, queue: deque[object]) -> None:
    match _ROLE_OF.get(key):
        case _Role.CODE | _Role.STATUS:
            note_code(value, said)
            if key == "quotaid" and isinstance(value, str):
                windows = _QUOTA_WINDOW().findall(value[:_LONGEST_TEXT])
                said.codes.extend(f"per_{window}" for window in windows)
        case _Role.TEXT | _Role.INSIDE:
            said.is_error = said.is_error or (key in {"error", "errors"} and bool(value))
            queue.append(value)
        case _Role.DELAY:
            said.fields.append((key, value))
        case _Role.HEADERS:
            if isinstance(value, Mapping):
                items = islice(value.items(), _MOST_ITEMS)
                said.headers.update((str(k)[:_LONGEST_CODE], str(v)) for k, v in items)
        case _Role.PARAM:
            if isinstance(value, str):
                said.param = value[:_LONGEST_CODE]
        case None:  # may echo the request: not looked into
            pass


def _json(text: str) -> object | None:
    """Open JSON text; None if it is not a JSON object or array, or too long."""
    if text[:1] not in {"{", "["} or len(text) > _LONGEST_JSON:
        return None
    import json  # noqa: PLC0415  # not imported with the package

    try:
        opened: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return opened


def _read_text(text: str, said: Said, queue: deque[object]) -> None:
    text = text[: _LONGEST_JSON + 1].strip()
    if (opened := _json(text)) is not None:
        queue.append(opened)
    elif text:
        text = text[:_LONGEST_TEXT]
        if text not in said.texts:
            said.texts.append(text)


def _read_text_body(text: str, said: Said) -> None:
    text = text.lstrip()
    head = text[:_LONGEST_TEXT]
    if _STREAM_LINE().match(head):
        _read_stream(text, said)
    elif _PAGE().search(head):
        said.is_page = True
        title = _PAGE_TITLE().search(head)
        said.texts.append(title.group(1).strip() if title else _TAG().sub(" ", head).strip())
    elif (opened := _json(text.rstrip())) is not None:
        _read_parsed(opened, said)
    elif head[:1] == "{" and "\n{" in text:  # one JSON object per line, as Ollama streams
        _read_stream(text, said)
    elif head[:1] in {"{", "["}:  # cut or too long
        said.shown = head
        read_loose_text(head, said)
    elif head:
        said.texts.append(head.rstrip())
        read_loose_text(head, said)


def _read_parsed(body: object, said: Said) -> None:
    _walk(body, said)
    if body and not said.texts:  # an unknown dialect, cut by reprlib
        said.shown = reprlib.repr(body)


def read_loose_text(text: str, said: Said) -> None:
    """Note what a text quotes: a status, codes of a body printed into it, an exception's name."""
    if "'" in text or '"' in text:
        said.codes.extend(islice(_matches(_CODE_IN_TEXT(), text), _MOST_ITEMS))
    if "Error" in text or "Exception" in text or "Timeout" in text:
        names = list(islice(_matches(_NAME_IN_TEXT(), text), _MOST_ITEMS))
        said.names.extend(names)
        said.codes.extend(names)  # Amazon's codes are class names
    if "4" in text or "5" in text:
        said.numbers.extend(map(int, islice(_matches(_STATUS_IN_TEXT(), text), _MOST_ITEMS)))


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (match.group(1) for match in pattern.finditer(text))


def _read_stream(text: str, said: Said) -> None:
    """Read the events that can hold an error; it is among the first, or it is the last."""
    if len(text) > 2 * _LONGEST_STREAM:
        text = text[:_LONGEST_STREAM] + "\n" + text[-_LONGEST_STREAM:]
    for line in text.splitlines():
        if line.startswith(("data:", "{")) and ("error" in line or '"response.failed"' in line):
            opened = _json(line.removeprefix("data:").strip())
            if isinstance(opened, Mapping) and _claims_error(opened):
                said.is_error = True
                _walk(opened, said)
        elif line.startswith("event:") and line[6:].strip() in {"error", "response.failed"}:
            said.is_error = True
    said.is_cut = not said.is_error and not any(last in text for last in _LAST_EVENTS)


def _claims_error(event: Mapping[object, object]) -> bool:
    if event.get("error") or event.get("type") in {"error", "response.failed"}:
        return True
    choices = event.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, Mapping) and bool(choice.get("error"))
        for choice in islice(choices, _MOST_ITEMS)
    )
