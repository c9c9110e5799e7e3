"""One request of one emulated provider: understood, journalled, and given its plan.

Runs in the loop's thread, but for the user's responders: each runs in a thread of its own, so that
one that blocks delays nobody else. Their errors are kept and raised when the emulator stops.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import Future
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import attrs

from fsm_fallback.testing.emulator.asked import Asked, request_id
from fsm_fallback.testing.emulator.dialect import ErrorWords, texts_of
from fsm_fallback.testing.emulator.faults import Reply, Step
from fsm_fallback.testing.emulator.journal import EmulatedRequest, Journal, without_secrets
from fsm_fallback.testing.emulator.parts import Plan
from fsm_fallback.testing.emulator.plan import plan, reject
from fsm_fallback.testing.emulator.script import Script, check_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsm_fallback.testing.emulator.dialect import Dialect, Endpoint, Json
    from fsm_fallback.testing.emulator.journal import Ended, Report
    from fsm_fallback.testing.emulator.script import Responder
    from fsm_fallback.testing.emulator.wire import Head

_ECHOED_CHARACTERS: Final = 200


@attrs.frozen(kw_only=True)
class Setting:
    """What the requests of one provider have in common; `text` is None for an echo."""

    name: str
    dialect: Dialect
    text: str | None
    clock: Callable[[], float]
    journal: Journal
    script: Script = attrs.field(factory=Script)


class ProviderExchange:
    """Makes the plan of each request of one provider; implements `connection.Exchange`."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._numbers = count(1)
        self._released = asyncio.Event()
        self._responding: set[threading.Thread] = set()
        self.errors: Final[list[BaseException]] = []

    async def plan(self, head: Head, body: bytes | None) -> tuple[Plan, Report]:
        """Return the plan of a request and enter it in the journal; an error of ours is a 500."""
        number = next(self._numbers)
        try:
            return await self._plan(head, body, number)
        except Exception as error:  # noqa: BLE001  # kept, and raised by Emulator.stop
            return self._fail(error, number), _report_nothing

    @property
    def released(self) -> asyncio.Event:
        """Set by the next `release`."""
        return self._released

    async def release(self) -> None:
        """Let the requests that have arrived go on, wherever they hang now or would later."""
        self._released.set()
        self._released = asyncio.Event()

    def join_responders(self, give_up_after: float) -> None:
        """Wait for the responders that still run; called from outside the loop.

        Raises:
            RuntimeError: If one still runs after `give_up_after` seconds of real time.
        """
        give_up_at = time.monotonic() + give_up_after
        for thread in tuple(self._responding):
            thread.join(max(0.0, give_up_at - time.monotonic()))
            if thread.is_alive():
                raise RuntimeError(
                    f"a responder of provider {self._setting.name!r} still runs after "
                    f"{give_up_after!r} s; let it return when its client has left"
                )

    async def _plan(self, head: Head, body: bytes | None, number: int) -> tuple[Plan, Report]:
        setting = self._setting
        content = _read_json(body)
        request = self._describe(head, content)
        match self._route(head, body):
            case ErrorWords() as words:
                made = reject(words, setting.dialect, request_id(number))
            case endpoint:
                asked = Asked(
                    dialect=setting.dialect,
                    endpoint=endpoint,
                    number=number,
                    created=int(time.time()),
                    model=request.model or "",
                    stream=request.stream,
                    body=content,
                    text=self._default_text(request),
                )
                made = await self._carry_out(request, asked)
        return made, setting.journal.add(request, made.outcome, made.status)

    async def _carry_out(self, request: EmulatedRequest, asked: Asked) -> Plan:
        step = self._setting.script.take()
        try:
            return plan(step if isinstance(step, Step) else await self._ask(step, request), asked)
        except asyncio.CancelledError:
            report = self._setting.journal.add(request, "left", None)
            report(0, "left")
            raise
        except BaseException as error:  # noqa: BLE001  # pytest.fail raises one; kept, see `plan`
            return self._fail(error, asked.number)

    async def _ask(self, responder: Responder, request: EmulatedRequest) -> Step:
        decided: Future[Step] = Future()
        decided.set_running_or_notify_cancel()  # so that a client that leaves cannot cancel it

        def decide() -> None:
            try:
                decided.set_result(_as_step(responder(request)))
            except BaseException as error:  # noqa: BLE001  # raised where it is awaited
                decided.set_exception(error)
            finally:
                self._responding.discard(threading.current_thread())

        thread = threading.Thread(
            target=decide, name=f"responder of {self._setting.name}", daemon=True
        )
        self._responding.add(thread)
        thread.start()
        return await asyncio.wrap_future(decided)

    def _fail(self, error: BaseException, number: int) -> Plan:
        self.errors.append(error)
        dialect = self._setting.dialect
        words = dialect.words_for(HTTPStatus.INTERNAL_SERVER_ERROR)
        return attrs.evolve(reject(words, dialect, request_id(number)), outcome="failed")

    def _route(self, head: Head, body: bytes | None) -> Endpoint | ErrorWords:
        dialect = self._setting.dialect
        endpoint = dialect.endpoint(head.path)
        if endpoint is None:
            known = ", ".join(each.path for each in dialect.endpoints)
            message = f"{head.method} {head.path} is not emulated; known are POST {known}"
            return attrs.evolve(dialect.words_for(HTTPStatus.NOT_FOUND), message=message, code=None)
        if head.method != "POST":
            return dialect.words_for(HTTPStatus.METHOD_NOT_ALLOWED)
        if body is None:
            return dialect.words_for(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return endpoint

    def _describe(self, head: Head, content: Json | None) -> EmulatedRequest:
        setting = self._setting
        model = (content or {}).get("model")
        return EmulatedRequest(
            provider=setting.name,
            dialect=setting.dialect.name,
            at=setting.clock(),
            method=head.method,
            path=head.path,
            model=model if isinstance(model, str) and model else None,
            stream=(content or {}).get("stream") is True,
            headers=without_secrets(head.headers),
            body=content,
            prompt=_prompt(content or {}),
        )

    def _default_text(self, request: EmulatedRequest) -> str:
        if self._setting.text is not None:
            return self._setting.text
        return f"[emulated {self._setting.name}] {request.prompt[:_ECHOED_CHARACTERS]}"


def _report_nothing(_pieces: int, _ended: Ended | None) -> None:
    """Do nothing: the request is in no journal."""


def _read_json(body: bytes | None) -> Json | None:
    try:
        content: Any = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _prompt(body: Json) -> str:
    messages = body.get("messages", body.get("input"))
    last = messages[-1] if isinstance(messages, list) and messages else messages
    return "\n".join(texts_of(last))


def _as_step(reply: object) -> Step:
    if reply is None:
        return Reply()
    if isinstance(reply, str):
        return Reply(reply)
    return check_step("what the responder returned", reply)
