"""`PrometheusCollector`: what a scrape tells is what happened."""

from __future__ import annotations

import gc
import weakref

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fsm_fallback import (
    BreakerConfig,
    CircuitBreaker,
    CircuitBreakers,
    ConfigurationError,
    FallbackConfig,
    FallbackProvider,
)
from fsm_fallback.core.metrics import BUCKETS
from fsm_fallback.telemetry.prometheus import PrometheusCollector
from fsm_fallback.testing import ScriptedProvider
from tests.telemetry.traffic import PROMPT, SECRET, Traffic, sample

STATES = ["closed", "open", "half_open", "forced_open", "disabled", "observing"]
COUNTED = ("_total", "_count")
TRIPS_AT_ONCE = BreakerConfig(minimum_calls=2, jitter=0.0)


def exposed(*collectors):
    """What a scrape of these gives, as text."""
    registry = CollectorRegistry()
    for each in collectors:
        registry.register(each)
    return generate_latest(registry).decode()


def scraped(*collectors):
    """Every sample, by its name and labels."""
    return {
        (each.name, frozenset((k, v) for k, v in each.labels.items() if v)): each.value
        for family in text_string_to_metric_families(exposed(*collectors))
        for each in family.samples
    }


def values_of(samples, name):
    """The samples of one metric, by their labels."""
    return {
        labels: value for (each, labels), value in samples.items() if each == f"fsm_fallback_{name}"
    }


def moves_of(samples):
    """The moves that were made: whose, and how many."""
    moves = values_of(samples, "breaker_transitions_total")
    return {dict(labels)["breaker"]: value for labels, value in moves.items() if value}


@pytest.fixture(scope="module")
def played():
    """Traffic that was listened to from its beginning, and what was scraped after it."""
    traffic = Traffic()
    collector = PrometheusCollector(traffic.chain)
    traffic.play()
    return traffic, collector, scraped(collector)


# Chains ---------------------------------------------------------------------------------------


def test_every_counter_equals_a_recount_of_the_trails(played):
    """Those of tokens and cost aside, which no trail adds up, each that is not 0, and no other."""
    traffic, _, samples = played
    counters = {
        key: value
        for key, value in samples.items()
        if key[0].endswith(COUNTED) and value and "tokens" not in key[0] and "cost" not in key[0]
    }

    assert counters == traffic.recount()


def test_the_traffic_has_something_of_everything(played):
    """A recount of nothing would prove nothing."""
    _, _, samples = played
    names = {name for (name, _), value in samples.items() if value}

    assert names >= {
        f"fsm_fallback_{each}"
        for each in (
            "breaker_call_duration_seconds_sum",
            "breaker_failure_ratio",
            "breaker_not_permitted_total",
            "breaker_slow_call_ratio",
            "breaker_state",
            "breaker_transitions_total",
            "cost_usd_total",
            "fallbacks_total",
            "faults_total",
            "request_duration_seconds_sum",
            "skips_total",
            "tokens_total",
        )
    }
    assert {
        dict(labels)["outcome"] for labels in values_of(samples, "request_duration_seconds_count")
    } == {
        "succeeded",
        "failed",
        "rejected",
    }


def test_the_buckets_of_a_histogram_hold_what_the_calls_took(played):
    """In each as many as took that long at most; the sum is theirs."""
    traffic, _, samples = played

    for (name, labels), seconds in traffic.seconds().items():
        assert samples[f"{name}_sum", labels] == pytest.approx(sum(seconds))
        for bound in BUCKETS:
            at_most = sum(each <= bound for each in seconds)
            assert samples[f"{name}_bucket", labels | {("le", repr(bound))}] == at_most
        assert samples[f"{name}_bucket", labels | {("le", "+Inf")}] == len(seconds)


