"""The verdict on a log: whether what breakers did in production is what they promise.

    log = AuditLog("audit.jsonl", mode="full")
    ...
    verdicts = judge_log(records, BreakerConfig(...))

The same properties as everywhere, held against audit records instead of the machine. A log does not
tell everything: what it leaves open is `UNKNOWN`, which equals anything, and properties that would
have to reckon with it are left out (`IN_LOGS` are those that are not). Of chains it judges nothing:
their promises are about objects, which no log holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.breaker_rows import BREAKER, BreakerState
from fsm_fallback.core.outcome import Fault, FaultKind
from fsm_fallback.core.parameters import BreakerConfig
from fsm_fallback.core.table import Table
from fsm_fallback.core.windows import CountWindow
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.spec.acts import BreakerAct, BreakerStanding, LeaseStanding, Outcome
from fsm_fallback.spec.breaker_properties import BREAKER_PROPERTIES
from fsm_fallback.spec.explore import Judge
from fsm_fallback.spec.properties import Property
from fsm_fallback.spec.verdict import Verdict
from fsm_fallback.telemetry.fields import BREAKER_MACHINE, FIELDS, Record

_SETTLING: Final = ("succeed", "fail", "release", "hold")
_OUTCOMES: Final = ("succeed", "fail")

IN_LOGS: Final = frozenset(
    {
        "open-never-called",
        "open-cools-down",
        "closed-lets-through",
        "admission-counted",
        "lease-settled-exactly-once",
        "late-outcome-changes-nothing",
        "neutral-leaves-no-evidence",
        "disabled-counts-nothing",
        "too-much-evidence-trips",
        "observing-never-trips",
        "counters-equal-a-recount",
        "healed-round-closes",
        "failed-probe-reopens",
        "undecided-round-goes-on",
        "generation-never-reused",
        "evidence-starts-empty",
        "opening-grows",
        "hold-yields-to-operators",
        "success-ends-a-series",
        "operator-is-obeyed",
        "operator-clears",
        "open-until-when-open",
    }
)
"""The ids of the properties that records alone can break."""

_NEEDS_NOTEBOOK: Final = frozenset(
    {
        "too-much-evidence-trips",
        "counters-equal-a-recount",
        "healed-round-closes",
        "failed-probe-reopens",
        "undecided-round-goes-on",
        "opening-grows",
    }
)
"""Those of them that reckon with the outcomes of a generation, and when it began."""


class Unknown:
    """What a log does not tell: it equals anything, and stays unknown when reckoned with."""

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]  # equal to everything, it has no place in a set

    def __eq__(self, other: object) -> bool:
        return True

    def __add__(self, other: object) -> Unknown:
        return self

    def __sub__(self, other: object) -> Unknown:
        return self

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final[Any] = Unknown()


def judge_log(
    records: Iterable[Record],
    config: BreakerConfig | Mapping[str, BreakerConfig],
    *,
    table: Table = BREAKER,
) -> list[Verdict]:
    """Hold the records of breakers against `IN_LOGS`.

    Args:
        records: Audit records in the order of the log, of mode `"full"`: what `AuditLog.records()`
            gives, or `json.loads` of each line of a file. Those of other machines are passed over.
        config: The parameters of the breakers; of several kinds of them by the id in the records,
            as `{"chat/openai": llm.breaker("openai").config}`. A chain with an attempt time-out
            shortens `probe_timeout`: ask its breakers for theirs.
        table: The table they ran.

    Returns:
        A verdict for each property; its history is the record that breaks it, and the one before.

    Raises:
        ConfigurationError: If there is no record of a breaker, one is of another table or other
            parameters, or the log is not of mode `"full"`: nothing may be missing between two
            records. A log that begins in the middle is judged from there.
    """
    histories: dict[str, str] = {}
    judged: dict[str, Property] = {}
    judge = Judge(BREAKER_PROPERTIES)
    breakers: dict[tuple[str, str], _Followed] = {}
    for record in records:
        _refuse_strange(record)
        if record["machine"] != BREAKER_MACHINE:
            continue
        key = (record["stream"], record["id"])  # a file holds the streams of many runs
        followed = breakers.get(key)
        if followed is None:
            followed = breakers[key] = _Followed(_config_of(record, config, table))
        act, before = followed.take(record)
        untold = _untold(followed)
        judged |= {each.id: each for each in BREAKER_PROPERTIES if each.id not in untold}
        while (
            act is not None
            and (broken := judge.broken_by(act, untold | histories.keys())) is not None
        ):
            histories[broken.id] = f"{_words(before)}, then {_words(record)}"
    if not breakers:
        raise ConfigurationError(
            "the log has no record of a breaker; give one of mode 'full', which has many"
        )
    return [
        Verdict(each, "the log", judge.seen[each.id], histories.get(each.id))
        for each in BREAKER_PROPERTIES
        if each.id in judged
    ]


def _untold(followed: _Followed) -> frozenset[str]:
    """The ids of the properties that the records of this breaker cannot break."""
    config = followed.config
    told = IN_LOGS if followed.knows_outcomes else IN_LOGS - _NEEDS_NOTEBOOK
    if not isinstance(config.window, CountWindow) or config.slow_call_duration is not None:
        told -= _NEEDS_NOTEBOOK - {"opening-grows"}
    if config.slow_call_duration is not None:
        told -= {"closed-lets-through"}  # calls that hang may have opened it
    if config.jitter:
        told -= {"opening-grows"}
    return frozenset(each.id for each in BREAKER_PROPERTIES) - told


def _config_of(
    record: Record, config: BreakerConfig | Mapping[str, BreakerConfig], table: Table
) -> BreakerConfig:
    """The parameters of the breaker that a record is of.

    Raises:
        ConfigurationError: If they are not known, or those it ran were others.
    """
    found = config.get(record["id"]) if isinstance(config, Mapping) else config
    if not isinstance(found, BreakerConfig):
        raise ConfigurationError(
            f"judge_log.config for {record['id']!r} is {shown(found)}; give a BreakerConfig, or "
            "one for the id of each breaker"
        )
    digest = table.digest(found.in_force)
    if record["digest"] not in (None, digest):
        raise ConfigurationError(
            f"record {record['seq']} of {record['id']!r} is of other parameters or another table "
            f"(digest {str(record['digest'])[:12]!r}, not {digest[:12]!r}); give what it ran: a "
            "chain with an attempt time-out shortens probe_timeout, and breaker(name).config has it"
        )
    return found


def _refuse_strange(record: object) -> None:
    """Refuse what is no audit record."""
    if not isinstance(record, Mapping) or not set(FIELDS) <= record.keys():
        raise ConfigurationError(
            f"judge_log.records has {shown(record)}, which is no audit record; give dictionaries, "
            "of a file json.loads of each line"
        )


@attrs.define(eq=False)
class _Followed:
    """One breaker, as its records tell it."""

    config: BreakerConfig
    latest: Record | None = None
    since: float = 0.0
    outcomes: list[Outcome] = attrs.field(factory=list)
    admitted: dict[int, float] = attrs.field(factory=dict)
    granted: int = 0  # the latest lease
    is_whole: bool = False  # told from its first record on
    knows_outcomes: bool = False  # all those of this generation

    def take(self, record: Record) -> tuple[BreakerAct | None, Record | None]:
        """What the next record says was done, and the record before it; no act where none is known.

        The first record of a log that begins in the middle tells no act: nobody knows what was
        before.
        """
        before, self.latest = self.latest, record
        if record["id_seq"] == 1:
            self.is_whole = self.knows_outcomes = True
        if before is not None and record["id_seq"] != before["id_seq"] + 1:
            raise ConfigurationError(
                f"the log has no record {before['id_seq'] + 1} of {record['id']!r}, but "
                f"{record['id_seq']}; give all of them, of mode 'full'"
            )
        known = before is not None and record["trigger"] != "restore"
        act = self._act(before, record) if known and before is not None else None
        self._note(record, act)
        return act, before

    def _act(self, before: Record, record: Record) -> BreakerAct:
        trigger, now = record["trigger"], record["mono"] or 0.0
        lease = granted = None
        if trigger in _SETTLING and record["lease"] is not None:
            lease = self._lease(record, settled="settled_before" in record["because"])
        elif trigger == "admit" and record["lease"] is not None:
            granted = self._lease(record, settled=False)
        kind = record["fault"]
        return BreakerAct(
            breaker=record["id"],
            trigger=trigger,
            now=now,
            config=self.config,
            before=self._before(before),
            after=_standing(record),
            lease=lease,
            returned=lease and lease._replace(settled=True),
            granted=granted,
            refusal=None,
            foreseen=None,
            named=None,
            fault=None if kind is None else Fault(FaultKind(kind)),
            by_hand=lease is None and trigger != "admit",
            outcomes=tuple(self.outcomes),
            hanging=0,
            deadlines=(),
            since=self.since,
            took=0.0,
            last_fault=None,
            records=(),
        )

    def _refuse_gap(self, record: Record, expected: int) -> None:
        """Refuse a log in which leases were granted without a record."""
        number = record["lease"]
        if number != expected and (self.is_whole or self.granted):
            raise ConfigurationError(
                f"the log does not tell how lease {number} of {record['id']!r} was granted; give "
                "one of mode 'full', where nothing is missing"
            )

    def _before(self, record: Record) -> BreakerStanding:
        """How it stood; what a window of time forgets meanwhile, nobody knows."""
        standing = _standing(record)
        if isinstance(self.config.window, CountWindow):
            return standing
        return standing._replace(calls=UNKNOWN, failures=UNKNOWN, slow_calls=UNKNOWN)

    def _lease(self, record: Record, *, settled: bool) -> LeaseStanding:
        number = record["lease"] or 0
        return LeaseStanding(
            number,
            record["generation"] or 0,
            self.admitted.get(number, record["mono"] or 0.0),
            UNKNOWN if record["to"] == BreakerState.HALF_OPEN.value else None,
            None,
            settled,
        )

    def _note(self, record: Record, act: BreakerAct | None) -> None:
        now = record["mono"] or 0.0
        number = record["lease"]
        if number is not None:
            if record["trigger"] == "admit":
                self._refuse_gap(record, expected=self.granted + 1)
                self.admitted[number], self.granted = now, number
            elif number > self.granted and (self.is_whole or self.granted):
                self._refuse_gap(record, expected=0)
        if record["verdict"] == "moved":
            self.since, self.outcomes, self.knows_outcomes = now, [], True
        elif act is not None and act.in_time and act.trigger in _OUTCOMES:
            if act.before.state is not BreakerState.DISABLED:
                self.outcomes.append(act.outcome)


def _standing(record: Record) -> BreakerStanding:
    """How a breaker stood after a record."""
    facts: dict[str, Any] = {**record["facts"]}
    return BreakerStanding(
        state=BreakerState(record["to"]),
        generation=facts["generation"],
        calls=facts["calls"],
        failures=facts["failures"],
        slow_calls=facts["slow_calls"],
        failures_in_a_row=UNKNOWN,
        probes=UNKNOWN,
        round_calls=UNKNOWN,
        round_failures=UNKNOWN,
        round_slow_calls=UNKNOWN,
        open_until=facts["open_until"],
        step=facts["step"],
        holds=facts["holds"],
        cause=UNKNOWN,
        in_flight=facts["in_flight"],
        not_permitted=UNKNOWN,
    )


def _words(record: Record | None) -> str:
    if record is None:
        return "nothing"
    return (
        f"record {record['seq']}: {record['id']!r} {record['trigger']} [{record['from']} -> "
        f"{record['to']}, {record['row'] or record['verdict']}] at {record['mono']:g}"
    )
