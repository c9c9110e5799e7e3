"""The hour as data: four models, five kinds of requests, and what goes wrong when.

Decides nothing. Everything that is drawn is drawn from a seed and the number of the request, so
that each strategy meets the same hour, whatever it asked before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final, Literal

import attrs

from fsm_fallback import Price
from fsm_fallback.chat import ChatMessage, ChatRequest, Image, describe_chat
from fsm_fallback.core.strategies import CONTEXT_WINDOW, CallOptions
from fsm_fallback.providers.chat import VISION
from fsm_fallback.testing import Overloaded, QuotaSpent, RateLimited, Step
from fsm_fallback.testing.emulator import DialectName

MINUTE: Final = 60.0
SEED: Final = 1
REQUESTS_PER_MINUTE: Final = 10
ATTEMPT_TIMEOUT: Final = 12.0
REFUSAL_DURATION: Final = 0.2
"""Seconds until a server has said no, whatever the reason."""

_READ_PER_SECOND: Final = 20_000  # tokens of input
_PAUSES: Final = (0.7, 1.3)  # of the mean between two requests
_LUCK: Final = (0.7, 1.6, 0.9)  # the least, the most and the likeliest share of the usual duration


@attrs.frozen(kw_only=True)
class Model:
    """A model that is made up, and its server.

    Attributes:
        name: Of model and provider.
        dialect: Which API it speaks, and so which SDK asks it.
        price: What it costs.
        capabilities: What it says it can do.
        context_window: Tokens it takes at most.
        first_token: Seconds until it begins to answer, usually.
        tokens_per_second: How fast it writes, usually.
    """

    name: str
    dialect: DialectName
    price: Price
    capabilities: frozenset[str]
    context_window: int
    first_token: float
    tokens_per_second: float

    def lacks(self, images: int, tokens: int) -> str | None:
        """What a request needs that it has not; None if it can serve."""
        if images and VISION not in self.capabilities:
            return VISION
        return CONTEXT_WINDOW if tokens > self.context_window else None


@attrs.frozen(kw_only=True)
class Kind:
    """A kind of request: how often it comes, and how large it is."""

    name: str
    share: int
    input_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    images: int = 0


Trouble = Literal["down", "limited", "slow", "spent"]


@attrs.frozen
class Spell:
    """A time of trouble at one provider, in minutes of the hour."""

    provider: str
    begins: float
    ends: float
    trouble: Trouble
    words: str


_SLOWDOWN: Final = 6.0
"""How many times longer an answer takes in a slow spell."""

_LIMIT_WINDOW: Final = 30.0
_LIMIT_OPEN: Final = 6.0
"""A limited server takes what comes in the first seconds of each window, and no more."""

# fmt: off
# ruff: noqa: E501  # rows are lines
MODELS: Final = (
    Model(name="small",    dialect="openai",    price=Price(input_mtok="0.15", output_mtok="0.60"),
          capabilities=frozenset({"tools"}),           context_window=16_000,    first_token=0.25, tokens_per_second=300),
    Model(name="flagship", dialect="openai",    price=Price(input_mtok="2.50", output_mtok="10"),
          capabilities=frozenset({"tools", "vision"}), context_window=128_000,   first_token=0.5,  tokens_per_second=140),
    Model(name="rival",    dialect="anthropic", price=Price(input_mtok="3", output_mtok="15"),
          capabilities=frozenset({"tools", "vision"}), context_window=200_000,   first_token=0.7,  tokens_per_second=110),
    Model(name="reader",   dialect="anthropic", price=Price(input_mtok="0.10", output_mtok="4"),
          capabilities=frozenset({"tools"}),           context_window=1_000_000, first_token=1.2,  tokens_per_second=80),
)
KINDS: Final = (
    Kind(name="question", share=50, input_tokens=(100, 500),       output_tokens=(100, 400)),
    Kind(name="picture",  share=15, input_tokens=(50, 300),        output_tokens=(100, 300), images=1),
    Kind(name="document", share=15, input_tokens=(18_000, 30_000), output_tokens=(200, 400)),
    Kind(name="digest",   share=10, input_tokens=(8_000, 14_000),  output_tokens=(40, 80)),
    Kind(name="tale",     share=10, input_tokens=(200, 600),       output_tokens=(500, 900)),
)
SPELLS: Final = (
    Spell("small",     8, 16, "down",    "down: 503"),
    Spell("flagship", 20, 27, "limited", "rate limit: takes requests for 6 s of each half minute, else 429 with the Retry-After"),
    Spell("rival",    31, 39, "slow",    "slow: answers take six times as long"),
    Spell("reader",   42, 57, "spent",   "credit spent: 400"),
    Spell("flagship", 50, 53, "down",    "down: 503"),
    Spell("rival",    50, 53, "down",    "down: 529"),
)
# fmt: on


@attrs.frozen(kw_only=True)
class Ask:
    """One request of the hour.

    Attributes:
        number: From 1.
        due_at: When somebody wants to know, in seconds of the hour.
        kind: Of which kind it is.
        request: What is asked; how long its answer will be is its `max_output_tokens`.
    """

    number: int
    due_at: float
    kind: Kind
    request: ChatRequest


def described(ask: Ask) -> CallOptions:
    """What a strategy is told of it: needs and sizes, as of any chat request."""
    return describe_chat(ask.request)


@attrs.frozen(kw_only=True)
class Hour:
    """What is played: so many minutes, with these spells."""

    minutes: float = 60.0
    spells: tuple[Spell, ...] = SPELLS
    seed: int = SEED

    @classmethod
    def pressed_into(cls, minutes: float) -> Hour:
        """The same troubles in so many minutes, at the same pace of requests."""
        share = minutes / cls().minutes
        spells = (
            attrs.evolve(each, begins=each.begins * share, ends=each.ends * share)
            for each in SPELLS
        )
        return cls(minutes=minutes, spells=tuple(spells))

    def asks(self) -> Iterator[Ask]:
        """Every request, in order."""
        drawn = random.Random(f"{self.seed} requests")  # noqa: S311  # a script, no secrets
        weights = [kind.share for kind in KINDS]
        mean, due_at, number = MINUTE / REQUESTS_PER_MINUTE, 0.0, 0
        while (due_at := due_at + mean * drawn.uniform(*_PAUSES)) < self.minutes * MINUTE:
            number += 1
            (kind,) = drawn.choices(KINDS, weights)
            request = _request(
                kind, drawn.randint(*kind.input_tokens), drawn.randint(*kind.output_tokens)
            )
            yield Ask(number=number, due_at=due_at, kind=kind, request=request)

    def spell(self, provider: str, now: float) -> Spell | None:
        """The trouble a provider is in; None if it is well."""
        for each in self.spells:
            if each.provider == provider and each.begins <= now / MINUTE < each.ends:
                return each
        return None

    def refusal(self, provider: str, now: float) -> Step | None:
        """What a server says to every request at that time; None if it looks at them."""
        spell = self.spell(provider, now)
        match spell and spell.trouble:
            case "down":
                return Overloaded()
            case "spent":
                return QuotaSpent()
            case "limited" if (passed := now % _LIMIT_WINDOW) >= _LIMIT_OPEN:
                return RateLimited(retry_after=math.ceil(_LIMIT_WINDOW - passed))
            case _:
                return None

    def seconds(self, model: Model, ask: Ask, now: float) -> float:
        """How long a model takes for an answer, whatever it was asked before."""
        drawn = random.Random(f"{self.seed} {model.name} {ask.number}")  # noqa: S311  # as above
        told = described(ask)
        into, out = told.input_tokens or 0, told.output_tokens or 0
        usual = model.first_token + into / _READ_PER_SECOND + out / model.tokens_per_second
        spell = self.spell(model.name, now)
        slowdown = _SLOWDOWN if spell and spell.trouble == "slow" else 1.0
        return usual * drawn.triangular(*_LUCK) * slowdown


def _request(kind: Kind, input_tokens: int, output_tokens: int) -> ChatRequest:
    text = spoken(input_tokens)
    images = tuple(Image(url="https://pictures.invalid/1.png") for _ in range(kind.images))
    return ChatRequest(
        messages=(ChatMessage("user", (text, *images) if images else text),),
        max_output_tokens=output_tokens,
    )


def spoken(tokens: int) -> str:
    """A text of so many tokens, by the estimate of strategies and servers: four letters each."""
    return _WORD * tokens


def counted(text: str) -> int:
    """The tokens of such a text."""
    return len(text) // len(_WORD)


_WORD: Final = "yes "
