"""Plans of the windows that come next: asked for early, so that a window which begins has only its bytes to wait for.

A plan takes a round trip, and so does a fetch. Far from the endpoint that was half of the time in which the windows of a
file were on their way; plans take next to no memory, so more of them can be under way than windows.
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

# Windows behind those that have begun whose plans are asked for.
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
        """Say that the next window begins. It asks for its own plan, unless that was asked for by then."""
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
            # Marks an error as seen: the window asks again, and says what is wrong.
            task.exception()

    async def aclose(self) -> None:
        """Cancel what is under way."""
        await stopped(*self._under_way)


@asynccontextmanager
async def plans_ahead(cas: Cas, value: Hash, spans: Iterator[tuple[int, int]]) -> AsyncGenerator[PlansAhead, None]:
    """Plans for the windows of a file, as long as the block goes on.

    Parameters
    ----------
    cas:
        Asks for plans and keeps them.
    value:
        The file.
    spans:
        Its windows, in the order in which they begin.
    """
    ahead = PlansAhead(cas, value, spans)
    try:
        yield ahead
    finally:
        await ahead.aclose()
