"""Scripted traffic over one chain, and a naive recount of it from what the audit log says.

Whatever exporters tell must be what the trails of the calls say; this adds them up the slow way,
and shares no code with what is tested.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from types import SimpleNamespace

from fsm_fallback import (
    AuditLog,
    BreakerConfig,
    ChainFailed,
    FallbackConfig,
    FallbackProvider,
    Fault,
    FaultKind,
)
from fsm_fallback.core.prices import Price
from fsm_fallback.testing import Delay, ManualClock, ScriptedProvider

SECRET = "sk-live-0123456789"  # noqa: S105  # nobody's
PROMPT = "the prompt nobody may read"


class Overloaded(Exception):
    """What a provider says that is unwell, with words that are nobody's business."""

    status_code = 529

    def __init__(self):
        super().__init__(f"key {SECRET} is overloaded")


class Invalid(Exception):
    """What it says to a request that is at fault."""

    status_code = 400
    body = {"error": {"type": "invalid_request_error", "message": SECRET}}  # noqa: RUF012  # as SDKs have it


class LimitReached(Exception):
    """What it says to those who send too much."""

    status_code = 429


def answer(seconds):
    """An answer that takes its time, and tokens."""
    cached = SimpleNamespace(cached_tokens=400)
    usage = SimpleNamespace(prompt_tokens=1000, completion_tokens=100, prompt_tokens_details=cached)
    return Delay(seconds, SimpleNamespace(text=PROMPT, usage=usage))


class Traffic:
    """A chain of three, its calls, and what they came to."""

    def __init__(self, name="chat"):
        self.clock = ManualClock()
        # The second has no price, and the third is seldom needed.
        price = Price(input_mtok=3, output_mtok=15)
        own = {"clock": self.clock, "exhausted": "repeat"}
        self.providers = [
            ScriptedProvider("openai", [*self._first()] * 2, price=price, **own),
            ScriptedProvider("anthropic", [*self._second()] * 2, **own),
            ScriptedProvider("mistral", [*self._third()] * 2, price=price, **own),
        ]
        self.log = AuditLog(clock=self.clock)
        self.chain = FallbackProvider(
            *self.providers,
            name=name,
            clock=self.clock,
            sample=lambda: 0.5,
            audit=self.log,
            config=FallbackConfig(
                breaker=BreakerConfig(
                    minimum_calls=4, open_duration=30.0, jitter=0.0, slow_call_duration=1.0
                )
            ),
        )
        self.calls = 0

    @staticmethod
    def _first():
        """Well for a while, then not, then well again, but for a request that is at fault."""
        yield from [answer(0.3)] * 4
        yield from [Delay(0.05, Overloaded())] * 4  # opens
        yield from [answer(0.2)] * 3  # its probe, and two more
        yield Delay(0.01, Invalid())
        yield from [answer(0.4), answer(100.0), Delay(0.05, Overloaded())]

    @staticmethod
    def _second():
        """There when it is needed, until it is told to wait."""
        yield from [answer(1.5)] * 3  # slow
        yield Delay(0.02, LimitReached())  # held
        yield from [answer(0.7)] * 20

    @staticmethod
    def _third():
        yield Delay(0.1, Overloaded())
        yield from [answer(2.5)] * 20

    def play(self):
        """Eleven calls that meet failures, a pause, and seven more."""
        for _ in range(11):
            self.call()
        self.clock.advance(31.0)
        for _ in range(7):
            self.call()
        return self

    def call(self):
        """One call, plain or detailed by turns: straight ones and walked ones are counted alike."""
        self.calls += 1
        with contextlib.suppress(ChainFailed):
            (self.chain.call if self.calls % 2 else self.chain.detailed)(PROMPT)

    # The recount ----------------------------------------------------------------------------

    def trails(self):
        """What the log says of each call: its end, who answered, the steps to there, its seconds.

        A step is whom it was about, why that one did not answer, and how long that took; the last
        is None of one who was passed over.
        """
        calls = defaultdict(list)
        for record in self.log.records():
            if record["machine"] == "chain":
                calls[record["call_id"]].append(record)
        for records in calls.values():
            steps, began = [], None
            for record in records:
                match record["trigger"]:
                    case "offer":
                        began = record["mono"]
                    case "skip":
                        steps.append((record["provider"], record["reason"], None))
                    case "answer" | "fault":
                        steps.append((record["provider"], record["fault"], record["mono"] - began))
            last = records[-1]
            who = last["provider"] if last["to"] == "succeeded" else ""
            yield last["to"], who, steps, last["mono"] - records[0]["mono"]

    def recount(self):
        """Every sample of a counter that is not 0, by its name and labels."""
        counts = Counter()
        chain = self.chain.name
        for outcome, provider, steps, _ in self.trails():
            key = {"chain": chain, "outcome": outcome, "provider": provider}
            counts[sample("request_duration_seconds_count", key)] += 1
            for (former, why, _), (name, fault, seconds) in itertools.pairwise(
                [(None, None, None), *steps]
            ):
                breaker = {"breaker": f"{chain}/{name}"}
                if seconds is None:
                    key = {"chain": chain, "provider": name, "reason": fault}
                    counts[sample("skips_total", key)] += 1
                    counts[sample("breaker_not_permitted_total", breaker)] += 1
                    continue
                key = breaker | {"outcome": booked(fault)}
                counts[sample("breaker_call_duration_seconds_count", key)] += 1
                if fault is not None:
                    key = {"chain": chain, "provider": name, "fault": fault}
                    counts[sample("faults_total", key)] += 1
                if former not in (None, name):
                    key = {"chain": chain, "from_provider": former, "to_provider": name}
                    counts[sample("fallbacks_total", key | {"fault": why})] += 1
        for record in self.log.records():
            if record["machine"] == "breaker" and record["verdict"] == "moved":
                key = {"breaker": record["id"], "trigger": record["trigger"]}
                states = {"from_state": record["from"], "to_state": record["to"]}
                counts[sample("breaker_transitions_total", key | states)] += 1
        return dict(counts)

    def seconds(self):
        """Seconds of the calls by their end, and of the attempts by what was booked."""
        seconds = defaultdict(list)
        for outcome, provider, steps, took in self.trails():
            key = {"chain": self.chain.name, "outcome": outcome, "provider": provider}
            seconds[sample("request_duration_seconds", key)].append(took)
            for name, fault, lasted in steps:
                if lasted is not None:
                    key = {"breaker": f"{self.chain.name}/{name}", "outcome": booked(fault)}
                    seconds[sample("breaker_call_duration_seconds", key)].append(lasted)
        return dict(seconds)


def booked(fault):
    """What a breaker books for an attempt that ended so."""
    return "success" if fault is None else Fault(FaultKind(fault)).outcome.value


def sample(name, labels):
    """The name of a sample; a label that is empty is one that is not there."""
    told = frozenset((key, value) for key, value in labels.items() if value)
    return f"fsm_fallback_{name}", told
