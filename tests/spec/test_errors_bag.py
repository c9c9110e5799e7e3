"""The bag of exceptions: what is in it, and what cannot be shown."""

import asyncio
import concurrent.futures
import sys
from types import SimpleNamespace

import pytest

from fsm_fallback.spec import errors_bag as bag
from fsm_fallback.spec.answers import shown_error


def test_every_builtin_exception_and_status_is_in_the_bag():
    """And no cancellation among the ordinary ones."""
    errors = list(bag.ordinary_errors())
    kinds = {type(error) for error in errors}
    assert {ValueError, UnicodeDecodeError, SystemExit, ExceptionGroup} <= kinds
    assert {error.status_code for error in errors if type(error) is bag.StatusError} == {
        *range(400, 600)
    }
    assert not any(map(bag.is_cancellation, errors))


def test_cancellations_are_known_as_such():
    """A group of nothing else, too; a mixed one is none."""
    assert all(map(bag.is_cancellation, bag.cancellations()))
    assert {type(error) for error in bag.cancellations()} >= {
        asyncio.CancelledError,
        concurrent.futures.CancelledError,
        GeneratorExit,
        KeyboardInterrupt,
    }
    assert not bag.is_cancellation(
        BaseExceptionGroup("mixed", [asyncio.CancelledError(), ValueError()])
    )


class Cancelled(BaseException):
    """As trio has it."""

    @classmethod
    def _create(cls):
        return cls()


class NewCancelled(BaseException):
    """As a newer trio has it."""

    @classmethod
    def _create(cls, *, source):
        return cls(source)


@pytest.mark.parametrize("kind", [Cancelled, NewCancelled])
def test_a_cancellation_of_trio_is_among_them_where_it_is_installed(monkeypatch, kind):
    """Made as that version of trio makes it."""
    monkeypatch.setitem(sys.modules, "trio", SimpleNamespace(Cancelled=kind))
    assert any(isinstance(error, kind) for error in bag.cancellations())


def test_without_trio_there_is_none(monkeypatch):
    """And nothing is raised."""
    monkeypatch.setitem(sys.modules, "trio", None)
    assert len(list(bag.cancellations())) == 5


def test_a_cancellation_is_known_by_trios_name_for_it():
    """Without an import of trio; an ordinary error of that name is none."""
    assert bag.is_cancellation(Cancelled())
    assert not bag.is_cancellation(type("Cancelled", (Exception,), {})())


def test_whatever_is_in_the_bag_can_be_told():
    """In a line that is not too long."""
    told = [shown_error(error) for error in bag.ordinary_errors()]
    assert "fsm_fallback.UnprintableError(<its repr raises>)" in told
    assert max(map(len, told)) < 250


def test_the_traps_are_traps():
    """What a classifier steps on if it reads too trustingly."""
    with pytest.raises(RuntimeError, match="no status_code"):
        bag.TrappedError().status_code  # noqa: B018  # reading it is the trap
    with pytest.raises(RuntimeError, match="not comparable"):
        bag.NeverEqualError() == 1  # noqa: B015  # as above
    with pytest.raises(RuntimeError, match="no words"):
        str(bag.UnprintableError())
