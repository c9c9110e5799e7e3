"""The chat profile: one request and one answer for all chat models, and their adapters.

Apart from the top level, which it would make slower to import. An SDK is imported by the first
adapter that is made for it. See `docs/chat.md`.
"""

from fsm_fallback.providers.anthropic import AnthropicChat
from fsm_fallback.providers.chat import (
    ChatMessage,
    ChatPiece,
    ChatReply,
    ChatRequest,
    Image,
    UnusableReply,
    describe_chat,
)
from fsm_fallback.providers.openai import OpenAIChat

__all__ = [
    "AnthropicChat",
    "ChatMessage",
    "ChatPiece",
    "ChatReply",
    "ChatRequest",
    "Image",
    "OpenAIChat",
    "UnusableReply",
    "describe_chat",
]
