"""What is known of the model behind a provider; strategies read it."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class ModelInfo:
    """What is known of the model behind a provider; all of it optional.

    Args:
        model: The model's name.
        account: Whose credit and keys it uses.
        capabilities: What it can do: `"tools"`, `"vision"`, `"json_schema"`, any string. None at
            all means that nobody has said.
        context_window: Tokens it takes at most.
        price: What it costs; read by the strategies that ask.
    """

    model: str | None = None
    account: str | None = None
    capabilities: frozenset[str] = frozenset()
    context_window: int | None = None
    price: Any = None
