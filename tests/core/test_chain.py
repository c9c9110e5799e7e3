"""The walk along a chain, command by command: whom it asks, what it tells, when it ends.

Deadlines and time-outs are in `test_chain_time`.
"""

import itertools

import pytest
from transitions import MachineError

from fsm_fallback import (
    AllProvidersFailed,
    Attempt,
    BreakerOpen,
    Fault,
    FaultKind,
    NotEligible,
    RequestRejected,
    Skip,
    StreamConfig,
)
from fsm_fallback.core.chain import SKIP, Chain
from fsm_fallback.core.chain_rows import FINAL, ChainState
from fsm_fallback.core.commands import Admit, Call, Raise, Return
from fsm_fallback.core.outcome import KINDS, FailOver
from fsm_fallback.core.rules import PLAIN, Rules
from fsm_fallback.core.trail import failure

K = FaultKind
DOWN = Fault(K.TRANSIENT)
TOO_LONG = Fault(K.CONTEXT)
HELD = Fault(K.AUTH)


@pytest.fixture
def begin(named):
    """Begin a call over candidates, given by name or made before."""

    def begun(*candidates, **parameters):
        ready = tuple(c if not isinstance(c, str) else named(c)[0] for c in candidates)
        return Chain("fallback", 1, ready, **parameters)

    return begun


@pytest.fixture
def walk(grant, refusal):
    """Walk a chain: each candidate asked plays what the script has for its name.

    A `Fault` fails with a fresh error, a refusal refuses, anything else answers.
    """

    def walked(chain, **script):
        asked, errors = [], []
        command = chain.next(0.0)
        while not isinstance(command, (Return, Raise)):
            became = script[command.candidate.name]
            if isinstance(command, Admit):
                refused = isinstance(became, type(refusal()))
                command = chain.admission(became if refused else grant(), 0.0)
            elif isinstance(became, Fault):
                asked.append(command.candidate.name)
                errors.append(RuntimeError(command.candidate.name))
                _, command = chain.fault(became, errors[-1], 0.0)
            else:
                asked.append(command.candidate.name)
                command = chain.answer(0.0)
        return command, asked, errors

    return walked


def told(trail):
    """A trail in short: `name: kind`, `name: answer`, `name (reason)`."""
    return [
        f"{item.provider} ({item.reason})"
        if isinstance(item, Skip)
        else f"{item.provider}: {item.fault.kind.value if item.fault else 'answer'}"
        for item in trail
    ]