def test_a_breaker_is_in_one_of_the_six_states(played):
    """1 for that one, 0 for each other."""
    traffic, _, samples = played

    for name in ("openai", "anthropic", "mistral"):
        told = {
            state: samples[sample("breaker_state", {"breaker": f"chat/{name}", "state": state})]
            for state in STATES
        }
        state = traffic.chain.breaker(name).state.value
        assert told == {each: float(each == state) for each in STATES}


def test_ratios_are_those_of_the_snapshot(played):
    """Where a snapshot knows none there is no sample."""
    traffic, _, samples = played
    snapshots = {
        f"chat/{name}": breaker.snapshot() for name, breaker in traffic.chain.breakers().items()
    }

    for name in ("failure_ratio", "slow_call_ratio"):
        told = {dict(key)["breaker"]: v for key, v in values_of(samples, f"breaker_{name}").items()}
        assert told == {
            breaker: getattr(each, name)
            for breaker, each in snapshots.items()
            if getattr(each, name) is not None
        }
        assert set(told) != set(snapshots)


def test_tokens_and_cost_are_those_of_the_answers(played):
    """1,000 in, 400 of them cached, and 100 out of each answer, at 3 and 15 dollars a million."""
    traffic, _, samples = played
    answers = sum(1 for _, who, _, _ in traffic.trails() if who == "openai")
    key = {"chain": "chat", "provider": "openai"}

    assert samples[sample("tokens_total", key | {"direction": "input"})] == 1000 * answers
    assert samples[sample("tokens_total", key | {"direction": "output"})] == 100 * answers
    assert samples[sample("tokens_total", key | {"direction": "cached"})] == 400 * answers
    assert samples[sample("cost_usd_total", key)] == pytest.approx(answers * 0.0045)


def test_a_cost_that_nobody_knows_is_absent(played):
    """And not 0, which would be free."""
    _, _, samples = played

    assert sample("cost_usd_total", {"chain": "chat", "provider": "anthropic"}) not in samples


def test_nothing_of_what_was_said_is_exposed(played):
    """No prompt, no answer, no key, no word of an exception."""
    _, collector, _ = played
    text = exposed(collector)

    assert "anthropic" in text
    assert SECRET not in text
    assert PROMPT not in text


def test_calls_before_the_collector_are_counted_but_moves_are_not():
    """What a chain counts it counts from its making; a listener hears from its adding."""
    traffic = Traffic()
    for _ in range(8):
        traffic.call()
    samples = scraped(PrometheusCollector(traffic.chain))
    recount = traffic.recount()
    faults = {key: value for key, value in recount.items() if "faults_total" in key[0]}

    assert faults
    assert faults.items() <= samples.items()
    assert any("transitions" in name for name, _ in recount)
    assert moves_of(samples) == {}


def test_a_move_that_was_not_made_yet_is_told_as_none():
    """Those a breaker makes by itself: nobody sees a counter rise that begins at 1."""
    samples = scraped(PrometheusCollector(CircuitBreaker("search")))
    moves = values_of(samples, "breaker_transitions_total")
    told = {tuple(dict(labels)[f"{end}_state"] for end in ("from", "to")) for labels in moves}

    assert set(moves.values()) == {0}
    assert told == {
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("half_open", "closed"),
    }


def test_a_call_that_is_out_is_in_flight():
    """And no longer once it has come back."""
    seen = []

    class Asking:
        name = "openai"

        def call(self):
            seen.append(scraped(collector))
            return "an answer"

    chain = FallbackProvider(Asking(), name="chat")
    collector = PrometheusCollector(chain)
    chain.call()
    key = sample("breaker_in_flight", {"breaker": "chat/openai"})

    assert seen[0][key] == 1
    assert scraped(collector)[key] == 0


def test_two_chains_are_told_apart_though_they_share_a_breaker():
    """One provider object has one breaker; it is told of under the name of each chain."""
    shared = ScriptedProvider("openai", ["an answer"])
    chains = [FallbackProvider(shared, name=name) for name in ("chat", "batch")]
    collector = PrometheusCollector(*chains)
    chains[0].breaker("openai").force_open()

    for name in ("chat", "batch"):
        key = {"breaker": f"{name}/openai", "state": "forced_open"}
        assert scraped(collector)[sample("breaker_state", key)] == 1


