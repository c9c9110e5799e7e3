"""A breaker in all that may happen to it: the rules are the triggers of its table.

Where the explorer tries everything in a small scope, this draws from a large one: windows of time,
jitter, many leases, a clock that jumps back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, multiple, precondition, rule

from fsm_fallback.core.breaker import OPERATORS, Breaker
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.lease import Lease
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.table import Table
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.acts import BreakerAct, standing_of
from fsm_fallback.spec.breaker_moves import BY_OPERATORS
from fsm_fallback.spec.breaker_properties import BREAKER_PROPERTIES
from fsm_fallback.spec.breaker_world import TICK, WORDS, Watched, fault_of
from fsm_fallback.spec.explore import Judge
from fsm_fallback.spec.stateful.behind import BehindTheClock
from fsm_fallback.spec.stateful.draws import breaker_configs
from fsm_fallback.spec.stateful.machine import SpecMachine, drawn_by, made
from fsm_fallback.spec.stateful.telling import tellable, told

SETTLING: Final = ("succeed", "fail", "release", "hold")
SAMPLES: Final = (0.5, 0.0, 0.25, 0.875)

_CLOSE: Final = next(each for each in BREAKER_PROPERTIES if each.id == "can-always-close")
_WAITS: Final = st.sampled_from(["", "", "", "a tick", "until before", "until", "past", "long"])
_BACK: Final = st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 100.0])
_ENDINGS: Final = st.sampled_from(["succeed", "fail", "fail", "release"])
_VERDICTS: Final = st.sampled_from(["fail", "fail", "succeed"])
_OPERATORS_REST: Final = 4  # callers come between two words of operators
_PATIENCE: Final = 5  # callers until an operator resets what operators did
_BEFORE_A_ROUND: Final = (BreakerState.CLOSED, BreakerState.OPEN)
_VISITS: Final = 50  # well-meaning callers are enough to close any breaker


class BreakerSpec(SpecMachine):
    """A breaker keeps `BREAKER_PROPERTIES`, whatever callers, operators and the clock do.

    Make your own with `make_breaker`, over parameters drawn from `make_config`. One rule for each
    trigger of the table; leases come back late, twice or never; time goes to the instants where a
    guard could answer otherwise, a tick before and a tick after, and jumps back.

    With a `TimeWindow` the properties of `NEEDS_COUNT_WINDOW` are left out, with jitter those of
    `NEEDS_NO_JITTER`: the bystander's notebook cannot tell.
    """

    properties = BREAKER_PROPERTIES
    table: ClassVar[Table | None] = BREAKER

    leases = Bundle("leases")
    spent = Bundle("spent")

    def make_config(self) -> st.SearchStrategy[BreakerConfig]:
        """Where parameters are drawn from."""
        return breaker_configs()

    def make_breaker(self, config: BreakerConfig) -> Breaker:
        """A new breaker of the core with these parameters."""
        return Breaker("spec", config)

    @initialize(config=drawn_by("make_config", "a strategy of BreakerConfig"))
    def begin(self, config: BreakerConfig) -> None:
        """A breaker is made."""
        made(self, "make_config", config, BreakerConfig, "a strategy of BreakerConfig")
        breaker = self.make_breaker(config)
        made(self, "make_breaker", breaker, Breaker, "a Breaker of fsm_fallback.core.breaker")
        if breaker.table != self.table:
            raise ConfigurationError(
                f"{type(self).__name__}.make_breaker returned a breaker that runs another table "
                f"than {type(self).__name__}.table; set table to that of its class"
            )
        self.breaker = breaker
        self.now = breaker.now
        self.asked = self.spoken_at = 0
        self.behind = BehindTheClock(breaker)
        self.watched = Watched(self.behind.as_breaker)
        self._judge = Judge(tellable(self.properties, breaker.config))

    # Beside the triggers ------------------------------------------------------------------------

    @rule(lease=spent, trigger=st.sampled_from(SETTLING))
    def settle_again(self, lease: Lease, trigger: str) -> None:
        """A lease comes back that has come back before."""
        self._settle(trigger, lease)

    @rule(lease=leases, wait=_WAITS)
    def begin_output(self, lease: Lease, wait: str) -> None:
        """A stream gives its first output."""
        self._pass(wait)
        if lease.duration is None:
            self._see(self.watched.begin_output(lease, self.now))

    @precondition(lambda self: self._operators_have_rested())
    @rule(wait=_WAITS)
    def hold_by_hand(self, wait: str) -> None:
        """An operator names a time."""
        self._operate("hold", wait)

    @precondition(lambda self: self._operators_have_rested())
    @rule(words=st.lists(st.sampled_from([*WORDS, "hold"]), min_size=3, max_size=8))
    def operators_disagree(self, words: list[str]) -> None:
        """One operator after the other speaks."""
        for word in words:
            self._operate(word, "")

    @rule(endings=st.lists(_ENDINGS, min_size=2, max_size=6), slow=st.booleans())
    def calls_come_and_go(self, endings: list[str], slow: bool) -> None:  # noqa: FBT001  # drawn
        """As many calls as are admitted, all out at once, coming back in the order they came."""
        leases = [self._ask() for _ in endings]
        if slow:
            self.now += self.breaker.config.slow_call_duration or TICK
        for lease, ending in zip(leases, endings, strict=True):
            if lease is not None:
                self._settle(ending, lease)

    @precondition(lambda self: self.breaker.open_until is not None)
    @rule(target=leases)
    def a_probe_goes_out(self) -> Any:
        """The open time is over, and whoever comes first stays out for a while."""
        self.now = max(self.now, self.breaker.open_until or 0.0)
        lease = self._ask()
        return multiple() if lease is None else lease

    @precondition(lambda self: bool(self.breaker.probes))
    @rule(past=st.sampled_from([0.0, TICK, TICK]), target=leases)
    def a_probe_hangs(self, past: float) -> Any:
        """A probe is out as long as it may, or a tick longer, and another caller comes."""
        self.now = max(self.now, min(self.breaker.probes.values()) + past)
        lease = self._ask()
        return multiple() if lease is None else lease

    @precondition(lambda self: self.breaker.state in _BEFORE_A_ROUND)
    @rule(
        before=st.sampled_from([0.0, 0.0, TICK]),
        endings=st.lists(_VERDICTS, min_size=4, max_size=4),
        slow=st.lists(st.booleans(), min_size=4, max_size=4),
    )
    def a_round_is_probed(self, before: float, endings: list[str], slow: list[bool]) -> None:
        """The open time is over, or is not by a tick, and callers come one after the other.

        Where the breaker is closed, an operator holds it first.
        """
        if self.breaker.open_until is None:
            self._operate("hold", "")
        self.now = max(self.now, (self.breaker.open_until or 0.0) - before)
        for ending, is_slow in zip(endings, slow, strict=True):
            lease = self._ask()
            if is_slow:
                self.now += self.breaker.config.slow_call_duration or TICK
            if lease is not None:
                self._settle(ending, lease)

    @precondition(lambda self: self.breaker.config.slow_call_duration is not None)
    @rule(callers=st.integers(1, 4), short_by=st.sampled_from([0.0, 0.0, TICK]), target=leases)
    def calls_hang(self, callers: int, short_by: float) -> Any:
        """Calls are let through, and are out as long as is slow, or a tick less; one more comes."""
        hanging = [self._ask() for _ in range(callers)]
        self.now += (self.breaker.config.slow_call_duration or 0.0) - short_by
        return multiple(*(lease for lease in (*hanging, self._ask()) if lease is not None))

    # Facts --------------------------------------------------------------------------------------

    def look_back(self) -> None:
        """From wherever it stands, time and well-meaning callers lead back to CLOSED."""
        if not hasattr(self, "watched"):
            return
        if self.breaker.state in BY_OPERATORS:
            self._operate("reset", "")
        for _ in range(_VISITS):
            standing = standing_of(self.breaker, self.now)
            if _CLOSE.then(standing):
                break
            self._pass("long")
            lease = self._ask()
            if lease is not None:
                self._settle("succeed", lease)
        told = f"{_VISITS} callers who come and succeed leave it {self.breaker.state.value}"
        self.promise(self.breaker.state is BreakerState.CLOSED, self._subject, _CLOSE, told)

    # Mechanism ----------------------------------------------------------------------------------

    @property
    def _subject(self) -> str:
        return type(self.breaker).__name__

    def _operators_have_rested(self) -> bool:
        rested = self.asked >= self.spoken_at + _OPERATORS_REST
        return rested or self.breaker.state is BreakerState.HALF_OPEN

    def _may_be_reset(self) -> bool:
        return self._operators_have_rested() or self.breaker.state in BY_OPERATORS

    def _pass(self, wait: str) -> None:
        soonest = min((at for at in self.watched.boundaries() if at > self.now), default=None)
        if wait == "a tick":
            self.now += TICK
        elif wait == "long":
            self.now += 1000.0
        elif wait and soonest is not None:
            offset = {"until before": -TICK, "until": 0.0, "past": TICK}[wait]
            self.now = max(self.now, soonest + offset)

    def _ask(self) -> Lease | None:
        self.asked += 1
        if self.breaker.state in BY_OPERATORS and self.asked > self.spoken_at + _PATIENCE:
            self._operate("reset", "")
        self.breaker.sample = SAMPLES[self.asked % len(SAMPLES)]
        lease, act = self.watched.admit(self.now)
        self._see(act)
        return lease

    def _settle(self, trigger: str, lease: Lease) -> None:
        self._see(self.watched.settle(trigger, lease, self.now, fault_of(trigger, lease)))

    def _operate(self, word: str, wait: str) -> None:
        self._pass(wait)
        self.spoken_at = self.asked
        self._see(self.watched.operate(word, self.now))

    def _see(self, act: BreakerAct) -> None:
        self.count_rows(act.rows)
        self.judge(act, self._subject, told(act))


# The triggers, one rule each ------------------------------------------------------------------


def _rule_of(trigger: str) -> Callable[..., Any]:
    if trigger in SETTLING:
        return _rule_of_settling(trigger)
    return _rule_of_word(trigger) if trigger in OPERATORS else _rule_of_asking(trigger)


def _rule_of_asking(trigger: str) -> Callable[..., Any]:
    def ask(self: BreakerSpec, wait: str, back: float) -> Any:
        self._pass(wait)
        with self.behind.by(back, self.now):
            lease = self._ask()
        return multiple() if lease is None else lease

    named = _named(ask, trigger, "A caller asks.")
    return rule(target=BreakerSpec.leases, wait=_WAITS, back=_BACK)(named)


def _rule_of_settling(trigger: str) -> Callable[..., Any]:
    def settle(self: BreakerSpec, lease: Lease, wait: str, back: float) -> Any:
        self._pass(wait)
        with self.behind.by(back, self.now):
            self._settle(trigger, lease)
        return lease

    named = _named(settle, trigger, "A call comes back.")
    lease = consumes(BreakerSpec.leases)
    return rule(target=BreakerSpec.spent, lease=lease, wait=_WAITS, back=_BACK)(named)


def _rule_of_word(trigger: str) -> Callable[..., Any]:
    def operate(self: BreakerSpec, wait: str) -> None:
        self._operate(trigger, wait)

    named = _named(operate, trigger, "An operator speaks.")
    made_rule: Callable[..., Any] = rule(wait=_WAITS)(named)
    if trigger == "reset":
        return precondition(lambda self: self._may_be_reset())(made_rule)
    return precondition(lambda self: self._operators_have_rested())(made_rule)


def _named(function: Callable[..., Any], trigger: str, doc: str) -> Callable[..., Any]:
    function.__name__, function.__doc__ = trigger, doc
    function.__qualname__ = f"BreakerSpec.{trigger}"
    return function


for _trigger in BREAKER.triggers:
    setattr(BreakerSpec, _trigger, _rule_of(_trigger))
