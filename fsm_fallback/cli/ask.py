"""`fsm-fallback ask`: one question to the chain of a configuration file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from fsm_fallback.core.outcome import FaultKind
from fsm_fallback.core.trail import Attempt, Skip, StreamReset
from fsm_fallback.errors import ChainFailed
from fsm_fallback.fallback import FallbackProvider

UNANSWERED: Final = 1
"""Exit code: no provider answered."""

_NOT_FOUND: Final = 404


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("prompt")
@click.option("--stream", is_flag=True, help="Print the answer as it comes.")
@click.option("-v", "--verbose", is_flag=True, help="Tell on stderr who answered, and after whom.")
def ask(config: Path, prompt: str, *, stream: bool, verbose: bool) -> int:
    """Ask the providers of a configuration file, and print the answer.

    PROMPT is the question; "-" reads it from stdin.

    The exit code is 1 if nobody answered, 2 if the file, or what it needs here, cannot work.
    """
    from fsm_fallback.config import create_fallback_provider  # noqa: PLC0415  # --help does without

    question = sys.stdin.read() if prompt == "-" else prompt
    if not question.strip():
        raise click.UsageError("PROMPT is empty; give a question")
    with create_fallback_provider(config) as chain:
        try:
            answer = _streamed(chain, question) if stream else _whole(chain, question)
        except ChainFailed as error:
            if verbose:
                _tell(error.trail)
            click.echo(f"Error: {error.message}", err=True)
            for hint in _hints(error.trail, config):
                click.echo(f"Hint: {hint}", err=True)
            return UNANSWERED
    if verbose:
        _tell(answer.trail)
        click.echo(f"answered by {answer.provider!r}", err=True)
    return 0


def _whole(chain: FallbackProvider[..., Any], question: str) -> Any:
    answer = chain.detailed(question)
    click.echo(_text(answer.value))
    return answer


def _streamed(chain: FallbackProvider[..., Any], question: str) -> Any:
    begun = False
    try:
        with chain.stream_detailed(question) as answer:
            for piece in answer:
                if isinstance(piece, StreamReset):
                    click.echo(f"\n{piece.after!r} broke off, {piece.provider!r} begins", err=True)
                    continue
                begun = True
                click.echo(_text(piece), nl=False)
    finally:
        if begun:
            click.echo()
    return answer


def _text(answer: Any) -> str:
    """What an answer says; an adapter's has `text`."""
    return str(getattr(answer, "text", answer))


def _tell(trail: Iterable[Attempt | Skip]) -> None:
    for line in _lines(trail, ""):
        click.echo(line, err=True)


def _lines(trail: Iterable[Attempt | Skip], indent: str) -> Iterator[str]:
    for each in trail:
        if isinstance(each, Skip):
            because = "" if each.cause is None else f" after {each.cause.kind.value}"
            yield f"{indent}{each.provider!r} skipped: {each.reason}{because}"
            continue
        ended = "answered" if each.fault is None else each.fault.kind.value
        took = f"in {each.duration:.3f} s{_told_error(each)}{_told_usage(each)}"
        yield f"{indent}{each.provider!r} {ended} {took}"
        yield from _lines(each.trail, f"{indent}  ")


def _told_error(attempt: Attempt) -> str:
    """What was raised, by class and status; never its text, which may hold anything."""
    if attempt.error is None or attempt.trail:
        return ""
    status = _status(attempt)
    name = type(attempt.error).__name__
    return f", {name}" if status is None else f", {name} {status}"


def _status(attempt: Attempt) -> int | None:
    status: object = getattr(attempt.error, "status_code", None)
    return status if isinstance(status, int) else None


def _hints(trail: Iterable[Attempt | Skip], config: Path) -> Iterator[str]:
    """What is to be looked at where a first call fails: mostly it is the address."""
    failed = tuple(_failed(trail))
    kinds = {None if each.fault is None else each.fault.kind for each in failed}
    if kinds == {FaultKind.CONNECT}:
        yield "no provider could be reached; check base_url and the network"
        return
    lost = [
        each.provider
        for each in failed
        if each.fault is not None
        and (each.fault.kind is FaultKind.MODEL or _status(each) == _NOT_FOUND)
    ]
    for name, url in _addresses(config).items() if lost else ():
        if name in lost:
            yield f"{name!r} was asked at {url}; check base_url, too: it may lead elsewhere"


def _failed(trail: Iterable[Attempt | Skip]) -> Iterator[Attempt]:
    """The attempts that failed; of a chain that was asked, those of it."""
    for each in trail:
        if isinstance(each, Attempt) and each.fault is not None:
            yield from _failed(each.trail) if each.trail else (each,)


def _addresses(config: Path) -> dict[str, str]:
    """Where each adapter of a file goes."""
    from fsm_fallback.config.drafting import draft  # noqa: PLC0415  # see above
    from fsm_fallback.config.making import url_of  # noqa: PLC0415  # as well
    from fsm_fallback.config.parts import ChatConfig  # noqa: PLC0415  # as well
    from fsm_fallback.config.reading import read  # noqa: PLC0415  # as well
    from fsm_fallback.config.wording import hidden  # noqa: PLC0415  # as well

    return {
        each.name: "the SDK's own address" if (url := url_of(each)) is None else hidden(url)
        for each in draft(read(config)).config.leaves
        if isinstance(each, ChatConfig)
    }


def _told_usage(attempt: Attempt) -> str:
    usage, cost = attempt.usage, getattr(attempt, "cost", None)
    counts = (None, None) if usage is None else (usage.input_tokens, usage.output_tokens)
    tokens = "" if None in counts else f", {counts[0]} + {counts[1]} tokens"
    return tokens if cost is None else f"{tokens}, {cost:f} US dollars"