def test_the_breaker_of_an_account_is_told_of():
    """Under the name by which the chain knows it."""
    one = ScriptedProvider("openai", ["an answer"], account="acme")
    collector = PrometheusCollector(FallbackProvider(one, name="chat"))
    key = sample("breaker_state", {"breaker": "chat/account:acme", "state": "closed"})

    assert scraped(collector)[key] == 1


def test_a_breaker_that_a_reload_made_is_told_of():
    """Under the name of the one before, whose moves stay in the count."""
    chain = FallbackProvider(ScriptedProvider("openai", ["an answer"]), name="chat")
    collector = PrometheusCollector(chain)
    chain.breaker("openai").force_open()
    chain.reload(FallbackConfig(breaker=TRIPS_AT_ONCE))
    after = scraped(collector)
    chain.breaker("openai").reset()
    key = {"breaker": "chat/openai", "state": "forced_open"}

    assert after[sample("breaker_state", key)] == 1
    assert sum(values_of(after, "breaker_transitions_total").values()) == 1
    assert sum(values_of(scraped(collector), "breaker_transitions_total").values()) == 2


def test_a_breaker_that_a_reload_put_under_a_taken_name_is_left_out():
    """`x` with `y/b` is spelt as `x/y` with `b`; two samples of one name are none."""
    one = FallbackProvider(ScriptedProvider("a", []), name="x", audit="off")
    other = FallbackProvider(ScriptedProvider("b", ["hi"]), name="x/y", audit="off")
    collector = PrometheusCollector(one, other)
    one.reload(one.config, providers=[ScriptedProvider("y/b", ["hi", "hi"])])
    one.call(PROMPT)
    one.call(PROMPT)
    other.call(PROMPT)
    names = [each.rpartition(" ")[0] for each in exposed(collector).splitlines()]
    labels = {"breaker": "x/y/b", "outcome": "success"}

    assert len(set(names)) == len(names)
    assert scraped(collector)[sample("breaker_call_duration_seconds_count", labels)] == 2


def test_a_name_that_is_no_utf8_is_escaped():
    """Half of a surrogate pair would break the whole scrape."""
    chain = FallbackProvider(ScriptedProvider("\ud800", ["hi"]), name="x", audit="off")
    chain.call(PROMPT)

    assert 'breaker="x/\\\\ud800"' in exposed(PrometheusCollector(chain))


# Breakers and registries ----------------------------------------------------------------------


def test_a_breaker_without_a_chain_has_what_a_breaker_knows():
    """States, moves, refusals, ratios; nobody times its calls."""
    breaker = CircuitBreaker("search", TRIPS_AT_ONCE)
    collector = PrometheusCollector(breaker)
    breaker.acquire().fail()
    breaker.acquire().fail()
    breaker.try_acquire()
    samples = scraped(collector)
    move = {"from_state": "closed", "to_state": "open", "trigger": "fail"}

    assert samples[sample("breaker_transitions_total", {"breaker": "search"} | move)] == 1
    assert samples[sample("breaker_not_permitted_total", {"breaker": "search"})] == 1
    assert samples[sample("breaker_state", {"breaker": "search", "state": "open"})] == 1
    assert not any("duration" in name for name, _ in samples)


def test_a_move_is_counted_once_however_often_it_is_scraped():
    """And a word that moves nothing is none, nor an outcome that comes late."""
    breaker = CircuitBreaker("search")
    collector = PrometheusCollector(breaker)
    late = breaker.acquire()
    for _ in range(2):
        scraped(collector)
        breaker.force_open()
    late.fail()

    assert moves_of(scraped(collector)) == {"search": 1}


