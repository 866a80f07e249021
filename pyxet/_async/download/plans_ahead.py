"""Requests the plans of the next windows early, so that a window only has to wait for its bytes.

A plan takes a round trip, and so does a fetch. With a distant endpoint, waiting for plans took half of the time in which
a file's windows were read. Plans take almost no memory, so more plans than windows can be requested at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from pyxet._async.endpoint.cas import Cas
from pyxet._async.runtime.tasks import stopped
from pyxet.protocol.hashing import Hash
from pyxet.protocol.reconstruction import Plan

# Plans are requested for this many windows after the last one that has begun.
_AHEAD: Final = 3


class PlansAhead:
    """Plans for windows of a file that have not begun. See `plans_ahead`."""

    def __init__(self, cas: Cas, value: Hash, spans: Iterator[tuple[int, int]]) -> None:
        self._cas = cas
        self._value = value
        self._spans = spans
        self._begun = self._asked = 0
        self._under_way: set[asyncio.Task[Plan]] = set()

    def begin(self) -> None:
        """Note that the next window begins, and request plans for those after it.

        The window itself requests its plan, unless that was requested here before.
        """
        self._begun += 1
        if self._asked < self._begun:
            next(self._spans, None)
            self._asked = self._begun
        for span in islice(self._spans, self._begun + _AHEAD - self._asked):
            self._asked += 1
            task = asyncio.create_task(self._cas.reconstruction(self._value, *span))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Plan]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Marks the exception as retrieved: the window requests the plan again and raises the error.
            task.exception()

    async def aclose(self) -> None:
        """Cancel the requests that are still running."""
        await stopped(*self._under_way)


@asynccontextmanager
async def plans_ahead(cas: Cas, value: Hash, spans: Iterator[tuple[int, int]]) -> AsyncGenerator[PlansAhead, None]:
    """Request plans for the windows of a file early, while the block runs.

    Parameters
    ----------
    cas:
        Requests plans and caches them.
    value:
        The Xet hash of the file.
    spans:
        The file's windows (start, end), in the order in which they begin.
    """
    ahead = PlansAhead(cas, value, spans)
    try:
        yield ahead
    finally:
        await ahead.aclose()
