"""A chain as a provider of another: its trail becomes part of the other's, its time is the other's.

The chain inside decides for itself, with breakers of its own; the one outside sees one provider,
whose answer, or whose failure, tells in `Attempt.trail` how it came about.
"""

from __future__ import annotations

from typing import Any

from fsm_fallback.core.chain import Chain
from fsm_fallback.core.commands import Command
from fsm_fallback.core.lease import Lease
from fsm_fallback.drivers.link import Link, Within
from fsm_fallback.errors import ChainFailed


class ChainLink(Link):
    """A chain that is called, plain or awaited; its `call` takes its time, arguments, keywords.

    It keeps that time itself, so that it is not cut from outside: one that was would not know that
    its own provider was late.
    """

    is_chain = True

    def ask(
        self,
        lease: Lease,  # noqa: ARG002  # as in Link
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
        within: Within | None = None,
    ) -> Any:
        """Its detailed answer, or its stream."""
        return self.call(within or Within(timeout), args, kwargs)

    def limits(self, chain: Chain, timeout: float | None) -> Within | None:
        """As in `Link`."""
        return Within(timeout, fair=chain.fair_share)

    def received(self, chain: Chain, came: Any) -> Any:
        """The answer in what was asked for; the chain outside hears how it came about."""
        chain.inner = came.trail
        return came.value

    def tell(self, chain: Chain, asked: Any) -> None:
        """How its stream came about, as far as it came."""
        if asked is not None:
            chain.inner, chain.usage = asked.trail, asked.usage

    def take_error(
        self, chain: Chain, lease: Lease, error: Exception, now: float, *, midway: bool = False
    ) -> Command:
        """As in `Link`; the chain outside hears how it failed."""
        if isinstance(error, ChainFailed):
            chain.inner = error.trail
        return super().take_error(chain, lease, error, now, midway=midway)
