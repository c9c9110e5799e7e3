"""`CircuitBreakers`, a bound: who is evicted, and who comes back."""

import gc
import threading

import pytest

from fsm_fallback import BreakerConfig, BreakerState, Fault, FaultKind

S = BreakerState
DOWN = Fault(FaultKind.TRANSIENT)
PATIENCE = 5.0


class TestCapacity:
    """Bounded: who goes, who stays, who comes back."""

    def test_without_a_bound_nobody_goes(self, registry):
        """However many come."""
        for number in range(500):
            registry.get(str(number))
        assert len(registry) == 500

    def test_one_more_evicts_the_one_asked_for_longest_ago(self, make):
        """Asking again makes young."""
        registry = make(capacity=3)
        for name in ("a", "b", "c", "a", "d"):
            registry.get(name)
        assert list(registry) == ["a", "c", "d"]
        registry.get("e")
        assert list(registry) == ["a", "d", "e"]

    def test_looking_is_not_asking(self, make):
        """Whoever watches all of them keeps none of them."""
        registry = make(capacity=2)
        registry["a"], registry["b"]
        assert registry.find("a") is not None
        assert "a" in registry
        assert list(registry)
        assert registry.values()
        assert registry.items()
        assert registry.snapshots()
        registry.get("c")
        assert list(registry) == ["b", "c"]

    def test_the_one_that_comes_in_stays(self, make):
        """Though it is the only one that could go."""
        registry = make(capacity=1)
        registry["a"].force_open()
        registry.get("b")
        assert list(registry) == ["a", "b"]

    @pytest.mark.parametrize(
        "keep",
        [
            lambda breaker, _: breaker.acquire(),
            lambda breaker, _: breaker.acquire().fail(DOWN),
            lambda breaker, clock: (
                breaker.acquire().fail(DOWN),
                clock.advance(30.0),
                breaker.acquire(),
            ),
            lambda breaker, _: breaker.hold(5.0),
            lambda breaker, _: breaker.force_open(),
            lambda breaker, _: breaker.disable(),
            lambda breaker, _: breaker.observe(),
        ],
        ids=["busy", "open", "half_open", "held", "forced_open", "disabled", "observing"],
    )
    def test_one_that_is_not_idle_and_closed_stays(self, make, clock, keep):
        """The next that is goes instead."""
        registry = make(capacity=2)
        kept = keep(registry["a"], clock)
        registry["b"], registry["c"]
        assert list(registry) == ["a", "c"]
        del kept

    def test_a_guarded_call_keeps_its_breaker_busy(self, make):
        """A call without a lease of its own, too."""
        registry = make(capacity=1)
        registry["a"].call(lambda: registry["b"])
        assert list(registry) == ["a", "b"]

    def test_a_bound_that_was_exceeded_is_made_good_with_the_next(self, make):
        """As soon as they can go, all that are too many go at once, the oldest first."""
        registry, gone = make(capacity=1), []
        registry.on_removed(lambda breaker: gone.append(breaker.name))
        leases = [registry[name].acquire() for name in "abc"]
        assert len(registry) == 3
        for lease in leases:
            lease.succeed()
        assert len(registry) == 3
        registry.get("d")
        assert list(registry) == ["d"]
        assert gone == ["a", "b", "c"]

    def test_one_that_is_held_comes_back_as_itself(self, make):
        """With what it knows: there never is a twin."""
        registry = make(BreakerConfig(minimum_calls=5), capacity=1)
        held = registry["a"]
        held.acquire().fail(DOWN)
        registry.get("b")
        assert registry.find("a") is None
        assert registry["a"] is held
        assert registry["a"].snapshot().failures == 1
        assert list(registry) == ["a"]

    def test_one_that_nobody_holds_is_made_anew(self, make):
        """What it knew is gone with it."""
        registry = make(BreakerConfig(minimum_calls=5), capacity=1)
        registry["a"].acquire().fail(DOWN)
        registry.get("b")
        gc.collect()
        assert registry["a"].snapshot().failures == 0

    def test_a_registry_keeps_nothing_of_those_that_are_gone(self, make):
        """A thousand tenants that came once leave no trace."""
        registry = make(capacity=1)
        for number in range(1_000):
            registry.get(str(number))
        gc.collect()
        assert (len(registry), len(registry._evicted)) == (1, 0)

    def test_one_that_is_held_comes_back_when_a_call_opens_it(self, make, states):
        """Whoever watches the registry sees it open."""
        registry = make(capacity=1)
        held = registry["a"]
        registry.get("b")
        held.acquire().fail(DOWN)
        assert states(registry) == {"a": S.OPEN}

    def test_one_that_is_held_comes_back_when_a_call_finds_it_stalled(self, make, clock, states):
        """The call that is refused has no lease, and it is a call all the same."""
        config = BreakerConfig(minimum_calls=1, slow_call_duration=1.0, slow_call_ratio=1.0)
        registry = make(config, capacity=1)
        held = registry["a"]
        registry.get("b")
        hung = held.acquire()
        clock.advance(2.0)
        assert held.try_acquire() is None
        assert states(registry) == {"a": S.OPEN}
        hung.release()

    def test_one_that_is_held_and_stays_closed_does_not_come_back(self, make):
        """A late outcome is news, and no reason."""
        registry = make(capacity=1)
        held = registry["a"]
        registry.get("b")
        late = held.acquire()
        held.reset()
        late.succeed()
        assert list(registry) == ["b"]

    def test_threads_that_hold_what_they_got_hold_no_twins(self, make, at_once):
        """Eight ask for twelve names where three have room."""
        registry, names = make(capacity=3), "abcdefghijkl"

        def work(number):
            turned = names[number:] + names[:number]
            return [(name, registry[name]) for _ in range(30) for name in turned]

        got = [pair for pairs in at_once(8, work) for pair in pairs]
        assert {name: len({id(b) for n, b in got if n == name}) for name in names} == dict.fromkeys(
            names, 1
        )
        assert len(registry) == 3

    def test_none_that_opens_while_it_is_evicted_is_lost(self, make, eager_switches, at_once):
        """It stays or comes back, whichever is first."""
        registries = [make(capacity=1) for _ in range(400)]
        held = [registry["a"] for registry in registries]
        pace = threading.Barrier(2)

        def work(number):
            for registry, breaker in zip(registries, held, strict=True):
                pace.wait(PATIENCE)
                if number:
                    breaker.acquire().fail(DOWN)
                else:
                    registry.get("b")

        at_once(2, work)
        assert all("a" in registry for registry in registries)
