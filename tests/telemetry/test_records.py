"""How steps of real machines read as records."""

from __future__ import annotations

import json
import math

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fsm_fallback.core.breaker import Breaker
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.chain_rows import CHAIN
from fsm_fallback.core.events import BreakerStep
from fsm_fallback.core.lease import Refusal
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.telemetry import FIELDS, AuditLog
from fsm_fallback.telemetry.records import Stream, declaration
from fsm_fallback.telemetry.sinks import JsonLines

MARKER = "what the prompt said"
OUTAGE = Fault(FaultKind.TRANSIENT, message=MARKER)
BAD_KEY = Fault(FaultKind.AUTH, message=MARKER)
TOO_MUCH = Fault(FaultKind.CALLER, message=MARKER)


def _select(records, *fields):
    return [tuple(record[field] for field in fields) for record in records]


def _trip(breaker, now=101.0):
    for lease in [breaker.admit(now), breaker.admit(now)]:
        breaker.fail(lease, now, OUTAGE)


class TestFields:
    """What every record has."""

    def test_every_record_has_every_field_in_the_fixed_order(self, recorder, breaker, walk):
        """Null is written out, so that a reader never asks whether a key is there."""
        _trip(breaker(recorder.append))
        walk(recorder.append, ("openai", Refusal("open", 130.0, OUTAGE)), ("anthropic", "hello"))
        stream = Stream("run", 0.0, 0.0)

        records = [*recorder.records(), stream.dropped(3, 1.0)]

        assert {tuple(record) for record in records} == {FIELDS}
        assert FIELDS == (
            "v", "stream", "seq", "ts", "mono", "machine", "digest", "id", "id_seq", "row",
            "trigger", "from", "to", "verdict", "guards", "because", "facts", "generation",
            "lease", "call_id", "attempt", "provider", "fault", "actor", "reason", "trace_id",
            "span_id", "prev",
        )  # fmt: skip

    def test_ts_is_wall_time_at_the_start_plus_the_clocks_progress(self, recorder, walk):
        """The wall clock is read once: setting it back reorders nothing."""
        walk(recorder.append, ("openai", "hello"), at=101.25)

        assert _select(recorder.records(), "ts", "mono") == [
            ("2026-03-01T12:00:01.250000Z", 101.25),
            ("2026-03-01T12:00:02.250000Z", 102.25),
        ]

    @pytest.mark.parametrize("at", [math.inf, math.nan, 1e300, -1e15])
    def test_an_instant_no_calendar_knows_has_no_ts(self, at):
        """A broken clock costs the time, not the record."""
        record = Stream("run", 0.0, 0.0).dropped(1, at)

        assert record["ts"] is None
        assert record["mono"] == (at if math.isfinite(at) else None)

    def test_the_digest_is_the_tables_with_the_parameters_in_force(self, recorder, breaker, walk):
        """An unregistered machine has none, rather than a wrong one."""
        known, unknown = breaker(recorder.append), breaker(recorder.append, "anthropic")
        recorder.register(BREAKER, "openai", known.config.in_force)
        recorder.register(CHAIN, "fallback", {})
        _trip(known)
        _trip(unknown)
        walk(recorder.append, ("openai", "hello"))

        assert _select(recorder.records(), "id", "digest") == [
            ("openai", BREAKER.digest(known.config.in_force)),
            ("anthropic", None),
            ("fallback#1", CHAIN.digest({})),
            ("fallback#1", CHAIN.digest({})),
        ]

    def test_rows_and_guards_are_those_of_the_declared_table(self):
        """A registered table numbers its own rows: T1 of another table is another row."""
        shorter = attrs.evolve(BREAKER, rows=BREAKER.rows[1:])
        stream = Stream("run", 0.0, 0.0)
        stream.declare("openai", declaration(shorter))
        steps = []
        Breaker("openai", now=0.0, record=steps.append, record_stays=True).force_open(0.0)

        (record,) = stream.render(steps[0])

        assert record["row"] == shorter.id_of(steps[0].row) != BREAKER.id_of(steps[0].row)


