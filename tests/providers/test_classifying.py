"""`counting` and `ignoring`, and what becomes of a classifier that fails."""

import asyncio
import concurrent.futures
import logging

import pytest

from fsm_fallback import (
    AllProvidersFailed,
    ConfigurationError,
    FallbackProvider,
    Fault,
    FaultKind,
    Outcome,
    RequestRejected,
    counting,
    ignoring,
    provider,
)
from fsm_fallback.core.outcome import KINDS
from fsm_fallback.providers.classifying import fault_of

LIMITED = Fault(FaultKind.RATE_LIMIT, retry_after=7.0, message="slow down")


class Failed(Exception):
    """Any error; `says` is what a test's own table reads in it."""

    def __init__(self, says=FaultKind.TRANSIENT):
        super().__init__("words of the provider")
        self.says = says


class Worse(Failed):
    """One of those."""


class Else(Exception):
    """Another error."""


def read(error):
    """A table that believes what an error says of itself."""
    return Fault(getattr(error, "says", FaultKind.UNKNOWN), message=str(error))


def kind(classifier, error):
    """What a classifier says."""
    return classifier(error).kind


class TestCounting:
    """Only what is named speaks against a provider."""

    @pytest.mark.parametrize("left", [concurrent.futures.CancelledError, asyncio.CancelledError])
    def test_a_caller_who_left_is_never_counted(self, left):
        """However wide the net: a cancellation says nothing of the provider."""
        assert kind(counting(BaseException), left()) is FaultKind.CANCELLED

    def test_a_named_type_counts_with_its_subclasses(self):
        """As `except` would catch it."""
        classifier = counting(Failed, classify=read)
        assert kind(classifier, Failed()) is FaultKind.TRANSIENT
        assert kind(classifier, Worse()) is FaultKind.TRANSIENT
        assert kind(classifier, Else()) is FaultKind.CALLER

    def test_a_kind_of_fault_counts(self):
        """As the reading in the first place says."""
        classifier = counting(FaultKind.TIMEOUT, classify=read)
        assert kind(classifier, Failed(FaultKind.TIMEOUT)) is FaultKind.TIMEOUT
        assert kind(classifier, Failed(FaultKind.CONNECT)) is FaultKind.CALLER

    def test_what_a_predicate_is_true_of_counts(self):
        """Anything true is a yes."""
        classifier = counting(lambda error: error.args, classify=read)
        assert kind(classifier, Else("x")) is FaultKind.UNKNOWN
        assert kind(classifier, Else()) is FaultKind.CALLER

    def test_one_that_fits_is_enough(self):
        """Types, kinds and predicates go together in any order."""
        classifier = counting(
            FaultKind.TIMEOUT, lambda error: error.args == ("x",), Worse, classify=read
        )
        assert kind(classifier, Failed(FaultKind.TIMEOUT)) is FaultKind.TIMEOUT
        assert kind(classifier, Else("x")) is FaultKind.UNKNOWN
        assert kind(classifier, Worse()) is FaultKind.TRANSIENT
        assert kind(classifier, Failed()) is FaultKind.CALLER

    def test_what_fits_is_read_as_it_was(self):
        """A hold holds for its time, with its words."""
        assert counting(Failed, classify=lambda _: LIMITED)(Failed()) is LIMITED

    @pytest.mark.parametrize(
        "neutral",
        [
            kind
            for kind in FaultKind
            if KINDS[kind].outcome is Outcome.NEUTRAL and kind is not FaultKind.CANCELLED
        ],
    )
    def test_what_fits_counts(self, neutral):
        """Who names an exception wants it booked, whatever else the table thinks of it."""
        fault = counting(Failed, classify=read)(Failed(neutral))
        assert (fault.kind, fault.message) == (FaultKind.UNKNOWN, "words of the provider")
        assert fault.outcome is Outcome.FAILURE

    @pytest.mark.parametrize("said", FaultKind)
    def test_what_does_not_fit_never_counts(self, said):
        """It is the caller's, with the provider's words kept."""
        fault = counting(Else, classify=read)(Failed(said))
        assert (fault.kind, fault.message) == (FaultKind.CALLER, "words of the provider")
        assert (fault.outcome, fault.retry_after) == (Outcome.NEUTRAL, None)

    def test_the_fault_table_reads_by_default(self):
        """An error of a connection is one."""
        assert kind(counting(OSError), ConnectionRefusedError()) is FaultKind.CONNECT
        assert kind(counting(FaultKind.CONNECT), ConnectionRefusedError()) is FaultKind.CONNECT
        assert kind(counting(LookupError), ConnectionRefusedError()) is FaultKind.CALLER


