"""Drivers held against every script: ours keep everything, wrong ones are caught by name."""

import asyncio

import pytest

from fsm_fallback import ConfigurationError
from fsm_fallback.drivers import aio, sync
from fsm_fallback.spec import DRIVER_PROPERTIES, check_driver


def broken(drive):
    """The properties a driver breaks, with the smallest case."""
    return {each.promise.id: each.history for each in check_driver(drive) if not each.kept}


def a_driver(  # noqa: C901  # a driver is one loop, and each switch leaves a line of it out
    *, settles=True, admits=True, catches=Exception, goes_on=True, tells=True
):
    """A driver of plain calls with one thing left out, or none."""

    def drive(walk, chain, command, now, args, kwargs):  # noqa: C901  # as above
        value = None
        while True:
            match command.do:
                case "admit":
                    circuit = command.candidate.circuit
                    if not admits and circuit.state.value == "open":
                        command.candidate.call()
                    command = chain.admission(circuit.admission(now), now)
                case "call":
                    link, lease = command.candidate, command.lease
                    try:
                        value = link.call(*args, **kwargs)
                    except catches as error:
                        if not goes_on:
                            link.abandon(chain, lease, now)
                            raise ValueError("it failed") from error
                        command = link.take_error(chain, lease, error, now)
                    except BaseException:
                        link.abandon(chain, lease, now)
                        raise
                    else:
                        if settles:
                            link.circuit.settle_success(lease, now)
                        if not tells:
                            return value
                        command = chain.answer(now)
                case "return":
                    return value
                case "raise":
                    raise command.error

    return drive


@pytest.mark.parametrize("drive", [sync.drive, aio.drive, a_driver()])
def test_a_driver_that_does_what_it_is_told_keeps_everything(drive):
    """Each property in every case: 12 scripts of one provider, 144 of two."""
    verdicts = check_driver(drive)
    assert [each.promise for each in verdicts] == list(DRIVER_PROPERTIES)
    assert {(each.kept, each.cases) for each in verdicts} == {(True, 156)}


@pytest.mark.parametrize(
    ("drive", "promise", "told"),
    [
        (
            a_driver(settles=False),
            "driver-settles-every-lease",
            "'a' is closed and answers -> called a; came to <object object at",
        ),
        (
            a_driver(settles=False),
            "driver-books-what-happened",
            "'a' is closed and answers",
        ),
        (
            a_driver(admits=False),
            "driver-calls-as-told",
            "called a with other arguments, a; came to",
        ),
        (
            a_driver(goes_on=False),
            "driver-hands-over",
            "'a' is closed and fails -> called a; came to ValueError; the chain is abandoned",
        ),
        (a_driver(tells=False), "driver-ends-the-chain", "the chain is calling"),
    ],
)
def test_what_a_driver_forgets_is_told_by_the_smallest_script(drive, promise, told):
    """Providers, their endings, and what it came to."""
    assert told in broken(drive)[promise]


def test_a_driver_without_end_is_caught():
    """It is interrupted, and no further call is tried."""

    def loops(walk, chain, command, now, args, kwargs):
        while True:
            pass

    verdicts = {each.promise.id: each for each in check_driver(loops, patience=0.2)}
    assert verdicts["driver-ends"].history.startswith(
        "'a' is closed and answers -> called nobody; came to no end"
    )
    assert verdicts["driver-ends"].cases == 1


@pytest.mark.parametrize("does", [lambda: None, lambda: {}["a"]])
def test_a_driver_that_does_nothing_is_caught(does):
    """Nobody called, nothing raised by a provider: no crash of the check."""

    def idle(walk, chain, command, now, args, kwargs):
        return does()

    assert {"driver-calls-as-told", "driver-hands-over", "driver-ends-the-chain"} <= set(
        broken(idle)
    )


async def awaits_a_loop(walk, chain, command, now, args, kwargs):
    """A driver that needs an event loop."""
    await asyncio.sleep(0)


def one_argument(walk):
    """No driver."""


@pytest.mark.parametrize(
    ("drive", "providers", "named"),
    [
        (None, 2, "check_driver.drive is None; give drive(walk, chain, command, now, args"),
        (one_argument, 2, "check_driver.drive is one_argument(walk); give drive("),
        (sync.drive, 4, "check_driver.providers is 4; give 1 to 3"),
        (awaits_a_loop, 1, "driver awaits_a_loop awaits something beside its providers"),
    ],
)
def test_what_is_no_driver_is_refused(drive, providers, named):
    """Argument, value and remedy."""
    with pytest.raises(ConfigurationError) as refusal:
        check_driver(drive, providers)
    assert any(named in problem for problem in refusal.value.problems)
