"""Bugs that one might write, each seen by its property in the scopes a user gets by default."""

import pytest

from fsm_fallback import Fault, FaultKind
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import S
from fsm_fallback.core.chain import Chain
from fsm_fallback.core.trail import Skip
from fsm_fallback.spec import check_breaker, check_chain
from fsm_fallback.spec.scopes import BREAKER_SCOPES, CHAIN_SCOPES


def breaker(name, after):
    """A breaker of which one action, or operation, does something more."""

    def does(self, *args, **kwargs):
        result = getattr(Breaker, name)(self, *args, **kwargs)
        after(self)
        return result

    return type("Breaker", (Breaker,), {"__slots__": (), name: does})


def setting(**values):
    """Something more: attributes are set."""

    def does(model):
        for name, value in values.items():
            setattr(model, name, value)

    return does


def forgets_refusals(model):
    """As a breaker does that counts anew."""
    model.refusals = iter(range(1, 1 + 2**62))


class Every3rd(Breaker):
    """A subclass with a counter of its own: every third caller gets through."""

    asked = 0

    def admit(self, now):
        """As the class says."""
        lease = super().admit(now)
        if lease is None and self.state is S.FORCED_OPEN:
            self.asked += 1
            if self.asked % 3 == 0:
                self.grant()
                lease, self.reply = self.reply, None
        return lease


class Exits(Breaker):
    """A subclass that ends the program."""

    def count(self):
        """As the class says."""
        raise SystemExit(0)


def broken(report):
    """The properties that are not kept."""
    return {each.promise.id for each in report.verdicts if not each.kept}


@pytest.mark.parametrize(
    ("model", "scopes", "promise"),
    [
        (breaker("close", setting(step=0)), [*BREAKER_SCOPES], "backoff-outlives-a-round"),
        (breaker("begin_round", setting(step=0)), ["rounds"], "backoff-outlives-a-round"),
        (breaker("begin_round", setting(holds=0)), ["rounds"], "backoff-outlives-a-round"),
        (breaker("begin_round", setting(cause=None)), ["rounds"], "probing-keeps-the-cause"),
        (breaker("arm", setting(holds=7)), ["rounds"], "opening-leaves-holds"),
        (breaker("close", forgets_refusals), ["rounds"], "books-balance"),
        (breaker("would_admit", Breaker.refuse), ["rounds"], "books-balance"),
        (
            breaker("rearm", lambda model: None if model.failed else setting(cause=None)(model)),
            ["slow calls"],
            "success-leaves-a-cause",
        ),
        (breaker("begin_output", setting()), ["slow calls"], None),
        (Every3rd, ["operators"], "open-never-called"),
        (Exits, ["rounds"], "no-deadlock"),
    ],
)
def test_a_breakers_bug_is_seen(model, scopes, promise):
    """Or the breaker is as good as ours, and nothing is broken."""
    tried = {name: BREAKER_SCOPES[name] for name in scopes}
    found = broken(check_breaker(model, tried, covers=False))
    assert (promise in found) if promise else not found


class NeverCuts(Chain):
    """Forgets the time-out where there is a deadline alone."""

    def _call(self):
        command = super()._call()
        if self.attempt_timeout is None:
            command.timeout = None
        return command


class TakesEqualWindows(Chain):
    """Takes a window of the same size for a larger one."""

    def fits(self, candidate):
        """As the class says."""
        return (candidate.context_window or 0) >= (self.needs_larger_than or 0)


class DropsRuledOut(Chain):
    """Passes over who was ruled out without a word."""

    def _note(self, skip: Skip):
        self.position += 1


class AlwaysFair(Chain):
    """An attempt that was cut always speaks against its provider."""

    def fault(self, fault, error, now):
        """As the class says."""
        settled, command = super().fault(fault, error, now)
        if settled.kind is FaultKind.CANCELLED:
            settled = Fault(FaultKind.TIMEOUT)
        return settled, command


class TellsNoTimeOut(Chain):
    """An attempt whose timer rang is told without an error."""

    def attempted(self):
        """As the class says."""
        name, number, fault, error, *rest = super().attempted()
        return (name, number, fault, None if isinstance(error, TimeoutError) else error, *rest)


@pytest.mark.parametrize(
    ("model", "promise"),
    [
        (NeverCuts, "only-on-a-lease"),
        (TakesEqualWindows, "fault-fails-over"),
        (DropsRuledOut, "nobody-forgotten"),
        (AlwaysFair, "cut-speaks-only-after-a-fair-time"),
        (TellsNoTimeOut, "time-out-is-an-error"),
    ],
)
def test_a_chains_bug_is_seen(model, promise):
    """In one of the small scopes."""
    assert promise in broken(check_chain(model, CHAIN_SCOPES, covers=False))


class Rotated:
    """A strategy of somebody's own, with a skip, and correct."""

    def order(self, candidates, request, now, sample):
        """The last first; nobody without a window."""
        turned = (*candidates[-1:], *candidates[:-1])
        return tuple(
            Skip(each.name, "window unknown") if each.context_window is None else each
            for each in turned
        )


def test_a_correct_strategy_raises_no_alarm():
    """Whatever order it gives, and whom it rules out."""
    assert broken(check_chain(strategy=Rotated(), covers=False)) == set()
