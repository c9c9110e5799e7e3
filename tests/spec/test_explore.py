"""The explorer sees the real code, tells the shortest history, and says what it did not try."""

import attrs
import pytest

from fsm_fallback import BreakerConfig, BreakerState, ConfigurationError, CountWindow, TimeWindow
from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER, S
from fsm_fallback.spec import BREAKER_PROPERTIES, Explorer, Promises, Scope
from fsm_fallback.spec.breaker_world import breaker_worlds
from fsm_fallback.spec.scope import SMALL

SCOPE = Scope(callers=2, config=SMALL)


def explore(model=Breaker, scope=SCOPE, properties=BREAKER_PROPERTIES, **how):
    """What an explorer finds in a scope."""
    worlds = breaker_worlds(scope, model)
    tables = {"breaker": BREAKER}
    return Explorer(worlds, properties, tables=tables, depth=scope.depth, **how).run()


def broken(found):
    """The ids of the properties that were broken."""
    return {each.promise.id for each in found.broken}


class CloseForgetsToTurn(Breaker):
    """Closing leaves the generation as it was, so that late outcomes count."""

    def close(self):
        """As the class says."""
        self.open_until = self.cause = None


class ProbesAreNeverFreed(Breaker):
    """A slot that was taken stays taken."""

    def free_probe(self):
        """As the class says."""


class GrantsTwice(Breaker):
    """Who asks takes two admissions."""

    def grant(self):
        """As the class says."""
        super().grant()
        super().grant()


class RefusesToCount(Breaker):
    """An action that raises."""

    def count(self):
        """As the class says."""
        raise RuntimeError("no pencil")


class RefusesInSilence(Breaker):
    """Refusals are not counted."""

    def refuse(self):
        """As the class says."""


@pytest.mark.parametrize(
    ("model", "promise"),
    [
        (CloseForgetsToTurn, "generation-never-reused"),
        (ProbesAreNeverFreed, "neutral-leaves-no-evidence"),
        (GrantsTwice, "admission-counted"),
        (RefusesInSilence, "open-never-called"),
        (RefusesToCount, "no-deadlock"),
    ],
)
def test_an_action_broken_in_a_subclass_is_found(model, promise):
    """It is the real code that is explored: an override is seen at once."""
    assert promise in broken(explore(model))


def test_the_real_breaker_keeps_everything_in_a_small_scope():
    """The control: the code as it is breaks nothing, and nothing is left to be tried."""
    found = explore()
    assert (broken(found), found.is_complete) == (set(), True)
    assert found.states > 500
    assert found.transitions > 4 * found.states


def test_a_counterexample_is_the_shortest_history():
    """Breadth first: nothing shorter breaks it, and the last step is the one that does."""
    (found,) = [
        each
        for each in explore(ProbesAreNeverFreed).broken
        if each.promise.id == "neutral-leaves-no-evidence"
    ]
    moves = [step.move.what for step in found.steps]
    assert moves == ["admit", "hold", "wait", "admit", "release"]
    assert found.steps[-1].acts[-1].trigger == "release"


def test_what_raised_is_told_with_its_last_step():
    """The step that raised has no acts, and the reason is in words."""
    (found,) = [each for each in explore(RefusesToCount).broken if each.promise.id == "no-deadlock"]
    assert [step.move.what for step in found.steps] == ["admit", "succeed"]
    assert found.steps[-1].acts == ()
    assert found.why == "RuntimeError: no pencil"


def test_stops_at_the_first_broken_property():
    """With `stops`, one history is enough."""
    found = explore(CloseForgetsToTurn, stops=True)
    assert (len(found.broken), found.is_complete) == (1, False)


def test_the_world_given_is_left_as_it_was():
    """It explores copies."""
    (world,) = breaker_worlds(SCOPE)
    before = world.key()
    Explorer([world], BREAKER_PROPERTIES, depth=5).run()
    assert (world.key(), world.leases, world.now) == (before, [], 0.0)


def test_a_depth_leaves_the_rest_untried():
    """What lies deeper is not looked at, and that is said."""
    found = explore(scope=attrs.evolve(SCOPE, depth=3))
    assert (found.is_complete, broken(found)) == (False, set())


@pytest.mark.parametrize("states", [1, 2, 7, 60])
def test_states_there_is_no_room_for_are_no_dead_ends(states):
    """From an unknown state a way may lead home: nothing is called a trap for want of room."""
    found = explore(states=states)
    assert (found.states, found.is_complete, broken(found)) == (states, False, set())