class TestTheWalk:
    """Candidates in order, each on a lease, until one answers."""

    def test_the_first_candidate_is_asked_on_its_lease(self, begin, grant):
        """First leave to call, then the call, then the answer."""
        chain, lease = begin("a", "b"), grant()
        command = chain.next(0.0)
        assert isinstance(command, Admit)
        assert command.candidate.name == "a"
        command = chain.admission(lease, 0.0)
        assert isinstance(command, Call)
        assert command.lease is lease
        assert isinstance(chain.answer(0.0), Return)
        assert chain.state is ChainState.SUCCEEDED

    def test_an_answer_is_on_the_trail(self, begin, grant):
        """Admitted at 1 and answered at 3, without fault or error."""
        chain = begin("a")
        chain.next(1.0)
        chain.admission(grant(1.0), 1.0)
        chain.answer(3.0)
        assert chain.trail == (
            Attempt(provider="a", number=1, fault=None, error=None, started_at=1.0, duration=2.0),
        )

    @pytest.mark.parametrize(
        ("answered", "duration"), [(9.0, 0.0), (10.0, 0.0), (10.5, 0.5), (13.0, 3.0)]
    )
    def test_an_attempt_takes_its_time_and_never_less_than_none(
        self, begin, grant, answered, duration
    ):
        """Though the clock went back."""
        chain = begin("a")
        chain.next(10.0)
        chain.admission(grant(10.0), 10.0)
        chain.answer(answered)
        assert chain.trail[0].duration == duration

    def test_a_failure_leads_to_the_next_candidate(self, begin, walk):
        """The trail tells the failure with its error, then the answer."""
        chain = begin("a", "b", "c")
        command, asked, (error,) = walk(chain, a=DOWN, b="hello")
        assert isinstance(command, Return)
        assert asked == ["a", "b"]
        assert told(chain.trail) == ["a: transient", "b: answer"]
        assert chain.trail[0].error is error
        assert [item.number for item in chain.trail] == [1, 2]

    def test_all_errors_are_kept_in_order_as_objects(self, begin, walk):
        """The group's members are what was raised, not copies of it."""
        chain = begin("a", "b", "c")
        command, _, errors = walk(chain, a=DOWN, b=Fault(K.TIMEOUT), c=Fault(K.UNKNOWN))
        assert isinstance(command.error, AllProvidersFailed)
        assert len(command.error.exceptions) == 3
        assert all(a is b for a, b in zip(command.error.exceptions, errors, strict=True))
        assert command.error.trail == chain.trail

    def test_a_refused_candidate_is_skipped_and_never_called(self, begin, walk, refusal):
        """With the state that refused, until when, and why it is in it."""
        chain = begin("a", "b")
        command, asked, _ = walk(chain, a=refusal("open", 7.0, HELD), b="hello")
        assert isinstance(command, Return)
        assert asked == ["b"]
        assert chain.trail[0] == Skip("a", "open", until=7.0, cause=HELD)
        assert chain.trail[1].number == 1

    def test_a_candidate_ruled_out_by_the_strategy_is_skipped(self, begin, walk):
        """It comes as a skip, and stays one."""
        skip = Skip("a", "tools")
        chain = begin(skip, "b")
        walk(chain, b="hello")
        assert chain.trail[0] is skip

    def test_nothing_attempted_leaves_one_fresh_error_for_each_skip(self, begin, walk, refusal):
        """`BreakerOpen` where a breaker refused, `NotEligible` where a need was lacking."""
        chain = begin("a", Skip("b", "tools"), "c")
        command, _, _ = walk(chain, a=refusal("open", 7.0, HELD), c=refusal("forced_open"))
        first, second, third = command.error.exceptions
        assert isinstance(first, BreakerOpen)
        assert (first.provider, first.state, first.retry_after) == ("a", "open", 7.0)
        assert first.cause is HELD
        assert isinstance(second, NotEligible)
        assert (second.provider, second.reason) == ("b", "tools")
        assert isinstance(third, BreakerOpen)
        assert (third.state, third.retry_after, third.cause) == ("forced_open", None, None)

    def test_beside_an_attempt_skips_are_no_members(self, begin, walk, refusal):
        """They are on the trail; the group holds what was raised."""
        chain = begin("a", "b")
        command, _, errors = walk(chain, a=refusal(), b=DOWN)
        assert list(command.error.exceptions) == errors
        assert told(command.error.trail) == ["a (open)", "b: transient"]

    @pytest.mark.parametrize("kind", [k for k in K if KINDS[k].fail_over is FailOver.YES])
    def test_a_fault_that_may_not_be_everywhere_leads_on(self, begin, walk, kind):
        """As the fault table says."""
        command, asked, _ = walk(begin("a", "b"), a=Fault(kind), b="hello")
        assert isinstance(command, Return)
        assert asked == ["a", "b"]

    @pytest.mark.parametrize("kind", [k for k in K if KINDS[k].fail_over is FailOver.NO])
    def test_a_fault_that_is_the_same_everywhere_rejects_the_request(self, begin, walk, kind):
        """No other provider is asked."""
        command, asked, errors = walk(begin("a", "b"), a=Fault(kind))
        assert isinstance(command.error, RequestRejected)
        assert asked == ["a"]
        assert list(command.error.exceptions) == errors

    def test_a_rejection_keeps_what_failed_before(self, begin, walk):
        """Both errors, in order."""
        command, _, errors = walk(begin("a", "b", "c"), a=DOWN, b=Fault(K.CALLER))
        assert isinstance(command.error, RequestRejected)
        assert list(command.error.exceptions) == errors
        assert len(errors) == 2

    def test_a_rejection_says_so_and_when_another_may_be_asked(self, begin, walk):
        """Another request may go there."""
        script = {"a": Fault(K.RATE_LIMIT, retry_after=7.0), "b": Fault(K.CALLER)}
        command, _, _ = walk(begin("a", "b"), **script)
        assert command.error.retry_after == 7.0
        assert command.error.message == (
            "no other provider would help: 'b' caller (mend the request); "
            "'a' rate_limit (send less, or wait)"
        )