class TestBreakerRecords:
    """A breaker's steps."""

    def test_a_trip_says_which_row_and_which_numbers(self, recorder, breaker):
        """The reader of the log can check the guard against what it compared."""
        _trip(breaker(recorder.append))

        (record,) = recorder.records()

        row = next(row for row in BREAKER.rows if row.guard == "tripped")
        assert record["machine"] == "breaker"
        assert (record["id"], record["trigger"], record["row"]) == (
            "openai",
            "fail",
            BREAKER.id_of(row),
        )
        assert (record["from"], record["to"], record["verdict"]) == ("closed", "open", "moved")
        assert record["guards"] == [["tripped", True]]
        assert record["because"] == {
            "failure_ratio": 1.0,
            "calls": 2,
            "threshold": 0.5,
            "minimum_calls": 2,
        }
        assert record["facts"].items() >= {"step": 1, "open_until": 131.0, "in_flight": 0}.items()
        assert (record["generation"], record["lease"], record["fault"]) == (0, 2, "transient")
        assert record["call_id"] is record["attempt"] is record["provider"] is None

    def test_guards_are_listed_up_to_the_first_that_held(self, recorder, breaker):
        """One refused before another granted: both are evidence."""
        it = breaker(recorder.append)
        _trip(it)
        it.succeed(it.admit(131.0), 132.0)

        assert _select(recorder.records()[1:], "to", "guards") == [
            ("half_open", [["cooled_down", True]]),
            ("closed", [["healed", True]]),
        ]

    def test_a_late_outcome_has_no_row(self, recorder, breaker):
        """Nothing fired: the state stays, the lease and its generation say whose it was."""
        it = breaker(recorder.append)
        late = it.admit(100.0)
        _trip(it)
        it.fail(late, 102.0, OUTAGE)

        record = recorder.records()[-1]

        assert (record["verdict"], record["row"], record["trigger"]) == ("late", None, "fail")
        assert (record["from"], record["to"]) == ("open", "open")
        assert (record["guards"], record["because"]) == ([], {})
        assert (record["generation"], record["lease"], record["fault"]) == (0, 1, "transient")

    def test_an_operators_act_names_actor_and_reason(self, recorder, breaker):
        """Also where it changes nothing."""
        it = breaker(recorder.append)
        it.disable(101.0, actor="ada", reason="INC-7")
        it.disable(102.0, actor="bob", reason="again")

        assert _select(recorder.records(), "trigger", "verdict", "actor", "reason") == [
            ("disable", "moved", "ada", "INC-7"),
            ("disable", "stayed", "bob", "again"),
        ]

    def test_a_hold_says_until_when(self, recorder, breaker):
        """The provider's word stands in `because`, the state it led to in `facts`."""
        it = breaker(recorder.append)
        it.hold(160.0, 101.0, it.admit(101.0), BAD_KEY)

        (record,) = recorder.records()

        assert (record["trigger"], record["to"], record["fault"]) == ("hold", "open", "auth")
        assert record["because"] == {"until": 160.0, "open_until": None}
        assert record["facts"]["open_until"] == 160.0

    def test_a_refusal_is_told_apart_from_staying(self, recorder, breaker):
        """Under `full`, a refused call has its own verdict."""
        it = breaker(recorder.append, full=True)
        _trip(it)
        it.admit(102.0)

        assert _select(recorder.records()[-2:], "trigger", "verdict") == [
            ("fail", "moved"),
            ("admit", "refused"),
        ]

    def test_every_row_of_the_table_renders(self, recorder):
        """Whatever fires can be told."""
        steps = [
            BreakerStep(
                "openai", 1.0, row.trigger, row, row.source, row.target or row.source, "stayed",
                {}, {}, 0, None, None,
            )
            for row in BREAKER.rows
        ]  # fmt: skip
        for step in steps:
            recorder.append(step)

        assert _select(recorder.records(), "row", "guards") == [
            (row_id, [list(guard) for guard in BREAKER.guards_before(row)])
            for row_id, row in BREAKER.numbered()
        ]


