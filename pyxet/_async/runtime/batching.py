"""Calls of the same moment share one request: what is asked for within one turn of the event loop goes together.

Tools that read many objects at once ask for each of them on its own: zarr for ten chunks at a time, whether they are there
or not, and for as many ranges of a shard. Nothing waits longer than one turn, and going together only ever saves requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)

# As many as the endpoint takes in one request.
_MAX_ITEMS: Final = 500


class Batch(Generic[V]):
    """What was asked for in one turn of the loop, in order, each item once."""

    def __init__(self) -> None:
        self.items: dict[V, None] = {}


class Batches(Generic[K, V]):
    """Gathers what is asked for under one key within one turn of the running loop.

    Parameters
    ----------
    most:
        Items of a batch; what comes after them begins another one.
    """

    def __init__(self, most: int = _MAX_ITEMS) -> None:
        self._most = most
        self._open: dict[tuple[asyncio.AbstractEventLoop, K], Batch[V]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being gathered."""
        return not self._open

    async def join(self, key: K, item: V) -> Batch[V]:
        """Add an item and wait for the end of this turn. All who ask in one turn get the same batch."""
        place = (asyncio.get_running_loop(), key)
        turn = self._open.get(place)
        if turn is None or len(turn.items) >= self._most:
            turn = self._open[place] = Batch()
        turn.items[item] = None
        try:
            await asyncio.sleep(0)
        finally:
            # A place refers to its loop, so it must not outlive its turn.
            if self._open.get(place) is turn:
                del self._open[place]
        return turn