class TestContextWindows:
    """A request too long for one model is for a larger one only."""

    def test_it_goes_to_the_next_larger_window(self, begin, walk, candidate):
        """Smaller, equal and unknown ones are passed over, and the trail says why."""
        chain = begin(
            candidate("small", 8),
            candidate("smaller", 4),
            candidate("equal", 8),
            "unknown",
            candidate("large", 32),
        )
        command, asked, _ = walk(chain, small=TOO_LONG, large="hello")
        assert isinstance(command, Return)
        assert asked == ["small", "large"]
        assert told(chain.trail) == [
            "small: context",
            "smaller (context_window)",
            "equal (context_window)",
            "unknown (context_window)",
            "large: answer",
        ]

    @pytest.mark.parametrize("windows", [(8, 4), (8, 8), (8, None), (None, 8), (None, None)])
    def test_it_is_rejected_where_no_larger_window_is_left(self, begin, walk, candidate, windows):
        """Nobody knows a provider that could take it."""
        chain = begin(*(candidate(n, w) for n, w in zip("ab", windows, strict=True)))
        command, asked, _ = walk(chain, a=TOO_LONG)
        assert isinstance(command.error, RequestRejected)
        assert asked == ["a"]

    def test_a_larger_one_that_was_ruled_out_is_no_hope(self, begin, walk, candidate):
        """The strategy has said that it cannot serve."""
        chain = begin(candidate("a", 8), Skip("b", "tools"))
        command, _, _ = walk(chain, a=TOO_LONG)
        assert isinstance(command.error, RequestRejected)

    def test_what_is_wanted_grows_with_each_that_is_too_small(self, begin, walk, candidate):
        """8 was too small, then 16; 12 is not asked."""
        chain = begin(candidate("a", 8), candidate("b", 16), candidate("c", 12), candidate("d", 32))
        _, asked, _ = walk(chain, a=TOO_LONG, b=TOO_LONG, d="hello")
        assert asked == ["a", "b", "d"]

    def test_a_larger_one_need_not_be_the_last(self, begin, walk, candidate):
        """Wherever it stands behind the one that was too small."""
        chain = begin(candidate("a", 8), candidate("b", 32), candidate("c", 4))
        _, asked, _ = walk(chain, a=TOO_LONG, b="hello")
        assert asked == ["a", "b"]

    def test_another_failure_does_not_forget_what_is_wanted(self, begin, walk, candidate):
        """The small one behind a failed large one is still too small."""
        chain = begin(candidate("a", 8), candidate("b", 32), candidate("c", 4), candidate("d", 16))
        _, asked, _ = walk(chain, a=TOO_LONG, b=DOWN, d="hello")
        assert asked == ["a", "b", "d"]

    def test_a_larger_one_whose_breaker_refuses_makes_no_rejection(
        self, begin, walk, candidate, refusal
    ):
        """It could have helped: later it may."""
        chain = begin(candidate("a", 8), candidate("b", 32))
        command, _, errors = walk(chain, a=TOO_LONG, b=refusal("open", 7.0))
        assert type(command.error) is AllProvidersFailed
        assert list(command.error.exceptions) == errors
        assert command.error.retry_after == 7.0

    def test_a_failure_before_wants_no_larger_window(self, begin, walk, candidate):
        """Only a request that was too long does."""
        chain = begin(candidate("a", 32), candidate("b", 8))
        _, asked, _ = walk(chain, a=DOWN, b="hello")
        assert asked == ["a", "b"]


