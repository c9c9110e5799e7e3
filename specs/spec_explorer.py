"""The whole scopes, explored: every history of a few callers keeps every promise.

The small scopes are tests of the explorer itself (`tests/spec`); these are what it is for. They
take some seconds each, and a verdict holds in its scope and in no other.
"""

from __future__ import annotations

import pytest

from fsm_fallback.spec import Scope, check_breaker, check_chain
from fsm_fallback.spec.scopes import WHOLE_BREAKER, WHOLE_CHAIN


class TheBreakerKeepsItsPromises:
    @pytest.mark.parametrize("name", WHOLE_BREAKER)
    def test_in_every_history_of_a_scope(self, name: str) -> None:
        """Nothing breaks, and where no depth is set nothing is left out."""
        scope = WHOLE_BREAKER[name]
        report = check_breaker(scopes={name: scope})
        assert not [each.story() for each in report.counterexamples]
        assert report.scopes[0].found.is_complete == (scope.depth is None)
        applied = {each.promise.id for each in report.verdicts if each.cases}
        assert {"open-never-called", "can-always-close", "no-deadlock"} <= applied


class TheChainKeepsItsPromises:
    @pytest.mark.parametrize("name", WHOLE_CHAIN)
    def test_in_every_history_of_a_scope(self, name: str) -> None:
        """Calls that overlap over shared breakers, each ended once, nothing forgotten."""
        scope: Scope = WHOLE_CHAIN[name]
        report = check_chain(scopes={name: scope})
        assert not [each.story() for each in report.counterexamples]
        assert report.scopes[0].found.is_complete == (scope.depth is None)
        applied = {each.promise.id for each in report.verdicts if each.cases}
        assert {"all-errors-preserved-in-order", "final-is-final", "chain-terminates"} <= applied
