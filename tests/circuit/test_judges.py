"""`classify` and `accept`: the user's own reading of exceptions and results."""

import logging

import anyio
import anyio.lowlevel
import pytest

from fsm_fallback import (
    BreakerState,
    ConfigurationError,
    Fault,
    FaultKind,
    counting,
    ignoring,
)

S = BreakerState
CALLER = Fault(FaultKind.CALLER)
DOWN = Fault(FaultKind.TRANSIENT)
SECRET = "sk-MARKER"  # noqa: S105  # what no log may show


class Broken(Exception):
    """What a provider raises that is down."""


class Misused(Exception):
    """The caller's own fault."""


def classify(error):
    """A user's own table."""
    return CALLER if isinstance(error, Misused) else DOWN


def broken():
    """Fail."""
    raise Broken(SECRET)


def misused():
    """Be called wrongly."""
    raise Misused(SECRET)


@pytest.fixture
def ask(plain_or_loop):
    """Make one guarded call, plain or awaited."""

    def plainly(circuit, function, **judges):
        return circuit(**judges)(function)()

    def when_awaited(circuit, function, **judges):
        async def awaited():
            await anyio.lowlevel.checkpoint()
            return function()

        return plain_or_loop.run(circuit(**judges)(awaited))

    return plainly if plain_or_loop is None else when_awaited


@pytest.fixture
def logged(caplog):
    """The lines the library has logged."""
    caplog.set_level(logging.DEBUG, logger="fsm_fallback")
    return lambda: [record.getMessage() for record in caplog.records]