class TestTheMessage:
    """What the error says first, and what it never says."""

    @pytest.mark.parametrize("order", [*itertools.permutations("abc")])
    def test_it_leads_with_what_a_person_can_act_on(self, begin, walk, order):
        """A refused key before a rate limit before an outage, whatever the order of the calls."""
        faults = {"a": HELD, "b": Fault(K.RATE_LIMIT), "c": DOWN}
        command, _, _ = walk(begin(*order), **faults)
        assert command.error.message == (
            "all 3 providers failed: 'a' auth (check its key and permissions); "
            "'b' rate_limit (send less, or wait); 'c' transient (wait)"
        )

    def test_the_cause_of_a_skip_leads_as_well(self, begin, walk, refusal):
        """A provider held for its key says so on every call."""
        command, _, _ = walk(begin("a", "b"), a=DOWN, b=refusal("open", 900.0, HELD))
        assert command.error.message == (
            "all 2 providers failed: 'b' skipped, open after auth (check its key and permissions); "
            "'a' transient (wait)"
        )

    def test_what_an_operator_did_leads_what_nobody_mends_by_waiting(self, begin, walk, refusal):
        """A refused key comes second."""
        command, _, _ = walk(begin("a", "b"), a=refusal("open", None, HELD), b=refusal("disabled"))
        assert command.error.message == (
            "no provider could be asked: 'b' skipped, disabled; "
            "'a' skipped, open after auth (check its key and permissions)"
        )

    def test_the_only_provider_is_called_that(self, begin, walk):
        """One is not all of many."""
        command, _, _ = walk(begin("a"), a=DOWN)
        assert command.error.message == "the only provider failed: 'a' transient (wait)"

    def test_what_an_operator_did_leads(self, begin, walk, refusal):
        """Nobody else can undo it; and nobody failed, for nobody was asked."""
        command, _, _ = walk(
            begin("a", "b"), a=refusal("open", 7.0, DOWN), b=refusal("forced_open")
        )
        assert command.error.message == (
            "no provider could be asked: 'b' skipped, forced_open; "
            "'a' skipped, open after transient (wait); retry after 7 s"
        )

    def test_a_time_is_told_where_every_attempt_named_one(self, begin, walk):
        """A provider that failed plainly may be well by now, and no time is worth words."""
        command, _, _ = walk(begin("a", "b"), a=HELD, b=Fault(K.RATE_LIMIT, retry_after=7.0))
        assert command.error.message.endswith("; retry after 7 s")

    def test_it_never_quotes_a_provider(self, begin, walk, refusal):
        """What the provider said may be the prompt."""
        loud = Fault(K.TRANSIENT, message="MARKER")
        command, _, _ = walk(begin("a", "b"), a=loud, b=refusal("open", 1.0, loud))
        assert "MARKER" not in command.error.message
        assert "MARKER" not in repr(command.error.trail[1])