class TestChainRecords:
    """A call's steps."""

    def test_an_attempt_is_its_offer_and_its_end(self, recorder, walk):
        """One step, two records: at the admission and at the answer."""
        walk(recorder.append, ("openai", "hello"), call=7)

        offer, end = recorder.records()

        assert (offer["trigger"], offer["from"], offer["to"]) == ("offer", "selecting", "calling")
        assert (end["trigger"], end["from"], end["to"]) == ("answer", "calling", "succeeded")
        assert (offer["mono"], end["mono"]) == (100.0, 101.0)
        for record in (offer, end):
            assert (record["machine"], record["id"]) == ("chain", "fallback#7")
            assert record["call_id"] == "fallback#7"
            assert (record["provider"], record["attempt"]) == ("openai", 1)
            assert (record["generation"], record["lease"]) == (0, 1)
            assert (record["verdict"], record["fault"]) == ("moved", None)
            assert record["facts"] == {"left": 1}

    def test_a_failed_attempt_names_its_fault_at_its_end(self, recorder, walk):
        """The offer knew nothing of it yet."""
        walk(recorder.append, ("openai", OUTAGE), ("anthropic", "hello"))

        assert _select(recorder.records(), "trigger", "provider", "attempt", "fault") == [
            ("offer", "openai", 1, None),
            ("fault", "openai", 1, "transient"),
            ("offer", "anthropic", 2, None),
            ("answer", "anthropic", 2, None),
        ]
        failed = recorder.records()[1]
        assert failed["guards"] == [["spoilt", False], ["rejected", False], ["retryable", False]]
        assert failed["because"] == {
            "fault": "transient",
            "fail_over": "yes",
            "larger_left": 0,
            "handed_over": False,
            "tries_left": 0,
        }

    def test_left_counts_the_candidates_still_to_be_tried(self, recorder, walk):
        """An offer counts its own candidate; a fault that goes on no longer does."""
        walk(
            recorder.append,
            ("openai", Refusal("open", None, None)),
            ("anthropic", OUTAGE),
            ("mistral", TOO_MUCH),
        )

        lefts = [
            (record["trigger"], record["to"], record["facts"]["left"])
            for record in recorder.records()
        ]
        assert lefts == [
            ("skip", "selecting", 2),
            ("offer", "calling", 2),
            ("fault", "selecting", 1),
            ("offer", "calling", 1),
            ("fault", "rejected", 1),
        ]

    def test_a_skip_names_reason_and_cause(self, recorder, walk):
        """Who was not called, and the fault behind the refusal."""
        walk(recorder.append, ("openai", Refusal("open", 130.0, BAD_KEY)), ("anthropic", "hello"))

        skip = recorder.records()[0]

        assert (skip["trigger"], skip["verdict"], skip["provider"]) == ("skip", "stayed", "openai")
        assert (skip["reason"], skip["fault"]) == ("open", "auth")
        assert skip["attempt"] is skip["lease"] is skip["generation"] is None

    @pytest.mark.parametrize(
        ("script", "ends"),
        [
            ([("openai", OUTAGE)], ("exhaust", "failed")),
            ([("openai", TOO_MUCH)], ("fault", "rejected")),
            ([("openai", "expire")], ("expire", "failed")),
            ([("openai", "abandon")], ("abandon", "abandoned")),
            ([("openai", Refusal("open", None, None))], ("exhaust", "failed")),
        ],
    )
    def test_every_call_ends_in_one_final_state(self, recorder, walk, script, ends):
        """The last record of a call says how it ended."""
        walk(recorder.append, *script)

        assert _select(recorder.records(), "trigger", "to")[-1] == ends


