"""A consumer of streams, plain or awaited, that reads so much, and tells what came of it."""

import itertools
from contextlib import aclosing
from typing import Any

import attrs


@attrs.frozen
class Read:
    """What came of reading a stream: its items, its error if any, and how it came about."""

    items: list[Any]
    error: BaseException | None
    stream: Any


@attrs.frozen
class StreamWay:
    """One way of streaming, plain or awaited."""

    loop: Any

    def read(self, chain, *args, most=None, between=None, **kwargs):
        """Read so many items at most, all if None, and close; `between` runs after each."""
        if self.loop:
            return self.loop.run(self._aread, chain, args, kwargs, most, between)
        items, error = [], None
        with chain.stream_detailed(*args, **kwargs) as stream:
            try:
                for item in itertools.islice(stream, most):
                    items.append(item)
                    if between:
                        between()
            except Exception as raised:  # noqa: BLE001  # to look at
                error = raised
        return Read(items, error, stream)

    async def _aread(self, chain, args, kwargs, most, between):
        items, error = [], None
        async with aclosing(chain.astream_detailed(*args, **kwargs)) as stream:
            try:
                while most is None or len(items) < most:
                    items.append(await anext(stream))
                    if between:
                        between()
            except StopAsyncIteration:
                pass
            except Exception as raised:  # noqa: BLE001  # to look at
                error = raised
        return Read(items, error, stream)