class TestRetryAfter:
    """When somebody may be asked again."""

    @pytest.mark.parametrize(
        ("script", "seconds"),
        [
            ({"a": Fault(K.RATE_LIMIT, retry_after=7.0), "b": DOWN}, 7.0),
            ({"a": Fault(K.RATE_LIMIT), "b": DOWN}, 10.0),
            ({"a": Fault(K.RATE_LIMIT, retry_after=4_000.0), "b": DOWN}, 300.0),
            ({"a": Fault(K.TRANSIENT, retry_after=3.0), "b": HELD}, 3.0),
            ({"a": HELD, "b": Fault(K.QUOTA)}, 900.0),
            ({"a": DOWN, "b": DOWN}, None),
        ],
    )
    def test_it_is_the_earliest_time_a_fault_names(self, begin, walk, script, seconds):
        """A hold within its cap, a hint of a failure, or None where nobody named a time."""
        command, _, _ = walk(begin("a", "b"), **script)
        assert command.error.retry_after == seconds

    def test_a_breaker_that_knows_its_end_is_asked_then(self, begin, walk, refusal):
        """The earlier of two."""
        command, _, _ = walk(begin("a", "b"), a=refusal("open", 40.0), b=refusal("open", 9.0))
        assert command.error.retry_after == 9.0

    @pytest.mark.parametrize(("now", "seconds"), [(105.0, 7.0), (111.5, 0.5), (115.0, 0.0)])
    def test_it_is_counted_from_the_end_of_the_attempt(self, now, seconds):
        """What has passed since then is not waited for again."""
        limited = Fault(K.RATE_LIMIT, retry_after=10.0)
        attempt = Attempt("a", 1, limited, RuntimeError(), started_at=100.0, duration=2.0)
        error = failure(AllProvidersFailed, "x", (attempt,), now)
        assert error.retry_after == seconds

    @pytest.mark.parametrize(("now", "seconds"), [(3.0, 4.0), (6.75, 0.25), (9.0, 0.0)])
    def test_that_of_a_skip_is_counted_from_now(self, now, seconds):
        """In the exception that stands for it, too."""
        error = failure(AllProvidersFailed, "x", (Skip("a", "open", until=7.0),), now)
        assert (error.retry_after, error.exceptions[0].retry_after) == (seconds, seconds)

    def test_it_is_never_negative(self, begin, walk, refusal):
        """A time that has passed is now."""
        command, _, _ = walk(begin("a"), a=refusal("open", -5.0))
        assert command.error.retry_after == 0.0


