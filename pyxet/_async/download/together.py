"""What single calls ask for at the same time, asked for together: look-ups of paths, ranges of files.

Tools that read many objects at once ask for each of them on its own: zarr for ten chunks at a time, whether they are there
or not, and for as many ranges of a shard. What is asked for within one turn of the event loop goes together. Nothing waits
longer than that turn, and going together only ever saves requests: an error that may be about others is looked into alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from pyxet._async.endpoint.hub import Hub, TreePage
from pyxet._async.runtime.tasks import SingleFlight
from pyxet.errors import BadRequestError, FormatError, IntegrityError
from pyxet.protocol.constants import MIB
from pyxet.protocol.reconstruction import coalesce_ranges
from pyxet.types import RemoteFile
from pyxet.urls import RepoId

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)

# Ranges of one file that lie nearer to each other than this many bytes are fetched as one. Each end of a range costs half
# a chunk on average, so reading through a gap of two chunks costs no more bytes than a second plan would.
DEFAULT_GAP: Final = 128 * 1024
# As many as the endpoint takes in one request.
_MAX_ITEMS: Final = 500
# Longer ranges are worth requests of their own, and merged ranges do not grow beyond it.
_MAX_RANGE: Final = 4 * MIB


class Turn(Generic[V]):
    """What was asked for in one turn, in order and each once."""

    def __init__(self) -> None:
        self.items: dict[V, None] = {}


class Turns(Generic[K, V]):
    """Gathers what is asked for under one key within one turn of the running loop."""

    def __init__(self) -> None:
        self._open: dict[tuple[asyncio.AbstractEventLoop, K], Turn[V]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being gathered."""
        return not self._open

    async def join(self, key: K, item: V) -> Turn[V]:
        """All that is asked for in this turn, for each who asks the same object."""
        place = (asyncio.get_running_loop(), key)
        turn = self._open.get(place)
        if turn is None or len(turn.items) >= _MAX_ITEMS:
            turn = self._open[place] = Turn()
        turn.items[item] = None
        try:
            await asyncio.sleep(0)
        finally:
            # A place refers to its loop, so it must not outlive its turn.
            if self._open.get(place) is turn:
                del self._open[place]
        return turn


class Lookups:
    """What is at single paths of one client's repositories."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._turns: Turns[tuple[RepoId, str], str] = Turns()
        self._flights: SingleFlight[Turn[str], TreePage] = SingleFlight()

    async def look(self, repo: RepoId, revision: str, path: str) -> TreePage:
        """What is at a path of a revision, if anything, and the commit that the revision is, if the endpoint tells."""
        turn = await self._turns.join((repo, revision), path)
        try:
            page = await self._flights.run(turn, lambda: self._hub.paths_info(repo, revision, list(turn.items)))
        except BadRequestError:
            if len(turn.items) == 1:
                raise
            return await self._hub.paths_info(repo, revision, [path])
        return TreePage([entry for entry in page.entries if entry.path == path], page.commit)


class Ranges:
    """Ranges of files; those of one file that are near each other are read as one."""

    def __init__(self) -> None:
        self._turns: Turns[RemoteFile, tuple[int, int]] = Turns()
        self._flights: SingleFlight[tuple[RemoteFile, int, int], bytes] = SingleFlight()

    async def read(
        self, file: RemoteFile, start: int, end: int, alone: Callable[[RemoteFile, int, int], Awaitable[bytes]]
    ) -> bytes:
        """Bytes ``start`` to before ``end`` of a file; ``alone`` reads one range."""
        if not 0 < end - start <= _MAX_RANGE:
            return await alone(file, start, end)
        turn = await self._turns.join(file, (start, end))
        ranges = list(turn.items)
        merged = coalesce_ranges(ranges, max_gap=DEFAULT_GAP, max_size=_MAX_RANGE)
        mine = ranges.index((start, end))
        first, last = next((item.start, item.end) for item in merged if mine in item.members)

        async def read() -> bytes:
            return await alone(file, first, last)

        try:
            content = await self._flights.run((file, first, last), read)
        except (FormatError, IntegrityError):
            if (first, last) == (start, end):
                raise
            return await alone(file, start, end)
        return content if (first, last) == (start, end) else content[start - first : end - first]
