"""The event loops of users: what is awaited in a test is awaited under asyncio and under trio.

A test of one library's own means says so, and has a twin where the other one has such means.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager

import attrs
import pytest

LIBRARIES = ("asyncio", "trio")


@attrs.frozen
class Loop:
    """An event loop as one library has it: each run gets a fresh one."""

    library: str

    def run(self, function, /, *args, **kwargs):
        """What a coroutine function comes to, awaited as users of the library start their own."""
        if self.library == "asyncio":
            return asyncio.run(function(*args, **kwargs))
        import trio  # noqa: PLC0415  # tests that await nothing do without it

        return trio.run(functools.partial(function, *args, **kwargs))

    def cancelling(self, function, *args):
        """A task around a block: at its end it is cancelled, and the cancellation arrives."""
        return CANCELLING[self.library](function, *args)


@asynccontextmanager
async def a_task(function, *args):
    """By `Task.cancel`."""
    task = asyncio.create_task(function(*args))
    yield
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@asynccontextmanager
async def a_scope(function, *args):
    """By a cancel scope in a nursery."""
    import trio  # noqa: PLC0415  # as above

    async def scoped():
        with scope:
            await function(*args)

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scoped)
        yield
        assert nursery.child_tasks
        scope.cancel()
    assert scope.cancelled_caught


CANCELLING = {"asyncio": a_task, "trio": a_scope}


# Of module scope, as it is constant, so that property tests may ask for it.
@pytest.fixture(scope="module", params=LIBRARIES)
def loop(request):
    """Each library's event loop."""
    return Loop(request.param)


@pytest.fixture(scope="module", params=[None, *LIBRARIES], ids=["plain", *LIBRARIES])
def plain_or_loop(request):
    """None, for plain calls, and each library's event loop, for awaited ones."""
    return None if request.param is None else Loop(request.param)