class TestReports:
    """A driver that reports what cannot be has a bug, and hears of it."""

    def ended(self, begin, grant, how):
        """A chain in each of its final states."""
        stream = how is ChainState.INTERRUPTED
        chain = begin("a", rules=Rules(stream=StreamConfig()) if stream else PLAIN)
        chain.next(0.0)
        chain.admission(grant(), 0.0)
        match how:
            case ChainState.SUCCEEDED:
                chain.answer(0.0)
            case ChainState.FAILED:
                chain.fault(DOWN, RuntimeError(), 0.0)
            case ChainState.REJECTED:
                chain.fault(Fault(K.CALLER), RuntimeError(), 0.0)
            case ChainState.INTERRUPTED:
                chain.item(0.0, 1, output=True)
                chain.fault(DOWN, RuntimeError(), 0.0)
            case ChainState.ABANDONED:
                chain.abandon(0.0)
        assert chain.state is how
        return chain

    @pytest.mark.parametrize("final", sorted(FINAL, key=lambda state: state.value))
    @pytest.mark.parametrize("report", ["answer", "fault", "abandon"])
    def test_a_report_after_the_end_is_an_error(self, begin, grant, final, report):
        """One final state, and nothing after it."""
        chain = self.ended(begin, grant, final)
        arguments = (DOWN, RuntimeError()) if report == "fault" else ()
        before = chain.notes
        with pytest.raises((MachineError, IndexError)):
            getattr(chain, report)(*arguments, 0.0)
        assert (chain.state, chain.notes) == (final, before)

    @pytest.mark.parametrize("report", ["answer", "fault"])
    def test_a_report_of_a_call_that_was_not_made_is_an_error(self, begin, report):
        """The chain is still choosing whom to ask."""
        chain = begin("a")
        chain.next(0.0)
        arguments = (DOWN, RuntimeError()) if report == "fault" else ()
        with pytest.raises(MachineError):
            getattr(chain, report)(*arguments, 0.0)
        assert chain.state is ChainState.SELECTING

    def test_a_timer_of_a_call_that_was_not_made_is_an_error(self, begin):
        """There is no attempt that it could end."""
        chain = begin("a")
        with pytest.raises(MachineError):
            chain.time_out(0.0)

    def test_a_second_lease_during_a_call_is_an_error(self, begin, grant):
        """One candidate at a time."""
        chain = begin("a", "b")
        chain.next(0.0)
        chain.admission(grant(), 0.0)
        with pytest.raises(MachineError):
            chain.admission(grant(), 0.0)

    def test_a_caller_may_leave_before_anybody_was_asked(self, begin):
        """Nothing is on the trail, and there is nothing more to do."""
        chain = begin("a")
        chain.next(0.0)
        chain.abandon(0.0)
        assert (chain.state, chain.trail) == (ChainState.ABANDONED, ())
        with pytest.raises(
            TypeError, match=r"^the caller left; an abandoned chain asks for nothing$"
        ):
            chain.next(0.0)

    def test_a_lease_may_be_reported_after_the_call_has_begun(self, begin, grant):
        """By a driver that did not wait to be told."""
        chain, lease = begin("a"), grant(1.0)
        chain.offered(lease, 1.0)
        assert (chain.state, chain.lease, chain.now) == (ChainState.CALLING, lease, 1.0)
        chain.answer(3.0)
        assert chain.trail == (Attempt("a", 1, None, None, 1.0, 2.0),)

    def test_a_candidate_that_was_ruled_out_has_no_turn(self, begin):
        """It stands on the trail, and the next one is asked."""
        ruled_out = Skip("a", "too dear")
        chain = begin(ruled_out, "b")
        with pytest.raises(TypeError, match="candidate 'a' was ruled out; it has no turn"):
            _ = chain.candidate
        assert chain.next(0.0).candidate.name == "b"
        assert chain.trail == (ruled_out,)

    def test_after_an_answer_there_is_nothing_to_do_but_return(self, begin, walk):
        """However often a driver asks."""
        chain = begin("a")
        command, _, _ = walk(chain, a="hello")
        assert isinstance(command, Return)
        assert chain.next(0.0) == command

    def test_nobody_is_called_without_a_lease(self, begin, grant):
        """A driver that lost it has made a mistake."""
        chain = begin("a")
        chain.next(0.0)
        chain.admission(grant(), 0.0)
        chain.lease = None
        with pytest.raises(TypeError, match=r"^a chain in CALLING has no lease$"):
            chain.next(0.0)

    def test_a_skip_that_is_of_nobody_leaves_no_note(self, begin):
        """Fired by hand, past everything that says who was skipped."""
        chain = begin("a", "b")
        SKIP.trigger(chain)
        assert (chain.position, chain.trail) == (1, ())

    def test_an_error_is_handed_over_once(self, begin, walk):
        """The chain keeps none, so that no cycle keeps the request."""
        chain = begin("a")
        walk(chain, a=DOWN)
        assert chain.error is None
        with pytest.raises(TypeError, match="raised its error before"):
            chain.next(0.0)


def test_every_step_is_recorded_and_the_last_is_final(begin, walk, refusal):
    """A skip, two whole attempts, in order."""
    steps = []
    chain = begin("a", "b", "c", record=steps.append)
    walk(chain, a=refusal("open", 1.0, HELD), b=DOWN, c="hello")
    assert [(step.row.trigger, step.provider) for step in steps] == [
        ("skip", "a"),
        ("fault", "b"),
        ("answer", "c"),
    ]
    assert [step.fault for step in steps] == [HELD, DOWN, None]
    assert [step.row.target in FINAL for step in steps] == [False, False, True]


def test_an_attempt_without_an_error_stands_for_nothing_in_a_failure():
    """A call that ended after an answer had begun: only who was skipped has an exception."""
    attempt = Attempt(provider="a", number=1, fault=None, error=None, started_at=0.0, duration=1.0)
    skipped = Skip("b", "open", until=5.0, cause=HELD)
    error = failure(AllProvidersFailed, "x", (attempt, skipped), 1.0)
    (member,) = error.exceptions
    assert isinstance(member, BreakerOpen)
    assert (member.provider, member.retry_after) == ("b", 4.0)
    assert error.retry_after == 4.0
    assert "'a'" not in str(error)