def test_every_root_is_explored():
    """A breaker may begin in any state; each is a history of its own."""
    scope = attrs.evolve(SCOPE, births=tuple(BreakerState), depth=1)
    found = explore(scope=scope)
    assert found.states >= len(BreakerState)
    assert {row for _, row in found.rows} >= {"T2", "T4", "T3", "T8", "T9", "T10"}


def test_rows_and_guards_are_counted():
    """By machine and id, and each guard both ways."""
    found = explore()
    assert found.rows["breaker", "T2"] > 0
    assert found.guards["breaker", "cooled_down", True] > 0
    assert found.guards["breaker", "cooled_down", False] > 0


def test_a_trap_is_found_though_every_step_in_it_is_right():
    """A graph can be wrong where no step is: from here no way leads back."""
    promise = Promises("breaker")

    @promise.can_always("can-always-force-open")
    def can_always_force_open(standing):
        """From every state a way leads to FORCED_OPEN."""
        return standing.state is S.FORCED_OPEN

    found = explore(properties=(can_always_force_open,))
    (lost,) = found.broken
    assert (lost.steps, lost.why) == ((), "from here no way leads back")


def test_an_operator_is_no_way_home_for_whom_none_spoke():
    """What reset can always do proves nothing of a breaker that is left alone."""

    class NeverCoolsDown(Breaker):
        def cooled_down(self) -> bool:
            return False

    for operators in (True, False):
        scope = Scope(callers=1, series=1, operators=operators, depth=6)
        assert "can-always-close" in broken(explore(NeverCoolsDown, scope))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (BreakerConfig(window=TimeWindow(60.0), jitter=0.0), "Scope.config.window is TimeWindow("),
        (BreakerConfig(window=CountWindow(100), jitter=0.0), "up to 6 outcomes"),
        (attrs.evolve(SMALL, probe_calls=7), "Scope.config.probe_calls is 7"),
        (attrs.evolve(SMALL, jitter=0.5), "does not model chance"),
    ],
)
def test_what_cannot_be_modelled_is_refused_by_name(config, named):
    """Nothing is left out in silence: value, reason and remedy."""
    with pytest.raises(ConfigurationError) as refusal:
        Scope(config=config)
    assert any(named in problem for problem in refusal.value.problems)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"callers": 0}, "Scope.callers is 0; give 1 to 3"),
        ({"callers": 4}, "Scope.callers is 4; give 1 to 3"),
        ({"providers": True}, "Scope.providers is True; give 1 to 3"),
        ({"config": "small"}, "Scope.config is 'small'; give a BreakerConfig"),
        ({"depth": 0}, "Scope.depth is 0; give a whole number >= 1, or None"),
        ({"births": ()}, "Scope.births is a tuple; give a tuple of BreakerStates"),
        ({"faults": ("slow",)}, "Scope.faults is a tuple; give a tuple of FaultKinds"),
    ],
)
def test_a_scope_out_of_bounds_is_refused(arguments, named):
    """Field, value and remedy."""
    with pytest.raises(ConfigurationError) as refusal:
        Scope(**arguments)
    assert named in refusal.value.problems


def test_a_scope_tells_itself():
    """Every verdict states its scope."""
    scope = Scope(callers=1, operators=True, again=True, depth=4)
    assert str(scope) == (
        "1 caller, 1 provider, window 2, 1 probe a round, operators, leases settled twice, "
        "to depth 4"
    )
    slow = Scope(config=attrs.evolve(SMALL, slow_call_duration=1.0, probe_calls=2))
    assert str(slow) == (
        "2 callers, 1 provider, window 2, 2 probes a round, slow calls watched, complete"
    )


def test_what_should_happen_sometimes_and_never_does_is_told():
    """A property of runs is broken by a whole scope in which nothing is as it says."""
    promise = Promises("breaker")

    @promise.sometimes("opens", on="fail")
    def opens(act):
        """A failure opens the breaker."""
        return act.after.state is S.OPEN

    @promise.sometimes("opens-for-hours", on="fail")
    def opens_for_hours(act):
        """A failure opens the breaker for hours."""
        return act.after.open_until is not None and act.after.open_until > 3600

    found = explore(properties=tuple(promise.all.values()))
    (never,) = found.broken
    assert (never.promise, never.steps) == (opens_for_hours, ())
    assert never.why == "it never happened in this scope"
    assert found.seen["opens"] > 0


def test_without_a_property_for_it_what_raises_goes_on_its_way():
    """An explorer that is not asked about deadlocks hides no error."""
    with pytest.raises(RuntimeError, match="no pencil"):
        explore(RefusesToCount, properties=())