def test_a_registry_is_told_of_as_it_is_at_the_scrape():
    """A breaker made later is there, one that was removed is not."""
    breakers = CircuitBreakers(TRIPS_AT_ONCE)
    collector = PrometheusCollector(breakers)
    breakers["search"].force_open()
    breakers["maps"].force_open()
    breakers.remove("maps")

    assert moves_of(scraped(collector)) == {"search": 1}


def test_moves_of_a_removed_breaker_are_forgotten():
    """A new one under its name begins at nothing, as it does in all else."""
    breakers = CircuitBreakers()
    collector = PrometheusCollector(breakers)
    breakers["search"].force_open()
    breakers.remove("search")
    breakers.get("search")

    assert moves_of(scraped(collector)) == {}


def test_a_breaker_that_came_under_a_taken_name_is_left_out():
    """Two samples of one name would be one too many; the first that was given is told of."""
    alone, breakers = CircuitBreaker("search"), CircuitBreakers()
    collector = PrometheusCollector(alone, breakers)
    breakers["search"].force_open()

    key = sample("breaker_state", {"breaker": "search", "state": "closed"})
    assert scraped(collector)[key] == 1


# Wiring ---------------------------------------------------------------------------------------


def test_twins_are_refused_all_at_once():
    """Chains, breakers and members of registries; the collector would not know them apart."""
    chains = [FallbackProvider(ScriptedProvider("a", ["x"]), name="chat") for _ in range(2)]
    breakers = CircuitBreakers()
    breakers.get("search")

    with pytest.raises(ConfigurationError) as caught:
        PrometheusCollector(*chains, CircuitBreaker("search"), breakers)

    assert [each.split(",")[0] for each in caught.value.problems] == [
        "PrometheusCollector got 2 chains named 'chat'",
        "PrometheusCollector got 2 breakers named 'chat/a'",
        "PrometheusCollector got 2 breakers named 'search'",
    ]


@pytest.mark.parametrize(
    "strange",
    [None, "openai", FallbackProvider, object()],
    ids=["None", "a name", "a class", "an object"],
)
def test_what_is_no_source_is_refused(strange):
    """A class is none either."""
    with pytest.raises(ConfigurationError, match="give a FallbackProvider, a CircuitBreaker or"):
        PrometheusCollector(strange)


@pytest.mark.parametrize("namespace", ["", "with space", "1st", "a-b", None, 3])
def test_a_namespace_that_prometheus_would_refuse_is_refused(namespace):
    """Before anything is registered."""
    with pytest.raises(ConfigurationError, match="namespace is"):
        PrometheusCollector(namespace=namespace)


def test_the_namespace_begins_every_name():
    """For those who name all of theirs alike."""
    names = {
        name for name, _ in scraped(PrometheusCollector(CircuitBreaker("a"), namespace="shop"))
    }

    assert names
    assert all(name.startswith("shop_") for name in names)


def test_adding_a_twin_adds_nothing():
    """All or nothing, as in making one."""
    collector = PrometheusCollector(CircuitBreaker("search"))
    with pytest.raises(ConfigurationError, match="2 breakers named 'search'"):
        collector.add(CircuitBreaker("maps"), CircuitBreaker("search"))
    collector.add(CircuitBreaker("maps"))

    told = values_of(scraped(collector), "breaker_in_flight")
    assert {dict(labels)["breaker"] for labels in told} == {"search", "maps"}


def test_a_registry_of_prometheus_takes_one_collector_of_a_namespace():
    """Two would give every metric twice."""
    registry = CollectorRegistry()
    registry.register(PrometheusCollector())

    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(PrometheusCollector())
    registry.register(PrometheusCollector(namespace="other"))


def test_a_collector_that_is_dropped_lets_go_of_its_chain():
    """It keeps its sources; they keep nothing of it but counts of moves."""
    chain = FallbackProvider(ScriptedProvider("a", ["x"]), name="chat")
    collector = PrometheusCollector(chain)
    gone = weakref.ref(chain)
    scraped(collector)
    del chain
    gc.collect()
    assert gone() is not None

    del collector
    gc.collect()
    assert gone() is None