class TestClassifiers:
    """Which exceptions speak against a provider."""

    def test_without_one_the_fault_table_decides(self, make, ask):
        """It knows what the exceptions of connections and of providers mean."""

        def refused():
            raise ConnectionRefusedError

        circuit = make()
        with pytest.raises(ConnectionRefusedError):
            ask(circuit, refused)
        assert circuit.snapshot().cause.kind is FaultKind.CONNECT

    def test_the_circuits_classifier_decides(self, calm, counts, ask):
        """A neutral kind leaves no evidence, a failure counts."""
        circuit = calm(classify=classify)
        with pytest.raises(Misused):
            ask(circuit, misused)
        assert counts(circuit) == (0, 0, 0)
        with pytest.raises(Broken):
            ask(circuit, broken)
        assert counts(circuit) == (1, 1, 0)

    def test_that_of_the_function_decides_instead(self, calm, counts, ask):
        """For this function alone."""
        circuit = calm(classify=classify)
        with pytest.raises(Broken):
            ask(circuit, broken, classify=lambda _: CALLER)
        assert counts(circuit) == (0, 0, 0)
        with pytest.raises(Broken):
            ask(circuit, broken)
        assert counts(circuit) == (1, 1, 0)

    def test_a_kind_that_holds_opens_for_its_time(self, calm, ask):
        """With its fault as the cause."""
        limited = Fault(FaultKind.RATE_LIMIT, retry_after=7.0)
        circuit = calm(classify=lambda _: limited)
        with pytest.raises(Broken):
            ask(circuit, broken)
        snapshot = circuit.snapshot()
        assert (snapshot.state, snapshot.open_until, snapshot.cause) == (S.OPEN, 7.0, limited)

    def test_it_is_given_the_exception_itself(self, calm, ask):
        """Once, with its traceback."""
        given = []

        def remember(error):
            given.append((error, error.__traceback__ is not None))
            return DOWN

        with pytest.raises(Broken) as caught:
            ask(calm(classify=remember), broken)
        assert given == [(caught.value, True)]

    def test_it_runs_when_the_lock_is_free(self, make, ask):
        """It may use the circuit it classifies for."""
        states = []

        def curious(_):
            states.append(circuit.snapshot().state)
            circuit.reset()
            return DOWN

        circuit = make(classify=curious, minimum_calls=5)
        with pytest.raises(Broken):
            ask(circuit, broken)
        assert states == [S.CLOSED]
        assert circuit.snapshot().calls == 0  # the reset made it late

    def test_one_that_raises_means_unknown_and_is_logged(self, calm, counts, ask, logged):
        """By the type of what it raised alone; the call gets its own error."""

        def raising(error):
            raise LookupError(str(error))

        circuit = calm(classify=raising)
        with pytest.raises(Broken):
            ask(circuit, broken)
        assert counts(circuit) == (1, 1, 0)
        assert logged() == ["classifier of breaker 'openai' raised LookupError"]

    @pytest.mark.parametrize("answer", [None, "down", FaultKind.TRANSIENT, True])
    def test_one_that_returns_no_fault_means_unknown_and_is_logged(
        self, calm, counts, ask, logged, answer
    ):
        """By its type, too."""
        circuit = calm(classify=lambda _: answer)
        with pytest.raises(Broken):
            ask(circuit, broken)
        assert counts(circuit) == (1, 1, 0)
        name = type(answer).__name__
        assert logged() == [f"classifier of breaker 'openai' returned {name}, no Fault"]

    def test_one_whose_fault_trips_is_the_cause_as_unknown(self, make, ask):
        """What is not understood is not success."""
        circuit = make(classify=lambda _: None)
        with pytest.raises(Broken):
            ask(circuit, broken)
        assert circuit.snapshot().cause.kind is FaultKind.UNKNOWN

    def test_an_interrupt_in_one_releases_the_lease(self, calm, counts, ask):
        """Ctrl-C while it thinks: nothing is known, nothing leaks, the key press comes out."""

        def interrupted(_):
            raise KeyboardInterrupt

        circuit = calm(classify=interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask(circuit, broken)
        assert counts(circuit) == (0, 0, 0)

    def test_it_is_not_asked_of_what_is_no_exception(self, calm, ask):
        """There is nothing to classify."""
        asked = []

        def body():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ask(calm(classify=asked.append), body)
        assert asked == []

    def test_it_reads_the_ends_of_streams(self, make, counts):
        """As of calls."""
        circuit = make(minimum_calls=5)

        @circuit(classify=classify)
        def stream(error):
            yield 1
            raise error

        for error in (Misused(), Broken()):
            with pytest.raises(type(error)):
                [*stream(error)]
        assert counts(circuit) == (1, 1, 0)

    def test_counting_and_ignoring_are_classifiers(self, calm, counts, ask):
        """By exception type, say."""
        circuit = calm(classify=counting(Broken))
        with pytest.raises(Misused):
            ask(circuit, misused)
        with pytest.raises(Broken):
            ask(circuit, broken)
        assert counts(circuit) == (1, 1, 0)
        with pytest.raises(Broken):
            ask(circuit, broken, classify=ignoring(Broken))
        assert counts(circuit) == (1, 1, 0)


class TestAccept:
    """Which results are good."""

    def test_a_result_that_is_accepted_counts_as_a_success(self, calm, counts, ask):
        """Anything true is a yes."""
        circuit = calm(accept=lambda result: [result])
        assert ask(circuit, lambda: 5) == 5
        assert counts(circuit) == (1, 0, 0)

    def test_one_that_is_not_counts_as_a_failure_and_is_returned(self, calm, counts, ask):
        """The caller gets it all the same."""
        circuit = calm(accept=lambda result: result != "empty")
        assert ask(circuit, lambda: "empty") == "empty"
        assert counts(circuit) == (1, 1, 0)

    def test_one_that_trips_is_returned_and_is_the_cause(self, make, ask):
        """An answer nobody can use."""
        circuit = make(accept=lambda _: False)
        assert ask(circuit, lambda: "empty") == "empty"
        assert circuit.state is S.OPEN
        assert circuit.snapshot().cause.kind is FaultKind.BAD_RESPONSE

    def test_that_of_the_function_judges_instead(self, calm, counts, ask):
        """For this function alone."""
        circuit = calm(accept=lambda _: False)
        ask(circuit, lambda: 5, accept=lambda _: True)
        assert counts(circuit) == (1, 0, 0)
        ask(circuit, lambda: 5)
        assert counts(circuit) == (2, 1, 0)

    def test_each_judge_may_be_given_without_the_other(self, calm, counts, ask):
        """The circuit's own stays for what is not given."""
        circuit = calm(classify=classify)
        with pytest.raises(Misused):
            ask(circuit, misused, accept=lambda _: False)
        assert counts(circuit) == (0, 0, 0)
        ask(circuit, lambda: 5, accept=lambda _: False)
        assert counts(circuit) == (1, 1, 0)

    def test_it_is_not_asked_of_an_error(self, calm, ask):
        """There is no result."""
        asked = []
        with pytest.raises(Broken):
            ask(calm(accept=asked.append), broken)
        assert asked == []

    def test_call_and_acall_are_judged_by_the_circuits(self, calm, counts, loop):
        """They have no judge of their own."""
        circuit = calm(accept=lambda _: False)

        async def answer():
            return 5

        assert circuit.call(lambda: 5) == 5
        assert loop.run(circuit.acall, answer) == 5
        assert counts(circuit) == (2, 2, 0)

    def test_one_that_raises_is_neutral_and_logged(self, calm, counts, ask, logged):
        """By the type of what it raised; the caller gets the result."""

        def raising(result):
            raise LookupError(result)

        circuit = calm(accept=raising)
        assert ask(circuit, lambda: SECRET) == SECRET
        assert counts(circuit) == (0, 0, 0)
        assert logged() == ["accept of breaker 'openai' raised LookupError"]

    def test_an_answer_that_is_neither_yes_nor_no_is_neutral_and_logged(
        self, calm, counts, ask, logged
    ):
        """Its own truth may raise: an array's does."""

        class Undecided:
            def __bool__(self):
                raise ValueError

        circuit = calm(accept=lambda _: Undecided())
        assert ask(circuit, lambda: 5) == 5
        assert counts(circuit) == (0, 0, 0)
        assert logged() == ["accept of breaker 'openai' raised ValueError"]

    def test_an_interrupt_in_it_releases_the_lease(self, calm, counts, ask):
        """Ctrl-C while it thinks: nothing is known, nothing leaks, the key press comes out."""

        def interrupted(_):
            raise KeyboardInterrupt

        circuit = calm(accept=interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask(circuit, bool)
        assert counts(circuit) == (0, 0, 0)

    def test_it_may_use_the_circuit(self, make, ask):
        """It runs when the lock is free."""
        circuit = make(accept=lambda _: circuit.snapshot().in_flight == 1)
        ask(circuit, bool)
        assert circuit.snapshot().calls == 1
        assert circuit.state is S.CLOSED


class TestBadJudges:
    """What is no function is refused at once."""

    @pytest.mark.parametrize("judge", ["classify", "accept"])
    @pytest.mark.parametrize("value", [5, "down", {"key": SECRET}, FaultKind.TRANSIENT])
    def test_by_the_circuit(self, make, judge, value):
        """By name and type."""
        with pytest.raises(ConfigurationError, match=rf"CircuitBreaker\.{judge} is ") as caught:
            make(**{judge: value})
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("judge", ["classify", "accept"])
    def test_by_the_decorator(self, circuit, judge):
        """Before it decorates."""
        with pytest.raises(ConfigurationError, match=rf"CircuitBreaker\.{judge} is 5; give a"):
            circuit(**{judge: 5})

    def test_both_are_named_at_once(self, circuit):
        """Each with its remedy."""
        with pytest.raises(ConfigurationError) as caught:
            circuit(classify=5, accept="x")
        assert len(caught.value.problems) == 2


def test_an_accept_that_must_be_awaited_is_refused(make):
    """Its answer is a coroutine, which is always true."""

    async def later(_):
        return False

    with pytest.raises(ConfigurationError, match=r"accept is .*; give a plain function"):
        make(accept=later)