class TestNumbers:
    """`seq` over the stream, `id_seq` per machine."""

    def test_seq_is_one_gapless_order_over_all_machines(self, recorder, breaker, walk):
        """The order in which they were appended, whatever their machine."""
        _trip(breaker(recorder.append))
        walk(recorder.append, ("openai", OUTAGE), ("anthropic", "hello"))
        _trip(breaker(recorder.append, "anthropic"))

        records = recorder.records()

        assert _select(records, "seq") == [(number,) for number in range(1, len(records) + 1)]
        assert [record["id"] for record in records] == ["openai", *["fallback#1"] * 4, "anthropic"]

    def test_id_seq_is_gapless_per_machine(self, recorder, breaker, walk):
        """Each breaker and each call counts for itself, from 1."""
        it = breaker(recorder.append)
        _trip(it)
        walk(recorder.append, ("openai", Refusal("open", None, None)), ("anthropic", "hello"))
        it.reset(103.0)
        walk(recorder.append, ("anthropic", "hello"), call=2)

        assert _select(recorder.records(), "id", "id_seq") == [
            ("openai", 1),
            ("fallback#1", 1),
            ("fallback#1", 2),
            ("fallback#1", 3),
            ("openai", 2),
            ("fallback#2", 1),
            ("fallback#2", 2),
        ]


class TestSecrets:
    """What the log must not know."""

    def test_words_of_a_provider_are_in_no_record(self, recorder, breaker, walk):
        """Of a fault the log tells the kind; of an exception, nothing."""
        it = breaker(recorder.append, full=True)
        _trip(it)
        it.hold(300.0, 102.0, fault=BAD_KEY)
        walk(
            recorder.append,
            ("openai", Refusal("open", None, BAD_KEY)),
            ("anthropic", OUTAGE),
            ("mistral", TOO_MUCH),
        )

        records = recorder.records()

        assert len(records) > 8
        assert MARKER not in repr(records)


class _Lines:
    """A file in memory."""

    def __init__(self):
        self.bytes = b""

    def write(self, data):
        self.bytes += data
        return len(data)

    def close(self):
        pass


def _strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
facts = st.dictionaries(st.text(), values, max_size=5)


class TestJson:
    """Records as lines."""

    @example(because={}, facts={}, at=1.8e302, name="", reason="")
    @given(because=facts, facts=facts, at=st.floats(), name=st.text(), reason=st.text())
    def test_any_facts_make_one_line_of_strict_json(self, because, facts, at, name, reason):
        """Infinite and undefined numbers are null; nothing else is changed."""
        step = BreakerStep(
            name, at, "fail", None, BreakerState.OPEN, BreakerState.OPEN, "late", because, facts,
            0, 1, OUTAGE, "ada", reason,
        )  # fmt: skip
        file = _Lines()
        for record in Stream("run", 0.0, 0.0).render(step):
            JsonLines(file).write(record)

        assert file.bytes.count(b"\n") == 1
        record = _strictly(file.bytes)
        assert tuple(record) == FIELDS
        assert (record["id"], record["reason"]) == (name, reason)
        for given_facts, written in ((because, record["because"]), (facts, record["facts"])):
            assert written == {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in given_facts.items()
            }

    def test_a_value_json_does_not_know_is_told_by_its_type(self):
        """A table of a user's may measure anything; what it holds stays out of the log."""
        step = BreakerStep(
            "openai", 1.0, "fail", None, BreakerState.OPEN, BreakerState.OPEN, "late",
            {"odd": RuntimeError(MARKER)}, {}, 0, 1, None,
        )  # fmt: skip
        file = _Lines()
        for record in Stream("run", 0.0, 0.0).render(step):
            JsonLines(file).write(record)

        assert _strictly(file.bytes)["because"] == {"odd": "<RuntimeError>"}


def test_a_recorder_can_be_read_again_and_again(recorder, walk):
    """Reading consumes nothing, and numbers nothing."""
    walk(recorder.append, ("openai", "hello"))

    assert recorder.records() == recorder.records()
    assert recorder.stream == recorder.records()[0]["stream"] != AuditLog().stream