class TestIgnoring:
    """What is named does not speak against a provider."""

    def test_a_named_type_does_not_count_with_its_subclasses(self):
        """As `except` would catch it."""
        classifier = ignoring(Failed, classify=read)
        assert kind(classifier, Failed()) is FaultKind.CALLER
        assert kind(classifier, Worse()) is FaultKind.CALLER
        assert kind(classifier, Else()) is FaultKind.UNKNOWN

    def test_a_kind_of_fault_does_not_count(self):
        """Nor does it hold."""
        classifier = ignoring(FaultKind.RATE_LIMIT, classify=read)
        assert kind(classifier, Failed(FaultKind.RATE_LIMIT)) is FaultKind.CALLER
        assert kind(classifier, Failed(FaultKind.QUOTA)) is FaultKind.QUOTA

    def test_what_a_predicate_is_true_of_does_not_count(self):
        """Anything true is a yes."""
        classifier = ignoring(lambda error: error.args, classify=read)
        assert kind(classifier, Else("x")) is FaultKind.CALLER
        assert kind(classifier, Else()) is FaultKind.UNKNOWN

    def test_everything_else_is_read_as_it_was(self):
        """The very fault."""
        assert ignoring(Else, classify=lambda _: LIMITED)(Failed()) is LIMITED

    def test_the_fault_table_reads_by_default(self):
        """An error of a connection is one."""
        assert kind(ignoring(LookupError), ConnectionRefusedError()) is FaultKind.CONNECT
        assert kind(ignoring(OSError), ConnectionRefusedError()) is FaultKind.CALLER

    def test_one_reads_through_the_other(self):
        """Count what is broken, but not the broken thing everybody knows of."""
        classifier = ignoring(Worse, classify=counting(Failed, classify=read))
        assert kind(classifier, Failed()) is FaultKind.TRANSIENT
        assert kind(classifier, Worse()) is FaultKind.CALLER
        assert kind(classifier, Else()) is FaultKind.CALLER


@pytest.mark.parametrize("made", [counting, ignoring])
class TestBadInput:
    """What is none of the three is refused before the first call."""

    @pytest.mark.parametrize("strange", [5, "ValueError", None, int, object, [ValueError], {}])
    def test_what_is_no_type_kind_or_predicate(self, made, strange):
        """By value or type, with the remedy."""
        with pytest.raises(ConfigurationError, match=f"{made.__name__} got .*; give exception"):
            made(ValueError, strange)

    def test_every_strange_one_is_named(self, made):
        """In one error."""
        with pytest.raises(ConfigurationError) as caught:
            made(5, ValueError, {"key": "sk-MARKER"})
        assert [problem.split(";")[0] for problem in caught.value.problems] == [
            f"{made.__name__} got 5",
            f"{made.__name__} got a dict",
        ]

    def test_nothing_at_all(self, made):
        """Who names nothing has forgotten something."""
        with pytest.raises(ConfigurationError, match=f"{made.__name__} got nothing"):
            made()


class TestFailingClassifiers:
    """One that raises, or returns no fault, means UNKNOWN, and is logged by type alone."""

    @pytest.fixture
    def logged(self, caplog):
        """The lines the library has logged."""
        caplog.set_level(logging.DEBUG, logger="fsm_fallback")
        return lambda: [record.getMessage() for record in caplog.records]

    def test_what_it_says_is_what_it_means(self, logged):
        """The very fault."""
        assert fault_of(Failed(), lambda _: LIMITED, "x") is LIMITED
        assert logged() == []

    def test_one_that_raises(self, logged):
        """Whose it is, and the type of what it raised."""

        def raising(_):
            raise LookupError("sk-MARKER")

        assert fault_of(Failed(), raising, "provider 'a'") == Fault(FaultKind.UNKNOWN)
        assert logged() == ["classifier of provider 'a' raised LookupError"]

    @pytest.mark.parametrize("answer", [None, "sk-MARKER", FaultKind.TIMEOUT])
    def test_one_that_returns_no_fault(self, logged, answer):
        """Whose it is, and the type of what it returned."""
        assert fault_of(Failed(), lambda _: answer, "provider 'a'") == Fault(FaultKind.UNKNOWN)
        name = type(answer).__name__
        assert logged() == [f"classifier of provider 'a' returned {name}, no Fault"]

    def test_a_predicate_that_raises(self, logged):
        """It is a part of its classifier."""
        classifier = counting(lambda error: error.nothing)
        assert fault_of(Failed(), classifier, "x").kind is FaultKind.UNKNOWN
        assert logged() == ["classifier of x raised AttributeError"]

    def test_an_interrupt_passes_through(self, logged):
        """Ctrl-C is nobody's reading of an error."""

        def interrupted(_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fault_of(Failed(), interrupted, "x")
        assert logged() == []


class TestInAChain:
    """A provider may have one, too."""

    def test_what_counts_is_failed_over(self):
        """The next provider is asked."""

        @provider("first", classify=counting(Failed))
        def first():
            raise Failed

        @provider("second")
        def second():
            return "answer"

        assert FallbackProvider(first, second).call() == "answer"

    @pytest.mark.parametrize("classifier", [counting(Failed), ignoring(Else)])
    def test_what_does_not_is_rejected(self, classifier):
        """Wrong here is wrong everywhere: no other provider is asked."""

        @provider("first", classify=classifier)
        def first():
            raise Else

        @provider("second")
        def second():
            raise AssertionError("not to be asked")

        chain = FallbackProvider(first, second)
        with pytest.raises(RequestRejected):
            chain.call()
        assert chain.breaker("first").snapshot().calls == 0

    def test_one_that_fails_is_unknown_there(self, caplog):
        """The chain goes on."""

        def raising(_):
            raise LookupError

        @provider("first", classify=raising)
        def first():
            raise Failed

        with pytest.raises(AllProvidersFailed) as caught:
            FallbackProvider(first).call()
        assert caught.value.trail[0].fault.kind is FaultKind.UNKNOWN
        assert [record.getMessage() for record in caplog.records] == [
            "classifier of provider 'first' raised LookupError"
        ]
