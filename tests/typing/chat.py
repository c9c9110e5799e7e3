"""What type checkers infer of the chat profile: read by mypy and pyright, never run.

Each `type: ignore` names a mistake that is found; both checkers complain of one that is not needed.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import assert_type

from fsm_fallback import FallbackProvider, provider
from fsm_fallback.chat import AnthropicChat, ChatReply, ChatRequest, OpenAIChat

gpt, claude = OpenAIChat("gpt", model="m"), AnthropicChat("claude", model="m")
chain = FallbackProvider(gpt, claude)


@provider("own")
def ask_another(request: ChatRequest | str, *, timeout: float | None = None) -> int:
    """Answer with something else."""
    return len(str(request)) + int(timeout or 0)


async def one_chain_has_one_type_of_answer() -> None:
    """Whole or in pieces, plain or awaited."""
    assert_type(chain.call("Why?"), ChatReply)
    assert_type(chain.call(ChatRequest(messages="Why?")), ChatReply)
    assert_type(await chain.acall("Why?", timeout=3), ChatReply)
    for piece in chain.stream("Why?"):
        assert_type(piece, ChatReply)
    async for piece in chain.astream("Why?"):
        assert_type(piece, ChatReply)
    assert_type(FallbackProvider(gpt).call("Why?"), ChatReply)
    assert_type(FallbackProvider(gpt, ask_another).call("Why?"), ChatReply | int)


def mistakes() -> None:
    """Each is found before the program runs."""
    chain.call(3)  # type: ignore[arg-type]
    gpt.call()  # type: ignore[call-arg]
    OpenAIChat("gpt")  # type: ignore[call-arg]
    OpenAIChat("gpt", model="m", api_key="k")  # type: ignore[call-arg]
    chain.call("Why?").tokens  # type: ignore[attr-defined]  # noqa: B018  # the mistake is the point
