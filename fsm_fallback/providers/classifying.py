"""A user's reading of exceptions: what a classifier may be, and what becomes of one that fails.

The fault table reads what model providers raise. `counting` and `ignoring` narrow it, by exception
type, by predicate or by kind of fault, for code that raises something else. They decide what a
breaker books, and know nothing of breakers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fsm_fallback.core.bounds import shown
from fsm_fallback.core.outcome import Fault, FaultKind, Outcome
from fsm_fallback.errors import ConfigurationError
from fsm_fallback.providers.faults import classify

Classifier = Callable[[BaseException], Fault]
"""Turns an exception into a `Fault`; its kind decides what a breaker books."""

What = type[BaseException] | FaultKind | Callable[[BaseException], bool]
"""An exception type (with its subclasses), a kind of fault, or a predicate of the exception."""

_NOT_COUNTED: Final = FaultKind.CALLER


def counting(*what: What, classify: Classifier = classify) -> Classifier:
    """A classifier by which only these exceptions speak against a provider.

    Args:
        what: Exception types, predicates or kinds of fault; one that fits is enough.
        classify: Reads the exceptions in the first place; by default the fault table.

    Returns:
        What `classify` says of an exception that fits, but never nothing: what it would not book
        counts as `FaultKind.UNKNOWN`; only a caller who left is never evidence. Any other exception
        is `FaultKind.CALLER`: nothing is booked, and a chain asks no other provider.

    Raises:
        ConfigurationError: If nothing is given, or something that is none of the three.
    """
    fits = _test_of("counting", what)

    def counted(error: BaseException) -> Fault:
        fault = classify(error)
        if not fits(error, fault):
            return Fault(_NOT_COUNTED, message=fault.message)
        if fault.outcome is Outcome.NEUTRAL and fault.kind is not FaultKind.CANCELLED:
            return Fault(FaultKind.UNKNOWN, message=fault.message)
        return fault

    return counted


def ignoring(*what: What, classify: Classifier = classify) -> Classifier:
    """A classifier by which these exceptions do not speak against a provider.

    Args:
        what: Exception types, predicates or kinds of fault; one that fits is enough.
        classify: Reads all others; by default the fault table.

    Returns:
        `FaultKind.CALLER` for an exception that fits: nothing is booked, and a chain asks no other
        provider. What `classify` says of any other.

    Raises:
        ConfigurationError: If nothing is given, or something that is none of the three.
    """
    fits = _test_of("ignoring", what)

    def unless_ignored(error: BaseException) -> Fault:
        fault = classify(error)
        return Fault(_NOT_COUNTED, message=fault.message) if fits(error, fault) else fault

    return unless_ignored


def fault_of(error: BaseException, classifier: Classifier, whose: str) -> Fault:
    """What an exception means to a user's classifier.

    One that raises, or returns no fault, means `FaultKind.UNKNOWN`, and one line is logged. What is
    no `Exception` (Ctrl-C in a classifier) passes through.
    """
    try:
        fault: object = classifier(error)
    except Exception as raised:  # noqa: BLE001  # the user's code
        log_fault_of_user("classifier of %s raised %s", whose, raised)
        return Fault(FaultKind.UNKNOWN)
    if isinstance(fault, Fault):
        return fault
    log_fault_of_user("classifier of %s returned %s, no Fault", whose, fault)
    return Fault(FaultKind.UNKNOWN)


def log_fault_of_user(message: str, whose: str, what: object) -> None:
    """Log what a user's function raised or returned: its type, for it may quote anything."""
    import logging  # noqa: PLC0415  # not imported with the package

    logging.getLogger("fsm_fallback").error(message, whose, type(what).__name__)


def _test_of(name: str, what: tuple[What, ...]) -> Callable[[BaseException, Fault], bool]:
    types = tuple(
        each for each in what if isinstance(each, type) and issubclass(each, BaseException)
    )
    kinds = frozenset(each for each in what if isinstance(each, FaultKind))
    predicates = tuple(
        each for each in what if not isinstance(each, (type, FaultKind)) and callable(each)
    )
    strange = [each for each in what if each not in (*types, *kinds, *predicates)]
    problems = [
        f"{name} got {shown(each)}; give exception types, kinds of fault, or functions of an "
        "exception"
        for each in strange
    ]
    if not what:
        problems.append(f"{name} got nothing; give exception types, kinds of fault, or functions")
    if problems:
        raise ConfigurationError(problems)

    def fits(error: BaseException, fault: Fault) -> bool:
        return (
            isinstance(error, types)
            or fault.kind in kinds
            or any(predicate(error) for predicate in predicates)
        )

    return fits
